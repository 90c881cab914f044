import CLinux
import Synchronization

/// Gives memory that was freed back to the system.
///
/// The C library keeps what was freed for what comes next; after clients that held much, that would be for good.
public final class HeapTrim: Sendable {
  /// So much must have been freed for it to be worth its milliseconds.
  private static let worthwhileBytes = 4 << 20

  private struct State {
    var freed = 0
    var isRunning = false
  }
  private let state = Mutex(State())

  public init() {}

  /// Counts what was freed; once it is much, gives it back, on a thread of its own.
  public func freed(_ bytes: Int) {
    let isDue = state.withLock { state in
      state.freed += bytes
      guard state.freed >= Self.worthwhileBytes, !state.isRunning else { return false }
      state.freed = 0
      state.isRunning = true
      return true
    }
    guard isDue else { return }
    DedicatedThread.start("apus-trim") { [self] in
      clinux_trim_heap()
      state.withLock { $0.isRunning = false }
    }
  }
}
