import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Wire

/// One change of the catalog, with the files that belong to it: what a call of `ContentStore.write` works on.
///
/// SQLite's write lock is held from its beginning to its end, by one process at a time. Blobs get their names, and lose
/// them, inside; so a row and its file come and go together, whoever else looks.
final class Transaction {
  let catalog: Catalog
  let root: String
  /// Microseconds since 1970.
  let now: Int64
  /// Files that got a name in this change, and had none before.
  fileprivate(set) var placed: [Digest] = []
  fileprivate(set) var folders: Set<Digest.Algorithm> = []
  /// What was moved away to be removed after the commit: it goes back when the commit fails.
  fileprivate(set) var taken: [(from: String, to: String)] = []
  /// Tags came, went or moved.
  var hasNewNames = false
  /// Bytes were added to a repository, so that its quota must be looked at.
  var grown: Set<Int64> = []
  /// What is done when the change is durable; not done when it fails.
  var afterCommit: [@Sendable () -> Void] = []
  let faults: Faults

  init(catalog: Catalog, root: String, now: Int64, faults: Faults) {
    self.catalog = catalog
    self.root = root
    self.now = now
    self.faults = faults
  }

  func blobPath(_ digest: Digest) -> String { "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

  /// Where a blob's file waits until its deletion has been committed. One process deletes at a time (`garbage.lock`).
  func removedPath(_ digest: Digest) -> String {
    "\(root)/work/removed-\(digest.algorithm.rawValue)-\(digest.hex)"
  }

  /// Moves a file or folder away; it comes back when the commit fails.
  func moveAway(_ path: String, to target: String) throws(OCIError) {
    guard rename(path, target) == 0 else {
      if errno == ENOENT { return }
      throw OCIError(SystemError.last("move \(path) away"))
    }
    taken.append((path, target))
    try faults.reach(.purged)
  }

  /// Moves a file or folder away, to be removed after the commit, because that may take long.
  func takeAway(_ path: String, to removed: String) throws(OCIError) {
    try moveAway(path, to: removed)
    afterCommit.append { try? Directory.removeTree(removed) }
  }

  // MARK: Blobs

  /// The row of a digest, which is made when there is none.
  func blobID(_ digest: Digest) throws(OCIError) -> Int64 {
    if let id = try catalog.blobID(digest) { return id }
    try catalog.run("INSERT INTO blob (digest, state) VALUES (?1, 0)", .init(digest))
    return try catalog.first("SELECT last_insert_rowid()") { row in row.integer(0) } ?? 0
  }

  /// The row of a blob that is here; one that waits in the trash is taken out of it. `nil`: it is not here.
  func presentBlob(_ digest: Digest) throws(OCIError) -> (id: Int64, size: Int64)? {
    let row = try catalog.first("SELECT id, size, state FROM blob WHERE digest = ?1", .init(digest)) { row in
      (id: row.integer(0), size: row.integer(1), state: Catalog.BlobState(rawValue: row.integer(2)))
    }
    guard let row else { return nil }
    switch row.state {
    case .present: return (row.id, row.size)
    case .trashed: return try revive(row.id, digest) ? (row.id, row.size) : nil
    case .absent, .damaged, nil: return nil
    }
  }

  /// Takes a blob out of the trash; `false` when its file is gone after all.
  private func revive(_ id: Int64, _ digest: Digest) throws(OCIError) -> Bool {
    // A process that died in the middle of deleting it may have moved the file away.
    let isHere = access(blobPath(digest), F_OK) == 0 || rename(removedPath(digest), blobPath(digest)) == 0
    if isHere { folders.insert(digest.algorithm) }
    try catalog.run("UPDATE blob SET state = ?2, trashed = 0 WHERE id = ?1", .init(id), isHere ? 1 : 0)
    return isHere
  }

  /// Gives a synced file the name of its digest, unless the blob is here already. `path` goes with the commit.
  func place(_ path: String, _ digest: Digest, size: Int64) throws(OCIError) -> Int64 {
    if let (id, _) = try presentBlob(digest) {
      var status = stat()
      // One of another size was damaged by the disk: the new one, which is verified, takes its place.
      if stat(blobPath(digest), &status) == 0, Int64(status.st_size) == size {
        afterCommit.append { _ = unlink(path) }
        return id
      }
      try name(path, digest)
      return id
    }
    let id = try blobID(digest)
    try name(path, digest)
    placed.append(digest)
    try faults.reach(.placed)
    try catalog.run(
      "UPDATE blob SET state = 1, trashed = 0, size = ?2, verified = ?3 WHERE id = ?1", .init(id), .init(size),
      .init(now))
    return id
  }

  /// The staged name stays until the commit, so that the caller still has its file when the commit fails.
  private func name(_ path: String, _ digest: Digest) throws(OCIError) {
    // A file of this name that is no blob of ours is what a crash left, or damaged.
    _ = unlink(blobPath(digest))
    guard Glibc.link(path, blobPath(digest)) == 0 else {
      throw OCIError(SystemError.last("store \(blobPath(digest))"))
    }
    folders.insert(digest.algorithm)
    afterCommit.append { _ = unlink(path) }
  }

  // MARK: Repositories

  func repositoryID(_ repository: Repository) throws(OCIError) -> Int64 {
    if let id = try catalog.repositoryID(repository) { return id }
    try catalog.run(
      "INSERT INTO repository (host, path) VALUES (?1, ?2)", .init(repository.host), .init(repository.path))
    return try catalog.first("SELECT last_insert_rowid()") { row in row.integer(0) } ?? 0
  }

  func link(_ blob: Int64, in repository: Int64) throws(OCIError) {
    let added = try catalog.run(
      "INSERT INTO link (repository, blob, touched) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", .init(repository),
      .init(blob), .init(now))
    if added > 0 {
      grown.insert(repository)
    } else {
      try catalog.run(
        "UPDATE link SET touched = ?3 WHERE repository = ?1 AND blob = ?2", .init(repository), .init(blob), .init(now))
    }
  }

  func setTag(_ name: String, _ blob: Int64, in repository: Int64) throws(OCIError) {
    try removeTag(name, in: repository)
    try catalog.run(
      "INSERT INTO tag (repository, name, blob, updated) VALUES (?1, ?2, ?3, ?4)", .init(repository), .init(name),
      .init(blob), .init(now))
    hasNewNames = true
  }

  /// What the tag named is untagged from now on: its grace begins.
  @discardableResult
  func removeTag(_ name: String, in repository: Int64) throws(OCIError) -> Bool {
    try catalog.run(
      """
      UPDATE manifest SET touched = ?3 WHERE repository = ?1
        AND blob = (SELECT blob FROM tag WHERE repository = ?1 AND name = ?2)
      """, .init(repository), .init(name), .init(now))
    let removed = try catalog.run(
      "DELETE FROM tag WHERE repository = ?1 AND name = ?2", .init(repository), .init(name))
    if removed > 0 { hasNewNames = true }
    return removed > 0
  }

  /// Throws when a repository that grew has more than its quotas allow.
  func checkQuotas() throws(OCIError) {
    guard !grown.isEmpty, try catalog.exists("SELECT 1 FROM quota LIMIT 1") else { return }
    for id in grown {
      let repository = try catalog.first("SELECT host, path FROM repository WHERE id = ?1", .init(id)) { row in
        Repository(host: row.text(0), path: row.text(1))
      }
      if let repository { try catalog.checkQuota(of: repository, adding: 0) }
    }
  }
}

extension Catalog {
  func usage(host: String, prefix: String) throws(OCIError) -> Int64 {
    if prefix.isEmpty {
      return try first("SELECT ifnull(sum(bytes), 0) FROM repository WHERE host = ?1", Value(host)) { row in
        row.integer(0)
      } ?? 0
    }
    // '0' follows '/' in ASCII.
    return try first(
      """
      SELECT ifnull(sum(bytes), 0) FROM repository
        WHERE host = ?1 AND (path = ?2 OR (path > ?2 || '/' AND path < ?2 || '0'))
      """, Value(host), Value(prefix)
    ) { row in row.integer(0) } ?? 0
  }

  /// - Parameter unfinished: bytes below a prefix that are not stored yet.
  func checkQuota(
    of repository: Repository, adding bytes: Int64, unfinished: (_ prefix: String) -> Int64 = { _ in 0 }
  ) throws(OCIError) {
    let quotas = try all(
      """
      SELECT prefix, bytes FROM quota WHERE host = ?1
        AND (prefix = '' OR prefix = ?2 OR prefix || '/' = substr(?2, 1, length(prefix) + 1))
      """, Value(repository.host), Value(repository.path)
    ) { row in (prefix: row.text(0), max: row.integer(1)) }
    for quota in quotas {
      let used = try usage(host: repository.host, prefix: quota.prefix) + unfinished(quota.prefix)
      guard used + bytes <= quota.max else {
        let whose = quota.prefix.isEmpty ? "of all repositories" : "of \(quota.prefix)"
        throw OCIError(
          .quotaExceeded,
          "there would be \(used + bytes) bytes, but the quota \(whose) allows \(quota.max); "
            + "delete tags that are not needed, or ask for a larger quota")
      }
    }
  }
}

/// Points at which a test lets the process die or a call fail.
struct Faults: Sendable {
  enum Point: Sendable, CaseIterable {
    /// A blob has its name, its row is not written yet.
    case placed
    /// Everything of a group is done, but not committed.
    case beforeCommit
    /// Committed, but nobody has been told.
    case afterCommit
    /// A blob's file has been moved away, its row is still there.
    case purged
  }

  /// Throwing `crash` is the death of the process: nothing is cleaned up, and every later call fails.
  static let crash = OCIError(.closed, "the process died")

  var reach: @Sendable (Point) throws(OCIError) -> Void = { (_: Point) throws(OCIError) in }
  /// Called between a look without a lock and the change that follows from it: where others come between.
  var pause: @Sendable () -> Void = {}
}

/// Makes changes one after the other, and those that wait at the same time durable together.
///
/// There is no thread of its own: of the threads that wait, one works for all that were there when it began, while the
/// next ones gather. A single caller pays for no switch of threads, and a hundred parallel ones share one fsync.
///
/// `@unchecked Sendable`: `queue`, `isBusy` and `isClosed` are touched with `mutex` held, `catalog` by the one thread
/// that set `isBusy`.
final class CatalogWriter: @unchecked Sendable {
  private final class Request {
    let work: (Transaction) throws(OCIError) -> Void
    var failure: OCIError?
    var isDone = false

    init(work: @escaping (Transaction) throws(OCIError) -> Void) { self.work = work }
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [Request] = []
  private var isBusy = false
  private var isClosed = false
  private var catalog: Catalog?
  private let root: String
  private let time: any TimeSource
  private let isDurable: Bool
  private let faults: Faults
  private let namesChanged: @Sendable () -> Void

  private static let groupMax = 256
  /// Pages of the log (4 KiB each) after which it is copied into the database, at once or when nobody waits.
  private static let logPagesMax = 8192
  private static let logPagesIdle = 1024

  init(
    catalog: Catalog, root: String, time: any TimeSource, isDurable: Bool, faults: Faults,
    namesChanged: @escaping @Sendable () -> Void
  ) {
    self.catalog = catalog
    self.root = root
    self.time = time
    self.isDurable = isDurable
    self.faults = faults
    self.namesChanged = namesChanged
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Durable when it returns; when it throws, nothing has changed. `body` may run on the thread of another caller. It
  /// must not call this method.
  @discardableResult
  func perform<T: Sendable>(
    _ body: @escaping @Sendable (Transaction) throws(OCIError) -> T
  ) throws(OCIError) -> T {
    var result: T?
    let request = Request { (transaction: Transaction) throws(OCIError) in result = try body(transaction) }
    try wait(for: request)
    guard let result else { throw OCIError(.closed, "the image store is closed") }
    return result
  }

  private func wait(for request: Request) throws(OCIError) {
    pthread_mutex_lock(mutex)
    if isClosed {
      pthread_mutex_unlock(mutex)
      throw OCIError(.closed, "the image store is closed")
    }
    queue.append(request)
    while !request.isDone {
      if isBusy {
        pthread_cond_wait(condition, mutex)
        continue
      }
      isBusy = true
      let group = Array(queue.prefix(CatalogWriter.groupMax))
      queue.removeFirst(group.count)
      pthread_mutex_unlock(mutex)
      run(group)
      pthread_mutex_lock(mutex)
      for request in group { request.isDone = true }
      isBusy = false
      pthread_cond_broadcast(condition)
    }
    pthread_mutex_unlock(mutex)
    if let failure = request.failure { throw failure }
  }

  /// Waits for those that work; later calls fail.
  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    while isBusy || !queue.isEmpty { pthread_cond_wait(condition, mutex) }
    catalog = nil
    pthread_mutex_unlock(mutex)
  }

  private func run(_ group: [Request]) {
    guard let catalog else {
      for request in group { request.failure = OCIError(.closed, "the image store is closed") }
      return
    }
    var transactions: [Transaction] = []
    do throws(OCIError) {
      try catalog.run("BEGIN IMMEDIATE")
      let now = time.now().microseconds
      for request in group {
        let transaction = Transaction(catalog: catalog, root: root, now: now, faults: faults)
        transactions.append(transaction)
        if let failure = try perform(request, transaction) { request.failure = failure }
      }
      try sync(transactions)
      try faults.reach(.beforeCommit)
      try catalog.run("COMMIT")
      try faults.reach(.afterCommit)
    } catch {
      if catalog.connection.isInTransaction { _ = try? catalog.run("ROLLBACK") }
      // Also those that failed: they were compared with changes that have not happened.
      for request in group { request.failure = error }
      guard error != Faults.crash else {
        self.catalog = nil
        return
      }
      // A checkpoint lets the log start again from its beginning, in space that it has already.
      if error.code == .diskFull { catalog.connection.checkpoint() }
      undo(transactions)
      return
    }
    for (request, transaction) in zip(group, transactions) where request.failure == nil {
      for action in transaction.afterCommit { action() }
    }
    if zip(group, transactions).contains(where: { $0.failure == nil && $1.hasNewNames }) { namesChanged() }
    let pages = catalog.connection.logPages
    if pages >= CatalogWriter.logPagesMax || (pages >= CatalogWriter.logPagesIdle && group.count == 1) {
      catalog.connection.checkpoint()
    }
  }

  /// Runs one of a group; its error is returned when the others can go on without it, else thrown.
  private func perform(_ request: Request, _ transaction: Transaction) throws(OCIError) -> OCIError? {
    let catalog = transaction.catalog
    try catalog.run("SAVEPOINT one")
    do throws(OCIError) {
      try request.work(transaction)
      try transaction.checkQuotas()
      try catalog.run("RELEASE one")
      return nil
    } catch {
      // SQLite takes a whole transaction back when the disk is full.
      guard catalog.connection.isInTransaction, error != Faults.crash else { throw error }
      try catalog.run("ROLLBACK TO one")
      try catalog.run("RELEASE one")
      // The write lock is still held: nobody can have begun to use these files.
      for digest in transaction.placed { _ = unlink(transaction.blobPath(digest)) }
      for (path, removed) in transaction.taken { _ = rename(removed, path) }
      transaction.placed = []
      transaction.taken = []
      transaction.afterCommit = []
      return error
    }
  }

  /// Makes the blobs' new names durable, before the rows that promise them are.
  private func sync(_ transactions: [Transaction]) throws(OCIError) {
    guard isDurable else { return }
    for algorithm in transactions.reduce(into: Set<Digest.Algorithm>(), { $0.formUnion($1.folders) }) {
      let path = "\(root)/blobs/\(algorithm.rawValue)"
      try system { () throws(SystemError) in try Directory.sync(path) }
    }
  }

  /// Brings the files back to what the catalog says after a commit that failed. Under the write lock, because another
  /// process may have stored the same blobs meanwhile. What cannot be done now, the next collection does.
  private func undo(_ transactions: [Transaction]) {
    let placed = transactions.flatMap(\.placed)
    let taken = transactions.flatMap(\.taken)
    guard !placed.isEmpty || !taken.isEmpty, let catalog, (try? catalog.run("BEGIN IMMEDIATE")) != nil else { return }
    defer { _ = try? catalog.run("ROLLBACK") }
    // What is there again is newer.
    for (path, removed) in taken where access(path, F_OK) != 0 { _ = rename(removed, path) }
    for digest in placed {
      let path = "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)"
      if (try? catalog.hasFile(digest)) == false { _ = unlink(path) }
    }
  }
}

extension Catalog {
  /// Whether a blob's file belongs to the store.
  func hasFile(_ digest: Digest) throws(OCIError) -> Bool {
    try exists("SELECT 1 FROM blob WHERE digest = ?1 AND state IN (1, 2)", Value(digest))
  }
}
