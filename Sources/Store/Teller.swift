import Synchronization

/// Tells watches of what was committed, in the order of the commits, after they were answered.
///
/// A few watches are told by the thread that commits: waking another one would take longer. Many are told by a thread of its
/// own, so that an answer takes as long with five thousand watches as with none. Only when that thread is far behind, those
/// who commit wait for it: nobody may be told of so little that the rest has to be kept for ever.
final class Teller: Sendable {
  private typealias Batch = (watches: [Store.Watch], events: [Store.Event])

  private struct Telling: Sendable {
    var batches: [Batch]
    /// Everything is told up to here when this has been told.
    var revision: Int64
  }

  /// More watches than these are told by the other thread.
  static let promptMax = 32
  /// How many events may wait to be told, each counted for every prefix and value that it is told for.
  static let waitingMax = 16_384
  /// The bytes of their objects, before and after.
  static let waitingBytesMax = 64 << 20
  /// An event without its objects.
  private static let eventCost = waitingBytesMax / waitingMax

  private let told: Atomic<Int64>
  private let queue = WorkQueue<Telling>(countMax: waitingMax, costMax: waitingBytesMax)
  /// The revision that the other thread has been given last; nothing is left to it when it has told that.
  private let given: Atomic<Int64>
  private let thread: Mutex<WorkerThread?>

  init(revision: Int64) throws(StoreError) {
    told = Atomic(revision)
    given = Atomic(revision)
    thread = Mutex(nil)
    let thread = try WorkerThread(name: "apus-watches") { [self] in
      while let (tellings, _) = queue.take(count: 1, cost: .max) {
        for telling in tellings { tell(telling) }
      }
    }
    self.thread.withLock { $0 = thread }
  }

  /// Everything up to this revision has been told.
  var revision: Int64 { told.load(ordering: .acquiring) }

  /// The other thread has nothing to tell.
  var isIdle: Bool { given.load(ordering: .acquiring) <= revision }

  /// Tells watches of the events of one group. Called by the thread that commits, in the order of the groups.
  ///
  /// - Parameters:
  ///   - events: not empty.
  ///   - watches: those that were there when the events became visible.
  func tell(_ events: [Store.Event], to watches: WatchIndex) {
    guard let last = events.last else { return }
    let telling = Telling(batches: watches.batches(events), revision: last.entry.revision)
    // Whoever is told by this thread must not be told of this before what waits.
    if isIdle, telling.batches.reduce(0, { $0 + $1.watches.count }) <= Self.promptMax { return tell(telling) }
    given.store(telling.revision, ordering: .releasing)
    queue.pushWhenRoom(telling, cost: telling.batches.reduce(0) { $0 + Self.cost($1.events) })
  }

  private static func cost(_ events: [Store.Event]) -> Int {
    events.reduce(0) { sum, event in
      sum + max(eventCost, event.entry.value.count + (event.previous?.value.count ?? 0))
    }
  }

  private func tell(_ telling: Telling) {
    for (watches, events) in telling.batches {
      for watch in watches { watch.offer(events) }
    }
    told.store(telling.revision, ordering: .releasing)
    for (watches, _) in telling.batches {
      for watch in watches { watch.wake() }
    }
  }

  /// Tells what waits, and ends the thread. To be called once, by the thread that commits.
  func close() {
    queue.close()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }
}
