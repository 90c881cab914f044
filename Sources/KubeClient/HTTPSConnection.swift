import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// A request and who gets its response; written to a channel as one message.
struct Exchange: Sendable {
  var head: HTTPRequestHead
  var body: ByteBuffer?
  var receiver: any ResponseReceiver
}

/// Gets the parts of one response, in order, on the channel's event loop. After `finished` or `failed` nothing counts.
protocol ResponseReceiver: Sendable {
  func received(_ head: HTTPResponseHead)
  /// Returns whether more is wanted; else the connection is closed.
  func received(_ body: ByteBuffer) -> Bool
  func finished()
  func failed(_ error: any Error)
}

/// The connection was closed before a byte of the response came.
struct UnansweredError: Error {}

/// Gives each response to the receiver of its request. One request is in flight at a time.
final class ExchangeHandler: ChannelDuplexHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundIn = Exchange
  typealias OutboundOut = HTTPClientRequestPart

  private var receiver: (any ResponseReceiver)?
  private var isAnswered = false

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let exchange = unwrapOutboundIn(data)
    receiver = exchange.receiver
    isAnswered = false
    context.write(wrapOutboundOut(.head(exchange.head)), promise: nil)
    if let body = exchange.body { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
    context.write(wrapOutboundOut(.end(nil)), promise: promise)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    isAnswered = true
    switch unwrapInboundIn(data) {
    case .head(let head): receiver?.received(head)
    case .body(let body):
      if receiver?.received(body) == false {
        receiver = nil
        context.close(promise: nil)
      }
    case .end:
      let receiver = receiver
      self.receiver = nil
      receiver?.finished()
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A server that closes without TLS's goodbye has still closed: `channelInactive` follows.
    if case .uncleanShutdown? = error as? NIOSSLError {
      context.close(promise: nil)
      return
    }
    let receiver = receiver
    self.receiver = nil
    receiver?.failed(error)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    let receiver = receiver
    self.receiver = nil
    receiver?.failed(isAnswered ? ChannelError.eof : UnansweredError())
    context.fireChannelInactive()
  }
}

/// Opens connections and keeps the idle ones.
final class ConnectionPool: Sendable {
  private let server: ServerAddress
  private let tls: NIOSSLContext
  private let tlsServerName: String?
  private let limits: HTTPSClient.Limits
  private let group: any EventLoopGroup
  private let idle = Mutex<(channels: [any Channel], isClosed: Bool)>(([], false))

  init(
    server: ServerAddress, tls: NIOSSLContext, tlsServerName: String, limits: HTTPSClient.Limits,
    group: any EventLoopGroup
  ) {
    self.server = server
    self.tls = tls
    let name = tlsServerName.isEmpty ? server.host : tlsServerName
    // An address is no server name (RFC 6066, section 3); the certificate is then checked for the address connected to.
    self.tlsServerName = (try? SocketAddress(ipAddress: name, port: 0)) == nil ? name : nil
    self.limits = limits
    self.group = group
  }

  deinit { close() }

  func open() async throws -> any Channel {
    let (seconds, attoseconds) = limits.connectTimeout.components
    return try await ClientBootstrap(group: group)
      .connectTimeout(.nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000))
      .channelOption(.socketOption(.so_keepalive), value: 1)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { [tls, tlsServerName] channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: tlsServerName))
          try pipeline.addHTTPClientHandlers()
          try pipeline.addHandler(ExchangeHandler())
        }
      }
      .connect(host: server.host, port: server.port).get()
  }

  /// The connection that was used last: the others may go out of use.
  func takeIdle() -> (any Channel)? {
    idle.withLock { idle in
      while let channel = idle.channels.popLast() {
        if channel.isActive { return channel }
      }
      return nil
    }
  }

  func giveBack(_ channel: any Channel) {
    let superfluous: (any Channel)? = idle.withLock { idle in
      guard channel.isActive, !idle.isClosed else { return channel }
      idle.channels.append(channel)
      idle.channels.removeAll { !$0.isActive }
      return idle.channels.count > limits.idleConnectionsMax ? idle.channels.removeFirst() : nil
    }
    superfluous?.close(promise: nil)
  }

  func close() {
    let channels = idle.withLock { idle in
      idle.isClosed = true
      let channels = idle.channels
      idle.channels = []
      return channels
    }
    for channel in channels { channel.close(promise: nil) }
  }
}

struct UnaryResponse: Sendable {
  var status: Int
  var isConnectionReusable: Bool
  var body: [UInt8]
}

/// Collects a whole response.
final class UnaryReceiver: ResponseReceiver {
  let promise: EventLoopPromise<UnaryResponse>
  private let sizeMax: Int

  private struct State {
    var head: HTTPResponseHead?
    var body = ByteBuffer()
    var isDone = false
  }

  private let state = Mutex(State())

  init(promise: EventLoopPromise<UnaryResponse>, sizeMax: Int) {
    self.promise = promise
    self.sizeMax = sizeMax
  }

  func received(_ head: HTTPResponseHead) { state.withLock { $0.head = head } }

  func received(_ body: ByteBuffer) -> Bool {
    let isTooLarge = state.withLock { state in
      if state.body.readableBytes + body.readableBytes > sizeMax { return true }
      state.body.writeImmutableBuffer(body)
      return false
    }
    if isTooLarge {
      failed(
        KubeError(code: 500, reason: .internalError, message: "the response is larger than \(sizeMax) bytes"))
    }
    return !isTooLarge
  }

  func finished() {
    let response: UnaryResponse? = state.withLock { state in
      guard !state.isDone, let head = state.head else { return nil }
      state.isDone = true
      return UnaryResponse(
        status: Int(head.status.code), isConnectionReusable: head.isKeepAlive, body: Array(state.body.readableBytesView)
      )
    }
    if let response { promise.succeed(response) }
  }

  func failed(_ error: any Error) {
    let isFirst = state.withLock { state in
      defer { state.isDone = true }
      return !state.isDone
    }
    if isFirst { promise.fail(error) }
  }
}
