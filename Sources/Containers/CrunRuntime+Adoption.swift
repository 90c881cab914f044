import Glibc
import Layers
import LinuxSystem
import Logging
import Synchronization
import Wire

extension CrunRuntime {
  /// Takes up what earlier servers left: finds every container by more than one witness, decides what became of each, and
  /// watches those that run. What lives and cannot be taken up is ended before anything is started.
  ///
  /// - Throws: when it cannot be seen what is here. Nothing may be started then.
  func adopt() async throws(RuntimeError) {
    let found = try await blocking(nil, "look for containers") { [self] () throws(RuntimeError) in try find() }
    state.withLock { state in
      for record in found.sandboxes where !SparePool.isSpare(record.podUID) { state.sandboxes[record.podUID] = record }
      for (record, seen) in found.containers {
        var known = record
        // Numbers that nothing bears out may be another process's, this one's even.
        (known.process, known.monitor) = (seen.process, seen.monitor)
        state.containers[record.id] = known
      }
    }
    for (record, seen) in found.containers {
      switch Adoption.decide(record.phase, seen) {
      case .discard:
        do throws(RuntimeError) { try await removeContainer(record.id) } catch {
          state.withLock { _ = $0.unended.insert(record.id) }
          log.error("remove a half-made container", metadata: ["container": "\(record.id)", "error": "\(error)"])
        }
      case .created: await takeUp(record, as: .created, seen)
      case .running: await takeUp(record, as: .running, seen)
      case .exited, .lost:
        if record.phase == .exited { await takeUp(record, as: .running, seen) }
        await ended(record.id)
      case .known:
        if seen.isPopulated { await endLeftovers(record) }
      }
    }
    for record in found.sandboxes where SparePool.isSpare(record.podUID) { await takeUp(spare: record) }
  }

  /// One that is not whole is taken apart.
  private func takeUp(spare record: SandboxRecord) async {
    if isReady(record) { return state.withLock { $0.spares.unchecked.append(record) } }
    do throws(RuntimeError) { try await remove(spare: record) } catch {
      state.withLock { $0.spares.unwanted.append(record) }
      log.warning("remove a spare sandbox", metadata: ["sandbox": "\(record.podUID)", "error": "\(error)"])
    }
  }

  private func takeUp(_ record: ContainerRecord, as phase: ContainerRecord.Phase, _ seen: Witnesses) async {
    var taken = record
    taken.phase = phase
    (taken.process, taken.monitor) = (seen.process, seen.monitor)
    taken.bootID = bootID
    (taken.finishedAt, taken.exitCode, taken.isLost, taken.oomKilled) = (nil, nil, false, false)
    if phase == .running, taken.startedAt == nil { taken.startedAt = startTime(of: record) }
    if seen.exitCode != nil, seen.process != nil {
      log.warning("an exit file of a container that lives is removed", metadata: ["container": "\(record.id)"])
      unlink(exitPath(record.id))
    }
    if taken != record {
      let changed = taken
      // Where its monitor is going to say how it ended.
      _ = try? await system(changed.podUID, "make the folder of exits") { [self] () throws(SystemError) in
        try Directory.create("\(containerFolder(changed.id))/exits", mode: 0o700)
      }
      do throws(RuntimeError) { try await change(record.id) { $0 = changed } } catch {
        log.warning("note a container that was found", metadata: ["container": "\(record.id)", "error": "\(error)"])
      }
    }
    guard seen.monitor != nil else { return }
    // A server that was killed while the container was made may not have come to it.
    await moveMonitor(of: taken)
    watch(taken)
  }

  /// The engine takes away the pipe in the container's folder when it starts the program.
  private func startTime(of record: ContainerRecord) -> Timestamp {
    RuntimeFiles.modified(engineFolder(record.id)) ?? record.createdAt
  }

  /// What a container that ended left running, as one in the host's pid namespace can.
  private func endLeftovers(_ record: ContainerRecord) async {
    do throws(RuntimeError) { try await endProcesses(record) } catch {
      log.error("end what a container left", metadata: ["container": "\(record.id)", "error": "\(error)"])
    }
  }

  // MARK: - Finding

  private struct Found {
    var containers: [(ContainerRecord, Witnesses)] = []
    var sandboxes: [SandboxRecord] = []
  }

  /// Blocks. Whatever has a folder, a state of the engine, a cgroup or a monitor is a container.
  /// - Throws: when it cannot be seen what is here.
  private func find() throws(RuntimeError) -> Found {
    let root = "/\(configuration.cgroupRoot)"
    var cgroupPaths: [String: String] = [:]
    for path in Cgroup(cgroups, path: root).descendants(levels: 3) {
      let parts = path.split(separator: "/").suffix(2).map(String.init)
      // Below its own cgroup a container may make others, of whatever name.
      if parts.count == 2, parts[0].hasPrefix("pod"), Self.isContainerID(parts[1]) { cgroupPaths[parts[1]] = path }
    }
    var monitors = monitorsByContainer(Cgroup(cgroups, path: monitorsCgroup).processes())
    var hasSeenAll = false
    var ids = Set(cgroupPaths.keys).union(monitors.keys)
    let names: [String]
    do throws(SystemError) { names = try snapshots.keys() + Directory.list("\(configuration.runDirectory)/oci") } catch
    {
      throw RuntimeError(.system, error.description)
    }
    ids.formUnion(names.filter { (try? Self.checkName($0, "container id")) != nil })
    var found = Found()
    for id in ids.sorted() {
      var seen = Witnesses()
      let record = readRecord(id, cgroupPath: cgroupPaths[id])
      seen.process = livingProcess(record)
      seen.isPopulated = !record.cgroupPath.isEmpty && !Cgroup(cgroups, path: record.cgroupPath).processes().isEmpty
      seen.monitor = livingMonitor(record) ?? monitors[id]
      if seen.monitor == nil, !hasSeenAll, seen.process != nil || record.phase == .creating {
        // Rare, and worth a look at every process of the machine.
        monitors = monitorsByContainer(Self.allProcesses())
        hasSeenAll = true
        seen.monitor = monitors[id]
      }
      seen.isWaiting = access("\(engineFolder(id))/exec.fifo", F_OK) == 0
      seen.exitCode = Self.exitCode(containerFolder(id), id)
      found.containers.append((record, seen))
    }
    found.sandboxes = readSandboxes(of: found.containers.map(\.0.podUID))
    return found
  }

  /// The record; without one that can be read, what the bundle or the engine's copy of it tells; without these, what the
  /// container's place in the cgroups does.
  private func readRecord(_ id: String, cgroupPath: String?) -> ContainerRecord {
    let folder = containerFolder(id)
    if let record = RuntimeFiles.readJSON("\(folder)/record.json").flatMap(ContainerRecord.init(json:)),
      record.id == id
    {
      return record
    }
    for config in ["\(folder)/config.json", "\(engineFolder(id))/config.json"] {
      guard let text = RuntimeFiles.readJSON(config)?.at("annotations", ContainerRecord.annotation)?.string,
        var record = (try? JSON.parse(Array(text.utf8))).flatMap(ContainerRecord.init(json:)), record.id == id
      else { continue }
      log.warning("a container's record is made anew from its bundle", metadata: ["container": "\(id)"])
      // The folder of the exit files is made right before its monitor is started.
      record.phase = access("\(folder)/exits", F_OK) == 0 ? .running : .creating
      if record.phase == .running { record.startedAt = startTime(of: record) }
      return record
    }
    log.warning("a container without a record is ended", metadata: ["container": "\(id)"])
    let pod = cgroupPath?.split(separator: "/").dropLast().last.map(String.init) ?? ""
    return .unknown(
      id, podUID: pod.hasPrefix("pod") ? String(pod.dropFirst(3)) : "", cgroupPath: cgroupPath ?? "", at: time.now())
  }

  /// A sandbox without a record that can be read has to be taken apart, since the network may know of it.
  private func readSandboxes(of podUIDs: [String]) -> [SandboxRecord] {
    let folder = "\(configuration.stateDirectory)/sandboxes"
    func read(_ uids: some Sequence<String>) -> [SandboxRecord] {
      Set(uids).filter { (try? Self.checkName($0, "pod uid")) != nil }.sorted().map { uid in
        if let record = RuntimeFiles.readJSON("\(folder)/\(uid)/record.json").flatMap(SandboxRecord.init(json:)),
          record.podUID == uid
        {
          return record
        }
        log.warning("a sandbox's record cannot be read: it is made anew", metadata: ["pod": "\(uid)"])
        let network = (try? Directory.list("\(folder)/\(uid)"))?.first { $0.hasPrefix(SandboxRecord.networkFilePrefix) }
        return .torn(
          uid, networkID: network.map { String($0.dropFirst(SandboxRecord.networkFilePrefix.count)) }, at: time.now())
      }
    }
    let known = read(((try? Directory.list(folder)) ?? []) + podUIDs)
    let networks = Set(known.map(\.networkID))
    return known
      + read(((try? Directory.list("\(configuration.runDirectory)/ns")) ?? []).filter { !networks.contains($0) })
  }

  // MARK: - Witnesses

  static func isContainerID(_ name: String) -> Bool {
    name.utf8.count == 64 && name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  var monitorsCgroup: String { "/\(configuration.cgroupRoot)/conmon" }
  func engineFolder(_ id: String) -> String { "\(configuration.runDirectory)/oci/\(id)" }
  func exitPath(_ id: String) -> String { "\(containerFolder(id))/exits/\(id)" }

  /// The container's first process as the record, the pid file or the engine's state name it, if it lives and is in the
  /// container's cgroup: the number may be another's by now. Blocks.
  func livingProcess(_ record: ContainerRecord) -> RecordedProcess? {
    func living(_ pid: Int32?) -> RecordedProcess? {
      guard let pid, pid > 1, let start = ProcessWatch.startTime(of: pid),
        RuntimeFiles.readText("/proc/\(pid)/cgroup")?.contains("/\(record.id)") == true
      else { return nil }
      return RecordedProcess(pid: pid, startTime: start)
    }
    func engine(_ file: String, _ field: String) -> Int32? {
      RuntimeFiles.readJSON("\(engineFolder(record.id))/\(file)")?[field]?.int.map { Int32(clamping: $0) }
    }
    return living(record.process?.pid) ?? living(pidFile("container.pid", record.id)) ?? living(engine("status", "pid"))
      ?? living(engine("state.json", "init_process_pid")) ?? firstProcess(record)
  }

  /// Of the processes in the container's cgroup the one that is the first of a pid namespace. In the host's there is none.
  private func firstProcess(_ record: ContainerRecord) -> RecordedProcess? {
    guard !record.cgroupPath.isEmpty else { return nil }
    let processes = Cgroup(cgroups, path: record.cgroupPath).processes().filter { Self.isFirstOfNamespace($0) }
      .compactMap { pid in ProcessWatch.startTime(of: pid).map { RecordedProcess(pid: pid, startTime: $0) } }
    // A container may make pid namespaces of its own, but only after it has begun.
    return processes.min { ($0.startTime, $0.pid) < ($1.startTime, $1.pid) }
  }

  /// `NSpid:\t4711\t1` in `/proc/PID/status`: the process's numbers, the innermost namespace's last.
  private static func isFirstOfNamespace(_ pid: Int32) -> Bool {
    let status = RuntimeFiles.readText("/proc/\(pid)/status") ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("NSpid:") }
    let numbers = line?.dropFirst(6).split(whereSeparator: { $0 == "\t" || $0 == " " }) ?? []
    return numbers.count > 1 && numbers.last == "1"
  }

  /// The container's monitor as the record or its pid file names it, if it lives. Blocks.
  func livingMonitor(_ record: ContainerRecord) -> RecordedProcess? {
    func living(_ pid: Int32?) -> RecordedProcess? {
      guard let pid, pid > 1, monitoredContainer(pid) == record.id, let start = ProcessWatch.startTime(of: pid) else {
        return nil
      }
      return RecordedProcess(pid: pid, startTime: start)
    }
    return living(record.monitor?.pid) ?? living(pidFile("conmon.pid", record.id))
  }

  /// The container's monitor among all processes of the machine. Blocks.
  func searchMonitor(_ id: String) -> RecordedProcess? { monitorsByContainer(Self.allProcesses())[id] }

  private static func allProcesses() -> [Int32] { ((try? Directory.list("/proc")) ?? []).compactMap { Int32($0) } }

  private func pidFile(_ name: String, _ id: String) -> Int32? {
    RuntimeFiles.readText("\(containerFolder(id))/\(name)").flatMap { Int32($0) }
  }

  /// The monitors of this runtime among some processes, by their containers. Blocks.
  private func monitorsByContainer(_ processes: some Sequence<Int32>) -> [String: RecordedProcess] {
    var monitors: [String: RecordedProcess] = [:]
    for pid in processes where pid > 1 {
      guard let id = monitoredContainer(pid), let start = ProcessWatch.startTime(of: pid) else { continue }
      monitors[id] = RecordedProcess(pid: pid, startTime: start)
    }
    return monitors
  }

  /// The container that a process watches for this runtime and no other: its bundle is in our folder.
  private func monitoredContainer(_ pid: Int32) -> String? {
    guard let bytes = try? DurableFile.read("/proc/\(pid)/cmdline", limit: 64 << 10) else { return nil }
    let words = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    guard let option = words.firstIndex(of: "--cid"), option + 1 < words.count,
      let bundle = words.firstIndex(of: "--bundle"), bundle + 1 < words.count
    else { return nil }
    let id = words[option + 1]
    return words[bundle + 1] == containerFolder(id) ? id : nil
  }
}
