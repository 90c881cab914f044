import NIOCore
import NIOHTTP1
import NIOHTTP2

/// The part of an HTTP/2 connection that is no stream's: counts the streams, gives up a connection that has none, says
/// goodbye. Each stream is an `HTTPConnection` of its own.
final class HTTP2Connection: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame
  typealias OutboundOut = HTTP2Frame

  private let server: HTTPServer
  private let limits: HTTPConnectionLimits
  private let peer: HTTPPeer
  private let identity: (any Sendable)?
  private var state: HTTP2ConnectionState
  private var streams: [ObjectIdentifier: any Channel] = [:]
  private var timer: (end: NIODeadline, task: Scheduled<Void>)?
  private var context: ChannelHandlerContext?

  init(
    server: HTTPServer, limits: HTTPConnectionLimits, peer: HTTPPeer, identity: (any Sendable)?, now: NIODeadline
  ) {
    self.server = server
    self.limits = limits
    self.peer = peer
    self.identity = identity
    state = HTTP2ConnectionState(limits: limits, now)
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    followDeadline()
  }

  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  // MARK: Streams

  /// Makes a new stream's handlers. On the event loop.
  func add(_ stream: any Channel) throws {
    let pipeline = stream.pipeline.syncOperations
    try pipeline.addHandler(HTTP2StreamBuffer(window: limits.streamWindow) { [weak self] in self?.flooded() })
    try pipeline.addHandler(HTTP2FramePayloadToHTTP1ServerCodec())
    try pipeline.addHandler(HTTPConnection(server: server, limits: limits, stream: peer, identity: identity))
    state.streamOpened()
    streams[ObjectIdentifier(stream)] = stream
    let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
    let id = ObjectIdentifier(stream)
    stream.closeFuture.whenComplete { _ in bound.value.closed(id) }
  }

  private func closed(_ stream: ObjectIdentifier) {
    guard streams.removeValue(forKey: stream) != nil, let context else { return }
    if state.streamClosed(isKnown: peer.hasSignedIn, context.eventLoop.now) { return context.close(promise: nil) }
    followDeadline()
  }

  // MARK: Deadlines

  private func followDeadline() {
    guard let context, let deadline = state.deadline else { return }
    if let timer {
      if timer.end <= deadline { return }
      timer.task.cancel()
    }
    startTimer(deadline, context)
  }

  private func startTimer(_ end: NIODeadline, _ context: ChannelHandlerContext) {
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    timer = (end, context.eventLoop.scheduleTask(deadline: end) { bound.value.timerFired() })
  }

  private func timerFired() {
    timer = nil
    guard let context, let deadline = state.deadline else { return }
    if context.eventLoop.now < deadline { return startTimer(deadline, context) }
    sayGoodbye(context)
    HTTPServer.abort(context.channel)
  }

  /// Too much of what the client sends carries nothing.
  private func flooded() {
    guard let context else { return }
    sayGoodbye(context, .enhanceYourCalm)
    HTTPServer.abort(context.channel)
  }

  // MARK: Ends

  /// No more streams are taken (RFC 9113, section 6.8).
  private func sayGoodbye(_ context: ChannelHandlerContext, _ code: HTTP2ErrorCode = .noError) {
    context.writeAndFlush(
      wrapOutboundOut(
        HTTP2Frame(streamID: .rootStream, payload: .goAway(lastStreamID: .maxID, errorCode: code, opaqueData: nil))),
      promise: nil)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case let drain as HTTPServer.Drain:
      let closes = state.drained()
      sayGoodbye(context)
      if closes { return context.close(promise: nil) }
      for stream in streams.values { stream.pipeline.fireUserInboundEventTriggered(drain) }
    // Who sends nothing more opens no window either: the streams could not go on.
    case let event as ChannelEvent where event == .inputClosed: context.close(promise: nil)
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    timer?.task.cancel()
    timer = nil
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A stream's own; it has been reset.
    if error is NIOHTTP2Errors.StreamError { return }
    context.close(promise: nil)
  }
}

extension HTTPServer {
  /// Changes the handlers of a connection whose client speaks HTTP/2. On its event loop.
  func becomeHTTP2(_ channel: any Channel) -> EventLoopFuture<Void> {
    let limits = self.limits.connection
    let pipeline = channel.pipeline.syncOperations
    guard let connection = try? pipeline.handler(type: HTTPConnection.self), let peer = connection.handOver() else {
      return channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel)
    }
    let identity = identity(of: channel)
    return Self.removeHandlers(from: channel).flatMapThrowing { [self] in
      guard channel.isActive else { throw ChannelError.ioOnClosedChannel }
      let connection = HTTP2Connection(
        server: self, limits: limits, peer: peer, identity: identity, now: channel.eventLoop.now)
      let bound = NIOLoopBound(connection, eventLoop: channel.eventLoop)
      let pipeline = channel.pipeline.syncOperations
      _ = try pipeline.configureHTTP2Pipeline(
        mode: .server, connectionConfiguration: Self.connectionConfiguration(limits),
        streamConfiguration: Self.streamConfiguration(limits)
      ) { stream in
        stream.eventLoop.makeCompletedFuture { try bound.value.add(stream) }
      }
      try pipeline.addHandler(connection)
    }
  }

  /// What a client can make a connection do and hold. Its limits on frames that cost more to answer than to send (PING,
  /// SETTINGS, RST_STREAM, CONTINUATION, empty DATA) are the defaults of NIOHTTP2: 200 in 30 seconds, and 5 and 1 of the
  /// last two in a row. Empty DATA that is not in a row, and the streams' windows, are `HTTP2StreamBuffer`'s.
  private static func connectionConfiguration(
    _ limits: HTTPConnectionLimits
  ) -> NIOHTTP2Handler.ConnectionConfiguration {
    var configuration = NIOHTTP2Handler.ConnectionConfiguration()
    configuration.initialSettings = [
      HTTP2Setting(parameter: .maxConcurrentStreams, value: limits.streamsMax),
      HTTP2Setting(parameter: .maxHeaderListSize, value: limits.headerBytesMax),
    ]
    configuration.targetWindowSize = limits.connectionWindow
    // What waits to be answered while the client does not read.
    configuration.maximumBufferedControlFrames = 1000
    return configuration
  }

  private static func streamConfiguration(_ limits: HTTPConnectionLimits) -> NIOHTTP2Handler.StreamConfiguration {
    var configuration = NIOHTTP2Handler.StreamConfiguration()
    configuration.targetWindowSize = 0
    configuration.outboundBufferSizeLowWatermark = 64 << 10
    configuration.outboundBufferSizeHighWatermark = 256 << 10
    return configuration
  }
}
