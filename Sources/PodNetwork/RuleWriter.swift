import KubeTypes
import Wire

/// Takes transactions for nftables: the kernel does all of one or nothing.
protocol RuleKernel: Sendable {
  func apply(_ script: String) async throws
  /// Lets the kernel try a transaction and undo it.
  func check(_ script: String) async throws
  /// What a table of the family `inet` holds; `nil` when it is not there or holds what is not ours.
  func contents(of table: String) async throws -> NFTContents?
}

/// The program `nft`.
struct NFTProgram: RuleKernel {
  func apply(_ script: String) async throws { try await Program.run("nft", ["-f", "-"], stdin: Array(script.utf8)) }
  func check(_ script: String) async throws {
    try await Program.run("nft", ["-c", "-f", "-"], stdin: Array(script.utf8))
  }

  /// 10,000 services take about 15 MB.
  private static let listingLengthMax = 64 << 20

  func contents(of table: String) async throws -> NFTContents? {
    let listing = try await Program.run(
      "nft", ["-j", "list", "table", "inet", table], outputLimit: Self.listingLengthMax)
    return (try? JSON.parse(listing)).flatMap { NFTContents($0) }
  }
}

/// Writes services to the table so that one that the kernel does not take stops no other: when a transaction fails, it is
/// halved until the service is found, and the rest goes on.
struct RuleWriter: Sendable {
  let base: NFTBase
  let kernel: any RuleKernel
  private(set) var table = ServiceTable()
  /// The services that the kernel does not take, with its words.
  private(set) var failures: [ObjectKey: String] = [:]

  init(base: NFTBase, kernel: any RuleKernel) {
    self.base = base
    self.kernel = kernel
  }

  /// What the kernel had of the services whose rules have changed since this was asked for last.
  mutating func takeReplaced() -> [ObjectKey: RuleSet] { table.takeReplaced() }

  /// Takes what services ask for; returns those whose rules may be others now.
  mutating func set(_ changes: [ObjectKey: RuleSet?]) -> Set<ObjectKey> {
    changes.sorted { $0.key < $1.key }.reduce(into: []) { $0.formUnion(table.set($1.key, $1.value)) }
  }

  /// Makes the table what it should be, whatever is there.
  ///
  /// - Throws: when not even an empty table can be written. Nothing has changed then.
  mutating func writeAll() async throws {
    var keys = table.services
    failures = [:]
    do {
      try await applyAll(keys)
    } catch {
      try Task.checkCancellation()
      // Not the services' fault when this fails, too.
      try await kernel.check(base.script([]))
      keys = try await accepted(keys[...], whole: error)
      try await applyAll(keys)
    }
    table.commitAll(keys)
  }

  private func applyAll(_ keys: [ObjectKey]) async throws {
    do {
      let present = try await kernel.contents(of: base.table)
      if let change = present.flatMap({ base.change(from: $0, to: keys.map(table.wanted)) }) {
        return try await apply(change)
      }
    } catch {
      // No table, or one that is not as it was read: it is replaced.
      try Task.checkCancellation()
    }
    try await kernel.apply(script(keys))
  }

  private func apply(_ change: NFTChange) async throws {
    for transaction in change.transactions { try await kernel.apply(transaction) }
  }

  private func script(_ keys: [ObjectKey]) -> String { base.script(keys.map(table.wanted)) }

  /// Those of `keys` that the kernel takes; the others become failures.
  private mutating func accepted(_ keys: ArraySlice<ObjectKey>, whole problem: any Error) async throws -> [ObjectKey] {
    if keys.count <= 1 {
      for key in keys { failures[key] = "\(problem)" }
      return []
    }
    var result: [ObjectKey] = []
    let middle = keys.startIndex + keys.count / 2
    for half in [keys[..<middle], keys[middle...]] {
      do {
        try await kernel.check(script(Array(half)))
        result += half
      } catch {
        try Task.checkCancellation()
        result += try await accepted(half, whole: error)
      }
    }
    return result
  }

  /// Brings services to what they are to have.
  ///
  /// - Returns: services that the kernel did not take and that had not failed before. It may have another table than is
  ///   known here: then `writeAll` puts that right.
  /// - Throws: when the table itself cannot be written.
  mutating func write(_ keys: Set<ObjectKey>) async throws -> Set<ObjectKey> {
    let known = failures
    // Those that are known to fail do not make the others' transaction fail.
    try await attempt(keys.filter { known[$0] == nil }.sorted()[...])
    for key in keys.sorted() where known[key] != nil { try await attempt([key]) }
    // A service may have waited for what another one gave up.
    let failed = keys.filter { failures[$0] != nil }
    if failed.count < keys.count { for key in failed.sorted() { try await attempt([key]) } }
    return keys.filter { failures[$0] != nil && known[$0] == nil }
  }

  private mutating func attempt(_ keys: ArraySlice<ObjectKey>) async throws {
    let list = Array(keys)
    let change = table.change(of: list, table: base.table)
    do {
      // One that failed before must leave nothing behind at each new attempt.
      if list.count == 1, failures[list[0]] != nil { try await kernel.check(change.transactions.joined()) }
      try await apply(change)
      table.commit(list)
      for key in list { failures[key] = nil }
    } catch {
      try Task.checkCancellation()
      if list.count == 1 {
        failures[list[0]] = "\(error)"
        return
      }
      // When the table itself is gone, no half of it can be written either.
      try await kernel.check("add chain inet \(base.table) services\n")
      let middle = keys.startIndex + keys.count / 2
      try await attempt(keys[..<middle])
      try await attempt(keys[middle...])
    }
  }
}
