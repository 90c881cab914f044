import Crypto
import NIOCore
import NIOWebSocket
import Wire

/// WebSocket (RFC 6455) below the channel protocols: frames in and out, ping, close.
enum WebSocketTransport {
  /// The largest frame that is taken. Clients send up to 32 KiB at a time.
  static let frameBytesMax = 1 << 20

  /// `Sec-WebSocket-Accept` (RFC 6455, section 4.2.2).
  static func acceptValue(key: String) -> String {
    let digest = Insecure.SHA1.hash(data: Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))
    return Base64.encode(Array(digest))
  }

  /// Adds the handlers. Above them the channel carries byte buffers: what each message holds.
  static func install(on channel: any Channel, isTunnel: Bool) throws {
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(WebSocketFrameEncoder())
    try pipeline.addHandler(ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: frameBytesMax)))
    try pipeline.addHandler(WebSocketMessageHandler(isTunnel: isTunnel))
  }
}

/// Sent down the pipeline when the server has said everything: the close frame goes out and nothing after it.
struct WebSocketGoodbye: Sendable {}

/// Turns frames into byte buffers and back.
///
/// In channel mode each buffer begins with the number of its channel: to the further fragments of a message, which do
/// not repeat it, it is added, so that no message has to be kept whole. In tunnel mode the messages are one stream.
final class WebSocketMessageHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = WebSocketFrame

  private let isTunnel: Bool
  /// The channel of a message of which fragments are missing; in tunnel mode any number.
  private var fragmented: UInt8?
  private var hasSentClose = false
  private var hasReceivedClose = false

  init(isTunnel: Bool) { self.isTunnel = isTunnel }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasReceivedClose else { return }
    let frame = unwrapInboundIn(data)
    // RFC 6455, section 5.1: a client masks every frame.
    guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else { return fail(context, .protocolError) }
    var data = frame.unmaskedData
    switch frame.opcode {
    case .binary, .text:
      guard fragmented == nil else { return fail(context, .protocolError) }
      if isTunnel {
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
      if isTunnel {
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

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard !hasSentClose else {
      promise?.fail(ChannelError.outputClosed)
      return
    }
    let frame = WebSocketFrame(fin: true, opcode: .binary, data: unwrapOutboundIn(data))
    context.write(wrapOutboundOut(frame), promise: promise)
  }

  func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
    guard event is WebSocketGoodbye else { return context.triggerUserOutboundEvent(event, promise: promise) }
    sendClose(context, Self.payload(.normalClosure))
    promise?.succeed()
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
