import Synchronization
import Testing
import Wire

@testable import Schema

@Suite struct KindRegistryTests {
  private static func lamp(_ version: String = "v1", _ group: String = "lamps.test") -> GroupVersionKind {
    GroupVersionKind(group: group, version: version, kind: "Lamp")
  }

  private static func source(
    _ version: String = "v1", group: String = "lamps.test", alias: String? = nil, kind: String = "Lamp",
    resource: String = "@resource lamps lamp lp", scope: String = "namespaced"
  ) -> (name: String, text: String) {
    (
      name: "\(group).\(version)",
      text: """
      schema \(group)/\(version) as \(alias ?? "lamps" + version) priority 100 5

      kind \(kind)
        \(resource)
        @scope \(scope)
        metadata meta.ObjectMeta 1 omitempty
        spec \(kind)Spec 2 omitempty

      struct \(kind)Spec
        colour string 1 omitempty
      """
    )
  }

  private static func conversion(_ served: String, _ stored: String, resource: String = "lamps") -> KindConversion {
    KindConversion(
      served: lamp(served), storage: lamp(stored), resource: resource, toStorage: { _ in }, fromStorage: { _ in })
  }

  private func refusal(_ kinds: KindRegistry, _ definition: KindDefinition) -> String {
    let generation = kinds.current.generation
    do {
      try kinds.add(definition)
      return ""
    } catch {
      #expect(kinds.current.generation == generation)
      return "\(error.reason): \(error)"
    }
  }

  @Test func snapshotsFollowOneAnother() throws {
    let kinds = KindRegistry(.builtin)
    let seen = Mutex<[String]>([])
    kinds.observe { old, new in
      seen.withLock { $0.append("\(old?.generation ?? -1) \(new.generation)") }
    }
    let first = kinds.current
    try kinds.add(KindDefinition(name: "lamps", sources: [Self.source()]))
    let second = kinds.current
    let lamp = try #require(second.kind(Self.lamp()))
    #expect(first.kind(Self.lamp()) == nil && second.serves(lamp) && lamp.definition == "lamps")
    #expect(second.groupVersions.count == first.groupVersions.count + 1)
    // What is there is not linked again.
    #expect(first.kinds.allSatisfy { second.serves($0) })
    try kinds.add(
      KindDefinition(
        name: "bulbs", sources: [Self.source(alias: "bulbs", kind: "Bulb", resource: "@resource bulbs bulb")]))
    #expect(kinds.current.kinds(in: GroupVersion(group: "lamps.test", version: "v1")).map(\.kind) == ["Lamp", "Bulb"])
    #expect(kinds.current.groupVersions == second.groupVersions)
    try kinds.replace(KindDefinition(name: "lamps", sources: [Self.source()]))
    #expect(!kinds.current.serves(lamp) && kinds.current.kind(Self.lamp()) != nil)
    try kinds.remove("lamps")
    #expect(kinds.current.definitionNames == ["bulbs"] && kinds.current.kind(Self.lamp()) == nil)
    #expect(kinds.current.structure("lampsv1.LampSpec") == nil && kinds.current.structure("bulbs.BulbSpec") != nil)
    #expect(seen.withLock { $0 } == ["-1 0", "0 1", "1 2", "2 3", "3 4"])
    #expect(throws: KindError(.unknown, "`lamps` was not added")) { try kinds.remove("lamps") }
    #expect(throws: KindError(.unknown, "`lamps` was not added")) {
      try kinds.replace(KindDefinition(name: "lamps", sources: []))
    }
  }

  @Test func namesBelongToOne() throws {
    let kinds = KindRegistry(.builtin)
    try kinds.add(KindDefinition(name: "lamps", sources: [Self.source()]))
    func refused(_ name: String, _ source: (name: String, text: String)) -> String {
      refusal(kinds, KindDefinition(name: name, sources: [source]))
    }
    #expect(refused("lamps", Self.source("v2")) == "exists: `lamps` is there already")
    #expect(refused("a", Self.source("v2")) == "taken: the kind `Lamp` of lamps.test is taken by `lamps`")
    #expect(
      refused("a", Self.source("v2", kind: "Torch", resource: "@resource torches torch lp"))
        == "taken: the resource name `lp` of lamps.test is taken by `lamps`")
    #expect(
      refused("a", Self.source("v2", kind: "LampList", resource: "@resource lists list"))
        == "taken: the kind `LampList` of lamps.test is taken by `lamps`")
    #expect(
      refused("a", Self.source("v2", group: "other.test", alias: "lampsv1"))
        == "taken: the struct `lampsv1.Lamp` of other.test/v2 is taken by `lamps`")
    #expect(
      refused("a", Self.source("v9", group: "apps", kind: "Torch", resource: "@resource deployments torch"))
        == "taken: the resource name `deployments` of apps is taken by the built-in kinds")
    // The same names in another group are others.
    #expect(refused("b", Self.source(group: "more.test", alias: "more")) == "")
    // Nothing of other definitions can be named: they may go.
    let borrowing = Self.source(
      alias: "c", kind: "Torch", resource: "@resource torches torch\n  spare lampsv1.LampSpec 3 omitempty")
    #expect(refused("c", borrowing).hasPrefix("invalid: lamps.test.v1:"))
  }

  @Test func namesAreValid() {
    let kinds = KindRegistry(.builtin)
    func refused(_ source: (name: String, text: String)) -> String {
      refusal(kinds, KindDefinition(name: "x", sources: [source]))
    }
    #expect(refused(Self.source(group: "Lamps_test")).hasPrefix("invalid: `Lamps_test/v1, Kind=Lamp`: the group"))
    #expect(refused(Self.source("V1")).contains("the version \"V1\" is not valid"))
    #expect(refused(Self.source(resource: "@resource Lamps lamp")).contains("the resource \"Lamps\" is not valid"))
    #expect(refused(Self.source(resource: "@resource lamps lamp L")).contains("the short name \"L\" is not valid"))
    #expect(
      refused((name: "v9", text: Self.source().text.replacing("lamps.test/v1", with: "v9")))
        == "invalid: `v9, Kind=Lamp`: a kind cannot be added to the core group")
    #expect(
      refused(Self.source(resource: "@categories all")) == "invalid: no kind is declared with a `@resource`")
    #expect(
      refused(Self.source(resource: "@resource lamps lamp\n  @subresource scale get nothing.test/v1 Scale"))
        == "invalid: `lamps.test/v1, Kind=Lamp`: `scale` exchanges `nothing.test/v1, Kind=Scale`, which is not declared"
    )
  }

  @Test func versionsAreOfOneKind() {
    let kinds = KindRegistry(.builtin)
    func refused(
      _ sources: [(name: String, text: String)], _ strategies: [KindStrategy] = []
    ) -> String { refusal(kinds, KindDefinition(name: "x", sources: sources, strategies: strategies)) }
    let converted = [KindStrategy(Self.lamp("v1"), conversion: Self.conversion("v1", "v2"))]
    #expect(
      refused([Self.source("v1"), Self.source("v2")])
        == "invalid: one version of `Lamp.lamps.test` has to be the stored one, which has no conversion; these are 2: v1, v2"
    )
    #expect(
      refused([Self.source("v1"), Self.source("v2", resource: "@resource lights light")], converted)
        == "invalid: strategies:1: `lamps.test/v1, Kind=Lamp` is stored at `lamps.test/v2, Resource=lamps`, and "
        + "`lamps.test/v2, Kind=Lamp` at `lamps.test/v2, Resource=lights`")
    #expect(
      refused([Self.source("v1"), Self.source("v2", scope: "cluster")], converted).hasSuffix(
        "is in namespaces, the other not"))
    #expect(refused([Self.source("v1")], converted).hasSuffix("`lamps.test/v2, Kind=Lamp`, which is not declared"))
    #expect(
      refused([Self.source("v1")], [KindStrategy(Self.lamp("v3"))])
        == "invalid: no declaration of `lamps.test/v3, Kind=Lamp`")
    // One that is not served any more may be what is stored.
    #expect(refused([Self.source("v1", resource: "@categories all"), Self.source("v2")], converted) == "")
    #expect(kinds.current.resource(.init(group: "lamps.test", version: "v1", resource: "lamps")) == nil)
    #expect(
      kinds.current.kind(Self.lamp("v2"))?.stored(["apiVersion": "lamps.test/v1"])["apiVersion"] == "lamps.test/v2")
  }

  /// Those of capabilities and of definitions alike.
  @Test func whatStrategiesNameIsThere() {
    func problem(_ strategy: KindStrategy) -> String {
      do {
        _ = try SchemaRegistry.builtin(and: [Self.source()], strategies: [strategy])
        return ""
      } catch { return error.message }
    }
    let kind = "`lamps.test/v1, Kind=Lamp`"
    #expect(problem(KindStrategy(Self.lamp(), selectableFields: ["spec.colour"])) == "")
    #expect(problem(KindStrategy(Self.lamp(), selectableFields: [SelectableField("a", at: "metadata.labels.x")])) == "")
    #expect(
      problem(KindStrategy(Self.lamp(), selectableFields: ["spec.color"]))
        == "\(kind) can be selected by `spec.color`, but \(kind) has no field `spec.color`")
    #expect(
      problem(KindStrategy(Self.lamp(), selectableFields: ["spec.colour", "spec.colour"]))
        == "\(kind) can be selected by `spec.colour` twice")
    #expect(
      problem(KindStrategy(Self.lamp(), conversion: Self.conversion("v1", "v2")))
        == "\(kind) is stored as `lamps.test/v2, Kind=Lamp`, which is not declared")
    #expect(
      problem(KindStrategy(Self.lamp(), conversion: Self.conversion("v1", "v1")))
        == "\(kind) is stored as \(kind), which is not stored as it is")
  }
}
