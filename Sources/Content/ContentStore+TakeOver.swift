import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Wire

extension ContentStore {
  /// Where images are that were imported without a name. Its tags are digests, and are shown to nobody.
  static let unnamed = Repository(host: "unnamed.apus", path: "image")

  static func unnamedTag(_ digest: Digest) -> String { "\(digest.algorithm.rawValue)-\(digest.hex)" }

  /// Takes the names of a store of an older version, which kept them in `index.json`, over into the catalog. The blobs
  /// stay where they are. An image that cannot be read is left out: it could not be run either.
  ///
  /// The store's lock is held. A crash in the middle changes nothing.
  func takeOverIndex() throws(OCIError) {
    let path = "\(root)/index.json"
    guard access(path, F_OK) == 0 else { return }
    let bytes = try system { () throws(SystemError) in try DurableFile.read(path, limit: 64 << 20) }
    let json = try JSON(document: bytes, label: path)
    var images: [(manifest: ParsedManifest, repository: Repository, tag: String, index: Digest?, diffIDs: [Digest])] =
      []
    for entry in json["manifests"]?.array ?? [] {
      let descriptor = try Descriptor(json: entry, label: path)
      guard let manifest = try? oldManifest(descriptor) else { continue }
      var (repository, tag) = (ContentStore.unnamed, ContentStore.unnamedTag(descriptor.digest))
      if let name = descriptor.annotations["org.opencontainers.image.ref.name"] {
        let reference = try Reference(parsing: name)
        repository = try self.repository(for: reference)
        tag = reference.tag ?? tag
      }
      images.append(
        (
          manifest, repository, tag, descriptor.annotations["dev.apus.image.index-digest"].flatMap { Digest($0) },
          oldDiffIDs(manifest)
        ))
    }
    let found = images
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      let catalog = transaction.catalog
      // Taken over already, by a process that died before it could remove the file.
      guard try !catalog.exists("SELECT 1 FROM meta WHERE key = 'index-taken-over'") else { return }
      try catalog.run("INSERT INTO meta VALUES ('index-taken-over', '')")
      for image in found {
        for edge in image.manifest.edges { try transaction.adopt(edge.target) }
        let blob = try transaction.adopt(image.manifest.record.digest)
        try transaction.put(image.manifest, blob, tags: [image.tag], in: image.repository, .nothing) { _ in false }
        if let index = image.index { try transaction.addMember(blob, toIndex: index) }
        for (layer, diffID) in zip(image.manifest.blobs.dropFirst(), image.diffIDs) {
          try catalog.run(
            "INSERT INTO unpacked (diff, blob) VALUES (?1, ?2) ON CONFLICT DO NOTHING", .init(diffID.hex),
            .init(try transaction.blobID(layer)))
        }
      }
    }
    try system { () throws(SystemError) in
      for name in ["index.json", "oci-layout"] { try Directory.removeTree("\(root)/\(name)") }
      try Directory.sync(root)
    }
  }

  private func oldDocument(_ digest: Digest) throws(OCIError) -> [UInt8] {
    let path = blobPath(digest)
    let bytes = try system { () throws(SystemError) in try DurableFile.read(path, limit: limits.documentMax) }
    guard Digest(of: bytes, digest.algorithm) == digest else {
      throw OCIError(.digestMismatch, "\(path) is damaged")
    }
    return bytes
  }

  private func oldManifest(_ descriptor: Descriptor) throws(OCIError) -> ParsedManifest {
    try ParsedManifest(
      try oldDocument(descriptor.digest), mediaType: descriptor.mediaType, digest: descriptor.digest, limits: limits)
  }

  private func oldDiffIDs(_ manifest: ParsedManifest) -> [Digest] {
    guard let config = manifest.blobs.first, let bytes = try? oldDocument(config),
      let document = try? ConfigDocument(bytes, label: "configuration \(config)")
    else { return [] }
    return document.diffIDs
  }
}

extension Transaction {
  /// Gives a blob that has a file the row of one that is here.
  @discardableResult
  fileprivate func adopt(_ digest: Digest) throws(OCIError) -> Int64 {
    let id = try blobID(digest)
    var status = stat()
    if stat(blobPath(digest), &status) == 0 {
      try catalog.run("UPDATE blob SET state = 1, size = ?2 WHERE id = ?1", .init(id), .init(Int64(status.st_size)))
    }
    return id
  }

  /// Remembers that a manifest belongs to an index, which itself need not be here: `NAME@DIGEST` may mean either.
  func addMember(_ manifest: Int64, toIndex index: Digest) throws(OCIError) {
    try catalog.run(
      "INSERT INTO edge (source, target, kind) VALUES (?1, ?2, 2) ON CONFLICT DO NOTHING",
      .init(try blobID(index)), .init(manifest))
  }
}
