import Cryptography
import NIOCore
import NIOWebSocket
import Wire

/// WebSocket (RFC 6455) below the channel protocols: frames in and out, ping, close.
enum WebSocketTransport {
  /// The largest frame that is taken. Clients send up to 32 KiB at a time.
  static let frameBytesMax = 1 << 20

  /// `Sec-WebSocket-Accept` (RFC 6455, section 4.2.2).
  static func acceptValue(key: String) -> String {
    Base64.encode(MessageDigest.hash(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8), .sha1))
  }

  /// What messages hold.
  struct Form: Sendable, Equatable {
    /// Each message begins with the number of its channel; otherwise all are one stream.
    var hasChannels: Bool
    /// Messages are text: the number is a digit, the rest is Base64 (RFC 4648, section 4).
    var isBase64 = false
  }

  /// Adds the handlers. Above them the channel carries byte buffers: what each message holds.
  static func install(on channel: any Channel, _ form: Form) throws {
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(WebSocketFrameEncoder())
    try pipeline.addHandler(ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: frameBytesMax)))
    try pipeline.addHandler(WebSocketMessageHandler(form))
  }
}

/// Sent down the pipeline to ask whether the client reads; its promise is kept when it does, or after a moment.
struct WebSocketGreeting: Sendable {
  /// Who answers no ping is not waited for any longer.
  static let timeout = TimeAmount.milliseconds(250)
}

/// Sent down the pipeline when the server has said everything: the close frame goes out and nothing after it.
struct WebSocketGoodbye: Sendable {}

/// Turns frames into byte buffers and back.
///
/// With channels each buffer begins with the number of its channel: to the further fragments of a message, which do not
/// repeat it, it is added, so that no message has to be kept whole. Only Base64 is: its fragments do not end where its
/// groups of four do.
final class WebSocketMessageHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = WebSocketFrame

  private let form: WebSocketTransport.Form
  /// The channel of a message of which fragments are missing; without channels any number.
  private var fragmented: UInt8?
  /// What has come of a message in Base64.
  private var text = ByteBuffer()
  private var greeting: (promise: EventLoopPromise<Void>, timeout: Scheduled<Void>)?
  private var hasSentClose = false
  private var hasReceivedClose = false

  init(_ form: WebSocketTransport.Form) { self.form = form }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasReceivedClose else { return }
    let frame = unwrapInboundIn(data)
    // RFC 6455, section 5.1: a client masks every frame.
    guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else { return fail(context, .protocolError) }
    var data = frame.unmaskedData
    // Whatever comes: the client is there.
    endGreeting()
    switch frame.opcode {
    case .binary where form.isBase64, .text where form.isBase64, .continuation where form.isBase64:
      receiveText(frame, data, context)
    case .binary, .text:
      guard fragmented == nil else { return fail(context, .protocolError) }
      if !form.hasChannels {
        if !frame.fin { fragmented = 0 }
      } else {
        guard let channel = data.getInteger(at: data.readerIndex, as: UInt8.self) else {
          return fail(context, .protocolError)
        }
        if !frame.fin { fragmented = channel }
      }
      context.fireChannelRead(wrapInboundOut(data))
    case .continuation:
      guard let channel = fragmented else { return fail(context, .protocolError) }
      if frame.fin { fragmented = nil }
      guard data.readableBytes > 0 else { return }
      if !form.hasChannels {
        context.fireChannelRead(wrapInboundOut(data))
      } else {
        var piece = context.channel.allocator.buffer(capacity: data.readableBytes + 1)
        piece.writeInteger(channel)
        piece.writeBuffer(&data)
        context.fireChannelRead(wrapInboundOut(piece))
      }
    case .ping:
      guard frame.fin, data.readableBytes <= 125 else { return fail(context, .protocolError) }
      context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: data)), promise: nil)
    case .pong: break
    case .connectionClose:
      hasReceivedClose = true
      // The code is given back (RFC 6455, section 5.5.1).
      sendClose(context, data.readSlice(length: min(2, data.readableBytes)) ?? ByteBuffer())
      context.close(promise: nil)
    default: fail(context, .protocolError)
    }
  }

  private func receiveText(_ frame: WebSocketFrame, _ piece: ByteBuffer, _ context: ChannelHandlerContext) {
    guard (frame.opcode == .continuation) == (fragmented != nil) else { return fail(context, .protocolError) }
    text.writeImmutableBuffer(piece)
    guard text.readableBytes <= WebSocketTransport.frameBytesMax else { return fail(context, .messageTooLarge) }
    fragmented = frame.fin ? nil : 0
    guard frame.fin else { return }
    defer { text.clear() }
    var message = context.channel.allocator.buffer(capacity: text.readableBytes)
    if form.hasChannels {
      guard let digit: UInt8 = text.readInteger(), (0x30...0x39).contains(digit) else {
        return fail(context, .protocolError)
      }
      message.writeInteger(digit - 0x30)
    }
    guard let bytes = Base64.decode(String(buffer: text)) else { return fail(context, .dataInconsistentWithMessage) }
    message.writeBytes(bytes)
    context.fireChannelRead(wrapInboundOut(message))
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard !hasSentClose else {
      promise?.fail(ChannelError.outputClosed)
      return
    }
    let message = unwrapOutboundIn(data)
    let frame =
      form.isBase64
      ? WebSocketFrame(fin: true, opcode: .text, data: encoded(message, context))
      : WebSocketFrame(fin: true, opcode: .binary, data: message)
    context.write(wrapOutboundOut(frame), promise: promise)
  }

  private func encoded(_ message: ByteBuffer, _ context: ChannelHandlerContext) -> ByteBuffer {
    var message = message
    var text = context.channel.allocator.buffer(capacity: message.readableBytes / 3 * 4 + 5)
    if form.hasChannels, let channel: UInt8 = message.readInteger() {
      assert(channel < 10, "a channel's number is a digit")
      text.writeInteger(channel + 0x30)
    }
    text.writeString(Base64.encode(Array(message.readableBytesView)))
    return text
  }

  func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
    switch event {
    case is WebSocketGoodbye:
      sendClose(context, Self.payload(.normalClosure))
      promise?.succeed()
    case is WebSocketGreeting: greet(context, promise ?? context.eventLoop.makePromise())
    default: context.triggerUserOutboundEvent(event, promise: promise)
    }
  }

  private func greet(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>) {
    guard greeting == nil, !hasSentClose, !hasReceivedClose else { return promise.succeed() }
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    let timeout = context.eventLoop.scheduleTask(in: WebSocketGreeting.timeout) { bound.value.endGreeting() }
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
    hasReceivedClose = true
    sendClose(context, Self.payload(code))
    context.close(promise: nil)
  }

  private func sendClose(_ context: ChannelHandlerContext, _ payload: ByteBuffer) {
    guard !hasSentClose else { return }
    hasSentClose = true
    context.writeAndFlush(
      wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)), promise: nil)
  }

  private static func payload(_ code: WebSocketErrorCode) -> ByteBuffer {
    var payload = ByteBuffer()
    payload.write(webSocketErrorCode: code)
    return payload
  }
}
