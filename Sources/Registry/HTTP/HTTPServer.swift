import Glibc
import LinuxSystem
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
    var connections: ConnectionBudget
    var channels: [ConnectionBudget.ID: any Channel] = [:]
    /// Requests at one time, by address.
    var requests: SharedBudget
    /// Bytes of bodies in memory, by address.
    var bodies: SharedBudget
    var listener: (any Channel)?

    init(limits: RegistryConfiguration.Limits) {
      self.limits = limits
      connections = ConnectionBudget(limits: Self.connections(limits))
      requests = SharedBudget(limits: Self.requests(limits))
      bodies = SharedBudget(limits: Self.bodies(limits))
    }

    mutating func setLimits(_ limits: RegistryConfiguration.Limits) {
      self.limits = limits
      connections.limits = Self.connections(limits)
      requests.limits = Self.requests(limits)
      bodies.limits = Self.bodies(limits)
    }

    /// Half is for those who do not sign in: for many registries that is everybody.
    private static func connections(_ limits: RegistryConfiguration.Limits) -> ConnectionBudget.Limits {
      ConnectionBudget.Limits(
        total: limits.connectionsMax, strangers: limits.connectionsMax - limits.connectionsMax / 2)
    }

    private static func requests(_ limits: RegistryConfiguration.Limits) -> SharedBudget.Limits {
      let total = limits.requestsMax
      return SharedBudget.Limits(total: total, share: max(1, total - total / 4), kept: total / 8)
    }

    private static func bodies(_ limits: RegistryConfiguration.Limits) -> SharedBudget.Limits {
      let total = max(64 << 20, 2 * limits.manifestBytesMax)
      return SharedBudget.Limits(total: total, share: total / 2, kept: total / 4)
    }
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
  func setLimits(_ limits: RegistryConfiguration.Limits) { state.withLock { $0.setLimits(limits) } }

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
        channel.eventLoop.makeCompletedFuture { try self.addHandlers(to: channel) }
      }
    let channel = try await bootstrap.bind(host: host, port: port).get()
    state.withLock { $0.listener = channel }
    return channel.localAddress?.port ?? port
  }

  /// What stands between a connection's bytes and the handler.
  func addHandlers(to channel: any Channel) throws {
    let limits = state.withLock { $0.limits }
    let pipeline = channel.pipeline.syncOperations
    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
    var decoder = NIOHTTPDecoderLimitConfiguration()
    // A head that is not complete is memory of somebody who has not signed in.
    decoder.maxHeaderFieldSize = 32 << 10
    decoder.maxHeaderListSize = 64 << 10
    decoder.maxHeaderFieldCount = 128
    try pipeline.configureHTTPServerPipeline(
      withPipeliningAssistance: true, withErrorHandling: true,
      withEncoderConfiguration: HTTPResponseEncoder.Configuration(), withDecoderLimitConfiguration: decoder)
    try pipeline.addHandler(
      HTTPConnection(
        server: self,
        limits: HTTPConnection.Limits(
          head: TimeAmount(limits.head), idle: TimeAmount(limits.idle), stall: TimeAmount(limits.stall))))
  }

  // MARK: Places

  /// Gives a new connection a place, for which another may have to go.
  ///
  /// - Returns: `nil` when it has to be closed.
  func opened(_ channel: any Channel) -> Place? {
    let address = ConnectionBudget.holder(channel.remoteAddress?.ipAddress ?? "")
    let (id, closing) = state.withLock { state -> (ConnectionBudget.ID?, (any Channel)?) in
      guard case .admitted(let id, let closing) = state.connections.opened(from: address) else { return (nil, nil) }
      state.channels[id] = channel
      return (id, closing.flatMap { state.channels.removeValue(forKey: $0) })
    }
    if let closing { closing.eventLoop.execute { Self.abort(closing) } }
    guard let id else {
      logger.warning("too many connections", metadata: ["address": "\(address)"])
      return nil
    }
    channel.closeFuture.whenComplete { [self] _ in
      state.withLock { state in
        state.connections.closed(id)
        state.channels[id] = nil
      }
    }
    return Place(server: self, id: id, address: address)
  }

  /// Closes without the goodbye of TLS, which a client that does not read would hold up. On the channel's event loop.
  ///
  /// - Parameter discards: the kernel, too, gives up what waits for the client.
  static func abort(_ channel: any Channel, discards: Bool = false) {
    if discards { _ = (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)) }
    if let tls = try? channel.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self) {
      tls.close(promise: nil)
    } else {
      channel.close(promise: nil)
    }
  }

  /// One connection's place among all.
  final class Place: Sendable {
    private let server: HTTPServer
    private let id: ConnectionBudget.ID
    let address: String
    private let user = Mutex<String?>(nil)

    fileprivate init(server: HTTPServer, id: ConnectionBudget.ID, address: String) {
      self.server = server
      self.id = id
      self.address = address
    }

    var hasSignedIn: Bool { user.withLock { $0 != nil } }

    /// A request has shown who is at the other end.
    ///
    /// - Returns: whether the user may have one more connection.
    func signedIn(_ name: String) -> Bool {
      if user.withLock({ $0 == name }) { return true }
      let arrived = ConnectionBudget.User(name: name, isPrivileged: false)
      guard server.state.withLock({ $0.connections.signedIn(id, as: arrived) }) else { return false }
      user.withLock { $0 = name }
      return true
    }

    /// - Returns: whether a request of somebody who has not signed in may be answered.
    func requestBegan() -> Bool { hasSignedIn || server.state.withLock { $0.connections.requestBegan(id) } }

    func requestEnded() { if !hasSignedIn { server.state.withLock { $0.connections.requestEnded(id) } } }

    /// Room for bytes of a body. What is kept is for those who have signed in.
    func takeBody(_ bytes: Int) -> Bool {
      let isKnown = hasSignedIn
      return server.state.withLock { $0.bodies.take(bytes, for: address, isPrivileged: isKnown) }
    }

    func giveBackBody(_ bytes: Int) { server.state.withLock { $0.bodies.giveBack(bytes, of: address) } }
  }

  /// Whether a request's header may tell who asks before its body is read. A POST's may not: what signs in at the token's
  /// endpoint is a form, which may come slowly.
  static func mayIdentify(_ method: HTTPMethod, _ hasHeader: Bool) -> Bool { hasHeader && method != .POST }

  /// Answers in a task of its own.
  func handle(_ request: Request, respond: @escaping @Sendable (Reply) -> Void) {
    let address = request.place.address
    // Whoever says who they are gets a place on which to be asked. A wrong password gives it back at once; until it is
    // known, an address leaves what is kept for others.
    let hasSignedIn = request.place.hasSignedIn
    let mayIdentify =
      Self.mayIdentify(request.method, request.header("authorization") != nil)
      || Route.healthPaths.contains(request.path)
    let isTaken = state.withLock { state in
      let mayTakeKept =
        hasSignedIn
        || mayIdentify
          && state.requests.held(by: address) < state.requests.limits.total - state.requests.limits.kept
      return state.requests.take(1, for: address, isPrivileged: mayTakeKept)
    }
    guard isTaken else {
      return respond(
        Reply(
          RegistryError(
            .tooManyRequests, "too many requests at one time; try again",
            headers: [RegistryError.Header("Retry-After", "1")])))
    }
    Task {
      let reply = await handler(request)
      state.withLock { $0.requests.giveBack(1, of: address) }
      respond(reply)
    }
  }

  var connectionCount: Int { state.withLock { $0.connections.count } }

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
