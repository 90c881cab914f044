import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Synchronization
import Wire

extension ContentStore {
  /// A blob of a repository that was asked for is kept for the collection's whole grace from then on; this is how often
  /// that is written down.
  static var touchInterval: Int64 { 300_000_000 }

  // MARK: Blobs of a repository

  /// Makes a blob that is here a blob of the repository, without a copy (a cross-repository mount).
  /// - Parameter source: a repository that must have it; `nil`: any, or none.
  /// - Returns: `false` when it is not there.
  public func link(
    _ digest: Digest, in repository: Repository, from source: Repository? = nil
  ) throws(OCIError) -> Bool {
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      if let source {
        let isThere = try transaction.catalog.exists(
          """
          SELECT 1 FROM repository JOIN link ON link.repository = repository.id JOIN blob ON blob.id = link.blob
            WHERE repository.host = ?1 AND repository.path = ?2 AND blob.digest = ?3
          """, .init(source.host), .init(source.path), .init(digest))
        guard isThere else { return false }
      }
      guard let (blob, _) = try transaction.presentBlob(digest) else { return false }
      try transaction.link(blob, in: try transaction.repositoryID(repository))
      return true
    }
  }

  /// As `link(_:in:from:)`, from any repository of our own registry that may be read.
  public func link(
    _ digest: Digest, in repository: Repository, fromAny mayRead: (_ path: String) -> Bool
  ) throws(OCIError) -> Bool {
    var source: String?
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.each(
        """
        SELECT path FROM blob JOIN link ON link.blob = blob.id JOIN repository ON repository.id = link.repository
          WHERE blob.digest = ?1 AND blob.state = 1 AND repository.host = ''
        """, .init(digest)
      ) { row in
        let path = row.text(0)
        if mayRead(path) { source = path }
        return source == nil
      }
    }
    return try source.map { (path) throws(OCIError) in
      try link(digest, in: repository, from: Repository(path: path))
    } ?? false
  }

  /// Whether the repository has the blob. It is then kept for the collection's grace, so that a manifest can refer to it.
  public func isLinked(_ digest: Digest, in repository: Repository) throws(OCIError) -> Bool {
    try blobSize(digest, in: repository) != nil
  }

  /// The size of a blob of the repository; `nil` when the repository has none of that digest. A blob that is there is
  /// kept for the collection's grace, so that a manifest can refer to it. One whose file has another length is not there:
  /// whoever asks brings it again.
  public func blobSize(_ digest: Digest, in repository: Repository) throws(OCIError) -> Int64? {
    guard let row = try linkedBlob(digest, in: repository), try hasLength(digest, row.size) else { return nil }
    faults.pause()
    if time.now().microseconds - row.touched < ContentStore.touchInterval { return row.size }
    do throws(OCIError) {
      let isThere = try writer.perform { (transaction: Transaction) throws(OCIError) in
        let (catalog, now) = (transaction.catalog, transaction.now)
        return try catalog.run(
          """
          UPDATE link SET touched = ?3 WHERE repository = ?1 AND blob = ?2
            AND EXISTS (SELECT 1 FROM blob WHERE id = ?2 AND state = 1)
          """, .init(row.repository), .init(row.blob), .init(now)) > 0
      }
      return isThere ? row.size : nil
    } catch {
      // It can be read all the same; that its grace begins anew is a favour.
      if error.code == .diskFull { return row.size }
      throw error
    }
  }

  /// Opens a blob of the repository; `nil` when the repository has none of that digest.
  ///
  /// - Throws: `corrupt` when its file has not the length that it was stored with; it is out of use then.
  public func openBlob(_ digest: Digest, in repository: Repository) throws(OCIError) -> BlobFile? {
    guard let row = try linkedBlob(digest, in: repository) else { return nil }
    return try openFile(digest, size: row.size)
  }

  private func linkedBlob(
    _ digest: Digest, in repository: Repository
  ) throws(OCIError) -> (repository: Int64, blob: Int64, size: Int64, touched: Int64)? {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.first(
        """
        SELECT link.repository, link.blob, blob.size, link.touched
          FROM repository JOIN blob ON blob.digest = ?3 AND blob.state = 1
          JOIN link ON link.repository = repository.id AND link.blob = blob.id
          WHERE repository.host = ?1 AND repository.path = ?2
        """, .init(repository.host), .init(repository.path), .init(digest)
      ) { row in (row.integer(0), row.integer(1), row.integer(2), row.integer(3)) }
    }
  }

  /// Takes a blob out of the repository. Its bytes stay as long as anything needs them.
  /// - Parameter isImmutable: whether a tag must keep what it names. Called in the transaction: it must not block.
  /// - Returns: `false` when the repository has none of that digest.
  /// - Throws: `tagImmutable` when an image with such a tag needs the blob.
  public func unlink(
    _ digest: Digest, in repository: Repository,
    isImmutable: @escaping @Sendable (_ tag: String) -> Bool = { _ in false }
  ) throws(OCIError) -> Bool {
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      let catalog = transaction.catalog
      guard let id = try catalog.repositoryID(repository), let blob = try catalog.blobID(digest) else { return false }
      let isThere = try catalog.exists(
        "SELECT 1 FROM link WHERE repository = ?1 AND blob = ?2", .init(id), .init(blob))
      guard isThere else { return false }
      // Of its manifests, and of the indexes that list them.
      let tags = try catalog.all(
        """
        WITH RECURSIVE owner (id) AS (
          SELECT ?2 UNION SELECT edge.source FROM edge JOIN owner ON edge.target = owner.id
        )
        SELECT tag.name FROM owner JOIN tag ON tag.blob = owner.id AND tag.repository = ?1
        """, .init(id), .init(blob)
      ) { row in row.text(0) }
      if let tag = tags.first(where: isImmutable) { throw Transaction.immutable(tag) }
      return try catalog.run("DELETE FROM link WHERE repository = ?1 AND blob = ?2", .init(id), .init(blob)) > 0
    }
  }

  // MARK: Tags

  /// Gives a manifest of the repository a tag; one that another manifest has moves.
  /// - Parameter isImmutable: whether a tag may not move once it is there. Called in the transaction: it must not block.
  /// - Returns: `false` when the repository has no such manifest.
  public func tag(
    _ tag: String, _ digest: Digest, in repository: Repository,
    isImmutable: @escaping @Sendable (_ tag: String) -> Bool = { _ in false }
  ) throws(OCIError) -> Bool {
    try checkTag(tag)
    return try writer.perform { (transaction: Transaction) throws(OCIError) in
      guard let row = try transaction.manifestRow(digest, in: repository) else { return false }
      try transaction.checkMove(tag, to: row.blob, in: row.repository, isImmutable)
      try transaction.setTag(tag, row.blob, in: row.repository)
      return true
    }
  }

  func checkTag(_ tag: String) throws(OCIError) {
    guard Reference.isTag(tag[...]) else {
      throw OCIError(
        .invalidReference,
        "\"\(tag.prefix(200))\" is no tag: a tag has up to 128 letters, digits, '_', '.' and '-', "
          + "and starts with none of '.' and '-'")
    }
  }

  /// Takes a tag away. Its manifest stays in the repository, for the collection's grace.
  /// - Parameter isImmutable: whether a tag may not go once it is there. Called in the transaction: it must not block.
  /// - Returns: `false` when there is no such tag.
  public func deleteTag(
    _ tag: String, in repository: Repository, isImmutable: @escaping @Sendable (_ tag: String) -> Bool = { _ in false }
  ) throws(OCIError) -> Bool {
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      guard let id = try transaction.catalog.repositoryID(repository) else { return false }
      let isThere = try transaction.catalog.exists(
        "SELECT 1 FROM tag WHERE repository = ?1 AND name = ?2", .init(id), .init(tag))
      guard isThere else { return false }
      guard !isImmutable(tag) else { throw Transaction.immutable(tag) }
      try transaction.note(deletionOf: tag, in: id)
      return try transaction.removeTag(tag, in: id)
    }
  }

  /// Tags in lexical order without regard to case (distribution-spec, "Listing Tags"), at most `limit`, after `after`.
  public func tags(in repository: Repository, after: String? = nil, limit: Int) throws(OCIError) -> [String] {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      guard let id = try catalog.repositoryID(repository) else { return [] }
      return try catalog.all(
        Catalog.tagsQuery, .init(id), .init(after ?? ""), .init(Int64(limit))
      ) { row in row.text(0) }
    }
  }

  /// The tags of a manifest, sorted.
  public func tags(of digest: Digest, in repository: Repository) throws(OCIError) -> [String] {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      guard let id = try catalog.repositoryID(repository), let blob = try catalog.blobID(digest) else { return [] }
      return try catalog.all(
        "SELECT name FROM tag WHERE blob = ?2 AND repository = ?1 ORDER BY name", .init(id), .init(blob)
      ) { row in row.text(0) }
    }
  }

  // MARK: Repositories

  /// Whether the repository has a manifest or a blob.
  public func hasRepository(_ repository: Repository) throws(OCIError) -> Bool {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      guard let id = try catalog.repositoryID(repository) else { return false }
      return try catalog.exists(
        """
        SELECT 1 WHERE EXISTS (SELECT 1 FROM manifest WHERE repository = ?1 AND trashed IS NULL)
          OR EXISTS (SELECT 1 FROM link WHERE repository = ?1)
        """, .init(id))
    }
  }

  /// The repositories of a host that have a manifest, by path, at most `limit`, after the path `after`.
  public func repositories(
    host: String = "", after: String? = nil, limit: Int
  ) throws(OCIError) -> [Repository] {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all(
        """
        SELECT path FROM repository WHERE host = ?1 AND path > ?2
          AND EXISTS (SELECT 1 FROM manifest WHERE manifest.repository = repository.id AND trashed IS NULL)
          ORDER BY path LIMIT ?3
        """, .init(host), .init(after ?? ""), .init(Int64(limit))
      ) { row in Repository(host: host, path: row.text(0)) }
    }
  }

  // MARK: Quotas

  /// Bytes of the repository's blobs and manifests. What two repositories share counts for both.
  public func usage(of repository: Repository) throws(OCIError) -> Int64 {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.first(
        "SELECT bytes FROM repository WHERE host = ?1 AND path = ?2", .init(repository.host), .init(repository.path)
      ) { row in row.integer(0) } ?? 0
    }
  }

  /// Bytes of the repository of that path and of all below it; of all of the host for the empty prefix.
  public func usage(host: String = "", prefix: String) throws(OCIError) -> Int64 {
    try readers.read { (catalog: Catalog) throws(OCIError) in try catalog.usage(host: host, prefix: prefix) }
  }

  public func quotas() throws(OCIError) -> [RepositoryQuota] {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all("SELECT host, prefix, bytes FROM quota ORDER BY host, prefix") { row in
        RepositoryQuota(host: row.text(0), prefix: row.text(1), bytesMax: row.integer(2))
      }
    }
  }

  /// Sets all quotas, for all processes. A quota that is exceeded already only refuses more.
  public func setQuotas(_ quotas: [RepositoryQuota]) throws(OCIError) {
    hasQuotas.store(!quotas.isEmpty, ordering: .relaxed)
    guard Set(try self.quotas().map(\.description)) != Set(quotas.map(\.description)) else { return }
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      try transaction.catalog.run("DELETE FROM quota")
      for quota in quotas {
        try transaction.catalog.run(
          "INSERT INTO quota VALUES (?1, ?2, ?3) ON CONFLICT (host, prefix) DO UPDATE SET bytes = min(bytes, excluded.bytes)",
          .init(quota.host), .init(quota.prefix), .init(quota.bytesMax))
      }
    }
  }

  /// Throws `quotaExceeded` when the repository may not have that many bytes more, unfinished uploads included. What is
  /// stored in the end is checked again with the change that stores it.
  public func checkQuota(of repository: Repository, adding bytes: Int64) throws(OCIError) {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.checkQuota(of: repository, adding: bytes) { prefix in
        unfinishedBytes(host: repository.host, prefix: prefix)
      }
    }
  }
}

extension Catalog {
  /// Walks along the index, which has this order: a page costs the same wherever it is.
  static let tagsQuery = """
    SELECT name FROM tag
      WHERE repository = ?1 AND name COLLATE NOCASE >= ?2 AND (name COLLATE NOCASE > ?2 OR name > ?2)
      ORDER BY name COLLATE NOCASE, name LIMIT ?3
    """
}

extension RepositoryQuota: CustomStringConvertible {
  public var description: String { "\(host)/\(prefix): \(bytesMax)" }
}
