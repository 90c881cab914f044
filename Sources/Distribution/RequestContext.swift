import HTTP
import NIOHTTP1
import Wire

/// Whom was asked for what: gives failures their words.
struct RequestContext: Sendable {
  /// Host and port.
  var host: String
  var repository: String?
  /// `manifest 1.27`, `blob sha256:…`.
  var what: String

  private var subject: String { repository.map { "\(what) of \($0)" } ?? what }

  func error(_ failure: HTTPClientError) -> DistributionError {
    let why = failure.message
    switch failure.code {
    case .connect:
      return DistributionError(
        .unreachable, "\(host) cannot be reached for \(subject): \(why); check the name, the network and the proxy")
    case .proxy(let status):
      let code: DistributionError.Code = status == 407 ? .invalidConfiguration : .unreachable
      return DistributionError(code, "the proxy does not lead to \(host) for \(subject): \(why)", status: status)
    case .tls:
      return DistributionError(.tls, "TLS with \(host) failed for \(subject): \(RequestContext.explain(why))")
    case .timeout(let phase, let limit):
      let doing =
        switch phase {
        case .queue: "no connection became free"
        case .connect: "no connection was made"
        case .proxy: "the proxy did not answer"
        case .tls: "the TLS handshake did not end"
        case .settings: "the server did not begin with HTTP/2"
        case .head: "no answer came"
        case .body: "the answer did not end"
        case .idle: "nothing moved"
        case .pace: "next to nothing came"
        case .silence: "the server did not say whether it is still there"
        }
      return DistributionError(.timeout, "\(host): \(doing) within \(GoDuration.format(limit)) for \(subject)")
    case .closed(let isAnswered):
      return DistributionError(
        .connectionLost,
        "\(host) closed the connection for \(subject) "
          + (isAnswered ? "in the middle of the answer" : "without an answer")
      )
    case .refused: return DistributionError(.connectionLost, "\(host) does not begin with \(subject): \(why)")
    case .http1Required: return DistributionError(.connectionLost, "\(host) does not take \(subject): \(why)")
    case .upgradeRefused(let status):
      return DistributionError(.invalidResponse, "\(host), asked for \(subject): \(why)", status: status)
    case .malformed:
      return DistributionError(.invalidResponse, "\(host) answers for \(subject) with something that is not HTTP")
    case .headTooLarge:
      return DistributionError(.limitExceeded, "\(host) answers for \(subject): \(why)")
    case .overloaded:
      return DistributionError(
        .tooManyRequests, "too many requests wait for \(host) already; \(subject) has to wait")
    case .invalidConfiguration:
      return DistributionError(.invalidConfiguration, "the certificates for \(host) cannot be used: \(why)")
    case .invalidRequest: return DistributionError(.invalidURL, "\(host) cannot be asked for \(subject): \(why)")
    case .source: return failure.cause as? DistributionError ?? DistributionError(.store, why)
    case .cancelled: return DistributionError(.cancelled, "cancelled: \(subject) from \(host)")
    }
  }

  /// What people can do about the usual TLS failures.
  private static func explain(_ text: String) -> String {
    if text.contains("CERTIFICATE_VERIFY_FAILED") || text.contains("unableToValidateCertificate") {
      return "its certificate is not signed by a known authority, or not for this name; "
        + "put the authority's certificate into certs.d/HOST:PORT/ca.crt"
    }
    if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") {
      return "it does not speak TLS; configure it as plain HTTP if that is meant"
    }
    return String(text.prefix(300))
  }

  /// A refusal; its body is the registry's list of errors (distribution specification, "Error Codes").
  func error(status: Int, headers: HTTPHeaders, body: [UInt8], now: Timestamp) -> DistributionError {
    let (registryCode, detail) = RequestContext.registryError(body)
    let code: DistributionError.Code
    var hint = ""
    switch status {
    case 401:
      code = .unauthorized
      hint = "; check the credentials for this registry, and whether the repository exists"
    case 403:
      code = .denied
      hint = "; these credentials have no right to do that"
    case 404: code = .notFound
    case 408: code = .timeout
    case 429:
      code = .tooManyRequests
      hint = "; wait, or use credentials with a higher limit"
    case 500, 502, 503, 504: code = .unavailable
    default: code = .rejected
    }
    return DistributionError(
      code, "\(host) answers \(status) for \(subject)\(detail.isEmpty ? "" : ": \(detail)")\(hint)", status: status,
      registryCode: registryCode, retryAfter: RequestContext.retryAfter(headers, now: now))
  }

  func invalid(_ why: String, code: DistributionError.Code = .invalidResponse) -> DistributionError {
    DistributionError(code, "\(host), \(subject): \(why)")
  }

  /// The first error's code, and code and message of it as one text.
  static func registryError(_ body: [UInt8]) -> (code: String?, text: String) {
    guard let first = (try? JSON.parse(body, depthMax: 32))?["errors"]?.array?.first else { return (nil, "") }
    let code = first["code"]?.string.map { clean($0, 64) }.flatMap { $0.isEmpty ? nil : $0 }
    let message = clean(first["message"]?.string ?? "", 512)
    return (code, [code, message.isEmpty ? nil : message].compactMap { $0 }.joined(separator: ": "))
  }

  /// Without control characters, which would play with a terminal.
  private static func clean(_ text: String, _ limit: Int) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit).filter { $0.value >= 0x20 && $0.value != 0x7F }))
  }

  /// `Retry-After` in seconds, or as a date (RFC 9110, section 10.2.3).
  static func retryAfter(_ headers: HTTPHeaders, now: Timestamp) -> Duration? {
    guard let text = headers.first(name: "retry-after") else { return nil }
    if let seconds = ContentRange.number(text) { return .seconds(min(seconds, 365 * 86_400)) }
    guard let date = HTTPDate.parse(text) else { return nil }
    return max(date.since(now), .zero)
  }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
public enum HTTPDate {
  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  public static func parse(_ text: String) -> Timestamp? {
    let words = text.split(separator: " ").map(String.init)
    guard words.count == 6, words[0].hasSuffix(","), words[5] == "GMT", words[1].utf8.count == 2,
      let month = months.firstIndex(of: words[2])
    else { return nil }
    let number = month < 9 ? "0\(month + 1)" : "\(month + 1)"
    return Timestamp(rfc3339: "\(words[3])-\(number)-\(words[1])T\(words[4])Z")
  }
}
