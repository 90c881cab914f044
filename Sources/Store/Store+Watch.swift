import Synchronization

extension Store {
  public enum WatchSignal: Sendable {
    /// Events in commit order, never empty.
    case events([Event])
    /// The store was closed. The watch has ended.
    case closed
  }

  /// A field of objects by whose value watches are found. Two fields are the same when they are the same object.
  public final class Field: Sendable {
    /// Of an entry; empty when it has none. It must be the same each time for the same entry.
    let value: @Sendable (Entry) -> String

    public init(_ value: @escaping @Sendable (Entry) -> String) { self.value = value }
  }

  /// What a watch asks for, as far as the store can tell by a look-up whom an event concerns.
  public enum Sieve: Sendable {
    case label(String, value: String)
    case field(Field, value: String)
  }

  /// A running watch. It lasts until `cancel` or `.closed`, also when nobody keeps this object.
  public final class Watch: Sendable {
    private enum Phase {
      /// The thread that started the watch hands out older events; new ones wait here.
      case replaying(pending: [Event])
      case live
      case ended
    }

    let prefix: String
    let sieve: Sieve?
    private let deliver: @Sendable (WatchSignal) -> Void
    let wake: @Sendable () -> Void
    private let remove: @Sendable (Watch) -> Void
    private let phase = Mutex(Phase.replaying(pending: []))

    init(
      prefix: String, sieve: Sieve? = nil, deliver: @escaping @Sendable (WatchSignal) -> Void,
      wake: @escaping @Sendable () -> Void, remove: @escaping @Sendable (Watch) -> Void
    ) {
      self.prefix = prefix
      self.sieve = sieve
      self.deliver = deliver
      self.wake = wake
      self.remove = remove
    }

    /// Ends the watch without a signal. A delivery that is under way on another thread may still finish.
    public func cancel() {
      phase.withLock { $0 = .ended }
      remove(self)
    }

    /// Called by one thread at a time.
    func offer(_ events: [Event]) {
      let isLive = phase.withLock { phase in
        switch phase {
        case .ended: return false
        case .replaying(var pending):
          // Taken out first, so that appending does not copy.
          phase = .ended
          pending += events
          phase = .replaying(pending: pending)
          return false
        case .live: return true
        }
      }
      if isLive { deliver(.events(events)) }
    }

    /// Hands out the older events, then what has come meanwhile, and goes live.
    func replay(_ events: [Event]) {
      var batch = events
      while true {
        if !batch.isEmpty { deliver(.events(batch)) }
        batch = phase.withLock { phase in
          guard case .replaying(let pending) = phase else { return [] }
          phase = pending.isEmpty ? .live : .replaying(pending: [])
          return pending
        }
        if batch.isEmpty { return }
      }
    }

    func end() {
      let wasLive = phase.withLock { phase in
        if case .ended = phase { return false }
        phase = .ended
        return true
      }
      if wasLive {
        deliver(.closed)
        wake()
      }
    }
  }

  /// Tells of every change after `revision` to keys that begin with `prefix`.
  ///
  /// `deliver` is called with batches in commit order, never by two threads at a time: with older events by this call
  /// before it returns, then by a thread of the store's, soon after the commit has been answered. Others wait for it, in the
  /// end also those who commit: it must only put the batch into a queue, which the watcher has to bound (and to call
  /// `cancel`), and must neither block nor wait for a commit. `wake` is called after that, perhaps by two
  /// threads at a time.
  ///
  /// A write does not wait for its watches: whoever has its answer may still have to wait for the event. What must have seen
  /// a write before its answer is a follower (`follow`).
  ///
  /// - Parameter sieve: events that it shows to be of no concern, before and after the change, are not told. Older events
  ///   are all told.
  /// - Throws: `compacted` when the history does not reach back to the revision, `futureRevision`, `closed`.
  public func watch(
    prefix: String, after revision: Int64, sieve: Sieve? = nil, wake: @escaping @Sendable () -> Void = {},
    deliver: @escaping @Sendable (WatchSignal) -> Void
  ) throws(StoreError) -> Watch {
    let watch = Watch(prefix: prefix, sieve: sieve, deliver: deliver, wake: wake) { [weak self] watch in
      self?.state.withLock { $0.watches.remove(watch) }
    }
    try begin(watch, after: revision) { $0.watches.insert(watch) }
    return watch
  }

  /// The same for what the next request is judged by, such as a table of rights: `deliver` is called before the commit is
  /// answered. Every write pays for it, so it must be quick, and there are a handful of them.
  public func follow(
    prefix: String, after revision: Int64, deliver: @escaping @Sendable (WatchSignal) -> Void
  ) throws(StoreError) -> Watch {
    let watch = Watch(prefix: prefix, deliver: deliver, wake: {}) { [weak self] watch in
      self?.state.withLock { $0.followers.remove(watch) }
    }
    try begin(watch, after: revision) { $0.followers.insert(watch) }
    return watch
  }

  private func begin(
    _ watch: Watch, after revision: Int64, insert: (inout State) -> Void
  ) throws(StoreError) {
    leadership?.check()
    // Registered under the lock under which groups are published: each event is either in the history or offered.
    let history: Result<History, StoreError> = state.withLock { state in
      guard !state.isClosed else { return .failure(.closed) }
      guard revision <= state.revision else {
        return .failure(.futureRevision(requested: revision, current: state.revision))
      }
      guard revision >= state.history.floor else {
        return .failure(.compacted(requested: revision, oldest: state.history.floor))
      }
      insert(&state)
      return .success(state.history)
    }
    watch.replay(try history.get().events(after: revision, prefix: watch.prefix))
    watch.wake()
  }

  /// How many watches run.
  public var watchCount: Int { state.withLock { $0.watches.count + $0.followers.count } }
}
