import TestKit
import Testing

@testable import Registry

@Suite struct RangesTests {
  @Test func downloads() {
    for (header, expected) in [
      ("bytes=500-1499", ByteRange.part(500..<1500)), ("bytes=500-", .part(500..<2048)),
      ("bytes=-500", .part(1548..<2048)), ("bytes=2000-5000", .part(2000..<2048)), ("bytes=0-0", .part(0..<1)),
      ("bytes=-5000", .part(0..<2048)), ("bytes=500-0", .unsatisfiable), ("bytes=5000-10000", .unsatisfiable),
      ("bytes=2048-", .unsatisfiable), ("bytes=-0", .unsatisfiable), ("bytes=0-1,5-6", .full), ("lines=1-2", .full),
      ("bytes=a-b", .full), ("bytes=", .full), ("bytes=-", .full), ("bytes= 1 - 2 ", .part(1..<3)),
      ("bytes=99999999999999999999-", .unsatisfiable), ("bytes=0-99999999999999999999", .part(0..<2048)),
      ("bytes=0-9223372036854775807", .part(0..<2048)), ("bytes=9223372036854775807-", .unsatisfiable),
      ("bytes=-9223372036854775807", .part(0..<2048)),
    ] {
      #expect(ByteRange(header, size: 2048) == expected, "\(header)")
    }
    #expect(ByteRange(nil, size: 1) == .full)
    #expect(ByteRange("bytes=0-", size: 0) == .unsatisfiable)
  }

  @Test func uploads() throws {
    let range = try #require(ChunkRange("0-1023"))
    #expect((range.start, range.count) == (0, 1024))
    #expect(ChunkRange("bytes 5-9/*")?.start == 5)
    #expect(ChunkRange("bytes=5-9")?.count == 5)
    for header in [
      "", "5", "-5", "5-", "9-5", "a-b", "5-9-", "0--1", "99999999999999999999-99999999999999999999",
      "0-9223372036854775807",
    ] {
      #expect(ChunkRange(header) == nil, "\(header)")
    }
    #expect(ChunkRange.header(offset: 0) == "0-0")
    #expect(ChunkRange.header(offset: 100) == "0-99")
  }

  @Test func entityTags() {
    #expect(Preconditions.matches(ifNoneMatch: "\"x\"", entityTag: "x"))
    #expect(Preconditions.matches(ifNoneMatch: "x", entityTag: "x"))
    #expect(Preconditions.matches(ifNoneMatch: "\"a\", W/\"x\"", entityTag: "x"))
    #expect(Preconditions.matches(ifNoneMatch: "*", entityTag: "x"))
    #expect(!Preconditions.matches(ifNoneMatch: "\"y\"", entityTag: "x"))
    #expect(!Preconditions.matches(ifNoneMatch: nil, entityTag: "x"))
  }

  @Test func accepting() {
    let type = "application/vnd.oci.image.index.v1+json"
    #expect(Preconditions.accepts(type, accept: []))
    #expect(Preconditions.accepts(type, accept: ["*/*"]))
    #expect(Preconditions.accepts(type, accept: ["application/*"]))
    #expect(Preconditions.accepts(type, accept: ["text/html, \(type);q=0.5"]))
    #expect(!Preconditions.accepts(type, accept: ["\(type);q=0", "text/html"]))
    #expect(!Preconditions.accepts(type, accept: ["application/vnd.oci.image.manifest.v1+json"]))
  }

  /// Whatever comes in headers, paths and queries: no trap, and ranges within bounds.
  @Test func fuzz() {
    var random = SeededGenerator(seed: 0xA9)
    let alphabet = Array("bytes=0123456789-,/ *\"W%:.abcXYZ&?".utf8)
    for _ in 0..<20_000 {
      let text = String(
        decoding: (0..<Int.random(in: 0...40, using: &random)).map { _ in
          Int.random(in: 0..<20, using: &random) == 0
            ? UInt8.random(in: .min ... .max, using: &random) : alphabet.randomElement(using: &random) ?? 0
        }, as: UTF8.self)
      let size = Int64.random(in: 0...5000, using: &random)
      for candidate in [text, "bytes=" + text] {
        if case .part(let range) = ByteRange(candidate, size: size) {
          #expect(range.lowerBound >= 0 && range.upperBound <= size && !range.isEmpty)
        }
      }
      if let chunk = ChunkRange(text) { #expect(chunk.start >= 0 && chunk.count > 0) }
      _ = Route(path: "/v2/" + text)
      _ = Preconditions.accepts("a/b", accept: [text])
      _ = Preconditions.matches(ifNoneMatch: text, entityTag: "x")
      if let scope = Scope(text) { #expect(Scope(scope.description) == scope) }
      _ = Glob(text).matches("abc")
      if Names.isRepository(text) { #expect(!text.hasSuffix("/") && !text.contains("..")) }
    }
  }
}
