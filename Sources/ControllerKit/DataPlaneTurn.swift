import Synchronization

/// Which of two processes takes from the sockets that both have: the old one has stopped before the new one begins, and
/// what comes in between waits in the kernel.
package final class DataPlaneTurn: Sendable {
  private struct Taking: Sendable {
    let stop: @Sendable () async -> Void
    let goOn: @Sendable () -> Void
  }

  private struct State {
    /// The other process takes, or is about to.
    var isStopped = false
    var takings: [String: Taking] = [:]
  }

  private let mine: Gate
  private let state = Mutex(State())

  /// - Parameter isMine: whether there is no other process that takes.
  init(isMine: Bool) { mine = Gate(isOpen: isMine) }

  /// Whether this process may take.
  var isMine: Bool { mine.isOpen }

  /// Waits until this process may take. Throws `CancellationError`.
  package func wait() async throws { try await mine.wait() }

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
  func begin() { mine.open() }

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
