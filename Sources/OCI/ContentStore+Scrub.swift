import Glibc
import LinuxSystem
import SQLite
import Wire

/// How far a scrub has come.
public struct ScrubProgress: Sendable, Equatable {
  public var blobs = 0
  public var bytes: Int64 = 0
  public var damaged = 0

  public init() {}
}

/// A blob whose bytes are not what its digest says, or are gone.
public struct DamagedBlob: Sendable, Equatable {
  public var digest: Digest
  public var reason: String
  /// The repositories that have it, as blob or manifest.
  public var repositories: [Repository]
}

extension ContentStore {
  /// Reads every blob and compares it with its digest, those first that were verified longest ago.
  ///
  /// A damaged one goes to `quarantine/`: it counts as missing from then on, so that the next push or pull brings it
  /// again, under the same digest. Reading does not push other files out of the page cache. Ends early when `isCancelled`
  /// says so, and goes on there next time.
  /// - Parameters:
  ///   - age: blobs that were verified less long ago are left out.
  ///   - progress: called after each blob, to report and to slow down.
  public func scrub(
    olderThan age: Duration = .zero, isCancelled: () -> Bool = { false }, progress: (ScrubProgress) -> Void = { _ in }
  ) throws(OCIError) -> [DamagedBlob] {
    let limit = time.now().microseconds - age.microseconds
    var damaged: [DamagedBlob] = []
    var state = ScrubProgress()
    while !isCancelled() {
      let due = try readers.read { (catalog: Catalog) throws(OCIError) in
        try catalog.all(
          "SELECT id, digest FROM blob WHERE state = 1 AND verified <= ?1 ORDER BY verified LIMIT 64", .init(limit)
        ) { (row) throws(OCIError) in (id: row.integer(0), digest: try catalog.digest(row, 1)) }
      }
      if due.isEmpty { break }
      var verified: [Int64] = []
      for (id, digest) in due where !isCancelled() {
        let (size, inode, reason) = verify(digest)
        faults.pause()
        state.blobs += 1
        state.bytes += size
        if let reason {
          if let blob = try quarantine(id, digest, inode: inode, reason) {
            damaged.append(blob)
            state.damaged += 1
          }
        } else {
          verified.append(id)
        }
        progress(state)
      }
      let sound = verified
      try writer.perform { (transaction: Transaction) throws(OCIError) in
        for id in sound {
          // Later than the limit also when a test's clock stands still.
          try transaction.catalog.run(
            "UPDATE blob SET verified = ?2 WHERE id = ?1", .init(id), .init(max(transaction.now, limit + 1)))
        }
      }
    }
    return damaged
  }

  /// How many bytes were read, and what is wrong with them, if anything.
  private func verify(_ digest: Digest) -> (size: Int64, inode: UInt64, reason: String?) {
    let path = blobPath(digest)
    let fd = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return (0, 0, SystemError.last("open").description) }
    defer { _ = Glibc.close(fd) }
    var status = stat()
    _ = fstat(fd, &status)
    defer { _ = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) }
    do throws(OCIError) {
      let found = try hash(fd, path, digest.algorithm)
      return (
        Int64(status.st_size), UInt64(status.st_ino), found == digest ? nil : "its bytes have the digest \(found)"
      )
    } catch {
      return (Int64(status.st_size), UInt64(status.st_ino), error.message)
    }
  }

  /// Takes a damaged blob's name away, unless it has been deleted or stored again meanwhile.
  private func quarantine(
    _ id: Int64, _ digest: Digest, inode: UInt64, _ reason: String
  ) throws(OCIError) -> DamagedBlob? {
    let blob: DamagedBlob? = try writer.perform { (transaction: Transaction) throws(OCIError) in
      let catalog = transaction.catalog
      guard
        try catalog.exists(
          "SELECT 1 FROM blob WHERE id = ?1 AND digest = ?2 AND state = 1", .init(id), .init(digest))
      else { return nil }
      // What was stored anew has been verified, and is not the file that was read.
      let path = transaction.blobPath(digest)
      var status = stat()
      guard stat(path, &status) != 0 || UInt64(status.st_ino) == inode || inode == 0 else { return nil }
      let repositories = try catalog.all(
        """
        SELECT DISTINCT host, path FROM repository WHERE id IN (
          SELECT repository FROM link WHERE blob = ?1 UNION SELECT repository FROM manifest WHERE blob = ?1)
          ORDER BY host, path
        """, .init(id)
      ) { row in Repository(host: row.text(0), path: row.text(1)) }
      try catalog.run("UPDATE blob SET state = 3 WHERE id = ?1", .init(id))
      try transaction.moveAway(
        path, to: "\(transaction.root)/quarantine/\(digest.algorithm.rawValue)-\(digest.hex)")
      return DamagedBlob(digest: digest, reason: reason, repositories: repositories)
    }
    if blob != nil { manifests.remove(digest) }
    return blob
  }
}
