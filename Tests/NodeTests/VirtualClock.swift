import Synchronization
import Wire

/// A clock that moves only when the test says so.
final class VirtualClock: TimeSource {
  private struct State {
    /// Since the beginning. Not rounded to the microseconds of timestamps: who sleeps until a time has to reach it.
    var elapsed = Duration.zero
    var sleepers: [(id: Int, until: Duration, continuation: CheckedContinuation<Void, any Error>)] = []
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
        let result: Result<Void, any Error>? = state.withLock { state in
          if Task.isCancelled { return .failure(CancellationError()) }
          if duration <= .zero { return .success(()) }
          state.sleepers.append((id, state.elapsed + duration, continuation))
          return nil
        }
        if let result { continuation.resume(with: result) }
      }
    } onCancel: {
      let sleeper = state.withLock { state in
        state.sleepers.firstIndex { $0.id == id }.map { state.sleepers.remove(at: $0) }
      }
      sleeper?.continuation.resume(throwing: CancellationError())
    }
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

  /// Lets time pass while `body` runs.
  func running<Value: Sendable>(
    step: Duration = .seconds(1), while body: @escaping @Sendable () async throws -> Value
  ) async rethrows -> Value {
    try await withThrowingTaskGroup(of: Value?.self) { group in
      group.addTask { try await body() }
      group.addTask {
        while !Task.isCancelled {
          self.advance(by: step)
          // What it woke gets its turn.
          for _ in 0..<100 { await Task.yield() }
        }
        return nil
      }
      defer { group.cancelAll() }
      while true {
        // The one with a value ends first: the other one ends only when it is cancelled.
        if let value = try await group.next() ?? nil { return value }
      }
    }
  }
}
