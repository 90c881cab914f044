/// An image in the store. Immutable.
public struct Image: Sendable, Equatable {
  /// Full names with tag: `docker.io/library/nginx:1.27`; sorted, empty for an image that only its digest names.
  public var names: [String]
  /// The digest of the manifest.
  public var digest: Digest
  /// The digest of the configuration, which Docker calls the image id.
  public var id: Digest
  /// Bytes of manifest, configuration and (compressed) layers.
  public var size: Int64
  public var config: ImageConfig
  /// Bottom first, as in the manifest.
  public var layers: [Layer]

  public init(
    names: [String], digest: Digest, id: Digest, size: Int64, config: ImageConfig, layers: [Layer]
  ) {
    self.names = names
    self.digest = digest
    self.id = id
    self.size = size
    self.config = config
    self.layers = layers
  }

  public struct Layer: Sendable, Equatable {
    /// The digest of the blob as it is stored.
    public var digest: Digest
    /// The digest of the uncompressed tar stream.
    public var diffID: Digest
    public var size: Int64
    public var mediaType: String
    /// Of an eStargz layer: the digest of its table of contents.
    public var tocDigest: Digest?
  }
}
