import Content
import Glibc
import OCI
import Testing
import Wire

@testable import Registry

/// What clients who have not signed in, and others, can hold of the registry.
@Suite(.timeLimit(.minutes(1))) struct StrangerTests {
  private static let password = "wonderland"

  private static func users(_ configuration: inout RegistryConfiguration) {
    let hash = PasswordHash.make(password, cost: 4) ?? ""
    configuration.users = PasswordFile(hashes: ["alice": hash, "prometheus": hash])
  }

  private static func basic(_ user: String) -> (String, String) {
    ("Authorization", "Basic " + Base64.encode(Array("\(user):\(password)".utf8)))
  }

  // MARK: Metrics

  @Test func metricsAskForARight() async throws {
    try await TestRegistry.use({ Self.users(&$0) }) { registry in
      let refused = try await registry.send("GET", "/metrics")
      #expect(refused.status == 401 && refused["www-authenticate"]?.hasPrefix("Basic ") == true)
      #expect(!refused.text.contains("apus_registry_requests_total"))
      for headers in [[("Authorization", "Bearer x")], [("Authorization", "Basic eDp5")], [("Authorization", "x")]] {
        #expect(try await registry.send("GET", "/metrics", headers: headers).status == 401)
      }
      #expect(try await registry.send("HEAD", "/metrics").status == 401)
      for path in ["/metrics/", "/metrics?x=1", "//metrics", "/%6detrics", "/v2/../metrics"] {
        let answer = try await registry.send("GET", path)
        #expect([401, 404].contains(answer.status), "\(path): \(answer.status)")
      }
      #expect(try await registry.send("GET", "/healthz").status == 200)
      let answer = try await registry.send("GET", "/metrics", headers: [Self.basic("prometheus")])
      #expect(answer.status == 200 && answer.text.contains("apus_registry_requests_total"))
    }
    try await TestRegistry.use({
      Self.users(&$0)
      $0.access = [
        AccessRule(repositories: [Glob("**")], subjects: ["alice"], actions: [.pull, .push, .delete]),
        AccessRule(repositories: [Glob("**")], subjects: ["prometheus"], actions: [.metrics]),
      ]
    }) { registry in
      #expect(try await registry.send("GET", "/metrics", headers: [Self.basic("alice")]).status == 403)
      #expect(try await registry.send("GET", "/metrics", headers: [Self.basic("prometheus")]).status == 200)
      let token = try await registry.send(
        "GET", "/v2/token?scope=repository:a:metrics,pull", headers: [Self.basic("prometheus")]
      ).json["token"]?.string
      let bearer = try await registry.send(
        "GET", "/metrics", headers: [("Authorization", "Bearer \(token ?? "")")])
      #expect(bearer.status == 401)
    }
  }

  @Test func metricsAreARightOfItsOwn() {
    func control(_ rules: [AccessRule]) -> AccessControl { AccessControl(rules: rules) }
    let all = Glob("**")
    #expect(control([AccessRule(repositories: [all], subjects: ["p"], actions: [.metrics])]).allowsMetrics("p"))
    #expect(!control([AccessRule(repositories: [all], subjects: ["p"], actions: [.metrics])]).allowsMetrics("q"))
    #expect(!control([AccessRule(repositories: [all], subjects: ["*"], actions: [.metrics])]).allowsMetrics(nil))
    #expect(
      !control([AccessRule(repositories: [all], subjects: ["p"], actions: [.pull, .push, .delete])]).allowsMetrics("p"))
    #expect(
      !control([AccessRule(repositories: [Glob("team/**")], subjects: ["p"], actions: [.metrics])]).allowsMetrics("p"),
      "what a team may see is not all")
    // No token carries it.
    let rules = control([AccessRule(repositories: [all], subjects: ["p"], actions: Set(Action.allCases))])
    for text in ["repository:a:metrics", "repository:a:*", "registry:metrics:*"] {
      let granted = Scope(text).flatMap { rules.granted($0, to: "p") }
      #expect(granted?.actions.contains("metrics") != true)
    }
  }

  @Test func metricsWithoutUsersAreForEverybody() async throws {
    try await TestRegistry.use { registry in
      let answer = try await registry.send("GET", "/metrics")
      #expect(answer.status == 200 && answer.text.contains("apus_registry_"))
      #expect(!answer.text.contains("apiserver_"))
    }
  }

  // MARK: Places

  @Test func theFirstHeadHasItsTime() async throws {
    try await TestRegistry.use({ $0.limits.head = .seconds(1) }) { registry in
      for text in ["", "G", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX: "] {
        let isClosed = try await Connection.open(port: registry.port) { wire in
          try wire.send(text)
          return try wire.isAtEnd
        }
        #expect(isClosed)
      }
    }
  }

  /// Silent connections fill all places of their address, and the next client gets in.
  @Test func silentConnectionsMakeRoom() async throws {
    try await TestRegistry.use({ $0.limits.connectionsMax = 100 }) { registry in
      let port = registry.port
      let status = try await Connection.open(port: port) { first in
        let flood = try (0..<60).map { _ in try Connection(port: port) }
        defer { for wire in flood { wire.close() } }
        for wire in flood { try wire.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n") }
        #expect(try first.isAtEnd, "the oldest had to go")
        let last = try Connection(port: port)
        defer { last.close() }
        try last.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        return try last.response().status
      }
      #expect(status == 200)
    }
  }

  /// Uploads that go on slowly are not cut off for others, so they do not get every place.
  @Test func slowUploadsLeaveRoom() async throws {
    try await TestRegistry.use({ $0.limits.requestsMax = 8 }) { registry in
      let port = registry.port
      let statuses = try await Connection.open(port: port) { _ in
        var wires: [Connection] = []
        defer { for wire in wires { wire.close() } }
        for _ in 0..<6 {
          let wire = try Connection(port: port)
          wires.append(wire)
          try wire.send(
            "POST /v2/a/blobs/uploads/?digest=\(Digest(of: [])) HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
              + "Content-Length: 100\r\n\r\n")
          // It is being answered.
          #expect(try wire.response().status == 100)
        }
        let late = try Connection(port: port)
        wires.append(late)
        try late.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        let refused = try late.response()
        let known = try Connection(port: port)
        wires.append(known)
        try known.send("GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Og==\r\n\r\n")
        return (refused.status, refused["retry-after"], try known.response().status)
      }
      #expect(statuses.0 == 429 && statuses.1 == "1" && statuses.2 == 200)
    }
  }

  // MARK: Memory

  @Test func manifestsShareOneBudget() async throws {
    try await TestRegistry.use({ $0.limits.manifestBytesMax = 32 << 20 }) { registry in
      let port = registry.port
      let (first, second) = try await Connection.open(port: port) { wire in
        // All that one address may have.
        let size = 32 << 20
        try wire.send(
          "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: \(size)\r\n\r\n")
        let begun = try wire.response().status
        let other = try Connection(port: port)
        defer { other.close() }
        try other.send("PUT /v2/a/manifests/2 HTTP/1.1\r\nHost: x\r\nContent-Length: \(size)\r\n\r\n")
        return (begun, try other.response())
      }
      #expect(first == 100)
      #expect(second.status == 429 && second.code == "TOOMANYREQUESTS" && second["retry-after"] == "1")
      // Given back when the client has gone.
      try await until {
        try await registry.send("PUT", "/v2/a/manifests/3", body: Array("{}".utf8)).status != 429
      }
    }
  }

  @Test func answersThatNobodyReads() async throws {
    try await TestRegistry.use({ $0.limits.stall = .seconds(1) }) { registry in
      let port = registry.port
      // Large by the white space behind it.
      let manifest = Manifest(
        config: Descriptor(mediaType: MediaType.empty, digest: Digest(of: Array("{}".utf8)), size: 2), layers: [])
      try registry.content.putManifest(
        manifest.json.serialized() + [UInt8](repeating: 0x20, count: 3 << 20), mediaType: MediaType.manifest,
        tags: ["1"], in: Repository(path: "a"), requiring: .nothing)
      let isClosed = try await Connection.open(port: port) { wire in
        // 600 MB would follow for whoever reads.
        try wire.send(
          String(repeating: "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n", count: 200))
        func connections() throws -> String {
          let other = try Connection(port: port)
          defer { other.close() }
          try other.send("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
          return try other.response().text
        }
        // One answer is read, so that the connection is among those that are counted.
        #expect(try wire.response().status == 200)
        var text = ""
        repeat { text = try connections() } while !text.contains("apus_registry_connections 1.0\n")
        var count = 1
        do { while try wire.response().status == 200 { count += 1 } } catch {}
        return count < 200
      }
      #expect(isClosed)
    }
  }

  // MARK: Heads

  @Test(arguments: [
    "GET /v2/ HTTP/1.1\r\n\r\n",
    "GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /v2/ HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /v2/ HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
  ]) func headsThatAreNotSure(head: String) async throws {
    try await TestRegistry.use { registry in
      let (status, isClosed) = try await Connection.open(port: registry.port) { wire in
        try wire.send(head + "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
        let status = try wire.response().status
        return (status, (try? wire.isAtEnd) ?? true)
      }
      #expect([400, 417, 501].contains(status) && isClosed)
    }
  }

  // MARK: Signing in

  /// Many wrong passwords at once have not failed yet: one address gets few of the places for checking them.
  @Test func manyGuessesAtOnce() async throws {
    try await TestRegistry.use({ Self.users(&$0) }) { registry in
      let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
        for index in 0..<40 {
          group.addTask {
            let wrong = "Basic " + Base64.encode(Array("u\(index):x".utf8))
            return try await registry.send("GET", "/v2/", headers: [("Authorization", wrong)]).status
          }
        }
        return try await group.reduce(into: [Int]()) { $0.append($1) }
      }
      #expect(statuses.allSatisfy { $0 == 401 || $0 == 429 } && statuses.contains(429))
    }
  }

  /// The name whose password others guess is not shut out from elsewhere.
  @Test func guessesFromElsewhere() {
    var limiter = LoginLimiter()
    let now = Timestamp(seconds: 1_000)
    for _ in 0..<10 {
      limiter.failed("address a", now: now)
      limiter.failed("user alice", now: now)
    }
    #expect(limiter.wait("user alice", now: now) != nil)
    #expect(limiter.hasFailed("address a", now: now) && !limiter.hasFailed("address b", now: now))
    #expect(!limiter.hasFailed("address a", now: now.adding(.seconds(901))))
  }
}
