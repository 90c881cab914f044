import NIOCore
import Synchronization

/// Bytes from one task to another, at most a given number of them waiting. The writer suspends while it is full.
///
/// One task writes and one reads. A task that is cancelled stops waiting: for the reader the pipe is then at its end,
/// and the writer's bytes are dropped.
package final class BoundedPipe: Sendable {
  private struct State {
    var chunks: [ByteBuffer] = []
    var bytes = 0
    var isFinished = false
    /// Nobody reads any more: what is written is dropped.
    var isAbandoned = false
    var reader: CheckedContinuation<ByteBuffer?, Never>?
    var writer: CheckedContinuation<Void, Never>?

    /// Small pieces are copied together: each would keep the whole block that it came in.
    mutating func append(_ piece: ByteBuffer) {
      bytes += piece.readableBytes
      guard piece.readableBytes < BoundedPipe.smallMax else { return chunks.append(piece) }
      if let last = chunks.indices.last, chunks[last].readableBytes + piece.readableBytes <= BoundedPipe.smallMax {
        chunks[last].writeBytes(piece.readableBytesView)
      } else {
        chunks.append(ByteBuffer(bytes: piece.readableBytesView))
      }
    }
  }

  private static let smallMax = 4096

  private let capacity: Int
  private let state = Mutex(State())

  /// - Parameter capacity: bytes; one chunk may exceed it.
  package init(capacity: Int) { self.capacity = capacity }

  /// Suspends while the pipe is full.
  ///
  /// - Returns: whether the bytes were taken in; not when nobody reads any more.
  @discardableResult
  package func write(_ bytes: ByteBuffer) async -> Bool {
    guard bytes.readableBytes > 0 else { return true }
    let (isTaken, reader): (Bool, CheckedContinuation<ByteBuffer?, Never>?) = state.withLock { state in
      if state.isFinished || state.isAbandoned { return (false, nil) }
      if let reader = state.reader {
        state.reader = nil
        return (true, reader)
      }
      state.append(bytes)
      return (true, nil)
    }
    if let reader {
      reader.resume(returning: bytes)
      return true
    }
    guard isTaken else { return false }
    await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        let mayGoOn = state.withLock { state in
          if state.bytes < capacity || state.isFinished || state.isAbandoned || Task.isCancelled { return true }
          state.writer = continuation
          return false
        }
        if mayGoOn { continuation.resume() }
      }
    } onCancel: {
      takeWriter()?.resume()
    }
    return true
  }

  /// The next bytes; nil at the end.
  package func read() async -> ByteBuffer? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<ByteBuffer?, Never>) in
        let (bytes, isReady, writer): (ByteBuffer?, Bool, CheckedContinuation<Void, Never>?) = state.withLock { state in
          if Task.isCancelled { return (nil, true, nil) }
          if state.chunks.isEmpty {
            if state.isFinished || state.isAbandoned { return (nil, true, nil) }
            state.reader = continuation
            return (nil, false, nil)
          }
          let chunk = state.chunks.removeFirst()
          state.bytes -= chunk.readableBytes
          guard state.bytes < capacity else { return (chunk, true, nil) }
          defer { state.writer = nil }
          return (chunk, true, state.writer)
        }
        writer?.resume()
        if isReady { continuation.resume(returning: bytes) }
      }
    } onCancel: {
      state.withLock { state in
        defer { state.reader = nil }
        return state.reader
      }?.resume(returning: nil)
    }
  }

  /// No more bytes come; those that wait can still be read.
  package func finish() {
    let (reader, writer) = state.withLock { state in
      state.isFinished = true
      defer {
        state.reader = nil
        state.writer = nil
      }
      return (state.reader, state.writer)
    }
    reader?.resume(returning: nil)
    writer?.resume()
  }

  /// Nobody reads any more: to write would be in vain.
  package var isAbandoned: Bool { state.withLock { $0.isAbandoned } }

  /// Nobody reads any more.
  ///
  /// - Returns: how many bytes that have waited are dropped.
  @discardableResult
  package func abandon() -> Int {
    let dropped = state.withLock { state in
      defer {
        state.isAbandoned = true
        state.chunks = []
        state.bytes = 0
      }
      return state.bytes
    }
    finish()
    return dropped
  }

  private func takeWriter() -> CheckedContinuation<Void, Never>? {
    state.withLock { state in
      defer { state.writer = nil }
      return state.writer
    }
  }
}
