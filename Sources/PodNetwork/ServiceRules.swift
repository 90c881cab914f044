import KubeTypes

/// Where connections to a service may go.
struct ServiceEndpoint: Sendable, Hashable, Comparable {
  var address: IPv4
  var port: Int64
  /// Whether it runs on this node.
  var isLocal: Bool

  static func < (a: ServiceEndpoint, b: ServiceEndpoint) -> Bool { (a.address, a.port) < (b.address, b.port) }
}

/// Compiles a Service and its EndpointSlices to rules. Pure.
///
/// Verdict maps lead from address and port to a chain per service port, which chooses an endpoint at random. Behaviour
/// follows kube-proxy (KEP-3866, nftables mode): internalTrafficPolicy and externalTrafficPolicy, session affinity by
/// client address, terminating endpoints only when there is no ready one (KEP-1669).
struct ServiceRules {
  let nodeName: String

  func compile(_ service: KubeTypes.Service, slices: [EndpointSlice]) -> RuleSet {
    var rules = RuleSet()
    let spec = service.spec
    let type = spec.type ?? "ClusterIP"
    // Headless services and external names are the DNS server's.
    guard type != "ExternalName", let clusterIP = spec.clusterIP.flatMap({ IPv4($0) }) else { return rules }
    let affinity: Int64? =
      spec.sessionAffinity == "ClientIP" ? spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800 : nil
    var external = spec.externalIPs.compactMap { IPv4($0) }
    external += service.status.loadBalancer?.ingress.compactMap { $0.ip.flatMap { IPv4($0) } } ?? []
    for port in spec.ports {
      guard let number = port.port, (1...65535).contains(number),
        let `protocol` = ServiceRules.protocolName(port.protocol)
      else { continue }
      let all = endpoints(of: port, slices)
      let name = ServiceRules.chainName(service.metadata, port, `protocol`)
      let isInternalLocal = spec.internalTrafficPolicy == "Local"
      let isExternalLocal = spec.externalTrafficPolicy == "Local"
      let cluster = ServiceRules.usable(all)
      let local = ServiceRules.usable(all.filter(\.endpoint.isLocal))

      func chain(_ prefix: String, _ endpoints: [ServiceEndpoint]) -> String? {
        guard !endpoints.isEmpty else { return nil }
        let chainName = "\(prefix)-\(name)"
        if rules.chains[chainName] == nil {
          add(chainName, `protocol`, endpoints, affinity: affinity, to: &rules)
        }
        return chainName
      }

      if let target = isInternalLocal ? chain("local", local) : chain("svc", cluster) {
        rules.serviceIPs["\(clusterIP) . \(`protocol`) . \(number)"] = target
      }
      let nodePort = port.nodePort.flatMap { (1...65535).contains($0) && type != "ClusterIP" ? $0 : nil }
      guard nodePort != nil || !external.isEmpty else { continue }
      guard let target = isExternalLocal ? chain("local", local) : chain("svc", cluster) else { continue }
      for address in external { rules.serviceIPs["\(address) . \(`protocol`) . \(number)"] = target }
      if let nodePort { rules.nodePorts["\(`protocol`) . \(nodePort)"] = target }
    }
    return rules
  }

  private struct Candidate {
    var endpoint: ServiceEndpoint
    var isReady: Bool
    /// Not ready, because it is terminating, but still answers.
    var isServingLast: Bool
  }

  private func endpoints(of port: ServicePort, _ slices: [EndpointSlice]) -> [Candidate] {
    var result: [Candidate] = []
    for slice in slices where slice.addressType ?? "IPv4" == "IPv4" {
      for slicePort in slice.ports {
        guard slicePort.name ?? "" == port.name ?? "",
          slicePort.protocol ?? "TCP" == port.protocol ?? "TCP",
          let number = slicePort.port, (1...65535).contains(number)
        else { continue }
        for endpoint in slice.endpoints {
          guard let address = endpoint.addresses.first.flatMap({ IPv4($0) }) else { continue }
          let conditions = endpoint.conditions
          let isReady = conditions?.ready ?? true
          result.append(
            Candidate(
              endpoint: ServiceEndpoint(
                address: address, port: number, isLocal: endpoint.nodeName == nodeName),
              isReady: isReady,
              isServingLast: !isReady && conditions?.terminating == true && conditions?.serving == true))
        }
      }
    }
    return result
  }

  /// The ready ones; when there are none, those that still answer while they end.
  private static func usable(_ candidates: [Candidate]) -> [ServiceEndpoint] {
    let ready = Set(candidates.filter(\.isReady).map(\.endpoint))
    if !ready.isEmpty { return ready.sorted() }
    return Set(candidates.filter(\.isServingLast).map(\.endpoint)).sorted()
  }

  private func add(
    _ chain: String, _ protocol: String, _ endpoints: [ServiceEndpoint], affinity: Int64?, to rules: inout RuleSet
  ) {
    rules.endpoints.formUnion(endpoints.map(\.address))
    guard let affinity else {
      let choices = endpoints.enumerated().map { "\($0) : \($1.address) . \($1.port)" }.joined(separator: ", ")
      rules.chains[chain] = [
        "meta l4proto \(`protocol`) dnat ip addr . port to numgen random mod \(endpoints.count) map { \(choices) }"
      ]
      return
    }
    var lines: [String] = []
    var choices: [String] = []
    for (index, endpoint) in endpoints.enumerated() {
      let name = "\(chain)/\(endpoint.address)/\(endpoint.port)"
      let set = "aff-\(ServiceRules.hash(name))"
      rules.affinitySets[set] = affinity
      rules.chains["ep-\(name)"] = [
        "update @\(set) { ip saddr }",
        "meta l4proto \(`protocol`) dnat ip to \(endpoint.address):\(endpoint.port)",
      ]
      lines.append("ip saddr @\(set) goto ep-\(name)")
      choices.append("\(index) : goto ep-\(name)")
    }
    lines.append("numgen random mod \(endpoints.count) vmap { \(choices.joined(separator: ", ")) }")
    rules.chains[chain] = lines
  }

  static func protocolName(_ name: String?) -> String? {
    switch name ?? "TCP" {
    case "TCP": "tcp"
    case "UDP": "udp"
    case "SCTP": "sctp"
    default: nil
    }
  }

  /// `HASH-namespace/name/tcp/80`: the hash makes it unique, the rest is for people and cut off when it is long.
  static func chainName(_ metadata: ObjectMeta, _ port: ServicePort, _ protocol: String) -> String {
    let full = "\(metadata.namespace ?? "")/\(metadata.name ?? "")/\(`protocol`)/\(port.port ?? 0)"
    let clean = full.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "/" || $0 == ".") }
    // nftables' names have at most 127 bytes; an endpoint's chain appends an address.
    return "\(hash(full))-\(clean.prefix(64))"
  }

  /// FNV-1a, 64 bits: the same in every run, so that chains keep their names.
  static func hash(_ text: String) -> String {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
