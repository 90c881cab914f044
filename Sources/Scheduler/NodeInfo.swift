import KubeTypes
import Wire

/// A node and the sum of what its pods take.
struct NodeInfo: Sendable {
  let name: String
  /// Whether the node object is there; pods can be known before their node.
  var exists = false
  var labels: [String: String] = [:]
  var taints: [Taint] = []
  var isUnschedulable = false
  var allocatable = ResourceVector()
  var podsMax: Int64 = 0
  /// Size in bytes by every name of an image that the node has.
  var images: [String: Int64] = [:]

  private(set) var requested = ResourceVector()
  private var scored = ResourceVector()
  var scoredCPUMilli: Int64 { scored.cpuMilli }
  var scoredMemory: Int64 { scored.memory }
  private(set) var hostPorts: [HostPort] = []
  /// How many of its pods that are there to stay each controller has, by its uid.
  private(set) var siblings: [String: Int64] = [:]
  /// By uid, in no order that a decision may depend on.
  private(set) var pods: [String: PodInfo] = [:]

  init(name: String) { self.name = name }

  /// Takes over the node object; says what changed for waiting pods.
  mutating func update(_ node: Node) -> ClusterChange {
    var change: ClusterChange = exists ? [] : .nodeAdded
    let metadata = node.metadata
    var newLabels = metadata.labels
    // Affinity by hostname works also before the node has put its label there.
    if newLabels["kubernetes.io/hostname"] == nil { newLabels["kubernetes.io/hostname"] = name }
    if newLabels != labels { change.insert(.nodeLabels) }
    labels = newLabels
    if node.spec.taints != taints { change.insert(.nodeTaints) }
    taints = node.spec.taints
    let unschedulable = node.spec.unschedulable ?? false
    if unschedulable != isUnschedulable { change.insert(.nodeUnschedulable) }
    isUnschedulable = unschedulable
    let status = node.status
    let list = status.allocatable.isEmpty ? status.capacity : status.allocatable
    let newAllocatable = ResourceVector(list)
    let newPodsMax = list["pods"]?.value ?? 0
    if newAllocatable != allocatable || newPodsMax != podsMax { change.insert(.nodeAllocatable) }
    allocatable = newAllocatable
    podsMax = newPodsMax
    images = [:]
    for image in status.images {
      for name in image.names { images[name] = image.sizeBytes ?? 0 }
    }
    exists = true
    return change
  }

  mutating func add(_ pod: PodInfo) {
    if pods[pod.uid] != nil { remove(pod.uid) }
    pods[pod.uid] = pod
    requested.add(pod.requests)
    scored.add(pod.scored)
    hostPorts += pod.hostPorts
    count(pod, 1)
  }

  mutating func remove(_ uid: String) {
    guard let pod = pods.removeValue(forKey: uid) else { return }
    count(pod, -1)
    if requested.isSaturated || scored.isSaturated {
      // Somebody asks for more than there is anywhere, and named the node himself.
      requested = pods.values.reduce(into: ResourceVector()) { $0.add($1.requests) }
      scored = pods.values.reduce(into: ResourceVector()) { $0.add($1.scored) }
    } else {
      requested.subtract(pod.requests)
      scored.subtract(pod.scored)
    }
    for port in pod.hostPorts {
      if let at = hostPorts.firstIndex(of: port) { hostPorts.remove(at: at) }
    }
  }

  private mutating func count(_ pod: PodInfo, _ change: Int64) {
    guard let controller = pod.controllerUID, !pod.isTerminating else { return }
    let count = siblings[controller, default: 0] + change
    precondition(count >= 0, "a pod left a node that it was not on")
    siblings[controller] = count == 0 ? nil : count
  }

  /// The first taint with one of the effects that the pod does not tolerate.
  func untoleratedTaint(by pod: PodInfo, effects: Set<String> = ["NoSchedule", "NoExecute"]) -> Taint? {
    taints.first { effects.contains($0.effect ?? "") && !pod.tolerates($0) }
  }
}

/// What happened in the cluster that can make a waiting pod schedulable.
struct ClusterChange: OptionSet, Sendable, Hashable {
  let rawValue: UInt16

  static let nodeAdded = ClusterChange(rawValue: 1 << 0)
  static let nodeLabels = ClusterChange(rawValue: 1 << 1)
  static let nodeTaints = ClusterChange(rawValue: 1 << 2)
  static let nodeUnschedulable = ClusterChange(rawValue: 1 << 3)
  static let nodeAllocatable = ClusterChange(rawValue: 1 << 4)
  /// A pod left its node.
  static let podRemoved = ClusterChange(rawValue: 1 << 5)
  /// A pod came to a node, or its labels changed there.
  static let podPlaced = ClusterChange(rawValue: 1 << 6)
  static let namespaceLabels = ClusterChange(rawValue: 1 << 7)
  static let claim = ClusterChange(rawValue: 1 << 8)
  static let nodeRemoved = ClusterChange(rawValue: 1 << 9)
}
