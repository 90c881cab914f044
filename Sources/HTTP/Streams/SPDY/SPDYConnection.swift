import NIOCore
import Synchronization

/// One end of a SPDY connection. What it knows is `SPDYConnectionState`; here are its tasks and bytes.
package final class SPDYConnection: Sendable {
  /// Streams that are open at the same time.
  package static let streamCountMax = SPDYConnectionState.streamCountMax
  /// Bytes of a stream that wait to be taken, before the connection is no longer read. Beyond the window: a peer that keeps
  /// windows must never stop the reading, by which its own are opened.
  private static let streamBytesMax = SPDYConnectionState.window + 1

  private struct State {
    var core: SPDYConnectionState
    var encoder: SPDYFrameEncoder
    var streams: [UInt32: SPDYStream] = [:]
    /// Tasks that wait for a window.
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var lastWaiter: UInt64 = 0
    var isOpening = false
    var hasGreeted = false
    var isOver = false
    var failure: SPDYError?

    /// Streams that are over are their holders' alone.
    mutating func release(_ id: UInt32) {
      if !core.isOpen(id) { streams[id] = nil }
    }

    mutating func takeWaiters() -> [CheckedContinuation<Void, Never>] {
      defer { waiters = [:] }
      return Array(waiters.values)
    }
  }

  private let state: Mutex<State>
  private let writeFrame: @Sendable (ByteBuffer) async throws -> Void
  /// That answers are due. They are written by a task of their own: who reads never waits for the peer to read.
  private let due: AsyncStream<Void>
  private let dueSignal: AsyncStream<Void>.Continuation

  /// - Parameter write: writes one frame whole, and suspends while the peer does not read. Called by several tasks.
  package init(_ role: SPDYRole, write: @escaping @Sendable (ByteBuffer) async throws -> Void) throws(SPDYError) {
    state = Mutex(State(core: SPDYConnectionState(role: role), encoder: try SPDYFrameEncoder()))
    writeFrame = write
    (due, dueSignal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Why the connection has ended, when it is what the peer has sent.
  package var failure: SPDYError? { state.withLock { $0.failure } }

  /// Reads until the peer closes. Called once; streams live no longer than it runs.
  ///
  /// - Parameter onStream: called for each stream that the peer opens, after it has been accepted. It must not wait
  ///   for the stream's bytes. False refuses the stream.
  /// - Throws: `SPDYError` when the peer does not speak SPDY, and what reading and writing throw.
  package func run<Input: AsyncSequence>(
    _ input: Input, onStream: (SPDYStream) -> Bool = { _ in false }
  ) async throws where Input.Element == ByteBuffer {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.writeAnswers() }
      defer { group.cancelAll() }
      do {
        var decoder = try SPDYFrameDecoder()
        for try await bytes in input {
          decoder.append(bytes)
          while let frame = try decoder.next() { try await handle(frame, onStream) }
        }
        end(nil)
      } catch {
        end(error as? SPDYError)
        throw error
      }
    }
  }

  private func handle(_ frame: SPDYFrame, _ onStream: (SPDYStream) -> Bool) async throws {
    let actions = try state.withLock { state throws(SPDYError) in try state.core.received(frame) }
    for action in actions {
      switch action {
      case .opened(let id, let headers): try await accept(id, headers, onStream)
      case .accepted(let id): stream(id)?.wasAccepted(true)
      case .data(let id, let bytes):
        let isTaken = await stream(id)?.input.write(bytes) ?? false
        if !isTaken { consumed(bytes.readableBytes, of: id) }
      case .inputEnded(let id):
        stream(id)?.inputEnded()
        state.withLock { $0.release(id) }
      case .reset(let id):
        let (stream, waiters) = state.withLock { ($0.streams.removeValue(forKey: id), $0.takeWaiters()) }
        stream?.wasReset()
        for waiter in waiters { waiter.resume() }
      case .windowsChanged:
        for waiter in state.withLock({ $0.takeWaiters() }) { waiter.resume() }
      case .answersDue: dueSignal.yield()
      }
    }
  }

  private func accept(_ id: UInt32, _ headers: [SPDYHeader], _ onStream: (SPDYStream) -> Bool) async throws {
    let stream = SPDYStream(id: id, headers: headers, input: BoundedPipe(capacity: Self.streamBytesMax), self)
    let reply = try state.withLock { state throws(SPDYError) in
      state.streams[id] = stream
      return try state.encoder.encode(.synReply(id: id, headers: [], isLast: false))
    }
    try await greet()
    // Before anybody can write to the stream.
    try await writeFrame(reply)
    if !onStream(stream) { reset(stream, SPDYStatus.refusedStream) }
  }

  private func stream(_ id: UInt32) -> SPDYStream? { state.withLock { $0.streams[id] } }

  private func writeAnswers() async {
    for await _ in due {
      for frame in state.withLock({ $0.core.takeAnswers() }) {
        guard let bytes = SPDYFrameEncoder.plain(frame) else { continue }
        // Who cannot write is told by who reads.
        do { try await writeFrame(bytes) } catch { return }
      }
    }
  }

  /// Ends every stream, also one whose bytes nobody takes: who writes to it waits no longer. For whoever closes the
  /// connection.
  func close() { end(nil) }

  private func end(_ failure: SPDYError?) {
    let (streams, waiters) = state.withLock { state in
      state.isOver = true
      if state.failure == nil { state.failure = failure }
      defer { state.streams = [:] }
      for id in state.streams.keys { _ = state.core.reset(id, SPDYStatus.cancel) }
      return (state.streams, state.takeWaiters())
    }
    dueSignal.finish()
    for waiter in waiters { waiter.resume() }
    for stream in streams.values { stream.wasReset() }
  }

  /// Opens a stream. The client's; not by two tasks at once, since headers are compressed in the order in which they are sent.
  package func open(_ headers: [SPDYHeader]) async throws -> SPDYStream {
    let (stream, frame) = try state.withLock { state throws(SPDYError) in
      guard !state.isOver else { throw state.failure ?? SPDYError(message: "the connection is closed") }
      guard !state.isOpening else { throw SPDYError(message: "streams are opened one after another") }
      let id = try state.core.open()
      let stream = SPDYStream(id: id, headers: headers, input: BoundedPipe(capacity: Self.streamBytesMax), self)
      state.streams[id] = stream
      state.isOpening = true
      return (stream, try state.encoder.encode(.synStream(id: id, headers: headers, isLast: false)))
    }
    defer { state.withLock { $0.isOpening = false } }
    try await greet()
    try await writeFrame(frame)
    return stream
  }

  /// Shows the peer that this end has windows, before the first stream, and so before any data: two ends of which one hears of
  /// the other's windows too late can wait for each other for ever.
  private func greet() async throws {
    let isFirst = state.withLock { state in
      defer { state.hasGreeted = true }
      return !state.hasGreeted
    }
    let settings = SPDYFrame.settings(initialWindow: UInt32(SPDYConnectionState.window))
    if isFirst, let frame = SPDYFrameEncoder.plain(settings) { try await writeFrame(frame) }
  }

  // MARK: For streams

  func consumed(_ count: Int, of id: UInt32) {
    guard count > 0 else { return }
    if state.withLock({ $0.core.consumed(count, of: id) }) { dueSignal.yield() }
  }

  /// Writes as much as windows allow, and suspends while they allow nothing.
  func write(_ bytes: inout ByteBuffer, to id: UInt32) async throws {
    let wanted = min(SPDYStream.frameBytesMax, bytes.readableBytes)
    let (allowance, token) = state.withLock { state in
      state.lastWaiter += 1
      return (state.core.spend(wanted, of: id), state.lastWaiter)
    }
    switch allowance {
    case .closed: throw ChannelError.outputClosed
    case .bytes(let count):
      guard let piece = bytes.readSlice(length: count) else { return }
      try await writeFrame(SPDYFrameEncoder.data(id, piece, isLast: false))
    case .wait:
      await withTaskCancellationHandler {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
          let isReady = state.withLock { state in
            if Task.isCancelled || state.isOver || state.core.allowance(wanted, of: id) != .wait { return true }
            state.waiters[token] = continuation
            return false
          }
          if isReady { continuation.resume() }
        }
      } onCancel: {
        state.withLock { $0.waiters.removeValue(forKey: token) }?.resume()
      }
      try Task.checkCancellation()
    }
  }

  func finish(_ stream: SPDYStream) async throws {
    let (isDue, waiters) = state.withLock { state in
      let isDue = state.core.finishOutput(stream.id)
      state.release(stream.id)
      return (isDue, state.takeWaiters())
    }
    for waiter in waiters { waiter.resume() }
    if isDue { try await writeFrame(SPDYFrameEncoder.data(stream.id, ByteBuffer(), isLast: true)) }
  }

  func reset(_ stream: SPDYStream, _ status: UInt32) {
    let (isDue, waiters) = state.withLock { state in
      let isDue = state.core.reset(stream.id, status)
      state.release(stream.id)
      return (isDue, state.takeWaiters())
    }
    for waiter in waiters { waiter.resume() }
    stream.wasReset()
    if isDue { dueSignal.yield() }
  }
}
