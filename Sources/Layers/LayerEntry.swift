import LinuxSystem
import OCI

/// One thing that a layer adds, changes or hides.
public struct LayerEntry: Sendable {
  public enum Content: Sendable {
    case directory
    /// A regular file at a path of the tree. When it is not as `expected` any more (size and time of change), or changes
    /// while it is read, the layer fails with `.changed`.
    case file(SourceTree, path: String, expected: FileStatus? = nil)
    /// A file with this content.
    case bytes([UInt8])
    case symbolicLink(target: String)
    /// Another name of a file of the same layer.
    case hardLink(target: String)
    case pipe
    case characterDevice(major: UInt32, minor: UInt32)
    case blockDevice(major: UInt32, minor: UInt32)
    /// Hides what the layers below have at the path.
    case whiteout
    /// Hides everything that the layers below have in the folder at the path.
    case opaque
  }

  /// Relative to the image's root, without `.` and `..`; empty for the root itself.
  public var path: String
  public var content: Content
  public var owner: UInt32
  public var group: UInt32
  /// Permission bits; `nil` for those of the source file, 0755 for a folder, and 0644 for the rest.
  public var mode: UInt32?
  /// `nil` for the source file's; 1970 when there is none.
  public var modified: FileTime?
  /// `nil` for those of the source file that belong into an image.
  public var attributes: [FileAttribute]?

  public init(
    path: String, content: Content, owner: UInt32 = 0, group: UInt32 = 0, mode: UInt32? = nil,
    modified: FileTime? = nil, attributes: [FileAttribute]? = nil
  ) {
    self.path = path
    self.content = content
    self.owner = owner
    self.group = group
    self.mode = mode
    self.modified = modified
    self.attributes = attributes
  }
}

/// What a layer is made of.
public enum LayerContents: Sendable {
  /// What a builder says, in any order; of several entries for one path the last one counts.
  ///
  /// Missing parent folders are added, as `lowers` have them, because an entry without its parents would give them other
  /// owners and modes when the layer is unpacked on its own; 0755 and root's when `lowers` is `nil` or has none.
  case entries([LayerEntry], lowers: LowerTree?)
  /// What an overlay's upper directory has on top of its lower layers.
  ///
  /// `lowers` is needed for files whose data overlayfs left below (`metacopy=on`), and to leave out folders that are there
  /// only because something in them was excluded. `excluding` names what a container's runtime made, such as mount
  /// points, with everything below it. `userAttributes` says that the overlay was mounted with `userxattr`: without it
  /// `user.overlay.` attributes, which every program can set, mean nothing, and are not written either.
  case upper(SourceTree, lowers: LowerTree?, excluding: Set<String> = [], userAttributes: Bool = false)
}

/// How a layer is written.
public struct LayerOptions: Sendable {
  /// zstd, which every current runtime reads, is several times faster than gzip and no larger.
  public var compression = Compression.zstd
  /// eStargz: a gzip archive that can also be read file by file (`Stargz`). With gzip only.
  public var isSeekable = false
  /// As in `CompressionWriter`.
  public var level: Int?
  public var threads = CompressionWriter.threadsDefault
  /// Seconds since 1970: later times are set back to it, which makes a build repeatable (`SOURCE_DATE_EPOCH`).
  public var timeMax: Int64?
  /// Whether times keep their fractions of a second. Docker, containerd and buildah cut them off, and every file costs
  /// another kibibyte.
  public var keepsFractions = false
  /// Whether devices are taken; otherwise they are refused.
  public var allowsDevices = false
  public var entriesMax = ImageLimits().entriesMax
  /// Bytes of the uncompressed layer.
  public var uncompressedMax = ImageLimits().uncompressedMax

  public init() {}
}

/// What has been written.
public struct LayerSummary: Sendable, Equatable {
  /// The digest of the uncompressed archive.
  public var diffID: Digest
  public var uncompressedSize: Int64
  /// Members of the archive, without those that eStargz adds; zero when nothing changed.
  public var entries: Int
  /// Of an eStargz layer.
  public var tocDigest: Digest?
}
