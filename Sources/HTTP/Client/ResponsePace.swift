/// Whether a peer sends fast enough. Only time in which it was waited for counts: a slow reader is not the peer's fault.
/// Pure.
struct ResponsePace: Sendable, Equatable {
  private var waited = Duration.zero
  private var bytes = 0

  mutating func received(_ count: Int) { bytes += count }

  /// Counts a time of waiting; `false` when too little has come within the last `window` of it.
  mutating func waited(_ time: Duration, window: Duration, rateMin: Int) -> Bool {
    waited += time
    guard waited >= window else { return true }
    let isFastEnough = .seconds(1) * bytes >= waited * rateMin
    (waited, bytes) = (.zero, 0)
    return isFastEnough
  }
}
