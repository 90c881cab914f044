import Synchronization

/// The writer thread's work: takes the waiting commits as a group, makes the group durable, publishes it, answers.
///
/// All of it runs on the one writer thread. Only that thread changes the store's state, so what it reads from the
/// state stays true until it publishes.
struct Committer<Header: Sendable>: Sendable {
  typealias Entry = Store<Header>.Entry
  typealias Event = Store<Header>.Event
  typealias Operation = Store<Header>.Operation

  private static var groupCountMax: Int { 512 }
  private static var groupBytesMax: Int { 8 << 20 }

  let store: Store<Header>
  let database: Database
  let checkpointer: Checkpointer

  func run() {
    while let requests = store.queue.take(count: Self.groupCountMax, cost: Self.groupBytesMax) {
      process(requests)
      startCheckpointIfDue()
    }
    let watches = store.state.withLock { state in
      state.isClosed = true
      defer { state.watches = [:] }
      return state.watches
    }
    for watch in watches.values.joined() { watch.end() }
    checkpointer.close()
    database.closeConnection()
  }

  private func process(_ requests: [Store<Header>.Request]) {
    let (events, results) = plan(requests)
    if !events.isEmpty {
      do throws(StoreError) {
        try write(events)
      } catch {
        database.rollback()
        // A checkpoint lets the log start again from its beginning, in space that it has already.
        if case .diskFull = error { database.checkpoint() }
        // Also those that failed: they were compared with changes that have not happened.
        for request in requests { request.completion(.failure(error)) }
        return
      }
      publish(events)
    }
    for (request, result) in zip(requests, results) { request.completion(result) }
  }

  /// The group's changes and each commit's answer. The snapshot that it looks at is gone when it returns, so that
  /// publishing changes the state in place.
  private func plan(_ requests: [Store<Header>.Request]) -> ([Event], [Result<[Entry?], StoreError>]) {
    let (entries, revision) = store.state.withLock { ($0.entries, $0.revision) }
    var group = Group<Header>(entries: entries, revision: revision)
    let results = requests.map { group.add($0.operations) }
    return (group.events, results)
  }

  private func write(_ events: [Event]) throws(StoreError) {
    guard let last = events.last else { return }
    try database.beginTransaction()
    for event in events {
      let entry = event.entry
      switch event.kind {
      case .put(created: true):
        try database.insert(created: entry.createRevision, key: entry.key, value: entry.value)
      case .put(created: false):
        try database.update(created: entry.createRevision, modified: entry.revision, value: entry.value)
      case .delete: try database.delete(created: entry.createRevision)
      }
    }
    try database.commitTransaction(revision: last.entry.revision)
  }

  private func publish(_ events: [Event]) {
    guard let last = events.last else { return }
    let now = store.options.monotonicClock()
    let (watches, dropped) = store.state.withLock { state in
      for event in events {
        switch event.kind {
        case .put: state.entries.set(event.entry)
        case .delete: state.entries.remove(event.entry.key)
        }
        state.history.append(event, now: now)
      }
      state.revision = last.entry.revision
      return (state.watches, state.history.compact(now: now))
    }
    for (prefix, watches) in watches {
      // Picked once, shared by all watches of the prefix.
      let batch = prefix.isEmpty ? events : events.filter { KeyOrder.hasPrefix($0.entry.key, prefix) }
      if batch.isEmpty { continue }
      for watch in watches { watch.offer(batch) }
    }
    store.deliveredRevision = last.entry.revision
    withExtendedLifetime(dropped) {}
  }

  private func startCheckpointIfDue() {
    let pages = database.logPages
    if pages >= 2 * store.options.checkpointPages {
      database.checkpoint()
    } else if pages >= store.options.checkpointPages {
      checkpointer.request()
    }
  }
}

/// The changes of one group: each commit is checked against the state that the commits before it leave.
private struct Group<Header: Sendable> {
  typealias Entry = Store<Header>.Entry
  typealias Event = Store<Header>.Event
  typealias Operation = Store<Header>.Operation

  private let entries: SortedEntries<Header>
  private var revision: Int64
  /// `.some(nil)` for a key that the group deletes.
  private var changed: [String: Entry?] = [:]
  private(set) var events: [Event] = []

  init(entries: SortedEntries<Header>, revision: Int64) {
    self.entries = entries
    self.revision = revision
  }

  /// Adds a commit whole, or leaves the group as it was.
  mutating func add(_ operations: [Operation]) -> Result<[Entry?], StoreError> {
    let eventCount = events.count
    let firstRevision = revision
    var before: [(key: String, entry: Entry??)] = []
    var results: [Entry?] = []
    for operation in operations {
      switch event(for: operation) {
      case .success(let event):
        revision += 1
        before.append((event.entry.key, changed[event.entry.key]))
        changed[event.entry.key] = .some(event.kind == .delete ? nil : event.entry)
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
    if let entry = changed[key] { return entry }
    return entries.find(key)
  }

  private func event(for operation: Operation) -> Result<Event, StoreError> {
    let next = revision + 1
    switch operation {
    case .put(let key, let value, let offset, let header, let precondition):
      let previous = current(key)
      if let error = check(precondition, key: key, current: previous) { return .failure(error) }
      let entry = Entry(
        key: key, value: spliced(value, next, at: offset), header: header(next), revision: next,
        createRevision: previous?.createRevision ?? next)
      return .success(Event(kind: .put(created: previous == nil), entry: entry, previous: previous))
    case .delete(let key, let value, let offset, let header, let precondition):
      let previous = current(key)
      if let error = check(precondition, key: key, current: previous) { return .failure(error) }
      guard let previous else { return .failure(.notFound(key: key)) }
      let entry = Entry(
        key: key, value: spliced(value, next, at: offset), header: header(next), revision: next,
        createRevision: previous.createRevision)
      return .success(Event(kind: .delete, entry: entry, previous: previous))
    }
  }

  private func check(
    _ precondition: Store<Header>.Precondition, key: String, current: Entry?
  ) -> StoreError? {
    switch precondition {
    case .none: nil
    case .absent: current == nil ? nil : .exists(key: key)
    case .revision(let revision):
      current?.revision == revision ? nil : .conflict(key: key, current: current?.revision)
    }
  }

  private func spliced(_ value: [UInt8], _ revision: Int64, at offset: Int) -> [UInt8] {
    let digits = String(revision).utf8
    var bytes: [UInt8] = []
    bytes.reserveCapacity(value.count + digits.count)
    bytes += value[..<offset]
    bytes += digits
    bytes += value[offset...]
    return bytes
  }
}
