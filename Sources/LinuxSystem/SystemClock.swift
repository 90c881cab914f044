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

  /// The time that the machine sleeps counts, as it does for those who sleep in `sleep`.
  public func uptime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
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
