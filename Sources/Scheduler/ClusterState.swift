import KubeTypes

/// All that a decision looks at, at one moment. A copy costs nothing until the cluster changes beside it, and then what
/// there is of nodes, not what there is of pods.
struct ClusterSnapshot: Sendable {
  fileprivate(set) var nodes: [String: NodeInfo] = [:]
  /// Names of the nodes that exist, sorted: the order of every walk, so that decisions can be repeated.
  fileprivate(set) var nodeNames: [String] = []
  /// Placed pods with required anti-affinity, by uid: new pods must respect it too.
  fileprivate(set) var antiAffinityPods: [String: (pod: PodInfo, node: String)] = [:]
  /// Placed pods whose affinity takes part in scores, by uid.
  fileprivate(set) var scoringAffinityPods: [String: (pod: PodInfo, node: String)] = [:]
  fileprivate(set) var namespaceLabels: [String: [String: String]] = [:]
  /// Whether each known claim is bound.
  fileprivate var claims: [ObjectKey: Bool] = [:]

  /// Why the pod's claims keep it from every node; `nil` when all are bound.
  func claimProblem(of pod: PodInfo) -> String? {
    for claim in pod.claims {
      switch claims[ObjectKey(namespace: pod.key.namespace, name: claim)] {
      case nil: return "persistentvolumeclaim \"\(claim)\" not found"
      case false: return "pod has unbound immediate PersistentVolumeClaims"
      default: continue
      }
    }
    return nil
  }
}

/// Nodes and placed pods as the scheduler believes them: what the informers told, and the pods that it has itself just
/// placed (`assume`), so that two pods never get the same room before the first binding has been seen.
struct ClusterState: Sendable {
  private struct Placement {
    var pod: PodInfo
    var node: String
    var isAssumed: Bool
  }

  private(set) var snapshot = ClusterSnapshot()
  private var placements: [String: Placement] = [:]

  init() {}

  // MARK: Nodes

  mutating func setNode(_ node: Node) -> ClusterChange {
    let name = node.metadata.name ?? ""
    let isNew = snapshot.nodes[name]?.exists != true
    let change = snapshot.nodes[name, default: NodeInfo(name: name)].update(node)
    if isNew { rebuildNames() }
    return change
  }

  mutating func removeNode(_ name: String) -> ClusterChange {
    guard snapshot.nodes[name]?.exists == true else { return [] }
    if snapshot.nodes[name]?.pods.isEmpty == true {
      snapshot.nodes[name] = nil
    } else {
      snapshot.nodes[name]?.exists = false
    }
    rebuildNames()
    return .nodeRemoved
  }

  private mutating func rebuildNames() {
    snapshot.nodeNames = snapshot.nodes.values.filter(\.exists).map(\.name).sorted()
  }

  // MARK: Pods

  /// A pod that the API server has on a node. Confirms an assumption.
  mutating func place(_ pod: PodInfo) -> ClusterChange {
    let before = placements[pod.uid]
    put(pod, on: pod.nodeName, isAssumed: false)
    guard let before else { return .podPlaced }
    var change: ClusterChange = []
    if before.isAssumed || before.pod.labels != pod.labels { change.insert(.podPlaced) }
    if before.pod.requests != pod.requests || before.node != pod.nodeName { change.insert(.podRemoved) }
    if before.pod.isTerminating != pod.isTerminating { change.insert(.podPlaced) }
    return change
  }

  /// A pod that is being bound to a node.
  mutating func assume(_ pod: PodInfo, on node: String) {
    precondition(placements[pod.uid] == nil, "a pod that has a node gets another one")
    precondition(snapshot.nodes[node]?.exists == true, "a pod gets a node that is not there")
    put(pod, on: node, isAssumed: true)
  }

  /// A pod that the API server has without a node. One that had a node has lost it when an older state came back with
  /// the server, from a backup; one that is being bound has it already here.
  mutating func unplace(_ uid: String) -> ClusterChange { isAssumed(uid) ? [] : remove(uid) }

  func isAssumed(_ uid: String) -> Bool { placements[uid]?.isAssumed ?? false }

  /// Takes an assumption back after the binding failed. A placement that the API server has confirmed stays.
  mutating func forget(_ uid: String) -> ClusterChange {
    guard placements[uid]?.isAssumed == true else { return [] }
    return remove(uid)
  }

  /// A pod that is gone or has ended.
  mutating func remove(_ uid: String) -> ClusterChange {
    guard let placement = placements.removeValue(forKey: uid) else { return [] }
    take(uid, from: placement.node)
    return .podRemoved
  }

  private mutating func put(_ pod: PodInfo, on node: String, isAssumed: Bool) {
    if let before = placements[pod.uid] { take(pod.uid, from: before.node) }
    placements[pod.uid] = Placement(pod: pod, node: node, isAssumed: isAssumed)
    snapshot.nodes[node, default: NodeInfo(name: node)].add(pod)
    if !pod.requiredAntiAffinity.isEmpty { snapshot.antiAffinityPods[pod.uid] = (pod, node) }
    if !pod.preferredAffinity.isEmpty || !pod.requiredAffinity.isEmpty {
      snapshot.scoringAffinityPods[pod.uid] = (pod, node)
    }
  }

  private mutating func take(_ uid: String, from node: String) {
    snapshot.nodes[node]?.remove(uid)
    snapshot.antiAffinityPods[uid] = nil
    snapshot.scoringAffinityPods[uid] = nil
    if let info = snapshot.nodes[node], !info.exists, info.pods.isEmpty { snapshot.nodes[node] = nil }
  }

  // MARK: Namespaces and claims

  mutating func setNamespace(_ name: String, labels: [String: String]?) -> ClusterChange {
    if snapshot.namespaceLabels[name] == labels { return [] }
    snapshot.namespaceLabels[name] = labels
    return .namespaceLabels
  }

  mutating func setClaim(_ key: ObjectKey, isBound: Bool?) -> ClusterChange {
    if snapshot.claims[key] == isBound { return [] }
    snapshot.claims[key] = isBound
    return .claim
  }
}
