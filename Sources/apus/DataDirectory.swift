import ArgumentParser
import ControllerKit
import Glibc
import LinuxSystem
import Store
import Wire

/// Where everything lives that Apus keeps.
struct DataDirectory: Sendable {
  /// The one name of the directory, without symbolic links: what is called after it, such as `runtime` and the cgroups,
  /// is the same however a command spells it.
  let path: String
  /// As it was given, where it is a symbolic link itself: a purge removes the link too.
  var link: String?
  /// As it was given, absolute but with its symbolic links: earlier versions called what runs after this name.
  var given: String?

  /// Whose folders are in it, what they have of the machine, and who is asked in a purge.
  var capabilities = Capabilities.all
  /// The folder of all servers of this machine, which is root's.
  var runtimes = "/run/apus"

  var state: String { path + "/state" }
  var keys: String { path + "/pki" }
  /// The one store of images, which commands use without a server.
  var images: String { path + "/images" }
  var kubeconfig: String { path + "/kubeconfig" }
  /// What the running server tells of itself: process id, addresses, start, recovery.
  var serverRecord: String { path + "/server.json" }
  /// Sockets and pinned namespaces: gone after a reboot, as they must be. One folder per data directory, and short,
  /// because a socket's path has a hundred bytes.
  var runtime: String { runtimes + "/" + Self.shortHash(of: path) }
  /// The root of this server's cgroups.
  var cgroup: String { "apus-" + Self.shortHash(of: path) }
  var claims: MachineClaims { MachineClaims(folder: runtimes) }

  /// What is kept here whichever capabilities there are.
  static let ownEntries: [Footprint.Entry] = [
    .init("state", signs: ["state.db", "datastore"], proofs: ["state.db"]),
    .init("pki", signs: ["ca.crt"], proofs: ["ca.crt", "sa.key"]), .init("kubeconfig", .file),
    .init("server.json", .file), .init("cluster", .file), .init("apus.log", .file),
    .init(DataPlane.name),
  ]

  func place(owner: String) -> FootprintPlace {
    FootprintPlace(data: path, run: runtime, cgroup: cgroup, owner: owner)
  }

  /// What every capability has of the machine, in the order of the list.
  func footprints(_ settings: CapabilitySettings, owner: String) -> [Footprint] {
    capabilities.map { $0.footprint(place(owner: owner), settings) }
  }

  /// Everything that Apus keeps in a data directory.
  var entries: [Footprint.Entry] { Self.ownEntries + footprints([:], owner: "").flatMap(\.entries) }

  /// Whether pods run whose things are below this run folder.
  private func hasPods(_ runtime: String) -> Bool {
    footprints([:], owner: "").flatMap(\.running).contains {
      (try? Directory.list("\(runtime)/\($0)"))?.isEmpty == false
    }
  }

  /// The directory of a path as people write it: relative to the current folder, or absolute. It need not be there.
  static func named(_ path: String) throws(SystemError) -> DataDirectory {
    let trimmed = path.count > 1 && path.last == "/" ? String(path.dropLast()) : path
    var status = stat()
    let isLink = lstat(trimmed, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    return DataDirectory(
      path: try Directory.resolve(path), link: isLink ? trimmed : nil, given: absolute(path))
  }

  private static func absolute(_ path: String) -> String? {
    var text = path
    if !path.hasPrefix("/") {
      guard let current = getcwd(nil, 0) else { return nil }
      defer { free(current) }
      text = String(cString: current) + "/" + path
    }
    var parts: [Substring] = []
    for part in text.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  /// Throws when pods run that an earlier version called after another spelling of the path: they would be taken for
  /// lost, and ended.
  func refuseEarlierName() throws {
    guard let given, given != path, hasPods("\(runtimes)/\(Self.shortHash(of: given))") else { return }
    throw Failure(
      """
      pods that an earlier version of Apus started run under the name \(given) of \(path), and this version cannot take \
      them over: delete them with that version, or restart the machine. Nothing was changed.
      """, code: .dataInUse)
  }

  /// Makes the directory when it is missing, and locks it against every other server and purge. The lock is on the
  /// directory itself: it holds whatever is removed or replaced below it.
  func lock() throws -> FileLock {
    try Directory.create(path, mode: 0o711)
    do {
      let lock = try FileLock.acquire(directory: path)
      // A server of an earlier version, which may still run, holds this file instead.
      let earlier = "\(state)/lock"
      if access(earlier, F_OK) == 0 { _ = try FileLock.acquire(earlier) }
      return lock
    } catch {
      guard error.isHeld else { throw Failure(error.description) }
      throw Failure(
        """
        \(path) is in use by \(error.holder.map { "process \($0)" } ?? "another process"): an Apus server never starts \
        twice on the same data.
        See `apus status --data \(path)`; stop it with `apus down`, or give another --data.
        """, code: .dataInUse)
    }
  }

  /// Whose it is, and whether it is new. To be read under the lock.
  ///
  /// - Parameter isStoreElsewhere: whether the objects are not here: then it is the store that is asked for them.
  func identity(isStoreElsewhere: Bool = false) throws(DataIdentityError) -> DataIdentity {
    var generator = SystemRandomNumberGenerator()
    let id = [generator.next(), generator.next()].map { (part: UInt64) in
      let digits = String(part, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }
    let footprints = footprints([:], owner: "")
    let filled = footprints.flatMap(\.entries).filter { !$0.filled.isEmpty }
    return try DataIdentity.read(
      DataIdentity.Folders(
        root: path, state: state, keys: keys, filled: filled.map { ("\(path)/\($0.name)", $0.filled) },
        runtime: runtime, runtimes: runtimes, running: footprints.flatMap(\.running),
        isStoreElsewhere: isStoreElsewhere), newCluster: id.joined())
  }

  /// FNV-1a: eight digits tell a few texts apart, such as the data directories of one machine.
  static func shortHash(of text: String) -> String {
    var hash: UInt32 = 2_166_136_261
    for byte in text.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }
}

struct DataOptions: ParsableArguments {
  @Option(
    name: .customLong("data"),
    help: ArgumentHelp("The directory that holds everything Apus keeps (or APUS_DATA).", valueName: "dir"))
  var directory: String?

  var data: DataDirectory {
    get throws {
      try DataDirectory.named(directory ?? getenv("APUS_DATA").map { String(cString: $0) } ?? "/var/lib/apus")
    }
  }

  /// The directory, for a command that only reads: nothing is made where nothing is.
  var existing: DataDirectory {
    get throws {
      let data = try data
      guard access(data.images, F_OK) == 0 else {
        throw Failure("there is nothing of Apus at \(data.path): is --data, or APUS_DATA, right?", code: .noServer)
      }
      return data
    }
  }

  /// The directory, for a command that makes it without a server: marked as Apus', unless it holds other people's files.
  var made: DataDirectory {
    get throws {
      let data = try data
      do { _ = try DirectoryMark.take(data) } catch let error as SystemError { throw error } catch {}
      return data
    }
  }
}

/// What the server writes about itself, for `apus status` and `apus down`. It stays when the server ends: a purge needs it.
struct ServerRecord {
  var processID: Int32
  /// The kernel's start time of the process in clock ticks, which tells it from a later one with the same id.
  var processStart: UInt64
  var url: String
  var startedAt: Timestamp
  var readyAfterMilliseconds: Int64
  /// How it was started, by the names of the capabilities' settings, with what is not theirs any more of servers before.
  var settings: CapabilitySettings

  /// Of the API.
  var port: Int? { url.lastIndex(of: ":").flatMap { Int(url[url.index(after: $0)...]) } }

  private static let own = ["url", "startedAt"]

  func write(to path: String) throws {
    var json: JSON = [
      "processID": .int(Int64(processID)), "processStart": .int(Int64(processStart)), "url": .string(url),
      "startedAt": .string(startedAt.rfc3339Micro), "readyAfterMilliseconds": .int(readyAfterMilliseconds),
    ]
    for (name, value) in settings.sorted(by: { $0.key < $1.key }) { json[name] = .string(value) }
    try DurableFile.write(Array(json.prettyPrinted().utf8), to: path, mode: 0o644)
  }

  /// `nil` when there is none.
  static func read(_ path: String) -> ServerRecord? {
    guard let bytes = try? DurableFile.read(path, limit: 1 << 16), let json = try? JSON.parse(bytes),
      let processID = json["processID"]?.int.flatMap(Int32.init(exactly:)),
      let processStart = json["processStart"]?.int.flatMap(UInt64.init(exactly:)), let url = json["url"]?.string,
      let startedAt = json["startedAt"]?.string.flatMap(Timestamp.init(rfc3339:)),
      let ready = json["readyAfterMilliseconds"]?.int
    else { return nil }
    var settings: CapabilitySettings = [:]
    for (name, value) in json.object?.members ?? [] where !own.contains(name) { settings[name] = value.string }
    return ServerRecord(
      processID: processID, processStart: processStart, url: url, startedAt: startedAt,
      readyAfterMilliseconds: ready, settings: settings)
  }

  /// Whether the process that wrote this still runs.
  var isAlive: Bool { ProcessStatistics(processID)?.startTicks == processStart }
}

/// What `/proc/PID/stat` and `/proc/PID/status` say.
struct ProcessStatistics {
  var startTicks: UInt64
  /// User and system time in clock ticks.
  var cpuTicks: UInt64
  var residentBytes: UInt64

  init?(_ processID: Int32) {
    guard let stat = try? DurableFile.read("/proc/\(processID)/stat", limit: 1 << 12),
      let status = try? DurableFile.read("/proc/\(processID)/status", limit: 1 << 16)
    else { return nil }
    // The command name stands in parentheses and may hold anything: fields are counted from its end.
    let text = String(decoding: stat, as: UTF8.self)
    guard let nameEnd = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: nameEnd)...].split(separator: " ")
    guard fields.count > 20, fields[0] != "Z", let user = UInt64(fields[11]), let system = UInt64(fields[12]),
      let start = UInt64(fields[19])
    else { return nil }
    startTicks = start
    cpuTicks = user + system
    let resident = String(decoding: status, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    residentBytes = resident?.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }.map { $0 * 1024 } ?? 0
  }
}
