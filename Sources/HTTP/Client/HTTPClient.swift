import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Requests over pooled connections of HTTP/1.1, or HTTP/2 where a server chooses it in the TLS handshake: TCP, TLS and
/// unix sockets, direct or by a proxy. No redirects, no credentials, and no second attempts at what may have been done:
/// those are decided by whoever asks (`Redirect` says what a redirect means).
///
/// Owns its connections: `close` closes the idle ones, and so does letting go of it.
package final class HTTPClient: Sendable {
  private let pool: ConnectionPool
  private let configuration: HTTPClientConfiguration
  private let http1Origins = Mutex(RecentOrigins())

  private static let bodyPart = 256 << 10
  /// For requests that were not begun with: a server that only refuses is not asked for ever.
  private static let attemptsMax = 4

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
  package func reset() {
    http1Origins.withLock { $0 = RecentOrigins() }
    pool.reset()
  }

  /// Reads and checks the certificates of these settings on the caller's thread, so that what is wrong with them is
  /// known before the first request.
  package func prepare(_ tls: ClientTLS) throws(HTTPClientError) { try pool.prepare(tls) }

  /// Those in use and the idle ones; not those that a request has alone.
  package var connectionCount: Int { pool.connectionCount }

  /// Sends a request and returns when the answer's head is there. A request body that is still being sent then is not
  /// sent further.
  ///
  /// Cancelling the task ends the request, and so does each deadline.
  package func execute(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
    let deadline = RequestDeadline(request.headDeadline)
    do throws(HTTPClientError) {
      return try await execute(request, ConnectionKey(request, configuration), deadline)
    } catch {
      throw deadline.explain(error)
    }
  }

  /// Sends a request and takes its whole answer, all of it within `total`.
  /// - Returns: the answer, whose body has been read, and the body; `nil` for one that is longer than `limit` bytes.
  package func collect(
    _ request: HTTPClientRequest, limit: Int, within total: Duration
  ) async throws(HTTPClientError) -> (response: HTTPClientResponse, body: [UInt8]?) {
    let end = NIODeadline.now() + TimeAmount(bounded: total)
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
    if case .unixSocket(let path) = request.endpoint, !UnixSocket.isPath(path) {
      throw HTTPClientError(
        .invalidRequest, "the path of a unix socket is absolute and has \(UnixSocket.pathBytesMax) bytes at most")
    }
    if configuration.http2 == .required {
      if request.isAlone || request.mayUpgrade {
        throw HTTPClientError(.invalidRequest, "a connection of its own is one of HTTP/1.1, and HTTP/2 is required")
      }
      if request.isTooLargeForHTTP2 {
        throw HTTPClientError(.invalidRequest, "the head of the request is too large for HTTP/2")
      }
      if key.tls == nil, key.proxy != nil {
        throw HTTPClientError(.invalidRequest, "HTTP/2 without TLS does not go through a proxy")
      }
    }
    if request.isAlone || request.mayUpgrade {
      let connection = try await pool.openAlone(key, deadline)
      return try await exchange(request, key, connection, connection.channel, deadline) { _ in
        connection.channel.close(promise: nil)
      }
    }
    var key = key
    if key.http2 == .offered, http1Origins.withLock({ $0.contains(key) }) { key.http2 = .never }
    var isFresh = false
    var attempts = 0
    while true {
      if Task.isCancelled { throw .cancelled }
      attempts += 1
      let (connection, isReused) = try await pool.acquire(key, isFresh: isFresh, deadline)
      do throws(HTTPClientError) {
        return try await exchange(request, key, connection, deadline)
      } catch {
        guard attempts < Self.attemptsMax else { throw error }
        switch error.code {
        case .refused: isFresh = false
        // By HTTP/1.1 nobody can say it again.
        case .http1Required(let mayBeDone) where key.http2 == .offered:
          let offered = key
          http1Origins.withLock { $0.add(offered) }
          guard !mayBeDone || request.isRepeatable else { throw error }
          key.http2 = .never
          isFresh = false
        // The server closed a kept connection while the request was on its way: that is no failure of the server's. To end
        // one stream of several is.
        case .closed(isAnswered: false)
        where isReused && request.isRepeatable && (connection.http2 == nil || !connection.channel.isActive):
          isFresh = true
        default: throw error
        }
      }
    }
  }

  private func exchange(
    _ request: HTTPClientRequest, _ key: ConnectionKey, _ connection: ClientConnection, _ deadline: RequestDeadline
  ) async throws(HTTPClientError) -> HTTPClientResponse {
    guard let http2 = connection.http2 else {
      return try await exchange(request, key, connection, connection.channel, deadline) { [pool] end in
        pool.release(key, connection, isReusable: end == .complete)
      }
    }
    let stream: any Channel
    do throws(HTTPClientError) {
      stream = try await http2.makeStream()
    } catch {
      pool.releaseStream(key, connection, isDoubtful: true)
      throw error
    }
    return try await exchange(request, key, connection, stream, deadline) { [pool] end in
      stream.close(promise: nil)
      // A peer that has missed a deadline may be gone: nobody else is to wait for it.
      pool.releaseStream(key, connection, isDoubtful: end == .timedOut)
    }
  }

  private func exchange(
    _ request: HTTPClientRequest, _ key: ConnectionKey, _ connection: ClientConnection, _ channel: any Channel,
    _ deadline: RequestDeadline, release: @escaping @Sendable (ClientExchange.End) -> Void
  ) async throws(HTTPClientError) -> HTTPClientResponse {
    let deadlines = configuration.deadlines
    let exchange = ClientExchange(
      channel, connection.failure, bufferMax: configuration.limits.streamBuffer, mayUpgrade: request.mayUpgrade,
      release: release)
    do throws(HTTPClientError) {
      let idle = deadline.limit(deadlines.idle)
      var head = request.head(userAgent: configuration.userAgent, proxy: key.proxy)
      if connection.http2 != nil { head.headers = try HTTP2Fields.fields(head.headers) }
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

/// The servers that have asked for HTTP/1.1, the last ones.
struct RecentOrigins: Sendable {
  static let countMax = 256

  private var known: Set<ConnectionKey> = []
  /// In their order.
  private var order: [ConnectionKey] = []

  func contains(_ key: ConnectionKey) -> Bool { known.contains(key) }

  mutating func add(_ key: ConnectionKey) {
    guard known.insert(key).inserted else { return }
    order.append(key)
    if order.count > Self.countMax { known.remove(order.removeFirst()) }
  }
}
