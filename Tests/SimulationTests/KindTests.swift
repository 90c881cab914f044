import ControllerKit
import KubeClient
import KubeTypes
import Schema
import TestKit
import Testing
import Wire

@testable import APIServer

/// A kind in two versions that comes while the server and its controllers run, and goes again.
@Suite struct KindTests {
  private static let folder = TemporaryFolder()
  private static let configMaps = GroupVersionResource(group: "", version: "v1", resource: "configmaps")
  private static let namespaces = GroupVersionResource(group: "", version: "v1", resource: "namespaces")

  private static func lamps(_ version: String) -> GroupVersionResource {
    GroupVersionResource(group: "lamps.test", version: version, resource: "lamps")
  }

  private static func source(_ version: String, _ field: String) -> (name: String, text: String) {
    (
      name: "lamps.\(version)",
      text: """
      schema lamps.test/\(version) as lamps\(version) priority 100 \(version == "v2" ? 20 : 10)

      kind Lamp
        @resource lamps lamp
        metadata meta.ObjectMeta 1 omitempty
        \(field) string 2 omitempty
      """
    )
  }

  private static let definition: KindDefinition = {
    func kind(_ version: String) -> GroupVersionKind {
      GroupVersionKind(group: "lamps.test", version: version, kind: "Lamp")
    }
    return KindDefinition(
      name: "lamps.lamps.test", sources: [source("v1", "color"), source("v2", "colour")],
      strategies: [
        KindStrategy(
          kind("v1"),
          conversion: KindConversion(
            served: kind("v1"), storage: kind("v2"), resource: "lamps",
            toStorage: {
              $0["colour"] = $0["color"]
              $0["color"] = nil
            },
            fromStorage: {
              $0["color"] = $0["colour"]
              $0["colour"] = nil
            }))
      ])
  }()

  @Test func whatFollowsKindsFollowsTheirChanges() async throws {
    for seed in 1...3 as ClosedRange<UInt64> {
      let cluster = Cluster(seed: seed, directory: Self.folder.path)
      cluster.calm()
      let executor = cluster.simulator.executor
      _ = try cluster.simulator.run {
        try await EventRecorder.$executor.withValue(executor) {
          try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await cluster.runServer() }
            try await Self.live(cluster)
            group.cancelAll()
            do { try await group.waitForAll() } catch is CancellationError {}
          }
        }
      }
      for server in cluster.servers { await server.shutdown() }
      #expect(cluster.violations.isEmpty, "seed \(seed): \(cluster.violations.prefix(5))")
    }
  }

  /// Waits for what controllers do, for an hour of the simulation at most.
  private static func until(
    _ cluster: Cluster, _ what: Comment, _ condition: () async throws -> Bool
  ) async throws {
    for _ in 0..<3600 {
      if try await condition() { return }
      try await cluster.clock.sleep(for: .seconds(1))
    }
    Issue.record(what)
  }

  private static func live(_ cluster: Cluster) async throws {
    try await until(cluster, "the server starts") { cluster.client != nil }
    guard let client = cluster.client, let kinds = cluster.kinds else { return }
    func create(
      _ resource: GroupVersionResource, _ name: String, in namespace: String?, owner: Object? = nil,
      finalizers: [JSON] = [], _ more: (String, JSON)? = nil
    ) async throws -> Object {
      var body: JSON = ["metadata": ["name": .string(name)]]
      if let owner {
        body["metadata"]?["ownerReferences"] = [
          [
            "apiVersion": "lamps.test/v1", "kind": "Lamp", "name": .string(owner.header.name),
            "uid": .string(owner.header.uid),
          ]
        ]
      }
      if !finalizers.isEmpty { body["metadata"]?["finalizers"] = .array(finalizers) }
      if let more { body[more.0] = more.1 }
      return try await client.create(
        resource, namespace: namespace, name: nil, subresource: nil, body: body, options: WriteOptions())
    }
    func isGone(_ resource: GroupVersionResource, _ name: String, in namespace: String?) async throws -> Bool {
      do {
        _ = try await client.get(resource, namespace: namespace, name: name)
        return false
      } catch let error as KubeError where error.reason == .notFound {
        return true
      }
    }
    for namespace in ["blue", "red"] { _ = try await create(namespaces, namespace, in: nil) }
    // Long before the kind is there: whoever has started has started.
    try await cluster.clock.sleep(for: .seconds(60))

    try kinds.add(definition)
    let watch = try await client.watch(lamps("v1"), namespace: nil, options: ListOptions())
    let owner = try await create(lamps("v1"), "owner", in: "red", ("color", "white"))
    let seen = try await client.get(lamps("v2"), namespace: "red", name: "owner").json()
    #expect(seen["colour"] == "white" && seen["apiVersion"] == "lamps.test/v2")
    // Its dependents go after it, of whatever kind they are.
    _ = try await create(configMaps, "dependent", in: "red", owner: owner)
    _ = try await create(lamps("v2"), "dependent", in: "red", owner: owner)
    _ = try await create(lamps("v2"), "free", in: "red")
    try await cluster.clock.sleep(for: .seconds(60))
    let isKept = try await isGone(configMaps, "dependent", in: "red")
    #expect(!isKept)
    _ = try await client.delete(
      lamps("v2"), namespace: "red", name: "owner", options: DeleteOptions(propagationPolicy: .foreground))
    try await until(cluster, "dependents are collected") {
      let gone = (
        try await isGone(configMaps, "dependent", in: "red"), try await isGone(lamps("v1"), "dependent", in: "red")
      )
      let isOwnerGone = try await isGone(lamps("v1"), "owner", in: "red")
      return gone.0 && gone.1 && isOwnerGone
    }
    let isFreeGone = try await isGone(lamps("v1"), "free", in: "red")
    #expect(!isFreeGone)

    // A namespace takes its lamps along.
    _ = try await create(lamps("v1"), "hall", in: "blue")
    _ = try await client.delete(namespaces, namespace: nil, name: "blue", options: DeleteOptions())
    try await until(cluster, "the namespace goes") { try await isGone(namespaces, "blue", in: nil) }

    // One that is held by a lamp is held no more when there are no lamps. A dependent of a lamp stays: nobody can say what
    // became of its owner.
    let last = try await create(lamps("v1"), "held", in: "red", finalizers: ["lamps.test/wait"])
    _ = try await create(namespaces, "green", in: nil)
    let other = try await create(lamps("v1"), "other", in: "green")
    _ = try await create(configMaps, "left", in: "green", owner: other)
    _ = try await client.delete(namespaces, namespace: nil, name: "red", options: DeleteOptions())
    try await cluster.clock.sleep(for: .seconds(60))
    let isHeld = try await isGone(namespaces, "red", in: nil)
    #expect(!isHeld && last.header.name == "held")
    try kinds.remove(definition.name)
    try await until(cluster, "the namespace is held by nothing") { try await isGone(namespaces, "red", in: nil) }
    var colours: [String] = []
    for try await event in watch {
      if case .added(let object) = event, object.header.name == "owner" {
        colours.append(object.json()["color"]?.string ?? "")
      }
    }
    #expect(colours == ["white"])
    for version in ["v1", "v2"] {
      let isServed = try await !isGone(lamps(version), "other", in: "green")
      #expect(!isServed)
    }
    try await cluster.clock.sleep(for: .seconds(60))
    let isLeft = try await !isGone(configMaps, "left", in: "green")
    #expect(isLeft)

    // When it comes back, all of it is known again.
    try kinds.add(definition)
    _ = try await client.delete(lamps("v1"), namespace: "green", name: "other", options: DeleteOptions())
    try await until(cluster, "the dependent is collected") { try await isGone(configMaps, "left", in: "green") }
  }
}
