import Glibc
import LinuxSystem
import OCI
import SQLite
import Synchronization
import Wire

/// The images of this machine: what of the content store can be run.
///
/// An image's name is a tag of a repository. So what has been imported here, pulled from a registry, pushed to our own
/// one, or built, is at once an image, and nothing is copied. A name that means an index means the image of this
/// machine's platform in it.
///
/// Several processes may use one store. Calls that are not `async` block shortly.
public final class ImageStore: Sendable {
  public let content: ContentStore
  private let cache = Mutex<[Digest: Image]>([:])
  private static let cacheMax = 2000
  /// All images, as long as no name changes: a node asks for them every few seconds.
  private let listed = Mutex<(stamp: Stamp, images: [Image])?>(nil)

  /// Tells whether a file has been replaced; `nil` when there is none.
  private struct Stamp: Equatable {
    var inode: UInt64
    var seconds: Int
    var nanoseconds: Int

    /// Long enough ago that another replacement has another time, whatever the clock's ticks.
    var isSettled: Bool {
      var now = timespec()
      clock_gettime(CLOCK_REALTIME, &now)
      return now.tv_sec - seconds > 1
    }

    init?(_ path: String) {
      var status = stat()
      guard stat(path, &status) == 0 else { return nil }
      inode = UInt64(status.st_ino)
      seconds = status.st_mtim.tv_sec
      nanoseconds = status.st_mtim.tv_nsec
    }
  }

  public var root: String { content.root }

  public init(_ content: ContentStore) { self.content = content }

  /// Opens the store, and makes it when there is none.
  public static func open(
    root: String, limits: ImageLimits = ImageLimits(), time: any TimeSource = SystemClock()
  ) throws(OCIError) -> ImageStore {
    ImageStore(try ContentStore.open(root: root, limits: limits, time: time))
  }

  /// Where a blob is, or would be.
  public func blobPath(_ digest: Digest) -> String { content.blobPath(digest) }

  /// The folder in which a file is replaced whenever names have changed: for inotify(7).
  public var changesFolder: String { content.changesFolder }

  // MARK: Looking up

  /// The image of that name (`web-app:1`, `name@sha256:…`), digest (`sha256:…` of its manifest, its configuration or an
  /// index that has it) or image id (at least 6 hexadecimal digits of the configuration's digest); `nil` when there is
  /// none.
  public func image(_ reference: String) throws(OCIError) -> Image? {
    guard let target = try target(of: reference) else { return nil }
    return try image(of: target)
  }

  /// All images that have a name, and those that were imported without one, sorted by name. One that cannot be read, or
  /// is not for this machine, is left out: it cannot be run.
  public func list() -> [Image] {
    // Taken before the look, so that what changes meanwhile is looked at again next time.
    let stamp = Stamp("\(changesFolder)/names")
    if let stamp, let images = listed.withLock({ $0?.stamp == stamp ? $0?.images : nil }) { return images }
    let images = listNow()
    if let stamp, stamp.isSettled { listed.withLock { $0 = (stamp, images) } }
    return images
  }

  private func listNow() -> [Image] {
    let targets = try? content.readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all(
        """
        SELECT DISTINCT blob.digest, manifest.media_type FROM tag
          JOIN manifest ON manifest.repository = tag.repository AND manifest.blob = tag.blob
          JOIN blob ON blob.id = tag.blob WHERE manifest.trashed IS NULL
        """
      ) { (row) throws(OCIError) in Target(digest: try catalog.digest(row, 0), mediaType: row.text(1)) }
    }
    var seen = Set<Digest>()
    var images: [Image] = []
    for target in targets ?? [] {
      guard let image = try? image(of: target), seen.insert(image.digest).inserted else { continue }
      images.append(image)
    }
    return images.sorted { ($0.names.first ?? "~", $0.digest) < ($1.names.first ?? "~", $1.digest) }
  }

  /// A manifest or an index.
  private struct Target {
    var digest: Digest
    var mediaType: String
  }

  private func target(of reference: String) throws(OCIError) -> Target? {
    if let digest = Digest(reference) { return try target(digest) }
    if (6...64).contains(reference.utf8.count), Digest.isHex(reference) {
      if let parsed = try? Reference(parsing: reference), let target = try target(named: parsed) { return target }
      return try target(idPrefix: reference)
    }
    let parsed = try Reference(parsing: reference)
    // A digest says it all: the tag beside it is for people.
    if let digest = parsed.digest { return try target(digest, isID: false) }
    return try target(named: parsed)
  }

  private func target(named reference: Reference) throws(OCIError) -> Target? {
    guard let tag = reference.tag else { return nil }
    let repository = try content.repository(for: reference)
    return try first(
      """
      SELECT blob.digest, manifest.media_type FROM repository
        JOIN tag ON tag.repository = repository.id AND tag.name = ?3
        JOIN manifest ON manifest.repository = repository.id AND manifest.blob = tag.blob
        JOIN blob ON blob.id = tag.blob
        WHERE repository.host = ?1 AND repository.path = ?2 AND manifest.trashed IS NULL
      """, .init(repository.host), .init(repository.path), .init(tag))
  }

  private func first(_ sql: String, _ a: Catalog.Value, _ b: Catalog.Value, _ c: Catalog.Value) throws(OCIError)
    -> Target?
  {
    try content.readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.first(sql, a, b, c) { (row) throws(OCIError) in
        Target(digest: try catalog.digest(row, 0), mediaType: row.text(1))
      }
    }
  }

  /// A manifest that can be run: a repository has it, or it is pinned because it runs.
  private static let isKept = """
    (EXISTS (SELECT 1 FROM manifest WHERE manifest.blob = blob.id AND trashed IS NULL)
      OR EXISTS (SELECT 1 FROM pin WHERE pin.blob = blob.id))
    """

  private static let mediaType = "ifnull((SELECT media_type FROM manifest WHERE manifest.blob = blob.id LIMIT 1), '')"

  private func target(_ digest: Digest, isID: Bool = true) throws(OCIError) -> Target? {
    // A manifest or an index that is here; an image with this configuration; a member of an index that is not here.
    try first(
      """
      SELECT digest, \(ImageStore.mediaType) AS type, 0 AS rank FROM blob
        WHERE digest = ?1 AND state = 1 AND EXISTS (SELECT 1 FROM edge WHERE source = blob.id) AND \(ImageStore.isKept)
      UNION ALL
      SELECT blob.digest, \(ImageStore.mediaType), 1 FROM blob AS wanted
        JOIN edge ON edge.target = wanted.id AND edge.kind = 0 JOIN blob ON blob.id = edge.source
        WHERE wanted.digest = ?1 AND blob.state = 1 AND ?2 AND \(ImageStore.isKept)
      UNION ALL
      SELECT blob.digest, \(ImageStore.mediaType), 2 FROM blob AS wanted
        JOIN edge ON edge.source = wanted.id AND edge.kind = 2 JOIN blob ON blob.id = edge.target
        WHERE wanted.digest = ?1 AND wanted.state = 0 AND blob.state = 1 AND ?3 AND \(ImageStore.isKept)
      ORDER BY rank LIMIT 1
      """, .init(digest), .init(isID ? 1 : 0), 1)
  }

  private func target(idPrefix: String) throws(OCIError) -> Target? {
    let found = try content.readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all(
        // 'g' follows 'f'.
        """
        SELECT blob.digest, \(ImageStore.mediaType), config.digest FROM blob AS config
          JOIN edge ON edge.target = config.id AND edge.kind = 0 JOIN blob ON blob.id = edge.source
          WHERE config.digest >= 'sha256:' || ?1 AND config.digest < 'sha256:' || ?1 || 'g'
            AND blob.state = 1 AND \(ImageStore.isKept)
          ORDER BY blob.digest LIMIT 100
        """, .init(idPrefix)
      ) { (row) throws(OCIError) in
        (target: Target(digest: try catalog.digest(row, 0), mediaType: row.text(1)), id: row.text(2))
      }
    }
    guard Set(found.map(\.id)).count <= 1 else {
      throw OCIError(.ambiguous, "several images have ids that begin with \(idPrefix); give more digits")
    }
    return found.first?.target
  }

  // MARK: Reading

  private func image(of target: Target) throws(OCIError) -> Image {
    var image = try load(try platformManifest(target, depth: 0))
    image.names = try names(of: image.digest)
    return image
  }

  /// The manifest that an index has for this machine.
  private func platformManifest(_ target: Target, depth: Int) throws(OCIError) -> Target {
    if cache.withLock({ $0[target.digest] != nil }) { return target }
    let record = try content.manifestRecord(target.digest, mediaType: target.mediaType)
    let label = "image \(target.digest)"
    let document = try ManifestDocument(record.bytes, mediaType: nil, label: label, limits: content.limits)
    guard case .index(let index) = document else { return target }
    guard depth < 3 else { throw OCIError(.invalidArchive, "\(label): indexes are nested too deep") }
    guard let chosen = index.image(for: .host) else {
      let platforms = index.images.map { $0.platform?.description ?? "unknown" }.joined(separator: ", ")
      throw OCIError(.unsupported, "\(label): there is no image for \(Platform.host) (the index has: \(platforms))")
    }
    return try platformManifest(Target(digest: chosen.digest, mediaType: chosen.mediaType), depth: depth + 1)
  }

  private func load(_ target: Target) throws(OCIError) -> Image {
    if let known = cache.withLock({ $0[target.digest] }) { return known }
    let label = "image \(target.digest)"
    let record = try content.manifestRecord(target.digest, mediaType: target.mediaType)
    let manifest = try Manifest(record.bytes, label: label, limits: content.limits)
    let document = try ConfigDocument(try content.document(manifest.config.digest), label: label)
    guard document.diffIDs.count == manifest.layers.count else {
      throw OCIError(.invalidArchive, "\(label): manifest and configuration have different numbers of layers")
    }
    var image = Image(
      names: [], digest: target.digest, id: manifest.config.digest, size: record.size + manifest.config.size,
      config: document.config, layers: [])
    for (layer, diffID) in zip(manifest.layers, document.diffIDs) {
      let (size, isTooLarge) = image.size.addingReportingOverflow(layer.size)
      guard !isTooLarge else { throw OCIError(.limitExceeded, "\(label): its layers are too large") }
      image.size = size
      image.layers.append(Image.Layer(layer, diffID: diffID))
    }
    let loaded = image
    cache.withLock { cache in
      if cache.count >= ImageStore.cacheMax { cache = [:] }
      cache[target.digest] = loaded
    }
    return image
  }

  /// The tags of the manifest, and of indexes that have it.
  private func names(of digest: Digest) throws(OCIError) -> [String] {
    try content.readers.read { (catalog: Catalog) throws(OCIError) in
      let own = try ContentStore.registryHosts(catalog).first
      return try catalog.all(
        """
        SELECT DISTINCT host, path, name FROM tag JOIN repository ON repository.id = tag.repository
          WHERE host <> ?2 AND tag.blob IN (
            SELECT id FROM blob WHERE digest = ?1
            UNION SELECT edge.source FROM blob JOIN edge ON edge.target = blob.id AND edge.kind = 2
              WHERE blob.digest = ?1)
        """, .init(digest), .init(ContentStore.unnamed.host)
      ) { row in (host: row.text(0), rest: "\(row.text(1)):\(row.text(2))") }
      .compactMap { name in (name.host.isEmpty ? own : name.host).map { "\($0)/\(name.rest)" } }
      .sorted()
    }
  }

  /// The layers that are not here. An image that is fetched while it runs already lacks some for a while.
  public func missingLayers(of image: Image) throws(OCIError) -> [Image.Layer] {
    var missing: [Image.Layer] = []
    for layer in image.layers where try content.blobSize(layer.digest) == nil { missing.append(layer) }
    return missing
  }

  // MARK: Naming and removing

  /// Gives an image one more name; a name that another image has moves. An index is named as a whole.
  @discardableResult
  public func tag(_ reference: String, as name: String) throws(OCIError) -> Image {
    let new = try Reference(parsing: name)
    guard let tag = new.tag else {
      throw OCIError(.invalidReference, "\"\(name)\" has a digest; a new name needs a tag: NAME:TAG")
    }
    guard let target = try target(of: reference) else { throw ImageStore.missing(reference) }
    let record = try content.manifestRecord(target.digest, mediaType: target.mediaType)
    try content.putManifest(
      record.bytes, mediaType: record.mediaType, digest: record.digest, tags: [tag],
      in: try content.repository(for: new), requiring: .nothing)
    return try image(of: target)
  }

  private static func missing(_ reference: String) -> OCIError {
    OCIError(.notFound, "there is no image \"\(reference)\"; `apus image list` shows all")
  }

  /// Removes a name, or, for an image id or digest, the image with all its names; then, at once, every blob and unpacked
  /// layer that nothing needs any more. What runs, and an unpacked layer that is mounted, stays until it does not.
  public func remove(_ reference: String) throws(OCIError) {
    guard let target = try target(of: reference) else { throw ImageStore.missing(reference) }
    var only: (repository: Repository, tag: String)?
    if Digest(reference) == nil, let parsed = try? Reference(parsing: reference), parsed.digest == nil,
      let tag = parsed.tag, try self.target(named: parsed) != nil
    {
      only = (try content.repository(for: parsed), tag)
    }
    try content.removeImage(target.digest, only: only)
    _ = try content.removeUnpacked()
  }

  // MARK: Importing

  /// Imports every image of an OCI image layout (folder or tar) or a docker-archive tar, either also compressed with gzip
  /// or zstd. Either all images are stored, or, when it throws, none is and nothing is left behind.
  ///
  /// A name that another image has moves to the imported one. Memory use does not depend on the archive's size.
  /// - Parameters:
  ///   - name: a name for the image when the archive has one image only, in place of the archive's own.
  ///   - progress: called about every 4 MiB, from the importing thread.
  /// - Returns: the images in the archive's order.
  public func importArchive(
    path: String, name: String? = nil, progress: @escaping @Sendable (ImportProgress) -> Void = { _ in }
  ) async throws(OCIError) -> [Image] {
    try await blocking { () throws(OCIError) in try self.importNow(path: path, name: name, progress: progress) }
  }

  private func importNow(
    path: String, name: String?, progress: @Sendable (ImportProgress) -> Void
  ) throws(OCIError) -> [Image] {
    let workspace = try content.locked { () throws(OCIError) in try Workspace(root: root) }
    let archive = try ImageArchive(path: path, workspace: workspace, limits: content.limits, progress: progress)
    var images = try ArchiveImporter(
      archive: archive, label: path, workspace: workspace, limits: content.limits
    ).images()
    if let name {
      guard images.count == 1 else {
        throw OCIError(.ambiguous, "\(path) has \(images.count) images; a name can be given to a single one only")
      }
      images[0].names = [try Reference(parsing: name).description]
    }
    try content.store(images)
    var result: [Image] = []
    for image in images {
      result.append(try self.image(of: Target(digest: image.manifest.digest, mediaType: image.manifest.mediaType)))
    }
    return result
  }
}

/// Runs blocking code on a thread of its own.
func blocking<T: Sendable>(_ body: @escaping @Sendable () throws(OCIError) -> T) async throws(OCIError) -> T {
  let result: Result<T, OCIError> = await withCheckedContinuation { continuation in
    DedicatedThread.start("apus-image") {
      do throws(OCIError) {
        continuation.resume(returning: .success(try body()))
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
  }
  return try result.get()
}
