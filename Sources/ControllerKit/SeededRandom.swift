/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): small, fast, and the same
/// sequence for the same seed, so that jitter and simulations can be repeated.
public struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  /// A seed that follows from a name (FNV-1a), for parts that need to differ from each other but not from run to run.
  public init(name: String) {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    state = hash
  }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Exponential back-off with jitter: the n-th failure waits between half of `first * 2^(n-1)` and the whole of it, and
/// never longer than `longest`. The jitter keeps keys that failed together from coming back together.
public struct Backoff: Sendable {
  public var first: Duration
  public var longest: Duration

  public init(first: Duration, longest: Duration) {
    self.first = first
    self.longest = longest
  }

  /// - Parameter failures: how many times in a row it failed, from 1.
  public func delay(failures: Int, using random: inout SeededRandom) -> Duration {
    var ceiling = first
    for _ in 1..<max(1, min(failures, 64)) {
      ceiling *= 2
      if ceiling >= longest { break }
    }
    ceiling = min(ceiling, longest)
    return ceiling / 2 + ceiling / 2 * Double.random(in: 0..<1, using: &random)
  }
}
