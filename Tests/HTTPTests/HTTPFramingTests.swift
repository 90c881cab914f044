import Testing

@testable import HTTP

/// The assumption that failed: that the parser refuses what the specification has refused.
@Suite struct HTTPFramingTests {
  private func status(_ headers: [(name: String, value: String)], minor: Int = 1) -> Int? {
    HTTPFraming.refusal(minor: minor, headers: headers)?.status
  }

  @Test func oneHost() {
    #expect(status([("Host", "a")]) == nil)
    #expect(status([("host", "")]) == nil, "RFC 9112: empty where the target has no authority")
    #expect(status([]) == 400)
    #expect(status([], minor: 0) == nil)
    #expect(status([("Host", "a"), ("HOST", "a")]) == 400)
    #expect(status([("Host", "a"), ("host", "b")], minor: 0) == 400)
  }

  @Test(arguments: [
    "a", "a:1", "a.b-c_d:6443", "127.0.0.1:443", "[::1]", "[::1]:6443", "a%20b", "a:",
  ]) func hosts(good: String) {
    #expect(HTTPFraming.isHost(good))
  }

  @Test(arguments: [
    "a b", "a/b", "http://a", "a@b", "[::1", "[a]", "[127.0.0.1]", "[::1]x", "a:b", "a:1:2", "a:123456", "a,b c", "a\"",
    "ä", "a?x", "a#x", "\u{1}",
  ]) func badHosts(bad: String) {
    #expect(!HTTPFraming.isHost(bad))
  }

  @Test func theBodysEndIsSure() {
    let host = (name: "Host", value: "a")
    #expect(status([host, ("Transfer-Encoding", "chunked")]) == nil)
    #expect(status([host, ("transfer-encoding", "Chunked")]) == nil)
    #expect(status([host, ("Content-Length", "5")]) == nil)
    #expect(status([host, ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]) == 400)
    #expect(status([host, ("Content-Length", "5"), ("Content-Length", "5")]) == 400)
    #expect(status([host, ("Content-Length", "5"), ("Transfer-Encoding", "chunked")]) == 400)
    #expect(status([host, ("Transfer-Encoding", "chunked")], minor: 0) == 400)
    for coding in ["gzip, chunked", "chunked, chunked", "identity", "gzip", "", "xchunked", "chunked;a=b"] {
      #expect(status([host, ("Transfer-Encoding", coding)]) == 501, "\(coding)")
    }
  }

  @Test func expectations() {
    #expect(status([("Host", "a"), ("Expect", "100-continue")]) == nil)
    #expect(status([("Host", "a"), ("Expect", "100-Continue")]) == nil)
    #expect(status([("Host", "a"), ("Expect", "200-ok")]) == 417)
  }
}
