import HTTP
import HTTPTestKit
import NIOCore
import NIOHTTP1
import NIOPosix
import OCI
import Synchronization
import TestKit
import Testing
import Wire

@testable import Distribution

/// Runs a test against a server.
func withServer(
  _ server: TestServer, isTLS: Bool = false, requiresClientCertificate: Bool = false,
  _ body: (Int) async throws -> Void
) async throws {
  let port = try await server.start(isTLS: isTLS, requiresClientCertificate: requiresClientCertificate)
  do {
    try await body(port)
  } catch {
    await server.stop()
    throw error
  }
  await server.stop()
}

@Suite(.timeLimit(.minutes(1))) struct HTTPClientTests {
  @Test func fetchesAndReusesConnections() async throws {
    let server = TestServer { request in
      .text(200, "hello \(request.uri)", ["content-type": "text/plain", "etag": "\"1\""])
    }
    try await withServer(server) { port in
      let client = makeClient()
      for number in 0..<5 {
        let stream = try await client.fetch("http://127.0.0.1:\(port)/file-\(number).tar?x=y")
        #expect(stream.mediaType == "text/plain")
        #expect(stream.entityTag == "\"1\"")
        #expect(stream.lastPathComponent == "file-\(number).tar")
        #expect(stream.size == 21)
        #expect(String(decoding: try await stream.collect(), as: UTF8.self) == "hello /file-\(number).tar?x=y")
        #expect(try await stream.next() == nil)
      }
      #expect(server.connectionCount == 1)
      let request = try #require(server.requests.withLock { $0.first })
      #expect(request.headers.first(name: "host") == "127.0.0.1:\(port)")
      #expect(request.headers.first(name: "user-agent") == "apus")
      #expect(!request.headers.contains(name: "authorization"))
    }
  }

  @Test func aKeptConnectionThatWasClosedIsNoFailure() async throws {
    let server = TestServer { _ in .respondThenClose(200, [:], [1, 2, 3]) }
    try await withServer(server) { port in
      let clock = InstantClock()
      let client = makeClient(clock)
      for _ in 0..<5 {
        let body = try await client.fetch("http://127.0.0.1:\(port)/").collect()
        #expect(body == [1, 2, 3])
      }
      #expect(clock.sleeps.isEmpty, "no second attempt was needed")
    }
  }

  @Test func chunkedBodies() async throws {
    let server = TestServer { _ in .chunked([:], [[1, 2], [3], Array(repeating: 4, count: 100_000)]) }
    try await withServer(server) { port in
      let stream = try await makeClient().fetch("http://127.0.0.1:\(port)/")
      #expect(stream.size == nil)
      let body = try await stream.collect()
      #expect(body.count == 100_003)
    }
  }

  /// The reader's speed is the server's: what nobody reads stays where it is.
  @Test func backPressure() async throws {
    let sent = Mutex(0)
    let length = 256 << 20
    let server = TestServer { _ in .endless(length: length) { count in sent.withLock { $0 += count } } }
    try await withServer(server) { port in
      let client = makeClient { $0.limits.streamBuffer = 256 << 10 }
      let stream = try await client.fetch("http://127.0.0.1:\(port)/")
      var got = 0
      var ahead = 0
      while let chunk = try await stream.next() {
        got += chunk.readableBytes
        ahead = max(ahead, sent.withLock { $0 } - got)
        // Every chunk leaves the others a turn: without back-pressure the server would run far ahead.
        await Task.yield()
      }
      #expect(got == length)
      // Socket buffers of both sides, the stream's buffer and what was read at once.
      #expect(ahead < 64 << 20, "the server was \(ahead) bytes ahead")
    }
  }

  @Test func lettingGoClosesTheConnection() async throws {
    let server = TestServer { _ in .endless(length: 1 << 40) { _ in } }
    try await withServer(server) { port in
      let client = makeClient { $0.limits.connectionsPerHost = 1 }
      for _ in 0..<3 {
        // With one connection only, the next request would wait for ever if the last one were kept.
        let stream = try await client.fetch("http://127.0.0.1:\(port)/")
        #expect(try await stream.next() != nil)
      }
      #expect(server.connectionCount == 3)
    }
  }

  @Test func connectionsPerHostAreBounded() async throws {
    let server = TestServer { _ in .text(200, "ok") }
    try await withServer(server) { port in
      let client = makeClient { $0.limits.connectionsPerHost = 3 }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<60 {
          group.addTask {
            let body = try await client.fetch("http://127.0.0.1:\(port)/").collect()
            #expect(body.count == 2)
          }
        }
        try await group.waitForAll()
      }
      #expect(server.connectionCount <= 3)
      #expect(server.requests.withLock { $0.count } == 60)
    }
  }

  @Test func tooManyWaiters() async throws {
    let server = TestServer { _ in .hang }
    try await withServer(server) { port in
      let client = makeClient {
        $0.limits.connectionsPerHost = 1
        $0.limits.queuePerHost = 1
        $0.retry.attempts = 1
      }
      let codes = await withTaskGroup(of: DistributionError.Code.self) { group in
        for _ in 0..<3 {
          group.addTask {
            await failure { () throws(DistributionError) in
              try await client.fetch("http://127.0.0.1:\(port)/")
            }.code
          }
        }
        let first = await group.next()
        group.cancelAll()
        var all = [first]
        for await code in group { all.append(code) }
        return all
      }
      #expect(codes == [.tooManyRequests, .cancelled, .cancelled])
    }
  }

  // MARK: Deadlines

  @Test func hangingServers() async throws {
    let server = TestServer { request in
      request.path == "/head" ? .hang : .hangAfter(length: 100, [1, 2, 3])
    }
    try await withServer(server) { port in
      let clock = InstantClock()
      let client = makeClient(clock) {
        $0.deadlines.head = .milliseconds(20)
        $0.deadlines.idle = .milliseconds(20)
        $0.retry.attempts = 2
      }
      let head = await failure { () throws(DistributionError) in try await client.fetch("http://127.0.0.1:\(port)/head")
      }
      #expect(head.code == .timeout)
      #expect(head.isRetriable)
      #expect(head.message.contains("127.0.0.1:\(port)"))
      #expect(clock.sleeps.count == 1)
      let body = await failure { () throws(DistributionError) in
        try await client.fetch("http://127.0.0.1:\(port)/body").collect()
      }
      #expect(body.code == .timeout)
    }
  }

  /// A peer that never falls silent, and never gets on: each attempt ends, and so does the whole.
  @Test func tricklingServers() async throws {
    let server = TestServer { _ in .trickle(length: 1 << 20) }
    try await withServer(server) { port in
      let client = makeClient {
        $0.deadlines.idle = .milliseconds(200)
        $0.limits.rateMin = 10_000
        $0.retry.attempts = 2
      }
      let error = await failure { () throws(DistributionError) in
        let stream = try await client.blob(Digest(of: [1]), in: repository(port))
        while try await stream.next() != nil {}
      }
      // On a machine that stands still for the window it fell silent instead.
      #expect(error.code == .timeout, "\(error)")
      #expect(server.requests.withLock { $0.count } == 2)
    }
  }

  /// A byte now and then keeps the connection alive, but not the request.
  @Test func documentsHaveADeadlineOfTheirOwn() async throws {
    let server = TestServer { _ in .hangAfter(["content-type": "application/json"], length: 100, [0x20]) }
    try await withServer(server) { port in
      let client = makeClient {
        $0.deadlines.document = .milliseconds(20)
        $0.retry.attempts = 1
      }
      let error = await failure { () throws(DistributionError) in try await client.tags(in: repository(port)) }
      #expect(error.code == .timeout)
      #expect(error.message.contains("did not end"))
    }
  }

  @Test func aServerThatNeverTakesTLS() async throws {
    // It accepts and says nothing.
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let port = listener.localAddress?.port ?? 0
    let client = makeClient {
      $0.deadlines.tls = .milliseconds(20)
      $0.retry.attempts = 1
    }
    let error = await failure { () throws(DistributionError) in try await client.fetch("https://127.0.0.1:\(port)/") }
    #expect(error.code == .timeout)
    #expect(error.message.contains("TLS"))
    try await listener.close()
  }

  @Test func nobodyThere() async throws {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let port = listener.localAddress?.port ?? 0
    try await listener.close()
    let clock = InstantClock()
    let client = makeClient(clock)
    let error = await failure { () throws(DistributionError) in try await client.fetch("http://127.0.0.1:\(port)/") }
    #expect(error.code == .unreachable)
    #expect(error.message.contains("refused"))
    #expect(clock.sleeps.count == 4)
  }

  @Test func cancellation() async throws {
    let server = TestServer { request in request.path == "/head" ? .hang : .hangAfter(length: 100, [1]) }
    try await withServer(server) { port in
      let client = makeClient()
      let task = Task { () -> DistributionError.Code in
        await failure { () throws(DistributionError) in try await client.fetch("http://127.0.0.1:\(port)/head") }.code
      }
      while server.requests.withLock({ $0.isEmpty }) { await Task.yield() }
      task.cancel()
      #expect(await task.value == .cancelled)
      let stream = try await client.fetch("http://127.0.0.1:\(port)/body")
      #expect(try await stream.next() != nil)
      let reader = Task { () -> DistributionError.Code in
        await failure { () throws(DistributionError) in try await stream.next() }.code
      }
      reader.cancel()
      #expect(await reader.value == .cancelled)
    }
  }

  // MARK: What servers do

  @Test(arguments: [
    "garbage\r\n\r\n", "HTTP/1.1 999999 x\r\n\r\n", "SSH-2.0-OpenSSH\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nBad Header\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
  ])
  func brokenAnswers(_ text: String) async throws {
    let server = TestServer { _ in .raw(text) }
    try await withServer(server) { port in
      let client = makeClient { $0.retry.attempts = 1 }
      let error = await failure { () throws(DistributionError) in
        try await client.fetch("http://127.0.0.1:\(port)/").collect()
      }
      #expect([.invalidResponse, .connectionLost].contains(error.code), "\(error)")
    }
  }

  @Test func resumesABrokenDownload() async throws {
    let content = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let breaks = Mutex(0)
    let server = TestServer { request in
      let start = request.headers.first(name: "range").flatMap { Int($0.dropFirst(6).dropLast()) } ?? 0
      let number = breaks.withLock { count in
        count += 1
        return count
      }
      let headers: HTTPHeaders = [
        "etag": "\"v1\"", "content-range": "bytes \(start)-\(content.count - 1)/\(content.count)",
      ]
      guard number < 4 else { return .respond(206, headers, Array(content[start...])) }
      return .truncate(
        start == 0 ? 200 : 206, headers, length: content.count - start, Array(content[start..<start + 20_000]))
    }
    try await withServer(server) { port in
      let body = try await makeClient().fetch("http://127.0.0.1:\(port)/").collect()
      #expect(body == content)
      let requests = server.requests.withLock { $0 }
      #expect(requests.count == 4)
      for request in requests.dropFirst() {
        #expect(request.headers.first(name: "if-range") == "\"v1\"")
        #expect(request.headers.contains(name: "range"))
      }
    }
  }

  @Test func contentThatChangesIsNotJoined() async throws {
    let number = Mutex(0)
    let server = TestServer { _ in
      let count = number.withLock { count in
        count += 1
        return count
      }
      return count == 1
        ? .truncate(200, ["etag": "\"v1\""], length: 10, [1, 2, 3])
        : .respond(200, ["etag": "\"v2\""], [9, 9, 9, 9, 9, 9, 9, 9, 9, 9])
    }
    try await withServer(server) { port in
      let error = await failure { () throws(DistributionError) in
        try await makeClient().fetch("http://127.0.0.1:\(port)/").collect()
      }
      #expect(error.code == .contentMismatch)
    }
  }

  /// Without a validator nobody knows whether the second half belongs to the first.
  @Test func noResumeWithoutAValidator() async throws {
    let server = TestServer { _ in .truncate(200, ["etag": "W/\"weak\""], length: 10, [1, 2, 3]) }
    try await withServer(server) { port in
      let error = await failure { () throws(DistributionError) in
        try await makeClient().fetch("http://127.0.0.1:\(port)/").collect()
      }
      #expect(error.code == .connectionLost)
      #expect(server.requests.withLock { $0.count } == 1)
    }
  }

  @Test func secondAttempts() async throws {
    let number = Mutex(0)
    let server = TestServer { _ in
      let count = number.withLock { count in
        count += 1
        return count
      }
      return switch count {
      case 1: .respond(503, ["retry-after": "7"])
      case 2: .respond(429)
      case 3: .close
      default: .text(200, "at last")
      }
    }
    try await withServer(server) { port in
      let clock = InstantClock()
      let body = try await makeClient(clock).fetch("http://127.0.0.1:\(port)/").collect()
      #expect(body.count == 7)
      // The close was one of a kept connection: that is no failure to wait for.
      #expect(clock.sleeps.count == 2)
      #expect(clock.sleeps.first == .seconds(7))
    }
  }

  @Test func finalRefusals() async throws {
    let server = TestServer { request in
      request.path == "/wait" ? .respond(429, ["retry-after": "86400"]) : .text(404, "not here")
    }
    try await withServer(server) { port in
      let missing = await failure { () throws(DistributionError) in
        try await makeClient().fetch("http://127.0.0.1:\(port)/x?sig=secret")
      }
      #expect(missing.code == .notFound)
      #expect(missing.status == 404)
      #expect(!missing.message.contains("secret"))
      let wait = await failure { () throws(DistributionError) in
        try await makeClient().fetch("http://127.0.0.1:\(port)/wait")
      }
      #expect(wait.retryAfter == .seconds(86_400))
      #expect(server.requests.withLock { $0.count } == 2)
    }
  }

  @Test func redirects() async throws {
    let other = TestServer { _ in .text(200, "elsewhere") }
    let otherPort = try await other.start()
    let server = TestServer { request in
      switch request.path {
      case "/a": .respond(302, ["location": "b"])
      case "/b": .respond(307, ["location": "http://127.0.0.1:\(otherPort)/c?sig=1"])
      case "/none": .respond(302)
      default: .respond(301, ["location": "/loop"])
      }
    }
    try await withServer(server) { port in
      let client = makeClient()
      let body = try await client.fetch("http://127.0.0.1:\(port)/a").collect()
      #expect(body.count == 9)
      #expect(other.requests.withLock { $0.map(\.uri) } == ["/c?sig=1"])
      let loop = await failure { () throws(DistributionError) in try await client.fetch("http://127.0.0.1:\(port)/loop")
      }
      #expect(loop.code == .limitExceeded)
      let none = await failure { () throws(DistributionError) in try await client.fetch("http://127.0.0.1:\(port)/none")
      }
      #expect(none.code == .invalidResponse)
    }
    await other.stop()
  }

  @Test(arguments: ["", "file:///etc/passwd", "https://user:pw@host/", "host/path", "http://h/\r\nX: y"])
  func noURLs(_ text: String) async {
    let error = await failure { () throws(DistributionError) in try await makeClient().fetch(text) }
    #expect(error.code == .invalidURL)
    #expect(!error.message.contains("pw"))
  }

  // MARK: TLS

  @Test func certificates() async throws {
    let folder = try TemporaryFolder()
    let server = TestServer { _ in .text(200, "safe") }
    try await withServer(server, isTLS: true, requiresClientCertificate: true) { port in
      let url = "https://127.0.0.1:\(port)/"
      let unknown = await failure { () throws(DistributionError) in
        try await makeClient { $0.retry.attempts = 1 }.fetch(url)
      }
      #expect(unknown.code == .tls)
      #expect(unknown.message.contains("ca.crt"))
      _ = try folder.write("127.0.0.1:\(port)/ca.crt", TestCertificates.ca)
      _ = try folder.write("127.0.0.1:\(port)/me.cert", TestCertificates.client)
      _ = try folder.write("127.0.0.1:\(port)/me.key", TestCertificates.clientKey)
      let client = makeClient()
      client.update(hosts: RegistryHosts(certificateFolders: [folder.path]))
      for _ in 0..<2 {
        let body = try await client.fetch(url).collect()
        #expect(body.count == 4)
      }
      _ = try folder.write("127.0.0.1:\(port)/bad.crt", "no certificate")
      client.update(hosts: RegistryHosts(certificateFolders: [folder.path]))
      let broken = await failure { () throws(DistributionError) in try await client.fetch(url) }
      #expect(broken.code == .invalidConfiguration)
      #expect(broken.message.contains("bad.crt"))
    }
  }

  @Test func plainWhereTLSIsExpected() async throws {
    let server = TestServer { _ in .text(200, "plain") }
    try await withServer(server) { port in
      let error = await failure { () throws(DistributionError) in
        try await makeClient { $0.retry.attempts = 1 }.fetch("https://127.0.0.1:\(port)/")
      }
      #expect(error.code == .tls)
      #expect(error.message.contains("plain HTTP"))
    }
  }

  // MARK: Proxies

  @Test func plainRequestsGoThroughTheProxyWithTheirWholeURL() async throws {
    let proxy = TestServer { _ in .text(200, "by proxy") }
    try await withServer(proxy) { port in
      let client = makeClient {
        $0.proxy = ProxyConfiguration(http: ProxyAddress("http://me:pw@127.0.0.1:\(port)"), exceptions: ["direct.test"])
      }
      let body = try await client.fetch("http://registry.test/x?y").collect()
      #expect(body.count == 8)
      let request = try #require(proxy.requests.withLock { $0.first })
      #expect(request.uri == "http://registry.test/x?y")
      #expect(request.headers.first(name: "host") == "registry.test")
      #expect(request.headers.first(name: "proxy-authorization") == "Basic " + Base64.encode(Array("me:pw".utf8)))
    }
  }

  @Test func tunnels() async throws {
    let folder = try TemporaryFolder()
    let authority = try folder.write("ca.pem", TestCertificates.ca)
    let server = TestServer { _ in .text(200, "through the tunnel") }
    try await withServer(server, isTLS: true) { port in
      let proxy = TunnelProxy(target: port)
      let proxyPort = try await proxy.start()
      let client = makeClient {
        $0.proxy = ProxyConfiguration(https: ProxyAddress("http://me:pw@127.0.0.1:\(proxyPort)"))
        $0.hosts.hosts["api.test"] = .init(tls: .init(authorities: [authority]))
      }
      for _ in 0..<2 {
        let body = try await client.fetch("https://api.test/x").collect()
        #expect(body.count == 18)
      }
      let heads = proxy.heads.withLock { $0 }
      #expect(heads.count == 1)
      #expect(heads[0].hasPrefix("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n"))
      #expect(heads[0].contains("Proxy-Authorization: Basic "))
      // The name is the target's, not the proxy's.
      let wrong = await failure { () throws(DistributionError) in
        try await client.fetch("https://other.test/")
      }
      #expect(wrong.code == .tls)
      await proxy.stop()
    }
  }

  @Test func proxiesThatRefuse() async throws {
    for (answer, code) in [
      ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", .invalidConfiguration),
      ("HTTP/1.1 502 Bad Gateway\r\n\r\n", .unreachable), ("220 mail\r\n", .unreachable), ("", .unreachable),
    ] as [(String, DistributionError.Code)] {
      let proxy = TunnelProxy(answer: answer)
      let port = try await proxy.start()
      let client = makeClient {
        $0.proxy = ProxyConfiguration(https: ProxyAddress("me:pw@127.0.0.1:\(port)"))
        $0.retry.attempts = 1
      }
      let error = await failure { () throws(DistributionError) in try await client.fetch("https://api.test/") }
      #expect(error.code == code, "\(answer.debugDescription): \(error)")
      #expect(!error.message.contains("pw"))
      await proxy.stop()
    }
  }
}

/// A proxy that makes tunnels, all of them to one port of this machine, or that gives one answer and closes.
final class TunnelProxy: Sendable {
  let heads = Mutex<[String]>([])
  private let target: Int
  private let answer: String?
  private let channels = Mutex<[any Channel]>([])

  init(target: Int = 0, answer: String? = nil) {
    self.target = target
    self.answer = answer
  }

  func start() async throws -> Int {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          self.channels.withLock { $0.append(channel) }
          try channel.pipeline.syncOperations.addHandler(Front(proxy: self))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    channels.withLock { $0.append(channel) }
    return channel.localAddress?.port ?? 0
  }

  func stop() async { for channel in channels.withLock({ $0 }) { try? await channel.close() } }

  private final class Front: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let proxy: TunnelProxy
    private var head = ""
    private var back: (any Channel)?

    init(proxy: TunnelProxy) { self.proxy = proxy }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let bytes = unwrapInboundIn(data)
      if let back {
        back.writeAndFlush(bytes, promise: nil)
        return
      }
      head += String(buffer: bytes)
      guard head.hasSuffix("\r\n\r\n") else { return }
      proxy.heads.withLock { $0.append(head) }
      let channel = context.channel
      if let answer = proxy.answer {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
        context.close(promise: nil)
        return
      }
      let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
      ClientBootstrap(group: context.eventLoop)
        .channelInitializer { back in
          back.eventLoop.makeCompletedFuture { try back.pipeline.syncOperations.addHandler(Back(front: channel)) }
        }
        .connect(host: "127.0.0.1", port: proxy.target)
        .whenSuccess { back in
          bound.value.back = back
          channel.writeAndFlush(ByteBuffer(string: "HTTP/1.1 200 Connection established\r\n\r\n"), promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) { back?.close(promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }

  private final class Back: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let front: any Channel

    init(front: any Channel) { self.front = front }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      front.writeAndFlush(unwrapInboundIn(data), promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { front.close(promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
