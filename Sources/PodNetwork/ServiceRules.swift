import KubeTypes
import Routing
import Wire

/// Compiles a Service's route to rules. Pure.
///
/// Verdict maps lead from address and port to a chain per service port and family, which chooses an endpoint at random.
/// Behaviour follows kube-proxy (KEP-3866, nftables mode): internalTrafficPolicy and externalTrafficPolicy, session
/// affinity by client address.
enum ServiceRules {
  static func compile(_ route: ServiceRoute) -> RuleSet {
    var rules = RuleSet()
    rules.refusals = route.refusals
    for port in route.ports {
      let name = chainName(route.key, port)

      func verdict(_ family: IPAddress.Family, isLocal: Bool) -> RuleSet.Verdict {
        let endpoints = port.usable(family, onlyLocal: isLocal)
        guard !endpoints.isEmpty else {
          return port.usable(family, onlyLocal: false).isEmpty ? .refuse : .drop
        }
        let chain = "\(isLocal ? "local" : "svc")\(family.suffix)-\(name)"
        if rules.chains[chain] == nil {
          add(chain, port.transport, family, endpoints, affinity: route.affinitySeconds, to: &rules)
        }
        return .chain(chain)
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

  private static func add(
    _ chain: String, _ transport: Transport, _ family: IPAddress.Family, _ endpoints: [ServiceRoute.Endpoint],
    affinity: Int64?, to rules: inout RuleSet
  ) {
    assert(endpoints.allSatisfy { AddressClass($0.address) == .ordinary }, "\(chain) leads astray")
    rules.endpoints[chain] = endpoints.map { RuleSet.Target(address: $0.address, port: $0.port) }
    guard let affinity else {
      let choices = endpoints.enumerated().map { "\($0) : \($1.address) . \($1.port)" }.joined(separator: ", ")
      rules.chains[chain] = [
        "meta l4proto \(transport.rawValue) dnat \(family.keyword) addr . port to numgen random mod "
          + "\(endpoints.count) map { \(choices) }"
      ]
      return
    }
    var lines: [String] = []
    var choices: [String] = []
    for (index, endpoint) in endpoints.enumerated() {
      let address = endpoint.address
      // A colon ends a name of nftables.
      let label = String(address.description.map { $0 == ":" ? "-" : $0 })
      let name = "\(chain)/\(label)/\(endpoint.port)"
      // A set's timeout cannot change: another one is another set.
      let set = "aff-\(hash("\(name)/\(affinity)"))"
      rules.affinitySets[set] = RuleSet.AffinitySet(family: family, seconds: affinity)
      let target = address.isIPv4 ? "\(address)" : "[\(address)]"
      rules.chains["ep-\(name)"] = [
        "update @\(set) { \(family.keyword) saddr }",
        "meta l4proto \(transport.rawValue) dnat \(family.keyword) to \(target):\(endpoint.port)",
      ]
      lines.append("\(family.keyword) saddr @\(set) goto ep-\(name)")
      choices.append("\(index) : goto ep-\(name)")
    }
    lines.append("numgen random mod \(endpoints.count) vmap { \(choices.joined(separator: ", ")) }")
    rules.chains[chain] = lines
  }

  /// `HASH-namespace/name/tcp/80`: the hash makes it unique, the rest is for people and cut off when it is long.
  static func chainName(_ key: ObjectKey, _ port: ServiceRoute.Port) -> String {
    let full = "\(key.namespace)/\(key.name)/\(port.transport.rawValue)/\(port.number)"
    let clean = full.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "/" || $0 == ".") }
    // nftables' names have at most 127 bytes; an endpoint's chain appends an address of up to 39.
    return "\(hash(full))-\(clean.prefix(40))"
  }

  /// FNV-1a, 64 bits: the same in every run, so that chains keep their names.
  static func hash(_ text: String) -> String {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
