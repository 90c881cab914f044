import Synchronization

/// Kinds that come and go together while a server runs: usually one kind in all its versions, as a
/// CustomResourceDefinition has it.
package struct KindDefinition: Sendable {
  /// What it is replaced and removed by, such as `lamps.example.org`.
  package let name: String
  /// Declarations in the language of `Schemas/`, each with the name that errors call it; a file for each version. They may
  /// name what a server starts with and one another, and nothing of other definitions.
  package let sources: [(name: String, text: String)]
  /// What the declarations cannot say. Of the versions of a kind one has no conversion: the stored one. The others lead to
  /// it. A version that is not served any more and may still be stored is declared without a `@resource`.
  package let strategies: [KindStrategy]

  package init(name: String, sources: [(name: String, text: String)], strategies: [KindStrategy] = []) {
    self.name = name
    self.sources = sources
    self.strategies = strategies
  }
}

/// Why kinds cannot be added, replaced or removed. Nothing has changed then.
package struct KindError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Reason: Sendable {
    /// The declarations or strategies cannot be used, whatever else is there.
    case invalid
    /// A name belongs to another kind.
    case taken
    /// A definition of this name was added before.
    case exists
    /// No definition of this name was added.
    case unknown
  }

  package let reason: Reason
  package let message: String

  init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message
  }

  package var description: String { message }
}

/// The kinds that are served now. What works by kinds asks it each time, or follows its changes.
public final class KindRegistry: Sendable {
  /// Told of each change once, in their order; `old` is `nil` for the state that an observer begins with. Called by the
  /// thread that makes the change, which waits for it: it must be short, and neither change nor observe the registry.
  package typealias Observer = @Sendable (_ old: SchemaRegistry?, _ new: SchemaRegistry) -> Void

  private let state: Mutex<SchemaRegistry>
  /// Held for as long as a change takes, so that the state's lock is held for the moment of a load or store only.
  private let observers = Mutex<[Observer]>([])

  public init(_ schemas: SchemaRegistry) { state = Mutex(schemas) }

  /// The present kinds. Who asks twice may get two answers: what belongs together is asked of one.
  public var current: SchemaRegistry { state.withLock { $0 } }

  /// Follows the kinds from now on, for as long as the registry lives. The observer is called with the present ones before
  /// this returns.
  package func observe(_ observer: @escaping Observer) {
    observers.withLock { observers in
      observers.append(observer)
      observer(nil, current)
    }
  }

  /// Serves more kinds. When this returns, everything that follows the registry knows them.
  package func add(_ definition: KindDefinition) throws(KindError) {
    try change { (schemas) throws(KindError) in try schemas.adding(definition) }
  }

  /// Serves the kinds of a definition as another one of its name says. Watches of them end, and begin again as the new one
  /// has it; objects stay.
  package func replace(_ definition: KindDefinition) throws(KindError) {
    try change { (schemas) throws(KindError) in try schemas.replacing(definition) }
  }

  /// Serves the kinds of a definition no more. Their objects are the caller's to delete before: they would stay in the
  /// store, and be served again when the kind comes back.
  package func remove(_ name: String) throws(KindError) {
    try change { (schemas) throws(KindError) in try schemas.removing(name) }
  }

  private func change(_ make: (SchemaRegistry) throws(KindError) -> SchemaRegistry) throws(KindError) {
    try observers.withLock { (observers) throws(KindError) in
      let old = current
      let new = try make(old)
      state.withLock { $0 = new }
      for observer in observers { observer(old, new) }
    }
  }
}
