import Glibc
import KubeClient
import LinuxSystem
import Logging
import Synchronization
import Wire

/// A service of the node's data plane that a capability brings, such as the names of the cluster. All of them run in one
/// process, which outlives the server (`DataPlane`).
package struct DataPlanePart: Sendable {
  /// A companion process of an earlier version, which did this part's work: it is ended before the data plane is started.
  package struct Earlier: Sendable, Equatable {
    /// Its record, lock and log, below the data directory and without their endings.
    package var files: String
    /// Below the server's cgroup.
    package var cgroup: String

    package init(files: String, cgroup: String) {
      self.files = files
      self.cgroup = cgroup
    }
  }

  /// Lower-case letters, digits and `-`.
  package var name: String
  /// The name of the identity by which it follows its table from the API: the identity's kubeconfig is its configuration.
  package var identity: String
  package var earlier: [Earlier]
  /// The sockets that it takes packets and connections from. They are handed over to the next process.
  package var sockets: @Sendable (CapabilitySettings) -> [ServerSocket]
  /// Whether it has stopped to answer, asked every `probeInterval`. After `silentMax` times in a row the process is replaced.
  package var isSilent: @Sendable (CapabilitySettings) async -> Bool
  /// Serves until its task is cancelled. Then it takes nothing more from its sockets, finishes what it has taken within some
  /// seconds, and returns.
  package var run: @Sendable (DataPlaneContext) async throws -> Void

  package static let probeInterval = Duration.seconds(5)
  package static let silentMax = 3

  package init(
    name: String, identity: String, earlier: [Earlier] = [],
    sockets: @escaping @Sendable (CapabilitySettings) -> [ServerSocket],
    isSilent: @escaping @Sendable (CapabilitySettings) async -> Bool = { _ in false },
    run: @escaping @Sendable (DataPlaneContext) async throws -> Void
  ) {
    self.name = name
    self.identity = identity
    self.earlier = earlier
    self.sockets = sockets
    self.isSilent = isSilent
    self.run = run
  }
}

/// What a part of the data plane is given to work with.
package struct DataPlaneContext: Sendable {
  package var place: FootprintPlace
  /// Those of the server that started the process.
  package var settings: CapabilitySettings
  /// The API over HTTPS, by the part's identity.
  package var client: any KubeClient
  package var time: any TimeSource
  package var sockets: DataPlaneSockets
  /// Whether an earlier process answers meanwhile. Then the part says that it is `serving` as soon as it can answer as well as
  /// that one, and takes nothing from its sockets before its `turn`. Otherwise it answers at once, as well as it can.
  package var isRelieving: Bool
  /// The part says there how it stops to take.
  package var turn: DataPlaneTurn
  /// Called by the part when it answers, or can; more than once does no harm.
  package var serving: @Sendable () -> Void
}

/// The sockets of the data plane: those that were handed over, and what was opened since.
package final class DataPlaneSockets: Sendable {
  private let wanted: Set<ServerSocket>
  private let state: Mutex<[ServerSocket: OwnedDescriptor]>

  /// - Parameters:
  ///   - wanted: what the parts have named.
  ///   - inherited: from another process. What a descriptor is, the kernel says; what is not wanted is closed.
  package init(_ wanted: Set<ServerSocket>, inherited: [OwnedDescriptor]) {
    self.wanted = wanted
    let log = Logger(label: "apus.data-plane")
    var sockets: [ServerSocket: OwnedDescriptor] = [:]
    for descriptor in inherited {
      do throws(SystemError) {
        let socket = try ServerSocket(adopting: descriptor)
        if wanted.contains(socket) {
          sockets[socket] = descriptor
        } else {
          log.info("a socket of the process before is not needed any more", metadata: ["socket": "\(socket)"])
        }
      } catch {
        log.error("what the process before has handed over cannot be used", metadata: ["error": "\(error)"])
      }
    }
    state = Mutex(sockets)
  }

  /// A descriptor of a socket, which is the caller's to close. The socket is opened when it is not there yet, and stays open
  /// when the descriptor is closed.
  /// - Precondition: the part has named it.
  package func open(_ socket: ServerSocket) throws(SystemError) -> Int32 {
    precondition(wanted.contains(socket), "no part has named \(socket)")
    let result = state.withLock { sockets -> Result<Int32, SystemError> in
      do throws(SystemError) {
        let descriptor: OwnedDescriptor
        if let present = sockets[socket] { descriptor = present } else { descriptor = try socket.open() }
        sockets[socket] = descriptor
        return .success(try descriptor.duplicate())
      } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// Those that are open.
  var all: [OwnedDescriptor] { state.withLock { Array($0.values) } }
}

/// The node's data plane: one process of ours that outlives the server, put together from what the capabilities bring. A new
/// one is given the sockets of the one before (`SocketHandover`), so that nothing is lost between them.
package struct DataPlane: Sendable {
  /// Its folder in the data directory and in the run folder, and its cgroup, are called so.
  package static let name = "data-plane"
  /// From its start until it can answer, so that with the time for the hand-over it is below what the server waits
  /// (`DataPlaneProcess`).
  private static let readyDeadline = Duration.seconds(20)

  private let parts: [DataPlanePart]
  private let place: FootprintPlace
  private let settings: CapabilitySettings
  private let time: any TimeSource
  private let client: @Sendable (DataPlanePart) throws -> any KubeClient
  private let log = Logger(label: "apus.data-plane")

  /// - Parameter client: the API, by a part's identity.
  package init(
    _ parts: [DataPlanePart], place: FootprintPlace, settings: CapabilitySettings, time: any TimeSource,
    client: @escaping @Sendable (DataPlanePart) throws -> any KubeClient
  ) {
    self.parts = parts
    self.place = place
    self.settings = settings
    self.time = time
    self.client = client
  }

  /// Runs in the data plane's own process, until another one has taken over or the task is cancelled.
  ///
  /// - Parameters:
  ///   - token: what the server's `DataPlaneProcess` was given.
  ///   - served: called once, when this process is the one that serves.
  /// - Throws: `FileLockError` when another one serves already and does not hand over.
  package func run(token: String, served: @escaping @Sendable () -> Void) async throws {
    let began = ContinuousClock.now
    // Whoever waits for a word of ours may have died.
    signal(SIGPIPE, SIG_IGN)
    let files = DataPlaneFiles(place)
    try Directory.createPrivate(files.folder)
    try Directory.createPrivate(files.runFolder)
    let predecessor = await predecessor(files)
    let lock =
      if let predecessor { try FileLock.share(predecessor.lock, files.lock) } else { try FileLock.acquire(files.lock) }
    let listener = predecessor?.listener ?? bound(files.socket)
    let sockets = DataPlaneSockets(
      Set(parts.flatMap { $0.sockets(settings) }), inherited: predecessor?.sockets ?? [])
    let record = CompanionRecord(
      processID: getpid(), startTime: ProcessWatch.startTime(of: getpid()) ?? 0, token: token)
    if predecessor == nil { try record.write(files.record) }
    let turn = DataPlaneTurn(isMine: predecessor == nil)

    let (answering, answers) = AsyncStream<String>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for part in parts {
        group.addTask {
          try await keepRunning(part, sockets, turn) { answers.yield(part.name) }
        }
      }
      group.addTask {
        var waiting = Set(parts.map(\.name))
        for await name in answering {
          waiting.remove(name)
          if waiting.isEmpty { break }
        }
        try Task.checkCancellation()
        if let predecessor {
          // The server would end this process while the one before lets go.
          guard ContinuousClock.now < began + Self.readyDeadline else {
            throw CompanionError(description: "it took too long until it could answer")
          }
          // Before its word: a server that starts now finds one that serves, and both do.
          try record.write(files.record)
          try await predecessor.relieve()
          turn.begin()
        }
        served()
        try await SocketHandover.serve(listener, time: time) { () throws(SystemError) in
          (try lock.shared(), sockets.all)
        } letGo: {
          await turn.stop()
        } withdrawn: {
          turn.goOn()
          // The other one may have written its own.
          try? record.write(files.record)
        } refused: { error in
          log.error("the sockets cannot be handed over", metadata: ["error": "\(error)"])
        }
        log.notice("another process has taken over")
      }
      defer { group.cancelAll() }
      try await group.next()
    }
    withExtendedLifetime(lock) {}
  }

  /// Who serves, and gives its sockets; `nil` when nobody does. One that does not answer as it should counts as absent: the
  /// lock then tells whether it is there.
  private func predecessor(_ files: DataPlaneFiles) async -> SocketHandover.Predecessor? {
    do { return try await SocketHandover.ask(files.socket) } catch {
      log.error("the process before does not hand over its sockets", metadata: ["error": "\(error)"])
      return nil
    }
  }

  /// Without it the next process waits for the end of this one, and names are missed in between: better than no names.
  private func bound(_ path: String) -> OwnedDescriptor? {
    do { return try SocketHandover.bind(path) } catch {
      log.error("sockets cannot be handed over to the next process", metadata: ["error": "\(error)"])
      return nil
    }
  }

  /// Runs a part until the task is cancelled; one that fails is run again, and disturbs no other.
  private func keepRunning(
    _ part: DataPlanePart, _ sockets: DataPlaneSockets, _ turn: DataPlaneTurn,
    serving: @escaping @Sendable () -> Void
  ) async throws {
    let backoff = Backoff(first: .milliseconds(200), longest: .seconds(30))
    var random = SeededRandom(name: part.name)
    var failures = 0
    var api: (any KubeClient)?
    while true {
      do {
        let known = try api ?? client(part)
        api = known
        let context = DataPlaneContext(
          place: place, settings: settings, client: known, time: time, sockets: sockets,
          isRelieving: !turn.isMine, turn: turn, serving: serving)
        try await part.run(context)
        try Task.checkCancellation()
        log.error("a part of the data plane ended, will start it again", metadata: ["part": .string(part.name)])
      } catch {
        try Task.checkCancellation()
        log.error(
          "a part of the data plane failed, will start it again",
          metadata: ["part": .string(part.name), "error": "\(error)"])
      }
      failures += 1
      try await time.sleep(for: backoff.delay(failures: failures, using: &random))
    }
  }
}

/// Where the data plane keeps things.
struct DataPlaneFiles {
  /// For root alone, as `runFolder` is.
  let folder: String
  let runFolder: String

  init(_ place: FootprintPlace) {
    folder = place.path(DataPlane.name)
    runFolder = "\(place.run)/\(DataPlane.name)"
  }

  var record: String { "\(folder)/record.json" }
  /// Held by the one that serves, and shared with the one that takes over from it.
  var lock: String { "\(folder)/lock" }
  var log: String { "\(folder)/log" }
  var socket: String { "\(runFolder)/hand-over" }
}
