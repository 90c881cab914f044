import Glibc
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Listening sockets and their connections: HTTP/1.1 and HTTP/2, plain or with TLS and optional client certificates.
///
/// Who may connect, how much of the server one address or user may hold, and how long anything may last is bounded from the
/// moment of the connection on.
package final class HTTPServer: Sendable {
  /// For the TLS configuration (RFC 7301), best first.
  package static let applicationProtocols = ["h2", "http/1.1"]

  let handler: any HTTPRequestHandler
  let isTLS: Bool

  private let group: any EventLoopGroup
  private let tls: NIOSSLContext?
  private let drainTimeout: TimeAmount
  private let state: Mutex<State>
  private let bodies: Mutex<SharedBudget>
  private let heap = HeapTrim()

  private struct State {
    var limits: HTTPServerLimits
    var budget: ConnectionBudget
    var channels: [ConnectionBudget.ID: any Channel] = [:]
    var listeners: [any Channel] = []
    /// Files of unix sockets, which are removed at the end.
    var sockets: [(path: String, file: UnixSocket.Identity)] = []
    /// A flood is said once, and once more when it is over.
    var isFull = false
  }

  /// Sent through the pipeline of each connection when the server stops.
  struct Drain: Sendable {}

  /// - Parameters:
  ///   - tls: with the certificate to serve; `nil` for plain HTTP.
  ///   - drainTimeout: how long answers under way may take when the server stops.
  package init(
    group: any EventLoopGroup, tls: NIOSSLContext?, limits: HTTPServerLimits, drainTimeout: TimeAmount,
    handler: any HTTPRequestHandler
  ) {
    self.group = group
    self.tls = tls
    isTLS = tls != nil
    self.drainTimeout = drainTimeout
    self.handler = handler
    state = Mutex(State(limits: limits, budget: ConnectionBudget(limits: limits.connections)))
    bodies = Mutex(SharedBudget(limits: limits.bodies))
  }

  /// They count for new connections.
  package var limits: HTTPServerLimits {
    get { state.withLock { $0.limits } }
    set {
      state.withLock { state in
        state.limits = newValue
        state.budget.limits = newValue.connections
      }
      bodies.withLock { $0.limits = newValue.bodies }
    }
  }

  /// Binds and serves.
  ///
  /// - Returns: the port, which differs from `port` when that is 0.
  /// - Throws: `IOError` with the system's reason.
  package func listen(host: String, port: Int) async throws -> Int {
    let channel = try await tcpBootstrap()
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .bind(host: host, port: port).get()
    state.withLock { $0.listeners.append(channel) }
    return channel.localAddress?.port ?? port
  }

  /// Serves on a socket that listens already, such as one that a service manager has opened: who has connected before is
  /// answered, and who connects after the server's end waits when somebody else has the socket, too.
  ///
  /// - Parameter descriptor: the server's from here on; the caller lets go of it.
  /// - Returns: what it is.
  /// - Throws: `SystemError` when it is no socket of TCP that listens, with what it is; `IOError` with the system's reason.
  package func listen(on descriptor: OwnedDescriptor) async throws -> ServerSocket {
    let socket = try ServerSocket(adopting: descriptor)
    guard socket.kind == .tcp else {
      throw SystemError("listen on descriptor \(descriptor.number)", detail: "it is \(socket), and not of TCP")
    }
    let channel = try await serve(tcpBootstrap(), on: descriptor.duplicate())
    state.withLock { $0.listeners.append(channel) }
    return socket
  }

  /// Serves on a unix socket. Whoever may write to its file may connect; all of them count as one address.
  ///
  /// The file of a server that has died is replaced, and the file is removed when this one stops.
  ///
  /// - Parameters:
  ///   - path: absolute, 107 bytes at most.
  ///   - mode: of the file.
  /// - Throws: `SystemError` when the path cannot be used, is something else, or a server listens there; `IOError` with the
  ///   system's reason.
  package func listen(unixSocket path: String, mode: UInt32 = 0o600) async throws {
    let (descriptor, file) = try UnixSocket.bind(path, mode: mode)
    do {
      let channel = try await serve(bootstrap(), on: descriptor)
      state.withLock { state in
        state.listeners.append(channel)
        state.sockets.append((path, file))
      }
    } catch {
      UnixSocket.remove(path, file)
      throw error
    }
  }

  /// Accepts from a bound socket, which is the channel's from here on, whatever comes of it.
  private func serve(_ bootstrap: ServerBootstrap, on descriptor: Int32) async throws -> any Channel {
    let channel = try await bootstrap.withBoundSocket(descriptor).get()
    // NIO makes bound sockets listen with a queue of its own length, whatever the option says.
    guard Glibc.listen(descriptor, Self.backlog) == 0 else {
      let error = SystemError.last("listen on descriptor \(descriptor)")
      try? await channel.close()
      throw error
    }
    return channel
  }

  /// So many connections wait in the kernel until they are accepted.
  private static let backlog: Int32 = 512

  /// About so much of its answers waits in a connection for a client that does not take them.
  static let unsentBytesMax = 256 << 10

  private func tcpBootstrap() -> ServerBootstrap {
    bootstrap()
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // A connection may be silent for hours; a client whose machine has gone must be noticed nevertheless.
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
  }

  private func bootstrap() -> ServerBootstrap {
    let limits = self.limits.connection
    return ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: Self.backlog)
      .childChannelOption(.maxMessagesPerRead, value: limits.readsMax)
      .childChannelOption(
        .recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 1 << 10, initial: 2 << 10, maximum: limits.readBytesMax)
      )
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelOption(
        .writeBufferWaterMark,
        value: ChannelOptions.Types.WriteBufferWaterMark(low: Self.unsentBytesMax / 4, high: Self.unsentBytesMax)
      )
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture { try self.addHandlers(to: channel) }
      }
  }

  /// What stands between a connection's bytes and the handler.
  package func addHandlers(to channel: any Channel) throws {
    let limits = self.limits.connection
    let pipeline = channel.pipeline.syncOperations
    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
    try pipeline.addHandler(ProtocolDetector(server: self))
    try pipeline.addHandler(WriteCoalescer())
    var decoder = NIOHTTPDecoderLimitConfiguration()
    decoder.maxHeaderListSize = limits.headerBytesMax
    decoder.maxHeaderFieldCount = limits.headerFieldsMax
    try pipeline.configureHTTPServerPipeline(
      withPipeliningAssistance: true, withErrorHandling: true,
      withEncoderConfiguration: HTTPResponseEncoder.Configuration(), withDecoderLimitConfiguration: decoder)
    try pipeline.addHandler(HTTPConnection(server: self, limits: limits))
  }

  /// Takes the handlers of HTTP out of a connection that becomes another protocol. On its event loop.
  ///
  /// The bytes that they may have swallowed the read for are due: read once after the other protocol's handlers are there.
  package static func removeHandlers(from channel: any Channel) -> EventLoopFuture<Void> {
    channel.eventLoop.preconditionInEventLoop()
    let pipeline = channel.pipeline.syncOperations
    var removals: [EventLoopFuture<Void>] = []
    func remove<Handler: RemovableChannelHandler>(_ type: Handler.Type) {
      if let handler = try? pipeline.handler(type: type) { removals.append(pipeline.removeHandler(handler)) }
    }
    remove(HTTPResponseEncoder.self)
    remove(ByteToMessageHandler<HTTPRequestDecoder>.self)
    remove(HTTPServerPipelineHandler.self)
    remove(HTTPServerProtocolErrorHandler.self)
    remove(NIOHTTPResponseHeadersValidator.self)
    remove(HTTPConnection.self)
    return EventLoopFuture.andAllComplete(removals, on: channel.eventLoop)
  }

  /// Who a connection's client certificate belongs to; `nil` without one.
  func identity(of channel: any Channel) -> (any Sendable)? {
    guard let tls = try? channel.pipeline.syncOperations.handler(type: NIOSSLHandler.self),
      let certificate = tls.peerCertificate, let bytes = try? certificate.toDERBytes()
    else { return nil }
    return handler.identity(certificate: bytes)
  }

  // MARK: Places

  /// Gives a new connection a place, for which another may have to go.
  ///
  /// - Returns: `nil` when it has to be closed.
  func opened(_ channel: any Channel) -> HTTPPeer? {
    let address = channel.remoteAddress?.ipAddress ?? ""
    let holder = ConnectionBudget.holder(address)
    let (id, closing, isNews) = state.withLock { state -> (ConnectionBudget.ID?, (any Channel)?, Bool) in
      let wasFull = state.isFull
      switch state.budget.opened(from: holder) {
      case .refused:
        state.isFull = true
        return (nil, nil, !wasFull)
      case .admitted(let id, let closing):
        state.channels[id] = channel
        state.isFull = closing != nil
        return (id, closing.flatMap { state.channels.removeValue(forKey: $0) }, closing != nil && !wasFull)
      }
    }
    if isNews { handler.noticed(.connectionsAreMany(address: holder)) }
    if let closing { closing.eventLoop.execute { Self.abort(closing) } }
    guard let id else { return nil }
    // Not by its handler: a connection that has become another protocol still has its place.
    channel.closeFuture.whenComplete { [self] _ in
      state.withLock { state in
        state.budget.closed(id)
        state.channels[id] = nil
      }
    }
    return HTTPPeer(server: self, id: id, address: address, holder: holder, isTLS: isTLS)
  }

  func signedIn(_ id: ConnectionBudget.ID, as user: ConnectionBudget.User) -> Bool {
    state.withLock { $0.budget.signedIn(id, as: user) }
  }

  func requestBegan(_ id: ConnectionBudget.ID) -> Bool { state.withLock { $0.budget.requestBegan(id) } }

  func requestEnded(_ id: ConnectionBudget.ID) { state.withLock { $0.budget.requestEnded(id) } }

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

  package var connectionCount: Int { state.withLock { $0.budget.count } }

  // MARK: Memory

  /// Room for bytes of a body.
  func takeBody(_ bytes: Int, _ user: ConnectionBudget.User) -> Bool {
    bodies.withLock { $0.take(bytes, for: user.name, isPrivileged: user.isPrivileged) }
  }

  func giveBackBody(_ bytes: Int, _ holder: String) {
    bodies.withLock { $0.giveBack(bytes, of: holder) }
    if bytes >= 1 << 20 { heap.freed(bytes) }
  }

  /// A client was cut off that had not taken what was kept for it.
  func released(_ bytes: Int) { heap.freed(bytes) }

  package var bodyBytes: Int { bodies.withLock { $0.used } }

  // MARK: The end

  /// Stops listening, ends what would last for ever, lets other answers finish until the drain's time is over, then closes
  /// what is left.
  package func shutdown() async {
    let (listening, sockets) = state.withLock { state in
      defer { (state.listeners, state.sockets) = ([], []) }
      return (state.listeners, state.sockets)
    }
    // Before they close: a file that nobody listens on may be another's the moment after.
    for socket in sockets { UnixSocket.remove(socket.path, socket.file) }
    for channel in listening { try? await channel.close().get() }
    let open = state.withLock { Array($0.channels.values) }
    for channel in open { channel.pipeline.fireUserInboundEventTriggered(Drain()) }
    guard !open.isEmpty else { return }
    let loop = group.next()
    let closed = EventLoopFuture.andAllComplete(open.map(\.closeFuture), on: loop)
    let timeout = loop.scheduleTask(in: drainTimeout) {
      for channel in open { channel.close(promise: nil) }
    }
    try? await closed.get()
    timeout.cancel()
  }
}
