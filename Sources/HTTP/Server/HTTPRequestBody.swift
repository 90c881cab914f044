import NIOCore
import Synchronization

/// The bytes of a request as they come in, handed from the connection's event loop to the task that answers.
///
/// The loop stops reading from the socket while more than `bufferBytesMax` wait here, or while there is no room for more in
/// what all bodies together may have, so that memory stays flat and a fast client is held to the pace of the disk.
package final class HTTPRequestBody: Sendable {
  package enum Failure: Error, Sendable, Equatable {
    /// The client went away in the middle.
    case disconnected
    /// Next to nothing came for too long.
    case stalled
    /// The framing is broken.
    case malformed
    /// Other bodies fill the memory that there is for this address.
    case bodiesAreMany
  }

  private static let bufferBytesMax = 1 << 20

  private struct State {
    var chunks: [ByteBuffer] = []
    var bytes = 0
    /// What of them has found room.
    var counted = 0
    var isEnded = false
    var failure: Failure?
    var waiter: CheckedContinuation<[ByteBuffer], any Error>?

    mutating func take(_ peer: HTTPPeer) -> [ByteBuffer] {
      peer.giveBackBody(counted)
      defer {
        chunks = []
        bytes = 0
        counted = 0
      }
      return chunks
    }
  }

  private let state = Mutex(State())
  /// Called when the reader wants more than is here. On any thread.
  private let demand: @Sendable () -> Void
  private let peer: HTTPPeer

  init(peer: HTTPPeer, demand: @escaping @Sendable () -> Void) {
    self.peer = peer
    self.demand = demand
  }

  deinit { peer.giveBackBody(state.withLock { $0.counted }) }

  // MARK: The loop's side

  /// - Returns: whether there is room for more.
  func feed(_ buffer: ByteBuffer) -> Bool {
    let (waiter, chunks, hasRoom) = state.withLock { state in
      state.chunks.appendJoining(buffer)
      state.bytes += buffer.readableBytes
      guard let waiter = state.waiter else {
        let hasRoom = peer.takeBody(buffer.readableBytes)
        if hasRoom { state.counted += buffer.readableBytes }
        return (
          CheckedContinuation<[ByteBuffer], any Error>?.none, [ByteBuffer](),
          hasRoom && state.bytes < Self.bufferBytesMax
        )
      }
      state.waiter = nil
      return (waiter, state.take(peer), true)
    }
    waiter?.resume(returning: chunks)
    return hasRoom
  }

  func end() {
    let waiter = state.withLock { state in
      state.isEnded = true
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume(returning: [])
  }

  /// What has come before is still handed out; then the reader gets the error.
  func fail(_ failure: Failure) {
    let waiter = state.withLock { state in
      guard !state.isEnded, state.failure == nil else { return CheckedContinuation<[ByteBuffer], any Error>?.none }
      state.failure = failure
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume(throwing: failure)
  }

  // MARK: The reader's side

  /// Everything that is here, at least one buffer; empty at the end of the body. One reader at a time.
  package func next() async throws -> [ByteBuffer] {
    try await withCheckedThrowingContinuation { continuation in
      let (chunks, failure, isWaiting) = state.withLock { state in
        if !state.chunks.isEmpty { return (state.take(peer), Failure?.none, false) }
        if state.isEnded { return ([], nil, false) }
        if let failure = state.failure { return ([], failure, false) }
        precondition(state.waiter == nil, "a body has one reader")
        state.waiter = continuation
        return ([], nil, true)
      }
      if isWaiting {
        demand()
      } else if let failure {
        continuation.resume(throwing: failure)
      } else {
        if !chunks.isEmpty { demand() }
        continuation.resume(returning: chunks)
      }
    }
  }

  /// The whole body; `nil` when it has more than `bytesMax`.
  ///
  /// - Parameter length: as the head says, when it does.
  /// - Throws: `Failure`; `bodiesAreMany` before anything is read.
  package func collect(length: Int64?, bytesMax: Int) async throws -> [UInt8]? {
    let room = min(bytesMax, length.map { Int(clamping: $0) } ?? bytesMax)
    guard room >= 0, peer.takeBody(room) else { throw Failure.bodiesAreMany }
    defer { peer.giveBackBody(room) }
    var bytes: [UInt8] = []
    while true {
      let chunks = try await next()
      if chunks.isEmpty { return bytes }
      for chunk in chunks {
        guard bytes.count + chunk.readableBytes <= bytesMax else { return nil }
        bytes.append(contentsOf: chunk.readableBytesView)
      }
    }
  }
}
