/// The work queue's rules without its locks and tasks.
///
/// A key is in at most one of these conditions: waiting in `ready`, being worked on, or idle. Adding a key that waits
/// changes nothing; adding one that is being worked on makes it wait again as soon as the work is done. So no change is
/// lost, and no two workers have the same key (the rules of client-go's `workqueue.Type`).
struct WorkQueueState<Key: Hashable & Sendable> {
  /// Keys in the order in which they became ready; the part before `head` has been taken.
  private var ready: [Key] = []
  private var head = 0
  /// Keys that must be worked on, whether they wait in `ready` or their present work has to end first.
  private var dirty: Set<Key> = []
  private var processing: Set<Key> = []
  private var failures: [Key: Int] = [:]
  /// The earliest time for which each key is put off, by a clock that nobody sets; `timers` may hold more entries, which
  /// are then out of date.
  private var due: [Key: Duration] = [:]
  /// A binary heap by time.
  private var timers: [Timer] = []
  private var sequence: UInt64 = 0
  /// How many keys have come to be wanted; one that was wanted already does not count.
  private(set) var addCount: UInt64 = 0

  private struct Timer {
    var at: Duration
    /// Ties are broken by age, so that the order does not depend on the heap.
    var sequence: UInt64
    var key: Key

    func isBefore(_ other: Timer) -> Bool { (at, sequence) < (other.at, other.sequence) }
  }

  var readyCount: Int { ready.count - head }
  var processingCount: Int { processing.count }
  var delayedCount: Int { due.count }

  mutating func add(_ key: Key) {
    // Work that comes now makes the later visit unnecessary: the reconciler asks for a new one when it needs it.
    due[key] = nil
    guard dirty.insert(key).inserted else { return }
    addCount += 1
    if !processing.contains(key) { ready.append(key) }
  }

  mutating func next() -> Key? {
    guard head < ready.count else { return nil }
    let key = ready[head]
    head += 1
    if head == ready.count {
      ready.removeAll(keepingCapacity: ready.count < 1024)
      head = 0
    } else if head > 1024, head * 2 > ready.count {
      ready.removeFirst(head)
      head = 0
    }
    let wasDirty = dirty.remove(key) != nil
    let isAlone = processing.insert(key).inserted
    precondition(wasDirty, "a key was ready that nobody asked for")
    precondition(isAlone, "a key has two workers")
    return key
  }

  /// The work on `key` has ended. It is ready again when it was added meanwhile.
  mutating func finished(_ key: Key) {
    let wasTaken = processing.remove(key) != nil
    precondition(wasTaken, "a key was given back that nobody had taken")
    if dirty.contains(key) { ready.append(key) }
  }

  /// Counts a failure in a row.
  mutating func failed(_ key: Key) -> Int {
    failures[key, default: 0] += 1
    return failures[key] ?? 1
  }

  mutating func succeeded(_ key: Key) { failures[key] = nil }

  /// Adds `key` at a time, or at the earlier one for which it is already put off.
  mutating func add(_ key: Key, at time: Duration) {
    // It waits to be worked on anyway.
    if dirty.contains(key) { return }
    if let earlier = due[key], earlier <= time { return }
    due[key] = time
    sequence += 1
    timers.append(Timer(at: time, sequence: sequence, key: key))
    siftUp(timers.count - 1)
    if timers.count > 64, timers.count > 4 * due.count { dropOutdatedTimers() }
  }

  /// Adds every key whose time has come.
  mutating func promote(now: Duration) {
    while let first = timers.first, first.at <= now {
      removeFirstTimer()
      // An entry counts only when it is the one that `due` speaks of.
      if due[first.key] == first.at { add(first.key) }
    }
  }

  /// The time of the next `promote`.
  mutating func nextDue() -> Duration? {
    while let first = timers.first {
      if due[first.key] == first.at { return first.at }
      removeFirstTimer()
    }
    return nil
  }

  private mutating func dropOutdatedTimers() {
    let current = timers.filter { due[$0.key] == $0.at }
    timers = []
    for timer in current {
      timers.append(timer)
      siftUp(timers.count - 1)
    }
  }

  private mutating func siftUp(_ start: Int) {
    var child = start
    while child > 0 {
      let parent = (child - 1) / 2
      guard timers[child].isBefore(timers[parent]) else { return }
      timers.swapAt(child, parent)
      child = parent
    }
  }

  private mutating func removeFirstTimer() {
    timers.swapAt(0, timers.count - 1)
    timers.removeLast()
    var parent = 0
    while true {
      var smallest = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < timers.count {
        if timers[child].isBefore(timers[smallest]) { smallest = child }
      }
      if smallest == parent { return }
      timers.swapAt(parent, smallest)
      parent = smallest
    }
  }
}
