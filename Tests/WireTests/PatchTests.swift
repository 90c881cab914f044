import Testing
import Wire

@Suite struct PatchTests {
  /// Each `copy` doubles the document; and nesting grows beyond what a reader's stack holds.
  @Test func aPatchCannotBlowTheDocumentUp() throws {
    let doubling = (0..<60).map { #"{"op":"copy","from":"/a","path":"/a/x\#($0)"}"# }.joined(separator: ",")
    #expect(throws: PatchError.self) {
      try JSONPatch.apply(JSON.parse("[\(doubling)]"), to: JSON.parse(#"{"a":{"b":"c"}}"#))
    }
    var path = "/a"
    var nesting: [String] = []
    for _ in 0..<14 {
      nesting.append(#"{"op":"copy","from":"/a","path":"\#(path)/a"}"#)
      path += String(path.dropFirst(0)) + "/a"
    }
    #expect(throws: PatchError.self) {
      try JSONPatch.apply(JSON.parse("[\(nesting.joined(separator: ","))]"), to: JSON.parse(#"{"a":{}}"#))
    }
  }

  @Test func largeMergesKeepTheirOrder() {
    func object(_ keys: [Int], _ value: JSON) -> JSON {
      .object(JSONObject(uniqueMembers: keys.map { (key: "k\($0)", value: value) }))
    }
    let merged = MergePatch.apply(object(Array(stride(from: 0, to: 100, by: 2)), nil), to: object(Array(0..<100), 1))
    #expect(merged.object?.keys == stride(from: 1, to: 100, by: 2).map { "k\($0)" })
    #expect(object(Array(0..<100), 1) == object((0..<100).reversed(), 1))
    #expect(object(Array(0..<100), 1) != object((1...100).reversed(), 1))
  }

  @Test(arguments: [
    (#"[{"op":"add","path":"/b","value":2}]"#, #"{"a":[1]}"#, #"{"a":[1],"b":2}"#),
    (#"[{"op":"add","path":"/a/0","value":0},{"op":"add","path":"/a/-","value":9}]"#, #"{"a":[1]}"#, #"{"a":[0,1,9]}"#),
    (#"[{"op":"remove","path":"/a/1"}]"#, #"{"a":[1,2,3]}"#, #"{"a":[1,3]}"#),
    (#"[{"op":"replace","path":"/a~1b","value":{"c":1}}]"#, #"{"a/b":1}"#, #"{"a/b":{"c":1}}"#),
    (#"[{"op":"move","from":"/a/b","path":"/c"}]"#, #"{"a":{"b":1}}"#, #"{"a":{},"c":1}"#),
    (
      #"[{"op":"copy","from":"/a","path":"/b"},{"op":"test","path":"/b","value":[1]}]"#, #"{"a":[1]}"#,
      #"{"a":[1],"b":[1]}"#
    ),
    (#"[{"op":"replace","path":"","value":[1]}]"#, #"{"a":1}"#, "[1]"),
    (#"[{"op":"add","path":"/m~0n","value":null}]"#, "{}", #"{"m~n":null}"#),
    // As the library of Kubernetes reads them: an absent member is null, and -1 is the last element.
    (#"[{"op":"test","path":"/b","value":null}]"#, #"{"a":1}"#, #"{"a":1}"#),
    (#"[{"op":"test","path":"/a/b","value":null}]"#, #"{"a":{}}"#, #"{"a":{}}"#),
    (#"[{"op":"test","path":"/a","value":null}]"#, #"{"a":null}"#, #"{"a":null}"#),
    (#"[{"op":"remove","path":"/a/-1"}]"#, #"{"a":[1,2,3]}"#, #"{"a":[1,2]}"#),
    (#"[{"op":"remove","path":"/a/-3"}]"#, #"{"a":[1,2,3]}"#, #"{"a":[2,3]}"#),
    (#"[{"op":"add","path":"/a/-1","value":9}]"#, #"{"a":[1,2]}"#, #"{"a":[1,2,9]}"#),
    (#"[{"op":"replace","path":"/a/-2/b","value":9}]"#, #"{"a":[{"b":1},2]}"#, #"{"a":[{"b":9},2]}"#),
    (
      #"[{"op":"test","path":"/a/-1","value":2},{"op":"move","from":"/a/-1","path":"/b"}]"#, #"{"a":[1,2]}"#,
      #"{"a":[1],"b":2}"#
    ),
  ])
  func appliesJSONPatch(patch: String, document: String, result: String) throws {
    #expect(try JSONPatch.apply(JSON.parse(patch), to: JSON.parse(document)) == JSON.parse(result))
  }

  @Test(arguments: [
    (#"{"op":"add"}"#, PatchError.Reason.malformed), (#"[{"path":"/a"}]"#, .malformed),
    (#"[{"op":"jump","path":"/a"}]"#, .malformed), (#"[{"op":"add","path":"a","value":1}]"#, .malformed),
    (#"[{"op":"add","path":"/a"}]"#, .malformed), (#"[{"op":"add","path":"/~2","value":1}]"#, .malformed),
    (#"[{"op":"move","from":"/a","path":"/a/b"}]"#, .malformed), (#"[{"op":"remove","path":"/x"}]"#, .inapplicable),
    (#"[{"op":"replace","path":"/x","value":1}]"#, .inapplicable),
    (#"[{"op":"add","path":"/l/9","value":1}]"#, .inapplicable),
    (#"[{"op":"add","path":"/l/01","value":1}]"#, .inapplicable),
    (#"[{"op":"test","path":"/a","value":2}]"#, .inapplicable),
    (#"[{"op":"test","path":"/a","value":null}]"#, .inapplicable),
    (#"[{"op":"test","path":"/x/y","value":null}]"#, .inapplicable),
    (#"[{"op":"test","path":"/l/7","value":null}]"#, .inapplicable),
    (#"[{"op":"remove","path":"/l/-2"}]"#, .inapplicable), (#"[{"op":"remove","path":"/l/-0"}]"#, .inapplicable),
    (#"[{"op":"add","path":"/l/-3","value":1}]"#, .inapplicable),
    (#"[{"op":"add","path":"/a/b","value":2}]"#, .inapplicable), (#"[{"op":"remove","path":""}]"#, .inapplicable),
  ])
  func refusesJSONPatch(patch: String, reason: PatchError.Reason) throws {
    let patch = try JSON.parse(patch)
    #expect {
      try JSONPatch.apply(patch, to: ["a": 1, "l": [1]])
    } throws: { ($0 as? PatchError)?.reason == reason }
  }

  @Test(arguments: [
    (
      #"{"op":"add","path":"/spec/template/spec/tolerations/-","value":1}"#,
      "nothing at /spec/template/spec/tolerations"
    ),
    (#"{"op":"remove","path":"/spec/template/x/y"}"#, "nothing at /spec/template/x"),
    (#"{"op":"replace","path":"/spec/template/spec/x","value":1}"#, "nothing at /spec/template/spec/x"),
    (#"{"op":"copy","from":"/spec/no/where","path":"/a"}"#, "nothing at /spec/no"),
    (#"{"op":"move","from":"/spec/template/no","path":"/a"}"#, "nothing at /spec/template/no"),
    (#"{"op":"test","path":"/spec/template/spec/list/0/x","value":1}"#, "nothing at /spec/template/spec/list/0/x"),
  ])
  func saysTheWholePath(operation: String, message: String) throws {
    let document: JSON = ["spec": ["template": ["spec": ["list": [[:]]]]]]
    #expect {
      try JSONPatch.apply(JSON.parse("[\(operation)]"), to: document)
    } throws: { ($0 as? PatchError)?.message == "operation 0: \(message)" }
  }

  /// The examples of RFC 7386, appendix A.
  @Test(arguments: [
    (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
    (#"{"a":"b"}"#, #"{"a":null}"#, "{}"), (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
    (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#), (#"["a","b"]"#, #"["c"]"#, #"["c"]"#),
    (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#), ("[1,2]", #"{"a":"b","c":null}"#, #"{"a":"b"}"#),
    ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
  ])
  func mergesPatch(target: String, patch: String, result: String) throws {
    #expect(try MergePatch.apply(JSON.parse(patch), to: JSON.parse(target)) == JSON.parse(result))
  }
}
