import HTTP
import NIOHTTP1

extension RegistryClient {
  /// Streams what any `http` or `https` URL has (`ADD URL`); redirects are followed, a broken connection is resumed
  /// when the server's `ETag` or `Last-Modified` allows it. There are no credentials.
  /// - Parameter headers: in addition, such as `If-None-Match`; a 304 is then an error with that status.
  public func fetch(
    _ url: String, headers: [(name: String, value: String)] = []
  ) async throws(DistributionError) -> DownloadStream {
    guard let parsed = HTTPURL(url) else {
      throw DistributionError(
        .invalidURL, "the address must be a plain http or https URL, without user and password in it")
    }
    var request = HTTPClientRequest(method: .GET, url: parsed, headers: ["accept-encoding": "identity"])
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    let prepared = request
    let context = RequestContext(host: parsed.authority, repository: nil, what: parsed.path)
    return try await DownloadStream(
      context: context, transport: transport, offset: 0, expected: nil, digest: nil, needsValidator: true
    ) { [transport] (range, validator) throws(DistributionError) in
      var request = prepared
      if let range {
        request.headers.replaceOrAdd(name: "range", value: range)
        if let validator { request.headers.replaceOrAdd(name: "if-range", value: validator) }
      }
      let salt = transport.nextSalt()
      var attempts = 1
      while true {
        let failure: DistributionError
        do throws(DistributionError) {
          let response = try await transport.follow(request, context)
          if response.status == 200 || (response.status == 206 && range != nil) { return response }
          failure = await transport.refusal(response, context)
        } catch {
          failure = error
        }
        guard let delay = transport.configuration.retry.delay(after: failure, attempt: attempts, salt: salt) else {
          throw failure
        }
        attempts += 1
        try await transport.sleep(delay)
      }
    }
  }
}
