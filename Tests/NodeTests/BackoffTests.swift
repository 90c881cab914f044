import Testing
import Wire

@testable import Node

@Suite("CrashLoopBackoff")
struct BackoffTests {
  @Test("doubles from 10 s to 5 min")
  func doubling() {
    var now = Timestamp(seconds: 0)
    var backoff = CrashLoopBackoff(now: now)
    var delays: [Int64] = []
    for _ in 0..<7 {
      delays.append(backoff.delay.components.seconds)
      now = now.adding(backoff.delay)
      backoff.restarted(now: now)
    }
    #expect(delays == [10, 20, 40, 80, 160, 300, 300])
  }

  @Test("counts from the container's end")
  func fromTheEnd() {
    let backoff = CrashLoopBackoff(now: Timestamp(seconds: 100))
    let end = Timestamp(seconds: 130)
    #expect(backoff.restartAt(finishedAt: end, now: Timestamp(seconds: 131)) == Timestamp(seconds: 140))
    #expect(backoff.restartAt(finishedAt: end, now: Timestamp(seconds: 140)) == nil)
  }

  @Test("a container that ran for more than 10 minutes begins anew")
  func forgotten() {
    var backoff = CrashLoopBackoff(now: Timestamp(seconds: 0))
    backoff.restarted(now: Timestamp(seconds: 10))
    #expect(backoff.delay == .seconds(20))
    let end = Timestamp(seconds: 10 + 601)
    #expect(backoff.restartAt(finishedAt: end, now: end) == nil)
    backoff.restarted(now: end)
    #expect(backoff.delay == .seconds(10))
  }

  @Test("a container's label brings it back")
  func label() {
    var backoff = CrashLoopBackoff(now: Timestamp(seconds: 100))
    backoff.restarted(now: Timestamp(microseconds: 120_000_123))
    #expect(CrashLoopBackoff(label: backoff.labelText) == backoff)
    for text in [nil, "", "10s", "10s yesterday", "1h0m0s 1970-01-01T00:02:00Z", "x 1970-01-01T00:02:00Z"] {
      #expect(CrashLoopBackoff(label: text) == nil)
    }
  }
}
