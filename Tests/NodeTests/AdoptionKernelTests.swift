import ControllerKit
import Glibc
import Layers
import LinuxSystem
import Synchronization
import Testing
import Wire

@testable import Containers
@testable import Node

/// What a hand, a disk or a crash may do to what tells of a container while no server runs.
enum Damage: String, CaseIterable, Sendable {
  case cutRecord, emptyRecord, noRecord, zeroedRecord
  case recordOfAnotherBoot, recordSaysEnded, recordOfAnotherProcess
  case exitFile, noPidFiles, wrongPidFiles
  case noBundle, noEngineCopy, noEngineState, cutEngineState, noFolder
  case killedMonitor, stoppedMonitor
  case cutSandboxRecord, noSandboxFolder

  func apply(to record: ContainerRecord, of runtime: CrunRuntime) async throws {
    let folder = runtime.containerFolder(record.id)
    let file = "\(folder)/record.json"
    func write(_ change: (inout ContainerRecord) -> Void) throws {
      var changed = record
      change(&changed)
      if access(folder, F_OK) == 0 { try RuntimeFiles.write(changed.json.serialized(), to: file) }
    }
    func overwrite(_ path: String, _ bytes: [UInt8]) throws {
      if access(path, F_OK) == 0 { try RuntimeFiles.write(bytes, to: path) }
    }
    switch self {
    case .cutRecord: try overwrite(file, Array(record.json.serialized().dropLast(40)))
    case .emptyRecord: try overwrite(file, [])
    case .noRecord: unlink(file)
    case .zeroedRecord: try overwrite(file, [UInt8](repeating: 0, count: 512))
    case .recordOfAnotherBoot: try write { $0.bootID = "another" }
    case .recordSaysEnded:
      try write {
        $0.phase = .exited
        $0.exitCode = 0
        $0.finishedAt = $0.createdAt
      }
    case .recordOfAnotherProcess:
      try write {
        $0.process = RecordedProcess(pid: getpid(), startTime: ProcessWatch.startTime(of: getpid()) ?? 0)
        $0.monitor = $0.process
      }
    case .exitFile:
      if access("\(folder)/exits", F_OK) == 0 {
        try RuntimeFiles.write(Array("0".utf8), to: runtime.exitPath(record.id))
      }
    case .noPidFiles: for name in ["container.pid", "conmon.pid"] { unlink("\(folder)/\(name)") }
    case .wrongPidFiles:
      for name in ["container.pid", "conmon.pid"] { try overwrite("\(folder)/\(name)", Array("\(getpid())".utf8)) }
    case .noBundle: unlink("\(folder)/config.json")
    case .noEngineCopy: unlink("\(runtime.engineFolder(record.id))/config.json")
    case .noEngineState: try Directory.removeTree(runtime.engineFolder(record.id))
    case .cutEngineState: try overwrite("\(runtime.engineFolder(record.id))/status", Array("{\"pid\": ".utf8))
    case .noFolder:
      // As a hand does it: the overlay's mount point stays.
      _ = try await Subprocess.run("/bin/rm", ["-rf", "--one-file-system", folder])
    case .killedMonitor: Glibc.kill(record.monitor?.pid ?? 0, SIGKILL)
    case .stoppedMonitor: Glibc.kill(record.monitor?.pid ?? 0, SIGSTOP)
    case .cutSandboxRecord: try overwrite("\(runtime.sandboxFolder(record.podUID))/record.json", Array("{".utf8))
    case .noSandboxFolder: try Directory.removeTree(runtime.sandboxFolder(record.podUID))
    }
  }
}

extension KernelTests {
  /// The assumption that failed: a container is known by one file, so that one without it is nothing.
  @Suite("Adoption") struct AdoptionKernelTests {}
}

extension KernelTests.AdoptionKernelTests {
  /// The processes of the machine that run this command line.
  private static func copies(of arguments: [String]) -> [Int32] {
    let wanted = arguments.joined(separator: "\0") + "\0"
    return ((try? Directory.list("/proc")) ?? []).compactMap { Int32($0) }.filter { pid in
      (try? DurableFile.read("/proc/\(pid)/cmdline", limit: 4096)).map { String(decoding: $0, as: UTF8.self) } == wanted
    }
  }

  /// Until the engine's process has become the container's program. The suite's time limit bounds it.
  private static func begun(_ arguments: [String]) async {
    while copies(of: arguments).isEmpty { await Task.yield() }
  }

  /// Whatever was done: after the start the container is either taken up, alone and watched, or it has ended, before
  /// anything else is started; and the purge leaves nothing.
  private func check(_ damages: [Damage], spares: Int = 0) async throws {
    try await RuntimeHarness.run(spares: spares) { harness in
      while try await harness.runtime.makeSpare() {}
      // Found by its command line: no other process of the machine has this one.
      let command = ["sleep", "\(100_000 + getpid())"]
      _ = try await harness.sandbox("z1")
      let id = try await harness.container("z1", command)
      try await harness.runtime.startContainer(id)
      let record = try harness.runtime.record(id)
      await Self.begun(command)
      #expect(Self.copies(of: command).count == 1)
      harness.crash()
      for damage in damages { try await damage.apply(to: record, of: harness.runtime) }
      try await harness.restart()

      var runs = try await harness.runtime.containers().filter { $0.status == .running }
      #expect(Self.copies(of: command).count == runs.count)
      // As the node does it: a sandbox that is not whole is made anew, with everything in it.
      if try await harness.runtime.sandboxes().contains(where: { $0.podUID == "z1" && !$0.isReady }) {
        try await harness.runtime.removeSandbox("z1")
        runs = []
        #expect(Self.copies(of: command).isEmpty)
      }
      if runs.isEmpty {
        _ = try await harness.sandbox("z1")
        let second = try await harness.container("z1", command)
        try await harness.runtime.startContainer(second)
        await Self.begun(command)
      } else {
        #expect(runs.map(\.id) == [id] && runs[0].pid == record.process?.pid && runs[0].attempt == record.attempt)
        await #expect(throws: RuntimeError.self, "a second copy beside the first") {
          _ = try await harness.container("z1", command)
        }
      }
      #expect(Self.copies(of: command).count == 1)
    }
  }

  @Test(arguments: Damage.allCases) func oneWitnessIsDamaged(_ damage: Damage) async throws {
    try await check([damage])
  }

  /// Of a pod whose sandbox was made before it.
  @Test(arguments: [
    [Damage.cutSandboxRecord], [.noSandboxFolder], [.noFolder, .noSandboxFolder], [.noRecord, .cutSandboxRecord],
    [.noFolder, .cutSandboxRecord, .killedMonitor],
  ])
  func witnessesOfASpareAreDamaged(_ damages: [Damage]) async throws { try await check(damages, spares: 2) }

  /// Combinations that leave few witnesses.
  @Test(arguments: [
    [Damage.noRecord, .exitFile], [.noRecord, .noPidFiles, .exitFile], [.cutRecord, .killedMonitor, .exitFile],
    [.noRecord, .noBundle, .noEngineCopy], [.noRecord, .noBundle, .noEngineState, .noPidFiles],
    [.noFolder, .noEngineState, .killedMonitor], [.noFolder, .noSandboxFolder],
    [.emptyRecord, .noEngineState, .killedMonitor, .wrongPidFiles], [.recordSaysEnded, .killedMonitor],
    [.recordSaysEnded, .noEngineState, .wrongPidFiles, .exitFile], [.recordOfAnotherBoot, .killedMonitor, .exitFile],
    [.stoppedMonitor, .noRecord, .noBundle, .noEngineCopy], [.recordOfAnotherProcess, .noPidFiles, .cutEngineState],
    [.noFolder, .cutEngineState, .noSandboxFolder, .stoppedMonitor],
  ])
  func severalWitnessesAreDamaged(_ damages: [Damage]) async throws {
    try await check(damages)
  }

  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64]) func anyWitnessesAreDamaged(seed: UInt64) async throws {
    var random = SeededRandom(seed: seed)
    try await check((0..<3).compactMap { _ in Damage.allCases.randomElement(using: &random) })
  }

  @Test(arguments: [Damage.cutRecord, .emptyRecord, .noRecord]) func whatIsTakenUpIsWatched(_ damage: Damage)
    async throws
  {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("y1")
      let id = try await harness.container("y1", ["sleep", "1000"]) {
        $0.attempt = 3
        $0.labels = ["a": "b"]
      }
      try await harness.runtime.startContainer(id)
      let record = try harness.runtime.record(id)
      let before = try await harness.state(id)
      harness.crash()
      try await damage.apply(to: record, of: harness.runtime)
      try await harness.restart()
      var after = try await harness.state(id)
      after.startedAt = before.startedAt
      #expect(after == before)
      // It has a record again.
      try await harness.restart()
      #expect(try await harness.state(id).status == .running)
      try await harness.runtime.signal(id, SIGTERM)
      try await harness.runtime.signal(id, SIGKILL)
      #expect(await harness.exit(of: id)?.exitCode == 137)
    }
  }

  /// While the server runs: a monitor that is killed over an exit file that lies.
  @Test func anExitFileOfALivingContainerIsNotBelieved() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("x1")
      let id = try await harness.container("x1", ["sleep", "1000"])
      try await harness.runtime.startContainer(id)
      let record = try harness.runtime.record(id)
      try RuntimeFiles.write(Array("0".utf8), to: harness.runtime.exitPath(id))
      Glibc.kill(record.monitor?.pid ?? 0, SIGKILL)
      let event = try #require(await harness.exit(of: id))
      #expect(event.isLost && event.exitCode == 137)
      #expect(ProcessWatch.startTime(of: record.process?.pid ?? 0) == nil)
    }
  }

  /// In the host's pid namespace a container's first process may end before its others do.
  @Test func whatAContainerLeavesRunningEndsWithIt() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("w1") { $0.hostPID = true }
      let child = "\(200_000 + getpid())"
      let id = try await harness.container(
        "w1", ["sh", "-c", "sleep \(child) </dev/null >/dev/null 2>&1 & exit 5"])
      try await harness.runtime.startContainer(id)
      let event = try #require(await harness.exit(of: id))
      #expect(event.exitCode == 5)
      #expect(Self.copies(of: ["sleep", child]).isEmpty)
    }
  }

  /// A server may be killed before there is anything of a container but its folder and its root.
  @Test(arguments: [false, true]) func aRootAloneTellsOfAContainer(isMounted: Bool) async throws {
    try await RuntimeHarness.run { harness in
      let id = CrunRuntime.makeID()
      let folder = harness.runtime.containerFolder(id)
      if isMounted {
        let root = try harness.runtime.snapshots.prepare(id, on: ["\(harness.base)/layer"])
        #expect(access("\(root)/bin/busybox", X_OK) == 0)
      } else {
        try Directory.create("\(folder)/rootfs", mode: 0o700)
      }
      harness.crash()
      try await harness.restart()
      #expect(access(folder, F_OK) != 0)
      #expect(try !MountInfo.current().contains { $0.isAtOrBelow(harness.configuration.stateDirectory) })
      #expect(try await harness.runtime.containers().isEmpty)
    }
  }

  /// What cannot be taken up is ended also when nothing is left of it but a cgroup with a process in it.
  @Test func aCgroupAloneTellsOfAContainer() async throws {
    try await RuntimeHarness.run { harness in
      let id = CrunRuntime.makeID()
      let cgroup = Cgroup(
        harness.runtime.cgroups, path: "/\(harness.configuration.cgroupRoot)/burstable/podv1/\(id)")
      let process = try Subprocess.spawn("/bin/sleep", ["1000"], descriptors: [])
      try cgroup.adopt(process.pid)
      try await harness.restart()
      #expect(await process.wait(deadline: .now + .seconds(5)) == .signaled(SIGKILL))
      #expect(try await harness.runtime.containers().isEmpty)
    }
  }
}
