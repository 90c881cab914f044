import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Sends one HTTP POST over a connection of its own and tells the status. Events are few, and a connection that is not
/// kept cannot go stale.
struct EventSender: Sendable {
  struct Failure: Error, Sendable, CustomStringConvertible {
    var description: String
  }

  private static let deadline = TimeAmount.seconds(10)

  let group: any EventLoopGroup

  /// - Returns: the status code.
  func post(_ body: [UInt8], to target: EventTarget, headers: [RegistryError.Header]) async throws -> Int {
    let loop = group.next()
    let done = loop.makePromise(of: Int.self)
    var fields = HTTPHeaders([
      ("Host", target.authority), ("User-Agent", "apus-registry"), ("Content-Length", String(body.count)),
      ("Content-Type", "application/cloudevents+json; charset=utf-8"), ("Connection", "close"),
    ])
    for header in headers { fields.replaceOrAdd(name: header.name, value: header.value) }
    let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: target.path, headers: fields)
    let tls: NIOSSLContext?
    do {
      tls = target.isTLS ? try NIOSSLContext(configuration: .makeClientConfiguration()) : nil
    } catch {
      done.fail(error)
      return try await done.futureResult.get()
    }
    let bootstrap = ClientBootstrap(group: loop).connectTimeout(Self.deadline).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        let pipeline = channel.pipeline.syncOperations
        if let tls {
          // A name in the certificate, and no name for a bare address (RFC 6066, section 3).
          let name = (try? SocketAddress(ipAddress: target.host, port: 1)) == nil ? target.host : nil
          try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: name))
        }
        try pipeline.addHTTPClientHandlers()
        try pipeline.addHandler(Exchange(head: head, body: ByteBuffer(bytes: body), done: done))
      }
    }
    let connecting = bootstrap.connect(host: target.host, port: target.port)
    connecting.whenFailure { done.fail(Failure(description: "\($0)")) }
    let timeout = loop.scheduleTask(in: Self.deadline) {
      done.fail(Failure(description: "no answer in time"))
      connecting.whenSuccess { $0.close(promise: nil) }
    }
    defer { timeout.cancel() }
    return try await done.futureResult.get()
  }

  private final class Exchange: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let head: HTTPRequestHead
    private let body: ByteBuffer
    private let done: EventLoopPromise<Int>
    private var isSent = false

    init(head: HTTPRequestHead, body: ByteBuffer, done: EventLoopPromise<Int>) {
      self.head = head
      self.body = body
      self.done = done
    }

    func handlerAdded(context: ChannelHandlerContext) {
      if context.channel.isActive { send(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
      send(context)
      context.fireChannelActive()
    }

    private func send(_ context: ChannelHandlerContext) {
      guard !isSent else { return }
      isSent = true
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard case .head(let head) = unwrapInboundIn(data), head.status.code >= 200 else { return }
      done.succeed(Int(head.status.code))
      context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
      done.fail(Failure(description: "the connection was closed without an answer"))
      context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      done.fail(Failure(description: "\(error)"))
      context.close(promise: nil)
    }
  }
}
