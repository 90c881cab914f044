import Glibc
import LinuxSystem
import SQLite
import TestKit
import Testing

@testable import Store

/// The assumption that failed: "what SQLite reads is what was written". A disk may answer with anything.
struct DamageTests {
  private let folder = TemporaryFolder()
  private var database: String { folder.path + "/state.db" }
  private var log: String { database + "-wal" }

  private var accepting: StoreOptions {
    var options = StoreOptions()
    options.acceptsLoss = true
    return options
  }

  /// Objects that were created, changed and deleted, of all sizes; returns what is there.
  private func fill(_ path: String, count: Int = 60) async throws -> [String: String] {
    let store = try openStore(path)
    for number in 0..<count {
      try await store.commit([put("k/\(number)", String(repeating: "x", count: number * 37) + "value \(number)")])
    }
    for number in stride(from: 0, to: count, by: 3) { try await store.commit([put("k/\(number)", "later \(number)")]) }
    for number in stride(from: 1, to: count, by: 5) { try await store.commit([delete("k/\(number)")]) }
    let content = try content(store)
    store.close()
    return content
  }

  private func content(_ store: TextStore) throws -> [String: String] {
    Dictionary(try store.list(prefix: "").entries.map { ($0.key, $0.text) }) { first, _ in first }
  }

  private func execute(_ sql: String) throws {
    let connection = try Connection(path: database)
    try connection.execute(sql)
    connection.close()
  }

  private func failure(_ options: StoreOptions = .init(), in path: String? = nil) -> StoreError? {
    do throws(StoreError) {
      try openStore(path ?? folder.path, options).close()
      return nil
    } catch { return error }
  }

  /// Workers that read the rows in shares of their own keep what they noted of earlier shares.
  @Test(arguments: 0..<5) func everyDamagedRowOfManyIsNamed(_: Int) async throws {
    let store = try openStore(folder.path)
    for batch in 0..<10 {
      try await store.commit((0..<1000).map { put("k/\(batch)/\($0)", "value \($0)") })
    }
    store.close()
    try execute("UPDATE entry SET value = x'00' WHERE create_revision % 97 = 0")
    let damaged = 10_000 / 97
    #expect("\(failure().map(String.init(describing:)) ?? "")".contains("and \(damaged - 20) more objects"))
  }

  /// The 40 flips of the report, and some more: each is named, or changes nothing that was written.
  @Test(arguments: [1, 2, 3] as [UInt64]) func aFlippedBitIsNamedOrHarmless(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    let written = try await fill(folder.path)
    let whole = readFile(database)
    var named = 0
    for _ in 0..<40 {
      var bytes = whole
      let at = Int.random(in: 0..<bytes.count, using: &generator)
      bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      writeFile(database, bytes)
      do {
        let store = try openStore(folder.path)
        #expect(try content(store) == written, "seed \(seed) byte \(at)")
        store.close()
      } catch {
        named += 1
        #expect("\(error)".contains(database), "seed \(seed) byte \(at): \(error)")
        // What is accepted lacks what is named, and nothing else is wrong.
        writeFile(database, bytes)
        guard case StoreError.damaged = error, let store = try? openStore(folder.path, accepting) else { continue }
        for (key, text) in try content(store) { #expect(written[key] == text, "seed \(seed) byte \(at)") }
        #expect(try content(store).count >= written.count - 1, "seed \(seed) byte \(at)")
        try await store.commit([put("new", "v")])
        store.close()
        #expect(failure() == nil)
      }
      // Without what the openings left.
      for name in TemporaryFolder.list(folder.path) { try Directory.removeTree("\(folder.path)/\(name)") }
    }
    #expect(named > 5, "the flips were to hit something")
  }

  @Test func aDamagedObjectIsNamedAndTakesNoOtherWithIt() async throws {
    var written = try await fill(folder.path)
    try execute("UPDATE entry SET value = CAST('value Q@8' AS BLOB) WHERE key = 'k/7'")
    let error = try #require(failure())
    #expect("\(error)".contains("k/7 (row 8): it does not match its checksum"))
    #expect(!"\(error)".contains("k/8"))
    let store = try openStore(folder.path, accepting)
    #expect(written.removeValue(forKey: "k/7") != nil)
    #expect(try content(store) == written)
    #expect(store.notices.contains { $0.contains("k/7") })
    #expect(readFile(folder.path + "/damaged/8") == Array("k/7\nvalue Q@8".utf8))
    #expect(try await store.commit([put("k/7", "again", .absent)])[0] != nil)
    store.close()
    #expect(failure() == nil)
  }

  @Test(arguments: [
    // A row that is gone, one that has come back, an old state whose own checksum is right, two that were exchanged.
    "DELETE FROM entry WHERE key = 'k/9'",
    "INSERT INTO entry SELECT 2, 2, 'k/1', value, checksum FROM entry WHERE key = 'k/9'",
    "UPDATE entry SET key = 'k/90' WHERE key = 'k/9'",
    "UPDATE entry SET mod_revision = 3 WHERE key = 'k/9'",
    """
    UPDATE entry SET value = (SELECT value FROM entry WHERE key = 'k/8'), checksum = (SELECT checksum FROM entry
    WHERE key = 'k/8') WHERE key = 'k/9'
    """,
    "UPDATE entry SET checksum = NULL WHERE key = 'k/9'",
    "UPDATE meta SET revision = 70", "UPDATE meta SET revision = 7000", "UPDATE meta SET digest = digest + 1",
    "UPDATE meta SET checksum = 1",
  ]) func rowsThatAreNotThoseThatWereWrittenAreFound(change: String) async throws {
    let written = try await fill(folder.path)
    try execute(change)
    guard case .damaged(database, let losses) = failure() else {
      Issue.record("\(change) was not found")
      return
    }
    #expect(!losses.isEmpty)
    let store = try openStore(folder.path, accepting)
    #expect(try content(store).count { written[$0.key] == $0.value } >= written.count - 1)
    let revision = store.revision
    #expect(revision >= 92)
    #expect(try await store.commit([put("new", "v")])[0]?.revision == revision + 1)
    store.close()
    #expect(failure() == nil)
  }

  @Test func anOldStateWithItsOwnChecksumIsFound() async throws {
    let store = try openStore(folder.path)
    try await store.commit([put("a", "one")])
    store.close()
    try execute("CREATE TABLE old AS SELECT * FROM entry")
    let again = try openStore(folder.path)
    try await again.commit([put("a", "two"), put("b", "three")])
    again.close()
    try execute("DELETE FROM entry WHERE key = 'a'; INSERT INTO entry SELECT * FROM old; DROP TABLE old")
    #expect("\(try #require(failure()))".contains("some are missing, or older than the log says"))
  }

  /// Whole pages that SQLite cannot read are read around.
  @Test func aDamagedPageTakesNoOtherWithIt() async throws {
    let filled = try openStore(folder.path)
    // Small objects, so that no page is only the rest of a large one.
    try await filled.commit((0..<800).map { put("k/\($0)", String(repeating: "x", count: 100)) })
    let written = try content(filled)
    filled.close()
    var bytes = readFile(database)
    let page = bytes.count / 4096 / 2
    for index in page * 4096..<(page + 1) * 4096 { bytes[index] = 0xA5 }
    writeFile(database, bytes)
    guard case .corrupt(database, _) = failure() else {
      Issue.record("not noticed")
      return
    }
    let store = try openStore(folder.path, accepting)
    let kept = try content(store)
    #expect(kept.allSatisfy { written[$0.key] == $0.value })
    #expect(kept.count > written.count / 2 && kept.count < written.count)
    #expect(store.notices.contains { $0.contains("cannot be read") })
    #expect(readFile(folder.path + "/damaged/state.db") == bytes)
    for number in 0..<400 { try await store.commit([put("k/\(number)", "again")]) }
    store.close()
    #expect(failure() == nil)
  }

  // MARK: A log that ends before the last answered revision

  /// A store as `kill -9` leaves it, in a folder of its own.
  private func killed(_ change: (String) throws -> Void) async throws -> TemporaryFolder {
    let store = try openStore(folder.path)
    try await store.commit([put("first", "v")])
    let copy = TemporaryFolder()
    writeFile(copy.path + "/older.db", readFile(database))
    writeFile(copy.path + "/older.db-wal", readFile(log))
    for number in 0..<30 { try await store.commit([put("k/\(number)", String(repeating: "x", count: 1000))]) }
    for name in ["state.db", "state.db-wal", "revision"] {
      writeFile("\(copy.path)/\(name)", readFile("\(folder.path)/\(name)"))
    }
    store.close()
    try change(copy.path)
    return copy
  }

  @Test func aLogAsItWasIsWhole() async throws {
    let copy = try await killed { _ in }
    #expect(failure(in: copy.path) == nil)
  }

  @Test(arguments: ["absent", "empty", "cut", "cut at its end", "flipped", "flipped at its end", "old", "of another"])
  func aLogThatEndsBeforeTheLastAnswerIsNoticed(damage: String) async throws {
    let copy = try await killed { path in
      let log = "\(path)/state.db-wal"
      var bytes = readFile(log)
      // Behind its content the log is filled with zeros.
      let end = try #require(bytes.lastIndex { $0 != 0 })
      switch damage {
      case "absent": unlink(log)
      case "empty": writeFile(log, [])
      case "cut": writeFile(log, Array(bytes[..<(end / 2)]))
      case "cut at its end": writeFile(log, Array(bytes[..<(end - 100)]))
      case "flipped":
        bytes[end / 2] ^= 4
        writeFile(log, bytes)
      case "flipped at its end":
        bytes[end - 60] ^= 4
        writeFile(log, bytes)
      case "old": writeFile(log, readFile("\(path)/older.db-wal"))
      default: writeFile(log, [UInt8](repeating: 0x5A, count: bytes.count))
      }
    }
    let error = failure(in: copy.path)
    guard case .damaged(_, let losses) = error else {
      Issue.record("\(damage): \(error.map { "\($0)" } ?? "not noticed")")
      return
    }
    #expect(losses.contains { $0.contains("but revision 31 was answered") })
    // Accepted, no revision is given twice.
    let store = try openStore(copy.path, accepting)
    #expect(store.revision == 31)
    #expect(try await store.commit([put("new", "v")])[0]?.revision == 32)
    store.close()
    #expect(failure(in: copy.path) == nil)
  }

  @Test func anOlderDatabaseIsNoticed() async throws {
    let copy = try await killed { path in
      writeFile("\(path)/state.db", readFile("\(path)/older.db"))
      writeFile("\(path)/state.db-wal", readFile("\(path)/older.db-wal"))
    }
    #expect("\(try #require(failure(in: copy.path)))".contains("it ends at revision 1, but revision 31 was answered"))
  }

  @Test(arguments: ["absent", "empty", "cut", "flipped", "old", "of another"])
  func aDamagedWitnessIsWrittenAgain(damage: String) async throws {
    _ = try await fill(folder.path)
    let path = folder.path + "/revision"
    var bytes = readFile(path)
    #expect(bytes.count == 20)
    switch damage {
    case "absent": unlink(path)
    case "empty": writeFile(path, [])
    case "cut": writeFile(path, Array(bytes[..<12]))
    case "flipped":
      bytes[10] ^= 64
      writeFile(path, bytes)
    case "old":
      let other = TemporaryFolder()
      let (witness, _) = try Witness.open(other.path + "/w", cluster: "")
      witness.note(3)
      writeFile(path, readFile(other.path + "/w"))
    default:
      let other = TemporaryFolder()
      let (witness, _) = try Witness.open(other.path + "/w", cluster: "another")
      witness.note(1000)
      writeFile(path, readFile(other.path + "/w"))
    }
    let expected = TextStore.Expectation.existing(cluster: nil, otherwise: "")
    let store = try openStore(folder.path, expected: expected)
    #expect(store.notices.isEmpty == (damage == "old"))
    try await store.commit([put("new", "v")])
    store.close()
    let again = try openStore(folder.path, expected: expected)
    #expect(again.notices.isEmpty)
    again.close()
  }

  // MARK: Format 1

  private func writeFirstFormat(_ rows: Int) throws {
    writeFile(database, [])
    try execute(
      """
      PRAGMA application_id=\(Database.applicationID); PRAGMA user_version=1;
      CREATE TABLE entry (
        create_revision INTEGER PRIMARY KEY, mod_revision INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL
      );
      CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
      INSERT INTO meta VALUES (1, \(rows))
      """)
    let connection = try Connection(path: database)
    try connection.execute("BEGIN")
    for row in 1...rows {
      try connection.execute("INSERT INTO entry VALUES (\(row), \(row), 'k/\(row)', CAST('v@\(row)' AS BLOB))")
    }
    try connection.execute("COMMIT")
    connection.close()
  }

  @Test(arguments: [1, 255, 256, 257, 1000]) func aDatabaseWithoutChecksumsGetsThemOnce(rows: Int) async throws {
    try writeFirstFormat(rows)
    let store = try openStore(folder.path, expected: .existing(cluster: nil, otherwise: "c1"))
    #expect(store.count == rows && store.revision == Int64(rows) && store.cluster == "c1")
    try await store.commit([put("k/1", "changed"), put("new", "v")])
    store.close()
    struct Again: Error {}
    let again = try openStore(folder.path, expected: .existing(cluster: "c1", otherwise: "c2")) { _ in throw Again() }
    #expect(again.count == rows + 1)
    again.close()
    try execute("UPDATE entry SET value = CAST('w@1' AS BLOB) WHERE key = 'k/\(rows)'")
    #expect("\(try #require(failure()))".contains("k/\(rows) (row \(rows))"))
  }

  @Test func aDatabaseWithoutChecksumsIsLookedThrough() async throws {
    try writeFirstFormat(300)
    struct Broken: Error {}
    #expect {
      try openStore(folder.path) { if $0 == Array("v@270".utf8) { throw Broken() } }
    } throws: { "\($0)".contains("k/270 (row 270): it was damaged before rows had checksums") }
    // It has been looked through, and the damage stays named.
    #expect("\(try #require(failure()))".contains("k/270"))
    let store = try openStore(folder.path, accepting)
    #expect(store.count == 299)
    store.close()
  }
}
