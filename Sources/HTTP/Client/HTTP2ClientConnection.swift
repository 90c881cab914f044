import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2
import NIOSSL
import Synchronization

/// A connection that many requests share (HTTP/2, RFC 9113): makes a channel for each of them, which then looks like one
/// of HTTP/1.1.
final class HTTP2ClientConnection: Sendable {
  private let multiplexer: NIOHTTP2Handler.AsyncStreamMultiplexer<Void>
  private let record: Record
  private let failure: ConnectionFailure
  private let limits: HTTPClientConfiguration.Limits
  private let scheme: HTTP2FramePayloadToHTTP1ClientCodec.HTTPProtocol
  private let control: NIOLoopBound<Control>

  private init(
    _ multiplexer: NIOHTTP2Handler.AsyncStreamMultiplexer<Void>, _ record: Record, _ control: Control,
    _ failure: ConnectionFailure, _ configuration: HTTPClientConfiguration, isTLS: Bool, _ loop: any EventLoop
  ) {
    self.multiplexer = multiplexer
    self.record = record
    self.failure = failure
    limits = configuration.limits
    scheme = isTLS ? .https : .http
    self.control = NIOLoopBound(control, eventLoop: loop)
  }

  var streamsMax: Int { record.state.withLock { $0.streamsMax } }
  var isRetired: Bool { record.state.withLock { $0.isRetired } }

  /// Adds the handlers of HTTP/2 to a connection on which both sides have agreed on it. On the channel's event loop.
  ///
  /// - Parameters:
  ///   - failure: is told why the connection has ended, where there is more to say than that.
  ///   - asksSilentPeers: whether a peer that says nothing is asked whether it is still there. Not where its system tells.
  ///   - notify: is told what happens, on the event loop.
  /// - Returns: the connection, when the peer has said its settings, which it does first of all (RFC 9113, section 3.4).
  static func start(
    on channel: any Channel, _ failure: ConnectionFailure, _ configuration: HTTPClientConfiguration, isTLS: Bool,
    asksSilentPeers: Bool, notify: @escaping @Sendable (HTTP2ClientState.Event) -> Void
  ) -> EventLoopFuture<HTTP2ClientConnection> {
    let ready = channel.eventLoop.makePromise(of: Void.self)
    let record = Record(HTTP2ClientState(streamsAllowed: configuration.limits.streamsPerConnection))
    let deadlines = configuration.deadlines
    let silence = PeerSilence(
      quiet: TimeAmount(bounded: deadlines.silence), patience: TimeAmount(bounded: deadlines.ping),
      now: channel.eventLoop.now)
    let control = Control(record, failure, ready, asksSilentPeers ? silence : nil, deadlines.ping, notify)
    do {
      let pipeline = channel.pipeline.syncOperations
      let multiplexer = try pipeline.configureAsyncHTTP2Pipeline(
        mode: .client, streamDelegate: nil, frameDelegate: record, configuration: frames(configuration.limits)
      ) { pushed -> EventLoopFuture<Void> in
        // Nothing may be pushed.
        pushed.close()
      }
      try pipeline.addHandler(control)
      let connection = HTTP2ClientConnection(
        multiplexer, record, control, failure, configuration, isTLS: isTLS, channel.eventLoop)
      return ready.futureResult.map { connection }
    } catch {
      ready.fail(error)
      return channel.eventLoop.makeFailedFuture(error)
    }
  }

  /// What a server can make a connection do and hold. Its limits on frames that cost more to answer than to send are those
  /// of NIOHTTP2 (200 RST_STREAM in 30 seconds) but for three: servers of gRPC measure the line by PING, a long answer may
  /// have some DATA without a byte, and a head may be as large as the limit in frames of the size that every peer takes.
  /// The streams' windows are `HTTP2StreamBuffer`'s.
  private static func frames(_ limits: HTTPClientConfiguration.Limits) -> NIOHTTP2Handler.Configuration {
    var configuration = NIOHTTP2Handler.Configuration()
    let window = max(limits.streamWindow, StreamWindow.initial)
    configuration.connection.initialSettings = [
      HTTP2Setting(parameter: .enablePush, value: 0),
      HTTP2Setting(parameter: .maxConcurrentStreams, value: 0),
      HTTP2Setting(parameter: .maxHeaderListSize, value: limits.headerList),
    ]
    configuration.connection.targetWindowSize = 4 * window
    configuration.connection.maximumBufferedControlFrames = 1000
    configuration.connection.maximumSequentialEmptyDataFrames = 16
    configuration.connection.maximumSequentialContinuationFrames = limits.headerList / HTTP2Fields.frameMax + 1
    configuration.connection.controlFrameRateLimit.maximumCount = 1000
    // What still comes for streams that this end has given up.
    configuration.connection.maximumRecentlyResetStreams = 4 * limits.streamsPerConnection
    configuration.stream.targetWindowSize = 0
    return configuration
  }

  /// A channel for one request. It is the caller's to close.
  func makeStream() async throws(HTTPClientError) -> any Channel {
    do {
      return try await multiplexer.openStream { [self] stream in
        stream.eventLoop.makeCompletedFuture {
          try stream.pipeline.syncOperations.addHandlers([
            HTTP2StreamBuffer(window: limits.streamWindow) { [control] in control.value.flooded() },
            HTTP2AnswerCheck(limits), HTTP2FramePayloadToHTTP1ClientCodec(httpProtocol: scheme),
            NIOHTTPRequestHeadersValidator(),
            ClientExchangeHandler(
              failure: failure, informationalMax: limits.informationalAnswers, http2: self),
          ])
          control.value.streamOpened(stream)
          return stream
        }
      }
    } catch {
      throw failure.value ?? HTTPClientError(.refused, "the connection takes no more requests", cause: error)
    }
  }

  /// Nobody wants a request's answer any more: what of it waits to be sent, since the line is full or the peer takes no more
  /// at the moment, must not be sent later. NIOHTTP2 drops it when the stream is reset.
  func takeBack(_ stream: any Channel) {
    guard let id = try? stream.syncOptions?.getOption(HTTP2StreamChannelOptions.streamID),
      record.state.withLock({ !$0.isSent(id) })
    else { return }
    stream.parent?.writeAndFlush(HTTP2Frame(streamID: id, payload: .rstStream(.cancel)), promise: nil)
  }

  /// Why a stream has ended without its whole answer.
  ///
  /// - Parameter error: that it has seen itself, if any.
  func explain(_ error: (any Error)?, of stream: any Channel, isAnswered: Bool) -> HTTPClientError {
    let id = try? stream.syncOptions?.getOption(HTTP2StreamChannelOptions.streamID)
    let code = (error as? NIOHTTP2Errors.StreamClosed)?.errorCode
    let (known, isSent) = record.state.withLock { ($0.failure(of: id, code, isAnswered: isAnswered), $0.isSent(id)) }
    if let known { return known }
    if let error = error as? HTTPClientError { return error }
    if let failure = failure.value, failure.code != .closed(isAnswered: false) { return failure }
    guard isSent else {
      return HTTPClientError(.refused, "the connection was closed before the request was sent", cause: error)
    }
    return error.map { HTTPClientError($0, isAnswered: isAnswered) } ?? .closed(isAnswered: isAnswered)
  }

  /// Notes what happens, and what is written.
  private final class Record: NIOHTTP2FrameDelegate, Sendable {
    let state: Mutex<HTTP2ClientState>

    init(_ state: HTTP2ClientState) { self.state = Mutex(state) }

    func wroteFrame(_ frame: HTTP2Frame) {
      switch frame.payload {
      case .headers: state.withLock { $0.headSent(frame.streamID) }
      case .rstStream(let code): state.withLock { $0.resetSent(frame.streamID, isFault: code != .cancel) }
      case .goAway: state.withLock { $0.goodbyeSent() }
      default: break
      }
    }
  }

  /// Reads the frames that are for the connection as a whole.
  private final class Control: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let record: Record
    private let failure: ConnectionFailure
    private let ready: EventLoopPromise<Void>
    private let notify: @Sendable (HTTP2ClientState.Event) -> Void
    private var silence: PeerSilence?
    private let patience: Duration
    private var streams = 0
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?

    init(
      _ record: Record, _ failure: ConnectionFailure, _ ready: EventLoopPromise<Void>, _ silence: PeerSilence?,
      _ patience: Duration, _ notify: @escaping @Sendable (HTTP2ClientState.Event) -> Void
    ) {
      self.record = record
      self.failure = failure
      self.ready = ready
      self.silence = silence
      self.patience = patience
      self.notify = notify
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
      self.context = nil
      ready.fail(HTTPClientError.closed(isAnswered: false))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data).payload {
      case .settings(.settings(let settings)):
        let limit = settings.last { $0.parameter == .maxConcurrentStreams }?.value
        let event = record.state.withLock { $0.settingsReceived(limit: limit) }
        ready.succeed()
        if let event { notify(event) }
      case .goAway(let last, let code, _): tell { $0.goAwayReceived(lastHandled: last, code) }
      default: break
      }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
      silence?.heard(context.eventLoop.now)
      record.state.withLock { $0.readCompleted() }
      context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      // Without TLS's goodbye the end is one all the same: `channelInactive` follows, and each stream knows whether its
      // answer was whole.
      if case .uncleanShutdown? = error as? NIOSSLError { return }
      let isLate =
        switch error {
        // A request that had not gone out when the peer said goodbye knows that by itself.
        case is NIOHTTP2Errors.StreamClosed, is NIOHTTP2Errors.NoSuchStream, is NIOHTTP2Errors.CreatedStreamAfterGoaway:
          true
        default: false
        }
      let failure =
        isLate
        ? HTTPClientError(.malformed, "the server speaks of streams that there are not", cause: error)
        : HTTPClientError(error, isAnswered: false)
      if record.state.withLock({ $0.failed(isLate: isLate) }) == .connection { end(failure, context) }
    }

    func channelInactive(context: ChannelHandlerContext) {
      timer?.cancel()
      timer = nil
      tell { $0.retire() }
      ready.fail(failure.value ?? HTTPClientError.closed(isAnswered: false))
      context.fireChannelInactive()
    }

    private func tell(_ change: (inout HTTP2ClientState) -> HTTP2ClientState.Event?) {
      if let event = record.state.withLock({ change(&$0) }) { notify(event) }
    }

    /// Closes, without the goodbye of TLS, for which a peer that misbehaves or is gone would be waited.
    private func end(_ failure: HTTPClientError, _ context: ChannelHandlerContext) {
      self.failure.set(failure)
      tell { $0.retire() }
      ready.fail(failure)
      if let tls = try? context.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self) {
        tls.close(promise: nil)
      } else {
        context.close(promise: nil)
      }
    }

    /// Too much of what the server sends carries nothing.
    func flooded() {
      guard let context else { return }
      end(HTTPClientError(.malformed, "the server sends too many frames that carry nothing"), context)
    }

    // MARK: Silence

    func streamOpened(_ stream: any Channel) {
      streams += 1
      let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
      stream.closeFuture.whenComplete { _ in bound.value.streams -= 1 }
      guard timer == nil, let context, let at = silence?.waitBegan(context.eventLoop.now) else { return }
      look(at, context)
    }

    private func look(_ at: NIODeadline, _ context: ChannelHandlerContext) {
      let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
      timer = context.eventLoop.scheduleTask(deadline: at) { bound.value.timerFired() }
    }

    private func timerFired() {
      timer = nil
      guard let context, let action = silence?.looked(isWaitedFor: streams > 0, context.eventLoop.now) else { return }
      switch action {
      case .look(let at): look(at, context)
      case .ask(let at):
        context.writeAndFlush(
          wrapOutboundOut(HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(), ack: false))), promise: nil)
        look(at, context)
      case .giveUp: end(.timeout(.silence, patience), context)
      case .rest: break
      }
    }
  }
}

/// Refuses heads and trailers of answers that are too large, or that the handlers behind it must not see: a status is three
/// digits (RFC 9110, section 15).
final class HTTP2AnswerCheck: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias InboundOut = HTTP2Frame.FramePayload

  private let limits: HTTPClientConfiguration.Limits
  private var hasRefused = false

  init(_ limits: HTTPClientConfiguration.Limits) { self.limits = limits }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    // What comes behind a head that was refused belongs to nothing.
    if hasRefused { return }
    if case .headers(let block) = unwrapInboundIn(data), let failure = Self.failure(of: block.headers, limits) {
      hasRefused = true
      context.fireErrorCaught(failure)
    } else {
      context.fireChannelRead(data)
    }
  }

  static func failure(of fields: HPACKHeaders, _ limits: HTTPClientConfiguration.Limits) -> HTTPClientError? {
    guard fields.count <= limits.headerFields,
      fields.allSatisfy({ $0.name.utf8.count + $0.value.utf8.count <= limits.headerField })
    else { return HTTPClientError(.headTooLarge, "the head of the answer is too large") }
    for status in fields[":status"] {
      guard status.utf8.count == 3, status.utf8.allSatisfy({ (0x30...0x39).contains($0) }), status.utf8.first != 0x30
      else { return HTTPClientError(.malformed, "the answer has no status") }
    }
    return nil
  }
}
