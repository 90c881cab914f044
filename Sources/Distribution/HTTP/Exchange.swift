import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization

/// One request and its response on a connection, seen from the task that makes it. The event loop puts in what arrives;
/// the task takes it out. When too much waits to be taken, the connection is not read any more, so that memory stays
/// flat and the server feels the reader's speed; when too much waits to be sent, the task waits.
///
/// Used by one task at a time.
final class Exchange: Sendable {
  private struct State {
    var head: HTTPResponseHead?
    var chunks = CircularBuffer<ByteBuffer>()
    var bufferedBytes = 0
    var isHeadFlushed = false
    var unflushedBytes = 0
    var isRequestComplete = false
    var isResponseComplete = false
    var isReadingPaused = false
    var isReleased = false
    var failure: HTTPFailure?
    var pace = Pace()
    var waiter: CheckedContinuation<Void, Never>?

    mutating func takeWaiter() -> CheckedContinuation<Void, Never>? {
      defer { waiter = nil }
      return waiter
    }
  }

  private let channel: any Channel
  private let earlier: ConnectionFailure
  private let bufferMax: Int
  private let release: @Sendable (_ isReusable: Bool) -> Void
  private let state = Mutex(State())

  /// - Parameter release: gives the connection back, or away; called once.
  init(_ connection: OpenConnection, bufferMax: Int, release: @escaping @Sendable (_ isReusable: Bool) -> Void) {
    channel = connection.channel
    earlier = connection.failure
    self.bufferMax = bufferMax
    self.release = release
  }

  // MARK: From the event loop

  func received(_ head: HTTPResponseHead) { update { $0.head = head } }

  func received(_ chunk: ByteBuffer) {
    update { state in
      state.chunks.append(chunk)
      state.bufferedBytes += chunk.readableBytes
      // Not when they are taken out: what waits for a slow reader has come all the same.
      state.pace.received(chunk.readableBytes)
    }
  }

  func completed() { update { $0.isResponseComplete = true } }

  /// Everything that arrives later is of no use.
  func failed(_ failure: HTTPFailure) {
    update { state in
      if state.failure == nil, !state.isResponseComplete { state.failure = failure }
    }
  }

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

  /// Sends the head and waits until it is on its way, which on a new connection is after the TLS handshake.
  func send(_ head: HTTPRequestHead, phase: HTTPFailure.Phase, within limit: Duration) async throws(HTTPFailure) {
    channel.writeAndFlush(ExchangeCommand.begin(self, head)).whenComplete { [self] result in
      switch result {
      case .success: update { $0.isHeadFlushed = true }
      case .failure(let error): failed(earlier.value ?? HTTPFailure(error, isAnswered: isAnswered))
      }
    }
    try await wait(phase, limit) { $0.isHeadFlushed || $0.head != nil }
  }

  /// Sends a part of the body; returns `false` when the answer is there already, and the rest need not be sent.
  func send(_ chunk: ByteBuffer, within limit: Duration) async throws(HTTPFailure) -> Bool {
    let count = chunk.readableBytes
    state.withLock { $0.unflushedBytes += count }
    channel.writeAndFlush(ExchangeCommand.body(chunk)).whenComplete { [self] result in
      switch result {
      case .success: update { $0.unflushedBytes -= count }
      case .failure(let error): failed(HTTPFailure(error, isAnswered: isAnswered))
      }
    }
    let bufferMax = bufferMax
    try await wait(.idle, limit) { $0.unflushedBytes <= bufferMax || $0.head != nil }
    return state.withLock { $0.head == nil }
  }

  func sendEnd() {
    state.withLock { $0.isRequestComplete = true }
    channel.writeAndFlush(ExchangeCommand.end).whenFailure { [self] error in
      failed(HTTPFailure(error, isAnswered: isAnswered))
    }
  }

  func head(within limit: Duration) async throws(HTTPFailure) -> HTTPResponseHead {
    try await wait(.head, limit) { $0.head != nil }
    guard let head = state.withLock({ $0.head }) else { throw .closed(isAnswered: false) }
    return head
  }

  /// The next part of the body; `nil` at its end, when the connection has been given back.
  /// - Parameter rateMin: bytes per second, over `limit`.
  func nextChunk(within limit: Duration, rateMin: Int) async throws(HTTPFailure) -> ByteBuffer? {
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
        let failure = HTTPFailure.timeout(.pace, limit)
        abort(failure)
        finish()
        throw failure
      }
    }
  }

  /// Lets go of the connection: it is used again when request and response are complete, else closed.
  func finish() {
    let isReusable: Bool? = state.withLock { state in
      guard !state.isReleased else { return nil }
      state.isReleased = true
      return state.isRequestComplete && state.isResponseComplete && state.failure == nil
        && state.head?.isKeepAlive == true
    }
    if let isReusable { release(isReusable) }
  }

  /// Waits until the condition holds, or throws what went wrong, at the latest after `limit`.
  private func wait(
    _ phase: HTTPFailure.Phase, _ limit: Duration, until isMet: @Sendable (borrowing State) -> Bool
  ) async throws(HTTPFailure) {
    var deadline: Scheduled<Void>?
    defer { deadline?.cancel() }
    while true {
      let (isDone, failure): (Bool, HTTPFailure?) = state.withLock { state in
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
        deadline = channel.eventLoop.scheduleTask(in: TimeAmount(limit)) { [weak self] in
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
    channel.eventLoop.scheduleTask(in: TimeAmount(limit)) { [weak self] in self?.abort(.timeout(.body, limit)) }
  }

  private func abort(_ failure: HTTPFailure) {
    failed(failure)
    channel.close(promise: nil)
  }
}

/// What the task writes to the channel.
enum ExchangeCommand: Sendable {
  case begin(Exchange, HTTPRequestHead)
  case body(ByteBuffer)
  case end
}

/// The task has taken what was waiting.
struct ResumeReading: Sendable {}

/// What went wrong on a connection while nothing was asked for: the TLS handshake may have failed before the request
/// came. The channel is gone then, with its handlers.
final class ConnectionFailure: Sendable {
  private let state = Mutex<HTTPFailure?>(nil)

  var value: HTTPFailure? { state.withLock { $0 } }
  func set(_ failure: HTTPFailure) { state.withLock { if $0 == nil { $0 = failure } } }
}

/// A connection as the pool keeps it.
struct OpenConnection: Sendable {
  var channel: any Channel
  var failure: ConnectionFailure
}

/// Connects a channel with the exchange that it serves; one at a time.
final class ExchangeHandler: ChannelDuplexHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundIn = ExchangeCommand
  typealias OutboundOut = HTTPClientRequestPart

  private var exchange: Exchange?
  private var isReadPending = false
  private let failure: ConnectionFailure

  init(failure: ConnectionFailure) { self.failure = failure }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .begin(let exchange, let head):
      guard context.channel.isActive else {
        // The write would fail as well, but not say why: the TLS handshake may have failed before there was a request.
        exchange.failed(failure.value ?? .closed(isAnswered: false))
        promise?.fail(ChannelError.ioOnClosedChannel)
        return
      }
      self.exchange = exchange
      context.write(wrapOutboundOut(.head(head)), promise: promise)
      continueReading(context)
    case .body(let chunk): context.write(wrapOutboundOut(.body(.byteBuffer(chunk))), promise: promise)
    case .end: context.write(wrapOutboundOut(.end(nil)), promise: promise)
    }
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
      context.close(promise: nil)
      return
    }
    switch unwrapInboundIn(data) {
    case .head(let head): exchange.received(head)
    case .body(let chunk): exchange.received(chunk)
    case .end:
      self.exchange = nil
      exchange.completed()
      // An idle connection is read, so that its end is seen.
      continueReading(context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A server that closes without TLS's goodbye has still closed: `channelInactive` follows, and the decoder tells
    // whether the body was complete. Without a length it cannot, and somebody may have cut it off.
    if case .uncleanShutdown? = error as? NIOSSLError {
      if exchange?.isFramed == false { end(.closed(isAnswered: true)) }
    } else {
      end(HTTPFailure(error, isAnswered: exchange?.isAnswered ?? false))
    }
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(.closed(isAnswered: exchange?.isAnswered ?? false))
    context.fireChannelInactive()
  }

  private func end(_ failure: HTTPFailure) {
    if let exchange {
      self.exchange = nil
      exchange.failed(failure)
    } else if failure != .closed(isAnswered: false) {
      self.failure.set(failure)
    }
  }
}
