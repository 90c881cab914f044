import KubeTypes
import Routing
import Synchronization
import TestKit
import Testing
import Wire

@testable import PodNetwork

/// A kernel that holds names as nftables does: adding what is there and deleting what is not fails the transaction.
final class FakeKernel: RuleKernel {
  struct Failure: Error, CustomStringConvertible { var description: String }

  struct Element: Hashable {
    var map: String
    /// Such as `10.96.0.20 . tcp . 80`.
    var key: String
    var description: String { "\(map) \(key.filter { $0 != " " })" }
  }

  struct State {
    var isThere = false
    /// With the number of their rules.
    var chains: [String: Int] = [:]
    var sets: Set<String> = []
    /// With the verdict; empty in sets.
    var values: [Element: String] = [:]
    /// Scripts that hold one of these words fail.
    var poison: Set<String> = []
    var scripts: [String] = []
    var checked = 0
    var whole = 0
  }

  let state = Mutex(State())

  func apply(_ script: String) async throws {
    try state.withLock { state in
      state.scripts.append(script)
      if script.contains("table inet apus {") { state.whole += 1 }
      state = try Self.result(state, script)
    }
  }

  func check(_ script: String) async throws {
    try state.withLock { state in
      state.checked += 1
      _ = try Self.result(state, script)
    }
  }

  private static func result(_ before: State, _ script: String) throws -> State {
    var state = before
    if let word = state.poison.first(where: { script.contains($0) }) {
      throw Failure(description: "poisoned by \(word)")
    }
    /// The chain of the frame whose rules are being read.
    var open: String?
    for line in script.split(separator: "\n") {
      if line.hasPrefix("delete table") {
        (state.chains, state.sets, state.values, state.isThere) = ([:], [], [:], false)
      }
      if line.hasPrefix("table inet") { state.isThere = true }
      let words = line.split(separator: " ").map(String.init)
      if line.hasPrefix("  ") {
        switch words[0] {
        case "map", "set": state.sets.insert(words[1])
        case "chain": (open, state.chains[words[1]]) = (words[1], 0)
        case "}": open = nil
        case "type": break
        default: open.map { state.chains[$0, default: 0] += 1 }
        }
        continue
      }
      guard words.count > 4, ["add", "delete", "flush"].contains(words[0]),
        ["chain", "element", "rule", "set"].contains(words[1])
      else {
        continue
      }
      guard state.isThere else { throw Failure(description: "No such file or directory") }
      let name = words[4]
      switch (words[0], words[1]) {
      case ("add", "set"): state.sets.insert(name)
      case ("delete", "set"):
        guard state.sets.remove(name) != nil else { throw Failure(description: "no set \(name)") }
      case ("add", "chain"): state.chains[name, default: 0] += 0
      case ("delete", "chain"):
        guard state.chains.removeValue(forKey: name) == 0 else { throw Failure(description: "no empty chain \(name)") }
        guard !state.values.values.contains("goto \(name)") else { throw Failure(description: "\(name) is in use") }
      case ("flush", "chain"), ("add", "rule"):
        guard let rules = state.chains[name] else { throw Failure(description: "no chain \(name)") }
        state.chains[name] = words[0] == "flush" ? 0 : rules + 1
      case (let verb, "element"):
        // Addresses of IPv6 have colons, too, but no spaces beside them.
        let body = line[line.firstIndex(of: "{")!...].dropFirst().dropLast().split(separator: " : ")
        let element = Element(map: name, key: trimmed(body[0]))
        let value = body.count > 1 ? trimmed(body[1]) : ""
        guard state.sets.contains(name) else { throw Failure(description: "no map \(name)") }
        if verb == "delete" {
          guard state.values.removeValue(forKey: element) != nil else { throw Failure(description: "No such element") }
          continue
        }
        // Adding to a set what it has is no fault.
        guard state.values.updateValue(value, forKey: element) ?? "" == "" else {
          throw Failure(description: "File exists")
        }
        if value.hasPrefix("goto "), state.chains[String(value.dropFirst(5))] == nil {
          throw Failure(description: "no chain for \(value)")
        }
      default: break
      }
    }
    return state
  }

  private static func trimmed(_ text: some StringProtocol) -> String {
    text.split(separator: " ").joined(separator: " ")
  }

  /// As `nft -j` says it.
  func contents(of table: String) async throws -> NFTContents? {
    let state = self.state.withLock { $0 }
    guard state.isThere else { throw Failure(description: "No such file or directory") }
    var listing: [JSON] = []
    for (chain, rules) in state.chains {
      listing.append(["chain": ["name": .string(chain)]])
      for _ in 0..<rules { listing.append(["rule": ["chain": .string(chain)]]) }
    }
    for set in state.sets {
      let isMap = set.contains("-ips") || set.contains("-ports")
      let elements: [JSON] = state.values.filter { $0.key.map == set }.map { element, value in
        let parts = element.key.split(separator: " . ").map(String.init)
        let key: JSON = ["concat": .array(parts.map { Int64($0).map { .int($0) } ?? .string($0) })]
        guard isMap else { return key }
        return [key, value == "drop" ? ["drop": nil] : ["goto": ["target": .string(String(value.dropFirst(5)))]]]
      }
      listing.append([isMap ? "map" : "set": ["name": .string(set), "elem": .array(elements)]])
    }
    return NFTContents(["nftables": .array(listing)])
  }

  var elements: [String] { state.withLock { $0.values.keys.map(\.description).sorted() } }
}

/// H28. The assumption that failed: what one Service asks for, no other asks for as well.
@Suite struct RuleWriterTests {
  var kernel = FakeKernel()

  private func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "default", name: name) }

  private func compiled(
    _ name: String, address: String = "10.96.0.20", external: [String] = [], port: Int = 80, nodePort: Int? = nil,
    endpoints: [String] = ["10.244.0.2"], more: String = "", second: String? = nil, secondEndpoints: [String] = []
  ) -> RuleSet {
    let both = second.map {
      ",\"clusterIPs\":[\"\(address)\",\"\($0)\"],\"ipFamilies\":[\"IPv4\",\"IPv6\"]"
    }
    let spec = """
      {"type":"\(nodePort == nil ? "ClusterIP" : "NodePort")","clusterIP":"\(address)",
       "externalIPs":[\(external.map { "\"\($0)\"" }.joined(separator: ","))]\(more)\(both ?? ""),
       "ports":[{"name":"http","port":\(port)\(nodePort.map { ",\"nodePort\":\($0)" } ?? "")}]}
      """
    return rules.compile(
      service(spec, name: name),
      slices: [
        slice(endpoints.map { ($0, "") }), slice(secondEndpoints.map { ($0, "") }, addressType: "IPv6"),
      ])
  }

  /// What a fresh table would hold.
  private func expectSame(_ writer: RuleWriter, _ comment: Comment? = nil) async throws {
    let fresh = FakeKernel()
    try await fresh.apply(writer.base.script(writer.table.services.map(writer.table.wanted)))
    let (here, there) = (kernel.state.withLock { $0 }, fresh.state.withLock { $0 })
    #expect(here.values == there.values && here.chains == there.chains && here.sets == there.sets, comment)
  }

  private func started(_ services: [(String, RuleSet)]) async throws -> RuleWriter {
    var writer = RuleWriter(base: base, kernel: kernel)
    for (name, rules) in services { _ = writer.set([key(name): rules]) }
    try await writer.writeAll()
    return writer
  }

  @Test func theFirstKeepsAnExternalAddress() async throws {
    var writer = try await started([
      ("first", compiled("first", external: ["10.9.9.9"])),
      ("second", compiled("second", address: "10.96.0.21", external: ["10.9.9.9"])),
      ("third", compiled("third", address: "10.96.0.22")),
    ])
    #expect(writer.failures.isEmpty)
    #expect(writer.table.conflicts(of: key("first")).isEmpty)
    #expect(writer.table.conflicts(of: key("second")).map(\.holder) == [key("first")])
    // The second one has its own address all the same.
    #expect(writer.table.wanted(key("second")).serviceIPs.keys.sorted() == ["10.96.0.21 . tcp . 80"])
    // It gets the address as soon as the first one no longer asks for it.
    let affected = writer.set([key("first"): compiled("first")])
    #expect(affected == [key("first"), key("second")])
    #expect(try await writer.write(affected).isEmpty)
    #expect(writer.table.conflicts(of: key("second")).isEmpty)
    try await expectSame(writer)
  }

  /// A Service that was made early and asks late takes nothing.
  @Test func askingFirstCountsAndNotBeingOld() async throws {
    var writer = try await started([
      ("old", compiled("old")), ("victim", compiled("victim", address: "10.96.0.21", external: ["10.9.9.9"])),
    ])
    let affected = writer.set([key("old"): compiled("old", external: ["10.9.9.9"])])
    #expect(affected == [key("old")])
    #expect(try await writer.write(affected).isEmpty)
    #expect(writer.table.conflicts(of: key("old")).map(\.holder) == [key("victim")])
    // Nor when the holder has no endpoint for a while.
    let empty = writer.set([
      key("victim"): compiled("victim", address: "10.96.0.21", external: ["10.9.9.9"], endpoints: [])
    ])
    #expect(empty == [key("victim")])
    #expect(try await writer.write(empty).isEmpty)
    #expect(kernel.elements.contains("no-endpoint-ips 10.9.9.9.tcp.80"))
    try await expectSame(writer)
  }

  @Test func anOwnAddressGoesBeforeExternalOnes() async throws {
    // In the store from before: an external address that is a cluster address of the range to come.
    var stranger = compiled("stranger", address: "10.96.0.30")
    stranger.entrances[Entrance(address: IPAddress("10.96.0.20")!, transport: .tcp, port: 80)] = .refuse
    var writer = try await started([("stranger", stranger)])
    let affected = writer.set([key("owner"): compiled("owner")])
    #expect(affected == [key("owner"), key("stranger")])
    #expect(try await writer.write(affected).isEmpty)
    #expect(writer.table.conflicts(of: key("stranger")).map(\.holder) == [key("owner")])
    try await expectSame(writer)
  }

  @Test func nodePortsThatTwoHaveTouchOnlyTheSecond() async throws {
    let writer = try await started([
      ("a", compiled("a", nodePort: 30080)), ("b", compiled("b", address: "10.96.0.21", nodePort: 30080)),
    ])
    #expect(writer.failures.isEmpty)
    #expect(writer.table.conflicts(of: key("b")).map(\.entrance.description) == ["node port 30080/TCP"])
  }

  @Test func differentPortsAndProtocolsAreNoConflict() async throws {
    let writer = try await started([
      ("a", compiled("a", external: ["10.9.9.9"])),
      ("b", compiled("b", address: "10.96.0.21", external: ["10.9.9.9"], port: 81)),
    ])
    #expect(writer.table.conflicts(of: key("a")).isEmpty && writer.table.conflicts(of: key("b")).isEmpty)
  }

  /// An address moves from one to another in one transaction.
  @Test func addressesAreSwapped() async throws {
    var writer = try await started([
      ("a", compiled("a", external: ["10.9.9.9"])),
      ("b", compiled("b", address: "10.96.0.21", external: ["10.9.9.8"])),
    ])
    let affected = writer.set([
      key("a"): compiled("a", external: ["10.9.9.8"]),
      key("b"): compiled("b", address: "10.96.0.21", external: ["10.9.9.9"]),
    ])
    #expect(try await writer.write(affected).isEmpty)
    #expect(writer.table.conflicts(of: key("a")).isEmpty && writer.table.conflicts(of: key("b")).isEmpty)
    try await expectSame(writer)
  }

  /// One service that the kernel does not take, at each place among many, at the start and afterwards.
  @Test(arguments: 0..<7)
  func aBadOneStopsNoOther(bad: Int) async throws {
    kernel.state.withLock { $0.poison = ["10.96.0.\(100 + bad) "] }
    var writer = try await started((0..<7).map { ("s\($0)", compiled("s\($0)", address: "10.96.0.\(100 + $0)")) })
    #expect(writer.failures.keys.sorted() == [key("s\(bad)")])
    #expect(kernel.elements.filter { $0.hasPrefix("service-ips") }.count == 6)
    // Others change, and the bad one is tried and fails again without a new table.
    let whole = kernel.state.withLock { $0.whole }
    let changes = Dictionary(
      uniqueKeysWithValues: (0..<7).map {
        (key("s\($0)"), Optional(compiled("s\($0)", address: "10.96.0.\(100 + $0)", endpoints: ["10.244.0.9"])))
      })
    #expect(try await writer.write(writer.set(changes)).isEmpty)
    #expect(kernel.state.withLock { $0.whole } == whole)
    #expect(kernel.elements.contains("hairpin 10.244.0.9.10.244.0.9"))
    // What is mended is written.
    kernel.state.withLock { $0.poison = [] }
    #expect(try await writer.write([key("s\(bad)")]).isEmpty)
    #expect(writer.failures.isEmpty)
    try await expectSame(writer)
  }

  @Test func aNewBadOneIsFoundAmongThoseThatChange() async throws {
    var writer = try await started([("a", compiled("a"))])
    kernel.state.withLock { $0.poison = ["10.96.0.21 "] }
    let unexpected = try await writer.write(
      writer.set([
        key("b"): compiled("b", address: "10.96.0.21"), key("c"): compiled("c", address: "10.96.0.22"),
        key("d"): compiled("d", address: "10.96.0.23"),
      ]))
    #expect(unexpected == [key("b")])
    #expect(kernel.elements.filter { $0.hasPrefix("service-ips") }.count == 3)
    // The whole table is tried once, for the kernel's may be another than the one known here.
    try await writer.writeAll()
    #expect(writer.failures.keys.sorted() == [key("b")])
    #expect(kernel.elements.filter { $0.hasPrefix("service-ips") }.count == 3)
  }

  /// Somebody has deleted an element, or the table, by hand.
  @Test func anotherTableThanKnownIsPutRight() async throws {
    var writer = try await started([("a", compiled("a")), ("b", compiled("b", address: "10.96.0.21"))])
    kernel.state.withLock { $0.values = $0.values.filter { $0.key.description != "service-ips 10.96.0.20.tcp.80" } }
    let unexpected = try await writer.write(writer.set([key("a"): nil]))
    #expect(unexpected == [key("a")])
    try await writer.writeAll()
    #expect(writer.failures.isEmpty)
    try await expectSame(writer)

    kernel.state.withLock { ($0.chains, $0.sets, $0.values, $0.isThere) = ([:], [], [:], false) }
    await #expect(throws: FakeKernel.Failure.self) {
      try await writer.write(
        writer.set([key("c"): compiled("c"), key("d"): compiled("d", address: "10.96.0.24")]))
    }
    try await writer.writeAll()
    try await expectSame(writer)
  }

  /// A start replaced the table as a whole: connections that were being made in that instant were lost. The assumption that
  /// failed: a transaction is one instant for the packets, too.
  @Test func aStartTouchesNothingThatIsAsItShouldBe() async throws {
    let sticky = ",\"sessionAffinity\":\"ClientIP\""
    let services = [
      ("a", compiled("a", nodePort: 30080, second: "fd00:10:96::20", secondEndpoints: ["fd00:10:244::2"])),
      ("b", compiled("b", address: "10.96.0.21", external: ["10.9.9.9"], more: sticky)),
      ("c", compiled("c", address: "10.96.0.22", nodePort: 30081, endpoints: [])),
    ]
    _ = try await started(services)
    let before = kernel.state.withLock { $0.scripts.count }
    var writer = try await started(services)
    #expect(kernel.state.withLock { $0.scripts.count } == before)
    #expect(writer.takeReplaced().count == 3)
    // One has other endpoints, one is gone, one is new; the fourth is not named in what is written.
    writer = try await started([
      services[0], ("b", compiled("b", address: "10.96.0.21", endpoints: ["10.244.0.7"])),
      ("d", compiled("d", address: "10.96.0.24")),
    ])
    try await expectSame(writer)
    let written = kernel.state.withLock { $0.scripts[before...].joined() }
    #expect(!written.contains("default/a/") && !written.contains("table inet apus {"))
    #expect(written.contains("default/b/") && written.contains("default/c/") == false)
    // Another frame is another table.
    let other = NFTBase(bridge: "apus0", ranges: ranges, filtersBridge: false)
    writer = RuleWriter(base: other, kernel: kernel)
    _ = writer.set([key("a"): services[0].1])
    try await writer.writeAll()
    #expect(kernel.state.withLock { $0.scripts.last?.contains("table inet apus {") } == true)
    try await expectSame(writer)
  }

  /// Somebody was at the table while nobody looked.
  @Test(arguments: 0..<7) func aStartMendsWhatSomebodyDid(_ damage: Int) async throws {
    let services = [
      ("a", compiled("a", nodePort: 30080)),
      ("b", compiled("b", address: "10.96.0.21", more: ",\"sessionAffinity\":\"ClientIP\"")),
    ]
    _ = try await started(services)
    kernel.state.withLock { state in
      let chain = state.chains.keys.sorted().first { $0.hasPrefix("svc-") }!
      let element = FakeKernel.Element(map: "node-ports", key: "tcp . 30080")
      switch damage {
      case 0: state.chains[chain] = 0
      case 1: state.chains["stranger"] = 3
      case 2: state.values[element] = nil
      case 3: state.values[element] = "goto stranger"
      case 4: state.values[FakeKernel.Element(map: "node-ports6", key: "udp . 53")] = "drop"
      case 5: state.chains["services"] = 0
      default: state.sets.remove("service-ips")
      }
    }
    try await expectSame(try await started(services), "damage \(damage)")
  }

  @Test(arguments: [
    "{}", "{\"nftables\":[{\"chain\":{}}]}", "{\"nftables\":[{\"rule\":{\"expr\":[]}}]}",
    "{\"nftables\":[{\"map\":{\"name\":\"node-ports\",\"elem\":[[{\"concat\":[\"tcp\",70000]},{\"drop\":null}]]}}]}",
    "{\"nftables\":[{\"map\":{\"name\":\"node-ports\",\"elem\":[[{\"concat\":[\"tcp\",80]},{\"drop\":null}]]}}]}",
    "{\"nftables\":[{\"map\":{\"name\":\"service-ips\",\"elem\":[[{\"concat\":[\"x\",\"tcp\",80]},{\"accept\":null}]]}}]}",
    "{\"nftables\":[{\"set\":{\"name\":\"hairpin\",\"elem\":[{\"concat\":[\"10.0.0.1\",\"10.0.0.2\"]}]}}]}",
  ]) func whatIsNotOursIsNotTakenForOurs(_ listing: String) throws {
    #expect(NFTContents(try JSON.parse(listing)) == nil)
  }

  @Test func aKernelThatTakesNothingIsSaidAndChangesNothing() async throws {
    var writer = RuleWriter(base: base, kernel: kernel)
    kernel.state.withLock { $0.poison = ["table"] }
    _ = writer.set([key("a"): compiled("a")])
    await #expect(throws: FakeKernel.Failure.self) { try await writer.writeAll() }
    #expect(writer.table.applied.isEmpty)
  }

  /// A change costs its own lines, however many others there are.
  @Test func changesStaySmall() async throws {
    var writer = try await started(
      (0..<500).map { ("s\($0)", compiled("s\($0)", address: "10.96.\(1 + $0 / 250).\($0 % 250)")) })
    let whole = kernel.state.withLock { $0.whole }
    let changed = writer.set([
      key("s7"): compiled("s7", address: "10.96.1.7", endpoints: ["10.244.0.2", "10.244.0.3"])
    ])
    let lines = writer.table.change(of: changed.sorted(), table: "apus").transactions.map {
      $0.split(separator: "\n").count
    }
    #expect(lines == [4, 2, 2])
    #expect(try await writer.write(changed).isEmpty)
    #expect(kernel.state.withLock { ($0.whole, $0.checked) } == (whole, 0))
  }

  /// What flows are judged by: the change of the rules, once, and not the whole table.
  @Test func whatWasReplacedIsToldOnce() async throws {
    var writer = try await started([("a", compiled("a")), ("b", compiled("b", address: "10.96.0.21"))])
    #expect(writer.takeReplaced() == [key("a"): RuleSet(), key("b"): RuleSet()])
    let before = writer.table.applied[key("a")]
    _ = try await writer.write(writer.set([key("a"): compiled("a", endpoints: ["10.244.0.9"])]))
    _ = try await writer.write(writer.set([key("a"): compiled("a", endpoints: ["10.244.0.8"])]))
    #expect(writer.takeReplaced() == [key("a"): before])
    #expect(writer.takeReplaced().isEmpty)
    _ = writer.set([key("b"): nil])
    try await writer.writeAll()
    #expect(writer.takeReplaced()[key("b")] == compiled("b", address: "10.96.0.21"))
    #expect(writer.table.applied[key("b")] == nil)
  }

  /// Random services that fight for few addresses, ports and endpoints: the kernel always takes the change, has what a
  /// table made anew would have, and each entrance belongs to one that asks for it.
  @Test(arguments: [1, 2, 3] as [UInt64])
  func simulation(seed: UInt64) async throws { try await simulate(seed: seed, steps: 300) }

  func simulate(seed: UInt64, steps: Int) async throws {
    var random = SeededGenerator(seed: seed)
    var writer = try await started([])
    func pick<T>(_ list: [T]) -> T { list.randomElement(using: &random)! }
    for step in 0..<steps {
      var changes: [ObjectKey: RuleSet?] = [:]
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let number = Int.random(in: 0..<6, using: &random)
        let name = "s\(number)"
        if Int.random(in: 0..<5, using: &random) == 0 {
          changes[key(name)] = .some(nil)
        } else {
          changes[key(name)] = compiled(
            name, address: "10.96.0.\(50 + number)",
            external: [pick(["10.9.9.1", "10.9.9.2"]), pick(["2001:db8::1", "2001:db8::2"])],
            port: pick([80, 81]), nodePort: pick([nil, 30001, 30002]),
            endpoints: pick([[], ["10.244.0.2"], ["10.244.0.2", "10.244.0.3"]]),
            more: pick(["", ",\"sessionAffinity\":\"ClientIP\""]), second: pick([nil, "fd00:10:96::\(50 + number)"]),
            secondEndpoints: pick([[], ["fd00:10:244::2"], ["fd00:10:244::2", "fd00:10:244::3"]]))
        }
      }
      let unexpected = try await writer.write(writer.set(changes))
      #expect(unexpected.isEmpty, "seed \(seed), step \(step)")
      try await expectSame(writer, "seed \(seed), step \(step)")
      for service in writer.table.services {
        for entrance in writer.table.compiled[service]?.entrances.keys.sorted() ?? [] {
          let holder = try #require(writer.table.holder(of: entrance))
          #expect(writer.table.compiled[holder]?.entrances[entrance] != nil)
        }
      }
    }
  }
}
