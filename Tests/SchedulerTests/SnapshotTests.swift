import ControllerKit
import KubeTypes
import Schema
import Synchronization
import Telemetry
import Testing
import Wire

@testable import Scheduler

private let pods = GroupVersionResource(group: "", version: "v1", resource: "pods")
private let nodes = GroupVersionResource(group: "", version: "v1", resource: "nodes")

/// What happens at the first decision.
private final class Meanwhile: Sendable {
  private let body = Mutex<(@Sendable (Decision) -> Void)?>(nil)

  func set(_ body: @escaping @Sendable (Decision) -> Void) { self.body.withLock { $0 = body } }

  func take() -> (@Sendable (Decision) -> Void)? {
    body.withLock { body in
      defer { body = nil }
      return body
    }
  }
}

/// A decision is made on a snapshot, without the scheduler's lock: what the informers tell meanwhile is taken in.
///
/// The changes are told from within the decision. If the lock were held, the process would end here.
@Suite(.timeLimit(.minutes(1))) struct SnapshotTests {
  private let client = MemoryClient()

  /// Runs a scheduler with what happens at its first decision, made by `meanwhile`.
  private func withScheduler(
    meanwhile: @escaping @Sendable (Scheduler) -> @Sendable (Decision) -> Void,
    _ body: @escaping @Sendable () async throws -> Void
  ) async throws {
    let time = ManualTime()
    let informers = InformerSet(client: client, time: time)
    let first = Meanwhile()
    let scheduler = Scheduler(client: client, informers: informers, metrics: Metrics(), time: time, seed: 1) {
      pod, cluster, random in
      let decision = SchedulingCycle.decide(pod, cluster, random: &random)
      first.take()?(decision)
      return decision
    }
    first.set(meanwhile(scheduler))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      group.addTask { try? await scheduler.run() }
      try await body()
      group.cancelAll()
    }
  }

  private func node(of pod: String) -> JSON? {
    client.json(pods, ObjectKey(namespace: "default", name: pod))?.at("spec", "nodeName")
  }

  @Test func aNodeThatGoesWhileItIsChosenIsNotTaken() async throws {
    let chosen = Mutex<String?>(nil)
    client.put(nodes, nodeJSON("n1"))
    client.put(nodes, nodeJSON("n2"))
    client.put(pods, podJSON("p"))
    try await withScheduler(meanwhile: { scheduler in
      { decision in
        guard case .node(let name) = decision else { return }
        chosen.withLock { $0 = name }
        scheduler.nodeChanged(Object(nodeJSON(name)), nil)
      }
    }) {
      await client.wait(for: pods) { $0.allSatisfy { $0.at("spec", "nodeName") != nil } }
    }
    let first = try #require(chosen.withLock { $0 })
    #expect(node(of: "p") == (first == "n1" ? "n2" : "n1"))
  }

  @Test func aPodThatChangesWhileItIsTriedIsDecidedAnew() async throws {
    client.put(nodes, nodeJSON("n1", labels: ["disk": "ssd"]))
    client.put(nodes, nodeJSON("n2", labels: ["disk": "hdd"]))
    let before = podJSON("p", spec: ["nodeSelector": ["disk": "ssd"]])
    client.put(pods, before)
    try await withScheduler(meanwhile: { scheduler in
      { decision in
        #expect(decision == .node("n1"))
        scheduler.podChanged(Object(before), Object(podJSON("p", spec: ["nodeSelector": ["disk": "hdd"]])))
      }
    }) {
      await client.wait(for: pods) { $0.allSatisfy { $0.at("spec", "nodeName") != nil } }
    }
    #expect(node(of: "p") == "n2")
  }

  @Test func aPodThatGoesWhileItIsTriedGetsNothing() async throws {
    client.put(nodes, nodeJSON("n1"))
    client.put(pods, podJSON("p", spec: ["priority": 10]))
    client.put(pods, podJSON("q"))
    try await withScheduler(meanwhile: { scheduler in
      { decision in
        #expect(decision == .node("n1"))
        scheduler.podChanged(Object(podJSON("p", spec: ["priority": 10])), nil)
      }
    }) {
      await client.wait(for: pods) { $0.contains { $0.at("spec", "nodeName") != nil } }
    }
    #expect(node(of: "p") == nil && node(of: "q") == "n1")
  }

  private struct World {
    var random: SeededRandom
    var cluster = ClusterState()
    var nodes: [String: JSON] = [:]
    var pods: [String: PodInfo] = [:]
    var created = 0

    mutating func pick<T>(_ elements: [T]) -> T { elements[Int.random(in: 0..<elements.count, using: &random)] }

    mutating func pod(on node: String? = nil) -> PodInfo {
      created += 1
      let app = pick(["a", "b"])
      let key = pick(["zone", "kubernetes.io/hostname"])
      var spec: JSONObject = [:]
      switch Int.random(in: 0..<6, using: &random) {
      case 0: spec = antiAffinity(affinityTerm(app: pick(["a", "b"]), key: key))
      case 1: spec = podAffinity(affinityTerm(app: pick(["a", "b"]), key: key))
      case 2:
        spec["topologySpreadConstraints"] = [
          [
            "topologyKey": .string(key), "maxSkew": 1,
            "whenUnsatisfiable": .string(pick(["DoNotSchedule", "ScheduleAnyway"])),
            "labelSelector": ["matchLabels": ["app": .string(app)]],
          ]
        ]
      case 3:
        spec["affinity"] = [
          "podAffinity": [
            "preferredDuringSchedulingIgnoredDuringExecution": [
              ["weight": 50, "podAffinityTerm": affinityTerm(app: pick(["a", "b"]), key: key)]
            ]
          ]
        ]
      default: break
      }
      return makePod(
        "p\(created)", labels: ["app": app], requests: ["cpu": "100m"], on: node,
        controller: pick([nil, "c1", "c2"]), spec: spec)
    }

    mutating func change() {
      let name = "n\(Int.random(in: 0..<5, using: &random))"
      switch Int.random(in: 0..<10, using: &random) {
      case 0:
        let json = nodeJSON(name, cpu: pick(["1", "2"]), labels: ["zone": pick(["x", "y"])])
        nodes[name] = json
        _ = cluster.setNode(Node(json: json))
      case 1:
        nodes[name] = nil
        _ = cluster.removeNode(name)
      case 2...4:
        guard let uid = pods.keys.sorted().randomElement(using: &random) else { return }
        pods[uid] = nil
        _ = cluster.remove(uid)
      default:
        let pod = pod(on: name)
        pods[pod.uid] = pod
        _ = cluster.place(pod)
      }
    }

    /// The same cluster, made from what is there by now.
    var rebuilt: ClusterSnapshot {
      makeCluster(nodes.sorted { $0.key < $1.key }.map(\.value), pods.sorted { $0.key < $1.key }.map(\.value)).snapshot
    }
  }

  private func decide(_ pods: [PodInfo], _ cluster: ClusterSnapshot) -> [Decision] {
    pods.map { pod in
      var random = SeededRandom(seed: 7)
      return SchedulingCycle.decide(pod, cluster, random: &random)
    }
  }

  @Test func aPodThatEndsIsNoSiblingAnyMore() {
    var ending = podJSON("a", on: "n", controller: "c")
    ending["metadata"]?["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    var cluster = makeCluster(
      [nodeJSON("n")], [makePod("a", on: "n", controller: "c"), makePod("b", on: "n", controller: "c")])
    #expect(cluster.snapshot.nodes["n"]?.siblings == ["c": 2])
    _ = cluster.place(PodInfo(Pod(json: ending)))
    #expect(cluster.snapshot.nodes["n"]?.siblings == ["c": 1])
    _ = cluster.remove("uid-default-a")
    #expect(cluster.snapshot.nodes["n"]?.siblings == ["c": 1])
    _ = cluster.remove("uid-default-b")
    #expect(cluster.snapshot.nodes["n"]?.siblings == [:])
  }

  /// A snapshot stays what it was while the cluster goes on, and the cluster is at any time what one is that is made from
  /// scratch: so a decision beside the lock is the one that would have been made under it.
  @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
  func decisionsOnASnapshotAreThoseUnderTheLock(seed: UInt64) {
    var world = World(random: SeededRandom(seed: seed))
    var differences = 0
    for round in 0..<40 {
      for _ in 0..<20 { world.change() }
      let asked = (0..<6).map { _ in world.pod() }
      let snapshot = world.cluster.snapshot
      for node in snapshot.nodes.values {
        let naive = Dictionary(grouping: node.pods.values.compactMap(\.controllerUID)) { $0 }.mapValues {
          Int64($0.count)
        }
        #expect(node.siblings == naive, "seed \(seed), round \(round)")
      }
      let expected = decide(asked, world.rebuilt)
      #expect(decide(asked, snapshot) == expected, "seed \(seed), round \(round)")
      for _ in 0..<20 { world.change() }
      #expect(decide(asked, snapshot) == expected, "seed \(seed), round \(round), after changes")
      if decide(asked, world.cluster.snapshot) != expected { differences += 1 }
    }
    // The changes would have shown.
    #expect(differences > 10, "seed \(seed)")
  }
}
