import Glibc
import LinuxSystem
import Logging
import Synchronization
import Wire

extension CrunRuntime {
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

  /// Notes how a container ended, and tells it once. Whatever of it lives is ended first: what is noted as ended may be
  /// started again, and never beside itself.
  func ended(_ id: String) async {
    guard let before = state.withLock({ $0.containers[id] }), before.phase != .exited else { return }
    let folder = containerFolder(id)
    // A monitor notes the end after it: what an exit file says of a process that lives was not written by one.
    let lives =
      (try? await blocking(before.podUID, "look for container \(before.name)") { [self] () throws(RuntimeError) in
        livingProcess(before) != nil
      }) ?? false
    if lives { unlink(exitPath(id)) }
    let noted: ContainerRecord
    do throws(RuntimeError) {
      try await endProcesses(before)
      noted = try await blocking(before.podUID, "see how container \(before.name) ended") {
        [self] () throws(RuntimeError) in
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
    } catch {
      log.error(
        "a container without a monitor is not ended yet", metadata: ["container": "\(id)", "error": "\(error)"])
      Task { [weak self, time] in
        do { try await time.sleep(for: .seconds(5)) } catch { return }
        await self?.ended(id)
      }
      return
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
    ends.tell(event(noted))
  }

  /// The end of a container that has ended.
  func event(_ record: ContainerRecord) -> RuntimeEvent {
    let code = record.exitCode ?? 137
    return RuntimeEvent(
      containerID: record.id, podUID: record.podUID, name: record.name, attempt: record.attempt, exitCode: code,
      signal: code > 128 && code < 193 ? code - 128 : nil, finishedAt: record.finishedAt ?? time.now(),
      oomKilled: record.oomKilled, isLost: record.isLost)
  }

  /// Ends whatever lives of the container at once and waits until its monitor has ended as well.
  func kill(_ record: ContainerRecord) async throws(RuntimeError) {
    let monitor = try await blocking(record.podUID, "look for the monitor of container \(record.name)") {
      [self] () throws(RuntimeError) in
      // One of a half-made container may not have come to write its number.
      livingMonitor(record) ?? (record.phase == .creating ? searchMonitor(record.id) : nil)
    }
    // The monitor of a half-made container waits for an engine that may never answer, and that could still make it: both
    // are of one group.
    if let monitor, record.phase == .creating { Glibc.kill(-monitor.pid, SIGKILL) }
    try await endProcesses(record)
    guard let monitor, let descriptor = ProcessWatch.open(pid: monitor.pid, startTime: monitor.startTime) else {
      return
    }
    // One that was stopped, or hangs, has nothing left to watch.
    if (try? await descriptor.ready(.readable, .now + .seconds(5))) != nil { return }
    try? ProcessWatch.signal(descriptor, SIGKILL)
    do throws(SystemError) { try await descriptor.ready(.readable, .now + .seconds(5)) } catch {
      throw .timedOut("container \(record.id): monitor \(monitor.pid) does not end after SIGKILL")
    }
  }

  /// Kills the container's first process and all others of its cgroup, and waits for their end.
  func endProcesses(_ record: ContainerRecord) async throws(RuntimeError) {
    let deadline = ContinuousClock.now + .seconds(10)
    let process = try await blocking(record.podUID, "look for container \(record.name)") {
      [self] () throws(RuntimeError) in livingProcess(record)
    }
    do throws(SystemError) {
      if let process, let descriptor = ProcessWatch.open(pid: process.pid, startTime: process.startTime) {
        try? ProcessWatch.signal(descriptor, SIGKILL)
        try await descriptor.ready(.readable, deadline)
      }
      if !record.cgroupPath.isEmpty { try await Cgroup(cgroups, path: record.cgroupPath).kill(deadline: deadline) }
    } catch {
      throw .timedOut("container \(record.id) does not end after SIGKILL: \(error)")
    }
  }

  static func exitCode(_ folder: String, _ id: String) -> Int32? {
    RuntimeFiles.readText("\(folder)/exits/\(id)").flatMap { Int32($0) }
  }

  public func stats(podUID: String) async throws(RuntimeError) -> PodUsage {
    let sandbox = try sandboxRecord(podUID)
    let running = state.withLock { state in
      state.containers.values.filter { $0.podUID == podUID && $0.phase == .running }
    }
    return try await system(nil, "read the usage of pod \(podUID)") { [cgroups] () throws(SystemError) in
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
