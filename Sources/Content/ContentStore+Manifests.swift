import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Synchronization
import Wire

extension ContentStore {
  // MARK: Storing

  /// Stores a manifest or an index in a repository, with all that it refers to and its tags, in one change.
  ///
  /// What it refers to is linked into the repository, as far as it is here (but see `linksOnlyOwn`), and kept from then
  /// on. A tag that another manifest has moves. Putting the same manifest again is harmless, and takes it out of the
  /// trash.
  /// - Parameters:
  ///   - mediaType: as the sender says it; it is what readers are told.
  ///   - digest: what the bytes must have, also of sha512; `nil` for their sha256.
  ///   - requirement: what must be there already.
  ///   - linksOnlyOwn: link no blob that the repository does not have already. For manifests of clients, who could
  ///     otherwise read what is in other repositories by naming it.
  ///   - isImmutable: whether a tag may not move once it is there. Called in the transaction: it must not block.
  /// - Throws: `invalidArchive` (no valid manifest), `digestMismatch`, `missingContent` (with `digests`),
  ///   `tagImmutable`, `quotaExceeded`, `limitExceeded`, `diskFull`.
  @discardableResult
  public func putManifest(
    _ bytes: [UInt8], mediaType: String, digest: Digest? = nil, tags: [String] = [], in repository: Repository,
    requiring requirement: ManifestRequirement = .linked, linksOnlyOwn: Bool = false,
    isImmutable: @escaping @Sendable (_ tag: String) -> Bool = { _ in false }
  ) throws(OCIError) -> ManifestRecord {
    guard bytes.count <= limits.documentMax else {
      throw OCIError(
        .limitExceeded, "the manifest has \(bytes.count) bytes; manifests may have \(limits.documentMax)")
    }
    for tag in tags { try checkTag(tag) }
    let content = Digest(of: bytes, digest?.algorithm ?? .sha256)
    guard digest == nil || digest == content else {
      throw OCIError(
        .digestMismatch, "the manifest has the digest \(content), but \(digest ?? content) was given",
        digests: [content])
    }
    let manifest = try ParsedManifest(bytes, mediaType: mediaType, digest: content, limits: limits)
    let file = try stage(bytes, content)
    defer { file.discard() }
    try store(file.staged) { (transaction: Transaction, blob: Int64) throws(OCIError) in
      try transaction.put(
        manifest, blob, tags: tags, in: repository, requirement, linksOnlyOwn: linksOnlyOwn, isImmutable)
    }
    manifests.insert(manifest.record)
    return manifest.record
  }

  private func stage(_ bytes: [UInt8], _ digest: Digest) throws(OCIError) -> DocumentFile {
    let path = try stagedPath()
    let fd = Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard fd >= 0 else { throw OCIError(SystemError.last("create \(path)")) }
    let file = DocumentFile(
      staged: StagedFile(path: path, descriptor: fd, digest: digest, size: Int64(bytes.count)))
    do throws(SystemError) {
      try DurableFile.writeAll(fd, bytes, to: path)
    } catch {
      file.discard()
      throw OCIError(error)
    }
    return file
  }

  private struct DocumentFile {
    let staged: StagedFile

    /// Closes it, and removes what the store did not take.
    func discard() {
      _ = Glibc.close(staged.descriptor)
      _ = Glibc.unlink(staged.path)
    }
  }

  // MARK: Reading

  /// A manifest of a repository; `nil` when there is none of that name, also when it waits in the trash.
  ///
  /// The bytes come from memory when they were read before; that the repository has it is asked of the catalog each time,
  /// so the answer is right whichever process changed it.
  public func manifest(
    _ reference: ManifestReference, in repository: Repository
  ) throws(OCIError) -> ManifestRecord? {
    let row = try readers.read { (catalog: Catalog) throws(OCIError) in
      switch reference {
      case .tag(let tag):
        try catalog.first(
          """
          SELECT blob.digest, manifest.media_type, blob.state FROM repository
            JOIN tag ON tag.repository = repository.id AND tag.name = ?3
            JOIN manifest ON manifest.repository = repository.id AND manifest.blob = tag.blob
            JOIN blob ON blob.id = tag.blob
            WHERE repository.host = ?1 AND repository.path = ?2 AND manifest.trashed IS NULL
          """, .init(repository.host), .init(repository.path), .init(tag)
        ) { (row) throws(OCIError) in (try catalog.digest(row, 0), row.text(1), row.integer(2)) }
      case .digest(let digest):
        try catalog.first(
          """
          SELECT blob.digest, manifest.media_type, blob.state FROM repository
            JOIN blob ON blob.digest = ?3
            JOIN manifest ON manifest.repository = repository.id AND manifest.blob = blob.id
            WHERE repository.host = ?1 AND repository.path = ?2 AND manifest.trashed IS NULL
          """, .init(repository.host), .init(repository.path), .init(digest)
        ) { (row) throws(OCIError) in (try catalog.digest(row, 0), row.text(1), row.integer(2)) }
      }
    }
    guard let (digest, mediaType, state) = row else { return nil }
    guard state == Catalog.BlobState.present.rawValue else {
      throw OCIError(
        .corrupt, "the manifest \(digest) of \(repository) was found damaged and is in quarantine; push it again",
        digests: [digest])
    }
    var record = try manifestRecord(digest, mediaType: mediaType)
    // One content may have been put as two types.
    record.mediaType = mediaType
    return record
  }

  func manifestRecord(_ digest: Digest, mediaType: String) throws(OCIError) -> ManifestRecord {
    if let record = manifests.record(digest) { return record }
    let bytes = try document(digest)
    let record = try ParsedManifest(bytes, mediaType: mediaType, digest: digest, limits: limits).record
    manifests.insert(record)
    return record
  }

  /// Some of the manifests about another one.
  public struct ReferrerPage: Sendable, Equatable {
    public var descriptors: [Descriptor] = []
    /// After what the next page begins; `nil` when there is none.
    public var next: Int64?

    public init() {}
  }

  /// Descriptors of the manifests whose `subject` is `digest` (distribution-spec, "Listing Referrers"), in the order in
  /// which they became known. The subject need not be there.
  ///
  /// No more is read than what is given back: the index has this order.
  /// - Parameters:
  ///   - after: `next` of the page before.
  ///   - bytesMax: about how long the descriptors may be as JSON; the first one is given in any case.
  public func referrers(
    to digest: Digest, in repository: Repository, artifactType: String? = nil, after: Int64 = 0,
    bytesMax: Int = 3 << 20
  ) throws(OCIError) -> ReferrerPage {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      var page = ReferrerPage()
      guard let id = try catalog.repositoryID(repository), let subject = try catalog.blobID(digest) else { return page }
      var bytes = 0
      var last = after
      try catalog.each(
        Catalog.referrersQuery, .init(subject), .init(id), .init(artifactType), .init(after)
      ) { (row) throws(OCIError) in
        let (mediaType, annotations) = (row.text(2), row.isNull(4) ? "" : row.text(4))
        let artifactType = row.isNull(3) ? nil : row.text(3)
        // With the digest, the size, and the names of the members.
        bytes += mediaType.utf8.count + annotations.utf8.count + (artifactType?.utf8.count ?? 0) + 256
        guard bytes <= bytesMax || page.descriptors.isEmpty else {
          page.next = last
          return false
        }
        page.descriptors.append(
          Descriptor(
            mediaType: mediaType, digest: try catalog.digest(row, 0), size: row.integer(1),
            annotations: annotations.isEmpty ? [:] : (try? JSON.parse(Array(annotations.utf8)))?.strings ?? [:],
            artifactType: artifactType))
        last = row.integer(5)
        return true
      }
      return page
    }
  }

  // MARK: Deleting

  /// Takes a manifest, with its tags, out of a repository. It waits in the trash, from which it can be restored with
  /// them. What only it needs, and what is only about it (`subject`), is collected.
  /// - Parameter isImmutable: whether a tag may not go once it is there. Called in the transaction: it must not block.
  /// - Returns: `false` when the repository has no such manifest.
  public func deleteManifest(
    _ digest: Digest, in repository: Repository,
    isImmutable: @escaping @Sendable (_ tag: String) -> Bool = { _ in false }
  ) throws(OCIError) -> Bool {
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      guard let row = try transaction.manifestRow(digest, in: repository) else { return false }
      let tags = try transaction.catalog.all(
        "SELECT name FROM tag WHERE blob = ?1 AND repository = ?2", .init(row.blob), .init(row.repository)
      ) { row in row.text(0) }
      if let tag = tags.first(where: isImmutable) { throw Transaction.immutable(tag) }
      for reference in tags + [digest.description] {
        try transaction.note(deletionOf: reference, in: row.repository)
      }
      try transaction.trash(row.blob, in: row.repository, tags: tags)
      return true
    }
  }
}

extension Catalog {
  /// Walks along the index on subjects, which ends with the blob.
  static let referrersQuery = """
    SELECT blob.digest, blob.size, media_type, artifact_type, annotations, manifest.blob
      FROM manifest INDEXED BY manifest_subject JOIN blob ON blob.id = manifest.blob
      WHERE subject = ?1 AND repository = ?2 AND manifest.blob > ?4 AND manifest.trashed IS NULL
        AND (?3 IS NULL OR artifact_type = ?3)
      ORDER BY manifest.blob
    """
}

/// A manifest as the catalog wants it.
struct ParsedManifest: Sendable {
  var record: ManifestRecord
  /// What must be there, unless nothing must: configuration, and layers that belong to it.
  var blobs: [Digest] = []
  var children: [Digest] = []
  /// All that it consists of.
  var edges: [(target: Digest, kind: Catalog.EdgeKind)] = []
  /// Layers that registries leave to other servers: they need not be there.
  var optional: Set<Digest> = []

  init(_ bytes: [UInt8], mediaType: String, digest: Digest, limits: ImageLimits) throws(OCIError) {
    let document = try ManifestDocument(
      bytes, mediaType: mediaType, label: "manifest \(digest)", limits: limits)
    let artifactType = document.artifactType
    record = ManifestRecord(
      digest: digest, mediaType: mediaType.isEmpty ? document.mediaType : mediaType, bytes: bytes,
      subject: document.subject?.digest, artifactType: artifactType.isEmpty ? nil : artifactType,
      annotations: document.annotations)
    var seen = Set<Digest>()
    for (position, blob) in document.blobs.enumerated() where seen.insert(blob.digest).inserted {
      edges.append((blob.digest, position == 0 ? .config : .layer))
      blobs.append(blob.digest)
      if MediaType.isNondistributable(blob.mediaType) || !blob.urls.isEmpty { optional.insert(blob.digest) }
    }
    for child in document.manifests where seen.insert(child.digest).inserted {
      edges.append((child.digest, .child))
      children.append(child.digest)
    }
  }
}

extension Transaction {
  static func immutable(_ tag: String) -> OCIError {
    OCIError(
      .tagImmutable, "the tag \(tag) is immutable: it is there already and can neither move nor go; use a new tag")
  }

  /// The row of a manifest that the repository has.
  func manifestRow(
    _ digest: Digest, in repository: Repository
  ) throws(OCIError) -> (repository: Int64, blob: Int64)? {
    guard let id = try catalog.repositoryID(repository), let blob = try catalog.blobID(digest) else { return nil }
    let isThere = try catalog.exists(
      "SELECT 1 FROM manifest WHERE repository = ?1 AND blob = ?2 AND trashed IS NULL", .init(id), .init(blob))
    return isThere ? (id, blob) : nil
  }

  func checkMove(
    _ tag: String, to blob: Int64, in repository: Int64, _ isImmutable: (String) -> Bool
  ) throws(OCIError) {
    let current = try catalog.first(
      "SELECT blob FROM tag WHERE repository = ?1 AND name = ?2", .init(repository), .init(tag)
    ) { row in row.integer(0) }
    if let current, current != blob, isImmutable(tag) { throw Transaction.immutable(tag) }
  }

  /// Makes a manifest, whose blob is there, one of the repository.
  func put(
    _ manifest: ParsedManifest, _ blob: Int64, tags: [String], in repository: Repository,
    _ requirement: ManifestRequirement, linksOnlyOwn: Bool = false, _ isImmutable: (String) -> Bool
  ) throws(OCIError) {
    let id = try repositoryID(repository)
    for tag in tags { try checkMove(tag, to: blob, in: id, isImmutable) }
    var missing: [Digest] = []
    for (target, kind) in manifest.edges {
      let isOptional = manifest.optional.contains(target)
      // Out of the trash, when it waits there.
      let present = try presentBlob(target)
      let isOwn =
        if let present, kind != .child {
          try catalog.exists(
            "SELECT 1 FROM link WHERE repository = ?1 AND blob = ?2", .init(id), .init(present.id))
        } else {
          false
        }
      let isThere =
        switch requirement {
        case .nothing: true
        case .present: present != nil
        case .linked, .linkedBlobs:
          if kind == .child {
            if requirement == .linkedBlobs { true } else { try manifestRow(target, in: repository) != nil }
          } else {
            isOwn
          }
        }
      guard isThere || isOptional else {
        missing.append(target)
        continue
      }
      let targetID = if let present { present.id } else { try blobID(target) }
      try catalog.run(
        "INSERT INTO edge (source, target, kind) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", .init(blob),
        .init(targetID), .init(kind.rawValue))
      if kind != .child, present != nil, isOwn || !linksOnlyOwn { try link(targetID, in: id) }
    }
    guard missing.isEmpty else {
      let names = missing.prefix(3).map(\.description).joined(separator: ", ")
      throw OCIError(
        .missingContent,
        "the manifest \(manifest.record.digest) refers to content that \(repository) does not have: \(names)"
          + (missing.count > 3 ? " and \(missing.count - 3) more" : "") + "; push it first",
        digests: missing)
    }
    try insert(manifest.record, blob, in: id)
    for tag in tags { try setTag(tag, blob, in: id) }
    hasNewNames = true
  }

  private func insert(_ record: ManifestRecord, _ blob: Int64, in repository: Int64) throws(OCIError) {
    let subject: Int64? = if let subject = record.subject { try blobID(subject) } else { nil }
    let isKnown = try catalog.exists(
      "SELECT 1 FROM manifest WHERE repository = ?1 AND blob = ?2 AND trashed IS NULL", .init(repository), .init(blob))
    if !isKnown { grown.insert(repository) }
    // Only a referrers list shows them.
    let annotations =
      record.subject == nil || record.annotations.isEmpty
      ? nil : String(decoding: JSON(sorted: record.annotations).serialized(), as: UTF8.self)
    try catalog.run(
      """
      INSERT INTO manifest (repository, blob, media_type, subject, artifact_type, annotations, touched)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (repository, blob) DO UPDATE SET
          media_type = excluded.media_type, touched = excluded.touched, trashed = NULL, tags = NULL
      """, .init(repository), .init(blob), .init(record.mediaType), .init(subject), .init(record.artifactType),
      .init(annotations), .init(now))
  }

  /// Moves a manifest of a repository to the trash, with its tags.
  func trash(_ blob: Int64, in repository: Int64, tags: [String]) throws(OCIError) {
    for tag in tags { try removeTag(tag, in: repository) }
    try catalog.run(
      "UPDATE manifest SET trashed = ?3, tags = ?4 WHERE repository = ?1 AND blob = ?2 AND trashed IS NULL",
      .init(repository), .init(blob), .init(now), .init(tags.joined(separator: "\n")))
    hasNewNames = true
  }
}
