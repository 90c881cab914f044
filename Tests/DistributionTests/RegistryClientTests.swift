import Content
import HTTPTestKit
import NIOHTTP1
import OCI
import Synchronization
import Testing
import Wire

@testable import Distribution

@Suite(.timeLimit(.minutes(1))) struct RegistryClientTests {
  // MARK: Manifests

  @Test func resolves() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    try await withServer(registry.server) { port in
      let client = makeClient()
      let found = try await client.resolve(try Reference(parsing: "127.0.0.1:\(port)/team/app:1"))
      #expect(found == RemoteManifest(digest: image.digest, mediaType: MediaType.manifest, bytes: image.manifest))
      let exact = try await client.resolve(try Reference(parsing: "127.0.0.1:\(port)/team/app:2@\(image.digest)"))
      #expect(exact.digest == image.digest)
      let head = try await client.manifestHead(.tag("1"), in: repository(port))
      #expect(head?.digest == image.digest)
      #expect(head?.size == Int64(image.manifest.count))
      let none = try await client.manifestHead(.tag("2"), in: repository(port))
      #expect(none == nil)
      let error = await failure { () throws(DistributionError) in
        try await client.manifest(.tag("2"), in: repository(port))
      }
      #expect(error.code == .notFound)
      #expect(error.registryCode == "MANIFEST_UNKNOWN")
      #expect(error.message.contains("manifest 2 of team/app"))
      try await client.check(host: "127.0.0.1:\(port)")
    }
  }

  @Test func lyingManifests() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    try await withServer(registry.server) { port in
      let client = makeClient { $0.retry.attempts = 1 }
      let repository = repository(port)
      func code(_ reference: ManifestReference, _ reply: TestServer.Reply) async -> DistributionError.Code {
        registry.fail { _ in reply }
        return await failure { () throws(DistributionError) in
          try await client.manifest(reference, in: repository)
        }.code
      }
      let other = Array(#"{"schemaVersion":2}"#.utf8)
      let type: HTTPHeaders = ["content-type": MediaType.manifest]
      #expect(await code(.digest(image.digest), .respond(200, type, other)) == .contentMismatch)
      let stated: HTTPHeaders = ["content-type": MediaType.manifest, "docker-content-digest": "\(image.digest)"]
      #expect(await code(.tag("1"), .respond(200, stated, other)) == .contentMismatch)
      #expect(await code(.tag("1"), .truncate(200, type, length: 500, other)) == .connectionLost)
      #expect(
        await code(.tag("1"), .text(200, "<html>login</html>", ["content-type": "text/html"])) == .invalidResponse)
      let old: HTTPHeaders = ["content-type": "application/vnd.docker.distribution.manifest.v1+prettyjws"]
      #expect(await code(.tag("1"), .respond(200, old, other)) == .unsupported)
      let large = [UInt8](repeating: 0x20, count: 9 << 20)
      #expect(await code(.tag("1"), .respond(200, type, large)) == .limitExceeded)
    }
  }

  @Test(arguments: ["", "-x", "a/b", "a b", String(repeating: "x", count: 129), "ü", "a\r\nb"])
  func noTags(_ tag: String) async {
    let error = await failure { () throws(DistributionError) in
      try await makeClient().manifest(.tag(tag), in: repository(1))
    }
    #expect(error.code == .invalidURL)
  }

  @Test(arguments: ["", "/a", "a//b", "a/../b", "A", "a b", "a?b", "a%2fb"])
  func noRepositories(_ path: String) async {
    let error = await failure { () throws(DistributionError) in try await makeClient().tags(in: repository(1, path)) }
    #expect(error.code == .invalidURL)
    let own = await failure { () throws(DistributionError) in try await makeClient().tags(in: Repository(path: "a")) }
    #expect(own.code == .invalidURL)
  }

  @Test func deletion() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    try await withServer(registry.server) { port in
      let client = makeClient()
      try await client.deleteManifest(.tag("1"), in: repository(port))
      try await client.deleteManifest(.digest(image.digest), in: repository(port))
      try await client.deleteBlob(image.blobs[0], in: repository(port))
      let size = try await client.blobSize(image.blobs[0], in: repository(port))
      #expect(size == nil)
      let error = await failure { () throws(DistributionError) in
        try await client.deleteManifest(.digest(image.digest), in: repository(port))
      }
      #expect(error.code == .notFound)
    }
  }

  // MARK: Lists

  @Test func pagedLists() async throws {
    let registry = FakeRegistry()
    let tags = (0..<20).map { "t\($0)" }.sorted()
    for tag in tags { registry.addImage(to: "team/app", tag: tag) }
    for number in 0..<4 { registry.addImage(to: "r\(number)", tag: "x") }
    try await withServer(registry.server) { port in
      let client = makeClient()
      let found = try await client.tags(in: repository(port))
      #expect(found == tags)
      let repositories = try await client.repositories(host: "127.0.0.1:\(port)")
      #expect(repositories == ["r0", "r1", "r2", "r3", "team/app"])
    }
  }

  @Test func lyingLists() async throws {
    let registry = FakeRegistry()
    try await withServer(registry.server) { port in
      let client = makeClient {
        $0.limits.pages = 5
        $0.limits.document = 1000
        $0.retry.attempts = 1
      }
      func code(_ reply: @escaping @Sendable (TestServer.Request) -> TestServer.Reply) async -> DistributionError.Code {
        registry.fail { reply($0) }
        return await failure { () throws(DistributionError) in try await client.tags(in: repository(port)) }.code
      }
      #expect(await code { .text(200, #"{"tags":[]}"#, ["link": "<\($0.path)?n=1>; rel=next"]) } == .invalidResponse)
      #expect(
        await code { .text(200, #"{"tags":["a"]}"#, ["link": "<\($0.uri)1>; rel=next"]) } == .limitExceeded)
      #expect(await code { _ in .text(200, #"{"tags":[]}"#, ["link": "<http://evil/>; rel=next"]) } == .invalidResponse)
      #expect(await code { _ in .text(200, #"{"tags":7}"#) } == .invalidResponse)
      #expect(await code { _ in .text(200, #"{"tags":[7]}"#) } == .invalidResponse)
      #expect(await code { _ in .text(200, "<html>") } == .invalidResponse)
      #expect(await code { _ in .respond(200, [:], Array(repeating: 0x20, count: 2000)) } == .limitExceeded)
      registry.fail { _ in .text(200, #"{"name":"team/app","tags":null}"#) }
      let none = try await client.tags(in: repository(port))
      #expect(none.isEmpty)
    }
  }

  @Test(arguments: [true, false]) func referrers(hasAPI: Bool) async throws {
    let registry = FakeRegistry()
    registry.state.withLock { $0.hasReferrers = hasAPI }
    let image = registry.addImage(to: "team/app", tag: "1")
    let empty = registry.add(blob: Array("{}".utf8), to: "team/app")
    try await withServer(registry.server) { port in
      let client = makeClient()
      let none = try await client.referrers(to: image.digest, in: repository(port))
      #expect(none.isEmpty)
      var digests: [Digest] = []
      for type in ["application/sbom", "application/signature"] {
        let manifest = Manifest(
          config: Descriptor(mediaType: MediaType.empty, digest: empty, size: 2), layers: [], artifactType: type,
          subject: Descriptor(
            mediaType: MediaType.manifest, digest: image.digest, size: Int64(image.manifest.count)),
          annotations: ["type": type])
        let bytes = manifest.json.serialized()
        let digest = Digest(of: bytes)
        for _ in 0..<2 {
          try await client.putManifest(
            bytes, mediaType: MediaType.manifest, as: .digest(digest), in: repository(port))
        }
        digests.append(digest)
      }
      let all = try await client.referrers(to: image.digest, in: repository(port))
      #expect(Set(all.map(\.digest)) == Set(digests))
      #expect(all.count == 2)
      let some = try await client.referrers(
        to: image.digest, in: repository(port), artifactType: "application/signature")
      #expect(some.map(\.digest) == [digests[1]])
      #expect(some.first?.annotations == ["type": "application/signature"])
    }
  }

  // MARK: Blobs

  @Test func blobs() async throws {
    let registry = FakeRegistry()
    let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 3) }
    let digest = registry.add(blob: bytes, to: "team/app")
    try await withServer(registry.server) { port in
      let client = makeClient()
      let size = try await client.blobSize(digest, in: repository(port))
      #expect(size == 300_000)
      let stream = try await client.blob(digest, in: repository(port))
      #expect(stream.size == 300_000)
      let all = try await stream.collect()
      #expect(all == bytes)
      let rest = try await client.blob(digest, in: repository(port), from: 299_990)
      #expect(rest.size == 300_000)
      let tail = try await rest.collect()
      #expect(tail == Array(bytes[299_990...]))
      let missing = await failure { () throws(DistributionError) in
        try await client.blob(Digest(of: [1]), in: repository(port))
      }
      #expect(missing.code == .notFound)
      #expect(missing.registryCode == "BLOB_UNKNOWN")
    }
  }

  @Test(arguments: [true, false]) func blobsAreResumed(hasRanges: Bool) async throws {
    let registry = FakeRegistry()
    registry.state.withLock { $0.ranges = hasRanges }
    let bytes = (0..<500_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
    let digest = registry.add(blob: bytes, to: "team/app")
    let left = Mutex(6)
    registry.fail { request in
      let isBroken = left.withLock { left in
        left -= 1
        return left >= 0
      }
      guard isBroken else { return nil }
      let start = request.headers.first(name: "range").flatMap { Int($0.dropFirst(6).dropLast()) } ?? 0
      let from = hasRanges ? start : 0
      return .truncate(
        from > 0 ? 206 : 200, ["content-range": "bytes \(from)-\(bytes.count - 1)/\(bytes.count)"],
        length: bytes.count - from, Array(bytes[from..<min(bytes.count, start + 70_000)]))
    }
    try await withServer(registry.server) { port in
      let all = try await makeClient().blob(digest, in: repository(port)).collect()
      #expect(all == bytes)
      #expect(left.withLock { $0 } == -1)
    }
  }

  @Test func lyingBlobs() async throws {
    let registry = FakeRegistry()
    let digest = registry.add(blob: [1, 2, 3], to: "team/app")
    registry.fail { _ in .respond(200, [:], [1, 2, 4]) }
    try await withServer(registry.server) { port in
      let error = await failure { () throws(DistributionError) in
        try await makeClient().blob(digest, in: repository(port)).collect()
      }
      #expect(error.code == .contentMismatch)
      #expect(!error.isRetriable)
    }
  }

  @Test func aServerThatAlwaysBreaksEnds() async throws {
    let registry = FakeRegistry()
    let digest = registry.add(blob: Array(repeating: 1, count: 100), to: "team/app")
    registry.fail { _ in .truncate(200, [:], length: 100, [1]) }
    let server = registry.server
    try await withServer(server) { port in
      let error = await failure { () throws(DistributionError) in
        try await makeClient().blob(digest, in: repository(port)).collect()
      }
      #expect(error.code == .connectionLost)
      #expect(server.requests.withLock { $0.count } <= 10)
    }
  }

  // MARK: Mirrors

  @Test func mirrorsFirst() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    let mirror = FakeRegistry()
    mirror.addImage(to: "hub/team/app", tag: "1")
    let mirrorServer = mirror.server
    let mirrorPort = try await mirrorServer.start()
    let server = registry.server
    try await withServer(server) { port in
      let client = makeClient {
        $0.hosts.hosts["127.0.0.1:\(port)"] = .init(mirrors: [
          .init(location: "127.0.0.1:1"),  // nobody there
          .init(location: "127.0.0.1:\(mirrorPort)/hub"),
        ])
      }
      let credentials = Credentials.registryToken("for-the-registry-only")
      let found = try await client.manifest(.tag("1"), in: repository(port), credentials: credentials)
      #expect(found.digest == image.digest)
      #expect(server.requests.withLock { $0.isEmpty })
      let asked = try #require(mirrorServer.requests.withLock { $0.first })
      #expect(asked.path == "/v2/hub/team/app/manifests/1")
      #expect(asked.query("ns") == "127.0.0.1:\(port)")
      #expect(!asked.headers.contains(name: "authorization"))
      // What the mirror lacks, or gets wrong, comes from the registry.
      let second = registry.addImage(to: "team/app", tag: "2", salt: "2")
      let two = try await client.manifest(.tag("2"), in: repository(port))
      #expect(two.digest == second.digest)
      mirror.fail { _ in .respond(200, ["content-type": MediaType.manifest], [0x7B, 0x7D]) }
      let verified = try await client.manifest(.digest(second.digest), in: repository(port))
      #expect(verified.digest == second.digest)
      // Reloaded live.
      let before = mirrorServer.requests.withLock { $0.count }
      client.update(hosts: RegistryHosts())
      _ = try await client.manifest(.tag("1"), in: repository(port))
      #expect(mirrorServer.requests.withLock { $0.count } == before)
      // A failure names both.
      client.update(
        hosts: RegistryHosts(hosts: ["127.0.0.1:\(port)": .init(mirrors: [.init(location: "127.0.0.1:1")])]))
      let error = await failure { () throws(DistributionError) in
        try await client.manifest(.tag("9"), in: repository(port))
      }
      #expect(error.code == .notFound)
      #expect(error.message.contains("mirror"))
    }
    await mirrorServer.stop()
  }

  // MARK: Credentials

  /// A registry with a token service, which counts its tokens: only the newest is accepted.
  private final class TokenService: Sendable {
    let port = Mutex(0)
    let tokens = Mutex(0)

    func server(
      _ registry: FakeRegistry, basic: String? = nil,
      accepts: @escaping @Sendable (TestServer.Request) -> Bool = { _ in true }
    ) -> TestServer {
      TestServer { [self] request in
        if request.path == "/token" {
          if let basic, request.headers.first(name: "authorization") != basic { return .text(401, "{}") }
          guard accepts(request) else { return .respond(405) }
          let number = tokens.withLock { count in
            count += 1
            return count
          }
          return .text(200, #"{"token":"token-\#(number)","expires_in":300}"#)
        }
        guard let token = request.headers.first(name: "authorization"), token.hasPrefix("Bearer token-"),
          Int(token.dropFirst("Bearer token-".count)) == tokens.withLock({ $0 })
        else {
          let realm = "http://127.0.0.1:\(port.withLock { $0 })/token"
          return .text(
            401, #"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
            ["www-authenticate": #"Bearer realm="\#(realm)",service="test",scope="repository:team/app:pull""#])
        }
        return registry.answer(request)
      }
    }
  }

  @Test func tokenFlow() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    let service = TokenService()
    let server = service.server(registry, basic: "Basic " + Base64.encode(Array("me:hunter2".utf8)))
    try await withServer(server) { port in
      service.port.withLock { $0 = port }
      let clock = InstantClock()
      let client = makeClient(clock)
      let me = Credentials.basic(username: "me", password: "hunter2")
      _ = try await client.manifest(.tag("1"), in: repository(port), credentials: me)
      _ = try await client.blobSize(image.blobs[0], in: repository(port), credentials: me)
      let asked = server.requests.withLock { $0 }
      // 401, token, answer; then the token at once.
      #expect(asked.map(\.path).map { $0.hasPrefix("/token") } == [false, true, false, false])
      #expect(asked[1].query("service") == "test")
      #expect(asked[1].queries("scope") == ["repository:team/app:pull"])
      #expect(asked[1].query("account") == "me")
      // An old token is replaced before it is refused, a refused one after.
      clock.advance(.seconds(299))
      _ = try await client.manifest(.tag("1"), in: repository(port), credentials: me)
      #expect(service.tokens.withLock { $0 } == 2)
      service.tokens.withLock { $0 += 1 }
      _ = try await client.manifest(.tag("1"), in: repository(port), credentials: me)
      // Somebody else gets a token of his own, or none.
      let error = await failure { () throws(DistributionError) in
        try await client.manifest(
          .tag("1"), in: repository(port), credentials: .basic(username: "you", password: "hunter3"))
      }
      #expect(error.code == .unauthorized)
      #expect(!error.message.contains("hunter"))
      #expect(error.message.contains("token"))
    }
  }

  @Test func oauth() async throws {
    let registry = FakeRegistry()
    registry.addImage(to: "team/app", tag: "1")
    for (credentials, expected) in [
      (.identityToken("id&=1"), "grant_type=refresh_token&refresh_token=id%26%3D1"),
      (.basic(username: "me", password: "p w"), "grant_type=password&username=me&password=p%20w"),
    ] as [(Credentials, String)] {
      let service = TokenService()
      let server = service.server(registry) { $0.method == .POST }
      try await withServer(server) { port in
        service.port.withLock { $0 = port }
        _ = try await makeClient().manifest(.tag("1"), in: repository(port), credentials: credentials)
        let request = try #require(server.requests.withLock { $0.last { $0.path == "/token" } })
        let body = String(decoding: request.body, as: UTF8.self)
        #expect(body.hasPrefix(expected), "\(body)")
        #expect(body.contains("service=test&scope=repository:team/app:pull"))
        #expect(request.headers.first(name: "content-type") == "application/x-www-form-urlencoded")
      }
    }
  }

  @Test func basicCredentials() async throws {
    let registry = FakeRegistry()
    registry.addImage(to: "team/app", tag: "1")
    let basic = "Basic " + Base64.encode(Array("me:pw".utf8))
    let server = TestServer { request in
      request.headers.first(name: "authorization") == basic
        ? registry.answer(request) : .respond(401, ["www-authenticate": "Basic realm=\"r\""])
    }
    try await withServer(server) { port in
      let client = makeClient()
      for _ in 0..<3 {
        _ = try await client.manifest(
          .tag("1"), in: repository(port), credentials: .basic(username: "me", password: "pw"))
      }
      #expect(server.requests.withLock { $0.count } == 4, "one challenge is enough")
      let error = await failure { () throws(DistributionError) in
        try await client.manifest(.tag("1"), in: repository(port))
      }
      #expect(error.code == .unauthorized)
      #expect(error.status == 401)
    }
  }

  @Test func credentialsStayWithTheRegistry() async throws {
    let blob: [UInt8] = [1, 2, 3]
    let digest = Digest(of: blob)
    let storage = TestServer { _ in .respond(200, [:], blob) }
    let storagePort = try await storage.start()
    let server = TestServer { request in
      request.headers.contains(name: "authorization")
        ? .respond(307, ["location": "http://127.0.0.1:\(storagePort)/bucket?signature=s"]) : .respond(401)
    }
    try await withServer(server) { port in
      let found = try await makeClient().blob(digest, in: repository(port), credentials: .registryToken("t")).collect()
      #expect(found == blob)
      let request = try #require(storage.requests.withLock { $0.first })
      #expect(!request.headers.contains(name: "authorization"))
    }
    await storage.stop()
  }

  @Test func denied() async throws {
    let server = TestServer { _ in .text(403, #"{"errors":[{"code":"DENIED","message":"no"}]}"#) }
    try await withServer(server) { port in
      let error = await failure { () throws(DistributionError) in try await makeClient().tags(in: repository(port)) }
      #expect(error.code == .denied)
      #expect(error.registryCode == "DENIED")
    }
  }
}
