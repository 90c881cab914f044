import Telemetry

/// What is counted of the scheduler, by the names that kube-scheduler gives it, so that its dashboards work here.
struct SchedulerMetrics: Sendable {
  /// How an attempt for one pod ended.
  enum Result: String {
    /// The binding is written.
    case scheduled
    /// No node takes the pod.
    case unschedulable
    /// There was a node, but the binding failed.
    case error
  }

  private let profile: String
  private let attempts: Counter
  private let attemptDurations: Histogram
  private let algorithmDurations: Histogram
  private let latencies: Histogram

  /// - Parameter profile: `spec.schedulerName` of the pods.
  init(_ metrics: Metrics, profile: String) {
    self.profile = profile
    attempts = metrics.counter(
      "scheduler_schedule_attempts_total", help: "Attempts to find a node for a pod, by result.",
      labels: ["profile", "result"])
    attemptDurations = metrics.histogram(
      "scheduler_scheduling_attempt_duration_seconds",
      help: "How long an attempt takes, by result; the binding is in it.", labels: ["profile", "result"])
    algorithmDurations = metrics.histogram(
      "scheduler_scheduling_algorithm_duration_seconds", help: "How long it takes to choose a node.",
      buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1])
    latencies = metrics.histogram(
      "scheduler_pod_scheduling_sli_duration_seconds",
      help: "From the pod's coming into the queue to its binding, by the number of attempts.", labels: ["attempts"])
  }

  /// - Parameter pending: how many pods wait in each part of the queue.
  func collect(_ metrics: Metrics, pending: @escaping @Sendable () -> [SchedulingQueue.Part: Int]) {
    let waiting = metrics.gauge(
      "scheduler_pending_pods",
      help: "Pods without a node: to be tried now (active), after a pause (backoff), after a change (unschedulable).",
      labels: ["queue"])
    metrics.onCollect {
      let counts = pending()
      for part in SchedulingQueue.Part.allCases { waiting.set(part.rawValue, to: Double(counts[part] ?? 0)) }
    }
  }

  func decided(in duration: Duration) { algorithmDurations.observe(seconds: duration / .seconds(1)) }

  func ended(_ result: Result, began: ContinuousClock.Instant) {
    attempts.increment(profile, result.rawValue)
    attemptDurations.observe(profile, result.rawValue, seconds: (ContinuousClock.now - began) / .seconds(1))
  }

  /// - Parameter attempts: with the one that found a node.
  func bound(after duration: Duration, attempts: Int) {
    latencies.observe(attempts > 15 ? "16+" : String(attempts), seconds: max(0, duration / .seconds(1)))
  }
}
