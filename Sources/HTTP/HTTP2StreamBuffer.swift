import NIOCore
import NIOHTTP2

/// What the peer may still send on one stream of HTTP/2 (RFC 9113, section 5.2), and how much of what it sends carries
/// nothing. A value apart from IO.
struct StreamWindow: Sendable, Equatable {
  /// Of every stream at its beginning, when no setting says otherwise.
  static let initial = 65_535
  /// So many DATA frames without a byte may come within so long.
  static let emptyMax = 200
  static let emptyPeriod = TimeAmount.seconds(30)

  private let target: Int
  private var left = StreamWindow.initial
  private var hasBegun = false
  private var isEnded = false
  private var emptyCount = 0
  private var emptySince: NIODeadline?

  /// - Parameter target: what the peer may send ahead of the reader once it sends more than a few bytes.
  init(target: Int) { self.target = max(target, Self.initial) }

  /// A DATA frame came.
  ///
  /// - Parameters:
  ///   - bytes: of the body.
  ///   - padding: beside them; `nil` for a frame that is not padded.
  /// - Returns: whether to go on; otherwise too many frames carry nothing.
  mutating func received(
    _ bytes: Int, padding: Int?, isEnd: Bool, _ now: NIODeadline
  ) -> Bool {
    left -= bytes + (padding.map { $0 + 1 } ?? 0)
    if bytes > 0 { hasBegun = true }
    if isEnd { isEnded = true }
    guard bytes == 0, !isEnd else { return true }
    if let emptySince, now - emptySince < Self.emptyPeriod {
      emptyCount += 1
    } else {
      (emptySince, emptyCount) = (now, 1)
    }
    return emptyCount <= Self.emptyMax
  }

  /// Nothing more comes, or nobody wants it.
  mutating func ended() { isEnded = true }

  /// What the peer is allowed in addition, once it has sent a byte; seldom, and then much.
  ///
  /// - Parameter waiting: the bytes that have come and are not taken.
  mutating func credit(waiting: Int) -> Int? {
    let increment = target - waiting - left
    guard hasBegun, !isEnded, increment >= (target + 1) / 2 else { return nil }
    left += increment
    return increment
  }
}

/// Stands between a stream of HTTP/2 and its other handlers, and keeps what comes while they do not read.
///
/// NIOHTTP2 keeps frames then, of which each costs a hundred bytes and more, also one with a single byte: a window's worth
/// of them is hundreds of megabytes. So this handler always reads, joins what it has to keep, and opens the stream's window
/// itself when its bytes have been handed on. (With a target of zero NIOHTTP2 does not; the connection's window is its own.)
final class HTTP2StreamBuffer: ChannelDuplexHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias InboundOut = HTTP2Frame.FramePayload
  typealias OutboundIn = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload

  private var window: StreamWindow
  private let flooded: () -> Void
  private var chunks: [ByteBuffer] = []
  private var waitingBytes = 0
  /// What ends the stream, behind the chunks.
  private var last: HTTP2Frame.FramePayload?
  /// The next handlers have asked for more.
  private var isWanted = false
  private var isClosed = false

  /// - Parameters:
  ///   - window: what the peer may send ahead of the reader. In bytes.
  ///   - flooded: ends the connection, because too much of what the peer sends carries nothing.
  init(window: Int, flooded: @escaping () -> Void) {
    self.window = StreamWindow(target: window)
    self.flooded = flooded
  }

  // MARK: Reading

  func read(context: ChannelHandlerContext) {
    isWanted = true
    guard !chunks.isEmpty || last != nil else { return context.read() }
    handOn(context)
    context.fireChannelReadComplete()
    open(context)
    // As a channel does that reads by itself.
    if context.channel.isActive { context.pipeline.read() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isClosed { return }
    let payload = unwrapInboundIn(data)
    switch payload {
    case .data(let part): received(part, context)
    case .headers(let block):
      if block.endStream { window.ended() }
      // Behind data that waits there are only trailers.
      if chunks.isEmpty, last == nil { context.fireChannelRead(data) } else { last = payload }
    case .rstStream:
      window.ended()
      context.fireChannelRead(data)
    default: context.fireChannelRead(data)
    }
  }

  private func received(_ part: HTTP2Frame.FramePayload.Data, _ context: ChannelHandlerContext) {
    guard case .byteBuffer(let bytes) = part.data else { preconditionFailure("what is received is bytes") }
    let count = bytes.readableBytes
    guard window.received(count, padding: part.paddingBytes, isEnd: part.endStream, context.eventLoop.now) else {
      drop()
      // Not within the delivery of frames, which the connection's end would change.
      let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
      return context.eventLoop.execute { bound.value.flooded() }
    }
    if count == 0, !part.endStream { return }
    if isWanted, chunks.isEmpty { return context.fireChannelRead(wrapInboundOut(.data(part))) }
    if count > 0 { chunks.appendJoining(bytes) }
    waitingBytes += count
    if part.endStream { last = .data(HTTP2Frame.FramePayload.Data(data: .byteBuffer(ByteBuffer()), endStream: true)) }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isWanted = false
    context.fireChannelReadComplete()
    open(context)
    // Whether or not anybody wants more.
    context.read()
  }

  /// All that waits. It is taken out first: who gets it may ask for more at once.
  private func handOn(_ context: ChannelHandlerContext) {
    let (chunks, last) = (chunks, last)
    (self.chunks, self.last, waitingBytes, isWanted) = ([], nil, 0, false)
    for chunk in chunks {
      context.fireChannelRead(wrapInboundOut(.data(HTTP2Frame.FramePayload.Data(data: .byteBuffer(chunk)))))
    }
    if let last { context.fireChannelRead(wrapInboundOut(last)) }
  }

  private func open(_ context: ChannelHandlerContext) {
    guard !isClosed, let increment = window.credit(waiting: waitingBytes) else { return }
    context.writeAndFlush(wrapOutboundOut(.windowUpdate(windowSizeIncrement: increment)), promise: nil)
  }

  // MARK: Ends

  private func drop() {
    isClosed = true
    (chunks, last, waitingBytes) = ([], nil, 0)
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    drop()
    context.close(mode: mode, promise: promise)
  }

  /// What has come before is still handed on.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    window.ended()
    handOn(context)
    context.fireErrorCaught(error)
  }

  func channelInactive(context: ChannelHandlerContext) {
    window.ended()
    handOn(context)
    context.fireChannelInactive()
  }
}

extension [ByteBuffer] {
  /// What pieces of a few bytes are joined to, so that they do not cost a buffer each. In bytes.
  private static var joinedMax: Int { 16 << 10 }
  /// What is copied out of the read that brought it, which would be kept as a whole. In bytes.
  private static var copiedMax: Int { 1 << 10 }

  mutating func appendJoining(_ piece: ByteBuffer) {
    let count = piece.readableBytes
    // Written to in its place: taken out, it would be copied each time.
    if let lastCount = last?.readableBytes, lastCount + count <= Self.joinedMax {
      self[endIndex - 1].writeImmutableBuffer(piece)
    } else {
      append(count <= Self.copiedMax ? ByteBuffer(buffer: piece) : piece)
    }
  }
}
