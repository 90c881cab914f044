import Glibc
import Layers
import OCI
import SQLite
import Wire

/// What an eviction has taken away.
public struct EvictionReport: Sendable, Equatable {
  public var manifests = 0
  /// Blobs that were taken out of a repository. Those that something else needs are still there.
  public var links = 0
  public var blobs = 0
  /// Of the blobs that nothing else needs, whose files are gone.
  public var bytes: Int64 = 0

  public init() {}
}

extension ContentStore {
  /// Notes that a manifest is used, so that `evict` takes others first. Written down every five minutes.
  public func touch(_ digest: Digest, in repository: Repository) throws(OCIError) {
    let row = try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.first(
        """
        SELECT manifest.repository, manifest.blob, manifest.touched FROM repository JOIN blob ON blob.digest = ?3
          JOIN manifest ON manifest.repository = repository.id AND manifest.blob = blob.id
          WHERE repository.host = ?1 AND repository.path = ?2 AND manifest.trashed IS NULL
        """, .init(repository.host), .init(repository.path), .init(digest)
      ) { row in (repository: row.integer(0), blob: row.integer(1), touched: row.integer(2)) }
    }
    guard let row, time.now().microseconds - row.touched >= ContentStore.touchInterval else { return }
    do throws(OCIError) {
      try writer.perform { (transaction: Transaction) throws(OCIError) in
        try transaction.catalog.run(
          "UPDATE manifest SET touched = ?3 WHERE repository = ?1 AND blob = ?2", .init(row.repository),
          .init(row.blob), .init(transaction.now))
      }
    } catch {
      // It can be read all the same.
      guard error.code == .diskFull else { throw error }
    }
  }

  /// Takes what was used least recently out of the repositories of a host, until they have no more than `bytesMax`.
  ///
  /// For content that can be had from elsewhere again: it does not go to the trash. What was used within `idle`, what is
  /// pinned, and blobs that anything else refers to stay. So more than `bytesMax` may be left.
  /// - Parameter idle: more than five minutes, because use is not written down more often.
  public func evict(host: String, bytesMax: Int64, idle: Duration) throws(OCIError) -> EvictionReport {
    var report = EvictionReport()
    guard try usage(host: host, prefix: "") > bytesMax else { return report }
    let lock = try ContentStore.lockFile("\(root)/garbage.lock")
    defer { _ = Glibc.close(lock) }
    let limit = time.now().microseconds - idle.microseconds
    while try usage(host: host, prefix: "") > bytesMax {
      // First what no manifest needs.
      let links = try evictLinks(host: host, bytesMax: bytesMax, before: limit, &report)
      guard links == 0 else { continue }
      guard try evictManifests(host: host, bytesMax: bytesMax, before: limit, &report) > 0 else { break }
    }
    return report
  }

  /// Candidates of one search, and of one transaction, so that pushes never wait long. The search reads all that the host
  /// has: it is made without a lock, and the transaction decides about each candidate again.
  private static let (candidatesMax, evictionBatch) = (1024, 32)

  private typealias Candidate = (repository: Int64, blob: Int64)

  /// Returns how many were taken out.
  private func evictLinks(
    host: String, bytesMax: Int64, before limit: Int64, _ report: inout EvictionReport
  ) throws(OCIError) -> Int {
    let links = try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all(
        """
        SELECT link.repository, link.blob FROM repository JOIN link ON link.repository = repository.id
          WHERE repository.host = ?2 AND \(ContentStore.isUnneededLink) ORDER BY link.touched LIMIT ?3
        """, .init(limit), .init(host), .init(Int64(Self.candidatesMax))
      ) { row in Candidate(row.integer(0), row.integer(1)) }
    }
    return try evict(links, host: host, bytesMax: bytesMax, &report) { (transaction, link, step) throws(OCIError) in
      try transaction.unlink(link.blob, from: link.repository, before: limit, &step)
    }.links
  }

  /// Returns how many were taken out.
  private func evictManifests(
    host: String, bytesMax: Int64, before limit: Int64, _ report: inout EvictionReport
  ) throws(OCIError) -> Int {
    // What is in the trash goes before what is not: it holds on to blobs, too.
    let manifests = try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all(
        """
        SELECT manifest.repository, manifest.blob FROM repository JOIN manifest ON manifest.repository = repository.id
          WHERE repository.host = ?2 AND \(Transaction.isEvictable)
          ORDER BY manifest.trashed IS NULL, manifest.touched LIMIT ?3
        """, .init(limit), .init(host), .init(Int64(Self.candidatesMax))
      ) { row in Candidate(row.integer(0), row.integer(1)) }
    }
    return try evict(manifests, host: host, bytesMax: bytesMax, &report) {
      (transaction, manifest, step) throws(OCIError) in
      try transaction.evict(manifest.blob, from: manifest.repository, before: limit, &step)
    }.manifests
  }

  /// Goes through the candidates until there is room; returns what was taken away.
  private func evict(
    _ candidates: [Candidate], host: String, bytesMax: Int64, _ report: inout EvictionReport,
    _ body: @escaping @Sendable (Transaction, Candidate, inout EvictionReport) throws(OCIError) -> Void
  ) throws(OCIError) -> EvictionReport {
    var all = EvictionReport()
    var rest = candidates[...]
    while !rest.isEmpty {
      let batch = rest.prefix(Self.evictionBatch)
      rest = rest.dropFirst(batch.count)
      faults.pause()
      let (step, isDone) = try writer.perform { (transaction: Transaction) throws(OCIError) in
        var step = EvictionReport()
        for candidate in batch {
          guard try transaction.catalog.usage(host: host, prefix: "") > bytesMax else { return (step, true) }
          try body(transaction, candidate, &step)
        }
        return (step, false)
      }
      all.add(step)
      report.add(step)
      if isDone { break }
    }
    return all
  }
}

extension EvictionReport {
  fileprivate mutating func add(_ other: EvictionReport) {
    manifests += other.manifests
    links += other.links
    blobs += other.blobs
    bytes += other.bytes
  }
}

extension Transaction {
  /// Holds for a manifest that was not touched after `?1` and that nobody has pinned.
  fileprivate static let isEvictable = """
    manifest.touched <= ?1 AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.blob = manifest.blob)
    """

  /// Takes a manifest out of a repository, with the blobs that only it needed there.
  fileprivate func evict(
    _ manifest: Int64, from repository: Int64, before limit: Int64, _ report: inout EvictionReport
  ) throws(OCIError) {
    let removed = try catalog.run(
      "DELETE FROM manifest WHERE repository = ?2 AND blob = ?3 AND \(Self.isEvictable)", .init(limit),
      .init(repository), .init(manifest))
    guard removed > 0 else { return }
    try catalog.run("DELETE FROM tag WHERE repository = ?1 AND blob = ?2", .init(repository), .init(manifest))
    hasNewNames = true
    report.manifests += 1
    let members = try catalog.all("SELECT target FROM edge WHERE source = ?1 AND kind <> 2", .init(manifest)) { row in
      row.integer(0)
    }
    for member in members { try unlink(member, from: repository, before: limit, &report) }
    try deleteUnneeded(manifest, &report)
  }

  fileprivate func unlink(
    _ blob: Int64, from repository: Int64, before limit: Int64, _ report: inout EvictionReport
  ) throws(OCIError) {
    let removed = try catalog.run(
      "DELETE FROM link WHERE repository = ?2 AND blob = ?3 AND \(ContentStore.isUnneededLink)", .init(limit),
      .init(repository), .init(blob))
    report.links += removed
    if removed > 0 { try deleteUnneeded(blob, &report) }
  }

  private func deleteUnneeded(_ blob: Int64, _ report: inout EvictionReport) throws(OCIError) {
    guard try trashBlob(blob) > 0 else { return }
    let deleted = try deleteBlobs([blob])
    report.blobs += deleted.count
    report.bytes += deleted.bytes
  }
}
