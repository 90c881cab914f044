import Glibc
import Layers
import LinuxSystem
import OCI

extension ImageStore {
  /// The folders of the image's layers, top first: a snapshot's parent (`Snapshotter`). Each layer is unpacked once.
  ///
  /// A layer whose content is not what the configuration's diffID says is refused and not kept. The folders stay as long
  /// as the image has a name, or is pinned: whoever mounts them pins it first.
  ///
  /// - Parameter others: folders of layers that others have, by the layers' digests: made by a build that still runs, or
  ///   served while they are fetched. They are taken as they are, and need not be in the store.
  public func unpack(_ image: Image, besides others: [Digest: String] = [:]) async throws(OCIError) -> [String] {
    let own = image.layers.filter { others[$0.digest] == nil }
    if !own.isEmpty {
      try await blocking { () throws(OCIError) in
        // First the note, then the look: what is removed between the two is missing now and comes again.
        try self.content.noteUnpacked(own)
        for layer in own where !self.isUnpacked(layer) { try self.unpackNow(layer, of: image) }
      }
    }
    return image.layers.reversed().map { others[$0.digest] ?? files($0) }
  }

  /// Whether a layer's files are here, so that `unpack` does not need its blob.
  public func isUnpacked(_ layer: Image.Layer) -> Bool { access(files(layer), F_OK) == 0 }

  /// Takes over a folder that has a layer's files as `unpack` would make them: a committed snapshot that the layer was
  /// written from, durable (syncfs(2)) and on the store's file system. Nothing is done when the layer is unpacked already.
  /// Blocks shortly.
  public func adopt(_ folder: String, as layer: Image.Layer) throws(OCIError) {
    try content.noteUnpacked([layer])
    let workspace = try content.locked { () throws(OCIError) in try Workspace(root: root) }
    let made = "\(workspace.path)/layer"
    try system { () throws(SystemError) in try Directory.create(made, mode: 0o755) }
    guard rename(folder, "\(made)/fs") == 0 else { throw OCIError(SystemError.last("rename \(folder)")) }
    let target = self.folder(layer)
    guard rename(made, target) == 0 || errno == ENOTEMPTY || errno == EEXIST else {
      throw OCIError(SystemError.last("rename \(made) to \(target)"))
    }
    try system { () throws(SystemError) in try Directory.sync("\(root)/unpacked") }
  }

  private func folder(_ layer: Image.Layer) -> String { "\(root)/unpacked/\(layer.diffID.hex)" }
  private func files(_ layer: Image.Layer) -> String { "\(folder(layer))/fs" }

  private func unpackNow(_ layer: Image.Layer, of image: Image) throws(OCIError) {
    let target = folder(layer)
    // One at a time for each layer, among threads as among processes.
    let fd = try ContentStore.lockFile("\(root)/unpacked/.\(layer.diffID.hex).lock")
    defer { _ = close(fd) }
    defer { _ = unlink("\(root)/unpacked/.\(layer.diffID.hex).lock") }
    if isUnpacked(layer) { return }

    let label = "layer \(layer.digest) of \(image.names.first ?? image.digest.description)"
    let workspace = try content.locked { () throws(OCIError) in try Workspace(root: root) }
    let folder = "\(workspace.path)/layer"
    try system { () throws(SystemError) in try Directory.create("\(folder)/fs", mode: 0o755) }
    guard let blob = try content.openBlob(layer.digest) else {
      throw OCIError(.notFound, "\(label) is not in the store; import or pull the image again", digests: [layer.digest])
    }
    do throws(OCIError) {
      try extract(blob, layer, into: "\(folder)/fs", label: label)
    } catch {
      // The disk or the image: a blob that is not what its digest says is out of use from now on, and can be had again.
      if [.digestMismatch, .invalidArchive, .unsafePath, .limitExceeded].contains(error.code),
        let damage = try content.examine(layer.digest)
      {
        throw damage
      }
      throw error
    }
    guard rename(folder, target) == 0 || errno == ENOTEMPTY || errno == EEXIST else {
      throw OCIError(SystemError.last("rename \(folder) to \(target)"))
    }
    try system { () throws(SystemError) in try Directory.sync("\(root)/unpacked") }
  }

  private func extract(
    _ blob: BlobFile, _ layer: Image.Layer, into folder: String, label: String
  ) throws(OCIError) {
    let limits = content.limits
    let source = HashingSource(
      try Compression.open(BlobSource(blob), size: blob.size, limits: limits, label: label),
      algorithm: layer.diffID.algorithm)
    var extractor = try LayerExtractor(root: folder, label: label)
    try extractor.extract(source, limits: limits)
    // What follows the end of the archive belongs to the digest, too.
    try source.drain()
    guard source.digest == layer.diffID else {
      throw OCIError(
        .digestMismatch,
        "\(label) has the diffID \(source.digest), but the image's configuration says \(layer.diffID); "
          + "the image is damaged, remove it and import it again")
    }
    try extractor.sync()
  }
}
