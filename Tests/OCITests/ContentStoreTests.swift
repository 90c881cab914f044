import Glibc
import LinuxSystem
import Synchronization
import Testing
import Wire

@testable import OCI

/// A clock that a test moves.
final class TestClock: TimeSource {
  private let micros = Mutex<Int64>(1_700_000_000_000_000)

  func now() -> Timestamp { Timestamp(microseconds: micros.withLock { $0 }) }
  func advance(_ duration: Duration) { micros.withLock { $0 += duration.microseconds } }
  func sleep(for duration: Duration) async throws { advance(duration) }
}

/// Content for repositories: what clients push.
struct Content {
  var config: [UInt8]
  var layers: [[UInt8]]
  var manifest: [UInt8]
  var digest: Digest { Digest(of: manifest) }

  /// - Parameter seed: makes the content unlike any other's.
  init(
    _ seed: String, layers: Int = 2, size: Int = 100, shared: [[UInt8]] = [], subject: [UInt8]? = nil,
    type: String? = nil
  ) {
    config = Array("{\"config\": \"\(seed)\"}".utf8)
    self.layers = shared
    for index in 0..<layers {
      let text = Array("\(seed)/\(index)/".utf8)
      self.layers.append(text + [UInt8](repeating: 7, count: max(0, size - text.count)))
    }
    func descriptor(_ bytes: [UInt8], _ type: String) -> JSON {
      Descriptor(mediaType: type, digest: Digest(of: bytes), size: Int64(bytes.count)).json
    }
    var json: JSON = [
      "schemaVersion": 2, "mediaType": .string(MediaType.manifest), "config": descriptor(config, MediaType.config),
      "layers": .array(self.layers.map { descriptor($0, MediaType.layer) }), "annotations": ["seed": .string(seed)],
    ]
    if let subject { json["subject"] = descriptor(subject, MediaType.manifest) }
    if let type { json["artifactType"] = .string(type) }
    manifest = json.serialized()
  }

  var blobs: [[UInt8]] { [config] + layers }

  static func index(_ manifests: [[UInt8]], seed: String = "") -> [UInt8] {
    let list = manifests.map {
      Descriptor(mediaType: MediaType.manifest, digest: Digest(of: $0), size: Int64($0.count)).json
    }
    return
      ([
        "schemaVersion": 2, "mediaType": .string(MediaType.index), "manifests": .array(list),
        "annotations": ["seed": .string(seed)],
      ] as JSON).serialized()
  }
}

extension ContentStore {
  /// Pushes as a client of a registry does.
  func push(_ content: Content, to repository: Repository, tags: [String] = []) throws {
    for blob in content.blobs {
      let upload = try beginUpload(in: repository)
      try upload.append(blob)
      _ = try upload.finish(Digest(of: blob))
    }
    try putManifest(content.manifest, mediaType: MediaType.manifest, tags: tags, in: repository)
  }
}

@Suite struct ContentStoreTests {
  private let folder = TemporaryFolder()
  private let clock = TestClock()
  private let app = Repository(path: "team/app")

  private func open(faults: Faults = Faults()) throws -> ContentStore {
    try ContentStore.open(root: "\(folder.path)/images", time: clock, isDurable: true, faults: faults)
  }

  private func files() throws -> [String] { try Directory.list("\(folder.path)/images/blobs/sha256") }

  private func options(_ change: (inout GarbageOptions) -> Void = { _ in }) -> GarbageOptions {
    var options = GarbageOptions()
    change(&options)
    return options
  }

  // MARK: Blobs

  @Test func storesABlobOnce() throws {
    let store = try open()
    let bytes = Array("hello".utf8)
    let lease = try store.lease(for: .seconds(60))
    let blob = try store.storeBlob(bytes, lease: lease)
    #expect(blob == StoredBlob(digest: Digest(of: bytes), size: 5))
    #expect(try store.storeBlob(bytes, lease: lease) == blob)
    #expect(try store.blobSize(blob.digest) == 5)
    #expect(try store.document(blob.digest) == bytes)
    let file = try #require(try store.openBlob(blob.digest))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 3, alignment: 1)
    defer { buffer.deallocate() }
    #expect(try file.read(into: buffer, at: 2) == 3)
    #expect(Array(buffer) == Array("llo".utf8))
    #expect(try files().count == 1)
    #expect(try store.storeBlob([], lease: lease).size == 0)
    let other = try ContentStore.open(root: store.root, time: clock)
    #expect(try other.document(blob.digest) == bytes)
  }

  @Test func refusesAWrongDigest() throws {
    let store = try open()
    let lease = try store.lease(for: .seconds(60))
    let wrong = Digest(of: [1])
    let error = #expect(throws: OCIError.self) { try store.storeBlob([2], expecting: wrong, lease: lease) }
    #expect(error?.code == .digestMismatch)
    #expect(try files().isEmpty)
    let sha512 = Digest(of: [2], .sha512)
    let writer = try store.newBlob()
    try writer.write([2])
    #expect(try writer.commit(expecting: sha512, lease: lease).digest == sha512)
    #expect(try Directory.list("\(store.root)/blobs/sha512") == [sha512.hex])
    #expect(throws: OCIError.self) { try writer.commit(lease: lease) }
  }

  @Test func forgetsWhatIsNotCommitted() throws {
    let store = try open()
    do {
      let writer = try store.newBlob()
      try writer.write([1, 2, 3])
    }
    let work = try Directory.list("\(store.root)/work")
    #expect(work.count == 1)
    #expect(try Directory.list("\(store.root)/work/\(work[0])") == ["lock"])
  }

  // MARK: Uploads

  @Test func uploadsInPieces() throws {
    let store = try open()
    let upload = try store.beginUpload(in: app)
    try upload.append(Array("hel".utf8), at: 0)
    let error = #expect(throws: OCIError.self) { try upload.append(Array("lo".utf8), at: 4) }
    #expect(error?.code == .outOfOrder)
    #expect(try store.upload(upload.id, in: app)?.offset == 3)
    #expect(try store.upload(upload.id, in: Repository(path: "other")) == nil)
    #expect(try store.upload("nothing", in: app) == nil)
    try upload.append(Array("lo".utf8), at: 3)
    let digest = Digest(of: Array("hello".utf8))
    #expect(try store.isLinked(digest, in: app) == false)
    #expect(try upload.finish(digest).size == 5)
    #expect(try store.blobSize(digest, in: app) == 5)
    #expect(try store.blobSize(digest, in: Repository(path: "other")) == nil)
    #expect(try store.upload(upload.id, in: app) == nil)
    #expect(try Directory.list("\(store.root)/uploads").isEmpty)
    #expect(throws: OCIError.self) { try upload.append([1]) }
    #expect(throws: OCIError.self) { try upload.finish(digest) }
  }

  @Test func uploadsSurviveARestart() throws {
    let id: String
    do {
      let store = try open()
      let upload = try store.beginUpload(in: app)
      try upload.append(Array("hel".utf8))
      id = upload.id
      store.close()
    }
    let store = try open()
    let upload = try #require(try store.upload(id, in: app))
    #expect(upload.offset == 3)
    try upload.append(Array("lo".utf8), at: 3)
    _ = try upload.finish(Digest(of: Array("hello".utf8), .sha512))
    #expect(try store.document(Digest(of: Array("hello".utf8), .sha512)) == Array("hello".utf8))
  }

  @Test func anUploadWithAWrongDigestIsGone() throws {
    let store = try open()
    let upload = try store.beginUpload(in: app)
    try upload.append([1])
    let error = #expect(throws: OCIError.self) { try upload.finish(Digest(of: [2])) }
    #expect(error?.code == .digestMismatch)
    #expect(try store.upload(upload.id, in: app) == nil)
    #expect(try Directory.list("\(store.root)/uploads").isEmpty)
    #expect(try files().isEmpty)
    let cancelled = try store.beginUpload(in: app)
    try cancelled.cancel()
    #expect(try store.upload(cancelled.id, in: app) == nil)
  }

  @Test func forgottenUploadsAreRemoved() throws {
    let store = try open()
    let old = try store.beginUpload(in: app)
    clock.advance(.seconds(20 * 3600))
    let new = try store.beginUpload(in: app)
    clock.advance(.seconds(5 * 3600))
    #expect(try store.collectGarbage().uploadsRemoved == 1)
    #expect(try store.upload(old.id, in: app) == nil)
    #expect(try store.upload(new.id, in: app) != nil)
  }

  // MARK: Manifests and tags

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

  // MARK: Quotas

  @Test func quotas() throws {
    let store = try open()
    let image = Content("a", layers: 2, size: 1000)
    try store.push(image, to: app, tags: ["1"])
    let size = Int64(image.config.count + 2000 + image.manifest.count)
    #expect(try store.usage(of: app) == size)
    try store.setQuotas([RepositoryQuota(prefix: "team", bytesMax: size + 1500)])
    #expect(try store.quotas().count == 1)
    let next = Repository(path: "team/next")
    try store.checkQuota(of: next, adding: 1500)
    #expect(throws: OCIError.self) { try store.checkQuota(of: next, adding: 1501) }
    let big = Content("b", layers: 2, size: 1000)
    let upload = try store.beginUpload(in: next)
    try upload.append(big.layers[0])
    _ = try upload.finish(Digest(of: big.layers[0]))
    // As many as there is room for; they are still there when there is more.
    let second = try store.beginUpload(in: next)
    try second.append(Array(big.layers[1][..<400]))
    let early = #expect(throws: OCIError.self) { try second.append(Array(big.layers[1][400...])) }
    #expect(early?.code == .quotaExceeded)
    #expect(try store.upload(second.id, in: next)?.offset == 400)
    // What was taken in without a look is looked at in the end.
    try Array(big.layers[1][400...]).withUnsafeBytes { (rest) throws in
      try second.append(UnsafeRawBufferPointer(rest), stored: 1000)
    }
    let error = #expect(throws: OCIError.self) { try second.finish(Digest(of: big.layers[1])) }
    #expect(error?.code == .quotaExceeded)
    #expect(try store.blobSize(Digest(of: big.layers[1])) == nil)
    #expect(!(try files()).contains(Digest(of: big.layers[1]).hex))
    #expect(try store.upload(second.id, in: next)?.offset == 1000)
    try second.cancel()
    // What is there already may be put again, and other repositories are free.
    try store.putManifest(image.manifest, mediaType: MediaType.manifest, tags: ["2"], in: app)
    try store.push(big, to: Repository(path: "teams"), tags: ["1"])
    _ = try store.deleteManifest(image.digest, in: app)
    #expect(try store.usage(of: app) == size - Int64(image.manifest.count))
    clock.advance(.seconds(50 * 3600))
    _ = try store.collectGarbage()
    #expect(try store.usage(host: "", prefix: "team") == 0)
    _ = try store.beginUpload(in: next)
    try store.setQuotas([])
    #expect(try store.usage(prefix: "") > 0)
  }

  // MARK: Leases and pins

  @Test func aLeaseKeepsBlobsUntilItEnds() throws {
    let store = try open()
    let lease = try store.lease(for: .seconds(600))
    let blob = try store.storeBlob([1, 2, 3], lease: lease)
    clock.advance(.seconds(500))
    #expect(try store.collectGarbage().blobsTrashed == 0)
    try lease.extend(for: .seconds(600))
    clock.advance(.seconds(500))
    #expect(try store.collectGarbage().blobsTrashed == 0)
    clock.advance(.seconds(200))
    #expect(try store.collectGarbage().blobsTrashed == 1)
    #expect(try store.blobSize(blob.digest) == nil)
    let error = #expect(throws: OCIError.self) { try lease.pin(blob.digest) }
    #expect(error?.code == .leaseExpired)
    #expect(throws: OCIError.self) { try lease.extend(for: .seconds(1)) }
    // Out of the trash.
    let second = try store.lease(for: .seconds(600))
    #expect(try second.pin(blob.digest))
    #expect(try store.blobSize(blob.digest) == 3)
    #expect(try second.pin(Digest(of: [9])) == false)
    second.release()
    #expect(try store.collectGarbage().blobsTrashed == 1)
    clock.advance(.seconds(25 * 3600))
    #expect(try store.collectGarbage().blobsDeleted == 1)
    #expect(try files().isEmpty)
  }

  @Test func whatRunsIsNotCollected() throws {
    let store = try open()
    let image = Content("a")
    try store.push(image, to: app, tags: ["1"])
    let running = store.pinSet("node")
    #expect(try running.pin(image.digest))
    _ = try store.deleteManifest(image.digest, in: app)
    for _ in 0..<4 {
      clock.advance(.seconds(50 * 3600))
      _ = try store.collectGarbage()
    }
    #expect(try files().count == 4)
    let after = try open()
    #expect(try after.pinSet("node").digests() == [image.digest])
    #expect(try after.pinSet("node").replace(with: [image.digest, Digest(of: [1])]) == [Digest(of: [1])])
    try after.pinSet("node").unpin(image.digest)
    clock.advance(.seconds(50 * 3600))
    _ = try after.collectGarbage()
    clock.advance(.seconds(50 * 3600))
    _ = try after.collectGarbage()
    #expect(try files().isEmpty)
  }

  // MARK: Garbage

  @Test func collectsWhatNobodyNeeds() throws {
    let store = try open()
    let base = Content("base")
    let (a, b) = (Content("a", shared: base.layers), Content("b", shared: base.layers))
    try store.push(a, to: app, tags: ["a"])
    try store.push(b, to: app, tags: ["b"])
    #expect(try store.collectGarbage() == GarbageReport())
    _ = try store.deleteTag("b", in: app)
    #expect(try store.collectGarbage().manifestsTrashed == 0)
    clock.advance(.seconds(25 * 3600))
    let first = try store.collectGarbage()
    #expect(first.manifestsTrashed == 1)
    #expect(first.blobsDeleted == 0)
    #expect(try store.manifest(.digest(b.digest), in: app) == nil)
    #expect(try store.manifest(.tag("a"), in: app) != nil)
    clock.advance(.seconds(25 * 3600))
    let second = try store.collectGarbage()
    #expect(second.manifestsDeleted == 1)
    #expect(second.blobsDeleted == 4)
    #expect(second.bytesDeleted == Int64(b.config.count + 200 + b.manifest.count))
    #expect(try files().count == 6)
    for blob in a.blobs { #expect(try store.isLinked(Digest(of: blob), in: app)) }
    for blob in b.blobs.dropFirst(3) { #expect(try !store.isLinked(Digest(of: blob), in: app)) }
  }

  @Test func theSubjectOwnsItsReferrers() throws {
    let store = try open()
    let image = Content("a")
    let signature = Content("sig", layers: 1, subject: image.manifest)
    let about = Content("about", layers: 1, subject: signature.manifest)
    try store.push(signature, to: app)
    try store.push(about, to: app)
    try store.push(image, to: app, tags: ["1"])
    for _ in 0..<3 {
      clock.advance(.seconds(100 * 3600))
      #expect(try store.collectGarbage() == GarbageReport())
    }
    _ = try store.deleteTag("1", in: app)
    clock.advance(.seconds(100 * 3600))
    #expect(try store.collectGarbage().manifestsTrashed == 3)
    clock.advance(.seconds(100 * 3600))
    _ = try store.collectGarbage()
    #expect(try files().isEmpty)
    // One whose subject never comes stays for its grace only.
    try store.push(signature, to: app)
    clock.advance(.seconds(10 * 3600))
    #expect(try store.collectGarbage().manifestsTrashed == 0)
    clock.advance(.seconds(20 * 3600))
    #expect(try store.collectGarbage(options { $0.untaggedGrace = nil }).manifestsTrashed == 1)
  }

  @Test func anIndexKeepsItsChildren() throws {
    let store = try open()
    let (a, b) = (Content("a"), Content("b"))
    try store.push(a, to: app)
    try store.push(b, to: app)
    let index = Content.index([a.manifest, b.manifest])
    try store.putManifest(index, mediaType: MediaType.index, tags: ["1"], in: app)
    clock.advance(.seconds(100 * 3600))
    #expect(try store.collectGarbage() == GarbageReport())
    #expect(try store.deleteManifest(Digest(of: index), in: app))
    #expect(try store.collectGarbage().manifestsTrashed == 2)
  }

  @Test func theTrashCanBeUndone() throws {
    let store = try open()
    let image = Content("a")
    let signature = Content("sig", layers: 1, subject: image.manifest)
    try store.push(image, to: app, tags: ["1", "2"])
    try store.push(signature, to: app)
    let usage = try store.usage(of: app)
    #expect(try store.deleteManifest(image.digest, in: app))
    clock.advance(.seconds(23 * 3600))
    _ = try store.collectGarbage(options { $0.unreferencedGrace = .seconds(1) })
    let trash = try store.trash()
    #expect(Set(trash.map(\.digest)) == [image.digest, signature.digest])
    #expect(trash.first { $0.digest == image.digest }?.tags == ["1", "2"])
    #expect(trash.allSatisfy { $0.repository == app })
    try store.push(Content("new"), to: app, tags: ["2"])
    #expect(try store.restoreFromTrash(image.digest, in: Repository(path: "other")) == false)
    #expect(try store.restoreFromTrash(image.digest))
    #expect(try store.restoreFromTrash(image.digest) == false)
    #expect(try store.manifest(.tag("1"), in: app)?.digest == image.digest)
    #expect(try store.manifest(.tag("2"), in: app)?.digest == Content("new").digest)
    #expect(try store.referrers(to: image.digest, in: app).descriptors.map(\.digest) == [signature.digest])
    for blob in image.blobs + signature.blobs { #expect(try store.isLinked(Digest(of: blob), in: app)) }
    _ = try store.deleteManifest(Content("new").digest, in: app)
    clock.advance(.seconds(100 * 3600))
    _ = try store.collectGarbage()
    #expect(try store.usage(of: app) == usage)
    #expect(try store.manifest(.tag("1"), in: app)?.bytes == image.manifest)
    let blob = try store.storeBlob([5], lease: try store.lease(for: .seconds(1)))
    clock.advance(.seconds(5))
    #expect(try store.collectGarbage().blobsTrashed == 1)
    #expect(try store.trash().map(\.digest) == [blob.digest])
    #expect(try store.restoreFromTrash(blob.digest, in: app))
    #expect(try store.isLinked(blob.digest, in: app))
  }

  @Test func pushingAgainTakesItOutOfTheTrash() throws {
    let store = try open()
    let image = Content("a")
    try store.push(image, to: app, tags: ["1"])
    _ = try store.deleteManifest(image.digest, in: app)
    clock.advance(.seconds(23 * 3600))
    _ = try store.collectGarbage()
    try store.push(image, to: app, tags: ["1"])
    #expect(try store.trash().isEmpty)
    clock.advance(.seconds(1000 * 3600))
    #expect(try store.collectGarbage() == GarbageReport())
    #expect(try store.manifest(.tag("1"), in: app)?.bytes == image.manifest)
  }

  /// A client asks for a blob long after it was pushed, and refers to it soon after: it must still be there.
  @Test func askingForABlobKeepsIt() throws {
    let store = try open()
    let image = Content("a")
    for blob in image.blobs {
      let upload = try store.beginUpload(in: app)
      try upload.append(blob)
      _ = try upload.finish(Digest(of: blob))
    }
    clock.advance(.seconds(23 * 3600))
    for blob in image.blobs { #expect(try store.isLinked(Digest(of: blob), in: app)) }
    clock.advance(.seconds(2 * 3600))
    #expect(try store.collectGarbage().linksRemoved == 0)
    try store.putManifest(image.manifest, mediaType: MediaType.manifest, tags: ["1"], in: app)
    clock.advance(.seconds(48 * 3600))
    #expect(try store.collectGarbage() == GarbageReport())
  }

  @Test func removesFilesWithoutARow() throws {
    let stray = Digest(of: [1, 2])
    do {
      let store = try open()
      try store.push(Content("a"), to: app, tags: ["1"])
      _ = try folder.write([1, 2], "images/blobs/sha256/\(stray.hex)")
      _ = try folder.write([1, 2], "images/work/removed-sha256-\(stray.hex)")
    }
    let store = try open()
    #expect(try store.blobSize(stray) == nil)
    _ = try store.collectGarbage()
    #expect(try files().count == 4)
    #expect(try Directory.list("\(store.root)/work").isEmpty)
  }

  // MARK: Scrub

  @Test func findsDamagedBlobs() throws {
    let store = try open()
    let image = Content("a")
    try store.push(image, to: app, tags: ["1"])
    #expect(try store.scrub().isEmpty)
    let (wrong, gone) = (Digest(of: image.layers[0]), Digest(of: image.layers[1]))
    _ = try folder.write([1, 2, 3], "images/blobs/sha256/\(wrong.hex)")
    _ = try folder.write([9], "images/blobs/sha256/\(image.digest.hex)")
    unlink(store.blobPath(gone))
    #expect(try store.scrub(olderThan: .seconds(3600)).isEmpty)
    clock.advance(.seconds(10))
    var last = ScrubProgress()
    let damaged = try store.scrub(progress: { last = $0 })
    #expect(Set(damaged.map(\.digest)) == [wrong, gone, image.digest])
    #expect(damaged.allSatisfy { $0.repositories == [app] })
    #expect(last.blobs == 4 && last.damaged == 3)
    #expect(try Directory.list("\(store.root)/quarantine").count == 2)
    #expect(try store.blobSize(wrong) == nil)
    #expect(try store.isLinked(gone, in: app) == false)
    let error = #expect(throws: OCIError.self) { try store.manifest(.tag("1"), in: app) }
    #expect(error?.code == .corrupt)
    // The next push heals it.
    try store.push(image, to: app, tags: ["1"])
    clock.advance(.seconds(10))
    #expect(try store.scrub().isEmpty)
    #expect(try store.manifest(.tag("1"), in: app)?.bytes == image.manifest)
    #expect(try store.document(wrong) == image.layers[0])
    #expect(try store.usage(of: app) == Int64(image.config.count + 200 + image.manifest.count))
  }

  // MARK: Several at a time

  @Test func parallelPushesShareLayers() async throws {
    let store = try open()
    let other = try open()
    let shared = Content("base").layers
    try await withThrowingTaskGroup { group in
      for index in 0..<16 {
        group.addTask {
          let store = index % 2 == 0 ? store : other
          try await blocking { () throws(OCIError) in
            for round in 0..<4 {
              let content = Content("p\(index)-\(round)", layers: 1, shared: shared)
              do { try store.push(content, to: Repository(path: "r\(index % 4)"), tags: ["t\(index)"]) } catch {
                throw (error as? OCIError) ?? OCIError(.system, "\(error)")
              }
            }
          }
        }
      }
      group.addTask {
        try await blocking { () throws(OCIError) in
          for _ in 0..<8 { _ = try other.collectGarbage() }
        }
      }
      try await group.waitForAll()
    }
    for index in 0..<16 {
      let content = Content("p\(index)-3", layers: 1, shared: shared)
      let record = try #require(try store.manifest(.tag("t\(index)"), in: Repository(path: "r\(index % 4)")))
      #expect(record.digest == content.digest)
      for blob in content.blobs { #expect(try store.document(Digest(of: blob)) == blob) }
    }
    clock.advance(.seconds(10))
    #expect(try store.scrub().isEmpty)
  }

  @Test(.enabled(if: geteuid() == 0))
  func aFullDiskStoresNothing() throws {
    let disk = "\(folder.path)/disk"
    try Directory.create(disk)
    try #require(mount("tmpfs", disk, "tmpfs", 0, "size=3m") == 0)
    defer { umount2(disk, 2) }
    do {
      let store = try ContentStore.open(root: "\(disk)/images", time: clock)
      let small = Content("small")
      try store.push(small, to: app, tags: ["1"])
      let lease = try store.lease(for: .seconds(60))
      let blob = [UInt8](repeating: 1, count: 4 << 20)
      let error = #expect(throws: OCIError.self) { try store.storeBlob(blob, lease: lease) }
      #expect(error?.code == .diskFull, "\(error?.message ?? "")")
      let upload = try store.beginUpload(in: app)
      try upload.append([1, 2, 3])
      let refused = #expect(throws: OCIError.self) { try upload.append(blob, at: 3) }
      #expect(refused?.code == .diskFull)
      #expect(upload.offset == 3)
      try upload.append([4], at: 3)
      _ = try upload.finish(Digest(of: [1, 2, 3, 4]))
      // The catalog has no room either.
      var full: [OCIError.Code] = []
      _ = try? folder.write([UInt8](repeating: 2, count: 1), "disk/fill")
      let fd = Glibc.open("\(disk)/fill", O_WRONLY)
      let piece = [UInt8](repeating: 3, count: 4096)
      while write(fd, piece, piece.count) > 0 {}
      close(fd)
      for index in 0..<2000 {
        do {
          try store.push(Content("x\(index)", layers: 1, size: 10), to: app, tags: ["x\(index)"])
        } catch let error as OCIError {
          full.append(error.code)
          if full.count == 3 { break }
        }
      }
      #expect(full == [.diskFull, .diskFull, .diskFull])
      unlink("\(disk)/fill")
      #expect(try store.manifest(.tag("1"), in: app)?.bytes == small.manifest)
      try store.push(Content("after"), to: app, tags: ["after"])
      #expect(try store.manifest(.tag("after"), in: app)?.bytes == Content("after").manifest)
      clock.advance(.seconds(10))
      #expect(try store.scrub().isEmpty)
    }
  }

  /// What is not there was there: the blobs say so.
  @Test(arguments: ["absent", "empty", "absent with its log"]) func refusesToForgetTheNames(how: String) throws {
    do { try open().push(Content("a"), to: app, tags: ["1"]) }
    let catalog = "\(folder.path)/images/catalog.db"
    switch how {
    case "empty": _ = try folder.write([], "images/catalog.db")
    case "absent": unlink(catalog)
    default: for suffix in ["", "-wal", "-shm"] { unlink(catalog + suffix) }
    }
    for _ in 0..<2 {
      let error = #expect(throws: OCIError.self) { try open() }
      #expect(error?.code == .corrupt && "\(error.map { "\($0)" } ?? "")".contains(catalog))
    }
  }

  @Test func refusesAForeignCatalog() throws {
    try Directory.create("\(folder.path)/images")
    _ = try folder.write(Array(String(repeating: "x", count: 5000).utf8), "images/catalog.db")
    let error = #expect(throws: OCIError.self) { try open() }
    #expect(error?.code == .corrupt)
  }
}
