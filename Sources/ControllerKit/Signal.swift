import Synchronization

/// Wakes one waiting task. A signal that is fired while nobody waits is kept for the next wait; firing it several times
/// is the same as once.
package final class Signal: Sendable {
  private struct State {
    var isFired = false
    var waiter: CheckedContinuation<Void, any Error>?
  }

  private let state = Mutex(State())

  package init() {}

  package func fire() {
    let waiter = state.withLock { state in
      let waiter = state.waiter
      state.waiter = nil
      state.isFired = waiter == nil
      return waiter
    }
    waiter?.resume()
  }

  /// Forgets a fire that nobody waited for: what it told of is seen.
  package func clear() { state.withLock { $0.isFired = false } }

  /// Waits for the next fire; only one task may wait at a time. Throws `CancellationError`.
  package nonisolated(nonsending) func wait() async throws {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let result: Result<Void, any Error>? = state.withLock { state in
          // The flag is read under the lock: a cancellation that comes later finds the waiter and resumes it.
          if Task.isCancelled { return .failure(CancellationError()) }
          if state.isFired {
            state.isFired = false
            return .success(())
          }
          precondition(state.waiter == nil, "a Signal has one waiter")
          state.waiter = continuation
          return nil
        }
        if let result { continuation.resume(with: result) }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        let waiter = state.waiter
        state.waiter = nil
        return waiter
      }
      waiter?.resume(throwing: CancellationError())
    }
  }
}
