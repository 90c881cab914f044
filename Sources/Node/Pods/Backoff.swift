import Wire

/// The delay between restarts of one container (kubelet's `flowcontrol.Backoff`): the first restart is immediate, then
/// 10 s, 20 s, … up to 5 min after the container's end; forgotten after 10 minutes without a restart.
struct CrashLoopBackoff: Sendable, Equatable {
  static let initial: Duration = .seconds(10)
  static let maximum: Duration = .seconds(300)

  private(set) var delay: Duration
  private(set) var updatedAt: Timestamp

  private func isForgotten(at time: Timestamp) -> Bool { time.since(updatedAt) > Self.maximum * 2 }

  init(now: Timestamp) {
    delay = Self.initial
    updatedAt = now
  }

  /// When the container may start again, or `nil` for now.
  func restartAt(finishedAt: Timestamp, now: Timestamp) -> Timestamp? {
    if isForgotten(at: finishedAt) { return nil }
    let at = finishedAt.adding(delay)
    return now < at ? at : nil
  }

  /// A restart begins.
  mutating func restarted(now: Timestamp) {
    delay = isForgotten(at: now) ? Self.initial : min(delay * 2, Self.maximum)
    updatedAt = now
  }
}

/// The delay between tries of something that failed: `initial`·2ⁿ up to `maximum`, with jitter from the caller's
/// generator so that many pods do not try at the same instant.
struct RetryBackoff: Sendable, Equatable {
  let initial: Duration
  let maximum: Duration
  private(set) var failures = 0

  init(initial: Duration, maximum: Duration) {
    self.initial = initial
    self.maximum = maximum
  }

  mutating func failed() -> Duration {
    failures += 1
    var delay = initial
    for _ in 1..<max(failures, 1) where delay < maximum { delay = delay * 2 }
    return min(delay, maximum)
  }

  mutating func succeeded() { failures = 0 }
}
