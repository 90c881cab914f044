import Telemetry

/// What is counted of one controller, by the names that controller-runtime gives it, so that its dashboards work here.
struct ControllerMetrics: Sendable {
  /// How a visit ended.
  enum Result: String {
    case success
    /// It went well, and the reconciler wants to look again.
    case requeueAfter = "requeue_after"
    case error
  }

  private let controller: String
  private let visits: Counter
  private let errors: Counter
  private let terminalErrors: Counter
  private let durations: Histogram

  /// - Parameters:
  ///   - controller: the reconciler's name.
  ///   - active: how many workers have a key.
  init(_ metrics: Metrics, controller: String, workers: Int, active: @escaping @Sendable () -> Int) {
    self.controller = controller
    visits = metrics.counter(
      "controller_runtime_reconcile_total", help: "Visits by controller and result.",
      labels: ["controller", "result"])
    errors = metrics.counter(
      "controller_runtime_reconcile_errors_total", help: "Visits that failed, by controller.", labels: ["controller"])
    terminalErrors = metrics.counter(
      "controller_runtime_terminal_reconcile_errors_total",
      help: "Visits that failed and are not tried again before something changes, by controller.",
      labels: ["controller"])
    durations = metrics.histogram(
      "controller_runtime_reconcile_time_seconds", help: "How long a visit takes, by controller.",
      labels: ["controller"])
    metrics.gauge(
      "controller_runtime_max_concurrent_reconciles", help: "Workers, by controller.", labels: ["controller"]
    ).set(controller, to: Double(workers))
    let busy = metrics.gauge(
      "controller_runtime_active_workers", help: "Workers that have a key, by controller.", labels: ["controller"])
    metrics.onCollect { busy.set(controller, to: Double(active())) }
  }

  func ended(_ result: Result, began: ContinuousClock.Instant, isTerminal: Bool = false) {
    visits.increment(controller, result.rawValue)
    if result == .error { errors.increment(controller) }
    if isTerminal { terminalErrors.increment(controller) }
    durations.observe(controller, seconds: (ContinuousClock.now - began) / .seconds(1))
  }
}

/// What is counted of one work queue, by the names that client-go gives it.
struct WorkQueueMetrics: Sendable {
  private let queue: String
  private let adds: Counter
  private let retries: Counter

  init(_ metrics: Metrics, queue: String) {
    self.queue = queue
    adds = metrics.counter(
      "workqueue_adds_total", help: "Keys that became ready, by queue; one that waits already is not counted again.",
      labels: ["name"])
    retries = metrics.counter(
      "workqueue_retries_total", help: "Keys that come back after a failure, by queue.", labels: ["name"])
  }

  /// - Parameter depth: how many keys are ready for a worker.
  func collect(_ metrics: Metrics, depth: @escaping @Sendable () -> Int) {
    let ready = metrics.gauge("workqueue_depth", help: "Keys that wait for a worker, by queue.", labels: ["name"])
    metrics.onCollect { [queue] in ready.set(queue, to: Double(depth())) }
  }

  func added(_ count: UInt64) {
    if count > 0 { adds.increment(queue, by: Double(count)) }
  }

  func retried() { retries.increment(queue) }
}
