import Glibc
public import Wire

/// The kernel's clocks.
public struct SystemClock: TimeSource {
  public init() {}

  public func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
  }

  public func sleep(for duration: Duration) async throws {
    // Durations come from outside, and what does not fit into 64 bits of nanoseconds would end at once.
    var left = duration
    while left > Self.sleepMax {
      try await ContinuousClock().sleep(for: Self.sleepMax)
      left -= Self.sleepMax
    }
    try await ContinuousClock().sleep(for: left)
  }

  private static let sleepMax: Duration = .seconds(1_000_000)
}
