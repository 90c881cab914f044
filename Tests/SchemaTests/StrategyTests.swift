import Testing
import Wire

@testable import Schema

@Suite struct StrategyTests {
  private let lamp = GroupVersionKind(group: "lamps.test", version: "v1", kind: "Lamp")
  private let source = (
    name: "lamps.v1",
    text: """
    schema lamps.test/v1 as lamps priority 100 5

    kind Lamp
      @resource lamps lamp
      @subresource status get,patch,update
      @column string/name Name
      @column string Colour
      metadata meta.ObjectMeta 1 omitempty
      spec LampSpec 2 omitempty
      status LampStatus 3 omitempty

    struct LampSpec
      colour string 1 omitempty

    struct LampStatus
      isOn bool 1 omitempty
    """
  )

  @Test func eachBelongsToADeclaredKind() {
    for strategy in KindStrategy.builtin {
      #expect(SchemaRegistry.builtin.kind(strategy.kind) != nil, "\(strategy.kind)")
    }
  }

  @Test func noneIsListedTwice() {
    let repeated = Dictionary(grouping: KindStrategy.builtin, by: \.kind).filter { $1.count > 1 }
    #expect(repeated.keys.map(\.description) == [])
  }

  /// A conversion that led elsewhere, or a field that is nowhere, would be found by a request only.
  @Test func whatTheyNameIsThere() {
    for strategy in KindStrategy.builtin {
      let stored = strategy.conversion?.storage ?? strategy.kind
      guard let root = SchemaRegistry.builtin.kind(stored)?.root else {
        Issue.record("\(strategy.kind) is stored as a kind that is not there")
        continue
      }
      for field in strategy.selectableFields {
        for path in field.place.paths { #expect(Self.has(path, root), "\(strategy.kind): \(field.name)") }
      }
      #expect(Set(strategy.selectableFields.map(\.name)).count == strategy.selectableFields.count, "\(strategy.kind)")
    }
  }

  private static func has(_ path: [String], _ root: StructSchema) -> Bool {
    var structure: StructSchema? = root
    for name in path {
      guard let field = structure?.field(name) else { return false }
      structure = field.type.structure
    }
    return true
  }

  @Test func aCapabilityBringsItsOwn() throws {
    let strategy = KindStrategy(
      lamp, nameProblems: { $0 == "sun" ? ["is no lamp"] : [] },
      defaults: { lamp in if lamp.at("spec", "colour") == nil { lamp["spec"]?["colour"] = "white" } },
      validate: { validator, lamp, _ in
        if lamp.at("spec", "colour") == "black" { validator.invalid(.of("spec", "colour"), "black", "gives no light") }
      },
      warn: { warner, lamp, old in
        if old == nil, lamp.at("spec", "colour") == "red" { warner.warn(.of("spec", "colour"), "may alarm people") }
      },
      cells: { ["Colour": $0.text($0.spec["colour"])] }, countsGeneration: false)
    let registry = try SchemaRegistry.builtin(and: [source], strategies: [strategy])
    let kind = try #require(registry.kind(lamp))
    var object: JSON = ["metadata": ["name": "a"]]
    kind.applyDefaults(&object)
    #expect(object.at("spec", "colour") == "white")
    #expect(kind.validate(object, old: nil) == [])
    #expect(kind.tableRow(object, now: Timestamp(microseconds: 0)) == ["a", "white"])
    object["spec"] = ["colour": "red"]
    #expect(kind.warnings(object, old: nil) == ["spec.colour: may alarm people"])
    #expect(kind.warnings(object, old: object) == [])
    let black: JSON = ["metadata": ["name": "sun"], "spec": ["colour": "black"]]
    #expect(
      kind.validate(black, old: nil).map(\.description) == [
        "metadata.name: Invalid value: \"sun\": is no lamp", "spec.colour: Invalid value: \"black\": gives no light",
      ])
    #expect(!kind.tracksGeneration)
    // Without one, a kind is what its declaration says.
    let plain = try #require(try SchemaRegistry.builtin(and: [source]).kind(lamp))
    #expect(plain.tracksGeneration)
    #expect(plain.validate(["metadata": ["name": "b"], "spec": ["colour": "black"]], old: nil) == [])
    // The built-in kinds keep theirs.
    #expect(registry.kind(.core("Pod"))?.strategy.gracePeriod != nil)
  }

  @Test func refusesThoseWithoutAKindOfTheirOwn() {
    func refusal(_ strategies: [KindStrategy]) -> String {
      do {
        _ = try SchemaRegistry.builtin(and: [source], strategies: strategies)
        return ""
      } catch { return error.message }
    }
    #expect(refusal([KindStrategy(lamp)]) == "")
    #expect(refusal([KindStrategy(lamp), KindStrategy(lamp)]) == "`lamps.test/v1, Kind=Lamp` has two")
    #expect(refusal([KindStrategy(.core("Pod"))]) == "`v1, Kind=Pod` has two")
    let other = GroupVersionKind(group: "lamps.test", version: "v2", kind: "Lamp")
    #expect(refusal([KindStrategy(other)]) == "no declaration of `lamps.test/v2, Kind=Lamp`")
  }
}
