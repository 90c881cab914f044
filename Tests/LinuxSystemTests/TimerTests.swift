import Testing
import Wire

@testable import LinuxSystem

/// Durations come from outside: a pod's grace period may be 2^63 seconds.
@Suite(.timeLimit(.minutes(1))) struct TimerTests {
  @Test func aTimerBeyondAllTimeStopsNoOther() async {
    let far = ReadinessMonitor.shared.timer(at: .now + .seconds(Int64.max)) { _ in }
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      ReadinessMonitor.shared.timer(at: .now + .milliseconds(1)) { _ in continuation.resume() }
    }
    ReadinessMonitor.shared.cancel(far)
  }

  @Test(arguments: [Duration.seconds(Int64.max), .seconds(1 << 40), .seconds(10_000_000_000)])
  func aSleepBeyondAllTimeDoesNotEnd(duration: Duration) async {
    let hasEnded = await withTaskGroup(of: Bool.self) { group in
      group.addTask { (try? await SystemClock().sleep(for: duration)) != nil }
      group.addTask {
        try? await SystemClock().sleep(for: .milliseconds(50))
        return false
      }
      let first = await group.next()
      group.cancelAll()
      return first
    }
    #expect(hasEnded == false)
  }
}
