import Content
import Dockerfile
import OCI
import Wire

/// `--provenance`: whether and how an image tells what it was made of.
public struct ProvenanceRequest: Sendable, Equatable {
  public enum Mode: String, Sendable, Equatable {
    /// What it was made of, by whom and when.
    case min
    /// Also the request's parameters.
    case max
  }
  public var mode: Mode
  /// Who builds: a URI.
  public var builderID: String

  public static let defaultBuilderID = "urn:apus:builder"

  public init(mode: Mode, builderID: String = defaultBuilderID) {
    self.mode = mode
    self.builderID = builderID
  }
}

/// Something from outside that went into an image, pinned by its content.
struct Material: Sendable, Hashable {
  /// Without credentials, and without a query, which may be a signature.
  var uri: String
  /// As in-toto names it: `sha256`, `sha1`.
  var algorithm: String
  var hex: String

  static func download(_ url: String, _ digest: Digest) -> Material {
    let address = RemoteSource.withoutCredentials(url).prefix { $0 != "?" && $0 != "#" }
    return Material(uri: String(address), algorithm: digest.algorithm.rawValue, hex: digest.hex)
  }

  static func repository(_ reference: RemoteSource.GitReference, commit: String) -> Material {
    let address = reference.shown.prefix { $0 != "?" && $0 != "#" }
    return Material(
      uri: address + (reference.ref.map { "#\($0)" } ?? ""), algorithm: commit.utf8.count == 64 ? "sha256" : "sha1",
      hex: commit)
  }

  static func image(_ image: BaseImage) -> Material? {
    guard let digest = Digest(image.digest) else { return nil }
    let reference = try? Reference(parsing: image.reference)
    return Material(
      uri: reference.map { packageURL($0, platform: image.platform) } ?? "pkg:docker/\(escaped(image.reference))",
      algorithm: digest.algorithm.rawValue, hex: digest.hex)
  }

  /// An image's package URL (purl specification, type docker).
  static func packageURL(_ reference: Reference, platform: String) -> String {
    let isDocker = reference.registry == "docker.io"
    var parts = reference.repository.split(separator: "/").map(String.init)
    if isDocker, parts.count == 2, parts[0] == "library" { parts.removeFirst() }
    if !isDocker { parts.insert(reference.registry, at: 0) }
    var text = "pkg:docker/" + parts.map(escaped).joined(separator: "/")
    if let tag = reference.tag { text += "@\(escaped(tag))" }
    text += "?"
    if let digest = reference.digest { text += "digest=\(escaped(digest.description))&" }
    return text + "platform=\(escaped(platform))"
  }

  /// Percent-encoding of what is not unreserved (RFC 3986, section 2.3), in capitals.
  private static func escaped(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: result.unicodeScalars.append(.init(byte))
      default: result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
    return result
  }

  var json: JSON {
    ["uri": .string(uri), "digest": .object(JSONObject(uniqueMembers: [(key: algorithm, value: .string(hex))]))]
  }
}

/// How an image was made, as a statement that is kept beside it: in-toto Statement v1 with the predicate SLSA provenance
/// v1. Pure: equal builds at equal times give equal bytes.
struct Provenance: Sendable {
  static let statementType = "https://in-toto.io/Statement/v1"
  static let predicateType = "https://slsa.dev/provenance/v1"
  /// Of the blob, as BuildKit stores it.
  static let mediaType = "application/vnd.in-toto+json"
  /// What the parameters mean: docs/build.md, "Provenance".
  static let buildType = "urn:apus:build:dockerfile:v1"

  var mode: ProvenanceRequest.Mode
  var builderID: String
  var builderVersion: String
  var start: Timestamp
  var end: Timestamp
  /// A context that was fetched.
  var source: Material?
  var dockerfileName: String
  var target: String?
  var network: BuildRequest.Network
  var buildArguments: [String: String]
  var labels: [String: String]
  var secretIDs: [String]
  var agentIDs: [String]
  /// Values that must not be in it anywhere, whatever they got into.
  var hidden: [String]

  struct Subject: Sendable {
    /// Package URLs; empty for an image without a name.
    var names: [String]
    var digest: Digest
    var platform: String
  }

  func statement(about subject: Subject, of materials: some Sequence<Material>) -> JSON {
    let digest: JSON = .object(
      JSONObject(uniqueMembers: [(key: subject.digest.algorithm.rawValue, value: .string(subject.digest.hex))]))
    let names = subject.names.isEmpty ? ["_"] : subject.names
    let sorted = Set(materials).sorted { ($0.uri, $0.algorithm, $0.hex) < ($1.uri, $1.algorithm, $1.hex) }
    return [
      "_type": .string(Self.statementType), "predicateType": .string(Self.predicateType),
      "subject": .array(names.map { ["name": .string($0), "digest": digest] }),
      "predicate": [
        "buildDefinition": [
          "buildType": .string(Self.buildType), "externalParameters": externalParameters,
          "internalParameters": ["builderPlatform": .string(Platform.host.description)],
          "resolvedDependencies": .array(
            sorted.map { material in
              var material = material
              material.uri = shown(material.uri)
              return material.json
            }),
        ],
        "runDetails": [
          "builder": ["id": .string(builderID), "version": ["apus": .string(builderVersion)]],
          "metadata": ["startedOn": .string(start.rfc3339), "finishedOn": .string(end.rfc3339)],
        ],
      ],
    ]
  }

  private var externalParameters: JSON {
    var configuration: JSON = ["path": .string(dockerfileName)]
    if var source {
      source.uri = shown(source.uri)
      configuration["uri"] = .string(source.uri)
      configuration["digest"] = source.json["digest"] ?? .null
    }
    var request: JSON = ["frontend": "dockerfile.v0"]
    if let target { request["target"] = .string(target) }
    if mode == .max {
      var arguments: [JSONObject.Member] = []
      for (name, value) in buildArguments.sorted(by: { $0.key < $1.key }) where !Self.isProxy(name) {
        arguments.append(
          (key: "build-arg:\(name)", value: .string(Self.isHidden(name) ? Self.redacted : shown(value))))
      }
      for (name, value) in labels.sorted(by: { $0.key < $1.key }) {
        arguments.append((key: "label:\(name)", value: .string(shown(value))))
      }
      if network != .default { arguments.append((key: "force-network-mode", value: .string(network.rawValue))) }
      if !arguments.isEmpty { request["args"] = .object(JSONObject(uniqueMembers: arguments)) }
      if !secretIDs.isEmpty { request["secrets"] = .array(Set(secretIDs).sorted().map { ["id": .string($0)] }) }
      if !agentIDs.isEmpty { request["ssh"] = .array(Set(agentIDs).sorted().map { ["id": .string($0)] }) }
    }
    return ["configSource": configuration, "request": request]
  }

  // MARK: What is not told

  static let redacted = "<redacted>"

  /// Whether an argument's value is kept back. More than the check `SecretsUsedInArgOrEnv` warns of: here a name too many
  /// costs nothing.
  static func isHidden(_ name: String) -> Bool {
    let lower = name.lowercased()
    return DockerfileLint.looksSecret(name)
      || ["secret", "token", "passw", "pwd", "credential", "apikey", "privatekey"].contains { lower.contains($0) }
  }

  /// Proxies change nothing in the image, and often have a password in them.
  private static func isProxy(_ name: String) -> Bool { name.lowercased().hasSuffix("_proxy") }

  private func shown(_ text: String) -> String {
    var text = RemoteSource.withoutCredentials(text)
    for value in hidden where !value.isEmpty {
      text = text.split(separator: value, omittingEmptySubsequences: false).joined(separator: Self.redacted)
    }
    return text
  }

  /// The values of arguments that are named like secrets: those of the request, and the defaults in the Dockerfile. Longest
  /// first, so that of one that holds another nothing is left.
  static func hiddenValues(_ request: BuildRequest, _ dockerfile: Dockerfile) -> [String] {
    var values = Set(request.buildArguments.filter { isHidden($0.key) || isProxy($0.key) }.values)
    for instruction in dockerfile.globalArguments + dockerfile.stages.flatMap(\.instructions) {
      switch instruction.body {
      case .arg(let arguments): values.formUnion(arguments.filter { isHidden($0.name) }.compactMap(\.value))
      case .env(let pairs): values.formUnion(pairs.filter { isHidden($0.key) }.map(\.value))
      default: break
      }
    }
    // Shorter ones are words that stand anywhere: nothing could be read any more.
    return values.filter { $0.utf8.count >= 4 }.sorted { ($0.utf8.count, $0) > ($1.utf8.count, $1) }
  }
}

extension BuildSession {
  /// Stores a statement as BuildKit attaches it: a manifest of its own, whose only layer it is.
  ///
  /// - Returns: its descriptor for the index that has the image. Blocks.
  func attach(
    _ statement: JSON, to image: Descriptor, in repositories: [Repository]
  ) throws(BuildError) -> Descriptor {
    let bytes = statement.serialized()
    let manifest = try stored { () throws(OCIError) -> [UInt8] in
      let layer = try content.storeBlob(bytes, lease: lease)
      var unknown = ImageConfig()
      (unknown.os, unknown.architecture) = ("unknown", "unknown")
      let config = try content.storeBlob(
        ConfigDocument(config: unknown, diffIDs: [layer.digest]).json.serialized(), lease: lease)
      return Manifest(
        config: Descriptor(mediaType: MediaType.config, digest: config.digest, size: config.size),
        layers: [
          Descriptor(
            mediaType: Provenance.mediaType, digest: layer.digest, size: layer.size,
            annotations: ["in-toto.io/predicate-type": Provenance.predicateType])
        ]
      ).json.serialized()
    }
    for repository in repositories {
      _ = try stored { () throws(OCIError) in
        try content.putManifest(manifest, mediaType: MediaType.manifest, in: repository, requiring: .present)
      }
    }
    return Descriptor(
      mediaType: MediaType.manifest, digest: Digest(of: manifest), size: Int64(manifest.count),
      annotations: [
        "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest.description,
      ], platform: Platform(os: "unknown", architecture: "unknown"))
  }
}
