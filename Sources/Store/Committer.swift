import KubeTypes
import LinuxSystem
import Synchronization

/// Makes groups of commits durable, publishes them, answers, and has the watches told.
///
/// One thread at a time: the one that holds `Store.committer`. Only it changes the store's state, so what it reads from
/// the state stays true until it publishes.
struct Committer: Sendable {
  typealias Entry = Store.Entry
  typealias Event = Store.Event

  private static var groupCountMax: Int { 512 }
  private static var pauseGroups: Int { 16 }
  /// A disk that takes longer is not waited for by a thread that has other work.
  private static var quickMax: Duration { .milliseconds(1) }

  private var engine: any Engine
  private let teller: Teller
  private(set) var isOpen = true

  init(engine: any Engine, teller: Teller) {
    self.engine = engine
    self.teller = teller
  }

  /// The writer thread's work, until the store is closed.
  static func run(_ store: Store) {
    let groupBytesMax = store.committer.withLock { committer in
      committer.start()
      return committer.engine.groupBytesMax
    }
    // Writers that were answered just now will soon be back, if they are the kind that writes one thing after the other.
    // When those of the last group did not come in time, the next few groups do not wait for theirs.
    var returning = 0
    var pausedGroups = 0
    while let (requests, isComplete) = store.queue.take(
      count: Self.groupCountMax, cost: groupBytesMax, returning: returning, gatherMax: store.options.gatherMax)
    {
      store.committer.withLock { $0.commitAndMaintain(requests, of: store) }
      if !isComplete { pausedGroups = Self.pauseGroups }
      if pausedGroups > 0 { pausedGroups -= 1 }
      returning = pausedGroups == 0 && requests.count > 1 ? requests.count : 0
    }
    store.committer.withLock { $0.close(store) }
  }

  /// Carries out what waits, on a caller's thread. A commit that is asked for meanwhile, by a completion or a watch, comes
  /// after it.
  static func runOnCaller(_ store: Store) {
    while !store.queue.isEmpty {
      let isDone = store.committer.withLockIfAvailable { committer in
        committer.drain(store)
        return committer.isOpen
      }
      // Otherwise the call that is about it comes to this one, too.
      guard isDone == true else { return }
    }
  }

  mutating func drain(_ store: Store, andClose closes: Bool = false) {
    while isOpen,
      let (requests, _) = store.queue.take(count: Self.groupCountMax, cost: engine.groupBytesMax, waits: false)
    {
      commitAndMaintain(requests, of: store)
    }
    if closes { close(store) }
  }

  /// Whether a thread that has other work may carry out a commit now: it waits for nobody but a quick disk.
  var servesCallers: Bool { isOpen && engine.isPrompt && teller.isIdle }

  mutating func start() { engine.start() }

  private mutating func commitAndMaintain(_ requests: [Store.Request], of store: Store) {
    for group in Self.groups(requests, engine.operationsMax) { commit(group, of: store) }
    engine.maintain()
    store.outstanding.subtract(requests.count, ordering: .acquiringAndReleasing)
  }

  /// The requests in groups of so many operations, in their order. One that has more is a group of its own.
  static func groups(_ requests: [Store.Request], _ operationsMax: Int) -> [[Store.Request]] {
    // The usual case.
    if requests.reduce(0, { $0 + $1.operations.count }) <= operationsMax { return [requests] }
    var groups: [[Store.Request]] = []
    var room = 0
    for request in requests {
      if groups.isEmpty || request.operations.count > room {
        groups.append([])
        room = operationsMax
      }
      groups[groups.count - 1].append(request)
      room -= request.operations.count
    }
    return groups
  }

  mutating func close(_ store: Store) {
    guard isOpen else { return }
    isOpen = false
    teller.close()
    let watches = store.state.withLock { state in
      state.isClosed = true
      defer { state.clearWatches() }
      return state.watches.all + state.followers.all
    }
    for watch in watches { watch.end() }
    engine.close()
  }

  /// Commits a group, answers it, and has it told.
  mutating func commit(_ requests: [Store.Request], of store: Store) {
    let start = store.options.monotonicClock()
    process(requests, store)
    let isQuick = store.options.monotonicClock() - start < Self.quickMax
    store.servesCallers.store(requests.count == 1 && isQuick, ordering: .releasing)
  }

  /// - Parameter isFirst: whether a place without space is asked to make some, and the group is tried once more.
  private mutating func process(_ requests: [Store.Request], _ store: Store, isFirst: Bool = true) {
    if isFirst { engine.regainSpace() }
    let (events, results) = plan(requests, store)
    guard !events.isEmpty else {
      // What refuses them was read from memory.
      engine.leadership?.check()
      for (request, result) in zip(requests, results) { request.completion(result) }
      return
    }
    do throws(StoreError) {
      try engine.write(events)
    } catch {
      // Also after the second attempt: the next group finds what space there is.
      if case .diskFull = error, engine.makeSpace(), isFirst { return process(requests, store, isFirst: false) }
      // The place takes less than it says; each commit alone may be small enough.
      if case .tooLarge = error, requests.count > 1 {
        for request in requests { process([request], store) }
        return
      }
      // Also those that failed: they were compared with changes that have not happened.
      for request in requests { request.completion(.failure(error)) }
      return
    }
    let watches = publish(events, store)
    for (request, result) in zip(requests, results) { request.completion(result) }
    teller.tell(events, to: watches)
  }

  /// The group's changes and each commit's answer. The snapshot that it looks at is gone when it returns, so that
  /// publishing changes the state in place.
  private func plan(_ requests: [Store.Request], _ store: Store) -> ([Event], [Result<[Entry?], StoreError>]) {
    let (entries, revision) = store.state.withLock { ($0.entries, $0.revision) }
    var group = Group(entries: entries, revision: revision, fullDisk: engine.isShort ? engine.place : nil)
    var results: [Result<[Entry?], StoreError>] = []
    results.reserveCapacity(requests.count)
    for (index, request) in requests.enumerated() {
      results.append(
        group.add(
          request.operations, usesReserve: request.usesReserve, isLast: index == requests.count - 1))
    }
    return (group.events, results)
  }

  /// Makes the events visible, and tells the followers.
  ///
  /// - Returns: the watches that were there at that moment.
  private func publish(_ events: [Event], _ store: Store) -> WatchIndex {
    guard let last = events.last else { return WatchIndex() }
    let now = store.options.monotonicClock()
    let (watches, followers, dropped) = store.state.withLock { state in
      precondition(state.revision < last.entry.revision, "revisions increase")
      for event in events {
        switch event.kind {
        case .put: state.entries.set(event.entry)
        case .delete: state.entries.remove(event.entry.key)
        }
        state.history.append(event, now: now)
      }
      state.revision = last.entry.revision
      return (state.watches, state.followers, state.history.compact(now: now))
    }
    for (watches, batch) in followers.batches(events) {
      for watch in watches { watch.offer(batch) }
    }
    withExtendedLifetime(dropped) {}
    return watches
  }
}

/// The changes of one group: each commit is checked against the state that the commits before it leave.
private struct Group {
  typealias Entry = Store.Entry
  typealias Event = Store.Event
  typealias Operation = Store.Operation

  private let entries: SortedEntries
  private var revision: Int64
  /// `.some(nil)` for a key that the group deletes.
  private var changed: [ByteKey: Entry?] = [:]
  private(set) var events: [Event] = []
  /// The file that has no space for new keys; `nil` when there is some.
  private let fullDisk: String?

  init(entries: SortedEntries, revision: Int64, fullDisk: String?) {
    self.entries = entries
    self.revision = revision
    self.fullDisk = fullDisk
  }

  /// Adds a commit whole, or leaves the group as it was.
  ///
  /// - Parameters:
  ///   - usesReserve: new keys are made although space is short.
  ///   - isLast: no other commit comes after it.
  mutating func add(
    _ operations: [Operation], usesReserve: Bool, isLast: Bool
  ) -> Result<[Entry?], StoreError> {
    if isLast, operations.count == 1 {
      // The usual case. Nobody looks for what it changes.
      return event(for: operations[0], usesReserve).map { event in
        revision += 1
        Self.check(event, at: revision)
        events.append(event)
        return [event.entry]
      }
    }
    let eventCount = events.count
    let firstRevision = revision
    var before: [(key: ByteKey, entry: Entry??)] = []
    var results: [Entry?] = []
    for operation in operations {
      switch event(for: operation, usesReserve) {
      case .success(let event):
        revision += 1
        Self.check(event, at: revision)
        let key = ByteKey(event.entry.key)
        before.append((key, changed[key]))
        changed[key] = .some(event.kind == .delete ? nil : event.entry)
        events.append(event)
        results.append(event.entry)
      case .failure(let error):
        for (key, entry) in before.reversed() { changed[key] = entry }
        events.removeLast(events.count - eventCount)
        revision = firstRevision
        return .failure(error)
      }
    }
    return .success(results)
  }

  private func current(_ key: String) -> Entry? {
    if !changed.isEmpty, let entry = changed[ByteKey(key)] { return entry }
    return entries.find(key)
  }

  private func event(for operation: Operation, _ usesReserve: Bool) -> Result<Event, StoreError> {
    let next = revision + 1
    switch operation {
    case .put(let key, let value, let offset, let header, let precondition):
      let previous = current(key)
      if let error = check(precondition, key: key, current: previous) { return .failure(error) }
      if let fullDisk, previous == nil, !usesReserve { return .failure(.diskFull(fullDisk)) }
      let object = object(header, value, next, at: offset)
      let created = previous?.createRevision ?? next
      let entry = Entry(
        key: key, object: object, revision: next, createRevision: created,
        checksum: RowChecksum.entry(created: created, modified: next, key: key, value: object.bytes))
      return .success(Event(kind: .put(created: previous == nil), entry: entry, previous: previous))
    case .delete(let key, let value, let offset, let header, let precondition):
      let previous = current(key)
      if let error = check(precondition, key: key, current: previous) { return .failure(error) }
      guard let previous else { return .failure(.notFound(key: key)) }
      // It is shown to watches and gets no row.
      let entry = Entry(
        key: key, object: object(header, value, next, at: offset), revision: next,
        createRevision: previous.createRevision, checksum: 0)
      return .success(Event(kind: .delete, entry: entry, previous: previous))
    }
  }

  /// What can only be wrong by a mistake of ours.
  private static func check(_ event: Event, at revision: Int64) {
    let (entry, previous) = (event.entry, event.previous)
    precondition(entry.revision == revision, "each operation gets the next revision")
    precondition(entry.header.resourceVersion == revision, "an object's header says its entry's revision")
    precondition(
      previous.map { $0.revision < revision && $0.createRevision == entry.createRevision && $0.key == entry.key }
        ?? (entry.createRevision == revision), "a state follows the one before it")
  }

  private func check(
    _ precondition: Store.Precondition, key: String, current: Entry?
  ) -> StoreError? {
    switch precondition {
    case .none: nil
    case .absent: current == nil ? nil : .exists(key: key)
    case .revision(let revision):
      current?.revision == revision ? nil : .conflict(key: key, current: current?.revision)
    }
  }

  private func object(_ header: ObjectHeader, _ value: [UInt8], _ revision: Int64, at offset: Int) -> Object {
    var header = header
    header.resourceVersion = revision
    let digits = String(revision).utf8
    var bytes: [UInt8] = []
    bytes.reserveCapacity(value.count + digits.count)
    bytes += value[..<offset]
    bytes += digits
    bytes += value[offset...]
    return Object(header: header, bytes: bytes)
  }
}
