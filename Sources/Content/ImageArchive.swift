import Glibc
import Layers
import LinuxSystem
import OCI
import Wire

/// How far an import is.
public struct ImportProgress: Sendable, Equatable {
  /// Bytes of the archive that have been read.
  public var bytesRead: Int64
  /// The size of the archive; zero when it is a folder.
  public var bytesTotal: Int64
}

/// The members of an archive, hashed and staged: what images are made of.
///
/// A tar archive is read once, front to back, and every member is staged, because which ones are layers is written in a
/// member that may come last. A folder's blobs are staged when they are asked for.
final class ImageArchive {
  private let label: String
  private let workspace: Workspace
  private let limits: ImageLimits
  /// The folder of an OCI layout; `nil` for a tar archive.
  private let folder: String?
  private var members: [String: StagedBlob] = [:]
  /// Symbolic and hard links: older `docker save` archives share layers by them.
  private var links: [String: String] = [:]
  private var staged = 0

  init(
    path: String, workspace: Workspace, limits: ImageLimits, progress: @Sendable (ImportProgress) -> Void
  ) throws(OCIError) {
    label = path
    self.workspace = workspace
    self.limits = limits
    var status = stat()
    guard stat(path, &status) == 0 else {
      if errno == ENOENT { throw OCIError(.notFound, "there is no image archive \(path)") }
      throw OCIError(SystemError.last("open \(path)"))
    }
    if status.st_mode & S_IFMT == S_IFDIR {
      folder = path
    } else {
      folder = nil
      try readTar(path, progress)
    }
  }

  private func readTar(_ path: String, _ progress: (ImportProgress) -> Void) throws(OCIError) {
    let file = try FileSource(path)
    let total = try file.size()
    guard total > 0 else { throw OCIError(.invalidArchive, "\(path) is empty; export the image again") }
    let source = try Compression.open(file, limits: limits, label: path)
    var reader = TarReader(source, label: path, entriesMax: limits.entriesMax)
    var reported: Int64 = 0
    while let entry = try reader.next() {
      let name = try LayerExtractor.clean(entry.path, label: path)
      switch entry.kind {
      case .file:
        let algorithm: Digest.Algorithm = name.hasPrefix("blobs/sha512/") ? .sha512 : .sha256
        var writer = try StagedBlobWriter(workspace, number: staged, algorithm: algorithm)
        staged += 1
        try reader.forEachPiece { (piece: UnsafeRawBufferPointer) throws(OCIError) in
          try writer.write(piece)
          if file.position - reported >= 4 << 20 {
            reported = file.position
            progress(ImportProgress(bytesRead: reported, bytesTotal: total))
          }
        }
        links[name] = nil
        members[name] = writer.finish()
      case .hardLink: links[name] = try LayerExtractor.clean(entry.target, label: path)
      case .symbolicLink: links[name] = ImageArchive.resolve(entry.target, from: name)
      default: break
      }
    }
    progress(ImportProgress(bytesRead: total, bytesTotal: total))
  }

  /// A relative link's target as a member's name; `nil` when it leads out of the archive.
  static func resolve(_ target: String, from name: String) -> String? {
    guard target.utf8.first != UInt8(ascii: "/") else { return nil }
    let slash = UInt8(ascii: "/")
    var parts = name.utf8.split(separator: slash).map(Substring.init).dropLast()
    for part in target.utf8.split(separator: slash).map(Substring.init) where part != "." {
      if part == ".." {
        guard parts.popLast() != nil else { return nil }
      } else {
        parts.append(part)
      }
    }
    return parts.joined(separator: "/")
  }

  /// The member of that name; `nil` when there is none.
  func member(_ name: String) throws(OCIError) -> StagedBlob? {
    var name = name
    for _ in 0..<8 {
      if let blob = members[name] { return blob }
      guard let next = links[name] else { break }
      name = next
    }
    guard let folder else { return nil }
    let path = "\(folder)/\(name)"
    var status = stat()
    guard lstat(path, &status) == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw OCIError(SystemError.last("open \(path)"))
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw OCIError(.invalidArchive, "\(path) is no regular file")
    }
    let source = BufferedSource(try FileSource(path))
    let algorithm: Digest.Algorithm = name.hasPrefix("blobs/sha512/") ? .sha512 : .sha256
    var writer = try StagedBlobWriter(workspace, number: staged, algorithm: algorithm)
    staged += 1
    while true {
      let bytes = try source.peek(1)
      if bytes.isEmpty { break }
      try writer.write(bytes)
      source.skip(bytes.count)
    }
    let blob = writer.finish()
    members[name] = blob
    return blob
  }

  func document(_ name: String) throws(OCIError) -> JSON? {
    guard let blob = try member(name) else { return nil }
    let label = "\(label): \(name)"
    return try JSON(document: try blob.bytes(limit: limits.documentMax, label: label), label: label)
  }

  /// A blob of an OCI layout, which must be what its name says.
  func blob(_ descriptor: Descriptor) throws(OCIError) -> StagedBlob {
    let name = "blobs/\(descriptor.digest.algorithm.rawValue)/\(descriptor.digest.hex)"
    guard let blob = try member(name) else {
      throw OCIError(
        .invalidArchive, "\(label): the member \(name) is missing; export the image again with all its layers")
    }
    guard blob.digest == descriptor.digest else {
      throw OCIError(
        .digestMismatch,
        "\(label): the content of \(name) has the digest \(blob.digest): the archive is damaged, export the image again"
      )
    }
    guard blob.size == descriptor.size else {
      throw OCIError(
        .digestMismatch, "\(label): \(name) has \(blob.size) bytes, but its descriptor says \(descriptor.size)")
    }
    return blob
  }
}

/// An image that has been read from an archive: what will be stored when everything is there.
struct ImportedImage {
  var names: [String]
  var manifest: Descriptor
  /// The digest of the index that led to it: `NAME@DIGEST` may mean either.
  var indexDigest: Digest?
  var blobs: [StagedBlob]
  var configDigest: Digest
}

/// Understands the two layouts of archives.
struct ArchiveImporter {
  let archive: ImageArchive
  let label: String
  let workspace: Workspace
  let limits: ImageLimits

  /// The images of the archive, all checked.
  func images() throws(OCIError) -> [ImportedImage] {
    let docker = try archive.document("manifest.json")
    if let index = try archive.document("index.json"), index["manifests"]?.array != nil {
      return try ociImages(index, docker: docker)
    }
    guard let docker else {
      throw OCIError(
        .invalidArchive,
        "\(label) has neither index.json (OCI image layout) nor manifest.json (docker-archive): "
          + "make it with `docker save IMAGE -o FILE` or `skopeo copy … oci-archive:FILE`")
    }
    return try dockerImages(docker)
  }

  // MARK: OCI image layout (image-spec, image-layout.md)

  private func ociImages(_ index: JSON, docker: JSON?) throws(OCIError) -> [ImportedImage] {
    if let version = try archive.document("oci-layout")?["imageLayoutVersion"]?.string, !version.hasPrefix("1.") {
      throw OCIError(.unsupported, "\(label): the OCI image layout version \(version) is unknown")
    }
    var images: [ImportedImage] = []
    for entry in index["manifests"]?.array ?? [] {
      let descriptor = try Descriptor(json: entry, label: "\(label): index.json")
      // Provenance of an image, not an image (BuildKit).
      if descriptor.annotations["vnd.docker.reference.type"] != nil { continue }
      let (manifest, indexDigest) = try resolve(descriptor, depth: 0)
      var image = try ociImage(manifest)
      image.indexDigest = indexDigest
      image.names = try names(descriptor.annotations)
      images.append(image)
    }
    // `docker save` writes both files, and the short names into manifest.json only.
    for entry in docker?.array ?? [] {
      guard let config = entry["Config"]?.string else { continue }
      let tags = entry["RepoTags"]?.array?.compactMap(\.string) ?? []
      for position in images.indices where config.contains(images[position].configDigest.hex) {
        for tag in tags {
          let name = try Reference(parsing: tag).description
          if !images[position].names.contains(name) { images[position].names.append(name) }
        }
      }
    }
    guard !images.isEmpty else { throw OCIError(.invalidArchive, "\(label): index.json names no image") }
    return images
  }

  private func names(_ annotations: [String: String]) throws(OCIError) -> [String] {
    if let name = annotations["io.containerd.image.name"] { return [try Reference(parsing: name).description] }
    // The specification lets this be a whole name or a tag alone; a tag alone names nothing.
    guard let name = annotations["org.opencontainers.image.ref.name"], name.contains("/") || name.contains(":") else {
      return []
    }
    return [try Reference(parsing: name).description]
  }

  /// The manifest that an index has for this machine.
  private func resolve(
    _ descriptor: Descriptor, depth: Int
  ) throws(OCIError) -> (manifest: Descriptor, index: Digest?) {
    let name = "\(label): \(descriptor.digest)"
    let json = try JSON(
      document: try archive.blob(descriptor).bytes(limit: limits.documentMax, label: name), label: name)
    guard MediaType.isIndex(descriptor, json) else { return (descriptor, nil) }
    guard depth < 3 else { throw OCIError(.invalidArchive, "\(name): indexes are nested too deep") }
    var candidates: [Descriptor] = []
    for entry in json["manifests"]?.array ?? [] { candidates.append(try Descriptor(json: entry, label: name)) }
    let index = Index(manifests: candidates)
    guard let chosen = index.image(for: .host) else {
      let platforms = index.images.map { $0.platform?.description ?? "unknown" }.joined(separator: ", ")
      throw OCIError(.unsupported, "\(name): there is no image for \(Platform.host) (the archive has: \(platforms))")
    }
    return (try resolve(chosen, depth: depth + 1).manifest, descriptor.digest)
  }

  private func ociImage(_ descriptor: Descriptor) throws(OCIError) -> ImportedImage {
    let name = "\(label): manifest \(descriptor.digest)"
    let blob = try archive.blob(descriptor)
    let manifest = try Manifest(
      try JSON(document: try blob.bytes(limit: limits.documentMax, label: name), label: name), label: name,
      limits: limits)
    let config = try archive.blob(manifest.config)
    var blobs = [blob, config]
    for layer in manifest.layers { blobs.append(try archive.blob(layer)) }
    try check(config, layers: Array(blobs[2...]), label: name)
    var stored = descriptor
    stored.annotations = [:]
    if stored.mediaType.isEmpty { stored.mediaType = MediaType.manifest }
    return ImportedImage(names: [], manifest: stored, blobs: blobs, configDigest: config.digest)
  }

  /// The configuration must be for this machine and know as many layers as there are.
  private func check(_ config: StagedBlob, layers: [StagedBlob], label: String) throws(OCIError) {
    let document = try ConfigDocument(try config.bytes(limit: limits.documentMax, label: label), label: label)
    guard document.diffIDs.count == layers.count else {
      throw OCIError(
        .invalidArchive,
        "\(label): the manifest has \(layers.count) layers, but the configuration knows \(document.diffIDs.count)")
    }
    let (os, architecture) = (document.config.os, document.config.architecture)
    guard os.isEmpty || os == "linux", architecture.isEmpty || architecture == machineArchitecture else {
      throw OCIError(
        .unsupported, "\(label): the image is for \(os)/\(architecture), this machine is linux/\(machineArchitecture)")
    }
    // The others are checked when they are unpacked.
    for (layer, diffID) in zip(layers, document.diffIDs) where layer.compression == .none {
      guard layer.digest.algorithm != diffID.algorithm || layer.digest == diffID else {
        throw OCIError(
          .digestMismatch,
          "\(label): a layer has the digest \(layer.digest), but the configuration says \(diffID): "
            + "the archive is damaged, export the image again")
      }
    }
  }

  // MARK: docker-archive (`docker save`)

  private func dockerImages(_ json: JSON) throws(OCIError) -> [ImportedImage] {
    guard let entries = json.array, !entries.isEmpty else {
      throw OCIError(.invalidArchive, "\(label): manifest.json must be a list of images")
    }
    var images: [ImportedImage] = []
    for (position, entry) in entries.enumerated() {
      let name = "\(label): manifest.json[\(position)]"
      guard let configName = entry["Config"]?.string, let layerNames = entry["Layers"]?.array else {
        throw OCIError(.invalidArchive, "\(name): an image needs \"Config\" and \"Layers\"")
      }
      guard layerNames.count <= limits.layersMax else {
        throw OCIError(.limitExceeded, "\(name): \(layerNames.count) layers are more than \(limits.layersMax)")
      }
      func member(_ member: String) throws(OCIError) -> StagedBlob {
        guard let blob = try archive.member(try LayerExtractor.clean(member, label: name)) else {
          throw OCIError(.invalidArchive, "\(name): the member \(member) is missing; export the image again")
        }
        return blob
      }
      let config = try member(configName)
      var layers: [StagedBlob] = []
      for layer in layerNames {
        guard let layerName = layer.string else {
          throw OCIError(.invalidArchive, "\(name): \"Layers\" must hold names")
        }
        layers.append(try member(layerName))
      }
      try check(config, layers: layers, label: name)
      var names: [String] = []
      for tag in entry["RepoTags"]?.array?.compactMap(\.string) ?? [] {
        names.append(try Reference(parsing: tag).description)
      }
      // The archive has no manifest of the registry's form: ours is the one that a push would make.
      let manifest: JSON = [
        "schemaVersion": 2, "mediaType": .string(MediaType.manifest),
        "config": Descriptor(mediaType: MediaType.config, digest: config.digest, size: config.size).json,
        "layers": .array(
          layers.map {
            Descriptor(mediaType: MediaType.layer($0.compression), digest: $0.digest, size: $0.size).json
          }),
      ]
      let bytes = manifest.serialized()
      var writer = try StagedBlobWriter(workspace, number: -1 - position)
      let failure: OCIError? = bytes.withUnsafeBytes { buffer in
        do throws(OCIError) {
          try writer.write(buffer)
          return nil
        } catch {
          return error
        }
      }
      if let failure { throw failure }
      let blob = writer.finish()
      images.append(
        ImportedImage(
          names: names, manifest: Descriptor(mediaType: MediaType.manifest, digest: blob.digest, size: blob.size),
          blobs: [blob, config] + layers, configDigest: config.digest))
    }
    return images
  }
}

/// This machine's architecture as Go and OCI name it.
let machineArchitecture: String = {
  #if arch(x86_64)
    "amd64"
  #elseif arch(arm64)
    "arm64"
  #else
    "unknown"
  #endif
}()
