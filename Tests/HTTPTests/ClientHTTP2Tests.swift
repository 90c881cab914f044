import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL
import Synchronization
import TestKit
import Testing

@testable import HTTP

/// A server of HTTP/2 frames: what it says to each is the test's affair.
final class ClientFrameServer: Sendable {
  struct Peer: Sendable {
    let channel: any Channel
    /// The order in which connections were made, from 1.
    let connection: Int

    func send(_ frames: HTTP2Frame...) {
      for frame in frames { channel.write(frame, promise: nil) }
      channel.flush()
    }

    func answer(_ stream: HTTP2StreamID, _ text: String, status: String = "200") {
      send(
        .init(streamID: stream, payload: .headers(.init(headers: [":status": status]))),
        .init(
          streamID: stream,
          payload: .data(.init(data: .byteBuffer(ByteBuffer(string: text)), endStream: true))))
    }

    func reset(_ stream: HTTP2StreamID, _ code: HTTP2ErrorCode) {
      send(.init(streamID: stream, payload: .rstStream(code)))
    }

    func goAway(_ last: HTTP2StreamID) {
      send(
        .init(
          streamID: .rootStream,
          payload: .goAway(lastStreamID: last, errorCode: .noError, opaqueData: nil)))
    }
  }

  /// Each complete request: its headers, and how long its body is.
  typealias Script = @Sendable (_ request: HPACKHeaders, _ body: Int, HTTP2StreamID, Peer) -> Void

  private let settings: HTTP2Settings
  private let script: Script
  private let channels = Mutex<[any Channel]>([])

  init(settings: HTTP2Settings = [], _ script: @escaping Script) {
    self.settings = settings
    self.script = script
  }

  var connectionCount: Int { channels.withLock { $0.count } }

  func run<Value>(_ body: (_ url: String) async throws -> Value) async throws -> Value {
    var tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMBytes(
        Array(TestCertificates.server.utf8)
      ).map {
        .certificate($0)
      },
      privateKey: .privateKey(
        try NIOSSLPrivateKey(bytes: Array(TestCertificates.serverKey.utf8), format: .pem)))
    tls.applicationProtocols = ["h2"]
    let context = try NIOSSLContext(configuration: tls)
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture {
          let number = channels.withLock { channels in
            channels.append(channel)
            return channels.count
          }
          try channel.pipeline.syncOperations.addHandlers([
            NIOSSLServerHandler(context: context),
            NIOHTTP2Handler(mode: .server, initialSettings: settings),
            Frames(script, Peer(channel: channel, connection: number)),
          ])
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let result: Result<Value, any Error>
    do {
      result = .success(try await body("https://127.0.0.1:\(listener.localAddress?.port ?? 0)/"))
    } catch {
      result = .failure(error)
    }
    try? await listener.close()
    for channel in channels.withLock({ $0 }) { try? await channel.close() }
    return try result.get()
  }

  private final class Frames: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let script: Script
    private let peer: Peer
    private var requests: [HTTP2StreamID: (HPACKHeaders, Int)] = [:]

    init(_ script: @escaping Script, _ peer: Peer) {
      self.script = script
      self.peer = peer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let frame = unwrapInboundIn(data)
      switch frame.payload {
      case .headers(let headers):
        requests[frame.streamID] = (headers.headers, 0)
        if headers.endStream { end(frame.streamID) }
      case .data(let data):
        let count = data.data.readableBytes
        requests[frame.streamID]?.1 += count
        if count > 0 {
          peer.send(
            .init(streamID: .rootStream, payload: .windowUpdate(windowSizeIncrement: count)))
          if !data.endStream {
            peer.send(
              .init(streamID: frame.streamID, payload: .windowUpdate(windowSizeIncrement: count)))
          }
        }
        if data.endStream { end(frame.streamID) }
      default: break
      }
    }

    private func end(_ stream: HTTP2StreamID) {
      guard let (headers, body) = requests.removeValue(forKey: stream) else { return }
      script(headers, body, stream, peer)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
  }
}

@Suite(.timeLimit(.minutes(1))) struct ClientHTTP2Tests {
  private func makeClient(_ change: (inout HTTPClientConfiguration) -> Void = { _ in })
    -> HTTPClient
  {
    var configuration = HTTPClientConfiguration()
    change(&configuration)
    return HTTPClient(configuration)
  }

  private func get(
    _ client: HTTPClient, _ url: String, _ change: (inout HTTPClientRequest) -> Void = { _ in }
  ) async throws(HTTPClientError) -> String {
    try await client.text(url) {
      $0.tls = ClientTLS(
        authorities: [.text(Array(TestCertificates.ca.utf8))], trustsSystem: false)
      change(&$0)
    }
  }

  @Test func requestsAndAnswers() async throws {
    let seen = Mutex<HPACKHeaders>([:])
    let server = ClientFrameServer { request, body, stream, peer in
      seen.withLock { $0 = request }
      peer.answer(stream, "\(body)")
    }
    try await server.run { url in
      let client = makeClient()
      let text = try await get(client, url + "a?b=c") {
        $0.method = .PUT
        $0.headers = ["X-Y": "z", "Connection": "close"]
        $0.body = .bytes(ByteBuffer(repeating: 1, count: 10))
      }
      #expect(text == "10")
      let head = seen.withLock { $0 }
      #expect(
        head[":path"] == ["/a?b=c"] && head[":method"] == ["PUT"] && head[":scheme"] == ["https"])
      #expect(
        head["x-y"] == ["z"] && head["connection"].isEmpty && head["content-length"] == ["10"])
      #expect(head[":authority"].first.map { url.contains($0) } == true && head["host"].isEmpty)
      let code = await clientFailure { () throws(HTTPClientError) in
        try await get(client, url) { $0.headers = ["x": "a\r\nb"] }
      }
      #expect(code == .invalidRequest)
      expectText(try await get(client, url), "0")
      #expect(server.connectionCount == 1)
    }
  }

  /// The answers come only when all have asked.
  @Test func manyRequestsShareAConnection() async throws {
    let waiting = Mutex<[HTTP2StreamID]>([])
    let server = ClientFrameServer { _, _, stream, peer in
      let all = waiting.withLock { waiting in
        waiting.append(stream)
        return waiting.count == 50 ? waiting : []
      }
      for stream in all { peer.answer(stream, "ok") }
    }
    try await server.run { url in
      let client = makeClient { $0.limits.connectionsPerHost = 1 }
      try await withThrowingTaskGroup(of: String.self) { group in
        for _ in 0..<50 { group.addTask { try await get(client, url) } }
        for try await text in group { #expect(text == "ok") }
      }
      #expect(server.connectionCount == 1)
      #expect(client.connectionCount == 1)
    }
  }

  /// No more streams at once than the server takes, on as many connections as are allowed.
  @Test func theLimitOfThePeer() async throws {
    struct Open {
      var streams: [HTTP2StreamID] = []
      var most = 0
    }
    let open = Mutex(Open())
    let server = ClientFrameServer(settings: [
      HTTP2Setting(parameter: .maxConcurrentStreams, value: 2)
    ]) {
      request, _, stream, peer in
      if request[":path"] == ["/first"] { return peer.answer(stream, "first") }
      let both = open.withLock { open -> [HTTP2StreamID] in
        open.streams.append(stream)
        open.most = max(open.most, open.streams.count)
        guard open.streams.count == 2 else { return [] }
        defer { open.streams = [] }
        return open.streams
      }
      for stream in both { peer.answer(stream, "ok") }
    }
    try await server.run { url in
      let client = makeClient { $0.limits.connectionsPerHost = 1 }
      // After it, the limit is known.
      expectText(try await get(client, url + "first"), "first")
      try await withThrowingTaskGroup(of: String.self) { group in
        for _ in 0..<20 { group.addTask { try await get(client, url) } }
        for try await text in group { #expect(text == "ok") }
      }
      #expect(open.withLock { $0.most } == 2)
      #expect(server.connectionCount == 1)
    }
  }

  // MARK: Second attempts

  /// What has been refused has not been done, whatever the method.
  @Test func refusedStreams() async throws {
    let count = Mutex(0)
    let server = ClientFrameServer { _, _, stream, peer in
      let isFirst = count.withLock { count in
        count += 1
        return count == 1
      }
      if isFirst { peer.reset(stream, .refusedStream) } else { peer.answer(stream, "done") }
    }
    try await server.run { url in
      expectText(try await get(makeClient(), url) { $0.method = .POST }, "done")
      #expect(count.withLock { $0 } == 2)
    }
  }

  @Test func refusedForEver() async throws {
    let count = Mutex(0)
    let server = ClientFrameServer { _, _, stream, peer in
      count.withLock { $0 += 1 }
      peer.reset(stream, .refusedStream)
    }
    try await server.run { url in
      let client = makeClient()
      let code = await clientFailure { () throws(HTTPClientError) in try await get(client, url) }
      #expect(code == .refused)
      #expect(count.withLock { $0 } == 4)
    }
  }

  /// The server goes away without having looked at the second request, which a new connection serves.
  @Test func goAway() async throws {
    let held = Mutex<HTTP2StreamID?>(nil)
    let server = ClientFrameServer { request, _, stream, peer in
      guard peer.connection == 1 else { return peer.answer(stream, "second connection") }
      if request[":path"] == ["/slow"] { return held.withLock { $0 = stream } }
      guard let first = held.withLock({ $0 }) else { return peer.answer(stream, "early") }
      peer.goAway(first)
      peer.answer(first, "slow")
    }
    try await server.run { url in
      let client = makeClient()
      let slow = Task { try await get(client, url + "slow") }
      while held.withLock({ $0 == nil }) { await Task.yield() }
      expectText(try await get(client, url) { $0.method = .POST }, "second connection")
      expectText(try await slow.value, "slow")
      expectText(try await get(client, url), "second connection")
      #expect(server.connectionCount == 2)
    }
  }

  /// What may have been done is not done twice.
  @Test(arguments: [HTTP2ErrorCode.internalError, .cancel, .enhanceYourCalm])
  func otherResets(_ code: HTTP2ErrorCode) async throws {
    let count = Mutex(0)
    let server = ClientFrameServer { _, _, stream, peer in
      count.withLock { $0 += 1 }
      peer.reset(stream, code)
    }
    try await server.run { url in
      let client = makeClient()
      let failure = await clientFailure { () throws(HTTPClientError) in
        try await get(client, url) { $0.method = .POST }
      }
      #expect(failure == .closed(isAnswered: false))
      #expect(count.withLock { $0 } == 1)
    }
  }

  // MARK: Flow control

  @Test func largeBodies() async throws {
    let server = ClientFrameServer { _, body, stream, peer in peer.answer(stream, "\(body)") }
    try await server.run { url in
      let client = makeClient()
      let size = 3 << 20
      let text = try await get(client, url) {
        $0.method = .PUT
        $0.body = .source(length: Int64(size)) { _, count in ByteBuffer(repeating: 7, count: count)
        }
      }
      #expect(text == "\(size)")
    }
  }

  /// The reader's speed is the server's, and one that does not read holds nobody up.
  @Test func backPressure() async throws {
    let sent = Mutex(0)
    let server = ClientFrameServer { request, _, stream, peer in
      guard request[":path"] == ["/large"] else { return peer.answer(stream, "ok") }
      peer.send(.init(streamID: stream, payload: .headers(.init(headers: [":status": "200"]))))
      let part = HTTP2Frame(
        streamID: stream,
        payload: .data(.init(data: .byteBuffer(ByteBuffer(repeating: 7, count: 16 << 10)))))
      @Sendable func next() {
        peer.channel.writeAndFlush(part).whenSuccess {
          sent.withLock { $0 += 16 << 10 }
          peer.channel.eventLoop.execute { next() }
        }
      }
      next()
    }
    try await server.run { url in
      let client = makeClient {
        $0.limits.streamBuffer = 128 << 10
        $0.limits.streamWindow = 128 << 10
      }
      var request = HTTPClientRequest(method: .GET, url: try #require(HTTPURL(url + "large")))
      request.tls = ClientTLS(
        authorities: [.text(Array(TestCertificates.ca.utf8))], trustsSystem: false)
      let large = try await client.execute(request)
      #expect(try await large.next() != nil)
      // Others come and go while nobody reads.
      for _ in 0..<50 { expectText(try await get(client, url), "ok") }
      #expect(sent.withLock { $0 } < 2 << 20)
      var got = 0
      while got < 4 << 20, let part = try await large.next() { got += part.readableBytes }
      #expect(got >= 4 << 20)
      #expect(server.connectionCount == 1)
    }
  }

  // MARK: Hostile servers

  @Test func hugeHeads() async throws {
    let server = ClientFrameServer { _, _, stream, peer in
      var headers: HPACKHeaders = [":status": "200"]
      for number in 0..<300 { headers.add(name: "x-\(number)", value: "") }
      peer.send(.init(streamID: stream, payload: .headers(.init(headers: headers))))
    }
    try await server.run { url in
      let client = makeClient()
      let code = await clientFailure { () throws(HTTPClientError) in try await get(client, url) }
      #expect(code == .headTooLarge)
    }
  }

  @Test func endlessAnnouncements() async throws {
    let server = ClientFrameServer { _, _, stream, peer in
      for _ in 0..<1000 {
        peer.channel.write(
          HTTP2Frame(streamID: stream, payload: .headers(.init(headers: [":status": "103"]))),
          promise: nil)
      }
      peer.channel.flush()
    }
    try await server.run { url in
      let client = makeClient()
      let code = await clientFailure { () throws(HTTPClientError) in try await get(client, url) }
      #expect(code == .malformed)
    }
  }

  /// A connection on which an answer is missed is not trusted with another request.
  @Test func silentServers() async throws {
    let server = ClientFrameServer { request, _, stream, peer in
      if request[":path"] != ["/silent"] { peer.answer(stream, "\(peer.connection)") }
    }
    try await server.run { url in
      let client = makeClient()
      expectText(try await get(client, url), "1")
      let code = await clientFailure { () throws(HTTPClientError) in
        try await get(client, url + "silent") { $0.headDeadline = .milliseconds(20) }
      }
      #expect(code == .timeout(.head, .milliseconds(20)))
      expectText(try await get(client, url), "2")
    }
  }

  @Test func connectionsThatBreak() async throws {
    let server = ClientFrameServer { _, _, stream, peer in
      if peer.connection == 1 {
        peer.channel.close(promise: nil)
      } else {
        peer.answer(stream, "ok")
      }
    }
    try await server.run { url in
      let client = makeClient()
      let code = await clientFailure { () throws(HTTPClientError) in
        try await get(client, url) { $0.method = .POST }
      }
      #expect(code == .closed(isAnswered: false))
      expectText(try await get(client, url), "ok")
    }
  }

  @Test func answersThatAreCutOff() async throws {
    let server = ClientFrameServer { _, _, stream, peer in
      peer.send(
        .init(streamID: stream, payload: .headers(.init(headers: [":status": "200"]))),
        .init(
          streamID: stream, payload: .data(.init(data: .byteBuffer(ByteBuffer(string: "half"))))))
      peer.reset(stream, .internalError)
    }
    try await server.run { url in
      let client = makeClient()
      let code = await clientFailure { () throws(HTTPClientError) in try await get(client, url) }
      #expect(code == .closed(isAnswered: true))
    }
  }

  /// A reader that lets go ends its stream and nothing else.
  @Test func lettingGoEndsTheStream() async throws {
    let server = ClientFrameServer { request, _, stream, peer in
      guard request[":path"] == ["/half"] else { return peer.answer(stream, "ok") }
      peer.send(
        .init(streamID: stream, payload: .headers(.init(headers: [":status": "200"]))),
        .init(
          streamID: stream, payload: .data(.init(data: .byteBuffer(ByteBuffer(string: "half"))))))
    }
    try await server.run { url in
      let client = makeClient { $0.limits.connectionsPerHost = 1 }
      for _ in 0..<3 {
        var request = HTTPClientRequest(method: .GET, url: try #require(HTTPURL(url + "half")))
        request.tls = ClientTLS(
          authorities: [.text(Array(TestCertificates.ca.utf8))], trustsSystem: false)
        let half = try await client.execute(request)
        #expect(try await half.next() != nil)
      }
      expectText(try await get(client, url), "ok")
      #expect(server.connectionCount == 1)
    }
  }

  /// What has a connection of its own, or asks for another protocol, speaks HTTP/1.1: this server has none.
  @Test func aloneIsHTTP1() async throws {
    let server = ClientFrameServer { _, _, stream, peer in peer.answer(stream, "ok") }
    try await server.run { url in
      let client = makeClient()
      let code = await clientFailure { () throws(HTTPClientError) in
        try await get(client, url) { $0.isAlone = true }
      }
      #expect(code != nil)
      expectText(try await get(client, url), "ok")
    }
  }

  /// Whose settings never come speaks no HTTP/2.
  @Test func serversThatDoNotBegin() async throws {
    let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let client = makeClient {
      $0.http2 = .required
      $0.deadlines.settings = .milliseconds(20)
    }
    let code = await clientFailure { () throws(HTTPClientError) in
      try await client.text("http://127.0.0.1:\(silent.localAddress?.port ?? 0)/")
    }
    #expect(code == .timeout(.settings, .milliseconds(20)))
    #expect(client.connectionCount == 0)
    try await silent.close()
  }

  /// A server that has only HTTP/1.1 is no server of HTTP/2.
  @Test func http1IsNotEnoughWhereHTTP2IsRequired() async throws {
    let server = ClientTestServer { _ in .text("ok") }
    try await server.run(isTLS: true) { port in
      let client = makeClient { $0.http2 = .required }
      let url = "https://127.0.0.1:\(port)/"
      let tls = await clientFailure { () throws(HTTPClientError) in try await get(client, url) }
      #expect(tls == .tls)
      for change in [{ $0.isAlone = true }, { $0.mayUpgrade = true }] as [(inout HTTPClientRequest) -> Void] {
        let alone = await clientFailure { () throws(HTTPClientError) in try await get(client, url, change) }
        #expect(alone == .invalidRequest)
      }
      expectText(try await get(makeClient(), url), "ok")
      expectText(try await get(makeClient { $0.http2 = .never }, url), "ok")
    }
  }

  // MARK: Our own server

  /// Answers with the major version of HTTP, the path, and how long the body was.
  private func withOwnServer(isTLS: Bool, _ body: (_ url: String, HTTPServer) async throws -> Void) async throws {
    let handler = TestHandler { request in
      let (version, uri) = (request.head.version.major, request.head.uri)
      let holder = ConnectionBudget.User(name: "a", isPrivileged: false)
      return .collect(bytesMax: 1 << 20, holder: holder) { body, respond in
        let text = ByteBuffer(string: "\(version) \(uri) \(body?.readableBytes ?? 0)")
        respond(HTTPServerResponse(status: 200, body: .buffer(text)))
      }
    }
    var context: NIOSSLContext?
    if isTLS {
      var tls = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.server.utf8)).map {
          .certificate($0)
        },
        privateKey: .privateKey(
          try NIOSSLPrivateKey(bytes: Array(TestCertificates.serverKey.utf8), format: .pem)))
      tls.applicationProtocols = HTTPServer.applicationProtocols
      context = try NIOSSLContext(configuration: tls)
    }
    let server = HTTPServer(
      group: MultiThreadedEventLoopGroup.singleton, tls: context,
      limits: HTTPServerLimits(
        connections: ConnectionBudget.Limits(total: 256, strangers: 64),
        bodies: SharedBudget.Limits(total: 8 << 20, share: 4 << 20, kept: 4 << 20)),
      drainTimeout: .seconds(5), handler: handler)
    let port = try await server.listen(host: "127.0.0.1", port: 0)
    do {
      try await body("\(isTLS ? "https" : "http")://127.0.0.1:\(port)/", server)
    } catch {
      await server.shutdown()
      throw error
    }
    await server.shutdown()
  }

  @Test func ourOwnServer() async throws {
    try await withOwnServer(isTLS: true) { url, server in
      let client = makeClient()
      expectText(try await get(client, url + "first"), "2 /first 0")
      try await withThrowingTaskGroup(of: (Int, String).self) { group in
        for number in 0..<100 {
          group.addTask {
            let text = try await get(client, url + "\(number)") {
              $0.method = .PUT
              $0.body = .bytes(ByteBuffer(repeating: 7, count: number * 10))
            }
            return (number, text)
          }
        }
        for try await (number, text) in group { #expect(text == "2 /\(number) \(number * 10)") }
      }
      #expect(client.connectionCount == 1)
      #expect(server.connectionCount == 1)
      expectText(try await get(client, url) { $0.isAlone = true }, "1 / 0")
      // A head that fits into no frame goes the old way, and leaves the others alone.
      let large: HTTPHeaders = ["x": String(repeating: "a", count: 20_000)]
      expectText(try await get(client, url) { $0.headers = large }, "1 / 0")
      // What takes more room than it has bytes goes the old way before.
      let wide: HTTPHeaders = ["x": String(repeating: "~", count: 12_000)]
      expectText(try await get(client, url) { $0.headers = wide }, "1 / 0")
      let fitting: HTTPHeaders = ["x": String(repeating: "a", count: 14_000)]
      expectText(try await get(client, url) { $0.headers = fitting }, "2 / 0")
      let old = makeClient { $0.http2 = .never }
      expectText(try await get(old, url), "1 / 0")
    }
  }

  @Test func priorKnowledge() async throws {
    try await withOwnServer(isTLS: false) { url, _ in
      let client = makeClient { $0.http2 = .required }
      for _ in 0..<3 { expectText(try await client.text(url + "x"), "2 /x 0") }
      #expect(client.connectionCount == 1)
      expectText(try await makeClient().text(url), "1 / 0")
      let large = await clientFailure { () throws(HTTPClientError) in
        try await client.text(url) { $0.headers = ["x": String(repeating: "a", count: 20_000)] }
      }
      #expect(large == .invalidRequest)
      expectText(try await client.text(url), "2 / 0")
    }
  }

  /// A server that stops lets the client go on with another.
  @Test func theEndOfOurServer() async throws {
    let client = makeClient()
    try await withOwnServer(isTLS: true) { url, server in
      expectText(try await get(client, url), "2 / 0")
      await server.shutdown()
      while client.connectionCount > 0 { await Task.yield() }
      let code = await clientFailure { () throws(HTTPClientError) in
        try await get(client, url) { $0.method = .POST }
      }
      #expect(code == .connect, "its connection has been given up, and nobody listens")
    }
  }
}
