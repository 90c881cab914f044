import Glibc
import LinuxSystem
import Logging
import Synchronization
import Wire

/// The sandboxes that wait for a pod: namespaces and an address are most of what a new pod waits for.
///
/// A pod is given one when it wants what every pod gets: a network, UTS and IPC namespaces of its own, no ports of the
/// host, no sysctls. No process ever ran in it. Those that were not taken are kept over a restart of the server.
struct SparePool: Sendable {
  /// No pod's uid begins so: they are UUIDs.
  private static let prefix = "spare-"

  /// Whether a folder or a network is that of a spare, by its name.
  static func isSpare(_ name: String) -> Bool { name.hasPrefix(prefix) }

  static func makeName() -> String { prefix + CrunRuntime.makeID().prefix(32) }

  /// Oldest first.
  private(set) var records: [SandboxRecord] = []
  /// Found at the start: whether their network is as it was made has to be asked first.
  var unchecked: [SandboxRecord] = []
  /// To be removed.
  var unwanted: [SandboxRecord] = []
  /// Pods need the addresses.
  var isOff = false

  mutating func add(_ record: SandboxRecord) { records.append(record) }

  mutating func take(_ network: JSON) -> SandboxRecord? {
    guard let index = records.firstIndex(where: { $0.network == network }) else { return nil }
    return records.remove(at: index)
  }

  /// No pod would be given those: the network is another now.
  mutating func refuseOthers(than network: JSON) {
    unwanted += (records + unchecked).filter { $0.network != network }
    records.removeAll { $0.network != network }
    unchecked.removeAll { $0.network != network }
  }

  mutating func refuseAll() {
    unwanted += records + unchecked
    (records, unchecked) = ([], [])
  }
}

extension CrunRuntime {
  private static let kinds = namespaces(hostNetwork: false, hostIPC: false)

  /// Makes one sandbox for a pod to come, if one is wanted. Pods that are there go first.
  ///
  /// - Returns: whether it did, so that another may be wanted.
  package func makeSpare() async throws(RuntimeError) -> Bool {
    guard configuration.spareSandboxesMax > 0, starts.withLock({ $0.count == 0 }) else { return false }
    let list = CNI.list(try await networkConfiguration(of: nil), for: [])
    state.withLock { $0.spares.refuseOthers(than: list) }
    try await removeUnwanted()
    if state.withLock({ $0.spares.isOff }) { return false }
    if let found = state.withLock({ $0.spares.unchecked.popLast() }) {
      await takeUp(found)
      return true
    }
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
        let left = record
        state.withLock { $0.spares.unwanted.append(left) }
        log.warning("remove a spare sandbox", metadata: ["sandbox": "\(name)", "error": "\(cleanup)"])
      }
      throw error
    }
  }

  /// One of an earlier server is a pod's to have when its network is as it was made.
  private func takeUp(_ record: SandboxRecord) async {
    do throws(RuntimeError) {
      if let network = record.network, let result = record.networkResult {
        try await self.network.check(attachment(record), network, result: result)
      }
      state.withLock { state in
        if state.spares.isOff { state.spares.unwanted.append(record) } else { state.spares.add(record) }
      }
    } catch {
      log.notice(
        "the network of a spare sandbox is not as it was made",
        metadata: ["sandbox": "\(record.podUID)", "error": "\(error)"])
      state.withLock { $0.spares.unwanted.append(record) }
    }
  }

  /// A sandbox that was made before, for a pod that wants nothing special; `nil` when there is none.
  func takeSpare(for spec: SandboxSpec, _ network: JSON?) async -> SandboxRecord? {
    guard let network, !spec.hostIPC, spec.sysctls.isEmpty, spec.portMappings.isEmpty else { return nil }
    while let record = state.withLock({ $0.spares.take(network) }) {
      if isReady(record) { return record }
      state.withLock { $0.spares.unwanted.append(record) }
    }
    return nil
  }

  /// Removes all.
  ///
  /// - Returns: whether one was removed.
  func removeSpares(withNetwork: Bool = false) async throws(RuntimeError) -> Bool {
    state.withLock { $0.spares.refuseAll() }
    return try await removeUnwanted(withNetwork: withNetwork)
  }

  /// Removes those that can be removed; the others are tried again. Throws when none could be, or, for a purge, not all.
  @discardableResult
  private func removeUnwanted(withNetwork: Bool = false) async throws(RuntimeError) -> Bool {
    var hasRemoved = false
    var failure: RuntimeError?
    for record in state.withLock({ $0.spares.unwanted }) {
      do throws(RuntimeError) {
        try await remove(spare: record, withNetwork: withNetwork)
        state.withLock { $0.spares.unwanted.removeAll { $0.podUID == record.podUID } }
        hasRemoved = true
      } catch {
        failure = error
      }
    }
    if let failure, withNetwork || !hasRemoved { throw failure }
    return hasRemoved
  }

  /// Tells when another one may be wanted: a pod was given one, or none waits any more. Several times while nobody asks are
  /// the same as once. The last caller is the one that is told.
  package func spareWishes() -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    spareMaker.withLock { $0 = continuation }
    return stream
  }

  /// How many sandboxes and containers have begun to be made or started.
  package var startsBegun: Int { starts.withLock { $0.begun } }

  func wakeSpareMaker() { _ = spareMaker.withLock { $0 }?.yield() }

  /// At an orderly end without pods: an empty run folder tells that nothing of this data directory is on the machine.
  package func sparesEnd() async {
    guard state.withLock({ $0.sandboxes.isEmpty && $0.containers.isEmpty }) else { return }
    do throws(RuntimeError) { _ = try await removeSpares() } catch {
      log.warning("give the spare sandboxes back", metadata: ["error": "\(error)"])
    }
  }

  /// Idempotent.
  func remove(spare record: SandboxRecord, withNetwork: Bool = false) async throws(RuntimeError) {
    try await unmake(record)
    try await detach(record, withNetwork: withNetwork)
    try await removeNamespaces(record.networkID)
    try await system(nil, "remove a spare sandbox") { [self] () throws(SystemError) in
      let folder = sandboxFolder(record.podUID)
      if access(folder, F_OK) == 0 { try Directory.removeTree(folder) }
    }
  }

  /// Before its address is given back: a removal that is broken off must not leave what looks whole.
  func unmake(_ spare: SandboxRecord) async throws(RuntimeError) {
    guard SparePool.isSpare(spare.networkID), !spare.isTorn else { return }
    var record = spare
    (record.podUID, record.isComplete) = (record.networkID, false)
    let half = record
    try await system(nil, "note that a spare sandbox is removed") { [self] () throws(SystemError) in
      if access(sandboxFolder(half.podUID), F_OK) == 0 { try save(half) }
    }
  }
}
