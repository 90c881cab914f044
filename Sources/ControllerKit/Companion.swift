import Glibc
import KubeClient
import LinuxSystem
import Logging
import Wire

/// A process of ours that outlives the server: found by its record, watched by pidfd, in a cgroup of its own. The server
/// keeps one running, takes over that of an earlier server, and replaces one that is out of date or does not answer.
package struct Companion: Sendable {
  /// Record, lock and log are called after it: lower-case letters, digits and `-`.
  package var name: String
  /// The folder of the data directory that they are in.
  package var folder: String
  /// Its cgroup, below the server's; nothing else is in it.
  package var cgroup: String
  /// The name of the identity whose kubeconfig it uses.
  package var identity: String
  /// Whether it has stopped to answer, asked every `probeInterval`. After `silentMax` times in a row it is replaced.
  package var isSilent: @Sendable (CapabilitySettings) async -> Bool
  /// What the process does, until its task is cancelled.
  package var main: @Sendable (CompanionContext) async throws -> Void

  package static let probeInterval = Duration.seconds(5)
  package static let silentMax = 3

  package init(
    name: String, folder: String, cgroup: String, identity: String,
    isSilent: @escaping @Sendable (CapabilitySettings) async -> Bool = { _ in false },
    main: @escaping @Sendable (CompanionContext) async throws -> Void
  ) {
    self.name = name
    self.folder = folder
    self.cgroup = cgroup
    self.identity = identity
    self.isSilent = isSilent
    self.main = main
  }

  /// Runs in the companion's own process, until its task is cancelled.
  ///
  /// - Parameter token: what the server's `CompanionProcess` was given.
  /// - Throws: `FileLockError` when another one serves already.
  package func run(_ context: CompanionContext, token: String) async throws {
    let base = context.place.path("\(folder)/\(name)")
    let lock = try FileLock.acquire(CompanionRecord.lockPath(base))
    defer { withExtendedLifetime(lock) {} }
    try CompanionRecord(processID: getpid(), startTime: ProcessWatch.startTime(of: getpid()) ?? 0, token: token)
      .write(base)
    try await main(context)
  }
}

/// What a companion is given to work with.
package struct CompanionContext: Sendable {
  package var place: FootprintPlace
  /// Those of the server that started it.
  package var settings: CapabilitySettings
  /// The API over HTTPS, by the companion's identity.
  package var client: any KubeClient
  package var time: any TimeSource

  package init(place: FootprintPlace, settings: CapabilitySettings, client: any KubeClient, time: any TimeSource) {
    self.place = place
    self.settings = settings
    self.client = client
    self.time = time
  }
}

/// Keeps one companion running. When `run` is cancelled, the companion runs on.
package final class CompanionProcess: Service {
  private static let stopDeadline = Duration.seconds(10)

  private let companion: Companion
  private let settings: CapabilitySettings
  private let command: [String]
  private let token: String
  private let base: String
  private let cgroup: String
  private let time: any TimeSource
  private let log: Logger

  /// - Parameters:
  ///   - command: the program that calls `Companion.run` with the token, and its arguments.
  ///   - token: changes with whatever makes a running companion out of date.
  package init(
    _ companion: Companion, place: FootprintPlace, settings: CapabilitySettings, command: [String], token: String,
    time: any TimeSource
  ) {
    self.companion = companion
    self.settings = settings
    self.command = command
    self.token = token
    self.time = time
    base = Self.base(companion, place)
    cgroup = Self.cgroup(companion, place)
    log = Logger(label: "apus.\(companion.name)")
  }

  private static func base(_ companion: Companion, _ place: FootprintPlace) -> String {
    place.path("\(companion.folder)/\(companion.name)")
  }

  private static func cgroup(_ companion: Companion, _ place: FootprintPlace) -> String {
    "/\(place.cgroup)/\(companion.cgroup)"
  }

  package func run() async throws {
    let backoff = Backoff(first: .milliseconds(50), longest: .seconds(10))
    var random = SeededRandom(name: companion.name)
    var failures = 0
    while true {
      let began = time.now()
      do {
        if let process = try await running() {
          try await follow({ try? ProcessWatch.signal(process, SIGKILL) }) { try await process.ready(.readable) }
        } else {
          try await endOthers()
          let process = try start()
          try await follow({ process.signal(SIGKILL) }) { _ = await process.wait() }
        }
        try Task.checkCancellation()
        failures = time.now().since(began) > .seconds(10) ? 1 : failures + 1
        log.warning("the companion ended and is started again", metadata: ["log": .string(logPath)])
      } catch {
        try Task.checkCancellation()
        failures += 1
        log.error("the companion cannot be started, will retry", metadata: ["error": "\(error)"])
      }
      try await time.sleep(for: backoff.delay(failures: failures, using: &random))
    }
  }

  /// Until the process has ended. One that runs and does not answer, because it hangs or was stopped, is killed: nothing
  /// but a question tells that.
  private func follow(
    _ kill: @escaping @Sendable () -> Void, until ended: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { [companion, settings, time, log] group in
      group.addTask {
        var silent = 0
        while silent < Companion.silentMax {
          try await time.sleep(for: Companion.probeInterval)
          silent = await companion.isSilent(settings) ? silent + 1 : 0
        }
        try Task.checkCancellation()
        log.error("the companion does not answer and is replaced", metadata: ["questions": "\(silent)"])
        kill()
        // Its end is told by the other task.
        while true { try await time.sleep(for: .seconds(3600)) }
      }
      group.addTask { try await ended() }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Ends what is in the companion's cgroup without being the one that the record tells of: one whose record or lock was
  /// removed serves on, with what it knew, and nobody would replace it.
  private func endOthers() async throws {
    guard let layout = try? CgroupLayout.current() else { return }
    try await Cgroup(layout, path: cgroup).kill(deadline: ContinuousClock.now + Self.stopDeadline)
  }

  private var logPath: String { "\(base).log" }

  /// The one that runs, by its pidfd; one that is out of date is ended.
  private func running() async throws -> AsyncDescriptor? {
    guard let record = CompanionRecord.read(base), let process = record.open() else { return nil }
    if record.token == token, isProgram(record.processID) { return process }
    try await Self.stop(process, companion.name)
    return nil
  }

  private func start() throws -> ProcessHandle {
    guard let program = command.first else { preconditionFailure("a companion has a command") }
    // Not our own standard error: whoever reads that waits for its end, and this process outlives us.
    let output = open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard output >= 0 else { throw SystemError.last("open \(logPath)") }
    defer { close(output) }
    let process = try Subprocess.spawn(
      program, Array(command.dropFirst()), descriptors: [Subprocess.Mapping(from: output, to: 2)], newSession: true)
    // Not the server's: a service manager that ends the server leaves it alone.
    if let layout = try? CgroupLayout.current() { try? Cgroup(layout, path: cgroup).adopt(process.pid) }
    return process
  }

  /// Whether the process runs the file that would be started now: after an upgrade it does not.
  private func isProgram(_ processID: Int32) -> Bool {
    var (theirs, ours) = (stat(), stat())
    return stat("/proc/\(processID)/exe", &theirs) == 0 && stat(command[0], &ours) == 0
      && theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino
  }

  private static func stop(_ process: AsyncDescriptor, _ name: String) async throws(CompanionError) {
    for signal in [SIGTERM, SIGKILL] {
      // One that has ended gets none; one that was stopped has to go on to end.
      try? ProcessWatch.signal(process, signal)
      try? ProcessWatch.signal(process, SIGCONT)
      if (try? await process.ready(.readable, ContinuousClock.now + stopDeadline)) != nil { return }
    }
    throw CompanionError(description: "the companion \(name) does not end")
  }

  /// Ends the companion of a place, whatever tells of it: for a purge.
  ///
  /// - Throws: when one does not end.
  package static func stop(_ companion: Companion, place: FootprintPlace) async throws {
    let base = base(companion, place)
    if let process = CompanionRecord.read(base)?.open() { try await stop(process, companion.name) }
    if let layout = try? CgroupLayout.current() {
      try await Cgroup(layout, path: cgroup(companion, place)).kill(deadline: ContinuousClock.now + stopDeadline)
    }
    guard access(place.path(companion.folder), F_OK) == 0 else { return }
    do { _ = try FileLock.acquire(CompanionRecord.lockPath(base)) } catch {
      throw CompanionError(description: "the companion \(companion.name) still runs: \(error)")
    }
  }
}

/// Why a companion cannot be had as it should be.
package struct CompanionError: Error, Equatable, CustomStringConvertible {
  package let description: String
}

/// What a companion says of itself, so that the next server finds it.
struct CompanionRecord: Equatable {
  var processID: Int32
  /// Tells the process from a later one of the same number (`ProcessWatch.startTime`).
  var startTime: UInt64
  var token: String

  /// Held by the one that serves, before it writes its record and to its end.
  static func lockPath(_ base: String) -> String { "\(base).lock" }
  private static func path(_ base: String) -> String { "\(base).json" }

  func write(_ base: String) throws(SystemError) {
    let json: JSON = [
      "processID": .int(Int64(processID)), "startTime": .int(Int64(startTime)), "identity": .string(token),
    ]
    try DurableFile.write(json.serialized(), to: Self.path(base), mode: 0o644)
  }

  /// `nil` when there is none that can be read.
  static func read(_ base: String) -> CompanionRecord? {
    guard let bytes = try? DurableFile.read(path(base), limit: 4096), let json = try? JSON.parse(bytes),
      let processID = json["processID"]?.int.flatMap(Int32.init(exactly:)),
      let startTime = json["startTime"]?.int.flatMap(UInt64.init(exactly:)), let token = json["identity"]?.string
    else { return nil }
    return CompanionRecord(processID: processID, startTime: startTime, token: token)
  }

  /// The process that wrote it, if it still runs.
  func open() -> AsyncDescriptor? { ProcessWatch.open(pid: processID, startTime: startTime) }
}
