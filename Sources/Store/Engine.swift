/// What keeps the entries of a store: on a disk, in memory, in another program.
///
/// The store checks every commit against its own memory, gives the revisions, and hands the changes of a group to its
/// engine. So an engine knows neither preconditions nor watches: it keeps what it is given, whole or not at all, and says so
/// when that is certain. Nobody else writes to the same place while the store is open: to see to it is the engine's work.
///
/// One thread at a time calls it: the one that commits.
protocol Engine: Sendable {
  /// What people and errors call the place.
  var place: String { get }
  /// There is no space for new keys: what there is can still be changed and deleted.
  var isShort: Bool { get }
  /// The next write is not kept from its end by upkeep, so that a caller of the store may wait for it.
  var isPrompt: Bool { get }
  /// The most operations of one group. A commit of more comes alone, and is the engine's to refuse.
  var operationsMax: Int { get }
  /// The most bytes of keys and values of one group, in the same way.
  var groupBytesMax: Int { get }
  /// What reads depend on, where others can have the place. `nil` where nobody can.
  var leadership: Leadership? { get }

  /// The writer thread has started.
  mutating func start()

  /// Tries to get back the space that `makeSpace` has given up. Called before each group.
  mutating func regainSpace()

  /// Keeps a group of changes. When it returns they are as durable as the engine makes anything; when it throws, nothing of
  /// them has happened.
  ///
  /// - Parameter events: not empty, each with the revision after the one before it.
  mutating func write(_ events: [Store.Event]) throws(StoreError)

  /// Called when a write found no space.
  ///
  /// - Returns: whether it is worth a second attempt, perhaps without new keys (`isShort`).
  mutating func makeSpace() -> Bool

  /// What is due from time to time, on the writer thread after each of its groups.
  mutating func maintain()

  /// The last call. Another store can open the place when it returns.
  mutating func close()
}

/// For places that nobody else can have, that do not run out of space, and need no upkeep.
extension Engine {
  var isShort: Bool { false }
  var isPrompt: Bool { true }
  var operationsMax: Int { .max }
  var groupBytesMax: Int { 8 << 20 }
  var leadership: Leadership? { nil }
  mutating func start() {}
  mutating func regainSpace() {}
  mutating func makeSpace() -> Bool { false }
  mutating func maintain() {}
}

/// What an engine has found at its place.
struct EngineContent: Sendable {
  var entries = SortedEntries()
  var revision: Int64 = 0
  /// The cluster whose objects these are; empty when nobody has said so yet.
  var cluster = ""
  /// What was found, and is no reason to refuse: for the log.
  var notices: [String] = []
}
