import ControllerKit
import Glibc
import LinuxSystem
import Logging
import Synchronization
import Wire

/// Keeps sandboxes ready before pods ask for them: namespaces and an address are most of what a new pod waits for.
///
/// A pod is given one when it wants what every pod gets: a network, UTS and IPC namespaces of its own, no ports of the
/// host, no sysctls. No process ever ran in it. Those that were not taken are kept over a restart of the server.
public struct SpareSandboxes: ControllerKit.Service {
  private let runtime: CrunRuntime

  public init(_ runtime: CrunRuntime) { self.runtime = runtime }

  public func run() async throws {
    let backoff = Backoff(first: .milliseconds(100), longest: .seconds(30))
    var random = SeededRandom(name: "spare-sandboxes")
    var failures = 0
    while true {
      try Task.checkCancellation()
      do {
        while try await runtime.makeSpare() {}
        failures = 0
      } catch {
        try Task.checkCancellation()
        failures += 1
        runtime.log.debug("a spare sandbox cannot be made, will retry", metadata: ["error": "\(error)"])
      }
      if failures == 0 {
        try await runtime.sparesChanged.wait()
      } else {
        try await runtime.time.sleep(for: backoff.delay(failures: failures, using: &random))
      }
    }
  }
}

/// The sandboxes that wait for a pod.
struct SparePool: Sendable {
  /// No pod's uid begins so: they are UUIDs.
  private static let prefix = "spare-"

  /// Whether a folder or a network is that of a spare, by its name.
  static func isSpare(_ name: String) -> Bool { name.hasPrefix(prefix) }

  static func makeName() -> String { prefix + CrunRuntime.makeID().prefix(32) }

  /// Oldest first.
  private(set) var records: [SandboxRecord] = []
  /// Pods whose sandboxes are being made: they go first.
  var pods = 0
  /// Pods needed the addresses.
  private(set) var isOff = false

  mutating func add(_ record: SandboxRecord) { records.append(record) }

  mutating func take(_ network: JSON) -> SandboxRecord? {
    guard let index = records.firstIndex(where: { $0.network == network }) else { return nil }
    return records.remove(at: index)
  }

  /// Those that no pod would be given, since the network is another now.
  mutating func takeOthers(than network: JSON) -> [SandboxRecord] {
    let others = records.filter { $0.network != network }
    records.removeAll { $0.network != network }
    return others
  }

  mutating func takeAll() -> [SandboxRecord] {
    defer { (records, isOff) = ([], true) }
    return records
  }
}

extension CrunRuntime {
  private static let kinds = namespaces(hostNetwork: false, hostIPC: false)

  /// Makes one sandbox for a pod to come, if one is wanted.
  ///
  /// - Returns: whether it did, so that another may be wanted.
  func makeSpare() async throws(RuntimeError) -> Bool {
    guard configuration.spareSandboxesMax > 0, state.withLock({ !$0.spares.isOff && $0.spares.pods == 0 }) else {
      return false
    }
    let list = CNI.list(try await networkConfiguration(of: nil), for: [])
    for other in state.withLock({ $0.spares.takeOthers(than: list) }) { try await remove(spare: other) }
    guard CNI.ignoresNames(list), state.withLock({ $0.spares.records.count < configuration.spareSandboxesMax }) else {
      return false
    }
    let name = SparePool.makeName()
    var record = SandboxRecord(
      podUID: name, name: "", namespace: "", hostname: "localhost", hostNetwork: false, hostPID: false, hostIPC: false,
      cgroupPath: "", bootID: bootID, isComplete: false, ips: [], createdAt: time.now(), portMappings: [],
      network: list, networkID: name)
    do throws(RuntimeError) {
      let first = record
      try await system(nil, "make the folder of a spare sandbox") { [self] () throws(SystemError) in
        try Directory.create(sandboxFolder(name), mode: 0o700)
        try RuntimeFiles.write([], to: "\(sandboxFolder(name))/\(SandboxRecord.networkFilePrefix)\(name)")
        try save(first)
      }
      record = try await makeNamespaces(record, Self.kinds)
      record.isComplete = true
      let complete = record
      try await system(nil, "write the record of a spare sandbox") { [self] () throws(SystemError) in
        try save(complete)
      }
      // A pod that needed its address may have come meanwhile.
      let isWanted = state.withLock { state in
        if !state.spares.isOff { state.spares.add(complete) }
        return !state.spares.isOff
      }
      if !isWanted { try await remove(spare: complete) }
      return isWanted
    } catch {
      do throws(RuntimeError) { try await remove(spare: record) } catch let cleanup {
        log.warning("remove a spare sandbox", metadata: ["sandbox": "\(name)", "error": "\(cleanup)"])
      }
      throw error
    }
  }

  /// A sandbox that was made before, for a pod that wants nothing special; `nil` when there is none.
  func takeSpare(for spec: SandboxSpec, _ network: JSON?) async -> SandboxRecord? {
    guard let network, !spec.hostIPC, spec.sysctls.isEmpty, spec.portMappings.isEmpty else { return nil }
    while let record = state.withLock({ $0.spares.take(network) }) {
      if isReady(record) { return record }
      do throws(RuntimeError) { try await remove(spare: record) } catch {
        log.warning("remove a spare sandbox", metadata: ["sandbox": "\(record.podUID)", "error": "\(error)"])
      }
    }
    return nil
  }

  /// Removes all, and makes no more.
  ///
  /// - Returns: whether there were any.
  func removeSpares(withNetwork: Bool = false) async throws(RuntimeError) -> Bool {
    let records = state.withLock { $0.spares.takeAll() }
    for record in records { try await remove(spare: record, withNetwork: withNetwork) }
    if !records.isEmpty, !withNetwork {
      log.notice("the addresses of spare sandboxes were given back, since a pod found none: no more are made")
    }
    return !records.isEmpty
  }

  /// Idempotent.
  func remove(spare record: SandboxRecord, withNetwork: Bool = false) async throws(RuntimeError) {
    try await detach(record, withNetwork: withNetwork)
    try await removeNamespaces(record.networkID)
    try await system(nil, "remove a spare sandbox") { [self] () throws(SystemError) in
      let folder = sandboxFolder(record.podUID)
      if access(folder, F_OK) == 0 { try Directory.removeTree(folder) }
    }
  }
}
