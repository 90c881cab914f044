import NIOCore

/// Joins the small writes between two flushes, so that the head and the body of an answer are one TLS record.
final class WriteCoalescer: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// What fits in one record (RFC 8446, section 5.1).
  private static let bytesMax = 16 << 10

  private var pending: ByteBuffer?

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    var buffer = unwrapOutboundIn(data)
    let waiting = pending?.readableBytes ?? 0
    if promise == nil, waiting + buffer.readableBytes <= Self.bytesMax {
      if pending?.writeBuffer(&buffer) == nil { pending = buffer }
      return
    }
    writePending(context)
    context.write(wrapOutboundOut(buffer), promise: promise)
  }

  func flush(context: ChannelHandlerContext) {
    writePending(context)
    context.flush()
  }

  private func writePending(_ context: ChannelHandlerContext) {
    guard let buffer = pending else { return }
    pending = nil
    if buffer.readableBytes > 0 { context.write(wrapOutboundOut(buffer), promise: nil) }
  }
}
