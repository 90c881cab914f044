import TestKit
import Testing
import Wire

@testable import Registry

@Suite struct AuthTests {
  @Test func scopes() throws {
    let scope = try #require(Scope("repository:team/app:pull,push"))
    #expect(scope == Scope(type: "repository", name: "team/app", actions: ["pull", "push"]))
    #expect(Scope("repository:host:5000/app:pull")?.name == "host:5000/app")
    #expect(Scope("repository(plugin):app:pull")?.type == "repository")
    #expect(Scope("registry:catalog:*")?.actions == ["*"])
    #expect(Scope("repository:app:pull,pull")?.actions == ["pull"])
    #expect(Scope("repository:app:")?.actions == [])
    for text in ["", ":", "a:b", "repository::pull", ":app:pull", "repo(x:app:pull", "repository:a b:pull", "r:a:p!"] {
      #expect(Scope(text) == nil, "\(text)")
    }
    #expect(Scope.list(["repository:a:pull repository:b:push", "nonsense"]).map(\.name) == ["a", "b"])
    #expect(Scope.list([String(repeating: "repository:a:pull ", count: 500)]).count == Scope.countMax)
  }

  @Test func rules() {
    let control = AccessControl(rules: [
      AccessRule(repositories: [Glob("public/**")], subjects: ["anonymous"], actions: [.pull]),
      AccessRule(repositories: [Glob("team/**")], subjects: ["alice"], actions: [.pull, .push]),
      AccessRule(repositories: [Glob("**")], subjects: ["*"], actions: [.pull]),
    ])
    #expect(control.allows(nil, .pull, "public/a"))
    #expect(!control.allows(nil, .push, "public/a"))
    #expect(!control.allows(nil, .pull, "team/a"))
    #expect(control.allows("bob", .pull, "team/a"))
    #expect(!control.allows("bob", .push, "team/a"))
    #expect(control.allows("alice", .push, "team/a"))
    #expect(!control.allows("alice", .delete, "team/a"))
    let asked = Scope(type: "repository", name: "team/a", actions: ["*"])
    #expect(control.granted(asked, to: "alice")?.actions == ["pull", "push"])
    #expect(control.granted(asked, to: nil)?.actions == [])
    #expect(control.granted(Scope(type: "repository", name: "Bad", actions: ["pull"]), to: "alice") == nil)
  }

  private let key = Array(repeating: UInt8(7), count: 32)
  private let now = Timestamp(seconds: 1_700_000_000)

  private func token(_ issuer: TokenIssuer) -> String {
    issuer.issue(
      subject: "alice", access: [Scope(type: "repository", name: "a", actions: ["pull"])], now: now,
      lifetime: .seconds(300), id: "1")
  }

  @Test func tokens() throws {
    let issuer = TokenIssuer(key: key, service: "here")
    let token = token(issuer)
    let claims = try issuer.verify(token, now: now.adding(.seconds(299)))
    #expect(claims.subject == "alice")
    #expect(claims.access == [Scope(type: "repository", name: "a", actions: ["pull"])])
    #expect(throws: TokenIssuer.Failure.expired) { try issuer.verify(token, now: now.adding(.seconds(300))) }
    #expect(throws: TokenIssuer.Failure.expired) { try issuer.verify(token, now: now.adding(.seconds(-61))) }
    #expect(throws: TokenIssuer.Failure.otherService) {
      try TokenIssuer(key: key, service: "there").verify(token, now: now)
    }
    #expect(throws: TokenIssuer.Failure.badSignature) {
      try TokenIssuer(key: Array(repeating: 8, count: 32), service: "here").verify(token, now: now)
    }
  }

  /// A header that names another algorithm, or none, does not change how the signature is checked.
  @Test func forgedTokens() {
    let issuer = TokenIssuer(key: key, service: "here")
    let parts = token(issuer).split(separator: ".").map(String.init)
    let none = Base64.encode(Array(#"{"alg":"none"}"#.utf8), urlSafe: true)
    for forged in [
      "\(none).\(parts[1]).", "\(none).\(parts[1]).\(parts[2])", "\(parts[0]).\(parts[1])", "", "..", "a.b.c",
      "\(parts[0]).\(parts[1]).\(parts[2])x", String(repeating: "a", count: 100_000),
    ] {
      #expect(throws: TokenIssuer.Failure.self) { try issuer.verify(forged, now: now) }
    }
  }

  @Test func fuzzTokens() {
    let issuer = TokenIssuer(key: key, service: "here")
    let good = Array(token(issuer).utf8)
    var random = SeededGenerator(seed: 3)
    for _ in 0..<3000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 33...126, using: &random)
      }
      let text = String(decoding: bytes, as: UTF8.self)
      if text != String(decoding: good, as: UTF8.self) {
        #expect(throws: TokenIssuer.Failure.self) { try issuer.verify(text, now: now) }
      }
    }
  }

  @Test func limiter() {
    var limiter = LoginLimiter()
    var now = now
    for _ in 0..<5 {
      #expect(limiter.wait("a", now: now) == nil)
      limiter.failed("a", now: now)
    }
    #expect(limiter.wait("a", now: now) == nil)
    limiter.failed("a", now: now)
    #expect(limiter.wait("a", now: now) == .seconds(1))
    #expect(limiter.wait("b", now: now) == nil)
    now = now.adding(.seconds(1))
    #expect(limiter.wait("a", now: now) == nil)
    limiter.failed("a", now: now)
    #expect(limiter.wait("a", now: now) == .seconds(2))
    for _ in 0..<30 { limiter.failed("a", now: now) }
    #expect(limiter.wait("a", now: now) == .seconds(300))
    now = now.adding(.seconds(1000))
    limiter.failed("a", now: now)
    #expect(limiter.wait("a", now: now) == nil, "failures are forgotten after a while")
    limiter.failed("a", now: now)
    limiter.succeeded("a")
    #expect(limiter.count == 0)
  }

  @Test func limiterIsBounded() {
    var limiter = LoginLimiter()
    for index in 0..<25_000 { limiter.failed("k\(index)", now: now.adding(.milliseconds(Int64(index)))) }
    #expect(limiter.count <= 10_000)
  }

  @Test func passwords() throws {
    let hash = try #require(PasswordHash.make("secret", cost: 4))
    #expect(hash.hasPrefix("$2b$04$"))
    #expect(PasswordHash.verify("secret", hash: hash))
    #expect(!PasswordHash.verify("Secret", hash: hash))
    #expect(!PasswordHash.verify("secret\0more", hash: hash))
    #expect(!PasswordHash.verify("", hash: hash))
    // As `htpasswd -nbB` writes it.
    let file = try PasswordFile(parsing: "# users\nalice:\(hash.replacing("$2b$", with: "$2y$"))\r\n\n", label: "f")
    #expect(PasswordHash.verify("secret", hash: file.hashes["alice"] ?? ""))
  }

  @Test func passwordFilesAreChecked() {
    for (text, problem) in [
      ("alice", "user:hash"), (":x", "user:hash"), ("alice:plain", "htpasswd"),
      ("alice:$apr1$abc$def", "htpasswd"), ("alice:{SHA}xyz=", "htpasswd"), ("alice:$2y$", "malformed"),
      ("anonymous:$2y$10$abcdefghijklmnopqrstuv", "none of"),
    ] {
      #expect {
        try PasswordFile(parsing: text, label: "f")
      } throws: { error in
        "\(error)".contains(problem) && "\(error)".contains("line 1") && !"\(error)".contains("apr1")
      }
    }
  }

  @Test func theDecoyIsAHash() {
    #expect(PasswordFile.problem(user: "x", hash: Authenticator.decoy) == nil)
  }
}
