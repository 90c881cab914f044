import NIOCore
import NIOEmbedded
import Synchronization
import TestKit
import Wire

/// Carries out the tasks of a simulation on one thread, in an order that follows from a seed: every order that tasks could
/// come in on many threads can come, and comes again with the same seed.
final class SeededExecutor: TaskExecutor {
  private struct State {
    var ready: [UnownedJob] = []
    var random: SeededGenerator
  }

  private let state: Mutex<State>

  init(seed: UInt64) { state = Mutex(State(random: SeededGenerator(seed: seed))) }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    state.withLock { $0.ready.append(job) }
  }

  /// Runs one job that is ready; false when none is.
  func step() -> Bool {
    let job = state.withLock { state -> UnownedJob? in
      guard !state.ready.isEmpty else { return nil }
      let index = Int.random(in: 0..<state.ready.count, using: &state.random)
      state.ready.swapAt(index, state.ready.count - 1)
      return state.ready.removeLast()
    }
    guard let job else { return false }
    job.runSynchronously(on: asUnownedTaskExecutor())
    return true
  }
}

/// The time of a simulation. It moves only when nothing else is left to do.
final class SimulatedClock: TimeSource {
  private struct State {
    /// Since the beginning, by the monotonic clock.
    var elapsed = Duration.zero
    /// How far the wall clock was set.
    var offset = Duration.zero
    var sleepers: [(id: Int, until: Duration, continuation: CheckedContinuation<Void, any Error>)] = []
    var lastID = 0
  }

  private let state = Mutex(State())
  private static let start = Timestamp(seconds: 1_800_000_000)

  func now() -> Timestamp { state.withLock { Self.start.adding($0.elapsed + $0.offset) } }

  func uptime() -> Duration { elapsed }

  var elapsed: Duration { state.withLock { $0.elapsed } }

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

  /// Sets the wall clock. Who sleeps does not notice.
  func jump(by duration: Duration) { state.withLock { $0.offset += duration } }

  /// The time until the next one wakes; `nil` when nobody sleeps.
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

/// Runs a task and all that it starts on this thread, by the executor and the clock.
struct Simulator {
  let executor: SeededExecutor
  let clock = SimulatedClock()
  /// For what the API server does on event loops.
  let loop = EmbeddedEventLoop()

  struct Stuck: Error, CustomStringConvertible {
    var description: String
  }

  /// In-process watches are told of crowds after so long (`LocalClient.Relay`): loops are given that before the clock goes on.
  private static let loopDelay = Duration.milliseconds(4)
  private static let stepsMax = 50_000_000

  init(seed: UInt64) { executor = SeededExecutor(seed: seed) }

  /// - Returns: how many jobs were run.
  func run(_ body: @escaping @Sendable () async throws -> Void) throws -> Int {
    let outcome = Outcome()
    let task = Task(executorPreference: executor) {
      do {
        try await body()
        outcome.result.withLock { $0 = .success(()) }
      } catch {
        outcome.result.withLock { $0 = .failure(error) }
      }
    }
    defer { task.cancel() }
    var steps = 0
    var hasWaitedForLoops = false
    while true {
      if let result = outcome.result.withLock({ $0 }) {
        try result.get()
        return steps
      }
      if executor.step() {
        steps += 1
        hasWaitedForLoops = false
        guard steps < Self.stepsMax else { throw Stuck(description: "\(steps) jobs, and no end") }
        continue
      }
      loop.run()
      if executor.step() { continue }
      guard let wake = clock.nextWake else { throw Stuck(description: "everybody waits for somebody else") }
      let pause = hasWaitedForLoops ? wake : min(wake, Self.loopDelay)
      hasWaitedForLoops = true
      clock.advance(by: pause)
      loop.advanceTime(by: .nanoseconds(Int64(pause / .nanoseconds(1))))
    }
  }

  private final class Outcome: Sendable {
    let result = Mutex<Result<Void, any Error>?>(nil)
  }
}
