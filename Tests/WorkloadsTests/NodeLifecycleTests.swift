import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Testing
import Wire

@testable import Workloads

private let now = Timestamp(seconds: 1_700_000_000)

private func nodeJSON(_ name: String = "n", ready: String? = "True", taints: [JSON] = [], spec: JSONObject = [:])
  -> JSON
{
  var conditions: [JSON] = [["type": "MemoryPressure", "status": "False"]]
  if let ready { conditions.append(["type": "Ready", "status": .string(ready)]) }
  var nodeSpec: JSON = .object(spec)
  if !taints.isEmpty { nodeSpec["taints"] = .array(taints) }
  return [
    "apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name), "uid": .string("u-\(name)")],
    "spec": nodeSpec, "status": ["conditions": .array(conditions)],
  ]
}

private func taint(_ key: String, _ effect: String, added: String? = nil) -> JSON {
  var json: JSON = ["key": .string(key), "effect": .string(effect)]
  json["timeAdded"] = added.map { .string($0) }
  return json
}

private func shown(_ taints: [Taint]) -> [String] { taints.map { "\($0.key ?? ""):\($0.effect ?? "")" } }

@Suite struct NodeLifecyclePlanTests {
  private func reconciler() -> NodeLifecycleReconciler {
    let server = MemoryServer()
    let time = ManualTime()
    let informers = InformerSet(client: server, time: time)
    return NodeLifecycleReconciler(
      client: server, nodes: informers.informer(for: NodeLifecycleReconciler.nodes),
      pods: informers.informer(for: NodeLifecycleReconciler.pods), monitor: NodeLifecycleMonitor(),
      events: EventRecorder(client: server, component: "test", time: time), time: time)
  }

  @Test(arguments: [
    ("True", [] as [String]),
    ("False", ["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"]),
    ("Unknown", ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]),
  ])
  func readinessMakesTaints(ready: String, expected: [String]) {
    let node = Node(json: nodeJSON(ready: ready))
    #expect(shown(NodeLifecycleReconciler.taints(of: node, now: now)) == expected)
  }

  @Test func taintsOfOthersStayAndOldOnesKeepTheirTime() {
    let node = Node(
      json: nodeJSON(
        ready: "Unknown",
        taints: [
          taint("mine", "NoSchedule"), taint("node.kubernetes.io/not-ready", "NoExecute"),
          taint("node.kubernetes.io/unreachable", "NoExecute", added: "2020-01-01T00:00:00Z"),
        ]))
    let taints = NodeLifecycleReconciler.taints(of: node, now: now)
    #expect(
      shown(taints) == [
        "mine:NoSchedule", "node.kubernetes.io/unreachable:NoExecute", "node.kubernetes.io/unreachable:NoSchedule",
      ])
    #expect(taints[1].timeAdded == "2020-01-01T00:00:00Z")
    #expect(taints[2].timeAdded == now.rfc3339)
  }

  @Test func cordonsAndPressure() {
    var json = nodeJSON(spec: ["unschedulable": true])
    json["status"]?["conditions"] = [
      ["type": "Ready", "status": "True"], ["type": "DiskPressure", "status": "True"],
    ]
    #expect(
      shown(NodeLifecycleReconciler.taints(of: Node(json: json), now: now)) == [
        "node.kubernetes.io/disk-pressure:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule",
      ])
  }

  @Test func aReadyNodeIsLeftAlone() {
    let plan = reconciler().plan(
      .init(node: Node(json: nodeJSON()), isStale: false, readyPods: [], now: now))
    #expect(plan.actions.isEmpty)
  }

  @Test func aSilentNodeBecomesUnknownThenTainted() throws {
    let pod = NodeLifecycleReconciler.PodReference(key: ObjectKey(namespace: "default", name: "p"), uid: "u")
    let first = reconciler().plan(
      .init(node: Node(json: nodeJSON()), isStale: true, readyPods: [pod], now: now))
    #expect(first.actions.count == 2)
    // The node first: what is refused of a pod does not keep it from being marked.
    #expect(first.actions.last == .markNotReady(pod, now: now))
    guard case .updateStatus(let node)? = first.actions.first else {
      Issue.record("no status")
      return
    }
    #expect(node.status.conditions.first { $0.type == "Ready" }?.status == "Unknown")
    #expect(node.status.conditions.first { $0.type == "Ready" }?.reason == "NodeStatusUnknown")
    let second = reconciler().plan(.init(node: node, isStale: true, readyPods: [], now: now))
    guard case .updateTaints(let tainted)? = second.actions.first, second.actions.count == 1 else {
      Issue.record("no taints")
      return
    }
    #expect(shown(tainted.spec.taints).contains("node.kubernetes.io/unreachable:NoExecute"))
    let third = reconciler().plan(.init(node: tainted, isStale: true, readyPods: [], now: now))
    #expect(third.actions.isEmpty)
  }

  @Test func fortySecondsOfSilence() {
    let monitor = NodeLifecycleMonitor()
    monitor.appeared("a")
    monitor.appeared("b")
    for _ in 0..<7 { #expect(monitor.advance().isEmpty) }
    #expect(!monitor.renewed("b"))
    #expect(monitor.advance() == ["a"])
    #expect(monitor.isStale("a"))
    #expect(!monitor.isStale("b"))
    #expect(monitor.advance().isEmpty)
    #expect(monitor.renewed("a"))
    #expect(!monitor.isStale("a"))
    monitor.removed("b")
    for _ in 0..<7 { _ = monitor.advance() }
    #expect(monitor.advance() == ["a"])
  }
}

@Suite struct NodeLifecycleEvictionTests {
  private func active(_ key: String, since: Int64 = 0) -> NodeLifecycleEvictionReconciler.ActiveTaint {
    .init(taint: Taint(json: taint(key, "NoExecute")), since: .seconds(since))
  }

  private func tolerations(_ list: [JSON]) -> [Toleration] { list.map(Toleration.init(json:)) }

  @Test func evictionTimes() {
    func time(_ list: [JSON], _ taints: [NodeLifecycleEvictionReconciler.ActiveTaint]) -> Int64? {
      NodeLifecycleEvictionReconciler.evictionTime(of: tolerations(list), taints: taints)
        .map { $0.components.seconds }
    }
    #expect(time([], [active("a", since: 5)]) == 5)
    #expect(time([["key": "a", "operator": "Exists"]], [active("a")]) == nil)
    #expect(time([["key": "a", "operator": "Exists", "tolerationSeconds": 300]], [active("a", since: 5)]) == 305)
    #expect(time([["key": "a", "operator": "Exists", "tolerationSeconds": -1]], [active("a", since: 5)]) == 5)
    #expect(
      time(
        [["operator": "Exists", "tolerationSeconds": 9_223_372_036_854_775_807]], [active("a")]) == 31_536_000)
    #expect(
      time(
        [
          ["key": "a", "operator": "Exists", "tolerationSeconds": 300],
          ["key": "b", "operator": "Exists", "tolerationSeconds": 10],
        ], [active("a"), active("b", since: 100)]) == 110)
    #expect(time([["operator": "Exists"]], []) == nil)
  }

  @Test func nobodyIsEvictedWhileEveryNodeIsLost() {
    let server = MemoryServer()
    let time = ManualTime()
    let informers = InformerSet(client: server, time: time)
    let reconciler = NodeLifecycleEvictionReconciler(
      client: server, nodes: informers.informer(for: NodeLifecycleReconciler.nodes),
      pods: informers.informer(for: NodeLifecycleReconciler.pods),
      events: EventRecorder(client: server, component: "test", time: time), time: time)
    let pod = NodeLifecycleEvictionReconciler.Candidate(
      key: ObjectKey(namespace: "default", name: "p"), uid: "u", tolerations: [])
    func evicted(_ key: String, anyReady: Bool) -> Int {
      reconciler.plan(.init(taints: [active(key)], pods: [pod], isAnyNodeReady: anyReady, uptime: .zero, now: now))
        .actions.count
    }
    #expect(evicted(NodeLifecycleReconciler.unreachable, anyReady: true) == 1)
    #expect(evicted(NodeLifecycleReconciler.unreachable, anyReady: false) == 0)
    #expect(evicted("maintenance", anyReady: false) == 1)
  }

  /// Neither one that says since when it is there nor one that does not. An age from before is reckoned by the clock of the
  /// time, as after a start.
  @Test(arguments: [nil, "2023-11-14T22:13:10Z"] as [String?])
  func aClockThatIsSetMovesNoEviction(added: String?) async throws {
    let server = MemoryServer()
    let time = ManualTime()
    server.put(NodeLifecycleReconciler.nodes, nodeJSON("n", taints: [taint("a", "NoExecute", added: added)]))
    server.put(
      Pod.resource,
      [
        "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p", "namespace": "default", "uid": "u"],
        "spec": [
          "nodeName": "n", "tolerations": [["key": "a", "operator": "Exists", "tolerationSeconds": 30]],
        ],
      ])
    let informers = InformerSet(client: server, time: time)
    let reconciler = NodeLifecycleEvictionReconciler(
      client: server, nodes: informers.informer(for: NodeLifecycleReconciler.nodes),
      pods: informers.informer(for: Pod.resource),
      events: EventRecorder(client: server, component: "test", time: time), time: time)
    func visit() async throws -> Plan<NodeLifecycleEvictionReconciler.Action>? {
      try await reconciler.observe(ObjectKey(name: "n")).map { reconciler.plan($0) }
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      try await informers.waitUntilSynced()
      let left: Duration = added == nil ? .seconds(30) : .seconds(20)
      let first = try await visit()
      #expect(first?.actions.isEmpty == true && first?.requeueAfter == left)
      for jump in [Duration.seconds(-3600), .seconds(86_400)] {
        time.jump(by: jump)
        let later = try await visit()
        #expect(later?.actions.isEmpty == true && later?.requeueAfter == left, "\(jump)")
      }
      time.advance(by: left)
      let due = try await visit()
      #expect(due?.actions.map(\.uid) == ["u"])
      group.cancelAll()
    }
  }
}

@Suite struct PodGarbageTests {
  private func candidate(_ name: String, created: String, terminated: Bool = true) -> PodGarbageReconciler.Candidate {
    .init(key: ObjectKey(namespace: "default", name: name), uid: name, creation: created, isTerminated: terminated)
  }

  private func plan(_ snapshot: PodGarbageReconciler.Snapshot) -> [PodGarbageReconciler.Action] {
    let server = MemoryServer()
    let time = ManualTime()
    let informers = InformerSet(client: server, time: time)
    return PodGarbageReconciler(
      client: server, pods: informers.informer(for: NodeLifecycleReconciler.pods),
      nodes: informers.informer(for: NodeLifecycleReconciler.nodes), time: time
    ).plan(snapshot).actions
  }

  @Test func theOldestEndedPodsGo() {
    let pods = [
      candidate("b", created: "2026-01-02"), candidate("a", created: "2026-01-03"),
      candidate("c", created: "2026-01-01"),
    ]
    #expect(plan(.terminated(pods, max: 1)) == [.delete(pods[2]), .delete(pods[0])])
    #expect(plan(.terminated(pods, max: 3)).isEmpty)
  }

  @Test func lostPodsFailBeforeTheyGo() {
    let lost = candidate("a", created: "", terminated: false)
    let ended = candidate("b", created: "")
    #expect(plan(.orphans([lost, ended], now: now)) == [.fail(lost, now: now), .delete(lost), .delete(ended)])
  }
}
