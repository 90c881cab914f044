import NIOCore
import NIOHTTP1
import OCI
import Wire

/// A request whose head is complete.
struct Request: Sendable {
  var method: HTTPMethod
  /// Percent-decoded, without the query.
  var path: String
  var query: Query
  var headers: HTTPHeaders
  var body: RequestBody
  /// The client's address without its port.
  var remoteAddress: String
  var isTLS: Bool
  /// Of the connection that it came on.
  var place: HTTPServer.Place

  init(
    _ head: HTTPRequestHead, body: RequestBody, remoteAddress: String, isTLS: Bool, place: HTTPServer.Place
  ) {
    method = head.method
    let uri = head.uri
    if let mark = uri.firstIndex(of: "?") {
      path = Query.percentDecoded(uri[..<mark])
      query = Query(uri[uri.index(after: mark)...])
    } else {
      path = Query.percentDecoded(uri[...])
      query = Query()
    }
    headers = head.headers
    self.body = body
    self.remoteAddress = remoteAddress
    self.isTLS = isTLS
    self.place = place
  }

  func header(_ name: String) -> String? { headers.first(name: name) }

  /// The declared length; `nil` for a chunked body.
  var contentLength: Int64? { header("content-length").flatMap { Int64($0) } }

  var hasBody: Bool { (contentLength ?? 0) > 0 || headers.contains(name: "transfer-encoding") }
}

/// What is answered.
struct Reply: Sendable {
  enum Body: Sendable {
    case none
    case buffer(ByteBuffer)
    /// Part of a blob: by `sendfile` without TLS.
    case file(BlobFile, Range<Int64>)
    /// Bytes that are not all here yet. The producer waits for each write, and so for the client; when it throws, the
    /// connection is cut, so that the client knows that something is missing.
    case stream(length: Int64, @Sendable (_ write: @Sendable (ByteBuffer) async throws -> Void) async throws -> Void)
  }

  var status: Int
  var headers: [(name: String, value: String)]
  var body: Body

  init(status: Int, headers: [(name: String, value: String)] = [], body: Body = .none) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  init(status: Int = 200, json: JSON, headers: [(name: String, value: String)] = []) {
    self.init(
      status: status, headers: headers + [("Content-Type", "application/json")],
      body: .buffer(ByteBuffer(bytes: json.serialized())))
  }

  init(_ error: RegistryError) {
    self.init(
      status: error.status,
      headers: error.headers.map { ($0.name, $0.value) } + [("Content-Type", "application/json")],
      body: .buffer(ByteBuffer(bytes: error.body)))
  }

  /// Of the entity, also for an answer to HEAD.
  var length: Int64 {
    switch body {
    case .none: 0
    case .buffer(let buffer): Int64(buffer.readableBytes)
    case .file(_, let range): range.upperBound - range.lowerBound
    case .stream(let length, _): length
    }
  }
}
