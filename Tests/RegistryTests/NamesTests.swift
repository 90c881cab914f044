import Testing

@testable import Registry

@Suite struct NamesTests {
  @Test(arguments: [
    "a", "library/nginx", "a/b/c/d", "a.b", "a_b", "a__b", "a-b", "a---b", "0", "docker.io/library/nginx",
    "a/manifests/b", "blobs/uploads", String(repeating: "a", count: 255),
  ])
  func validRepositories(name: String) {
    #expect(Names.isRepository(name))
  }

  @Test(arguments: [
    "", "/", "a/", "/a", "a//b", "A", "a/B", "a..b", "a___b", "a._b", "a-_b", ".a", "a.", "-a", "a-", "_a", "a_", "a b",
    "ä", "a/../b", "a:b", "a@b", "a/.b", "a%2fb", String(repeating: "a", count: 256), "a\0",
  ])
  func invalidRepositories(name: String) {
    #expect(!Names.isRepository(name))
  }

  @Test func tags() {
    for tag in ["latest", "1.0", "_x", "A-b.C_d", String(repeating: "t", count: 128)] { #expect(Names.isTag(tag)) }
    for tag in ["", ".a", "-a", "a b", "a/b", "a:b", "a+b", "é", String(repeating: "t", count: 129)] {
      #expect(!Names.isTag(tag))
    }
  }

  @Test func referrersTags() {
    let hex = String(repeating: "ab", count: 32)
    for algorithm in ["sha256", "sha512"] {
      #expect(Names.subject(ofReferrersTag: "\(algorithm)-\(hex)") == "\(algorithm):\(hex)")
    }
    #expect(Names.subject(ofReferrersTag: "sha256-\(hex)ab") == nil)
    #expect(Names.subject(ofReferrersTag: "md5-\(hex)") == nil)
    #expect(Names.subject(ofReferrersTag: "sha256-\(hex).sig") == nil)
    #expect(Names.subject(ofReferrersTag: "latest") == nil)
  }

  @Test func globs() {
    for (pattern, text, matches) in [
      ("**", "a/b/c", true), ("*", "a", true), ("*", "a/b", false), ("team/**", "team/a/b", true),
      ("team/**", "team", false), ("team/*", "team/a", true), ("team/*", "team/a/b", false), ("**/app", "app", true),
      ("**/app", "x/y/app", true), ("**/app", "x/yapp", false), ("v?", "v1", true), ("v?", "v12", false),
      ("v*", "v1.2.3", true), ("a", "a", true), ("a", "ab", false), ("", "", true), ("", "a", false),
      ("a*b*c", "aXXbYYc", true), ("a*b*c", "aXXbYY", false), ("latest", "latest", true), ("*-dev", "1-dev", true),
    ] {
      #expect(Glob(pattern).matches(text) == matches, "\(pattern) \(text)")
    }
  }

  @Test func globsTakeBoundedTime() {
    let pattern = Glob(String(repeating: "*a", count: 64))
    #expect(!pattern.matches(String(repeating: "a", count: 255) + "b"))
  }

  @Test func routes() {
    let digest = "sha256:" + String(repeating: "0", count: 64)
    #expect(Route(path: "/v2/") == .base)
    #expect(Route(path: "/v2") == .base)
    #expect(Route(path: "/v2/_catalog") == .catalog)
    #expect(Route(path: "/v2/a/b/manifests/latest") == .manifest(repository: "a/b", reference: "latest"))
    #expect(Route(path: "/v2/a/blobs/\(digest)") == .blob(repository: "a", digest: digest))
    #expect(Route(path: "/v2/a/blobs/uploads/") == .uploads(repository: "a"))
    #expect(Route(path: "/v2/a/blobs/uploads") == .uploads(repository: "a"))
    #expect(Route(path: "/v2/a/blobs/uploads/x") == .upload(repository: "a", id: "x"))
    #expect(Route(path: "/v2/a/tags/list") == .tags(repository: "a"))
    #expect(Route(path: "/v2/a/referrers/\(digest)") == .referrers(repository: "a", digest: digest))
    // The words of the endpoints may be parts of a name.
    #expect(Route(path: "/v2/a/manifests/b/tags/list") == .tags(repository: "a/manifests/b"))
    #expect(Route(path: "/v2/a/blobs/uploads/manifests/1") == .manifest(repository: "a/blobs/uploads", reference: "1"))
    #expect(
      Route(path: "/v2/blobs/uploads/blobs/uploads/x") == .upload(repository: "blobs/uploads", id: "x"))
    for path in ["/", "", "/v1/", "/v2/a", "/v2/a/b", "/v2/a/manifests/", "/v2/a/tags/other", "/v2/uploads/x"] {
      #expect(Route(path: path) == nil, "\(path)")
    }
  }
}
