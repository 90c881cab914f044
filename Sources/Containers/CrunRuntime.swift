import Glibc
import Layers
import LinuxSystem
import Logging
import Synchronization
import Wire

/// Containers by `crun` (or `runc`), each under a `conmon` of its own, which keeps the container's streams, writes its
/// log and notes its exit code. Both outlive the server: the next one finds them by their records.
///
/// On disk, below `stateDirectory`: `containers/<id>/` (record, OCI bundle, the root's snapshot, exit file, attach
/// socket) and `sandboxes/<pod uid>/` (record, `/etc/hosts` and the like). Below `runDirectory`, gone after a reboot:
/// `oci/` (the engine's own state), `ns/<network id>/` (pinned namespaces), `shm/<pod uid>`. A sandbox that waits for a
/// pod has a name of its own in the pod's place.
public final class CrunRuntime: ContainerRuntime {
  public struct Configuration: Sendable {
    /// `crun` or `runc`: a path, or a name in PATH.
    public var runtimePath = "crun"
    public var conmonPath = "conmon"
    /// Persistent. Must be on a file system that can carry overlay's upper folder.
    public var stateDirectory: String
    /// On a tmpfs, for example `/run/apus/<hash of the data folder>`. Short: unix sockets live there.
    public var runDirectory: String
    public var networkConfigurationDirectory: String
    public var networkPluginDirectories = ["/usr/lib/cni", "/opt/cni/bin"]
    /// The first part of every cgroup path of this runtime.
    public var cgroupRoot = "apus"
    /// For one call of the engine.
    public var engineTimeout: Duration = .seconds(30)
    /// How many sandboxes are made before pods ask for them (`makeSpare`).
    public var spareSandboxesMax = 0

    public init(stateDirectory: String, runDirectory: String, networkConfigurationDirectory: String) {
      self.stateDirectory = stateDirectory
      self.runDirectory = runDirectory
      self.networkConfigurationDirectory = networkConfigurationDirectory
    }
  }

  struct State {
    var containers: [String: ContainerRecord] = [:]
    var sandboxes: [String: SandboxRecord] = [:]
    var spares = SparePool()
    var filters = SeccompFilters()
    /// The pidfd of each running container's monitor, on which its end is awaited.
    var monitors: [String: AsyncDescriptor] = [:]
    /// Containers that were to be ended and removed, and could not be.
    var unended: Set<String> = []
    var nextExec: UInt64 = 0
  }

  let configuration: Configuration
  package let time: any TimeSource
  package let log: Logger
  let lanes: BlockingLanes
  let cgroups: CgroupLayout
  let bootID: String
  /// What this server has to give, and so the kernel knows.
  let availableCapabilities: CapabilitySet
  let oci: OCIEngine
  let openFilesMax: Int64
  let state = Mutex(State())
  /// Sandboxes and containers that are being made or started.
  let starts = Mutex(Starts())
  /// Held while a container's record is written.
  let saving = Mutex(())
  let network: CNI
  let handover: MountHandover
  /// The containers' root file systems, by the containers' ids.
  let snapshots: Snapshotter
  let ends = Announcer<RuntimeEvent>()
  /// Who is told that another spare sandbox may be wanted.
  let spareMaker = Mutex<AsyncStream<Void>.Continuation?>(nil)

  /// Makes the folders, looks at the machine, and takes up the containers that are there.
  public static func open(
    _ configuration: Configuration, time: any TimeSource
  ) async throws(RuntimeError) -> CrunRuntime {
    let log = Logger(label: "apus.node.runtime")
    // A pod's calls come one after another. A pod with many containers does not hold up the others, and one whose calls
    // hang keeps one thread: as many as pods that a node may have.
    let lanes = BlockingLanes("runtime", .init(deadline: .seconds(120), runningMax: 32, stuckMax: 128)) {
      $0.write(to: log, of: "runtime")
    }
    let runtime = try await blocking(lanes, nil, "take up the containers") { () throws(RuntimeError) in
      try CrunRuntime(configuration, time, lanes, log)
    }
    try await runtime.adopt()
    return runtime
  }

  private init(
    _ configuration: Configuration, _ time: any TimeSource, _ lanes: BlockingLanes, _ log: Logger
  ) throws(RuntimeError) {
    self.configuration = configuration
    self.time = time
    self.lanes = lanes
    self.log = log
    network = CNI(
      configurationDirectory: configuration.networkConfigurationDirectory,
      pluginDirectories: configuration.networkPluginDirectories)
    let engineMount = EngineMount(folder: "\(configuration.runDirectory)/engine")
    oci = OCIEngine(
      program: configuration.runtimePath, stateFolder: "\(configuration.runDirectory)/oci", mount: engineMount)
    handover = MountHandover(folder: "\(configuration.runDirectory)/binds")
    snapshots = Snapshotter(folder: "\(configuration.stateDirectory)/containers")
    do throws(SystemError) {
      // Containers make set-user-id programs, devices and files that everybody may write: nobody else of this machine
      // comes near them. Inside, a container reaches its files by its own mounts.
      try Directory.createPrivate(configuration.stateDirectory)
      try Directory.createPrivate(configuration.runDirectory)
      for folder in ["containers", "sandboxes"] {
        try Directory.create("\(configuration.stateDirectory)/\(folder)", mode: 0o700)
      }
      for folder in ["oci", "ns", "shm", "exec", "engine"] {
        try Directory.create("\(configuration.runDirectory)/\(folder)", mode: 0o700)
      }
      try handover.clear()
      try engineMount.clear(besides: try? oci.path())
      let (layout, moved) = try OCIEngine.usableCgroups()
      if !moved.isEmpty {
        log.notice("mounted cgroup controllers as version 1, since crun refuses a mix", metadata: ["names": "\(moved)"])
      }
      cgroups = layout
    } catch {
      throw RuntimeError(.system, error.description)
    }
    bootID = RuntimeFiles.readText("/proc/sys/kernel/random/boot_id") ?? ""
    availableCapabilities = .givable
    openFilesMax = OCIEngine.openFilesMax()
  }

  // MARK: - Paths

  func containerFolder(_ id: String) -> String { snapshots.folder(of: id) }
  func sandboxFolder(_ podUID: String) -> String { "\(configuration.stateDirectory)/sandboxes/\(podUID)" }
  func namespaceFolder(_ networkID: String) -> String { "\(configuration.runDirectory)/ns/\(networkID)" }
  func sharedMemoryFolder(_ podUID: String) -> String { "\(configuration.runDirectory)/shm/\(podUID)" }

  // MARK: - Calls

  /// Runs blocking calls of a pod, one after another.
  ///
  /// - Parameters:
  ///   - podUID: `nil` for what is no pod's.
  ///   - what: for errors.
  func blocking<Value: Sendable>(
    _ podUID: String?, _ what: String, _ body: @escaping @Sendable () throws(RuntimeError) -> Value
  ) async throws(RuntimeError) -> Value {
    try await Self.blocking(lanes, podUID, what, body)
  }

  private static func blocking<Value: Sendable>(
    _ lanes: BlockingLanes, _ podUID: String?, _ what: String,
    _ body: @escaping @Sendable () throws(RuntimeError) -> Value
  ) async throws(RuntimeError) -> Value {
    let result: Result<Value, RuntimeError>
    do {
      result = try await lanes.run(podUID, what) {
        do throws(RuntimeError) { return Result<Value, RuntimeError>.success(try body()) } catch {
          return .failure(error)
        }
      }
    } catch {
      throw .timedOut("\(error)")
    }
    return try result.get()
  }

  /// As `blocking`, for bodies whose failures are system calls.
  func system<Value: Sendable>(
    _ podUID: String?, _ what: String, _ body: @escaping @Sendable () throws(SystemError) -> Value
  ) async throws(RuntimeError) -> Value {
    try await blocking(podUID, what) { () throws(RuntimeError) in
      do throws(SystemError) { return try body() } catch { throw RuntimeError(.system, error.description) }
    }
  }

  struct Starts: Sendable {
    var count = 0
    /// How many have begun since the server's start.
    var begun = 0
    /// Until when moves between cgroups are kept quick for them; `nil` while nobody does that.
    var areMovesPreparedUntil: ContinuousClock.Instant?
  }

  /// Counts a sandbox or a container that is being made or started, until `endStart`.
  func beginStart() {
    starts.withLock { starts in
      starts.count += 1
      starts.begun += 1
    }
  }

  /// Keeps moves between cgroups quick while something is being started. Not before the pod's own cgroup is made: that
  /// waits for the same lock.
  func prepareMoves() {
    let until = ContinuousClock.now + .seconds(1)
    let isFirst = starts.withLock { starts in
      defer { starts.areMovesPreparedUntil = until }
      return starts.areMovesPreparedUntil == nil
    }
    guard isFirst else { return }
    Task { [self] in
      // An engine that hangs is not waited for in this way.
      while starts.withLock({ starts in
        if starts.count > 0, let until = starts.areMovesPreparedUntil, .now < until { return true }
        starts.areMovesPreparedUntil = nil
        return false
      }) {
        _ = try? await system(nil, "prepare moves between cgroups") { [cgroups] () throws(SystemError) in
          cgroups.prepareMoves()
        }
        try? await time.sleep(for: .milliseconds(6))
      }
    }
  }

  func endStart() {
    starts.withLock { starts in
      precondition(starts.count > 0, "a start ends that has not begun")
      starts.count -= 1
    }
    wakeSpareMaker()
  }

  /// Runs one command of the engine and throws what it says when it fails.
  @discardableResult
  func engine(_ arguments: [String], stdin: [UInt8]? = nil) async throws(RuntimeError) -> ProcessResult {
    try await oci.command(arguments, stdin: stdin, timeout: configuration.engineTimeout)
  }

  // MARK: - Records

  func record(_ id: String) throws(RuntimeError) -> ContainerRecord {
    guard let record = state.withLock({ $0.containers[id] }) else {
      throw .notFound("container \(id) does not exist on this node")
    }
    return record
  }

  func sandboxRecord(_ podUID: String) throws(RuntimeError) -> SandboxRecord {
    guard let record = state.withLock({ $0.sandboxes[podUID] }) else {
      throw .notFound("pod \(podUID) has no sandbox on this node")
    }
    return record
  }

  /// Writes a container's record as it is now; nothing when the container was removed meanwhile. One at a time, so that
  /// an older state never replaces a newer one. Blocks.
  func persist(container id: String) throws(SystemError) {
    let failure = saving.withLock { _ -> SystemError? in
      guard let record = state.withLock({ $0.containers[id] }) else { return nil }
      do throws(SystemError) {
        try RuntimeFiles.write(record.json.serialized(), to: "\(containerFolder(id))/record.json")
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  /// Blocks.
  func save(_ record: SandboxRecord) throws(SystemError) {
    try RuntimeFiles.write(record.json.serialized(), to: "\(sandboxFolder(record.podUID))/record.json")
  }

  public func events() -> AsyncStream<RuntimeEvent> {
    ends.listen { state.withLock { $0.containers.values.filter { $0.phase == .exited }.map(event) } }
  }

  public func containers() async throws(RuntimeError) -> [ContainerState] {
    let records = state.withLock { Array($0.containers.values) }
    return records.filter { $0.phase != .creating }
      .sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
      .map { $0.state(folder: containerFolder($0.id)) }
  }

  /// A name that is used in paths.
  static func checkName(_ name: String, _ what: String) throws(RuntimeError) {
    let allowed = name.utf8.allSatisfy {
      ($0 >= 0x30 && $0 <= 0x39) || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7a) || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f
    }
    guard allowed, !name.isEmpty, name.utf8.count <= 253, name != ".", name != ".." else {
      throw RuntimeError(.invalid, "the \(what) \"\(name)\" cannot be used in a path")
    }
  }
}
