import Glibc
import LinuxSystem

extension Image {
  /// Layers that are no image yet, for `ImageStore.unpack`.
  /// - Parameter label: for errors.
  public init(layers: [Layer], label: String) {
    self.init(
      names: [label], digest: Digest(of: []), id: Digest(of: []), size: 0, config: ImageConfig(), layers: layers)
  }
}

extension Image.Layer {
  /// A layer by its parts, for whoever makes images.
  public init(blob digest: Digest, diffID: Digest, size: Int64, mediaType: String, tocDigest: Digest? = nil) {
    self.init(digest: digest, diffID: diffID, size: size, mediaType: mediaType, tocDigest: tocDigest)
  }

  /// As a manifest has it, beside the configuration's diffID.
  public init(_ descriptor: Descriptor, diffID: Digest) {
    self.init(
      digest: descriptor.digest, diffID: diffID, size: descriptor.size, mediaType: descriptor.mediaType,
      tocDigest: descriptor.tocDigest)
  }

  /// For a manifest.
  public var descriptor: Descriptor {
    Descriptor(
      mediaType: mediaType, digest: digest, size: size,
      annotations: tocDigest.map { [Stargz.tocAnnotation: $0.description] } ?? [:])
  }
}

extension Descriptor {
  /// The digest of an eStargz layer's table of contents; `nil` for every other.
  public var tocDigest: Digest? { annotations[Stargz.tocAnnotation].flatMap { Digest($0) } }
}

extension ImageStore {
  /// Takes over a folder that has a layer's files as `unpack` would make them: an overlay's upper folder that the layer was
  /// written from, durable (syncfs(2)) and on the store's file system. Nothing is done when the layer is unpacked already.
  /// Blocks shortly.
  public func adopt(_ folder: String, as layer: Image.Layer) throws(OCIError) {
    try content.noteUnpacked([layer])
    let workspace = try content.locked { () throws(OCIError) in try Workspace(root: root) }
    let made = "\(workspace.path)/layer"
    try system { () throws(SystemError) in try Directory.create(made, mode: 0o755) }
    guard rename(folder, "\(made)/fs") == 0 else { throw OCIError(SystemError.last("rename \(folder)")) }
    let target = "\(root)/unpacked/\(layer.diffID.hex)"
    guard rename(made, target) == 0 || errno == ENOTEMPTY || errno == EEXIST else {
      throw OCIError(SystemError.last("rename \(made) to \(target)"))
    }
    try system { () throws(SystemError) in try Directory.sync("\(root)/unpacked") }
  }
}

/// Archives of other people, as `ADD` and a build's context have them.
public enum ArchiveExtractor {
  /// Unpacks a tar archive, also compressed with gzip or zstd, into a folder, with the care of a layer: nothing outside
  /// the folder is touched, devices are made, whiteouts hide. The folder is the root of absolute names and of links.
  /// Needs root. Blocks.
  ///
  /// - Parameter label: the archive, for errors.
  /// - Returns: the folders that are members of the archive, relative to `folder`; others are only on the way to one.
  @discardableResult
  public static func extract(
    _ path: String, into folder: String, label: String, limits: ImageLimits = ImageLimits()
  ) throws(OCIError) -> Set<String> {
    let source = try Compression.open(try FileSource(path), limits: limits, label: label)
    var extractor = try LayerExtractor(root: folder, label: label, names: .contained)
    try extractor.extract(source, limits: limits)
    return extractor.folders
  }

  /// Whether a file is a tar archive, also compressed with gzip or zstd: whether it begins with a member. Blocks shortly.
  public static func isArchive(_ path: String) -> Bool {
    guard let file = try? FileSource(path),
      let source = try? Compression.open(file, limits: ImageLimits(), label: path)
    else { return false }
    var reader = TarReader(source, label: path, allowsUnnamed: true)
    return (try? reader.next()) != nil
  }
}
