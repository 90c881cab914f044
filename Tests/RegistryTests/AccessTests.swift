import OCI
import Testing
import Wire

@testable import Registry

/// Signing in and rights, over the wire.
@Suite struct AccessTests {
  private static let rules = [
    AccessRule(repositories: [Glob("public/**")], subjects: ["anonymous"], actions: [.pull]),
    AccessRule(repositories: [Glob("team/**")], subjects: ["alice"], actions: [.pull, .push, .delete]),
    AccessRule(repositories: [Glob("team/**")], subjects: ["bob"], actions: [.pull]),
    AccessRule(repositories: [Glob("public/**")], subjects: ["alice"], actions: [.push]),
  ]

  private func secured(_ configuration: inout RegistryConfiguration) {
    var hashes: [String: String] = [:]
    for user in ["alice", "bob"] { hashes[user] = PasswordHash.make("secret of \(user)", cost: 4) }
    configuration.users = PasswordFile(hashes: hashes)
    configuration.access = Self.rules
  }

  private func basic(_ user: String, _ password: String? = nil) -> (String, String) {
    ("Authorization", "Basic " + Base64.encode(Array("\(user):\(password ?? "secret of \(user)")".utf8)))
  }

  private func token(_ registry: TestRegistry, _ user: String?, _ scopes: [String]) async throws -> (String, String) {
    let query = scopes.map { "&scope=\(Query.percentEncoded($0))" }.joined()
    let response = try await registry.send(
      "GET", "/v2/token?service=apus-registry\(query)", headers: user.map { [basic($0)] } ?? [])
    #expect(response.status == 200, "\(response.text)")
    #expect(response.json["expires_in"]?.int == 300 && response["cache-control"] == "no-store")
    return ("Authorization", "Bearer \(response.json["token"]?.string ?? "")")
  }

  @Test func challenges() async throws {
    try await TestRegistry.use(secured) { registry in
      let base = try await registry.send("GET", "/v2/")
      #expect(base.status == 401 && base.code == "UNAUTHORIZED")
      #expect(
        base["www-authenticate"]
          == "Bearer realm=\"http://localhost:\(registry.port)/v2/token\",service=\"apus-registry\"")
      let push = try await registry.send("POST", "/v2/team/a/blobs/uploads/", body: [])
      #expect(push.status == 401)
      #expect(push["www-authenticate"]?.hasSuffix("scope=\"repository:team/a:pull,push\"") == true)
      #expect(try await registry.send("GET", "/v2/", headers: [basic("alice")]).status == 200)
      // Empty credentials are none.
      let empty = try await registry.send("GET", "/v2/public/a/tags/list", headers: [basic("", "")])
      #expect(empty.status == 404)
      for header in [
        basic("alice", "wrong"), basic("nobody", "x"), ("Authorization", "Basic !!!"), ("Authorization", "Basic"),
        ("Authorization", "Digest x"), ("Authorization", "Bearer x.y.z"),
      ] {
        let refused = try await registry.send("GET", "/v2/", headers: [header])
        #expect(refused.status == 401 && refused.code == "UNAUTHORIZED", "\(header)")
      }
      // A header cannot be smuggled in through the host's name.
      let evil = try await Connection.open(port: registry.port) { wire in
        try wire.send("GET /v2/ HTTP/1.1\r\nHost: a,b='script';\r\n\r\n")
        return try wire.response()["www-authenticate"]
      }
      #expect(evil?.contains("script") == false)
      let malformed = try await Connection.open(port: registry.port) { wire in
        try wire.send("GET /v2/ HTTP/1.1\r\nHost: a\"b<script>\r\n\r\n")
        return try wire.response().status
      }
      #expect(malformed == 400)
    }
  }

  @Test func rights() async throws {
    try await TestRegistry.use(secured) { registry in
      // Nobody may push without signing in, bob may not at all.
      let denied = try await registry.send("POST", "/v2/team/a/blobs/uploads/", headers: [basic("bob")], body: [])
      #expect(denied.status == 403 && denied.code == "DENIED")
      let began = try await registry.send("POST", "/v2/team/a/blobs/uploads/", headers: [basic("alice")], body: [])
      #expect(began.status == 202)
      let location = try #require(began["location"])
      let digest = Digest(of: [1, 2])
      #expect(try await registry.send("PUT", "\(location)?digest=\(digest)", body: [1, 2]).status == 401)
      #expect(
        try await registry.send("PUT", "\(location)?digest=\(digest)", headers: [basic("alice")], body: [1, 2]).status
          == 201)
      #expect(try await registry.send("GET", "/v2/team/a/blobs/\(digest)", headers: [basic("bob")]).status == 200)
      #expect(try await registry.send("GET", "/v2/team/a/blobs/\(digest)").status == 401)
      #expect(try await registry.send("DELETE", "/v2/team/a/blobs/\(digest)", headers: [basic("bob")]).status == 403)
      #expect(try await registry.send("GET", "/v2/public/a/blobs/\(digest)").status == 404, "may look, is not there")
    }
  }

  @Test func tokens() async throws {
    try await TestRegistry.use(secured) { registry in
      let alice = try await token(registry, "alice", ["repository:team/a:pull,push", "repository:other:pull"])
      #expect(try await registry.send("GET", "/v2/", headers: [alice]).status == 200)
      #expect(try await registry.send("POST", "/v2/team/a/blobs/uploads/", headers: [alice], body: []).status == 202)
      // Hers to have, but not in this token.
      let other = try await registry.send("POST", "/v2/team/b/blobs/uploads/", headers: [alice], body: [])
      #expect(other.status == 401)
      #expect(other["www-authenticate"]?.contains("error=\"insufficient_scope\"") == true)
      // Not hers at all.
      #expect(try await registry.send("GET", "/v2/other/tags/list", headers: [alice]).status == 403)
      // What everybody may do needs no scope.
      #expect(try await registry.send("GET", "/v2/public/a/tags/list", headers: [alice]).status == 404)
      let bob = try await token(registry, "bob", ["repository:team/a:pull,push"])
      #expect(try await registry.send("POST", "/v2/team/a/blobs/uploads/", headers: [bob], body: []).status == 403)
      #expect(try await registry.send("GET", "/v2/team/a/tags/list", headers: [bob]).status == 404)
      let nobody = try await token(registry, nil, ["repository:public/a:pull"])
      #expect(try await registry.send("GET", "/v2/public/a/tags/list", headers: [nobody]).status == 404)
      #expect(try await registry.send("GET", "/v2/team/a/tags/list", headers: [nobody]).status == 401)
      let form = Array(
        "grant_type=password&service=apus-registry&username=alice&password=secret+of+alice&scope=repository%3Ateam%2Fa%3Apull"
          .utf8)
      let posted = try await registry.send("POST", "/v2/token", body: form)
      #expect(posted.status == 200 && posted.json["scope"]?.string == "repository:team/a:pull")
      #expect(try await registry.send("POST", "/v2/token", body: Array("grant_type=refresh_token".utf8)).status == 400)
      #expect(try await registry.send("GET", "/v2/token?service=elsewhere").status == 400)
      #expect(try await registry.send("GET", "/v2/token", headers: [basic("alice", "wrong")]).status == 401)
    }
  }

  /// Mounting is reading: what may not be read is not mounted, and nothing tells that it exists.
  @Test func mountsNeedTheSource() async throws {
    try await TestRegistry.use(secured) { registry in
      let digest = Digest(of: [1, 2])
      for name in ["team/a"] {
        let put = try await registry.send(
          "POST", "/v2/\(name)/blobs/uploads/?digest=\(digest)", headers: [basic("alice")], body: [1, 2])
        #expect(put.status == 201)
      }
      var configuration = registry.registry.configuration
      configuration.access =
        Self.rules + [AccessRule(repositories: [Glob("bobs/**")], subjects: ["bob"], actions: [.pull, .push])]
      configuration.access?.remove(at: 2)
      try await registry.registry.reload(configuration)
      for query in ["mount=\(digest)&from=team/a", "mount=\(digest)"] {
        let upload = try await registry.send(
          "POST", "/v2/bobs/x/blobs/uploads/?\(query)", headers: [basic("bob")], body: [])
        #expect(upload.status == 202, "\(query)")
      }
    }
  }

  /// A token for one repository does not look for blobs in all that its user may read.
  @Test func mountsNeedTheToken() async throws {
    try await TestRegistry.use({
      secured(&$0)
      $0.access = [AccessRule(repositories: [Glob("**")], subjects: ["alice"], actions: [.pull, .push])]
    }) { registry in
      let digest = Digest(of: [1, 2])
      let put = try await registry.send(
        "POST", "/v2/team/a/blobs/uploads/?digest=\(digest)", headers: [basic("alice")], body: [1, 2])
      #expect(put.status == 201)
      let alice = try await token(registry, "alice", ["repository:team/b:pull,push"])
      for (header, status) in [(alice, 202), (basic("alice"), 201)] {
        let mount = try await registry.send(
          "POST", "/v2/team/b/blobs/uploads/?mount=\(digest)", headers: [header], body: [])
        #expect(mount.status == status)
      }
    }
  }

  @Test func changesCountAtOnce() async throws {
    try await TestRegistry.use(secured) { registry in
      let alice = try await token(registry, "alice", ["repository:team/a:pull"])
      #expect(try await registry.send("GET", "/v2/team/a/tags/list", headers: [alice]).status == 404)
      var configuration = registry.registry.configuration
      configuration.users = PasswordFile(hashes: ["bob": configuration.users.hashes["bob"] ?? ""])
      try await registry.registry.reload(configuration)
      #expect(try await registry.send("GET", "/v2/team/a/tags/list", headers: [alice]).status == 401)
      #expect(try await registry.send("GET", "/v2/", headers: [basic("alice")]).status == 401)
      #expect(try await registry.send("GET", "/v2/", headers: [basic("bob")]).status == 200)
    }
  }

  @Test func guessingIsSlow() async throws {
    try await TestRegistry.use(secured) { registry in
      #expect(try await registry.send("GET", "/v2/", headers: [basic("bob")]).status == 200)
      var statuses: [Int] = []
      for attempt in 0..<8 {
        statuses.append(try await registry.send("GET", "/v2/", headers: [basic("alice", "guess \(attempt)")]).status)
      }
      #expect(statuses.prefix(5).allSatisfy { $0 == 401 } && statuses.last == 429)
      let blocked = try await registry.send("GET", "/v2/", headers: [basic("alice", "x")])
      #expect(blocked.code == "TOOMANYREQUESTS" && blocked["retry-after"] != nil)
      // Who has signed in before is not held up by somebody who guesses at the same address.
      #expect(try await registry.send("GET", "/v2/", headers: [basic("bob")]).status == 200)
    }
  }

  @Test func catalogShowsWhatMayBeRead() async throws {
    try await TestRegistry.use(secured) { registry in
      let index = Index(manifests: []).json.serialized()
      for name in ["team/a", "public/b"] {
        let put = try await registry.send(
          "PUT", "/v2/\(name)/manifests/1", headers: [basic("alice"), ("Content-Type", MediaType.index)], body: index)
        #expect(put.status == 201, "\(put.text)")
      }
      #expect(
        try await registry.send("GET", "/v2/_catalog", headers: [basic("bob")]).json["repositories"] == [
          "public/b", "team/a",
        ])
      #expect(try await registry.send("GET", "/v2/_catalog").json["repositories"] == ["public/b"])
      // A list that is short for want of a scope would look whole: the client is told to get a token for it.
      for scopes in [[], ["repository:team/a:pull"]] {
        let refused = try await registry.send(
          "GET", "/v2/_catalog", headers: [try await token(registry, "alice", scopes)])
        #expect(refused.status == 401 && refused.code == "UNAUTHORIZED")
        let challenge = try #require(refused["www-authenticate"])
        #expect(challenge.contains("scope=\"registry:catalog:*\"") && challenge.contains("insufficient_scope"))
      }
      let wide = try await token(registry, "alice", ["registry:catalog:*"])
      #expect(
        try await registry.send("GET", "/v2/_catalog", headers: [wide]).json["repositories"] == ["public/b", "team/a"])
    }
  }
}
