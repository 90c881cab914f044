import Routing
import Wire

extension IPAddress.Family {
  /// As expressions of nftables name it.
  var keyword: String { self == .ipv4 ? "ip" : "ip6" }
  /// The type of its addresses in sets and maps.
  var addressType: String { self == .ipv4 ? "ipv4_addr" : "ipv6_addr" }
  /// What the names of maps, sets and chains of the family end with.
  var suffix: String { self == .ipv4 ? "" : "6" }
}

/// What a connection is made to: an address and port of a Service, or a port of every local address of a family. One
/// Service at most can have it.
struct Entrance: Sendable, Hashable, Comparable, CustomStringConvertible {
  var family: IPAddress.Family
  /// `nil` for a node port.
  var address: IPAddress?
  var transport: Transport
  var port: UInt16

  init(address: IPAddress, transport: Transport, port: UInt16) {
    (self.family, self.address, self.transport, self.port) = (address.family, address, transport, port)
  }

  init(nodePort: UInt16, transport: Transport, family: IPAddress.Family) {
    (self.family, self.transport, port) = (family, transport, nodePort)
  }

  /// As an element of a map: `10.96.0.1 . tcp . 443`, `tcp . 30080`.
  var element: String { (address.map { "\($0) . " } ?? "") + "\(transport.rawValue) . \(port)" }

  /// For people.
  var description: String {
    let end = "\(port)/\(transport.rawValue.uppercased())"
    guard let address else { return "node port \(end)" + (family == .ipv4 ? "" : " of IPv6") }
    return address.isIPv4 ? "\(address):\(end)" : "[\(address)]:\(end)"
  }

  static func < (a: Entrance, b: Entrance) -> Bool {
    // Node ports first.
    (a.family, a.address?.value ?? 0, a.port, a.transport) < (b.family, b.address?.value ?? 0, b.port, b.transport)
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

  /// Where packets are sent instead.
  struct Target: Sendable, Hashable {
    var address: IPAddress
    var port: UInt16
  }

  struct AffinitySet: Sendable, Hashable {
    var family: IPAddress.Family
    /// For how long clients stay with the endpoint.
    var seconds: Int64
  }

  /// Chains by name, with their rules.
  var chains: [String: [String]] = [:]
  var entrances: [Entrance: Verdict] = [:]
  /// Those of `entrances` that are the Service's own address or port, given by the API: they go before external ones.
  var own: Set<Entrance> = []
  /// Where each chain that an entrance leads to goes on to.
  var endpoints: [String: [Target]] = [:]
  /// Sets of clients that stay with an endpoint, by name.
  var affinitySets: [String: AffinitySet] = [:]
  /// What was left out, though the Service asks for it.
  var refusals: Set<AddressRefusal> = []

  /// Whether the table is to hold anything.
  var isEmpty: Bool { chains.isEmpty && entrances.isEmpty && affinitySets.isEmpty }

  /// An endpoint that reaches itself through its service must be masqueraded, or it would answer itself directly.
  var endpointAddresses: Set<IPAddress> { Set(endpoints.values.joined().map(\.address)) }

  /// Without the entrances that other Services have.
  func keeping(_ isKept: (Entrance) -> Bool) -> RuleSet {
    if entrances.keys.allSatisfy(isKept) { return self }
    var result = self
    result.entrances = entrances.filter { isKept($0.key) }
    return result
  }
}

/// A change of the table, collected in phases, because a thing must be made before it is referred to, and be referred to no
/// more before it is deleted.
///
/// A packet that is among the rules while a transaction is carried out takes some steps with the table as it was and some
/// with the table as it is: it would find a chain that was made in the same transaction still empty, and a deleted one empty
/// already, and be led nowhere. So chains that lead somewhere never change, and what replaces an element that packets
/// may be following is made in a transaction before, and what it replaces is deleted in one after.
struct NFTChange: Sendable {
  private var creations: [String] = []
  private var elementDeletions: [String] = []
  private var elementAdditions: [String] = []
  private var flushes: [String] = []
  private var deletions: [String] = []

  let table: String

  init(table: String) { self.table = table }

  var isEmpty: Bool { transactions.isEmpty }

  /// What is to be carried out, one after the other. Each leaves a table behind that is right.
  var transactions: [String] {
    let additions =
      elementDeletions.isEmpty ? [creations + elementAdditions] : [creations, elementDeletions + elementAdditions]
    return (additions + [flushes + deletions]).filter { !$0.isEmpty }.map { $0.joined(separator: "\n") + "\n" }
  }

  /// Adds what leads from one service's rules to its new ones.
  mutating func replace(_ old: RuleSet, by new: RuleSet) {
    for (name, set) in new.affinitySets.sorted(by: { $0.key < $1.key }) where old.affinitySets[name] != set {
      creations.append(
        "add set inet \(table) \(name) { type \(set.family.addressType); size 65536; flags dynamic,timeout; "
          + "timeout \(set.seconds)s; }")
    }
    let made = new.chains.filter { old.chains[$0.key] != $0.value }.sorted { $0.key < $1.key }
    // Chains go to one another: first all are there. A transaction that failed may have left one.
    for (name, _) in made { creations.append("add chain inet \(table) \(name)") }
    for (name, rules) in made {
      creations.append("flush chain inet \(table) \(name)")
      for rule in rules { creations.append("add rule inet \(table) \(name) \(rule)") }
    }
    replaceElements(old.entrances, new.entrances)
    let removed = old.chains.keys.filter { new.chains[$0] == nil }.sorted()
    for name in removed { flushes.append("flush chain inet \(table) \(name)") }
    for name in removed { deletions.append("delete chain inet \(table) \(name)") }
    for name in old.affinitySets.keys.filter({ new.affinitySets[$0] == nil }).sorted() {
      deletions.append("delete set inet \(table) \(name)")
    }
  }

  private mutating func replaceElements(_ old: [Entrance: RuleSet.Verdict], _ new: [Entrance: RuleSet.Verdict]) {
    for (entrance, verdict) in old.sorted(by: { $0.key < $1.key }) where new[entrance] != verdict {
      elementDeletions.append("delete element inet \(table) \(Self.map(entrance, verdict)) { \(entrance.element) }")
    }
    for (entrance, verdict) in new.sorted(by: { $0.key < $1.key }) where old[entrance] != verdict {
      let action =
        switch verdict {
        case .chain(let chain): "goto \(chain)"
        case .refuse: "goto refuse"
        case .drop: "drop"
        }
      elementAdditions.append(
        "add element inet \(table) \(Self.map(entrance, verdict)) { \(entrance.element) : \(action) }")
    }
  }

  /// The map that an element is in.
  static func map(_ entrance: Entrance, _ verdict: RuleSet.Verdict) -> String {
    let name =
      switch (verdict, entrance.address) {
      case (.chain, .some): "service-ips"
      case (.chain, nil): "node-ports"
      case (_, .some): "no-endpoint-ips"
      case (_, nil): "no-endpoint-ports"
      }
    return name + entrance.family.suffix
  }

  mutating func addHairpin(_ address: IPAddress) { creations.append(hairpin("add", address)) }
  mutating func removeHairpin(_ address: IPAddress) { deletions.append(hairpin("delete", address)) }

  private func hairpin(_ verb: String, _ address: IPAddress) -> String {
    "\(verb) element inet \(table) hairpin\(address.family.suffix) { \(address) . \(address) }"
  }
}

/// The table's frame: hooks, maps, and the stages that packets pass: what pods may not do at all (`pod-policy`), the addresses
/// of Services (`services`, `no-endpoints`), and who is seen as the sender (`pod-masquerade`).
struct NFTBase: Sendable {
  let table: String
  let bridge: String
  /// The pods of this node, and the Services.
  let ranges: ClusterRanges
  /// Whether bridged packets pass netfilter (`br_netfilter`). Without it, the answer of one pod to another on the same
  /// bridge would not come back through us, and the asking pod would not know the sender.
  let filtersBridge: Bool
  private var frame = Frame()

  init(table: String = "apus", bridge: String, ranges: ClusterRanges, filtersBridge: Bool) {
    self.table = table
    self.bridge = bridge
    self.ranges = ranges
    self.filtersBridge = filtersBridge
    frame = makeFrame()
  }

  /// - Parameter machine: the addresses by which the machine is reached from elsewhere.
  func clusterAddresses(machine: [IPAddress]) -> ClusterAddresses {
    ClusterAddresses(pods: ranges.pods, services: ranges.services, machine: machine)
  }

  /// A transaction that puts the whole table in the place of whatever has its name.
  func script(_ services: [RuleSet]) -> String {
    var text = "\(Self.removal(table))table inet \(table) {\n"
    for set in frame.sets { text += "  \(set.keyword) \(set.name) { type \(set.type); }\n" }
    for chain in frame.chains {
      text += "  chain \(chain.name) {\n"
      for line in [chain.hook].compactMap({ $0 }) + chain.rules { text += "    \(line)\n" }
      text += "  }\n"
    }
    text += "}\n"
    var change = NFTChange(table: table)
    var endpoints: Set<IPAddress> = []
    for rules in services {
      change.replace(RuleSet(), by: rules)
      endpoints.formUnion(rules.endpointAddresses)
    }
    for endpoint in endpoints.sorted() { change.addHairpin(endpoint) }
    return text + change.transactions.joined()
  }

  /// What makes the table that the kernel has one with these services; `nil` when its frame is another, so that it has to be
  /// replaced as a whole. What is as it should be is not touched: connections are being made meanwhile.
  func change(from present: NFTContents, to services: [RuleSet]) -> NFTChange? {
    let frameChains = Set(frame.chains.map(\.name))
    guard frame.chains.allSatisfy({ present.chains[$0.name] == $0.rules.count }),
      frame.sets.allSatisfy({ present.sets.contains($0.name) })
    else { return nil }
    var new = RuleSet()
    for rules in services {
      new.chains.merge(rules.chains) { $1 }
      new.entrances.merge(rules.entrances) { $1 }
      new.affinitySets.merge(rules.affinitySets) { $1 }
      new.endpoints.merge(rules.endpoints) { $1 }
    }
    var old = RuleSet()
    for (name, count) in present.chains where !frameChains.contains(name) {
      // Its name tells a chain's rules; a number that is not theirs tells that somebody was at it.
      old.chains[name] = new.chains[name].flatMap { $0.count == count ? $0 : nil } ?? []
    }
    old.entrances = present.entrances
    for name in present.sets.subtracting(frame.sets.map(\.name)) {
      old.affinitySets[name] = new.affinitySets[name] ?? RuleSet.AffinitySet(family: .ipv4, seconds: 0)
    }
    var change = NFTChange(table: table)
    change.replace(old, by: new)
    for address in new.endpointAddresses.subtracting(present.hairpins).sorted() { change.addHairpin(address) }
    for address in present.hairpins.subtracting(new.endpointAddresses).sorted() { change.removeHairpin(address) }
    return change
  }

  private struct Frame {
    var sets: [(keyword: String, name: String, type: String)] = []
    var chains: [(name: String, hook: String?, rules: [String])] = []
  }

  private func makeFrame() -> Frame {
    var frame = Frame()
    let pods = ranges.pods.families
    let served = ranges.services.families
    for family in served {
      let (suffix, type) = (family.suffix, family.addressType)
      frame.sets += [
        ("map", "service-ips\(suffix)", "\(type) . inet_proto . inet_service : verdict"),
        ("map", "node-ports\(suffix)", "inet_proto . inet_service : verdict"),
        ("map", "no-endpoint-ips\(suffix)", "\(type) . inet_proto . inet_service : verdict"),
        ("map", "no-endpoint-ports\(suffix)", "inet_proto . inet_service : verdict"),
        ("set", "hairpin\(suffix)", "\(type) . \(type)"),
      ]
    }
    func add(_ name: String, hook: String? = nil, _ rules: [String]) {
      frame.chains.append((name, hook.map { "type \($0); policy accept;" }, rules))
    }
    add(
      "raw-prerouting", hook: "filter hook prerouting priority raw",
      ["iifname \"\(bridge)\" ip daddr 127.0.0.0/8 drop", "iifname \"\(bridge)\" ip6 daddr ::1 drop"])
    add(
      "services",
      served.flatMap { family in
        [
          "\(nameServer(family)) return",
          "\(others(family)) \(family.keyword) daddr . meta l4proto . th dport vmap @service-ips\(family.suffix)",
          "\(local(family)) meta l4proto . th dport vmap @node-ports\(family.suffix)",
        ]
      })
    add("nat-prerouting", hook: "nat hook prerouting priority dstnat", ["goto services"])
    add("nat-output", hook: "nat hook output priority -100", ["goto services"])
    add(
      "pod-policy",
      [
        "iifname \"\(bridge)\" ip daddr 127.0.0.0/8 ct direction original drop",
        "iifname \"\(bridge)\" ip6 daddr ::1 ct direction original drop",
      ])
    add(
      "refuse",
      ["meta l4proto tcp reject with tcp reset", "reject with icmpx type port-unreachable"])
    add(
      "no-endpoints",
      served.flatMap { family -> [String] in
        guard let range = ranges.services[family] else { return [] }
        let (keyword, suffix) = (family.keyword, family.suffix)
        return [
          // Each packet of the machine comes here: those of a connection that was let through need one look. Answers to a
          // Service's address are none: whoever sends by one as its own is not answered.
          "ct state established,related \(keyword) daddr != \(range) return",
          "\(nameServer(family)) return",
          "ct state new \(others(family)) \(keyword) daddr . meta l4proto . th dport vmap @no-endpoint-ips\(suffix)",
          "ct state new \(local(family)) meta l4proto . th dport vmap @no-endpoint-ports\(suffix)",
          "\(keyword) daddr \(range) goto refuse",
        ]
      })
    add("filter-input", hook: "filter hook input priority filter", ["jump pod-policy", "goto no-endpoints"])
    add("filter-forward", hook: "filter hook forward priority filter", ["goto no-endpoints"])
    add("filter-output", hook: "filter hook output priority filter", ["goto no-endpoints"])
    add("pod-masquerade", pods.flatMap { masquerade($0, isServed: served.contains($0)) })
    add("nat-postrouting", hook: "nat hook postrouting priority srcnat", ["goto pod-masquerade"])
    // By its name the next process knows whether the frame is its own.
    let text = "\(frame.sets) \(frame.chains)"
    add("frame-\(ServiceRules.hash(text))", [])
    return frame
  }

  /// Removes the table, and the one of IPv4 alone that earlier versions made under the same name. Deleting needs a table to
  /// be there: so it is made first, in the same transaction.
  static func removal(_ table: String) -> String {
    ["ip", "inet"].map { "add table \($0) \(table)\ndelete table \($0) \(table)\n" }.joined()
  }

  private func nameServer(_ family: IPAddress.Family) -> String {
    let address = ranges.nameServers.first { $0.family == family }
    return "\(family.keyword) daddr \(address.map(\.description) ?? "")"
  }

  /// The loopback and the bridge's own address are never Services', whatever the maps say.
  private func others(_ family: IPAddress.Family) -> String {
    let loopback = family == .ipv4 ? "127.0.0.0/8" : "::1"
    let own = ranges.gateways.filter { $0.family == family }.map { ", \($0)" }.joined()
    return "\(family.keyword) daddr != { \(loopback)\(own) }"
  }

  /// Where node ports answer. A packet from `::1` could be led nowhere: of IPv6 there is no `route_localnet`.
  private func local(_ family: IPAddress.Family) -> String {
    (family == .ipv4 ? "meta nfproto ipv4" : "ip6 daddr != ::1") + " fib daddr type local"
  }

  private func masquerade(_ family: IPAddress.Family, isServed: Bool) -> [String] {
    guard let pods = ranges.pods[family] else { return [] }
    let ip = family.keyword
    // Of these, senders have to be seen as they are.
    let nobody = family == .ipv4 ? "224.0.0.0/4" : "{ ff00::/8, fe80::/10 }"
    var rules: [String] = []
    if isServed {
      rules = [
        "ct status dnat \(ip) saddr . \(ip) daddr @hairpin\(family.suffix) masquerade",
        "ct status dnat \(ip) saddr != \(pods) \(ip) daddr != \(pods) fib saddr type != local oifname != \"lo\" masquerade",
      ]
      if family == .ipv4 { rules.append("ct status dnat ip saddr 127.0.0.0/8 oifname != \"lo\" masquerade") }
      if !filtersBridge { rules.append("ct status dnat \(ip) saddr \(pods) \(ip) daddr \(pods) masquerade") }
    }
    rules.append(
      "\(ip) saddr \(pods) \(ip) daddr != \(pods) \(ip) daddr != \(nobody) oifname != \"\(bridge)\" "
        + "oifname != \"lo\" masquerade")
    return rules
  }
}
