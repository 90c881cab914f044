import Glibc
import Testing

@testable import SQLite

@Suite struct ConnectionTests {
  private func scratch() -> String {
    var template = Array("/tmp/apus-sqlite-XXXXXX".utf8CString)
    let folder = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    let path = folder + "/test.db"
    close(open(path, O_RDWR | O_CREAT, 0o600))
    return path
  }

  private func discard(_ path: String) {
    for suffix in ["", "-wal", "-shm"] { unlink(path + suffix) }
    rmdir(String(path.dropLast("/test.db".count)))
  }

  @Test func keepsTextAndBytes() throws {
    let path = scratch()
    defer { discard(path) }
    let connection = try Connection(path: path)
    try connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, bytes BLOB)")
    let insert = try connection.prepare("INSERT INTO t VALUES (?1, ?2, ?3)")
    insert.bind(1, 7)
    try insert.run(text: (2, "schön"), blob: (3, [0, 255]))
    #expect(connection.changedRows == 1)
    insert.bind(1, 8)
    try insert.run(text: (2, ""), blob: (3, []))
    let rows = try connection.prepare("SELECT id, name, bytes FROM t ORDER BY id")
    #expect(try rows.step())
    #expect(rows.integer(0) == 7 && rows.text(1) == "schön" && rows.blob(2) == [0, 255])
    #expect(try rows.step())
    #expect(rows.text(1) == "" && rows.blob(2) == [])
    #expect(try !rows.step())
  }

  @Test func namesTheFileOfAnError() throws {
    let path = scratch()
    defer { discard(path) }
    let connection = try Connection(path: path)
    #expect {
      try connection.execute("SELECT * FROM missing")
    } throws: { error in
      guard case .io(let text)? = error as? SQLiteError else { return false }
      return text.contains(path) && text.contains("no such table: missing")
    }
  }

  @Test func tellsAFileThatIsNoDatabase() throws {
    let path = scratch()
    defer { discard(path) }
    let file = try #require(fopen(path, "w"))
    fputs(String(repeating: "this is no database. ", count: 100), file)
    fclose(file)
    let connection = try Connection(path: path)
    #expect {
      _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
    } throws: { error in
      guard case .corrupt(path, _)? = error as? SQLiteError else { return false }
      return true
    }
  }
}
