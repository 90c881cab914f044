import NIOCore
import NIOHTTP1
import NIOPosix

/// HTTP/1.1 exchanges over pooled connections: TCP, TLS and unix sockets, direct or by a proxy. No redirects, no
/// credentials, no second attempts: those are decided by whoever asks (`Redirect` says what a redirect means).
///
/// Owns its connections: `close` closes the idle ones, and so does letting go of it.
package final class HTTPClient: Sendable {
  private let pool: ConnectionPool
  private let configuration: HTTPClientConfiguration

  private static let bodyPart = 256 << 10

  package init(
    _ configuration: HTTPClientConfiguration = HTTPClientConfiguration(),
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) {
    pool = ConnectionPool(configuration: configuration, group: group)
    self.configuration = configuration
  }

  /// Closes the idle connections. Requests in flight go on, and their connections are closed after them.
  package func close() { pool.close() }

  /// Files of certificates and keys are read again, and no connection is used for another request that was made with
  /// what they held before.
  package func reset() { pool.reset() }

  /// Reads and checks the certificates of these settings on the caller's thread, so that what is wrong with them is
  /// known before the first request.
  package func prepare(_ tls: ClientTLS) throws(HTTPClientError) { try pool.contexts.prepare(tls) }

  /// Those in use and the idle ones; not those that a request has alone.
  package var connectionCount: Int { pool.connectionCount }

  /// Sends a request and returns when the answer's head is there. A request body that is still being sent then is not
  /// sent further.
  ///
  /// Cancelling the task ends the request, and so does each deadline.
  package func execute(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
    let deadline = RequestDeadline(request.headDeadline)
    do throws(HTTPClientError) {
      return try await execute(request, ConnectionKey(request, configuration.proxy), deadline)
    } catch {
      throw deadline.explain(error)
    }
  }

  /// Sends a request and takes its whole answer, all of it within `total`.
  /// - Returns: the answer, whose body has been read, and the body; `nil` for one that is longer than `limit` bytes.
  package func collect(
    _ request: HTTPClientRequest, limit: Int, within total: Duration
  ) async throws(HTTPClientError) -> (response: HTTPClientResponse, body: [UInt8]?) {
    let end = NIODeadline.now() + TimeAmount(total)
    var request = request
    request.headDeadline = total
    let response = try await execute(request)
    do throws(HTTPClientError) {
      let left = max(.zero, Duration(end - NIODeadline.now()))
      return (response, try await response.collect(limit: limit, within: left))
    } catch {
      throw error.code == .cancelled || NIODeadline.now() < end ? error : .timeout(.body, total)
    }
  }

  private func execute(
    _ request: HTTPClientRequest, _ key: ConnectionKey, _ deadline: RequestDeadline
  ) async throws(HTTPClientError) -> HTTPClientResponse {
    if request.isAlone || request.mayUpgrade {
      let connection = try await pool.openAlone(key, deadline)
      return try await exchange(request, key, connection, deadline) { _ in
        connection.channel.close(promise: nil)
      }
    }
    var isFresh = false
    while true {
      if Task.isCancelled { throw .cancelled }
      let (connection, isReused) = try await pool.acquire(key, isFresh: isFresh, deadline)
      do throws(HTTPClientError) {
        return try await exchange(request, key, connection, deadline) { [pool] isReusable in
          pool.release(key, connection, isReusable: isReusable)
        }
      } catch {
        // The server closed a kept connection while the request was on its way: that is no failure of the server's.
        guard isReused, request.isRepeatable, error.code == .closed(isAnswered: false) else { throw error }
        isFresh = true
      }
    }
  }

  private func exchange(
    _ request: HTTPClientRequest, _ key: ConnectionKey, _ connection: ClientConnection,
    _ deadline: RequestDeadline, release: @escaping @Sendable (_ isReusable: Bool) -> Void
  ) async throws(HTTPClientError) -> HTTPClientResponse {
    let deadlines = configuration.deadlines
    let exchange = ClientExchange(
      connection, bufferMax: configuration.limits.streamBuffer, mayUpgrade: request.mayUpgrade, release: release)
    do throws(HTTPClientError) {
      let idle = deadline.limit(deadlines.idle)
      let head = request.head(userAgent: configuration.userAgent, proxy: key.proxy)
      switch request.body {
      case .none: exchange.send(head, whole: nil)
      case .bytes(let buffer) where buffer.readableBytes <= Self.bodyPart:
        exchange.send(head, whole: buffer.readableBytes > 0 ? buffer : nil)
      case .bytes(let buffer):
        try await exchange.send(head, within: idle)
        try await send(Int64(buffer.readableBytes), to: exchange, deadline) { offset, count in
          buffer.getSlice(at: buffer.readerIndex + Int(offset), length: count) ?? ByteBuffer()
        }
      case .source(let length, let read):
        try await exchange.send(head, within: idle)
        try await send(length, to: exchange, deadline, read)
      }
      return HTTPClientResponse(
        try await exchange.head(within: deadline.limit(deadlines.head)), url: request.url, exchange: exchange,
        idleLimit: deadlines.idle, rateMin: configuration.limits.rateMin)
    } catch {
      exchange.finish()
      throw error
    }
  }

  /// Sends a body by parts and ends the request; an answer that comes earlier ends the sending.
  private func send(
    _ length: Int64, to exchange: ClientExchange, _ deadline: RequestDeadline,
    _ read: (_ offset: Int64, _ count: Int) async throws -> ByteBuffer
  ) async throws(HTTPClientError) {
    var offset: Int64 = 0
    while offset < length {
      let chunk: ByteBuffer
      do {
        chunk = try await read(offset, Int(min(Int64(Self.bodyPart), length - offset)))
      } catch {
        throw HTTPClientError(.source, "what is to be sent cannot be read: \(error)", cause: error)
      }
      guard chunk.readableBytes > 0, Int64(chunk.readableBytes) <= length - offset else {
        throw HTTPClientError(.source, "what is to be sent is not of its stated size")
      }
      offset += Int64(chunk.readableBytes)
      let limit = deadline.limit(configuration.deadlines.idle)
      guard try await exchange.send(chunk, within: limit) || offset == length else { return }
    }
    exchange.sendEnd()
  }
}
