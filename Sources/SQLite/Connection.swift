import CSQLite
import Glibc

/// A connection of SQLite. Used by one thread at a time.
package final class Connection {
  package let path: String
  private var handle: OpaquePointer?
  /// Written by SQLite's hook after each commit, on the thread that commits.
  private let pages = UnsafeMutablePointer<Int32>.allocate(capacity: 1)

  package init(path: String) throws(SQLiteError) {
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

  package func close() {
    sqlite3_close_v2(handle)
    handle = nil
  }

  package var logPages: Int { Int(pages.pointee) }
  package var changedRows: Int { Int(sqlite3_changes(handle)) }
  package var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

  package func execute(_ sql: String) throws(SQLiteError) {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw failure(code) }
  }

  package func integer(_ sql: String) throws(SQLiteError) -> Int64 {
    let statement = try prepare(sql)
    guard try statement.step() else { throw .corrupt(path: path, reason: "no row for \(sql)") }
    return statement.integer(0)
  }

  package func prepare(_ sql: String) throws(SQLiteError) -> Statement {
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code == SQLITE_OK, let statement else { throw failure(code) }
    return Statement(statement, of: self)
  }

  /// Does not wait for anybody: it copies as far as it can.
  package func checkpoint() {
    sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
  }

  func failure(_ code: Int32) -> SQLiteError {
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
