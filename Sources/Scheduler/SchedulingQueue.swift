import KubeTypes
import Wire

/// The pods that wait for a node. Pure: the time is handed in.
///
/// A pod is *active* (to be tried now, by priority and then in order of arrival), *backing off* (to be tried at a
/// time), *waiting* (until a change in the cluster that can help it), or *in flight* (being bound).
struct SchedulingQueue {
  struct Item {
    var pod: PodInfo
    /// When it came into the queue.
    let addedAt: Timestamp
    /// Failed attempts in a row.
    var attempts = 0
    fileprivate(set) var place: Place
    fileprivate var sequence: UInt64
    /// Changes that are worth another attempt.
    fileprivate var liftedBy: ClusterChange = []
    /// The last reason that was written into the pod's status.
    var reportedMessage: String?
    /// The end of the back-off after the last attempt.
    fileprivate var notBefore: Timestamp
  }

  enum Place: Equatable, Sendable {
    case active
    case backingOff(until: Timestamp)
    case waiting(until: Timestamp)
    case inFlight
  }

  /// A part of the queue, by kube-scheduler's name for it.
  enum Part: String, CaseIterable {
    case active
    case backingOff = "backoff"
    case waiting = "unschedulable"
  }

  struct Limits: Sendable {
    /// Shorter than kube-scheduler's second: an attempt costs microseconds here, and only changes that can help wake a
    /// pod.
    var backoffFirst: Duration = .milliseconds(100)
    var backoffMax: Duration = .seconds(10)
    /// A waiting pod is tried again after this time even when nothing happened.
    var waitMax: Duration = .seconds(300)
  }

  private struct Turn {
    var priority: Int64
    var sequence: UInt64
    var uid: String

    static func comesFirst(_ a: Turn, _ b: Turn) -> Bool {
      a.priority != b.priority ? a.priority > b.priority : a.sequence < b.sequence
    }
  }

  private struct Alarm {
    var at: Timestamp
    var sequence: UInt64
    var uid: String
  }

  let limits: Limits
  private(set) var items: [String: Item] = [:]
  // Entries are not taken out when an item moves: one is valid while its sequence is the item's.
  private var active = Heap<Turn>(comesFirst: Turn.comesFirst)
  private var alarms = Heap<Alarm> { $0.at < $1.at }
  private var waiting: Set<String> = []
  private var lastSequence: UInt64 = 0
  /// What has changed since the last pod was taken: it is decided on without that.
  private var missed: ClusterChange = []

  init(limits: Limits = Limits()) { self.limits = limits }

  /// How many pods are in each part; those that are being bound are in none.
  func counts() -> [Part: Int] {
    var counts: [Part: Int] = [:]
    for item in items.values {
      switch item.place {
      case .active: counts[.active, default: 0] += 1
      case .backingOff: counts[.backingOff, default: 0] += 1
      case .waiting: counts[.waiting, default: 0] += 1
      case .inFlight: break
      }
    }
    return counts
  }

  /// A pod that is new, or whose specification or labels changed: tried at once.
  mutating func add(_ pod: PodInfo, now: Timestamp) {
    if var item = items[pod.uid] {
      item.pod = pod
      items[pod.uid] = item
      if item.place != .inFlight { activate(pod.uid) }
    } else {
      items[pod.uid] = Item(pod: pod, addedAt: now, place: .active, sequence: 0, notBefore: now)
      activate(pod.uid)
    }
  }

  mutating func remove(_ uid: String) {
    items[uid] = nil
    waiting.remove(uid)
  }

  /// Takes the next pod to try; it is then in flight until `reject`, `retry` or `remove`.
  mutating func next() -> Item? {
    while let turn = active.popFirst() {
      guard var item = items[turn.uid], item.place == .active, item.sequence == turn.sequence else { continue }
      item.place = .inFlight
      items[turn.uid] = item
      missed = []
      return item
    }
    return nil
  }

  /// What was decided on the pod that was taken last is no longer of use: it is to be tried at once, and this was no
  /// attempt.
  mutating func again(_ uid: String) {
    precondition(items[uid]?.place == .inFlight, "a pod is put back that was not tried")
    activate(uid)
  }

  /// No node takes the pod that was taken last: wait for a change that can help, or for the pause alone when there was
  /// one meanwhile.
  mutating func reject(_ uid: String, liftedBy changes: ClusterChange, now: Timestamp) {
    guard var item = items[uid] else { return }
    precondition(item.place == .inFlight, "a pod is refused that was not tried")
    item.attempts += 1
    item.notBefore = now.adding(backoff(item.attempts))
    item.liftedBy = changes
    if !changes.isDisjoint(with: missed) {
      item.place = .backingOff(until: item.notBefore)
      store(&item, alarm: item.notBefore)
      return
    }
    let until = now.adding(limits.waitMax)
    item.place = .waiting(until: until)
    store(&item, alarm: until)
    waiting.insert(uid)
  }

  /// The binding failed: try again after the back-off.
  mutating func retry(_ uid: String, now: Timestamp) {
    guard var item = items[uid] else { return }
    item.attempts += 1
    item.notBefore = now.adding(backoff(item.attempts))
    item.place = .backingOff(until: item.notBefore)
    store(&item, alarm: item.notBefore)
  }

  mutating func setReported(_ uid: String, message: String?) { items[uid]?.reportedMessage = message }

  /// Wakes the waiting pods that the changes can help.
  mutating func wake(_ changes: ClusterChange, now: Timestamp) {
    if changes.isEmpty { return }
    missed.formUnion(changes)
    for uid in waiting {
      guard var item = items[uid], !item.liftedBy.isDisjoint(with: changes) else { continue }
      if item.notBefore <= now {
        activate(uid)
      } else {
        waiting.remove(uid)
        item.place = .backingOff(until: item.notBefore)
        store(&item, alarm: item.notBefore)
      }
    }
  }

  /// Activates what is due.
  mutating func advance(to now: Timestamp) {
    while let alarm = alarms.first, alarm.at <= now {
      _ = alarms.popFirst()
      guard let item = items[alarm.uid], item.sequence == alarm.sequence else { continue }
      switch item.place {
      case .backingOff, .waiting: activate(alarm.uid)
      case .active, .inFlight: break
      }
    }
  }

  /// When `advance` has something to do.
  mutating func nextAlarm() -> Timestamp? {
    while let alarm = alarms.first {
      if let item = items[alarm.uid], item.sequence == alarm.sequence { return alarm.at }
      _ = alarms.popFirst()
    }
    return nil
  }

  private mutating func activate(_ uid: String) {
    guard var item = items[uid] else { return }
    waiting.remove(uid)
    item.place = .active
    lastSequence += 1
    item.sequence = lastSequence
    items[uid] = item
    active.insert(Turn(priority: item.pod.priority, sequence: lastSequence, uid: uid))
  }

  private mutating func store(_ item: inout Item, alarm: Timestamp) {
    lastSequence += 1
    item.sequence = lastSequence
    items[item.pod.uid] = item
    alarms.insert(Alarm(at: alarm, sequence: lastSequence, uid: item.pod.uid))
  }

  private func backoff(_ attempts: Int) -> Duration {
    var delay = limits.backoffFirst
    for _ in 1..<max(1, min(attempts, 32)) where delay < limits.backoffMax { delay *= 2 }
    return min(delay, limits.backoffMax)
  }
}

/// A binary heap.
struct Heap<Element> {
  private var elements: [Element] = []
  private let comesFirst: (Element, Element) -> Bool

  init(comesFirst: @escaping (Element, Element) -> Bool) { self.comesFirst = comesFirst }

  var first: Element? { elements.first }
  var count: Int { elements.count }

  mutating func insert(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard comesFirst(elements[child], elements[parent]) else { break }
      elements.swapAt(child, parent)
      child = parent
    }
  }

  mutating func popFirst() -> Element? {
    guard let last = elements.popLast() else { return nil }
    guard let first = elements.first else { return last }
    elements[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < elements.count {
        if comesFirst(elements[child], elements[least]) { least = child }
      }
      if least == parent { return first }
      elements.swapAt(parent, least)
      parent = least
    }
  }
}
