import ControllerKit
import Synchronization
import Telemetry
import Testing

/// Clocks that are set, by hand or by NTP.
@Suite struct ClockTests {
  private final class Taken: Sendable { let keys = Mutex<[String]>([]) }

  /// Set back by an hour, while a key is put off for ten seconds and another one comes to be put off: none waits longer.
  @Test func aQueueDoesNotWaitForAClockThatIsSetBack() throws {
    let simulator = Simulator(seed: 1)
    let clock = simulator.clock
    let queue = WorkQueue<String>(name: "test", metrics: Metrics(), time: clock, seed: 1)
    let taken = Taken()
    _ = try simulator.run {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await queue.runTimers() }
        group.addTask {
          while let key = await queue.next() {
            taken.keys.withLock { $0.append("\(key) after \(clock.elapsed)") }
            queue.finish(key)
          }
        }
        queue.add("a", after: .seconds(10))
        try await clock.sleep(for: .seconds(3))
        clock.jump(by: .seconds(-3600))
        queue.add("b", after: .seconds(5))
        try await clock.sleep(for: .seconds(60))
        group.cancelAll()
        do { try await group.waitForAll() } catch is CancellationError {}
      }
    }
    #expect(taken.keys.withLock { $0 } == ["b after 8.0 seconds", "a after 10.0 seconds"])
  }
}
