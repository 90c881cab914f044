import Synchronization
import Telemetry
import Wire

/// A queue of keys for a reconcile loop: level-triggered, each key at most once in it and at one worker, delayed adds,
/// and exponential back-off with jitter per key. See `WorkQueueState` for the rules.
///
/// Its length is bounded by what there is to ask about, since a key is in it at most once.
public final class WorkQueue<Key: Hashable & Sendable>: Sendable {
  private struct State {
    var queue = WorkQueueState<Key>()
    var waiters: [(id: UInt64, continuation: CheckedContinuation<Key?, Never>)] = []
    var lastWaiter: UInt64 = 0
    var random: SeededRandom
  }

  private let state: Mutex<State>
  private let timersChanged = Signal()
  private let backoff: Backoff
  private let time: any TimeSource
  private let metrics: WorkQueueMetrics

  /// - Parameters:
  ///   - name: for the metrics.
  ///   - seed: for the jitter of the back-off.
  public init(
    name: String, metrics: Metrics, time: any TimeSource, seed: UInt64,
    backoff: Backoff = Backoff(first: .milliseconds(5), longest: .seconds(60))
  ) {
    self.time = time
    self.backoff = backoff
    state = Mutex(State(random: SeededRandom(seed: seed)))
    self.metrics = WorkQueueMetrics(metrics, queue: name)
    self.metrics.collect(metrics) { [weak self] in self?.counts.ready ?? 0 }
  }

  /// How many keys are ready, being worked on, and put off.
  public var counts: (ready: Int, processing: Int, delayed: Int) {
    state.withLock { ($0.queue.readyCount, $0.queue.processingCount, $0.queue.delayedCount) }
  }

  public func add(_ key: Key) {
    update { $0.add(key) }
  }

  /// Adds `key` after `delay`, or earlier when it is added earlier.
  public func add(_ key: Key, after delay: Duration) {
    guard delay > .zero else { return add(key) }
    let at = time.uptime() + delay
    let isFirst = state.withLock { state in
      state.queue.add(key, at: at)
      return state.queue.nextDue() == at
    }
    if isFirst { timersChanged.fire() }
  }

  /// The next key, when there is one; `nil` when the task is cancelled. Every key must be given back by `finish`.
  public func next() async -> Key? {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let answer: Key?? = state.withLock { state in
          // The flag is read under the lock: a cancellation that comes later finds the waiter and resumes it.
          if Task.isCancelled { return .some(nil) }
          if let key = state.queue.next() { return key }
          state.waiters.append((id, continuation))
          return nil
        }
        if let answer { continuation.resume(returning: answer) }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
      }
      waiter?.continuation.resume(returning: nil)
    }
  }

  /// The work on `key` went well; it is wanted again after `requeueAfter` when that is given.
  public func finish(_ key: Key, requeueAfter: Duration? = nil) {
    update { queue in
      queue.succeeded(key)
      queue.finished(key)
    }
    if let requeueAfter { add(key, after: requeueAfter) }
  }

  /// The work on `key` failed: it comes back after the back-off. Returns that delay.
  @discardableResult
  public func fail(_ key: Key) -> Duration {
    let delay = state.withLock { state in
      let failures = state.queue.failed(key)
      return backoff.delay(failures: failures, using: &state.random)
    }
    metrics.retried()
    update { $0.finished(key) }
    add(key, after: delay)
    return delay
  }

  /// Delivers delayed keys; runs until its task is cancelled.
  public func runTimers() async throws {
    while true {
      let now = time.uptime()
      var next: Duration?
      update { queue in
        queue.promote(now: now)
        next = queue.nextDue()
      }
      let wait = next.map { $0 - now }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { [timersChanged] in try await timersChanged.wait() }
        if let wait { group.addTask { [time] in try await time.sleep(for: wait) } }
        try await group.next()
        group.cancelAll()
      }
    }
  }

  /// Changes the queue and hands keys that became ready to waiting workers.
  private func update(_ change: (inout WorkQueueState<Key>) -> Void) {
    var resumed: [(CheckedContinuation<Key?, Never>, Key)] = []
    let added = state.withLock { state in
      let before = state.queue.addCount
      change(&state.queue)
      while !state.waiters.isEmpty, let key = state.queue.next() {
        resumed.append((state.waiters.removeFirst().continuation, key))
      }
      return state.queue.addCount - before
    }
    metrics.added(added)
    for (continuation, key) in resumed { continuation.resume(returning: key) }
  }
}
