import NIOCore
import NIOHTTP1

/// A connection that has changed to another protocol. Whoever has it closes it.
package struct HTTPUpgrade: Sendable {
  /// Of the answer 101.
  package let headers: HTTPHeaders
  /// Reads are as slow as its reader; what came behind the answer is the first that is read.
  package let connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>
}

extension HTTPClient {
  /// Of a refusal's body that is told.
  private static let refusalMax = 512
  /// In which it has to come.
  private static let refusalTime = Duration.seconds(5)

  /// Asks for another protocol on a connection of HTTP/1.1 of its own (RFC 9110, section 7.8).
  ///
  /// - Throws: `upgradeRefused`, with the beginning of the answer's body, when the server answers anything but 101.
  package func upgrade(
    _ request: HTTPClientRequest, to name: String
  ) async throws(HTTPClientError) -> HTTPUpgrade {
    var request = request
    request.mayUpgrade = true
    request.headers.replaceOrAdd(name: "Connection", value: "Upgrade")
    request.headers.replaceOrAdd(name: "Upgrade", value: name)
    let answer = try await execute(request)
    guard answer.status == 101 else { throw await Self.refusal(answer) }
    guard answer.headers[canonicalForm: "upgrade"].contains(where: { $0.lowercased() == name.lowercased() }) else {
      throw HTTPClientError(.malformed, "it changes to another protocol than the one that it was asked for")
    }
    return HTTPUpgrade(headers: answer.headers, connection: try await answer.takeOver())
  }

  private static func refusal(_ answer: HTTPClientResponse) async -> HTTPClientError {
    let unlimit = answer.limit(to: refusalTime)
    defer { unlimit() }
    var bytes: [UInt8] = []
    while bytes.count < refusalMax, let chunk = try? await answer.next() { bytes += chunk.readableBytesView }
    // It is a line of somebody's message.
    let text = String(decoding: bytes.prefix(refusalMax).map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }, as: UTF8.self)
    let words = text.split(separator: " ").joined(separator: " ")
    return HTTPClientError(
      .upgradeRefused(status: answer.status), "it answers \(answer.status)" + (words.isEmpty ? "" : ": \(words)"))
  }
}
