import Wire

/// What an update of a Service means for the fields that the server gave it: with another type go those that were for
/// the old one and that the update did not change, and what the update leaves out stays
/// (`pkg/registry/core/service/{strategy,storage}`).
enum ServiceTypeChange {
  /// Drops what the new type does not have. What the update sets anew stays, for the validation to refuse.
  static func dropOutdated(_ spec: inout JSON, type: String, old: JSON) {
    let before = old["type"]?.string ?? "ClusterIP"
    func drop(_ field: String, when isOver: Bool) {
      if isOver, spec[field] != nil, spec[field] == old[field] { spec[field] = nil }
    }
    if before != "ExternalName", type == "ExternalName" {
      for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] { drop(field, when: true) }
    }
    drop("externalTrafficPolicy", when: isExternal(before, old) && !isExternal(type, spec))
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
      drop(field, when: before == "LoadBalancer" && type != "LoadBalancer")
    }
    drop("healthCheckNodePort", when: checksHealth(before, old) && !checksHealth(type, spec))
    // Ports may come, go and change as long as none of their node ports is new.
    if hasNodePorts(before), !hasNodePorts(type), Set(nodePorts(old)).isSuperset(of: nodePorts(spec)),
      var ports = spec["ports"]?.array
    {
      for index in ports.indices { ports[index]["nodePort"] = nil }
      spec["ports"] = .array(ports)
    }
  }

  /// Gives ports without a node port the one that they had, by name, unless another port took it.
  static func keepNodePorts(_ spec: inout JSON, type: String, old: JSON) {
    guard hasNodePorts(type), hasNodePorts(old["type"]?.string ?? "ClusterIP"), var ports = spec["ports"]?.array else {
      return
    }
    let taken = Set(nodePorts(spec))
    let before = Dictionary(
      (old["ports"]?.array ?? []).map { ($0["name"]?.string ?? "", $0["nodePort"]?.int ?? 0) },
      uniquingKeysWith: { first, _ in first })
    for index in ports.indices where (ports[index]["nodePort"]?.int ?? 0) == 0 {
      guard let number = before[ports[index]["name"]?.string ?? ""], number != 0, !taken.contains(number) else {
        continue
      }
      ports[index]["nodePort"] = .int(number)
    }
    spec["ports"] = .array(ports)
  }

  private static func hasNodePorts(_ type: String) -> Bool { type == "NodePort" || type == "LoadBalancer" }

  private static func checksHealth(_ type: String, _ spec: JSON) -> Bool {
    type == "LoadBalancer" && spec["externalTrafficPolicy"]?.string == "Local"
  }

  private static func isExternal(_ type: String, _ spec: JSON) -> Bool {
    hasNodePorts(type) || type == "ClusterIP" && spec["externalIPs"]?.array?.isEmpty == false
  }

  private static func nodePorts(_ spec: JSON) -> [Int64] {
    (spec["ports"]?.array ?? []).compactMap { $0["nodePort"]?.int }.filter { $0 != 0 }
  }
}
