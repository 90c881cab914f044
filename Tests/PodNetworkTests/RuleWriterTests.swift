import KubeTypes
import Routing
import Synchronization
import Testing
import Wire

@testable import PodNetwork

/// A kernel that holds names as nftables does: adding what is there and deleting what is not fails the transaction.
final class FakeKernel: RuleKernel {
  struct Failure: Error, CustomStringConvertible { var description: String }

  struct State {
    var isThere = false
    var chains: Set<String> = []
    var elements: Set<String> = []
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
    for line in script.split(separator: "\n") {
      if line.hasPrefix("delete table") { (state.chains, state.elements, state.isThere) = ([], [], false) }
      if line.hasPrefix("table inet") { state.isThere = true }
      let words = line.split(separator: " ").map(String.init)
      guard words.count > 4, ["add", "delete", "flush"].contains(words[0]),
        ["chain", "element", "rule"].contains(words[1])
      else {
        continue
      }
      guard state.isThere else { throw Failure(description: "No such file or directory") }
      switch (words[0], words[1]) {
      case ("add", "chain"): state.chains.insert(words[4])
      case ("delete", "chain"):
        guard state.chains.remove(words[4]) != nil else { throw Failure(description: "no chain \(words[4])") }
      case (let verb, "element"):
        // Addresses of IPv6 have colons, too, but no spaces beside them.
        let body = line[line.firstIndex(of: "{")!...].dropFirst().dropLast().split(separator: " : ")[0]
        let element = "\(words[4]) \(body.split(separator: " ").joined())"
        if verb == "add" {
          guard state.elements.insert(element).inserted else { throw Failure(description: "File exists") }
        } else {
          guard state.elements.remove(element) != nil else { throw Failure(description: "No such element") }
        }
      default: break
      }
    }
    return state
  }

  var elements: [String] { state.withLock { $0.elements.sorted() } }
}

/// H28. The assumption that failed: what one Service asks for, no other asks for as well.
@Suite struct RuleWriterTests {
  let kernel = FakeKernel()

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
    #expect(kernel.elements == fresh.elements, comment)
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
    kernel.state.withLock { _ = $0.elements.remove("service-ips 10.96.0.20.tcp.80") }
    let unexpected = try await writer.write(writer.set([key("a"): nil]))
    #expect(unexpected == [key("a")])
    try await writer.writeAll()
    #expect(writer.failures.isEmpty)
    try await expectSame(writer)

    kernel.state.withLock { ($0.chains, $0.elements, $0.isThere) = ([], [], false) }
    await #expect(throws: FakeKernel.Failure.self) {
      try await writer.write(
        writer.set([key("c"): compiled("c"), key("d"): compiled("d", address: "10.96.0.24")]))
    }
    try await writer.writeAll()
    try await expectSame(writer)
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
    let lines = writer.table.change(of: changed.sorted(), table: "apus").script.split(separator: "\n")
    #expect(lines.count == 3)
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
    var random = Seeded(state: seed)
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
