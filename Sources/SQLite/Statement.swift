import CSQLite

/// A prepared statement of SQLite.
package final class Statement {
  private var handle: OpaquePointer?
  private let connection: Connection

  init(_ handle: OpaquePointer, of connection: Connection) {
    self.handle = handle
    self.connection = connection
  }

  deinit { finalize() }

  package func finalize() {
    sqlite3_finalize(handle)
    handle = nil
  }

  package func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(handle, index, value) }

  /// The text is copied.
  package func bind(_ index: Int32, _ value: String) {
    var value = value
    value.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { characters in
        // An empty buffer may have no address, and that would be NULL.
        _ =
          characters.isEmpty
          ? sqlite3_bind_text(handle, index, "", 0, nil)
          : sqlite3_bind_text(handle, index, characters.baseAddress, Int32(characters.count), Statement.copied)
      }
    }
  }

  package func bindNull(_ index: Int32) { sqlite3_bind_null(handle, index) }

  /// `SQLITE_TRANSIENT`, which C writes as a cast that Swift does not import.
  private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

  /// Makes it ready to run again before its last row has been read.
  package func reset() { sqlite3_reset(handle) }

  /// Moves to the next row; false, and ready to run again, when there is none.
  package func step() throws(SQLiteError) -> Bool {
    let code = sqlite3_step(handle)
    if code == SQLITE_ROW { return true }
    let failure = code == SQLITE_DONE ? nil : connection.failure(code)
    sqlite3_reset(handle)
    if let failure { throw failure }
    return false
  }

  /// Runs a statement that returns no rows.
  package func run() throws(SQLiteError) { while try step() {} }

  /// Runs it with a text and a blob that are not copied: they are bound for this run only.
  package func run(text: (index: Int32, value: String)?, blob: (index: Int32, value: [UInt8])) throws(SQLiteError) {
    var string = text?.value ?? ""
    let result: Result<Void, SQLiteError> = string.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { characters in
        if let text { sqlite3_bind_text(handle, text.index, characters.baseAddress, Int32(characters.count), nil) }
        return blob.value.withUnsafeBytes { bytes in
          if let address = bytes.baseAddress {
            sqlite3_bind_blob64(handle, blob.index, address, UInt64(bytes.count), nil)
          } else {
            sqlite3_bind_zeroblob(handle, blob.index, 0)
          }
          do throws(SQLiteError) {
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

  package func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

  package func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

  package func text(_ column: Int32) -> String {
    guard let text = sqlite3_column_text(handle, column) else { return "" }
    let count = Int(sqlite3_column_bytes(handle, column))
    return String(decoding: UnsafeBufferPointer(start: text, count: count), as: UTF8.self)
  }

  package func blob(_ column: Int32) -> [UInt8] {
    guard let blob = sqlite3_column_blob(handle, column) else { return [] }
    return Array(UnsafeRawBufferPointer(start: blob, count: Int(sqlite3_column_bytes(handle, column))))
  }
}
