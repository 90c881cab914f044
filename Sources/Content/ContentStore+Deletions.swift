import OCI
import SQLite
import Wire

/// A tag or a manifest that was deleted from a repository of our own registry, and of which somebody has still to learn.
public struct Deletion: Sendable, Equatable {
  let id: Int64
  public var repository: String
  public var reference: ManifestReference
}

extension ContentStore {
  /// Sets who learns of deletions, by name and for all processes: from then on each tag and each manifest that is
  /// deleted from our own registry's repositories is kept for each of them until it is acknowledged. What others had not
  /// acknowledged is forgotten.
  public func setDeletionListeners(_ names: Set<String>) throws(OCIError) {
    let known = try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all("SELECT name FROM listener") { row in row.text(0) }
    }
    guard Set(known) != names else { return }
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      let catalog = transaction.catalog
      for name in known where !names.contains(name) {
        try catalog.run("DELETE FROM listener WHERE name = ?1", .init(name))
        try catalog.run("DELETE FROM deletion WHERE listener = ?1", .init(name))
      }
      for name in names {
        try catalog.run("INSERT INTO listener (name) VALUES (?1) ON CONFLICT DO NOTHING", .init(name))
      }
    }
  }

  /// What a listener has not acknowledged, oldest first.
  /// - Parameter after: only what was deleted later.
  public func deletions(
    for listener: String, after: Deletion? = nil, limit: Int
  ) throws(OCIError) -> [Deletion] {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all(
        "SELECT id, path, reference FROM deletion WHERE listener = ?1 AND id > ?3 ORDER BY id LIMIT ?2",
        .init(listener), .init(Int64(limit)), .init(after?.id ?? 0)
      ) { row in
        let text = row.text(2)
        return Deletion(
          id: row.integer(0), repository: row.text(1), reference: Digest(text).map { .digest($0) } ?? .tag(text))
      }
    }
  }

  /// Forgets a deletion for its listener. One of the same name that came later stays.
  public func acknowledge(_ deletion: Deletion) throws(OCIError) {
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      try transaction.catalog.run("DELETE FROM deletion WHERE id = ?1", .init(deletion.id))
    }
  }
}

extension Transaction {
  /// Deletions that are kept; beyond that the oldest are forgotten.
  private static let deletionsMax: Int64 = 100_000

  /// Keeps a deletion for those who listen.
  func note(deletionOf reference: String, in repository: Int64) throws(OCIError) {
    // A new row in place of an older one: whoever works on that must not acknowledge this one.
    let added = try catalog.run(
      """
      INSERT OR REPLACE INTO deletion (listener, path, reference)
        SELECT listener.name, repository.path, ?2 FROM listener JOIN repository
          WHERE repository.id = ?1 AND repository.host = ''
      """, .init(repository), .init(reference))
    guard added > 0 else { return }
    try catalog.run(
      "DELETE FROM deletion WHERE id <= (SELECT max(id) FROM deletion) - ?1", .init(Self.deletionsMax))
  }
}

extension Catalog {
  /// Tables that came after the first programs with this format, which do without them.
  static let additions = """
    -- Who learns of deletions, and what each has not acknowledged yet.
    CREATE TABLE IF NOT EXISTS listener (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS deletion (
      id INTEGER PRIMARY KEY AUTOINCREMENT, listener TEXT NOT NULL, path TEXT NOT NULL, reference TEXT NOT NULL,
      UNIQUE (listener, path, reference)
    );
    """
}
