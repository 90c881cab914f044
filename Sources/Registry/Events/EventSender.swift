import HTTP
import NIOCore
import NIOHTTP1

/// Sends one HTTP POST over a connection of its own and tells the status. Events are few, and a connection that is not
/// kept cannot go stale.
struct EventSender: Sendable {
  private static let deadline = Duration.seconds(10)

  private let http: HTTPClient

  init(group: any EventLoopGroup) {
    var configuration = HTTPClientConfiguration()
    configuration.userAgent = "apus-registry"
    http = HTTPClient(configuration, group: group)
  }

  /// - Returns: the status code.
  func post(
    _ body: [UInt8], to target: HTTPURL, headers: [RegistryError.Header]
  ) async throws(HTTPClientError) -> Int {
    var fields: HTTPHeaders = [
      "Content-Type": "application/cloudevents+json; charset=utf-8", "Connection": "close",
    ]
    for header in headers { fields.replaceOrAdd(name: header.name, value: header.value) }
    var request = HTTPClientRequest(method: .POST, url: target, headers: fields, body: .bytes(ByteBuffer(bytes: body)))
    request.isAlone = true
    request.headDeadline = Self.deadline
    return try await http.execute(request).status
  }
}
