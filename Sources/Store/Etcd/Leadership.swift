import Glibc
import Synchronization

/// The right to write to a place that others can write to as well, and to answer from memory what is there: for as long as
/// nobody else can have it, and not a moment longer.
///
/// Time is that of the clock that goes on while the machine sleeps.
final class Leadership: Sendable {
  private let place: String
  /// In nanoseconds; `.max` when it was given back.
  private let end: Atomic<Int64>
  private let lost: @Sendable (String) -> Never

  /// - Parameter lost: ends the process. Whatever it would answer may be wrong already.
  init(place: String, until end: Int64, lost: @escaping @Sendable (String) -> Never) {
    self.place = place
    self.end = Atomic(end)
    self.lost = lost
  }

  static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// Returns while the time is not over, and otherwise never.
  func check() {
    if Self.now() >= end.load(ordering: .acquiring) { lose("the lease was not renewed in time") }
  }

  /// What is left of the time.
  var left: Duration { .nanoseconds(max(0, end.load(ordering: .acquiring) - Self.now())) }

  /// Once it is over, it stays over.
  func extend(until end: Int64) {
    check()
    self.end.store(end, ordering: .releasing)
  }

  /// Nothing is written from here on, and what is read is what was there at the end.
  func giveBack() { end.store(.max, ordering: .releasing) }

  func lose(_ why: String) -> Never {
    lost(
      "this server does not lead any more on \(place): \(why). Nothing more is answered; the next start waits for its turn"
    )
  }
}
