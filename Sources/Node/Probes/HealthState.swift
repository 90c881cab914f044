import Wire

/// A container's own health check: `HEALTHCHECK` of its image, as Docker runs it (moby, `daemon/health.go`).
struct HealthCheck: Sendable, Equatable {
  /// What is run in the container; never empty.
  var command: [String]
  var interval: Duration = .seconds(30)
  var timeout: Duration = .seconds(30)
  /// How long after its start failures do not count.
  var startPeriod: Duration = .zero
  /// In place of `interval` during the start period.
  var startInterval: Duration = .seconds(5)
  /// This many failures in a row make it unhealthy.
  var retries = 3
}

/// Whether a container is healthy by the results of its check. Pure.
struct HealthState: Sendable, Equatable {
  enum Status: String, Sendable {
    /// Neither has a check succeeded nor have enough of them failed.
    case starting
    case healthy
    case unhealthy
  }

  let check: HealthCheck
  private(set) var status: Status
  private(set) var failures = 0
  /// The wait after the first checks of a container that starts; it grows up to `startInterval`.
  private var earlyWait: Duration = .milliseconds(500)

  /// - Parameter wasHealthy: of a container that the server found running at its start.
  init(_ check: HealthCheck, wasHealthy: Bool = false) {
    self.check = check
    status = wasHealthy ? .healthy : .starting
  }

  /// How long failures do not count. Without a start period Docker checks for the first time after one interval; here
  /// the first check comes at once, and what fails before Docker would have asked counts as little.
  private var grace: Duration { check.startPeriod > .zero ? check.startPeriod : check.interval }

  /// - Parameter age: the time from the container's start to the beginning of the check.
  /// - Returns: whether the failure counts; `false` for a success.
  mutating func checked(isSuccess: Bool, age: Duration) -> Bool {
    if isSuccess {
      failures = 0
      status = .healthy
      return false
    }
    if status == .starting, age < grace { return false }
    failures = min(failures + 1, check.retries)
    if failures >= check.retries { status = .unhealthy }
    return true
  }

  /// The time from the end of one check to the next one.
  mutating func wait(age: Duration) -> Duration {
    guard status == .starting, age < grace else { return check.interval }
    defer { earlyWait = min(earlyWait * 2, check.startInterval) }
    return min(earlyWait, check.startInterval, check.interval)
  }
}
