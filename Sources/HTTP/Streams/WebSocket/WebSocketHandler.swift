import Cryptography
import NIOCore
import NIOWebSocket
import Wire

/// The server's end of WebSocket (RFC 6455): frames in and out, ping, close.
package enum WebSocket {
  /// The largest frame that is taken. Clients send up to 32 KiB at a time.
  package static let frameBytesMax = 1 << 20

  /// `Sec-WebSocket-Accept` (RFC 6455, section 4.2.2).
  package static func acceptValue(key: String) -> String {
    Base64.encode(MessageDigest.hash(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8), .sha1))
  }

  /// A frame's worth of a message that has come: messages need not be kept whole.
  package struct Piece: Sendable, Equatable {
    package var isFirst: Bool
    package var isLast: Bool
    package var data: ByteBuffer
  }

  /// A whole message to be sent.
  package struct Message: Sendable, Equatable {
    package var isText: Bool
    package var data: ByteBuffer

    package init(isText: Bool, data: ByteBuffer) {
      self.isText = isText
      self.data = data
    }
  }

  /// Adds the handlers. Above them the channel takes messages and gives pieces.
  package static func install(on channel: any Channel) throws {
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(WebSocketFrameEncoder())
    try pipeline.addHandler(ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: frameBytesMax)))
    try pipeline.addHandler(WebSocketHandler())
  }

  /// Sent down the pipeline to ask whether the client reads; its promise is kept when it does, or after a moment.
  package struct Greeting: Sendable {
    /// Who answers no ping is not waited for any longer.
    static let timeout = TimeAmount.milliseconds(250)

    package init() {}
  }

  /// Sent down the pipeline when the server has said everything: the close frame goes out and nothing after it.
  package struct Goodbye: Sendable {
    package init() {}
  }

  /// Sent down the pipeline when what a message holds is not what it has to: the client is told by this code, and the
  /// connection ends.
  package struct Refusal: Sendable {
    var code: WebSocketErrorCode

    package static let protocolError = Refusal(code: .protocolError)
    package static let inconsistentData = Refusal(code: .dataInconsistentWithMessage)
    package static let tooLarge = Refusal(code: .messageTooLarge)
  }
}

/// Does with frames what `WebSocketState` says.
final class WebSocketHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias InboundOut = WebSocket.Piece
  typealias OutboundIn = WebSocket.Message
  typealias OutboundOut = WebSocketFrame

  private var state = WebSocketState()
  /// What the newest ping asked for, and the client has not made room for.
  private var pong: ByteBuffer?
  private var greeting: (promise: EventLoopPromise<Void>, timeout: Scheduled<Void>)?

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    var data = frame.unmaskedData
    let action = state.received(
      WebSocketState.Frame(
        opcode: frame.opcode, isLast: frame.fin, isMasked: frame.maskKey != nil,
        hasReservedBits: frame.rsv1 || frame.rsv2 || frame.rsv3, payloadBytes: data.readableBytes))
    // Whatever comes: the client is there.
    endGreeting()
    switch action {
    case .deliver(let isFirst, let isLast):
      context.fireChannelRead(wrapInboundOut(WebSocket.Piece(isFirst: isFirst, isLast: isLast, data: data)))
    case .pong:
      pong = data
      sendPong(context)
    case .close:
      // The code is given back (RFC 6455, section 5.5.1).
      sendClose(context, data.readSlice(length: min(2, data.readableBytes)) ?? ByteBuffer())
      context.close(promise: nil)
    case .fail(let code): end(context, code)
    case .ignore: break
    }
  }

  /// Of pings that came while the client reads nothing, the newest is answered (RFC 6455, section 5.5.3).
  private func sendPong(_ context: ChannelHandlerContext) {
    guard let data = pong, context.channel.isWritable, !state.hasSentClose else { return }
    pong = nil
    context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: data)), promise: nil)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    sendPong(context)
    context.fireChannelWritabilityChanged()
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard !state.hasSentClose else {
      promise?.fail(ChannelError.outputClosed)
      return
    }
    let message = unwrapOutboundIn(data)
    context.write(
      wrapOutboundOut(WebSocketFrame(fin: true, opcode: message.isText ? .text : .binary, data: message.data)),
      promise: promise)
  }

  func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
    switch event {
    case is WebSocket.Goodbye:
      sendClose(context, Self.payload(.normalClosure))
      promise?.succeed()
    case is WebSocket.Greeting: greet(context, promise ?? context.eventLoop.makePromise())
    case let refusal as WebSocket.Refusal:
      fail(context, refusal.code)
      promise?.succeed()
    default: context.triggerUserOutboundEvent(event, promise: promise)
    }
  }

  private func greet(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>) {
    guard greeting == nil, !state.hasSentClose, !state.hasReceivedClose else { return promise.succeed() }
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    let timeout = context.eventLoop.scheduleTask(in: WebSocket.Greeting.timeout) { bound.value.endGreeting() }
    greeting = (promise, timeout)
    context.writeAndFlush(
      wrapOutboundOut(WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer(string: "apus"))), promise: nil)
  }

  private func endGreeting() {
    guard let greeting else { return }
    self.greeting = nil
    greeting.timeout.cancel()
    greeting.promise.succeed()
  }

  func channelInactive(context: ChannelHandlerContext) {
    endGreeting()
    context.fireChannelInactive()
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    if mode == .all, context.channel.isActive { sendClose(context, Self.payload(.normalClosure)) }
    context.close(mode: mode, promise: promise)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard let error = error as? NIOWebSocketError else { return context.close(promise: nil) }
    fail(context, error == .invalidFrameLength ? .messageTooLarge : .protocolError)
  }

  private func fail(_ context: ChannelHandlerContext, _ code: WebSocketErrorCode) {
    if case .fail(let code) = state.fail(code) { end(context, code) }
  }

  private func end(_ context: ChannelHandlerContext, _ code: WebSocketErrorCode) {
    sendClose(context, Self.payload(code))
    context.close(promise: nil)
  }

  private func sendClose(_ context: ChannelHandlerContext, _ payload: ByteBuffer) {
    guard state.close() else { return }
    context.writeAndFlush(
      wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)), promise: nil)
  }

  private static func payload(_ code: WebSocketErrorCode) -> ByteBuffer {
    var payload = ByteBuffer()
    payload.write(webSocketErrorCode: code)
    return payload
  }
}
