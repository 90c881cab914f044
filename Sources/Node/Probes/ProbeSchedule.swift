/// When a probe is tried next, and which of its failures count. Pure.
///
/// A program needs a moment before it listens. Kubelet's first try comes at some time in a probe's first period; here it
/// comes at once, so that a new pod gets its traffic early. So what is asked over the network and fails while the
/// container is younger than one period, and has never succeeded, counts for nothing and is not told.
struct ProbeSchedule: Sendable, Equatable {
  /// The shortest wait between two tries.
  static let firstWait: Duration = .milliseconds(100)

  let kind: ProbeKind
  let period: Duration
  /// `httpGet` or `tcpSocket`.
  let asksNetwork: Bool
  private var hasSucceeded = false
  private var earlyWait = ProbeSchedule.firstWait

  init(kind: ProbeKind, period: Duration, asksNetwork: Bool) {
    self.kind = kind
    self.period = period
    self.asksNetwork = asksNetwork
  }

  /// - Parameters:
  ///   - age: the time from the container's start to the beginning of the try.
  ///   - took: from there to its end.
  /// - Returns: whether the result counts, and how long to wait for the next try.
  mutating func tried(isSuccess: Bool, age: Duration, took: Duration) -> (counts: Bool, wait: Duration) {
    if isSuccess { hasSucceeded = true }
    guard asksNetwork, !hasSucceeded, age < period else { return (true, max(.zero, period - took)) }
    let rest = period - age - took
    guard kind != .liveness else { return (false, max(Self.firstWait, rest)) }
    defer { earlyWait = earlyWait * 2 }
    return (false, max(Self.firstWait, min(earlyWait - took, rest)))
  }
}
