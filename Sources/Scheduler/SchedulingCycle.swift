import ControllerKit
import KubeTypes
import Wire

/// Which rule kept a pod from a node; decides which later changes are worth another attempt.
enum FilterRule: Sendable, Hashable, CaseIterable {
  case nodeUnschedulable
  case taints
  case nodeAffinity
  case hostPorts
  case resources
  case topologySpread
  case podAffinity
  case claims
  /// There was no node at all.
  case noNodes

  /// The changes that can lift the rejection.
  var liftedBy: ClusterChange {
    switch self {
    case .nodeUnschedulable: [.nodeAdded, .nodeUnschedulable]
    case .noNodes: .nodeAdded
    case .taints: [.nodeAdded, .nodeTaints]
    case .nodeAffinity: [.nodeAdded, .nodeLabels]
    case .hostPorts: [.nodeAdded, .podRemoved]
    case .resources: [.nodeAdded, .nodeAllocatable, .podRemoved]
    case .topologySpread: [.nodeAdded, .nodeRemoved, .nodeLabels, .nodeTaints, .podRemoved, .podPlaced]
    case .podAffinity: [.nodeAdded, .nodeLabels, .podRemoved, .podPlaced, .namespaceLabels]
    case .claims: .claim
    }
  }
}

/// Why one node does not take the pod, in the words of kube-scheduler.
struct Rejection: Sendable, Equatable {
  var rule: FilterRule
  var reasons: [String]
  /// Whether removing other pods from the node could help (`Unschedulable`, not `UnschedulableAndUnresolvable`).
  var isResolvable: Bool
}

/// Why no node takes the pod.
struct FitError: Sendable, Equatable {
  var nodeCount: Int
  /// Number of nodes by reason.
  var reasons: [String: Int] = [:]
  var resolvableNodes = 0
  /// A reason that has nothing to do with single nodes.
  var general: String?
  var neverPreempts = false
  var rules: Set<FilterRule> = []

  mutating func add(_ rejection: Rejection) {
    rules.insert(rejection.rule)
    for reason in rejection.reasons { reasons[reason, default: 0] += 1 }
    if rejection.isResolvable { resolvableNodes += 1 }
  }

  /// As kube-scheduler writes it (`framework.FitError.Error`).
  var message: String {
    if nodeCount == 0 { return "no nodes available to schedule pods" }
    let head = "0/\(nodeCount) nodes are available: "
    let body = general ?? reasons.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")
    return "\(head)\(body). preemption: \(preemption)"
  }

  private var preemption: String {
    if neverPreempts { return "not eligible due to preemptionPolicy=Never." }
    var parts: [String] = []
    if resolvableNodes > 0 { parts.append("\(resolvableNodes) No preemption victims found for incoming pod") }
    let others = nodeCount - resolvableNodes
    if others > 0 { parts.append("\(others) Preemption is not helpful for scheduling") }
    return "0/\(nodeCount) nodes are available: \(parts.sorted().joined(separator: ", "))."
  }
}

enum Decision: Sendable, Equatable {
  case node(String)
  case unschedulable(FitError)
}

/// One attempt to find a node for one pod: filter, then score. Pure; chance only breaks ties.
struct SchedulingCycle {
  let pod: PodInfo
  let cluster: ClusterSnapshot
  let affinity: PodAffinityCounts
  let spread: [SpreadCounts]

  init(pod: PodInfo, cluster: ClusterSnapshot) {
    self.pod = pod
    self.cluster = cluster
    affinity = PodAffinityCounts(pod: pod, cluster: cluster)
    spread = pod.hardSpread.map { SpreadCounts($0, pod: pod, cluster: cluster) }
  }

  /// Chooses a node for the pod.
  static func decide(_ pod: PodInfo, _ cluster: ClusterSnapshot, random: inout SeededRandom) -> Decision {
    var failure = FitError(nodeCount: cluster.nodeNames.count, neverPreempts: pod.neverPreempts)
    if cluster.nodeNames.isEmpty {
      failure.rules = [.noNodes]
      return .unschedulable(failure)
    }
    if let problem = cluster.claimProblem(of: pod) {
      failure.general = problem
      failure.rules = [.claims]
      return .unschedulable(failure)
    }
    let cycle = SchedulingCycle(pod: pod, cluster: cluster)
    var feasible: [NodeInfo] = []
    for name in cluster.nodeNames {
      guard let node = cluster.nodes[name] else { continue }
      if let rejection = cycle.reject(node) { failure.add(rejection) } else { feasible.append(node) }
    }
    if feasible.count <= 1 { return feasible.first.map { .node($0.name) } ?? .unschedulable(failure) }

    let scores = cycle.scores(of: feasible)
    let best = scores.max() ?? 0
    let winners = zip(feasible, scores).filter { $0.1 == best }.map(\.0.name)
    return .node(winners[Int.random(in: 0..<winners.count, using: &random)])
  }

  /// The first rule that keeps the pod from the node, in kube-scheduler's order; `nil` when the pod fits.
  func reject(_ node: NodeInfo) -> Rejection? {
    if node.isUnschedulable, !pod.tolerates(Self.unschedulableTaint) {
      return Rejection(rule: .nodeUnschedulable, reasons: ["node(s) were unschedulable"], isResolvable: false)
    }
    if let taint = node.untoleratedTaint(by: pod) {
      let reason = "node(s) had untolerated taint {\(taint.key ?? ""): \(taint.value ?? "")}"
      return Rejection(rule: .taints, reasons: [reason], isResolvable: false)
    }
    if !pod.matchesNodeAffinity(of: node) {
      let reason = "node(s) didn't match Pod's node affinity/selector"
      return Rejection(rule: .nodeAffinity, reasons: [reason], isResolvable: false)
    }
    if pod.hostPorts.contains(where: { port in node.hostPorts.contains { $0.conflicts(with: port) } }) {
      let reason = "node(s) didn't have free ports for the requested pod ports"
      return Rejection(rule: .hostPorts, reasons: [reason], isResolvable: true)
    }
    if let rejection = rejectByResources(node) { return rejection }
    for counts in spread {
      if let rejection = counts.reject(node) { return rejection }
    }
    return affinity.reject(node)
  }

  private static let unschedulableTaint = Taint(json: [
    "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule",
  ])

  private func rejectByResources(_ node: NodeInfo) -> Rejection? {
    var reasons: [String] = []
    // Room that other pods take can be freed; a request beyond the whole node never fits.
    var isResolvable = true
    if Int64(node.pods.count) + 1 > node.podsMax { reasons.append("Too many pods") }
    func check(_ name: String, _ request: Int64, _ used: Int64, _ total: Int64) {
      guard request > 0, request > total - used else { return }
      reasons.append("Insufficient \(name)")
      if request > total { isResolvable = false }
    }
    let request = pod.requests
    check("cpu", request.cpuMilli, node.requested.cpuMilli, node.allocatable.cpuMilli)
    check("memory", request.memory, node.requested.memory, node.allocatable.memory)
    check(
      "ephemeral-storage", request.ephemeralStorage, node.requested.ephemeralStorage,
      node.allocatable.ephemeralStorage)
    for (name, amount) in request.extended.sorted(by: { $0.key < $1.key }) {
      check(name, amount, node.requested.extended[name] ?? 0, node.allocatable.extended[name] ?? 0)
    }
    return reasons.isEmpty ? nil : Rejection(rule: .resources, reasons: reasons, isResolvable: isResolvable)
  }
}
