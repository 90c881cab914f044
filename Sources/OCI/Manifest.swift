import Wire

/// A reference to a blob with its size (OCI image specification, "Content Descriptors").
public struct Descriptor: Sendable, Equatable {
  /// What a blob may have at most: the sum of all sizes that a document can name is a number.
  static let sizeMax: Int64 = 1 << 50

  /// Empty when the document does not say.
  public var mediaType: String
  public var digest: Digest
  public var size: Int64
  public var urls: [String] = []
  public var annotations: [String: String] = [:]
  /// The content itself, when it is small and was put inside.
  public var data: [UInt8]?
  public var artifactType: String?
  /// In an index: what the manifest's image runs on.
  public var platform: Platform?

  public init(
    mediaType: String, digest: Digest, size: Int64, annotations: [String: String] = [:], artifactType: String? = nil,
    platform: Platform? = nil
  ) {
    self.mediaType = mediaType
    self.digest = digest
    self.size = size
    self.annotations = annotations
    self.artifactType = artifactType
    self.platform = platform
  }

  /// - Parameter label: the document, for errors.
  public init(json: JSON, label: String) throws(OCIError) {
    guard let text = json["digest"]?.string, let digest = Digest(text) else {
      throw OCIError(
        .invalidArchive,
        "\(label): a descriptor's digest must be \"sha256:\" or \"sha512:\" and lower-case hexadecimal digits")
    }
    guard let size = json["size"]?.int, (0...Self.sizeMax).contains(size) else {
      throw OCIError(.invalidArchive, "\(label): the descriptor of \(text) has no valid size")
    }
    mediaType = json["mediaType"]?.string ?? ""
    self.digest = digest
    self.size = size
    urls = json["urls"]?.array?.compactMap(\.string) ?? []
    annotations = json["annotations"]?.strings ?? [:]
    if let text = json["data"]?.string {
      guard let bytes = Base64.decode(text), Int64(bytes.count) == size, Digest(of: bytes, digest.algorithm) == digest
      else {
        throw OCIError(.digestMismatch, "\(label): the data inside the descriptor of \(digest) is not what it says")
      }
      data = bytes
    }
    artifactType = json["artifactType"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    platform = json["platform"].flatMap { Platform(json: $0) }
  }

  public var json: JSON {
    var json: JSON = ["mediaType": .string(mediaType), "digest": .string(digest.description), "size": .int(size)]
    if !urls.isEmpty { json["urls"] = .array(urls.map { .string($0) }) }
    if !annotations.isEmpty { json["annotations"] = JSON(sorted: annotations) }
    if let data { json["data"] = .string(Base64.encode(data)) }
    if let artifactType { json["artifactType"] = .string(artifactType) }
    if let platform { json["platform"] = platform.json }
    return json
  }
}

/// The media types of images (OCI image specification, media-types.md, and Docker's image manifest V2, schema 2).
public enum MediaType {
  public static let index = "application/vnd.oci.image.index.v1+json"
  public static let manifest = "application/vnd.oci.image.manifest.v1+json"
  public static let config = "application/vnd.oci.image.config.v1+json"
  public static let layer = "application/vnd.oci.image.layer.v1.tar"
  /// The content `{}`, where a manifest must name a blob but has none.
  public static let empty = "application/vnd.oci.empty.v1+json"
  public static let dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
  public static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
  public static let dockerConfig = "application/vnd.docker.container.image.v1+json"
  public static let dockerLayer = "application/vnd.docker.image.rootfs.diff.tar.gzip"

  /// All media types of manifests that can be read, for `Accept`.
  public static let manifests = [manifest, index, dockerManifest, dockerManifestList]

  /// The media type of a layer that is compressed so.
  public static func layer(_ compression: Compression) -> String {
    switch compression {
    case .none: layer
    case .gzip: layer + "+gzip"
    case .zstd: layer + "+zstd"
    }
  }

  public static func isIndex(_ mediaType: String) -> Bool { mediaType == index || mediaType == dockerManifestList }
  public static func isImage(_ mediaType: String) -> Bool { mediaType == manifest || mediaType == dockerManifest }

  /// Layers that registries may leave to other servers.
  public static func isNondistributable(_ mediaType: String) -> Bool {
    mediaType.hasPrefix("application/vnd.oci.image.layer.nondistributable.")
      || mediaType.hasPrefix("application/vnd.docker.image.rootfs.foreign.")
  }

  /// Indexes are told by their content, too: the media type is optional.
  package static func isIndex(_ descriptor: Descriptor, _ json: JSON) -> Bool {
    isIndex(descriptor.mediaType) || (json["manifests"]?.array != nil && json["layers"] == nil)
  }
}

/// An image manifest, also of an artifact (OCI image specification, manifest.md; Docker's schema 2 is the same with
/// other media types).
public struct Manifest: Sendable, Equatable {
  public var mediaType: String
  public var artifactType: String?
  public var config: Descriptor
  /// Bottom first.
  public var layers: [Descriptor]
  /// The manifest that this one is about: a signature's image.
  public var subject: Descriptor?
  public var annotations: [String: String] = [:]

  public init(
    config: Descriptor, layers: [Descriptor], mediaType: String = MediaType.manifest, artifactType: String? = nil,
    subject: Descriptor? = nil, annotations: [String: String] = [:]
  ) {
    self.mediaType = mediaType
    self.artifactType = artifactType
    self.config = config
    self.layers = layers
    self.subject = subject
    self.annotations = annotations
  }

  /// - Parameter label: the document, for errors.
  public init(_ json: JSON, label: String, limits: ImageLimits = ImageLimits()) throws(OCIError) {
    try checkVersion(json, label: label)
    guard let config = json["config"], let list = json["layers"]?.array else {
      throw OCIError(.invalidArchive, "\(label): an image manifest needs \"config\" and \"layers\"")
    }
    guard list.count <= limits.layersMax else {
      throw OCIError(.limitExceeded, "\(label): \(list.count) layers are more than the limit of \(limits.layersMax)")
    }
    mediaType = json["mediaType"]?.string ?? MediaType.manifest
    artifactType = json["artifactType"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    self.config = try Descriptor(json: config, label: label)
    layers = []
    for layer in list { layers.append(try Descriptor(json: layer, label: label)) }
    subject = try parseSubject(json, label: label)
    annotations = json["annotations"]?.strings ?? [:]
  }

  public init(_ bytes: [UInt8], label: String, limits: ImageLimits = ImageLimits()) throws(OCIError) {
    try self.init(try JSON(document: bytes, label: label), label: label, limits: limits)
  }

  /// What a referrers list shows: the manifest's own artifact type, else its configuration's media type
  /// (OCI distribution specification, "Listing Referrers").
  public var effectiveArtifactType: String { artifactType ?? config.mediaType }

  public var json: JSON {
    var json: JSON = ["schemaVersion": 2, "mediaType": .string(mediaType)]
    if let artifactType { json["artifactType"] = .string(artifactType) }
    json["config"] = config.json
    json["layers"] = .array(layers.map(\.json))
    if let subject { json["subject"] = subject.json }
    if !annotations.isEmpty { json["annotations"] = JSON(sorted: annotations) }
    return json
  }
}

/// An image index: one name for images of several platforms, or a list of artifacts (OCI image specification,
/// image-index.md; Docker's manifest list is the same with another media type).
public struct Index: Sendable, Equatable {
  public var mediaType: String
  public var artifactType: String?
  public var manifests: [Descriptor]
  public var subject: Descriptor?
  public var annotations: [String: String] = [:]

  /// How many manifests an index may have.
  static let manifestsMax = 10_000

  public init(
    manifests: [Descriptor], mediaType: String = MediaType.index, artifactType: String? = nil,
    subject: Descriptor? = nil, annotations: [String: String] = [:]
  ) {
    self.mediaType = mediaType
    self.artifactType = artifactType
    self.manifests = manifests
    self.subject = subject
    self.annotations = annotations
  }

  /// - Parameter label: the document, for errors.
  public init(_ json: JSON, label: String) throws(OCIError) {
    try checkVersion(json, label: label)
    guard let list = json["manifests"]?.array else {
      throw OCIError(.invalidArchive, "\(label): an image index needs \"manifests\"")
    }
    guard list.count <= Index.manifestsMax else {
      throw OCIError(
        .limitExceeded, "\(label): \(list.count) manifests are more than the limit of \(Index.manifestsMax)")
    }
    mediaType = json["mediaType"]?.string ?? MediaType.index
    artifactType = json["artifactType"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    manifests = []
    for manifest in list { manifests.append(try Descriptor(json: manifest, label: label)) }
    subject = try parseSubject(json, label: label)
    annotations = json["annotations"]?.strings ?? [:]
  }

  public init(_ bytes: [UInt8], label: String) throws(OCIError) {
    try self.init(try JSON(document: bytes, label: label), label: label)
  }

  /// The images in it, without what is only about them (BuildKit's attestations).
  public var images: [Descriptor] { manifests.filter { $0.annotations["vnd.docker.reference.type"] == nil } }

  /// The image that suits the platform best; a single one without a platform suits all.
  public func image(for platform: Platform) -> Descriptor? {
    let known = images.compactMap { image in image.platform.map { (image, $0) } }
    if let position = platform.best(of: known.map(\.1)) { return known[position].0 }
    return images.count == 1 && known.isEmpty ? images.first : nil
  }

  public var json: JSON {
    var json: JSON = ["schemaVersion": 2, "mediaType": .string(mediaType)]
    if let artifactType { json["artifactType"] = .string(artifactType) }
    json["manifests"] = .array(manifests.map(\.json))
    if let subject { json["subject"] = subject.json }
    if !annotations.isEmpty { json["annotations"] = JSON(sorted: annotations) }
    return json
  }
}

/// A manifest of either kind, as a registry takes it.
public enum ManifestDocument: Sendable, Equatable {
  case image(Manifest)
  case index(Index)

  /// - Parameters:
  ///   - mediaType: what the sender calls it (`Content-Type`); `nil` or empty when it does not say. It must not be in
  ///     conflict with what the document says of itself, because two readers could take it for two different things
  ///     (CVE-2021-41190).
  ///   - label: the document, for errors.
  public init(
    _ bytes: [UInt8], mediaType: String? = nil, label: String, limits: ImageLimits = ImageLimits()
  ) throws(OCIError) {
    let json = try JSON(document: bytes, label: label)
    guard json.object != nil else { throw OCIError(.invalidArchive, "\(label): a manifest must be a JSON object") }
    let outside = mediaType.flatMap { $0.isEmpty ? nil : $0 }
    if let inside = json["mediaType"], !inside.isNull {
      guard let inside = inside.string else {
        throw OCIError(.invalidArchive, "\(label): \"mediaType\" must be a string")
      }
      if let outside, !inside.isEmpty, inside != outside {
        throw OCIError(
          .invalidArchive, "\(label): it is sent as \(outside), but says that it is \(inside); send it as what it is")
      }
    }
    let stated = outside ?? json["mediaType"]?.string ?? ""
    guard json["manifests"] == nil || (json["layers"] == nil && json["config"] == nil) else {
      throw OCIError(.invalidArchive, "\(label): a manifest has either \"manifests\" or \"config\" and \"layers\"")
    }
    if MediaType.isIndex(stated) || (!MediaType.isImage(stated) && json["manifests"] != nil) {
      var index = try Index(json, label: label)
      if let outside { index.mediaType = outside }
      self = .index(index)
    } else {
      var manifest = try Manifest(json, label: label, limits: limits)
      if let outside { manifest.mediaType = outside }
      self = .image(manifest)
    }
  }

  public var mediaType: String {
    switch self {
    case .image(let manifest): manifest.mediaType
    case .index(let index): index.mediaType
    }
  }

  public var subject: Descriptor? {
    switch self {
    case .image(let manifest): manifest.subject
    case .index(let index): index.subject
    }
  }

  /// What a referrers list shows; empty for an index that names none.
  public var artifactType: String {
    switch self {
    case .image(let manifest): manifest.effectiveArtifactType
    case .index(let index): index.artifactType ?? ""
    }
  }

  public var annotations: [String: String] {
    switch self {
    case .image(let manifest): manifest.annotations
    case .index(let index): index.annotations
    }
  }

  /// Configuration and layers of an image; none for an index.
  public var blobs: [Descriptor] {
    switch self {
    case .image(let manifest): [manifest.config] + manifest.layers
    case .index: []
    }
  }

  /// The manifests of an index; none for an image.
  public var manifests: [Descriptor] {
    switch self {
    case .image: []
    case .index(let index): index.manifests
    }
  }
}

private func checkVersion(_ json: JSON, label: String) throws(OCIError) {
  guard json["schemaVersion"]?.int == 2 else {
    throw OCIError(.unsupported, "\(label): only image manifests with schemaVersion 2 are supported")
  }
}

private func parseSubject(_ json: JSON, label: String) throws(OCIError) -> Descriptor? {
  guard let subject = json["subject"], !subject.isNull else { return nil }
  return try Descriptor(json: subject, label: "\(label): subject")
}
