import OCI

/// A manifest or index of another registry, verified.
public struct RemoteManifest: Sendable, Equatable {
  public var digest: Digest
  public var mediaType: String
  public var bytes: [UInt8]

  public init(digest: Digest, mediaType: String, bytes: [UInt8]) {
    self.digest = digest
    self.mediaType = mediaType
    self.bytes = bytes
  }
}

/// What a registry says about a manifest without sending it.
public struct ManifestHead: Sendable, Equatable {
  /// `nil` when the registry does not tell.
  public var digest: Digest?
  public var mediaType: String
  public var size: Int64?
}

/// What happens during a pull or push.
public enum TransferEvent: Sendable, Equatable {
  /// The reference names this manifest.
  case resolved(Digest, mediaType: String)
  /// The blob will be transferred.
  case started(Digest, size: Int64)
  /// So many bytes of the blob have come or gone; falls back when an upload has to begin again.
  case transferred(Digest, bytes: Int64, of: Int64)
  /// The blob is there already.
  case exists(Digest, size: Int64)
  /// The registry had it in another repository.
  case mounted(Digest, from: String)
  /// The transfer goes on after a failure.
  case retrying(Digest, reason: String)
  case finished(Digest, size: Int64)
  /// The manifest is stored, and everything it needs before.
  case stored(Digest)
  case tagged(String, Digest)
}
