import NIOCore
import Testing

@testable import HTTP

@Suite struct BoundedTimeTests {
  /// The assumption that failed: that nobody names a time of more than 292 years.
  @Test(arguments: [Duration.seconds(Int64.max), .seconds(Int64.min), .nanoseconds(Int64.max), .seconds(9_223_372_037)])
  func anyDurationIsATime(_ duration: Duration) {
    let amount = TimeAmount(bounded: duration)
    #expect((amount > .zero) == (duration > .zero))
    #expect(NIODeadline.now() + amount != .now())
  }

  @Test func whatPeopleNameIsKept() {
    for duration in [Duration.zero, .milliseconds(1), .seconds(30), .seconds(86400)] {
      #expect(TimeAmount(bounded: duration) == TimeAmount(duration))
    }
  }
}
