import CSQLite
import Glibc

/// The store's table in SQLite, by one connection.
///
/// `entry` holds the current state of each key; its row id is the revision that created the key, which memory knows, so
/// that no index by key has to be kept on disk: a write changes one leaf and the row of `meta`.
///
/// `@unchecked Sendable`: `Store.open` uses it and then hands it to the writer thread, which alone uses it from then on.
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
    handle = try Connection(path: path)
    // One commit is one fsync of the log. The log is copied into the database by `Checkpointer`.
    try handle.execute("PRAGMA journal_mode=WAL")
    try handle.execute("PRAGMA synchronous=FULL")
    try handle.execute("PRAGMA cache_size=-1024")
    try handle.execute("PRAGMA temp_store=MEMORY")
    let application = try handle.integer("PRAGMA application_id")
    let format = try handle.integer("PRAGMA user_version")
    if application == 0, format == 0, try handle.integer("SELECT count(*) FROM sqlite_schema") == 0 {
      try handle.execute(
        """
        BEGIN IMMEDIATE;
        PRAGMA application_id=\(Self.applicationID);
        PRAGMA user_version=\(Self.formatVersion);
        CREATE TABLE entry (
          create_revision INTEGER PRIMARY KEY, mod_revision INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL
        );
        CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
        INSERT INTO meta VALUES (1, 0);
        COMMIT
        """)
    } else if application != Int64(Self.applicationID) {
      throw .corrupt(path: path, reason: "it is no state database of Apus")
    } else if format != Int64(Self.formatVersion) {
      throw .corrupt(
        path: path, reason: "its format is \(format), this program reads \(Self.formatVersion); use a newer program")
    }
    begin = try handle.prepare("BEGIN IMMEDIATE")
    commit = try handle.prepare("COMMIT")
    rollbackStatement = try handle.prepare("ROLLBACK")
    insert = try handle.prepare("INSERT INTO entry (create_revision, mod_revision, key, value) VALUES (?1, ?2, ?3, ?4)")
    update = try handle.prepare("UPDATE entry SET mod_revision = ?2, value = ?3 WHERE create_revision = ?1")
    delete = try handle.prepare("DELETE FROM entry WHERE create_revision = ?1")
    setRevision = try handle.prepare("UPDATE meta SET revision = ?1 WHERE id = 1")
  }

  /// SQLite would make the file readable for everybody; it holds Secrets. The log and its index inherit the mode.
  private static func createFile(_ path: String) throws(StoreError) {
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw .io("cannot open \(path): \(String(cString: strerror(errno)))") }
    close(file)
  }

  /// Reads every row, in no order, and returns the revision.
  func load(
    _ body: (_ key: String, _ value: [UInt8], _ created: Int64, _ modified: Int64) throws(StoreError) -> Void
  ) throws(StoreError) -> Int64 {
    let revision = try handle.integer("SELECT revision FROM meta")
    let rows = try handle.prepare("SELECT create_revision, mod_revision, key, value FROM entry")
    while try rows.step() {
      let modified = rows.integer(1)
      let key = rows.text(2)
      guard modified <= revision else {
        throw .corrupt(
          path: path, reason: "\(key) is at revision \(modified), which is after the last one, \(revision)")
      }
      try body(key, rows.blob(3), rows.integer(0), modified)
    }
    return revision
  }

  func beginTransaction() throws(StoreError) { try begin.run() }

  func insert(created: Int64, key: String, value: [UInt8]) throws(StoreError) {
    insert.bind(1, created)
    insert.bind(2, created)
    try insert.run(text: (3, key), blob: (4, value))
  }

  func update(created: Int64, modified: Int64, value: [UInt8]) throws(StoreError) {
    update.bind(1, created)
    update.bind(2, modified)
    try update.run(text: nil, blob: (3, value))
    try expectOneRow(created)
  }

  func delete(created: Int64) throws(StoreError) {
    delete.bind(1, created)
    try delete.run()
    try expectOneRow(created)
  }

  private func expectOneRow(_ created: Int64) throws(StoreError) {
    guard handle.changedRows == 1 else { throw .corrupt(path: path, reason: "row \(created) is missing") }
  }

  /// Durable when it returns.
  func commitTransaction(revision: Int64) throws(StoreError) {
    setRevision.bind(1, revision)
    try setRevision.run()
    try commit.run()
  }

  /// Takes the transaction back; SQLite may have done so already.
  func rollback() {
    if handle.isInTransaction { try? rollbackStatement.run() }
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

/// A connection of SQLite. Used by one thread at a time.
final class Connection {
  let path: String
  private var handle: OpaquePointer?
  /// Written by SQLite's hook after each commit, on the thread that commits.
  private let pages = UnsafeMutablePointer<Int32>.allocate(capacity: 1)

  init(path: String) throws(StoreError) {
    self.path = path
    pages.initialize(to: 0)
    let code = sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nil)
    guard code == SQLITE_OK else { throw failure(code) }
    sqlite3_extended_result_codes(handle, 1)
    sqlite3_busy_timeout(handle, 1000)
    // This takes the place of SQLite's own automatic checkpoint (`PRAGMA wal_autocheckpoint` would remove it).
    sqlite3_wal_hook(
      handle,
      { context, _, _, pages in
        context?.assumingMemoryBound(to: Int32.self).pointee = pages
        return SQLITE_OK
      }, pages)
  }

  deinit {
    close()
    pages.deallocate()
  }

  func close() {
    sqlite3_close_v2(handle)
    handle = nil
  }

  var logPages: Int { Int(pages.pointee) }
  var changedRows: Int { Int(sqlite3_changes(handle)) }
  var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

  func execute(_ sql: String) throws(StoreError) {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw failure(code) }
  }

  func integer(_ sql: String) throws(StoreError) -> Int64 {
    let statement = try prepare(sql)
    guard try statement.step() else { throw .corrupt(path: path, reason: "no row for \(sql)") }
    return statement.integer(0)
  }

  func prepare(_ sql: String) throws(StoreError) -> Statement {
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code == SQLITE_OK, let statement else { throw failure(code) }
    return Statement(statement, of: self)
  }

  /// Does not wait for anybody: it copies as far as it can.
  func checkpoint() {
    sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
  }

  func failure(_ code: Int32) -> StoreError {
    let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
    let number = handle.map { sqlite3_system_errno($0) } ?? 0
    switch code & 0xFF {
    case SQLITE_FULL: return .diskFull(path)
    case SQLITE_IOERR where number == ENOSPC || number == EDQUOT: return .diskFull(path)
    case SQLITE_CORRUPT, SQLITE_NOTADB: return .corrupt(path: path, reason: message)
    default:
      let cause = number == 0 ? "" : " (\(String(cString: strerror(number))))"
      return .io("\(path): \(message), SQLite code \(code)\(cause)")
    }
  }
}

/// A prepared statement of SQLite.
final class Statement {
  private var handle: OpaquePointer?
  private let connection: Connection

  init(_ handle: OpaquePointer, of connection: Connection) {
    self.handle = handle
    self.connection = connection
  }

  deinit { finalize() }

  func finalize() {
    sqlite3_finalize(handle)
    handle = nil
  }

  func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(handle, index, value) }

  /// Moves to the next row; false, and ready to run again, when there is none.
  func step() throws(StoreError) -> Bool {
    let code = sqlite3_step(handle)
    if code == SQLITE_ROW { return true }
    let failure = code == SQLITE_DONE ? nil : connection.failure(code)
    sqlite3_reset(handle)
    if let failure { throw failure }
    return false
  }

  /// Runs a statement that returns no rows.
  func run() throws(StoreError) { while try step() {} }

  /// Runs it with a text and a blob that are not copied: they are bound for this run only.
  func run(text: (index: Int32, value: String)?, blob: (index: Int32, value: [UInt8])) throws(StoreError) {
    var string = text?.value ?? ""
    let result: Result<Void, StoreError> = string.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { characters in
        if let text { sqlite3_bind_text(handle, text.index, characters.baseAddress, Int32(characters.count), nil) }
        return blob.value.withUnsafeBytes { bytes in
          if let address = bytes.baseAddress {
            sqlite3_bind_blob64(handle, blob.index, address, UInt64(bytes.count), nil)
          } else {
            sqlite3_bind_zeroblob(handle, blob.index, 0)
          }
          do throws(StoreError) {
            try run()
            return .success(())
          } catch {
            return .failure(error)
          }
        }
      }
    }
    sqlite3_clear_bindings(handle)
    try result.get()
  }

  func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

  func text(_ column: Int32) -> String {
    guard let text = sqlite3_column_text(handle, column) else { return "" }
    let count = Int(sqlite3_column_bytes(handle, column))
    return String(decoding: UnsafeBufferPointer(start: text, count: count), as: UTF8.self)
  }

  func blob(_ column: Int32) -> [UInt8] {
    guard let blob = sqlite3_column_blob(handle, column) else { return [] }
    return Array(UnsafeRawBufferPointer(start: blob, count: Int(sqlite3_column_bytes(handle, column))))
  }
}
