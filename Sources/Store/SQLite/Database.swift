import Glibc
import KubeTypes
import LinuxSystem
import SQLite

/// The store's table in SQLite, by one connection.
///
/// `entry` holds the current state of each key; its row id is the revision that created the key, which memory knows, so
/// that no index by key has to be kept on disk: a write changes one leaf and the row of `meta`.
///
/// Each row carries its checksum, and `meta` the digest of all of them (`RowChecksum`): a disk that changes a row, loses
/// one, or brings an old one back, is found out when the rows are read.
///
/// `@unchecked Sendable`: `Store.open` uses it and then gives it to the `Committer`, which is behind a mutex and gives it
/// to nobody.
final class Database: @unchecked Sendable {
  static let formatVersion: Int32 = 2
  /// "Apus" in the file's header.
  static let applicationID: Int32 = 0x4170_7573

  let path: String
  private let handle: Connection
  private let begin: Statement
  private let commit: Statement
  private let rollbackStatement: Statement
  private let insert: Statement
  private let update: Statement
  private let delete: Statement
  private let setMeta: Statement
  /// The cluster whose objects these are; empty when nobody has said so yet.
  let cluster: String

  /// Opens the database, or makes it where `expected` allows that.
  ///
  /// - Parameter verify: looks at a value that an earlier format has kept without a checksum.
  init(
    path: String, expected: Store.Expectation, verify: @escaping @Sendable ([UInt8]) throws -> Void
  ) throws(StoreError) {
    self.path = path
    try Self.createFile(path, expected)
    let handle = try sqlite { () throws(SQLiteError) in
      let handle = try Connection(path: path)
      // One commit is one fsync of the log. The log is copied into the database by `Checkpointer`.
      try handle.execute("PRAGMA journal_mode=WAL")
      try handle.execute("PRAGMA synchronous=FULL")
      try handle.execute("PRAGMA cache_size=-1024")
      try handle.execute("PRAGMA temp_store=MEMORY")
      return handle
    }
    try Self.prepareSchema(handle, expected)
    if try sqlite({ () throws(SQLiteError) in try handle.integer("PRAGMA user_version") }) == 1 {
      try FirstFormat(handle: handle, path: path, verify: verify).convert()
    }
    self.handle = handle
    cluster = try Self.settleCluster(handle, expected)
    func prepare(_ sql: String) throws(StoreError) -> Statement {
      try sqlite { () throws(SQLiteError) in try handle.prepare(sql) }
    }
    begin = try prepare("BEGIN IMMEDIATE")
    commit = try prepare("COMMIT")
    rollbackStatement = try prepare("ROLLBACK")
    insert = try prepare(
      "INSERT INTO entry (create_revision, mod_revision, key, value, checksum) VALUES (?1, ?2, ?3, ?4, ?5)")
    update = try prepare("UPDATE entry SET mod_revision = ?2, value = ?3, checksum = ?4 WHERE create_revision = ?1")
    delete = try prepare("DELETE FROM entry WHERE create_revision = ?1")
    setMeta = try prepare("UPDATE meta SET revision = ?1, digest = ?2, checksum = ?3 WHERE id = 1")
  }

  /// Makes the tables of a new file, and refuses a file that is not ours or of another format.
  private static func prepareSchema(_ handle: Connection, _ expected: Store.Expectation) throws(StoreError) {
    let path = handle.path
    try sqlite { () throws(SQLiteError) in
      let application = try handle.integer("PRAGMA application_id")
      let format = try handle.integer("PRAGMA user_version")
      if application == 0, format == 0, try handle.integer("SELECT count(*) FROM sqlite_schema") == 0 {
        guard expected.mayBeMissing else { throw .corrupt(path: path, reason: "it has no tables") }
        try handle.execute(
          """
          BEGIN IMMEDIATE;
          PRAGMA application_id=\(applicationID);
          PRAGMA user_version=\(formatVersion);
          CREATE TABLE entry (
            create_revision INTEGER PRIMARY KEY, mod_revision INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
            checksum INTEGER
          );
          CREATE TABLE meta (
            id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, digest INTEGER NOT NULL DEFAULT 0,
            checksum INTEGER, cluster TEXT NOT NULL DEFAULT ''
          );
          INSERT INTO meta (id, revision, checksum) VALUES (1, 0, \(RowChecksum.meta(revision: 0, digest: 0)));
          COMMIT
          """)
        // From here on a log that is gone is told from a database that was never filled.
        handle.checkpoint()
      } else if application != Int64(applicationID) {
        throw .corrupt(path: path, reason: "it is no state database of Apus")
      } else if format != 1, format != Int64(formatVersion) {
        throw .corrupt(
          path: path, reason: "its format is \(format), this program reads up to \(formatVersion); use a newer program")
      }
    }
  }

  /// Reads whose objects these are, and says so where nobody has yet.
  private static func settleCluster(
    _ handle: Connection, _ expected: Store.Expectation
  ) throws(StoreError) -> String {
    let found = try sqlite { () throws(SQLiteError) in
      let row = try handle.prepare("SELECT cluster FROM meta WHERE id = 1")
      guard try row.step() else { throw .corrupt(path: handle.path, reason: "the row with the last revision is gone") }
      defer { row.finalize() }
      return row.text(0)
    }
    let wanted: String
    switch expected {
    case .any: return found
    case .new(let cluster), .existing(.some(let cluster), _): wanted = cluster
    case .existing(nil, let cluster): wanted = found.isEmpty ? cluster : found
    }
    if wanted == found { return found }
    guard found.isEmpty else { throw .foreign(path: handle.path, cluster: found, expected: wanted) }
    try sqlite { () throws(SQLiteError) in
      let update = try handle.prepare("UPDATE meta SET cluster = ?1 WHERE id = 1")
      update.bind(1, wanted)
      try update.run()
      update.finalize()
    }
    return wanted
  }

  /// SQLite would make the file readable for everybody; it holds Secrets. The log and its index inherit the mode.
  ///
  /// An empty file must not come to SQLite where one is expected that is not empty: it would remove the log.
  private static func createFile(_ path: String, _ expected: Store.Expectation) throws(StoreError) {
    let file = open(path, O_RDWR | (expected.mayBeMissing ? O_CREAT : 0) | O_CLOEXEC, 0o600)
    guard file >= 0 else {
      if errno == ENOENT { throw .lost(path: path, reason: "is not there") }
      if errno == ENOSPC || errno == EDQUOT { throw .diskFull(path) }
      throw .io("cannot open \(path): \(String(cString: strerror(errno)))")
    }
    defer { close(file) }
    var status = stat()
    guard expected.mayBeMissing || fstat(file, &status) != 0 || status.st_size > 0 else {
      throw .lost(path: path, reason: "is empty")
    }
  }

  /// What is on disk.
  struct Content: Sendable {
    var entries = SortedEntries()
    var revision: Int64
    /// Of all entries.
    var digest: RowDigest
    /// The rows that are not what was written.
    var damaged: [DamagedRow] = []
    /// What else is wrong.
    var problems: [String] = []
  }

  /// Reads everything. Only what makes reading impossible is thrown.
  ///
  /// - Parameter salvages: whether damaged pages are read around.
  func load(
    salvages: Bool, header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) throws(StoreError) -> Content {
    let (revision, digest, checksum) = try sqlite { () throws(SQLiteError) in
      (
        try handle.integer("SELECT revision FROM meta WHERE id = 1"),
        try handle.integer("SELECT digest FROM meta WHERE id = 1"),
        try handle.integer("SELECT ifnull(checksum, -1) FROM meta WHERE id = 1")
      )
    }
    let isMetaWhole = revision >= 0 && checksum == Int64(RowChecksum.meta(revision: revision, digest: digest))
    var content = Content(revision: isMetaWhole ? revision : 0, digest: RowDigest())
    do throws(StoreError) {
      try read(into: &content, newest: isMetaWhole ? revision : .max, header)
    } catch {
      guard salvages, isMetaWhole, case .corrupt = error else { throw error }
      try salvage(into: &content, newest: revision, header)
    }
    if !isMetaWhole {
      content.revision = content.entries.newestRevision
      content.problems.append(
        "the last revision does not match its checksum: the newest object's is \(content.revision)")
    } else if content.damaged.isEmpty, content.problems.isEmpty,
      content.digest != RowDigest(value: UInt64(bitPattern: digest))
    {
      content.problems.append(
        "the objects are not those of revision \(revision): some are missing, or older than the log says")
    }
    return content
  }

  private func read(
    into content: inout Content, newest: Int64, _ header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) throws(StoreError) {
    let (first, last) = try sqlite { () throws(SQLiteError) in
      (
        try handle.integer("SELECT ifnull(min(create_revision), 1) FROM entry"),
        try handle.integer("SELECT ifnull(max(create_revision), 0) FROM entry")
      )
    }
    guard first <= last else { return }
    guard first >= 1 else { throw .corrupt(path: path, reason: "there is a row \(first); rows are counted from 1") }
    let loader = Loader(
      path: path, revision: newest, ids: first...last, workers: sysconf(Int32(_SC_NPROCESSORS_ONLN)), header: header)
    (content.entries, content.digest, content.damaged) = try loader.load(handle)
  }

  private func salvage(
    into content: inout Content, newest: Int64, _ header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) throws(StoreError) {
    guard newest > 0 else { return }
    let loader = Loader(path: path, revision: newest, ids: 1...newest, workers: 1, header: header)
    let salvaged = try loader.salvage(handle)
    (content.entries, content.digest, content.damaged) = (salvaged.entries, salvaged.digest, salvaged.damaged)
    content.problems += salvaged.unreadable.map {
      "what was created by the revisions \($0.lowerBound) to \($0.upperBound) cannot be read"
    }
  }

  /// Puts a new database with the content in the place of a damaged one, which goes into `folder`.
  ///
  /// - Parameter path: no connection has it open.
  static func replace(
    _ path: String, by content: Content, cluster: String, keeping folder: String
  ) throws(StoreError) {
    let fresh = path + ".new"
    for suffix in ["", "-wal", "-shm"] { unlink(fresh + suffix) }
    let database = try Database(path: fresh, expected: .new(cluster: cluster)) { _ in }
    try database.beginTransaction()
    for entry in content.entries.slice(content.entries.range(prefix: "", after: nil), limit: 0) {
      try database.insert(entry)
    }
    try database.commitTransaction(revision: content.revision, digest: content.digest)
    database.closeConnection()
    do throws(SystemError) {
      try Directory.create(folder, mode: 0o700)
      if access(path + "-wal", F_OK) == 0, rename(path + "-wal", "\(folder)/state.db-wal") != 0 {
        throw SystemError.last("move \(path)-wal")
      }
      // A link and no rename: there is a database under its name at each moment.
      guard link(path, "\(folder)/state.db") == 0 else { throw SystemError.last("keep \(path)") }
      unlink(path + "-shm")
      guard rename(fresh, path) == 0 else { throw SystemError.last("rename \(fresh)") }
      try Directory.sync(folder)
      try Directory.sync(DurableFile.parent(of: path))
    } catch {
      throw error.isDiskFull ? .diskFull(folder) : .io(error.description)
    }
  }

  func beginTransaction() throws(StoreError) { try sqlite { () throws(SQLiteError) in try begin.run() } }

  func insert(_ entry: Store.Entry) throws(StoreError) {
    insert.bind(1, entry.createRevision)
    insert.bind(2, entry.revision)
    insert.bind(5, Int64(entry.checksum))
    try sqlite { () throws(SQLiteError) in try insert.run(text: (3, entry.key), blob: (4, entry.value)) }
  }

  func update(_ entry: Store.Entry) throws(StoreError) {
    update.bind(1, entry.createRevision)
    update.bind(2, entry.revision)
    update.bind(4, Int64(entry.checksum))
    try sqlite { () throws(SQLiteError) in try update.run(text: nil, blob: (3, entry.value)) }
    try expectOneRow(entry.createRevision)
  }

  func delete(created: Int64) throws(StoreError) {
    delete.bind(1, created)
    try sqlite { () throws(SQLiteError) in try delete.run() }
    try expectOneRow(created)
  }

  private func expectOneRow(_ created: Int64) throws(StoreError) {
    guard handle.changedRows == 1 else { throw .corrupt(path: path, reason: "row \(created) is missing") }
  }

  /// Durable when it returns.
  func commitTransaction(revision: Int64, digest: RowDigest) throws(StoreError) {
    let digest = Int64(bitPattern: digest.value)
    setMeta.bind(1, revision)
    setMeta.bind(2, digest)
    setMeta.bind(3, Int64(RowChecksum.meta(revision: revision, digest: digest)))
    try sqlite { () throws(SQLiteError) in
      try setMeta.run()
      try commit.run()
    }
  }

  /// Takes the transaction back; SQLite may have done so already.
  func rollback() {
    if handle.isInTransaction { try? rollbackStatement.run() }
  }

  /// Fills the log's file with zeros up to the size that it will have, so that a commit changes its content only: one
  /// `fdatasync` of a file that grows writes the inode too and takes half as long again. SQLite tells its own frames
  /// from what lies behind them by their checksums (<https://sqlite.org/fileformat2.html#walformat>, section 4.1).
  ///
  /// Only for the thread that commits. It is no error when there is no space: then the log grows as it is used.
  func reserveLog(pages: Int) {
    let file = open(path + "-wal", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    defer { close(file) }
    var status = stat()
    // A frame is a page and 24 bytes.
    let size = pages * (4096 + 24)
    guard fstat(file, &status) == 0, status.st_size < size else { return }
    let zeros = [UInt8](repeating: 0, count: 1 << 20)
    var offset = Int(status.st_size)
    while offset < size {
      let count = pwrite(file, zeros, min(zeros.count, size - offset), offset)
      guard count > 0 else { break }
      offset += count
    }
    fdatasync(file)
  }

  /// Pages that the log holds after the last commit.
  var logPages: Int { handle.logPages }

  /// Copies what no other thread copies at the moment from the log into the database.
  func checkpoint() { handle.checkpoint() }

  /// Finishes the statements and closes; the last connection also removes the log.
  func closeConnection() {
    for statement in [begin, commit, rollbackStatement, insert, update, delete, setMeta] { statement.finalize() }
    handle.close()
  }
}

/// Runs `body` with SQLite's errors in the store's terms.
func sqlite<T>(_ body: () throws(SQLiteError) -> T) throws(StoreError) -> T {
  do {
    return try body()
  } catch {
    switch error {
    case .diskFull(let path): throw .diskFull(path)
    case .corrupt(let path, let reason): throw .corrupt(path: path, reason: reason)
    case .io(let message): throw .io(message)
    }
  }
}
