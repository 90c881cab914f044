import Glibc
import Wire

/// What one server has of the machine beside its data directory: things of which there is one, whoever asks.
///
/// It is held for as long as anything may use it, not for as long as the server runs: containers, rules and the name
/// server outlive that. Only a purge gives it back, or a reboot, with which all of it goes.
public struct MachineClaim: Sendable, Equatable {
  /// The data directory, by its one name.
  public var directory: String
  /// The data directory's own mark: another directory at the same path is another owner.
  public var identity: String
  /// The server that took it last.
  public var processID: Int32
  /// Tells the process from a later one of the same number (`ProcessWatch.startTime`).
  public var processStart: UInt64
  /// Interfaces, tables and addresses are of one network namespace (`MachineClaims.networkNamespace`).
  public var networkNamespace: String
  /// What it has in that namespace.
  public var things: [Thing]
  /// The root of its cgroups, from the root of the hierarchies.
  public var cgroup: String
  public var runDirectory: String
  /// How the server was started, for a purge that finds nothing but the claim.
  public var settings: [String: String]

  /// Something of which a network namespace has one.
  public struct Thing: Sendable, Equatable {
    public enum Kind: String, Sendable {
      /// Nobody else may have the same.
      case name
      /// Addresses in CIDR notation, several ranges with commas between: nobody else may have one of them.
      case range
    }

    public var kind: Kind
    /// What it is, for people: `bridge`, `pod range`.
    public var noun: String
    public var value: String

    public init(_ kind: Kind, _ noun: String, _ value: String) {
      self.kind = kind
      self.noun = noun
      self.value = value
    }

    /// Whether nobody may have one while somebody else has the other.
    public func overlaps(_ other: Thing) -> Bool {
      guard kind == other.kind else { return false }
      return switch kind {
      case .name: noun == other.noun && value == other.value
      case .range: Self.overlap(value, other.value)
      }
    }

    private static func overlap(_ one: String, _ other: String) -> Bool {
      let theirs = other.split(separator: ",").compactMap { IPRange($0) }
      return one.split(separator: ",").compactMap { IPRange($0) }.contains { mine in
        theirs.contains { mine.overlaps($0) }
      }
    }
  }

  public init(
    directory: String, identity: String, processID: Int32, processStart: UInt64, networkNamespace: String,
    things: [Thing], cgroup: String, runDirectory: String, settings: [String: String] = [:]
  ) {
    self.directory = directory
    self.identity = identity
    self.processID = processID
    self.processStart = processStart
    self.networkNamespace = networkNamespace
    self.things = things
    self.cgroup = cgroup
    self.runDirectory = runDirectory
    self.settings = settings
  }

  /// Whether the server that took it still runs.
  public var isServed: Bool { ProcessWatch.startTime(of: processID) == processStart }

  /// What both would have, in words; empty when they can live beside one another.
  public func overlap(with other: MachineClaim) -> [String] {
    var words: [String] = []
    if networkNamespace == other.networkNamespace {
      for thing in things where other.things.contains(where: thing.overlaps) {
        words.append("the \(thing.noun) \(thing.value)")
      }
    }
    if cgroup == other.cgroup { words.append("the cgroup \(cgroup)") }
    if runDirectory == other.runDirectory { words.append("the folder \(runDirectory)") }
    return words
  }

  var json: JSON {
    [
      "directory": .string(directory), "identity": .string(identity), "processID": .int(Int64(processID)),
      "processStart": .string(String(processStart)), "networkNamespace": .string(networkNamespace),
      "things": .array(
        things.map { ["kind": .string($0.kind.rawValue), "noun": .string($0.noun), "value": .string($0.value)] }),
      "cgroup": .string(cgroup), "runDirectory": .string(runDirectory),
      "settings": .object(JSONObject(uniqueMembers: settings.sorted { $0.key < $1.key }.map { ($0, .string($1)) })),
    ]
  }

  /// `nil` when a field is missing or of another type.
  init?(json: JSON) {
    guard let directory = json["directory"]?.string, let identity = json["identity"]?.string,
      let processID = json["processID"]?.int.flatMap(Int32.init(exactly:)),
      let processStart = json["processStart"]?.string.flatMap({ UInt64($0) }),
      let networkNamespace = json["networkNamespace"]?.string, let cgroup = json["cgroup"]?.string,
      let runDirectory = json["runDirectory"]?.string
    else { return nil }
    var settings: [String: String] = [:]
    var things: [Thing] = []
    if let bridge = json["bridge"]?.string, let pods = json["podRange"]?.string,
      let services = json["serviceRange"]?.string
    {
      // As earlier versions wrote it; such a server may still run.
      things = [
        Thing(.name, "bridge", bridge), Thing(.range, "pod range", pods), Thing(.range, "service range", services),
      ]
      settings = ["bridgeName": bridge, "podCIDR": pods, "serviceCIDR": services]
    } else {
      // A claim that has lost something would let others have it.
      guard let entries = json["things"]?.array, let written = json["settings"]?.object else { return nil }
      for entry in entries {
        guard let kind = entry["kind"]?.string.flatMap(Thing.Kind.init), let noun = entry["noun"]?.string,
          let value = entry["value"]?.string
        else { return nil }
        things.append(Thing(kind, noun, value))
      }
      for (name, value) in written.members {
        guard let text = value.string else { return nil }
        settings[name] = text
      }
    }
    self.init(
      directory: directory, identity: identity, processID: processID, processStart: processStart,
      networkNamespace: networkNamespace, things: things, cgroup: cgroup, runDirectory: runDirectory, settings: settings
    )
  }
}

/// Why a claim is refused.
public struct MachineClaimError: Error, Sendable, Equatable, CustomStringConvertible {
  public var owner: MachineClaim
  /// What is the owner's already.
  public var things: [String]

  public init(owner: MachineClaim, things: [String]) {
    self.owner = owner
    self.things = things
  }

  public var description: String {
    let state = owner.isServed ? "process \(owner.processID)" : "stopped; what it started is still its own"
    return "\(things.joined(separator: ", ")): taken by the server of \(owner.directory) (\(state))"
  }
}

/// Every claim on this machine: one small file each, changed under one lock. The folder is only root's, so that nobody
/// else can hold the lock or make claims.
public struct MachineClaims: Sendable {
  private let folder: String
  private var claims: String { "\(folder)/claims" }

  public init(folder: String = "/run/apus") { self.folder = folder }

  /// Of this process.
  public static func networkNamespace() throws(SystemError) -> String {
    var status = stat()
    guard stat("/proc/self/ns/net", &status) == 0 else { throw .last("stat /proc/self/ns/net") }
    return "\(status.st_dev):\(status.st_ino)"
  }

  /// Those that can be read. A file with another name than its owner's is none: somebody has copied it. Blocks shortly, as
  /// all calls.
  public func all() -> [MachineClaim] {
    let names = ((try? Directory.list(claims)) ?? []).filter { $0.hasSuffix(".json") }
    return names.compactMap { name in
      guard let bytes = try? DurableFile.read("\(claims)/\(name)", limit: 1 << 16), let json = try? JSON.parse(bytes)
      else { return nil }
      return MachineClaim(json: json).flatMap { "\($0.identity).json" == name ? $0 : nil }
    }
  }

  public func claim(of directory: String) -> MachineClaim? { all().first { $0.directory == directory } }

  /// Takes a claim, or renews the directory's own.
  ///
  /// - Parameter isAbandoned: whether nothing of another claim's owner is left, neither its data nor anything that runs.
  /// - Returns: whether it is a new one, and the identities whose claims ended with it: what carries their mark is free.
  /// - Throws: `MachineClaimError` when another owner has some of it, or `SystemError`.
  public func take(
    _ claim: MachineClaim, isAbandoned: (MachineClaim) -> Bool
  ) throws -> (isNew: Bool, inherited: Set<String>) {
    precondition(!claim.identity.isEmpty && !claim.identity.contains("/"), "a claim's file is named after its owner")
    let lock = try lock()
    defer { withExtendedLifetime(lock) {} }
    var isNew = true
    var inherited: Set<String> = []
    for other in all() {
      if other.directory == claim.directory {
        // Another directory was at this path before: what it had is this one's.
        if other.identity == claim.identity { isNew = false } else { inherited.insert(other.identity) }
        continue
      }
      let things = claim.overlap(with: other)
      if things.isEmpty { continue }
      guard isAbandoned(other) else { throw MachineClaimError(owner: other, things: things) }
      inherited.insert(other.identity)
    }
    try Directory.create(claims, mode: 0o700)
    for identity in inherited { try Directory.removeTree(path(identity)) }
    try DurableFile.write(claim.json.serialized(), to: path(claim.identity), mode: 0o600)
    return (isNew, inherited)
  }

  /// Gives back what a directory has. What is not there counts as given back.
  public func release(_ directory: String) throws {
    guard access(claims, F_OK) == 0 else { return }
    let lock = try lock()
    defer { withExtendedLifetime(lock) {} }
    for claim in all() where claim.directory == directory { try Directory.removeTree(path(claim.identity)) }
  }

  private func path(_ identity: String) -> String { "\(claims)/\(identity).json" }

  /// Held for the time of a few small files: whoever has it longer hangs, or was stopped.
  private func lock() throws -> FileLock {
    try Directory.create(folder, mode: 0o711)
    let end = ContinuousClock.now + .seconds(10)
    while true {
      let failure: FileLockError
      do { return try FileLock.acquire("\(folder)/machine.lock") } catch { failure = error }
      guard failure.isHeld, ContinuousClock.now < end else { throw failure }
      usleep(5000)
    }
  }
}
