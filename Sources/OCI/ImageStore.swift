import Glibc
import LinuxSystem
import Synchronization
import Wire

/// The images of this machine: a content-addressed store in the form of an OCI image layout.
///
/// ```
/// ROOT/oci-layout  ROOT/index.json        names to manifests
/// ROOT/blobs/sha256/HEX                   manifests, configurations, layers; each verified before it got its name
/// ROOT/unpacked/HEX/fs                    a layer's files, ready as an overlay's lower layer; HEX is its diffID
/// ROOT/work/                              what is being made
/// ROOT/lock                               held while names or blobs come and go
/// ```
///
/// Several processes may use one store: changes are made under the lock and by atomic renames, and the index is read
/// again when another process has changed it. What a killed process left unfinished is removed by the next one.
public final class ImageStore: Sendable {
  public let root: String
  private let limits: ImageLimits
  private let cache = Mutex(Cache())

  private struct Cache {
    var stamp: Stamp?
    var entries: [IndexEntry] = []
    /// By the manifest's digest; blobs do not change.
    var images: [Digest: Image] = [:]
  }

  /// Tells whether a file has been replaced.
  private struct Stamp: Equatable {
    var inode: UInt
    var seconds: Int
    var nanoseconds: Int
    var size: Int
  }

  /// A line of `index.json`.
  private struct IndexEntry: Equatable {
    var manifest: Descriptor
    /// `nil` when only its digest names the image.
    var name: String?
    var indexDigest: Digest?

    static let nameKey = "org.opencontainers.image.ref.name"
    static let indexKey = "dev.apus.image.index-digest"

    init(manifest: Descriptor, name: String?, indexDigest: Digest?) {
      self.manifest = manifest
      self.name = name
      self.indexDigest = indexDigest
      self.manifest.annotations = [:]
      self.manifest.annotations[IndexEntry.nameKey] = name
      self.manifest.annotations[IndexEntry.indexKey] = indexDigest?.description
    }

    init(json: JSON, label: String) throws(OCIError) {
      let descriptor = try Descriptor(json: json, label: label)
      self.init(
        manifest: descriptor, name: descriptor.annotations[IndexEntry.nameKey],
        indexDigest: descriptor.annotations[IndexEntry.indexKey].flatMap { Digest($0) })
    }
  }

  private init(root: String, limits: ImageLimits) {
    self.root = root
    self.limits = limits
  }

  /// Opens the store, and makes it when there is none.
  public static func open(root: String, limits: ImageLimits = ImageLimits()) throws(OCIError) -> ImageStore {
    let store = ImageStore(root: root, limits: limits)
    try system { () throws(SystemError) in
      for folder in ["blobs/sha256", "blobs/sha512", "unpacked", "work"] {
        try Directory.create("\(root)/\(folder)", mode: 0o755)
      }
      // Layers have set-user-id programs and other users' files: nobody but root walks in.
      guard chmod(root, 0o700) == 0 else { throw SystemError.last("chmod \(root)") }
    }
    try store.locked { () throws(OCIError) in
      Workspace.sweep(root: root)
      try system { () throws(SystemError) in
        if access("\(root)/oci-layout", F_OK) != 0 {
          try DurableFile.write(Array("{\"imageLayoutVersion\":\"1.0.0\"}".utf8), to: "\(root)/oci-layout")
        }
      }
      if access("\(root)/index.json", F_OK) != 0 { try store.writeIndex([]) }
    }
    _ = try store.entries()
    return store
  }

  // MARK: Looking up

  /// The image of that name (`web-app:1`, `name@sha256:…`), digest (`sha256:…` of its manifest or its configuration) or
  /// image id (at least 6 hexadecimal digits of the configuration's digest); `nil` when there is none.
  public func image(_ reference: String) throws(OCIError) -> Image? {
    guard let entry = try find(reference).first else { return nil }
    return try image(of: entry)
  }

  /// All images, sorted by name. One whose manifest cannot be read is left out: it cannot be run, only imported again.
  public func list() -> [Image] {
    guard let entries = try? entries() else { return [] }
    var seen = Set<Digest>()
    var images: [Image] = []
    for entry in entries where seen.insert(entry.manifest.digest).inserted {
      if let image = try? image(of: entry) { images.append(image) }
    }
    return images.sorted { ($0.names.first ?? "~", $0.digest) < ($1.names.first ?? "~", $1.digest) }
  }

  private func find(_ reference: String) throws(OCIError) -> [IndexEntry] {
    let entries = try entries()
    if let digest = Digest(reference) {
      var found: [IndexEntry] = []
      for entry in entries {
        let id = try image(of: entry).id
        if [entry.manifest.digest, entry.indexDigest, id].contains(digest) { found.append(entry) }
      }
      return found
    }
    if (6...64).contains(reference.utf8.count), Digest.isHex(reference) {
      let name = try? Reference(parsing: reference).description
      if let name, let entry = entries.first(where: { $0.name == name }) { return [entry] }
      var found: [IndexEntry] = []
      for entry in entries {
        let id = try image(of: entry).id
        if id.hex.hasPrefix(reference) { found.append(entry) }
      }
      guard Set(found.map(\.manifest.digest)).count <= 1 else {
        throw OCIError(.ambiguous, "several images have ids that begin with \(reference); give more digits")
      }
      return found
    }
    let parsed = try Reference(parsing: reference)
    // A digest says it all: the tag beside it is for people.
    if let digest = parsed.digest {
      return entries.filter { $0.manifest.digest == digest || $0.indexDigest == digest }
    }
    return entries.filter { $0.name == parsed.description }
  }

  private func image(of entry: IndexEntry) throws(OCIError) -> Image {
    let digest = entry.manifest.digest
    let (known, names) = cache.withLock { cache in
      (cache.images[digest], cache.entries.filter { $0.manifest.digest == digest }.compactMap(\.name).sorted())
    }
    if var known {
      known.names = names
      return known
    }
    var image = try load(entry.manifest)
    cache.withLock { $0.images[digest] = image }
    image.names = names
    return image
  }

  private func load(_ descriptor: Descriptor) throws(OCIError) -> Image {
    let label = "image \(descriptor.digest)"
    let manifest = try manifest(descriptor)
    let document = try ConfigDocument(try document(manifest.config), label: label)
    guard document.diffIDs.count == manifest.layers.count else {
      throw OCIError(.invalidArchive, "\(label): manifest and configuration have different numbers of layers")
    }
    var image = Image(
      names: [], digest: descriptor.digest, id: manifest.config.digest, size: descriptor.size + manifest.config.size,
      config: document.config, layers: [])
    for (layer, diffID) in zip(manifest.layers, document.diffIDs) {
      image.size += layer.size
      image.layers.append(
        Image.Layer(digest: layer.digest, diffID: diffID, size: layer.size, mediaType: layer.mediaType))
    }
    return image
  }

  private func manifest(_ descriptor: Descriptor) throws(OCIError) -> Manifest {
    let label = "image \(descriptor.digest)"
    return try Manifest(try parseDocument(try document(descriptor), label: label), label: label, limits: limits)
  }

  /// A small blob, verified again: it decides what is run.
  private func document(_ descriptor: Descriptor) throws(OCIError) -> [UInt8] {
    let path = blobPath(descriptor.digest)
    let bytes = try system { () throws(SystemError) in try DurableFile.read(path, limit: limits.documentMax) }
    var hasher = DigestHasher(descriptor.digest.algorithm)
    bytes.withUnsafeBytes { hasher.update($0) }
    guard hasher.finish() == descriptor.digest else {
      throw OCIError(.digestMismatch, "\(path) is damaged; remove the image and import it again")
    }
    return bytes
  }

  /// Where a blob is, or would be.
  public func blobPath(_ digest: Digest) -> String { "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

  // MARK: The index

  /// The names, read again when the file has been replaced.
  private func entries() throws(OCIError) -> [IndexEntry] {
    let path = "\(root)/index.json"
    var status = stat()
    guard stat(path, &status) == 0 else { throw OCIError(SystemError.last("open \(path)")) }
    let stamp = Stamp(
      inode: UInt(status.st_ino), seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec,
      size: Int(status.st_size))
    if let entries = cache.withLock({ $0.stamp == stamp ? $0.entries : nil }) { return entries }
    let bytes = try system { () throws(SystemError) in try DurableFile.read(path, limit: 64 << 20) }
    let json = try parseDocument(bytes, label: path)
    var entries: [IndexEntry] = []
    for entry in json["manifests"]?.array ?? [] { entries.append(try IndexEntry(json: entry, label: path)) }
    // The file may have been replaced since `stat`; then the next call sees another stamp and reads it again.
    cache.withLock {
      $0.stamp = stamp
      $0.entries = entries
      let digests = Set(entries.map(\.manifest.digest))
      $0.images = $0.images.filter { digests.contains($0.key) }
    }
    return entries
  }

  private func writeIndex(_ entries: [IndexEntry]) throws(OCIError) {
    let json: JSON = [
      "schemaVersion": 2, "mediaType": .string(MediaType.index),
      "manifests": .array(entries.map { $0.manifest.json }),
    ]
    try system { () throws(SystemError) in try DurableFile.write(json.serialized(), to: "\(root)/index.json") }
  }

  /// Runs `body` while no other process or thread changes names or blobs. Short: nothing is unpacked or copied inside.
  private func locked<T>(_ body: () throws(OCIError) -> T) throws(OCIError) -> T {
    let fd = Glibc.open("\(root)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw OCIError(SystemError.last("open \(root)/lock")) }
    defer { _ = close(fd) }
    while flock(fd, LOCK_EX) != 0 {
      guard errno == EINTR else { throw OCIError(SystemError.last("lock \(root)/lock")) }
    }
    return try body()
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
    let workspace = try locked { () throws(OCIError) in try Workspace(root: root) }
    let archive = try ImageArchive(path: path, workspace: workspace, limits: limits, progress: progress)
    var images = try ArchiveImporter(archive: archive, label: path, workspace: workspace, limits: limits).images()
    if let name {
      guard images.count == 1 else {
        throw OCIError(.ambiguous, "\(path) has \(images.count) images; a name can be given to a single one only")
      }
      images[0].names = [try Reference(parsing: name).description]
    }
    for image in images { for blob in image.blobs { try sync(blob) } }
    let digests = images.map(\.manifest.digest)
    return try locked { () throws(OCIError) in
      var moved = Set<Digest>()
      do throws(OCIError) {
        for image in images {
          for blob in image.blobs where try place(blob) { moved.insert(blob.digest) }
        }
        try system { () throws(SystemError) in
          for algorithm in Set(moved.map(\.algorithm)) { try Directory.sync("\(root)/blobs/\(algorithm.rawValue)") }
        }
        var entries = try entries()
        for image in images {
          let digest = image.manifest.digest
          entries.removeAll { entry in
            entry.name.map { image.names.contains($0) } ?? (entry.manifest.digest == digest)
          }
          if image.names.isEmpty {
            if !entries.contains(where: { $0.manifest.digest == digest }) {
              entries.append(IndexEntry(manifest: image.manifest, name: nil, indexDigest: image.indexDigest))
            }
          }
          for name in image.names {
            entries.append(IndexEntry(manifest: image.manifest, name: name, indexDigest: image.indexDigest))
          }
        }
        try writeIndex(entries)
      } catch {
        for digest in moved { _ = unlink(blobPath(digest)) }
        throw error
      }
      let entries = try entries()
      var result: [Image] = []
      for digest in digests {
        if let entry = entries.first(where: { $0.manifest.digest == digest }) { result.append(try image(of: entry)) }
      }
      return result
    }
  }

  private func sync(_ blob: StagedBlob) throws(OCIError) {
    let fd = Glibc.open(blob.path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw OCIError(SystemError.last("open \(blob.path)")) }
    defer { _ = close(fd) }
    guard fsync(fd) == 0 else { throw OCIError(SystemError.last("fsync \(blob.path)")) }
  }

  /// Gives a blob its name; `false` when the store has it already.
  private func place(_ blob: StagedBlob) throws(OCIError) -> Bool {
    let path = blobPath(blob.digest)
    var status = stat()
    // One of another size was damaged by the disk: the new one, which is verified, takes its place.
    if stat(path, &status) == 0, Int64(status.st_size) == blob.size { return false }
    // Two images of one archive may share the layer: a link leaves the staged file for the second.
    _ = unlink(path)
    guard link(blob.path, path) == 0 else { throw OCIError(SystemError.last("store \(path)")) }
    return true
  }

  // MARK: Removing

  /// Removes a name, or, for an image id or digest, the image with all its names; then every blob and unpacked layer that
  /// no image needs any more. An unpacked layer that is mounted stays until it is not.
  public func remove(_ reference: String) throws(OCIError) {
    try locked { () throws(OCIError) in
      let found = try find(reference)
      guard !found.isEmpty else {
        throw OCIError(.notFound, "there is no image \"\(reference)\"; `apus image list` shows all")
      }
      let kept = try entries().filter { entry in !found.contains(entry) }
      try writeIndex(kept)
      try collect(try entries())
    }
  }

  /// Deletes what no index entry leads to. The lock is held; an import puts its blobs and its names under the same lock.
  private func collect(_ entries: [IndexEntry]) throws(OCIError) {
    var blobs = Set<Digest>()
    var layers = Set<String>()
    for entry in entries {
      // When an image cannot be read, it is not known what it needs: then nothing is deleted.
      let image = try image(of: entry)
      blobs.formUnion([image.digest, image.id])
      blobs.formUnion(image.layers.map(\.digest))
      layers.formUnion(image.layers.map(\.diffID.hex))
    }
    try system { () throws(SystemError) in
      for algorithm in Digest.Algorithm.allCases {
        for hex in try Directory.list("\(root)/blobs/\(algorithm.rawValue)") {
          guard let digest = Digest("\(algorithm.rawValue):\(hex)"), !blobs.contains(digest) else { continue }
          guard unlink(blobPath(digest)) == 0 || errno == ENOENT else {
            throw SystemError.last("remove \(blobPath(digest))")
          }
        }
      }
      let overlays = try MountInfo.current().filter { $0.type == "overlay" }
      for hex in try Directory.list("\(root)/unpacked") where !layers.contains(hex) && Digest.isHex(hex) {
        let isMounted = overlays.contains { $0.superOptions.contains { $0.contains(hex) } }
        if !isMounted { try Directory.removeTree("\(root)/unpacked/\(hex)") }
      }
    }
  }

  // MARK: Unpacking

  /// The folders of the image's layers, top first, as an overlay's `lowerdir` wants them. Each layer is unpacked once.
  ///
  /// A layer whose content is not what the configuration's diffID says is refused and not kept.
  public func unpack(_ image: Image) async throws(OCIError) -> [String] {
    let folders = image.layers.reversed().map { "\(root)/unpacked/\($0.diffID.hex)/fs" }
    let missing = image.layers.filter { access("\(root)/unpacked/\($0.diffID.hex)/fs", F_OK) != 0 }
    if !missing.isEmpty {
      try await blocking { () throws(OCIError) in
        for layer in missing { try self.unpackNow(layer, of: image) }
      }
    }
    return folders
  }

  private func unpackNow(_ layer: Image.Layer, of image: Image) throws(OCIError) {
    let target = "\(root)/unpacked/\(layer.diffID.hex)"
    // One at a time for each layer, among threads as among processes.
    let fd = Glibc.open("\(root)/unpacked/.\(layer.diffID.hex).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw OCIError(SystemError.last("open the lock of \(target)")) }
    defer { _ = close(fd) }
    while flock(fd, LOCK_EX) != 0 {
      guard errno == EINTR else { throw OCIError(SystemError.last("lock \(target)")) }
    }
    defer { _ = unlink("\(root)/unpacked/.\(layer.diffID.hex).lock") }
    if access("\(target)/fs", F_OK) == 0 { return }

    let label = "layer \(layer.digest) of \(image.names.first ?? image.digest.description)"
    let workspace = try locked { () throws(OCIError) in try Workspace(root: root) }
    let folder = "\(workspace.path)/layer"
    try system { () throws(SystemError) in try Directory.create("\(folder)/fs", mode: 0o755) }
    guard access(blobPath(layer.digest), F_OK) == 0 else {
      throw OCIError(.notFound, "\(label) is not in the store; import the image again")
    }
    let blob = try FileSource(blobPath(layer.digest))
    let content = HashingSource(
      try Compression.open(blob, limits: limits, label: label), algorithm: layer.diffID.algorithm)
    var extractor = try LayerExtractor(root: "\(folder)/fs", label: label)
    try extractor.extract(content, limits: limits)
    // What follows the end of the archive belongs to the digest, too.
    try content.drain()
    guard content.digest == layer.diffID else {
      throw OCIError(
        .digestMismatch,
        "\(label) has the diffID \(content.digest), but the image's configuration says \(layer.diffID); "
          + "the image is damaged, remove it and import it again")
    }
    try extractor.sync()
    guard rename(folder, target) == 0 || errno == ENOTEMPTY || errno == EEXIST else {
      throw OCIError(SystemError.last("rename \(folder) to \(target)"))
    }
    try system { () throws(SystemError) in try Directory.sync("\(root)/unpacked") }
  }
}

/// Runs blocking code on a thread of its own.
private func blocking<T: Sendable>(_ body: @escaping @Sendable () throws(OCIError) -> T) async throws(OCIError) -> T {
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
