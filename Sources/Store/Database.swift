import Glibc
import KubeTypes
import SQLite

/// The store's table in SQLite, by one connection.
///
/// `entry` holds the current state of each key; its row id is the revision that created the key, which memory knows, so
/// that no index by key has to be kept on disk: a write changes one leaf and the row of `meta`.
///
/// `@unchecked Sendable`: `Store.open` uses it and then gives it to the `Committer`, which is behind a mutex and gives it
/// to nobody.
final class Database: @unchecked Sendable {
  static let formatVersion: Int32 = 1
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
  private let setRevision: Statement

  /// Opens the database, or makes it.
  init(path: String) throws(StoreError) {
    self.path = path
    try Self.createFile(path)
    let handle = try sqlite { () throws(SQLiteError) in
      let handle = try Connection(path: path)
      // One commit is one fsync of the log. The log is copied into the database by `Checkpointer`.
      try handle.execute("PRAGMA journal_mode=WAL")
      try handle.execute("PRAGMA synchronous=FULL")
      try handle.execute("PRAGMA cache_size=-1024")
      try handle.execute("PRAGMA temp_store=MEMORY")
      return handle
    }
    try Self.prepareSchema(handle)
    self.handle = handle
    func prepare(_ sql: String) throws(StoreError) -> Statement {
      try sqlite { () throws(SQLiteError) in try handle.prepare(sql) }
    }
    begin = try prepare("BEGIN IMMEDIATE")
    commit = try prepare("COMMIT")
    rollbackStatement = try prepare("ROLLBACK")
    insert = try prepare("INSERT INTO entry (create_revision, mod_revision, key, value) VALUES (?1, ?2, ?3, ?4)")
    update = try prepare("UPDATE entry SET mod_revision = ?2, value = ?3 WHERE create_revision = ?1")
    delete = try prepare("DELETE FROM entry WHERE create_revision = ?1")
    setRevision = try prepare("UPDATE meta SET revision = ?1 WHERE id = 1")
  }

  /// Makes the tables of a new file, and refuses a file that is not ours or of another format.
  private static func prepareSchema(_ handle: Connection) throws(StoreError) {
    let path = handle.path
    try sqlite { () throws(SQLiteError) in
      let application = try handle.integer("PRAGMA application_id")
      let format = try handle.integer("PRAGMA user_version")
      if application == 0, format == 0, try handle.integer("SELECT count(*) FROM sqlite_schema") == 0 {
        try handle.execute(
          """
          BEGIN IMMEDIATE;
          PRAGMA application_id=\(applicationID);
          PRAGMA user_version=\(formatVersion);
          CREATE TABLE entry (
            create_revision INTEGER PRIMARY KEY, mod_revision INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL
          );
          CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
          INSERT INTO meta VALUES (1, 0);
          COMMIT
          """)
      } else if application != Int64(applicationID) {
        throw .corrupt(path: path, reason: "it is no state database of Apus")
      } else if format != Int64(formatVersion) {
        throw .corrupt(
          path: path, reason: "its format is \(format), this program reads \(formatVersion); use a newer program")
      }
    }
  }

  /// SQLite would make the file readable for everybody; it holds Secrets. The log and its index inherit the mode.
  private static func createFile(_ path: String) throws(StoreError) {
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw .io("cannot open \(path): \(String(cString: strerror(errno)))") }
    close(file)
  }

  /// Reads everything, and returns the entries with the newest revision.
  func load(
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) throws(StoreError) -> (entries: SortedEntries, revision: Int64) {
    let (revision, first, last) = try sqlite { () throws(SQLiteError) in
      (
        try handle.integer("SELECT revision FROM meta"),
        try handle.integer("SELECT ifnull(min(create_revision), 1) FROM entry"),
        try handle.integer("SELECT ifnull(max(create_revision), 0) FROM entry")
      )
    }
    guard first <= last else { return (SortedEntries(), revision) }
    guard first >= 1 else { throw .corrupt(path: path, reason: "there is a row \(first); rows are counted from 1") }
    let loader = Loader(
      path: path, revision: revision, ids: first...last, workers: sysconf(Int32(_SC_NPROCESSORS_ONLN)), header: header)
    return (try loader.load(handle), revision)
  }

  func beginTransaction() throws(StoreError) { try sqlite { () throws(SQLiteError) in try begin.run() } }

  func insert(created: Int64, key: String, value: [UInt8]) throws(StoreError) {
    insert.bind(1, created)
    insert.bind(2, created)
    try sqlite { () throws(SQLiteError) in try insert.run(text: (3, key), blob: (4, value)) }
  }

  func update(created: Int64, modified: Int64, value: [UInt8]) throws(StoreError) {
    update.bind(1, created)
    update.bind(2, modified)
    try sqlite { () throws(SQLiteError) in try update.run(text: nil, blob: (3, value)) }
    try expectOneRow(created)
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
  func commitTransaction(revision: Int64) throws(StoreError) {
    setRevision.bind(1, revision)
    try sqlite { () throws(SQLiteError) in
      try setRevision.run()
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
    for statement in [begin, commit, rollbackStatement, insert, update, delete, setRevision] { statement.finalize() }
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
