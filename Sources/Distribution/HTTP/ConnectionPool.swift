import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// What a connection leads to. Connections are shared by requests for the same.
struct ConnectionKey: Sendable, Hashable {
  var scheme: HTTPURL.Scheme
  var host: String
  var port: Int
  var tls: RegistryHosts.TLS
  var proxy: ProxyAddress?
}

/// Opens connections, keeps the idle ones, and lets requests wait for their turn.
final class ConnectionPool: Sendable {
  struct Connection: Sendable {
    var open: OpenConnection
    var isReused: Bool
  }

  private enum Grant: Sendable {
    case use(OpenConnection)
    case open
    case fail(HTTPFailure)
  }

  private typealias Pool = PoolState<ConnectionKey, OpenConnection>

  private struct State {
    var pool: Pool
    var waiters: [UInt64: OneShot<Grant>] = [:]
  }

  private let state: Mutex<State>
  private let deadlines: RegistryClientConfiguration.Deadlines
  private let userAgent: String
  private let group: any EventLoopGroup
  let contexts = TLSContexts()

  init(configuration: RegistryClientConfiguration, group: any EventLoopGroup) {
    state = Mutex(
      State(
        pool: PoolState(
          connectionsMax: max(1, configuration.limits.connectionsPerHost), queueMax: configuration.limits.queuePerHost,
          idleMax: configuration.limits.idleConnections)))
    deadlines = configuration.deadlines
    userAgent = configuration.userAgent
    self.group = group
  }

  deinit { close() }

  func close() {
    for idle in state.withLock({ $0.pool.close() }) { idle.channel.close(promise: nil) }
  }

  /// Closes what is idle, because the settings have changed.
  func reset() {
    contexts.reset()
    for idle in state.withLock({ $0.pool.takeIdle() }) { idle.channel.close(promise: nil) }
  }

  var connectionCount: Int { state.withLock { $0.pool.connectionCount } }

  /// - Parameter isFresh: after a kept connection turned out to be closed: only a new one will do.
  func acquire(_ key: ConnectionKey, isFresh: Bool) async throws(HTTPFailure) -> Connection {
    let shot = OneShot<Grant>()
    let (acquisition, waiter): (Pool.Acquisition, UInt64?) = state.withLock { state in
      let acquisition = state.pool.acquire(key, isFresh: isFresh) { $0.channel.isActive }
      guard case .wait(let waiter) = acquisition else { return (acquisition, nil) }
      state.waiters[waiter] = shot
      return (acquisition, waiter)
    }
    switch acquisition {
    case .use(let connection): return Connection(open: connection, isReused: true)
    case .overloaded: throw .overloaded
    case .open(let evicted):
      evicted?.channel.close(promise: nil)
      return Connection(open: try await openCounted(key), isReused: false)
    case .wait: break
    }
    guard let waiter else { throw .overloaded }
    let limit = deadlines.queue
    let deadline = group.any().scheduleTask(in: TimeAmount(limit)) { [weak self] in
      self?.fail(key, waiter, .timeout(.queue, limit))
    }
    let grant = await withTaskCancellationHandler {
      await shot.value
    } onCancel: {
      fail(key, waiter, .cancelled)
    }
    deadline.cancel()
    switch grant {
    case .use(let connection):
      if connection.channel.isActive { return Connection(open: connection, isReused: true) }
      return Connection(open: try await openCounted(key), isReused: false)
    case .open: return Connection(open: try await openCounted(key), isReused: false)
    case .fail(let failure): throw failure
    }
  }

  private func fail(_ key: ConnectionKey, _ waiter: UInt64, _ failure: HTTPFailure) {
    let shot: OneShot<Grant>? = state.withLock { state in
      guard state.pool.cancel(key, waiter) else { return nil }
      return state.waiters.removeValue(forKey: waiter)
    }
    shot?.resolve(.fail(failure))
  }

  /// Gives a connection back. One that cannot be used again is closed.
  func release(_ key: ConnectionKey, _ connection: OpenConnection, isReusable: Bool) {
    let isKept = isReusable && connection.channel.isActive
    if !isKept { connection.channel.close(promise: nil) }
    released(key, isKept ? connection : nil)
  }

  private func released(_ key: ConnectionKey, _ connection: OpenConnection?) {
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
  private func openCounted(_ key: ConnectionKey) async throws(HTTPFailure) -> OpenConnection {
    do throws(HTTPFailure) {
      return try await open(key)
    } catch {
      released(key, nil)
      throw error
    }
  }

  private func open(_ key: ConnectionKey) async throws(HTTPFailure) -> OpenConnection {
    let context: NIOSSLContext? = key.scheme == .https ? try await contexts.context(key.tls) : nil
    let shot = OneShot<Result<any Channel, HTTPFailure>>()
    let limit = deadlines.connect
    let host = key.proxy?.host ?? key.host
    let port = key.proxy?.port ?? key.port
    let isTunnel = key.proxy != nil && key.scheme == .https
    let failure = ConnectionFailure()
    ClientBootstrap(group: group)
      .connectTimeout(TimeAmount(limit))
      .channelOption(.socketOption(.so_keepalive), value: 1)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 4 << 10, initial: 16 << 10, maximum: 256 << 10)
      )
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if !isTunnel { try Self.configure(channel, key, context, failure) }
        }
      }
      .connect(host: host, port: port)
      .flatMap { [userAgent] channel in
        guard isTunnel else { return channel.eventLoop.makeSucceededFuture(channel) }
        return Self.tunnel(channel, key, context, failure, limit: limit, userAgent: userAgent)
      }
      .whenComplete { result in
        let outcome: Result<any Channel, HTTPFailure> = result.mapError { error in
          if case .connectTimeout? = error as? ChannelError { return .timeout(.connect, limit) }
          return HTTPFailure(error, isAnswered: false)
        }
        // Nobody waits any more.
        if !shot.resolve(outcome), case .success(let channel) = outcome { channel.close(promise: nil) }
      }
    let outcome = await withTaskCancellationHandler {
      await shot.value
    } onCancel: {
      shot.resolve(.failure(.cancelled))
    }
    return OpenConnection(channel: try outcome.get(), failure: failure)
  }

  /// Runs on the channel's event loop.
  private static func configure(
    _ channel: any Channel, _ key: ConnectionKey, _ context: NIOSSLContext?, _ failure: ConnectionFailure
  ) throws {
    let pipeline = channel.pipeline.syncOperations
    if let context {
      // An address is no server name (RFC 6066, section 3); the certificate is then checked for the address.
      let isAddress = (try? SocketAddress(ipAddress: key.host, port: 0)) != nil
      try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : key.host))
    }
    try pipeline.addHTTPClientHandlers()
    try pipeline.addHandler(ExchangeHandler(failure: failure))
  }

  private static func tunnel(
    _ channel: any Channel, _ key: ConnectionKey, _ context: NIOSSLContext?, _ failure: ConnectionFailure,
    limit: Duration, userAgent: String
  ) -> EventLoopFuture<any Channel> {
    let loop = channel.eventLoop
    let consent = loop.makePromise(of: Void.self)
    let target = key.host.contains(":") ? "[\(key.host)]:\(key.port)" : "\(key.host):\(key.port)"
    let handler = ProxyTunnelHandler(
      target: target, authorization: key.proxy?.authorization, userAgent: userAgent, result: consent)
    do {
      try channel.pipeline.syncOperations.addHandler(handler)
    } catch {
      consent.fail(error)
    }
    let bound = NIOLoopBound(handler, eventLoop: loop)
    let deadline = loop.scheduleTask(in: TimeAmount(limit)) { consent.fail(HTTPFailure.timeout(.proxy, limit)) }
    return consent.futureResult
      .always { _ in deadline.cancel() }
      .flatMap { channel.pipeline.syncOperations.removeHandler(bound.value) }
      .flatMapThrowing {
        try configure(channel, key, context, failure)
        return channel
      }
      .flatMapErrorThrowing { error in
        channel.close(promise: nil)
        throw error
      }
  }
}
