import HTTP
import KubeClient
import NIOCore
import NIOHTTP1
import Store
import Synchronization
import Wire

/// An answer on its way out.
struct Reply: Sendable {
  typealias Produce = HTTPServerResponse.Produce

  enum Body: Sendable {
    case bytes([UInt8])
    /// Prefix, the bytes of each entry with commas between, suffix: a list costs no memory of its own.
    case list(prefix: [UInt8], entries: [Entry], suffix: [UInt8])
    /// A list that is written while the client takes it.
    case protobufList(ProtobufListBody)
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

  /// As the server writes it.
  var response: HTTPServerResponse {
    var fields = HTTPHeaders()
    fields.reserveCapacity(headers.count + 4)
    if !contentType.isEmpty { fields.add(name: "Content-Type", value: contentType) }
    if let cacheControl { fields.add(name: "Cache-Control", value: cacheControl) }
    for (name, value) in headers { fields.add(name: name, value: value) }
    let body: HTTPServerResponse.Body =
      switch body {
      case .bytes(let bytes): .buffer(ByteBuffer(bytes: bytes))
      case .list(let prefix, let entries, let suffix): .pulled(ListBody(prefix, entries, suffix))
      case .protobufList(let body): .pulled(body)
      case .watch(let response): .pulled(response)
      case .stream(let produce): .stream(length: nil, produce)
      case .upgrade(let take): .upgrade(take)
      }
    var response = HTTPServerResponse(status: code, headers: HTTPHeaders(), body: body)
    // Here, where the fields are nobody else's yet: adding one later copies all of them.
    // A 304 has no body, and a length would be that of the answer that the client has (RFC 9110, section 8.6).
    if code != 304, let length = response.length { fields.add(name: "Content-Length", value: String(length)) }
    response.headers = fields
    return response
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

/// A list on its way out: entries with commas between, in pieces, while the client takes them.
final class ListBody: HTTPPulledBody {
  let length: Int?
  let isOverrun = false
  let waitingBytes = 0

  private let prefix: [UInt8]
  private let entries: [Entry]
  private let suffix: [UInt8]
  private let next = Mutex(0)

  init(_ prefix: [UInt8], _ entries: [Entry], _ suffix: [UInt8]) {
    self.prefix = prefix
    self.entries = entries
    self.suffix = suffix
    length = entries.reduce(prefix.count + suffix.count + max(0, entries.count - 1)) { $0 + $1.value.count }
  }

  func begin(on loop: any EventLoop, wake: @escaping @Sendable () -> Void) {}

  func next(bytes: Int, _ allocator: ByteBufferAllocator) -> HTTPBodyPiece {
    next.withLock { next in
      var end = next
      var size = next == 0 ? prefix.count : 0
      while end < entries.count, size < bytes {
        size += entries[end].value.count + 1
        end += 1
      }
      let isLast = end == entries.count
      var buffer = allocator.buffer(capacity: size + (isLast ? suffix.count : 0))
      if next == 0 { buffer.writeBytes(prefix) }
      for index in next..<end {
        if index > 0 { buffer.writeInteger(UInt8(ascii: ",")) }
        buffer.writeBytes(entries[index].value)
      }
      next = end
      if isLast { buffer.writeBytes(suffix) }
      return isLast ? .end(buffer) : .bytes(buffer)
    }
  }

  func cancel() {}
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
