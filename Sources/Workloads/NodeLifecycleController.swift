import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Synchronization
import Telemetry
import Wire

/// Which nodes have stopped renewing their lease.
///
/// Time is counted in ticks of the process's own timer and not by comparing timestamps: neither a node whose clock is
/// wrong nor a jump of this machine's clock makes a node look dead.
final class NodeLifecycleMonitor: Sendable {
  static let period: Duration = .seconds(5)
  /// 40 seconds (`--node-monitor-grace-period`).
  static let ticksMax = 8

  private struct State {
    var tick = 0
    var renewals: [String: Int] = [:]
    var stale: Set<String> = []
  }

  private let state = Mutex(State())

  /// The node renewed its lease, or appeared; says whether it had been stale.
  func renewed(_ node: String) -> Bool {
    state.withLock { state in
      state.renewals[node] = state.tick
      return state.stale.remove(node) != nil
    }
  }

  /// The node appeared: it has the whole grace period for its first lease.
  func appeared(_ node: String) {
    state.withLock { state in
      if state.renewals[node] == nil { state.renewals[node] = state.tick }
    }
  }

  func removed(_ node: String) {
    state.withLock { state in
      state.renewals[node] = nil
      state.stale.remove(node)
    }
  }

  func isStale(_ node: String) -> Bool { state.withLock { $0.stale.contains(node) } }

  /// One period has passed; returns the nodes that are stale from now on, sorted.
  func advance() -> [String] {
    state.withLock { state in
      state.tick += 1
      let fresh = state.renewals.filter { state.tick - $0.value >= Self.ticksMax && !state.stale.contains($0.key) }
      state.stale.formUnion(fresh.keys)
      return fresh.keys.sorted()
    }
  }
}

/// Keeps a node's conditions and taints in step with its lease: a silent node's conditions become `Unknown`, and
/// conditions become taints (https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller).
struct NodeLifecycleReconciler: Reconciler {
  let name = "node-lifecycle"

  static let pods = GroupVersionResource(group: "", version: "v1", resource: "pods")
  static let nodes = GroupVersionResource(group: "", version: "v1", resource: "nodes")
  static let leases = GroupVersionResource(group: "coordination.k8s.io", version: "v1", resource: "leases")
  static let leaseNamespace = "kube-node-lease"
  static let notReady = "node.kubernetes.io/not-ready"
  static let unreachable = "node.kubernetes.io/unreachable"
  static let unschedulable = "node.kubernetes.io/unschedulable"
  /// Conditions that keep new pods away while they are `True`.
  static let pressureTaints = [
    "MemoryPressure": "node.kubernetes.io/memory-pressure", "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
  ]

  let client: any KubeClient
  let nodes: Informer
  let pods: Informer
  let monitor: NodeLifecycleMonitor
  let events: EventRecorder
  let time: any TimeSource

  struct Snapshot: Sendable {
    var node: Node
    var isStale: Bool
    /// The node's pods that claim to be ready; only looked for when the node is stale.
    var readyPods: [PodReference]
    var now: Timestamp
  }

  struct PodReference: Sendable, Equatable {
    var key: ObjectKey
    var uid: String
  }

  enum Action: Sendable, Equatable {
    case updateStatus(Node)
    case updateTaints(Node)
    case markNotReady(PodReference, now: Timestamp)
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    guard let object = nodes.get(key) else { return nil }
    let isStale = monitor.isStale(key.name)
    var readyPods: [PodReference] = []
    if isStale {
      for object in pods.list(by: .node, key.name) {
        let conditions = object.decode(Pod.self).status.conditions
        guard conditions.contains(where: { $0.type == "Ready" && $0.status == "True" }) else { continue }
        readyPods.append(PodReference(key: object.header.key, uid: object.header.uid))
      }
    }
    return Snapshot(node: object.decode(), isStale: isStale, readyPods: readyPods, now: time.now())
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    var actions: [Action] = []
    var node = snapshot.node
    if snapshot.isStale {
      // Traffic leaves a node that does not speak, although its pods cannot say that they are not ready. What is refused of
      // one of them does not keep the node from being marked.
      let marks = snapshot.readyPods.map { Action.markNotReady($0, now: snapshot.now) }
      if Self.setUnknown(&node, now: snapshot.now) {
        // The taints follow when the informer shows the new conditions: one write of the node at a time.
        return Plan([.updateStatus(node)] + marks)
      }
      actions = marks
    }
    let taints = Self.taints(of: node, now: snapshot.now)
    if taints != node.spec.taints {
      node.spec.taints = taints
      actions.insert(.updateTaints(node), at: 0)
    }
    return Plan(actions)
  }

  private static func setUnknown(_ node: inout Node, now: Timestamp) -> Bool {
    var conditions = node.status.conditions
    var isChanged = false
    for type in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
      let current = conditions.first { $0.type == type }
      if current?.status == "Unknown" { continue }
      let changed = Conditions.set(
        type, .unknown, reason: current == nil ? "NodeStatusNeverUpdated" : "NodeStatusUnknown",
        message: current == nil
          ? "Kubelet never posted node status." : "Kubelet stopped posting node status.",
        now: now, in: &conditions)
      isChanged = isChanged || changed
    }
    if isChanged { node.status.conditions = conditions }
    return isChanged
  }

  /// The taints that the node should have; those of others stay, and so do those that are there already, with the time at
  /// which they were added.
  static func taints(of node: Node, now: Timestamp) -> [Taint] {
    var wanted: [(key: String, effect: String)] = []
    let conditions = node.status.conditions
    switch conditions.first(where: { $0.type == "Ready" })?.status {
    case "True": break
    case "Unknown": wanted += [(unreachable, "NoSchedule"), (unreachable, "NoExecute")]
    case nil: wanted.append((notReady, "NoSchedule"))
    default: wanted += [(notReady, "NoSchedule"), (notReady, "NoExecute")]
    }
    for (type, key) in pressureTaints.sorted(by: { $0.key < $1.key })
    where conditions.contains(where: { $0.type == type && $0.status == "True" }) {
      wanted.append((key, "NoSchedule"))
    }
    if node.spec.unschedulable == true { wanted.append((unschedulable, "NoSchedule")) }

    let managed = Set([notReady, unreachable, unschedulable] + pressureTaints.values)
    var taints = node.spec.taints.filter { taint in
      guard let key = taint.key, managed.contains(key), taint.effect != "PreferNoSchedule" else { return true }
      return wanted.contains { $0.key == key && $0.effect == taint.effect }
    }
    for (key, effect) in wanted where !taints.contains(where: { $0.key == key && $0.effect == effect }) {
      taints.append(
        Taint(json: ["key": .string(key), "effect": .string(effect), "timeAdded": .string(now.rfc3339)]))
    }
    return taints
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    nodes.get(key).map { EventSubject(Node.groupVersionKind, $0.header) }
  }

  func apply(_ action: Action) async throws {
    let options = WriteOptions(fieldManager: "node-lifecycle-controller")
    do {
      switch action {
      case .updateStatus(let node):
        _ = try await client.update(
          Self.nodes, namespace: nil, name: node.metadata.name ?? "", subresource: "status", body: node.json,
          options: options)
        let name = node.metadata.name ?? ""
        events.record(
          .normal, regarding: EventSubject(node), reason: "NodeNotReady",
          message: "Node \(name) status is now: NodeNotReady")
      case .updateTaints(let node):
        _ = try await client.update(
          Self.nodes, namespace: nil, name: node.metadata.name ?? "", subresource: nil, body: node.json,
          options: options)
      case .markNotReady(let pod, let now):
        let condition: JSON = [
          "type": "Ready", "status": "False", "lastTransitionTime": .string(now.rfc3339),
        ]
        _ = try await client.patch(
          Self.pods, namespace: pod.key.namespace, name: pod.key.name, subresource: "status",
          type: .strategicMerge,
          body: ["metadata": ["uid": .string(pod.uid)], "status": ["conditions": [condition]]], options: options)
      }
    } catch let error as KubeError where error.reason == .notFound {
      // Gone already.
    }
  }
}

/// Counts the ticks.
private struct NodeLifecycleTicker: ControllerKit.Service {
  let monitor: NodeLifecycleMonitor
  let time: any TimeSource
  let becameStale: @Sendable (String) -> Void

  func run() async throws {
    while true {
      // The absence of a lease can be told by nothing but time.
      try await time.sleep(for: NodeLifecycleMonitor.period)
      for node in monitor.advance() { becameStale(node) }
    }
  }
}

/// Watches node leases, keeps conditions and taints of nodes, and evicts by taint.
func nodeLifecycleControllers(
  client: any KubeClient, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64
) -> [any ControllerKit.Service] {
  let nodes = informers.informer(for: NodeLifecycleReconciler.nodes)
  let pods = informers.informer(for: NodeLifecycleReconciler.pods)
  let leases = informers.informer(for: NodeLifecycleReconciler.leases)
  nodes.add(.readiness)
  pods.add(.node)
  let events = EventRecorder(client: client, component: "node-controller", time: time)
  let monitor = NodeLifecycleMonitor()
  let controller = Controller(
    NodeLifecycleReconciler(
      client: client, nodes: nodes, pods: pods, monitor: monitor, events: events, time: time),
    informers: [nodes, pods, leases], events: events, metrics: metrics, time: time, seed: seed)
  let eviction = Controller(
    NodeLifecycleEvictionReconciler(client: client, nodes: nodes, pods: pods, events: events, time: time),
    informers: [nodes, pods], metrics: metrics, time: time, seed: seed)

  let tainted = TaintedNodes()
  nodes.onChange { old, new in
    guard let header = (new ?? old)?.header else { return }
    if let new {
      monitor.appeared(header.name)
      let taints = new.decode(Node.self).spec.taints
      tainted.set(header.name, hasNoExecute: taints.contains { $0.effect == "NoExecute" })
    } else {
      monitor.removed(header.name)
      tainted.set(header.name, hasNoExecute: false)
    }
    controller.enqueue(header.key)
    eviction.enqueue(header.key)
    // Whether all nodes are lost decides about the others too.
    for name in tainted.names { eviction.enqueue(ObjectKey(name: name)) }
  }
  leases.onChange { _, new in
    guard let header = new?.header, header.namespace == NodeLifecycleReconciler.leaseNamespace else { return }
    if monitor.renewed(header.name) { controller.enqueue(ObjectKey(name: header.name)) }
  }
  pods.onChange { _, new in
    if new == nil { return }
    for name in tainted.names { eviction.enqueue(ObjectKey(name: name), after: .milliseconds(100)) }
  }
  let ticker = NodeLifecycleTicker(monitor: monitor, time: time) { controller.enqueue(ObjectKey(name: $0)) }
  return [controller, eviction, ticker]
}

/// The nodes with a `NoExecute` taint: pods are looked at only while there is one.
private final class TaintedNodes: Sendable {
  private let nodes = Mutex<Set<String>>([])

  var names: [String] { nodes.withLock { $0.sorted() } }

  func set(_ name: String, hasNoExecute: Bool) {
    nodes.withLock { nodes in
      if hasNoExecute { nodes.insert(name) } else { nodes.remove(name) }
    }
  }
}
