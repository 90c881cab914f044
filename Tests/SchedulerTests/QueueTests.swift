import KubeTypes
import Testing
import Wire

@testable import Scheduler

@Suite struct QueueTests {
  private let start = Timestamp(seconds: 1_000)

  private func after(_ milliseconds: Int64) -> Timestamp { start.adding(.milliseconds(milliseconds)) }

  private func pod(_ name: String, priority: Int64 = 0) -> PodInfo {
    makePod(name, spec: ["priority": .int(priority)])
  }

  private func take(_ queue: inout SchedulingQueue) -> String? { queue.next()?.pod.key.name }

  @Test func priorityThenArrival() {
    var queue = SchedulingQueue()
    for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)] as [(String, Int64)] {
      queue.add(pod(name, priority: priority), now: start)
    }
    #expect(take(&queue) == "b")
    #expect(take(&queue) == "d")
    #expect(take(&queue) == "a")
    #expect(take(&queue) == "c")
    #expect(take(&queue) == nil)
  }

  @Test func onlyHelpfulChangesWake() {
    var queue = SchedulingQueue()
    queue.add(pod("a"), now: start)
    _ = queue.next()
    queue.reject("uid-default-a", liftedBy: [.podRemoved, .nodeAdded], now: start)
    queue.wake(.nodeLabels, now: after(1000))
    #expect(take(&queue) == nil)
    queue.wake(.podRemoved, now: after(1000))
    #expect(take(&queue) == "a")
  }

  /// A pod that is being tried is in no part of the queue where a change finds it.
  @Test func aChangeDuringTheAttemptIsNotMissed() {
    for (change, due) in [(ClusterChange.nodeAdded, 100), (.nodeLabels, 300_000)] as [(ClusterChange, Int64)] {
      var queue = SchedulingQueue()
      // What came before is in the snapshot.
      queue.wake(.nodeAdded, now: start)
      queue.add(pod("a"), now: start)
      #expect(take(&queue) == "a")
      queue.wake(change, now: start)
      queue.reject("uid-default-a", liftedBy: .nodeAdded, now: start)
      #expect(queue.nextAlarm() == after(due))
    }
  }

  @Test func whatWasDecidedInVainIsTriedAtOnce() {
    var queue = SchedulingQueue()
    queue.add(pod("a"), now: start)
    _ = queue.next()
    queue.again("uid-default-a")
    #expect(queue.next()?.attempts == 0)
    queue.reject("uid-default-a", liftedBy: .nodeAdded, now: start)
    #expect(queue.items["uid-default-a"]?.attempts == 1)
  }

  @Test func backoffGrowsAndEnds() {
    var queue = SchedulingQueue()
    queue.add(pod("a"), now: start)
    var now = start
    for expected in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] as [Int64] {
      #expect(take(&queue) == "a")
      queue.reject("uid-default-a", liftedBy: .nodeAdded, now: now)
      queue.wake(.nodeAdded, now: now)
      let due = now.adding(.milliseconds(expected))
      #expect(queue.nextAlarm() == due)
      queue.advance(to: due.adding(.microseconds(-1)))
      #expect(take(&queue) == nil)
      queue.advance(to: due)
      now = due
    }
  }

  @Test func aWaitingPodIsTriedAgainAfterFiveMinutes() {
    var queue = SchedulingQueue()
    queue.add(pod("a"), now: start)
    _ = queue.next()
    queue.reject("uid-default-a", liftedBy: [], now: start)
    #expect(queue.nextAlarm() == after(300_000))
    queue.advance(to: after(300_000))
    #expect(take(&queue) == "a")
  }

  @Test func aChangedPodIsTriedAtOnceAndOnlyOnce() {
    var queue = SchedulingQueue()
    queue.add(pod("a"), now: start)
    _ = queue.next()
    queue.reject("uid-default-a", liftedBy: .nodeAdded, now: start)
    queue.add(pod("a", priority: 5), now: start)
    queue.add(pod("a", priority: 6), now: start)
    #expect(queue.next()?.pod.priority == 6)
    #expect(take(&queue) == nil)
  }

  @Test func inFlightPodsAreNotTried() {
    var queue = SchedulingQueue()
    queue.add(pod("a"), now: start)
    _ = queue.next()
    queue.add(pod("a"), now: start)
    queue.wake(.nodeAdded, now: after(1))
    #expect(take(&queue) == nil)
    queue.retry("uid-default-a", now: start)
    #expect(take(&queue) == nil)
    queue.advance(to: after(100))
    #expect(take(&queue) == "a")
  }

  @Test func removedPodsAreGone() {
    var queue = SchedulingQueue()
    queue.add(pod("a"), now: start)
    queue.remove("uid-default-a")
    #expect(take(&queue) == nil)
    queue.add(pod("b"), now: start)
    _ = queue.next()
    queue.reject("uid-default-b", liftedBy: .nodeAdded, now: start)
    queue.remove("uid-default-b")
    queue.wake(.nodeAdded, now: after(1000))
    #expect(take(&queue) == nil)
    #expect(queue.nextAlarm() == nil)
    #expect(queue.items.isEmpty)
  }

  @Test func heapSorts() {
    var heap = Heap<Int> { $0 < $1 }
    for value in [5, 3, 8, 1, 9, 2, 7, 3] { heap.insert(value) }
    var sorted: [Int] = []
    while let value = heap.popFirst() { sorted.append(value) }
    #expect(sorted == [1, 2, 3, 3, 5, 7, 8, 9])
  }
}
