import OCI
import TestKit
import Testing
import Wire

@testable import Registry

/// The matrix of the distribution specification's conformance suite: every way of pushing a blob for both digest
/// algorithms, and every kind of content through every endpoint, from its push to its deletion. Each check is a case.
@Suite struct ConformanceTests {
  /// The suite's own minimum for chunks where the registry names none.
  private static let chunk = 1024

  @Test(arguments: [Digest.Algorithm.sha256, .sha512])
  func blobs(algorithm: Digest.Algorithm) async throws {
    try await TestRegistry.use { registry in
      let cases = Cases(registry, "repo1")
      let other = Cases(registry, "repo2")
      var random = SeededGenerator(seed: 31)
      func fresh(_ count: Int = 512) -> Blob { Blob(random: &random, count: count, algorithm) }

      let missing = fresh()
      let none = try await registry.send("GET", "/v2/repo1/blobs/\(missing.digest)")
      cases.check("get-missing", none.status == 404 && none.code == "BLOB_UNKNOWN", none)
      let long = Self.chunk * 3 - 5
      for way in BlobPush.allCases {
        for count in way.isChunked ? [512, long] : [512] {
          let blob = fresh(count)
          try await cases.push(blob, way)
          try await cases.read(blob)
          try await cases.delete(blob)
        }
        // The bytes are not what the digest says.
        var wrong = fresh(long)
        wrong.bytes += Array("oh no".utf8)
        try await cases.push(wrong, way, isWrong: true)
        let stored = try await registry.send("HEAD", "/v2/repo1/blobs/\(wrong.digest)")
        cases.check("bad digest \(way)", stored.status == 404, stored)
      }
      for (name, bytes) in [("empty", [UInt8]()), ("empty JSON", Array("{}".utf8))] {
        let blob = Blob(bytes, algorithm)
        for way in BlobPush.allCases {
          try await cases.push(blob, way)
          try await cases.read(blob)
          try await cases.delete(blob)
        }
        _ = name
      }

      for from in ["&from=repo2", ""] {
        let blob = fresh()
        try await other.push(blob, .postPut)
        let mounted = try await registry.send("POST", "/v2/repo1/blobs/uploads/?mount=\(blob.digest)\(from)", body: [])
        cases.check("mount \(from)", mounted.status == 201, mounted)
        try await cases.checkLocation(mounted, blob.bytes)
        try await cases.read(blob)
        try await cases.delete(blob)
        let kept = try await registry.send("HEAD", "/v2/repo2/blobs/\(blob.digest)")
        cases.check("the source keeps it", kept.status == 200, kept)
        try await other.delete(blob)
      }
      let unknown = fresh()
      let refused = try await registry.send(
        "POST", "/v2/repo1/blobs/uploads/?mount=\(unknown.digest)&from=repo2", body: [])
      cases.check("mount missing", refused.status == 202, refused)
      let location = try #require(refused["location"])
      let put = try await registry.send("PUT", "\(location)?digest=\(unknown.digest)", body: unknown.bytes)
      cases.check("mount missing falls back", put.status == 201, put)
      try await cases.read(unknown)

      let began = try await registry.send("POST", "/v2/repo1/blobs/uploads/", body: [])
      let cancelled = try await registry.send("DELETE", try #require(began["location"]), body: [])
      cases.check("post cancel", cancelled.status == 204, cancelled)
      let gone = try await registry.send("GET", try #require(began["location"]))
      cases.check("cancelled", gone.status == 404 && gone.code == "BLOB_UPLOAD_UNKNOWN", gone)

      let whole = fresh(2048)
      try await cases.push(whole, .postPut)
      for (range, part) in [
        ("500-1499", 500..<1500), ("500-", 500..<2048), ("-500", 1548..<2048), ("2000-5000", 2000..<2048),
        ("0-0", 0..<1), ("0-2047", 0..<2048), ("-5000", 0..<2048),
      ] {
        for method in ["GET", "HEAD"] {
          let read = try await registry.send(
            method, "/v2/repo1/blobs/\(whole.digest)", headers: [("Range", "bytes=\(range)")])
          cases.check(
            "\(method) range \(range)",
            read.status == 206 && read["content-length"] == "\(part.count)"
              && read["content-range"] == "bytes \(part.lowerBound)-\(part.upperBound - 1)/2048"
              && (method == "HEAD" || read.body == Array(whole.bytes[part])), read)
        }
      }
      for range in ["500-0", "5000-10000", "2048-", "-0"] {
        let read = try await registry.send(
          "GET", "/v2/repo1/blobs/\(whole.digest)", headers: [("Range", "bytes=\(range)")])
        cases.check("range \(range)", read.status == 416 && read["content-range"] == "bytes */2048", read)
      }
    }
  }

  @Test(arguments: ContentKind.allCases)
  func content(kind: ContentKind) async throws {
    try await TestRegistry.use({ $0.requiresContent = kind != .sparse }) { registry in
      let cases = Cases(registry, "repo1")
      let content = Content(kind)
      for (index, blob) in content.blobs.enumerated() {
        try await cases.push(blob, BlobPush.allCases[index % BlobPush.allCases.count])
      }
      for manifest in content.manifests {
        let tags = content.tagsByParameter ? content.tags.filter { $0.digest == manifest.digest }.map(\.name) : []
        try await cases.push(manifest, as: manifest.digest.description, tags: tags)
      }
      for tag in content.tags where !content.tagsByParameter {
        try await cases.push(try #require(content.manifest(tag.digest)), as: tag.name)
      }
      try await cases.list(content.tags.map(\.name))
      for tag in content.tags {
        try await cases.read(try #require(content.manifest(tag.digest)), as: tag.name)
      }
      for manifest in content.manifests { try await cases.read(manifest, as: manifest.digest.description) }
      for blob in content.blobs { try await cases.read(blob) }
      for subject in Set(content.manifests.compactMap(\.subject)) {
        try await cases.referrers(subject, content.manifests.filter { $0.subject == subject })
      }
      for tag in content.tags { try await cases.delete(manifest: tag.name) }
      // An index goes before its children.
      for manifest in content.manifests.reversed() { try await cases.delete(manifest: manifest.digest.description) }
      for blob in content.blobs { try await cases.delete(blob) }
      for subject in Set(content.manifests.compactMap(\.subject)) { try await cases.referrers(subject, []) }
      try await cases.list([])
    }
  }

  @Test func nothingYet() async throws {
    try await TestRegistry.use { registry in
      let cases = Cases(registry, "repo1")
      let ping = try await registry.send("GET", "/v2/")
      cases.check("ping", ping.status == 200, ping)
      let tags = try await registry.send("GET", "/v2/repo1/tags/list")
      cases.check("tag list", tags.status == 404 && tags.code == "NAME_UNKNOWN", tags)
      let subject = Digest(of: [7])
      try await cases.referrers(subject, [])
      for reference in ["missing-tag", subject.description, "sha256-\(subject.hex)"] {
        for method in ["GET", "HEAD", "DELETE"] {
          let none = try await registry.send(method, "/v2/repo1/manifests/\(reference)")
          cases.check("\(method) missing manifest", none.status == 404, none)
          if method != "HEAD" { cases.check("its code", none.code == "MANIFEST_UNKNOWN", none) }
        }
      }
    }
  }

  /// What is refused, and how: status, code, and the error's form.
  @Test func errors() async throws {
    try await TestRegistry.use { registry in
      let cases = Cases(registry, "repo1")
      let content = Content(.image)
      for blob in content.blobs { try await cases.push(blob, .postPut) }
      let manifest = try #require(content.manifests.first)
      let type = ("Content-Type", manifest.mediaType)
      let blob = try #require(content.blobs.first)
      let upload = try #require(try await registry.send("POST", "/v2/repo1/blobs/uploads/", body: [])["location"])
      let nowhere = "/v2/repo1/blobs/uploads/\(String(repeating: "0", count: 32))"
      let absent = Digest(of: [9])
      func document(_ json: JSON) -> [UInt8] { json.serialized() }
      let needsMissing = document([
        "schemaVersion": 2, "mediaType": .string(MediaType.manifest),
        "config": Descriptor(mediaType: MediaType.config, digest: absent, size: 1).json, "layers": [],
      ])
      let indexOfMissing = document([
        "schemaVersion": 2, "mediaType": .string(MediaType.index),
        "manifests": [Descriptor(mediaType: MediaType.manifest, digest: absent, size: 1).json],
      ])
      let table: [(String, String, [(String, String)], [UInt8]?, Int, String)] = [
        ("PUT", "/v2/repo1/manifests/sha256:baddigeststring", [type], manifest.bytes, 400, "DIGEST_INVALID"),
        ("GET", "/v2/repo1/manifests/sha256:baddigeststring", [], nil, 400, "DIGEST_INVALID"),
        ("DELETE", "/v2/repo1/manifests/sha256:baddigeststring", [], nil, 400, "DIGEST_INVALID"),
        ("GET", "/v2/repo1/blobs/sha256:baddigeststring", [], nil, 400, "DIGEST_INVALID"),
        ("DELETE", "/v2/repo1/blobs/sha256:baddigeststring", [], nil, 400, "DIGEST_INVALID"),
        ("GET", "/v2/repo1/referrers/sha256:baddigeststring", [], nil, 400, "DIGEST_INVALID"),
        (
          "PUT", "/v2/repo1/manifests/\(manifest.digest)", [type], manifest.bytes + [0x20, 0x20], 400, "DIGEST_INVALID"
        ),
        ("PUT", "/v2/repo1/manifests/\(Digest(of: [], .sha512))", [type], manifest.bytes, 400, "DIGEST_INVALID"),
        ("PUT", "/v2/repo1/manifests/-tag", [type], manifest.bytes, 400, "TAG_INVALID"),
        (
          "PUT", "/v2/repo1/manifests/\(String(repeating: "t", count: 129))", [type], manifest.bytes, 400, "TAG_INVALID"
        ),
        ("PUT", "/v2/Repo/manifests/1", [type], manifest.bytes, 400, "NAME_INVALID"),
        ("PUT", "/v2/repo1/manifests/1", [type], Array("{".utf8), 400, "MANIFEST_INVALID"),
        ("PUT", "/v2/repo1/manifests/1", [type], needsMissing, 404, "MANIFEST_BLOB_UNKNOWN"),
        (
          "PUT", "/v2/repo1/manifests/1", [("Content-Type", MediaType.index)], indexOfMissing, 404,
          "MANIFEST_BLOB_UNKNOWN"
        ),
        ("PUT", "/v2/repo1/manifests/1", [("Content-Type", MediaType.index)], manifest.bytes, 400, "MANIFEST_INVALID"),
        ("DELETE", "/v2/repo1/manifests/none", [], nil, 404, "MANIFEST_UNKNOWN"),
        ("DELETE", "/v2/repo1/manifests/\(absent)", [], nil, 404, "MANIFEST_UNKNOWN"),
        ("DELETE", "/v2/repo1/blobs/\(absent)", [], nil, 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/other/blobs/\(blob.digest)", [], nil, 404, "BLOB_UNKNOWN"),
        ("GET", nowhere, [], nil, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", nowhere, [], [1], 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", "\(nowhere)?digest=\(blob.digest)", [], blob.bytes, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("DELETE", nowhere, [], nil, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", upload, [], blob.bytes, 400, "DIGEST_INVALID"),
        ("PUT", "\(upload)?digest=nonsense", [], blob.bytes, 400, "DIGEST_INVALID"),
        ("PATCH", upload, [("Content-Range", "5-6")], [1, 2], 416, "RANGE_INVALID"),
        ("PUT", "\(upload)?digest=\(blob.digest)", [("Content-Range", "5-6")], [1, 2], 416, "RANGE_INVALID"),
        ("PATCH", upload, [("Content-Range", "0-5")], [1, 2], 400, "SIZE_INVALID"),
        ("PATCH", upload, [("Content-Range", "bytes")], [1, 2], 400, "BLOB_UPLOAD_INVALID"),
        ("POST", "/v2/repo1/blobs/uploads/?mount=nonsense&from=repo2", [], [], 400, "DIGEST_INVALID"),
        ("POST", "/v2/repo1/blobs/uploads/?digest=nonsense", [], [1], 400, "DIGEST_INVALID"),
        ("GET", "/v2/repo1/tags/list?n=-1", [], nil, 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/none/tags/list", [], nil, 404, "NAME_UNKNOWN"),
        ("PATCH", "/v2/repo1/manifests/1", [], [1], 405, "UNSUPPORTED"),
        ("PUT", "/v2/repo1/blobs/\(blob.digest)", [], [1], 405, "UNSUPPORTED"),
        ("DELETE", "/v2/repo1/tags/list", [], nil, 405, "UNSUPPORTED"),
        ("POST", "/v2/repo1/referrers/\(blob.digest)", [], [], 405, "UNSUPPORTED"),
      ]
      for (method, path, headers, body, status, code) in table {
        let answer = try await registry.send(method, path, headers: headers, body: body)
        cases.check("\(method) \(path)", answer.status == status && answer.code == code, answer)
        cases.check("\(method) \(path): form", answer["content-type"] == "application/json", answer)
        if status == 405 { cases.check("\(method) \(path): Allow", answer["allow"] != nil, answer) }
        if status == 416 {
          cases.check(
            "\(method) \(path): where it goes on", answer["range"] == "0-0" && answer["location"] == upload, answer)
        }
      }
      // None of it did anything.
      let still = try await registry.send("GET", upload)
      cases.check("the upload is as it was", still.status == 204 && still["range"] == "0-0", still)
      let tags = try await registry.send("GET", "/v2/repo1/tags/list")
      cases.check("no tag came", tags.json["tags"] == [], tags)
    }
  }
}

// MARK: - What is pushed

private struct Blob: Sendable {
  var digest: Digest
  var bytes: [UInt8]

  init(_ bytes: [UInt8], _ algorithm: Digest.Algorithm = .sha256) {
    digest = Digest(of: bytes, algorithm)
    self.bytes = bytes
  }

  init(random: inout SeededGenerator, count: Int, _ algorithm: Digest.Algorithm = .sha256) {
    self.init((0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }, algorithm)
  }

  func descriptor(_ mediaType: String, hasData: Bool = false) -> JSON {
    var descriptor = Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count))
    if hasData { descriptor.data = bytes }
    return descriptor.json
  }
}

private struct PushedManifest: Sendable {
  var digest: Digest
  var bytes: [UInt8]
  var mediaType: String
  var subject: Digest?
  /// What a referrers list shows.
  var artifactType: String?
  var annotations: JSON?

  var descriptor: JSON {
    Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count)).json
  }
}

enum ContentKind: String, CaseIterable, Sendable {
  case image, uncompressed, largeManifest, index, nestedIndex, emptyIndex, artifact, artifactIndex
  case artifactWithoutLayers, artifactsWithSubject, indexWithSubject, missingSubject, subjectSHA512, dataField,
    nonDistributable
  case customFields, noLayers, sparse, sha512, tagParameters, tagParametersSHA512, dockerImage, dockerList
}

/// Blobs and manifests in the order in which they have to be pushed, and the tags.
private struct Content {
  var blobs: [Blob] = []
  var manifests: [PushedManifest] = []
  var tags: [(name: String, digest: Digest)] = []
  var tagsByParameter = false

  private var random: SeededGenerator
  private var algorithm = Digest.Algorithm.sha256
  private var hasData = false
  private var hasCustomFields = false

  private static let example1 = "application/vnd.example.oci.conformance.v1"
  private static let example2 = "application/vnd.example.oci.conformance.v2"
  private static let gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
  private static let note: JSON = ["org.opencontainers.conformance": "hello conformance test", "org.example.x": "y"]

  func manifest(_ digest: Digest) -> PushedManifest? { manifests.first { $0.digest == digest } }

  init(_ kind: ContentKind) {
    random = SeededGenerator(seed: kind.rawValue.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) })
    let tag = kind.rawValue.lowercased()
    switch kind {
    case .image: add(image(), tag)
    case .uncompressed: add(image(layer: MediaType.layer), tag)
    case .largeManifest:
      var large: JSON = [:]
      for number in 0..<390 { large["large-annotation-\(number)"] = .string(String(repeating: "A", count: 10_000)) }
      add(image(annotations: large), tag)
    case .index: add(index([add(image()), add(image())]), tag)
    case .nestedIndex:
      let inner = (0..<2).map { _ in add(index([add(image()), add(image())])) }
      add(index(inner), tag)
    case .emptyIndex: add(index([]), tag)
    case .artifact: add(artifact(), tag)
    case .artifactIndex: add(index([add(artifact()), add(artifact())], artifactType: Self.example1), tag)
    case .artifactWithoutLayers:
      let empty = store(Blob(Array("{}".utf8)))
      add(
        manifest(
          config: empty.descriptor(MediaType.empty), layers: [empty.descriptor(MediaType.empty)],
          artifactType: Self.example1), tag)
    case .artifactsWithSubject:
      let subject = add(image(), "image")
      add(image(subject: subject))
      add(artifact(subject: subject, annotations: Self.note), "tagged-artifact1")
      add(artifact(Self.example2, subject: subject, annotations: Self.note), "tagged-artifact2")
    case .indexWithSubject:
      let subject = add(index([add(image()), add(image())]), "index")
      add(
        index(
          [add(artifact()), add(artifact())], artifactType: Self.example1, subject: subject, annotations: Self.note),
        "tagged-artifact")
    case .missingSubject:
      let absent = PushedManifest(
        digest: Digest(of: Array("missing content".utf8)), bytes: [UInt8](repeating: 0, count: 123),
        mediaType: MediaType.manifest)
      add(artifact(subject: absent, annotations: Self.note), "tagged-artifact")
    case .subjectSHA512:
      algorithm = .sha512
      let subject = add(index([add(image()), add(image())]))
      add(artifact(subject: subject, annotations: Self.note))
    case .dataField:
      hasData = true
      add(image(), tag)
    case .nonDistributable:
      let config = store(fresh(64))
      let elsewhere = ["", "+gzip"].map { suffix -> JSON in
        let digest = fresh(16).digest
        var json = Descriptor(
          mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar\(suffix)", digest: digest, size: 12345
        ).json
        json["urls"] = [.string("https://store.example/blobs/\(digest)")]
        return json
      }
      let layer = store(fresh(100)).descriptor(Self.gzip)
      add(manifest(config: config.descriptor(MediaType.config), layers: elsewhere + [layer]), tag)
    case .customFields:
      hasCustomFields = true
      add(index([add(image()), add(image())]), tag)
    case .noLayers: add(manifest(config: store(fresh(50)).descriptor(MediaType.config), layers: []), tag)
    case .sparse:
      add(image(), "sparse-image")
      blobs.removeLast()
      let absent = PushedManifest(
        digest: fresh(16).digest, bytes: [UInt8](repeating: 0, count: 1024), mediaType: MediaType.manifest)
      add(index([add(image()), absent]), "sparse-index")
    case .sha512:
      algorithm = .sha512
      add(index([add(image()), add(image())]))
    case .tagParameters, .tagParametersSHA512:
      if kind == .tagParametersSHA512 { algorithm = .sha512 }
      tagsByParameter = true
      add(index([add(image()), add(image())]), tag)
      for (number, manifest) in manifests.enumerated() { tags.append(("\(tag)-\(number)", manifest.digest)) }
    case .dockerImage: add(image(layer: MediaType.dockerLayer, mediaType: MediaType.dockerManifest), tag)
    case .dockerList:
      let children = (0..<2).map { _ in
        add(image(layer: MediaType.dockerLayer, mediaType: MediaType.dockerManifest))
      }
      add(index(children, mediaType: MediaType.dockerManifestList), tag)
    }
  }

  private mutating func fresh(_ count: Int) -> Blob { Blob(random: &random, count: count, algorithm) }

  private mutating func store(_ blob: Blob) -> Blob {
    blobs.append(blob)
    return blob
  }

  @discardableResult
  private mutating func add(_ manifest: PushedManifest, _ tag: String? = nil) -> PushedManifest {
    manifests.append(manifest)
    if let tag { tags.append((tag, manifest.digest)) }
    return manifest
  }

  private mutating func image(
    layer: String = Content.gzip, mediaType: String = MediaType.manifest, subject: PushedManifest? = nil,
    annotations: JSON? = nil
  ) -> PushedManifest {
    let config = store(fresh(80)).descriptor(
      mediaType == MediaType.manifest ? MediaType.config : MediaType.dockerConfig, hasData: hasData)
    let layers = (0..<2).map { _ in store(fresh(300)).descriptor(layer, hasData: hasData) }
    return manifest(
      config: config, layers: layers, mediaType: mediaType, subject: subject, annotations: annotations)
  }

  private mutating func artifact(
    _ type: String = Content.example1, subject: PushedManifest? = nil, annotations: JSON? = nil
  ) -> PushedManifest {
    let config = Blob(Array("{}".utf8))
    if !blobs.contains(where: { $0.digest == config.digest }) { blobs.append(config) }
    let layer = store(fresh(200)).descriptor(type)
    return manifest(
      config: config.descriptor(MediaType.empty), layers: [layer], artifactType: type, subject: subject,
      annotations: annotations)
  }

  private func manifest(
    config: JSON, layers: [JSON], mediaType: String = MediaType.manifest, artifactType: String? = nil,
    subject: PushedManifest? = nil, annotations: JSON? = nil
  ) -> PushedManifest {
    let json: JSON = ["config": config, "layers": .array(layers)]
    return document(
      json, mediaType, artifactType, listed: artifactType ?? config["mediaType"]?.string, subject, annotations)
  }

  private func index(
    _ children: [PushedManifest], mediaType: String = MediaType.index, artifactType: String? = nil,
    subject: PushedManifest? = nil, annotations: JSON? = nil
  ) -> PushedManifest {
    let json: JSON = ["manifests": .array(children.map(\.descriptor))]
    return document(json, mediaType, artifactType, listed: artifactType, subject, annotations)
  }

  private func document(
    _ content: JSON, _ mediaType: String, _ artifactType: String?, listed: String?, _ subject: PushedManifest?,
    _ annotations: JSON?
  ) -> PushedManifest {
    var json = content
    json["schemaVersion"] = 2
    json["mediaType"] = .string(mediaType)
    if let artifactType { json["artifactType"] = .string(artifactType) }
    if let subject { json["subject"] = subject.descriptor }
    if let annotations { json["annotations"] = annotations }
    if hasCustomFields { json["org.example.custom"] = ["nested": [1, "two", .null]] }
    let bytes = json.serialized()
    return PushedManifest(
      digest: Digest(of: bytes, algorithm), bytes: bytes, mediaType: mediaType, subject: subject?.digest,
      artifactType: listed, annotations: annotations)
  }
}

// MARK: - What is checked

/// The ways in which a blob can come.
private enum BlobPush: CaseIterable {
  case postPut, postOnly, streamed, chunked, chunkedWithPut, outOfOrder, outOfOrderWithPut

  var isChunked: Bool { ![.postPut, .postOnly, .streamed].contains(self) }
  var putsLastChunk: Bool { self == .chunkedWithPut || self == .outOfOrderWithPut }
  var isOutOfOrder: Bool { self == .outOfOrder || self == .outOfOrderWithPut }
}

/// The suite's checks of one repository.
private final class Cases {
  let registry: TestRegistry
  let name: String
  private let octets = ("Content-Type", "application/octet-stream")
  private let accept = [("Accept", MediaType.manifests.joined(separator: ", "))]

  init(_ registry: TestRegistry, _ name: String) {
    self.registry = registry
    self.name = name
  }

  func check(_ what: String, _ isMet: Bool, _ response: Response) {
    #expect(isMet, "\(what): \(response.status) \(response.headers) \(response.text.prefix(300))")
  }

  // MARK: Blobs

  func push(_ blob: Blob, _ way: BlobPush, isWrong: Bool = false) async throws {
    let done: Response
    switch way {
    case .postOnly:
      done = try await registry.send(
        "POST", "/v2/\(name)/blobs/uploads/?digest=\(blob.digest)", headers: [octets], body: blob.bytes)
    case .postPut:
      done = try await put(blob, at: try await begin(), body: blob.bytes)
    case .streamed:
      let patched = try await registry.send(
        "PATCH", try await begin(), headers: [octets, ("Transfer-Encoding", "chunked")], body: Self.chunked(blob.bytes))
      check("stream", patched.status == 202, patched)
      done = try await put(blob, at: try #require(patched["location"]), body: [])
    case .chunked, .chunkedWithPut, .outOfOrder, .outOfOrderWithPut:
      done = try await pushChunks(blob, way)
    }
    if isWrong {
      check("\(way) with a wrong digest", done.status == 400 && done.code == "DIGEST_INVALID", done)
      return
    }
    check("\(way)", done.status == 201, done)
    check("\(way): digest", done["docker-content-digest"] == blob.digest.description, done)
    try await checkLocation(done, blob.bytes)
  }

  private func begin() async throws -> String {
    let began = try await registry.send("POST", "/v2/\(name)/blobs/uploads/", body: [])
    check("post", began.status == 202 && began["location"] != nil, began)
    // Absent, or a number that chunks of the suite's size reach.
    check("minimum", began["oci-chunk-min-length"].map { Int($0) ?? .max <= 1024 } ?? true, began)
    return try #require(began["location"])
  }

  private func put(_ blob: Blob, at location: String, headers: [(String, String)] = [], body: [UInt8]) async throws
    -> Response
  {
    try await registry.send(
      "PUT", "\(location)?digest=\(blob.digest)", headers: headers + [octets], body: body)
  }

  private func pushChunks(_ blob: Blob, _ way: BlobPush) async throws -> Response {
    var location = try await begin()
    let size = min(max(blob.bytes.count / 3 + 1, 1024), blob.bytes.count)
    func send(_ range: Range<Int>) async throws -> Response {
      let place = ("Content-Range", "\(range.lowerBound)-\(range.upperBound - 1)")
      let body = Array(blob.bytes[range])
      if way.putsLastChunk, range.upperBound == blob.bytes.count {
        return try await put(blob, at: location, headers: [place], body: body)
      }
      return try await registry.send("PATCH", location, headers: [octets, place], body: body)
    }
    var end = 0
    while end < blob.bytes.count {
      if way.isOutOfOrder {
        // Ahead, or back at the front: at the front it is out of order only when something is there.
        let start = end + size < blob.bytes.count ? end + size : 0
        if start != end {
          let refused = try await send(start..<min(start + size, blob.bytes.count))
          check("\(way)", refused.status == 416 && refused.code == "RANGE_INVALID", refused)
          let status = try await registry.send("GET", location)
          check(
            "\(way): status", status.status == 204 && status["range"] == "0-\(max(0, end - 1))", status)
          location = try #require(status["location"])
        }
      }
      let range = end..<min(end + size, blob.bytes.count)
      let answer = try await send(range)
      end = range.upperBound
      if way.putsLastChunk, end == blob.bytes.count { return answer }
      check("\(way): chunk", answer.status == 202 && answer["range"] == "0-\(end - 1)", answer)
      location = try #require(answer["location"])
    }
    return try await put(blob, at: location, body: [])
  }

  func checkLocation(_ response: Response, _ bytes: [UInt8]) async throws {
    let location = try #require(response["location"], "\(response.status) \(response.text)")
    let read = try await registry.send("GET", location, headers: accept)
    check("location", read.status == 200 && read.body == bytes, read)
  }

  func read(_ blob: Blob) async throws {
    for method in ["HEAD", "GET"] {
      let read = try await registry.send(method, "/v2/\(name)/blobs/\(blob.digest)")
      check(
        "\(method) blob",
        read.status == 200 && read["content-length"] == "\(blob.bytes.count)"
          && read.body == (method == "GET" ? blob.bytes : []), read)
      check("\(method) blob: digest", read["docker-content-digest"] == blob.digest.description, read)
    }
  }

  func delete(_ blob: Blob) async throws {
    let deleted = try await registry.send("DELETE", "/v2/\(name)/blobs/\(blob.digest)")
    check("delete blob", deleted.status == 202, deleted)
    let gone = try await registry.send("HEAD", "/v2/\(name)/blobs/\(blob.digest)")
    check("deleted blob", gone.status == 404, gone)
  }

  // MARK: Manifests

  /// As Go's client sends a body of which it does not know the length.
  func push(_ manifest: PushedManifest, as reference: String, tags: [String] = []) async throws {
    let query = tags.isEmpty ? "" : "?" + tags.map { "tag=\($0)" }.joined(separator: "&")
    let put = try await registry.send(
      "PUT", "/v2/\(name)/manifests/\(reference)\(query)",
      headers: [("Content-Type", manifest.mediaType), ("Transfer-Encoding", "chunked")],
      body: Self.chunked(manifest.bytes))
    check("put manifest", put.status == 201, put)
    check("put manifest: digest", put["docker-content-digest"] == manifest.digest.description, put)
    check("put manifest: subject", put["oci-subject"] == manifest.subject?.description, put)
    check("put manifest: tags", put.all("oci-tag") == tags, put)
    try await checkLocation(put, manifest.bytes)
  }

  func read(_ manifest: PushedManifest, as reference: String) async throws {
    for method in ["HEAD", "GET"] {
      let read = try await registry.send(method, "/v2/\(name)/manifests/\(reference)", headers: accept)
      check(
        "\(method) manifest",
        read.status == 200 && read["content-length"] == "\(manifest.bytes.count)"
          && read["content-type"] == manifest.mediaType && read.body == (method == "GET" ? manifest.bytes : []), read)
      check("\(method) manifest: digest", read["docker-content-digest"] == manifest.digest.description, read)
    }
  }

  func delete(manifest reference: String) async throws {
    let deleted = try await registry.send("DELETE", "/v2/\(name)/manifests/\(reference)")
    check("delete manifest", deleted.status == 202, deleted)
    let gone = try await registry.send("HEAD", "/v2/\(name)/manifests/\(reference)", headers: accept)
    check("deleted manifest", gone.status == 404, gone)
  }

  // MARK: Lists

  func list(_ tags: [String]) async throws {
    let all = try await registry.send("GET", "/v2/\(name)/tags/list")
    let found = all.json["tags"]?.array?.compactMap(\.string) ?? []
    if tags.isEmpty {
      check("no tags", all.status == 404 || (all.status == 200 && found.isEmpty), all)
      return
    }
    check("tag list", all.status == 200 && found == tags.sorted() && all.json["name"]?.string == name, all)
    for (index, last) in found.enumerated() {
      let rest = try await registry.send("GET", "/v2/\(name)/tags/list?last=\(last)")
      check("tags after \(last)", rest.json["tags"]?.array?.compactMap(\.string) == Array(found[(index + 1)...]), rest)
    }
    for count in 1...tags.count {
      var pages: [String] = []
      var next: String? = "/v2/\(name)/tags/list?n=\(count)"
      while let path = next, pages.count <= tags.count {
        let page = try await registry.send("GET", path)
        let some = page.json["tags"]?.array?.compactMap(\.string) ?? []
        check("page of \(count)", page.status == 200 && some.count <= count && !some.isEmpty, page)
        pages += some
        next = page["link"].flatMap { $0.split(separator: ">").first }.map { String($0.dropFirst()) }
      }
      #expect(pages == tags.sorted())
    }
  }

  func referrers(_ subject: Digest, _ expected: [PushedManifest]) async throws {
    func list(_ type: String?) async throws -> [JSON] {
      let query = type.map { "?artifactType=\(Query.percentEncoded($0))" } ?? ""
      let list = try await registry.send("GET", "/v2/\(name)/referrers/\(subject)\(query)")
      check("referrers", list.status == 200 && list["content-type"] == MediaType.index, list)
      check(
        "referrers: an index",
        list.json["schemaVersion"] == 2 && list.json["mediaType"]?.string == MediaType.index, list)
      check("referrers: filter", list["oci-filters-applied"] == (type == nil ? nil : "artifactType"), list)
      return list.json["manifests"]?.array ?? []
    }
    func compare(_ found: [JSON], _ wanted: [PushedManifest]) {
      #expect(
        Set(found.compactMap { $0["digest"]?.string }) == Set(wanted.map(\.digest.description))
          && found.count == wanted.count)
      for manifest in wanted {
        let entry = found.first { $0["digest"]?.string == manifest.digest.description }
        #expect(entry?["mediaType"]?.string == manifest.mediaType)
        #expect(entry?["size"]?.int == Int64(manifest.bytes.count))
        #expect(entry?["artifactType"]?.string == manifest.artifactType)
        for (key, value) in manifest.annotations?.object?.members ?? [] {
          #expect(entry?["annotations"]?[key] == value)
        }
      }
    }
    compare(try await list(nil), expected)
    for type in Set(expected.compactMap(\.artifactType)) {
      compare(try await list(type), expected.filter { $0.artifactType == type })
    }
    compare(try await list("application/x-nobody"), [])
    // Clients without the referrers API.
    let tag = try await registry.send(
      "GET", "/v2/\(name)/manifests/\(subject.algorithm.rawValue)-\(subject.hex.prefix(64))")
    if expected.isEmpty {
      check("fallback tag", tag.status == 404, tag)
    } else {
      check("fallback tag", tag.status == 200 && tag["content-type"] == MediaType.index, tag)
      compare(tag.json["manifests"]?.array ?? [], expected)
    }
  }

  static func chunked(_ bytes: [UInt8]) -> [UInt8] {
    var body: [UInt8] = []
    if !bytes.isEmpty { body = Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + Array("\r\n".utf8) }
    return body + Array("0\r\n\r\n".utf8)
  }
}
