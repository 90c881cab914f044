import TestKit
import Testing

@testable import Wire

@Suite struct JSONFieldScannerTests {
  @Test func agreesWithTheParser() throws {
    var generator = SeededGenerator(seed: 7)
    func value(_ depth: Int) -> JSON {
      switch Int.random(in: 0..<(depth > 3 ? 5 : 7), using: &generator) {
      case 0: return .null
      case 1: return .bool(Bool.random(using: &generator))
      case 2: return .int(Int64.random(in: -50...50, using: &generator))
      case 3: return .string(["", "a\"b", "x\\", "ü\n", "}{"].randomElement(using: &generator) ?? "")
      case 4: return .string("plain")
      case 5: return .array((0..<Int.random(in: 0..<3, using: &generator)).map { _ in value(depth + 1) })
      default:
        var object = JSONObject()
        for key in ["a", "b", "a\"", "spec"].shuffled(using: &generator).prefix(3) { object[key] = value(depth + 1) }
        return .object(object)
      }
    }
    for _ in 0..<5000 {
      let json = value(0)
      let bytes = json.serialized()
      for path in [["a"], ["a", "b"], ["spec", "a"], ["b", "spec", "a"]] {
        var expected: JSON? = json
        for key in path { expected = expected?[key] }
        let text: String? =
          switch expected {
          case .string(let text)?: text
          case .int(let number)?: String(number)
          case .bool(let flag)?: String(flag)
          default: nil
          }
        #expect(JSON.scalar(at: path, of: bytes) == text)
        #expect(JSON.value(at: path, of: bytes) == expected)
      }
    }
  }

  @Test func survivesAnyBytes() {
    var generator = SeededGenerator(seed: 3)
    let alphabet = Array("{}[]\",:\\a1 tn".utf8)
    var found = 0
    for round in 0..<20_000 {
      let noise = (0..<Int.random(in: 0..<30, using: &generator)).map { _ in
        alphabet.randomElement(using: &generator) ?? 0
      }
      // Noise alone hardly ever comes as far as a value.
      let bytes = round % 2 == 0 ? noise : Array(#"{"a":"#.utf8) + noise
      _ = JSON.scalar(at: ["a", "t"], of: bytes)
      if JSON.value(at: ["a"], of: bytes) != nil { found += 1 }
    }
    #expect(found > 100 && found < 10_000)
  }

  @Test func theEndOfATextIsTheEndOfTheValue() {
    for text in [#"{"a":"x\"#, #"{"a":"#, #"{"a":["#, #"{"a"#, #"{"#, ""] {
      #expect(JSON.value(at: ["a"], of: Array(text.utf8)) == nil)
      #expect(JSON.scalar(at: ["a"], of: Array(text.utf8)) == nil)
    }
    // What follows is not looked at.
    #expect(JSON.value(at: ["a"], of: Array(#"{"a":[1,{"b":2}],"c":"#.utf8)) == [1, ["b": 2]])
  }
}
