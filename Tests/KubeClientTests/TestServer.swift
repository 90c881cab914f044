import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import TestKit

/// An HTTPS server on a loopback address that answers as the test says.
final class TestServer: Sendable {
  struct Request: Sendable {
    var method: HTTPMethod
    var uri: String
    var headers: HTTPHeaders
    var body: String
    /// The order in which connections were made.
    var connection: Int
  }

  enum Reply: Sendable {
    case json(Int, String)
    /// Chunks as they come, until the stream ends.
    case stream(AsyncStream<String>)
    /// No answer.
    case hang
    /// The connection is closed.
    case close
    /// An answer after which the connection is closed without a warning.
    case jsonThenClose(String)
  }

  let requests = Mutex<[Request]>([])
  let channels = Mutex<[any Channel]>([])
  private let connections = Mutex(0)
  private let reply: @Sendable (Request) -> Reply
  private let listener = Mutex<(any Channel)?>(nil)

  init(reply: @escaping @Sendable (Request) -> Reply) { self.reply = reply }

  /// Starts listening; returns the port.
  func start(host: String = "127.0.0.1", requiresClientCertificate: Bool = false) async throws -> Int {
    var tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.server.utf8)).map {
        .certificate($0)
      },
      privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(TestCertificates.serverKey.utf8), format: .pem)))
    if requiresClientCertificate {
      tls.certificateVerification = .noHostnameVerification
      tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.ca.utf8)))
    }
    let context = try NIOSSLContext(configuration: tls)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let number = self.connections.withLock { count in
            count += 1
            return count
          }
          self.channels.withLock { $0.append(channel) }
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(NIOSSLServerHandler(context: context))
          try pipeline.configureHTTPServerPipeline()
          try pipeline.addHandler(Handler(server: self, connection: number))
        }
      }
      .bind(host: host, port: 0).get()
    listener.withLock { $0 = channel }
    return channel.localAddress?.port ?? 0
  }

  func stop() async {
    let channel = listener.withLock { $0 }
    try? await channel?.close()
    for channel in channels.withLock({ $0 }) { channel.close(promise: nil) }
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: TestServer
    private let connection: Int
    private var head: HTTPRequestHead?
    private var body = ""

    init(server: TestServer, connection: Int) {
      self.server = server
      self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        self.head = head
        body = ""
      case .body(let bytes): body += String(buffer: bytes)
      case .end:
        guard let head else { return }
        let request = Request(
          method: head.method, uri: head.uri, headers: head.headers, body: body, connection: connection)
        server.requests.withLock { $0.append(request) }
        answer(server.reply(request), context)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ reply: Reply, _ context: ChannelHandlerContext) {
      let channel = context.channel
      switch reply {
      case .hang: break
      case .close: context.close(promise: nil)
      case .json(let status, let text): write(status, text, channel)
      case .jsonThenClose(let text):
        write(200, text, channel)
        context.close(promise: nil)
      case .stream(let chunks):
        channel.write(
          HTTPServerResponsePart.head(
            HTTPResponseHead(version: .http1_1, status: .ok, headers: ["transfer-encoding": "chunked"])), promise: nil)
        channel.flush()
        Task {
          for await chunk in chunks {
            try? await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: chunk))))
          }
          try? await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        }
      }
    }

    private func write(_ status: Int, _ text: String, _ channel: any Channel) {
      let headers: HTTPHeaders = [
        "content-type": "application/json", "content-length": String(text.utf8.count),
      ]
      channel.write(
        HTTPServerResponsePart.head(
          HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: headers)),
        promise: nil)
      channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: text))), promise: nil)
      channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
    }
  }
}
