import TestKit
import Testing
import Wire

@testable import Schema

@Suite struct DeclarationTests {
  private func failure(_ text: String) -> String {
    do {
      _ = try SchemaRegistry(sources: [(name: "x.v1", text: text)])
      return ""
    } catch {
      return error.description
    }
  }

  @Test func errorsNameFileAndLine() {
    #expect(failure("") == "x.v1:1: expected a line `schema GROUP/VERSION as NAME`")
    #expect(failure("struct A") == "x.v1:1: expected a line `schema GROUP/VERSION as NAME` first")
    let head = "schema x/v1 as x\n"
    #expect(
      failure(head + "thing A") == "x.v1:2: unknown declaration `thing`; expected `schema`, `enum`, `kind` or `struct`")
    #expect(failure(head + "\nstruct A\n  b Missing 1") == "x.v1:4: unknown type of field `b`")
    #expect(
      failure(head + "struct A\n  b string x") == "x.v1:3: `x` of field `b` is no protobuf number; write `-` for none")
    #expect(failure(head + "struct A\n  b string 1 wrong") == "x.v1:3: unknown word `wrong`")
    #expect(failure(head + "struct A\n  b [string 1") == "x.v1:3: `[string` is no type")
    #expect(failure(head + "struct A\n  b string 1 default={").hasPrefix("x.v1:3: the default of `b` is no JSON value"))
    #expect(failure(head + "struct A\n  b string 1\n  b string 2") == "x.v1:2: `A` has two fields `b`")
    #expect(failure(head + "struct A\nstruct A") == "x.v1:3: `A` is declared twice")
    #expect(failure(head + "struct A\n  @scope cluster") == "x.v1:3: only a `kind` has `@` lines")
    #expect(failure(head + "kind A\n  @scope here") == "x.v1:3: `@scope` is `cluster` or `namespaced`")
    #expect(failure(head + "struct A\n  ...A 1") == "x.v1:3: structs embed one another more than four levels deep")
    #expect(failure(head + "struct A\n  b [string] 1 keys=name") == "x.v1:3: `keys=` needs a list of structs")
    #expect(failure(head + "  b string 1") == "x.v1:2: an indented line stands below a `kind` or a `struct`")
  }

  @Test func everythingOfAFieldIsRead() throws {
    let text = """
      // A comment.
      schema example.org/v1 as example priority 100 5

      enum Color Red Green ""
      enum Shape Round open

      kind Thing  # A thing.
        @resource things thing th tg
        @categories all
        @scope cluster
        @verbs get list
        @subresource scale get,patch autoscaling/v1 Scale
        @column string/name Name
        @column integer!1 Some Count  # How many.
        metadata Meta 1 omitempty
        parts [Part] 2 omitempty merge=name retainKeys keys=name,kind  # Its parts.
        color Color? 3 omitempty default="Red"
        data {bytes} - atomic

      struct Meta
        name string 1

      struct Part
        name string 1 required nonempty
        kind Shape 2
        ...Inner 3
      struct Inner
        level int32 7 required
      """
    let registry = try SchemaRegistry(sources: [(name: "example.v1", text: text)])
    let thing = try #require(registry.kinds.first)
    #expect(thing.groupVersionResource.description == "example.org/v1, Resource=things")
    #expect(thing.description == "A thing.")
    #expect(thing.singular == "thing" && thing.shortNames == ["th", "tg"] && thing.categories == ["all"])
    #expect(!thing.isNamespaced && thing.verbs == ["get", "list"] && thing.listKind == "ThingList")
    #expect(thing.subresource("scale")?.kind?.description == "autoscaling/v1, Kind=Scale")
    #expect(thing.columns.map(\.name) == ["Name", "Some Count"])
    #expect(thing.columns.map(\.priority) == [0, 1] && thing.columns[0].format == "name")
    #expect(thing.root.fields.map(\.name) == ["apiVersion", "kind", "metadata", "parts", "color", "data"])
    let parts = try #require(thing.root.field("parts"))
    #expect(parts.patch == PatchStrategy(mergesElements: true, mergeKey: "name", replaces: false, retainsKeys: true))
    #expect(parts.listType == .map(keys: ["name", "kind"]) && parts.description == "Its parts.")
    #expect(thing.root.field("color")?.defaultValue == "Red" && thing.root.field("color")?.isPointer == true)
    #expect(thing.root.field("data")?.isAtomic == true && thing.root.field("data")?.number == 0)
    let level = try #require(parts.type.structure?.field("level"))
    #expect(level.embedding == [3] && level.number == 7)
  }

  @Test func theParserNeverFailsOtherwiseThanWithAnError() {
    var random = SeededGenerator(seed: 7)
    let sample = Array(
      "schema x/v1 as x\nenum E A B\nkind K # d\n  @resource ks k\n  @column string!1 N\n  a [core.T]? 1 keys=a merge=b\n"
        .utf8)
    for _ in 0..<3000 {
      var bytes = sample
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 9...126, using: &random)
        case 1: bytes.remove(at: at)
        default: bytes.insert([0x20, 0x0A, 0x23, 0x40, 0x5B, 0x3D].randomElement(using: &random) ?? 0x20, at: at)
        }
      }
      _ = try? SchemaRegistry(sources: [(name: "fuzz", text: String(decoding: bytes, as: UTF8.self))])
    }
  }
}

@Suite struct BuiltinSchemaTests {
  @Test func embeddedTextIsUpToDate() throws {
    let embedded = try Repository.read("Sources/Schema/Generated/BuiltinSchemas.swift")
    #expect(embedded == EmbedGenerator.swift(sources: try Repository.sources()), "run `schemac embed`")
  }

  @Test func generatedViewsAreUpToDate() throws {
    let registry = try SchemaRegistry(sources: try Repository.sources())
    let files = ViewGenerator.files(registry: registry)
    #expect(try Repository.list("Sources/KubeTypes/Generated") == files.map(\.name).sorted())
    for file in files {
      #expect(try Repository.read("Sources/KubeTypes/Generated/\(file.name)") == file.text, "run `schemac generate`")
    }
  }

  @Test func theKindsThatKubernetesServesAreThere() throws {
    let registry = SchemaRegistry.builtin
    #expect(registry.kinds.count >= 70)
    #expect(registry.groupVersions.first?.description == "v1")
    let pods = try #require(registry.resource(GroupVersionResource(group: "", version: "v1", resource: "pods")))
    #expect(pods.kind == "Pod" && pods.shortNames == ["po"] && pods.isNamespaced && pods.categories == ["all"])
    #expect(
      Set(pods.subresources).isSuperset(of: ["status", "log", "exec", "attach", "portforward", "eviction", "binding"]))
    #expect(pods.columns.prefix(5).map(\.name) == ["Name", "Ready", "Status", "Restarts", "Age"])
    #expect(try kind("v1", "Node").isNamespaced == false)
    #expect(try kind("apps/v1", "Deployment").subresource("scale")?.kind?.kind == "Scale")
    #expect(try kind("v1", "ServiceAccount").subresource("token")?.kind?.kind == "TokenRequest")
    #expect(try kind("autoscaling/v1", "Scale").isServed == false)
    // The preferred version of a group comes first.
    let autoscaling = registry.groupVersions.filter { $0.group == "autoscaling" }.map(\.version)
    #expect(autoscaling == ["v2", "v1"])
    for kind in registry.kinds {
      #expect(!kind.columns.isEmpty || kind.verbs == ["create"], "\(kind.kind) has no columns")
      #expect(!kind.description.isEmpty, "\(kind.kind) has no description")
    }
  }

  @Test func mergeKeysAreThere() throws {
    let spec = try #require(SchemaRegistry.builtin.structure("core.PodSpec"))
    #expect(spec.field("containers")?.patch.mergeKey == "name")
    #expect(spec.field("volumes")?.patch.retainsKeys == true)
    #expect(spec.field("volumes")?.type.structure?.field("emptyDir")?.embedding == [2])
  }
}
