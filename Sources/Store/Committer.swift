import KubeTypes
import LinuxSystem
import Synchronization

/// Makes groups of commits durable, publishes them, answers.
///
/// One thread at a time: the one that holds `Store.committer`. Only it changes the store's state, so what it reads from
/// the state stays true until it publishes.
struct Committer: Sendable {
  typealias Entry = Store.Entry
  typealias Event = Store.Event

  private static var groupCountMax: Int { 512 }
  private static var groupBytesMax: Int { 8 << 20 }
  private static var pauseGroups: Int { 16 }
  /// A disk that takes longer is not waited for by a thread that has other work.
  private static var quickMax: Duration { .milliseconds(1) }

  let database: Database
  let checkpointer: Checkpointer
  private let witness: Witness
  /// Of the rows on disk.
  private var digest: RowDigest
  private let reserve: DiskReserve
  /// The reserve has been given back: nothing new is made until it can be taken again, so that what there is can still be
  /// changed and deleted.
  private(set) var isShort: Bool
  private(set) var isOpen = true

  init(
    database: Database, checkpointer: Checkpointer, witness: Witness, digest: RowDigest, reserve: DiskReserve,
    isShort: Bool
  ) {
    self.database = database
    self.checkpointer = checkpointer
    self.witness = witness
    self.digest = digest
    self.reserve = reserve
    self.isShort = isShort
  }

  /// The writer thread's work, until the store is closed.
  static func run(_ store: Store) {
    store.committer.withLock { committer in
      if !committer.isShort { committer.database.reserveLog(pages: 2 * store.options.checkpointPages + 64) }
    }
    // Writers that were answered just now will soon be back, if they are the kind that writes one thing after the other.
    // When those of the last group did not come in time, the next few groups do not wait for theirs.
    var returning = 0
    var pausedGroups = 0
    while let (requests, isComplete) = store.queue.take(
      count: Self.groupCountMax, cost: Self.groupBytesMax, returning: returning, gatherMax: store.options.gatherMax)
    {
      store.committer.withLock { committer in
        committer.commit(requests, of: store)
        committer.checkpointIfDue(store.options)
      }
      store.outstanding.subtract(requests.count, ordering: .acquiringAndReleasing)
      if !isComplete { pausedGroups = Self.pauseGroups }
      if pausedGroups > 0 { pausedGroups -= 1 }
      returning = pausedGroups == 0 && requests.count > 1 ? requests.count : 0
    }
    store.committer.withLock { $0.close(store) }
  }

  private mutating func close(_ store: Store) {
    isOpen = false
    let watches = store.state.withLock { state in
      state.isClosed = true
      defer { state.watches = WatchIndex() }
      return state.watches
    }
    for watch in watches.all { watch.end() }
    checkpointer.close()
    database.closeConnection()
    witness.sync()
  }

  /// Commits a group and answers it.
  mutating func commit(_ requests: [Store.Request], of store: Store) {
    let start = store.options.monotonicClock()
    process(requests, store)
    // The log is taken care of by the writer thread only: the next commit has to go there.
    let isQuick = store.options.monotonicClock() - start < Self.quickMax
    let isLogShort = database.logPages < store.options.checkpointPages
    store.servesCallers.store(requests.count == 1 && isQuick && isLogShort, ordering: .releasing)
  }

  /// - Parameter usesReserve: whether a full disk lets the reserve be given back and the group be tried once more.
  private mutating func process(_ requests: [Store.Request], _ store: Store, usesReserve: Bool = true) {
    if usesReserve, isShort, reserve.fill() { isShort = false }
    let (events, results) = plan(requests, store)
    if !events.isEmpty {
      do throws(StoreError) {
        try write(events)
      } catch {
        database.rollback()
        if case .diskFull = error {
          // A checkpoint lets the log start again from its beginning, in space that it has already.
          database.checkpoint()
          if usesReserve, reserve.release() {
            isShort = true
            return process(requests, store, usesReserve: false)
          }
        }
        // Also those that failed: they were compared with changes that have not happened.
        for request in requests { request.completion(.failure(error)) }
        return
      }
      let told = publish(events, store)
      for (request, result) in zip(requests, results) { request.completion(result) }
      for watch in told { watch.wake() }
      return
    }
    for (request, result) in zip(requests, results) { request.completion(result) }
  }

  /// The group's changes and each commit's answer. The snapshot that it looks at is gone when it returns, so that
  /// publishing changes the state in place.
  private func plan(_ requests: [Store.Request], _ store: Store) -> ([Event], [Result<[Entry?], StoreError>]) {
    let (entries, revision) = store.state.withLock { ($0.entries, $0.revision) }
    var group = Group(entries: entries, revision: revision, fullDisk: isShort ? database.path : nil)
    let results = requests.map { group.add($0.operations) }
    return (group.events, results)
  }

  private mutating func write(_ events: [Event]) throws(StoreError) {
    guard let last = events.last else { return }
    var digest = digest
    try database.beginTransaction()
    for event in events {
      let entry = event.entry
      if let previous = event.previous { digest.remove(previous) }
      switch event.kind {
      case .put(created: true):
        try database.insert(entry)
        digest.add(entry)
      case .put(created: false):
        try database.update(entry)
        digest.add(entry)
      case .delete: try database.delete(created: entry.createRevision)
      }
    }
    try database.commitTransaction(revision: last.entry.revision, digest: digest)
    self.digest = digest
    witness.note(last.entry.revision)
  }

  /// Makes the events visible and delivers them.
  ///
  /// - Returns: the watches to wake.
  private func publish(_ events: [Event], _ store: Store) -> [Store.Watch] {
    guard let last = events.last else { return [] }
    let now = store.options.monotonicClock()
    let (watches, dropped) = store.state.withLock { state in
      precondition(state.revision < last.entry.revision, "revisions increase")
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
    var told: [Store.Watch] = []
    for (watches, batch) in watches.batches(events) {
      for watch in watches { watch.offer(batch) }
      told += watches
    }
    store.deliveredRevision = last.entry.revision
    withExtendedLifetime(dropped) {}
    return told
  }

  /// Has the log copied when it is long, and copies the rest itself when that is done: SQLite starts the log again only
  /// when all of it has been copied, which a thread beside the writer never achieves.
  private func checkpointIfDue(_ options: StoreOptions) {
    let pages = database.logPages
    if pages >= 2 * options.checkpointPages || checkpointer.takeFinished() {
      database.checkpoint()
    } else if pages >= options.checkpointPages {
      checkpointer.request()
    }
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
  mutating func add(_ operations: [Operation]) -> Result<[Entry?], StoreError> {
    let eventCount = events.count
    let firstRevision = revision
    var before: [(key: ByteKey, entry: Entry??)] = []
    var results: [Entry?] = []
    for operation in operations {
      switch event(for: operation) {
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
    if let entry = changed[ByteKey(key)] { return entry }
    return entries.find(key)
  }

  private func event(for operation: Operation) -> Result<Event, StoreError> {
    let next = revision + 1
    switch operation {
    case .put(let key, let value, let offset, let header, let precondition):
      let previous = current(key)
      if let error = check(precondition, key: key, current: previous) { return .failure(error) }
      if let fullDisk, previous == nil { return .failure(.diskFull(fullDisk)) }
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
