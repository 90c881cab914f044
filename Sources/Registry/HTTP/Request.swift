import HTTP
import NIOCore
import NIOHTTP1
import Wire

/// A request as the endpoints see it.
struct Request: Sendable {
  var method: HTTPMethod
  /// Percent-decoded, without the query.
  var path: String
  var query: Query
  var headers: HTTPHeaders
  var body: HTTPRequestBody
  /// The other end of the connection that it came on.
  var peer: HTTPPeer

  init(_ request: HTTPServerRequest, body: HTTPRequestBody) {
    method = request.head.method
    let uri = request.head.uri
    if let mark = uri.firstIndex(of: "?") {
      path = Query.percentDecoded(uri[..<mark])
      query = Query(uri[uri.index(after: mark)...])
    } else {
      path = Query.percentDecoded(uri[...])
      query = Query()
    }
    headers = request.head.headers
    self.body = body
    peer = request.peer
  }

  func header(_ name: String) -> String? { headers.first(name: name) }

  /// The declared length; `nil` for one that nobody knows yet.
  var contentLength: Int64? { header("content-length").flatMap { Int64($0) } }

  var hasBody: Bool { (contentLength ?? 0) > 0 || headers.contains(name: "transfer-encoding") }
}

typealias Reply = HTTPServerResponse

extension Reply {
  init(status: Int, headers: [(name: String, value: String)], body: Body = .none) {
    self.init(status: status, headers: HTTPHeaders(headers.map { ($0.name, $0.value) }), body: body)
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
}
