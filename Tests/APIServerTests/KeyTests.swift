import Cryptography
import Glibc
import KubeClient
import LinuxSystem
import TestKit
import Testing
import Wire

@testable import APIServer

/// The assumption that failed: "a key that cannot be read was never made". Another authority or token key makes every
/// kubeconfig and token invalid, so they are made once.
struct KeyTests {
  private let now = Timestamp(seconds: 1_700_000_000)
  private let base = "/tmp/apus-keys-\(UInt64.random(in: 0 ... .max))"
  private var directory: String { base + "/pki" }

  private func cleaned(_ body: () throws -> Void) rethrows {
    defer { try? Directory.removeTree(base) }
    try body()
  }

  private func load(
    _ directory: String? = nil, at time: Timestamp? = nil, made: [String: String]? = [:]
  ) throws -> PKI {
    try PKI.load(
      directory: directory ?? self.directory, dnsNames: ["localhost"], addresses: ["127.0.0.1"],
      identities: ["name-server"], now: time ?? now, made: made)
  }

  private func read(_ path: String) throws -> [UInt8] { try DurableFile.read(path, limit: 1 << 20) }

  private func damage(_ path: String, _ how: String, from other: String) throws {
    var bytes = try read(path)
    switch how {
    case "absent": unlink(path)
    case "empty": bytes = []
    case "cut": bytes = Array(bytes[..<(bytes.count / 2)])
    case "one byte left": bytes = [bytes[0]]
    case "zeros": bytes = [UInt8](repeating: 0, count: bytes.count)
    case "flipped":
      // Within the base64 text: it stays base64, and mostly something that parses.
      let at = bytes.count / 2
      bytes[at] = bytes[at] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
    case "a folder":
      unlink(path)
      mkdir(path, 0o700)
    default: bytes = try read(other)
    }
    if how != "absent", how != "a folder" { try DurableFile.write(bytes, to: path, mode: 0o600) }
  }

  @Test(
    arguments: ["ca.crt", "ca.key", "sa.key"],
    ["absent", "empty", "cut", "one byte left", "zeros", "flipped", "a folder", "another cluster's"])
  func whatIsMadeOnceIsNeverMadeAgain(file: String, how: String) throws {
    try cleaned {
      let first = try load(made: nil)
      _ = try load(base + "/other", made: nil)
      try damage("\(directory)/\(file)", how, from: "\(base)/other/\(file)")
      let before = ["ca.crt", "ca.key", "sa.key"].map { try? read("\(directory)/\($0)") }
      #expect {
        try load(made: first.fingerprints)
      } throws: { error in
        let text = "\(error)"
        // A certificate and a key that do not fit together: either may be the wrong one.
        return text.contains("\(directory)/\(file)") && text.contains("backup")
      }
      #expect(["ca.crt", "ca.key", "sa.key"].map { try? read("\(directory)/\($0)") } == before)
      // Without a witness of what it was, another key that is whole is the administrator's business.
      if how != "another cluster's", how != "flipped" { #expect(throws: APIServerError.self) { try load() } }
    }
  }

  @Test func anotherAuthorityThatFitsTogetherIsRefused() throws {
    try cleaned {
      let first = try load(made: nil)
      _ = try load(base + "/other", made: nil)
      for file in ["ca.crt", "ca.key"] { try damage("\(directory)/\(file)", "other", from: "\(base)/other/\(file)") }
      #expect {
        try load(made: first.fingerprints)
      } throws: { "\($0)".contains("ca.crt is another one than before") }
    }
  }

  @Test func allKeysGoneIsRefusedToo() throws {
    try cleaned {
      let first = try load(made: nil)
      try Directory.removeTree(directory)
      #expect { try load(made: first.fingerprints) } throws: { "\($0)".contains("ca.crt is not there") }
    }
  }

  /// A clock that is reset at boot is no reason for another authority.
  @Test func aClockThatIsBehindIsNamed() throws {
    try cleaned {
      let first = try load(made: nil)
      #expect {
        try load(at: Timestamp(seconds: 100), made: first.fingerprints)
      } throws: { "\($0)".contains("the clock says 1970-01-01") }
      #expect(try load(made: first.fingerprints).authority.certificate == first.authority.certificate)
    }
  }

  @Test(arguments: [3640, 3660, 9000] as [Int64]) func anAuthorityNearItsEndKeepsItsKey(days: Int64) throws {
    try cleaned {
      let first = try load(made: nil)
      let late = try load(at: now.adding(.seconds(days * 86_400)), made: first.fingerprints)
      #expect(late.authority.certificate != first.authority.certificate)
      #expect(late.fingerprints == first.fingerprints)
      #expect(late.notices.contains { $0.contains("renewed with the same key") })
      // Also when it was the clock that was ahead.
      let back = try load(made: first.fingerprints)
      #expect(back.authority.certificate == late.authority.certificate)
    }
  }

  @Test(
    arguments: ["apiserver", "admin", "name-server"],
    ["absent", "empty", "cut", "flipped", "zeros", "another cluster's"])
  func whatTheAuthoritySignsIsIssuedAgain(name: String, how: String) throws {
    try cleaned {
      let first = try load(made: nil)
      _ = try load(base + "/other", made: nil)
      for suffix in how == "another cluster's" ? ["crt", "key"] : ["crt"] {
        try damage("\(directory)/\(name).\(suffix)", how, from: "\(base)/other/\(name).\(suffix)")
      }
      let again = try load(made: first.fingerprints)
      #expect(again.authority.certificate == first.authority.certificate)
      #expect(again.notices.contains { $0.contains("\(name).crt") }, "\(again.notices)")
      #expect(try load(made: first.fingerprints).notices.isEmpty)
      let pairs = [
        ("apiserver", first.serving, again.serving), ("admin", first.admin, again.admin),
        ("name-server", try #require(first.identities["name-server"]), try #require(again.identities["name-server"])),
      ]
      for (other, before, after) in pairs {
        #expect((before.certificate == after.certificate) == (other != name))
      }
    }
  }

  /// A first start that was cut short anywhere.
  @Test(arguments: ["ca.crt", "ca.key", "sa.key", "admin.crt", "apiserver.key"]) func aFirstStartIsRepeated(
    missing: String
  )
    throws
  {
    try cleaned {
      _ = try load(made: nil)
      unlink("\(directory)/\(missing)")
      let again = try load(made: nil)
      #expect(again.notices.isEmpty)
      #expect(try load(made: again.fingerprints).notices.isEmpty)
    }
  }

  /// A folder that swift-certificates and swift-crypto have filled, which earlier versions used, is kept as it is: kubeconfigs
  /// and tokens of before are good.
  @Test func whatEarlierVersionsMadeIsKept() throws {
    try cleaned {
      try Directory.create(directory, mode: 0o700)
      for (file, text) in EarlierKeys.files {
        try DurableFile.write(Array(text.utf8), to: "\(directory)/\(file)", mode: file.hasSuffix("key") ? 0o600 : 0o644)
      }
      let pki = try PKI.load(
        directory: directory, dnsNames: ["localhost", "kubernetes.default.svc"], addresses: ["127.0.0.1", "::1"],
        now: now, made: EarlierKeys.fingerprints)
      #expect(pki.notices.isEmpty && pki.fingerprints == EarlierKeys.fingerprints)
      #expect(pki.authority.certificate == EarlierKeys.files["ca.crt"])
      #expect(pki.serving.privateKey == EarlierKeys.files["apiserver.key"])
      #expect(pki.admin.certificate == EarlierKeys.files["admin.crt"])
      for (file, text) in EarlierKeys.files { #expect(try read("\(directory)/\(file)") == Array(text.utf8), "\(file)") }
      let issuer = TokenIssuer(key: pki.tokenKey, issuer: "https://k")
      #expect(
        issuer.keySet["keys"]?.array?.first?["kid"]?.string == "ZRmB4RvmgrEEOvQTg1Ffq-2iTOMe3lxA9SGzzGgBL6c")
      #expect(
        Authenticator.user(certificateDER: try Certificate(pem: pki.admin.certificate).der)?.groups
          == ["system:masters", "system:authenticated"])
      #expect(Authenticator.user(certificateDER: try Certificate(pem: pki.serving.certificate).der) == nil)
    }
  }
}
