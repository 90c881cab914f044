import KubeClient
import Logging
import Telemetry
import Wire

/// Runs a reconciler: takes keys from a queue and gives each to one worker.
public final class Controller<R: Reconciler>: Service {
  public let reconciler: R
  public let queue: WorkQueue<R.Key>
  private let workers: Int
  private let informers: [Informer]
  private let events: EventRecorder?
  private let counts: ControllerMetrics
  /// How long a key with a terminal error waits for a change.
  private let longestPause: Duration
  private let log: Logger

  /// - Parameters:
  ///   - workers: how many keys are worked on at the same time.
  ///   - informers: what must have its first list before the first key is taken.
  ///   - events: writes the events of terminal errors, about `reconciler.subject(of:)`.
  ///   - metrics: where visits and the queue are counted, by the reconciler's name.
  ///   - seed: for the jitter of the back-off.
  public init(
    _ reconciler: R, workers: Int = 2, informers: [Informer] = [], events: EventRecorder? = nil, metrics: Metrics,
    time: any TimeSource, seed: UInt64, backoff: Backoff = Backoff(first: .milliseconds(5), longest: .seconds(60))
  ) {
    self.reconciler = reconciler
    self.workers = max(1, workers)
    self.informers = informers
    self.events = events
    longestPause = backoff.longest
    let queue = WorkQueue<R.Key>(name: reconciler.name, metrics: metrics, time: time, seed: seed, backoff: backoff)
    self.queue = queue
    counts = ControllerMetrics(metrics, controller: reconciler.name, workers: self.workers) { [weak queue] in
      queue?.counts.processing ?? 0
    }
    log = Logger(label: "apus.controller.\(reconciler.name)")
  }

  public func enqueue(_ key: R.Key) { queue.add(key) }

  public func enqueue(_ key: R.Key, after delay: Duration) { queue.add(key, after: delay) }

  public func run() async throws {
    for informer in informers { try await informer.waitUntilSynced() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.queue.runTimers() }
      for _ in 0..<workers { group.addTask { await self.work() } }
      try await group.waitForAll()
    }
  }

  private func work() async {
    while let key = await queue.next() {
      let began = ContinuousClock.now
      do {
        let requeueAfter = try await reconcile(key)
        counts.ended(requeueAfter == nil ? .success : .requeueAfter, began: began)
        queue.finish(key, requeueAfter: requeueAfter)
      } catch {
        if Task.isCancelled {
          // Undone: the next run sees to it.
          queue.add(key)
          queue.finish(key)
          return
        }
        if (error as? KubeError)?.isNamespaceTerminating == true {
          // Nothing is to be made there any more: what the key stands for goes with the namespace, and is told of then.
          counts.ended(.success, began: began)
          queue.finish(key)
          log.debug("not created: the namespace is being deleted", metadata: ["key": "\(key)"])
          continue
        }
        if let error = TerminalError(from: error) {
          counts.ended(.error, began: began, isTerminal: true)
          tell(error, of: key)
          if error.asksAgain { queue.add(key) }
          // Not for ever: a key may stand for other objects than those that bring it back.
          queue.finish(key, requeueAfter: longestPause)
          continue
        }
        counts.ended(.error, began: began)
        let delay = queue.fail(key)
        // Somebody else was faster, or the object is gone: the next visit sees it.
        let isRace = (error as? KubeError).map { [.conflict, .notFound, .alreadyExists].contains($0.reason) } ?? false
        log.log(
          level: isRace ? .debug : .warning, "reconcile failed, will retry",
          metadata: ["key": "\(key)", "error": "\(error)", "retryAfter": "\(delay)"])
      }
    }
  }

  private func tell(_ error: TerminalError, of key: R.Key) {
    log.warning("reconcile failed, will wait for a change", metadata: ["key": "\(key)", "error": "\(error)"])
    guard let events, let subject = reconciler.subject(of: key) else { return }
    events.record(
      .warning, regarding: subject, reason: "ReconcileFailed",
      message: "\(reconciler.name): \(error). It is tried again when something changes, or later.")
  }

  /// One pass for one key, without the queue.
  ///
  /// - Returns: when the reconciler wants to look again.
  public func reconcile(_ key: R.Key) async throws -> Duration? {
    guard let snapshot = try await reconciler.observe(key) else { return nil }
    let plan = reconciler.plan(snapshot)
    for action in plan.actions { try await reconciler.apply(action) }
    return plan.requeueAfter
  }
}
