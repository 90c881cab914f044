import TestKit
import Testing

@testable import Wire

@Suite struct YAMLTests {
  @Test func readsManifests() throws {
    let text = """
      # two documents
      apiVersion: v1
      kind: ConfigMap
      data:
        port: "8080"
        text: |
          one
          two
        quoted: 'it''s'
      list:
      - name: a
        on: yes
      - {name: b, ports: [80, 0x1F, 1.5, 1e3, 010]}
      ---
      ---
      empty: ~
      """
    let documents = try YAML.parse(Array(text.utf8))
    #expect(
      documents == [
        [
          "apiVersion": "v1", "kind": "ConfigMap", "data": ["port": "8080", "text": "one\ntwo\n", "quoted": "it's"],
          "list": [["name": "a", "on": true], ["name": "b", "ports": [80, 31, .double(1.5), .double(1000), 8]]],
        ], ["empty": nil],
      ])
  }

  @Test func resolvesAnchorsAndMerges() throws {
    let documents = try YAML.parse(Array("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nlist: [*b]\n".utf8))
    #expect(documents == [["base": ["x": 1, "y": 2], "use": ["x": 1, "y": 3], "list": [["x": 1, "y": 2]]]])
  }

  @Test(arguments: ["a: b: c", "a: [1", "\tb: 1", "a: 1\na: 2", "a: *missing", "? [1]\n: 2", "a: \"x"])
  func refuses(text: String) {
    #expect(throws: YAMLError.self) { try YAML.parse(Array(text.utf8)) }
  }

  @Test func saysWhere() {
    #expect {
      try YAML.parse(Array("a: 1\nb:\n  c: 1\n c: 2\n".utf8))
    } throws: { ($0 as? YAMLError)?.line == 4 }
  }

  /// Nine levels of nine aliases each would be 387 million values.
  @Test func boundsAliases() {
    var text = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n"
    for level in 1..<9 {
      let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ",")
      text += "a\(level): &a\(level) [\(aliases)]\n"
    }
    #expect(throws: YAMLError.self) { try YAML.parse(Array(text.utf8)) }
  }

  @Test func boundsDepth() {
    #expect(throws: YAMLError.self) { try YAML.parse(Array(repeating: UInt8(ascii: "["), count: 1000)) }
  }

  @Test(arguments: 0..<200)
  func survivesDamage(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var bytes = Array("a: &x [1, {b: 'c'}]\nd:\n  <<: {e: f}\n  g: |\n    text\n--- \n- *x\n- ? h\n  : \"i\\n\"\n".utf8)
    for _ in 0..<Int.random(in: 1...5, using: &generator) {
      bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
    }
    if let documents = try? YAML.parse(bytes) {
      for document in documents { #expect((try? JSON.parse(document.serialized())) != nil) }
    }
  }

  /// Every level of aliases would add as many levels as the text may nest.
  @Test func aliasesDoNotNestDeeperThanText() {
    let open = String(repeating: "[", count: 100)
    let close = String(repeating: "]", count: 100)
    #expect(throws: YAMLError.self) {
      try YAML.parse(Array("a: &a \(open)\(close)\nb: &b \(open)*a\(close)\nc: \(open)*b\(close)\n".utf8))
    }
  }
}
