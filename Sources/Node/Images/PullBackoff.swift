import Wire

/// How long a pod waits before it pulls an image again: 10 s after the first failure, then twice as long up to 5 min;
/// forgotten 10 minutes after the last failure. As kubelet's `imageBackOff` (`flowcontrol.Backoff`), without jitter, for
/// each image of a pod.
struct PullBackoff: Sendable, Equatable {
  static let initial: Duration = .seconds(10)
  static let maximum: Duration = .seconds(300)
  /// How long `ErrImagePull` is to be seen before the wait is called `ImagePullBackOff`, as between two synchronisations
  /// of kubelet's.
  static let reportTime: Duration = .seconds(2)

  private(set) var delay: Duration
  private(set) var failedAt: Timestamp
  /// Why the last pull failed.
  private(set) var message: String

  /// The first failure.
  init(now: Timestamp, message: String) {
    delay = Self.initial
    failedAt = now
    self.message = message
  }

  func isForgotten(at now: Timestamp) -> Bool { now.since(failedAt) > Self.maximum * 2 }

  /// One more failure.
  mutating func failed(now: Timestamp, message: String) {
    delay = isForgotten(at: now) ? Self.initial : min(delay * 2, Self.maximum)
    failedAt = now
    self.message = message
  }

  /// When the image may be pulled again; `nil` for now.
  func retryAt(now: Timestamp) -> Timestamp? {
    let at = failedAt.adding(delay)
    return now < at ? at : nil
  }
}
