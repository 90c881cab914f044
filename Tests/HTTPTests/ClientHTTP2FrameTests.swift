import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTP2
import Synchronization
import TestKit
import Testing

@testable import HTTP

/// HTTP/2 as bytes: what a server may send, and what it must not be able to do.
@Suite(.timeLimit(.minutes(1))) struct ClientHTTP2FrameTests {
  // MARK: Answers

  @Test func answersAreRead() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin()
    let (first, second) = (try await server.request(connection), try await server.request(connection))
    await server.send(.headers, HTTP2Peer.endHeaders, 3, FrameScript.block([(":status", "404"), ("x", "y")]))
    await server.send(.data, HTTP2Peer.endStream, 3, Array("second".utf8))
    await server.send(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block([(":status", "103")]))
    await server.send(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block([(":status", "200")]))
    await server.send(.data, 0, 1, Array("first".utf8))
    await server.send(
      .headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 1, FrameScript.block([("checksum", "1")]))
    #expect(try await first.outcome() == FrameScript.Outcome(status: 200, body: "first"))
    #expect(try await second.outcome() == FrameScript.Outcome(status: 404, body: "second"))
    #expect(server.isOpen && server.events == [.limited(100)])
    // The codec's own field is not shown as one of the server's.
    #expect(try await first.exchange.head(within: .seconds(1)).headers.contains(name: "transfer-encoding") == false)
  }

  /// What its caller has given up while the line was full is not sent when there is room again.
  @Test func requestsThatWereGivenUpBeforeTheyWereSent() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin()
    _ = try await server.written()
    try await server.setWritable(false)
    let late = try await server.request(connection, body: ByteBuffer(string: "body"))
    let code = await server.timePasses {
      await clientFailure { () throws(HTTPClientError) in try await late.outcome() }
    }
    #expect(code == .timeout(.head, .seconds(1)))
    try await server.setWritable(true)
    #expect(try await server.written().allSatisfy { ![.headers, .data].contains($0.kind) })
    // The connection goes on.
    let next = try await server.request(connection)
    #expect(try await server.written().filter { $0.kind == .headers }.map(\.stream) == [3])
    await server.send(.headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 3, FrameScript.block([(":status", "204")]))
    #expect(try await next.outcome().status == 204)
  }

  @Test func pingsAreAnswered() async throws {
    let server = try await FrameScript()
    _ = try await server.begin()
    await server.send(.ping, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])
    let answers = try await server.written().filter { $0.kind == .ping }
    #expect(answers.count == 1 && answers.first?.flags == 1 && answers.first?.payload == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  // MARK: Answers that are none

  /// One stream ends, and the others go on.
  @Test(arguments: [
    [(":status", "200"), ("connection", "close")], [(":status", "200"), ("transfer-encoding", "chunked")],
    [(":status", "200"), ("upgrade", "x")], [(":status", "200"), ("Upper", "a")], [("x", "y")],
    [(":status", "200"), (":status", "200")], [(":status", "200"), (":path", "/")], [("x", "y"), (":status", "200")],
    [(":status", "-10")], [(":status", "9x9")], [(":status", "20000")], [(":status", "101")],
    [(":status", "200"), ("x", "a\r\nb")], [(":status", "200"), ("content-length", "5")],
    [(":status", "200"), ("content-length", "x")],
  ])
  func malformedAnswers(_ fields: [(String, String)]) async throws {
    let server = try await FrameScript()
    let connection = try await server.begin()
    let (broken, whole) = (try await server.request(connection), try await server.request(connection))
    await server.send(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block(fields))
    await server.send(.data, HTTP2Peer.endStream, 1, Array("abc".utf8))
    #expect(await clientFailure { () throws(HTTPClientError) in try await broken.outcome() } == .malformed)
    await server.send(.headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 3, FrameScript.block([(":status", "204")]))
    #expect(try await whole.outcome() == FrameScript.Outcome(status: 204, body: ""))
    #expect(server.isOpen)
    #expect(try await server.written().contains { $0.kind == .reset && $0.stream == 1 })
  }

  /// By number, by size, and by what it would unfold to.
  @Test func headsThatAreTooLarge() async throws {
    let many = (0..<300).map { ("x\($0)", "") }
    let large = [("x", String(repeating: "a", count: 2000))]
    for fields in [many, large] {
      let server = try await FrameScript { $0.limits.headerField = 1000 }
      let connection = try await server.begin()
      let request = try await server.request(connection)
      await server.send(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block([(":status", "200")] + fields))
      #expect(await clientFailure { () throws(HTTPClientError) in try await request.outcome() } == .headTooLarge)
      #expect(server.isOpen)
    }
    let bomb = try await FrameScript()
    let request = try await bomb.request(try await bomb.begin())
    // A field that goes into the table, and is named again and again by one byte (RFC 7541, section 6.1).
    let entry: [UInt8] = [0x40] + FrameScript.text("x") + FrameScript.text(String(repeating: "a", count: 3000))
    await bomb.send(.headers, HTTP2Peer.endHeaders, 1, [0x88] + entry + [UInt8](repeating: 0xBE, count: 200))
    #expect(await clientFailure { () throws(HTTPClientError) in try await request.outcome() } == .malformed)
    #expect(!bomb.isOpen)
  }

  /// In HEADERS and as many CONTINUATION as it takes up to the limit.
  @Test func largeHeads() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin()
    let request = try await server.request(connection)
    let value = String(repeating: "a", count: 60_000)
    let fields = [(":status", "200"), ("x", value), ("y", value), ("z", value), ("last", "1")]
    let block = FrameScript.block(fields)
    let size = 16_384
    for start in stride(from: 0, to: block.count, by: size) {
      let end = min(block.count, start + size)
      await server.send(
        start == 0 ? .headers : .continuation, end == block.count ? HTTP2Peer.endHeaders : 0, 1,
        Array(block[start..<end]))
    }
    await server.send(.data, HTTP2Peer.endStream, 1, Array("body".utf8))
    #expect(try await request.outcome() == FrameScript.Outcome(status: 200, body: "body"))
    #expect(try await request.exchange.head(within: .seconds(1)).headers["last"] == ["1"])
    #expect(server.isOpen)
  }

  // MARK: Floods

  /// Frames that cost more to take than to send: the connection ends, and says why.
  @Test(arguments: [
    "ping", "settings", "priority", "continuation", "empty", "nearly empty", "unknown streams", "announcements",
  ])
  func floods(_ kind: String) async throws {
    let server = try await FrameScript()
    let request = try await server.request(try await server.begin())
    var sent = 0
    while server.isOpen, sent < (kind == "announcements" ? 100 : 5000) {
      sent += 1
      switch kind {
      case "ping": await server.send(.ping, 0, 0, [UInt8](repeating: 1, count: 8))
      case "settings": await server.send(.settings, 0, 0, [])
      case "priority": await server.send(.priority, 0, 1, [0, 0, 0, 0, 3])
      case "continuation":
        await server.send(sent == 1 ? .headers : .continuation, 0, 1, FrameScript.block([(":status", "200")]))
      case "empty":
        if sent == 1 { await server.send(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block([(":status", "200")])) }
        await server.send(.data, 0, 1, [])
      case "nearly empty":
        if sent == 1 { await server.send(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block([(":status", "200")])) }
        await server.send(.data, 0, 1, sent % 2 == 0 ? [] : [1])
      case "announcements":
        await server.send(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block([(":status", "103")]))
      default: await server.send(.reset, 0, UInt32(2 * sent + 1), [0, 0, 0, 8])
      }
    }
    #expect(sent < 2000, "\(sent) frames")
    #expect(server.isOpen == (kind == "announcements"))
    let code = await clientFailure { () throws(HTTPClientError) in try await request.outcome() }
    #expect(code == (kind == "continuation" ? .headTooLarge : .malformed))
    #expect(server.events.contains(.retired) == !server.isOpen)
  }

  /// A server that ends each request, and with each makes the client send another.
  @Test func floodsOfResets() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin()
    var requests: [FrameScript.Request] = []
    while server.isOpen, requests.count < 1000 {
      requests.append(try await server.request(connection))
      await server.send(.reset, 0, UInt32(2 * requests.count - 1), [0, 0, 0, 2])
    }
    #expect(requests.count < 500)
    #expect(!server.isOpen)
    let last = try #require(requests.last)
    #expect(await clientFailure { () throws(HTTPClientError) in try await last.outcome() } == .malformed)
  }

  @Test(arguments: [
    // A window beyond 2^31 - 1, settings that cannot be, a pushed stream, a frame larger than any, a body before its head.
    HTTP2Peer.frame(.windowUpdate, 0, 0, [0x7F, 0xFF, 0xFF, 0xFF]),
    HTTP2Peer.frame(.settings, 0, 0, [0, 4, 0xFF, 0xFF, 0xFF, 0xFF]),
    HTTP2Peer.frame(.settings, 0, 0, [0, 2, 0, 0, 0, 7]),
    HTTP2Peer.frame(.push, 4, 1, [0, 0, 0, 2, 0x82]), [0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1],
    HTTP2Peer.frame(.data, 0, 1, [1]), HTTP2Peer.frame(.headers, 4, 1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    HTTP2Peer.frame(.goAway, 0, 0, [0, 0, 0, 2, 0, 0, 0, 0]),
  ])
  func brokenFrames(_ frame: [UInt8]) async throws {
    let server = try await FrameScript()
    let request = try await server.request(try await server.begin())
    await server.send(frame)
    #expect(await clientFailure { () throws(HTTPClientError) in try await request.outcome() } == .malformed)
  }

  /// Whatever comes, the request ends, and not as if it had been answered.
  @Test(arguments: UInt64(0)..<50) func noise(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let server = try await FrameScript()
    let request = try await server.request(try await server.begin())
    for _ in 0..<20 where server.isOpen {
      var bytes = HTTP2Peer.frame(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block([(":status", "200")]))
      bytes += HTTP2Peer.frame(.data, 0, 1, Array("abc".utf8))
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      await server.send(bytes)
    }
    await server.close()
    do throws(HTTPClientError) {
      // A byte may have become the flag that ends the stream, or a digit of the status.
      let status = try await request.outcome().status
      #expect((200..<1000).contains(status))
    } catch {
      #expect(
        [.malformed, .headTooLarge, .closed(isAnswered: true), .closed(isAnswered: false), .refused].contains(
          error.code))
    }
  }

  /// A whole window of single bytes, for a reader that takes none of them, and then all.
  @Test func singleBytes() async throws {
    let server = try await FrameScript()
    let request = try await server.request(try await server.begin(), bufferMax: 1000)
    await server.send(.headers, HTTP2Peer.endHeaders, 1, FrameScript.block([(":status", "200")]))
    let frame = HTTP2Peer.frame(.data, 0, 1, [0x61])
    for _ in 0..<60 { await server.send((0..<1000).flatMap { _ in frame }) }
    await server.send(.data, HTTP2Peer.endStream, 1, [])
    let answer = await server.timePasses(by: .zero) { try? await request.outcome() }
    #expect(answer == FrameScript.Outcome(status: 200, body: String(repeating: "a", count: 60_000)))
    #expect(server.isOpen)
  }

  // MARK: Ends

  @Test func goodbyes() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin()
    let (handled, unseen) = (try await server.request(connection), try await server.request(connection))
    await server.send(.goAway, 0, 0, [0, 0, 0, 1, 0, 0, 0, 0])
    #expect(await clientFailure { () throws(HTTPClientError) in try await unseen.outcome() } == .refused)
    #expect(server.events == [.limited(100), .retired])
    #expect(
      await clientFailure { () throws(HTTPClientError) in try await server.request(connection).outcome() } == .refused)
    await server.send(.headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 1, FrameScript.block([(":status", "200")]))
    #expect(try await handled.outcome() == FrameScript.Outcome(status: 200, body: ""))
  }

  @Test func goodbyesInTheMiddleOfABody() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin([0, 4, 0, 0, 0, 0])
    // The head is out; the body waits for a window that never opens.
    let upload = try await server.request(connection, body: ByteBuffer(repeating: 1, count: 1000))
    await server.send(.goAway, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0])
    #expect(await clientFailure { () throws(HTTPClientError) in try await upload.outcome() } == .refused)
  }

  @Test func earlyEnds() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin()
    let (asked, halfAnswered) = (try await server.request(connection), try await server.request(connection))
    await server.send(.headers, HTTP2Peer.endHeaders, 3, FrameScript.block([(":status", "200")]))
    await server.close()
    #expect(
      await clientFailure { () throws(HTTPClientError) in try await asked.outcome() } == .closed(isAnswered: false))
    #expect(
      await clientFailure { () throws(HTTPClientError) in try await halfAnswered.outcome() }
        == .closed(isAnswered: true))
    #expect(
      await clientFailure { () throws(HTTPClientError) in try await server.request(connection).outcome() } == .refused)
    #expect(server.events == [.limited(100), .retired])
  }

  /// More streams than the server takes wait for their turn; those that have not had it have not been sent.
  @Test func requestsThatWaitedForTheServer() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin([0, 3, 0, 0, 0, 1])
    #expect(server.events == [.limited(1)])
    let (first, second) = (try await server.request(connection), try await server.request(connection))
    #expect(try await server.written().filter { $0.kind == .headers }.map(\.stream) == [1])
    await server.close()
    #expect(
      await clientFailure { () throws(HTTPClientError) in try await first.outcome() } == .closed(isAnswered: false))
    #expect(await clientFailure { () throws(HTTPClientError) in try await second.outcome() } == .refused)
  }

  @Test func settingsThatNeverCome() async throws {
    let server = try await FrameScript()
    await server.close()
    let error = await #expect(throws: HTTPClientError.self) { _ = try await server.opening.get() }
    #expect(error?.code == .closed(isAnswered: false))
  }

  // MARK: Time

  /// A window that never opens: the deadline of the phase counts, and the stream alone ends.
  @Test func windowsThatStayClosed() async throws {
    let server = try await FrameScript(asksSilentPeers: false)
    let connection = try await server.begin([0, 4, 0, 0, 0, 0])
    let upload = try await server.request(connection, body: ByteBuffer(repeating: 1, count: 1000))
    let other = try await server.request(connection)
    let code = await server.timePasses {
      await clientFailure { () throws(HTTPClientError) in try await upload.exchange.head(within: .seconds(3)) }
    }
    #expect(code == .timeout(.head, .seconds(3)))
    #expect(try await server.written().contains { $0.kind == .reset && $0.stream == 1 })
    await server.send(.headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 3, FrameScript.block([(":status", "200")]))
    #expect(try await other.outcome().status == 200)
  }

  @Test func silentPeersAreAsked() async throws {
    let server = try await FrameScript()
    let connection = try await server.begin()
    let request = try await server.request(connection)
    _ = try await server.written()
    await server.channel.testingEventLoop.advanceTime(by: .seconds(30))
    #expect(try await server.written().map(\.kind) == [.ping])
    await server.send(.ping, 1, 0, [UInt8](repeating: 0, count: 8))
    await server.channel.testingEventLoop.advanceTime(by: .seconds(29))
    #expect(try await server.written().isEmpty && server.isOpen)
    await server.channel.testingEventLoop.advanceTime(by: .seconds(1))
    #expect(try await server.written().map(\.kind) == [.ping])
    await server.channel.testingEventLoop.advanceTime(by: .seconds(15))
    #expect(!server.isOpen && server.events == [.limited(100), .retired])
    let code = await clientFailure { () throws(HTTPClientError) in try await request.outcome() }
    #expect(code == .timeout(.silence, .seconds(15)))
  }

  @Test func peersThatNobodyWaitsForAreNotAsked() async throws {
    let idle = try await FrameScript()
    let connection = try await idle.begin()
    let request = try await idle.request(connection)
    await idle.send(.headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 1, FrameScript.block([(":status", "200")]))
    #expect(try await request.outcome().status == 200)
    let local = try await FrameScript(asksSilentPeers: false)
    _ = try await local.request(try await local.begin())
    for server in [idle, local] {
      _ = try await server.written()
      await server.channel.testingEventLoop.advanceTime(by: .hours(1))
      #expect(try await server.written().isEmpty && server.isOpen)
    }
  }
}

/// A server of frames without a network, under a clock that the test moves, and the client's connection to it.
final class FrameScript: Sendable {
  struct Outcome: Equatable {
    var status: UInt
    var body: String
  }

  struct Written {
    var kind: HTTP2Peer.Frame?
    var flags: UInt8
    var stream: UInt32
    var payload: [UInt8]
  }

  /// One request, whose answer is taken by one task.
  struct Request: Sendable {
    let exchange: ClientExchange

    /// The status and the whole body. Its deadlines are on the test's clock.
    func outcome() async throws(HTTPClientError) -> Outcome {
      let head = try await exchange.head(within: .seconds(1))
      var body = ""
      while let chunk = try await exchange.nextChunk(within: .seconds(1), rateMin: 0) { body += String(buffer: chunk) }
      return Outcome(status: head.status.code, body: body)
    }
  }

  private final class Result<Value: Sendable>: Sendable {
    let value = Mutex<Value?>(nil)
  }

  private final class Events: Sendable {
    let all = Mutex<[HTTP2ClientState.Event]>([])
  }

  let channel = NIOAsyncTestingChannel()
  let opening: EventLoopFuture<HTTP2ClientConnection>
  private let failure = ConnectionFailure()
  private let log = Events()
  private let pending = Mutex<[UInt8]>([])

  init(asksSilentPeers: Bool = true, _ change: (inout HTTPClientConfiguration) -> Void = { _ in }) async throws {
    var configuration = HTTPClientConfiguration()
    change(&configuration)
    try await channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
    opening = try await channel.testingEventLoop.submit { [channel, failure, log, configuration] in
      HTTP2ClientConnection.start(
        on: channel, failure, configuration, isTLS: false, asksSilentPeers: asksSilentPeers
      ) { event in log.all.withLock { $0.append(event) } }
    }.get()
  }

  var isOpen: Bool { channel.isActive }
  var events: [HTTP2ClientState.Event] { log.all.withLock { $0 } }

  /// Says the server's settings, and has seen the client's.
  func begin(_ settings: [UInt8] = []) async throws -> HTTP2ClientConnection {
    await send(.settings, 0, 0, settings)
    await send(.settings, 1, 0, [])
    return try await opening.get()
  }

  func request(
    _ connection: HTTP2ClientConnection, body: ByteBuffer? = nil, bufferMax: Int = 1 << 20
  ) async throws(HTTPClientError) -> Request {
    let stream = try await connection.makeStream()
    let exchange = ClientExchange(stream, failure, bufferMax: bufferMax, mayUpgrade: false) { _ in
      stream.close(promise: nil)
    }
    exchange.send(HTTPRequestHead(version: .http1_1, method: .GET, uri: "/", headers: ["host": "a"]), whole: body)
    await channel.testingEventLoop.run()
    return Request(exchange: exchange)
  }

  func send(_ kind: HTTP2Peer.Frame, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) async {
    await send(HTTP2Peer.frame(kind, flags, stream, payload))
  }

  /// What the client makes of it shows elsewhere.
  func send(_ bytes: [UInt8]) async {
    _ = try? await channel.writeInbound(ByteBuffer(bytes: bytes))
    await channel.testingEventLoop.run()
  }

  /// Whether the line takes more.
  func setWritable(_ isWritable: Bool) async throws {
    channel.isWritable = isWritable
    try await channel.testingEventLoop.submit { [channel] in channel.pipeline.fireChannelWritabilityChanged() }.get()
    await channel.testingEventLoop.run()
  }

  func close() async {
    try? await channel.close()
    await channel.testingEventLoop.run()
  }

  /// Moves the clock until a body is done.
  func timePasses<Value: Sendable>(
    by step: TimeAmount = .milliseconds(100), _ body: @escaping @Sendable () async -> Value
  ) async -> Value {
    let result = Result<Value>()
    return await withTaskGroup(of: Void.self) { group in
      group.addTask {
        let value = await body()
        result.value.withLock { $0 = value }
      }
      while true {
        if let value = result.value.withLock({ $0 }) { return value }
        await channel.testingEventLoop.advanceTime(by: step)
        await Task.yield()
      }
    }
  }

  /// What the client has written since the last time, after its preface.
  func written() async throws -> [Written] {
    while let buffer = try await channel.readOutbound(as: ByteBuffer.self) {
      pending.withLock { $0 += buffer.readableBytesView }
    }
    return pending.withLock { bytes in
      if bytes.starts(with: HTTP2Peer.preface) { bytes.removeFirst(HTTP2Peer.preface.count) }
      var frames: [Written] = []
      while bytes.count >= 9 {
        let count = bytes[..<3].reduce(0) { $0 << 8 | Int($1) }
        guard bytes.count >= 9 + count else { break }
        let stream = bytes[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        frames.append(
          Written(
            kind: HTTP2Peer.Frame(rawValue: bytes[3]), flags: bytes[4], stream: stream,
            payload: Array(bytes[9..<9 + count])))
        bytes.removeFirst(9 + count)
      }
      return frames
    }
  }

  /// A text that is not packed (RFC 7541, section 5.2).
  static func text(_ text: String) -> [UInt8] {
    var count = text.utf8.count
    guard count >= 127 else { return [UInt8(count)] + text.utf8 }
    var bytes: [UInt8] = [127]
    count -= 127
    while count >= 128 {
      bytes.append(UInt8(count % 128) | 128)
      count /= 128
    }
    return bytes + [UInt8(count)] + text.utf8
  }

  /// A header block in which nothing is indexed (RFC 7541, section 6.2.2).
  static func block(_ fields: [(String, String)]) -> [UInt8] { fields.flatMap { [0] + text($0.0) + text($0.1) } }
}
