import Glibc
import Layers
import LinuxSystem
import Logging
import Synchronization
import Wire

extension CrunRuntime {
  public func createContainer(_ spec: ContainerSpec) async throws(RuntimeError) -> ContainerHandle {
    let sandbox = try sandboxRecord(spec.podUID)
    guard sandbox.isComplete, sandbox.bootID == bootID else {
      throw RuntimeError(.wrongState, "the sandbox of pod \(spec.podUID) is not ready")
    }
    guard !spec.lowerDirectories.isEmpty else { throw RuntimeError(.invalid, "the image has no layers") }
    guard !spec.arguments.isEmpty else {
      throw RuntimeError(.invalid, "neither the pod nor the image \(spec.image) says which command to run")
    }
    try await refuseSecond(spec)
    beginStart()
    defer { endStart() }
    prepareMoves()
    let id = Self.makeID()
    var record = ContainerRecord(
      id: id, podUID: spec.podUID, podName: spec.podName, podNamespace: spec.podNamespace, name: spec.name,
      attempt: spec.attempt, image: spec.image, imageID: spec.imageID, phase: .creating, bootID: bootID,
      createdAt: time.now(), logPath: spec.logPath, hasTerminationFile: spec.terminationMessagePath != nil,
      tty: spec.tty, stdin: spec.stdin, leavesStdinOpen: spec.stdin && !spec.stdinOnce,
      cgroupPath: "\(sandbox.cgroupPath)/\(id)", labels: spec.labels)
    state.withLock { [record] in $0.containers[id] = record }
    do throws(RuntimeError) {
      let bundle = try await blocking(spec.podUID, "prepare container \(spec.name)") {
        [self, record] () throws(RuntimeError) in
        try prepareBundle(spec, record, sandbox)
      }
      record.user = bundle.user
      let created = try await startMonitor(record, spec)
      if let profile = bundle.uncompiled {
        // Without it the next one is compiled anew.
        _ = try? await system(spec.podUID, "read the filter of container \(spec.name)") {
          [self] () throws(SystemError) in keepFilter(of: id, profile)
        }
      }
      if spec.mounts.contains(where: { $0.held != nil }) {
        try await system(spec.podUID, "take back the mounts of container \(spec.name)") {
          [handover] () throws(SystemError) in try handover.end(id)
        }
      }
      try await change(id) { $0 = created }
      watch(created)
      return ContainerHandle(
        id: id, podUID: spec.podUID, name: spec.name, attempt: spec.attempt,
        terminationMessageFile: created.state(folder: containerFolder(id)).terminationMessageFile,
        user: created.user)
    } catch {
      do throws(RuntimeError) { try await removeContainer(id) } catch let cleanup {
        state.withLock { _ = $0.unended.insert(id) }
        log.warning("remove a container that failed", metadata: ["container": "\(id)", "error": "\(cleanup)"])
      }
      throw error
    }
  }

  /// Two runs of one container are never alive together, whatever the caller takes for true.
  private func refuseSecond(_ spec: ContainerSpec) async throws(RuntimeError) {
    let (unended, living) = state.withLock { state in
      let ofPod = state.containers.values.filter { $0.podUID == spec.podUID }
      return (
        ofPod.map(\.id).filter(state.unended.contains), ofPod.first { $0.name == spec.name && $0.phase == .running }
      )
    }
    for id in unended { try await removeContainer(id) }
    if let living {
      throw RuntimeError(.wrongState, "container \(spec.name) of pod \(spec.podUID) still runs as \(living.id)")
    }
  }

  public func startContainer(_ id: String) async throws(RuntimeError) {
    let record = try record(id)
    guard record.phase == .created else {
      throw RuntimeError(.wrongState, "container \(id) is \(record.phase.rawValue), not created")
    }
    beginStart()
    defer { endStart() }
    // Noted before, not after: a server that dies in between must not take a running container for a created one.
    let startedAt = time.now()
    try await change(id) { $0.startedAt = startedAt }
    try await engine(["start", id])
    try await change(id) { if $0.phase == .created { $0.phase = .running } }
  }

  public func signal(_ id: String, _ signal: Int32) async throws(RuntimeError) {
    let record = try record(id)
    guard record.phase != .exited, let process = record.process,
      let descriptor = ProcessWatch.open(pid: process.pid, startTime: process.startTime)
    else { return }
    do throws(SystemError) { try ProcessWatch.signal(descriptor, signal) } catch {
      if error.errno != ESRCH { throw RuntimeError(.system, "signal container \(id): \(error)") }
    }
  }

  public func removeContainer(_ id: String) async throws(RuntimeError) {
    try Self.checkName(id, "container id")
    guard let record = state.withLock({ $0.containers[id] }) else { return }
    try await kill(record)
    await removeFromEngine(id)
    try await system(record.podUID, "remove container \(record.name)") { [self] () throws(SystemError) in
      if access(engineFolder(id), F_OK) == 0 { try Directory.removeTree(engineFolder(id)) }
      if !record.cgroupPath.isEmpty { try Cgroup(cgroups, path: record.cgroupPath).remove() }
      try handover.end(id)
      try snapshots.remove(id)
    }
    let monitor = state.withLock { state in
      state.unended.remove(id)
      state.containers.removeValue(forKey: id)
      return state.monitors.removeValue(forKey: id)
    }
    monitor?.close()
  }

  /// Nothing of the container lives any more: what the engine cannot read of its own state is removed without it.
  private func removeFromEngine(_ id: String) async {
    guard access(engineFolder(id), F_OK) == 0 else { return }
    do throws(RuntimeError) { try await engine(["delete", "--force", id]) } catch {
      log.warning("the engine's state is removed without it", metadata: ["container": "\(id)", "error": "\(error)"])
    }
  }

  public func reopenLog(_ id: String) async throws(RuntimeError) {
    try await control(try record(id), "2 0 0\n")
  }

  public func updateResources(_ id: String, _ resources: ContainerResources) async throws(RuntimeError) {
    let record = try record(id)
    guard record.phase != .exited else { throw RuntimeError(.wrongState, "container \(id) has ended") }
    let swap = limitsSwap(record.cgroupPath)
    try await engine(
      ["update", "--resources", "-", id], stdin: OCISpec.limits(resources, limitsSwap: swap).serialized())
  }

  // MARK: - Parts

  /// 64 hexadecimal digits, as every engine's containers have.
  static func makeID() -> String {
    var generator = SystemRandomNumberGenerator()
    return (0..<4).map { _ in
      let text = String(generator.next(), radix: 16)
      return String(repeating: "0", count: 16 - text.count) + text
    }.joined()
  }

  /// Changes a record in memory and on disk.
  func change(_ id: String, _ body: @escaping @Sendable (inout ContainerRecord) -> Void) async throws(RuntimeError) {
    let changed = state.withLock { state -> ContainerRecord? in
      guard var record = state.containers[id] else { return nil }
      body(&record)
      state.containers[id] = record
      return record
    }
    guard let changed else { throw .notFound("container \(id) does not exist on this node") }
    try await system(changed.podUID, "write the record of container \(changed.name)") {
      [self] () throws(SystemError) in try persist(container: id)
    }
  }

  /// Writes a line to the monitor's control pipe.
  func control(_ record: ContainerRecord, _ line: String) async throws(RuntimeError) {
    let path = "\(containerFolder(record.id))/ctl"
    try await system(record.podUID, "open \(path)") { () throws(SystemError) in
      // Without a reader (the monitor has ended) this fails instead of waiting.
      let fd = Glibc.open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
      guard fd >= 0 else { throw .last("open \(path)") }
      defer { close(fd) }
      guard write(fd, line, line.utf8.count) >= 0 else { throw .last("write \(path)") }
    }
  }

  /// Blocks. Everything up to the start of the monitor.
  ///
  /// - Returns: whom the container's first process will run as, and the seccomp profile that the engine has to compile.
  private func prepareBundle(
    _ spec: ContainerSpec, _ record: ContainerRecord, _ sandbox: SandboxRecord
  ) throws(RuntimeError) -> (user: ResolvedUser, uncompiled: [UInt8]?) {
    let folder = containerFolder(record.id)
    let root: String
    do throws(SystemError) {
      try Directory.create(folder, mode: 0o700)
      try persist(container: record.id)
      root = try snapshots.prepare(record.id, on: spec.lowerDirectories)
      if spec.terminationMessagePath != nil {
        try RuntimeFiles.write([], to: "\(folder)/termination-log", mode: 0o666)
      }
      if let slash = spec.logPath.lastIndex(of: "/") {
        try Directory.create(String(spec.logPath[..<slash]), mode: 0o700)
      }
      // A working directory that cannot be made here, such as one in a volume, is left to the engine.
      try? ResolvedFile(root).createFolders(spec.workingDirectory, scope: .inRoot, mode: 0o755)
    } catch {
      throw RuntimeError(.system, error.description)
    }
    let user = try UserLookup(root: root).resolve(
      imageUser: spec.imageUser, runAsUser: spec.runAsUser, runAsGroup: spec.runAsGroup,
      supplementalGroups: spec.supplementalGroups, mergesGroups: spec.mergesGroups)
    let files = ["hosts", "hostname", "resolv.conf"].map {
      (destination: "/etc/\($0)", source: "\(sandboxFolder(spec.podUID))/\($0)")
    }
    var namespaces: [Namespaces.Kind: String] = [:]
    for kind in Self.namespaces(hostNetwork: sandbox.hostNetwork, hostIPC: sandbox.hostIPC) {
      namespaces[kind] = "\(namespaceFolder(sandbox.networkID))/\(kind.rawValue)"
    }
    var spec = spec
    for (index, mount) in spec.mounts.enumerated() {
      if let held = mount.held {
        do throws(SystemError) {
          let path = try handover.show(held, recursive: mount.isRecursive, to: record.id, number: index)
          spec.mounts[index].source = .bind(path)
        } catch {
          throw RuntimeError(.system, "mount \(mount.destination): \(error)")
        }
      } else if case .bind(let source) = mount.source, access(source, F_OK) != 0 {
        throw RuntimeError(.invalid, "mount \(mount.destination): \(source) does not exist on the node")
      }
    }
    let capabilities: [String]
    do throws(SystemError) {
      capabilities = try Capabilities.resolve(
        add: spec.addCapabilities, drop: spec.dropCapabilities, privileged: spec.privileged,
        available: availableCapabilities)
    } catch {
      throw RuntimeError(.invalid, error.description)
    }
    let around = OCISpec.Surroundings(
      rootPath: root, user: user, capabilities: capabilities,
      cgroupPath: record.cgroupPath, cgroupMode: cgroups.mode, limitsSwap: limitsSwap(sandbox.cgroupPath),
      hostname: sandbox.hostname, namespaces: namespaces, hostPID: sandbox.hostPID, files: files,
      sharedMemory: sandbox.hostIPC ? "/dev/shm" : sharedMemoryFolder(spec.podUID),
      terminationFile: spec.terminationMessagePath == nil ? nil : "\(folder)/termination-log",
      localSeccomp: try Self.localSeccomp(spec.seccomp), openFilesMax: openFilesMax,
      hostDevices: spec.privileged ? HostDevices.all() : [])
    let devices = try spec.devices.map { device throws(RuntimeError) in try HostDevices.find(device) }
    var config = OCISpec.build(spec, around, devices: devices)
    var annotations = config["annotations"] ?? .object([:])
    var noted = record
    noted.user = user
    annotations[ContainerRecord.annotation] = .string(String(decoding: noted.json.serialized(), as: UTF8.self))
    var uncompiled: [UInt8]?
    if !oci.isRunc, spec.seccomp == .runtimeDefault, let profile = config["linux"]?["seccomp"]?.serialized() {
      let filter = state.withLock { $0.filters.filter(of: profile) }
      if let filter { annotations[SeccompFilters.annotation] = .string(filter) } else { uncompiled = profile }
    }
    config["annotations"] = annotations
    do throws(SystemError) {
      try RuntimeFiles.write(config.serialized(), to: "\(folder)/config.json")
    } catch {
      throw RuntimeError(.system, error.description)
    }
    return (user, uncompiled)
  }

  /// Blocks. The engine's folder is root's alone, as the filter's effect is.
  private func keepFilter(of id: String, _ profile: [UInt8]) {
    guard let filter = try? DurableFile.read("\(engineFolder(id))/seccomp.bpf", limit: SeccompFilters.sizeMax) else {
      return
    }
    state.withLock { $0.filters.keep(filter, of: profile) }
  }

  private func limitsSwap(_ cgroupPath: String) -> Bool {
    if cgroups.mode == .v2 { return access("\(cgroups.unified ?? "")\(cgroupPath)/memory.swap.max", F_OK) == 0 }
    return access("\(cgroups.controllers["memory"] ?? "")\(cgroupPath)/memory.memsw.limit_in_bytes", F_OK) == 0
  }

  private static func localSeccomp(_ choice: SeccompChoice) throws(RuntimeError) -> JSON? {
    guard case .localhost(let folder, let name) = choice else { return nil }
    guard
      let bytes = try? ResolvedFile(name, in: ResolvedFile(folder), scope: .beneath).contents(limit: 4 << 20),
      let profile = try? JSON.parse(bytes), profile["defaultAction"]?.string != nil
    else { throw RuntimeError(.invalid, "seccomp profile \(folder)/\(name) is missing or is no profile") }
    return profile
  }

  /// Starts conmon, which starts the engine's `create`, and waits until the container's first process is there.
  private func startMonitor(
    _ record: ContainerRecord, _ spec: ContainerSpec
  ) async throws(RuntimeError) -> ContainerRecord {
    let folder = containerFolder(record.id)
    var arguments = [
      "--cid", record.id, "--cuuid", record.id, "--name", record.name, "--bundle", folder,
      "--runtime", try oci.path(),
      "--container-pidfile", "\(folder)/container.pid", "--conmon-pidfile", "\(folder)/conmon.pid",
      "--exit-dir", "\(folder)/exits", "--persist-dir", folder, "--full-attach", "--no-sync-log", "--log-level",
      "error",
      "--log-path", "k8s-file:\(record.logPath)",
    ]
    for argument in oci.options { arguments += ["--runtime-arg", argument] }
    if record.tty { arguments.append("--terminal") }
    if record.stdin {
      arguments.append("--stdin")
      if record.leavesStdinOpen { arguments.append("--leave-stdin-open") }
    }
    let deadline = ContinuousClock.now + configuration.engineTimeout
    do throws(SystemError) {
      let status = try Pipe()
      let reader = try AsyncDescriptor(owning: status.readEnd)
      defer { reader.close() }
      let errors: Pipe
      do throws(SystemError) {
        try Directory.create("\(folder)/exits")
        errors = try Pipe()
      } catch {
        close(status.writeEnd)
        throw error
      }
      let errorReader = try AsyncDescriptor(owning: errors.readEnd)
      defer { errorReader.close() }
      var environment = Subprocess.defaultEnvironment
      environment["_OCI_SYNCPIPE"] = "3"
      let starter: ProcessHandle
      do throws(SystemError) {
        starter = try Subprocess.spawn(
          configuration.conmonPath, arguments, environment: environment, directory: folder,
          descriptors: [
            .init(from: errors.writeEnd, to: 2), .init(from: status.writeEnd, to: 3),
          ], newSession: true)
      } catch {
        for fd in [status.writeEnd, errors.writeEnd] { close(fd) }
        throw error
      }
      for fd in [status.writeEnd, errors.writeEnd] { close(fd) }

      guard let ended = await starter.wait(deadline: deadline) else {
        starter.signal(SIGKILL)
        _ = await starter.wait(deadline: .now + .seconds(1))
        throw SystemError("start conmon", errno: ETIMEDOUT)
      }
      guard ended.isSuccess else {
        let text = try await errorReader.read(limit: 4096, deadline: .now + .seconds(1))
        throw SystemError("start conmon", detail: "\(ended): \(String(decoding: text, as: UTF8.self))")
      }
      // Beside the engine, which moves the container meanwhile and waits for the same lock.
      async let isMoved: Void = moveMonitor(of: record)
      var answer: [UInt8] = []
      while answer.last != 0x0a, answer.count < 64 << 10 {
        let part = try await reader.read(deadline: deadline)
        if part.isEmpty { break }
        answer += part
      }
      guard let json = try? JSON.parse(answer), let number = json["pid"]?.int else {
        throw SystemError("read conmon's answer", detail: String(decoding: answer.prefix(200), as: UTF8.self))
      }
      await isMoved
      guard number > 0 else { return try await engineRefusal(record, json["message"]?.string ?? "") }
      var created = record
      created.phase = .created
      let pid = Int32(clamping: number)
      let process = ProcessWatch.startTime(of: pid).map { RecordedProcess(pid: pid, startTime: $0) }
      created.process = process
      if let monitor = RuntimeFiles.readText("\(folder)/conmon.pid").flatMap({ Int32($0) }) {
        created.monitor = ProcessWatch.startTime(of: monitor).map { RecordedProcess(pid: monitor, startTime: $0) }
      }
      return created
    } catch {
      if error.operation == Self.refused { throw RuntimeError(.engine, error.detail) }
      throw RuntimeError(
        error.errno == ETIMEDOUT ? .timedOut : .engine, "create container \(record.name): \(error.description)")
    }
  }

  /// Moves a container's monitor out of the server's cgroup into the monitors' own: a service manager counts it there.
  func moveMonitor(of record: ContainerRecord) async {
    let monitors = Cgroup(cgroups, path: monitorsCgroup)
    do throws(RuntimeError) {
      try await system(nil, "move the monitor of container \(record.name)") { [self] () throws(SystemError) in
        guard let monitor = livingMonitor(record), !Cgroup.isMember(monitor.pid, of: monitors.path) else { return }
        try monitors.adopt(monitor.pid)
      }
    } catch {
      log.warning(
        "a monitor stays in the server's cgroup", metadata: ["container": "\(record.id)", "error": "\(error)"])
    }
  }

  private static let refused = "engine"

  /// The engine's own words are better than conmon's summary of them.
  private func engineRefusal(_ record: ContainerRecord, _ message: String) async throws(SystemError) -> ContainerRecord
  {
    var text = message
    if let log = try? DurableFile.read("\(containerFolder(record.id))/oci-log", limit: 1 << 20),
      let said = OCIEngine.lastMessage(log)
    {
      text = said
    }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    throw SystemError(Self.refused, detail: text.isEmpty ? "the container engine gave no reason" : text)
  }
}
