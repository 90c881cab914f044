import Synchronization

/// Which of two processes takes from the sockets that both have: the old one has stopped before the new one begins, and
/// what comes in between waits in the kernel.
package final class DataPlaneTurn: Sendable {
  private struct Taking: Sendable {
    let stop: @Sendable () async -> Void
    let goOn: @Sendable () -> Void
  }

  private struct State {
    var isMine: Bool
    /// The other process takes, or is about to.
    var isStopped = false
    var takings: [String: Taking] = [:]
    var waiters: [(id: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []
    var lastWaiter: UInt64 = 0
  }

  private let state: Mutex<State>

  /// - Parameter isMine: whether there is no other process that takes.
  init(isMine: Bool) { state = Mutex(State(isMine: isMine)) }

  /// Whether this process may take.
  var isMine: Bool { state.withLock { $0.isMine } }

  /// Waits until this process may take. Throws `CancellationError`.
  package func wait() async throws {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let result: Result<Void, any Error>? = state.withLock { state in
          if Task.isCancelled { return .failure(CancellationError()) }
          if state.isMine { return .success(()) }
          state.waiters.append((id, continuation))
          return nil
        }
        if let result { continuation.resume(with: result) }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
      }
      waiter?.continuation.resume(throwing: CancellationError())
    }
  }

  /// Says how a part stops to take, and goes on; the last word of a part counts.
  ///
  /// - Parameter stop: returns when nothing more is taken.
  package func takes(
    _ part: String, stop: @escaping @Sendable () async -> Void, goOn: @escaping @Sendable () -> Void
  ) async {
    let isLate = state.withLock { state in
      state.takings[part] = Taking(stop: stop, goOn: goOn)
      return state.isStopped
    }
    if isLate { await stop() }
  }

  /// The other process has stopped.
  func begin() {
    let waiters = state.withLock { state in
      state.isMine = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.continuation.resume() }
  }

  /// Stops every part.
  func stop() async {
    let takings = state.withLock { state in
      state.isStopped = true
      return Array(state.takings.values)
    }
    for taking in takings { await taking.stop() }
  }

  /// The other process does not come to take.
  func goOn() {
    let takings = state.withLock { state in
      state.isStopped = false
      return Array(state.takings.values)
    }
    for taking in takings { taking.goOn() }
  }
}
