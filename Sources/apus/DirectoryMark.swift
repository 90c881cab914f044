import ControllerKit
import Glibc
import LinuxSystem
import Wire

/// What says that a directory is Apus' own: a small file that is written when Apus makes the directory or takes an empty
/// one. Nothing is deleted where there is none.
struct DirectoryMark: Equatable {
  static let name = ".apus"

  /// Told apart from every other data directory, also from a later one at the same path: 32 hexadecimal digits.
  var identity: String
  /// Where the directory was when it was marked.
  var path: String
  /// What was there before, such as a configuration that somebody had written: it is not Apus' to delete.
  var kept: [String]

  // MARK: - Taking

  /// Throws when the directory holds what is not Apus', or must never be a data directory. It changes nothing.
  static func check(_ data: DataDirectory) throws {
    if let reason = refusal(of: data.path) { throw Failure("\(data.path) \(reason); give another --data DIR") }
    if let mark = read(data) {
      let whereabouts = whereabouts(of: mark, data)
      if whereabouts == .moved,
        data.claims.all().contains(where: { $0.identity == mark.identity && $0.directory == mark.path })
      {
        throw Failure(
          """
          \(data.path) was \(mark.path) when what runs of it was started, and that is still there: move it back, or \
          restart the machine. Nothing was changed.
          """, code: .dataInUse)
      }
      guard whereabouts == .alsoThere else { return }
      throw Failure("\(data.path) is \(mark.path) by another name; use that one: --data \(mark.path)", code: .dataInUse)
    }
    var status = stat()
    if lstat(data.path, &status) != 0, errno == ENOENT { return }
    let others = try foreign(data).refused
    guard others.isEmpty else {
      throw Failure(
        """
        \(data.path) holds files that are not Apus': \(listed(others)). A data directory is Apus' alone, and a purge \
        deletes it: give an empty one, such as --data \(data.path)/apus
        """)
    }
  }

  /// Marks the directory, which is made when it is missing, or finds the mark that it has.
  static func take(_ data: DataDirectory) throws -> DirectoryMark {
    try check(data)
    try Directory.create(data.path, mode: 0o711)
    guard let mark = read(data) else {
      return try write(DirectoryMark(identity: newIdentity(), path: data.path, kept: foreign(data).kept), data)
    }
    switch whereabouts(of: mark, data) {
    case .here, .alsoThere: return mark
    // Another owner from here on: what the machine keeps for the first path is not this one's by its name.
    case .moved, .copied:
      return try write(DirectoryMark(identity: newIdentity(), path: data.path, kept: mark.kept), data)
    }
  }

  /// What a directory without a mark holds that Apus did not make: what is a reason not to take it, and what is only to be
  /// left alone.
  private static func foreign(_ data: DataDirectory) throws(SystemError) -> (refused: [String], kept: [String]) {
    let found = try Directory.list(data.path).filter { $0 != "lost+found" && $0 != name }
    func isThere(_ path: String) -> Bool { access("\(data.path)/\(path)", F_OK) == 0 }
    let entries = Dictionary(uniqueKeysWithValues: data.entries.map { ($0.name, $0) })
    let hasStore = isThere("state/state.db")
    // Restored from a backup, or filled by commands that need no server.
    let isOurs = entries.values.contains { entry in
      !entry.proofs.isEmpty && entry.proofs.allSatisfy { isThere("\(entry.name)/\($0)") }
    }
    // Files that a configuration names, such as one of passwords, belong to it.
    let configurations = entries.values.filter { $0.kind == .configuration }.map(\.name)
    let configured = configurations.map { (try? DurableFile.read(data.path + "/" + $0, limit: 1 << 20)) ?? [] }
    let mentioned = configured.map { String(decoding: $0, as: UTF8.self) }
    let people = found.filter { name in
      configurations.contains(name) || entries[name] == nil && mentioned.contains { $0.contains(name) }
    }
    let others = found.filter { name in
      if people.contains(name) || name == "apus.log" { return false }
      guard isOurs, let entry = entries[name] else { return true }
      return !hasStore && !isPlausible(entry, data)
    }
    // An earlier version marked nothing, and did not mind what else was there.
    return hasStore ? ([], people + others) : (others, people)
  }

  /// Whether a folder of one of our names is what Apus makes under it. A folder of pictures is called `images`, too.
  private static func isPlausible(_ entry: Footprint.Entry, _ data: DataDirectory) -> Bool {
    if entry.signs.isEmpty { return true }
    guard let inside = try? Directory.list("\(data.path)/\(entry.name)") else { return false }
    return inside.isEmpty || entry.signs.contains(where: inside.contains)
  }

  private static func newIdentity() -> String {
    var generator = SystemRandomNumberGenerator()
    let parts = (0..<2).map { _ in String(generator.next() as UInt64, radix: 16) }
    return parts.map { String(repeating: "0", count: 16 - $0.count) + $0 }.joined()
  }

  private static func write(_ mark: DirectoryMark, _ data: DataDirectory) throws -> DirectoryMark {
    let json: JSON = [
      "about": "This directory is Apus' own: `apus down --purge` deletes what Apus keeps in it.",
      "identity": .string(mark.identity), "path": .string(mark.path), "kept": .array(mark.kept.map { .string($0) }),
    ]
    try DurableFile.write(Array((json.prettyPrinted() + "\n").utf8), to: data.mark, mode: 0o600)
    return mark
  }

  /// Puts the mark of a directory back that was deleted while things of it live, so that a purge can end them.
  static func restore(_ identity: String, _ data: DataDirectory) throws -> DirectoryMark {
    try Directory.create(data.path, mode: 0o711)
    return try write(DirectoryMark(identity: identity, path: data.path, kept: []), data)
  }

  // MARK: - Finding

  /// `nil` when there is none that can be read.
  static func read(_ data: DataDirectory) -> DirectoryMark? {
    var status = stat()
    // Only a plain file of root's, or of whoever asks: a mark is believed.
    guard lstat(data.mark, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_uid == 0 || status.st_uid == geteuid(), let bytes = try? DurableFile.read(data.mark, limit: 1 << 16),
      let json = try? JSON.parse(bytes), let identity = json["identity"]?.string, let path = json["path"]?.string,
      identity.utf8.count == 32, identity.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else { return nil }
    return DirectoryMark(identity: identity, path: path, kept: (json["kept"]?.array ?? []).compactMap(\.string))
  }

  enum Whereabouts {
    case here
    /// The same directory has two paths, by a mount.
    case alsoThere
    case moved
    case copied
  }

  static func whereabouts(of mark: DirectoryMark, _ data: DataDirectory) -> Whereabouts {
    if mark.path == data.path { return .here }
    // The old path leads here by a link: it was moved, and has one name.
    if (try? Directory.resolve(mark.path)) == data.path { return .moved }
    var (here, there) = (stat(), stat())
    guard stat(data.path, &here) == 0, stat(mark.path, &there) == 0 else { return .moved }
    if here.st_dev == there.st_dev, here.st_ino == there.st_ino { return .alsoThere }
    return read(DataDirectory(path: mark.path))?.identity == mark.identity ? .copied : .moved
  }

  /// Why the path can be no data directory, whatever is in it; `nil` when it can.
  static func refusal(of path: String) -> String? {
    if path == "/" { return "is the root of the file system" }
    var homes = homes()
    if let home = getenv("HOME") { homes.append(String(cString: home)) }
    if homes.contains(path) { return "is a home directory" }
    return nil
  }

  /// Those of root and of people (`/etc/passwd`); a service's home may be its data directory.
  private static func homes() -> [String] {
    let bytes = (try? DurableFile.read("/etc/passwd", limit: 16 << 20)) ?? []
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      guard fields.count > 5, let uid = Int(fields[2]), uid == 0 || (1000..<60000).contains(uid), fields[5].count > 1
      else {
        return nil
      }
      return String(fields[5])
    }
  }

  static func listed(_ names: [String]) -> String {
    names.count <= 5
      ? names.joined(separator: ", ") : names.prefix(4).joined(separator: ", ") + " and \(names.count - 4) more"
  }
}

extension DataDirectory {
  var mark: String { "\(path)/\(DirectoryMark.name)" }
}
