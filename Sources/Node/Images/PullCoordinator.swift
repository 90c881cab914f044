import Synchronization
import Wire

/// Carries out what `PullSchedule` decides: pulls that are shared, bounded in number, and broken off when the last pod
/// that waits for them is gone.
final class PullCoordinator<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  /// What a pull brought, and how long it took.
  struct Outcome: Sendable {
    var value: Value
    /// Of the pull itself, without the wait for its turn.
    var duration: Duration
  }

  private struct State {
    var schedule: PullSchedule<Key>
    var waiters: [Int: CheckedContinuation<Outcome, any Error>] = [:]
    var tasks: [Int: Task<Void, Never>] = [:]
    var lastWaiter = 0
  }

  private let time: any TimeSource
  private let work: @Sendable (Key) async throws -> Value
  private let state: Mutex<State>

  /// - Parameters:
  ///   - parallelMax: how many pulls run at a time.
  ///   - work: one pull. It sees to its own deadlines, and ends soon when its task is cancelled.
  init(parallelMax: Int, time: any TimeSource, work: @escaping @Sendable (Key) async throws -> Value) {
    self.time = time
    self.work = work
    state = Mutex(State(schedule: PullSchedule(parallelMax: parallelMax)))
  }

  /// Pulls, or joins the pull of the same that is under way. Throws what the pull throws, and `CancellationError` when
  /// the caller's task is cancelled; the pull itself goes on as long as somebody else waits for it.
  func pull(_ key: Key) async throws -> Outcome {
    let waiter = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let isCancelled = state.withLock { state in
          // Cancelled before it waits: the handler has found nobody to tell.
          if Task.isCancelled { return true }
          state.waiters[waiter] = continuation
          carryOut(state.schedule.joined(waiter, for: key), &state)
          return false
        }
        if isCancelled { continuation.resume(throwing: CancellationError()) }
      }
    } onCancel: {
      let continuation = state.withLock { state in
        carryOut(state.schedule.left(waiter), &state)
        return state.waiters.removeValue(forKey: waiter)
      }
      continuation?.resume(throwing: CancellationError())
    }
  }

  private func carryOut(_ effects: [PullSchedule<Key>.Effect], _ state: inout State) {
    for effect in effects {
      switch effect {
      case .cancel(let flight): state.tasks[flight]?.cancel()
      case .begin(let flight, let key): state.tasks[flight] = Task { await self.run(flight, key) }
      }
    }
  }

  private func run(_ flight: Int, _ key: Key) async {
    let began = time.now()
    let result: Result<Outcome, any Error>
    do {
      let value = try await work(key)
      result = .success(Outcome(value: value, duration: max(.zero, time.now().since(began))))
    } catch {
      result = .failure(error)
    }
    let continuations = state.withLock { state in
      state.tasks[flight] = nil
      let (waiters, effects) = state.schedule.ended(flight)
      carryOut(effects, &state)
      return waiters.compactMap { state.waiters.removeValue(forKey: $0) }
    }
    for continuation in continuations { continuation.resume(with: result) }
  }
}
