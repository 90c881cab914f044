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
  var http2: HTTPClientConfiguration.HTTP2

  init(_ request: HTTPClientRequest, _ configuration: HTTPClientConfiguration) {
    place = request.endpoint
    host = request.url.host
    port = request.url.port
    tls = request.url.scheme == .https ? request.tls : nil
    proxy = request.endpoint == .url ? configuration.proxy.proxy(for: request.url) : nil
    // Who has a connection alone has no use for streams, and other protocols come after HTTP/1.1 only.
    let isOld = request.isAlone || request.mayUpgrade || request.isTooLargeForHTTP2
    http2 = isOld || configuration.http2 == .offered && tls == nil ? .never : configuration.http2
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

  /// - Parameter isFresh: after a kept connection turned out to be closed: a new one, unless none can be had.
  ///
  /// A connection of HTTP/2 comes with the place for one request: see `releaseStream`.
  func acquire(
    _ key: ConnectionKey, isFresh: Bool, _ deadline: RequestDeadline
  ) async throws(HTTPClientError) -> (ClientConnection, isReused: Bool) {
    let shot = OneShot<Grant>()
    let (acquisition, waiter): (Pool.Acquisition, UInt64?) = state.withLock { state in
      let acquisition = state.pool.acquire(key, isFresh: isFresh, mayShare: key.http2 != .never) { $0.channel.isActive }
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
    let timer = group.any().scheduleTask(in: TimeAmount(bounded: limit)) { [weak self] in
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
      // A shared one that is gone refuses, and the request is sent again.
      if connection.http2 != nil || connection.channel.isActive { return (connection, isReused: true) }
      state.withLock { $0.pool.reopens(key) }
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

  /// Gives back one request's place on a connection of HTTP/2.
  /// - Parameter isDoubtful: nobody else is to use the connection.
  func releaseStream(_ key: ConnectionKey, _ connection: ClientConnection, isDoubtful: Bool) {
    if isDoubtful { change(key, connection) { $0.retired(key, connection) } }
    change(key, connection) { $0.releaseStream(key, connection) }
  }

  private func released(_ key: ConnectionKey, _ connection: ClientConnection?) {
    change(key, connection) { $0.release(key, connection) }
  }

  /// Does what comes of an event.
  private func change(
    _ key: ConnectionKey, _ connection: ClientConnection?, _ event: @Sendable (inout Pool) -> Pool.Outcome
  ) {
    let (outcome, shots) = state.withLock { state in
      let outcome = event(&state.pool)
      return (outcome, outcome.grants.map { state.waiters.removeValue(forKey: $0.waiter) })
    }
    for connection in outcome.close { connection.channel.close(promise: nil) }
    for (granted, shot) in zip(outcome.grants, shots) {
      switch granted.grant {
      case .use(let connection): shot?.resolve(.use(connection))
      case .open: shot?.resolve(.open)
      }
    }
    guard let serial = outcome.idle, let loop = connection?.channel.eventLoop else { return }
    loop.scheduleTask(in: TimeAmount(bounded: deadlines.keepAlive)) { [weak self] in
      let expired = self?.state.withLock { $0.pool.expire(key, serial: serial) }
      expired?.channel.close(promise: nil)
    }
  }

  /// What the peer has done to a connection of HTTP/2 as a whole.
  private func happened(_ event: HTTP2ClientState.Event, _ key: ConnectionKey, _ connection: ClientConnection) {
    switch event {
    case .limited(let streamsMax): change(key, connection) { $0.limited(key, connection, streamsMax: streamsMax) }
    case .retired: change(key, connection) { $0.retired(key, connection) }
    }
  }

  /// Reads and checks the certificates of these settings on the caller's thread.
  func prepare(_ tls: ClientTLS) throws(HTTPClientError) {
    try contexts.prepare(tls, http2: configuration.http2)
  }

  // MARK: Opening

  /// Opens a connection that is counted already, and takes it off the count when that fails.
  private func openCounted(
    _ key: ConnectionKey, _ deadline: RequestDeadline
  ) async throws(HTTPClientError) -> ClientConnection {
    let connection: ClientConnection
    do throws(HTTPClientError) {
      connection = try await openAlone(key, deadline)
    } catch {
      change(key, nil) { $0.openFailed(key) }
      throw error
    }
    change(key, connection) { $0.opened(key, connection, streamsMax: connection.http2?.streamsMax) }
    // What has happened before it was known to the pool.
    if let http2 = connection.http2, http2.isRetired || state.withLock({ $0.generation }) != connection.generation {
      happened(.retired, key, connection)
    }
    return connection
  }

  /// Opens a connection that is not counted.
  func openAlone(
    _ key: ConnectionKey, _ deadline: RequestDeadline
  ) async throws(HTTPClientError) -> ClientConnection {
    let generation = state.withLock { $0.generation }
    var context: NIOSSLContext?
    if let tls = key.tls { context = try await contexts.context(tls, http2: key.http2) }
    let shot = OneShot<Result<ClientConnection, HTTPClientError>>()
    let limit = deadline.limit(deadlines.connect)
    let isTunnel = key.proxy != nil && key.tls != nil
    let failure = ConnectionFailure()
    let notify: @Sendable (HTTP2ClientState.Event, ClientConnection) -> Void = { [weak self] event, connection in
      self?.happened(event, key, connection)
    }
    let bootstrap = ClientBootstrap(group: group)
      .connectTimeout(TimeAmount(bounded: limit))
      .channelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 4 << 10, initial: 16 << 10, maximum: 256 << 10)
      )
      // A server of HTTP/2 may speak first: nothing is read before there is somebody to hear it.
      .channelOption(.autoRead, value: context != nil || key.http2 == .never)
      .channelInitializer { [context, limits = configuration.limits] channel in
        channel.eventLoop.makeCompletedFuture {
          if context == nil, key.http2 == .never { try Self.configure(channel, failure, limits) }
        }
      }
    connect(bootstrap, key)
      .flatMap { [configuration] channel in
        guard isTunnel else { return channel.eventLoop.makeSucceededFuture(channel) }
        // What is left is asked for when a phase begins: each would have the whole time otherwise.
        return Self.tunnel(channel, key, limit: deadline.limit(limit), configuration)
      }
      .flatMap { [context, configuration] channel -> EventLoopFuture<ClientConnection> in
        let connection = ClientConnection(channel: channel, failure: failure, generation: generation)
        @Sendable func share() -> EventLoopFuture<ClientConnection> {
          Self.share(connection, key, limit: deadline.limit(configuration.deadlines.settings), configuration) {
            notify($0, connection)
          }
        }
        guard let context else {
          return key.http2 == .never ? channel.eventLoop.makeSucceededFuture(connection) : share()
        }
        let handshakeLimit = deadline.limit(configuration.deadlines.tls)
        return Self.handshake(channel, key, context, limit: handshakeLimit).flatMap { agreed in
          if agreed == "h2" { return share() }
          return channel.eventLoop.makeCompletedFuture {
            guard key.http2 != .required else {
              channel.close(promise: nil)
              throw HTTPClientError(.tls, "the server does not speak HTTP/2")
            }
            try Self.configure(channel, failure, configuration.limits)
            return connection
          }
        }
      }
      .whenComplete { result in
        let outcome: Result<ClientConnection, HTTPClientError> = result.mapError { error in
          if case .connectTimeout? = error as? ChannelError { return .timeout(.connect, limit) }
          if let error = error as? IOError {
            return HTTPClientError(.connect, String(cString: strerror(error.errnoCode)), cause: error)
          }
          return HTTPClientError(error, isAnswered: false)
        }
        // Nobody waits any more.
        if !shot.resolve(outcome), case .success(let connection) = outcome { connection.channel.close(promise: nil) }
      }
    let outcome = await withTaskCancellationHandler {
      await shot.value
    } onCancel: {
      shot.resolve(.failure(.cancelled))
    }
    return try outcome.get()
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

  /// Makes a connection one of HTTP/2. On its event loop.
  private static func share(
    _ connection: ClientConnection, _ key: ConnectionKey, limit: Duration, _ configuration: HTTPClientConfiguration,
    notify: @escaping @Sendable (HTTP2ClientState.Event) -> Void
  ) -> EventLoopFuture<ClientConnection> {
    let channel = connection.channel
    var isLocal = false
    if case .unixSocket = key.place { isLocal = true }
    let end = channel.eventLoop.makePromise(of: ClientConnection.self)
    HTTP2ClientConnection.start(
      on: channel, connection.failure, configuration, isTLS: key.tls != nil, asksSilentPeers: !isLocal, notify: notify
    ).map { http2 in
      var shared = connection
      shared.http2 = http2
      return shared
    }.cascade(to: end)
    channel.setOption(.autoRead, value: true).cascadeFailure(to: end)
    let deadline = channel.eventLoop.scheduleTask(in: TimeAmount(bounded: limit)) {
      end.fail(HTTPClientError.timeout(.settings, limit))
    }
    return end.futureResult
      .always { _ in deadline.cancel() }
      .flatMapErrorThrowing { error in
        channel.close(promise: nil)
        throw error
      }
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

  /// - Returns: the protocol that both sides have agreed on, if they have.
  private static func handshake(
    _ channel: any Channel, _ key: ConnectionKey, _ context: NIOSSLContext, limit: Duration
  ) -> EventLoopFuture<String?> {
    let end = channel.eventLoop.makePromise(of: String?.self)
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
  private static func pass<Value: Sendable>(
    _ channel: any Channel, _ handler: any RemovableChannelHandler, _ done: EventLoopPromise<Value>,
    within limit: Duration, or failure: HTTPClientError
  ) -> EventLoopFuture<Value> {
    let loop = channel.eventLoop
    do {
      try channel.pipeline.syncOperations.addHandler(handler)
    } catch {
      done.fail(error)
    }
    let bound = NIOLoopBound(handler, eventLoop: loop)
    let deadline = loop.scheduleTask(in: TimeAmount(bounded: limit)) { done.fail(failure) }
    return done.futureResult
      .always { _ in deadline.cancel() }
      .flatMap { value in channel.pipeline.syncOperations.removeHandler(bound.value).map { value } }
      .flatMapErrorThrowing { error in
        channel.close(promise: nil)
        throw error
      }
  }
}

/// Waits for the end of the TLS handshake.
private final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer

  private let end: EventLoopPromise<String?>

  init(_ end: EventLoopPromise<String?>) { self.end = end }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    context.fireUserInboundEventTriggered(event)
    if case .handshakeCompleted(let agreed)? = event as? TLSUserEvent { end.succeed(agreed) }
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
