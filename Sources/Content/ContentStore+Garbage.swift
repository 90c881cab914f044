import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Synchronization
import Wire

/// How long what nobody needs is kept. All of it is counted by the store's clock.
public struct GarbageOptions: Sendable, Equatable {
  /// How long a manifest without a tag stays after it was put or lost its last tag; `nil`: until it is deleted.
  public var untaggedGrace: Duration? = .seconds(24 * 3600)
  /// How long a blob stays in a repository for a manifest that refers to it, and a manifest whose `subject` is not there
  /// for that. More than five minutes: a blob that was asked for is kept for this long less five minutes.
  public var unreferencedGrace: Duration = .seconds(24 * 3600)
  /// How long what has been deleted or collected can be restored.
  public var trashPeriod: Duration = .seconds(24 * 3600)

  public init() {}
}

/// What a collection has done.
public struct GarbageReport: Sendable, Equatable {
  /// Manifests that went to the trash.
  public var manifestsTrashed = 0
  /// Manifests whose time in the trash was over.
  public var manifestsDeleted = 0
  /// Blobs that were taken out of a repository in which no manifest needs them.
  public var linksRemoved = 0
  /// Blobs that went to the trash.
  public var blobsTrashed = 0
  /// Blobs that were deleted, and their bytes.
  public var blobsDeleted = 0
  public var bytesDeleted: Int64 = 0
  public var leasesEnded = 0
  public var uploadsRemoved = 0
  /// Unpacked layers that were removed.
  public var layersRemoved = 0

  public init() {}
}

extension ContentStore {
  /// Rows that one write transaction changes at most, so that pushes never wait long.
  private static let batch = 256

  /// Moves what nobody needs to the trash, and deletes what has been there long enough.
  ///
  /// May run at any time beside pushes, pulls and other processes; two collections wait for one another. Each step finds
  /// its candidates without a lock, and decides about them again in the transaction that acts: a reference that came
  /// meanwhile is seen, and one that comes later finds the blob in the trash and takes it out, or finds it missing and
  /// says so before anything is acknowledged.
  public func collectGarbage(_ options: GarbageOptions = GarbageOptions()) throws(OCIError) -> GarbageReport {
    let lock = try ContentStore.lockFile("\(root)/garbage.lock")
    defer { _ = Glibc.close(lock) }
    var report = GarbageReport()
    let now = time.now().microseconds
    report.leasesEnded = try endLeases()
    try trashManifests(options, now: now, &report)
    report.linksRemoved = try removeLinks(before: now - options.unreferencedGrace.microseconds)
    report.manifestsDeleted = try deleteManifests(before: now - options.trashPeriod.microseconds)
    report.blobsTrashed = try trashBlobs()
    try deleteBlobs(before: now - options.trashPeriod.microseconds, &report)
    try forgetRows()
    try sweepFiles()
    report.uploadsRemoved = removeIdleUploads()
    report.layersRemoved = try removeUnpacked()
    return report
  }

  // MARK: Leases

  private func endLeases() throws(OCIError) -> Int {
    let expired = "SELECT id FROM lease WHERE expires IS NOT NULL AND expires <= ?1"
    let now = time.now().microseconds
    let isDue = try readers.read { (catalog: Catalog) throws(OCIError) in try catalog.exists(expired, .init(now)) }
    guard isDue else { return 0 }
    return try writer.perform { (transaction: Transaction) throws(OCIError) in
      try transaction.catalog.run("DELETE FROM pin WHERE lease IN (\(expired))", .init(transaction.now))
      return try transaction.catalog.run("DELETE FROM lease WHERE id IN (\(expired))", .init(transaction.now))
    }
  }

  // MARK: Manifests

  private func trashManifests(
    _ options: GarbageOptions, now: Int64, _ report: inout GarbageReport
  ) throws(OCIError) {
    let repositories = try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all("SELECT id FROM repository") { row in row.integer(0) }
    }
    let untagged = options.untaggedGrace?.microseconds
    let dangling = options.unreferencedGrace.microseconds
    for repository in repositories {
      let plan: @Sendable (Catalog, Int64) throws(OCIError) -> [Int64] = { (catalog, now) throws(OCIError) in
        let plan = GarbagePlan(now: now, untaggedGrace: untagged, danglingGrace: dangling)
        return plan.garbage(try catalog.manifests(of: repository))
      }
      let isDue = try readers.read { (catalog: Catalog) throws(OCIError) in
        try catalog.snapshot { () throws(OCIError) in try !plan(catalog, now).isEmpty }
      }
      faults.pause()
      guard isDue else { continue }
      report.manifestsTrashed += try writer.perform { (transaction: Transaction) throws(OCIError) in
        // Planned anew: what is decided here is what is true here.
        let garbage = try plan(transaction.catalog, transaction.now)
        for manifest in garbage { try transaction.trash(manifest, in: repository, tags: []) }
        return garbage.count
      }
    }
  }

  private func deleteManifests(before limit: Int64) throws(OCIError) -> Int {
    var count = 0
    while true {
      let deleted = try writer.perform { (transaction: Transaction) throws(OCIError) in
        let due = try transaction.catalog.all(
          "SELECT repository, blob FROM manifest WHERE trashed IS NOT NULL AND trashed <= ?1 LIMIT ?2", .init(limit),
          .init(Int64(ContentStore.batch))
        ) { row in (row.integer(0), row.integer(1)) }
        for (repository, blob) in due {
          try transaction.catalog.run(
            "DELETE FROM manifest WHERE repository = ?1 AND blob = ?2", .init(repository), .init(blob))
        }
        return due.count
      }
      count += deleted
      if deleted < ContentStore.batch { return count }
    }
  }

  // MARK: Links

  /// Holds for a link that was not touched after `?1` and that no manifest of its repository needs.
  static let isUnneededLink = """
    link.touched <= ?1
    AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.blob = link.blob)
    AND NOT EXISTS (
      SELECT 1 FROM edge JOIN manifest ON manifest.repository = link.repository AND manifest.blob = edge.source
        WHERE edge.target = link.blob AND manifest.trashed IS NULL)
    """

  private func removeLinks(before limit: Int64) throws(OCIError) -> Int {
    var count = 0
    var after = (repository: Int64(0), blob: Int64(0))
    while true {
      let (repository, blob) = after
      let due = try readers.read { (catalog: Catalog) throws(OCIError) in
        try catalog.all(
          """
          SELECT repository, blob FROM link WHERE (repository, blob) > (?2, ?3) AND \(ContentStore.isUnneededLink)
            ORDER BY repository, blob LIMIT ?4
          """, .init(limit), .init(repository), .init(blob), .init(Int64(ContentStore.batch))
        ) { row in (repository: row.integer(0), blob: row.integer(1)) }
      }
      guard let last = due.last else { return count }
      after = last
      let links = due
      faults.pause()
      count += try writer.perform { (transaction: Transaction) throws(OCIError) in
        var removed = 0
        for link in links {
          removed += try transaction.catalog.run(
            "DELETE FROM link WHERE repository = ?2 AND blob = ?3 AND \(ContentStore.isUnneededLink)",
            .init(limit), .init(link.repository), .init(link.blob))
        }
        return removed
      }
    }
  }

  // MARK: Blobs

  private func trashBlobs() throws(OCIError) -> Int {
    var count = 0
    var after: Int64 = 0
    while true {
      let from = after
      let due = try readers.read { (catalog: Catalog) throws(OCIError) in
        try catalog.all(
          "SELECT id FROM blob WHERE id > ?1 AND state IN (1, 3) AND \(Catalog.isUnneeded) ORDER BY id LIMIT ?2",
          .init(from), .init(Int64(ContentStore.batch))
        ) { row in row.integer(0) }
      }
      guard let last = due.last else { return count }
      after = last
      faults.pause()
      count += try writer.perform { (transaction: Transaction) throws(OCIError) in
        var trashed = 0
        for id in due { trashed += try transaction.trashBlob(id) }
        return trashed
      }
    }
  }

  /// Deletes the blobs whose time in the trash is over.
  func deleteBlobs(before limit: Int64, _ report: inout GarbageReport) throws(OCIError) {
    while true {
      faults.pause()
      let deleted = try writer.perform { (transaction: Transaction) throws(OCIError) in
        let due = try transaction.catalog.all(
          "SELECT id FROM blob WHERE state = 2 AND trashed <= ?1 ORDER BY trashed LIMIT ?2", .init(limit),
          .init(Int64(ContentStore.batch))
        ) { row in row.integer(0) }
        return try transaction.deleteBlobs(due)
      }
      report.blobsDeleted += deleted.count
      report.bytesDeleted += deleted.bytes
      if deleted.examined < ContentStore.batch { return }
    }
  }

  /// Deletes rows that say nothing any more.
  private func forgetRows() throws(OCIError) {
    let isIdle = """
      blob.state = 0 AND NOT EXISTS (SELECT 1 FROM edge WHERE target = blob.id OR source = blob.id)
      AND NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.blob = blob.id)
      AND NOT EXISTS (SELECT 1 FROM manifest WHERE subject = blob.id)
      AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.blob = blob.id)
      """
    // An index that is known only by its members, and has none any more.
    let isStale = """
      edge.source IN (SELECT id FROM blob WHERE state = 0)
      AND NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.blob IN (edge.target, edge.source))
      AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.blob = edge.source)
      """
    let isEmpty = """
      NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.repository = repository.id)
      AND NOT EXISTS (SELECT 1 FROM link WHERE link.repository = repository.id)
      """
    let isDue = try readers.read { (catalog: Catalog) throws(OCIError) in
      for query in ["edge WHERE \(isStale)", "blob WHERE \(isIdle)", "repository WHERE \(isEmpty)"] {
        if try catalog.exists("SELECT 1 FROM \(query) LIMIT 1") { return true }
      }
      return false
    }
    faults.pause()
    guard isDue else { return }
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      try transaction.catalog.run("DELETE FROM edge WHERE \(isStale)")
      try transaction.catalog.run("DELETE FROM blob WHERE \(isIdle)")
      try transaction.catalog.run("DELETE FROM repository WHERE \(isEmpty)")
    }
  }

  // MARK: Files without a row

  /// Brings files and rows together again after a crash between the two. Once in the life of the object: while this
  /// process lives, it leaves nothing of the kind.
  private func sweepFiles() throws(OCIError) {
    guard needsSweep.exchange(false, ordering: .relaxed) else { return }
    do throws(OCIError) {
      try sweepRemoved()
      try sweepBlobs()
    } catch {
      needsSweep.store(true, ordering: .relaxed)
      throw error
    }
  }

  /// What was moved away and neither removed nor moved back.
  private func sweepRemoved() throws(OCIError) {
    for name in try system({ () throws(SystemError) in try Directory.list("\(root)/work") }) {
      guard name.hasPrefix("removed-") else { continue }
      let path = "\(root)/work/\(name)"
      let digest = Digest(name.dropFirst("removed-".count).replacing("-", with: ":"))
      let isBack = try writer.perform { (transaction: Transaction) throws(OCIError) in
        guard let digest, try transaction.catalog.hasFile(digest) else { return false }
        let target = transaction.blobPath(digest)
        return access(target, F_OK) != 0 && rename(path, target) == 0
      }
      if !isBack { try? Directory.removeTree(path) }
    }
  }

  private func sweepBlobs() throws(OCIError) {
    for algorithm in Digest.Algorithm.allCases {
      var unknown: [Digest] = []
      try forEachName("\(root)/blobs/\(algorithm.rawValue)") { (name) throws(OCIError) in
        guard let digest = Digest("\(algorithm.rawValue):\(name)") else { return }
        let isKnown = try readers.read { (catalog: Catalog) throws(OCIError) in try catalog.hasFile(digest) }
        if !isKnown { unknown.append(digest) }
        if unknown.count == ContentStore.batch {
          try remove(unknown)
          unknown = []
        }
      }
      if !unknown.isEmpty { try remove(unknown) }
    }
  }

  private func remove(_ digests: [Digest]) throws(OCIError) {
    faults.pause()
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      for digest in digests {
        // Under the write lock: a blob that is being stored has its row by now, or not yet its name.
        if try !transaction.catalog.hasFile(digest) { _ = Glibc.unlink(transaction.blobPath(digest)) }
      }
    }
  }

  /// Goes through a folder of any size without keeping its names.
  private func forEachName(_ path: String, _ body: (String) throws(OCIError) -> Void) throws(OCIError) {
    guard let stream = opendir(path) else { throw OCIError(SystemError.last("open the folder \(path)")) }
    defer { _ = closedir(stream) }
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw OCIError(SystemError.last("read the folder \(path)")) }
        return
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      try body(name)
    }
  }

  // MARK: Unpacked layers

  /// Removes unpacked layers that no image needs; one that is mounted stays until it is not.
  func removeUnpacked() throws(OCIError) -> Int {
    let names = try system { () throws(SystemError) in try Directory.list("\(root)/unpacked") }
    var removed = 0
    var overlays: [MountInfo]?
    for hex in names where Digest.isHex(hex) {
      let isNeeded = try readers.read { (catalog: Catalog) throws(OCIError) in try catalog.isUnpackedNeeded(hex) }
      guard !isNeeded else { continue }
      let known: [MountInfo] = if let overlays { overlays } else { try mountedOverlays() }
      overlays = known
      guard !known.contains(where: { $0.superOptions.contains { $0.contains(hex) } }) else { continue }
      let isRemoved = try writer.perform { (transaction: Transaction) throws(OCIError) in
        // Whoever pins an image does it before this or after it: then the layer is unpacked again.
        guard try !transaction.catalog.isUnpackedNeeded(hex) else { return false }
        try transaction.catalog.run("DELETE FROM unpacked WHERE diff = ?1", .init(hex))
        try transaction.takeAway(
          "\(transaction.root)/unpacked/\(hex)", to: "\(transaction.root)/work/removed-layer-\(hex)")
        return true
      }
      if isRemoved { removed += 1 }
    }
    return removed
  }

  private func mountedOverlays() throws(OCIError) -> [MountInfo] {
    try system { () throws(SystemError) in try MountInfo.current().filter { $0.type == "overlay" } }
  }
}

extension Catalog {
  /// Whether an unpacked layer belongs to an image that a repository has, or that is pinned.
  func isUnpackedNeeded(_ hex: String) throws(OCIError) -> Bool {
    try exists(
      """
      SELECT 1 FROM unpacked JOIN edge ON edge.target = unpacked.blob WHERE unpacked.diff = ?1 AND (
        EXISTS (SELECT 1 FROM manifest WHERE manifest.blob = edge.source AND manifest.trashed IS NULL)
        OR EXISTS (SELECT 1 FROM pin WHERE pin.blob = edge.source))
      """, Value(hex))
  }

  /// What a plan has to know of a repository; without what is in the trash.
  func manifests(of repository: Int64) throws(OCIError) -> [GarbagePlan.Manifest] {
    var manifests = try all(
      """
      SELECT blob, touched, subject,
        EXISTS (SELECT 1 FROM tag WHERE tag.blob = manifest.blob AND tag.repository = ?1),
        EXISTS (SELECT 1 FROM pin WHERE pin.blob = manifest.blob)
        FROM manifest WHERE repository = ?1 AND trashed IS NULL
      """, Value(repository)
    ) { row in
      GarbagePlan.Manifest(
        id: row.integer(0), touched: row.integer(1), subject: row.isNull(2) ? nil : row.integer(2),
        isTagged: row.integer(3) != 0, isPinned: row.integer(4) != 0)
    }
    for index in manifests.indices {
      manifests[index].children = try all(
        "SELECT target FROM edge WHERE source = ?1 AND kind = 2", Value(manifests[index].id)
      ) { row in row.integer(0) }
    }
    return manifests
  }
}

extension Transaction {
  /// Moves a blob to the trash when nobody needs it; gives 1 when it was moved.
  ///
  /// One that a manifest referred to has had its time there together with the manifest: it can go at once.
  func trashBlob(_ id: Int64) throws(OCIError) -> Int {
    try catalog.run(
      """
      UPDATE blob SET state = 2, trashed =
        CASE WHEN EXISTS (SELECT 1 FROM edge WHERE edge.target = blob.id OR edge.source = blob.id) THEN 0 ELSE ?2 END
        WHERE id = ?1 AND state IN (1, 3) AND \(Catalog.isUnneeded)
      """, .init(id), .init(now))
  }

  /// Deletes those of the blobs that wait in the trash and that nobody needs. Their files are moved away inside of the
  /// transaction, where no push can come between, and removed after it, because that may take long.
  func deleteBlobs(_ ids: [Int64]) throws(OCIError) -> (examined: Int, count: Int, bytes: Int64) {
    var (count, bytes): (Int, Int64) = (0, 0)
    for id in ids {
      let row = try catalog.first(
        "SELECT digest, size, (\(Catalog.isUnneeded)) FROM blob WHERE id = ?1 AND state = 2", .init(id)
      ) { (row) throws(OCIError) in
        (digest: try catalog.digest(row, 0), size: row.integer(1), isUnneeded: row.integer(2) == 1)
      }
      guard let row else { continue }
      guard row.isUnneeded else {
        // Whoever refers to a blob takes it out of the trash. Should one have forgotten, nothing is lost all the same.
        _ = try presentBlob(row.digest)
        continue
      }
      try takeAway(blobPath(row.digest), to: removedPath(row.digest))
      try catalog.run("DELETE FROM edge WHERE source = ?1", .init(id))
      try catalog.run("DELETE FROM unpacked WHERE blob = ?1", .init(id))
      try catalog.run("UPDATE blob SET state = 0, trashed = 0, size = 0 WHERE id = ?1", .init(id))
      try catalog.run(
        """
        DELETE FROM blob WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM edge WHERE edge.target = ?1)
          AND NOT EXISTS (SELECT 1 FROM manifest WHERE subject = ?1)
        """, .init(id))
      count += 1
      bytes += row.size
    }
    return (ids.count, count, bytes)
  }
}
