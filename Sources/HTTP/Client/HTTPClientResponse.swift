import NIOCore
import NIOHTTP1

/// The head of an answer, and its body as a stream that is read by one task, as fast as that task likes. Letting go of
/// it closes the connection when the body has not been read to its end.
package final class HTTPClientResponse: Sendable {
  package let status: Int
  package let headers: HTTPHeaders
  /// What was asked.
  package let url: HTTPURL
  private let exchange: ClientExchange
  private let idleLimit: Duration
  private let rateMin: Int

  init(_ head: HTTPResponseHead, url: HTTPURL, exchange: ClientExchange, idleLimit: Duration, rateMin: Int) {
    status = Int(head.status.code)
    headers = head.headers
    self.url = url
    self.exchange = exchange
    self.idleLimit = idleLimit
    self.rateMin = rateMin
  }

  deinit { exchange.finish() }

  /// The fields behind the body (RFC 9110, section 6.5), once its end has been read; `nil` when there are none.
  package var trailers: HTTPHeaders? { exchange.trailers }

  /// The rest of the body has to come within this time, whoever reads it.
  ///
  /// - Returns: what ends the limit when it is called.
  package func limit(to deadline: Duration) -> @Sendable () -> Void {
    let timer = exchange.abort(after: deadline)
    return { timer.cancel() }
  }

  /// The next part of the body; `nil` at its end.
  package func next() async throws(HTTPClientError) -> ByteBuffer? {
    try await exchange.nextChunk(within: idleLimit, rateMin: rateMin)
  }

  /// The whole body, or `nil` when it is longer than `limit`.
  /// - Parameter deadline: for all of it, so that a server which sends a byte now and then does not keep us.
  package func collect(limit: Int, within deadline: Duration) async throws(HTTPClientError) -> [UInt8]? {
    let unlimit = self.limit(to: deadline)
    defer { unlimit() }
    var bytes: [UInt8] = []
    while let chunk = try await next() {
      guard bytes.count + chunk.readableBytes <= limit else { return nil }
      bytes += chunk.readableBytesView
    }
    return bytes
  }

  /// Reads a short rest, so that the connection can be used again; a long one costs more than a new connection.
  package func discard() async {
    var left = 64 << 10
    while left > 0, let chunk = try? await next() { left -= chunk.readableBytes }
    exchange.finish()
  }

  /// The connection, after an answer 101 to a request that may be upgraded. The caller owns it and closes it.
  func takeOver() async throws(HTTPClientError) -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
    try await exchange.takeOver()
  }

  package var contentLength: Int64? { headers.first(name: "content-length").flatMap { ContentRange.number($0) } }
}
