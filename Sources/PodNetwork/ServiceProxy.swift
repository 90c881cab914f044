import ControllerKit
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import Schema
import Synchronization
import Wire

/// Keeps nftables in step with Services and EndpointSlices.
///
/// At the start, and after a failure, the whole table is replaced in one transaction; otherwise a change costs a
/// transaction of the service's own chains and elements. Events that come while `nft` runs are handled together.
final class ServiceProxy: Sendable {
  static let serviceNameLabel = "kubernetes.io/service-name"

  private let rules: ServiceRules
  private let services: Informer
  private let slices: Informer
  private let time: any TimeSource
  private let log = Logger(label: "apus.proxy")

  private struct State {
    var dirty: Set<ObjectKey> = []
    var slices = ServiceSlices()
  }

  private let state = Mutex(State())
  private let changed = Signal()

  /// - Precondition: the informers do not run yet.
  init(nodeName: String, informers: InformerSet, time: any TimeSource) {
    rules = ServiceRules(nodeName: nodeName)
    services = informers.informer(for: KubeTypes.Service.resource)
    slices = informers.informer(for: EndpointSlice.resource)
    self.time = time
    services.onChange { [weak self] old, new in
      guard let key = (new ?? old)?.header.key else { return }
      self?.mark([key])
    }
    slices.onChange { [weak self] old, new in self?.sliceChanged(old, new) }
  }

  private func mark(_ keys: Set<ObjectKey>) {
    state.withLock { $0.dirty.formUnion(keys) }
    changed.fire()
  }

  private func sliceChanged(_ old: Object?, _ new: Object?) {
    let change = ServiceSlices.Change(old, new)
    state.withLock { $0.slices.apply(change) }
    mark(change.services)
  }

  private func compile(_ key: ObjectKey) -> RuleSet {
    guard let service = services.get(key)?.decode(KubeTypes.Service.self) else { return RuleSet() }
    let slices = state.withLock { $0.slices[key] }
    return rules.compile(service, slices: slices)
  }

  /// Runs until its task is cancelled; the table stays as it is then, so that pods keep their services.
  func run(_ base: NFTBase) async throws {
    // Until everything is known, the table of the process before us goes on working.
    try await services.waitUntilSynced()
    try await slices.waitUntilSynced()
    var applied: [ObjectKey: RuleSet] = [:]
    var uses: [IPv4: Int] = [:]
    var needsAll = true
    let backoff = Backoff(first: .milliseconds(100), longest: .seconds(30))
    var random = SeededRandom(name: "proxy")
    var failures = 0
    while true {
      do {
        if needsAll {
          _ = state.withLock { state in
            defer { state.dirty = [] }
            return state.dirty
          }
          var all: [ObjectKey: RuleSet] = [:]
          for object in services.list() {
            let rules = compile(object.header.key)
            if !rules.isEmpty { all[object.header.key] = rules }
          }
          let ordered = all.sorted { $0.key < $1.key }.map(\.value)
          try await Program.run("nft", ["-f", "-"], stdin: Array(base.script(ordered).utf8))
          await forgetFlows(applied, all)
          applied = all
          uses = [:]
          for rules in all.values { for endpoint in rules.endpoints { uses[endpoint, default: 0] += 1 } }
          needsAll = false
        }
        failures = 0
        try await changed.wait()
        let dirty = state.withLock { state in
          defer { state.dirty = [] }
          return state.dirty
        }
        // A failure in here leaves `applied` unlike the table: then everything is written again.
        needsAll = true
        try await apply(base, dirty, &applied, &uses)
        needsAll = false
      } catch {
        try Task.checkCancellation()
        failures += 1
        needsAll = true
        log.error("the service rules could not be written, will retry", metadata: ["error": "\(error)"])
        try await time.sleep(for: backoff.delay(failures: failures, using: &random))
      }
    }
  }

  private func apply(
    _ base: NFTBase, _ dirty: Set<ObjectKey>, _ applied: inout [ObjectKey: RuleSet], _ uses: inout [IPv4: Int]
  ) async throws {
    var change = NFTChange(table: base.table)
    var before: [ObjectKey: RuleSet] = [:]
    var after: [ObjectKey: RuleSet] = [:]
    var touched: [IPv4: Int] = [:]
    for key in dirty.sorted() {
      let old = applied[key] ?? RuleSet()
      let new = compile(key)
      guard old != new else { continue }
      before[key] = old
      after[key] = new
      change.replace(old, by: new)
      for address in old.endpoints { touched[address, default: 0] -= 1 }
      for address in new.endpoints { touched[address, default: 0] += 1 }
    }
    for (address, difference) in touched.sorted(by: { $0.key < $1.key }) {
      let count = uses[address] ?? 0
      if count == 0, difference > 0 { change.addHairpin(address) }
      if count > 0, count + difference == 0 { change.removeHairpin(address) }
    }
    guard !change.isEmpty else { return }
    try await Program.run("nft", ["-f", "-"], stdin: Array(change.script.utf8))
    for (address, difference) in touched {
      let count = (uses[address] ?? 0) + difference
      uses[address] = count == 0 ? nil : count
    }
    for (key, rules) in after { applied[key] = rules.isEmpty ? nil : rules }
    await forgetFlows(before, after)
  }

  /// UDP has no end of a connection: a client that goes on sending would reach an endpoint that is gone, or keep missing
  /// one that has come. Their entries in the connection table are deleted when the program for it is there.
  private func forgetFlows(_ before: [ObjectKey: RuleSet], _ after: [ObjectKey: RuleSet]) async {
    for arguments in ServiceProxy.staleFlows(before, after) {
      // Fails when there is no such entry, too.
      _ = try? await Subprocess.run("conntrack", arguments, timeout: .seconds(5))
    }
  }

  /// The arguments for `conntrack`. Pure.
  static func staleFlows(_ before: [ObjectKey: RuleSet], _ after: [ObjectKey: RuleSet]) -> [[String]] {
    var result: [[String]] = []
    for (key, old) in before.sorted(by: { $0.key < $1.key }) {
      guard old.serviceIPs.keys.contains(where: { $0.contains(" . udp . ") }) else { continue }
      for address in old.endpoints.subtracting(after[key]?.endpoints ?? []).sorted() {
        result.append(["-D", "-f", "ipv4", "-p", "udp", "--dst-nat", "\(address)"])
      }
    }
    for (key, new) in after.sorted(by: { $0.key < $1.key }) {
      for element in new.serviceIPs.keys.sorted() where before[key]?.serviceIPs[element] == nil {
        let parts = element.split(separator: " ")
        guard parts.count == 5, parts[2] == "udp" else { continue }
        result.append(
          ["-D", "-f", "ipv4", "-p", "udp", "--orig-dst", String(parts[0]), "--orig-port-dst", String(parts[4])])
      }
    }
    return result
  }
}
