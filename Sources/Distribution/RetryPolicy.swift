/// When a failed request is sent again, and how long to wait before: exponential back-off with jitter, at least as long
/// as the server asks (`Retry-After`), and not at all when that is longer than anybody would wait.
public struct RetryPolicy: Sendable, Equatable {
  /// How often a request is sent at most.
  public var attempts = 5
  public var backoffMin: Duration = .milliseconds(250)
  public var backoffMax: Duration = .seconds(10)
  /// A longer `Retry-After` is an error at once.
  public var retryAfterMax: Duration = .seconds(60)
  /// Of the jitter.
  public var seed: UInt64 = 0

  public init() {}

  /// The wait before the next attempt, or `nil` when the failure is final.
  /// - Parameters:
  ///   - attempt: how often the request has been sent, from 1.
  ///   - salt: differs between requests, so that those that failed together do not come back together.
  func delay(after error: DistributionError, attempt: Int, salt: UInt64) -> Duration? {
    guard error.isRetriable, attempt < attempts else { return nil }
    if let wanted = error.retryAfter, wanted > retryAfterMax { return nil }
    var backoff = backoffMin
    for _ in 1..<max(attempt, 1) where backoff < backoffMax { backoff *= 2 }
    backoff = min(backoff, backoffMax)
    // Between half of it and all of it.
    let jittered = backoff / 2 + backoff / 2 * Int(RetryPolicy.mix(seed ^ salt &+ UInt64(attempt)) % 1024) / 1024
    return max(jittered, error.retryAfter ?? .zero)
  }

  /// SplitMix64's output function.
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
