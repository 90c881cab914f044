import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// What a connection leads to. Requests for the same share connections.
struct ConnectionKey: Sendable, Hashable {
  var place: HTTPEndpoint
  /// The URL's, which the certificate is checked for.
  var host: String
  var port: Int
  /// `nil` for plain connections.
  var tls: ClientTLS?
  var proxy: ProxyAddress?

  init(_ request: HTTPClientRequest, _ proxies: ProxyConfiguration) {
    place = request.endpoint
    host = request.url.host
    port = request.url.port
    tls = request.url.scheme == .https ? request.tls : nil
    proxy = request.endpoint == .url ? proxies.proxy(for: request.url) : nil
  }

  /// The server's name in the handshake. An address is none (RFC 6066, section 3); the certificate is then checked for
  /// the address that is connected to.
  var serverName: String? {
    let name = tls?.serverName ?? host
    return (try? SocketAddress(ipAddress: name, port: 0)) == nil ? name : nil
  }
}

/// Opens connections, keeps the idle ones, and lets requests wait for their turn.
final class ConnectionPool: Sendable {
  private enum Grant: Sendable {
    case use(ClientConnection)
    case open
    case fail(HTTPClientError)
  }

  private typealias Pool = PoolState<ConnectionKey, ClientConnection>

  private struct State {
    var pool: Pool
    var waiters: [UInt64: OneShot<Grant>] = [:]
    /// How often the settings have changed.
    var generation = 0
  }

  private let state: Mutex<State>
  private let configuration: HTTPClientConfiguration
  private var deadlines: HTTPClientConfiguration.Deadlines { configuration.deadlines }
  private let group: any EventLoopGroup
  let contexts = TLSContexts()

  init(configuration: HTTPClientConfiguration, group: any EventLoopGroup) {
    let limits = configuration.limits
    state = Mutex(
      State(
        pool: PoolState(
          connectionsMax: max(1, limits.connectionsPerHost), queueMax: limits.queuePerHost,
          idleMax: limits.idleConnections)))
    self.configuration = configuration
    self.group = group
  }

  deinit { close() }

  func close() {
    for idle in state.withLock({ $0.pool.close() }) { idle.channel.close(promise: nil) }
  }

  /// Closes what is idle, and later what is in use now, because the settings have changed.
  func reset() {
    contexts.reset()
    let idle = state.withLock { state in
      state.generation += 1
      return state.pool.takeIdle()
    }
    for connection in idle { connection.channel.close(promise: nil) }
  }

  var connectionCount: Int { state.withLock { $0.pool.connectionCount } }

  /// - Parameter isFresh: after a kept connection turned out to be closed: only a new one will do.
  func acquire(
    _ key: ConnectionKey, isFresh: Bool, _ deadline: RequestDeadline
  ) async throws(HTTPClientError) -> (ClientConnection, isReused: Bool) {
    let shot = OneShot<Grant>()
    let (acquisition, waiter): (Pool.Acquisition, UInt64?) = state.withLock { state in
      let acquisition = state.pool.acquire(key, isFresh: isFresh) { $0.channel.isActive }
      guard case .wait(let waiter) = acquisition else { return (acquisition, nil) }
      state.waiters[waiter] = shot
      return (acquisition, waiter)
    }
    let overloaded = HTTPClientError(.overloaded, "too many requests wait for it already")
    switch acquisition {
    case .use(let connection): return (connection, isReused: true)
    case .overloaded: throw overloaded
    case .open(let evicted):
      evicted?.channel.close(promise: nil)
      return (try await openCounted(key, deadline), isReused: false)
    case .wait: break
    }
    guard let waiter else { throw overloaded }
    let limit = deadline.limit(deadlines.queue)
    let timer = group.any().scheduleTask(in: TimeAmount(limit)) { [weak self] in
      self?.fail(key, waiter, .timeout(.queue, limit))
    }
    let grant = await withTaskCancellationHandler {
      await shot.value
    } onCancel: {
      fail(key, waiter, .cancelled)
    }
    timer.cancel()
    switch grant {
    case .use(let connection):
      if connection.channel.isActive { return (connection, isReused: true) }
      return (try await openCounted(key, deadline), isReused: false)
    case .open: return (try await openCounted(key, deadline), isReused: false)
    case .fail(let failure): throw failure
    }
  }

  private func fail(_ key: ConnectionKey, _ waiter: UInt64, _ failure: HTTPClientError) {
    let shot: OneShot<Grant>? = state.withLock { state in
      guard state.pool.cancel(key, waiter) else { return nil }
      return state.waiters.removeValue(forKey: waiter)
    }
    shot?.resolve(.fail(failure))
  }

  /// Gives a connection back. One that cannot be used again is closed.
  func release(_ key: ConnectionKey, _ connection: ClientConnection, isReusable: Bool) {
    let isCurrent = state.withLock { $0.generation == connection.generation }
    let isKept = isReusable && isCurrent && connection.channel.isActive
    if !isKept { connection.channel.close(promise: nil) }
    released(key, isKept ? connection : nil)
  }

  private func released(_ key: ConnectionKey, _ connection: ClientConnection?) {
    let (release, shot): (Pool.Release, OneShot<Grant>?) = state.withLock { state in
      let release = state.pool.release(key, connection)
      switch release {
      case .hand(_, let waiter), .open(let waiter): return (release, state.waiters.removeValue(forKey: waiter))
      default: return (release, nil)
      }
    }
    switch release {
    case .nothing: break
    case .close(let connection): connection.channel.close(promise: nil)
    case .hand(let connection, _): shot?.resolve(.use(connection))
    case .open: shot?.resolve(.open)
    case .idle(let serial, let evicted):
      evicted?.channel.close(promise: nil)
      connection?.channel.eventLoop.scheduleTask(in: TimeAmount(deadlines.keepAlive)) { [weak self] in
        let expired = self?.state.withLock { $0.pool.expire(key, serial: serial) }
        expired?.channel.close(promise: nil)
      }
    }
  }

  // MARK: Opening

  /// Opens a connection that is counted already, and takes it off the count when that fails.
  private func openCounted(
    _ key: ConnectionKey, _ deadline: RequestDeadline
  ) async throws(HTTPClientError) -> ClientConnection {
    do throws(HTTPClientError) {
      return try await openAlone(key, deadline)
    } catch {
      released(key, nil)
      throw error
    }
  }

  /// Opens a connection that is not counted.
  func openAlone(
    _ key: ConnectionKey, _ deadline: RequestDeadline
  ) async throws(HTTPClientError) -> ClientConnection {
    let generation = state.withLock { $0.generation }
    var context: NIOSSLContext?
    if let tls = key.tls { context = try await contexts.context(tls) }
    let shot = OneShot<Result<any Channel, HTTPClientError>>()
    let limit = deadline.limit(deadlines.connect)
    let handshakeLimit = deadline.limit(deadlines.tls)
    let isTunnel = key.proxy != nil && key.tls != nil
    let failure = ConnectionFailure()
    let bootstrap = ClientBootstrap(group: group)
      .connectTimeout(TimeAmount(limit))
      .channelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 4 << 10, initial: 16 << 10, maximum: 256 << 10)
      )
      .channelInitializer { [context, limits = configuration.limits] channel in
        channel.eventLoop.makeCompletedFuture {
          if context == nil { try Self.configure(channel, failure, limits) }
        }
      }
    connect(bootstrap, key)
      .flatMap { [configuration] channel in
        guard isTunnel else { return channel.eventLoop.makeSucceededFuture(channel) }
        return Self.tunnel(channel, key, limit: limit, configuration)
      }
      .flatMap { [context, configuration] channel in
        guard let context else { return channel.eventLoop.makeSucceededFuture(channel) }
        return Self.handshake(channel, key, context, limit: handshakeLimit).flatMapThrowing {
          try Self.configure(channel, failure, configuration.limits)
          return channel
        }
      }
      .whenComplete { result in
        let outcome: Result<any Channel, HTTPClientError> = result.mapError { error in
          if case .connectTimeout? = error as? ChannelError { return .timeout(.connect, limit) }
          if let error = error as? IOError {
            return HTTPClientError(.connect, String(cString: strerror(error.errnoCode)), cause: error)
          }
          return HTTPClientError(error, isAnswered: false)
        }
        // Nobody waits any more.
        if !shot.resolve(outcome), case .success(let channel) = outcome { channel.close(promise: nil) }
      }
    let outcome = await withTaskCancellationHandler {
      await shot.value
    } onCancel: {
      shot.resolve(.failure(.cancelled))
    }
    return ClientConnection(channel: try outcome.get(), failure: failure, generation: generation)
  }

  private func connect(_ bootstrap: ClientBootstrap, _ key: ConnectionKey) -> EventLoopFuture<any Channel> {
    let (host, port): (String, Int)
    switch key.place {
    case .unixSocket(let path): return bootstrap.connect(unixDomainSocketPath: path)
    case .address(let otherHost, let otherPort): (host, port) = (otherHost, otherPort)
    case .url: (host, port) = key.proxy.map { ($0.host, $0.port) } ?? (key.host, key.port)
    }
    return
      bootstrap
      .channelOption(.socketOption(.so_keepalive), value: 1)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .connect(host: host, port: port)
  }

  /// Runs on the channel's event loop.
  private static func configure(
    _ channel: any Channel, _ failure: ConnectionFailure, _ limits: HTTPClientConfiguration.Limits
  ) throws {
    var headLimits = NIOHTTPDecoderLimitConfiguration()
    headLimits.maxHeaderFieldSize = limits.headerField
    headLimits.maxHeaderListSize = limits.headerList
    headLimits.maxHeaderFieldCount = limits.headerFields
    try channel.pipeline.syncOperations.addHandlers([
      HTTPRequestEncoder(),
      ByteToMessageHandler(
        HTTPResponseDecoder(
          leftOverBytesStrategy: .forwardBytes, informationalResponseStrategy: .forward,
          limitConfiguration: headLimits)),
      NIOHTTPRequestHeadersValidator(),
      ClientExchangeHandler(failure: failure, informationalMax: limits.informationalAnswers),
    ])
  }

  /// Makes a tunnel through the proxy that the channel leads to.
  private static func tunnel(
    _ channel: any Channel, _ key: ConnectionKey, limit: Duration, _ configuration: HTTPClientConfiguration
  ) -> EventLoopFuture<any Channel> {
    let target = key.host.contains(":") ? "[\(key.host)]:\(key.port)" : "\(key.host):\(key.port)"
    let consent = channel.eventLoop.makePromise(of: Void.self)
    let handler = ProxyTunnelHandler(
      target: target, authorization: key.proxy?.authorization, userAgent: configuration.userAgent, result: consent)
    return pass(channel, handler, consent, within: limit, or: .timeout(.proxy, limit)).map { channel }
  }

  private static func handshake(
    _ channel: any Channel, _ key: ConnectionKey, _ context: NIOSSLContext, limit: Duration
  ) -> EventLoopFuture<Void> {
    let end = channel.eventLoop.makePromise(of: Void.self)
    do {
      try channel.pipeline.syncOperations.addHandler(
        NIOSSLClientHandler(context: context, serverHostname: key.serverName))
    } catch {
      end.fail(error)
    }
    return pass(channel, HandshakeHandler(end), end, within: limit, or: .timeout(.tls, limit))
  }

  /// Adds a handler that has something to do before the connection can be used, and takes it out when that is done. A
  /// connection with which it fails is closed.
  private static func pass(
    _ channel: any Channel, _ handler: any RemovableChannelHandler, _ done: EventLoopPromise<Void>,
    within limit: Duration, or failure: HTTPClientError
  ) -> EventLoopFuture<Void> {
    let loop = channel.eventLoop
    do {
      try channel.pipeline.syncOperations.addHandler(handler)
    } catch {
      done.fail(error)
    }
    let bound = NIOLoopBound(handler, eventLoop: loop)
    let deadline = loop.scheduleTask(in: TimeAmount(limit)) { done.fail(failure) }
    return done.futureResult
      .always { _ in deadline.cancel() }
      .flatMap { channel.pipeline.syncOperations.removeHandler(bound.value) }
      .flatMapErrorThrowing { error in
        channel.close(promise: nil)
        throw error
      }
  }
}

/// Waits for the end of the TLS handshake.
private final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer

  private let end: EventLoopPromise<Void>

  init(_ end: EventLoopPromise<Void>) { self.end = end }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    context.fireUserInboundEventTriggered(event)
    if case .handshakeCompleted? = event as? TLSUserEvent { end.succeed() }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end.fail(HTTPClientError(error, isAnswered: false))
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    end.fail(HTTPClientError.closed(isAnswered: false))
    context.fireChannelInactive()
  }
}
