import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Synchronization
import Wire

/// What a watch tells its client.
enum WatchNotice: Sendable {
  case added(Entry)
  case modified(Entry)
  case deleted(Entry)
  case bookmark(revision: Int64, endsInitialEvents: Bool)
  case failed(KubeError)

  /// Bytes of the object that it tells of.
  var size: Int {
    switch self {
    case .added(let entry), .modified(let entry), .deleted(let entry): entry.value.count
    case .bookmark, .failed: 0
    }
  }

  /// As a kind serves what it tells of.
  func served(as kind: KindSchema) -> WatchNotice {
    guard kind.isConverted else { return self }
    return switch self {
    case .added(let entry): .added(ResourceService.served(entry, as: kind))
    case .modified(let entry): .modified(ResourceService.served(entry, as: kind))
    case .deleted(let entry): .deleted(ResourceService.served(entry, as: kind))
    case .bookmark, .failed: self
    }
  }

  var name: String {
    switch self {
    case .added: "ADDED"
    case .modified: "MODIFIED"
    case .deleted: "DELETED"
    case .bookmark: "BOOKMARK"
    case .failed: "ERROR"
    }
  }
}

/// One running watch, for HTTP and for in-process clients alike.
///
/// The store's thread puts events into a bounded queue; the reader takes them when it can write. A reader that falls
/// behind by more than its capacity is dropped and has to list again: the server never waits for a client.
final class WatchSource: Sendable {
  struct Options: Sendable {
    var namespace = ""
    var selector = ObjectSelector.everything
    /// As in the URL: empty for "now, with the present state as ADDED events".
    var resourceVersion = ""
    var sendInitialEvents: Bool?
    var allowBookmarks = false
    /// How many notices may wait, and the bytes of their objects.
    var capacity = WatchSource.capacity
    var bytesMax = WatchSource.bytesMax
  }

  private struct State {
    var queue = WatchSource.emptyQueue
    var isEnded = false
    var watch: Store.Watch?
    /// How many notices may wait: the state that the watch starts with does not count as falling behind.
    var countMax: Int
    /// The queue has stopped being empty and nobody has been told.
    var needsWake = false
    /// Everything up to it has come, or was there at the start.
    var newest: Int64 = 0
    /// Of the values that wait and that came after the start. A slow reader keeps them alive when nobody else does.
    var bytes = 0
  }

  /// A ring: a reader takes from the front, in pieces, however much is behind.
  private static var emptyQueue: CircularBuffer<WatchNotice> { CircularBuffer(initialCapacity: 1) }
  /// A queue that was longer than this gives its memory back when it is empty.
  private static let keptCapacity = 64

  static let capacity = 16_384
  static let bytesMax = 64 << 20

  private let service: ResourceService
  let kind: KindSchema
  private let options: Options
  private let state: Mutex<State>
  /// Called, from any thread, when the queue stops being empty.
  private let wake: @Sendable () -> Void

  /// - Parameter wake: called from any thread when notices wait; it must not block.
  init(_ service: ResourceService, _ kind: KindSchema, _ options: Options, wake: @escaping @Sendable () -> Void) {
    self.service = service
    self.kind = kind
    self.options = options
    self.wake = wake
    state = Mutex(State(countMax: options.capacity))
  }

  /// Starts the watch.
  ///
  /// - Throws: 400 for a version that is no number, 410 for one that is no longer kept.
  func start() throws(KubeError) {
    var after: Int64
    var initial: [WatchNotice] = []
    let sendsState =
      options.sendInitialEvents ?? (options.resourceVersion.isEmpty || options.resourceVersion == "0")
    if sendsState {
      let list = try service.storedList(kind, namespace: options.namespace, selector: options.selector)
      if !options.resourceVersion.isEmpty {
        let asked = try ResourceService.parseRevision(options.resourceVersion)
        if asked > list.revision { throw .tooLargeResourceVersion(asked, current: list.revision) }
      }
      after = list.revision
      initial = list.entries.map(WatchNotice.added)
      if options.sendInitialEvents == true {
        initial.append(.bookmark(revision: after, endsInitialEvents: true))
      }
    } else if options.resourceVersion.isEmpty || options.resourceVersion == "0" {
      after = service.store.revision
    } else {
      after = try ResourceService.parseRevision(options.resourceVersion)
      let current = service.store.revision
      // A client may know a version that another object has; one from the future is another server's.
      if after > current { throw .tooLargeResourceVersion(after, current: current) }
    }
    state.withLock { state in
      state.newest = after
      if !initial.isEmpty {
        state.queue = CircularBuffer(initial)
        state.countMax += initial.count
      }
    }
    do {
      let watch = try service.store.watch(
        prefix: prefix, after: after, sieve: options.selector.sieve,
        wake: { [weak self] in self?.wakeIfNeeded() }
      ) { [weak self] signal in
        self?.receive(signal)
      }
      let isEnded = state.withLock { state in
        state.watch = watch
        return state.isEnded
      }
      if isEnded { watch.cancel() }
      service.watches.add(self)
    } catch {
      if case .compacted(let requested, let oldest) = error {
        throw .expired("too old resource version: \(requested) (\(oldest))")
      }
      throw .unavailable("the watch cannot be started: \(error)")
    }
    if !initial.isEmpty { wake() }
  }

  /// The keys that it may be told of: one name is asked for by the watches of most clients that follow one object.
  private var prefix: String {
    if let name = options.selector.fields.exactName, !kind.isNamespaced || !options.namespace.isEmpty {
      return StoreKey.key(kind, namespace: options.namespace, name: name)
    }
    return StoreKey.prefix(kind, namespace: options.namespace)
  }

  private func receive(_ signal: Store.WatchSignal) {
    switch signal {
    case .events(let events):
      var notices: [WatchNotice] = []
      for event in events { if let notice = notice(event) { notices.append(notice) } }
      if let last = events.last { enqueue(notices, upTo: last.entry.revision) }
    case .closed: end()
    }
  }

  /// How a change looks to this watcher: an object that starts or stops matching comes or goes.
  private func notice(_ event: Store.Event) -> WatchNotice? {
    let selector = options.selector
    if selector.selectsEverything {
      switch event.kind {
      case .put(created: true): return .added(event.entry)
      case .put(created: false): return .modified(event.entry)
      case .delete: return .deleted(event.entry)
      }
    }
    let matched = event.previous.map(selector.matches) ?? false
    if event.kind == .delete { return matched ? .deleted(event.entry) : nil }
    let matches = selector.matches(event.entry)
    switch (matched, matches) {
    case (false, true): return .added(event.entry)
    case (true, true): return .modified(event.entry)
    case (true, false): return .deleted(event.entry)
    case (false, false): return nil
    }
  }

  /// - Parameter revision: of the last event that the notices come from; there may be none.
  private func enqueue(_ notices: [WatchNotice], upTo revision: Int64) {
    let size = notices.reduce(0) { $0 + $1.size }
    let overflowed = state.withLock { state in
      if state.isEnded { return false }
      // Together with the notices: a bookmark may say it only when they have been taken.
      state.newest = max(state.newest, revision)
      if notices.isEmpty { return false }
      let wasEmpty = state.queue.isEmpty
      if wasEmpty { state.bytes = 0 }
      if state.queue.count + notices.count > state.countMax || state.bytes + size > options.bytesMax && !wasEmpty {
        return true
      }
      state.queue.append(contentsOf: notices)
      state.bytes += size
      if wasEmpty { state.needsWake = true }
      return false
    }
    if overflowed { fail(.expired("the watch fell behind by \(options.capacity) events: list again")) }
  }

  private func wakeIfNeeded() {
    let needsWake = state.withLock { state in
      defer { state.needsWake = false }
      return state.needsWake
    }
    if needsWake { wake() }
  }

  private func fail(_ error: KubeError) {
    let watch = state.withLock { state -> Store.Watch? in
      state.isEnded = true
      state.queue = [.failed(error)]
      state.bytes = 0
      return state.watch
    }
    watch?.cancel()
    wake()
  }

  private func end() {
    state.withLock { $0.isEnded = true }
    wake()
  }

  /// The kind is served no more, or in another way: the watch ends after what waits.
  func endWithKind() {
    state.withLock { $0.watch }?.cancel()
    end()
  }

  /// Ends the watch; what waits is dropped.
  func cancel() {
    let watch = state.withLock { state -> Store.Watch? in
      state.isEnded = true
      state.queue = Self.emptyQueue
      return state.watch
    }
    watch?.cancel()
  }

  /// Takes up to `limit` notices, and no more than one beyond `bytes`, in the form that is stored.
  ///
  /// - Returns: `isEnded` when nothing will follow them.
  func take(_ limit: Int = .max, bytes: Int = .max) -> (notices: [WatchNotice], isEnded: Bool) {
    if limit == .max, bytes == .max { return takeAll() }
    return state.withLock { state in
      var notices: [WatchNotice] = []
      var size = 0
      while notices.count < limit, size < bytes, let next = state.queue.popFirst() {
        size += next.size
        notices.append(next)
      }
      guard state.queue.isEmpty else {
        state.bytes = max(0, state.bytes - size)
        return (notices, false)
      }
      state.bytes = 0
      if state.queue.capacity > Self.keptCapacity { state.queue = Self.emptyQueue }
      return (notices, state.isEnded)
    }
  }

  /// The store's thread waits for the lock: what waits is only moved under it.
  private func takeAll() -> (notices: [WatchNotice], isEnded: Bool) {
    let (queue, isEnded) = state.withLock { state in
      let queue = state.queue
      state.queue = Self.emptyQueue
      state.bytes = 0
      return (queue, state.isEnded)
    }
    return (Array(queue), isEnded)
  }

  var isOver: Bool { state.withLock { $0.isEnded } }

  /// About the memory that what waits takes, as far as nobody else keeps it.
  var waitingBytes: Int {
    state.withLock { $0.queue.capacity * MemoryLayout<WatchNotice>.stride + $0.bytes }
  }

  /// A bookmark for everything that was taken from the queue so far; `nil` while something waits.
  func bookmark() -> WatchNotice? {
    guard options.allowBookmarks else { return nil }
    // Read before looking at the queue: what is delivered by then is either taken or waits.
    let revision = service.store.deliveredRevision
    return state.withLock {
      // The store tells one watch after the other: this one may have had what others have not.
      $0.queue.isEmpty && !$0.isEnded
        ? .bookmark(revision: max(revision, $0.newest), endsInitialEvents: false) : nil
    }
  }
}
