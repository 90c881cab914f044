import Glibc

/// Limits of a store.
public struct StoreOptions: Sendable {
  /// The most events that are kept for watches and lists of older revisions.
  public var historyCountMax = 20_000
  /// The most bytes of replaced and deleted values that are kept for the same.
  public var historyBytesMax = 16 << 20
  /// Events older than this are dropped with the next write.
  public var historyAgeMax = Duration.seconds(300)
  /// The most commits that wait for the writer; further ones are refused with `StoreError.overloaded`.
  public var queueCountMax = 8192
  /// The most bytes of values that wait for the writer.
  public var queueBytesMax = 64 << 20
  /// How long the writer waits for the commits that may be expected to come, so that they share one `fdatasync`. A lone
  /// writer never waits.
  public var gatherMax = Duration.microseconds(200)
  /// Pages of the write-ahead log (4 KiB each) after which it is copied into the database.
  public var checkpointPages = 1000
  /// Space that is kept for changes and deletions on a full disk; 0 for none.
  public var reserveBytes = 0
  /// Whether a damaged store is opened without what is damaged, instead of being refused. The damaged
  /// database goes into the folder `damaged`.
  public var acceptsLoss = false
  /// Whether there is no writer thread: each commit is carried out by a thread that asks for one, before its call returns
  /// unless another call is about it. What happens then follows from what is asked, and from nothing else: for simulations.
  package var commitsOnCallers = false
  /// The age of events is measured by this clock, from any starting point.
  public var monotonicClock: @Sendable () -> Duration = StoreOptions.kernelClock

  public init() {}

  private static let kernelClock: @Sendable () -> Duration = {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}
