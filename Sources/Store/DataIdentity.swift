import Glibc
public import LinuxSystem

/// Tells a new data directory from one that has lost something: the one reader for the store, the keys, the containers
/// and the node.
///
/// A data directory is new when none of its folders carries a mark (`ClusterMark`) and none holds what a cluster leaves
/// there. Otherwise it was filled, and what is missing from it is lost: it is never made anew without being asked for.
public struct DataIdentity: Sendable {
  /// The folders that carry the mark.
  public struct Folders: Sendable {
    public var root: String
    public var state: String
    public var keys: String
    /// Folders that carry the mark, too, each with the folders in it that only a cluster fills.
    public var filled: [(folder: String, inside: [String])]
    /// In memory: it tells of what runs until the next boot.
    public var runtime: String
    /// The folder of all data directories' `runtime`.
    public var runtimes: String
    /// Folders in a `runtime`: one that holds something tells that pods run.
    public var running: [String]
    /// The store is not in `state`: whether it is there is known when it is opened.
    public var isStoreElsewhere: Bool

    public init(
      root: String, state: String, keys: String, filled: [(folder: String, inside: [String])], runtime: String,
      runtimes: String, running: [String], isStoreElsewhere: Bool = false
    ) {
      self.root = root
      self.state = state
      self.keys = keys
      self.filled = filled
      self.runtime = runtime
      self.runtimes = runtimes
      self.running = running
      self.isStoreElsewhere = isStoreElsewhere
    }

    var marked: [String] { [root, keys] + filled.map(\.folder) + [runtime] }
  }

  /// `nil` when no folder says whose they are, but the store may: it was made by an earlier version, or copied here.
  public let cluster: String?
  /// The id for a store that has none.
  public let candidate: String
  /// Whether nothing was kept here before.
  public let isNew: Bool
  /// Fingerprints of the keys, by their files, as far as they are known.
  public let keys: [String: String]
  /// What is unusual and no reason to refuse: for the log.
  public let notices: [String]
  private let folders: Folders

  /// Reads the marks, and looks at what is there. It changes nothing.
  ///
  /// - Parameter newCluster: a random id, should one be needed.
  /// - Throws: when folders are of different clusters, when the store is gone although others are there, and when the
  ///   cluster lives somewhere else on this machine.
  public static func read(_ folders: Folders, newCluster: String) throws(DataIdentityError) -> DataIdentity {
    let readings = folders.marked.map { (folder: $0, reading: ClusterMark.read(in: $0)) }
    let marks = readings.compactMap { entry in entry.reading.mark.map { (folder: entry.folder, mark: $0) } }
    let unreadable = readings.filter { $0.reading == .unreadable }.map { ClusterMark.file(in: $0.folder) }
    let evidence = evidence(folders)

    guard let first = marks.first else {
      if let found = unreadable.first ?? evidence.first {
        guard hasStore(folders) else { throw .lost(folders.state, because: found) }
        return DataIdentity(
          cluster: nil, candidate: newCluster, isNew: false, keys: [:],
          notices: unreadable.map { "\($0) cannot be read: it is written again" },
          folders: folders)
      }
      return DataIdentity(
        cluster: newCluster, candidate: newCluster, isNew: true, keys: [:], notices: [], folders: folders)
    }
    let cluster = first.mark.cluster
    if let other = marks.first(where: { $0.mark.cluster != cluster }) {
      throw .mixed(
        ClusterMark.file(in: first.folder), cluster, ClusterMark.file(in: other.folder), other.mark.cluster)
    }
    if let elsewhere = elsewhere(folders, cluster) { throw .livesElsewhere(folders.root, elsewhere) }
    let isNew = !marks.contains { $0.mark.isFilled } && unreadable.isEmpty
    // Before anything is written: the folder may be that of a disk that is not mounted.
    guard isNew || hasStore(folders) else { throw .lost(folders.state, because: ClusterMark.file(in: first.folder)) }
    var keys: [String: String] = [:]
    for (folder, mark) in marks {
      for (file, print) in mark.keys {
        if let other = keys[file], other != print { throw .mixedKeys(file, ClusterMark.file(in: folder)) }
        keys[file] = print
      }
    }
    var notices = unreadable.map { "\($0) cannot be read: it is written again" }
    // The others come and go: with a reboot, or when a backup is restored.
    if !isNew, case .absent = ClusterMark.read(in: folders.root) {
      notices.append("\(ClusterMark.file(in: folders.root)) was not there: it is written again")
    }
    return DataIdentity(
      cluster: cluster, candidate: newCluster, isNew: isNew, keys: keys, notices: notices, folders: folders)
  }

  /// Says durably that a new data directory is being filled; until `settle`, whatever is missing is made.
  public func begin() throws(SystemError) {
    guard isNew, let cluster else { return }
    try ClusterMark(cluster: cluster, isFilled: false).write(in: folders.root)
  }

  /// Says durably whose everything is. To be called when the store and the keys are there, before anything runs.
  public func settle(cluster: String, keys: [String: String]) throws(SystemError) {
    let mark = ClusterMark(cluster: cluster, keys: keys, isFilled: true)
    for folder in [folders.keys] + folders.filled.map(\.folder) + [folders.root] { try mark.write(in: folder) }
    try ClusterMark(cluster: cluster, path: folders.root, keys: keys, isFilled: true).write(in: folders.runtime)
  }

  /// A file or folder that only a cluster leaves, from each place where there is one. Images, the registry's and the
  /// administrator's files may be there before the first start.
  private static func evidence(_ folders: Folders) -> [String] {
    let files =
      ["\(folders.state)/state.db", "\(folders.state)/state.db-wal", "\(folders.state)/state.db-shm"]
      + ["ca.crt", "ca.key", "sa.key"].map { "\(folders.keys)/\($0)" }
    let filled = folders.filled.flatMap { entry in entry.inside.map { "\(entry.folder)/\($0)" } }
    return files.filter { access($0, F_OK) == 0 } + filled.filter { (try? Directory.list($0))?.isEmpty == false }
  }

  private static func hasStore(_ folders: Folders) -> Bool {
    if folders.isStoreElsewhere { return true }
    var status = stat()
    return stat("\(folders.state)/state.db", &status) == 0 && status.st_size > 0
  }

  /// The data directory of the same cluster whose containers may run on this machine: this one is a copy of it, or it by
  /// another mount.
  private static func elsewhere(_ folders: Folders, _ cluster: String) -> String? {
    for name in (try? Directory.list(folders.runtimes)) ?? [] {
      let other = "\(folders.runtimes)/\(name)"
      guard other != folders.runtime, let mark = ClusterMark.read(in: other).mark, mark.cluster == cluster,
        folders.running.contains(where: { (try? Directory.list("\(other)/\($0)"))?.isEmpty == false })
      else { continue }
      return mark.path ?? other
    }
    return nil
  }
}

/// Why a data directory is not taken up. The text names the files and says what to do.
public struct DataIdentityError: Error, Equatable, CustomStringConvertible {
  public let description: String

  static func lost(_ state: String, because found: String) -> DataIdentityError {
    DataIdentityError(
      description: """
        \(state)/state.db is gone or empty, but \(found) is there: this data directory is not new, its objects are lost.
        \(restore)
        """)
  }

  static func mixed(_ one: String, _ first: String, _ two: String, _ second: String) -> DataIdentityError {
    DataIdentityError(
      description: """
        \(one) is of the cluster \(first), \(two) of the cluster \(second): folders of two clusters are mixed.
        Put back the folders of one cluster. Nothing was changed, and containers that run go on.
        """)
  }

  static func mixedKeys(_ file: String, _ mark: String) -> DataIdentityError {
    DataIdentityError(
      description: """
        \(mark) tells of another \(file) than the marks beside it: keys of two clusters are mixed.
        Put back the folders of one cluster. Nothing was changed, and containers that run go on.
        """)
  }

  static func livesElsewhere(_ path: String, _ other: String) -> DataIdentityError {
    DataIdentityError(
      description: """
        \(path) is of the same cluster as \(other), whose containers run on this machine: one is a copy of the other, or \
        the same by another mount.
        Use --data \(other), or take that one away first: apus down --purge --data \(other)
        """)
  }

  /// What to do about a loss, for all that can be lost.
  public static let restore = """
    If it is on a disk that is not mounted, mount it; else restore it from a backup. To give it up and begin with an empty
    cluster: apus down --purge. Nothing was changed, and containers that run go on.
    """
}
