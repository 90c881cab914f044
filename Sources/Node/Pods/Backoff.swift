import ControllerKit
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

  /// The label of a container with the back-off at its start, for a server that adopts it.
  static let label = "dev.apus.container.backoff"

  /// As the label has it; `nil` for anything else.
  init?(label text: String?) {
    let parts = text?.split(separator: " ") ?? []
    guard parts.count == 2, let delay = GoDuration.parse(String(parts[0])), delay >= Self.initial,
      delay <= Self.maximum, let updatedAt = Timestamp(rfc3339: String(parts[1]))
    else { return nil }
    self.delay = delay
    self.updatedAt = updatedAt
  }

  var labelText: String { "\(GoDuration.format(delay)) \(updatedAt.rfc3339Micro)" }

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

/// When something that failed is tried again.
struct Retry: Sendable, Equatable {
  var failures = 0
  var at: Timestamp

  static let backoff = Backoff(first: .milliseconds(500), longest: .seconds(60))

  mutating func failed(now: Timestamp, backoff: Backoff = Retry.backoff, using random: inout SeededRandom) {
    failures += 1
    at = now.adding(backoff.delay(failures: failures, using: &random))
  }
}
