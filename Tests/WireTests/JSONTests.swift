import TestKit
import Testing
import Wire

@Suite struct JSONTests {
  @Test func manyRepeatedKeysAreNotedUpToABound() throws {
    let text = "{" + (0..<2000).map { "\"k\($0 % 500)\":\($0)" }.joined(separator: ",") + "}"
    var duplicates: [String] = []
    let value = try JSON.parse(Array(text.utf8), duplicates: &duplicates)
    #expect(value.object?.count == 500)
    #expect(value["k499"] == 1999)
    #expect(duplicates.count == 64 && duplicates.first == "k0")
  }

  @Test(arguments: [
    ("null", JSON.null), ("true", true), ("-12", -12), ("0", 0), ("1.5", .double(1.5)), ("1e3", .double(1000)),
    ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
    ("18446744073709551616", .double(18_446_744_073_709_551_616)), (#""a\n\"\\\/\u00e9\ud83d\ude00""#, "a\n\"\\/é😀"),
    (" [1, [], {}] ", JSON.array([1, .array([]), [:]])),
    (#"{"b":1,"a":{"c":[null]}}"#, ["b": 1, "a": ["c": .array([.null])]] as JSON),
  ])
  func parses(text: String, value: JSON) throws {
    #expect(try JSON.parse(text) == value)
  }

  @Test(arguments: [
    "", "nul", "01", "-", "1.", "1e", "+1", "[1,]", "[1 2]", "{", #"{"a"}"#, #"{"a":1,}"#, "{a:1}", #""a"#, "\"\u{1}\"",
    #""\x""#, #""\u12g4""#, #""\ud800""#, #""\ud800\u0041""#, "1 2", "[1]]", "1e999", "'a'", #"{"a":1,"a":2}"#,
  ])
  func refuses(text: String) {
    #expect(throws: JSONError.self) { try JSON.parse(text) }
  }

  @Test func errorsSayWhere() {
    #expect {
      try JSON.parse("{\n \"a\": tru }")
    } throws: { error in
      let error = error as? JSONError
      return error?.line == 2 && error?.message.contains("' '") == true
    }
  }

  @Test func refusesInvalidUTF8() {
    #expect(throws: JSONError.self) { try JSON.parse([0x22, 0xC3, 0x28, 0x22]) }
    #expect(throws: JSONError.self) { try JSON.parse([0x22, 0x5C, 0x6E, 0xFF, 0x22]) }
  }

  @Test func refusesDeepNesting() {
    let deep = String(repeating: "[", count: 600) + String(repeating: "]", count: 600)
    #expect(throws: JSONError.self) { try JSON.parse(deep) }
    #expect(throws: Never.self) { try JSON.parse(Array(deep.utf8), depthMax: 600) }
  }

  @Test func notesDuplicateKeys() throws {
    var duplicates: [String] = []
    let value = try JSON.parse(
      Array(#"{"spec":{"a":1,"a":2},"list":[{"b":1,"b":3}]}"#.utf8), duplicates: &duplicates)
    #expect(duplicates == ["spec.a", "list[0].b"])
    #expect(value == ["spec": ["a": 2], "list": [["b": 3]]])
  }

  @Test func findsDuplicatesAmongManyKeys() {
    let members = (0..<40).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
    #expect(throws: JSONError.self) { try JSON.parse("{\(members),\"k3\":1}") }
    #expect(throws: Never.self) { try JSON.parse("{\(members)}") }
  }

  @Test func comparesObjectsWithoutOrder() {
    #expect((["a": 1, "b": 2] as JSON) == (["b": 2, "a": 1] as JSON))
    #expect((["a": 1] as JSON) != (["a": 1, "b": nil] as JSON))
  }

  @Test func changesInPlace() {
    var value: JSON = ["a": ["b": 1]]
    value["a"]?["b"] = 2
    value["c"] = [1]
    value["a"]?["d"] = nil
    #expect(value == ["a": ["b": 2], "c": [1]])
    value["a"] = nil
    #expect(value.text == #"{"c":[1]}"#)
  }

  @Test func parsesOneMember() throws {
    let text = #"{"kind":"Pod","metadata":{"name":"a"},"spec":{"broken": tru"#
    #expect(try JSON.parse(member: "metadata", of: Array(text.utf8)) == ["name": "a"])
    #expect(try JSON.parse(member: "none", of: Array(#"{"a":1,"b":[]}"#.utf8)) == nil)
    #expect(try JSON.parse(member: "none", of: Array("{}".utf8)) == nil)
    for bad in ["", "[]", "{", #"{"a"}"#, #"{"a":1"#, #"{"a":1,]"#] {
      #expect(throws: JSONError.self) { try JSON.parse(member: "none", of: Array(bad.utf8)) }
    }
  }

  @Test func printsForPeople() {
    let value: JSON = ["a": [1, ["b": nil]], "c": [], "d": [:]]
    #expect(
      value.prettyPrinted() == """
        {
          "a": [
            1,
            {
              "b": null
            }
          ],
          "c": [],
          "d": {}
        }

        """)
  }

  /// Whatever is written is read again as the same value.
  @Test(arguments: 0..<200)
  func roundTrips(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let value = randomValue(depth: 4, using: &generator)
    #expect(try JSON.parse(value.serialized()) == value)
    #expect(try JSON.parse(value.prettyPrinted()) == value)
  }

  /// Bytes that were damaged at random are either refused or read, never trapped on.
  @Test(arguments: 0..<300)
  func survivesDamage(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var bytes = randomValue(depth: 5, using: &generator).serialized()
    for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
      let at = Int.random(in: 0..<bytes.count, using: &generator)
      switch Int.random(in: 0..<3, using: &generator) {
      case 0: bytes[at] = .random(in: 0...255, using: &generator)
      case 1: bytes.remove(at: at)
      default: bytes.insert(.random(in: 0...255, using: &generator), at: at)
      }
    }
    if let value = try? JSON.parse(bytes) {
      #expect((try? JSON.parse(value.serialized())) == value)
    }
  }
}

func randomValue(depth: Int, using generator: inout SeededGenerator) -> JSON {
  switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &generator) {
  case 0: return .null
  case 1: return .bool(.random(using: &generator))
  case 2: return .int(.random(in: .min ... .max, using: &generator))
  case 3: return .double(.random(in: -1e9...1e9, using: &generator))
  case 4, 5:
    let alphabet: [Character] = ["a", "Z", "\"", "\\", "\n", "\u{1}", "é", "😀", "/", "\u{7F}"]
    return .string(
      String(
        (0..<Int.random(in: 0..<8, using: &generator)).compactMap { _ in
          alphabet.randomElement(using: &generator)
        }))
  case 6:
    return .array(
      (0..<Int.random(in: 0..<5, using: &generator)).map { _ in
        randomValue(depth: depth - 1, using: &generator)
      })
  default:
    var object = JSONObject()
    for index in 0..<Int.random(in: 0..<5, using: &generator) {
      object["k\(index)"] = randomValue(depth: depth - 1, using: &generator)
    }
    return .object(object)
  }
}
