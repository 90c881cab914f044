import KubeTypes
import Wire

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
///
/// Addresses that may not be translated are left out, whoever let them into the store.
struct ServiceRules: Sendable {
  let nodeName: String
  let cluster: ClusterAddresses

  func compile(_ service: KubeTypes.Service, slices: [EndpointSlice]) -> RuleSet {
    var rules = RuleSet()
    let spec = service.spec
    let type = spec.type ?? "ClusterIP"
    // Headless services and external names are the DNS server's.
    guard type != "ExternalName", let text = spec.clusterIP, text != "None", !text.isEmpty else { return rules }
    let clusterIP = clusterAddress(text, of: service.metadata, &rules)
    let external = externalAddresses(of: service, type: type, &rules)
    let affinity: Int64? =
      spec.sessionAffinity == "ClientIP"
      ? min(max(spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800, 1), 86_400) : nil
    for port in spec.ports {
      guard let number = port.port.flatMap({ UInt16(exactly: $0) }), number > 0,
        let transport = Transport(port.protocol)
      else { continue }
      let all = endpoints(of: port, slices, &rules)
      let name = ServiceRules.chainName(service.metadata, port, transport)
      let cluster = ServiceRules.usable(all)
      let local = ServiceRules.usable(all.filter(\.endpoint.isLocal))

      func verdict(isLocal: Bool) -> RuleSet.Verdict {
        let endpoints = isLocal ? local : cluster
        guard !endpoints.isEmpty else { return cluster.isEmpty ? .refuse : .drop }
        let chain = "\(isLocal ? "local" : "svc")-\(name)"
        if rules.chains[chain] == nil { add(chain, transport, endpoints, affinity: affinity, to: &rules) }
        return .chain(chain)
      }

      func enter(_ address: IPv4?, _ port: UInt16, isOwn: Bool, _ verdict: RuleSet.Verdict) {
        let entrance = Entrance(address: address, transport: transport, port: port)
        // The API lets no Service say the same twice.
        guard rules.entrances[entrance] == nil else { return }
        assert(address.map { AddressClass(ipv4: $0.value) == .ordinary } ?? true, "\(entrance) may not be translated")
        rules.entrances[entrance] = verdict
        if isOwn { rules.own.insert(entrance) }
      }

      if let clusterIP {
        enter(clusterIP, number, isOwn: true, verdict(isLocal: spec.internalTrafficPolicy == "Local"))
      }
      let nodePort =
        type == "ClusterIP" ? nil : port.nodePort.flatMap { UInt16(exactly: $0) }.flatMap { $0 > 0 ? $0 : nil }
      guard nodePort != nil || !external.isEmpty else { continue }
      let target = verdict(isLocal: spec.externalTrafficPolicy == "Local")
      for address in external { enter(address, number, isOwn: false, target) }
      if let nodePort { enter(nil, nodePort, isOwn: true, target) }
    }
    return rules
  }

  private func clusterAddress(_ text: String, of metadata: ObjectMeta, _ rules: inout RuleSet) -> IPv4? {
    // The first family is IPv4, or there is nothing to translate.
    guard let address = IPv4(text) else { return nil }
    let owner = "\(metadata.namespace ?? "")/\(metadata.name ?? "")"
    var refusal = cluster.refusal(cluster: address.ip, for: owner)
    if refusal == nil, cluster.services.index(of: address.ip) == ClusterAddresses.dnsIndex {
      refusal = "is answered by the cluster's name server itself"
    }
    guard let refusal else { return address }
    rules.refusals.insert(AddressRefusal(address: text, reason: refusal))
    return nil
  }

  private func externalAddresses(
    of service: KubeTypes.Service, type: String, _ rules: inout RuleSet
  ) -> [IPv4] {
    var named: [(text: String, source: ClusterAddresses.Source)] = service.spec.externalIPs.map { ($0, .user) }
    if type == "LoadBalancer" {
      // In the mode `Proxy` the load balancer itself sends to the node ports (KEP-1860).
      named += (service.status.loadBalancer?.ingress ?? []).filter { $0.ipMode ?? "VIP" == "VIP" }.compactMap {
        $0.ip.map { ($0, .loadBalancer) }
      }
    }
    return named.compactMap { text, source in
      guard let address = IPAddress(text) else { return nil }
      if let refusal = cluster.refusal(external: address, from: source) {
        rules.refusals.insert(AddressRefusal(address: text, reason: refusal))
        return nil
      }
      return IPv4(text)
    }
  }

  private struct Candidate {
    var endpoint: ServiceEndpoint
    var isReady: Bool
    /// Not ready, because it is terminating, but still answers.
    var isServingLast: Bool
  }

  private func endpoints(of port: ServicePort, _ slices: [EndpointSlice], _ rules: inout RuleSet) -> [Candidate] {
    var result: [Candidate] = []
    for slice in slices where slice.addressType ?? "IPv4" == "IPv4" {
      for slicePort in slice.ports {
        guard slicePort.name ?? "" == port.name ?? "",
          slicePort.protocol ?? "TCP" == port.protocol ?? "TCP",
          let number = slicePort.port, (1...65535).contains(number)
        else { continue }
        for endpoint in slice.endpoints {
          guard let text = endpoint.addresses.first, let address = IPv4(text) else { continue }
          if let refusal = AddressClass(ipv4: address.value).refusal {
            rules.refusals.insert(AddressRefusal(address: text, reason: refusal))
            continue
          }
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
    _ chain: String, _ transport: Transport, _ endpoints: [ServiceEndpoint], affinity: Int64?, to rules: inout RuleSet
  ) {
    assert(endpoints.allSatisfy { AddressClass(ipv4: $0.address.value) == .ordinary }, "\(chain) leads astray")
    rules.endpoints[chain] = endpoints
    guard let affinity else {
      let choices = endpoints.enumerated().map { "\($0) : \($1.address) . \($1.port)" }.joined(separator: ", ")
      rules.chains[chain] = [
        "meta l4proto \(transport.rawValue) dnat ip addr . port to numgen random mod \(endpoints.count) map { \(choices) }"
      ]
      return
    }
    var lines: [String] = []
    var choices: [String] = []
    for (index, endpoint) in endpoints.enumerated() {
      let name = "\(chain)/\(endpoint.address)/\(endpoint.port)"
      // A set's timeout cannot change: another one is another set.
      let set = "aff-\(ServiceRules.hash("\(name)/\(affinity)"))"
      rules.affinitySets[set] = affinity
      rules.chains["ep-\(name)"] = [
        "update @\(set) { ip saddr }",
        "meta l4proto \(transport.rawValue) dnat ip to \(endpoint.address):\(endpoint.port)",
      ]
      lines.append("ip saddr @\(set) goto ep-\(name)")
      choices.append("\(index) : goto ep-\(name)")
    }
    lines.append("numgen random mod \(endpoints.count) vmap { \(choices.joined(separator: ", ")) }")
    rules.chains[chain] = lines
  }

  /// `HASH-namespace/name/tcp/80`: the hash makes it unique, the rest is for people and cut off when it is long.
  static func chainName(_ metadata: ObjectMeta, _ port: ServicePort, _ transport: Transport) -> String {
    let full = "\(metadata.namespace ?? "")/\(metadata.name ?? "")/\(transport.rawValue)/\(port.port ?? 0)"
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
