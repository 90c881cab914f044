import KubeTypes

/// A value of a node label: one domain of a topology, such as one host or one zone.
struct TopologyDomain: Hashable, Sendable {
  var key: String
  var value: String
}

/// Required pod affinity and anti-affinity for one incoming pod: how many placed pods matter in each domain.
struct PodAffinityCounts: Sendable {
  private let pod: PodInfo
  /// Domains with placed pods whose own anti-affinity excludes the incoming pod.
  private var excludedByOthers: Set<TopologyDomain> = []
  /// Domains with placed pods that the incoming pod's anti-affinity names.
  private var excluded: Set<TopologyDomain> = []
  /// Domains with placed pods that match all of the incoming pod's affinity terms.
  private var attracting: Set<TopologyDomain> = []
  /// Whether the pod matches its own affinity terms: the first of a group may go anywhere.
  private var isOwnMatch = false

  init(pod: PodInfo, cluster: ClusterSnapshot) {
    self.pod = pod
    let namespaceLabels = cluster.namespaceLabels
    for (other, nodeName) in cluster.antiAffinityPods.values {
      guard let node = cluster.nodes[nodeName], node.exists else { continue }
      for term in other.requiredAntiAffinity {
        guard let value = node.labels[term.topologyKey], term.matches(pod, namespaceLabels: namespaceLabels) else {
          continue
        }
        excludedByOthers.insert(TopologyDomain(key: term.topologyKey, value: value))
      }
    }
    if pod.requiredAffinity.isEmpty && pod.requiredAntiAffinity.isEmpty { return }
    for name in cluster.nodeNames {
      guard let node = cluster.nodes[name] else { continue }
      for other in node.pods.values {
        for term in pod.requiredAntiAffinity {
          guard let value = node.labels[term.topologyKey], term.matches(other, namespaceLabels: namespaceLabels)
          else { continue }
          excluded.insert(TopologyDomain(key: term.topologyKey, value: value))
        }
        guard !pod.requiredAffinity.isEmpty,
          pod.requiredAffinity.allSatisfy({ $0.matches(other, namespaceLabels: namespaceLabels) })
        else { continue }
        for term in pod.requiredAffinity {
          guard let value = node.labels[term.topologyKey] else { continue }
          attracting.insert(TopologyDomain(key: term.topologyKey, value: value))
        }
      }
    }
    isOwnMatch = pod.requiredAffinity.allSatisfy { $0.matches(pod, namespaceLabels: namespaceLabels) }
  }

  func reject(_ node: NodeInfo) -> Rejection? {
    func domain(_ key: String) -> TopologyDomain? {
      node.labels[key].map { TopologyDomain(key: key, value: $0) }
    }
    if !pod.requiredAffinity.isEmpty {
      let domains = pod.requiredAffinity.map { domain($0.topologyKey) }
      let isSatisfied = domains.allSatisfy { $0.map(attracting.contains) ?? false }
      let isFirst = attracting.isEmpty && isOwnMatch && domains.allSatisfy { $0 != nil }
      if !isSatisfied && !isFirst {
        return Rejection(
          rule: .podAffinity, reasons: ["node(s) didn't match pod affinity rules"], isResolvable: false)
      }
    }
    if pod.requiredAntiAffinity.contains(where: { domain($0.topologyKey).map(excluded.contains) ?? false }) {
      return Rejection(
        rule: .podAffinity, reasons: ["node(s) didn't match pod anti-affinity rules"], isResolvable: true)
    }
    if excludedByOthers.contains(where: { node.labels[$0.key] == $0.value }) {
      return Rejection(
        rule: .podAffinity, reasons: ["node(s) didn't satisfy existing pods anti-affinity rules"], isResolvable: true)
    }
    return nil
  }
}

/// One topology spread constraint for one incoming pod: the number of matching pods in each domain (KEP-895).
struct SpreadCounts: Sendable {
  let constraint: SpreadConstraint
  /// Matching pods by the value of the topology key, for every domain that counts.
  private(set) var pods: [String: Int64] = [:]
  /// 1 when the pod itself matches the selector.
  private var own: Int64 = 0

  init(_ constraint: SpreadConstraint, pod: PodInfo, cluster: ClusterSnapshot) {
    self.constraint = constraint
    own = constraint.selector?.matches(pod.labels) == true ? 1 : 0
    for name in cluster.nodeNames {
      guard let node = cluster.nodes[name], let value = node.labels[constraint.topologyKey] else { continue }
      if constraint.honoursNodeAffinity, !pod.matchesNodeAffinity(of: node) { continue }
      if constraint.honoursTaints, node.untoleratedTaint(by: pod) != nil { continue }
      var count: Int64 = 0
      if let selector = constraint.selector {
        for other in node.pods.values
        where other.key.namespace == pod.key.namespace && !other.isTerminating && selector.matches(other.labels) {
          count += 1
        }
      }
      pods[value, default: 0] += count
    }
  }

  func reject(_ node: NodeInfo) -> Rejection? {
    let reason = "node(s) didn't match pod topology spread constraints"
    guard let value = node.labels[constraint.topologyKey] else {
      return Rejection(
        rule: .topologySpread, reasons: ["\(reason) (missing required label)"], isResolvable: false)
    }
    // With fewer domains than `minDomains` the emptiest one is one that is yet to come.
    let least = Int64(pods.count) < constraint.minDomains ? 0 : pods.values.min() ?? 0
    let skew = (pods[value] ?? 0) + own - least
    return skew <= constraint.maxSkew
      ? nil : Rejection(rule: .topologySpread, reasons: [reason], isResolvable: true)
  }
}
