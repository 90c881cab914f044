import Content
import HTTP
import NIOHTTP1
import OCI
import Wire

/// Lists are asked of the registry itself: a mirror knows only what went through it.
extension RegistryClient {
  private static let entriesMax = 1_000_000

  /// All tags, page by page.
  public func tags(
    in repository: Repository, credentials: Credentials? = nil
  ) async throws(DistributionError) -> [String] {
    try check(repository)
    let call = RegistryCall(
      method: .GET, registry: repository.host, repository: repository.path, path: "tags/list",
      query: [("n", "1000")], actions: ["pull"], isReading: false, what: "the tags", accepted: [200])
    return try await strings("tags", call, credentials)
  }

  /// The paths of the registry's repositories (`_catalog`), which many registries do not tell.
  public func repositories(
    host: String, credentials: Credentials? = nil
  ) async throws(DistributionError) -> [String] {
    let call = RegistryCall(
      method: .GET, registry: host, path: "_catalog", query: [("n", "1000")], actions: [],
      extraScopes: ["registry:catalog:*"], isReading: false, what: "the catalog", accepted: [200])
    return try await strings("repositories", call, credentials)
  }

  private func strings(
    _ key: String, _ call: RegistryCall, _ credentials: Credentials?
  ) async throws(DistributionError) -> [String] {
    var all: [String] = []
    try await pages(call, credentials) { (json, context) throws(DistributionError) in
      let list = json[key]
      // A repository that has lost its last tag has `null` at some registries.
      guard list == nil || list?.isNull == true || list?.array != nil else {
        throw context.invalid("\"\(key)\" is no list")
      }
      for entry in list?.array ?? [] {
        guard let text = entry.string, text.utf8.count <= 4096 else {
          throw context.invalid("\"\(key)\" must hold names")
        }
        all.append(text)
      }
      guard all.count <= Self.entriesMax else {
        throw context.invalid("the list has more than \(Self.entriesMax) entries", code: .limitExceeded)
      }
    }
    return all
  }

  /// The manifests whose `subject` is the digest, by the referrers API or else the fallback tag.
  public func referrers(
    to digest: Digest, in repository: Repository, artifactType: String? = nil, credentials: Credentials? = nil
  ) async throws(DistributionError) -> [Descriptor] {
    try check(repository)
    let call = RegistryCall(
      method: .GET, registry: repository.host, repository: repository.path, path: "referrers/\(digest)",
      query: artifactType.map { [("artifactType", $0)] } ?? [], headers: ["accept": MediaType.index],
      actions: ["pull"], isReading: false, what: "the referrers of \(digest)", accepted: [200])
    var found: [Descriptor] = []
    func add(_ json: JSON, _ label: String) throws(DistributionError) {
      found += try ociErrors(label) { () throws(OCIError) in try Index(json, label: label) }.manifests
      guard found.count <= Self.entriesMax else {
        throw DistributionError(.limitExceeded, "\(label): more than \(Self.entriesMax) entries")
      }
    }
    do throws(DistributionError) {
      try await pages(call, credentials) { (json, context) throws(DistributionError) in
        try add(json, "\(context.host), \(context.what)")
      }
    } catch {
      guard error.status == 404 || error.status == 405 else { throw error }
      do throws(DistributionError) {
        let tag = ManifestReference.tag(Self.fallbackTag(digest))
        let index = try await manifest(tag, in: repository, credentials: credentials)
        guard let json = try? JSON.parse(index.bytes) else { return [] }
        try add(json, "the referrers of \(digest) in \(repository)")
      } catch {
        guard error.code == .notFound else { throw error }
      }
    }
    // The filter is the registry's to leave out.
    guard let artifactType else { return found }
    return found.filter { $0.artifactType == artifactType }
  }

  /// Reads the JSON of a list, page after page (`Link`, RFC 8288).
  private func pages(
    _ first: RegistryCall, _ credentials: Credentials?, add: (JSON, RequestContext) throws(DistributionError) -> Void
  ) async throws(DistributionError) {
    var call = first
    var seen = Set<HTTPURL>()
    var bytesTotal = 0
    for _ in 0..<max(1, configuration.limits.pages) {
      let (json, bytes, next, context) = try await transport.perform(call, credentials: credentials) {
        [configuration] (response, context) throws(DistributionError) in
        let bytes = try await Self.collect(response, configuration, context)
        guard let json = try? JSON.parse(bytes, depthMax: 32), json.object != nil else {
          throw context.invalid("what comes is no JSON object; is this a registry?")
        }
        let next = try Self.nextPage(response, context)
        return (json, bytes.count, next, context)
      }
      bytesTotal += bytes
      guard bytesTotal <= configuration.limits.list else {
        throw context.invalid("the list has more than \(configuration.limits.list) bytes", code: .limitExceeded)
      }
      try add(json, context)
      guard let next else { return }
      // A registry that goes round in circles would keep us for ever.
      guard seen.insert(next).inserted else { throw context.invalid("its pages lead back to one another") }
      call.url = next
    }
    throw DistributionError(
      .limitExceeded, "\(first.registry): \(first.what) has more than \(configuration.limits.pages) pages")
  }

  private static func nextPage(
    _ response: HTTPClientResponse, _ context: RequestContext
  ) throws(DistributionError) -> HTTPURL? {
    guard let target = LinkHeader(response.headers["link"]).next else { return nil }
    guard let url = response.url.resolving(target), url.hasSameOrigin(as: response.url) else {
      throw context.invalid("the address of its next page is not on the same host")
    }
    return url
  }
}
