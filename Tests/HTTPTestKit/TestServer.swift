import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import TestKit

/// An HTTP server on a loopback address that answers as the test says.
package final class TestServer: Sendable {
  package struct Request: Sendable {
    package var method: HTTPMethod
    /// The request target as it came.
    package var uri: String
    package var headers: HTTPHeaders
    package var body: [UInt8]
    /// The order in which connections were made, from 1.
    package var connection: Int

    package var path: String { String(uri.prefix { $0 != "?" }) }

    /// A query parameter, decoded as far as the tests need it.
    package func query(_ name: String) -> String? { queries(name).first }

    package func queries(_ name: String) -> [String] {
      guard let mark = uri.firstIndex(of: "?") else { return [] }
      return uri[uri.index(after: mark)...].split(separator: "&").compactMap { pair in
        let parts = pair.split(separator: "=", maxSplits: 1)
        guard parts.first.map(String.init) == name else { return nil }
        return parts.count > 1 ? String(parts[1]).replacing("%20", with: " ").replacing("%2C", with: ",") : ""
      }
    }
  }

  package enum Reply: Sendable {
    case respond(Int, HTTPHeaders = [:], [UInt8] = [])
    /// The stated length, and then only these bytes before the connection is cut.
    case truncate(Int, HTTPHeaders = [:], length: Int, [UInt8])
    /// Chunks without a stated length.
    case chunked(HTTPHeaders = [:], [[UInt8]])
    /// No answer.
    case hang
    /// A head and the first bytes, and then nothing more.
    case hangAfter(HTTPHeaders = [:], length: Int, [UInt8])
    /// A byte every few milliseconds.
    case trickle(length: Int)
    case close
    /// An answer after which the connection is closed without a warning.
    case respondThenClose(Int, HTTPHeaders = [:], [UInt8] = [])
    /// Bytes that need not be HTTP, and the end.
    case raw(String)
    /// The body is made as it is read: `length` bytes in chunks; `sent` counts what the socket took.
    case endless(length: Int, sent: @Sendable (Int) -> Void)
    /// Chunks as the test gives them, until the stream ends.
    case stream(AsyncStream<String>)

    package static func text(_ status: Int, _ text: String, _ headers: HTTPHeaders = [:]) -> Reply {
      .respond(status, headers, Array(text.utf8))
    }

    package static func json(_ status: Int, _ text: String) -> Reply {
      .text(status, text, ["content-type": "application/json"])
    }
  }

  package let requests = Mutex<[Request]>([])
  /// The connections, in their order.
  package let channels = Mutex<[any Channel]>([])
  private let connections = Mutex(0)
  private let reply: @Sendable (Request) -> Reply
  /// Answers before the body has come.
  private let early: (@Sendable (HTTPRequestHead) -> Reply?)?
  private let listener = Mutex<(any Channel)?>(nil)

  package init(
    early: (@Sendable (HTTPRequestHead) -> Reply?)? = nil, reply: @escaping @Sendable (Request) -> Reply
  ) {
    self.reply = reply
    self.early = early
  }

  package var connectionCount: Int { connections.withLock { $0 } }

  /// Starts listening; returns the port.
  @discardableResult
  package func start(
    isTLS: Bool = false, requiresClientCertificate: Bool = false, host: String = "127.0.0.1"
  ) async throws -> Int {
    var context: NIOSSLContext?
    if isTLS {
      var tls = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.server.utf8)).map {
          .certificate($0)
        },
        privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(TestCertificates.serverKey.utf8), format: .pem)))
      if requiresClientCertificate {
        tls.certificateVerification = .noHostnameVerification
        tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.ca.utf8)))
      }
      context = try NIOSSLContext(configuration: tls)
    }
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [context] channel in
        channel.eventLoop.makeCompletedFuture {
          let number = self.connections.withLock { count in
            count += 1
            return count
          }
          self.channels.withLock { $0.append(channel) }
          let pipeline = channel.pipeline.syncOperations
          if let context { try pipeline.addHandler(NIOSSLServerHandler(context: context)) }
          try pipeline.configureHTTPServerPipeline()
          try pipeline.addHandler(Handler(server: self, connection: number))
        }
      }
      .bind(host: host, port: 0).get()
    listener.withLock { $0 = channel }
    return channel.localAddress?.port ?? 0
  }

  package func stop() async {
    let channel = listener.withLock { $0 }
    try? await channel?.close()
    for channel in channels.withLock({ $0 }) { channel.close(promise: nil) }
  }

  /// Closes the connections that are open now, and goes on listening.
  package func closeConnections() async {
    let open = channels.withLock { channels in
      defer { channels = [] }
      return channels
    }
    for channel in open { try? await channel.close() }
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: TestServer
    private let connection: Int
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isAnswered = false

    init(server: TestServer, connection: Int) {
      self.server = server
      self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        self.head = head
        body = []
        isAnswered = false
        if let reply = server.early?(head) {
          isAnswered = true
          server.requests.withLock {
            $0.append(
              Request(method: head.method, uri: head.uri, headers: head.headers, body: [], connection: connection))
          }
          answer(reply, context)
        }
      case .body(let bytes): if !isAnswered { body += bytes.readableBytesView }
      case .end:
        guard let head, !isAnswered else { return }
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
      case .respond(let status, let headers, let bytes): write(status, headers, bytes, channel)
      case .respondThenClose(let status, let headers, let bytes):
        write(status, headers, bytes, channel)
        context.close(promise: nil)
      case .truncate(let status, let headers, let length, let bytes):
        start(status, headers, length, bytes, channel)
        context.close(promise: nil)
      case .hangAfter(let headers, let length, let bytes): start(200, headers, length, bytes, channel)
      case .chunked(let headers, let chunks):
        var headers = headers
        headers.replaceOrAdd(name: "transfer-encoding", value: "chunked")
        channel.write(
          HTTPServerResponsePart.head(HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)), promise: nil)
        for chunk in chunks {
          channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: chunk))), promise: nil)
        }
        channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
      case .stream(let chunks):
        channel.writeAndFlush(
          HTTPServerResponsePart.head(
            HTTPResponseHead(version: .http1_1, status: .ok, headers: ["transfer-encoding": "chunked"])), promise: nil)
        Task {
          for await chunk in chunks {
            try? await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: chunk))))
          }
          try? await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        }
      case .raw(let text):
        // Below the HTTP encoder.
        context.channel.pipeline.context(handlerType: HTTPResponseEncoder.self).whenSuccess { encoder in
          encoder.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
          encoder.close(promise: nil)
        }
      case .trickle(let length):
        start(200, [:], length, [7], channel)
        channel.eventLoop.scheduleRepeatedTask(initialDelay: .milliseconds(5), delay: .milliseconds(5)) { task in
          guard channel.isActive else { return task.cancel() }
          channel.writeAndFlush(
            HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(repeating: 7, count: 1))), promise: nil)
        }
      case .endless(let length, let sent):
        channel.write(
          HTTPServerResponsePart.head(
            HTTPResponseHead(version: .http1_1, status: .ok, headers: ["content-length": String(length)])),
          promise: nil)
        feed(length, ByteBuffer(repeating: 7, count: 64 << 10), channel, sent)
      }
    }

    /// Writes the next chunk when the socket has taken the one before.
    private func feed(
      _ left: Int, _ chunk: ByteBuffer, _ channel: any Channel, _ sent: @escaping @Sendable (Int) -> Void
    ) {
      guard left > 0 else {
        channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
        return
      }
      var part = chunk
      let bytes = part.readSlice(length: min(left, chunk.readableBytes)) ?? chunk
      let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
      channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(bytes))).whenSuccess {
        sent(bytes.readableBytes)
        // Not at once: a socket that takes all without waiting would make this a recursion without end.
        bound.eventLoop.execute { bound.value.feed(left - bytes.readableBytes, chunk, channel, sent) }
      }
    }

    private func start(
      _ status: Int, _ headers: HTTPHeaders, _ length: Int, _ bytes: [UInt8], _ channel: any Channel
    ) {
      var headers = headers
      headers.replaceOrAdd(name: "content-length", value: String(length))
      channel.write(
        HTTPServerResponsePart.head(
          HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: headers)),
        promise: nil)
      channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: bytes))), promise: nil)
    }

    private func write(_ status: Int, _ headers: HTTPHeaders, _ bytes: [UInt8], _ channel: any Channel) {
      let isHead = head?.method == .HEAD
      var headers = headers
      if !headers.contains(name: "content-length") { headers.add(name: "content-length", value: String(bytes.count)) }
      channel.write(
        HTTPServerResponsePart.head(
          HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: headers)),
        promise: nil)
      if !isHead, !bytes.isEmpty {
        channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: bytes))), promise: nil)
      }
      channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
    }
  }
}
