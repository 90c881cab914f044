import NIOCore
import NIOEmbedded
import NIOHTTP1
import Synchronization
import Testing

@testable import HTTP

/// HTTP/2 (RFC 9113) as bytes: what a client may send, and what it must not be able to do.
@Suite struct HTTP2Tests {
  // MARK: Requests

  @Test func requestsAreAnsweredOnTheirStreams() throws {
    let peer = try HTTP2Peer(HTTPServer(TestHandler(TestHandler.echo)))
    peer.get(1, "/one")
    peer.get(3, "/two")
    #expect(peer.answer(1) == HTTP2Peer.Answer(status: 200, body: "/one", isEnded: true))
    #expect(peer.answer(3) == HTTP2Peer.Answer(status: 200, body: "/two", isEnded: true))
    #expect(peer.isOpen && !peer.hasSaidGoodbye)
  }

  /// The first bytes may come one by one.
  @Test func theFirstBytesTell() throws {
    let server = HTTPServer(TestHandler(TestHandler.echo))
    let slow = try HTTP2Peer(server, isStarted: false)
    for byte in HTTP2Peer.preface + HTTP2Peer.frame(.settings, 0, 0, []) { slow.peer.send([byte]) }
    slow.get(1, "/")
    #expect(slow.answer(1).status == 200)
    let post = try Peer(server)
    for byte in Array("PRIVATE / HTTP/1.1\r\nHost: a\r\n\r\n".utf8) { post.send([byte]) }
    #expect(post.takeStatuses().count == 1)
    let half = try Peer(server)
    half.send("PRI * HTTP/2.0\r\n\r\nSM")
    half.advance(.seconds(11))
    #expect(!half.isOpen)
    let other = try Peer(server)
    other.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
    other.advance(.seconds(11))
    #expect(!other.isOpen)
  }

  @Test func bodiesAreCollected() throws {
    let server = HTTPServer(TestHandler(TestHandler.echo))
    let peer = try HTTP2Peer(server)
    peer.send(.headers, HTTP2Peer.endHeaders, 1, HTTP2Peer.head("POST", "/x"))
    peer.send(.data, 0, 1, Array("abc".utf8))
    #expect(server.bodyBytes == 3)
    peer.send(.data, HTTP2Peer.endStream, 1, Array("def".utf8))
    #expect(peer.answer(1).body == "/xabcdef")
    #expect(server.bodyBytes == 0)
    // Who leaves in the middle leaves nothing.
    peer.send(.headers, HTTP2Peer.endHeaders, 3, HTTP2Peer.head("POST", "/x"))
    peer.send(.data, 0, 3, Array("abc".utf8))
    peer.send(.reset, 0, 3, [0, 0, 0, 8])
    #expect(server.bodyBytes == 0 && peer.isOpen)
  }

  @Test func bodiesHaveALimitAndAPace() throws {
    let server = HTTPServer(TestHandler(TestHandler.echo)) {
      $0.bodies = SharedBudget.Limits(total: 10_000, share: 5000, kept: 1000)
    }
    let peer = try HTTP2Peer(server)
    peer.send(.headers, HTTP2Peer.endHeaders, 1, HTTP2Peer.head("POST", "/x"))
    peer.send(.data, 0, 1, [UInt8](repeating: 1, count: 1001))
    #expect(peer.answer(1).status == 413)
    peer.send(.headers, HTTP2Peer.endHeaders, 3, HTTP2Peer.head("POST", "/x"))
    peer.advance(.seconds(11))
    #expect(peer.answer(3).status == 408)
    peer.advance(.seconds(1))
    #expect(peer.resets.keys.sorted() == [1, 3], "the rest of the body is not waited for")
    #expect(server.bodyBytes == 0 && peer.isOpen)
  }

  /// The client's window is what waits for it at most; an answer that it does not take ends.
  @Test func answersWaitForTheWindow() throws {
    let handler = TestHandler(
      TestHandler.answering { _ in
        HTTPServerResponse(status: 200, body: .buffer(ByteBuffer(repeating: 0x61, count: 100_000)))
      })
    let peer = try HTTP2Peer(HTTPServer(handler))
    peer.get(1, "/")
    #expect(peer.answer(1).body.utf8.count == 65_535)
    peer.send(.windowUpdate, 0, 0, [0, 1, 0, 0])
    peer.send(.windowUpdate, 0, 1, [0, 1, 0, 0])
    #expect(peer.answer(1).body.utf8.count == 100_000 && peer.answer(1).isEnded)
    peer.get(3, "/")
    peer.advance(.seconds(61))
    #expect(peer.resets[3] != nil && peer.isOpen)
  }

  /// What nobody reads opens no window.
  @Test func uploadsWaitForTheirReader() throws {
    let held = Mutex<HTTPRequestBody?>(nil)
    let server = HTTPServer(TestHandler { _ in .stream { body, _ in held.withLock { $0 = body } } }) {
      $0.bodies = SharedBudget.Limits(total: 8 << 20, share: 4 << 20, kept: 1 << 20)
      $0.connection.streamWindow = 64 << 10
    }
    let peer = try HTTP2Peer(server)
    peer.send(.headers, HTTP2Peer.endHeaders, 1, HTTP2Peer.head("POST", "/x"))
    var sent = 0
    // As a client that keeps to its window.
    while sent < 4 << 20, peer.window(1) >= 16_384, peer.window(0) >= 16_384 {
      peer.send(.data, 0, 1, [UInt8](repeating: 1, count: 16_384))
      sent += 16_384
    }
    #expect(sent >= 1 << 20 && sent < 2 << 20, "\(sent)")
    #expect(peer.isOpen)
    peer.advance(.hours(1))
    #expect(peer.isOpen && peer.resets.isEmpty, "the reader's pace is not the client's fault")
  }

  /// Single bytes cost their reader no buffer each.
  @Test func uploadsOfSingleBytes() async throws {
    let server = HTTPServer(TestHandler(TestHandler.echo))
    let body = HTTPRequestBody(
      peer: HTTPPeer(server: server, id: 0, address: "10.0.0.1", holder: "10.0.0.1", isTLS: false)
    ) {}
    for _ in 0..<60_000 { _ = body.feed(ByteBuffer(bytes: [1])) }
    let parts = try await body.next()
    #expect(parts.reduce(0) { $0 + $1.readableBytes } == 60_000)
    #expect(parts.count <= 4, "\(parts.count) buffers")
    #expect(server.bodyBytes == 0)
  }

  @Test func liveBodiesAndTheEnd() throws {
    let body = TestBody(["x"])
    let server = HTTPServer(
      TestHandler(TestHandler.answering { _ in HTTPServerResponse(status: 200, body: .pulled(body)) }))
    let peer = try HTTP2Peer(server)
    peer.get(1, "/live")
    peer.advance(.hours(1))
    #expect(peer.answer(1) == HTTP2Peer.Answer(status: 200, body: "x", isEnded: false))
    peer.peer.drain()
    peer.advance(.zero)
    #expect(peer.answer(1).isEnded && peer.hasSaidGoodbye && body.isCancelled)
    #expect(!peer.isOpen)
    let idle = try HTTP2Peer(server)
    idle.peer.drain()
    #expect(!idle.isOpen)
  }

  @Test func whoResetsEndsTheBody() throws {
    let body = TestBody(["x"])
    let peer = try HTTP2Peer(
      HTTPServer(TestHandler(TestHandler.answering { _ in HTTPServerResponse(status: 200, body: .pulled(body)) })))
    peer.get(1, "/live")
    #expect(!body.isCancelled)
    peer.send(.reset, 0, 1, [0, 0, 0, 8])
    #expect(body.isCancelled && peer.isOpen)
  }

  @Test func aStreamBecomesNothingElse() throws {
    let ended = Mutex(false)
    let peer = try HTTP2Peer(
      HTTPServer(
        TestHandler(
          TestHandler.answering { _ in
            HTTPServerResponse(status: 101, body: .upgrade { channel in ended.withLock { $0 = channel == nil } })
          })))
    peer.get(1, "/")
    #expect(peer.resets[1] != nil && ended.withLock { $0 } && peer.isOpen)
  }

  @Test func connectionsWithoutAStream() throws {
    let server = HTTPServer(TestHandler(TestHandler.echo))
    let silent = try HTTP2Peer(server)
    silent.advance(.seconds(11))
    #expect(!silent.isOpen && silent.hasSaidGoodbye)
    let idle = try HTTP2Peer(server)
    idle.get(1, "/")
    idle.advance(.seconds(29))
    #expect(idle.isOpen)
    idle.get(3, "/")
    idle.advance(.seconds(29))
    #expect(idle.isOpen)
    idle.advance(.seconds(2))
    #expect(!idle.isOpen && idle.hasSaidGoodbye)
    #expect(server.connectionCount == 0)
  }

  // MARK: Heads

  /// What frames a body in HTTP/1.1 has no meaning here, and is a trap for whoever passes it on.
  @Test(arguments: [
    [("transfer-encoding", "chunked")], [("connection", "close")], [("Upper", "a")], [("content-length", "x")],
    [("content-length", "0"), ("content-length", "1")], [("host", "a"), ("host", "b")], [("host", "a/b")],
    [("expect", "something")],
  ]) func headsThatAreNotSure(fields: [(String, String)]) throws {
    let peer = try HTTP2Peer(HTTPServer(TestHandler(TestHandler.echo)))
    peer.send(
      .headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 1, HTTP2Peer.head("GET", "/", fields))
    let status = peer.answer(1).status
    #expect(peer.resets[1] != nil || !peer.isOpen || [400, 417].contains(status), "\(status ?? 0)")
    #expect(status != 200)
  }

  @Test func headsAreBounded() throws {
    let server = HTTPServer(TestHandler(TestHandler.echo)) { $0.connection.headerBytesMax = 8 << 10 }
    let many = try HTTP2Peer(server)
    many.send(
      .headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 1,
      HTTP2Peer.head("GET", "/", (0..<150).map { ("x\($0)", "") }))
    #expect(many.answer(1).status == 431 || many.resets[1] != nil || !many.isOpen)
    let large = try HTTP2Peer(server)
    // Of the settings that count: the client has seen them.
    large.send(.settings, 1, 0, [])
    large.send(
      .headers, HTTP2Peer.endHeaders | HTTP2Peer.endStream, 1,
      HTTP2Peer.head("GET", "/", (0..<100).map { ("x\($0)", String(repeating: "a", count: 120)) }))
    #expect(large.answer(1).status != 200)
    #expect(large.resets[1] != nil || !large.isOpen)
  }

  /// NIOHTTP2 does not split a head into CONTINUATION: one that needs it was the end of the whole connection.
  @Test func answersWithLargeFields() throws {
    let handler = TestHandler(
      TestHandler.answering { request in
        let large = String(repeating: "\\", count: 10_000)
        var response = HTTPServerResponse(status: 200, body: .buffer(ByteBuffer(string: "body")))
        switch request.head.uri {
        // As large, but not when it is packed.
        case "/fits": response.headers.add(name: "x", value: String(repeating: "a", count: 10_000))
        case "/trailers": response.trailers = { ["x": large] }
        default: response.headers.add(name: "x", value: large)
        }
        return response
      })
    let peer = try HTTP2Peer(HTTPServer(handler))
    peer.get(1, "/head?token=secret")
    #expect(peer.answer(1) == HTTP2Peer.Answer(status: 500, body: "problem", isEnded: true))
    peer.get(3, "/fits")
    #expect(peer.answer(3) == HTTP2Peer.Answer(status: 200, body: "body", isEnded: true))
    peer.get(5, "/trailers")
    #expect(!peer.answer(5).isEnded && peer.resets[5] != nil)
    #expect(peer.isOpen && !peer.hasSaidGoodbye)
    #expect(handler.problems.withLock { $0 } == [.answerHeadTooLarge])
    #expect(
      handler.events.withLock { $0 } == [
        .answerFieldsTooLarge(path: "/head"), .answerFieldsTooLarge(path: "/trailers"),
      ])
  }

  // MARK: Floods

  /// Frames that cost more to answer than to send.
  @Test(arguments: [
    "ping", "settings", "priority", "reset", "continuation", "empty", "nearly empty", "unknown streams",
  ])
  func floods(kind: String) throws {
    let peer = try HTTP2Peer(HTTPServer(TestHandler(TestHandler.echo)))
    var sent = 0
    while peer.isOpen, sent < 5000 {
      sent += 1
      let stream = UInt32(2 * sent - 1)
      switch kind {
      case "ping": peer.send(.ping, 0, 0, [UInt8](repeating: 1, count: 8))
      case "settings": peer.send(.settings, 0, 0, [])
      case "priority": peer.send(.priority, 0, 1, [0, 0, 0, 0, 1])
      case "reset":
        peer.send(.headers, HTTP2Peer.endHeaders, stream, HTTP2Peer.head("POST", "/x"))
        peer.send(.reset, 0, stream, [0, 0, 0, 8])
      case "continuation": peer.send(sent == 1 ? .headers : .continuation, 0, 1, HTTP2Peer.head("GET", "/"))
      case "empty":
        if sent == 1 { peer.send(.headers, HTTP2Peer.endHeaders, 1, HTTP2Peer.head("POST", "/x")) }
        peer.send(.data, 0, 1, [])
      case "nearly empty":
        if sent == 1 { peer.send(.headers, HTTP2Peer.endHeaders, 1, HTTP2Peer.head("POST", "/x")) }
        peer.send(.data, 0, 1, sent % 2 == 0 ? [] : [1])
      default: peer.send(.reset, 0, stream, [0, 0, 0, 8])
      }
    }
    #expect(!peer.isOpen && sent < 1000, "\(sent) frames")
  }

  @Test func streamsAtOneTime() throws {
    let peer = try HTTP2Peer(
      HTTPServer(TestHandler(TestHandler.answering { _ in HTTPServerResponse(status: 200, body: .pulled(TestBody())) }))
    )
    peer.send(.settings, 1, 0, [])
    for index in 0..<100 { peer.get(UInt32(2 * index + 1), "/") }
    #expect(peer.isOpen && peer.resets.isEmpty)
    peer.get(201, "/")
    #expect(peer.resets[201] != nil || !peer.isOpen)
  }

  @Test func windowsDoNotOverflow() throws {
    let peer = try HTTP2Peer(HTTPServer(TestHandler(TestHandler.echo)))
    peer.send(.windowUpdate, 0, 0, [0x7F, 0xFF, 0xFF, 0xFF])
    #expect(!peer.isOpen && peer.hasSaidGoodbye)
  }

  @Test func noiseIsTheEnd() throws {
    var random = Noise(state: 7)
    for _ in 0..<200 {
      let peer = try HTTP2Peer(HTTPServer(TestHandler(TestHandler.echo)))
      for _ in 0..<20 where peer.isOpen {
        peer.peer.send((0..<40).map { _ in UInt8(truncatingIfNeeded: random.next()) })
      }
      peer.advance(.seconds(61))
      #expect(!peer.isOpen)
    }
  }

  /// Frames that are right but for one byte.
  @Test func almostFrames() throws {
    var random = Noise(state: 11)
    let server = HTTPServer(TestHandler(TestHandler.echo))
    for _ in 0..<500 {
      let peer = try HTTP2Peer(server)
      for stream in [UInt32(1), 3, 5] where peer.isOpen {
        var bytes = HTTP2Peer.frame(.headers, HTTP2Peer.endHeaders, stream, HTTP2Peer.head("POST", "/x"))
        bytes += HTTP2Peer.frame(.data, HTTP2Peer.endStream, stream, Array("abc".utf8))
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
        peer.peer.send(bytes)
      }
      peer.advance(.seconds(200))
      #expect(!peer.isOpen)
    }
    #expect(server.bodyBytes == 0 && server.connectionCount == 0)
  }
}

/// A client of HTTP/2 that writes frames by hand.
final class HTTP2Peer {
  enum Frame: UInt8 {
    case data, headers, priority, reset, settings, push, ping, goAway, windowUpdate, continuation
  }

  struct Answer: Equatable {
    var status: Int?
    var body = ""
    var isEnded = false
  }

  static let endStream: UInt8 = 1
  static let endHeaders: UInt8 = 4
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  let peer: Peer
  private var pending: [UInt8] = []
  private var answers: [UInt32: Answer] = [:]
  private(set) var resets: [UInt32: [UInt8]] = [:]
  private(set) var hasSaidGoodbye = false
  /// What may still be sent.
  private var windows: [UInt32: Int] = [:]
  private var initialWindow = 65_535

  init(_ server: HTTPServer, isStarted: Bool = true) throws {
    peer = try Peer(server)
    if isStarted { peer.send(Self.preface + Self.frame(.settings, 0, 0, [])) }
  }

  static func frame(_ kind: Frame, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
    func bytes(_ value: UInt32, _ count: UInt32) -> [UInt8] {
      (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    return bytes(UInt32(payload.count), 3) + [kind.rawValue, flags] + bytes(stream, 4) + payload
  }

  /// A header block in which nothing is indexed (RFC 7541, section 6.2.2).
  static func head(_ method: String, _ path: String, _ fields: [(String, String)] = []) -> [UInt8] {
    let all = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")] + fields
    var block: [UInt8] = []
    for (name, value) in all {
      block += [0, UInt8(name.utf8.count)]
      block += name.utf8
      block.append(UInt8(value.utf8.count))
      block += value.utf8
    }
    return block
  }

  func send(_ kind: Frame, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) {
    if kind == .data {
      windows[stream, default: initialWindow] -= payload.count
      windows[0, default: 65_535] -= payload.count
    }
    peer.send(Self.frame(kind, flags, stream, payload))
    collect()
  }

  func get(_ stream: UInt32, _ path: String) {
    send(.headers, Self.endHeaders | Self.endStream, stream, Self.head("GET", path))
  }

  func advance(_ time: TimeAmount) {
    peer.advance(time)
    collect()
  }

  var isOpen: Bool {
    collect()
    return peer.isOpen
  }

  func answer(_ stream: UInt32) -> Answer {
    collect()
    return answers[stream] ?? Answer()
  }

  func window(_ stream: UInt32) -> Int {
    collect()
    return windows[stream] ?? (stream == 0 ? 65_535 : initialWindow)
  }

  private func collect() {
    pending += peer.takeBytes()
    while pending.count >= 9 {
      let count = pending[..<3].reduce(0) { $0 << 8 | Int($1) }
      guard pending.count >= 9 + count else { return }
      let stream = pending[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
      let payload = Array(pending[9..<9 + count])
      let (kind, flags) = (Frame(rawValue: pending[3]), pending[4])
      pending.removeFirst(9 + count)
      switch kind {
      case .headers:
        // `:status` is the first field: one of the static table, or a literal with its name (RFC 7541, appendix A).
        let known: [UInt8: Int] = [0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500]
        answers[stream, default: Answer()].status = payload.first.flatMap { known[$0] } ?? Self.literal(payload)
      case .data: answers[stream, default: Answer()].body += String(decoding: payload, as: UTF8.self)
      case .reset: resets[stream] = payload
      case .goAway: hasSaidGoodbye = true
      case .windowUpdate:
        let size = payload.reduce(0) { $0 << 8 | Int($1) }
        windows[stream, default: stream == 0 ? 65_535 : initialWindow] += size
      case .settings where flags & 1 == 0:
        for at in stride(from: 0, to: payload.count - 5, by: 6) where payload[at + 1] == 4 {
          initialWindow = payload[(at + 2)..<(at + 6)].reduce(0) { $0 << 8 | Int($1) }
        }
      default: break
      }
      if kind == .headers || kind == .data, flags & Self.endStream != 0 {
        answers[stream, default: Answer()].isEnded = true
      }
    }
  }

  /// A status that the static table does not have: digits, in Huffman's code (RFC 7541, appendix B) or without.
  private static func literal(_ payload: [UInt8]) -> Int? {
    guard payload.count > 2 else { return nil }
    let length = Int(payload[1] & 0x7F)
    guard payload[1] & 0x80 != 0, payload.count >= 2 + length else {
      return Int(String(decoding: payload[2...].prefix(length), as: UTF8.self))
    }
    let bits = payload[2..<(2 + length)].flatMap { byte in (0..<8).reversed().map { byte >> UInt8($0) & 1 } }
    var (digits, at) = ("", 0)
    while digits.count < 3, at + 5 <= bits.count {
      let five = bits[at..<(at + 5)].reduce(0) { $0 << 1 | Int($1) }
      if five < 3 {
        digits += String(five)
        at += 5
      } else {
        guard at + 6 <= bits.count else { return nil }
        let six = bits[at..<(at + 6)].reduce(0) { $0 << 1 | Int($1) }
        guard (0x19...0x1F).contains(six) else { return nil }
        digits += String(six - 0x19 + 3)
        at += 6
      }
    }
    return Int(digits)
  }
}
