import KubeTypes

/// The weights of kube-scheduler's default profile.
private enum ScoreWeight {
  static let taints: Int64 = 3
  static let nodeAffinity: Int64 = 2
  static let podAffinity: Int64 = 2
  static let spread: Int64 = 2
  static let leastAllocated: Int64 = 1
  static let balanced: Int64 = 1
  static let images: Int64 = 1
  /// What a placed pod's required affinity to the incoming pod counts for (`hardPodAffinityWeight`).
  static let requiredAffinity: Int64 = 1
}

extension SchedulingCycle {
  /// The weighted sum for each node; every part is between 0 and 100 before its weight.
  func scores(of nodes: [NodeInfo]) -> [Int64] {
    var sums = [Int64](repeating: 0, count: nodes.count)
    func add(_ scores: [Int64], _ weight: Int64) {
      for index in sums.indices { sums[index] += weight * scores[index] }
    }
    add(nodes.map(leastAllocatedScore), ScoreWeight.leastAllocated)
    add(nodes.map(balancedScore), ScoreWeight.balanced)
    add(Self.lowerIsBetter(nodes.map(preferNoScheduleTaints)), ScoreWeight.taints)
    if !pod.preferredNodeTerms.isEmpty {
      add(Self.higherIsBetter(nodes.map(preferredNodeWeight)), ScoreWeight.nodeAffinity)
    }
    if let weights = podAffinityWeights(of: nodes) { add(Self.betweenExtremes(weights), ScoreWeight.podAffinity) }
    if let counts = spreadCounts(of: nodes) { add(Self.lowerIsBetter(counts), ScoreWeight.spread) }
    add(imageScores(of: nodes), ScoreWeight.images)
    return sums
  }

  // MARK: Single nodes

  /// The free share of cpu and memory after the pod, averaged.
  func leastAllocatedScore(_ node: NodeInfo) -> Int64 {
    func free(_ used: Int64, _ request: Int64, _ total: Int64) -> Int64 {
      guard total > 0 else { return 0 }
      return Int64(max(0, 1 - (Double(used) + Double(request)) / Double(total)) * 100)
    }
    return
      (free(node.scoredCPUMilli, pod.scored.cpuMilli, node.allocatable.cpuMilli)
      + free(node.scoredMemory, pod.scored.memory, node.allocatable.memory)) / 2
  }

  /// High when cpu and memory are used to the same share after the pod.
  func balancedScore(_ node: NodeInfo) -> Int64 {
    func share(_ used: Int64, _ request: Int64, _ total: Int64) -> Double {
      total > 0 ? min(1, (Double(used) + Double(request)) / Double(total)) : 1
    }
    let cpu = share(node.scoredCPUMilli, pod.scored.cpuMilli, node.allocatable.cpuMilli)
    let memory = share(node.scoredMemory, pod.scored.memory, node.allocatable.memory)
    // The standard deviation of two values is half their distance.
    return Int64((1 - abs(cpu - memory) / 2) * 100)
  }

  func preferNoScheduleTaints(_ node: NodeInfo) -> Int64 {
    Int64(node.taints.count { $0.effect == "PreferNoSchedule" && !pod.tolerates($0) })
  }

  func preferredNodeWeight(_ node: NodeInfo) -> Int64 {
    pod.preferredNodeTerms.reduce(0) { sum, preferred in
      // Unlike in a requirement, a preference without any expression matches every node.
      let isEmpty = preferred.term.labels.isEmpty && preferred.term.fields.isEmpty
      let matches = isEmpty || preferred.term.matches(name: node.name, labels: node.labels)
      return matches ? sum + preferred.weight : sum
    }
  }

  // MARK: All nodes together

  /// The sum of the weights of preferred pod affinity in both directions; `nil` when nobody prefers anything.
  func podAffinityWeights(of nodes: [NodeInfo]) -> [Int64]? {
    if pod.preferredAffinity.isEmpty && cluster.scoringAffinityPods.isEmpty { return nil }
    var weights: [TopologyDomain: Int64] = [:]
    func count(_ term: AffinityTerm, _ weight: Int64, on node: NodeInfo, matching target: PodInfo) {
      guard let value = node.labels[term.topologyKey],
        term.matches(target, namespaceLabels: cluster.namespaceLabels)
      else { return }
      weights[TopologyDomain(key: term.topologyKey, value: value), default: 0] += weight
    }
    if !pod.preferredAffinity.isEmpty {
      for name in cluster.nodeNames {
        guard let node = cluster.nodes[name] else { continue }
        for other in node.pods.values {
          for (weight, term) in pod.preferredAffinity { count(term, weight, on: node, matching: other) }
        }
      }
    }
    for (other, nodeName) in cluster.scoringAffinityPods.values {
      guard let node = cluster.nodes[nodeName], node.exists else { continue }
      for (weight, term) in other.preferredAffinity { count(term, weight, on: node, matching: pod) }
      for term in other.requiredAffinity { count(term, ScoreWeight.requiredAffinity, on: node, matching: pod) }
    }
    if weights.isEmpty { return nil }
    return nodes.map { node in
      weights.reduce(0) { node.labels[$1.key.key] == $1.key.value ? $0 + $1.value : $0 }
    }
  }

  /// How many pods of the same kind are near each node; `nil` when that is of no interest.
  ///
  /// Soft constraints count by their selector. A pod with a controller and no constraint of its own is spread over hosts
  /// against its siblings, as kube-scheduler's default constraints do.
  func spreadCounts(of nodes: [NodeInfo]) -> [Int64]? {
    if !pod.softSpread.isEmpty {
      let counts = pod.softSpread.map { SpreadCounts($0, pod: pod, cluster: cluster) }
      return nodes.map { node in
        counts.reduce(0) { sum, counts in
          guard let value = node.labels[counts.constraint.topologyKey] else { return sum }
          return sum + (counts.pods[value] ?? 0)
        }
      }
    }
    guard pod.hardSpread.isEmpty, let controller = pod.controllerUID else { return nil }
    return nodes.map { $0.siblings[controller] ?? 0 }
  }

  /// How much of the pod's images a node already has, each weighted by the share of nodes that have it, so that one
  /// node does not draw everything to itself. Between 23 MB and 1 GB for each container, as in kube-scheduler.
  func imageScores(of nodes: [NodeInfo]) -> [Int64] {
    let least = Double(23 << 20)
    let most = Double(1000 << 20) * Double(max(1, pod.images.count))
    var spreads: [String: Double] = [:]
    for image in Set(pod.images) {
      let holders = cluster.nodeNames.count { cluster.nodes[$0]?.images[image] != nil }
      spreads[image] = Double(holders) / Double(max(1, cluster.nodeNames.count))
    }
    return nodes.map { node in
      let bytes = pod.images.reduce(0) { $0 + Double(node.images[$1] ?? 0) * (spreads[$1] ?? 0) }
      return Int64(100 * (min(max(bytes, least), most) - least) / (most - least))
    }
  }

  // MARK: To 0...100

  static func higherIsBetter(_ values: [Int64]) -> [Int64] {
    guard let most = values.max(), most > 0 else { return values.map { _ in 0 } }
    return values.map { max(0, $0) * 100 / most }
  }

  static func lowerIsBetter(_ values: [Int64]) -> [Int64] {
    guard let most = values.max(), most > 0 else { return values.map { _ in 100 } }
    return values.map { 100 - $0 * 100 / most }
  }

  static func betweenExtremes(_ values: [Int64]) -> [Int64] {
    guard let least = values.min(), let most = values.max(), most > least else { return values.map { _ in 0 } }
    return values.map { ($0 - least) * 100 / (most - least) }
  }
}
