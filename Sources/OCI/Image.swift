import Wire

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

  public struct Layer: Sendable, Equatable {
    /// The digest of the blob as it is stored.
    public var digest: Digest
    /// The digest of the uncompressed tar stream.
    public var diffID: Digest
    public var size: Int64
    public var mediaType: String
  }
}

/// How a container of the image starts (OCI image configuration).
public struct ImageConfig: Sendable, Equatable {
  public var entrypoint: [String] = []
  public var cmd: [String] = []
  /// `NAME=VALUE`.
  public var env: [String] = []
  public var workingDir = ""
  /// `user`, `uid`, `user:group`, `uid:gid`; empty for root.
  public var user = ""
  /// `8080/tcp`.
  public var exposedPorts: [String] = []
  public var volumes: [String] = []
  public var labels: [String: String] = [:]
  public var stopSignal: String?
  /// As Go names them: `amd64`, `linux`.
  public var architecture = ""
  public var os = ""
  /// RFC 3339.
  public var created: String?
}

/// A reference to a blob with its size (OCI content descriptor).
struct Descriptor: Sendable, Equatable {
  var mediaType: String
  var digest: Digest
  var size: Int64
  var annotations: [String: String] = [:]
  /// `os/architecture`, when given.
  var platform: String?

  init(mediaType: String, digest: Digest, size: Int64, annotations: [String: String] = [:]) {
    self.mediaType = mediaType
    self.digest = digest
    self.size = size
    self.annotations = annotations
  }

  init(json: JSON, label: String) throws(OCIError) {
    guard let text = json["digest"]?.string, let digest = Digest(text) else {
      throw OCIError(
        .invalidArchive,
        "\(label): a descriptor's digest must be \"sha256:\" or \"sha512:\" and lower-case hexadecimal digits")
    }
    guard let size = json["size"]?.int, size >= 0 else {
      throw OCIError(.invalidArchive, "\(label): the descriptor of \(text) has no valid size")
    }
    mediaType = json["mediaType"]?.string ?? ""
    self.digest = digest
    self.size = size
    for (key, value) in json["annotations"]?.object?.members ?? [] { annotations[key] = value.string }
    if let os = json.at("platform", "os")?.string, let architecture = json.at("platform", "architecture")?.string {
      platform = "\(os)/\(architecture)"
    }
  }

  var json: JSON {
    var json: JSON = ["mediaType": .string(mediaType), "digest": .string(digest.description), "size": .int(size)]
    if !annotations.isEmpty {
      let members = annotations.sorted { $0.key < $1.key }.map { (key: $0.key, value: JSON.string($0.value)) }
      json["annotations"] = .object(JSONObject(uniqueMembers: members))
    }
    return json
  }
}

enum MediaType {
  static let index = "application/vnd.oci.image.index.v1+json"
  static let manifest = "application/vnd.oci.image.manifest.v1+json"
  static let config = "application/vnd.oci.image.config.v1+json"
  static let layer = "application/vnd.oci.image.layer.v1.tar"
  static let dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"

  static func layer(_ compression: Compression) -> String {
    switch compression {
    case .none: layer
    case .gzip: layer + "+gzip"
    case .zstd: layer + "+zstd"
    }
  }

  /// Indexes are told by their content, too: the media type is optional.
  static func isIndex(_ descriptor: Descriptor, _ json: JSON) -> Bool {
    [index, dockerManifestList].contains(descriptor.mediaType)
      || (json["manifests"]?.array != nil && json["layers"] == nil)
  }
}

/// The parts of an image manifest that count.
struct Manifest: Sendable, Equatable {
  var config: Descriptor
  var layers: [Descriptor]

  init(_ json: JSON, label: String, limits: ImageLimits) throws(OCIError) {
    guard json["schemaVersion"]?.int == 2 else {
      throw OCIError(.unsupported, "\(label): only image manifests with schemaVersion 2 are supported")
    }
    guard let config = json["config"], let list = json["layers"]?.array else {
      throw OCIError(.invalidArchive, "\(label): an image manifest needs \"config\" and \"layers\"")
    }
    guard list.count <= limits.layersMax else {
      throw OCIError(.limitExceeded, "\(label): \(list.count) layers are more than the limit of \(limits.layersMax)")
    }
    self.config = try Descriptor(json: config, label: label)
    layers = []
    for layer in list { layers.append(try Descriptor(json: layer, label: label)) }
  }
}

/// An image configuration: how to start, and the digests of the uncompressed layers.
struct ConfigDocument: Sendable, Equatable {
  var config: ImageConfig
  var diffIDs: [Digest]

  init(_ bytes: [UInt8], label: String) throws(OCIError) {
    let json = try parseDocument(bytes, label: label)
    guard let list = json.at("rootfs", "diff_ids")?.array else {
      throw OCIError(.invalidArchive, "\(label): the image configuration has no rootfs.diff_ids")
    }
    diffIDs = []
    for element in list {
      guard let text = element.string, let digest = Digest(text) else {
        throw OCIError(.invalidArchive, "\(label): rootfs.diff_ids must hold digests")
      }
      diffIDs.append(digest)
    }
    let inner = json["config"]
    func strings(_ key: String) throws(OCIError) -> [String] {
      guard let value = inner?[key], !value.isNull else { return [] }
      guard let array = value.array, array.allSatisfy({ $0.string != nil }) else {
        throw OCIError(.invalidArchive, "\(label): config.\(key) must be a list of strings")
      }
      return array.compactMap(\.string)
    }
    config = ImageConfig()
    config.entrypoint = try strings("Entrypoint")
    config.cmd = try strings("Cmd")
    config.env = try strings("Env")
    config.workingDir = inner?["WorkingDir"]?.string ?? ""
    config.user = inner?["User"]?.string ?? ""
    config.exposedPorts = inner?["ExposedPorts"]?.object?.keys ?? []
    config.volumes = inner?["Volumes"]?.object?.keys ?? []
    for (key, value) in inner?["Labels"]?.object?.members ?? [] { config.labels[key] = value.string }
    config.stopSignal = inner?["StopSignal"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    config.architecture = json["architecture"]?.string ?? ""
    config.os = json["os"]?.string ?? ""
    config.created = json["created"]?.string
  }
}

/// JSON of an archive, with the member's name in the error.
func parseDocument(_ bytes: [UInt8], label: String) throws(OCIError) -> JSON {
  do {
    return try JSON.parse(bytes)
  } catch {
    throw OCIError(.invalidArchive, "\(label) is not valid JSON: \(error)")
  }
}
