/// What nftables is to hold for services, as data: compared and written as scripts for `nft -f -`.
///
/// Names and elements are made by `ServiceRules` from parsed addresses, numbers and cleaned names: nothing in them comes
/// from outside as it is.
struct RuleSet: Sendable, Equatable {
  /// Chains by name, with their rules.
  var chains: [String: [String]] = [:]
  /// `10.96.0.1 . tcp . 443` to the chain to go to.
  var serviceIPs: [String: String] = [:]
  /// `tcp . 30080` to the chain to go to.
  var nodePorts: [String: String] = [:]
  /// Sets of clients that stay with an endpoint, by name, with the seconds that they do.
  var affinitySets: [String: Int64] = [:]
  /// Endpoints; one that reaches itself through its service must be masqueraded, or it would answer itself directly.
  var endpoints: Set<IPv4> = []

  var isEmpty: Bool { self == RuleSet() }
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
    replaceElements("service-ips", old.serviceIPs, new.serviceIPs)
    replaceElements("node-ports", old.nodePorts, new.nodePorts)
    let removed = old.chains.keys.filter { new.chains[$0] == nil }.sorted()
    // Chains go to one another: first none has rules any more, then none is left.
    for name in removed { flushes.append("flush chain ip \(table) \(name)") }
    for name in removed { deletions.append("delete chain ip \(table) \(name)") }
    for name in old.affinitySets.keys.filter({ new.affinitySets[$0] == nil }).sorted() {
      deletions.append("delete set ip \(table) \(name)")
    }
  }

  private mutating func replaceElements(_ map: String, _ old: [String: String], _ new: [String: String]) {
    for (key, chain) in old.sorted(by: { $0.key < $1.key }) where new[key] != chain {
      elementDeletions.append("delete element ip \(table) \(map) { \(key) }")
    }
    for (key, chain) in new.sorted(by: { $0.key < $1.key }) where old[key] != chain {
      elementAdditions.append("add element ip \(table) \(map) { \(key) : goto \(chain) }")
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

  /// A transaction that puts the whole table in the place of whatever has its name, without a moment in between.
  func script(_ services: [RuleSet]) -> String {
    let pods = podRange.description
    var text = """
      add table ip \(table)
      delete table ip \(table)
      table ip \(table) {
        map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
        map node-ports { type inet_proto . inet_service : verdict; }
        set hairpin { type ipv4_addr . ipv4_addr; }
        chain raw-prerouting {
          type filter hook prerouting priority raw; policy accept;
          iifname "\(bridge)" ip daddr 127.0.0.0/8 drop
        }
        chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; goto services; }
        chain nat-output { type nat hook output priority -100; policy accept; goto services; }
        chain services {
          ip daddr . meta l4proto . th dport vmap @service-ips
          ip daddr != \(dnsAddress) fib daddr type local meta l4proto . th dport vmap @node-ports
        }
        chain filter-forward { type filter hook forward priority filter; policy accept; goto no-endpoints; }
        chain filter-output { type filter hook output priority filter; policy accept; goto no-endpoints; }
        chain no-endpoints { ip daddr \(serviceRange) ip daddr != \(dnsAddress) goto refuse; }
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
      endpoints.formUnion(rules.endpoints)
    }
    for endpoint in endpoints.sorted() { change.addHairpin(endpoint) }
    return change.isEmpty ? text : text + change.script
  }
}
