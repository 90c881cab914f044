/// What an image may cost.
public struct ImageLimits: Sendable, Equatable {
  /// Bytes of one layer, or of a compressed archive, when decompressed.
  public var uncompressedMax: Int64 = 256 << 30
  /// A stream that has grown beyond `ratioFreeBytes` may be this many times its compressed size.
  public var ratioMax: Int64 = 200
  public var ratioFreeBytes: Int64 = 1 << 30
  /// Files, folders and links of one layer, or members of an archive.
  public var entriesMax = 2_000_000
  /// Manifests, indexes and configurations, each.
  public var documentMax = 8 << 20
  public var layersMax = 500

  public init() {}
}
