import TestKit
import Testing

@testable import HTTP

@Suite struct ClientFieldTests {
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

  @Test(arguments: UInt64(0)..<4) func fuzz(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let samples = [
      #"</v2/a?n=1>; rel="next""#, "<y>;rel=prev,", "bytes 0-99/1000", "bytes */5", "0-7", "\"", "\\", "120",
      "HTTP/1.1 200 OK\r\n\r\n",
    ]
    for _ in 0..<5000 {
      let text = random.text(from: samples)
      if let next = LinkHeader([text]).next { #expect(text.contains("<\(next)>")) }
      if let range = ContentRange(text) { #expect(range.first >= 0 && range.first <= range.last) }
      if ProxyAnswer(Array(text.utf8), max: 100) == .incomplete { #expect(text.utf8.count <= 100) }
    }
  }
}
