import Synchronization

extension Store {
  public enum WatchSignal: Sendable {
    /// Events in commit order, never empty.
    case events([Event])
    /// More events are outstanding than the watch's capacity. It has ended: list again.
    case overflow
    /// The store was closed. The watch has ended.
    case closed
  }

  /// A running watch. It lasts until `cancel`, `.overflow` or `.closed`, also when nobody keeps this object.
  public final class Watch: Sendable {
    private enum Phase {
      /// The thread that started the watch hands out older events; new ones wait here.
      case replaying(pending: [Event])
      case live
      case ended
    }

    private struct Progress {
      var phase = Phase.replaying(pending: [])
      var outstanding = 0
      var hasOverflowed = false
    }

    let prefix: String
    private let capacity: Int
    private let deliver: @Sendable (WatchSignal) -> Void
    let wake: @Sendable () -> Void
    private let remove: @Sendable (Watch) -> Void
    private let progress = Mutex(Progress())

    init(
      prefix: String, capacity: Int, deliver: @escaping @Sendable (WatchSignal) -> Void,
      wake: @escaping @Sendable () -> Void, remove: @escaping @Sendable (Watch) -> Void
    ) {
      self.prefix = prefix
      self.capacity = capacity
      self.deliver = deliver
      self.wake = wake
      self.remove = remove
    }

    /// Ends the watch without a signal. A delivery that is under way on the writer thread may still finish.
    public func cancel() {
      progress.withLock { $0.phase = .ended }
      remove(self)
    }

    /// Says that the watcher is done with this many of the events that were delivered to it.
    public func consumed(_ count: Int) {
      progress.withLock { $0.outstanding = max(0, $0.outstanding - count) }
    }

    /// Called by the writer thread.
    func offer(_ events: [Event]) {
      let signal: WatchSignal? = progress.withLock { progress in
        switch progress.phase {
        case .ended: return nil
        case .replaying(var pending):
          // Taken out first, so that appending does not copy.
          progress.phase = .ended
          pending += events
          progress.outstanding += events.count
          if progress.outstanding > capacity {
            progress.hasOverflowed = true
          } else {
            progress.phase = .replaying(pending: pending)
          }
          return nil
        case .live:
          progress.outstanding += events.count
          if progress.outstanding <= capacity { return .events(events) }
          progress.phase = .ended
          return .overflow
        }
      }
      guard let signal else { return }
      deliver(signal)
      if case .overflow = signal { remove(self) }
    }

    /// Hands out the older events, then what has come meanwhile, and goes live.
    func replay(_ events: [Event]) {
      var batch = events
      let fits = progress.withLock { progress in
        progress.outstanding += events.count
        if progress.outstanding <= capacity { return true }
        progress.phase = .ended
        return false
      }
      guard fits else {
        deliver(.overflow)
        remove(self)
        return
      }
      while true {
        if !batch.isEmpty { deliver(.events(batch)) }
        let (next, overflow): ([Event], Bool) = progress.withLock { progress in
          guard case .replaying(let pending) = progress.phase else { return ([], progress.hasOverflowed) }
          progress.phase = pending.isEmpty ? .live : .replaying(pending: [])
          return (pending, false)
        }
        if overflow {
          deliver(.overflow)
          remove(self)
        }
        if next.isEmpty { return }
        batch = next
      }
    }

    func end() {
      let wasLive = progress.withLock { progress in
        if case .ended = progress.phase { return false }
        progress.phase = .ended
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
  /// before it returns, then by the writer thread. All commits wait for it, so it must only put the batch into a queue
  /// and must not block. The queue is the watcher's; so that it is bounded, the watcher either bounds it itself and calls
  /// `cancel`, or gives a `capacity` and calls `Watch.consumed`: when more than `capacity` events are delivered and not
  /// yet consumed, the watch ends with `.overflow`.
  ///
  /// When a commit has been answered, its events have been delivered. `wake` is called after the answers, once for what
  /// was delivered: whoever waits for the write goes before those who only hear of it.
  ///
  /// - Throws: `compacted` when the history does not reach back to the revision, `futureRevision`, `closed`.
  public func watch(
    prefix: String, after revision: Int64, capacity: Int = .max, wake: @escaping @Sendable () -> Void = {},
    deliver: @escaping @Sendable (WatchSignal) -> Void
  ) throws(StoreError) -> Watch {
    let watch = Watch(prefix: prefix, capacity: capacity, deliver: deliver, wake: wake) { [weak self] watch in
      self?.forget(watch)
    }
    // Registered under the lock under which groups are published: each event is either in the history or offered.
    let history: Result<History, StoreError> = state.withLock { state in
      guard !state.isClosed else { return .failure(.closed) }
      guard revision <= state.revision else {
        return .failure(.futureRevision(requested: revision, current: state.revision))
      }
      guard revision >= state.history.floor else {
        return .failure(.compacted(requested: revision, oldest: state.history.floor))
      }
      state.watches.insert(watch)
      return .success(state.history)
    }
    watch.replay(try history.get().events(after: revision, prefix: prefix))
    wake()
    return watch
  }

  /// How many watches run.
  public var watchCount: Int { state.withLock { $0.watches.count } }

  private func forget(_ watch: Watch) {
    state.withLock { $0.watches.remove(watch) }
  }
}
