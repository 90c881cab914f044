import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestKit
import Testing

@testable import HTTP

@Suite(.timeLimit(.minutes(1))) struct ClientTests {
  private func makeClient(_ change: (inout HTTPClientConfiguration) -> Void = { _ in }) -> HTTPClient {
    var configuration = HTTPClientConfiguration()
    change(&configuration)
    return HTTPClient(configuration)
  }

  private let roots = ClientTLS(authorities: [.text(Array(TestCertificates.ca.utf8))], trustsSystem: false)

  // MARK: Heads

  @Test func headsSayWhatTheRequestSays() throws {
    let url = try #require(HTTPURL("http://h.test:81/a?b"))
    var request = HTTPClientRequest(method: .POST, url: url, headers: ["x": "y"])
    let plain = request.head(userAgent: "me", proxy: nil)
    #expect(plain.uri == "/a?b")
    #expect(plain.headers == ["host": "h.test:81", "user-agent": "me", "x": "y", "content-length": "0"])
    request.headers = ["Host": "other", "User-Agent": "you", "Content-Length": "99"]
    request.body = .bytes(ByteBuffer(string: "abc"))
    let own = request.head(userAgent: "me", proxy: nil)
    #expect(own.headers == ["Host": "other", "User-Agent": "you", "content-length": "3"])
    let proxied = request.head(userAgent: "me", proxy: ProxyAddress("u:p@proxy:1"))
    #expect(proxied.uri == "http://h.test:81/a?b")
    #expect(proxied.headers.contains(name: "proxy-authorization"))
  }

  @Test func fieldsThatWouldBreakTheHeadAreNotSent() async throws {
    let server = ClientTestServer { _ in .text("ok") }
    try await server.run { port in
      let client = makeClient()
      for headers in [["x": "a\r\nHost: evil"], ["a b": "c"]] as [HTTPHeaders] {
        let code = await clientFailure { () throws(HTTPClientError) in
          try await client.text("http://127.0.0.1:\(port)/") { $0.headers = headers }
        }
        #expect(code == .invalidRequest)
      }
      #expect(server.requests.withLock { $0.isEmpty })
      expectText(try await client.text("http://127.0.0.1:\(port)/"), "ok")
    }
  }

  // MARK: Places

  @Test func unixSockets() async throws {
    let folder = try ClientTestFolder()
    let path = "\(folder.path)/socket"
    let server = ClientTestServer { request in .text("\(request.head.headers["host"]) \(request.head.uri)") }
    try await server.run(unixSocket: path) { _ in
      let client = makeClient()
      for _ in 0..<2 {
        let text = try await client.text("http://engine/v1/x") { $0.endpoint = .unixSocket(path: path) }
        #expect(text == "[\"engine\"] /v1/x")
      }
      #expect(server.connectionCount == 1)
      let code = await clientFailure { () throws(HTTPClientError) in
        try await client.text("http://engine/") { $0.endpoint = .unixSocket(path: path + "-absent") }
      }
      #expect(code == .connect)
    }
  }

  @Test func anotherAddressThanTheURLNames() async throws {
    let server = ClientTestServer { request in .text("\(request.head.headers["host"])") }
    try await server.run(isTLS: true, host: "127.0.0.2") { port in
      let client = makeClient { $0.proxy = ProxyConfiguration(https: ProxyAddress("127.0.0.1:1")) }
      var tls = roots
      let text = try await client.text("https://api.test/") {
        $0.endpoint = .address(host: "127.0.0.2", port: port)
        $0.tls = tls
      }
      #expect(text == "[\"api.test\"]")
      // The certificate must have the URL's name, or the one that is set.
      let wrong = await clientFailure { () throws(HTTPClientError) in
        try await client.text("https://other.test/") {
          $0.endpoint = .address(host: "127.0.0.2", port: port)
          $0.tls = tls
        }
      }
      #expect(wrong == .tls)
      tls.serverName = "api.test"
      let named = try await client.text("https://other.test/") {
        $0.endpoint = .address(host: "127.0.0.2", port: port)
        $0.tls = tls
      }
      #expect(named == "[\"other.test\"]")
    }
  }

  /// What is met at one place by one set of certificates is not used for another.
  @Test func connectionsAreSharedByEqualSettingsOnly() async throws {
    let server = ClientTestServer { _ in .text("ok") }
    try await server.run(isTLS: true) { port in
      let client = makeClient()
      var other = roots
      other.isVerificationSkipped = true
      for tls in [roots, other, roots, other] {
        _ = try await client.text("https://127.0.0.1:\(port)/") { $0.tls = tls }
      }
      #expect(server.connectionCount == 2)
    }
  }

  // MARK: Certificates

  @Test func certificatesAndTheirRenewal() async throws {
    let folder = try ClientTestFolder()
    let server = ClientTestServer { _ in .text("ok") }
    try await server.run(isTLS: true, requiresClientCertificate: true) { port in
      let url = "https://127.0.0.1:\(port)/"
      var tls = roots
      tls.certificate = .file(try folder.write("cert.pem", TestCertificates.client))
      tls.key = .file(try folder.write("key.pem", TestCertificates.clientKey))
      let client = makeClient()
      expectText(try await client.text(url) { $0.tls = tls }, "ok")
      // A damaged file counts once it is read again.
      _ = try folder.write("key.pem", "no key")
      expectText(try await client.text(url) { $0.tls = tls }, "ok")
      client.reset()
      let broken = await clientFailure { () throws(HTTPClientError) in try await client.text(url) { $0.tls = tls } }
      #expect(broken == .invalidConfiguration)
      _ = try folder.write("key.pem", TestCertificates.clientKey)
      expectText(try await client.text(url) { $0.tls = tls }, "ok")
      #expect(server.connectionCount == 2)
    }
  }

  /// Nobody but the given authorities, where the system's are not wanted.
  @Test func authorities() async throws {
    let server = ClientTestServer { _ in .text("ok") }
    try await server.run(isTLS: true) { port in
      let client = makeClient()
      let none = await clientFailure { () throws(HTTPClientError) in
        try await client.text("https://127.0.0.1:\(port)/") { $0.tls = ClientTLS(trustsSystem: false) }
      }
      #expect(none == .tls)
      expectText(try await client.text("https://127.0.0.1:\(port)/") { $0.tls = roots }, "ok")
    }
  }

  @Test func whatCannotBeUsedIsToldBefore() throws {
    let client = makeClient()
    try client.prepare(roots)
    for tls in [
      ClientTLS(authorities: [.text([1, 2, 3])]), ClientTLS(authorities: [.file("/nonexistent")]),
      ClientTLS(certificate: .text(Array(TestCertificates.client.utf8))),
      ClientTLS(certificate: .text(Array(TestCertificates.client.utf8)), key: .text(Array("secret".utf8))),
    ] {
      let error = #expect(throws: HTTPClientError.self) { try client.prepare(tls) }
      #expect(error?.code == .invalidConfiguration)
      #expect(error?.message.contains("secret") == false)
    }
    var dumped = ""
    dump(ClientTLS(key: .text(Array("secret".utf8))), to: &dumped)
    #expect(!dumped.contains("115"), "the bytes of a key are not printed")
  }

  /// A connection that was in use when the settings changed serves nobody after.
  @Test func resetEndsConnectionsInUse() async throws {
    let server = ClientTestServer { request in request.head.uri == "/slow" ? .later("slow") : .text("ok") }
    try await server.run { port in
      let client = makeClient()
      let slow = Task { () throws(HTTPClientError) in try await client.text("http://127.0.0.1:\(port)/slow") }
      while server.requests.withLock({ $0.isEmpty }) { await Task.yield() }
      client.reset()
      server.answerHeld()
      expectText(try await slow.value, "slow")
      expectText(try await client.text("http://127.0.0.1:\(port)/"), "ok")
      #expect(server.requests.withLock { $0.map(\.connection) } == [1, 2])
    }
  }

  // MARK: Connections

  @Test func aConnectionOfItsOwn() async throws {
    let server = ClientTestServer { _ in .text("ok") }
    try await server.run { port in
      let client = makeClient { $0.limits.connectionsPerHost = 1 }
      let url = try #require(HTTPURL("http://127.0.0.1:\(port)/"))
      var request = HTTPClientRequest(method: .GET, url: url)
      let shared = try await client.execute(request)
      // The pool's only connection is in use.
      request.isAlone = true
      let alone = try await client.execute(request)
      #expect(client.connectionCount == 1)
      #expect(try await alone.collect(limit: 10, within: .seconds(10))?.count == 2)
      #expect(try await shared.collect(limit: 10, within: .seconds(10))?.count == 2)
      _ = try await client.text("http://127.0.0.1:\(port)/") { $0.isAlone = true }
      _ = try await client.text("http://127.0.0.1:\(port)/")
      #expect(server.requests.withLock { $0.map(\.connection) } == [1, 2, 3, 1])
    }
  }

  /// Whether a write was done is not known once its connection is gone.
  @Test(arguments: [(HTTPMethod.GET, true), (.POST, false), (.DELETE, false)])
  func closedConnections(_ method: HTTPMethod, _ isRepeated: Bool) async throws {
    let server = ClientTestServer { request in
      request.connection == 1 && request.head.uri == "/second" ? .close : .text("ok")
    }
    try await server.run { port in
      let client = makeClient()
      _ = try await client.text("http://127.0.0.1:\(port)/first")
      let second = try #require(HTTPURL("http://127.0.0.1:\(port)/second"))
      do throws(HTTPClientError) {
        _ = try await client.execute(HTTPClientRequest(method: method, url: second))
        #expect(isRepeated)
      } catch {
        #expect(error.code == .closed(isAnswered: false))
        #expect(!isRepeated)
      }
      #expect(server.requests.withLock { $0.count } == (isRepeated ? 3 : 2))
    }
  }

  // MARK: Bodies

  @Test func bodiesBySizeAndSource() async throws {
    let server = ClientTestServer { request in .text("\(request.body.count) \(request.body.last ?? 0)") }
    try await server.run { port in
      let client = makeClient { $0.limits.streamBuffer = 64 << 10 }
      func send(_ body: HTTPClientRequest.Body) async throws(HTTPClientError) -> String {
        try await client.text("http://127.0.0.1:\(port)/") {
          $0.method = .PUT
          $0.body = body
        }
      }
      let source = HTTPClientRequest.Body.source(length: 1 << 20) { offset, count in
        ByteBuffer(repeating: UInt8(offset >> 18), count: min(count, 100_000))
      }
      for (body, expected) in [
        (.none, "0 0"), (.bytes(ByteBuffer()), "0 0"), (.bytes(ByteBuffer(repeating: 7, count: 1000)), "1000 7"),
        (.bytes(ByteBuffer(repeating: 7, count: 3 << 20)), "\(3 << 20) 7"), (source, "\(1 << 20) 3"),
      ] as [(HTTPClientRequest.Body, String)] {
        let text = try await send(body)
        #expect(text == expected)
      }
      struct Broken: Error {}
      for body in [
        .source(length: 10) { _, _ in ByteBuffer() }, .source(length: 10) { _, _ in throw Broken() },
      ] as [HTTPClientRequest.Body] {
        let code = await clientFailure { () throws(HTTPClientError) in try await send(body) }
        #expect(code == .source)
      }
      // None of the halves is left on a connection that is used again.
      let last = try await send(.none)
      #expect(last == "0 0")
    }
  }

  @Test func anEarlyAnswerEndsTheBody() async throws {
    let server = ClientTestServer(early: { _ in .text("no need") }) { _ in .hang }
    try await server.run { port in
      let client = makeClient { $0.limits.streamBuffer = 64 << 10 }
      let sent = Mutex<Int64>(0)
      let text = try await client.text("http://127.0.0.1:\(port)/") {
        $0.method = .PUT
        $0.body = .source(length: 1 << 40) { offset, count in
          sent.withLock { $0 = offset }
          return ByteBuffer(repeating: 0, count: count)
        }
      }
      #expect(text == "no need")
      #expect(sent.withLock { $0 } < 1 << 30)
      #expect(client.connectionCount == 0, "half a request was sent")
    }
  }

  // MARK: Hostile servers

  /// Fields, and bytes in each: one that is too large, too much of all together, too many.
  @Test(arguments: [(1, 90 << 10), (200, 2 << 10), (300, 1)])
  func hugeHeads(_ count: Int, _ size: Int) async throws {
    let field = "x: \(String(repeating: "a", count: size))\r\n"
    let server = ClientTestServer { _ in .raw("HTTP/1.1 200 OK\r\n\(String(repeating: field, count: count))\r\n") }
    try await server.run { port in
      let code = await clientFailure { () throws(HTTPClientError) in
        try await makeClient().text("http://127.0.0.1:\(port)/")
      }
      #expect(code == .headTooLarge)
    }
  }

  @Test func endlessAnnouncements() async throws {
    let server = ClientTestServer { _ in .endless("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n") }
    try await server.run { port in
      let code = await clientFailure { () throws(HTTPClientError) in
        try await makeClient().text("http://127.0.0.1:\(port)/")
      }
      #expect(code == .malformed)
    }
  }

  @Test func announcementsAreNoAnswers() async throws {
    let server = ClientTestServer { _ in
      .raw(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    }
    try await server.run { port in
      let client = makeClient()
      for _ in 0..<20 { expectText(try await client.text("http://127.0.0.1:\(port)/"), "ok") }
      #expect(server.connectionCount == 1)
    }
  }

  @Test(arguments: [
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "nonsense\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
  ])
  func brokenAnswers(_ text: String) async throws {
    let server = ClientTestServer { _ in .raw(text) }
    try await server.run { port in
      let code = await clientFailure { () throws(HTTPClientError) in
        try await makeClient().text("http://127.0.0.1:\(port)/")
      }
      #expect(code == .malformed)
    }
  }

  /// What comes without having been asked for is not taken for the next answer.
  @Test func unaskedAnswers() async throws {
    let server = ClientTestServer { request in
      .raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
          + (request.connection == 1 ? "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil" : ""))
    }
    try await server.run { port in
      let client = makeClient()
      for _ in 0..<3 {
        let text = try await client.text("http://127.0.0.1:\(port)/")
        #expect(text == "ok")
      }
    }
  }

  // MARK: Other protocols

  /// After the answer the connection is the caller's, with what has come behind it.
  @Test func upgrades() async throws {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(EchoAfterUpgrade()) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let url = try #require(HTTPURL("http://127.0.0.1:\(listener.localAddress?.port ?? 0)/chat"))
    var request = HTTPClientRequest(method: .GET, url: url, headers: ["Connection": "Upgrade", "Upgrade": "echo"])
    request.mayUpgrade = true
    let client = makeClient()
    let answer = try await client.execute(request)
    #expect(answer.status == 101 && answer.headers["upgrade"] == ["echo"])
    let text = try await answer.takeOver().executeThenClose { input, output in
      var text = ""
      try await output.write(ByteBuffer(string: " and more"))
      for try await bytes in input {
        text += String(buffer: bytes)
        if text.hasSuffix("more") { break }
      }
      return text
    }
    #expect(text == "first and more")
    let again = await clientFailure { () throws(HTTPClientError) in try await answer.takeOver() }
    #expect(again == .malformed, "it is taken once")
    try await listener.close()
  }

  @Test func upgradesThatAreRefused() async throws {
    let server = ClientTestServer { _ in .text("no") }
    try await server.run { port in
      let client = makeClient()
      var request = HTTPClientRequest(
        method: .GET, url: try #require(HTTPURL("http://127.0.0.1:\(port)/")), headers: ["upgrade": "echo"])
      request.mayUpgrade = true
      let answer = try await client.execute(request)
      #expect(answer.status == 200)
      let taken = await clientFailure { () throws(HTTPClientError) in try await answer.takeOver() }
      #expect(taken == .malformed)
      #expect(try await answer.collect(limit: 10, within: .seconds(10)) == Array("no".utf8))
    }
  }

  // MARK: Deadlines

  @Test func theDeadlineIsForTheWhole() async throws {
    let server = ClientTestServer { _ in .hang }
    try await server.run(isTLS: true) { port in
      let client = makeClient { $0.limits.connectionsPerHost = 1 }
      let limit = Duration.milliseconds(30)
      let codes = await withTaskGroup(of: HTTPClientError.Code?.self) { group in
        // One of them waits for the server, the other for the connection.
        for _ in 0..<2 {
          group.addTask {
            await clientFailure { () throws(HTTPClientError) in
              try await client.text("https://127.0.0.1:\(port)/") {
                $0.tls = roots
                $0.headDeadline = limit
              }
            }
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      #expect(codes == [.timeout(.head, limit), .timeout(.head, limit)])
    }
  }

  @Test func phasesHaveDeadlines() async throws {
    let server = ClientTestServer { _ in .hang }
    try await server.run { port in
      let client = makeClient {
        $0.deadlines.head = .milliseconds(20)
        $0.deadlines.tls = .milliseconds(20)
      }
      let head = await clientFailure { () throws(HTTPClientError) in
        try await client.text("http://127.0.0.1:\(port)/")
      }
      #expect(head == .timeout(.head, .milliseconds(20)))
    }
    // It accepts and says nothing.
    let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let client = makeClient { $0.deadlines.tls = .milliseconds(20) }
    let tls = await clientFailure { () throws(HTTPClientError) in
      try await client.text("https://127.0.0.1:\(silent.localAddress?.port ?? 0)/")
    }
    #expect(tls == .timeout(.tls, .milliseconds(20)))
    try await silent.close()
  }

  @Test func paceOfThePeer() {
    var pace = ResponsePace()
    func isFast(_ bytes: Int, _ waited: Duration) -> Bool {
      pace.received(bytes)
      return pace.waited(waited, window: .seconds(60), rateMin: 1000)
    }
    // A reader that takes its time: the peer was hardly waited for.
    for _ in 0..<1000 {
      let isFast = isFast(1, .milliseconds(1))
      #expect(isFast)
    }
    pace = ResponsePace()
    // Each window by itself.
    let windows = [
      isFast(59_000, .seconds(59)), isFast(0, .seconds(1)), isFast(60_000, .seconds(60)), isFast(59_999, .seconds(60)),
    ]
    #expect(windows == [true, false, true, false])
  }

  @Test func cancelling() async throws {
    let server = ClientTestServer { _ in .hang }
    try await server.run { port in
      let client = makeClient()
      let call = Task {
        await clientFailure { () throws(HTTPClientError) in try await client.text("http://127.0.0.1:\(port)/") }
      }
      while server.requests.withLock({ $0.isEmpty }) { await Task.yield() }
      call.cancel()
      #expect(await call.value == .cancelled)
      #expect(client.connectionCount == 0)
    }
  }
}

/// Answers the first head with 101 and a word behind it, and then says what it is told.
private final class EchoAfterUpgrade: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var head = ""

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    guard !head.hasSuffix("\r\n\r\n") else {
      context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
      return
    }
    head += String(buffer: bytes)
    guard head.hasSuffix("\r\n\r\n") else { return }
    context.writeAndFlush(
      wrapOutboundOut(
        ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst")),
      promise: nil)
  }
}
