import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Testing
import Wire

@testable import Workloads

private let nodes = NodeLifecycleReconciler.nodes

private func labels(_ labels: [String: String]) -> JSON {
  .object(JSONObject(uniqueMembers: labels.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) }))
}

private func pod(_ name: String, on node: String = "", phase: String = "Running", ready: Bool = true) -> JSON {
  var json: JSON = [
    "apiVersion": "v1", "kind": "Pod",
    "metadata": ["name": .string(name), "namespace": "shop", "uid": .string("u-\(name)")], "spec": [:],
    "status": ["phase": .string(phase), "conditions": [["type": "Ready", "status": ready ? "True" : "False"]]],
  ]
  if !node.isEmpty { json["spec"]?["nodeName"] = .string(node) }
  return json
}

/// Controllers ask indexes, and do not go through all there is.
@Suite(.timeLimit(.minutes(1))) struct IndexTests {
  private let server = MemoryServer()
  private let time = ManualTime()

  private func withInformers(_ body: @escaping @Sendable (InformerSet) async throws -> Void) async throws {
    let informers = InformerSet(client: server, time: time)
    for resource in [Pod.resource, nodes, ReplicaSet.resource] { _ = informers.informer(for: resource) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      try await informers.waitUntilSynced()
      try await body(informers)
      group.cancelAll()
    }
  }

  private func putPods() {
    for name in ["n1", "n2"] {
      server.put(
        nodes,
        [
          "metadata": ["name": .string(name), "uid": .string("u-\(name)")],
          "spec": ["taints": [["key": "lost", "effect": "NoExecute", "timeAdded": "2020-01-01T00:00:00Z"]]],
          "status": ["conditions": [["type": "Ready", "status": name == "n1" ? "Unknown" : "True"]]],
        ])
    }
    server.put(Pod.resource, pod("a", on: "n1"))
    server.put(Pod.resource, pod("b", on: "n1", ready: false))
    server.put(Pod.resource, pod("c", on: "n2"))
    server.put(Pod.resource, pod("d", on: "gone"))
    server.put(Pod.resource, pod("e", on: "gone", phase: "Succeeded", ready: false))
    server.put(Pod.resource, pod("f"))
  }

  @Test func podsOfANodeThatIsSilent() async throws {
    putPods()
    let (server, time) = (server, time)
    try await withInformers { informers in
      let monitor = NodeLifecycleMonitor()
      monitor.appeared("n1")
      for _ in 0..<NodeLifecycleMonitor.ticksMax { _ = monitor.advance() }
      let events = EventRecorder(client: server, component: "test", time: time)
      let (nodes, pods) = (informers.informer(for: nodes), informers.informer(for: Pod.resource))
      let reconciler = NodeLifecycleReconciler(
        client: server, nodes: nodes, pods: pods, monitor: monitor, events: events, time: time)
      let silent = try await reconciler.observe(ObjectKey(name: "n1"))
      #expect(silent?.readyPods.map(\.uid) == ["u-a"])
      #expect(try await reconciler.observe(ObjectKey(name: "n2"))?.readyPods.isEmpty == true)
      let eviction = NodeLifecycleEvictionReconciler(
        client: server, nodes: nodes, pods: pods, events: events, time: time)
      let snapshot = try await eviction.observe(ObjectKey(name: "n1"))
      #expect(snapshot?.pods.map(\.uid) == ["u-a", "u-b"] && snapshot?.isAnyNodeReady == true)
    }
  }

  @Test func podsOfANodeThatIsGone() async throws {
    putPods()
    let (server, time) = (server, time)
    try await withInformers { informers in
      let reconciler = PodGarbageReconciler(
        client: server, pods: informers.informer(for: Pod.resource), nodes: informers.informer(for: nodes), time: time)
      for key in [PodGarbageReconciler.Key.orphans, .node("gone")] {
        guard case .orphans(let found, _)? = try await reconciler.observe(key) else {
          Issue.record("nothing is found by \(key)")
          continue
        }
        #expect(found.map(\.uid) == ["u-d", "u-e"] && found.map(\.isTerminated) == [false, true])
      }
      for key in [PodGarbageReconciler.Key.node("n1"), .node("other"), .terminated] {
        #expect(try await reconciler.observe(key) == nil)
      }
    }
  }

  /// Of a thousand ReplicaSets those are looked at that can have the pod.
  @Test func ownersThatCanSelect() async throws {
    for number in 0..<1000 {
      let namespace = number < 900 ? "shop" : "other"
      server.put(
        ReplicaSet.resource,
        [
          "metadata": ["name": .string("r\(number)"), "namespace": .string(namespace)],
          "spec": ["selector": ["matchLabels": labels(["app": "a\(number % 300)", "tier": "front"])]],
        ])
    }
    server.put(
      ReplicaSet.resource,
      [
        "metadata": ["name": "any", "namespace": "shop"],
        "spec": ["selector": ["matchExpressions": [["key": "app", "operator": "Exists"]]]],
      ])
    server.put(
      ReplicaSet.resource,
      ["metadata": ["name": "map", "namespace": "shop"], "spec": ["selector": ["app": "a7"]]])
    try await withInformers { informers in
      let sets = informers.informer(for: ReplicaSet.resource)
      var header = Object(pod("p")).header
      header.labels = ["app": "a7", "x": "y"]
      let found = sets.owners(selecting: header).map(\.header.name)
      #expect(Set(found) == ["r7", "r307", "r607", "any", "map"] && found.count == 5)
      header.labels = [:]
      #expect(sets.owners(selecting: header).map(\.header.name) == ["any"])
    }
  }

  /// A change of one of a thousand pods, and a look at one of a thousand services, compare once.
  @Test func selectorsAreComparedWhereTheyCanMatch() throws {
    var namespace = EndpointNamespace()
    for number in 0..<1000 { namespace.set(selector: ["app": "a\(number)"], of: "s\(number)") }
    for number in 0..<1000 {
      let pod = try endpointPod("p\(number)", ["app": "a\(number)", "tier": "front"])
      #expect(namespace.set(pod, name: pod.key.name) == ["s\(number)"])
    }
    #expect(namespace.comparisons == 1000)
    for number in 0..<1000 {
      #expect(namespace.pods(of: "s\(number)").map(\.key.name) == ["p\(number)"])
    }
    #expect(namespace.comparisons == 2000)
    for number in 0..<1000 {
      _ = namespace.set(nil, name: "p\(number)")
      namespace.set(selector: [:], of: "s\(number)")
    }
    #expect(namespace.isEmpty)
  }

  private func endpointPod(_ name: String, _ podLabels: [String: String]) throws -> EndpointPod {
    var json = pod(name, on: "n1")
    json["metadata"]?["labels"] = labels(podLabels)
    json["status"]?["podIP"] = "10.0.0.1"
    return try #require(EndpointPod(Pod(json: json)))
  }

  /// What the index finds is what a comparison of all with all finds.
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func theIndexFindsWhatALookAtAllFinds(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    func some(_ most: Int) -> [String: String] {
      var labels: [String: String] = [:]
      for _ in 0...Int.random(in: 0..<most, using: &random) {
        labels["k\(Int.random(in: 0..<3, using: &random))"] = "v\(Int.random(in: 0..<2, using: &random))"
      }
      return labels
    }
    func matches(_ selector: [String: String], _ pod: EndpointPod?) -> Bool {
      pod.map { pod in selector.allSatisfy { pod.labels[$0.key] == $0.value } } ?? false
    }
    var namespace = EndpointNamespace()
    var pods: [String: EndpointPod] = [:]
    var selectors: [String: [String: String]] = [:]
    for step in 0..<600 {
      let name = "x\(Int.random(in: 0..<12, using: &random))"
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        let selector = Int.random(in: 0..<4, using: &random) == 0 ? [:] : some(2)
        selectors[name] = selector.isEmpty ? nil : selector
        namespace.set(selector: selector, of: name)
      case 1:
        let before = pods.removeValue(forKey: name)
        let expected = selectors.filter { matches($0.value, before) }.keys.sorted()
        #expect(namespace.set(nil, name: name).sorted() == expected, "seed \(seed), step \(step)")
      default:
        let (before, after) = (pods[name], try endpointPod(name, some(4)))
        pods[name] = after
        let expected =
          before == after
          ? [] : selectors.filter { matches($0.value, before) || matches($0.value, after) }.keys.sorted()
        #expect(namespace.set(after, name: name).sorted() == expected, "seed \(seed), step \(step)")
      }
      for (service, selector) in selectors {
        let expected = pods.values.filter { matches(selector, $0) }.map(\.key.name).sorted()
        #expect(namespace.pods(of: service).map(\.key.name).sorted() == expected, "seed \(seed), step \(step)")
      }
    }
  }
}
