import OCI

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
