import Glibc
import LinuxSystem
import Wire

/// What the CNI plugin `portmap` makes for host ports: a chain per pod in the table `nat` of iptables, and three chains
/// that lead there, which it never removes.
///
/// The three are common to everybody on the machine who uses the plugin. They are removed when they lead nowhere any more:
/// whoever needs them again has the plugin make them.
enum PortMappings {
  private static let common = ["CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"]

  /// Removes the chains of pods in the range, and what only they needed. Nothing where there is no iptables.
  static func remove(of pods: IPRanges) async throws(PodNetworkError) {
    for range in pods.all {
      guard let rules = try await rules(range.family) else { continue }
      let commands = removal(rules, pods: range)
      guard !commands.isEmpty else { continue }
      let script = (["*nat"] + commands + ["COMMIT", ""]).joined(separator: "\n")
      try await Program.run(
        "\(program(range.family))-restore", ["--noflush", "--wait", "5"], stdin: Array(script.utf8))
    }
  }

  static func leftovers(of pods: IPRanges) async throws(PodNetworkError) -> [String] {
    var left: [String] = []
    for range in pods.all {
      guard let rules = try await rules(range.family) else { continue }
      left += chains(rules, pods: range).sorted().map { "\(program(range.family)) chain \($0)" }
    }
    return left
  }

  private static func program(_ family: IPAddress.Family) -> String { family == .ipv4 ? "iptables" : "ip6tables" }

  /// `iptables-save` of the table; `nil` where there is none.
  private static func rules(_ family: IPAddress.Family) async throws(PodNetworkError) -> [String]? {
    guard HostNetwork.hasIPTables else { return nil }
    let saved = try await Program.run("\(program(family))-save", ["-t", "nat"])
    return String(decoding: saved, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  /// The pods' chains that lead to an address of the range, and, when no other pod has one, the common ones.
  static func chains(_ rules: [String], pods: IPRange) -> Set<String> {
    var ours: Set<String> = []
    var all: Set<String> = []
    var present: Set<String> = []
    for rule in rules {
      let words = rule.split(separator: " ")
      if rule.hasPrefix(":"), let name = words.first?.dropFirst() {
        if name.hasPrefix("CNI-DN-") { all.insert(String(name)) }
        if common.contains(String(name)) { present.insert(String(name)) }
      }
      guard words.count > 2, words[0] == "-A", words[1].hasPrefix("CNI-DN-"),
        let option = words.firstIndex(of: "--to-destination"), option + 1 < words.count,
        let address = address(words[option + 1]), pods.contains(address)
      else { continue }
      ours.insert(String(words[1]))
    }
    return all.isSubset(of: ours) ? ours.union(present) : ours
  }

  /// Of `10.244.0.2:80` and `[fd00::2]:80`.
  private static func address(_ destination: Substring) -> IPAddress? {
    guard destination.hasPrefix("[") else { return IPAddress(destination.prefix { $0 != ":" }) }
    return IPAddress(destination.dropFirst().prefix { $0 != "]" })
  }

  /// What `iptables-restore --noflush` is to be given. Pure.
  static func removal(_ rules: [String], pods: IPRange) -> [String] {
    let chains = chains(rules, pods: pods)
    guard !chains.isEmpty else { return [] }
    // First nothing leads to them, then they are empty, then they go.
    let jumps = rules.filter { rule in
      let words = rule.split(separator: " ")
      guard words.count > 2, words[0] == "-A", !chains.contains(String(words[1])) else { return false }
      guard let option = words.lastIndex(where: { $0 == "-j" || $0 == "-g" }), option + 1 < words.count else {
        return false
      }
      return chains.contains(String(words[option + 1]))
    }.map { "-D" + $0.dropFirst(2) }
    return jumps + chains.sorted().map { "-F \($0)" } + chains.sorted().map { "-X \($0)" }
  }
}
