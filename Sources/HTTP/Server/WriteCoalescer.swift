import NIOCore

/// Joins the small writes between two flushes, so that the head and the body of an answer are one TLS record or one packet.
///
/// While the client does not take what was flushed before, small writes are joined across flushes, too: each record costs a
/// buffer of some KiB, which thousands of answers to one who reads none of them would have each.
final class WriteCoalescer: ChannelDuplexHandler {
  typealias InboundIn = Any
  typealias OutboundIn = IOData
  typealias OutboundOut = IOData

  /// What fits in one record (RFC 8446, section 5.1).
  private static let bytesMax = 16 << 10

  private var pending: ByteBuffer?
  /// Whether something has gone on that is not flushed.
  private var isFlushDue = false
  /// A write that the kernel had no room for when it was flushed, and which it has not taken since.
  private var isHeld = false
  private var flushesWhenTaken = false
  private var flushes = 0

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let data = unwrapOutboundIn(data)
    if promise == nil, case .byteBuffer(var buffer) = data,
      (pending?.readableBytes ?? 0) + buffer.readableBytes <= Self.bytesMax
    {
      if pending?.writeBuffer(&buffer) == nil { pending = buffer }
      return
    }
    writePending(context, promise: nil)
    isFlushDue = true
    context.write(wrapOutboundOut(data), promise: promise)
  }

  func flush(context: ChannelHandlerContext) {
    if isHeld, !isFlushDue {
      flushesWhenTaken = true
      return
    }
    flushAll(context)
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    // TLS still sends what was flushed before its close.
    if flushesWhenTaken { flushAll(context) }
    context.close(mode: mode, promise: promise)
  }

  private func flushAll(_ context: ChannelHandlerContext) {
    flushesWhenTaken = false
    isFlushDue = false
    flushes &+= 1
    // Asking costs as much as a small write: a few records more are cheap.
    if !isHeld, flushes & 15 == 0, pending != nil, isBehind(context) {
      isHeld = true
      let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
      let taken = context.eventLoop.makePromise(of: Void.self)
      taken.futureResult.whenComplete { _ in
        let (handler, context) = bound.value
        handler.isHeld = false
        if handler.flushesWhenTaken { handler.flushAll(context) }
      }
      writePending(context, promise: taken)
    } else {
      writePending(context, promise: nil)
    }
    context.flush()
  }

  /// Whether the kernel has no room for what was flushed.
  private func isBehind(_ context: ChannelHandlerContext) -> Bool {
    let waiting = try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)
    return (waiting ?? 0) > 0
  }

  private func writePending(_ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?) {
    guard let buffer = pending else { return }
    pending = nil
    context.write(wrapOutboundOut(.byteBuffer(buffer)), promise: promise)
  }
}
