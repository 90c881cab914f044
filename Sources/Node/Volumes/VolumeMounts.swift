import ControllerKit
import Glibc
import LinuxSystem
import Logging
import Synchronization
import Wire

/// The volumes that drivers mount, with their records.
///
///     pods/UID/mounts/NAME/record.json       what is begun, mounted or being undone (`MountRecord`)
///     pods/UID/mounts/NAME/target            what the pod's containers mount
///     stages/DRIVER/HANDLE/mount             where the driver has staged the volume, for all pods
///
/// Records are synced at each step: what a driver does takes longer. A stage is used by the records that name it, and by
/// nothing else; it is undone in the background when there is none, and not while a record cannot be read.
final class VolumeMounts: Sendable {
  private let configuration: NodeConfiguration
  private let drivers: [String: any VolumeDriver]
  private let lanes: NodeLanes
  private let time: any TimeSource
  private let bootID: String
  private let log: Logger
  private let isMounted: @Sendable (String) throws(SystemError) -> Bool

  private struct Stages {
    /// Being staged or undone: one at a time.
    var busy: Set<StageKey> = []
    /// Staged by this server. What an earlier one did is done again, once.
    var staged: Set<StageKey> = []
  }
  private let stages = Mutex(Stages())
  /// Fired when a stage may have lost its last user.
  private let released = Signal()

  /// - Parameter isMounted: whether something is mounted at a path.
  init(
    configuration: NodeConfiguration, drivers: [any VolumeDriver], lanes: NodeLanes, time: any TimeSource,
    bootID: String, log: Logger,
    isMounted: @escaping @Sendable (String) throws(SystemError) -> Bool = { path throws(SystemError) in
      try Mount.isMountPoint(path)
    }
  ) {
    self.configuration = configuration
    self.drivers = Dictionary(uniqueKeysWithValues: drivers.map { ($0.name, $0) })
    self.lanes = lanes
    self.time = time
    self.bootID = bootID
    self.log = log
    self.isMounted = isMounted
  }

  // MARK: - Volumes of pods

  /// Mounts a volume for a pod. Idempotent; does nothing when it is mounted.
  /// - Returns: the path to mount in containers.
  func publish(_ volume: DriverVolume, for request: VolumeRequest) async throws -> String {
    guard drivers[volume.driver] != nil else { throw Self.unknown(volume.driver) }
    guard StageKey(volume) != nil else {
      throw NodeError(.failedMount, "the volume's handle is empty or too long: \(volume.handle)")
    }
    let place = Place(uid: request.uid, volume: request.name, in: configuration)
    let goal = MountRecord(
      uid: place.uid, volume: place.volume, driver: volume.driver, handle: volume.handle, phase: .published,
      bootID: bootID)
    try await go(place, toward: goal, volume)
    return place.target
  }

  /// Undoes all that drivers have mounted for the pod. Idempotent.
  func remove(_ uid: String) async throws {
    let folder = configuration.mountsDirectory(uid)
    let names = try await lanes.records.run(uid, "read \(folder)") {
      let names = try Self.list(folder)
      if names.isEmpty { try Self.removeEmpty(folder) }
      return names
    }
    guard !names.isEmpty else { return }
    var failure: (any Error)?
    for name in names {
      // One that cannot go keeps no other one.
      do { try await go(Place(uid: uid, volume: name, in: configuration), toward: nil, nil) } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    try await lanes.records.run(uid, "remove \(folder)") { try Self.removeEmpty(folder) }
  }

  private struct Place: Sendable {
    let uid: String
    let volume: String
    let folder: String
    var record: String { "\(folder)/record.json" }
    var target: String { "\(folder)/target" }

    init(uid: String, volume: String, in configuration: NodeConfiguration) {
      self.uid = uid
      self.volume = volume
      folder = "\(configuration.mountsDirectory(uid))/\(volume)"
    }
  }

  /// - Parameter volume: what is mounted, with a goal.
  private func go(_ place: Place, toward goal: MountRecord?, _ volume: DriverVolume?) async throws {
    let isMounted = isMounted
    var state = try await lanes.records.run(place.uid, "read \(place.record)") {
      MountState(Self.find(place), isMounted: try isMounted(place.target))
    }
    if state.found == .lost {
      log.warning(
        "the record of a volume's mount cannot be read, going on from what is mounted",
        metadata: ["record": "\(place.record)"])
    }
    while let step = state.next(toward: goal) {
      try await perform(step, place, volume)
      state.did(step)
    }
  }

  private func perform(_ step: MountState.Step, _ place: Place, _ volume: DriverVolume?) async throws {
    switch step {
    case .record(let record):
      try await lanes.records.run(place.uid, "write \(place.record)") {
        try Self.makeFolder(place.folder)
        try DurableFile.write(record.bytes, to: place.record, mode: 0o600)
      }
      // A record that could not be read kept all stages.
      released.fire()
    case .stage:
      guard let volume, let key = StageKey(volume) else { preconditionFailure("a volume that goes is not staged") }
      try await stage(volume, key)
    case .publish:
      guard let volume, let key = StageKey(volume) else { preconditionFailure("a volume that goes is not published") }
      let driver = try driver(volume.driver)
      try await driver.publish(volume, from: driver.needsStage ? stagePath(key) : nil, at: place.target)
    case .unpublish(let driver, let handle):
      try await self.driver(driver).unpublish(handle, at: place.target)
    case .clear:
      try await lanes.volumes.run(place.uid, "unmount \(place.folder)") { try Mount.unmountTree(place.folder) }
    case .forget:
      try await lanes.records.run(place.uid, "remove \(place.folder)") {
        try Self.removeEmpty(place.target)
        // With what a killed server was writing.
        for name in try Self.list(place.folder) where name.hasPrefix("record.json") {
          try Self.removeEmpty("\(place.folder)/\(name)")
        }
        try Self.removeEmpty(place.folder)
      }
      released.fire()
    }
  }

  private func driver(_ name: String) throws(NodeError) -> any VolumeDriver {
    guard let driver = drivers[name] else { throw Self.unknown(name) }
    return driver
  }

  private static func unknown(_ driver: String) -> NodeError {
    NodeError(.failedMount, "this node has no storage driver \(driver)")
  }

  // MARK: - Stages

  private var stagesFolder: String { configuration.stagesDirectory }
  private func stagePath(_ key: StageKey) -> String { "\(stagesFolder)/\(key.path)/mount" }

  private func stage(_ volume: DriverVolume, _ key: StageKey) async throws {
    let driver = try driver(volume.driver)
    guard driver.needsStage else { return }
    guard begin(key) else {
      throw NodeError(
        .failedMount, "volume \(volume.handle) is being mounted or unmounted for another pod: it is tried again")
    }
    defer { end(key) }
    if stages.withLock({ $0.staged.contains(key) }) { return }
    let path = stagePath(key)
    try await lanes.records.run(nil, "make \(path)") { try Self.makeFolder(path) }
    try await driver.stage(volume, at: path)
    stages.withLock { _ = $0.staged.insert(key) }
  }

  private func begin(_ key: StageKey) -> Bool { stages.withLock { $0.busy.insert(key).inserted } }

  private func end(_ key: StageKey) { stages.withLock { _ = $0.busy.remove(key) } }

  /// Undoes stages that nothing uses, until the task is cancelled.
  func run() async {
    var random = SeededRandom(name: configuration.name)
    var failures = 0
    while !Task.isCancelled {
      do {
        try await removeUnusedStages()
        failures = 0
        try await released.wait()
      } catch is CancellationError {
        return
      } catch {
        failures += 1
        log.warning("a volume stays on the node, will retry", metadata: ["error": "\(describe(error))"])
        try? await time.sleep(for: Retry.backoff.delay(failures: failures, using: &random))
      }
    }
  }

  /// Undoes the stages that no record names.
  func removeUnusedStages() async throws {
    let (pods, folder) = (configuration, stagesFolder)
    let unused = try await lanes.records.run(nil, "look for unused stages") {
      let found = try Self.stages(in: folder)
      return found.isEmpty ? [] : found.subtracting(try Self.used(in: pods, among: found))
    }
    var failure: (any Error)?
    for key in unused {
      // Somebody is about to use it.
      guard begin(key) else { continue }
      defer { end(key) }
      do { try await unstage(key) } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
  }

  private func unstage(_ key: StageKey) async throws {
    // From here on nobody begins to use it: whoever recorded himself before is seen now, and whoever does it later waits
    // for the end.
    let pods = configuration
    let isUsed = try await lanes.records.run(nil, "look for users of a stage") {
      try Self.used(in: pods, among: [key]).contains(key)
    }
    if isUsed { return }
    let path = stagePath(key)
    stages.withLock { _ = $0.staged.remove(key) }
    try await driver(key.driver).unstage(key.handle, at: path)
    try await lanes.records.run(nil, "remove \(path)") {
      try Self.removeEmpty(path)
      try Self.removeEmpty(DurableFile.parent(of: path))
    }
  }

  /// Those of `stages` that records name: all of them when one of the records cannot be read.
  private static func used(in configuration: NodeConfiguration, among stages: Set<StageKey>) throws -> Set<StageKey> {
    var used: Set<StageKey> = []
    for uid in try list(configuration.podsDirectory) {
      for name in try list(configuration.mountsDirectory(uid)) {
        switch find(Place(uid: uid, volume: name, in: configuration)) {
        case .absent: break
        case .lost: return stages
        case .recorded(let record):
          if let key = StageKey(DriverVolume(driver: record.driver, handle: record.handle)) { used.insert(key) }
        }
      }
    }
    return used
  }

  private static func stages(in folder: String) throws -> Set<StageKey> {
    var stages: Set<StageKey> = []
    for driver in try list(folder) {
      for handle in try list("\(folder)/\(driver)") {
        guard let key = StageKey(driverFolder: driver, folder: handle) else { continue }
        stages.insert(key)
      }
    }
    return stages
  }

  // MARK: - Files

  private static func find(_ place: Place) -> MountState.Found {
    guard Files.exists(place.folder) else { return .absent }
    guard let bytes = Files.read(place.record, limit: MountRecord.sizeMax),
      let record = MountRecord(bytes: bytes, uid: place.uid, volume: place.volume)
    else { return .lost }
    return .recorded(record)
  }

  /// The names in a folder; none when it is not there. One that cannot be read fails: nothing may be undone for what is not
  /// seen.
  private static func list(_ folder: String) throws(SystemError) -> [String] {
    do throws(SystemError) { return try Directory.list(folder) } catch {
      if error.isMissing { return [] }
      throw error
    }
  }

  /// Makes a folder and its parents, and syncs each folder that got an entry.
  private static func makeFolder(_ path: String) throws(SystemError) {
    var missing: [String] = []
    var next = path
    while !Files.exists(next) {
      missing.append(next)
      next = DurableFile.parent(of: next)
    }
    guard !missing.isEmpty else { return }
    try Directory.create(path, mode: 0o700)
    for folder in missing.reversed() { try Directory.sync(DurableFile.parent(of: folder)) }
  }

  /// Removes a file or an empty folder: what is still in one is somebody's data.
  private static func removeEmpty(_ path: String) throws(SystemError) {
    guard Glibc.remove(path) == 0 || errno == ENOENT || errno == ENOTDIR else {
      throw SystemError.last("remove \(path)")
    }
  }
}
