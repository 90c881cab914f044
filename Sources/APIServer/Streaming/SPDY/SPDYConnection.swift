import NIOCore
import Synchronization

/// The server's side of a SPDY connection: streams that the client opens.
///
/// There is no flow control per stream: the clients of Kubernetes (`moby/spdystream`) neither send `WINDOW_UPDATE` nor
/// expect it, so to wait for one would stop a stream after 64 KiB. What bounds memory is the connection itself: it is
/// not read while a stream's bytes wait, and writing waits for it.
final class SPDYConnection: Sendable {
  /// Streams that are open at the same time.
  static let streamCountMax = 512
  /// Bytes of a stream that wait to be taken, before the connection is no longer read.
  static let streamBytesMax = 64 << 10

  private struct State {
    var streams: [UInt32: SPDYStream] = [:]
    var lastStream: UInt32 = 0
    var isGoingAway = false
  }

  private let state = Mutex(State())
  private let write: @Sendable (ByteBuffer) async throws -> Void

  /// - Parameter write: writes one frame whole, and suspends while the client does not read. Called by several tasks.
  init(write: @escaping @Sendable (ByteBuffer) async throws -> Void) { self.write = write }

  /// Reads until the client closes.
  ///
  /// - Parameter onStream: called for each stream that the client opens, after it has been accepted. It must not wait
  ///   for the stream's bytes. False refuses the stream.
  /// - Throws: `SPDYError` when the client does not speak SPDY, and what reading and writing throw.
  func run<Input: AsyncSequence>(
    _ input: Input, onStream: (SPDYStream) -> Bool
  ) async throws where Input.Element == ByteBuffer {
    defer { finishStreams() }
    var decoder = try SPDYFrameDecoder()
    var encoder = try SPDYFrameEncoder()
    for try await bytes in input {
      decoder.append(bytes)
      while let frame = try decoder.next() {
        switch frame {
        case .synStream(let id, let headers, let isLast):
          try await open(id, headers, isLast: isLast, &encoder, onStream)
        case .data(let id, let bytes, let isLast):
          // Data for a stream that has ended already was on its way.
          guard let stream = stream(id) else { continue }
          await stream.input.write(bytes)
          if isLast { endInput(of: stream) }
        case .headers(let id, _, let isLast):
          if isLast, let stream = stream(id) { endInput(of: stream) }
        case .rstStream(let id, _):
          guard let stream = stream(id) else { continue }
          stream.wasReset()
          forget(id)
        case .ping(let id):
          // Those of the client are odd; the server sends none.
          if id % 2 == 1 { try await write(encoder.encode(.ping(id: id))) }
        case .goAway: state.withLock { $0.isGoingAway = true }
        case .synReply, .settings, .windowUpdate: break
        }
      }
    }
  }

  private func open(
    _ id: UInt32, _ headers: [SPDYHeader], isLast: Bool, _ encoder: inout SPDYFrameEncoder,
    _ onStream: (SPDYStream) -> Bool
  ) async throws {
    let stream = SPDYStream(
      id: id, headers: headers, input: BoundedPipe(capacity: Self.streamBytesMax), write: write,
      ended: { [weak self] in self?.forget(id) })
    let refusal: UInt32? = state.withLock { state in
      // A client's streams have odd and rising numbers.
      guard id % 2 == 1, id > state.lastStream else { return SPDYStatus.protocolError }
      state.lastStream = id
      guard state.streams.count < Self.streamCountMax, !state.isGoingAway else { return SPDYStatus.refusedStream }
      state.streams[id] = stream
      return nil
    }
    if let refusal { return try await write(encoder.encode(.rstStream(id: id, status: refusal))) }
    // Before anybody can write to the stream.
    try await write(encoder.encode(.synReply(id: id, headers: [], isLast: false)))
    if isLast { endInput(of: stream) }
    if !onStream(stream) {
      forget(id)
      try await write(encoder.encode(.rstStream(id: id, status: SPDYStatus.refusedStream)))
    }
  }

  private func stream(_ id: UInt32) -> SPDYStream? { state.withLock { $0.streams[id] } }

  private func forget(_ id: UInt32) { state.withLock { $0.streams[id] = nil } }

  private func endInput(of stream: SPDYStream) {
    if stream.inputHasEnded() { forget(stream.id) }
  }

  private func finishStreams() {
    let streams = state.withLock { state in
      defer { state.streams = [:] }
      return state.streams
    }
    for stream in streams.values { stream.wasReset() }
  }
}

/// One stream that the client has opened.
final class SPDYStream: Sendable {
  /// Larger writes are split, so that streams share the connection.
  static let frameBytesMax = 64 << 10

  private struct State {
    var isInputOpen = true
    var isOutputOpen = true
    var resetHandler: (@Sendable () -> Void)?
    var wasReset = false
  }

  let id: UInt32
  let headers: [SPDYHeader]
  /// What the client sends; at its end when it has finished its side or is gone. Read by one task.
  let input: BoundedPipe

  private let state = Mutex(State())
  private let writeFrame: @Sendable (ByteBuffer) async throws -> Void
  private let ended: @Sendable () -> Void

  init(
    id: UInt32, headers: [SPDYHeader], input: BoundedPipe,
    write: @escaping @Sendable (ByteBuffer) async throws -> Void, ended: @escaping @Sendable () -> Void
  ) {
    self.id = id
    self.headers = headers
    self.input = input
    writeFrame = write
    self.ended = ended
  }

  func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

  /// Suspends while the client does not read. Nothing is sent after `finish` or a reset.
  func write(_ bytes: ByteBuffer) async throws {
    var bytes = bytes
    while bytes.readableBytes > 0 {
      guard state.withLock({ $0.isOutputOpen }) else { throw ChannelError.outputClosed }
      guard let piece = bytes.readSlice(length: min(Self.frameBytesMax, bytes.readableBytes)) else { return }
      try await writeFrame(SPDYFrameEncoder.data(id, piece, isLast: false))
    }
  }

  /// Ends the server's side.
  func finish() async throws {
    let (wasOpen, isOver) = state.withLock { state in
      defer { state.isOutputOpen = false }
      return (state.isOutputOpen, !state.isInputOpen)
    }
    guard wasOpen else { return }
    try await writeFrame(SPDYFrameEncoder.data(id, ByteBuffer(), isLast: true))
    if isOver { ended() }
  }

  /// Called once when the client resets the stream or is gone; at once when that has happened.
  func onReset(_ handler: @escaping @Sendable () -> Void) {
    let isLate = state.withLock { state in
      if !state.wasReset { state.resetHandler = handler }
      return state.wasReset
    }
    if isLate { handler() }
  }

  func wasReset() {
    let handler = state.withLock { state in
      state.isInputOpen = false
      state.isOutputOpen = false
      state.wasReset = true
      defer { state.resetHandler = nil }
      return state.resetHandler
    }
    input.finish()
    handler?()
  }

  /// Whether both sides have ended now.
  func inputHasEnded() -> Bool {
    input.finish()
    return state.withLock { state in
      state.isInputOpen = false
      return !state.isOutputOpen
    }
  }
}
