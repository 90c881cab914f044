import KubeTypes
import Routing
import Wire

/// Compiles a Service's route to rules. Pure.
///
/// Verdict maps lead from address and port to a chain per service port and family, which chooses an endpoint at random. A
/// chain's name tells its rules: other rules are another chain (see `NFTChange`).
/// Behaviour follows kube-proxy (KEP-3866, nftables mode): internalTrafficPolicy and externalTrafficPolicy, session
/// affinity by client address.
enum ServiceRules {
  static func compile(_ route: ServiceRoute) -> RuleSet {
    var rules = RuleSet()
    rules.refusals = route.refusals
    for port in route.ports {
      let label = label(route.key, port)

      func verdict(_ family: IPAddress.Family, isLocal: Bool) -> RuleSet.Verdict {
        let endpoints = port.usable(family, onlyLocal: isLocal)
        guard !endpoints.isEmpty else {
          return port.usable(family, onlyLocal: false).isEmpty ? .refuse : .drop
        }
        let kind = "\(isLocal ? "local" : "svc")\(family.suffix)"
        return .chain(
          add(kind, label, port.transport, family, endpoints, affinity: route.affinitySeconds, to: &rules))
      }

      func enter(_ entrance: Entrance, isOwn: Bool, _ verdict: RuleSet.Verdict) {
        // The API lets no Service say the same twice.
        guard rules.entrances[entrance] == nil else { return }
        assert(entrance.address.map { AddressClass($0) == .ordinary } ?? true, "\(entrance) may not be translated")
        rules.entrances[entrance] = verdict
        if isOwn { rules.own.insert(entrance) }
      }

      for address in route.addresses {
        enter(
          Entrance(address: address, transport: port.transport, port: port.number), isOwn: true,
          verdict(address.family, isLocal: route.internalIsLocal))
      }
      for address in route.external {
        enter(
          Entrance(address: address, transport: port.transport, port: port.number), isOwn: false,
          verdict(address.family, isLocal: route.externalIsLocal))
      }
      guard let nodePort = port.nodePort else { continue }
      for family in route.families {
        enter(
          Entrance(nodePort: nodePort, transport: port.transport, family: family), isOwn: true,
          verdict(family, isLocal: route.externalIsLocal))
      }
    }
    return rules
  }

  /// - Returns: the name of the chain that leads to the endpoints.
  private static func add(
    _ kind: String, _ label: Label, _ transport: Transport, _ family: IPAddress.Family,
    _ endpoints: [ServiceRoute.Endpoint], affinity: Int64?, to rules: inout RuleSet
  ) -> String {
    assert(endpoints.allSatisfy { AddressClass($0.address) == .ordinary }, "\(label.full) leads astray")
    var lines: [String] = []
    if let affinity {
      var choices: [String] = []
      for (index, endpoint) in endpoints.enumerated() {
        let address = endpoint.address
        let target = address.isIPv4 ? "\(address)" : "[\(address)]"
        // A set's timeout cannot change: another one is another set.
        let set = "aff-\(hash("\(kind)-\(label.full)/\(address)/\(endpoint.port)/\(affinity)"))"
        rules.affinitySets[set] = RuleSet.AffinitySet(family: family, seconds: affinity)
        let name = label.chain(
          "ep",
          [
            "update @\(set) { \(family.keyword) saddr }",
            "meta l4proto \(transport.rawValue) dnat \(family.keyword) to \(target):\(endpoint.port)",
          ], to: &rules)
        lines.append("\(family.keyword) saddr @\(set) goto \(name)")
        choices.append("\(index) : goto \(name)")
      }
      lines.append("numgen random mod \(endpoints.count) vmap { \(choices.joined(separator: ", ")) }")
    } else {
      let choices = endpoints.enumerated().map { "\($0) : \($1.address) . \($1.port)" }.joined(separator: ", ")
      lines.append(
        "meta l4proto \(transport.rawValue) dnat \(family.keyword) addr . port to numgen random mod "
          + "\(endpoints.count) map { \(choices) }")
    }
    let name = label.chain(kind, lines, to: &rules)
    rules.endpoints[name] = endpoints.map { RuleSet.Target(address: $0.address, port: $0.port) }
    return name
  }

  /// What the names of a service port's chains end with.
  private struct Label {
    var full: String
    var forPeople: Substring

    /// Adds a chain.
    ///
    /// - Returns: its name, such as `svc-HASH-namespace/name/tcp/80`: the hash makes it unique among ports and rules.
    func chain(_ kind: String, _ lines: [String], to rules: inout RuleSet) -> String {
      let name = "\(kind)-\(ServiceRules.hash("\(full) \(lines)"))-\(forPeople)"
      rules.chains[name] = lines
      return name
    }
  }

  private static func label(_ key: ObjectKey, _ port: ServiceRoute.Port) -> Label {
    let full = "\(key.namespace)/\(key.name)/\(port.transport.rawValue)/\(port.number)"
    let clean = full.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "/" || $0 == ".") }
    // nftables' names have at most 127 bytes.
    return Label(full: full, forPeople: clean.prefix(40))
  }

  /// FNV-1a, 64 bits: the same in every run, so that chains keep their names.
  static func hash(_ text: String) -> String {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
