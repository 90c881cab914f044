import ControllerKit
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import Scheduler
import Schema
import Store
import Synchronization
import Telemetry
import TestKit
import Wire
import Workloads

@testable import APIServer

/// What goes wrong, and how often it has.
enum Fault: String, CaseIterable, Sendable {
  /// A request is refused before anything happens.
  case refused
  /// A request is carried out, and its answer is lost.
  case answerLost
  /// A watch ends.
  case watchEnded
  /// A watch ends because its revision is gone.
  case watchExpired
  /// The disk takes its time, or fails.
  case diskFailed
  /// The server and its controllers are killed and started again.
  case killed
  /// A node cannot reach the server for a while.
  case partitioned
  /// The wall clock is set.
  case clockJumped
}

/// A cluster in one process: the API server on a store in memory, the controllers, the scheduler, and nodes that only
/// pretend to run containers. All faults come from the seed.
final class Cluster: Sendable {
  private struct State {
    var random: SeededGenerator
    /// Nothing goes wrong any more.
    var isCalm = false
    var counts: [Fault: Int] = [:]
    var client: LocalClient?
    var kinds: KindRegistry?
    var partitioned: Set<String> = []
    /// By node, what runs there: the pod's uid and key.
    var running: [String: [String: ObjectKey]] = [:]
    /// Every uid that has ever run, with its node.
    var started: [String: String] = [:]
    var violations: [String] = []
    var servers: [APIServer] = []
    var lastAddress = 0
  }

  let simulator: Simulator
  var clock: SimulatedClock { simulator.clock }
  private let directory: String
  private let state: Mutex<State>
  private let disk: MemoryDisk
  /// The store of the present server.
  private let store = Mutex<Store?>(nil)

  static let nodes = ["n1", "n2", "n3"]
  static let milliCPU = 4000
  private static let capabilities: [Capability] = [.workloads, .scheduler]
  private static let logger = Logger(label: "simulation")

  /// - Parameter directory: for the keys, which are the same in each simulation.
  init(seed: UInt64, directory: String) {
    simulator = Simulator(seed: seed)
    self.directory = directory
    let state = Mutex(State(random: SeededGenerator(seed: seed &* 31 &+ 7)))
    let faults = DiskFaults()
    disk = MemoryDisk { _ in faults.next() }
    self.state = state
    faults.pick.withLock { $0 = { [weak self] in self?.happens(.diskFailed, 1, of: 200) == true } }
  }

  private final class DiskFaults: Sendable {
    let pick = Mutex<(@Sendable () -> Bool)?>(nil)
    func next() -> StoreError? { pick.withLock({ $0 })?() == true ? .io("the disk failed") : nil }
  }

  // MARK: Chance

  func random<T>(_ body: (inout SeededGenerator) -> T) -> T { state.withLock { body(&$0.random) } }

  /// Whether a fault happens now, with a chance of `count` in `total`; it is counted.
  func happens(_ fault: Fault, _ count: Int, of total: Int) -> Bool {
    state.withLock { state in
      guard !state.isCalm, Int.random(in: 0..<total, using: &state.random) < count else { return false }
      state.counts[fault, default: 0] += 1
      return true
    }
  }

  func count(_ fault: Fault) { state.withLock { $0.counts[fault, default: 0] += 1 } }
  func calm() { state.withLock { $0.isCalm = true } }
  var isCalm: Bool { state.withLock { $0.isCalm } }
  var faults: [Fault: Int] { state.withLock { $0.counts } }
  var violations: [String] { state.withLock { $0.violations } }
  /// The servers that there were: to be shut down outside of the simulation, since their event loops are real.
  var servers: [APIServer] { state.withLock { $0.servers } }
  /// The server's client, past all faults; `nil` while there is no server.
  var client: LocalClient? { state.withLock { $0.client } }
  /// The present server's; `nil` while there is none.
  var kinds: KindRegistry? { state.withLock { $0.kinds } }

  func violated(_ what: String) { state.withLock { $0.violations.append("\(clock.elapsed): \(what)") } }

  func pause(_ range: ClosedRange<Int>) async throws {
    try await clock.sleep(for: .milliseconds(random { Int.random(in: range, using: &$0) }))
  }

  // MARK: The server

  /// The server with all that runs in it, killed and started again until the task is cancelled.
  func runServer() async throws {
    while true {
      try Task.checkCancellation()
      let life = random { Int.random(in: 60...400, using: &$0) }
      do {
        try await withThrowingTaskGroup(of: Void.self) { group in
          let killed = isCalm ? nil : life
          group.addTask { try await self.serve() }
          group.addTask {
            // A calm cluster keeps the server that it has.
            for _ in 0..<(killed ?? .max) {
              try await self.clock.sleep(for: .seconds(1))
              if self.isCalm { try await self.clock.sleep(for: .seconds(1_000_000)) }
            }
            self.count(.killed)
            throw Killed()
          }
          try await group.next()
          group.cancelAll()
        }
      } catch is Killed {
        state.withLock { $0.client = nil }
        disk.kill()
        store.withLock { $0 }?.close()
      }
      try await pause(50...20_000)
    }
  }

  private struct Killed: Error {}

  private func serve() async throws {
    var options = StoreOptions()
    options.commitsOnCallers = true
    options.historyCountMax = 2000
    let clock = clock
    options.monotonicClock = { clock.elapsed }
    let opened = try Store.open(disk, options: options)
    store.withLock { $0 = opened }
    try follow(opened)
    let metrics = Metrics()
    var configuration = APIServerConfiguration(
      dataDirectory: directory, port: 0, advertiseAddress: "10.0.0.1", serviceRange: "10.96.0.0/24",
      podRange: "10.244.0.0/16", hostname: "simulation", version: "0", threads: 1)
    configuration.randomNumbers = SeededGenerator(seed: random { $0.next() })
    configuration.components = Self.capabilities.flatMap(\.components)
    let kinds = KindRegistry(.builtin)
    let server = try APIServer(
      configuration: configuration, store: opened, kinds: kinds, time: clock, metrics: metrics,
      logger: Self.logger, nodeStreams: { _ in nil })
    let inner = server.client
    let local = LocalClient(
      service: inner.service, subresources: inner.subresources, loops: simulator.loop, refusals: inner.refusals)
    state.withLock { $0.servers.append(server) }
    while true {
      let bootstrap = Bootstrap(
        client: local, configuration: configuration, ranges: server.addresses.allocator.ranges, logger: Self.logger)
      // The disk may fail.
      do { if try await bootstrap.run(port: 6443) { break } } catch is KubeError {}
      try await clock.sleep(for: .seconds(1))
    }
    state.withLock { ($0.client, $0.kinds) = (local, kinds) }
    let informers = InformerSet(client: FaultyClient(cluster: self), time: clock, kinds: kinds)
    let context = CapabilityContext(
      place: FootprintPlace(data: directory, run: directory, cgroup: "", owner: ""), settings: [:],
      earlierSettings: [:],
      clients: { FaultyClient(cluster: self, user: $0.user) }, informers: informers, kinds: kinds,
      rootCertificate: "certificate", servingCertificate: "", servingKey: "", metrics: metrics, time: clock,
      seed: random { $0.next() }, executable: "", version: "0", kubernetesVersion: "", inheritedOwners: [],
      shared: SharedValues(), sockets: GivenSockets())
    var services: [any ControllerKit.Service] = [informers]
    for capability in Self.capabilities { services += try await capability.start(context).services }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for service in services {
        group.addTask {
          try await service.run()
          try Task.checkCancellation()
          self.violated("a part of the server has ended")
        }
      }
      group.addTask { await server.addresses.run() }
      try await group.waitForAll()
    }
  }

  // MARK: What must hold at each moment

  /// Looks at every change before it is answered.
  private func follow(_ store: Store) throws {
    var nodeOfPod: [String: String] = [:]
    var addresses: [String: String] = [:]
    for entry in try store.list(prefix: "").entries { Self.note(entry, &nodeOfPod, &addresses) }
    let known = Mutex((nodeOfPod: nodeOfPod, addresses: addresses))
    _ = try store.follow(prefix: "", after: store.revision) { [weak self] signal in
      guard case .events(let events) = signal, let self else { return }
      for event in events {
        known.withLock { self.check(event, &$0.nodeOfPod, &$0.addresses) }
      }
    }
  }

  private static func note(
    _ entry: Store.Entry, _ nodeOfPod: inout [String: String], _ addresses: inout [String: String]
  ) {
    if entry.key.hasPrefix("pods/"), let node = JSON.scalar(at: ["spec", "nodeName"], of: entry.value) {
      nodeOfPod[entry.header.uid] = node
    }
    if entry.key.hasPrefix("services/"), let address = JSON.scalar(at: ["spec", "clusterIP"], of: entry.value),
      address != "None"
    {
      addresses[address] = entry.key
    }
  }

  private func check(
    _ event: Store.Event, _ nodeOfPod: inout [String: String], _ addresses: inout [String: String]
  ) {
    let entry = event.entry
    if let previous = event.previous, previous.header.uid != entry.header.uid {
      violated("\(entry.key) became another object without having gone")
    }
    if entry.key.hasPrefix("services/"), let address = JSON.scalar(at: ["spec", "clusterIP"], of: entry.value) {
      if event.kind == .delete {
        addresses[address] = nil
      } else if address != "None", let other = addresses.updateValue(entry.key, forKey: address), other != entry.key {
        violated("\(address) is given to \(entry.key) and to \(other)")
      }
    }
    guard entry.key.hasPrefix("pods/") else { return }
    let node = JSON.scalar(at: ["spec", "nodeName"], of: entry.value) ?? ""
    if let before = nodeOfPod[entry.header.uid], before != node {
      violated("\(entry.key) moved from \(before) to \(node)")
    }
    if event.kind == .delete {
      nodeOfPod[entry.header.uid] = nil
    } else if !node.isEmpty, nodeOfPod.updateValue(node, forKey: entry.header.uid) == nil {
      // Each asks for a fifth of a processor: the scheduler has counted whatever was placed before.
      let placed = nodeOfPod.values.count { $0 == node } * 200
      if placed > Self.milliCPU { violated("\(node) has pods for \(placed)m of \(Self.milliCPU)m") }
    }
  }

  // MARK: Nodes

  func isPartitioned(_ node: String) -> Bool { state.withLock { $0.partitioned.contains(node) } }

  func setPartitioned(_ node: String, _ isPartitioned: Bool) {
    state.withLock { state in
      if isPartitioned { state.partitioned.insert(node) } else { state.partitioned.remove(node) }
    }
  }

  /// How many pods have run so far.
  var startedCount: Int { state.withLock { $0.started.count } }

  func running(on node: String) -> [String: ObjectKey] { state.withLock { $0.running[node] ?? [:] } }

  func address() -> String {
    state.withLock { state in
      state.lastAddress += 1
      return "10.244.\(state.lastAddress / 250 % 250).\(state.lastAddress % 250 + 1)"
    }
  }

  func start(_ uid: String, _ key: ObjectKey, on node: String) {
    let other = state.withLock { state in
      state.running[node, default: [:]][uid] = key
      return state.started.updateValue(node, forKey: uid)
    }
    if let other { violated("\(key) (\(uid)) is started on \(node), and was on \(other)") }
  }

  func stop(_ uid: String, on node: String) { state.withLock { _ = $0.running[node]?.removeValue(forKey: uid) } }
}
