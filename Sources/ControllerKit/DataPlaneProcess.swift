import Glibc
import KubeClient
import LinuxSystem
import Logging
import Wire

/// Keeps the data plane running (`DataPlane`): takes over that of an earlier server, has one that is out of date relieved by a
/// new one, and replaces one that does not answer. When `run` is cancelled, the data plane runs on.
package final class DataPlaneProcess: Service {
  /// How a data plane ends that is not the one, because another process serves and does not hand over.
  package static let heldStatus: Int32 = 75
  /// How long a new one may take until it answers as well as the old one.
  private static let readyDeadline = Duration.seconds(30)
  private static let stopDeadline = Duration.seconds(10)
  /// For what the old one still has to answer, which it bounds itself.
  private static let finishDeadline = Duration.seconds(20)
  /// Where the new one says that it serves.
  package static let readyDescriptor: Int32 = 3

  private let parts: [DataPlanePart]
  private let place: FootprintPlace
  private let files: DataPlaneFiles
  private let settings: CapabilitySettings
  private let command: [String]
  private let token: String
  private let time: any TimeSource
  private let log = Logger(label: "apus.data-plane")

  /// - Parameters:
  ///   - command: the program that calls `DataPlane.run` with the token and then writes to `readyDescriptor`, and its
  ///     arguments.
  ///   - token: changes with whatever makes a running data plane out of date.
  package init(
    _ parts: [DataPlanePart], place: FootprintPlace, settings: CapabilitySettings, command: [String], token: String,
    time: any TimeSource
  ) {
    precondition(!command.isEmpty, "the data plane has a command")
    self.parts = parts
    self.place = place
    self.settings = settings
    self.command = command
    self.token = token
    self.time = time
    files = DataPlaneFiles(place)
  }

  private static func cgroup(_ layout: CgroupLayout, _ place: FootprintPlace, _ name: String = DataPlane.name) -> Cgroup
  {
    Cgroup(layout, path: "/\(place.cgroup)/\(name)")
  }

  package func run() async throws {
    let backoff = Backoff(first: .milliseconds(50), longest: .seconds(10))
    var random = SeededRandom(name: DataPlane.name)
    var failures = 0
    while true {
      let began = time.now()
      do {
        for earlier in parts.flatMap(\.earlier) { try await Self.end(earlier, place) }
        if let record = CompanionRecord.read(files.record), let process = record.open() {
          if record.token == token, isProgram(record.processID) {
            try await follow({ try? ProcessWatch.signal(process, SIGKILL) }) { try await process.ready(.readable) }
          } else if let successor = try await relieve(process, record) {
            try await follow({ successor.signal(SIGKILL) }) { _ = await successor.wait() }
          } else {
            try await runNew()
          }
        } else {
          try await runNew()
        }
        try Task.checkCancellation()
        failures = time.now().since(began) > .seconds(10) ? 1 : failures + 1
        log.warning("the data plane ended and is started again", metadata: ["log": .string(files.log)])
      } catch {
        try Task.checkCancellation()
        failures += 1
        log.error("the data plane cannot be started, will retry", metadata: ["error": "\(error)"])
      }
      try await time.sleep(for: backoff.delay(failures: failures, using: &random))
    }
  }

  /// One that nobody is there to hand over to.
  private func runNew() async throws {
    // What is in the cgroup without being told of by the record: one whose record or lock was removed serves on, with what it
    // knew, and nobody would replace it.
    if let layout = try? CgroupLayout.current() {
      try await Self.cgroup(layout, place).kill(deadline: ContinuousClock.now + Self.stopDeadline)
    }
    let (process, _) = try start()
    try await follow({ process.signal(SIGKILL) }) { _ = await process.wait() }
  }

  /// Starts a new one beside the one that runs, and returns it when it serves and the old one has ended. `nil` when the old
  /// one does not hand over, and was stopped.
  /// - Throws: when the new one does not come to serve. Then the old one goes on.
  private func relieve(_ process: AsyncDescriptor, _ record: CompanionRecord) async throws -> ProcessHandle? {
    try await endOthers(than: record.processID)
    let (successor, ready) = try start()
    let word = (try? await ready.read(limit: 1, deadline: ContinuousClock.now + Self.readyDeadline)) ?? []
    // Whatever it does now, it and the old one agree on it.
    try Task.checkCancellation()
    guard !word.isEmpty else {
      var status = await successor.wait(deadline: ContinuousClock.now + .seconds(1))
      if status == nil {
        successor.signal(SIGKILL)
        status = await successor.wait(deadline: ContinuousClock.now + Self.stopDeadline)
      }
      try Task.checkCancellation()
      guard status == .exited(Self.heldStatus) else {
        throw CompanionError(
          description: "the new data plane does not come to serve (\(status?.description ?? "it hangs")), see "
            + "\(files.log); the one before goes on, although it is out of date")
      }
      try await Self.stop(process)
      return nil
    }
    if (try? await process.ready(.readable, ContinuousClock.now + Self.finishDeadline)) == nil {
      try Task.checkCancellation()
      try await Self.stop(process)
    }
    return successor
  }

  /// Ends what an earlier server has started and did not live to see serving.
  private func endOthers(than processID: Int32) async throws {
    guard let layout = try? CgroupLayout.current() else { return }
    for other in Self.cgroup(layout, place).processes() where other != processID {
      guard let start = ProcessWatch.startTime(of: other), let process = ProcessWatch.open(pid: other, startTime: start)
      else { continue }
      try await Self.stop(process, [SIGKILL])
    }
  }

  /// Until the process has ended. One that runs and does not answer, because it hangs or was stopped, is killed: nothing
  /// but a question tells that.
  private func follow(
    _ kill: @escaping @Sendable () -> Void, until ended: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { [parts, settings, time, log] group in
      for part in parts {
        group.addTask {
          var silent = 0
          while silent < DataPlanePart.silentMax {
            try await time.sleep(for: DataPlanePart.probeInterval)
            silent = await part.isSilent(settings) ? silent + 1 : 0
          }
          try Task.checkCancellation()
          log.error(
            "the data plane does not answer and is replaced",
            metadata: ["part": .string(part.name), "questions": "\(silent)"])
          kill()
          // Its end is told by the other task.
          while true { try await time.sleep(for: .seconds(3600)) }
        }
      }
      group.addTask { try await ended() }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func start() throws -> (process: ProcessHandle, ready: AsyncDescriptor) {
    try Directory.createPrivate(files.folder)
    // Not our own standard error: whoever reads that waits for its end, and this process outlives us.
    let output = open(files.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard output >= 0 else { throw SystemError.last("open \(files.log)") }
    defer { close(output) }
    let pipe = try Pipe()
    defer { close(pipe.writeEnd) }
    let ready = try AsyncDescriptor(owning: pipe.readEnd)
    let process = try Subprocess.spawn(
      command[0], Array(command.dropFirst()),
      descriptors: [
        Subprocess.Mapping(from: output, to: 2), Subprocess.Mapping(from: pipe.writeEnd, to: Self.readyDescriptor),
      ], newSession: true)
    // Not the server's: a service manager that ends the server leaves it alone.
    do throws(SystemError) { try Self.cgroup(.current(), place).adopt(process.pid) } catch {
      log.warning(
        "the data plane stays in the server's cgroup, and is ended with it by whoever ends that",
        metadata: ["error": "\(error)"])
    }
    return (process, ready)
  }

  /// Whether the process runs the file that would be started now: after an upgrade it does not.
  private func isProgram(_ processID: Int32) -> Bool {
    var (theirs, ours) = (stat(), stat())
    return stat("/proc/\(processID)/exe", &theirs) == 0 && stat(command[0], &ours) == 0
      && theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino
  }

  private static func stop(_ process: AsyncDescriptor, _ signals: [Int32] = [SIGTERM, SIGKILL]) async throws {
    for signal in signals {
      // One that has ended gets none; one that was stopped has to go on to end.
      try? ProcessWatch.signal(process, signal)
      try? ProcessWatch.signal(process, SIGCONT)
      if (try? await process.ready(.readable, ContinuousClock.now + stopDeadline)) != nil { return }
      try Task.checkCancellation()
    }
    throw CompanionError(description: "a process of the data plane does not end")
  }

  /// Ends a companion of an earlier version, and removes what it left.
  private static func end(_ earlier: DataPlanePart.Earlier, _ place: FootprintPlace) async throws {
    let files = place.path(earlier.files)
    if let process = CompanionRecord.read("\(files).json")?.open() { try await stop(process) }
    if let layout = try? CgroupLayout.current() {
      let cgroup = cgroup(layout, place, earlier.cgroup)
      try await cgroup.kill(deadline: ContinuousClock.now + stopDeadline)
      try? cgroup.remove()
    }
    for ending in ["json", "lock", "log"] { unlink("\(files).\(ending)") }
  }

  /// Ends the data plane of a place, whatever tells of it: for a purge.
  ///
  /// - Parameter parts: those whose earlier companions may run.
  /// - Throws: when one does not end.
  package static func stop(_ parts: [DataPlanePart], place: FootprintPlace) async throws {
    for earlier in parts.flatMap(\.earlier) { try await end(earlier, place) }
    let files = DataPlaneFiles(place)
    if let process = CompanionRecord.read(files.record)?.open() { try await stop(process) }
    if let layout = try? CgroupLayout.current() {
      try await cgroup(layout, place).kill(deadline: ContinuousClock.now + stopDeadline)
    }
    guard access(files.folder, F_OK) == 0 else { return }
    do { _ = try FileLock.acquire(files.lock) } catch {
      throw CompanionError(description: "the data plane still runs: \(error)")
    }
  }
}

/// Why a companion cannot be had as it should be.
package struct CompanionError: Error, Equatable, CustomStringConvertible {
  package let description: String
}

/// What a companion, the data plane, says of itself, so that the next server finds it.
struct CompanionRecord: Equatable {
  var processID: Int32
  /// Tells the process from a later one of the same number (`ProcessWatch.startTime`).
  var startTime: UInt64
  var token: String

  func write(_ path: String) throws(SystemError) {
    let json: JSON = [
      "processID": .int(Int64(processID)), "startTime": .int(Int64(startTime)), "identity": .string(token),
    ]
    try DurableFile.write(json.serialized(), to: path, mode: 0o644)
  }

  /// `nil` when there is none that can be read.
  static func read(_ path: String) -> CompanionRecord? {
    guard let bytes = try? DurableFile.read(path, limit: 4096), let json = try? JSON.parse(bytes),
      let processID = json["processID"]?.int.flatMap(Int32.init(exactly:)),
      let startTime = json["startTime"]?.int.flatMap(UInt64.init(exactly:)), let token = json["identity"]?.string
    else { return nil }
    return CompanionRecord(processID: processID, startTime: startTime, token: token)
  }

  /// The process that wrote it, if it still runs.
  func open() -> AsyncDescriptor? { ProcessWatch.open(pid: processID, startTime: startTime) }
}
