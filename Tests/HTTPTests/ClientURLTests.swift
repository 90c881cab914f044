import TestKit
import Testing

@testable import HTTP

@Suite struct ClientURLTests {
  @Test(arguments: [
    ("https://example.com", "https://example.com/"),
    ("HTTPS://Example.COM:443/A?b=c", "https://example.com/A?b=c"),
    ("http://localhost:5000/v2/", "http://localhost:5000/v2/"),
    ("http://[::1]:5000/x", "http://[::1]:5000/x"),
    ("https://h/p?q=a%20b&c=[1]#fragment", "https://h/p?q=a%20b&c=[1]"),
    ("https://h?q", "https://h/?q"),
  ])
  func parses(_ text: String, _ expected: String) throws {
    let url = try #require(HTTPURL(text))
    #expect(url.description == expected)
  }

  @Test(arguments: [
    "", "example.com", "ftp://h/", "https:/h", "https://", "https:///p", "https://user@h/", "https://user:pw@h/",
    "https://h:0/", "https://h:65536/", "https://h:8a/", "https://h:/", "https://h /", "https://h/a b",
    "https://h/\u{1}",
    "https://h/%2", "https://h/%zz", "https://h/ü", "https://h..x/", "https://[::1/", "https://[zz]/", "https://h/\\x",
    "https://h/a\r\nHost: other", "https://-h%41/", "https://h:123456/", " https://h/",
  ])
  func refuses(_ text: String) { #expect(HTTPURL(text) == nil) }

  @Test(arguments: [
    ("/x", "https://h/x"), ("x", "https://h/a/x"), ("../x", "https://h/x"), ("../../../x", "https://h/x"),
    ("?q=1", "https://h/a/b?q=1"), ("//other:8/x", "https://other:8/x"), ("http://o/x/./y/..", "http://o/x/"),
    ("./", "https://h/a/"), ("/a/../b?c=../d", "https://h/b?c=../d"), ("#f", "https://h/a/b?old"),
  ])
  func resolves(_ reference: String, _ expected: String) throws {
    let base = try #require(HTTPURL("https://h/a/b?old"))
    #expect(base.resolving(reference)?.description == expected)
  }

  @Test(arguments: ["", "ftp://h/x", "mailto:a", "//user@h/", "/a b", "/\u{0}"])
  func resolvesNothing(_ reference: String) throws {
    let base = try #require(HTTPURL("https://h/a/b"))
    #expect(base.resolving(reference) == nil)
  }

  @Test func messagesHaveNoQuery() throws {
    let url = try #require(HTTPURL("https://h/p?X-Amz-Signature=secret"))
    #expect(url.redacted == "https://h/p")
  }

  @Test func queriesAreEncoded() throws {
    var url = try #require(HTTPURL("https://h/token?a=1"))
    url.addQuery("scope", "repository:a/b:pull,push x&y")
    #expect(url.query == "a=1&scope=repository:a/b:pull%2Cpush%20x%26y")
  }

  /// Whatever comes in, what comes out is a URL that reads the same again, and whose text cannot break a request.
  @Test(arguments: UInt64(0)..<4) func fuzz(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let samples = [
      "https://example.com:8080/a/b?c=d#e", "http://[fe80::1]:80", "//h/../x", "../..", "%41%zz", "https://", "@", ":",
      "?",
    ]
    let base = HTTPURL(scheme: .https, host: "base", port: 443, path: "/x/y", query: nil)
    for _ in 0..<5000 {
      let text = random.text(from: samples)
      for url in [HTTPURL(text), base.resolving(text)] {
        guard let url else { continue }
        #expect(HTTPURL(url.description) == url, "\(text.debugDescription) in seed \(seed)")
        #expect(url.target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
        #expect(url.path.hasPrefix("/"))
        #expect(!url.authority.contains("@"))
      }
    }
  }
}
