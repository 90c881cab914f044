import Content
import HTTP
import OCI
import TestKit
import Testing
import Wire

@testable import Registry

@Suite struct ConfigurationTests {
  private func parse(_ text: String) throws -> RegistryConfiguration {
    try RegistryConfiguration.parse(Array(text.utf8), label: "registry.yaml", folder: "/nowhere")
  }

  @Test func whole() throws {
    let hash = try #require(PasswordHash.make("x", cost: 4))
    let configuration = try parse(
      """
      listen: "[::1]:5001"
      names: [registry.example]
      requireContent: false
      users:
        alice: "\(hash)"
      access:
        - repositories: ["**"]
          users: anonymous
          actions: [pull]
        - users: [alice]
          actions: ["*"]
      tokens: {challenge: basic, service: here, lifetime: 60s, realm: "https://here/v2/token"}
      upstreams:
        - registry: docker.io
          freshness: 5m
        - prefix: mirror
          registry: quay.example:5000
          path: org
      replicas:
        - registry: backup.example
          path: mirror
          repositories: ["prod/**"]
          deletions: true
      immutableTags:
        - tags: ["v*"]
          except: ["v0*"]
      quotas:
        - prefix: team
          bytes: 10Gi
      notifications:
        - url: http://127.0.0.1:9000/events
          events: [push, pull, delete]
          headers: {Authorization: Bearer x}
      garbageCollection: {interval: 10m, untaggedGrace: 0s, trash: 1h}
      scrub: {enabled: false}
      limits:
        {connections: 10, manifestBytes: 1Mi, stall: 5, uploads: 9, repositoryUploads: 8, uploadBytes: 7Gi,
        repositoryUploadBytes: 6Gi, upstreamBytes: 5Gi}
      """)
    #expect((configuration.host, configuration.port) == ("::1", 5001))
    #expect(configuration.users.hashes == ["alice": hash])
    #expect(configuration.access?.count == 2)
    #expect(configuration.tokens.challenge == .basic)
    #expect(configuration.upstreams.map(\.prefix) == ["docker.io", "mirror"])
    #expect(configuration.upstreams[0].freshness == .seconds(300))
    #expect(configuration.replicas[0].name == "backup.example")
    #expect(configuration.immutability[0].protects("v1", in: "any/thing"))
    #expect(!configuration.immutability[0].protects("v0.1", in: "any/thing"))
    #expect(!configuration.immutability[0].protects("latest", in: "any/thing"))
    #expect(configuration.quotas == [.init(prefix: "team", bytesMax: 10 << 30)])
    #expect(configuration.notifications[0].headers == [.init("Authorization", "Bearer x")])
    #expect(configuration.garbageCollection.untaggedGrace == .zero)
    #expect(!configuration.scrub.isEnabled)
    #expect(configuration.limits.manifestBytesMax == 1 << 20)
    #expect(configuration.limits.stall == .seconds(5))
    #expect((configuration.limits.uploadsMax, configuration.limits.repositoryUploadsMax) == (9, 8))
    #expect(configuration.limits.uploadBytesMax == 7 << 30 && configuration.limits.repositoryUploadBytesMax == 6 << 30)
    #expect(configuration.limits.upstreamBytesMax == 5 << 30)
    #expect(configuration.replicas[0].deletions)
    #expect(!configuration.requiresContent)
  }

  @Test func emptyIsTheDefault() throws {
    #expect(try parse("") == RegistryConfiguration())
    #expect(try parse("# nothing\n") == RegistryConfiguration())
  }

  @Test(arguments: [
    ("lisen: a:1", "lisen is not known"), ("listen: here", "ADDRESS:PORT"), ("access: {}", "must be a list"),
    ("access: [{users: [a], actions: [fly]}]", "access[0]: actions takes pull"),
    ("access: [{actions: [pull]}]", "names nobody"), ("quotas: [{prefix: Team, bytes: 1}]", "no repository name"),
    ("quotas: [{prefix: team}]", "bytes is missing"), ("upstreams: [{}]", "registry is missing"),
    ("upstreams: [{registry: 'host:5000'}]", "give another prefix"), ("notifications: [{url: 'ftp://x'}]", "http://"),
    ("limits: {manifestBytes: 1Ti}", "1Ki to 64Mi"), ("tokens: {lifetime: 1s}", "10 to 86400"),
    ("a: [", "yaml: line"), ("- a", "mapping"), ("users: {x: plain}", "htpasswd"),
    ("upstreams: [{registry: a, username: x}]", "go together"),
  ])
  func mistakesAreNamed(text: String, problem: String) {
    #expect {
      try parse(text)
    } throws: { error in "\(error)".contains(problem) }
  }

  @Test func fuzz() {
    var random = SeededGenerator(seed: 11)
    let words = [
      "listen", "users", "access", "tokens", "upstreams", "quotas", "limits", ": ", "\n", "  ", "- ", "[", "]", "{",
      "}",
      "'", "\"", "1", "a", "10Gi", "5m", "~", "*", "&x", "|",
    ]
    var refused = 0
    for _ in 0..<3000 {
      let text = (0..<Int.random(in: 1...30, using: &random)).map { _ in words.randomElement(using: &random) ?? "" }
        .joined()
      if (try? parse(text)) == nil { refused += 1 }
    }
    #expect((1..<3000).contains(refused), "some are configurations, and most are not")
  }

  @Test func eventTargets() throws {
    let target = try #require(HTTPURL("http://127.0.0.1:9000/a?b=c#d"))
    #expect((target.host, target.port, target.target, target.scheme) == ("127.0.0.1", 9000, "/a?b=c", .http))
    #expect(HTTPURL("https://example.com")?.port == 443)
    #expect(HTTPURL("https://example.com")?.path == "/")
    #expect(HTTPURL("http://[::1]:80/x")?.host == "::1")
    #expect(HTTPURL("http://[::1]/x")?.authority == "[::1]")
    for url in [
      "", "http://", "http://a:0/", "http://a:x/", "http://u:p@a/", "http://a b/", "file:///x", "http://[::1",
    ] {
      #expect(HTTPURL(url) == nil, "\(url)")
    }
  }

  @Test func cloudEvents() throws {
    let digest = Digest(of: [])
    let event = RegistryEvent(
      kind: .push, repository: "team/app", digest: digest, tags: ["1"], mediaType: "m", size: 3, actor: "alice",
      time: Timestamp(seconds: 0), id: "x-1")
    let json = event.cloudEvent(source: "//localhost:5000")
    #expect(json["specversion"]?.string == "1.0")
    #expect(json["type"]?.string == "dev.apus.registry.push.v1")
    #expect(json["source"]?.string == "//localhost:5000/team/app")
    #expect(json["subject"]?.string == "team/app:1")
    #expect(json["time"]?.string == "1970-01-01T00:00:00.000000Z")
    #expect(json.at("data", "digest")?.string == digest.description)
  }

  @Test func upstreamTargets() {
    var hub = RegistryConfiguration.Upstream(prefix: "hub", registry: "docker.io")
    hub.freshness = .seconds(1)
    var deep = RegistryConfiguration.Upstream(prefix: "hub/deep", registry: "quay.example")
    deep.path = "org"
    let upstreams = [hub, deep]
    #expect(PullThrough.target("hub/nginx", upstreams)?.remote == Repository(host: "docker.io", path: "library/nginx"))
    #expect(PullThrough.target("hub/me/app", upstreams)?.remote == Repository(host: "docker.io", path: "me/app"))
    #expect(PullThrough.target("hub/deep/x", upstreams)?.remote == Repository(host: "quay.example", path: "org/x"))
    #expect(PullThrough.target("hubble/x", upstreams) == nil)
    #expect(PullThrough.target("hub", upstreams) == nil)
    #expect(PullThrough.target("hub/x", upstreams)?.local == Repository(host: "upstream.apus", path: "hub/x"))
  }

  @Test func eventRetries() {
    let retry = EventQueue.Retry()
    #expect((1...8).map { retry.delay(after: $0) } == [1, 2, 4, 8, 16, 32, 60, nil].map { $0.map { .seconds($0) } })
  }
}
