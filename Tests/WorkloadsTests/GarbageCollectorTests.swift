import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Testing
import Wire

@testable import Workloads

private func core(_ resource: String) -> GroupVersionResource {
  GroupVersionResource(group: "", version: "v1", resource: resource)
}

private let deployments = GroupVersionResource(group: "apps", version: "v1", resource: "deployments")
private let replicaSets = GroupVersionResource(group: "apps", version: "v1", resource: "replicasets")
private let served = [
  ServedResource(deployments, kind: "Deployment", isNamespaced: true),
  ServedResource(replicaSets, kind: "ReplicaSet", isNamespaced: true),
  ServedResource(core("pods"), kind: "Pod", isNamespaced: true),
  ServedResource(core("configmaps"), kind: "ConfigMap", isNamespaced: true),
  ServedResource(core("nodes"), kind: "Node", isNamespaced: false),
  ServedResource(core("events"), kind: "Event", isNamespaced: true),
]

private func owner(_ kind: String, _ name: String, _ uid: String, blocks: Bool = true) -> JSON {
  [
    "apiVersion": kind == "Pod" || kind == "ConfigMap" || kind == "Node" ? "v1" : "apps/v1", "kind": .string(kind),
    "name": .string(name), "uid": .string(uid), "controller": true, "blockOwnerDeletion": .bool(blocks),
  ]
}

private func thing(_ name: String, namespace: String = "default", owners: [JSON] = [], finalizers: [String] = [])
  -> JSON
{
  var metadata: JSON = ["name": .string(name), "uid": .string("u-\(name)")]
  if !namespace.isEmpty { metadata["namespace"] = .string(namespace) }
  if !owners.isEmpty { metadata["ownerReferences"] = .array(owners) }
  if !finalizers.isEmpty { metadata["finalizers"] = .array(finalizers.map { .string($0) }) }
  return ["metadata": metadata]
}

@Suite(.timeLimit(.minutes(1))) struct GarbageCollectorTests {
  private func withCollector(
    _ server: MemoryServer, _ body: @Sendable @escaping () async throws -> Void
  ) async throws {
    let time = ManualTime()
    let informers = InformerSet(client: server, time: time)
    let collector = GarbageCollector(
      client: server, informers: informers, resources: ServedResources(served), metrics: Metrics(),
      time: time, seed: 1)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      group.addTask { try? await collector.run() }
      // Retries and relists wait for the clock.
      group.addTask {
        while !Task.isCancelled {
          time.advance(by: .milliseconds(100))
          await Task.yield()
        }
      }
      try await informers.waitUntilSynced()
      try await body()
      group.cancelAll()
    }
  }

  /// A deployment with a replica set with two pods, and a pod of nobody.
  private func family() -> MemoryServer {
    let server = MemoryServer()
    server.put(deployments, thing("web"))
    server.put(replicaSets, thing("web-1", owners: [owner("Deployment", "web", "u-web")]))
    server.put(core("pods"), thing("web-1-a", owners: [owner("ReplicaSet", "web-1", "u-web-1")]))
    server.put(core("pods"), thing("web-1-b", owners: [owner("ReplicaSet", "web-1", "u-web-1")]))
    server.put(core("pods"), thing("alone"))
    return server
  }

  @Test func backgroundDeletionTakesTheWholeFamily() async throws {
    let server = family()
    try await withCollector(server) {
      _ = try await server.delete(
        deployments, namespace: "default", name: "web", options: .init(propagationPolicy: .background))
      await server.wait(for: core("pods")) { $0.count == 1 }
      await server.wait(for: replicaSets) { $0.isEmpty }
      #expect(server.object(core("pods"), ObjectKey(namespace: "default", name: "alone")) != nil)
      #expect(server.deletions.first == "deployments/web")
    }
  }

  @Test func whatWasLeftBehindGoesAtStart() async throws {
    let server = MemoryServer()
    server.put(core("pods"), thing("orphan", owners: [owner("ReplicaSet", "gone", "u-gone")]))
    // A new object of the same name is another owner.
    server.put(replicaSets, thing("again"))
    server.put(core("pods"), thing("old", owners: [owner("ReplicaSet", "again", "u-before")]))
    server.put(core("pods"), thing("new", owners: [owner("ReplicaSet", "again", "u-again")]))
    try await withCollector(server) {
      await server.wait(for: core("pods")) { $0.count == 1 }
      #expect(server.object(core("pods"), ObjectKey(namespace: "default", name: "new")) != nil)
    }
  }

  @Test func foregroundDeletionGoesFromTheLeaves() async throws {
    let server = family()
    try await withCollector(server) {
      _ = try await server.delete(
        deployments, namespace: "default", name: "web", options: .init(propagationPolicy: .foreground))
      await server.wait(for: deployments) { $0.isEmpty }
      #expect(server.all(replicaSets).isEmpty)
      #expect(server.all(core("pods")).count == 1)
      #expect(server.deletions == ["deployments/web", "replicasets/web-1"] + server.deletions.dropFirst(2))
      #expect(Set(server.deletions.dropFirst(2)) == ["pods/web-1-a", "pods/web-1-b"])
    }
  }

  @Test func foregroundWaitsForABlockingFinalizer() async throws {
    let server = MemoryServer()
    server.put(deployments, thing("web"))
    server.put(
      replicaSets, thing("slow", owners: [owner("Deployment", "web", "u-web")], finalizers: ["example.com/slow"]))
    server.put(replicaSets, thing("free", owners: [owner("Deployment", "web", "u-web", blocks: false)]))
    try await withCollector(server) {
      _ = try await server.delete(
        deployments, namespace: "default", name: "web", options: .init(propagationPolicy: .foreground))
      await server.wait(for: replicaSets) { list in
        list.count == 1 && list[0].at("metadata", "deletionTimestamp") != nil
      }
      #expect(server.all(deployments).count == 1)
      var slow = try #require(server.object(replicaSets, ObjectKey(namespace: "default", name: "slow"))).json()
      slow["metadata"]?["finalizers"] = []
      server.put(replicaSets, slow)
      await server.wait(for: deployments) { $0.isEmpty }
    }
  }

  @Test func orphansAreReleased() async throws {
    let server = family()
    try await withCollector(server) {
      _ = try await server.delete(
        deployments, namespace: "default", name: "web", options: .init(propagationPolicy: .orphan))
      await server.wait(for: deployments) { $0.isEmpty }
      let set = try #require(server.object(replicaSets, ObjectKey(namespace: "default", name: "web-1")))
      #expect(set.header.ownerReferences.isEmpty)
      #expect(set.header.deletionTimestamp == nil)
      #expect(server.all(core("pods")).count == 3)
    }
  }

  @Test func oneOwnerIsEnough() async throws {
    let server = MemoryServer()
    server.put(core("configmaps"), thing("a"))
    server.put(core("configmaps"), thing("b"))
    let owners = [owner("ConfigMap", "a", "u-a"), owner("ConfigMap", "b", "u-b")]
    server.put(core("pods"), thing("p", owners: owners))
    try await withCollector(server) {
      _ = try await server.delete(core("configmaps"), namespace: "default", name: "a", options: .init())
      await server.wait(for: core("pods")) { list in
        list.first?.at("metadata", "ownerReferences")?.array?.compactMap { $0["uid"]?.string } == ["u-b"]
      }
      _ = try await server.delete(core("configmaps"), namespace: "default", name: "b", options: .init())
      await server.wait(for: core("pods")) { $0.isEmpty }
    }
  }

  @Test func ownersInOtherNamespacesCountAsAbsent() async throws {
    let server = MemoryServer()
    server.put(core("configmaps"), thing("a", namespace: "blue"))
    server.put(core("pods"), thing("p", owners: [owner("ConfigMap", "a", "u-a")]))
    try await withCollector(server) {
      await server.wait(for: core("pods")) { $0.isEmpty }
      await server.wait(for: core("events")) { list in
        list.contains { $0["reason"] == "OwnerRefInvalidNamespace" && $0["type"] == "Warning" }
      }
      #expect(server.all(core("configmaps")).count == 1)
    }
  }

  @Test func clusterScopedObjectsCannotHaveNamespacedOwners() async throws {
    let server = MemoryServer()
    server.put(core("nodes"), thing("n", namespace: "", owners: [owner("Pod", "p", "u-p")]))
    let other = owner("Node", "gone", "u-gone")
    server.put(core("nodes"), thing("m", namespace: "", owners: [owner("Pod", "p", "u-p"), other]))
    try await withCollector(server) {
      await server.wait(for: core("events")) { list in
        Set(
          list.filter { $0["reason"] == "OwnerRefInvalidNamespace" }.compactMap {
            $0.at("involvedObject", "name")?.string
          })
          == ["n", "m"]
      }
      #expect(server.all(core("nodes")).count == 2)
      #expect(server.deletions.isEmpty)
    }
  }

  @Test func unknownKindsAreLeftAlone() async throws {
    let server = MemoryServer()
    server.put(core("pods"), thing("p", owners: [owner("Widget", "w", "u-w")]))
    server.put(core("pods"), thing("q", owners: [owner("ReplicaSet", "gone", "u-gone")]))
    try await withCollector(server) {
      await server.wait(for: core("pods")) { $0.count == 1 }
      #expect(server.deletions == ["pods/q"])
    }
  }

  @Test func foregroundCirclesEnd() async throws {
    let server = MemoryServer()
    server.put(core("configmaps"), thing("a", owners: [owner("ConfigMap", "b", "u-b")]))
    server.put(core("configmaps"), thing("b", owners: [owner("ConfigMap", "a", "u-a")]))
    try await withCollector(server) {
      _ = try await server.delete(
        core("configmaps"), namespace: "default", name: "a", options: .init(propagationPolicy: .foreground))
      await server.wait(for: core("configmaps")) { $0.isEmpty }
    }
  }

  /// Random forests are cut at random places: what has a living chain of owners stays, the rest goes, whatever the policy.
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func randomForests(seed: UInt64) async throws {
    var random = SeededRandom(seed: seed)
    let server = MemoryServer()
    var parents: [Int: Int] = [:]
    for index in 0..<40 {
      var owners: [JSON] = []
      if index > 4, Int.random(in: 0..<10, using: &random) < 8 {
        let parent = Int.random(in: 0..<index, using: &random)
        parents[index] = parent
        owners = [owner("ConfigMap", "c\(parent)", "u-c\(parent)", blocks: Bool.random(using: &random))]
      }
      server.put(core("configmaps"), thing("c\(index)", owners: owners))
    }
    let cut = Set((0..<3).map { _ in Int.random(in: 0..<40, using: &random) })
    let policies: [PropagationPolicy] = [.background, .foreground]
    let chosen = cut.sorted().map { ($0, policies[Int.random(in: 0..<2, using: &random)]) }
    var expected: Set<String> = []
    for index in 0..<40 {
      var at: Int? = index
      var lives = true
      while let node = at {
        if cut.contains(node) { lives = false }
        at = parents[node]
      }
      if lives { expected.insert("c\(index)") }
    }
    let survivors = expected
    try await withCollector(server) {
      for (index, policy) in chosen {
        // An ancestor's deletion may have been faster.
        _ = try? await server.delete(
          core("configmaps"), namespace: "default", name: "c\(index)",
          options: .init(propagationPolicy: policy))
      }
      await server.wait(for: core("configmaps")) { list in
        Set(list.compactMap { $0.at("metadata", "name")?.string }) == survivors
      }
    }
  }
}
