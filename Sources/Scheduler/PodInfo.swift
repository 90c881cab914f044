import KubeTypes
import Wire

/// What scheduling needs to know of a pod, decoded once per change of the pod and shared by queue and cluster state.
final class PodInfo: Sendable {
  let key: ObjectKey
  let uid: String
  let labels: [String: String]
  /// The uid of the owner that manages the pod: pods with the same one are spread by default.
  let controllerUID: String?
  let isTerminating: Bool
  let isTerminal: Bool

  let nodeName: String
  let schedulerName: String
  let isGated: Bool
  let priority: Int64
  /// `PreemptionPolicy` is `Never`.
  let neverPreempts: Bool
  let requests: ResourceVector
  /// The requests with `ScoringDefaults` for containers that have none, so that pods without requests spread too.
  let scored: ResourceVector
  let hostPorts: [HostPort]
  let nodeSelector: [String: String]
  /// `nil` without required node affinity; a node must match one of the terms.
  let requiredNodeTerms: [NodeTerm]?
  let preferredNodeTerms: [(weight: Int64, term: NodeTerm)]
  let tolerations: [Toleration]
  let requiredAffinity: [AffinityTerm]
  let requiredAntiAffinity: [AffinityTerm]
  /// Weights are negative for anti-affinity.
  let preferredAffinity: [(weight: Int64, term: AffinityTerm)]
  let hardSpread: [SpreadConstraint]
  let softSpread: [SpreadConstraint]
  let claims: [String]
  let images: [String]

  /// What a container without requests counts for in scores (kube-scheduler's `GetNonzeroRequests`).
  enum ScoringDefaults {
    static let cpuMilli: Int64 = 100
    static let memory: Int64 = 200 << 20
  }

  init(_ pod: Pod) {
    let metadata = pod.metadata
    let spec = pod.spec
    key = ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "")
    uid = metadata.uid ?? ""
    labels = metadata.labels
    controllerUID = metadata.ownerReferences.first { $0.controller == true }?.uid
    isTerminating = metadata.deletionTimestamp != nil
    let phase = pod.status.phase
    isTerminal = phase == "Succeeded" || phase == "Failed"
    nodeName = spec.nodeName ?? ""
    schedulerName = spec.schedulerName ?? "default-scheduler"
    isGated = !spec.schedulingGates.isEmpty
    priority = spec.priority ?? 0
    neverPreempts = spec.preemptionPolicy == "Never"
    requests = ResourceVector.requests(of: spec)
    var cpuMilli: Int64 = 0
    var memory: Int64 = 0
    for container in spec.containers {
      let asked = container.resources?.requests ?? [:]
      if asked["cpu"] == nil { cpuMilli += ScoringDefaults.cpuMilli }
      if asked["memory"] == nil { memory += ScoringDefaults.memory }
    }
    scored = ResourceVector(
      cpuMilli: requests.cpuMilli.addingSaturated(cpuMilli), memory: requests.memory.addingSaturated(memory))

    var ports: [HostPort] = []
    for container in spec.containers + spec.initContainers.filter({ $0.restartPolicy == "Always" }) {
      for port in container.ports {
        // A pod on the host's network occupies its container ports; the API server copies them into hostPort.
        guard let hostPort = port.hostPort, hostPort > 0 else { continue }
        ports.append(HostPort(address: port.hostIP ?? "", protocol: port.protocol ?? "TCP", port: hostPort))
      }
    }
    hostPorts = ports
    nodeSelector = spec.nodeSelector

    let affinity = spec.affinity
    requiredNodeTerms = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?
      .nodeSelectorTerms.map(NodeTerm.init)
    preferredNodeTerms =
      affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution.map {
        ($0.weight ?? 0, NodeTerm($0.preference))
      } ?? []
    tolerations = spec.tolerations

    let namespace = metadata.namespace ?? ""
    let podLabels = metadata.labels
    func terms(_ terms: [PodAffinityTerm]) -> [AffinityTerm] {
      terms.map { AffinityTerm($0, podNamespace: namespace, podLabels: podLabels) }
    }
    func weighted(_ terms: [WeightedPodAffinityTerm], sign: Int64) -> [(weight: Int64, term: AffinityTerm)] {
      terms.map {
        (sign * ($0.weight ?? 0), AffinityTerm($0.podAffinityTerm, podNamespace: namespace, podLabels: podLabels))
      }
    }
    requiredAffinity = terms(affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])
    requiredAntiAffinity = terms(affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])
    preferredAffinity =
      weighted(affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [], sign: 1)
      + weighted(affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [], sign: -1)

    let constraints = spec.topologySpreadConstraints
    hardSpread = constraints.filter { $0.whenUnsatisfiable == "DoNotSchedule" }
      .map { SpreadConstraint($0, podLabels: podLabels) }
    softSpread = constraints.filter { $0.whenUnsatisfiable == "ScheduleAnyway" }
      .map { SpreadConstraint($0, podLabels: podLabels) }

    claims = spec.volumes.compactMap { volume in
      if let claim = volume.persistentVolumeClaim { return claim.claimName }
      // A generic ephemeral volume's claim is named after the pod and the volume.
      return volume.ephemeral == nil ? nil : "\(metadata.name ?? "")-\(volume.name ?? "")"
    }
    images = spec.containers.compactMap(\.image)
  }

  /// Whether it waits for this scheduler.
  func isPending(for scheduler: String) -> Bool {
    nodeName.isEmpty && schedulerName == scheduler && !isTerminating && !isTerminal && !isGated
  }

  /// Whether its node must match `nodeSelector` and required node affinity, and does.
  func matchesNodeAffinity(of node: NodeInfo) -> Bool {
    for (key, value) in nodeSelector where node.labels[key] != value { return false }
    guard let terms = requiredNodeTerms else { return true }
    return terms.contains { $0.matches(name: node.name, labels: node.labels) }
  }

  func tolerates(_ taint: Taint) -> Bool { tolerations.contains { $0.tolerates(taint) } }
}

/// A port of the node that a pod occupies.
struct HostPort: Sendable, Equatable {
  /// Empty or `0.0.0.0` for every address.
  var address: String
  var `protocol`: String
  var port: Int64

  func conflicts(with other: HostPort) -> Bool {
    guard port == other.port, `protocol` == other.protocol else { return false }
    return address == other.address || isWildcard || other.isWildcard
  }

  private var isWildcard: Bool { address.isEmpty || address == "0.0.0.0" || address == "::" }
}

/// A `v1.PodAffinityTerm` with its selectors compiled.
struct AffinityTerm: Sendable {
  /// `nil` matches no pod.
  var selector: Selector?
  var topologyKey: String
  var namespaces: Set<String>
  /// In addition to `namespaces`; an empty selector matches every namespace.
  var namespaceSelector: Selector?

  init(_ term: PodAffinityTerm, podNamespace: String, podLabels: [String: String]) {
    let matching = term.matchLabelKeys.compactMap { key in podLabels[key].map { (key, $0) } }
    let mismatching = term.mismatchLabelKeys.compactMap { key in podLabels[key].map { (key, $0) } }
    selector = term.labelSelector.map { $0.selector(adding: matching, excluding: mismatching) }
    topologyKey = term.topologyKey ?? ""
    namespaceSelector = term.namespaceSelector.map { $0.selector() }
    namespaces = Set(term.namespaces)
    if namespaces.isEmpty && namespaceSelector == nil { namespaces = [podNamespace] }
  }

  func matches(_ pod: PodInfo, namespaceLabels: [String: [String: String]]) -> Bool {
    guard let selector else { return false }
    if !namespaces.contains(pod.key.namespace) {
      guard let namespaceSelector, namespaceSelector.matches(namespaceLabels[pod.key.namespace] ?? [:]) else {
        return false
      }
    }
    return selector.matches(pod.labels)
  }
}

/// A `v1.TopologySpreadConstraint` with its selector compiled.
struct SpreadConstraint: Sendable {
  var topologyKey: String
  var maxSkew: Int64
  var minDomains: Int64
  /// `nil` matches no pod.
  var selector: Selector?
  /// `nodeAffinityPolicy`: nodes that the pod's node affinity excludes are no domains (default).
  var honoursNodeAffinity: Bool
  /// `nodeTaintsPolicy`: nodes whose taints the pod does not tolerate are no domains.
  var honoursTaints: Bool

  init(_ constraint: TopologySpreadConstraint, podLabels: [String: String]) {
    topologyKey = constraint.topologyKey ?? ""
    maxSkew = constraint.maxSkew ?? 1
    minDomains = constraint.minDomains ?? 1
    let matching = constraint.matchLabelKeys.compactMap { key in podLabels[key].map { (key, $0) } }
    selector = constraint.labelSelector.map { $0.selector(adding: matching) }
    honoursNodeAffinity = constraint.nodeAffinityPolicy != "Ignore"
    honoursTaints = constraint.nodeTaintsPolicy == "Honor"
  }
}

extension LabelSelector {
  /// The compiled selector, narrowed to objects with the given label values (`matchLabelKeys`) and without others
  /// (`mismatchLabelKeys`). One that the API server should have refused matches nothing.
  func selector(adding: [(String, String)] = [], excluding: [(String, String)] = []) -> Selector {
    do {
      var requirements = try Selector(labelSelector: json).requirements
      for (key, value) in adding { requirements.append(try Selector.Requirement(key: key, .in, [value])) }
      for (key, value) in excluding { requirements.append(try Selector.Requirement(key: key, .notIn, [value])) }
      return Selector(requirements)
    } catch {
      return .nothing
    }
  }
}
