import NIOCore
import NIOEmbedded
import NIOWebSocket
import TestKit
import Testing

@testable import HTTP

/// The server's end of WebSocket (RFC 6455).
struct WebSocketTests {
  private func frame(
    _ opcode: WebSocketOpcode, isLast: Bool = true, isMasked: Bool = true, hasReservedBits: Bool = false, bytes: Int = 0
  ) -> WebSocketState.Frame {
    WebSocketState.Frame(
      opcode: opcode, isLast: isLast, isMasked: isMasked, hasReservedBits: hasReservedBits, payloadBytes: bytes)
  }

  /// The example of RFC 6455, section 1.3.
  @Test func theAnswerToTheKeyIsThatOfTheRFC() {
    #expect(WebSocket.acceptValue(key: "dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  }

  @Test func messagesComeInFragments() {
    var state = WebSocketState()
    #expect(state.received(frame(.binary)) == .deliver(isFirst: true, isLast: true))
    #expect(state.received(frame(.text, isLast: false)) == .deliver(isFirst: true, isLast: false))
    #expect(state.received(frame(.ping)) == .pong, "between fragments")
    #expect(state.received(frame(.continuation, isLast: false)) == .deliver(isFirst: false, isLast: false))
    #expect(state.received(frame(.pong)) == .ignore)
    #expect(state.received(frame(.continuation)) == .deliver(isFirst: false, isLast: true))
    #expect(state.received(frame(.continuation)) == .fail(.protocolError))
    #expect(state.received(frame(.binary)) == .ignore, "nothing is looked at after that")
  }

  @Test func framesAgainstTheRules() throws {
    let unknown = try #require(WebSocketOpcode(encodedWebSocketOpcode: 5))
    for bad in [
      frame(.binary, isMasked: false), frame(.binary, hasReservedBits: true), frame(.ping, isLast: false),
      frame(.ping, bytes: 126), frame(.continuation), frame(unknown),
    ] {
      var state = WebSocketState()
      #expect(state.received(bad) == .fail(.protocolError), "\(bad)")
    }
    var state = WebSocketState()
    _ = state.received(frame(.binary, isLast: false))
    #expect(state.received(frame(.text)) == .fail(.protocolError), "a message within a message")
  }

  @Test func whatIsCloseIsClosedOnce() {
    var state = WebSocketState()
    #expect(state.received(frame(.connectionClose, bytes: 2)) == .close)
    #expect(state.received(frame(.connectionClose)) == .ignore)
    #expect(state.close() && !state.close() && state.hasSentClose)
  }

  // MARK: Bytes

  private func channel() throws -> EmbeddedChannel {
    let channel = EmbeddedChannel()
    try WebSocket.install(on: channel)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    return channel
  }

  /// A frame as a client sends it.
  private func bytes(_ first: UInt8, _ payload: [UInt8]) -> ByteBuffer {
    precondition(payload.count < 126)
    let key: [UInt8] = [1, 2, 3, 4]
    return ByteBuffer(
      bytes: [first, 0x80 | UInt8(payload.count)] + key + payload.enumerated().map { $0.element ^ key[$0.offset % 4] })
  }

  private func sent(_ channel: EmbeddedChannel) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while let buffer = try channel.readOutbound(as: ByteBuffer.self) { bytes += buffer.readableBytesView }
    return bytes
  }

  /// Of pings that come while the client takes no answers, the newest is answered once it does.
  @Test func pingsWithoutRoomForAnswers() throws {
    let channel = try channel()
    channel.isWritable = false
    for number in 0..<1000 { try channel.writeInbound(bytes(0x89, Array("\(number)".utf8))) }
    #expect(try sent(channel).isEmpty)
    channel.isWritable = true
    channel.pipeline.fireChannelWritabilityChanged()
    #expect(try sent(channel) == [0x8A, 3] + Array("999".utf8))
    try channel.writeInbound(bytes(0x89, [9]))
    #expect(try sent(channel) == [0x8A, 1, 9])
    _ = try? channel.finish()
  }

  @Test func piecesAndMessages() throws {
    let channel = try channel()
    try channel.writeInbound(bytes(0x02, [1, 2]))
    try channel.writeInbound(bytes(0x89, [9]))
    try channel.writeInbound(bytes(0x80, [3]))
    #expect(
      try channel.readInbound(as: WebSocket.Piece.self)
        == WebSocket.Piece(isFirst: true, isLast: false, data: ByteBuffer(bytes: [1, 2])))
    #expect(
      try channel.readInbound(as: WebSocket.Piece.self)
        == WebSocket.Piece(isFirst: false, isLast: true, data: ByteBuffer(bytes: [3])))
    #expect(try sent(channel) == [0x8A, 1, 9])
    try channel.writeOutbound(WebSocket.Message(isText: true, data: ByteBuffer(string: "a")))
    try channel.writeOutbound(WebSocket.Message(isText: false, data: ByteBuffer(string: "b")))
    #expect(try sent(channel) == [0x81, 1, 0x61, 0x82, 1, 0x62])
    // The server has said everything.
    try channel.triggerUserOutboundEvent(WebSocket.Goodbye()).wait()
    #expect(try sent(channel) == [0x88, 2, 3, 0xE8])
    #expect(throws: ChannelError.self) {
      try channel.writeOutbound(WebSocket.Message(isText: false, data: ByteBuffer(string: "c")))
    }
    #expect(channel.isActive)
    try channel.writeInbound(bytes(0x88, [3, 0xE8]))
    #expect(try sent(channel) == [] && !channel.isActive)
    _ = try? channel.finish()
  }

  @Test(arguments: [
    (WebSocket.Refusal.protocolError, 1002), (.inconsistentData, 1007), (.tooLarge, 1009),
  ]) func whatMessagesHoldMayBeRefused(refusal: WebSocket.Refusal, code: Int) throws {
    let channel = try channel()
    try channel.triggerUserOutboundEvent(refusal).wait()
    #expect(try sent(channel) == [0x88, 2, UInt8(code >> 8), UInt8(code & 0xFF)] && !channel.isActive)
    _ = try? channel.finish()
  }

  @Test func theGreetingIsAnsweredByAnythingThatComes() throws {
    let channel = try channel()
    var isKept = false
    let promise = channel.eventLoop.makePromise(of: Void.self)
    promise.futureResult.assumeIsolated().whenSuccess { isKept = true }
    channel.triggerUserOutboundEvent(WebSocket.Greeting(), promise: promise)
    #expect(try sent(channel).first == 0x89 && !isKept)
    try channel.writeInbound(bytes(0x8A, []))
    #expect(isKept)
    // Who answers nothing is not waited for.
    var isOver = false
    let second = channel.eventLoop.makePromise(of: Void.self)
    second.futureResult.assumeIsolated().whenSuccess { isOver = true }
    channel.triggerUserOutboundEvent(WebSocket.Greeting(), promise: second)
    channel.embeddedEventLoop.advanceTime(by: WebSocket.Greeting.timeout)
    #expect(isOver)
    _ = try? channel.finish()
  }

  @Test(arguments: 0..<16 as Range<UInt64>) func anyBytesEndOrGoOn(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<20 {
      let channel = try channel()
      for _ in 0..<50 where channel.isActive {
        let first = UInt8.random(in: 0...255, using: &generator) & (Bool.random(using: &generator) ? 0x82 : 0xFF)
        let count = Int.random(in: 0..<126, using: &generator)
        var frame = bytes(first, (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
        if Int.random(in: 0..<8, using: &generator) == 0 {
          frame.setInteger(UInt8.random(in: 0...255, using: &generator), at: 1)
        }
        _ = try? channel.writeInbound(frame)
      }
      let answer = try sent(channel)
      // Whoever is cut off is told so.
      if !channel.isActive { #expect(answer.contains(0x88)) }
      _ = try? channel.finish()
    }
  }
}
