import KubeTypes
import Wire

/// Who has which entrance. The first that asks for one keeps it for as long as it asks, whatever others ask for later; a
/// Service's own address goes before all that others call theirs.
struct EntranceClaims: Sendable {
  private struct Claim {
    var service: ObjectKey
    var isOwn: Bool
  }

  /// Never empty lists; the first one has it.
  private var claims: [Entrance: [Claim]] = [:]

  /// Takes what a Service asks for in the place of what it asked for before.
  ///
  /// - Returns: the other services that got or lost an entrance by it.
  mutating func set(_ service: ObjectKey, from old: RuleSet?, to new: RuleSet?) -> Set<ObjectKey> {
    var affected: Set<ObjectKey> = []
    for entrance in old?.entrances.keys.sorted() ?? [] {
      let stays = new?.entrances[entrance] != nil && new?.own.contains(entrance) == old?.own.contains(entrance)
      if !stays { affected.formUnion(remove(entrance, service)) }
    }
    for entrance in new?.entrances.keys.sorted() ?? [] {
      affected.formUnion(add(entrance, service, isOwn: new?.own.contains(entrance) == true))
    }
    affected.remove(service)
    return affected
  }

  func holder(of entrance: Entrance) -> ObjectKey? { claims[entrance]?.first?.service }

  private mutating func add(_ entrance: Entrance, _ service: ObjectKey, isOwn: Bool) -> Set<ObjectKey> {
    var list = claims[entrance] ?? []
    if list.contains(where: { $0.service == service }) { return [] }
    let before = list.first?.service
    let place = isOwn ? list.firstIndex { !$0.isOwn } ?? list.count : list.count
    list.insert(Claim(service: service, isOwn: isOwn), at: place)
    claims[entrance] = list
    return place == 0 ? Set([before].compactMap { $0 }) : []
  }

  private mutating func remove(_ entrance: Entrance, _ service: ObjectKey) -> Set<ObjectKey> {
    guard var list = claims[entrance], let place = list.firstIndex(where: { $0.service == service }) else { return [] }
    list.remove(at: place)
    claims[entrance] = list.isEmpty ? nil : list
    return place == 0 ? Set([list.first?.service].compactMap { $0 }) : []
  }
}

/// What is wanted of the table, and what the kernel has of it. Pure: scripts go out, results come in.
struct ServiceTable: Sendable {
  /// What each service asks for.
  private(set) var compiled: [ObjectKey: RuleSet] = [:]
  /// What each service has in the kernel.
  private(set) var applied: [ObjectKey: RuleSet] = [:]
  private var claims = EntranceClaims()
  /// What services had before they were last changed, until it is taken; empty rules for those that had none.
  private var replaced: [ObjectKey: RuleSet] = [:]
  /// By how many services an address is used in the kernel.
  private var hairpins: [IPAddress: Int] = [:]

  /// Takes what a service asks for now; `nil` when it is gone.
  ///
  /// - Returns: the services, this one included, whose rules may be others now.
  mutating func set(_ key: ObjectKey, _ rules: RuleSet?) -> Set<ObjectKey> {
    let affected = claims.set(key, from: compiled[key], to: rules)
    compiled[key] = rules
    return affected.union([key])
  }

  /// What a service is to have: what it asks for, without what others have.
  func wanted(_ key: ObjectKey) -> RuleSet {
    compiled[key]?.keeping { claims.holder(of: $0) == key } ?? RuleSet()
  }

  /// The entrances that a service asks for and others have, with who has them.
  func conflicts(of key: ObjectKey) -> [(entrance: Entrance, holder: ObjectKey)] {
    (compiled[key]?.entrances.keys.sorted() ?? []).compactMap { entrance in
      guard let holder = claims.holder(of: entrance), holder != key else { return nil }
      return (entrance, holder)
    }
  }

  /// The service that has an entrance, or will as soon as the kernel takes it.
  func holder(of entrance: Entrance) -> ObjectKey? { claims.holder(of: entrance) }

  /// Those that have, or are to have, anything.
  var services: [ObjectKey] { Set(compiled.keys).union(applied.keys).sorted() }

  /// The change that brings these services to what is wanted.
  func change(of keys: [ObjectKey], table: String) -> NFTChange {
    var change = NFTChange(table: table)
    var touched: [IPAddress: Int] = [:]
    for key in keys {
      let old = applied[key] ?? RuleSet()
      let new = wanted(key)
      guard old != new else { continue }
      change.replace(old, by: new)
      for address in old.endpointAddresses { touched[address, default: 0] -= 1 }
      for address in new.endpointAddresses { touched[address, default: 0] += 1 }
    }
    for (address, difference) in touched.sorted(by: { $0.key < $1.key }) {
      let count = hairpins[address] ?? 0
      if count == 0, difference > 0 { change.addHairpin(address) }
      if count > 0, count + difference == 0 { change.removeHairpin(address) }
    }
    return change
  }

  /// The kernel took the change of these services.
  mutating func commit(_ keys: [ObjectKey]) {
    for key in keys {
      let new = wanted(key)
      for address in applied[key]?.endpointAddresses ?? [] {
        let count = (hairpins[address] ?? 0) - 1
        precondition(count >= 0, "an endpoint that no service has")
        hairpins[address] = count == 0 ? nil : count
      }
      for address in new.endpointAddresses { hairpins[address, default: 0] += 1 }
      note(key)
      // What is left out is remembered, too: otherwise every visit would find a difference.
      applied[key] = new == RuleSet() ? nil : new
    }
  }

  /// The kernel took a table with these services and nothing else.
  mutating func commitAll(_ keys: [ObjectKey]) {
    for key in applied.keys { note(key) }
    applied = [:]
    hairpins = [:]
    commit(keys)
  }

  private mutating func note(_ key: ObjectKey) {
    if replaced[key] == nil { replaced[key] = applied[key] ?? RuleSet() }
  }

  /// What the kernel had of the services that were written since this was asked for last.
  mutating func takeReplaced() -> [ObjectKey: RuleSet] {
    defer { replaced = [:] }
    return replaced
  }
}
