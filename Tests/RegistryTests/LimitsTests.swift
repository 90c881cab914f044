import Content
import LinuxSystem
import OCI
import Synchronization
import Testing
import Wire

@testable import Registry

/// What one client, or all together, may take: unfinished uploads, long lists, what is kept of others.
@Suite(.timeLimit(.minutes(1))) struct LimitsTests {
  private func begin(_ registry: TestRegistry, _ name: String) async throws -> Response {
    try await registry.send("POST", "/v2/\(name)/blobs/uploads/", body: [])
  }

  @Test func unfinishedUploads() async throws {
    try await TestRegistry.use({
      $0.limits.uploadsMax = 4
      $0.limits.repositoryUploadsMax = 2
      $0.limits.uploadBytesMax = 100
      $0.limits.repositoryUploadBytesMax = 60
    }) { registry in
      let first = try #require(try await begin(registry, "a")["location"])
      let second = try #require(try await begin(registry, "a")["location"])
      let bytes = [UInt8](repeating: 1, count: 50)
      #expect(try await registry.send("PATCH", first, body: bytes).status == 202)
      #expect(try await registry.send("PATCH", second, body: [1]).status == 202)
      let refused = try await begin(registry, "a")
      #expect(refused.status == 429 && refused.code == "TOOMANYREQUESTS" && refused["retry-after"] != nil)
      let full = try await registry.send("PATCH", second, body: bytes)
      #expect(full.status == 429 && full.code == "TOOMANYREQUESTS", "\(full.text)")
      #expect(try await registry.send("GET", second)["range"] == "0-0")
      // A request for itself is one, too, and leaves nothing behind.
      let single = try await registry.send("POST", "/v2/a/blobs/uploads/?digest=\(Digest(of: bytes))", body: bytes)
      #expect(single.status == 429)
      let other = try #require(try await begin(registry, "b")["location"])
      #expect(try await registry.send("PATCH", other, body: Array(bytes.dropLast())).status == 202)
      let empty = try #require(try await begin(registry, "c")["location"])
      #expect(try await registry.send("PATCH", empty, body: [1]).status == 429)
      // One without a byte gives way to another.
      #expect(try await begin(registry, "d").status == 202)
      #expect(try await registry.send("GET", empty).code == "BLOB_UPLOAD_UNKNOWN")
      // What ends makes room.
      #expect(try await registry.send("PUT", "\(first)?digest=\(Digest(of: bytes))", body: []).status == 201)
      #expect(try await registry.send("PATCH", second, body: bytes).status == 202)
      #expect(try await registry.send("DELETE", second).status == 204)
      #expect(try await begin(registry, "e").status == 202)
      // More are allowed as soon as the configuration says so.
      var configuration = registry.registry.configuration
      configuration.limits.uploadsMax = 10
      try await registry.registry.reload(configuration)
      for name in ["f", "g", "h"] { #expect(try await begin(registry, name).status == 202) }
    }
  }

  @Test func unfinishedUploadsCountInQuotas() async throws {
    try await TestRegistry.use({ $0.quotas = [.init(prefix: "team", bytesMax: 100)] }) { registry in
      let bytes = [UInt8](repeating: 1, count: 60)
      let chunked = [("Transfer-Encoding", "chunked")]
      let body = Array("3c\r\n".utf8) + bytes + Array("\r\n0\r\n\r\n".utf8)
      let first = try #require(try await begin(registry, "team/a")["location"])
      #expect(try await registry.send("PATCH", first, body: bytes).status == 202)
      let second = try #require(try await begin(registry, "team/b")["location"])
      for (headers, body) in [([], bytes), (chunked, body)] {
        let refused = try await registry.send("PATCH", second, headers: headers, body: body)
        #expect(refused.status == 403 && refused.code == "DENIED", "\(refused.text)")
      }
      #expect(try await registry.send("PUT", "\(first)?digest=\(Digest(of: bytes))", body: []).status == 201)
      // What the repository has already takes no room.
      let again = try await registry.send("POST", "/v2/team/a/blobs/uploads/?digest=\(Digest(of: bytes))", body: bytes)
      #expect(again.status == 201, "\(again.text)")
      // And no more than it has: its name does not make other bytes free.
      let upload = try #require(try await begin(registry, "team/a")["location"])
      let more = Array("3c\r\n".utf8) + bytes + Array("\r\n3c\r\n".utf8) + bytes + Array("\r\n0\r\n\r\n".utf8)
      for (headers, body) in [([], bytes + bytes), (chunked, more)] {
        let long = try await registry.send(
          "PUT", "\(upload)?digest=\(Digest(of: bytes))", headers: headers, body: body)
        #expect(long.status == 403 && long.code == "DENIED", "\(long.text)")
      }
    }
  }

  /// A hundred referrers with large annotations: pages of three megabytes, each once.
  @Test func largeReferrerLists() async throws {
    try await TestRegistry.use({ $0.requiresContent = false }) { registry in
      let subject = Digest(of: [1])
      for index in 0..<100 {
        let manifest = Manifest(
          config: Descriptor(mediaType: MediaType.empty, digest: Digest(of: Array("{}".utf8)), size: 2), layers: [],
          artifactType: "application/x", subject: Descriptor(mediaType: MediaType.manifest, digest: subject, size: 1),
          annotations: ["n": "\(index)", "large": String(repeating: "A", count: 100_000)])
        try registry.content.putManifest(
          manifest.json.serialized(), mediaType: MediaType.manifest, in: Repository(path: "a"), requiring: .nothing)
      }
      for query in ["", "?artifactType=application%2Fx"] {
        var found: [String] = []
        var next: String? = "/v2/a/referrers/\(subject)\(query)"
        var pages = 0
        while let path = next, pages < 10 {
          let page = try await registry.send("GET", path)
          #expect(page.status == 200 && page.body.count < 4 << 20)
          found += page.json["manifests"]?.array?.compactMap { $0.at("annotations", "n")?.string } ?? []
          next = page["link"].flatMap { $0.split(separator: ">").first }.map { String($0.dropFirst()) }
          pages += 1
        }
        #expect(found.count == 100 && Set(found).count == 100 && pages == 4)
      }
      let fallback = try await registry.send("GET", "/v2/a/manifests/sha256-\(subject.hex)")
      #expect(fallback.status == 200 && fallback.body.count <= 4 << 20)
      #expect(try await registry.send("GET", "/v2/a/referrers/\(subject)?last=x").code == "PAGINATION_NUMBER_INVALID")
    }
  }

  /// What is kept of another registry stays within its bound, and what was evicted comes again.
  @Test func upstreamCache() async throws {
    let clock = SteppedClock()
    try await TestRegistry.use { origin in
      let layers = (0..<4).map { [UInt8](repeating: UInt8($0), count: 100_000) }
      var images: [(digest: Digest, bytes: [UInt8], response: Response)] = []
      for (index, layer) in layers.enumerated() {
        try await origin.push(layer, to: "app\(index)")
        images.append(try await origin.pushImage("app\(index)", "1", seed: "\(index)"))
      }
      try await TestRegistry.use(
        {
          $0.upstreams = [.init(prefix: "up", registry: "127.0.0.1:\(origin.port)")]
          $0.limits.upstreamBytesMax = 250_000
        }, time: clock
      ) { cache in
        func pull(_ index: Int) async throws {
          let manifest = try await cache.send("GET", "/v2/up/app\(index)/manifests/1")
          #expect(manifest.body == images[index].bytes)
          let blob = try await cache.send("GET", "/v2/up/app\(index)/blobs/\(Digest(of: layers[index]))")
          #expect(blob.body == layers[index])
        }
        func usage() throws -> Int64 { try cache.content.usage(host: PullThrough.host, prefix: "") }
        for index in 0..<4 { try await pull(index) }
        // All of it is in use; the last one's bytes come before its row.
        try await until { try usage() >= 400_000 }
        clock.advance(.seconds(600))
        try await pull(1)
        let reviews = cache.registry.pullThrough.reviews
        cache.registry.pullThrough.review()
        try await until { cache.registry.pullThrough.reviews != reviews }
        #expect(try usage() > 400_000)
        clock.advance(.seconds(400))
        cache.registry.pullThrough.review()
        try await until { try usage() <= 250_000 }
        let kept = try cache.content.blobSize(
          Digest(of: layers[1]), in: Repository(host: PullThrough.host, path: "up/app1"))
        #expect(kept == 100_000, "what was used last stays")
        for index in 0..<4 { try await pull(index) }
      }
    }
  }
}

/// A clock that a test moves; whoever sleeps waits to be cancelled.
private final class SteppedClock: TimeSource {
  private let micros = Mutex<Int64>(1_800_000_000_000_000)

  func now() -> Timestamp { Timestamp(microseconds: micros.withLock { $0 }) }
  func advance(_ duration: Duration) { micros.withLock { $0 += duration.components.seconds * 1_000_000 } }
  func sleep(for duration: Duration) async throws { try await Task.sleep(for: .seconds(1 << 30)) }
}
