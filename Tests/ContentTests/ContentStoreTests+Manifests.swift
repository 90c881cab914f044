import LinuxSystem
import OCI
import Testing
import Wire

@testable import Content

/// Manifests, tags, and what of a repository is linked to them.
extension ContentStoreTests {
  @Test func putsAndReadsManifests() throws {
    let store = try open()
    let image = Content("a")
    let missing = #expect(throws: OCIError.self) {
      try store.putManifest(image.manifest, mediaType: MediaType.manifest, tags: ["1"], in: app)
    }
    #expect(missing?.code == .missingContent)
    #expect(missing?.digests == image.blobs.map { Digest(of: $0) })
    #expect(try files().isEmpty)
    try store.push(image, to: app, tags: ["1", "latest"])
    let record = try #require(try store.manifest(.tag("latest"), in: app))
    #expect(record.bytes == image.manifest)
    #expect(record.digest == image.digest)
    #expect(record.artifactType == MediaType.config)
    #expect(try store.manifest(.digest(image.digest), in: app) == record)
    #expect(try store.manifest(.tag("2"), in: app) == nil)
    #expect(try store.manifest(.digest(image.digest), in: Repository(path: "other")) == nil)
    #expect(try store.tags(of: image.digest, in: app) == ["1", "latest"])
    let other = try open()
    #expect(try other.manifest(.tag("1"), in: app) == record)
    #expect(try other.deleteTag("1", in: app))
    #expect(try store.manifest(.tag("1"), in: app) == nil)
    #expect(try store.deleteTag("1", in: app) == false)
    #expect(try store.deleteManifest(image.digest, in: app))
    #expect(try other.manifest(.tag("latest"), in: app) == nil)
    #expect(try other.manifest(.digest(image.digest), in: app) == nil)
    #expect(try store.deleteManifest(image.digest, in: app) == false)
  }

  @Test func refusesBadManifests() throws {
    let store = try open()
    let image = Content("a")
    for (bytes, digest, tag, code) in [
      (Array("{".utf8), nil, "1", OCIError.Code.invalidArchive), (Array("[]".utf8), nil, "1", .invalidArchive),
      (image.manifest, Digest(of: [1]), "1", .digestMismatch), (image.manifest, nil, ".bad", .invalidReference),
      (image.manifest, nil, "a/b", .invalidReference),
      ([UInt8](repeating: 0x20, count: 9 << 20), nil, "1", .limitExceeded),
    ] as [([UInt8], Digest?, String, OCIError.Code)] {
      let error = #expect(throws: OCIError.self) {
        try store.putManifest(
          bytes, mediaType: MediaType.manifest, digest: digest, tags: [tag], in: app, requiring: .nothing)
      }
      #expect(error?.code == code)
    }
    #expect(try files().isEmpty)
    #expect(try store.hasRepository(app) == false)
  }

  @Test func requirements() throws {
    let store = try open()
    let image = Content("a")
    let other = Repository(path: "other")
    try store.push(image, to: other)
    func put(_ requirement: ManifestRequirement) throws {
      try store.putManifest(image.manifest, mediaType: MediaType.manifest, in: app, requiring: requirement)
    }
    #expect(throws: OCIError.self) { try put(.linked) }
    try put(.present)
    #expect(try store.isLinked(Digest(of: image.layers[0]), in: app))
    let index = Content.index([image.manifest, Content("absent").manifest])
    let error = #expect(throws: OCIError.self) {
      try store.putManifest(index, mediaType: MediaType.index, tags: ["i"], in: app)
    }
    #expect(error?.digests == [Content("absent").digest])
    try store.putManifest(index, mediaType: MediaType.index, tags: ["i"], in: app, requiring: .linkedBlobs)
    #expect(try store.manifest(.tag("i"), in: app)?.digest == Digest(of: index))
    try store.putManifest(
      Content("b").manifest, mediaType: MediaType.manifest, tags: ["b"], in: app, requiring: .nothing)
    #expect(try store.isLinked(Digest(of: Content("b").layers[0]), in: app) == false)
  }

  /// A client cannot get at the blobs of another repository by naming them in a manifest.
  @Test func manifestsOfClientsLinkOnlyOwnBlobs() throws {
    let store = try open()
    let (secret, own) = (Content("secret"), Content("own", layers: 1))
    try store.push(secret, to: Repository(path: "private"), tags: ["1"])
    for blob in own.blobs {
      let upload = try store.beginUpload(in: app)
      try upload.append(blob)
      _ = try upload.finish(Digest(of: blob))
    }
    let stolen = Digest(of: secret.layers[0])
    func descriptor(_ bytes: [UInt8], _ type: String, urls: Bool = false) -> JSON {
      var json = Descriptor(mediaType: type, digest: Digest(of: bytes), size: Int64(bytes.count)).json
      if urls { json["urls"] = ["https://example.com/layer"] }
      return json
    }
    let json: JSON = [
      "schemaVersion": 2, "mediaType": .string(MediaType.manifest),
      "config": descriptor(own.config, MediaType.config),
      "layers": [
        descriptor(own.layers[0], MediaType.layer), descriptor(secret.layers[0], MediaType.layer, urls: true),
      ],
    ]
    let manifest = json.serialized()
    try store.putManifest(manifest, mediaType: MediaType.manifest, tags: ["1"], in: app, linksOnlyOwn: true)
    #expect(try store.isLinked(stolen, in: app) == false)
    #expect(try store.isLinked(Digest(of: own.layers[0]), in: app))
    try store.putManifest(
      secret.manifest, mediaType: MediaType.manifest, tags: ["2"], in: app, requiring: .nothing, linksOnlyOwn: true)
    #expect(try store.isLinked(stolen, in: app) == false)
    // What the image of the node consists of is linked.
    try store.putManifest(manifest, mediaType: MediaType.manifest, tags: ["1"], in: app)
    #expect(try store.isLinked(stolen, in: app))
  }

  @Test func immutableTagsKeepTheirBlobs() throws {
    let store = try open()
    let (a, b) = (Content("a"), Content("b"))
    try store.push(a, to: app)
    try store.push(b, to: app, tags: ["latest"])
    try store.putManifest(Content.index([a.manifest]), mediaType: MediaType.index, tags: ["v1"], in: app)
    let isImmutable: @Sendable (String) -> Bool = { $0.hasPrefix("v") }
    let error = #expect(throws: OCIError.self) {
      try store.unlink(Digest(of: a.layers[0]), in: app, isImmutable: isImmutable)
    }
    #expect(error?.code == .tagImmutable)
    #expect(try store.isLinked(Digest(of: a.layers[0]), in: app))
    #expect(try store.unlink(Digest(of: b.layers[0]), in: app, isImmutable: isImmutable))
    #expect(try store.unlink(Digest(of: [9]), in: app, isImmutable: isImmutable) == false)
  }

  @Test func mountsBetweenRepositories() throws {
    let store = try open()
    let image = Content("a")
    try store.push(image, to: app)
    let digest = Digest(of: image.layers[0])
    let other = Repository(path: "other")
    #expect(try store.link(digest, in: other, from: Repository(path: "third")) == false)
    #expect(try store.link(digest, in: other, from: app))
    #expect(try store.isLinked(digest, in: other))
    #expect(try store.link(Digest(of: [9]), in: other) == false)
    #expect(try store.unlink(digest, in: other))
    #expect(try store.unlink(digest, in: other) == false)
    #expect(try store.isLinked(digest, in: other) == false)
    #expect(try store.link(digest, in: other))
  }

  @Test func immutableTags() throws {
    let store = try open()
    let (a, b) = (Content("a"), Content("b"))
    try store.push(a, to: app, tags: ["v1", "latest"])
    try store.push(b, to: app)
    let isImmutable: @Sendable (String) -> Bool = { $0.hasPrefix("v") }
    func refused(_ body: () throws -> Void) { #expect(throws: OCIError.self) { try body() } }
    func put(_ content: Content, _ tag: String) throws {
      try store.putManifest(
        content.manifest, mediaType: MediaType.manifest, tags: [tag], in: app, isImmutable: isImmutable)
    }
    refused { try put(b, "v1") }
    try put(a, "v1")
    try put(b, "latest")
    try put(b, "v2")
    refused { _ = try store.deleteTag("v1", in: app, isImmutable: isImmutable) }
    refused { _ = try store.deleteManifest(a.digest, in: app, isImmutable: isImmutable) }
    refused { _ = try store.tag("v1", b.digest, in: app, isImmutable: isImmutable) }
    #expect(try store.manifest(.tag("v1"), in: app)?.digest == a.digest)
    #expect(try store.tag("stable", b.digest, in: app, isImmutable: isImmutable))
    #expect(try store.tag("x", Digest(of: [1]), in: app) == false)
  }

  @Test func pagesThroughTags() throws {
    let store = try open()
    let image = Content("a")
    try store.push(image, to: app)
    var names = (0..<2500).map { "t\($0)" } + ["Alpha", "alpha", "ALPHA", "beta", "_x"]
    for start in stride(from: 0, to: names.count, by: 500) {
      try store.putManifest(
        image.manifest, mediaType: MediaType.manifest, tags: Array(names[start..<min(start + 500, names.count)]),
        in: app)
    }
    names.sort { ($0.lowercased(), $0) < ($1.lowercased(), $1) }
    var found: [String] = []
    while true {
      let page = try store.tags(in: app, after: found.last, limit: 333)
      found += page
      if page.count < 333 { break }
    }
    #expect(found == names)
    #expect(try store.tags(in: app, after: "ALPHA", limit: 2) == ["Alpha", "alpha"])
    #expect(try store.tags(in: Repository(path: "no"), limit: 5) == [])
  }

  @Test func listsRepositories() throws {
    let store = try open()
    for path in ["b", "a/x", "c"] { try store.push(Content(path), to: Repository(path: path), tags: ["1"]) }
    try store.push(Content("h"), to: Repository(host: "quay.io", path: "h"), tags: ["1"])
    _ = try store.deleteManifest(Content("c").digest, in: Repository(path: "c"))
    #expect(try store.repositories(limit: 10).map(\.path) == ["a/x", "b"])
    #expect(try store.repositories(after: "a/x", limit: 10).map(\.path) == ["b"])
    #expect(try store.repositories(host: "quay.io", limit: 1).map(\.description) == ["quay.io/h"])
  }

  @Test func listsReferrers() throws {
    let store = try open()
    let image = Content("a")
    let signature = Content("sig", layers: 1, subject: image.manifest, type: "application/sig")
    let report = Content("sbom", layers: 1, subject: image.manifest, type: "application/sbom")
    // Before its subject.
    try store.push(signature, to: app)
    #expect(try store.referrers(to: image.digest, in: app).descriptors.map(\.digest) == [signature.digest])
    try store.push(image, to: app, tags: ["1"])
    try store.push(report, to: app)
    let all = try store.referrers(to: image.digest, in: app).descriptors
    #expect(Set(all.map(\.digest)) == [signature.digest, report.digest])
    let found = try #require(
      try store.referrers(to: image.digest, in: app, artifactType: "application/sbom").descriptors.first)
    #expect(found.digest == report.digest)
    #expect(found.artifactType == "application/sbom")
    #expect(found.annotations == ["seed": "sbom"])
    #expect(found.size == Int64(report.manifest.count))
    #expect(try store.referrers(to: image.digest, in: Repository(path: "other")).descriptors.isEmpty)
  }
}
