import CRI
import Glibc
import KubeClient
import LinuxSystem
import Logging
import Protobuf
import RPC
import Synchronization
import Wire

/// Containers by another container runtime (containerd, CRI-O), which is asked by the Container Runtime Interface.
///
/// The runtime knows what there is: its sandboxes and containers have labels by which the next server finds them. What
/// the interface does not carry is below `stateDirectory`, in `pods/<uid>/`: the sandbox's configuration, which each of its
/// containers is made with, `/etc/hosts`, and the files for last words. The runtime's processes must see that folder and
/// `runDirectory` under the same paths.
public final class CRIRuntime: ContainerRuntime {
  public struct Configuration: Sendable {
    /// The runtime's socket, absolute.
    public var socketPath: String
    /// Persistent.
    public var stateDirectory: String
    public var runDirectory: String
    /// Tells this server's sandboxes from those of others.
    public var owner: String
    /// The first part of every cgroup path of this server's pods.
    public var cgroupRoot = "apus"

    public init(socketPath: String, stateDirectory: String, runDirectory: String, owner: String) {
      self.socketPath = socketPath
      self.stateDirectory = stateDirectory
      self.runDirectory = runDirectory
      self.owner = owner
    }
  }

  /// Between two looks for containers that have ended.
  static let interval = Duration.seconds(1)
  /// In which a container that takes its stop signal well ends. The call that sends the signal ends only with the
  /// container: that it lasts longer than this says that the signal was sent.
  private static let signalTime = Duration.seconds(1)
  /// Longer than any grace period: it is the node that kills.
  private static let stopTimeoutMax = Duration.seconds(365 * 86_400)

  let configuration: Configuration
  package let client: CRIClient
  let time: any TimeSource
  let streaming = StreamingClient()
  let log = Logger(label: "apus.node.runtime")
  private let lanes: BlockingLanes
  private let cgroups: CgroupLayout
  private let handover: MountHandover
  /// Under which name what is `held` is shown to a container that was not started yet.
  private let shown = Mutex<[String: String]>([:])

  /// The runtime's name and version.
  public let name: String
  public let version: String

  /// In the state folder: the socket of the runtime that has the pods.
  private static let endpointFile = "endpoint"

  /// - Returns: `nil` for a state folder that no runtime was used with.
  public static func recordedSocket(in stateDirectory: String) throws -> String? {
    let path = "\(stateDirectory)/\(endpointFile)"
    guard access(path, F_OK) == 0 else { return nil }
    return String(decoding: try DurableFile.read(path, limit: 64 << 10), as: UTF8.self)
  }

  /// Asks a runtime for its name and version.
  public static func ask(socketPath: String) async throws(RuntimeError) -> (name: String, version: String) {
    let client = CRIClient(unixSocket: socketPath)
    defer { client.close() }
    let answer = try await version(client, socketPath)
    return (answer.runtimeName, answer.runtimeVersion)
  }

  private static func version(
    _ client: CRIClient, _ path: String
  ) async throws(RuntimeError) -> RuntimeV1.VersionResponse {
    do throws(RPCError) { return try await client.version() } catch {
      throw RuntimeError(
        error.status == .unimplemented ? .unsupported : .engine,
        "no container runtime answers at \(path) by runtime.v1 of CRI: \(error.message)")
    }
  }

  /// Looks at the runtime. Throws when it does not answer, or does not speak `runtime.v1`.
  public static func open(
    _ configuration: Configuration, time: any TimeSource
  ) async throws(RuntimeError) -> CRIRuntime {
    let client = CRIClient(unixSocket: configuration.socketPath)
    let result: Result<CRIRuntime, RuntimeError>
    do throws(RuntimeError) {
      let answer = try await version(client, configuration.socketPath)
      result = .success(try CRIRuntime(configuration, client, answer, time))
    } catch {
      client.close()
      result = .failure(error)
    }
    let runtime = try result.get()
    try await runtime.prepare()
    return runtime
  }

  private init(
    _ configuration: Configuration, _ client: CRIClient, _ answer: RuntimeV1.VersionResponse, _ time: any TimeSource
  ) throws(RuntimeError) {
    self.configuration = configuration
    self.client = client
    self.time = time
    name = answer.runtimeName
    version = answer.runtimeVersion
    handover = MountHandover(folder: "\(configuration.runDirectory)/binds")
    let log = log
    lanes = BlockingLanes("runtime", .init(deadline: .seconds(120), runningMax: 32, stuckMax: 128)) {
      $0.write(to: log, of: "runtime")
    }
    do throws(SystemError) { cgroups = try CgroupLayout.current() } catch {
      throw RuntimeError(.system, error.description)
    }
  }

  private func prepare() async throws(RuntimeError) {
    try await system(nil, "make the runtime's folders") { [configuration, handover] () throws(SystemError) in
      try Directory.createPrivate(configuration.stateDirectory)
      try Directory.createPrivate(configuration.runDirectory)
      try Directory.create("\(configuration.stateDirectory)/pods", mode: 0o700)
      // Before the first pod: whoever removes this folder must find them.
      try DurableFile.write(
        Array(configuration.socketPath.utf8), to: "\(configuration.stateDirectory)/\(Self.endpointFile)", mode: 0o600)
      try handover.clear()
    }
  }

  /// Closes the connections.
  public func close() { client.close() }

  // MARK: - Sandboxes

  public func createSandbox(_ spec: SandboxSpec) async throws(RuntimeError) -> Sandbox {
    try CrunRuntime.checkName(spec.podUID, "pod uid")
    var attempt: UInt32 = 0
    for old in try await list(podUID: spec.podUID) {
      let status = try await ask("look at the sandbox of pod \(spec.podUID)") { client async throws(RPCError) in
        try await client.podSandboxStatus(old.id).status
      }
      if status.state == .ready, try await isWhole(spec.podUID, status.metadata) {
        return CRITranslation.sandbox(status)
      }
      attempt = max(attempt, old.metadata.attempt &+ 1)
    }
    if attempt > 0 { try await removeSandbox(spec.podUID) }
    let config = try CRITranslation.sandbox(
      spec, attempt: attempt, owner: configuration.owner, cgroupRoot: "/\(configuration.cgroupRoot)")
    if !spec.hostNetwork { try HostPorts.check(spec.portMappings) }
    let bytes = try Self.bytes(of: config)
    try await system(spec.podUID, "write the sandbox's configuration") { [self] () throws(SystemError) in
      try Directory.create(folder(spec.podUID), mode: 0o700)
      try DurableFile.write(bytes, to: configPath(spec.podUID), mode: 0o600)
    }
    do throws(RuntimeError) {
      let id = try await ask("make the sandbox of pod \(spec.podUID)") { client async throws(RPCError) in
        try await client.runPodSandbox(config)
      }
      let status = try await ask("look at the sandbox of pod \(spec.podUID)") { client async throws(RPCError) in
        try await client.podSandboxStatus(id).status
      }
      var made = CRITranslation.sandbox(status)
      let ips = made.ips
      try await system(spec.podUID, "write /etc/hosts of pod \(spec.podUID)") { [self] () throws(SystemError) in
        let text =
          spec.hostNetwork
          ? PodFiles.hosts(base: RuntimeFiles.readText("/etc/hosts") ?? "", aliases: spec.hostAliases)
          : PodFiles.hosts(spec, ips: ips)
        try RuntimeFiles.write(Array(text.utf8), to: hostsPath(spec.podUID), mode: 0o644)
      }
      if !spec.hostNetwork, !spec.portMappings.isEmpty, try await !mapsPorts() {
        made.unmappedPorts = spec.portMappings
        made.unmappedReason =
          "the container runtime does not tell of a network plugin for ports of the host; add portmap to its CNI "
          + "configuration, and make the pod anew"
      }
      return made
    } catch {
      do throws(RuntimeError) { try await removeSandbox(spec.podUID) } catch let cleanup {
        log.warning("remove a sandbox that failed", metadata: ["pod": "\(spec.podUID)", "error": "\(cleanup)"])
      }
      throw error
    }
  }

  /// Whether the runtime's network opens ports of the host. What containerd tells of its configuration is all that there
  /// is to know it by: CNI leaves the wish aside when no plugin is there for it.
  private func mapsPorts() async throws(RuntimeError) -> Bool {
    let info = try await ask("tell its network") { client async throws(RPCError) in
      try await client.status(verbose: true).info
    }
    guard let text = info["cniconfig"], let json = try? JSON.parse(Array(text.utf8)) else { return false }
    for network in json["Networks"]?.array ?? [] {
      for plugin in network.at("Config", "Plugins")?.array ?? []
      where plugin.at("Network", "capabilities", "portMappings")?.bool == true { return true }
    }
    return false
  }

  public func removeSandbox(_ podUID: String) async throws(RuntimeError) {
    try CrunRuntime.checkName(podUID, "pod uid")
    // Whichever it was in: its configuration may be gone.
    let parents = PodCgroup.allCases.map { "/\(configuration.cgroupRoot)/\($0.path(podUID: podUID))" }
    for sandbox in try await list(podUID: podUID) {
      try await change("stop the sandbox of pod \(podUID)") { client async throws(RPCError) in
        try await client.stopPodSandbox(sandbox.id)
      }
      try await change("remove the sandbox of pod \(podUID)") { client async throws(RPCError) in
        try await client.removePodSandbox(sandbox.id)
      }
    }
    try await system(podUID, "remove the sandbox's cgroup and files") { [self] () throws(SystemError) in
      for parent in parents { try Cgroup(cgroups, path: parent).remove() }
      if access(folder(podUID), F_OK) == 0 { try Directory.removeTree(folder(podUID)) }
    }
  }

  public func sandboxes() async throws(RuntimeError) -> [Sandbox] {
    var newest: [String: RuntimeV1.PodSandbox] = [:]
    for sandbox in try await list(podUID: nil)
    where newest[sandbox.metadata.uid].map({ $0.createdAt < sandbox.createdAt }) ?? true {
      newest[sandbox.metadata.uid] = sandbox
    }
    var result: [Sandbox] = []
    for sandbox in newest.values.sorted(by: { $0.metadata.uid < $1.metadata.uid }) {
      do throws(RuntimeError) {
        let status = try await ask("look at a sandbox") { client async throws(RPCError) in
          try await client.podSandboxStatus(sandbox.id).status
        }
        var found = CRITranslation.sandbox(status)
        if try await !isWhole(found.podUID, status.metadata) { found.isReady = false }
        result.append(found)
      } catch  where error.code == .notFound {
        // It went meanwhile.
      }
    }
    return result
  }

  /// What this server has made in the runtime, and what it keeps of it. For `down --purge`.
  ///
  /// - Parameter note: told how many pods there are.
  public func removeEverything(_ note: (_ pods: Int) -> Void) async throws(RuntimeError) {
    let pods = Set(try await list(podUID: nil).map(\.metadata.uid))
    if !pods.isEmpty { note(pods.count) }
    for uid in pods.sorted() { try await removeSandbox(uid) }
    try await system(nil, "take back the mounts of containers") { [self] () throws(SystemError) in
      try handover.clear()
    }
  }

  func list(podUID: String?) async throws(RuntimeError) -> [RuntimeV1.PodSandbox] {
    var filter = RuntimeV1.PodSandboxFilter()
    filter.labelSelector[CRITranslation.Label.owner] = configuration.owner
    filter.labelSelector[CRITranslation.Label.podUID] = podUID
    let wanted = filter
    return try await ask("list its sandboxes") { client async throws(RPCError) in
      try await client.listPodSandbox(wanted)
    }
  }

  // MARK: - Containers

  public func createContainer(_ spec: ContainerSpec) async throws(RuntimeError) -> ContainerHandle {
    try CrunRuntime.checkName(spec.podUID, "pod uid")
    try CrunRuntime.checkName(spec.name, "container's name")
    guard let sandboxConfig = try await readConfig(spec.podUID),
      let sandbox = try await list(podUID: spec.podUID).first(where: { $0.metadata == sandboxConfig.metadata }),
      sandbox.state == .ready
    else { throw RuntimeError(.wrongState, "the sandbox of pod \(spec.podUID) is not ready") }
    try await makeRoom(for: spec)
    try await checkStopSignal(spec)
    let key = "\(spec.podUID)_\(spec.name)_\(spec.attempt)"
    let hosts = hostsPath(spec.podUID)
    let termination = "\(folder(spec.podUID))/\(spec.name)_\(spec.attempt).message"
    do throws(RuntimeError) {
      let files = try await system(spec.podUID, "make the files of container \(spec.name)") {
        [self] () throws(SystemError) in
        var files = CRITranslation.Files()
        if !spec.mounts.contains(where: { $0.destination == "/etc/hosts" }) { files.hosts = hosts }
        if spec.terminationMessagePath != nil {
          // Whoever the container runs as writes here.
          try RuntimeFiles.write([], to: termination, mode: 0o666)
          files.termination = termination
        }
        if case .localhost(let folder, let name) = spec.seccomp {
          _ = try ResolvedFile(name, in: ResolvedFile(folder), scope: .beneath)
        }
        for (number, mount) in spec.mounts.enumerated() {
          guard let file = mount.held else { continue }
          files.held[number] = try handover.show(file, recursive: mount.isRecursive, to: key, number: number)
        }
        try Directory.create(DurableFile.parent(of: spec.logPath), mode: 0o700)
        return files
      }
      let config = try CRITranslation.container(spec, in: sandboxConfig, owner: configuration.owner, files: files)
      let id = try await ask("make container \(spec.name)") { client async throws(RPCError) in
        try await client.createContainer(in: sandbox.id, config, sandboxConfig: sandboxConfig)
      }
      // They are mounted when it starts.
      if !files.held.isEmpty { shown.withLock { $0[id] = key } }
      return ContainerHandle(
        id: id, podUID: spec.podUID, name: spec.name, attempt: spec.attempt,
        terminationMessageFile: files.termination, user: nil)
    } catch {
      await takeBack(key, spec.podUID)
      throw error
    }
  }

  /// Two runs of one container are never alive together, whatever the caller takes for true. One that was made without our
  /// learning its id keeps its name from the next; one whose state the runtime has lost may still live, and is killed with
  /// its removal.
  private func makeRoom(for spec: ContainerSpec) async throws(RuntimeError) {
    for container in try await list(containersOf: spec.podUID) where container.metadata.name == spec.name {
      switch container.state {
      case .running:
        throw RuntimeError(.wrongState, "container \(spec.name) of pod \(spec.podUID) still runs as \(container.id)")
      case .created, .unknown: try await removeContainer(container.id)
      case .exited: break
      }
    }
  }

  /// A runtime sends the image's stop signal, and there is no way to ask for another one.
  private func checkStopSignal(_ spec: ContainerSpec) async throws(RuntimeError) {
    let image = try await ask("look at image \(spec.image)") { client async throws(RPCError) in
      try await client.imageStatus(spec.imageID, verbose: true)
    }
    let name = CRITranslation.configuration(of: image)?.at("config", "StopSignal")?.string ?? ""
    let signal = name.isEmpty ? Signals.terminate : Signals.number(name) ?? Signals.terminate
    guard signal == spec.stopSignal else {
      throw RuntimeError(
        .unsupported,
        "lifecycle.stopSignal is not supported by this node with another container runtime: image \(spec.image) is stopped "
          + "by signal \(signal)")
    }
  }

  public func startContainer(_ id: String) async throws(RuntimeError) {
    let result: Result<Void, RuntimeError>
    do throws(RuntimeError) {
      try await ask("start container \(id)") { client async throws(RPCError) in try await client.startContainer(id) }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    if let key = shown.withLock({ $0.removeValue(forKey: id) }) { await takeBack(key, nil) }
    try result.get()
  }

  /// What was shown to a container's engine goes. What cannot be taken away now is at the next start of the server.
  private func takeBack(_ key: String, _ podUID: String?) async {
    do throws(RuntimeError) {
      try await system(podUID, "take back the mounts of container \(key)") { [handover] () throws(SystemError) in
        try handover.end(key)
      }
    } catch {
      log.warning("mounts of a container are not taken back", metadata: ["container": "\(key)", "error": "\(error)"])
    }
  }

  public func signal(_ id: String, _ signal: Int32) async throws(RuntimeError) {
    if signal == Signals.kill {
      try await ask("kill container \(id)") { client async throws(RPCError) in
        try await client.stopContainer(id, timeout: .zero)
      }
      return
    }
    // Which one was settled when the container was made.
    do throws(RPCError) {
      try await client.stopContainer(id, timeout: Self.stopTimeoutMax, deadline: Self.signalTime)
    } catch {
      if error.status != .deadlineExceeded {
        throw CRITranslation.error(error, during: "send the stop signal to container \(id)")
      }
    }
  }

  public func removeContainer(_ id: String) async throws(RuntimeError) {
    let found: RuntimeV1.ContainerStatus
    do throws(RuntimeError) {
      found = try await ask("look at container \(id)") { client async throws(RPCError) in
        try await client.containerStatus(id).status
      }
    } catch  where error.code == .notFound {
      return
    }
    try await change("remove container \(id)") { client async throws(RPCError) in
      try await client.removeContainer(id)
    }
    if let key = shown.withLock({ $0.removeValue(forKey: id) }) { await takeBack(key, nil) }
    guard let file = CRITranslation.container(found).terminationMessageFile else { return }
    try await system(found.labels[CRITranslation.Label.podUID], "remove \(file)") { () throws(SystemError) in
      guard unlink(file) == 0 || errno == ENOENT else { throw .last("remove \(file)") }
    }
  }

  public func containers() async throws(RuntimeError) -> [ContainerState] {
    var result: [ContainerState] = []
    for container in try await list(containersOf: nil) {
      if let state = try await state(container.id) { result.append(state) }
    }
    return result
  }

  /// - Returns: `nil` of one that went meanwhile.
  private func state(_ id: String) async throws(RuntimeError) -> ContainerState? {
    do throws(RuntimeError) {
      return CRITranslation.container(
        try await ask("look at container \(id)") { client async throws(RPCError) in
          try await client.containerStatus(id).status
        })
    } catch  where error.code == .notFound {
      return nil
    }
  }

  private func list(containersOf podUID: String?) async throws(RuntimeError) -> [RuntimeV1.Container] {
    var filter = RuntimeV1.ContainerFilter()
    filter.labelSelector[CRITranslation.Label.owner] = configuration.owner
    filter.labelSelector[CRITranslation.Label.podUID] = podUID
    let wanted = filter
    return try await ask("list its containers") { client async throws(RPCError) in
      try await client.listContainers(wanted)
    }
  }

  public func stats(podUID: String) async throws(RuntimeError) -> PodUsage {
    guard let sandbox = try await list(podUID: podUID).first(where: { $0.state == .ready }) else {
      throw .notFound("pod \(podUID) has no sandbox on this node")
    }
    return try CRITranslation.usage(
      try await ask("tell what pod \(podUID) uses") { client async throws(RPCError) in
        try await client.podSandboxStats(sandbox.id)
      })
  }

  public func updateResources(_ id: String, _ resources: ContainerResources) async throws(RuntimeError) {
    let limits = try CRITranslation.resources(resources)
    try await ask("change the limits of container \(id)") { client async throws(RPCError) in
      try await client.updateContainerResources(id, limits)
    }
  }

  public func reopenLog(_ id: String) async throws(RuntimeError) {
    try await ask("open the log of container \(id) anew") { client async throws(RPCError) in
      try await client.reopenContainerLog(id)
    }
  }

  // MARK: - Ends

  /// Learnt by asking every second for the list of containers, and for what became of those that are new among the ended
  /// ones: a runtime keeps them until they are removed, and so none is left out, whenever it ended. No task asks but the one
  /// that reads.
  public func events() -> AsyncStream<RuntimeEvent> {
    log.notice(
      "ends of containers are learnt by asking the container runtime every second",
      metadata: ["runtime": "\(name) \(version)"])
    let ends = Mutex(CRIEnds())
    return AsyncStream(unfolding: { [self] in
      while !Task.isCancelled {
        if let event = ends.withLock({ $0.waiting.popFirst() }) { return event }
        do {
          let list = try await list(containersOf: nil)
          for id in ends.withLock({ $0.begin(list) }) {
            do {
              let state = try await state(id)
              ends.withLock { $0.found(id, state) }
            } catch  where !Task.isCancelled && ends.withLock({ $0.failed(id) }) {
              // It is asked again; the others' ends are told meanwhile.
              log.warning(
                "the container runtime does not tell what became of a container",
                metadata: ["container": "\(id)", "error": "\(error)"])
            } catch {}
          }
          if ends.withLock({ $0.waiting.isEmpty }) { try await time.sleep(for: Self.interval) }
        } catch is CancellationError {
          return nil
        } catch {
          if !Task.isCancelled, ends.withLock({ $0.failed() }) {
            log.warning("the container runtime does not tell what has ended", metadata: ["error": "\(error)"])
          }
          do { try await time.sleep(for: Self.interval) } catch { return nil }
        }
      }
      return nil
    })
  }

  // MARK: - Processes

  public func execSync(
    _ id: String, command: [String], timeout: Duration, outputLimit: Int
  ) async throws(RuntimeError) -> ProcessResult {
    let answer = try await ask("run a command in container \(id)") { client async throws(RPCError) in
      try await client.execSync(id, command, timeout: timeout)
    }
    return ProcessResult(
      status: .exited(answer.exitCode), stdout: Array(answer.stdout.prefix(outputLimit)),
      stderr: Array(answer.stderr.prefix(outputLimit)))
  }

  // MARK: - Parts

  private func folder(_ podUID: String) -> String { "\(configuration.stateDirectory)/pods/\(podUID)" }
  private func configPath(_ podUID: String) -> String { "\(folder(podUID))/sandbox.pb" }
  private func hostsPath(_ podUID: String) -> String { "\(folder(podUID))/hosts" }

  /// Whether what its containers are made with is there. `/etc/hosts` comes last.
  private func isWhole(
    _ podUID: String, _ metadata: RuntimeV1.PodSandboxMetadata
  ) async throws(RuntimeError) -> Bool {
    guard try await readConfig(podUID)?.metadata == metadata else { return false }
    let hosts = hostsPath(podUID)
    return try await system(podUID, "look for \(hosts)") { () throws(SystemError) in access(hosts, F_OK) == 0 }
  }

  /// The configuration that the pod's sandbox was made with; `nil` when there is none.
  private func readConfig(_ podUID: String) async throws(RuntimeError) -> RuntimeV1.PodSandboxConfig? {
    let path = configPath(podUID)
    return try await system(podUID, "read \(path)") { () throws(SystemError) in
      guard let bytes = try? DurableFile.read(path, limit: 4 << 20) else { return nil }
      return try? RuntimeV1.PodSandboxConfig(parsing: bytes)
    }
  }

  private static func bytes(of config: RuntimeV1.PodSandboxConfig) throws(RuntimeError) -> [UInt8] {
    do throws(ProtobufError) { return try config.serialized() } catch { throw RuntimeError(.invalid, error.message) }
  }

  func ask<Answer: Sendable>(
    _ what: String, _ call: (CRIClient) async throws(RPCError) -> Answer
  ) async throws(RuntimeError) -> Answer {
    do throws(RPCError) { return try await call(client) } catch {
      throw CRITranslation.error(error, during: what)
    }
  }

  /// As `ask`, where nothing is to be done any more for what is gone.
  private func change(
    _ what: String, _ call: (CRIClient) async throws(RPCError) -> Void
  ) async throws(RuntimeError) {
    do throws(RuntimeError) { try await ask(what, call) } catch  where error.code == .notFound {
      return
    }
  }

  private func system<Value: Sendable>(
    _ podUID: String?, _ what: String, _ body: @escaping @Sendable () throws(SystemError) -> Value
  ) async throws(RuntimeError) -> Value {
    let result: Result<Value, SystemError>
    do {
      result = try await lanes.run(podUID, what) {
        do throws(SystemError) { return Result<Value, SystemError>.success(try body()) } catch {
          return .failure(error)
        }
      }
    } catch {
      throw .timedOut("\(error)")
    }
    do throws(SystemError) { return try result.get() } catch { throw RuntimeError(.system, error.description) }
  }
}

/// Which ends of containers were told to one listener. Apart from IO.
struct CRIEnds: Sendable {
  /// In the order in which they are told.
  var waiting: ArraySlice<RuntimeEvent> = []
  private var told: Set<String> = []
  /// Those that the runtime tells nothing about.
  private var failing: Set<String> = []
  private var isFailing = false

  /// The runtime has listed its containers.
  ///
  /// - Returns: those whose end is to be looked at.
  mutating func begin(_ list: [RuntimeV1.Container]) -> [String] {
    isFailing = false
    let ended = list.filter { $0.state == .exited || $0.state == .unknown }.map(\.id)
    // What was removed is not heard of again.
    told.formIntersection(ended)
    failing.formIntersection(ended)
    return ended.filter { !told.contains($0) }
  }

  /// - Parameter state: `nil` of one that went meanwhile.
  mutating func found(_ id: String, _ state: ContainerState?) {
    guard let state, state.status == .exited, told.insert(id).inserted else { return }
    waiting.append(CRITranslation.event(state))
  }

  /// The runtime did not tell about one container.
  ///
  /// - Returns: whether it is the first time.
  mutating func failed(_ id: String) -> Bool { failing.insert(id).inserted }

  /// The runtime did not answer.
  ///
  /// - Returns: whether it is the first time since it did.
  mutating func failed() -> Bool {
    defer { isFailing = true }
    return !isFailing
  }
}
