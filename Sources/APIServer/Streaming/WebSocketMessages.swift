import HTTP
import NIOCore
import Wire

/// What WebSocket messages hold by the subprotocols of Kubernetes.
struct MessageForm: Sendable, Equatable {
  /// Each message begins with the number of its channel; otherwise all are one stream.
  var hasChannels: Bool
  /// Messages are text: the number is a digit, the rest is Base64 (RFC 4648, section 4).
  var isBase64 = false

  /// Adds the handlers. Above them the channel carries byte buffers: what each message holds.
  func install(on channel: any Channel) throws {
    try WebSocket.install(on: channel)
    try channel.pipeline.syncOperations.addHandler(WebSocketMessageHandler(self))
  }
}

/// Turns messages into byte buffers and back.
///
/// With channels each buffer begins with the number of its channel: to the further fragments of a message, which do not
/// repeat it, it is added, so that no message has to be kept whole. Only Base64 is: its fragments do not end where its
/// groups of four do.
final class WebSocketMessageHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocket.Piece
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = WebSocket.Message

  private let form: MessageForm
  /// The channel of the message that comes.
  private var number: UInt8 = 0
  /// What has come of a message in Base64.
  private var text = ByteBuffer()

  init(_ form: MessageForm) { self.form = form }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let piece = unwrapInboundIn(data)
    if form.isBase64 { return receiveText(piece, context) }
    guard form.hasChannels else {
      if piece.isFirst || piece.data.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(piece.data)) }
      return
    }
    if piece.isFirst {
      guard let number = piece.data.getInteger(at: piece.data.readerIndex, as: UInt8.self) else {
        return refuse(context, .protocolError)
      }
      self.number = number
      return context.fireChannelRead(wrapInboundOut(piece.data))
    }
    guard piece.data.readableBytes > 0 else { return }
    var whole = context.channel.allocator.buffer(capacity: piece.data.readableBytes + 1)
    whole.writeInteger(number)
    whole.writeImmutableBuffer(piece.data)
    context.fireChannelRead(wrapInboundOut(whole))
  }

  private func receiveText(_ piece: WebSocket.Piece, _ context: ChannelHandlerContext) {
    text.writeImmutableBuffer(piece.data)
    guard text.readableBytes <= WebSocket.frameBytesMax else { return refuse(context, .tooLarge) }
    guard piece.isLast else { return }
    defer { text.clear() }
    var message = context.channel.allocator.buffer(capacity: text.readableBytes)
    if form.hasChannels {
      guard let digit: UInt8 = text.readInteger(), (0x30...0x39).contains(digit) else {
        return refuse(context, .protocolError)
      }
      message.writeInteger(digit - 0x30)
    }
    guard let bytes = Base64.decode(String(buffer: text)) else { return refuse(context, .inconsistentData) }
    message.writeBytes(bytes)
    context.fireChannelRead(wrapInboundOut(message))
  }

  private func refuse(_ context: ChannelHandlerContext, _ refusal: WebSocket.Refusal) {
    text.clear()
    context.triggerUserOutboundEvent(refusal, promise: nil)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let bytes = unwrapOutboundIn(data)
    let message = WebSocket.Message(isText: form.isBase64, data: form.isBase64 ? encoded(bytes, context) : bytes)
    context.write(wrapOutboundOut(message), promise: promise)
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
}
