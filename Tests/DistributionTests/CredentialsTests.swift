import HTTP
import OCI
import TestKit
import Testing
import Wire

@testable import Distribution

@Suite struct DockerConfigurationTests {
  private func auth(_ text: String) -> String { Base64.encode(Array(text.utf8)) }

  private func parse(_ text: String) throws -> DockerConfiguration {
    try DockerConfiguration(parsing: Array(text.utf8))
  }

  private func users(_ configuration: DockerConfiguration, _ image: String) throws -> [String] {
    configuration.credentials(for: try Reference(parsing: image)).map {
      if case .basic(let user, _) = $0 { user } else { "token" }
    }
  }

  @Test func readsTheThreeForms() throws {
    let entry = #"{"auth":"\#(auth("u:p:q"))","email":"e"}"#
    let expected = Credentials.basic(username: "u", password: "p:q")
    for text in [
      #"{"auths":{"quay.io":\#(entry)},"HttpHeaders":{}}"#, #"{"quay.io":\#(entry)}"#,
      #"{"auths":{"https://quay.io/v2/":{"username":"u","password":"p:q"}}}"#,
    ] {
      #expect(try parse(text).credentials(registry: "quay.io", repository: "a/b") == [expected], "\(text)")
    }
    let tokens = try parse(
      #"{"auths":{"a.io":{"auth":"\#(auth("x:y"))","identitytoken":"id"},"b.io":{"registrytoken":"reg"}}}"#)
    #expect(tokens.credentials(registry: "a.io", repository: "r") == [.identityToken("id")])
    #expect(tokens.credentials(registry: "b.io", repository: "r") == [.registryToken("reg")])
  }

  @Test func passwordsEndAtZeros() throws {
    let configuration = try parse(#"{"auths":{"a.io":{"auth":"\#(auth("u:p\0\0"))"}}}"#)
    #expect(configuration.credentials(registry: "a.io", repository: "r") == [.basic(username: "u", password: "p")])
  }

  @Test func namesHelpersThatAreNotRun() throws {
    let configuration = try parse(
      #"{"auths":{"a.io":{}},"credsStore":"desktop","credHelpers":{"gcr.io":"gcloud"}}"#)
    #expect(configuration.isEmpty)
    #expect(configuration.warnings.count == 2)
    #expect(configuration.warnings.joined().contains("desktop"))
    #expect(configuration.warnings.joined().contains("gcr.io"))
    #expect(try parse("{}").isEmpty)
  }

  /// The table of Kubernetes' own test (pkg/credentialprovider, TestURLsMatch and TestDockerKeyringLookup).
  @Test(arguments: [
    ("*.kubernetes.io", "prefix.kubernetes.io/path", true),
    ("prefix.*.io", "prefix.kubernetes.io/path", true),
    ("prefix.kubernetes.*", "prefix.kubernetes.io/path", true),
    ("*-good.kubernetes.io", "prefix-good.kubernetes.io/path", true),
    ("*.kubernetes.io/blah", "prefix.kubernetes.io/blah", true),
    ("prefix.*.io/foo", "prefix.kubernetes.io/foo/bar", true),
    ("*.kubernetes.io:1111", "prefix.kubernetes.io/path", false),
    ("*.kubernetes.io:1111", "prefix.kubernetes.io:1111/path", true),
    ("kubernetes.io", "kubernetes.com/path", false),
    ("k.*", "quay.io/path", false),
    ("*", "prefix.kubernetes.io/path", false),
    ("*.*.kubernetes.io", "prefix.kubernetes.io/path", false),
    ("kubernetes.io", "prefix.kubernetes.io/path", false),
    ("*.kubernetes.io/foo/bar", "prefix.kubernetes.io/foo/baz", false),
    ("gcr.io/etcd-development", "gcr.io/etcd-development/etcd", true),
    ("pre[e-g]ix.io", "prefix.io/a", true), ("pre[^f]ix.io", "prefix.io/a", false), ("p?e.io", "pre.io/a", false),
  ])
  func matchesAsKubernetes(_ key: String, _ image: String, _ isMatch: Bool) throws {
    let configuration = try parse(#"{"auths":{"\#(key)":{"username":"u","password":"p"}}}"#)
    let slash = try #require(image.firstIndex(of: "/"))
    let found = configuration.credentials(
      registry: String(image[..<slash]), repository: String(image[image.index(after: slash)...]))
    #expect(found.isEmpty != isMatch)
  }

  @Test func theLongestMatchComesFirst() throws {
    let configuration = try parse(
      """
      {"auths":{"a.io":{"username":"host"},"a.io/team":{"username":"team"},"a.io/team/app":{"username":"app"},
      "*.io":{"username":"glob"}}}
      """)
    #expect(try users(configuration, "a.io/team/app:1") == ["app", "team", "host", "glob"])
    #expect(try users(configuration, "a.io/other:1") == ["host", "glob"])
  }

  @Test func dockerHubHasManyNames() throws {
    for key in ["https://index.docker.io/v1/", "index.docker.io", "docker.io"] {
      let configuration = try parse(#"{"auths":{"\#(key)":{"username":"u"}}}"#)
      #expect(try users(configuration, "nginx") == ["u"], "\(key)")
      #expect(try users(configuration, "me/app@sha256:\(String(repeating: "a", count: 64))") == ["u"])
      #expect(try users(configuration, "quay.io/nginx") == [])
    }
  }

  @Test func twoConfigurationsAdd() throws {
    var one = try parse(#"{"auths":{"a.io":{"username":"one"}}}"#)
    one.add(try parse(#"{"auths":{"a.io":{"username":"two"},"a.io/x":{"username":"three"}}}"#))
    #expect(try users(one, "a.io/x/y") == ["three", "one", "two"])
  }

  @Test(arguments: [
    "", "[]", "{", #"{"auths":[]}"#, #"{"auths":{"a.io":7}}"#, #"{"auths":{"a.io":{"auth":"!!"}}}"#,
    #"{"auths":{"a.io":{"auth":"c2VjcmV0"}}}"#, #"{"auths":{"":{"username":"secret"}}}"#,
    #"{"auths":{"https://":{"username":"u"}}}"#, #"{"auths":{"secret@a.io":{"username":"u"}}}"#, #"{"secret": secret}"#,
  ])
  func brokenOnesAreErrorsWithoutSecrets(_ text: String) async {
    let error = await failure { () throws(DistributionError) in try DockerConfiguration(parsing: Array(text.utf8)) }
    #expect(error.code == .invalidConfiguration)
    #expect(!error.message.contains("c2VjcmV0"))
  }

  @Test func nothingPrintsSecrets() throws {
    let configuration = try parse(#"{"auths":{"a.io":{"username":"someone","password":"hunter2"}}}"#)
    let credentials = configuration.credentials(registry: "a.io", repository: "r")
    let proxy = try #require(ProxyAddress("http://someone:hunter2@proxy:3128"))
    var hosts = RegistryHosts()
    hosts.hosts["a.io"] = RegistryHosts.Host(mirrors: [.init(location: "m", credentials: credentials[0])])
    for value in [configuration, credentials, credentials[0], proxy, hosts, Credentials.identityToken("hunter2")]
      as [Any]
    {
      var dumped = ""
      dump(value, to: &dumped)
      let texts = ["\(value)", String(reflecting: value), dumped]
      for text in texts { #expect(!text.contains("hunter2"), "\(type(of: value))") }
    }
  }

  /// Whatever the file says: nobody gets credentials that are another registry's.
  @Test(arguments: UInt64(0)..<4) func fuzz(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let samples = [
      #"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}"#, #"{"a.io":{"username":"u","password":"p"}}"#,
      #"{"auths":{"*.b.io:5000/x":{"identitytoken":"t"}},"credsStore":"s"}"#, "{", "}", "\"", "[::1]:5", "/v1/",
      "a.io:5000", "a.io:5000/x",
    ]
    var (parsed, found) = (0, 0)
    for _ in 0..<3000 {
      var text = random.text(from: samples)
      if Bool.random(using: &random) {
        text = #"{"auths":{"\#(text.filter { $0 != "\"" && $0 != "\\" })":{"auth":"dTpw"}}}"#
      }
      guard let configuration = try? DockerConfiguration(parsing: Array(text.utf8)) else { continue }
      parsed += 1
      _ = configuration.credentials(registry: "[::1]:5", repository: "x")
      guard !configuration.credentials(registry: "a.io:5000", repository: "x/y").isEmpty else { continue }
      found += 1
      // Patterns and escapes name it in another way.
      let isNamed = text.utf8.firstRange(of: "a.io:5000".utf8) != nil
      #expect(isNamed || text.utf8.contains { "*?[\\".utf8.contains($0) }, "\(text.debugDescription) in seed \(seed)")
    }
    #expect(parsed > 100 && found > 0, "the test must have made files that say something")
  }

  /// Against the plain recursive definition.
  @Test(arguments: UInt64(0)..<4) func globs(seed: UInt64) {
    func slow(_ pattern: Substring, _ text: Substring) -> Bool {
      guard let first = pattern.first else { return text.isEmpty }
      if first == "*" {
        return slow(pattern.dropFirst(), text) || (!text.isEmpty && slow(pattern, text.dropFirst()))
      }
      guard let character = text.first, first == "?" || first == character else { return false }
      return slow(pattern.dropFirst(), text.dropFirst())
    }
    var random = SeededGenerator(seed: seed)
    for _ in 0..<5000 {
      let pattern = String(
        (0..<Int.random(in: 0...6, using: &random)).map { _ in "ab*?".randomElement(using: &random) ?? "a" })
      let text = String(
        (0..<Int.random(in: 0...8, using: &random)).map { _ in "ab".randomElement(using: &random) ?? "a" })
      #expect(Glob.matches(pattern, text) == slow(pattern[...], text[...]), "\(pattern) \(text)")
    }
    #expect(!Glob.matches(String(repeating: "*a", count: 50) + "b", String(repeating: "a", count: 5000)))
    for broken in ["[", "[a", "[]", "[a-", "\\", "[\\", "[^"] { #expect(!Glob.matches(broken, "a")) }
  }
}
