import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Synchronization

/// What the store knows of its content, in SQLite: one connection with its prepared statements.
///
/// Rows are joined by small numbers. A `blob` row stands for a digest, whether its bytes are here or not. Ownership runs
/// along `tag` and `manifest` rows, from a manifest along `edge` rows, from a subject to the manifests that name it, and
/// from `pin` and `link` rows; whatever is reached by none of them is garbage. All of it is decided inside of one write
/// transaction, which is why a push and a collection cannot miss one another.
///
/// `@unchecked Sendable`: `ReadPool` and `CatalogWriter` give it to one thread at a time.
final class Catalog: @unchecked Sendable {
  static let formatVersion: Int64 = 1
  /// "ApuI" in the file's header.
  static let applicationID: Int64 = 0x4170_7549

  /// What is known of a blob's bytes.
  enum BlobState: Int64 {
    /// Only its digest is known, from a manifest.
    case absent = 0
    case present = 1
    /// Here, but nobody needs it; it may be deleted.
    case trashed = 2
    /// Its bytes were wrong and are in quarantine.
    case damaged = 3
  }

  /// How a manifest needs another blob.
  enum EdgeKind: Int64 {
    case config = 0
    case layer = 1
    /// A manifest of an index.
    case child = 2
  }

  enum Value: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByNilLiteral {
    case integer(Int64)
    case text(String)
    case null

    init(integerLiteral value: Int64) { self = .integer(value) }
    init(stringLiteral value: String) { self = .text(value) }
    init(nilLiteral: ()) { self = .null }
    init(_ value: Int64) { self = .integer(value) }
    init(_ value: Int64?) { self = value.map { .integer($0) } ?? .null }
    init(_ value: String) { self = .text(value) }
    init(_ value: String?) { self = value.map { .text($0) } ?? .null }
    init(_ digest: Digest) { self = .text(digest.description) }
  }

  let connection: Connection
  private var statements: [String: Statement] = [:]

  /// - Parameter isDurable: `false` for tests that simulate many crashes of processes, and none of the machine.
  init(path: String, isDurable: Bool) throws(OCIError) {
    connection = try sqlite { () throws(SQLiteError) in
      let connection = try Connection(path: path)
      try connection.execute("PRAGMA busy_timeout=30000")
      // One commit is one fsync of the log.
      try connection.execute("PRAGMA journal_mode=WAL")
      try connection.execute("PRAGMA synchronous=\(isDurable ? "FULL" : "OFF")")
      try connection.execute("PRAGMA cache_size=-2048")
      try connection.execute("PRAGMA temp_store=MEMORY")
      return connection
    }
  }

  deinit {
    for statement in statements.values { statement.finalize() }
    connection.close()
  }

  // MARK: Statements

  private func prepared(_ sql: String, _ values: [Value]) throws(OCIError) -> Statement {
    let statement: Statement
    if let known = statements[sql] {
      statement = known
    } else {
      statement = try sqlite { () throws(SQLiteError) in try connection.prepare(sql) }
      statements[sql] = statement
    }
    for (index, value) in values.enumerated() {
      switch value {
      case .integer(let number): statement.bind(Int32(index + 1), number)
      case .text(let text): statement.bind(Int32(index + 1), text)
      case .null: statement.bindNull(Int32(index + 1))
      }
    }
    return statement
  }

  /// Runs a statement that returns no rows; gives the number of rows that it changed.
  @discardableResult
  func run(_ sql: String, _ values: Value...) throws(OCIError) -> Int {
    let statement = try prepared(sql, values)
    try sqlite { () throws(SQLiteError) in try statement.run() }
    return connection.changedRows
  }

  /// The first row, if any.
  func first<T>(_ sql: String, _ values: Value..., read: (Statement) throws(OCIError) -> T) throws(OCIError) -> T? {
    let statement = try prepared(sql, values)
    guard try sqlite({ () throws(SQLiteError) in try statement.step() }) else { return nil }
    defer { statement.reset() }
    return try read(statement)
  }

  func exists(_ sql: String, _ values: Value...) throws(OCIError) -> Bool {
    let statement = try prepared(sql, values)
    defer { statement.reset() }
    return try sqlite { () throws(SQLiteError) in try statement.step() }
  }

  /// All rows. The same statement must not be used inside of `read`.
  func all<T>(_ sql: String, _ values: Value..., read: (Statement) throws(OCIError) -> T) throws(OCIError) -> [T] {
    let statement = try prepared(sql, values)
    defer { statement.reset() }
    var result: [T] = []
    while try sqlite({ () throws(SQLiteError) in try statement.step() }) { result.append(try read(statement)) }
    return result
  }

  /// Rows one by one, as long as `read` wants more. The same statement must not be used inside of `read`.
  func each(_ sql: String, _ values: Value..., read: (Statement) throws(OCIError) -> Bool) throws(OCIError) {
    let statement = try prepared(sql, values)
    defer { statement.reset() }
    while try sqlite({ () throws(SQLiteError) in try statement.step() }) {
      guard try read(statement) else { return }
    }
  }

  func execute(_ sql: String) throws(OCIError) { try sqlite { () throws(SQLiteError) in try connection.execute(sql) } }

  /// Several statements that see one state.
  func snapshot<T>(_ body: () throws(OCIError) -> T) throws(OCIError) -> T {
    try run("BEGIN")
    do throws(OCIError) {
      let result = try body()
      try run("COMMIT")
      return result
    } catch {
      if connection.isInTransaction { _ = try? run("ROLLBACK") }
      throw error
    }
  }

  // MARK: Rows

  func repositoryID(_ repository: Repository) throws(OCIError) -> Int64? {
    try first(
      "SELECT id FROM repository WHERE host = ?1 AND path = ?2", Value(repository.host), Value(repository.path)
    ) { row in row.integer(0) }
  }

  func blobID(_ digest: Digest) throws(OCIError) -> Int64? {
    try first("SELECT id FROM blob WHERE digest = ?1", Value(digest)) { row in row.integer(0) }
  }

  func digest(_ row: Statement, _ column: Int32) throws(OCIError) -> Digest {
    let text = row.text(column)
    guard let digest = Digest(text) else {
      throw OCIError(.corrupt, "\(connection.path) has the invalid digest \"\(text.prefix(100))\"")
    }
    return digest
  }

  /// Holds for a blob (its id is `blob.id`) that nobody needs. A manifest that is in the trash still needs its layers,
  /// because it can be restored; one that is pinned needs them although no repository has it.
  static let isUnneeded = """
    NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.blob = blob.id)
    AND NOT EXISTS (SELECT 1 FROM link WHERE link.blob = blob.id)
    AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.blob = blob.id)
    AND NOT EXISTS (
      SELECT 1 FROM edge WHERE edge.target = blob.id AND (
        EXISTS (SELECT 1 FROM manifest WHERE manifest.blob = edge.source)
        OR EXISTS (SELECT 1 FROM pin WHERE pin.blob = edge.source)))
    """

  // MARK: Schema

  /// Makes the tables of a new file, and refuses a file that is not ours or of another format. Other processes may do
  /// the same at this moment.
  func prepareSchema() throws(OCIError) {
    let path = connection.path
    try execute("BEGIN IMMEDIATE")
    do throws(OCIError) {
      let (application, format) = try sqlite { () throws(SQLiteError) in
        (try connection.integer("PRAGMA application_id"), try connection.integer("PRAGMA user_version"))
      }
      let tables = try sqlite { () throws(SQLiteError) in
        try connection.integer("SELECT count(*) FROM sqlite_schema")
      }
      if application == 0, format == 0, tables == 0 {
        try execute(Catalog.schema)
        try execute("PRAGMA application_id=\(Catalog.applicationID); PRAGMA user_version=\(Catalog.formatVersion)")
      } else if application != Catalog.applicationID {
        throw OCIError(.corrupt, "\(path) is no image catalog of Apus")
      } else if format != Catalog.formatVersion {
        throw OCIError(
          .corrupt,
          "\(path) has the format \(format), this program reads \(Catalog.formatVersion); use a newer program")
      }
      try execute(Catalog.additions)
      try execute("COMMIT")
    } catch {
      if connection.isInTransaction { try? execute("ROLLBACK") }
      throw error
    }
  }

  private static let schema = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    -- bytes: of its linked blobs and manifests, kept by the triggers below.
    CREATE TABLE repository (
      id INTEGER PRIMARY KEY, host TEXT NOT NULL, path TEXT NOT NULL, bytes INTEGER NOT NULL DEFAULT 0,
      UNIQUE (host, path)
    );
    CREATE TABLE quota (host TEXT, prefix TEXT, bytes INTEGER NOT NULL, PRIMARY KEY (host, prefix)) WITHOUT ROWID;

    -- Times are microseconds since 1970. trashed: when it became unneeded. verified: when it was last read and hashed.
    CREATE TABLE blob (
      id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, size INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL,
      trashed INTEGER NOT NULL DEFAULT 0, verified INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX blob_trash ON blob (trashed) WHERE state = 2;
    CREATE INDEX blob_absent ON blob (id) WHERE state = 0;
    CREATE INDEX blob_verified ON blob (verified) WHERE state = 1;

    -- A blob that a repository has.
    CREATE TABLE link (
      repository INTEGER, blob INTEGER, touched INTEGER NOT NULL, PRIMARY KEY (repository, blob)
    ) WITHOUT ROWID;
    CREATE INDEX link_blob ON link (blob);

    -- A manifest that a repository has. trashed: when it was deleted. tags: those that it had then, one per line.
    CREATE TABLE manifest (
      repository INTEGER, blob INTEGER, media_type TEXT NOT NULL, subject INTEGER, artifact_type TEXT,
      annotations TEXT, touched INTEGER NOT NULL, trashed INTEGER, tags TEXT, PRIMARY KEY (repository, blob)
    ) WITHOUT ROWID;
    CREATE INDEX manifest_blob ON manifest (blob);
    CREATE INDEX manifest_subject ON manifest (subject, repository) WHERE subject IS NOT NULL;
    CREATE INDEX manifest_trash ON manifest (trashed) WHERE trashed IS NOT NULL;

    CREATE TABLE tag (
      repository INTEGER, name TEXT, blob INTEGER NOT NULL, updated INTEGER NOT NULL, PRIMARY KEY (repository, name)
    ) WITHOUT ROWID;
    CREATE INDEX tag_order ON tag (repository, name COLLATE NOCASE, name);
    CREATE INDEX tag_blob ON tag (blob, repository);

    -- What a manifest consists of: it follows from the digest alone.
    CREATE TABLE edge (source INTEGER, target INTEGER, kind INTEGER NOT NULL, PRIMARY KEY (source, target)) WITHOUT ROWID;
    CREATE INDEX edge_target ON edge (target);

    -- What somebody uses at the moment. expires: NULL for a set that stays until it is changed, which has a name.
    CREATE TABLE lease (id INTEGER PRIMARY KEY, name TEXT UNIQUE, expires INTEGER);
    -- Each root with all that it consists of.
    CREATE TABLE pin (lease INTEGER, root INTEGER, blob INTEGER, PRIMARY KEY (lease, root, blob)) WITHOUT ROWID;
    CREATE INDEX pin_blob ON pin (blob);

    -- Which layers have been unpacked under unpacked/DIFF.
    CREATE TABLE unpacked (diff TEXT, blob INTEGER, PRIMARY KEY (diff, blob)) WITHOUT ROWID;

    CREATE TRIGGER link_added AFTER INSERT ON link BEGIN
      UPDATE repository SET bytes = bytes + (SELECT size FROM blob WHERE id = new.blob) WHERE id = new.repository;
    END;
    CREATE TRIGGER link_removed AFTER DELETE ON link BEGIN
      UPDATE repository SET bytes = bytes - (SELECT size FROM blob WHERE id = old.blob) WHERE id = old.repository;
    END;
    CREATE TRIGGER manifest_added AFTER INSERT ON manifest WHEN new.trashed IS NULL BEGIN
      UPDATE repository SET bytes = bytes + (SELECT size FROM blob WHERE id = new.blob) WHERE id = new.repository;
    END;
    CREATE TRIGGER manifest_removed AFTER DELETE ON manifest WHEN old.trashed IS NULL BEGIN
      UPDATE repository SET bytes = bytes - (SELECT size FROM blob WHERE id = old.blob) WHERE id = old.repository;
    END;
    CREATE TRIGGER manifest_trashed AFTER UPDATE OF trashed ON manifest
      WHEN (old.trashed IS NULL) <> (new.trashed IS NULL) BEGIN
      UPDATE repository
        SET bytes = bytes + (CASE WHEN new.trashed IS NULL THEN 1 ELSE -1 END)
          * (SELECT size FROM blob WHERE id = new.blob)
        WHERE id = new.repository;
    END;
    """
}

/// Runs `body` with SQLite's errors in this module's terms.
func sqlite<T>(_ body: () throws(SQLiteError) -> T) throws(OCIError) -> T {
  do {
    return try body()
  } catch {
    switch error {
    case .diskFull(let path):
      throw OCIError(.diskFull, "write \(path): the disk is full; free some space and try again, nothing was stored")
    case .corrupt(let path, let reason): throw OCIError(.corrupt, "the catalog \(path) is damaged: \(reason)")
    case .io(let message): throw OCIError(.system, message)
    }
  }
}

/// Connections for reading. Readers see the last commit and wait for nobody.
final class ReadPool: Sendable {
  private let path: String
  private let isDurable: Bool
  private let idle = Mutex<[Catalog]>([])
  /// More may be open while they are used; they are closed afterwards.
  private static let idleMax = 8

  init(path: String, isDurable: Bool) {
    self.path = path
    self.isDurable = isDurable
  }

  func read<T>(_ body: (Catalog) throws(OCIError) -> T) throws(OCIError) -> T {
    let catalog: Catalog
    if let idle = idle.withLock({ $0.popLast() }) {
      catalog = idle
    } else {
      catalog = try Catalog(path: path, isDurable: isDurable)
    }
    defer {
      idle.withLock { idle in
        if idle.count < ReadPool.idleMax { idle.append(catalog) }
      }
    }
    return try body(catalog)
  }

  func close() { idle.withLock { $0 = [] } }
}
