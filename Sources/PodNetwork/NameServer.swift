public import ControllerKit
import Glibc
public import KubeClient
import LinuxSystem
import Logging
public import Wire

/// The cluster's name server, which is a process of its own: names are answered while the API server is away, with what
/// was known last. It follows Services, EndpointSlices and Namespaces over HTTPS.
public enum NameServer {
  /// Serves until its task is cancelled.
  ///
  /// - Parameter identity: what `NameServerProcess` was told.
  /// - Throws: `FileLockError` when another one serves already.
  public static func run(
    configuration: PodNetworkConfiguration, identity: String, client: any KubeClient, time: any TimeSource
  ) async throws {
    let host = try HostNetwork(configuration)
    let lock = try FileLock.acquire(NameServerRecord.lockPath(in: configuration.stateDirectory))
    defer { withExtendedLifetime(lock) {} }
    try NameServerRecord(processID: getpid(), startTime: ProcessWatch.startTime(of: getpid()) ?? 0, identity: identity)
      .write(in: configuration.stateDirectory)
    let informers = InformerSet(client: client, time: time)
    let records = ClusterRecords(domain: configuration.clusterDomain, informers: informers)
    let server = DNSServer(
      addresses: host.ranges.nameServers.map(\.description), port: 53, records: records,
      localRanges: host.ranges.pods.all + host.ranges.services.all, resolverFile: "/etc/resolv.conf", time: time)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await informers.run() }
      group.addTask { try await server.run() }
      try await group.next()
      group.cancelAll()
    }
  }
}

/// Keeps one name server running: starts it, takes over the one of an earlier API server, replaces one that is out of
/// date, and starts it again when it ends. When `run` is cancelled, the name server runs on.
public final class NameServerProcess: ControllerKit.Service {
  private static let stopDeadline = Duration.seconds(10)

  private let command: [String]
  private let identity: String
  private let stateDirectory: String
  private let cgroup: String
  private let probe: NameServerProbe
  private let time: any TimeSource
  private let log = Logger(label: "apus.dns")

  /// - Parameters:
  ///   - command: the program that calls `NameServer.run` with this identity, and its arguments.
  ///   - identity: changes with whatever makes a running name server out of date.
  ///   - stateDirectory: that of the `PodNetworkConfiguration`.
  ///   - cgroup: of the process, from the root of the hierarchies; nothing else is in it.
  ///   - address: where it answers.
  public init(
    command: [String], identity: String, stateDirectory: String, cgroup: String, address: String, time: any TimeSource
  ) {
    self.command = command
    self.identity = identity
    self.stateDirectory = stateDirectory
    self.cgroup = cgroup
    self.time = time
    probe = NameServerProbe(address: address)
  }

  public func run() async throws {
    let backoff = Backoff(first: .milliseconds(50), longest: .seconds(10))
    var random = SeededRandom(name: "name-server")
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
        log.warning("the name server ended and is started again", metadata: ["log": .string(logPath)])
      } catch {
        try Task.checkCancellation()
        failures += 1
        log.error("the name server cannot be started, will retry", metadata: ["error": "\(error)"])
      }
      try await time.sleep(for: backoff.delay(failures: failures, using: &random))
    }
  }

  /// Until the process has ended. One that runs and does not answer, because it hangs or was stopped, is killed: nothing
  /// but a question tells that.
  private func follow(
    _ kill: @escaping @Sendable () -> Void, until ended: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { [probe, time, log] group in
      group.addTask {
        var silent = 0
        while silent < NameServerProbe.silentMax {
          try await time.sleep(for: NameServerProbe.interval)
          silent = await probe.isSilent() ? silent + 1 : 0
        }
        try Task.checkCancellation()
        log.error("the name server does not answer and is replaced", metadata: ["questions": "\(silent)"])
        kill()
        // Its end is told by the other task.
        while true { try await time.sleep(for: .seconds(3600)) }
      }
      group.addTask { try await ended() }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Ends what is in the name server's cgroup without being the one that the record tells of: one whose record or lock
  /// was removed serves on, with what it knew, and nobody would replace it.
  private func endOthers() async throws {
    guard let layout = try? CgroupLayout.current() else { return }
    try await Cgroup(layout, path: cgroup).kill(deadline: ContinuousClock.now + Self.stopDeadline)
  }

  private var logPath: String { "\(stateDirectory)/name-server.log" }

  /// The one that runs, by its pidfd; one that is out of date is ended.
  private func running() async throws -> AsyncDescriptor? {
    guard let record = NameServerRecord.read(in: stateDirectory), let process = record.open() else { return nil }
    if record.identity == identity, Self.isOurProgram(record.processID) { return process }
    try await Self.stop(process)
    return nil
  }

  private func start() throws -> ProcessHandle {
    guard let program = command.first else { throw PodNetworkError(.configuration, "the name server has no command") }
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

  /// Whether the process runs the file that this one runs: after an upgrade it does not.
  private static func isOurProgram(_ processID: Int32) -> Bool {
    var (theirs, ours) = (stat(), stat())
    return stat("/proc/\(processID)/exe", &theirs) == 0 && stat("/proc/self/exe", &ours) == 0
      && theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino
  }

  private static func stop(_ process: AsyncDescriptor) async throws(PodNetworkError) {
    for signal in [SIGTERM, SIGKILL] {
      // One that has ended gets none; one that was stopped has to go on to end.
      try? ProcessWatch.signal(process, signal)
      try? ProcessWatch.signal(process, SIGCONT)
      if (try? await process.ready(.readable, ContinuousClock.now + stopDeadline)) != nil { return }
    }
    throw PodNetworkError(.program, "the name server does not end")
  }

  /// Ends the name server of a state directory, whatever tells of it: for `apus down --purge`.
  ///
  /// - Parameter cgroup: as given to `init`.
  /// - Throws: when one does not end.
  public static func stop(stateDirectory: String, cgroup: String) async throws {
    if let process = NameServerRecord.read(in: stateDirectory)?.open() { try await stop(process) }
    try await Cgroup(CgroupLayout.current(), path: cgroup).kill(deadline: ContinuousClock.now + stopDeadline)
    guard access(stateDirectory, F_OK) == 0 else { return }
    do { _ = try FileLock.acquire(NameServerRecord.lockPath(in: stateDirectory)) } catch {
      throw PodNetworkError(.program, "the name server still runs: \(error)")
    }
  }
}

/// What a name server says of itself, so that the next API server finds it.
struct NameServerRecord: Equatable {
  var processID: Int32
  /// Tells the process from a later one of the same number (`ProcessWatch.startTime`).
  var startTime: UInt64
  var identity: String

  /// Held by the one that serves, before it writes its record and to its end.
  static func lockPath(in directory: String) -> String { "\(directory)/name-server.lock" }
  private static func path(in directory: String) -> String { "\(directory)/name-server.json" }

  func write(in directory: String) throws(SystemError) {
    let json: JSON = [
      "processID": .int(Int64(processID)), "startTime": .int(Int64(startTime)), "identity": .string(identity),
    ]
    try DurableFile.write(json.serialized(), to: Self.path(in: directory), mode: 0o644)
  }

  /// `nil` when there is none that can be read.
  static func read(in directory: String) -> NameServerRecord? {
    guard let bytes = try? DurableFile.read(path(in: directory), limit: 4096), let json = try? JSON.parse(bytes),
      let processID = json["processID"]?.int.flatMap(Int32.init(exactly:)),
      let startTime = json["startTime"]?.int.flatMap(UInt64.init(exactly:)), let identity = json["identity"]?.string
    else { return nil }
    return NameServerRecord(processID: processID, startTime: startTime, identity: identity)
  }

  /// The process that wrote it, if it still runs.
  func open() -> AsyncDescriptor? { ProcessWatch.open(pid: processID, startTime: startTime) }
}
