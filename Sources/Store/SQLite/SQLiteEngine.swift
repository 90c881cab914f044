import Glibc
import KubeTypes
import LinuxSystem

/// Keeps a store in a folder: a SQLite database, the witness of its last revision, and a reserve of space.
struct SQLiteEngine: Engine {
  private let database: Database
  private let checkpointer: Checkpointer
  private let witness: Witness
  /// Of the rows on disk.
  private var digest: RowDigest
  private let reserve: DiskReserve
  private let checkpointPages: Int
  /// Of the folder, until the database is closed.
  private var lock: FileLock?
  /// The reserve has been given back: nothing new is made until it can be taken again, so that what there is can still be
  /// changed and deleted.
  private(set) var isShort: Bool

  /// Opens the folder, which is made when it is missing and may be, and reads everything into memory.
  ///
  /// - Parameters:
  ///   - expected: what is known of it: one that was there and is not is refused.
  ///   - verify: looks at a whole value of a database that has no checksums yet, once.
  ///   - header: parses the header of a stored value, on several threads at a time; a value for which it throws is
  ///     damaged.
  /// - Throws: `locked` when another process has it open, `lost`, `foreign`, `damaged`, `corrupt`, `diskFull`, `io`.
  static func open(
    directory: String, options: StoreOptions, expected: Store.Expectation,
    verify: @escaping @Sendable ([UInt8]) throws -> Void, header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) throws(StoreError) -> (engine: SQLiteEngine, content: EngineContent) {
    if expected.mayBeMissing, mkdir(directory, 0o700) != 0, errno != EEXIST {
      throw .io("cannot make \(directory): \(String(cString: strerror(errno)))")
    }
    let lock: FileLock
    do {
      lock = try FileLock.acquire(directory: directory)
    } catch {
      if error.errno == ENOENT { throw .lost(path: directory, reason: "is not there") }
      throw error.isHeld ? .locked(path: directory, holder: error.holder) : .io(error.description)
    }
    let reserve = DiskReserve(path: directory + "/reserve", bytes: options.reserveBytes)
    // Opening a database takes space for its log.
    let isShort =
      options.reserveBytes > 0 && reserve.isNeeded
      // It may have been given back before this start.
      && (reserve.release() || access(directory + "/reserve", F_OK) == 0)
    if !isShort, options.reserveBytes > 0 { _ = reserve.fill() }

    let path = directory + "/state.db"
    var database = try Database(path: path, expected: expected, verify: verify)
    var content = try database.load(salvages: options.acceptsLoss, header: header)
    let (witness, found) = try Witness.open(directory + "/revision", cluster: database.cluster)
    var notices: [String] = []
    if isShort { notices.append("the disk is full: only changes and deletions are taken until there is space") }
    let losses = losses(content, found)
    if !losses.isEmpty {
      guard options.acceptsLoss else { throw .damaged(path: path, losses: losses) }
      // No revision is given twice.
      if case .revision(let answered) = found { content.revision = max(content.revision, answered) }
      let cluster = database.cluster
      database.closeConnection()
      let kept = folderForDamage(in: directory)
      try DamagedRow.keep(content.damaged, in: kept)
      try Database.replace(path, by: content, cluster: cluster, keeping: kept)
      database = try Database(path: path, expected: expected, verify: verify)
      notices += losses.map { "accepted: \($0)" }
    }
    if found == .unreadable { notices.append("\(directory)/revision cannot be read: it is written again") }
    if found == .absent, content.revision > 0, expected != .any {
      notices.append("\(directory)/revision was not there: it is written again")
    }
    witness.note(content.revision)

    let engine = SQLiteEngine(
      database: database, checkpointer: try Checkpointer(path: path, copied: { witness.sync() }), witness: witness,
      digest: content.digest, reserve: reserve, checkpointPages: options.checkpointPages, lock: lock, isShort: isShort)
    return (
      engine,
      EngineContent(
        entries: content.entries, revision: content.revision, cluster: database.cluster, notices: notices)
    )
  }

  /// A folder of its own for each damage: what an earlier one left is kept.
  private static func folderForDamage(in directory: String) -> String {
    var folder = directory + "/damaged"
    var number = 1
    while access(folder + "/state.db", F_OK) == 0 {
      number += 1
      folder = "\(directory)/damaged-\(number)"
    }
    return folder
  }

  /// What was answered once and is not there, a line each.
  private static func losses(_ content: Database.Content, _ found: Witness.Found) -> [String] {
    let namedMax = 20
    var losses = content.damaged.prefix(namedMax).map(\.description)
    if content.damaged.count > namedMax { losses.append("and \(content.damaged.count - namedMax) more objects") }
    losses += content.problems
    if case .revision(let answered) = found, answered > content.revision {
      losses.append(
        "it ends at revision \(content.revision), but revision \(answered) was answered: its log is missing or damaged, "
          + "or it is an older copy")
    }
    return losses
  }

  var place: String { database.path }

  /// The log is taken care of by the writer thread only: when it is long, the next commit has to go there.
  var isPrompt: Bool { database.logPages < checkpointPages }

  func start() {
    if !isShort { database.reserveLog(pages: 2 * checkpointPages + 64) }
  }

  mutating func regainSpace() {
    if isShort, reserve.fill() { isShort = false }
  }

  mutating func write(_ events: [Store.Event]) throws(StoreError) {
    guard let last = events.last else { return }
    do throws(StoreError) {
      var digest = digest
      try database.beginTransaction()
      for event in events {
        let entry = event.entry
        if let previous = event.previous { digest.remove(previous) }
        switch event.kind {
        case .put(created: true):
          try database.insert(entry)
          digest.add(entry)
        case .put(created: false):
          try database.update(entry)
          digest.add(entry)
        case .delete: try database.delete(created: entry.createRevision)
        }
      }
      try database.commitTransaction(revision: last.entry.revision, digest: digest)
      self.digest = digest
    } catch {
      database.rollback()
      throw error
    }
    witness.note(last.entry.revision)
  }

  mutating func makeSpace() -> Bool {
    // A checkpoint lets the log start again from its beginning, in space that it has already.
    database.checkpoint()
    guard reserve.release() else { return false }
    isShort = true
    return true
  }

  /// Has the log copied when it is long, and copies the rest itself when that is done: SQLite starts the log again only
  /// when all of it has been copied, which a thread beside the writer never achieves.
  func maintain() {
    let pages = database.logPages
    if pages >= 2 * checkpointPages || checkpointer.takeFinished() {
      database.checkpoint()
    } else if pages >= checkpointPages {
      checkpointer.request()
    }
  }

  mutating func close() {
    checkpointer.close()
    database.closeConnection()
    witness.sync()
    lock = nil
  }
}
