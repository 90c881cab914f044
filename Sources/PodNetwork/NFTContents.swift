import Routing
import Wire

/// What the kernel has of a table, as far as it can differ from what is wanted.
struct NFTContents: Sendable, Equatable {
  /// The chains, with how many rules each has.
  var chains: [String: Int] = [:]
  /// The names of sets and maps.
  var sets: Set<String> = []
  var entrances: [Entrance: RuleSet.Verdict] = [:]
  var hairpins: Set<IPAddress> = []

  init() {}

  /// - Parameter listing: what `nft -j list table` says (libnftables-json(5)). `nil` when it holds what Apus does not
  ///   write.
  init?(_ listing: JSON) {
    guard let objects = listing["nftables"]?.array else { return nil }
    for object in objects {
      if let chain = object["chain"] {
        guard let name = chain["name"]?.string else { return nil }
        chains[name, default: 0] += 0
      } else if let rule = object["rule"] {
        guard let name = rule["chain"]?.string else { return nil }
        chains[name, default: 0] += 1
      } else if let map = object["map"] {
        guard add(map: map) else { return nil }
      } else if let set = object["set"] {
        guard add(set: set) else { return nil }
      }
    }
  }

  private mutating func add(map: JSON) -> Bool {
    guard let name = map["name"]?.string else { return false }
    sets.insert(name)
    for element in map["elem"]?.array ?? [] {
      guard let pair = element.array, pair.count == 2, let entrance = Self.entrance(pair[0], in: name),
        let verdict = Self.verdict(pair[1]), entrances.updateValue(verdict, forKey: entrance) == nil
      else { return false }
      // One that is in the map of another verdict.
      guard NFTChange.map(entrance, verdict) == name else { return false }
    }
    return true
  }

  private mutating func add(set: JSON) -> Bool {
    guard let name = set["name"]?.string else { return false }
    sets.insert(name)
    // What is in the others, clients put there.
    guard name.hasPrefix("hairpin") else { return true }
    for element in set["elem"]?.array ?? [] {
      guard let parts = element["concat"]?.array, parts.count == 2, parts[0] == parts[1],
        let address = parts[0].string.flatMap({ IPAddress($0) })
      else { return false }
      hairpins.insert(address)
    }
    return true
  }

  private static func entrance(_ key: JSON, in map: String) -> Entrance? {
    guard var parts = key["concat"]?.array, let port = parts.popLast()?.int.flatMap({ UInt16(exactly: $0) }),
      let transport = parts.popLast()?.string.flatMap({ Transport(rawValue: $0) })
    else { return nil }
    if let address = parts.popLast() {
      guard parts.isEmpty, let address = address.string.flatMap({ IPAddress($0) }) else { return nil }
      return Entrance(address: address, transport: transport, port: port)
    }
    let family = IPAddress.Family.allCases.last { !$0.suffix.isEmpty && map.hasSuffix($0.suffix) } ?? .ipv4
    return Entrance(nodePort: port, transport: transport, family: family)
  }

  private static func verdict(_ value: JSON) -> RuleSet.Verdict? {
    if let target = value.at("goto", "target")?.string { return target == "refuse" ? .refuse : .chain(target) }
    return value["drop"] == nil ? nil : .drop
  }
}
