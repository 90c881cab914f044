import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Wire

/// A node whose containers run when it says so. It outlives the server, and is cut off from it now and then.
struct SimulatedNode: Sendable {
  let cluster: Cluster
  let name: String

  static let resource = GroupVersionResource(group: "", version: "v1", resource: "nodes")
  private static let leases = GroupVersionResource(group: "coordination.k8s.io", version: "v1", resource: "leases")

  func run() async throws {
    let client = FaultyClient(cluster: cluster, node: name)
    let clock = cluster.clock
    let pods = Informer(
      client: client, resource: PodKeeper.resource, fieldSelector: "spec.nodeName=\(name)", time: clock)
    let metrics = Metrics()
    let controller = Controller(
      PodKeeper(cluster: cluster, node: name, client: client, pods: pods), workers: 4, informers: [pods],
      metrics: metrics, time: clock, seed: cluster.random { $0.next() },
      backoff: Backoff(first: .milliseconds(50), longest: .seconds(10)))
    pods.onChange { old, new in
      if let key = (new ?? old)?.header.key { controller.enqueue(key) }
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await pods.run() }
      group.addTask { try await controller.run() }
      group.addTask { try await keepLease(client) }
      group.addTask { try await getLost() }
      try await group.waitForAll()
    }
  }

  private func keepLease(_ client: FaultyClient) async throws {
    while true {
      do {
        _ = try await client.patch(
          Self.resource, namespace: nil, name: name, subresource: "status", type: .merge, body: ["status": status],
          options: WriteOptions(fieldManager: "kubelet"))
        _ = try await client.patch(
          Self.leases, namespace: "kube-node-lease", name: name, subresource: nil, type: .merge,
          body: ["spec": ["holderIdentity": .string(name), "renewTime": .string(cluster.clock.now().rfc3339Micro)]],
          options: WriteOptions())
      } catch let error as KubeError where error.reason == .notFound {
        _ = try? await client.create(
          Self.resource, namespace: nil, name: nil, subresource: nil,
          body: ["apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name)]], options: WriteOptions())
        _ = try? await client.create(
          Self.leases, namespace: "kube-node-lease", name: nil, subresource: nil,
          body: [
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": ["name": .string(name)],
            "spec": ["holderIdentity": .string(name)],
          ], options: WriteOptions())
        try await cluster.clock.sleep(for: .seconds(1))
        continue
      } catch is KubeError {}
      try await cluster.clock.sleep(for: .seconds(10))
    }
  }

  private var status: JSON {
    let resources: JSON = ["cpu": .string("\(Cluster.milliCPU)m"), "memory": "8Gi", "pods": "110"]
    return [
      "capacity": resources, "allocatable": resources,
      "conditions": [
        [
          "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
          "lastHeartbeatTime": .string(cluster.clock.now().rfc3339),
          "lastTransitionTime": .string(cluster.clock.now().rfc3339),
        ]
      ],
    ]
  }

  /// Now and then for shorter or longer than it takes to be given up.
  private func getLost() async throws {
    while true {
      try await cluster.clock.sleep(for: .seconds(cluster.random { Int.random(in: 20...90, using: &$0) }))
      guard cluster.happens(.partitioned, 1, of: 8) else { continue }
      cluster.setPartitioned(name, true)
      try await cluster.clock.sleep(for: .seconds(cluster.random { Int.random(in: 5...500, using: &$0) }))
      cluster.setPartitioned(name, false)
    }
  }
}

/// Starts, reports and stops the containers of a node's pods.
struct PodKeeper: Reconciler {
  let name = "pods"
  let cluster: Cluster
  let node: String
  let client: FaultyClient
  let pods: Informer

  static let resource = GroupVersionResource(group: "", version: "v1", resource: "pods")

  struct Snapshot: Sendable {
    var key: ObjectKey
    var pod: Pod?
    /// The uids that run under this key.
    var running: [String]
    var address: String
  }

  enum Action: Sendable, Equatable {
    case start(uid: String, ObjectKey)
    case stop(uid: String)
    case report(uid: String, ObjectKey, address: String)
    case delete(uid: String, ObjectKey)
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    let pod = pods.get(key).map { $0.decode(Pod.self) }
    let running = cluster.running(on: node).filter { $0.value == key }.keys.sorted()
    let needsAddress = pod != nil && pod?.status.podIP == nil
    return Snapshot(key: key, pod: pod, running: running, address: needsAddress ? cluster.address() : "")
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    var plan = Plan<Action>()
    let uid = snapshot.pod?.metadata.uid ?? ""
    for other in snapshot.running where other != uid { plan.actions.append(.stop(uid: other)) }
    guard let pod = snapshot.pod else { return plan }
    if pod.metadata.deletionTimestamp != nil {
      if snapshot.running.contains(uid) { plan.actions.append(.stop(uid: uid)) }
      plan.actions.append(.delete(uid: uid, snapshot.key))
      return plan
    }
    guard pod.status.phase != "Failed", pod.status.phase != "Succeeded" else { return plan }
    if !snapshot.running.contains(uid) { plan.actions.append(.start(uid: uid, snapshot.key)) }
    let isReady = pod.status.conditions.contains { $0.type == "Ready" && $0.status == "True" }
    if !isReady { plan.actions.append(.report(uid: uid, snapshot.key, address: snapshot.address)) }
    return plan
  }

  func apply(_ action: Action) async throws {
    switch action {
    case .start(let uid, let key):
      try await cluster.pause(20...2000)
      // What was deleted meanwhile is not started: the next visit sees to it.
      guard let pod = pods.get(key), pod.header.uid == uid, pod.header.deletionTimestamp == nil else { return }
      cluster.start(uid, key, on: node)
    case .stop(let uid):
      try await cluster.pause(20...3000)
      cluster.stop(uid, on: node)
    case .report(let uid, let key, let address):
      guard cluster.running(on: node)[uid] != nil else { return }
      let now = JSON.string(cluster.clock.now().rfc3339)
      let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map {
        JSON.object(["type": .string($0), "status": "True", "lastTransitionTime": now])
      }
      var status: JSON = [
        "phase": "Running", "startTime": now, "conditions": .array(conditions),
        "containerStatuses": [
          [
            "name": "c", "ready": true, "started": true, "restartCount": 0, "image": "i", "imageID": "i",
            "state": ["running": ["startedAt": now]],
          ]
        ],
      ]
      if !address.isEmpty {
        status["podIP"] = .string(address)
        status["podIPs"] = [["ip": .string(address)]]
      }
      _ = try await client.patch(
        Self.resource, namespace: key.namespace, name: key.name, subresource: "status", type: .merge,
        body: ["metadata": ["uid": .string(uid)], "status": status], options: WriteOptions(fieldManager: "kubelet"))
    case .delete(let uid, let key):
      do {
        _ = try await client.delete(
          Self.resource, namespace: key.namespace, name: key.name,
          options: DeleteOptions(gracePeriodSeconds: 0, preconditionUID: uid))
      } catch let error as KubeError where [.notFound, .conflict].contains(error.reason) {}
    }
  }
}
