import Wire

/// A protocol that has ports.
enum Transport: String, Sendable, Hashable, Comparable {
  case sctp, tcp, udp

  /// By the name that the API gives it; TCP when it says none.
  init?(_ name: String?) {
    switch name ?? "TCP" {
    case "TCP": self = .tcp
    case "UDP": self = .udp
    case "SCTP": self = .sctp
    default: return nil
    }
  }

  static func < (a: Transport, b: Transport) -> Bool { a.rawValue < b.rawValue }
}

/// What a connection is made to: an address and port of a Service, or a port of every local address. One Service at most
/// can have it.
struct Entrance: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// `nil` for a node port.
  var address: IPv4?
  var transport: Transport
  var port: UInt16

  /// As an element of a map: `10.96.0.1 . tcp . 443`, `tcp . 30080`.
  var element: String { (address.map { "\($0) . " } ?? "") + "\(transport.rawValue) . \(port)" }

  /// For people.
  var description: String {
    "\(address.map { "\($0):" } ?? "node port ")\(port)/\(transport.rawValue.uppercased())"
  }

  static func < (a: Entrance, b: Entrance) -> Bool {
    (a.address?.value ?? 0, a.port, a.transport) < (b.address?.value ?? 0, b.port, b.transport)
  }
}

/// What nftables is to hold for a service, as data: compared and written as scripts for `nft -f -`.
///
/// Names and elements are made by `ServiceRules` from parsed addresses, numbers and cleaned names: nothing in them comes
/// from outside as it is.
struct RuleSet: Sendable, Equatable {
  /// What becomes of a connection.
  enum Verdict: Sendable, Hashable {
    /// One of the chain's endpoints answers it.
    case chain(String)
    /// There is nobody who could: the client is told so, and the kernel remembers no connection that would hide those
    /// who come later.
    case refuse
    /// Others may answer it, but not on this node.
    case drop
  }

  /// Chains by name, with their rules.
  var chains: [String: [String]] = [:]
  var entrances: [Entrance: Verdict] = [:]
  /// Those of `entrances` that are the Service's own address or port, given by the API: they go before external ones.
  var own: Set<Entrance> = []
  /// Where each chain that an entrance leads to goes on to.
  var endpoints: [String: [ServiceEndpoint]] = [:]
  /// Sets of clients that stay with an endpoint, by name, with the seconds that they do.
  var affinitySets: [String: Int64] = [:]
  /// What was left out, though the Service asks for it.
  var refusals: Set<AddressRefusal> = []

  /// Whether the table is to hold anything.
  var isEmpty: Bool { chains.isEmpty && entrances.isEmpty && affinitySets.isEmpty }

  /// An endpoint that reaches itself through its service must be masqueraded, or it would answer itself directly.
  var endpointAddresses: Set<IPv4> { Set(endpoints.values.joined().map(\.address)) }

  /// Without the entrances that other Services have.
  func keeping(_ isKept: (Entrance) -> Bool) -> RuleSet {
    if entrances.keys.allSatisfy(isKept) { return self }
    var result = self
    result.entrances = entrances.filter { isKept($0.key) }
    return result
  }
}

/// An address that a Service, or one of its slices, names and that is not translated.
struct AddressRefusal: Sendable, Hashable, Comparable, CustomStringConvertible {
  var address: String
  var reason: String

  var description: String { "\(address): \(reason)" }
  static func < (a: AddressRefusal, b: AddressRefusal) -> Bool { (a.address, a.reason) < (b.address, b.reason) }
}

/// A change of the table, collected in phases, because in a transaction a thing must be made before it is referred to,
/// and be referred to no more before it is deleted.
struct NFTChange: Sendable {
  private var creations: [String] = []
  private var fills: [String] = []
  private var elementDeletions: [String] = []
  private var elementAdditions: [String] = []
  private var flushes: [String] = []
  private var deletions: [String] = []

  let table: String

  init(table: String) { self.table = table }

  var isEmpty: Bool {
    creations.isEmpty && fills.isEmpty && elementDeletions.isEmpty && elementAdditions.isEmpty && flushes.isEmpty
      && deletions.isEmpty
  }

  /// The transaction.
  var script: String {
    (creations + fills + elementDeletions + elementAdditions + flushes + deletions).joined(separator: "\n") + "\n"
  }

  /// Adds what leads from one service's rules to its new ones.
  mutating func replace(_ old: RuleSet, by new: RuleSet) {
    for (name, seconds) in new.affinitySets.sorted(by: { $0.key < $1.key }) {
      if let before = old.affinitySets[name], before == seconds { continue }
      creations.append(
        "add set ip \(table) \(name) { type ipv4_addr; size 65536; flags dynamic,timeout; timeout \(seconds)s; }")
    }
    for (name, rules) in new.chains.sorted(by: { $0.key < $1.key }) where old.chains[name] != rules {
      if old.chains[name] == nil {
        creations.append("add chain ip \(table) \(name)")
      } else {
        fills.append("flush chain ip \(table) \(name)")
      }
      for rule in rules { fills.append("add rule ip \(table) \(name) \(rule)") }
    }
    replaceElements(old.entrances, new.entrances)
    let removed = old.chains.keys.filter { new.chains[$0] == nil }.sorted()
    // Chains go to one another: first none has rules any more, then none is left.
    for name in removed { flushes.append("flush chain ip \(table) \(name)") }
    for name in removed { deletions.append("delete chain ip \(table) \(name)") }
    for name in old.affinitySets.keys.filter({ new.affinitySets[$0] == nil }).sorted() {
      deletions.append("delete set ip \(table) \(name)")
    }
  }

  private mutating func replaceElements(_ old: [Entrance: RuleSet.Verdict], _ new: [Entrance: RuleSet.Verdict]) {
    for (entrance, verdict) in old.sorted(by: { $0.key < $1.key }) where new[entrance] != verdict {
      elementDeletions.append("delete element ip \(table) \(Self.map(entrance, verdict)) { \(entrance.element) }")
    }
    for (entrance, verdict) in new.sorted(by: { $0.key < $1.key }) where old[entrance] != verdict {
      let action =
        switch verdict {
        case .chain(let chain): "goto \(chain)"
        case .refuse: "goto refuse"
        case .drop: "drop"
        }
      elementAdditions.append(
        "add element ip \(table) \(Self.map(entrance, verdict)) { \(entrance.element) : \(action) }")
    }
  }

  private static func map(_ entrance: Entrance, _ verdict: RuleSet.Verdict) -> String {
    switch (verdict, entrance.address) {
    case (.chain, .some): "service-ips"
    case (.chain, nil): "node-ports"
    case (_, .some): "no-endpoint-ips"
    case (_, nil): "no-endpoint-ports"
    }
  }

  mutating func addHairpin(_ address: IPv4) {
    elementAdditions.append("add element ip \(table) hairpin { \(address) . \(address) }")
  }

  mutating func removeHairpin(_ address: IPv4) {
    elementDeletions.append("delete element ip \(table) hairpin { \(address) . \(address) }")
  }
}

/// The table's frame: hooks, maps, masquerading.
struct NFTBase: Sendable, Equatable {
  var table = "apus"
  var bridge: String
  /// The pods of this node.
  var podRange: IPv4Range
  var serviceRange: IPv4Range
  var dnsAddress: IPv4
  /// Whether bridged packets pass netfilter (`br_netfilter`). Without it, the answer of one pod to another on the same
  /// bridge would not come back through us, and the asking pod would not know the sender.
  var filtersBridge: Bool

  /// - Parameter machine: the addresses by which the machine is reached from elsewhere.
  func clusterAddresses(machine: [IPAddress]) -> ClusterAddresses {
    guard let services = Wire.IPv4Range(serviceRange.description) else {
      preconditionFailure("HostNetwork has checked the range \(serviceRange)")
    }
    return ClusterAddresses(pods: Wire.IPv4Range(podRange.description), services: services, machine: machine)
  }

  /// A transaction that puts the whole table in the place of whatever has its name, without a moment in between.
  func script(_ services: [RuleSet]) -> String {
    let pods = podRange.description
    var text = """
      add table ip \(table)
      delete table ip \(table)
      table ip \(table) {
        map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
        map node-ports { type inet_proto . inet_service : verdict; }
        map no-endpoint-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
        map no-endpoint-ports { type inet_proto . inet_service : verdict; }
        set hairpin { type ipv4_addr . ipv4_addr; }
        chain raw-prerouting {
          type filter hook prerouting priority raw; policy accept;
          iifname "\(bridge)" ip daddr 127.0.0.0/8 drop
        }
        chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; goto services; }
        chain nat-output { type nat hook output priority -100; policy accept; goto services; }
        chain services {
          ip daddr \(dnsAddress) return
          ip daddr != { 127.0.0.0/8, \(podRange.first) } ip daddr . meta l4proto . th dport vmap @service-ips
          fib daddr type local meta l4proto . th dport vmap @node-ports
        }
        chain filter-input {
          type filter hook input priority filter; policy accept;
          iifname "\(bridge)" ip daddr 127.0.0.0/8 drop
          goto no-endpoints
        }
        chain filter-forward { type filter hook forward priority filter; policy accept; goto no-endpoints; }
        chain filter-output { type filter hook output priority filter; policy accept; goto no-endpoints; }
        chain no-endpoints {
          ip daddr \(dnsAddress) return
          ct state new ip daddr != { 127.0.0.0/8, \(podRange.first) } ip daddr . meta l4proto . th dport vmap @no-endpoint-ips
          ct state new fib daddr type local meta l4proto . th dport vmap @no-endpoint-ports
          ip daddr \(serviceRange) goto refuse
        }
        chain refuse { meta l4proto tcp reject with tcp reset; reject with icmp type port-unreachable; }
        chain nat-postrouting {
          type nat hook postrouting priority srcnat; policy accept;
          ct status dnat ip saddr . ip daddr @hairpin masquerade
          ct status dnat ip saddr 127.0.0.0/8 oifname != "lo" masquerade
          ct status dnat ip saddr != \(pods) ip daddr != \(pods) fib saddr type != local oifname != "lo" masquerade

      """
    if !filtersBridge { text += "    ct status dnat ip saddr \(pods) ip daddr \(pods) masquerade\n" }
    text += """
          ip saddr \(pods) ip daddr != \(pods) ip daddr != 224.0.0.0/4 oifname != "\(bridge)" oifname != "lo" masquerade
        }
      }

      """
    var change = NFTChange(table: table)
    var endpoints: Set<IPv4> = []
    for rules in services {
      change.replace(RuleSet(), by: rules)
      endpoints.formUnion(rules.endpointAddresses)
    }
    for endpoint in endpoints.sorted() { change.addHairpin(endpoint) }
    return change.isEmpty ? text : text + change.script
  }
}
