import Glibc
import Layers
import LinuxSystem
import OCI
import Wire

/// The form of an exported archive.
public enum ArchiveFormat: String, Sendable, CaseIterable {
  /// An OCI image layout as a tar file.
  case ociArchive = "oci-archive"
  /// An OCI image layout as a folder.
  case ociFolder = "oci"
  /// What `docker save` writes and `docker load` reads; layers are not compressed in it.
  case dockerArchive = "docker-archive"
}

extension ImageStore {
  /// Writes images with all their layers into one archive. Every blob is verified on the way.
  ///
  /// What is at `path` appears whole or not at all. Equal images give equal bytes. Memory use does not depend on the
  /// images' sizes. A digest or image id as the reference exports the image without a name.
  /// - Parameters:
  ///   - references: as in `image(_:)`; several may name the same image.
  ///   - path: the file, which is replaced, or the folder, which must not exist or be empty.
  ///   - allPlatforms: whether a name that means an index is exported with all images in it, which must all be here, and
  ///     not only with this machine's; not for `dockerArchive`, which knows no indexes.
  public func exportArchive(
    _ references: [String], to path: String, format: ArchiveFormat = .ociArchive, allPlatforms: Bool = false
  ) async throws(OCIError) {
    guard !references.isEmpty else { throw OCIError(.notFound, "no image was named") }
    guard !allPlatforms || format != .dockerArchive else {
      throw OCIError(.unsupported, "a docker-archive holds images of one platform only; use oci-archive")
    }
    let result: Result<Void, OCIError> = await withCheckedContinuation { continuation in
      DedicatedThread.start("apus-export") {
        do throws(OCIError) {
          continuation.resume(
            returning: .success(try self.exportNow(references, to: path, format: format, allPlatforms: allPlatforms)))
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    }
    try result.get()
  }

  private func exportNow(
    _ references: [String], to path: String, format: ArchiveFormat, allPlatforms: Bool
  ) throws(OCIError) {
    let lease = try content.lease(for: .seconds(6 * 3600))
    defer { lease.release() }
    var exports: [ImageExport] = []
    for reference in references {
      let name = Digest(reference) == nil ? try? Reference(parsing: reference) : nil
      var record: ManifestRecord?
      if allPlatforms, let name,
        let wanted = name.digest.map(ManifestReference.digest) ?? name.tag.map(ManifestReference.tag)
      {
        record = try content.manifest(wanted, in: try content.repository(for: name))
      }
      if record == nil, let image = try image(reference) {
        record = try content.manifestRecord(image.digest, mediaType: "")
      }
      guard let record else {
        throw OCIError(.notFound, "there is no image \"\(reference)\"; `apus image list` shows all")
      }
      _ = try lease.pin(record.digest)
      let document = try ManifestDocument(record.bytes, label: "image \(record.digest)", limits: content.limits)
      exports.append(ImageExport(name: name?.tag == nil ? nil : name, record: record, document: document))
    }
    switch format {
    case .ociArchive:
      let output = try TarOutput(path)
      try ArchiveExporter(content: content, output: output).writeLayout(exports)
      try output.finish()
    case .ociFolder:
      let output = try FolderOutput(path)
      try ArchiveExporter(content: content, output: output).writeLayout(exports)
      try output.finish()
    case .dockerArchive:
      let output = try TarOutput(path)
      try ArchiveExporter(content: content, output: output).writeDocker(exports)
      try output.finish()
    }
  }
}

/// An image or an index that is exported, and its name, if it has one.
private struct ImageExport {
  var name: Reference?
  var record: ManifestRecord
  var document: ManifestDocument
}

/// Puts images into an archive.
private struct ArchiveExporter {
  let content: ContentStore
  let output: any ArchiveOutput

  // MARK: OCI image layout (image-spec, image-layout.md)

  func writeLayout(_ exports: [ImageExport]) throws(OCIError) {
    var blobs: [Digest: Int64] = [:]
    var manifests: [Descriptor] = []
    for export in exports {
      try collect(export.document, export.record, into: &blobs, depth: 0)
      var entry = Descriptor(
        mediaType: export.document.mediaType, digest: export.record.digest, size: export.record.size)
      if let name = export.name {
        // The tag for who reads the specification's way, the whole name for containerd, Docker and ourselves.
        entry.annotations["org.opencontainers.image.ref.name"] = name.tag
        entry.annotations["io.containerd.image.name"] = "\(name.name):\(name.tag ?? "latest")"
      }
      if case .image(let manifest) = export.document, MediaType.isImage(manifest.mediaType),
        let document = try? ConfigDocument(try content.document(manifest.config.digest), label: "image"),
        !document.config.os.isEmpty, !document.config.architecture.isEmpty
      {
        entry.platform = document.config.platform
      }
      if !manifests.contains(entry) { manifests.append(entry) }
    }
    try output.file("oci-layout", Array("{\"imageLayoutVersion\":\"1.0.0\"}".utf8))
    try output.file("index.json", Index(manifests: manifests).json.serialized())
    try output.folder("blobs")
    for algorithm in Set(blobs.keys.map(\.algorithm)).sorted(by: { $0.rawValue < $1.rawValue }) {
      try output.folder("blobs/\(algorithm.rawValue)")
    }
    for (digest, size) in blobs.sorted(by: { $0.key < $1.key }) {
      try writeBlob(digest, size: size, as: "blobs/\(digest.algorithm.rawValue)/\(digest.hex)")
    }
  }

  /// All blobs of a manifest or index.
  private func collect(
    _ document: ManifestDocument, _ record: ManifestRecord, into blobs: inout [Digest: Int64], depth: Int
  ) throws(OCIError) {
    guard depth < 4 else { throw OCIError(.invalidArchive, "image \(record.digest): indexes are nested too deep") }
    guard blobs.updateValue(record.size, forKey: record.digest) == nil else { return }
    for blob in document.blobs where blob.urls.isEmpty || !MediaType.isNondistributable(blob.mediaType) {
      blobs[blob.digest] = blob.size
    }
    for child in document.manifests {
      guard try content.blobSize(child.digest) != nil else {
        throw OCIError(
          .missingContent,
          "the index \(record.digest) names \(child.platform?.description ?? "the manifest") \(child.digest), which is not "
            + "here; pull it, or export this machine's image only", digests: [child.digest])
      }
      let record = try content.manifestRecord(child.digest, mediaType: child.mediaType)
      let document = try ManifestDocument(record.bytes, label: "image \(child.digest)", limits: content.limits)
      try collect(document, record, into: &blobs, depth: depth + 1)
    }
  }

  private func openBlob(_ digest: Digest) throws(OCIError) -> BlobFile {
    guard let blob = try content.openBlob(digest) else {
      throw OCIError(
        .missingContent, "the blob \(digest) is not in the store; pull or import the image again", digests: [digest])
    }
    return blob
  }

  private func writeBlob(_ digest: Digest, size: Int64, as name: String) throws(OCIError) {
    let blob = try openBlob(digest)
    guard blob.size == size else {
      throw OCIError(
        .invalidArchive, "the blob \(digest) has \(blob.size) bytes, but its manifest says \(size)", digests: [digest])
    }
    let source = HashingSource(BlobSource(blob), algorithm: digest.algorithm)
    try output.file(name, size: size, source)
    try content.conclude(blob, found: source.digest)
  }

  // MARK: docker-archive

  func writeDocker(_ exports: [ImageExport]) throws(OCIError) {
    struct Entry {
      var config: Digest
      var tags: [String]
      var layers: [String]
    }
    var entries: [Entry] = []
    var configs: [Digest: Int64] = [:]
    var layers: [(name: String, layer: Descriptor, diffID: Digest)] = []
    var repositories: [String: [String: String]] = [:]
    for export in exports {
      let label = "image \(export.record.digest)"
      guard case .image(let manifest) = export.document else {
        throw OCIError(.unsupported, "\(label) is an index; use oci-archive")
      }
      let document = try ConfigDocument(try content.document(manifest.config.digest), label: label)
      guard document.diffIDs.count == manifest.layers.count else {
        throw OCIError(.invalidArchive, "\(label): manifest and configuration have different numbers of layers")
      }
      configs[manifest.config.digest] = manifest.config.size
      for (layer, diffID) in zip(manifest.layers, document.diffIDs) {
        let name = "\(diffID.hex).tar"
        if !layers.contains(where: { $0.name == name }) { layers.append((name, layer, diffID)) }
      }
      let position =
        entries.firstIndex { $0.config == manifest.config.digest }
        ?? {
          entries.append(
            Entry(config: manifest.config.digest, tags: [], layers: document.diffIDs.map { "\($0.hex).tar" }))
          return entries.count - 1
        }()
      if let name = export.name, let tag = name.tag {
        // As Docker writes names, which older versions do not complete themselves.
        let repository = String(Reference(name, tag: nil).familiar)
        let full = "\(repository):\(tag)"
        if !entries[position].tags.contains(full) { entries[position].tags.append(full) }
        if let top = document.diffIDs.last { repositories[repository, default: [:]][tag] = top.hex }
      }
    }
    let manifest = JSON.array(
      entries.map { entry in
        [
          "Config": .string("\(entry.config.hex).json"), "RepoTags": .array(entry.tags.map { .string($0) }),
          "Layers": .array(entry.layers.map { .string($0) }),
        ]
      })
    try output.file("manifest.json", manifest.serialized())
    if !repositories.isEmpty {
      let members = repositories.sorted { $0.key < $1.key }.map { (key: $0.key, value: JSON(sorted: $0.value)) }
      try output.file("repositories", JSON.object(JSONObject(uniqueMembers: members)).serialized())
    }
    for (digest, size) in configs.sorted(by: { $0.key < $1.key }) {
      try writeBlob(digest, size: size, as: "\(digest.hex).json")
    }
    for (name, layer, diffID) in layers.sorted(by: { $0.name < $1.name }) {
      try writeLayer(layer.digest, diffID: diffID, as: name)
    }
  }

  /// A layer without its compression. It is read twice, because its size comes before its content.
  private func writeLayer(_ digest: Digest, diffID: Digest, as name: String) throws(OCIError) {
    let blob = try openBlob(digest)
    try content.verify(blob)
    func source() throws(OCIError) -> HashingSource {
      let source = try Compression.open(
        BlobSource(blob), size: blob.size, limits: content.limits, label: "layer \(digest)")
      return HashingSource(source, algorithm: diffID.algorithm)
    }
    let first = try source()
    try first.drain()
    guard first.digest == diffID else {
      throw OCIError(
        .digestMismatch,
        "the layer \(digest) has, decompressed, the digest \(first.digest) and not the diffID \(diffID); "
          + "pull or import the image again", digests: [digest])
    }
    try output.file(name, size: first.count, try source())
  }
}

extension Reference {
  /// Another tag of the same repository, or none.
  fileprivate init(_ reference: Reference, tag: String?) {
    self = reference
    self.tag = tag
    digest = nil
  }
}

// MARK: Where it goes

/// An archive that is being written. It appears with `finish`; without it nothing stays.
private protocol ArchiveOutput: AnyObject {
  func folder(_ name: String) throws(OCIError)
  /// - Parameter size: the number of bytes that `source` has.
  func file(_ name: String, size: Int64, _ source: any ByteSource) throws(OCIError)
  func finish() throws(OCIError)
}

extension ArchiveOutput {
  func file(_ name: String, _ bytes: [UInt8]) throws(OCIError) {
    try file(name, size: Int64(bytes.count), MemorySource(bytes))
  }
}

/// A new file, written front to back.
private final class FileSink: ByteSink {
  let path: String
  private let descriptor: Int32

  init(_ path: String) throws(OCIError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard descriptor >= 0 else { throw OCIError(SystemError.last("create \(path)")) }
  }

  deinit { _ = close(descriptor) }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    let code = DurableFile.writeAll(descriptor, bytes)
    guard code == 0 else { throw OCIError(SystemError("write \(path)", errno: code)) }
  }

  func sync() throws(OCIError) {
    guard fsync(descriptor) == 0 else { throw OCIError(SystemError.last("fsync \(path)")) }
  }
}

/// A name beside the final one, which no other process of this machine uses.
private func temporaryName(_ path: String) -> String { "\(path).tmp.\(getpid())" }

private func parentFolder(_ path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

private final class TarOutput: ArchiveOutput {
  private let path: String
  private let sink: FileSink
  private let tar: TarWriter
  private var isFinished = false

  init(_ path: String) throws(OCIError) {
    self.path = path
    _ = unlink(temporaryName(path))
    sink = try FileSink(temporaryName(path))
    tar = TarWriter(to: sink)
  }

  deinit { if !isFinished { _ = unlink(sink.path) } }

  func folder(_ name: String) throws(OCIError) {
    try tar.append(TarEntry(kind: .directory, path: name, mode: 0o755))
  }

  func file(_ name: String, size: Int64, _ source: any ByteSource) throws(OCIError) {
    try tar.append(TarEntry(kind: .file, path: name, size: size, mode: 0o644))
    let missing = try tar.fill { (buffer: UnsafeMutableRawBufferPointer) throws(OCIError) in
      try source.read(into: buffer)
    }
    guard missing == 0 else { throw OCIError(.corrupt, "\(name) ended \(missing) bytes early") }
  }

  func finish() throws(OCIError) {
    try tar.finish()
    try sink.sync()
    guard rename(sink.path, path) == 0 else { throw OCIError(SystemError.last("rename \(sink.path) to \(path)")) }
    isFinished = true
    try system { () throws(SystemError) in try Directory.sync(parentFolder(path)) }
  }
}

private final class FolderOutput: ArchiveOutput {
  private let path: String
  private let temporary: String
  private var isFinished = false

  init(_ path: String) throws(OCIError) {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    self.path = path
    let temporary = temporaryName(path)
    self.temporary = temporary
    try system { () throws(SystemError) in
      try Directory.removeTree(temporary)
      guard mkdir(temporary, 0o755) == 0 else { throw .last("create the folder \(temporary)") }
    }
  }

  deinit { if !isFinished { try? Directory.removeTree(temporary) } }

  func folder(_ name: String) throws(OCIError) {
    try system { () throws(SystemError) in try Directory.create("\(temporary)/\(name)") }
  }

  func file(_ name: String, size: Int64, _ source: any ByteSource) throws(OCIError) {
    let sink = try FileSink("\(temporary)/\(name)")
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = try source.read(into: buffer)
      if count == 0 { break }
      try sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
    try sink.sync()
  }

  func finish() throws(OCIError) {
    // Over an empty folder this works, over one with something in it it does not.
    guard rename(temporary, path) == 0 else {
      if errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR {
        throw OCIError(.unsupported, "\(path) exists and is no empty folder; choose another place or remove it")
      }
      throw OCIError(SystemError.last("rename \(temporary) to \(path)"))
    }
    isFinished = true
    try system { () throws(SystemError) in try Directory.sync(parentFolder(path)) }
  }
}
