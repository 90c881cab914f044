import KubeTypes
import SQLite
import TestKit
import Testing

@testable import Store

/// Opening a store that holds much: several workers read it.
struct LoadTests {
  private let folder = TemporaryFolder()
  private var path: String { folder.path + "/state.db" }

  /// Rows by their ids, as if each had been written once.
  private func write(_ rows: [(id: Int64, key: String)], revision: Int64, value: (Int64) -> String) throws {
    try openStore(folder.path).close()
    let connection = try Connection(path: path)
    try connection.execute("BEGIN")
    var digest = RowDigest()
    for (id, key) in rows {
      let sum = RowChecksum.entry(created: id, modified: id, key: key, value: Array(value(id).utf8))
      digest.add(row: id, checksum: sum)
      try connection.execute("INSERT INTO entry VALUES (\(id), \(id), '\(key)', CAST('\(value(id))' AS BLOB), \(sum))")
    }
    let number = Int64(bitPattern: digest.value)
    try connection.execute(
      """
      UPDATE meta SET revision = \(revision), digest = \(number),
        checksum = \(RowChecksum.meta(revision: revision, digest: number));
      COMMIT
      """)
    connection.close()
  }

  private func write(_ rows: [(id: Int64, key: String)]) throws {
    try write(rows, revision: rows.map(\.id).max() ?? 0) { "v@\($0)" }
  }

  private func open(workers: Int) throws -> SortedEntries {
    let connection = try Connection(path: path)
    let first = try connection.integer("SELECT min(create_revision) FROM entry")
    let ids = try first...connection.integer("SELECT revision FROM meta")
    let loader = Loader(path: path, revision: ids.upperBound, ids: ids, workers: workers) { value in
      var header = emptyHeader
      header.resourceVersion = Int64(String(decoding: value.dropFirst(2), as: UTF8.self)) ?? 0
      return header
    }
    return try loader.load(connection).entries
  }

  /// Where the rows lie among the ids makes no difference, nor does the number of workers.
  @Test(arguments: [1, 2, 4], ["dense", "at the end", "at both ends", "anywhere"])
  func everyRowIsReadOnceInTheOrderOfTheKeys(workers: Int, shape: String) throws {
    var generator = SeededGenerator(seed: 7)
    let numbers: [Int64] =
      switch shape {
      case "dense": Array(1...5000)
      case "at the end": [1] + Array(9_000_000...9_005_000)
      case "at both ends": Array(1...2500) + Array(9_000_000_000_000_000...9_000_000_000_002_500)
      default: Set((0..<5000).map { _ in Int64.random(in: 1...1_000_000_000_000, using: &generator) }).sorted()
      }
    let keys = numbers.indices.map { "k/\($0)" }.shuffled(using: &generator)
    try write(Array(zip(numbers, keys)).map { (id: $0, key: $1) })
    let entries = try open(workers: workers)
    let all = entries.slice(entries.range(prefix: "", after: nil), limit: 0)
    #expect(entries.count == numbers.count)
    // Compared outside of the macro: a failure would print ten thousand values.
    let isSorted = all.map(\.key) == keys.sorted(by: KeyOrder.isLess)
    let isWhole = all.map(\.createRevision).sorted() == numbers
    #expect(isSorted && isWhole)
    #expect(all.allSatisfy { $0.text == "v@\($0.createRevision)" })
    #expect(entries.find("k/17")?.key == "k/17")
  }

  @Test func anOpenedStoreGoesOn() async throws {
    try write((1...3000).map { (id: $0, key: "pods/a/\($0)") })
    let store = try openStore(folder.path)
    #expect(store.count == 3000 && store.revision == 3000)
    #expect(store.get("pods/a/2999")?.header.resourceVersion == 2999)
    #expect(try await store.commit([put("pods/a/15x", "w")])[0]?.revision == 3001)
    #expect(try store.list(prefix: "pods/a/15").entries.map(\.key).prefix(2) == ["pods/a/15", "pods/a/150"])
    #expect(try store.list(prefix: "pods/a/15").entries.last?.key == "pods/a/15x")
    store.close()
  }

  private func expectDamage(_ reason: String) {
    #expect {
      try openStore(folder.path)
    } throws: { error in
      "\(error)".contains(reason)
    }
  }

  @Test(arguments: [1, 1500, 2999] as [Int64]) func aValueThatCannotBeReadIsNamed(damaged: Int64) throws {
    try write((1...3000).map { (id: $0, key: "k/\($0)") }, revision: 3000) { $0 == damaged ? "damage" : "v@\($0)" }
    expectDamage("k/\(damaged) (row \(damaged)): its value cannot be read")
  }

  @Test(arguments: [2, 3000] as [Int64]) func aKeyThatIsThereTwiceIsNamed(second: Int64) throws {
    try write((1...3000).map { (id: $0, key: $0 == second ? "k/1" : "k/\($0)") })
    expectDamage("the key k/1 is there twice")
  }

  @Test func aRowOfTheFutureIsNamed() throws {
    try write((1...3000).map { (id: $0, key: "k/\($0)") }, revision: 2999) { "v@\($0)" }
    expectDamage("k/3000 (row 3000): it is at revision 3000, which is after the last one, 2999")
  }

  @Test func aRowThatNoRevisionMadeIsDamage() throws {
    try write([(id: -5, key: "k/a"), (id: 5, key: "k/b")])
    expectDamage("there is a row -5")
  }
}
