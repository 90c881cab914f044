import OCI
import SQLite
import Wire

/// Something that has been deleted or collected, and can be restored.
public struct TrashEntry: Sendable, Equatable {
  /// `nil` for a blob that no repository had any more.
  public var repository: Repository?
  public var digest: Digest
  public var size: Int64
  /// Empty for a blob.
  public var mediaType: String
  /// Those that it had when it was deleted.
  public var tags: [String]
  public var trashed: Timestamp
}

extension ContentStore {
  /// What is in the trash, what was deleted last first; at most `limit`.
  public func trash(limit: Int = 1000) throws(OCIError) -> [TrashEntry] {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all(
        """
        SELECT repository.host, repository.path, blob.digest, blob.size, media_type, manifest.tags, manifest.trashed AS time
          FROM manifest JOIN repository ON repository.id = manifest.repository JOIN blob ON blob.id = manifest.blob
          WHERE manifest.trashed IS NOT NULL
        UNION ALL SELECT NULL, NULL, digest, size, '', '', trashed FROM blob WHERE state = 2 AND trashed > 0
        ORDER BY time DESC, blob.digest LIMIT ?1
        """, .init(Int64(limit))
      ) { (row) throws(OCIError) in
        TrashEntry(
          repository: row.isNull(0) ? nil : Repository(host: row.text(0), path: row.text(1)),
          digest: try catalog.digest(row, 2), size: row.integer(3), mediaType: row.text(4),
          tags: row.text(5).split(separator: "\n").map(String.init),
          trashed: Timestamp(microseconds: row.integer(6)))
      }
    }
  }

  /// Takes a manifest out of the trash, with its tags as far as they are free, its children, and what is about it; or a
  /// blob, which is then kept as if it had just been pushed.
  /// - Parameter repository: in which to restore; `nil` for every repository that had it.
  /// - Returns: `false` when the trash has no such thing.
  public func restoreFromTrash(_ digest: Digest, in repository: Repository? = nil) throws(OCIError) -> Bool {
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      guard let blob = try transaction.catalog.blobID(digest) else { return false }
      var only: Int64?
      if let repository {
        only = try transaction.repositoryID(repository)
      }
      let repositories = try transaction.catalog.all(
        "SELECT repository FROM manifest WHERE blob = ?1 AND trashed IS NOT NULL AND (?2 IS NULL OR repository = ?2)",
        .init(blob), .init(only)
      ) { row in row.integer(0) }
      for repository in repositories { try transaction.restore(blob, in: repository) }
      if !repositories.isEmpty { return true }
      let isTrashed = try transaction.catalog.exists("SELECT 1 FROM blob WHERE id = ?1 AND state = 2", .init(blob))
      guard isTrashed, try transaction.presentBlob(digest) != nil else { return false }
      if let only { try transaction.link(blob, in: only) }
      return true
    }
  }
}

extension Transaction {
  fileprivate func restore(_ manifest: Int64, in repository: Int64) throws(OCIError) {
    var open = [manifest]
    while let blob = open.popLast() {
      let tags = try catalog.first(
        "SELECT tags FROM manifest WHERE repository = ?1 AND blob = ?2 AND trashed IS NOT NULL", .init(repository),
        .init(blob)
      ) { row in row.text(0) }
      guard let tags else { continue }
      try catalog.run(
        "UPDATE manifest SET trashed = NULL, tags = NULL, touched = ?3 WHERE repository = ?1 AND blob = ?2",
        .init(repository), .init(blob), .init(now))
      grown.insert(repository)
      hasNewNames = true
      for tag in tags.split(separator: "\n") {
        let isTaken = try catalog.exists(
          "SELECT 1 FROM tag WHERE repository = ?1 AND name = ?2", .init(repository), .init(String(tag)))
        if !isTaken { try setTag(String(tag), blob, in: repository) }
      }
      let members = try catalog.all(
        """
        SELECT edge.target, edge.kind, blob.state FROM edge JOIN blob ON blob.id = edge.target WHERE edge.source = ?1
        """, .init(blob)
      ) { row in (id: row.integer(0), kind: row.integer(1), state: row.integer(2)) }
      for member in members {
        if member.kind == Catalog.EdgeKind.child.rawValue {
          open.append(member.id)
        } else if member.state == Catalog.BlobState.present.rawValue {
          try link(member.id, in: repository)
        }
      }
      open += try catalog.all(
        "SELECT blob FROM manifest WHERE subject = ?1 AND repository = ?2", .init(blob), .init(repository)
      ) { row in row.integer(0) }
    }
  }
}
