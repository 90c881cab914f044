import NIOHTTP1
import Testing
import Wire

@testable import Distribution

@Suite struct HTTPURLTests {
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

@Suite struct HeaderFieldTests {
  @Test func challengeOfATokenService() {
    let challenges = AuthChallenge.parse([
      #"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
    ])
    #expect(
      challenges == [
        AuthChallenge(
          scheme: "bearer",
          parameters: [
            "realm": "https://auth.docker.io/token", "service": "registry.docker.io",
            "scope": "repository:a/b:pull,push",
          ])
      ])
  }

  @Test func severalChallenges() {
    let one = AuthChallenge.parse([#"Negotiate, Basic realm="a, b", charset=UTF-8 , BEARER Realm = x"#])
    #expect(one.map(\.scheme) == ["negotiate", "basic", "bearer"])
    #expect(one[1].parameters == ["realm": "a, b", "charset": "UTF-8"])
    #expect(one[2].parameters == ["realm": "x"])
    #expect(AuthChallenge.parse(["NTLM abc==", "Basic"]).map(\.scheme) == ["ntlm", "basic"])
    #expect(AuthChallenge.parse([#"Basic realm="a\"b\\c""#])[0].parameters["realm"] == #"a"b\c"#)
  }

  @Test func brokenChallenges() {
    #expect(AuthChallenge.parse([#"Bearer realm="never ends"#]).map(\.parameters) == [[:]])
    #expect(AuthChallenge.parse(["", ",,,", "=", "\u{0}"]).isEmpty)
    #expect(AuthChallenge.parse([String(repeating: "a,", count: 5000)]).count == AuthChallenge.countMax)
  }

  @Test func links() {
    #expect(LinkHeader([#"</v2/a/tags/list?n=1&last=b>; rel="next""#]).next == "/v2/a/tags/list?n=1&last=b")
    #expect(LinkHeader([#"<x>; rel=prev, <y>; title="a,b"; rel="last next""#]).next == "y")
    #expect(LinkHeader(["<x>; rel=prev", "<z>;rel=NEXT"]).next == "z")
    #expect(LinkHeader(["<x", "x>; rel=next", "<x>; rel=\"", ""]).next == nil)
  }

  @Test(
    arguments: [
      ("bytes 0-99/1000", 0, 99, 1000), ("bytes 5-5/*", 5, 5, nil), ("0-99", 0, 99, nil), ("bytes=3-4", 3, 4, nil),
    ] as [(String, Int64, Int64, Int64?)])
  func contentRanges(_ text: String, _ first: Int64, _ last: Int64, _ total: Int64?) throws {
    let range = try #require(ContentRange(text))
    #expect(range.first == first)
    #expect(range.last == last)
    #expect(range.total == total)
  }

  @Test(arguments: [
    "", "bytes", "bytes */100", "bytes 5-4/10", "bytes 0-10/10", "bytes -1-2/3", "bytes 0-9/99999999999999999999",
    "lines 0-9/10", "0", "0-", "-0", "+1-2", "0x1-2", "1 - 2",
    "bytes 0-9223372036854775807/*", "0-9223372036854775807",
  ])
  func noContentRanges(_ text: String) { #expect(ContentRange(text) == nil) }

  @Test func dates() {
    #expect(HTTPDate.parse("Sun, 06 Nov 1994 08:49:37 GMT")?.rfc3339 == "1994-11-06T08:49:37Z")
    #expect(HTTPDate.parse("Sunday, 06-Nov-94 08:49:37 GMT") == nil)
    #expect(HTTPDate.parse("Sun, 31 Feb 1994 08:49:37 GMT") == nil)
  }

  @Test func retryAfter() {
    let now = Timestamp(seconds: 784_111_777)
    #expect(RequestContext.retryAfter(["retry-after": "120"], now: now) == .seconds(120))
    #expect(RequestContext.retryAfter(["retry-after": "Sun, 06 Nov 1994 08:50:37 GMT"], now: now) == .seconds(60))
    #expect(RequestContext.retryAfter(["retry-after": "Sun, 06 Nov 1993 08:50:37 GMT"], now: now) == .zero)
    #expect(RequestContext.retryAfter(["retry-after": "-3"], now: now) == nil)
    #expect(RequestContext.retryAfter(["retry-after": "9223372036854775807"], now: now) == .seconds(365 * 86_400))
  }

  @Test(arguments: UInt64(0)..<4) func fuzz(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let samples = [
      #"Bearer realm="https://a/t",service="s",scope="repository:a:pull""#, "Basic realm=x", "Negotiate abc==", ",",
      "=",
      #"</v2/a?n=1>; rel="next""#, "<y>;rel=prev,", "bytes 0-99/1000", "bytes */5", "0-7", "\"", "\\",
      "Sun, 06 Nov 1994 08:49:37 GMT", "120",
    ]
    for _ in 0..<5000 {
      let text = random.text(from: samples)
      let challenges = AuthChallenge.parse([text, text])
      #expect(challenges.count <= AuthChallenge.countMax)
      for challenge in challenges { #expect(!challenge.scheme.isEmpty) }
      if let next = LinkHeader([text]).next { #expect(text.contains("<\(next)>")) }
      if let range = ContentRange(text) { #expect(range.first >= 0 && range.first <= range.last) }
      _ = HTTPDate.parse(text)
      if ProxyAnswer(Array(text.utf8), max: 100) == .incomplete { #expect(text.utf8.count <= 100) }
      #expect(RequestContext.registryError(Array(text.utf8)).text.utf8.count < 3000)
    }
  }

  @Test func registryErrors() {
    let body = #"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not \u001b[31mhere"},{"code":"OTHER"}]}"#
    let (code, text) = RequestContext.registryError(Array(body.utf8))
    #expect(code == "MANIFEST_UNKNOWN")
    #expect(text == "MANIFEST_UNKNOWN: not [31mhere")
    #expect(RequestContext.registryError(Array("<html>".utf8)).code == nil)
    #expect(RequestContext.registryError(Array(#"{"errors":[]}"#.utf8)).text == "")
  }

  @Test func proxyAnswers() {
    func answer(_ text: String) -> ProxyAnswer { ProxyAnswer(Array(text.utf8), max: 200) }
    #expect(answer("HTTP/1.1 200 Connection established\r\n\r\n") == .status(200, hasMore: false))
    #expect(answer("HTTP/1.0 407 Proxy\r\nA: b\r\n\r\n<html>") == .status(407, hasMore: true))
    #expect(answer("HTTP/1.1 200 OK\r\nA: b\r\n") == .incomplete)
    #expect(answer("") == .incomplete)
    #expect(answer("SSH-2.0") == .malformed)
    #expect(answer("HTTP/1.1 abc\r\n\r\n") == .malformed)
    #expect(answer("HTTP/1.1 2\r\n\r\n") == .malformed)
    #expect(answer("HTTP/1.1 200" + String(repeating: "x", count: 200)) == .malformed)
  }

  @Test func tokens() {
    func token(_ text: String) -> IssuedToken? { IssuedToken(Array(text.utf8)) }
    #expect(token(#"{"token":"a","expires_in":300}"#)?.lifetime == .seconds(300))
    #expect(token(#"{"token":"","access_token":"b"}"#)?.token == "b")
    #expect(token(#"{"token":"b","expires_in":-5}"#)?.lifetime == .seconds(60))
    #expect(token(#"{"token":"a\r\nX: y"}"#) == nil)
    #expect(token(#"{"token":7}"#) == nil)
    #expect(token("[]") == nil)
  }
}
