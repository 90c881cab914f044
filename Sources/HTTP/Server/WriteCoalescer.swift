import NIOCore

/// Joins the small writes between two flushes, so that the head and the body of an answer are one TLS record or one packet.
final class WriteCoalescer: ChannelOutboundHandler {
  typealias OutboundIn = IOData
  typealias OutboundOut = IOData

  /// What fits in one record (RFC 8446, section 5.1).
  private static let bytesMax = 16 << 10

  private var pending: ByteBuffer?

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let data = unwrapOutboundIn(data)
    if promise == nil, case .byteBuffer(var buffer) = data,
      (pending?.readableBytes ?? 0) + buffer.readableBytes <= Self.bytesMax
    {
      if pending?.writeBuffer(&buffer) == nil { pending = buffer }
      return
    }
    writePending(context)
    context.write(wrapOutboundOut(data), promise: promise)
  }

  func flush(context: ChannelHandlerContext) {
    writePending(context)
    context.flush()
  }

  private func writePending(_ context: ChannelHandlerContext) {
    guard let buffer = pending else { return }
    pending = nil
    if buffer.readableBytes > 0 { context.write(wrapOutboundOut(.byteBuffer(buffer)), promise: nil) }
  }
}
