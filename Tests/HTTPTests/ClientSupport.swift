import Glibc
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import TestKit
import Testing

@testable import HTTP

/// A folder that is removed with the object.
final class ClientTestFolder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/apus-http-XXXXXX".utf8CString)
    try #require(template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp) } != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? Directory.removeTree(path) }

  func write(_ name: String, _ text: String) throws -> String {
    try DurableFile.write(Array(text.utf8), to: "\(path)/\(name)")
    return "\(path)/\(name)"
  }
}

/// The error of a request that must fail.
func clientFailure<Value>(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws(HTTPClientError) -> Value
) async -> HTTPClientError.Code? {
  do throws(HTTPClientError) {
    _ = try await body()
    Issue.record("it should have failed", sourceLocation: sourceLocation)
    return nil
  } catch {
    return error.code
  }
}

/// A closure in which only a macro tries is taken for one that throws nothing: this is no macro.
func expectText(_ text: String, _ expected: String, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(text == expected, sourceLocation: sourceLocation)
}

extension HTTPClient {
  /// The whole body of a GET.
  func text(_ url: String, _ change: (inout HTTPClientRequest) -> Void = { _ in }) async throws(HTTPClientError)
    -> String
  {
    guard let url = HTTPURL(url) else { throw HTTPClientError(.invalidRequest, "no URL") }
    var request = HTTPClientRequest(method: .GET, url: url)
    change(&request)
    let response = try await execute(request)
    let body = try await response.collect(limit: 1 << 20, within: .seconds(60)) ?? []
    return String(decoding: body, as: UTF8.self)
  }
}

/// An HTTP server of bytes: what it says is the test's affair.
final class ClientTestServer: Sendable {
  struct Request: Sendable {
    var head: HTTPRequestHead
    var body: [UInt8]
    /// The order in which connections were made, from 1.
    var connection: Int
  }

  enum Reply: Sendable {
    case text(String, HTTPHeaders = [:])
    /// Bytes that need not be HTTP; then the connection stays open.
    case raw(String)
    /// Again and again, until the connection is closed.
    case endless(String)
    case close
    case hang
    /// An answer when the test says so: see `answerHeld`.
    case later(String)
  }

  let requests = Mutex<[Request]>([])
  private let held = Mutex<[@Sendable () -> Void]>([])
  private let channels = Mutex<[any Channel]>([])
  private let connections = Mutex(0)
  private let early: (@Sendable (HTTPRequestHead) -> Reply?)?
  private let reply: @Sendable (Request) -> Reply
  private let listener = Mutex<(any Channel)?>(nil)

  /// - Parameter early: answers before the body has come.
  init(early: (@Sendable (HTTPRequestHead) -> Reply?)? = nil, reply: @escaping @Sendable (Request) -> Reply) {
    self.early = early
    self.reply = reply
  }

  var connectionCount: Int { connections.withLock { $0 } }

  /// Gives the answers that were to come later.
  func answerHeld() {
    for answer in held.withLock({ $0 }) { answer() }
  }

  /// Runs a test against the server, which listens on a port, or on a unix socket.
  func run<Value>(
    isTLS: Bool = false, requiresClientCertificate: Bool = false, host: String = "127.0.0.1", unixSocket: String? = nil,
    _ body: (_ port: Int) async throws -> Value
  ) async throws -> Value {
    var context: NIOSSLContext?
    if isTLS {
      var tls = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.server.utf8)).map {
          .certificate($0)
        },
        privateKey: .privateKey(
          try NIOSSLPrivateKey(bytes: Array(TestCertificates.serverKey.utf8), format: .pem)))
      if requiresClientCertificate {
        tls.certificateVerification = .noHostnameVerification
        tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.ca.utf8)))
      }
      context = try NIOSSLContext(configuration: tls)
    }
    let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { [context] channel in
        channel.eventLoop.makeCompletedFuture {
          let number = self.connections.withLock { count in
            count += 1
            return count
          }
          self.channels.withLock { $0.append(channel) }
          let pipeline = channel.pipeline.syncOperations
          if let context { try pipeline.addHandler(NIOSSLServerHandler(context: context)) }
          try pipeline.addHandlers([
            ByteToMessageHandler(HTTPRequestDecoder()), Handler(server: self, connection: number),
          ])
        }
      }
    let channel =
      if let unixSocket {
        try await bootstrap.bind(unixDomainSocketPath: unixSocket).get()
      } else {
        try await bootstrap.bind(host: host, port: 0).get()
      }
    listener.withLock { $0 = channel }
    let result: Result<Value, any Error>
    do {
      result = .success(try await body(channel.localAddress?.port ?? 0))
    } catch {
      result = .failure(error)
    }
    try? await channel.close()
    for channel in channels.withLock({ $0 }) { try? await channel.close() }
    return try result.get()
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = ByteBuffer

    private let server: ClientTestServer
    private let connection: Int
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isAnswered = false

    init(server: ClientTestServer, connection: Int) {
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
          server.requests.withLock { $0.append(Request(head: head, body: [], connection: connection)) }
          answer(reply, context.channel)
        }
      case .body(let bytes): if !isAnswered { body += bytes.readableBytesView }
      case .end:
        guard let head, !isAnswered else { return }
        let request = Request(head: head, body: body, connection: connection)
        server.requests.withLock { $0.append(request) }
        answer(server.reply(request), context.channel)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ reply: Reply, _ channel: any Channel) {
      switch reply {
      case .hang: break
      case .close: channel.close(promise: nil)
      case .raw(let text): channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
      case .endless(let text): Self.repeatForEver(ByteBuffer(string: text), channel)
      case .text(let text, let headers): channel.writeAndFlush(Self.bytes(text, headers), promise: nil)
      case .later(let text):
        let answer = Self.bytes(text, [:])
        server.held.withLock { $0.append { channel.writeAndFlush(answer, promise: nil) } }
      }
    }

    private static func repeatForEver(_ bytes: ByteBuffer, _ channel: any Channel) {
      channel.writeAndFlush(bytes).whenSuccess { channel.eventLoop.execute { repeatForEver(bytes, channel) } }
    }

    private static func bytes(_ text: String, _ headers: HTTPHeaders) -> ByteBuffer {
      var head = "HTTP/1.1 200 OK\r\ncontent-length: \(text.utf8.count)\r\n"
      for (name, value) in headers { head += "\(name): \(value)\r\n" }
      return ByteBuffer(string: head + "\r\n" + text)
    }
  }
}
