import KubeClient
import NIOCore
import NIOHTTP1
import Store
import Wire

/// An answer on its way out.
struct Reply: Sendable {
  typealias Produce =
    @Sendable (_ write: @escaping @Sendable (ByteBuffer) async throws -> Void) async throws -> Void

  /// Lets a stream that nobody reads any more clean up. It is cancelled, too: one that has nothing to write would otherwise
  /// wait for ever.
  static func abandon(_ produce: @escaping Produce) {
    Task { try? await produce { _ in throw CancellationError() } }.cancel()
  }

  enum Body: Sendable {
    case bytes([UInt8])
    /// Prefix, the bytes of each entry with commas between, suffix: a list costs no memory of its own.
    case list(prefix: [UInt8], entries: [Entry], suffix: [UInt8])
    /// Events of a watch until its end.
    case watch(WatchResponse)
    /// Whatever the closure writes, with the client's pace.
    case stream(Produce)
    /// The connection becomes another protocol; the closure takes the channel over, or ends what waits for it when
    /// there is none any more.
    case upgrade(@Sendable ((any Channel)?) -> Void)
  }

  var code: Int
  var contentType: String
  var headers: [(String, String)] = []
  /// Objects change at any time, and not everybody may see them.
  var cacheControl: String?
  var body: Body

  init(
    code: Int = 200, contentType: String = "application/json", headers: [(String, String)] = [],
    cacheControl: String? = "no-cache, private", body: Body
  ) {
    self.code = code
    self.contentType = contentType
    self.headers = headers
    self.cacheControl = cacheControl
    self.body = body
  }

  init(
    json: JSON, code: Int = 200, contentType: String = "application/json",
    cacheControl: String? = "no-cache, private"
  ) {
    self.init(code: code, contentType: contentType, cacheControl: cacheControl, body: .bytes(json.serialized()))
  }

  init(text: String, code: Int = 200) {
    self.init(code: code, contentType: "text/plain; charset=utf-8", body: .bytes(Array(text.utf8)))
  }

  init(_ error: KubeError) {
    self.init(json: error.status, code: error.code)
    if let seconds = error.details?.retryAfterSeconds { headers.append(("Retry-After", String(seconds))) }
    if error.code == 401 { headers.append(("WWW-Authenticate", "Bearer realm=\"apus\"")) }
    if error.code == 426 {
      // RFC 6455, section 4.4; RFC 9110, section 15.5.22.
      headers += [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
    }
  }

  /// Adds `Warning` headers (RFC 7234, section 5.5; code 299 as Kubernetes uses it).
  mutating func add(warnings: [String]) {
    guard !warnings.isEmpty else { return }
    var seen: Set<String> = []
    let different = warnings.filter { seen.insert($0).inserted }
    // As Kubernetes: each is told whole as long as all of them together are short enough.
    let isLong = different.reduce(0) { $0 + $1.count } > Self.warningsLengthMax
    var left = Self.warningsLengthMax
    for warning in different {
      let shown = isLong ? warning.prefix(Self.warningLengthMax) : warning[...]
      left -= shown.count
      guard left >= 0 else { return }
      let text = shown.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        .filter { $0.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F } }
      headers.append(("Warning", "299 - \"\(text)\""))
    }
  }

  private static let warningsLengthMax = 4096
  private static let warningLengthMax = 256
}

/// What the HTTP layer hands to the router.
struct APIRequest: Sendable {
  var method: String
  var uri: String
  var accept: String?
  var contentType: String
  var body: [UInt8]
  /// All headers, for protocols that the connection changes to.
  var headers: HTTPHeaders
  var loop: any EventLoop
  var channel: any Channel
}
