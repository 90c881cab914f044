import Glibc
import LinuxSystem
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// The listening socket and its connections: TLS 1.2 and later with optional client certificates, HTTP/1.1.
final class HTTPServer: Sendable {
  struct Limits: Sendable {
    /// Whoever has not signed in has an eighth: reading health and versions, and signing in, takes an instant.
    var connections = ConnectionBudget.Limits(total: 4096, strangers: 512)
    /// Bytes of request bodies that are in memory until they are answered.
    var bodies = SharedBudget.Limits(total: 64 << 20, share: 24 << 20, kept: 16 << 20)
    var connection = HTTPConnection.Limits()
  }

  private let group: MultiThreadedEventLoopGroup
  let router: Router
  private let logger: Logger
  let limits: Limits
  private let state: Mutex<State>
  private let bodies: Mutex<SharedBudget>
  private let heap = HeapTrim()
  private let listeners = Mutex<[any Channel]>([])

  private struct State {
    var budget: ConnectionBudget
    var channels: [ConnectionBudget.ID: any Channel] = [:]
    /// A flood is said once, and once more when it is over.
    var isFull = false
  }

  private static let drainTimeout = TimeAmount.seconds(5)

  init(group: MultiThreadedEventLoopGroup, router: Router, logger: Logger, limits: Limits = Limits()) {
    self.group = group
    self.router = router
    self.logger = logger
    self.limits = limits
    state = Mutex(State(budget: ConnectionBudget(limits: limits.connections)))
    bodies = Mutex(SharedBudget(limits: limits.bodies))
  }

  /// Binds and serves, on the same port of each address.
  ///
  /// - Returns: the port, which differs from `port` when that is 0.
  func start(hosts: [String], port: Int, pki: PKI) async throws(APIServerError) -> Int {
    let bootstrap = try bootstrap(pki)
    var bound = port
    for host in hosts {
      do {
        let channel = try await bootstrap.bind(host: host, port: bound).get()
        listeners.withLock { $0.append(channel) }
        bound = channel.localAddress?.port ?? bound
      } catch {
        // The system's words, not those of the calls that led there.
        let code = (error as? IOError)?.errnoCode
        throw APIServerError(
          "cannot listen on \(host):\(bound)", cause: code.map { String(cString: strerror($0)) } ?? "\(error)")
      }
    }
    return bound
  }

  private func bootstrap(_ pki: PKI) throws(APIServerError) -> ServerBootstrap {
    do {
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(pki.serving.certificate.utf8)).map {
          .certificate($0)
        }, privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(pki.serving.privateKey.utf8), format: .pem)))
      configuration.minimumTLSVersion = .tlsv12
      // A client that closes without TLS's goodbye, as many do, must not hold up the server's end.
      configuration.shutdownTimeout = .milliseconds(250)
      configuration.applicationProtocols = ["http/1.1"]
      configuration.trustRoots = .certificates(
        try NIOSSLCertificate.fromPEMBytes(Array(pki.authority.certificate.utf8)))
      configuration.certificateVerification = .optionalVerification
      let tls = try NIOSSLContext(configuration: configuration)
      return ServerBootstrap(group: group)
        .serverChannelOption(.backlog, value: 512)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        // A watch may be silent for hours; a client whose machine has gone must be noticed nevertheless.
        .childChannelOption(.socketOption(.so_keepalive), value: 1)
        // Requests of one read are decoded before the handler can stop reading: they are few, whatever a client sends.
        .childChannelOption(.maxMessagesPerRead, value: 1)
        .childChannelOption(.allowRemoteHalfClosure, value: true)
        .childChannelOption(
          .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)
        )
        .childChannelInitializer { [self] channel in
          channel.eventLoop.makeCompletedFuture { try self.addHandlers(to: channel, tls) }
        }
    } catch {
      throw APIServerError("the serving certificate cannot be used", cause: "\(error)")
    }
  }

  /// What stands between a connection's bytes and the router.
  ///
  /// - Parameter tls: `nil` for tests without it.
  func addHandlers(to channel: any Channel, _ tls: NIOSSLContext?) throws {
    let pipeline = channel.pipeline.syncOperations
    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
    try pipeline.addHandler(WriteCoalescer())
    var decoder = NIOHTTPDecoderLimitConfiguration()
    // A head that is not complete is memory of somebody who has not signed in. Commands of `exec` are part of the URL.
    decoder.maxHeaderListSize = 96 << 10
    decoder.maxHeaderFieldCount = 128
    try pipeline.configureHTTPServerPipeline(
      withPipeliningAssistance: true, withErrorHandling: true,
      withEncoderConfiguration: HTTPResponseEncoder.Configuration(), withDecoderLimitConfiguration: decoder)
    try pipeline.addHandler(HTTPConnection(server: self, router: router, limits: limits.connection))
  }

  // MARK: Places

  /// Gives a new connection a place, for which another may have to go.
  ///
  /// - Returns: `nil` when it has to be closed.
  func opened(_ channel: any Channel) -> ConnectionBudget.ID? {
    let address = ConnectionBudget.holder(channel.remoteAddress?.ipAddress ?? "")
    let (id, closing, isNews) = state.withLock { state -> (ConnectionBudget.ID?, (any Channel)?, Bool) in
      let wasFull = state.isFull
      switch state.budget.opened(from: address) {
      case .refused:
        state.isFull = true
        return (nil, nil, !wasFull)
      case .admitted(let id, let closing):
        state.channels[id] = channel
        state.isFull = closing != nil
        return (id, closing.flatMap { state.channels.removeValue(forKey: $0) }, closing != nil && !wasFull)
      }
    }
    if isNews {
      logger.warning(
        "too many connections that have not signed in: the oldest are closed", metadata: ["address": "\(address)"])
    }
    if let closing { closing.eventLoop.execute { Self.abort(closing) } }
    // Not by its handler: a connection that has become another protocol still has its place.
    if let id {
      channel.closeFuture.whenComplete { [self] _ in
        state.withLock { state in
          state.budget.closed(id)
          state.channels[id] = nil
        }
      }
    }
    return id
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

  // MARK: Memory

  /// Room for bytes of a body.
  func takeBody(_ bytes: Int, _ user: ConnectionBudget.User) -> Bool {
    bodies.withLock { $0.take(bytes, for: user.name, isPrivileged: user.isPrivileged) }
  }

  func giveBackBody(_ bytes: Int, _ user: ConnectionBudget.User) {
    bodies.withLock { $0.giveBack(bytes, of: user.name) }
    if bytes >= 1 << 20 { heap.freed(bytes) }
  }

  /// A client was cut off that had not taken what was kept for it.
  func released(_ bytes: Int) { heap.freed(bytes) }

  var connectionCount: Int { state.withLock { $0.budget.count } }

  var bodyBytes: Int { bodies.withLock { $0.used } }

  /// Stops listening, ends the watches, lets running requests finish for five seconds, then closes what is left.
  func shutdown() async {
    let listening = listeners.withLock { listeners in
      defer { listeners = [] }
      return listeners
    }
    for channel in listening { try? await channel.close().get() }
    let open = state.withLock { Array($0.channels.values) }
    for channel in open { channel.pipeline.fireUserInboundEventTriggered(ServerDrain()) }
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
