/// The kinds of probe that a container may have.
enum ProbeKind: String, Sendable, CaseIterable {
  case startup = "Startup"
  case liveness = "Liveness"
  case readiness = "Readiness"
}

/// Turns single results of one probe into decisions by its thresholds. Pure; the runner does the IO.
struct ProbeState: Sendable, Equatable {
  enum Action: Sendable, Equatable {
    case none
    /// Startup or readiness: the container now counts as started or ready.
    case becomeHealthy
    /// Readiness: the container no longer counts as ready.
    case becomeUnhealthy
    /// Liveness or startup: the container must be ended.
    case kill
  }

  let kind: ProbeKind
  let successThreshold: Int
  let failureThreshold: Int
  /// What the probe says now. Liveness begins healthy, the others unhealthy.
  private(set) var isHealthy: Bool
  private var successes = 0
  private var failures = 0
  /// The end was asked for; nothing more follows for this run of the container.
  private var isOver = false

  /// - Parameter wasHealthy: what was known of a container that the server found running at its start.
  init(kind: ProbeKind, successThreshold: Int, failureThreshold: Int, wasHealthy: Bool = false) {
    self.kind = kind
    self.successThreshold = max(1, successThreshold)
    self.failureThreshold = max(1, failureThreshold)
    isHealthy = kind == .liveness || wasHealthy
  }

  mutating func succeeded() -> Action {
    failures = 0
    if isOver || isHealthy { return .none }
    successes += 1
    guard successes >= successThreshold else { return .none }
    isHealthy = true
    return kind == .liveness ? .none : .becomeHealthy
  }

  mutating func failed() -> Action {
    successes = 0
    if isOver { return .none }
    if kind == .startup && isHealthy { return .none }
    failures += 1
    guard failures >= failureThreshold else { return .none }
    switch kind {
    case .readiness:
      failures = failureThreshold
      if !isHealthy { return .none }
      isHealthy = false
      return .becomeUnhealthy
    case .liveness, .startup:
      isOver = true
      isHealthy = false
      return .kill
    }
  }
}
