import Testing

@testable import OCI

@Suite struct ReferenceTests {
  @Test(arguments: [
    ("nginx", "docker.io/library/nginx:latest"), ("nginx:1.27", "docker.io/library/nginx:1.27"),
    ("me/app", "docker.io/me/app:latest"), ("localhost/web-app:1", "localhost/web-app:1"),
    ("localhost:5000/a/b:x", "localhost:5000/a/b:x"), ("ghcr.io/o/r", "ghcr.io/o/r:latest"),
    ("index.docker.io/library/a", "docker.io/library/a:latest"), ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
    ("[::1]:5000/a", "[::1]:5000/a:latest"),
  ])
  func completesNames(text: String, full: String) throws {
    #expect(try Reference(parsing: text).description == full)
  }

  @Test func keepsDigests() throws {
    let hex = String(repeating: "ab", count: 32)
    let reference = try Reference(parsing: "localhost/web-app@sha256:\(hex)")
    #expect(reference.tag == nil)
    #expect(reference.digest?.hex == hex)
    #expect(try Reference(parsing: "a:1@sha256:\(hex)").description == "docker.io/library/a:1@sha256:\(hex)")
    let wide = String(repeating: "cd", count: 64)
    #expect(try Reference(parsing: "a@sha512:\(wide)").digest?.algorithm == .sha512)
  }

  @Test(arguments: [
    "", "me/UPPER", "a:", "a:b:c", "a/", "/a", "a//b", "a..b", "a___b", "a@sha256:12", "a:-x", "-a", "a_", "a b",
    "localhost:x/a", "a@", String(repeating: "a", count: 300), String(repeating: "a", count: 64),
  ])
  func refusesOthers(text: String) {
    #expect(throws: OCIError.self) { try Reference(parsing: text) }
  }

  @Test func familiarNames() throws {
    #expect(try Reference(parsing: "nginx").familiar == "nginx:latest")
    #expect(try Reference(parsing: "me/app:2").familiar == "me/app:2")
    #expect(try Reference(parsing: "localhost/a:2").familiar == "localhost/a:2")
  }

  @Test func digestsAreParsedStrictly() {
    #expect(Digest("sha256:" + String(repeating: "a", count: 64)) != nil)
    #expect(Digest("sha256:" + String(repeating: "A", count: 64)) == nil)
    #expect(Digest("md5:" + String(repeating: "a", count: 32)) == nil)
    #expect(Digest(of: []).hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }
}
