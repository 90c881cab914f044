import TestKit
import Testing

@testable import Wire

@Suite struct QueryTests {
  @Test func valuesAreDecodedAndKeepTheirOrder() {
    let query = Query("n=10&last=a%2Fb+c&x&=y&tag=1&tag=2&wide=99999999999999999999")
    #expect(query["n"] == "10" && query.int("n") == 10)
    #expect(query["last"] == "a/b c")
    #expect(query["x"] == "" && query["z"] == nil)
    #expect(query.all("tag") == ["1", "2"])
    #expect(query.int("last") == nil && query.int("wide") == nil && query.int("z") == nil)
    #expect(query.items.count == 7)
    #expect(Query("") == Query() && Query("&&").items.isEmpty)
  }

  @Test func flagsAreGoBooleans() {
    let query = Query("a&b=true&c=1&d=false&e=0&f=F&g=anything")
    for name in ["a", "b", "c", "g"] { #expect(query.flag(name), "\(name)") }
    for name in ["d", "e", "f", "missing"] { #expect(!query.flag(name), "\(name)") }
  }

  @Test func theirNumberIsBounded() {
    let query = Query(Substring((0..<1000).map { "p=\($0)" }.joined(separator: "&")))
    #expect(query.all("p") == (0..<Query.itemsMax).map { String($0) })
  }

  @Test func percentSigns() {
    #expect(Query.percentDecoded("%zz%4") == "%zz%4")
    #expect(Query.percentDecoded("a+%2B%ff") == "a++\u{FFFD}")
    #expect(Query.percentEncoded("a b/é") == "a%20b%2F%C3%A9")
  }

  @Test func survivesAnyBytes() {
    var random = SeededGenerator(seed: 1)
    let alphabet = Array("%&=+a1\0\u{FF}".utf8)
    for _ in 0..<20_000 {
      let text = String(
        decoding: (0..<Int.random(in: 0...40, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? 0 },
        as: UTF8.self)
      for item in Query(text[...]).items {
        #expect(Query.percentDecoded(Query.percentEncoded(item.value)[...]) == item.value)
      }
    }
  }
}
