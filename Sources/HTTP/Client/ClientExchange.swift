import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization

/// One request and its response on a connection of HTTP/1.1 or a stream of HTTP/2, seen from the task that makes it. The
/// event loop puts in what arrives; the task takes it out. When too much waits to be taken, the connection or stream is not
/// read any more, so that memory stays flat and the server feels the reader's speed; when too much waits to be sent, the
/// task waits.
///
/// Used by one task at a time.
final class ClientExchange: Sendable {
  private struct State {
    var head: HTTPResponseHead?
    var trailers: HTTPHeaders?
    var chunks = CircularBuffer<ByteBuffer>()
    var bufferedBytes = 0
    var isHeadFlushed = false
    var unflushedBytes = 0
    var isRequestComplete = false
    var isResponseComplete = false
    var isReadingPaused = false
    var isReleased = false
    var failure: HTTPClientError?
    var pace = ResponsePace()
    var waiter: CheckedContinuation<Void, Never>?

    mutating func takeWaiter() -> CheckedContinuation<Void, Never>? {
      defer { waiter = nil }
      return waiter
    }
  }

  /// How an exchange has ended.
  enum End: Sendable {
    /// Request and response are whole, and the connection stays.
    case complete
    case timedOut
    /// It has failed, nobody wanted the rest, or the peer closes.
    case incomplete
  }

  private static let joinedMax = 16 << 10

  private let channel: any Channel
  private let earlier: ConnectionFailure
  private let bufferMax: Int
  /// Whether the request asks for another protocol, so that 101 is an answer.
  let mayUpgrade: Bool
  private let release: @Sendable (End) -> Void
  private let state = Mutex(State())

  /// - Parameter release: gives the connection back, or away; called once.
  init(
    _ channel: any Channel, _ failure: ConnectionFailure, bufferMax: Int, mayUpgrade: Bool,
    release: @escaping @Sendable (End) -> Void
  ) {
    self.channel = channel
    earlier = failure
    self.bufferMax = bufferMax
    self.mayUpgrade = mayUpgrade
    self.release = release
  }

  // MARK: From the event loop

  func received(_ head: HTTPResponseHead) { update { $0.head = head } }

  func received(_ chunk: ByteBuffer) {
    update { state in
      // Pieces of a few bytes must not cost a buffer each.
      if var last = state.chunks.last, last.readableBytes + chunk.readableBytes <= Self.joinedMax {
        state.chunks.removeLast()
        last.writeImmutableBuffer(chunk)
        state.chunks.append(last)
      } else {
        state.chunks.append(chunk)
      }
      state.bufferedBytes += chunk.readableBytes
      // Not when they are taken out: what waits for a slow reader has come all the same.
      state.pace.received(chunk.readableBytes)
    }
  }

  func completed(_ trailers: HTTPHeaders?) {
    update { state in
      state.trailers = trailers
      state.isResponseComplete = true
    }
  }

  /// Everything that arrives later is of no use.
  func failed(_ failure: HTTPClientError) {
    update { state in
      if state.failure == nil, !state.isResponseComplete { state.failure = failure }
    }
  }

  /// What came after the body, when that is complete.
  var trailers: HTTPHeaders? { state.withLock { $0.trailers } }

  var isAnswered: Bool { state.withLock { $0.head != nil } }

  /// Whether the end of the body can be told from the loss of the connection.
  var isFramed: Bool {
    state.withLock { state in
      guard let head = state.head else { return true }
      return head.headers.contains(name: "content-length") || head.headers.contains(name: "transfer-encoding")
    }
  }

  /// Whether the connection may be read; when not, `resume` will be asked for.
  func mayRead() -> Bool {
    state.withLock { state in
      state.isReadingPaused = state.bufferedBytes >= bufferMax
      return !state.isReadingPaused
    }
  }

  private func update(_ change: (inout State) -> Void) {
    let waiter = state.withLock { state in
      change(&state)
      return state.takeWaiter()
    }
    waiter?.resume()
  }

  // MARK: From the task

  /// Sends the head and waits until it is on its way.
  func send(_ head: HTTPRequestHead, within limit: Duration) async throws(HTTPClientError) {
    begin(.begin(self, head))
    try await wait(.idle, limit) { $0.isHeadFlushed || $0.head != nil }
  }

  /// Sends a request with its whole body.
  func send(_ head: HTTPRequestHead, whole body: ByteBuffer?) {
    state.withLock { $0.isRequestComplete = true }
    begin(.whole(self, head, body))
  }

  private func begin(_ command: ClientExchangeCommand) {
    channel.writeAndFlush(command).whenComplete { [self] result in
      switch result {
      case .success: update { $0.isHeadFlushed = true }
      case .failure(let error): writeFailed(error)
      }
    }
  }

  private func writeFailed(_ error: any Error) {
    let failure = earlier.value ?? HTTPClientError(error, isAnswered: isAnswered)
    // A stream is told of its end in the same turn of the loop, with more to say of the reason than the write has.
    if channel.parent == nil { failed(failure) } else { channel.eventLoop.execute { self.failed(failure) } }
  }

  /// Sends a part of the body; returns `false` when the answer is there already, and the rest need not be sent.
  func send(_ chunk: ByteBuffer, within limit: Duration) async throws(HTTPClientError) -> Bool {
    let count = chunk.readableBytes
    state.withLock { $0.unflushedBytes += count }
    channel.writeAndFlush(ClientExchangeCommand.body(chunk)).whenComplete { [self] result in
      switch result {
      case .success: update { $0.unflushedBytes -= count }
      case .failure(let error): writeFailed(error)
      }
    }
    let bufferMax = bufferMax
    try await wait(.idle, limit) { $0.unflushedBytes <= bufferMax || $0.head != nil }
    return state.withLock { $0.head == nil }
  }

  func sendEnd() {
    state.withLock { $0.isRequestComplete = true }
    channel.writeAndFlush(ClientExchangeCommand.end).whenFailure { [self] error in writeFailed(error) }
  }

  func head(within limit: Duration) async throws(HTTPClientError) -> HTTPResponseHead {
    try await wait(.head, limit) { $0.head != nil }
    guard let head = state.withLock({ $0.head }) else { throw .closed(isAnswered: false) }
    return head
  }

  /// The next part of the body; `nil` at its end, when the connection has been given back.
  /// - Parameter rateMin: bytes per second, over `limit`.
  func nextChunk(within limit: Duration, rateMin: Int) async throws(HTTPClientError) -> ByteBuffer? {
    while true {
      let (chunk, isAtEnd, resumes): (ByteBuffer?, Bool, Bool) = state.withLock { state in
        guard let chunk = state.chunks.popFirst() else { return (nil, state.isResponseComplete, false) }
        state.bufferedBytes -= chunk.readableBytes
        let resumes = state.isReadingPaused && state.bufferedBytes <= bufferMax / 2
        if resumes { state.isReadingPaused = false }
        return (chunk, false, resumes)
      }
      if resumes { channel.triggerUserOutboundEvent(ResumeReading(), promise: nil) }
      if let chunk { return chunk }
      if isAtEnd {
        finish()
        return nil
      }
      let began = NIODeadline.now()
      try await wait(.idle, limit) { !$0.chunks.isEmpty || $0.isResponseComplete }
      let waited = Duration.nanoseconds((NIODeadline.now() - began).nanoseconds)
      let isTooSlow = state.withLock {
        !$0.isResponseComplete && !$0.pace.waited(waited, window: limit, rateMin: rateMin)
      }
      if isTooSlow {
        let failure = HTTPClientError.timeout(.pace, limit)
        abort(failure)
        finish()
        throw failure
      }
    }
  }

  /// Lets go of the connection: it is used again when request and response are complete, else closed.
  func finish() {
    let end: End? = state.withLock { state in
      guard !state.isReleased else { return nil }
      state.isReleased = true
      if let failure = state.failure {
        if case .timeout = failure.code { return .timedOut }
        return .incomplete
      }
      return state.isRequestComplete && state.isResponseComplete && state.head?.isKeepAlive == true
        ? .complete : .incomplete
    }
    if let end { release(end) }
  }

  /// The bytes of the connection, after the answer 101; whoever gets them closes it.
  func takeOver() async throws(HTTPClientError) -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
    let isTaken = state.withLock { state in
      guard !state.isReleased, state.head?.status == .switchingProtocols else { return false }
      state.isReleased = true
      return true
    }
    guard isTaken else { throw HTTPClientError(.malformed, "the protocol has not been changed") }
    do {
      return try await channel.eventLoop.flatSubmit { [channel] in ClientExchangeHandler.takeOver(channel) }.get()
    } catch {
      channel.close(promise: nil)
      throw HTTPClientError(error, isAnswered: true)
    }
  }

  /// Waits until the condition holds, or throws what went wrong, at the latest after `limit`.
  private func wait(
    _ phase: HTTPClientError.Phase, _ limit: Duration, until isMet: @Sendable (borrowing State) -> Bool
  ) async throws(HTTPClientError) {
    var deadline: Scheduled<Void>?
    defer { deadline?.cancel() }
    while true {
      let (isDone, failure): (Bool, HTTPClientError?) = state.withLock { state in
        // What has arrived counts even when the connection has failed after it.
        if isMet(state) { return (true, nil) }
        return (false, state.failure)
      }
      if isDone { return }
      if let failure {
        finish()
        throw failure
      }
      if deadline == nil {
        deadline = channel.eventLoop.scheduleTask(in: TimeAmount(bounded: limit)) { [weak self] in
          self?.abort(.timeout(phase, limit))
        }
      }
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let isReady = state.withLock { state in
            if isMet(state) || state.failure != nil { return true }
            state.waiter = continuation
            return false
          }
          if isReady { continuation.resume() }
        }
      } onCancel: {
        abort(.cancelled)
      }
    }
  }

  /// Ends the exchange when it is not over by then and the timer has not been cancelled.
  func abort(after limit: Duration) -> Scheduled<Void> {
    channel.eventLoop.scheduleTask(in: TimeAmount(bounded: limit)) { [weak self] in self?.abort(.timeout(.body, limit))
    }
  }

  private func abort(_ failure: HTTPClientError) {
    failed(failure)
    channel.close(promise: nil)
  }
}

/// What the task writes to the channel.
enum ClientExchangeCommand: Sendable {
  case begin(ClientExchange, HTTPRequestHead)
  case whole(ClientExchange, HTTPRequestHead, ByteBuffer?)
  case body(ByteBuffer)
  case end
}

/// The task has taken what was waiting.
struct ResumeReading: Sendable {}

/// What went wrong on a connection while nothing was asked for, or with all that was asked for: a server that wants another
/// certificate says so when the client takes the handshake for complete (RFC 8446, section 4.4.2.4). The channel is gone
/// then, with its handlers.
final class ConnectionFailure: Sendable {
  private let state = Mutex<HTTPClientError?>(nil)

  var value: HTTPClientError? { state.withLock { $0 } }
  func set(_ failure: HTTPClientError) { state.withLock { if $0 == nil { $0 = failure } } }
}

/// A connection as the pool keeps it.
struct ClientConnection: Sendable, Equatable {
  var channel: any Channel
  var failure: ConnectionFailure
  /// The settings that it was opened by: see `ConnectionPool.reset`.
  var generation: Int
  /// `nil` for one of HTTP/1.1.
  var http2: HTTP2ClientConnection?

  static func == (a: ClientConnection, b: ClientConnection) -> Bool { a.failure === b.failure }
}

/// Connects a channel with the exchange that it serves; one at a time.
final class ClientExchangeHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundIn = ClientExchangeCommand
  typealias OutboundOut = HTTPClientRequestPart

  private var exchange: ClientExchange?
  private var isReadPending = false
  private var hasServed = false
  private let failure: ConnectionFailure
  private let informationalMax: Int
  private var informationalCount = 0
  private let http2: HTTP2ClientConnection?

  /// - Parameters:
  ///   - informationalMax: how many answers of the class 1xx may come before the one that counts.
  ///   - http2: the connection of which the channel is a stream.
  init(failure: ConnectionFailure, informationalMax: Int, http2: HTTP2ClientConnection? = nil) {
    self.failure = failure
    self.informationalMax = informationalMax
    self.http2 = http2
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .begin(let exchange, let head):
      guard begin(exchange, context, promise) else { return }
      writeHead(head, of: exchange, context).cascade(to: promise)
    case .whole(let exchange, let head, let body):
      guard begin(exchange, context, promise) else { return }
      // A head that is refused has no end that could be written after it.
      let whole = promise ?? context.eventLoop.makePromise()
      writeHead(head, of: exchange, context).cascadeFailure(to: whole)
      if let body { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
      context.write(wrapOutboundOut(.end(nil)), promise: whole)
    case .body(let chunk): context.write(wrapOutboundOut(.body(.byteBuffer(chunk))), promise: promise)
    case .end: context.write(wrapOutboundOut(.end(nil)), promise: promise)
    }
  }

  private func writeHead(
    _ head: HTTPRequestHead, of exchange: ClientExchange, _ context: ChannelHandlerContext
  ) -> EventLoopFuture<Void> {
    let written = context.eventLoop.makePromise(of: Void.self)
    written.futureResult.whenFailure { error in
      // Told at once: the validator reports it as an error of the channel next.
      guard case HTTPParserError.invalidHeaderToken = error else { return }
      exchange.failed(HTTPClientError(.invalidRequest, "a header field has characters that no header field has"))
    }
    context.write(wrapOutboundOut(.head(head)), promise: written)
    return written.futureResult
  }

  private func begin(
    _ exchange: ClientExchange, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?
  ) -> Bool {
    guard context.channel.isActive else {
      // The write would fail as well, but not say why.
      exchange.failed(http2 == nil ? failure.value ?? .closed(isAnswered: false) : explain(nil, context))
      promise?.fail(ChannelError.ioOnClosedChannel)
      return false
    }
    assert(self.exchange == nil, "a connection serves one request at a time")
    self.exchange = exchange
    hasServed = true
    informationalCount = 0
    continueReading(context)
    return true
  }

  func read(context: ChannelHandlerContext) {
    if exchange?.mayRead() ?? true { context.read() } else { isReadPending = true }
  }

  func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
    guard event is ResumeReading else {
      context.triggerUserOutboundEvent(event, promise: promise)
      return
    }
    promise?.succeed()
    continueReading(context)
  }

  private func continueReading(_ context: ChannelHandlerContext) {
    guard isReadPending else { return }
    isReadPending = false
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let exchange else {
      // Nothing was asked for: the peer is out of step, and its bytes would be taken for the next answer.
      close(context)
      return
    }
    switch unwrapInboundIn(data) {
    case .head(let head) where (100..<200).contains(head.status.code):
      informationalCount += 1
      if head.status == .switchingProtocols, exchange.mayUpgrade {
        exchange.received(head)
        return
      }
      // Nobody has asked for another protocol, and whoever announces for ever never answers.
      guard head.status != .switchingProtocols, informationalCount <= informationalMax else {
        end(HTTPClientError(.malformed, "it answers \(head.status.code) once more and not as it was asked"))
        close(context)
        return
      }
    case .head(var head):
      // The codec makes it up for readers of HTTP/1.1; a real one is refused (RFC 9113, section 8.2.2).
      if http2 != nil { head.headers.remove(name: "transfer-encoding") }
      exchange.received(head)
    case .body(let chunk): exchange.received(chunk)
    case .end(let trailers):
      self.exchange = nil
      exchange.completed(trailers)
      // An idle connection is read, so that its end is seen.
      continueReading(context)
    }
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    http2?.takeBack(context.channel)
    context.close(mode: mode, promise: promise)
  }

  private func close(_ context: ChannelHandlerContext) { close(context: context, mode: .all, promise: nil) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A server that closes without TLS's goodbye has still closed: `channelInactive` follows, and the decoder tells
    // whether the body was complete. Without a length it cannot, and somebody may have cut it off.
    if case .uncleanShutdown? = error as? NIOSSLError {
      if exchange?.isFramed == false { end(.closed(isAnswered: true)) }
    } else {
      end(explain(error, context))
    }
    close(context)
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(explain(nil, context))
    context.fireChannelInactive()
  }

  /// What an error, or an end without one, means for the exchange.
  private func explain(_ error: (any Error)?, _ context: ChannelHandlerContext) -> HTTPClientError {
    let isAnswered = exchange?.isAnswered ?? false
    if let http2 { return http2.explain(error, of: context.channel, isAnswered: isAnswered) }
    return error.map { HTTPClientError($0, isAnswered: isAnswered) } ?? .closed(isAnswered: isAnswered)
  }

  /// Takes the HTTP handlers out, in one turn of the event loop. What has come after the head of the answer is the first
  /// that is read.
  static func takeOver(_ channel: any Channel) -> EventLoopFuture<NIOAsyncChannel<ByteBuffer, ByteBuffer>> {
    let pipeline = channel.pipeline.syncOperations
    do {
      for handler in [
        try pipeline.handler(type: ClientExchangeHandler.self), try pipeline.handler(type: HTTPRequestEncoder.self),
        try pipeline.handler(type: NIOHTTPRequestHeadersValidator.self),
      ] as [any RemovableChannelHandler] {
        _ = pipeline.removeHandler(handler)
      }
      let place = ReadPlace()
      try pipeline.addHandler(place)
      let connection = try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
        wrappingChannelSynchronously: channel,
        configuration: .init(backPressureStrategy: .init(lowWatermark: 2, highWatermark: 8)))
      let above = try pipeline.context(handler: place)
      let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPResponseDecoder>.self)
      return pipeline.removeHandler(decoder).assumeIsolated().map {
        // What the decoder has kept is handed on by the end of a read, which may have been long ago. Below, TLS would keep it.
        above.fireChannelReadComplete()
        _ = channel.pipeline.syncOperations.removeHandler(place)
        // The exchange may have held back the read that is due.
        channel.read()
        return connection
      }.nonisolated()
    } catch {
      return channel.eventLoop.makeFailedFuture(error)
    }
  }

  /// Where the decoder hands on what it has kept.
  private final class ReadPlace: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
  }

  private func end(_ failure: HTTPClientError) {
    if let exchange {
      self.exchange = nil
      exchange.failed(failure)
    } else if http2 == nil, !hasServed, failure.code != .closed(isAnswered: false) {
      // Later the connection is one that was kept and is closed, for whatever reason.
      self.failure.set(failure)
    }
  }
}
