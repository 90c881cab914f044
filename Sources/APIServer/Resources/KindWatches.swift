import Schema
import Synchronization

/// The open watches of kinds that can go. They end with their kind.
final class KindWatches: Sendable {
  private struct Reference: Sendable {
    weak var source: WatchSource?
  }

  private let kinds: KindRegistry
  private let state = Mutex(State())

  private struct State: Sendable {
    var references: [Reference] = []
    /// How many there may be before those that have ended are looked for.
    var countMax = State.countMin
    static let countMin = 64

    mutating func forget(where isGone: (WatchSource) -> Bool) {
      references.removeAll { $0.source.map { $0.isOver || isGone($0) } ?? true }
      countMax = max(Self.countMin, 2 * references.count)
    }
  }

  init(_ kinds: KindRegistry) {
    self.kinds = kinds
    kinds.observe { [weak self] old, new in if old != nil { self?.endOthers(than: new) } }
  }

  /// Takes a watch that has begun. The kind may have gone meanwhile.
  func add(_ source: WatchSource) {
    guard source.kind.definition != nil else { return }
    state.withLock { state in
      if state.references.count >= state.countMax { state.forget { _ in false } }
      state.references.append(Reference(source: source))
    }
    if !kinds.current.serves(source.kind) { source.endWithKind() }
  }

  private func endOthers(than schemas: SchemaRegistry) {
    let gone = state.withLock { state in
      let gone = state.references.compactMap(\.source).filter { !schemas.serves($0.kind) }
      if !gone.isEmpty { state.forget { !schemas.serves($0.kind) } }
      return gone
    }
    for source in gone { source.endWithKind() }
  }
}
