import HTTP
import KubeClient
import KubeTypes
import Schema
import Store
import Testing
import Wire

@testable import APIServer

/// A kind in two versions, which call its colour differently: `spec.colour` and `spec.light.colour`.
private enum Lamps {
  static let name = "lamps.lamps.test"

  static func resource(_ version: String) -> GroupVersionResource {
    GroupVersionResource(group: "lamps.test", version: version, resource: "lamps")
  }

  private static func kind(_ version: String) -> GroupVersionKind {
    GroupVersionKind(group: "lamps.test", version: version, kind: "Lamp")
  }

  private static func source(_ version: String, _ spec: String) -> (name: String, text: String) {
    (
      name: "lamps.\(version)",
      text: """
      schema lamps.test/\(version) as lamps\(version) priority 100 \(version == "v2" ? 20 : 10)

      kind Lamp
        @resource lamps lamp lp
        metadata meta.ObjectMeta 1 omitempty
        spec LampSpec 2 omitempty

      struct LampSpec
      \(spec)
      """
    )
  }

  /// - Parameter stored: the version that objects are stored in.
  static func definition(stored: String = "v2") -> KindDefinition {
    let toNew: @Sendable (inout JSON) -> Void = { lamp in
      guard let colour = lamp.at("spec", "colour") else { return }
      lamp["spec"] = ["light": ["colour": colour]]
    }
    let toOld: @Sendable (inout JSON) -> Void = { lamp in
      guard let colour = lamp.at("spec", "light", "colour") else { return }
      lamp["spec"] = ["colour": colour]
    }
    let place = stored == "v2" ? "spec.light.colour" : "spec.colour"
    let other = stored == "v2" ? "v1" : "v2"
    let conversion = KindConversion(
      served: kind(other), storage: kind(stored), resource: "lamps", toStorage: stored == "v2" ? toNew : toOld,
      fromStorage: stored == "v2" ? toOld : toNew)
    return KindDefinition(
      name: name,
      sources: [
        source("v1", "  colour string 1 omitempty"),
        source("v2", "  light Light 1 omitempty\n\nstruct Light\n  colour string 1 omitempty"),
      ],
      strategies: [
        KindStrategy(
          kind("v1"), conversion: stored == "v1" ? nil : conversion,
          selectableFields: [SelectableField("spec.colour", at: place)]),
        KindStrategy(
          kind("v2"), conversion: stored == "v2" ? nil : conversion,
          selectableFields: [SelectableField("spec.light.colour", at: place)]),
      ])
  }

  static func colour(_ object: JSON) -> String {
    object["apiVersion"] == "lamps.test/v1"
      ? object.at("spec", "colour")?.string ?? "" : object.at("spec", "light", "colour")?.string ?? ""
  }
}

@Suite(.timeLimit(.minutes(1))) struct KindTests {
  private func create(_ fixture: Fixture, _ version: String, _ name: String, _ spec: JSON) async throws -> JSON {
    try await fixture.client.create(
      Lamps.resource(version), namespace: "default", name: nil, subresource: nil,
      body: ["metadata": ["name": .string(name)], "spec": spec], options: WriteOptions()
    ).json()
  }

  private func list(_ fixture: Fixture, _ version: String, fields: String = "") async throws -> [JSON] {
    try await fixture.client.list(
      Lamps.resource(version), namespace: nil, options: ListOptions(fieldSelector: fields)
    ).items.map { $0.json() }
  }

  private func watch(_ fixture: Fixture, _ version: String, fields: String = "") async throws -> WatchStream {
    try await fixture.client.watch(
      Lamps.resource(version), namespace: nil,
      options: ListOptions(fieldSelector: fields, resourceVersion: String(fixture.store.revision)))
  }

  /// What a watch tells until it ends.
  private func events(_ stream: WatchStream) async throws -> [String] {
    var seen: [String] = []
    for try await event in stream {
      switch event {
      case .added(let object): seen.append("+\(object.header.name) \(Lamps.colour(object.json()))")
      case .modified(let object): seen.append("~\(object.header.name) \(Lamps.colour(object.json()))")
      case .deleted(let object): seen.append("-\(object.header.name) \(Lamps.colour(object.json()))")
      case .bookmark: break
      }
    }
    return seen
  }

  private func document(_ fixture: Fixture, _ path: String, accept: String? = nil, ifNoneMatch: String? = nil) throws
    -> (code: Int, tag: String?, json: JSON)?
  {
    let reply = fixture.server.router.documents.reply(
      path, accept: accept, ifNoneMatch: ifNoneMatch, query: Query(""))
    guard let reply, case .bytes(let bytes) = reply.body else { return nil }
    return (
      reply.code, reply.headers.first { $0.0 == "ETag" }?.1, bytes.isEmpty ? .null : try JSON.parse(bytes)
    )
  }

  @Test func aKindIsServedInEachOfItsVersions() async throws {
    try await Fixture.run { fixture in
      #expect(await refusal { _ = try await list(fixture, "v1") }?.code == 404)
      try fixture.kinds.add(Lamps.definition())
      let streams = [
        try await watch(fixture, "v1"), try await watch(fixture, "v2"),
        try await watch(fixture, "v1", fields: "spec.colour=red"),
        try await watch(fixture, "v2", fields: "spec.light.colour=red"),
      ]
      let first = try await create(fixture, "v1", "a", ["colour": "red"])
      #expect(first["apiVersion"] == "lamps.test/v1" && Lamps.colour(first) == "red")
      let second = try await create(fixture, "v2", "b", ["light": ["colour": "blue"]])
      #expect(second["apiVersion"] == "lamps.test/v2" && Lamps.colour(second) == "blue")
      for version in ["v1", "v2"] {
        let lamps = try await list(fixture, version)
        #expect(lamps.map { $0["apiVersion"] } == Array(repeating: .string("lamps.test/\(version)"), count: 2))
        #expect(lamps.map(Lamps.colour) == ["red", "blue"])
      }
      // One of a version is no body for the other's URL.
      #expect(
        await refusal {
          _ = try await fixture.client.update(
            Lamps.resource("v1"), namespace: "default", name: "b", subresource: nil, body: second,
            options: WriteOptions())
        }?.code == 400)
      _ = try await fixture.client.patch(
        Lamps.resource("v1"), namespace: "default", name: "b", subresource: nil, type: .merge,
        body: ["spec": ["colour": "red"]], options: WriteOptions())
      #expect(try await list(fixture, "v2", fields: "spec.light.colour=red").count == 2)
      // They are one collection, stored in one form.
      let stored = try fixture.store.list(prefix: "lamps.test/lamps/").entries
      #expect(stored.map { JSON.scalar(at: ["apiVersion"], of: $0.value) } == ["lamps.test/v2", "lamps.test/v2"])
      _ = try await fixture.client.delete(
        Lamps.resource("v1"), namespace: "default", name: "a", options: DeleteOptions())

      await fixture.settle()
      try fixture.kinds.remove(Lamps.name)
      let all = ["+a red", "+b blue", "~b red", "-a red"]
      for stream in streams[..<2] { #expect(try await events(stream) == all) }
      for stream in streams[2...] { #expect(try await events(stream) == ["+a red", "+b red", "-a red"]) }
      for version in ["v1", "v2"] {
        #expect(await refusal { _ = try await list(fixture, version) }?.code == 404)
        #expect(await refusal { _ = try await watch(fixture, version) }?.code == 404)
        #expect(await refusal { _ = try await create(fixture, version, "c", [:]) }?.code == 404)
      }
    }
  }

  @Test func whatIsInAnOlderFormIsConvertedWhenItIsRead() async throws {
    try await Fixture.run { fixture in
      try fixture.kinds.add(Lamps.definition(stored: "v1"))
      for (name, colour) in [("a", "red"), ("b", "blue")] as [(String, JSON)] {
        _ = try await create(fixture, "v2", name, ["light": ["colour": colour]])
      }
      func forms() throws -> [String?] {
        try fixture.store.list(prefix: "lamps.test/lamps/").entries.map {
          JSON.scalar(at: ["apiVersion"], of: $0.value)
        }
      }
      #expect(try forms() == ["lamps.test/v1", "lamps.test/v1"])
      let old = try await watch(fixture, "v1")
      await fixture.settle()
      try fixture.kinds.replace(Lamps.definition(stored: "v2"))
      // Who watches begins again, with what is served now.
      #expect(try await events(old) == [])
      for version in ["v1", "v2"] {
        let lamps = try await list(fixture, version)
        #expect(lamps.map { $0["apiVersion"] } == Array(repeating: .string("lamps.test/\(version)"), count: 2))
        #expect(lamps.map(Lamps.colour) == ["red", "blue"])
      }
      #expect(try await list(fixture, "v2", fields: "spec.light.colour=red").map(Lamps.colour) == ["red"])
      #expect(try await list(fixture, "v1", fields: "spec.colour=red").map(Lamps.colour) == ["red"])
      let streams = [
        try await watch(fixture, "v2", fields: "spec.light.colour=red"),
        try await watch(fixture, "v1", fields: "spec.colour=red"),
      ]
      // A write without a change brings an object into the new form.
      let same = try await list(fixture, "v2")[0]
      _ = try await fixture.client.update(
        Lamps.resource("v2"), namespace: "default", name: "a", subresource: nil, body: same, options: WriteOptions())
      #expect(try forms() == ["lamps.test/v2", "lamps.test/v1"])
      // One in the old form that did not match is known not to have matched.
      _ = try await fixture.client.patch(
        Lamps.resource("v1"), namespace: "default", name: "b", subresource: nil, type: .merge,
        body: ["spec": ["colour": "red"]], options: WriteOptions())
      await fixture.settle()
      try fixture.kinds.remove(Lamps.name)
      for stream in streams { #expect(try await events(stream) == ["~a red", "+b red"]) }
    }
  }

  @Test func documentsFollow() async throws {
    try await Fixture.run { fixture in
      let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
      func groups(_ list: JSON?) -> [String] { (list?.array ?? []).compactMap { $0["name"]?.string } }
      func discovered(_ list: JSON?) -> [String] {
        (list?.array ?? []).compactMap { $0.at("metadata", "name")?.string }
      }
      let before = try #require(try document(fixture, "/apis", accept: aggregated))
      let tag = try #require(before.tag)
      #expect(try document(fixture, "/apis", accept: aggregated, ifNoneMatch: tag)?.code == 304)
      let core = try #require(try document(fixture, "/api", accept: aggregated)?.tag)
      let index = try #require(try document(fixture, "/openapi/v3")?.json)
      let pods = index.at("paths", "api/v1", "serverRelativeURL")
      #expect(try document(fixture, "/apis/lamps.test") == nil)

      try fixture.kinds.add(Lamps.definition())
      let after = try #require(try document(fixture, "/apis", accept: aggregated, ifNoneMatch: tag))
      #expect(after.code == 200 && after.tag != tag)
      #expect(!discovered(before.json["items"]).contains("lamps.test"))
      #expect(discovered(after.json["items"]).contains("lamps.test"))
      #expect(try document(fixture, "/api", accept: aggregated, ifNoneMatch: core)?.code == 304)
      #expect(groups(try document(fixture, "/apis")?.json["groups"]).contains("lamps.test"))
      let group = try #require(try document(fixture, "/apis/lamps.test")?.json)
      #expect(group.at("preferredVersion", "version") == "v2" && group["versions"]?.array?.count == 2)
      for version in ["v1", "v2"] {
        let resources = try document(fixture, "/apis/lamps.test/\(version)")?.json["resources"]
        #expect(groups(resources) == ["lamps"])
        let schemas = try document(fixture, "/openapi/v3/apis/lamps.test/\(version)")?.json.at("components", "schemas")
        #expect(schemas?["test.lamps.\(version).Lamp"] != nil)
      }
      let newIndex = try #require(try document(fixture, "/openapi/v3")?.json)
      #expect(
        newIndex.at("paths", "apis/lamps.test/v1") != nil && newIndex.at("paths", "api/v1", "serverRelativeURL") == pods
      )

      try fixture.kinds.remove(Lamps.name)
      let last = try #require(try document(fixture, "/apis", accept: aggregated, ifNoneMatch: after.tag))
      #expect(last.code == 200 && last.tag == tag && last.json == before.json)
      #expect(try document(fixture, "/apis/lamps.test") == nil)
      #expect(try document(fixture, "/apis/lamps.test/v1") == nil)
      #expect(try document(fixture, "/openapi/v3/apis/lamps.test/v1") == nil)
      #expect(try document(fixture, "/openapi/v3")?.json == index)
    }
  }

  /// The store finds the watches of an added kind by a field, as those of a built-in one.
  @Test func watchesOfAFieldAreFound() async throws {
    try await Fixture.run { fixture in
      let lamp = GroupVersionKind(group: "lamps.test", version: "v1", kind: "Lamp")
      try fixture.kinds.add(
        KindDefinition(
          name: Lamps.name,
          sources: [
            (
              name: "lamps.v1",
              text: """
              schema lamps.test/v1 as lamps priority 100 10

              kind Lamp
                @resource lamps lamp
                metadata meta.ObjectMeta 1 omitempty
                spec LampSpec 2 omitempty

              struct LampSpec
                colour string 1 omitempty
              """
            )
          ], strategies: [KindStrategy(lamp, selectableFields: ["spec.colour"])]))
      let kind = try #require(fixture.kinds.current.kind(lamp))
      var fields: [Store.Field] = []
      for _ in 0..<2 {
        let selector = try ObjectSelector(labels: "", fields: "spec.colour=red", kind: kind)
        guard case .field(let field, value: "red")? = selector.sieve else {
          Issue.record("the selector has no sieve")
          return
        }
        fields.append(field)
      }
      #expect(fields[0] === fields[1])
      let stream = try await watch(fixture, "v1", fields: "spec.colour=red")
      for colour in ["red", "blue"] { _ = try await create(fixture, "v1", colour, ["colour": .string(colour)]) }
      await fixture.settle()
      try fixture.kinds.remove(Lamps.name)
      #expect(try await events(stream) == ["+red red"])
    }
  }
}
