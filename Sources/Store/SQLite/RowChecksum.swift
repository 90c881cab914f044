import LinuxSystem
import SQLite

/// The checksums of rows.
enum RowChecksum {
  /// Over all that a row says.
  static func entry(created: Int64, modified: Int64, key: String, value: [UInt8]) -> UInt32 {
    var sum = Checksum()
    sum.add(created.littleEndian)
    sum.add(modified.littleEndian)
    // So that no byte can move from the key to the value.
    sum.add(Int64(key.utf8.count).littleEndian)
    sum.add(key)
    sum.add(value)
    return sum.value
  }

  static func meta(revision: Int64, digest: Int64) -> UInt32 {
    var sum = Checksum()
    sum.add(revision.littleEndian)
    sum.add(digest.littleEndian)
    return sum.value
  }
}

/// The digest of a set of rows, whatever their order: a row comes and goes in constant time. It tells a set from one that
/// lacks a row or has another state of one.
struct RowDigest: Sendable, Equatable {
  private(set) var value: UInt64

  init(value: UInt64 = 0) { self.value = value }

  mutating func add(_ entry: Store.Entry) { add(row: entry.createRevision, checksum: entry.checksum) }
  mutating func remove(_ entry: Store.Entry) { value &-= Self.spread(entry.createRevision, entry.checksum) }
  mutating func add(row: Int64, checksum: UInt32) { value &+= Self.spread(row, checksum) }
  mutating func add(_ other: RowDigest) { value &+= other.value }

  /// The mixing step of SplitMix64: sums of checksums as they are would hide pairs of changes.
  private static func spread(_ row: Int64, _ checksum: UInt32) -> UInt64 {
    var z = UInt64(bitPattern: row) &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(checksum)
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// A row that is not what was written, as it was found.
struct DamagedRow: Sendable {
  var id: Int64
  /// Perhaps damaged itself.
  var key: String
  var value: [UInt8]
  /// What is wrong with it.
  var reason: String

  var description: String { "\(key) (row \(id)): \(reason)" }

  /// Keeps what is left of the rows, a file each, for people to look at.
  static func keep(_ rows: [DamagedRow], in folder: String) throws(StoreError) {
    guard !rows.isEmpty else { return }
    do throws(SystemError) {
      try Directory.create(folder, mode: 0o700)
      for row in rows {
        try DurableFile.write(Array("\(row.key)\n".utf8) + row.value, to: "\(folder)/\(row.id)", mode: 0o600)
      }
    } catch {
      throw error.isDiskFull ? .diskFull(folder) : .io(error.description)
    }
  }
}

/// A database of format 1, which had no checksums: each row gets the one of what it holds now, once.
struct FirstFormat {
  let handle: Connection
  let path: String
  /// Throws for a value that is not whole.
  let verify: @Sendable ([UInt8]) throws -> Void

  private static let batchCount = 256

  /// All or nothing: a start that is cut short here begins again. A row that is damaged gets no checksum, and so is
  /// named when it is read.
  func convert() throws(StoreError) {
    try sqlite { () throws(SQLiteError) in
      try handle.execute(
        """
        BEGIN IMMEDIATE;
        ALTER TABLE entry ADD COLUMN checksum INTEGER;
        ALTER TABLE meta ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE meta ADD COLUMN checksum INTEGER;
        ALTER TABLE meta ADD COLUMN cluster TEXT NOT NULL DEFAULT ''
        """)
      do throws(SQLiteError) {
        let digest = Int64(bitPattern: try sumRows().value)
        let revision = try handle.integer("SELECT revision FROM meta WHERE id = 1")
        try handle.execute(
          """
          UPDATE meta SET digest = \(digest), checksum = \(RowChecksum.meta(revision: revision, digest: digest));
          PRAGMA user_version=\(Database.formatVersion);
          COMMIT
          """)
      } catch {
        try? handle.execute("ROLLBACK")
        throw error
      }
    }
  }

  private func sumRows() throws(SQLiteError) -> RowDigest {
    let rows = try handle.prepare(
      """
      SELECT create_revision, mod_revision, key, value FROM entry WHERE create_revision > ?1 ORDER BY create_revision
      LIMIT \(Self.batchCount)
      """)
    let update = try handle.prepare("UPDATE entry SET checksum = ?2 WHERE create_revision = ?1")
    defer {
      rows.finalize()
      update.finalize()
    }
    var digest = RowDigest()
    var last = Int64.min
    while true {
      var sums: [(id: Int64, sum: UInt32)] = []
      var count = 0
      rows.bind(1, last)
      while try rows.step() {
        count += 1
        let (id, modified, key, value) = (rows.integer(0), rows.integer(1), rows.text(2), rows.blob(3))
        last = id
        if (try? verify(value)) == nil { continue }
        sums.append((id, RowChecksum.entry(created: id, modified: modified, key: key, value: value)))
      }
      for (id, sum) in sums {
        update.bind(1, id)
        update.bind(2, Int64(sum))
        try update.run()
        digest.add(row: id, checksum: sum)
      }
      if count < Self.batchCount { return digest }
    }
  }
}
