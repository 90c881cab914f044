import Glibc
import SQLite
import Wire

/// What an eviction has taken away.
public struct EvictionReport: Sendable, Equatable {
  public var manifests = 0
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
      faults.pause()
      let step = try writer.perform { (transaction: Transaction) throws(OCIError) in
        try transaction.evict(host: host, bytesMax: bytesMax, before: limit)
      }
      guard step != EvictionReport() else { break }
      report.manifests += step.manifests
      report.blobs += step.blobs
      report.bytes += step.bytes
    }
    return report
  }
}

extension Transaction {
  /// Candidates of one transaction, so that pushes never wait long.
  private static let evictionBatch: Int64 = 32

  fileprivate func evict(host: String, bytesMax: Int64, before limit: Int64) throws(OCIError) -> EvictionReport {
    var report = EvictionReport()
    // First what no manifest needs.
    let links = try catalog.all(
      """
      SELECT link.repository, link.blob FROM repository JOIN link ON link.repository = repository.id
        WHERE repository.host = ?2 AND \(ContentStore.isUnneededLink) ORDER BY link.touched LIMIT ?3
      """, .init(limit), .init(host), .init(Self.evictionBatch)
    ) { row in (repository: row.integer(0), blob: row.integer(1)) }
    for link in links {
      guard try catalog.usage(host: host, prefix: "") > bytesMax else { return report }
      try unlink(link.blob, from: link.repository, before: limit, &report)
    }
    guard links.isEmpty else { return report }
    // What is in the trash goes before what is not: it holds on to blobs, too.
    let manifests = try catalog.all(
      """
      SELECT manifest.repository, manifest.blob FROM repository JOIN manifest ON manifest.repository = repository.id
        WHERE repository.host = ?2 AND manifest.touched <= ?1
          AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.blob = manifest.blob)
        ORDER BY manifest.trashed IS NULL, manifest.touched LIMIT ?3
      """, .init(limit), .init(host), .init(Self.evictionBatch)
    ) { row in (repository: row.integer(0), blob: row.integer(1)) }
    for manifest in manifests {
      guard try catalog.usage(host: host, prefix: "") > bytesMax else { return report }
      let members = try catalog.all(
        "SELECT target FROM edge WHERE source = ?1 AND kind <> 2", .init(manifest.blob)
      ) { row in row.integer(0) }
      try catalog.run(
        "DELETE FROM tag WHERE repository = ?1 AND blob = ?2", .init(manifest.repository), .init(manifest.blob))
      try catalog.run(
        "DELETE FROM manifest WHERE repository = ?1 AND blob = ?2", .init(manifest.repository), .init(manifest.blob))
      hasNewNames = true
      report.manifests += 1
      for member in members { try unlink(member, from: manifest.repository, before: limit, &report) }
      try deleteUnneeded(manifest.blob, &report)
    }
    return report
  }

  private func unlink(
    _ blob: Int64, from repository: Int64, before limit: Int64, _ report: inout EvictionReport
  ) throws(OCIError) {
    let removed = try catalog.run(
      "DELETE FROM link WHERE repository = ?2 AND blob = ?3 AND \(ContentStore.isUnneededLink)", .init(limit),
      .init(repository), .init(blob))
    if removed > 0 { try deleteUnneeded(blob, &report) }
  }

  private func deleteUnneeded(_ blob: Int64, _ report: inout EvictionReport) throws(OCIError) {
    guard try trashBlob(blob) > 0 else { return }
    let deleted = try deleteBlobs([blob])
    report.blobs += deleted.count
    report.bytes += deleted.bytes
  }
}
