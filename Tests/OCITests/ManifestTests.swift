import Testing
import Wire

@testable import OCI

@Suite struct ManifestTests {
  private let digest = Digest(of: [1])
  private let other = Digest(of: [2], .sha512)

  @Test func platforms() throws {
    let good: [(String, String)] = [
      ("linux/amd64", "linux/amd64"), ("linux/arm64/v8", "linux/arm64"), ("Linux/AARCH64", "linux/arm64"),
      ("linux/arm", "linux/arm/v7"), ("linux/arm/6", "linux/arm/v6"), ("linux/armhf", "linux/arm/v7"),
      ("linux/x86_64", "linux/amd64"), ("linux/amd64/v2", "linux/amd64/v2"), ("linux/amd64/v1", "linux/amd64"),
      ("arm64", "linux/arm64"), ("windows/amd64", "windows/amd64"), ("i386", "linux/386"),
      ("linux/riscv64", "linux/riscv64"), ("linux", "linux/\(Platform.host.architecture)"),
    ]
    for (text, normal) in good {
      let platform = try Platform(parsing: text)
      #expect(platform.description == normal)
      #expect(try Platform(parsing: platform.description) == platform)
      #expect(Platform(json: platform.json) == platform)
    }
    for bad in ["", "/", "linux/", "/amd64", "linux/amd64/v1/x", "a b/c", "toaster", "linux/\u{E9}", "linux//v7"] {
      let error = #expect(throws: OCIError.self, "\(bad)") { try Platform(parsing: bad) }
      #expect(error?.code == .invalidPlatform)
    }
  }

  @Test func theBestPlatformIsChosen() throws {
    func platform(_ text: String) throws -> Platform { try Platform(parsing: text) }
    func best(_ wanted: String, _ candidates: [String]) throws -> Int? {
      try platform(wanted).best(of: try candidates.map(platform))
    }
    #expect(try best("linux/amd64", ["linux/arm64", "linux/amd64", "linux/amd64/v2"]) == 1)
    #expect(try best("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"]) == 1)
    #expect(try best("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64"]) == 1)
    #expect(try best("linux/arm/v6", ["linux/arm/v7"]) == nil)
    #expect(try best("linux/amd64", ["windows/amd64"]) == nil)
    var index = Index(manifests: [
      Descriptor(mediaType: MediaType.manifest, digest: digest, size: 1, platform: try platform("linux/s390x")),
      Descriptor(mediaType: MediaType.manifest, digest: other, size: 2, platform: .host),
      Descriptor(
        mediaType: MediaType.manifest, digest: digest, size: 3,
        annotations: ["vnd.docker.reference.type": "attestation-manifest"], platform: .host),
    ])
    #expect(index.image(for: .host)?.size == 2)
    #expect(index.image(for: try platform("windows/amd64")) == nil)
    index.manifests = [Descriptor(mediaType: MediaType.manifest, digest: digest, size: 1)]
    #expect(index.image(for: .host)?.size == 1)
  }

  /// Sizes are added up, also those of layers that are never fetched as a whole.
  @Test func sizesThatCannotBeAreRefused() throws {
    func manifest(_ size: Int64) throws(OCIError) -> Manifest {
      let layer: JSON = ["digest": .string(other.description), "size": .int(size)]
      return try Manifest(
        [
          "schemaVersion": 2, "config": ["digest": .string(digest.description), "size": 2],
          "layers": .array([JSON](repeating: layer, count: ImageLimits().layersMax)),
        ], label: "test")
    }
    for size in [-1, Descriptor.sizeMax + 1, Int64.max] {
      let error = #expect(throws: OCIError.self) { try manifest(size) }
      #expect(error?.code == .invalidArchive)
    }
    let largest = try manifest(Descriptor.sizeMax)
    #expect(largest.layers.reduce(0) { $0.addingReportingOverflow($1.size).partialValue } == 500 << 50)
  }

  @Test func manifestsComeBack() throws {
    var layer = Descriptor(
      mediaType: MediaType.layer(.zstd), digest: other, size: 5, annotations: ["b": "2", "a": "1"])
    layer.urls = ["https://127.0.0.1/x"]
    var config = Descriptor(mediaType: MediaType.empty, digest: Digest(of: Array("{}".utf8)), size: 2)
    config.data = Array("{}".utf8)
    let manifest = Manifest(
      config: config, layers: [layer], artifactType: "application/x", subject: layer, annotations: ["k": "v"])
    let bytes = manifest.json.serialized()
    #expect(try Manifest(bytes, label: "m") == manifest)
    #expect(try Manifest(bytes, label: "m").json.serialized() == bytes)
    #expect(try ManifestDocument(bytes, mediaType: MediaType.manifest, label: "m") == .image(manifest))
    #expect(manifest.effectiveArtifactType == "application/x")
    #expect(try ManifestDocument(bytes, label: "m").blobs.count == 2)
    let index = Index(manifests: [layer], artifactType: "t", subject: config, annotations: ["z": ""])
    let list = try ManifestDocument(index.json.serialized(), label: "i")
    #expect(list == .index(index))
    #expect(list.manifests == [layer] && list.blobs.isEmpty && list.subject == config && list.artifactType == "t")
  }

  @Test func badManifestsAreRefused() throws {
    let descriptor = "{\"mediaType\":\"t\",\"digest\":\"\(digest)\",\"size\":1}"
    let bad: [(String, String?)] = [
      ("", nil), ("[]", nil), ("{}", nil), ("{\"schemaVersion\":1}", nil),
      ("{\"schemaVersion\":2,\"config\":\(descriptor)}", nil),
      ("{\"schemaVersion\":2,\"config\":{},\"layers\":[]}", nil),
      ("{\"schemaVersion\":2,\"config\":\(descriptor),\"layers\":[{\"digest\":\"md5:00\",\"size\":1}]}", nil),
      ("{\"schemaVersion\":2,\"config\":\(descriptor),\"layers\":[{\"digest\":\"\(digest)\",\"size\":-1}]}", nil),
      ("{\"schemaVersion\":2,\"config\":\(descriptor),\"layers\":[{\"digest\":\"\(digest)\",\"size\":1e300}]}", nil),
      ("{\"schemaVersion\":2,\"config\":\(descriptor),\"layers\":[],\"manifests\":[]}", nil),
      ("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.index)\",\"config\":\(descriptor),\"layers\":[]}", nil),
      ("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.manifest)\",\"manifests\":[]}", MediaType.index),
      ("{\"schemaVersion\":2,\"mediaType\":7,\"manifests\":[]}", MediaType.index),
      ("{\"schemaVersion\":2,\"config\":\(descriptor),\"layers\":[],\"subject\":{\"digest\":1}}", nil),
      (
        "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"t\",\"digest\":\"\(digest)\",\"size\":1,\"data\":\"AA==\"},"
          + "\"layers\":[]}", nil
      ),
    ]
    for (text, mediaType) in bad {
      #expect(throws: OCIError.self, "\(text)") {
        try ManifestDocument(Array(text.utf8), mediaType: mediaType, label: "m")
      }
    }
    let many = Index(manifests: Array(repeating: Descriptor(mediaType: "", digest: digest, size: 1), count: 10_001))
    #expect(throws: OCIError.self) { try Index(many.json, label: "i") }
  }

  @Test func configurationsComeBack() throws {
    var config = ImageConfig()
    config.entrypoint = ["/app"]
    config.cmd = ["serve"]
    config.env = ["PATH=/bin", "A=\"quoted\""]
    config.workingDir = "/w"
    config.user = "1000:1000"
    config.exposedPorts = ["80/tcp", "8080/tcp"]
    config.volumes = ["/data"]
    config.labels = ["b": "2", "a": "1"]
    config.stopSignal = "SIGTERM"
    config.onBuild = ["COPY . /app"]
    config.shell = ["/bin/bash", "-c"]
    config.architecture = "arm"
    config.variant = "v7"
    config.os = "linux"
    config.created = "2020-01-01T00:00:00Z"
    config.others = ["ArgsEscaped": true]
    var check = ImageConfig.Healthcheck()
    check.test = ["CMD-SHELL", "true"]
    check.interval = .milliseconds(1500)
    check.startInterval = .seconds(2)
    check.retries = 4
    config.healthcheck = check
    let document = ConfigDocument(
      config: config, diffIDs: [digest, other],
      history: [
        History(created: "2020-01-01T00:00:00Z", createdBy: "COPY a b", comment: "buildkit"),
        History(createdBy: "ENV A=1", author: "me", isEmptyLayer: true),
      ], author: "somebody")
    let bytes = document.json.serialized()
    #expect(try ConfigDocument(bytes, label: "c") == document)
    #expect(try ConfigDocument(bytes, label: "c").json.serialized() == bytes)
    #expect(document.json.at("config", "Healthcheck", "Interval")?.int == 1_500_000_000)
    #expect(ConfigDocument(config: ImageConfig()).json["config"]?.object?.isEmpty == true)
    for bad in ["{}", "{\"rootfs\":{\"diff_ids\":[1]}}", "{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Cmd\":\"x\"}}"] {
      #expect(throws: OCIError.self) { try ConfigDocument(Array(bad.utf8), label: "c") }
    }
    let extreme =
      "{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Healthcheck\":{\"Interval\":9223372036854775807,"
      + "\"Timeout\":-5,\"Retries\":-1}},\"history\":[null,1]}"
    let parsed = try ConfigDocument(Array(extreme.utf8), label: "c")
    #expect(parsed.json.at("config", "Healthcheck", "Interval")?.int == .max)
    #expect(parsed.config.healthcheck?.timeout == .zero && parsed.history.count == 2)
  }
}
