import Wire

extension KindStrategy {
  static let resourceClaim = KindStrategy(.v1("resource.k8s.io", "ResourceClaim"), cells: { $0.resourceClaim })
}

extension TableRow {
  fileprivate var resourceClaim: [String: JSON] {
    var states: [String] = []
    if object.at("metadata", "deletionTimestamp") != nil { states.append("deleted") }
    states.append(status["allocation"] == nil ? "pending" : "allocated")
    if !(status["reservedFor"]?.array ?? []).isEmpty { states.append("reserved") }
    return ["State": .string(states.joined(separator: ","))]
  }
}
