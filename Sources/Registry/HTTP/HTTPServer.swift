import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// The listening socket and its connections: HTTP/1.1, plain or with TLS.
final class HTTPServer: Sendable {
  /// Answers a request. Any thread; `respond` is called once.
  typealias Handler = @Sendable (Request) async -> Reply

  let isTLS: Bool
  /// For calls that block.
  let pool: NIOThreadPool

  private let group: any EventLoopGroup
  private let tls: NIOSSLContext?
  private let logger: Logger
  private let handler: Handler
  private let state: Mutex<State>

  private struct State {
    var limits: RegistryConfiguration.Limits
    var channels: [ObjectIdentifier: any Channel] = [:]
    var listener: (any Channel)?
    var running = 0
  }

  /// How long answers under way may take when the server stops.
  private static let drainTimeout = TimeAmount.seconds(10)

  init(
    group: any EventLoopGroup, pool: NIOThreadPool, tls: NIOSSLContext?, limits: RegistryConfiguration.Limits,
    logger: Logger, handler: @escaping Handler
  ) {
    self.group = group
    self.pool = pool
    self.tls = tls
    isTLS = tls != nil
    self.logger = logger
    self.handler = handler
    state = Mutex(State(limits: limits))
  }

  /// New limits count for new connections.
  func setLimits(_ limits: RegistryConfiguration.Limits) { state.withLock { $0.limits = limits } }

  /// - Returns: the port, which differs from `port` when that is 0.
  func start(host: String, port: Int) async throws -> Int {
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 512)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
      .childChannelOption(.maxMessagesPerRead, value: 4)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      // Layers come in large pieces: fewer, larger reads, hashes and writes.
      .childChannelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1 << 10, initial: 4 << 10, maximum: 256 << 10)
      )
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture { try self.initialize(channel) }
      }
    let channel = try await bootstrap.bind(host: host, port: port).get()
    state.withLock { $0.listener = channel }
    return channel.localAddress?.port ?? port
  }

  private func initialize(_ channel: any Channel) throws {
    let id = ObjectIdentifier(channel)
    let limits = state.withLock { state -> RegistryConfiguration.Limits? in
      guard state.channels.count < state.limits.connectionsMax else { return nil }
      state.channels[id] = channel
      return state.limits
    }
    guard let limits else {
      logger.warning("too many connections")
      throw TooManyConnections()
    }
    channel.closeFuture.whenComplete { [self] _ in state.withLock { $0.channels[id] = nil } }
    let pipeline = channel.pipeline.syncOperations
    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: true, withErrorHandling: true)
    try pipeline.addHandler(
      HTTPConnection(
        server: self,
        limits: HTTPConnection.Limits(idle: TimeAmount(limits.idle), stall: TimeAmount(limits.stall))))
  }

  /// Answers in a task of its own.
  func handle(_ request: Request, respond: @escaping @Sendable (Reply) -> Void) {
    let isFull = state.withLock { state in
      if state.running >= state.limits.requestsMax { return true }
      state.running += 1
      return false
    }
    if isFull {
      let error = RegistryError(
        .unavailable, "too many requests at one time; try again", headers: [RegistryError.Header("Retry-After", "1")])
      return respond(Reply(error))
    }
    Task {
      let reply = await handler(request)
      state.withLock { $0.running -= 1 }
      respond(reply)
    }
  }

  var connectionCount: Int { state.withLock { $0.channels.count } }

  /// Stops listening, lets running answers finish, then closes what is left.
  func shutdown() async {
    let listener = state.withLock { state in
      defer { state.listener = nil }
      return state.listener
    }
    try? await listener?.close().get()
    let open = state.withLock { Array($0.channels.values) }
    for channel in open { channel.pipeline.fireUserInboundEventTriggered(HTTPConnection.Drain()) }
    guard !open.isEmpty else { return }
    let loop = group.next()
    let closed = EventLoopFuture.andAllComplete(open.map(\.closeFuture), on: loop)
    let timeout = loop.scheduleTask(in: Self.drainTimeout) {
      for channel in open { channel.close(promise: nil) }
    }
    try? await closed.get()
    timeout.cancel()
  }
}

/// Closes a connection before it begins.
private struct TooManyConnections: Error {}
