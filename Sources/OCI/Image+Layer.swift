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
      annotations: tocDigest.map { [Descriptor.tocAnnotation: $0.description] } ?? [:])
  }
}

extension Descriptor {
  /// The annotation of an eStargz layer with the digest of its table of contents (containerd/stargz-snapshotter,
  /// docs/estargz.md).
  public static let tocAnnotation = "containerd.io/snapshot/stargz/toc.digest"

  /// The digest of an eStargz layer's table of contents; `nil` for every other.
  public var tocDigest: Digest? { annotations[Self.tocAnnotation].flatMap { Digest($0) } }
}
