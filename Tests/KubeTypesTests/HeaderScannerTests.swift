import TestKit
import Testing
import Wire

@testable import KubeTypes

struct HeaderScannerTests {
  private func scanned(_ bytes: [UInt8]) -> ObjectHeader? {
    var header = ObjectHeader()
    return HeaderScanner.scan(bytes, into: &header) ? header : nil
  }

  private func scanned(_ text: String) -> ObjectHeader? { scanned(Array(text.utf8)) }

  @Test func theStoredFormIsRead() throws {
    let text = """
      {"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"41","generateName":"web-","labels":{"app":"web",\
      "tier":"front"},"annotations":{"a":"{\\"b\\":1}\\n","long":"0123456789abcdef"},"name":"web-0","namespace":"shop",\
      "uid":"2befb242-13f5-43ad-a97b-ee6f44d7dd75","creationTimestamp":"2026-11-21T13:46:11Z","generation":3,\
      "deletionTimestamp":"2026-11-21T14:00:00Z","deletionGracePeriodSeconds":30,"finalizers":["a/b","c"],\
      "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"u","controller":true,\
      "blockOwnerDeletion":false}]},"spec":{}}
      """
    let header = try #require(scanned(text))
    #expect(header == (try ObjectHeader(decoding: Array(text.utf8))))
    #expect(header.labels == ["app": "web", "tier": "front"])
    #expect(header.resourceVersion == 41 && header.generation == 3 && header.finalizers == ["a/b", "c"])
    #expect(header.controller?.name == "web" && header.deletionTimestamp == "2026-11-21T14:00:00Z")
  }

  @Test(arguments: [
    #"{"metadata":{"name":"a","name":"b"}}"#, #"{"metadata":{"labels":{"a":"1","a":"2"}}}"#,
    #"{"metadata":{"annotations":{"a":"1","a":"2"}}}"#, #"{"metadata":{"ownerReferences":[{"uid":"1","uid":"2"}]}}"#,
    #"{"metadata":{"name":"\u00e9"}}"#, #"{"metadata":{"name":"é"}}"#, #"{"metadata":{"annotations":{"a":"\q"}}}"#,
    #"{"metadata":{"annotations":{"a":"é"}}}"#, #"{"metadata":{"name":null}}"#, #"{"metadata":{"generation":1.5}}"#,
    #"{"metadata":{"generation":01}}"#, #"{"metadata":{"generation":-1}}"#, #"{"metadata":{"resourceVersion":"+1"}}"#,
    #"{"metadata":{"resourceVersion":"1234567890123456789"}}"#, #"{"metadata":{"managedFields":[]}}"#,
    #"{"metadata":{"name": "a"}}"#, #" {"metadata":{"name":"a"}}"#, #"{"spec":{},"metadata":{"name":"a"}}"#,
    #"{"kind":"Pod"}"#, #"{"metadata":{}}"#, #"{"metadata":null}"#, "{", "", "null", "[]", "no JSON",
    #"{"metadata":{"name":"a"#, #"{"metadata":{"name":"a","#, "{\"metadata\":{\"name\":\"a\u{1}\"}}",
    #"{"metadata":{"labels":{"a":1}}}"#, #"{"metadata":{"finalizers":[1]}}"#,
  ])
  func theUnusualIsLeftToTheParser(text: String) {
    #expect(scanned(text) == nil)
    expectTheSame(Array(text.utf8))
  }

  /// The rest of an object is looked at when it is read.
  @Test func whatFollowsTheMetadataIsNotLookedAt() {
    let text = #"{"metadata":{"name":"a"}]"#
    #expect(scanned(text)?.name == "a")
    expectTheSame(Array(text.utf8))
  }

  /// What is in the header's way without being in it: many annotations, and strings that end at any offset of a word.
  @Test func longAnnotationsArePassed() throws {
    for count in 0..<40 {
      let members = (0..<min(count, 20)).map { #""key-\#($0)":"\#(String(repeating: "x", count: count))\\""# }
      let text = #"{"kind":"A","metadata":{"annotations":{\#(members.joined(separator: ","))},"name":"n\#(count)"}}"#
      #expect(scanned(text)?.name == "n\(count)")
      expectTheSame(Array(text.utf8))
    }
  }

  @Test(arguments: 1...8) func itReadsWhatTheParserReads(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var accepted = 0
    for _ in 0..<80 {
      var bytes = object(&generator).serialized()
      if scanned(bytes) != nil { accepted += 1 }
      expectTheSame(bytes)
      // Damage: most of it is no JSON any more, and some of it is another header.
      for _ in 0..<20 {
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes[at] = Array("\"\\{}[]:,0e.\u{1}tn ".utf8).randomElement(using: &generator) ?? 0
        case 1: bytes[at] = UInt8.random(in: 0...255, using: &generator)
        case 2: bytes.remove(at: at)
        default: bytes.insert(contentsOf: bytes[at...].prefix(12), at: at)
        }
        expectTheSame(bytes)
        if bytes.count < 2 { break }
      }
    }
    // Else the comparison would be one of the parser with itself.
    #expect(accepted > 40)
  }

  /// The scanner's header is the parser's, and so is the error of `init(parsing:)`.
  private func expectTheSame(_ bytes: [UInt8]) {
    func outcome(_ read: () throws(JSONError) -> ObjectHeader) -> Result<ObjectHeader, JSONError> {
      do { return .success(try read()) } catch { return .failure(error) }
    }
    let expected = outcome { () throws(JSONError) in try ObjectHeader(decoding: bytes) }
    let parsed = outcome { () throws(JSONError) in try ObjectHeader(parsing: bytes) }
    let isSame = parsed == expected && scanned(bytes).map { .success($0) == expected } ?? true
    if !isSame { Issue.record("\(String(decoding: bytes, as: UTF8.self))") }
  }

  private func object(_ generator: inout SeededGenerator) -> JSON {
    var meta = JSONObject()
    func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }
    func word() -> JSON {
      if chance(2) { return .string(["é", "a\nb", "\"", "\\", "\u{7F}", ""].randomElement(using: &generator) ?? "") }
      let count = Int.random(in: 0..<24, using: &generator)
      return .string(String((0..<count).map { _ in "abc-z019./".randomElement(using: &generator) ?? "x" }))
    }
    func map() -> JSON {
      var map = JSONObject()
      for _ in 0..<Int.random(in: 0..<5, using: &generator) { map[word().string ?? ""] = word() }
      return .object(map)
    }
    if chance(90) { meta["resourceVersion"] = .string(String(Int.random(in: 0..<100_000, using: &generator))) }
    if chance(50) { meta["labels"] = map() }
    if chance(50) { meta["annotations"] = map() }
    for key in ["name", "namespace", "uid", "creationTimestamp"] where chance(90) { meta[key] = word() }
    for key in ["deletionTimestamp", "generateName"] where chance(20) { meta[key] = word() }
    if chance(50) { meta["generation"] = .int(Int64.random(in: -1..<20, using: &generator)) }
    if chance(10) { meta["deletionGracePeriodSeconds"] = .int(30) }
    if chance(20) { meta["finalizers"] = .array((0..<Int.random(in: 0..<3, using: &generator)).map { _ in word() }) }
    if chance(30) {
      meta["ownerReferences"] = .array(
        (0..<Int.random(in: 0..<3, using: &generator)).map { _ in
          var owner = JSONObject()
          for key in ["apiVersion", "kind", "name", "uid"] where chance(90) { owner[key] = word() }
          for key in ["controller", "blockOwnerDeletion"] where chance(50) { owner[key] = .bool(chance(50)) }
          return .object(owner)
        })
    }
    if chance(2) { meta["unknown"] = .array([.int(1)]) }
    return [
      "apiVersion": "v1", "kind": word(), "metadata": .object(meta), "spec": ["a": [1, .double(2.5), true, .null]],
    ]
  }
}
