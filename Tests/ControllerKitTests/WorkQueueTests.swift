import KubeTypes
import Synchronization
import Telemetry
import Testing
import Wire

@testable import ControllerKit

@Suite struct WorkQueueTests {
  @Test func keyIsQueuedOnce() {
    var queue = WorkQueueState<String>()
    queue.add("a")
    queue.add("b")
    queue.add("a")
    #expect(queue.readyCount == 2)
    #expect(queue.next() == "a" && queue.next() == "b" && queue.next() == nil)
  }

  @Test func keyThatIsWorkedOnComesBackAfterwards() {
    var queue = WorkQueueState<String>()
    queue.add("a")
    #expect(queue.next() == "a")
    queue.add("a")
    queue.add("a")
    #expect(queue.next() == nil)
    queue.finished("a")
    #expect(queue.next() == "a")
    queue.finished("a")
    #expect(queue.next() == nil && queue.processingCount == 0)
  }

  @Test func aKeyIsGivenBackByWhoeverTookIt() async {
    await #expect(processExitsWith: .failure) {
      var queue = WorkQueueState<String>()
      queue.add("a")
      queue.finished("a")
    }
    await #expect(processExitsWith: .failure) {
      var queue = WorkQueueState<String>()
      queue.add("a")
      _ = queue.next()
      queue.finished("a")
      queue.finished("a")
    }
  }

  @Test func earliestDelayCounts() {
    var queue = WorkQueueState<String>()
    let start = Duration.seconds(100)
    queue.add("a", at: start + .seconds(5))
    queue.add("a", at: start + .seconds(9))
    queue.add("a", at: start + .seconds(3))
    #expect(queue.nextDue() == start + .seconds(3))
    queue.promote(now: start + .seconds(2))
    #expect(queue.readyCount == 0)
    queue.promote(now: start + .seconds(3))
    #expect(queue.next() == "a" && queue.nextDue() == nil)
  }

  @Test func workNowMakesTheLaterVisitUnnecessary() {
    var queue = WorkQueueState<String>()
    queue.add("a", at: .seconds(5))
    queue.add("a")
    #expect(queue.delayedCount == 0 && queue.nextDue() == nil)
  }

  /// Random events; a model that is too simple to be wrong counts along.
  @Test(arguments: 1...50)
  func nothingIsLostAndNoKeyHasTwoWorkers(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var queue = WorkQueueState<Int>()
    var now = Duration.zero
    var owed: Set<Int> = []
    var due: [Int: Duration] = [:]
    var working: Set<Int> = []

    func promote() {
      queue.promote(now: now)
      for (key, at) in due where at <= now {
        owed.insert(key)
        due[key] = nil
      }
    }
    for _ in 0..<5000 {
      let key = Int.random(in: 0..<30, using: &random)
      switch Int.random(in: 0..<6, using: &random) {
      case 0:
        queue.add(key)
        owed.insert(key)
        due[key] = nil
      case 1:
        let at = now + .milliseconds(Int.random(in: 1...500, using: &random))
        queue.add(key, at: at)
        if !owed.contains(key) { due[key] = min(due[key] ?? at, at) }
      case 2, 3:
        if let taken = queue.next() {
          #expect(working.insert(taken).inserted, "seed \(seed): two workers have \(taken)")
          #expect(owed.remove(taken) != nil, "seed \(seed): nobody asked for \(taken)")
        } else {
          #expect(owed.isSubset(of: working), "seed \(seed): \(owed) is forgotten")
        }
      case 4:
        if let done = working.sorted().randomElement(using: &random) {
          working.remove(done)
          queue.finished(done)
        }
      default:
        now += .milliseconds(Int.random(in: 0..<100, using: &random))
        promote()
      }
      #expect(queue.nextDue() == due.values.min(), "seed \(seed)")
    }
    for key in working { queue.finished(key) }
    now += .seconds(10)
    promote()
    var rest: Set<Int> = []
    while let key = queue.next() { rest.insert(key) }
    #expect(rest == owed, "seed \(seed)")
  }

  @Test func backoffGrowsAndIsBounded() {
    var random = SeededRandom(seed: 1)
    let backoff = Backoff(first: .milliseconds(10), longest: .seconds(1))
    var ceiling = Duration.milliseconds(10)
    for failures in 1...100 {
      let delay = backoff.delay(failures: failures, using: &random)
      #expect(delay >= ceiling / 2 && delay <= ceiling)
      ceiling = min(ceiling * 2, .seconds(1))
    }
  }

  @Test func waitingWorkerGetsTheKey() async {
    let clock = VirtualClock()
    let queue = WorkQueue<ObjectKey>(name: "test", metrics: Metrics(), time: clock, seed: 1)
    async let key = queue.next()
    queue.add(ObjectKey(name: "a"))
    #expect(await key == ObjectKey(name: "a"))
  }

  @Test func cancelledWorkerGetsNothing() async {
    let queue = WorkQueue<ObjectKey>(name: "test", metrics: Metrics(), time: VirtualClock(), seed: 1)
    let worker = Task { await queue.next() }
    worker.cancel()
    #expect(await worker.value == nil)
    queue.add(ObjectKey(name: "a"))
    #expect(await queue.next() == ObjectKey(name: "a"))
  }

  @Test func delayedKeysComeInTime() async throws {
    let clock = VirtualClock()
    let queue = WorkQueue<ObjectKey>(name: "test", metrics: Metrics(), time: clock, seed: 1)
    let timers = Task { try await queue.runTimers() }
    queue.add(ObjectKey(name: "late"), after: .seconds(20))
    await clock.waitForSleepers()
    queue.add(ObjectKey(name: "soon"), after: .seconds(5))
    // The sleep for the later one is given up for the earlier one.
    while clock.nextWake != .seconds(5) { await Task.yield() }
    clock.advance(by: .seconds(5))
    #expect(await queue.next() == ObjectKey(name: "soon"))
    while clock.nextWake != .seconds(15) { await Task.yield() }
    clock.advance(by: .seconds(15))
    #expect(await queue.next() == ObjectKey(name: "late"))
    timers.cancel()
    await #expect(throws: CancellationError.self) { try await timers.value }
  }

  @Test func aSignalKeepsAFireUntilItIsWaitedForOrForgotten() async throws {
    let signal = Signal()
    signal.fire()
    try await signal.wait()
    signal.fire()
    signal.clear()
    // It has begun to wait when this returns.
    let waiter = Task.immediate { try await signal.wait() }
    waiter.cancel()
    await #expect(throws: CancellationError.self) { try await waiter.value }
  }

  @Test func aGateLetsEverybodyThroughOnceItIsOpen() async throws {
    let gate = Gate()
    // They have begun to wait when this returns.
    let waiters = (0..<3).map { _ in Task.immediate { try await gate.wait() } }
    let cancelled = Task.immediate { try await gate.wait() }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    #expect(!gate.isOpen)
    gate.open()
    for waiter in waiters { try await waiter.value }
    #expect(gate.isOpen)
    try await gate.wait()
  }

  /// What is asked about need not be an object.
  @Test func keysAreOfAnyType() async {
    enum Question: Hashable { case node(String), all }
    let queue = WorkQueue<Question>(name: "test", metrics: Metrics(), time: VirtualClock(), seed: 1)
    queue.add(.node("all"))
    queue.add(.all)
    queue.add(.node("all"))
    #expect(queue.counts.ready == 2)
    #expect(await queue.next() == .node("all"))
    #expect(await queue.next() == .all)
  }
}
