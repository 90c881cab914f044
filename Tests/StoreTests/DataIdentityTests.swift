import Glibc
import LinuxSystem
import Testing

@testable import Store

/// The assumption that failed: "what is not there was never there". A data directory is new only when nothing of it is.
struct DataIdentityTests {
  private let base = TemporaryFolder()

  private func folders(_ root: String = "data", _ runtime: String = "h1") -> DataIdentity.Folders {
    let path = "\(base.path)/\(root)"
    return DataIdentity.Folders(
      root: path, state: path + "/state", keys: path + "/pki",
      filled: [(path + "/containers", ["containers", "sandboxes"]), (path + "/node", ["pods"])],
      runtime: "\(base.path)/run/\(runtime)", runtimes: base.path + "/run", running: ["ns"])
  }

  private let keys = ["ca.crt": "11", "sa.key": "22"]

  /// A data directory as a server fills it, with an object and a running pod.
  private func fill(_ folders: DataIdentity.Folders, _ cluster: String = "c1") async throws {
    try Directory.create(folders.root)
    let identity = try DataIdentity.read(folders, newCluster: cluster)
    #expect(identity.isNew && identity.cluster == cluster)
    try identity.begin()
    let store = try openStore(folders.state, expected: .new(cluster: cluster))
    try await store.commit([put("pods/default/web", "v")])
    store.close()
    try Directory.create(folders.keys)
    for file in ["ca.crt", "ca.key", "sa.key"] { writeFile("\(folders.keys)/\(file)", Array("key".utf8)) }
    try identity.settle(cluster: cluster, keys: keys)
    try Directory.create("\(folders.filled[0].folder)/containers/abc")
    try Directory.create("\(folders.runtime)/ns/uid")
  }

  /// As `apus up` does.
  private func open(_ folders: DataIdentity.Folders) throws -> (identity: DataIdentity, count: Int) {
    let identity = try DataIdentity.read(folders, newCluster: "fresh")
    let store = try openStore(
      folders.state,
      expected: identity.isNew
        ? .new(cluster: identity.candidate)
        : .existing(cluster: identity.cluster, otherwise: identity.candidate))
    defer { store.close() }
    return (identity, store.count)
  }

  private func refusal(_ folders: DataIdentity.Folders) -> String {
    do {
      let (identity, count) = try open(folders)
      return "not refused: isNew \(identity.isNew), \(count) objects"
    } catch { return "\(error)" }
  }

  @Test func whatWasFilledIsKnownAgain() async throws {
    let folders = folders()
    try await fill(folders)
    let (identity, count) = try open(folders)
    #expect(!identity.isNew && identity.cluster == "c1" && identity.keys == keys && identity.notices.isEmpty)
    #expect(count == 1)
    // A reboot takes the folder in memory away.
    try Directory.removeTree(base.path + "/run")
    #expect(try open(folders).count == 1)
  }

  /// Images may be imported and files written before the first start.
  @Test func imagesAndSettingsDoNotMakeItOld() throws {
    let folders = folders()
    for folder in ["images/blobs", "registry", "node/seccomp", "pki", "containers/containers", "state"] {
      try Directory.create("\(folders.root)/\(folder)")
    }
    writeFile(folders.root + "/registry.yaml", Array("x".utf8))
    #expect(try open(folders).identity.isNew)
  }

  @Test func aFillThatWasCutShortGoesOn() async throws {
    let folders = folders()
    try Directory.create(folders.root)
    try DataIdentity.read(folders, newCluster: "c1").begin()
    for step in 0..<3 {
      let identity = try DataIdentity.read(folders, newCluster: "c\(step + 2)")
      #expect(identity.isNew && identity.cluster == "c1")
      if step == 0 {
        try Directory.create(folders.state)
        writeFile(folders.state + "/state.db", [])
      }
      if step == 1 { #expect(try open(folders).count == 0) }
      if step == 2 { writeFile(folders.root + "/pki", []) }
    }
  }

  @Test(arguments: [
    "state.db absent", "state.db empty", "state.db and its log absent", "state absent", "state empty",
    "only the log is left", "only the log's index is left", "state is a dangling link",
    "everything but the keys is gone",
    "everything but the containers is gone", "everything is gone but what runs",
    "the root's mark is cut and state gone",
    "all marks and state.db are gone", "all marks are empty and state.db is", "state.db is cut to nothing after a kill",
    "state.db is a new one of SQLite", "state.db is zeros",
  ]) func aStoreThatIsGoneIsNeverMadeAnew(how: String) async throws {
    let folders = folders()
    try await fill(folders)
    let database = folders.state + "/state.db"
    let marks = folders.marked.map { ClusterMark.file(in: $0) }
    switch how {
    case "state.db absent": unlink(database)
    case "state.db empty": writeFile(database, [])
    case "state.db and its log absent":
      for suffix in ["", "-wal", "-shm"] { unlink(database + suffix) }
    case "state absent": try Directory.removeTree(folders.state)
    case "state empty":
      try Directory.removeTree(folders.state)
      try Directory.create(folders.state)
    case "only the log is left", "only the log's index is left":
      writeFile(database + (how.hasSuffix("log is left") ? "-wal" : "-shm"), Array("frames".utf8))
      unlink(database)
      for mark in marks { unlink(mark) }
    case "state is a dangling link":
      try Directory.removeTree(folders.state)
      symlink("/nowhere/at/all", folders.state)
    case "everything but the keys is gone":
      for folder in [folders.state, folders.filled[0].folder, folders.filled[1].folder, base.path + "/run"] {
        try Directory.removeTree(folder)
      }
      unlink(marks[0])
    case "everything but the containers is gone":
      for folder in [folders.state, folders.keys, folders.filled[1].folder, base.path + "/run"] {
        try Directory.removeTree(folder)
      }
      for mark in marks { unlink(mark) }
    case "everything is gone but what runs":
      // The disk is not mounted.
      try Directory.removeTree(folders.root)
      try Directory.create(folders.root)
    case "the root's mark is cut and state gone":
      writeFile(marks[0], Array(readFile(marks[0]).prefix(20)))
      try Directory.removeTree(folders.state)
    case "all marks and state.db are gone":
      unlink(database)
      for mark in marks { unlink(mark) }
    case "all marks are empty and state.db is":
      writeFile(database, [])
      for mark in marks { writeFile(mark, []) }
    case "state.db is cut to nothing after a kill":
      writeFile(database + "-wal", [UInt8](repeating: 7, count: 5000))
      writeFile(database, [])
    case "state.db is a new one of SQLite":
      unlink(database)
      try openStore(folders.state + "/../other").close()
      rename(folders.root + "/other/state.db", database)
    default: writeFile(database, [UInt8](repeating: 0, count: 8192))
    }
    let text = refusal(folders)
    #expect(text.contains("state"), "\(how): \(text)")
    #expect(!text.hasPrefix("not refused"), "\(how): \(text)")
    // Nothing was changed: a second start says the same, and the log is still there.
    #expect(refusal(folders) == text, "\(how)")
    if how.contains("after a kill") { #expect(readFile(database + "-wal").count == 5000) }
  }

  @Test func aStoreOfAnotherClusterIsRefused() async throws {
    try await fill(folders())
    let other = folders("other", "h2")
    try await fill(other, "c2")
    try Directory.removeTree(folders().state)
    rename(other.state, folders().state)
    #expect(refusal(folders()).contains("is of the cluster c2, and not of c1"))
  }

  @Test(arguments: ["pki", "containers", "node"]) func aFolderOfAnotherClusterIsRefused(name: String) async throws {
    try await fill(folders())
    let other = folders("other", "h2")
    try await fill(other, "c2")
    try Directory.removeTree("\(folders().root)/\(name)")
    rename("\(other.root)/\(name)", "\(folders().root)/\(name)")
    let text = refusal(folders())
    #expect(text.contains("\(folders().root)/\(name)/cluster") && text.contains("two clusters are mixed"), "\(text)")
  }

  @Test(arguments: ["absent", "empty", "cut", "flipped"]) func aMarkThatIsDamagedIsWrittenAgain(damage: String)
    async throws
  {
    let folders = folders()
    try await fill(folders)
    for folder in folders.marked {
      let file = ClusterMark.file(in: folder)
      var bytes = readFile(file)
      switch damage {
      case "absent": unlink(file)
      case "empty": writeFile(file, [])
      case "cut": writeFile(file, Array(bytes[..<30]))
      default:
        bytes[20] ^= 1
        writeFile(file, bytes)
      }
      let (identity, count) = try open(folders)
      #expect(!identity.isNew && identity.cluster == "c1" && identity.keys == keys && count == 1)
      #expect(identity.notices.contains { $0.contains(file) } || damage == "absent" && folder != folders.root)
      try identity.settle(cluster: "c1", keys: keys)
      #expect(try open(folders).identity.notices.isEmpty)
    }
    // All of them: the store says whose it is.
    for folder in folders.marked { unlink(ClusterMark.file(in: folder)) }
    let (identity, count) = try open(folders)
    #expect(!identity.isNew && identity.cluster == nil && count == 1)
  }

  @Test func aBackupIsTakenUpInAnEmptyDirectory() async throws {
    try await fill(folders())
    let restored = folders("restored", "h2")
    try Directory.create(restored.root)
    rename(folders().state, restored.state)
    rename(folders().keys, restored.keys)
    try Directory.removeTree(base.path + "/run")
    let (identity, count) = try open(restored)
    #expect(!identity.isNew && identity.cluster == "c1" && count == 1)
  }

  @Test func aCopyDoesNotRunBesideWhatItWasCopiedFrom() async throws {
    try await fill(folders())
    let copy = folders("copy", "h2")
    try Directory.create(copy.root)
    // As `cp -a` makes it, or the same directory by another mount.
    rename(folders().state, copy.state)
    try ClusterMark(cluster: "c1", isFilled: true).write(in: copy.root)
    let text = refusal(copy)
    #expect(text.contains("same cluster as \(folders().root)") && text.contains("--data \(folders().root)"), "\(text)")
    // When nothing of it runs any more, it has moved.
    try Directory.removeTree("\(folders().runtime)/ns/uid")
    #expect(try open(copy).count == 1)
  }

  @Test func aMarkIsReadAsItWasWritten() {
    let mark = ClusterMark(cluster: "5f0c", path: "/a b/c", keys: ["ca.crt": "12", "sa.key": "34"], isFilled: true)
    #expect(ClusterMark(mark.bytes) == mark)
    #expect(ClusterMark(ClusterMark(cluster: "x", isFilled: false).bytes)?.isFilled == false)
    for count in 0..<mark.bytes.count { #expect(ClusterMark(Array(mark.bytes[..<count])) == nil) }
    for index in mark.bytes.indices {
      for bit in 0..<8 {
        var bytes = mark.bytes
        bytes[index] ^= 1 << UInt8(bit)
        #expect(ClusterMark(bytes) == nil)
      }
    }
  }
}
