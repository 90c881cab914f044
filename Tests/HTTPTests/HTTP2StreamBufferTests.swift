import NIOCore
import NIOEmbedded
import NIOHPACK
import NIOHTTP2
import Testing

@testable import HTTP

/// What is kept of a stream of HTTP/2 that nobody reads, and what its peer may send.
@Suite struct HTTP2StreamBufferTests {
  private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

  // MARK: The window

  @Test func windowsOpenWithTheFirstBytes() {
    var window = StreamWindow(target: 1 << 20)
    #expect(window.credit(waiting: 0) == nil, "the head alone opens nothing")
    #expect(window.received(1000, padding: nil, isEnd: false, at(0)) == true)
    #expect(window.credit(waiting: 0) == (1 << 20) - 65_535 + 1000)
    #expect(window.credit(waiting: 0) == nil)
    #expect(window.received(1 << 19, padding: nil, isEnd: false, at(0)) == true)
    #expect(window.credit(waiting: 1) == nil, "what nobody has taken opens nothing")
    #expect(window.credit(waiting: 0) == 1 << 19)
  }

  @Test func smallWindowsStayWhatTheyAre() {
    var window = StreamWindow(target: 1)
    #expect(window.received(32_767, padding: nil, isEnd: false, at(0)) == true)
    #expect(window.credit(waiting: 0) == nil)
    #expect(window.received(1, padding: nil, isEnd: false, at(0)) == true)
    #expect(window.credit(waiting: 0) == 32_768)
  }

  /// It takes its part of the window, its length included.
  @Test func paddingCounts() {
    var window = StreamWindow(target: 65_535)
    for _ in 0..<128 { #expect(window.received(1, padding: 255, isEnd: false, at(0)) == true) }
    #expect(window.credit(waiting: 0) == 128 * 257)
  }

  @Test func endsOpenNothing() {
    var whole = StreamWindow(target: 1 << 20)
    #expect(whole.received(1000, padding: nil, isEnd: true, at(0)) == true)
    #expect(whole.credit(waiting: 0) == nil)
    var reset = StreamWindow(target: 1 << 20)
    reset.ended()
    #expect(reset.credit(waiting: 0) == nil)
  }

  @Test func emptyFramesHaveARate() {
    var window = StreamWindow(target: 65_535)
    for _ in 0..<200 {
      #expect(window.received(0, padding: nil, isEnd: false, at(0)) == true)
      #expect(window.received(1, padding: nil, isEnd: false, at(0)) == true)
    }
    #expect(window.received(0, padding: nil, isEnd: true, at(0)) == true, "the end is no empty frame")
    var other = StreamWindow(target: 65_535)
    for _ in 0..<200 { #expect(other.received(0, padding: nil, isEnd: false, at(0)) == true) }
    #expect(other.received(0, padding: nil, isEnd: false, at(30)) == true, "later they count anew")
    for _ in 0..<199 { #expect(other.received(0, padding: nil, isEnd: false, at(31)) == true) }
    #expect(other.received(0, padding: nil, isEnd: false, at(32)) == false)
  }

  // MARK: The buffer

  private typealias Payload = HTTP2Frame.FramePayload

  private func data(_ bytes: ByteBuffer, isEnd: Bool = false) -> Payload {
    .data(HTTP2Frame.FramePayload.Data(data: .byteBuffer(bytes), endStream: isEnd))
  }

  private func taken(_ channel: EmbeddedChannel) throws -> [(bytes: ByteBuffer, isEnd: Bool)] {
    var parts: [(bytes: ByteBuffer, isEnd: Bool)] = []
    while let payload = try channel.readInbound(as: Payload.self) {
      guard case .data(let part) = payload, case .byteBuffer(let bytes) = part.data else { continue }
      parts.append((bytes, part.endStream))
    }
    return parts
  }

  /// Nobody reads: what comes is joined, and opens no window; then all of it is handed on in its order.
  @Test func tinyFramesAreJoined() throws {
    let channel = EmbeddedChannel(handler: HTTP2StreamBuffer(window: 65_535) { Issue.record("no flood") })
    // The first is for whoever has asked; then nobody does.
    channel.read()
    try channel.writeInbound(data(ByteBuffer(string: "first")))
    for number in 0..<60_000 {
      try channel.writeInbound(data(ByteBuffer(bytes: [UInt8(truncatingIfNeeded: number)])))
    }
    try channel.writeInbound(data(ByteBuffer(), isEnd: false))
    try channel.writeInbound(data(ByteBuffer(string: "last"), isEnd: true))
    let before = try taken(channel)
    #expect(before.map { String(buffer: $0.bytes) } == ["first"])
    #expect(try channel.readOutbound(as: Payload.self) == nil)
    channel.read()
    let parts = try taken(channel)
    #expect(parts.count <= 5, "\(parts.count) parts")
    var all: [UInt8] = []
    for part in parts { all += part.bytes.readableBytesView }
    #expect(all == (0..<60_000).map { UInt8(truncatingIfNeeded: $0) } + Array("last".utf8))
    #expect(parts.map(\.isEnd) == parts.indices.map { $0 == parts.count - 1 })
    _ = try channel.finish(acceptAlreadyClosed: true)
  }

  @Test func windowsOpenWhenBytesAreTaken() throws {
    let channel = EmbeddedChannel(handler: HTTP2StreamBuffer(window: 65_535) { Issue.record("no flood") })
    for _ in 0..<3 { try channel.writeInbound(data(ByteBuffer(repeating: 1, count: 16_384))) }
    #expect(try channel.readOutbound(as: Payload.self) == nil)
    channel.read()
    guard case .windowUpdate(let size)? = try channel.readOutbound(as: Payload.self) else {
      Issue.record("no window")
      return
    }
    #expect(size == 3 * 16_384)
    #expect(try taken(channel).count == 3)
    _ = try channel.finish(acceptAlreadyClosed: true)
  }

  /// Trailers wait behind the data, and heads for nothing.
  @Test func theOrderStays() throws {
    let channel = EmbeddedChannel(handler: HTTP2StreamBuffer(window: 65_535) { Issue.record("no flood") })
    try channel.writeInbound(Payload.headers(.init(headers: [":status": "200"])))
    guard case .headers? = try channel.readInbound(as: Payload.self) else {
      Issue.record("no head")
      return
    }
    try channel.writeInbound(data(ByteBuffer(string: "a")))
    try channel.writeInbound(Payload.headers(.init(headers: ["x": "y"], endStream: true)))
    #expect(try channel.readInbound(as: Payload.self) == nil)
    // The stream's end hands on what is there.
    channel.pipeline.fireChannelInactive()
    guard case .data? = try channel.readInbound(as: Payload.self),
      case .headers(let trailers)? = try channel.readInbound(as: Payload.self)
    else {
      Issue.record("not all was handed on")
      return
    }
    #expect(trailers.headers["x"] == ["y"])
  }

  @Test func emptyFramesAreAFlood() throws {
    var floods = 0
    let channel = EmbeddedChannel(handler: HTTP2StreamBuffer(window: 65_535) { floods += 1 })
    channel.read()
    for _ in 0..<500 { try channel.writeInbound(data(ByteBuffer())) }
    channel.embeddedEventLoop.run()
    #expect(floods == 1)
    #expect(try taken(channel).isEmpty)
    _ = try channel.finish(acceptAlreadyClosed: true)
  }

  @Test func whatIsGivenUpIsNotKept() throws {
    let channel = EmbeddedChannel(handler: HTTP2StreamBuffer(window: 65_535) { Issue.record("no flood") })
    try channel.writeInbound(data(ByteBuffer(string: "a")))
    channel.close(promise: nil)
    channel.read()
    #expect(try taken(channel).isEmpty)
  }
}
