package import KubeTypes
package import Wire

/// Compiles a Service and its EndpointSlices to a route. Pure.
///
/// Behaviour follows kube-proxy (KEP-3866) and Kubernetes DNS-Based Service Discovery 1.1.0. Addresses that may not be
/// translated are left out, whoever let them into the store.
package struct RouteCompiler: Sendable {
  /// Whose endpoints are local ones.
  private let nodeName: String
  /// `nil` where nothing but names is made of the routes: then no address is judged by the ranges.
  private let cluster: ClusterAddresses?

  package init(nodeName: String, cluster: ClusterAddresses?) {
    self.nodeName = nodeName
    self.cluster = cluster
  }

  package func route(_ service: Service, slices: [EndpointSlice]) -> ServiceRoute {
    let key = ObjectKey(namespace: service.metadata.namespace ?? "", name: service.metadata.name ?? "")
    var route = ServiceRoute(key: key)
    // Its names are the cluster's all the same.
    if cluster != nil, Self.isAnothers(service.metadata) { return route }
    let slices = cluster == nil ? slices : slices.filter { !Self.isAnothers($0.metadata) }
    let spec = service.spec
    let type = spec.type ?? "ClusterIP"
    if type == "ExternalName" {
      route.alias = spec.externalName
      return route
    }
    guard let first = spec.clusterIP, !first.isEmpty else { return route }
    if first == "None" {
      route.members = members(slices, publishesNotReady: spec.publishNotReadyAddresses == true)
      return route
    }
    let texts = spec.clusterIPs.isEmpty ? [first] : spec.clusterIPs
    // One whose own address is refused is still reached by its node ports.
    route.families = families(spec.ipFamilies, texts)
    route.addresses = texts.compactMap { clusterAddress($0, of: key, &route) }
    route.external = externalAddresses(of: service, type: type, &route)
    if spec.sessionAffinity == "ClientIP" {
      route.affinitySeconds = min(max(spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800, 1), 86_400)
    }
    route.internalIsLocal = spec.internalTrafficPolicy == "Local"
    route.externalIsLocal = spec.externalTrafficPolicy == "Local"
    for port in spec.ports {
      guard let number = Self.number(port.port), let transport = Transport(port.protocol) else { continue }
      route.ports.append(
        ServiceRoute.Port(
          name: port.name ?? "", transport: transport, number: number,
          nodePort: type == "ClusterIP" ? nil : Self.number(port.nodePort),
          endpoints: endpoints(named: port.name ?? "", transport, slices, &route)))
    }
    return route
  }

  /// Whether another proxy than the cluster's sees to it, or none is to (KEP-1412 for headless services).
  private static func isAnothers(_ metadata: ObjectMeta) -> Bool {
    ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"].contains {
      metadata.labels[$0] != nil
    }
  }

  private static func number(_ value: Int64?) -> UInt16? {
    value.flatMap { UInt16(exactly: $0) }.flatMap { $0 > 0 ? $0 : nil }
  }

  private func families(_ named: [String], _ addresses: [String]) -> [IPAddress.Family] {
    let asked = named.compactMap { IPAddress.Family(rawValue: $0) }
    let all = asked.isEmpty ? addresses.compactMap { IPAddress($0)?.family } : asked
    guard let cluster else { return all }
    return all.filter { cluster.services[$0] != nil }
  }

  private func clusterAddress(_ text: String, of key: ObjectKey, _ route: inout ServiceRoute) -> IPAddress? {
    guard let address = IPAddress(text) else { return nil }
    guard let cluster else {
      // What may not be translated is not named either: a name must not lead a client to its own loopback.
      return AddressClass(address).refusal == nil ? address : nil
    }
    var refusal = cluster.refusal(cluster: address, for: "\(key.namespace)/\(key.name)")
    if refusal == nil, cluster.services.index(of: address) == ClusterAddresses.dnsIndex {
      refusal = "is answered by the cluster's name server itself"
    }
    guard let refusal else { return address }
    route.refusals.insert(AddressRefusal(address: text, reason: refusal))
    return nil
  }

  private func externalAddresses(of service: Service, type: String, _ route: inout ServiceRoute) -> [IPAddress] {
    guard let cluster else { return [] }
    var named: [(text: String, source: ClusterAddresses.Source)] = service.spec.externalIPs.map { ($0, .user) }
    if type == "LoadBalancer" {
      // In the mode `Proxy` the load balancer itself sends to the node ports (KEP-1860).
      named += (service.status.loadBalancer?.ingress ?? []).filter { $0.ipMode ?? "VIP" == "VIP" }.compactMap {
        $0.ip.map { ($0, .loadBalancer) }
      }
    }
    var result: [IPAddress] = []
    for (text, source) in named {
      guard let address = IPAddress(text) else { continue }
      var refusal = cluster.refusal(external: address, from: source)
      if refusal == nil, !route.families.contains(address.family) {
        refusal = "is of \(address.family.rawValue), which the Service has no address of"
      }
      if let refusal {
        route.refusals.insert(AddressRefusal(address: text, reason: refusal))
      } else if !result.contains(address) {
        result.append(address)
      }
    }
    return result
  }

  /// What a slice says of an address; `nil` for another family than the slice's, which the API lets nobody write.
  private static func address(_ endpoint: Endpoint, in slice: EndpointSlice) -> IPAddress? {
    guard let address = endpoint.addresses.first.flatMap({ IPAddress($0) }),
      slice.addressType ?? "IPv4" == address.family.rawValue
    else { return nil }
    return address
  }

  private func endpoints(
    named name: String, _ transport: Transport, _ slices: [EndpointSlice], _ route: inout ServiceRoute
  ) -> [ServiceRoute.Endpoint] {
    /// By address and port: what two slices say of one is taken together.
    var found: [ServiceRoute.Endpoint: ServiceRoute.Endpoint] = [:]
    for slice in slices {
      for port in slice.ports where port.name ?? "" == name && Transport(port.protocol) == transport {
        guard let number = Self.number(port.port) else { continue }
        for endpoint in slice.endpoints {
          guard let address = Self.address(endpoint, in: slice) else { continue }
          if let refusal = AddressClass(address).refusal {
            route.refusals.insert(AddressRefusal(address: endpoint.addresses.first ?? "", reason: refusal))
            continue
          }
          let conditions = endpoint.conditions
          let isReady = conditions?.ready ?? true
          let isServing = !isReady && conditions?.terminating == true && conditions?.serving == true
          var entry = ServiceRoute.Endpoint(
            address: address, port: number, isLocal: endpoint.nodeName == nodeName, isReady: false)
          let identity = entry
          if let known = found[identity] { (entry.isReady, entry.isServingLast) = (known.isReady, known.isServingLast) }
          if isReady { entry.isReady = true }
          if isServing { entry.isServingLast = true }
          found[identity] = entry
        }
      }
    }
    return found.values.sorted()
  }

  private func members(_ slices: [EndpointSlice], publishesNotReady: Bool) -> [ServiceRoute.Member] {
    var result: [ServiceRoute.Member] = []
    var seen: Set<ServiceRoute.Member> = []
    for slice in slices {
      let ports = slice.ports.compactMap { port -> ServiceRoute.Member.Port? in
        guard let number = Self.number(port.port), let transport = Transport(port.protocol) else { return nil }
        return ServiceRoute.Member.Port(name: port.name ?? "", transport: transport, number: number)
      }
      for endpoint in slice.endpoints {
        guard let address = Self.address(endpoint, in: slice), AddressClass(address).refusal == nil,
          endpoint.conditions?.ready ?? true || publishesNotReady
        else { continue }
        let host = endpoint.hostname.flatMap { $0.isEmpty ? nil : $0.lowercased() }
        let member = ServiceRoute.Member(host: host ?? Self.dashed(address), address: address, ports: ports)
        if seen.insert(member).inserted { result.append(member) }
      }
    }
    return result
  }

  /// An address as a label of a name.
  package static func dashed(_ address: IPAddress) -> String {
    String(address.description.map { $0 == "." || $0 == ":" ? "-" : $0 })
  }
}
