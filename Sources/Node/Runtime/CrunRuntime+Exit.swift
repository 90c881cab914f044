import Glibc
import LinuxSystem
import Logging
import Synchronization
import Wire

extension CrunRuntime {
  /// Takes up what earlier servers left: reads the records, decides what became of each container, and watches those
  /// that run.
  func adopt() async {
    let (containers, sandboxes) =
      (try? await Self.blocking { [self] () throws(RuntimeError) in readRecords() }) ?? ([], [])
    state.withLock { state in
      for record in sandboxes { state.sandboxes[record.podUID] = record }
      for record in containers { state.containers[record.id] = record }
    }
    for record in containers {
      let exitCode = Self.exitCode(containerFolder(record.id), record.id)
      let alive = record.monitor.map { ProcessWatch.startTime(of: $0.pid) == $0.startTime } ?? false
      switch Adoption.decide(record, bootID: bootID, monitorIsAlive: alive, exitCode: exitCode) {
      case .known: break
      case .discard:
        do throws(RuntimeError) { try await removeContainer(record.id) } catch {
          log.error("remove a half-made container", metadata: ["container": "\(record.id)", "error": "\(error)"])
        }
      case .created:
        // The server may have died between the engine's start and the note of it: the pipe that start opens is gone then.
        let waiting = access("\(configuration.runDirectory)/oci/\(record.id)/exec.fifo", F_OK) == 0
        if !waiting { try? await change(record.id) { $0.phase = .running } }
        watch(record)
      case .running: watch(record)
      case .exited, .lost: await ended(record.id)
      }
    }
  }

  /// Blocks. A folder whose record cannot be read is a container of which only the folder was made: it is removed. A
  /// sandbox's has to be taken apart, since the network may know of it.
  private func readRecords() -> ([ContainerRecord], [SandboxRecord]) {
    var containers: [ContainerRecord] = []
    let folder = "\(configuration.stateDirectory)/containers"
    for id in (try? Directory.list(folder)) ?? [] {
      if let record = RuntimeFiles.readJSON("\(folder)/\(id)/record.json").flatMap(ContainerRecord.init(json:)),
        record.id == id
      {
        containers.append(record)
      } else {
        log.warning("remove a container folder without a record", metadata: ["folder": "\(folder)/\(id)"])
        try? Mount.unmountTree("\(folder)/\(id)")
        try? Directory.removeTree("\(folder)/\(id)")
      }
    }
    var sandboxes: [SandboxRecord] = []
    let pods = "\(configuration.stateDirectory)/sandboxes"
    for uid in (try? Directory.list(pods)) ?? [] {
      if let record = RuntimeFiles.readJSON("\(pods)/\(uid)/record.json").flatMap(SandboxRecord.init(json:)),
        record.podUID == uid
      {
        sandboxes.append(record)
      } else if (try? Self.checkName(uid, "pod uid")) != nil {
        log.warning("a sandbox's record cannot be read: it is made anew", metadata: ["pod": "\(uid)"])
        sandboxes.append(.torn(uid, at: time.now()))
      }
    }
    return (containers, sandboxes)
  }

  /// Calls `ended` when the container's monitor ends, which it does after it has noted the exit code.
  func watch(_ record: ContainerRecord) {
    guard let monitor = record.monitor,
      let descriptor = ProcessWatch.open(pid: monitor.pid, startTime: monitor.startTime)
    else {
      Task { await ended(record.id) }
      return
    }
    state.withLock { $0.monitors[record.id] = descriptor }
    Task { [weak self] in
      do throws(SystemError) { try await descriptor.ready(.readable) } catch { return }
      await self?.ended(record.id)
    }
  }

  /// Notes how a container ended, and tells it once.
  private func ended(_ id: String) async {
    guard let before = state.withLock({ $0.containers[id] }), before.phase != .exited else { return }
    let folder = containerFolder(id)
    let noted = try? await Self.blocking { [cgroups, time] () throws(RuntimeError) in
      var record = before
      let code = Self.exitCode(folder, id)
      record.phase = .exited
      record.isLost = code == nil
      record.exitCode = code ?? 137
      record.finishedAt = RuntimeFiles.modified("\(folder)/exits/\(id)") ?? time.now()
      // The kernel kills single processes for memory; the container was only ended by it when its first one was hit.
      let killed = (try? Cgroup(cgroups, path: record.cgroupPath).oomKills()) ?? 0
      record.oomKilled = record.exitCode == 137 && (killed > 0 || access("\(folder)/oom", F_OK) == 0)
      return record
    }
    guard let noted else { return }
    if noted.isLost, let process = noted.process,
      let descriptor = ProcessWatch.open(pid: process.pid, startTime: process.startTime)
    {
      // Its monitor was killed: nobody reads its output any more, and nobody would learn its end.
      try? ProcessWatch.signal(descriptor, SIGKILL)
      try? await descriptor.ready(.readable, .now + .seconds(5))
    }
    let isFirst = state.withLock { state -> Bool in
      guard let current = state.containers[id], current.phase != .exited else { return false }
      var record = noted
      record.startedAt = current.startedAt
      state.containers[id] = record
      state.monitors.removeValue(forKey: id)?.close()
      return true
    }
    guard isFirst else { return }
    do throws(RuntimeError) { try await change(id) { _ in } } catch {
      log.warning("note a container's end", metadata: ["container": "\(id)", "error": "\(error)"])
    }
    let code = noted.exitCode ?? 137
    eventSink.yield(
      RuntimeEvent(
        containerID: id, podUID: noted.podUID, name: noted.name, attempt: noted.attempt, exitCode: code,
        signal: code > 128 && code < 193 ? code - 128 : nil, finishedAt: noted.finishedAt ?? time.now(),
        oomKilled: noted.oomKilled, isLost: noted.isLost))
  }

  /// Ends the container's first process at once and waits until its monitor has ended as well.
  func kill(_ record: ContainerRecord) async throws(RuntimeError) {
    if record.phase == .exited || record.bootID != bootID { return }
    let folder = containerFolder(record.id)
    // A half-made container has no numbers in its record yet, but its monitor may have written them.
    let numbers = [
      record.process ?? Self.recordedProcess("\(folder)/container.pid", of: record.id),
      record.monitor ?? Self.recordedProcess("\(folder)/conmon.pid", of: record.id),
    ]
    for (index, process) in numbers.enumerated() {
      guard let process, let descriptor = ProcessWatch.open(pid: process.pid, startTime: process.startTime) else {
        continue
      }
      if index == 0 { try? ProcessWatch.signal(descriptor, SIGKILL) }
      // The monitor of a half-made container waits for an engine that may never answer: both are of one group.
      if index == 1, record.process == nil { Glibc.kill(-process.pid, SIGKILL) }
      do throws(SystemError) {
        try await descriptor.ready(.readable, .now + .seconds(10))
      } catch {
        throw .timedOut(
          "container \(record.id): \(index == 0 ? "process" : "monitor") \(process.pid) does not end after SIGKILL")
      }
    }
  }

  /// The process of a pid file, when it is one of this container: the number may be another's by now.
  private static func recordedProcess(_ path: String, of id: String) -> RecordedProcess? {
    guard let pid = RuntimeFiles.readText(path).flatMap({ Int32($0) }), pid > 1,
      let start = ProcessWatch.startTime(of: pid)
    else { return nil }
    let command = RuntimeFiles.readText("/proc/\(pid)/cmdline") ?? ""
    let cgroup = RuntimeFiles.readText("/proc/\(pid)/cgroup") ?? ""
    guard command.contains(id) || cgroup.contains(id) else { return nil }
    return RecordedProcess(pid: pid, startTime: start)
  }

  static func exitCode(_ folder: String, _ id: String) -> Int32? {
    RuntimeFiles.readText("\(folder)/exits/\(id)").flatMap { Int32($0) }
  }

  public func stats(podUID: String) async throws(RuntimeError) -> PodUsage {
    let sandbox = try sandboxRecord(podUID)
    let running = state.withLock { state in
      state.containers.values.filter { $0.podUID == podUID && $0.phase == .running }
    }
    return try await Self.system { [cgroups] () throws(SystemError) in
      var containers: [String: ResourceUsage] = [:]
      for record in running {
        // One that ends meanwhile is left out.
        if let usage = try? Cgroup(cgroups, path: record.cgroupPath).usage() {
          containers[record.id] = Self.usage(usage)
        }
      }
      // The CPU time of the pod's own cgroup is not counted on every layout: version 1 makes it where limits are only.
      if let usage = try? Cgroup(cgroups, path: sandbox.cgroupPath).usage() {
        return PodUsage(pod: Self.usage(usage), containers: containers)
      }
      let sum = containers.values.reduce(
        into: ResourceUsage(cpuNanoseconds: 0, memoryBytes: 0, workingSetBytes: 0, processes: 0)
      ) { sum, usage in
        sum.cpuNanoseconds += usage.cpuNanoseconds
        sum.memoryBytes += usage.memoryBytes
        sum.workingSetBytes += usage.workingSetBytes
        sum.processes += usage.processes
      }
      return PodUsage(pod: sum, containers: containers)
    }
  }

  private static func usage(_ usage: CgroupUsage) -> ResourceUsage {
    ResourceUsage(
      cpuNanoseconds: usage.cpuNanoseconds, memoryBytes: usage.memoryBytes,
      workingSetBytes: usage.memoryBytes - min(usage.memoryBytes, usage.inactiveFileBytes), processes: usage.processes)
  }
}
