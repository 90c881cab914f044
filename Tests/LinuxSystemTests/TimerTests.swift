import Synchronization
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
  func aSleepBeyondAllTimeDoesNotEnd(duration: Duration) async throws {
    let hasEnded = Mutex(false)
    try await withThrowingDiscardingTaskGroup { group in
      group.addTask {
        do {
          try await SystemClock().sleep(for: duration)
          hasEnded.withLock { $0 = true }
        } catch {
          // Cancelled, as it should be.
        }
      }
      try await SystemClock().sleep(for: .milliseconds(50))
      group.cancelAll()
    }
    #expect(hasEnded.withLock { !$0 })
  }
}
