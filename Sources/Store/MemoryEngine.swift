import Synchronization

/// A disk that is none: what a store in memory has kept, for the next one that is opened on it. For tests and simulations.
package final class MemoryDisk: Sendable {
  fileprivate struct State {
    var entries = SortedEntries()
    var revision: Int64 = 0
    var isOpen = false
    /// How many stores have been killed: what they write is not kept.
    var kills = 0
  }

  fileprivate let state = Mutex(State())
  fileprivate let isShort: @Sendable () -> Bool
  fileprivate let fault: @Sendable (Int64) -> StoreError?

  /// - Parameters:
  ///   - fault: called before a group is kept, with its last revision: its error is the write's. It may take its time, as a
  ///     disk does.
  ///   - isShort: whether there is no space but what a disk has in reserve.
  package init(
    fault: @escaping @Sendable (Int64) -> StoreError? = { _ in nil },
    isShort: @escaping @Sendable () -> Bool = { false }
  ) {
    self.isShort = isShort
    self.fault = fault
  }

  /// Ends the store that has it open as a killed process ends: nothing that it writes from now on is kept, and the next
  /// one may open it.
  package func kill() {
    state.withLock { state in
      state.isOpen = false
      state.kills += 1
    }
  }
}

/// Keeps a store on a `MemoryDisk`.
struct MemoryEngine: Engine {
  private let disk: MemoryDisk
  /// Those before it.
  private let kills: Int
  let place = "memory"
  var isShort: Bool { disk.isShort() }

  /// - Throws: `locked` while another store has it open.
  static func open(_ disk: MemoryDisk) throws(StoreError) -> (engine: MemoryEngine, content: EngineContent) {
    let found: (EngineContent, kills: Int)? = disk.state.withLock { state in
      if state.isOpen { return nil }
      state.isOpen = true
      return (EngineContent(entries: state.entries, revision: state.revision), state.kills)
    }
    guard let (content, kills) = found else { throw .locked(path: "memory", holder: nil) }
    return (MemoryEngine(disk: disk, kills: kills), content)
  }

  func write(_ events: [Store.Event]) throws(StoreError) {
    guard let last = events.last else { return }
    if let error = disk.fault(last.entry.revision) { throw error }
    let isKept = disk.state.withLock { state in
      guard state.kills == kills else { return false }
      for event in events {
        switch event.kind {
        case .put: state.entries.set(event.entry)
        case .delete: state.entries.remove(event.entry.key)
        }
      }
      state.revision = last.entry.revision
      return true
    }
    guard isKept else { throw .io("the store was killed") }
  }

  func close() {
    disk.state.withLock { state in
      if state.kills == kills { state.isOpen = false }
    }
  }
}
