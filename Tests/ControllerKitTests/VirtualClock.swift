import Synchronization
import Wire

/// A clock that moves only when the test says so.
final class VirtualClock: TimeSource {
  private struct State {
    /// Since the beginning. Not rounded to the microseconds of timestamps: who sleeps until a time has to reach it.
    var elapsed = Duration.zero
    var sleepers: [(id: Int, until: Duration, continuation: CheckedContinuation<Void, any Error>)] = []
    var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    var lastID = 0
  }

  private let state = Mutex(State())

  private static let start = Timestamp(seconds: 1_800_000_000)

  func now() -> Timestamp { Self.start.adding(uptime()) }
  func uptime() -> Duration { state.withLock { $0.elapsed } }

  func sleep(for duration: Duration) async throws {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let (result, reached): (Result<Void, any Error>?, [CheckedContinuation<Void, Never>]) = state.withLock {
          state in
          if Task.isCancelled { return (.failure(CancellationError()), []) }
          if duration <= .zero { return (.success(()), []) }
          state.sleepers.append((id, state.elapsed + duration, continuation))
          let count = state.sleepers.count
          let reached = state.watchers.filter { $0.count <= count }.map(\.continuation)
          state.watchers.removeAll { $0.count <= count }
          return (nil, reached)
        }
        if let result { continuation.resume(with: result) }
        for watcher in reached { watcher.resume() }
      }
    } onCancel: {
      let sleeper = state.withLock { state in
        state.sleepers.firstIndex { $0.id == id }.map { state.sleepers.remove(at: $0) }
      }
      sleeper?.continuation.resume(throwing: CancellationError())
    }
  }

  /// Waits until so many tasks sleep.
  func waitForSleepers(_ count: Int = 1) async {
    await withCheckedContinuation { continuation in
      let isReached = state.withLock { state in
        if state.sleepers.count >= count { return true }
        state.watchers.append((count, continuation))
        return false
      }
      if isReached { continuation.resume() }
    }
  }

  /// The time until the next sleeper wakes.
  var nextWake: Duration? {
    state.withLock { state in state.sleepers.map(\.until).min().map { $0 - state.elapsed } }
  }

  func advance(by duration: Duration) {
    let woken = state.withLock { state in
      state.elapsed += duration
      let now = state.elapsed
      let woken = state.sleepers.filter { $0.until <= now }.sorted { ($0.until, $0.id) < ($1.until, $1.id) }
      state.sleepers.removeAll { $0.until <= now }
      return woken
    }
    for sleeper in woken { sleeper.continuation.resume() }
  }
}
