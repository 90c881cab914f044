import NIOCore

/// Tells HTTP/2 from HTTP/1.1 by the first bytes (RFC 9113, section 3.4), with TLS and without.
///
/// The handlers of HTTP/1.1 are there from the start, with the deadline for a first request; they are changed when the other
/// end turns out to speak HTTP/2.
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  private let server: HTTPServer
  /// What may be the beginning of the preface, or has come while the handlers are changed.
  private var held: ByteBuffer?
  private var isChanging = false

  init(server: HTTPServer) { self.server = server }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    if held?.writeBuffer(&buffer) == nil { held = buffer }
    guard !isChanging, let held else { return }
    let count = min(held.readableBytes, Self.preface.count)
    guard held.readableBytesView.prefix(count).elementsEqual(Self.preface[..<count]) else { return leave(context) }
    guard count == Self.preface.count else { return }
    isChanging = true
    let bound = NIOLoopBound((detector: self, context: context), eventLoop: context.eventLoop)
    server.becomeHTTP2(context.channel).whenComplete { result in
      let (detector, context) = bound.value
      switch result {
      case .success: detector.leave(context)
      case .failure: context.close(promise: nil)
      }
    }
  }

  /// Hands on what was held, and is no longer needed.
  private func leave(_ context: ChannelHandlerContext) {
    guard let buffer = held else { return }
    held = nil
    context.fireChannelRead(wrapInboundOut(buffer))
    if isChanging {
      context.fireChannelReadComplete()
      // The handlers of HTTP/1.1 may have swallowed the read that is due.
      context.read()
    }
    context.pipeline.syncOperations.removeHandler(self, promise: nil)
  }
}
