import Testing
import Wire

@testable import Schema

@Suite struct StrategicMergeTests {
  private func merge(_ object: String, _ patch: String, _ name: String = "Pod") throws -> String {
    let schema = try kind(name == "Deployment" ? "apps/v1" : "v1", name)
    return try schema.strategicMerge(JSON.parse(patch), into: JSON.parse(object)).text
  }

  @Test func scalarsObjectsAndNulls() throws {
    #expect(
      try merge(#"{"metadata":{"labels":{"a":"1","b":"2"}}}"#, #"{"metadata":{"labels":{"a":null,"c":"3"}}}"#)
        == #"{"metadata":{"labels":{"b":"2","c":"3"}}}"#)
    #expect(
      try merge("{}", #"{"spec":{"nodeName":"n","x":null,"affinity":{"nodeAffinity":null}}}"#)
        == #"{"spec":{"nodeName":"n","affinity":{}}}"#)
  }

  /// A node's addresses are merged by their type, and have two of one type on a cluster of both families.
  @Test func aReplacedListIsAsItIs() throws {
    let node = #"{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.9"}]}}"#
    let wanted = #"{"type":"InternalIP","address":"192.0.2.1"},{"type":"InternalIP","address":"2001:db8::1"}"#
    for patch in [wanted + #",{"$patch":"replace"}"#, #"{"$patch":"replace"},"# + wanted] {
      #expect(
        try merge(node, #"{"status":{"addresses":[\#(patch)]}}"#, "Node") == #"{"status":{"addresses":[\#(wanted)]}}"#)
    }
  }

  @Test func listsAreMergedByKey() throws {
    let pod = #"{"spec":{"containers":[{"name":"a","image":"1","args":["x"]},{"name":"b","image":"1"}]}}"#
    #expect(
      try merge(pod, #"{"spec":{"containers":[{"name":"b","image":"2"},{"name":"c","image":"3"}]}}"#)
        == #"{"spec":{"containers":[{"name":"a","image":"1","args":["x"]},{"name":"b","image":"2"},{"name":"c","image":"3"}]}}"#
    )
    // What only the patch knows comes first.
    #expect(
      try merge(pod, #"{"spec":{"containers":[{"name":"c","image":"3"}]}}"#)
        == #"{"spec":{"containers":[{"name":"c","image":"3"},{"name":"a","image":"1","args":["x"]},{"name":"b","image":"1"}]}}"#
    )
    // A list without a merge key is replaced.
    #expect(try merge(pod, #"{"spec":{"containers":[{"name":"a","args":["y","z"]}]}}"#).contains(#""args":["y","z"]"#))
    #expect(
      try merge(pod, #"{"spec":{"containers":[{"name":"a","$patch":"delete"}]}}"#)
        == #"{"spec":{"containers":[{"name":"b","image":"1"}]}}"#)
    #expect(
      try merge(pod, #"{"spec":{"containers":[{"$patch":"replace"},{"name":"z"}]}}"#)
        == #"{"spec":{"containers":[{"name":"z"}]}}"#)
    #expect(
      try merge(pod, #"{"spec":{"containers":[{"name":"a","$patch":"replace","image":"9"}]}}"#)
        == #"{"spec":{"containers":[{"name":"a","image":"9"},{"name":"b","image":"1"}]}}"#)
  }

  @Test func directives() throws {
    #expect(
      try merge(#"{"metadata":{"labels":{"a":"1"}}}"#, #"{"metadata":{"labels":{"$patch":"replace","b":"2"}}}"#)
        == #"{"metadata":{"labels":{"b":"2"}}}"#)
    #expect(
      try merge(#"{"metadata":{"labels":{"a":"1"}}}"#, #"{"metadata":{"labels":{"$patch":"delete"}}}"#)
        == #"{"metadata":{"labels":{}}}"#)
    #expect(
      try merge(
        #"{"metadata":{"finalizers":["a/a","b/b"]}}"#,
        #"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/a"],"finalizers":["c/c"]}}"#)
        == #"{"metadata":{"finalizers":["c/c","b/b"]}}"#)
    // Changing the strategy to Recreate drops the parameters of the other.
    #expect(
      try merge(
        #"{"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}}"#,
        #"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}"#, "Deployment")
        == #"{"spec":{"strategy":{"type":"Recreate"}}}"#)
    #expect(
      try merge(
        #"{"spec":{"volumes":[{"name":"v","emptyDir":{}}]}}"#,
        #"{"spec":{"volumes":[{"$retainKeys":["name","hostPath"],"name":"v","hostPath":{"path":"/"}}]}}"#)
        == #"{"spec":{"volumes":[{"name":"v","hostPath":{"path":"/"}}]}}"#)
  }

  @Test func elementOrderIsKept() throws {
    let pod = #"{"spec":{"containers":[{"name":"a"},{"name":"server"},{"name":"b"}]}}"#
    #expect(
      try merge(
        pod,
        #"{"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"new"},{"name":"a"}],"containers":[{"name":"new"}]}}"#
      )
        == #"{"spec":{"containers":[{"name":"server"},{"name":"b"},{"name":"new"},{"name":"a"}]}}"#)
    #expect(
      try merge(pod, #"{"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}}"#)
        == #"{"spec":{"containers":[{"name":"server"},{"name":"b"},{"name":"a"}]}}"#)
  }

  /// The assumption that failed: that what a patch brings belongs to the end.
  @Test(arguments: [
    (#""containers":[{"name":"new"}]"#, "new a b c"), (#""containers":[{"name":"b"},{"name":"new"}]"#, "a b new c"),
    (#""containers":[{"name":"new"},{"name":"b"}]"#, "new a b c"),
    (#""containers":[{"name":"c"},{"name":"a"}]"#, "b c a"),
    (#""containers":[{"name":"new"},{"name":"b","$patch":"delete"}]"#, "new a c"),
    (#""containers":[{"name":"x"},{"name":"y"}]"#, "x y a b c"),
    (
      #""$setElementOrder/containers":[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"new"}],"containers":[{"name":"new"}]"#,
      "a b c new"
    ),
  ])
  func thePatchsOrderLeads(patch: String, names: String) throws {
    let merged = try kind("v1", "Pod").strategicMerge(
      JSON.parse("{\"spec\":{\(patch)}}"),
      into: JSON.parse(#"{"spec":{"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]}}"#))
    let found = (merged.at("spec", "containers")?.array ?? []).compactMap { $0["name"]?.string }
    #expect(found.joined(separator: " ") == names)
  }

  @Test(arguments: [
    ("env", #"{"name":"N","value":"1"}"#, "name", "N A B"),
    ("ports", #"{"containerPort":3}"#, "containerPort", "3 1 2"),
    ("volumeMounts", #"{"mountPath":"/n"}"#, "mountPath", "/n /a /b"),
  ])
  func everyMergedListFollowsThePatch(list: String, element: String, key: String, found: String) throws {
    let pod = #"""
      {"spec":{"containers":[{"name":"c","env":[{"name":"A"},{"name":"B"}],
       "ports":[{"containerPort":1},{"containerPort":2}],"volumeMounts":[{"mountPath":"/a"},{"mountPath":"/b"}]}]}}
      """#
    let merged = try kind("v1", "Pod").strategicMerge(
      JSON.parse("{\"spec\":{\"containers\":[{\"name\":\"c\",\"\(list)\":[\(element)]}]}}"), into: JSON.parse(pod))
    let elements = merged.at("spec", "containers")?.array?.first?[list]?.array ?? []
    let names = elements.map { $0[key]?.string ?? "\($0[key]?.int ?? 0)" }
    #expect(names.joined(separator: " ") == found)
  }

  @Test func malformedPatchesAreNamed() throws {
    func failure(_ patch: String) -> String {
      do { _ = try merge("{}", patch); return "" } catch { return "\(error)" }
    }
    #expect(
      failure(#"{"spec":{"containers":[{"image":"x"}]}}"#)
        == "spec.containers[0].name: Required value: the list is merged by this field")
    #expect(
      failure(#"{"spec":{"$patch":"explode"}}"#)
        == #"spec.$patch: Unsupported value: "explode": supported values: "replace", "delete", "merge""#)
    #expect(
      failure(#"{"spec":{"$setElementOrder/containers":1,"containers":[]}}"#)
        == "spec.$setElementOrder/containers: Invalid value: 1: must be a list")
    #expect(failure(#"{"spec":{"containers":["x"]}}"#).contains("must be an object"))
  }
}
