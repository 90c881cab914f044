import Synchronization

extension Store {
  /// Returns while what is in memory may be answered, and otherwise never: the process ends (`open(etcd:)`). Reads look by
  /// themselves; this is for answers that come from what is made of them.
  public func checkLeadership() { leadership?.check() }

  /// The newest state of the key.
  public func get(_ key: String) -> Entry? {
    leadership?.check()
    // The copy shares the arrays; the search is done outside of the lock.
    return state.withLock { $0.entries }.find(key)
  }

  /// The entries whose keys begin with `prefix`, in the order of the keys.
  ///
  /// - Parameters:
  ///   - after: only keys after this one (the last one of the page before).
  ///   - limit: the most entries; zero for all.
  ///   - revision: an older state, which the history must still cover.
  /// - Throws: `compacted`, `futureRevision`.
  public func list(
    prefix: String, after: String? = nil, limit: Int = 0, at revision: Int64? = nil
  ) throws(StoreError) -> Page {
    leadership?.check()
    let (entries, history, current) = state.withLock { ($0.entries, $0.history, $0.revision) }
    let range = entries.range(prefix: prefix, after: after)
    guard let revision, revision != current else {
      let page = entries.slice(range, limit: limit)
      let rest = entries.distance(range) - page.count
      return Page(entries: page, revision: current, remaining: rest > 0 ? rest : nil)
    }
    guard revision < current else { throw .futureRevision(requested: revision, current: current) }
    guard revision >= history.floor else { throw .compacted(requested: revision, oldest: history.floor) }
    return Self.page(entries, in: range, undoing: history, prefix: prefix, after: after, limit: limit, at: revision)
  }

  /// The state at an older revision: the newest one with the events since then taken back.
  private static func page(
    _ entries: SortedEntries, in range: SortedEntries.Range, undoing history: History,
    prefix: String, after: String?, limit: Int, at revision: Int64
  ) -> Page {
    var undone: [ByteKey: Entry?] = [:]
    // From the newest to the oldest: what was there before the first change stays.
    history.forEachBackwards(after: revision) { event in
      let key = event.entry.key
      if KeyOrder.hasPrefix(key, prefix), after.map({ KeyOrder.isLess($0, key) }) ?? true {
        undone[ByteKey(key)] = .some(event.previous)
      }
    }
    let restored = undone.values.compactMap { $0 }.sorted { KeyOrder.isLess($0.key, $1.key) }
    let changed = undone.keys.reduce(into: 0) { sum, key in sum += entries.find(key.key) == nil ? 0 : 1 }
    let total = entries.distance(range) - changed + restored.count

    var page: [Entry] = []
    let limit = limit > 0 ? limit : total
    page.reserveCapacity(min(limit, total))
    var position = range.start
    var next = restored.startIndex
    while page.count < limit {
      while position < range.end, undone[ByteKey(entries[position].key)] != nil {
        position = entries.position(after: position)
      }
      let current = position < range.end ? entries[position] : nil
      let old = next < restored.endIndex ? restored[next] : nil
      if let old, current.map({ KeyOrder.isLess(old.key, $0.key) }) ?? true {
        page.append(old)
        next += 1
      } else if let current {
        page.append(current)
        position = entries.position(after: position)
      } else {
        break
      }
    }
    let rest = total - page.count
    return Page(entries: page, revision: revision, remaining: rest > 0 ? rest : nil)
  }
}
