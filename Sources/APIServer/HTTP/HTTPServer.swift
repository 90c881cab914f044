import Glibc
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// The listening socket and its connections: TLS 1.2 and later with optional client certificates, HTTP/1.1.
final class HTTPServer: Sendable {
  private let group: MultiThreadedEventLoopGroup
  private let router: Router
  private let logger: Logger
  private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])
  private let listeners = Mutex<[any Channel]>([])

  /// More connections than this are closed at once; what waits longer than the idle timeout without a request too.
  static let connectionsMax = 4096
  private static let idleTimeout = TimeAmount.seconds(180)
  private static let drainTimeout = TimeAmount.seconds(5)

  init(group: MultiThreadedEventLoopGroup, router: Router, logger: Logger) {
    self.group = group
    self.router = router
    self.logger = logger
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
        .childChannelOption(.maxMessagesPerRead, value: 4)
        .childChannelOption(.allowRemoteHalfClosure, value: true)
        .childChannelOption(
          .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 256 << 10, high: 1 << 20)
        )
        .childChannelInitializer { [self] channel in
          channel.eventLoop.makeCompletedFuture { try self.initialize(channel, tls) }
        }
    } catch {
      throw APIServerError("the serving certificate cannot be used", cause: "\(error)")
    }
  }

  private func initialize(_ channel: any Channel, _ tls: NIOSSLContext) throws {
    let id = ObjectIdentifier(channel)
    let isFull = channels.withLock { channels in
      if channels.count >= Self.connectionsMax { return true }
      channels[id] = channel
      return false
    }
    if isFull {
      logger.warning("too many connections", metadata: ["limit": "\(Self.connectionsMax)"])
      throw APIServerError("more than \(Self.connectionsMax) connections")
    }
    channel.closeFuture.whenComplete { [self] _ in channels.withLock { $0[id] = nil } }
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(NIOSSLServerHandler(context: tls))
    try pipeline.addHandler(WriteCoalescer())
    try pipeline.addHandler(IdleStateHandler(readTimeout: Self.idleTimeout))
    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: true, withErrorHandling: true)
    try pipeline.addHandler(HTTPConnection(router: router))
  }

  var connectionCount: Int { channels.withLock { $0.count } }

  /// Stops listening, ends the watches, lets running requests finish for five seconds, then closes what is left.
  func shutdown() async {
    let listening = listeners.withLock { listeners in
      defer { listeners = [] }
      return listeners
    }
    for channel in listening { try? await channel.close().get() }
    let open = channels.withLock { Array($0.values) }
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
