import Glibc
import LinuxSystem
import OCI
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
        let (size, witness, reason) = check(digest)
        faults.pause()
        state.blobs += 1
        state.bytes += size
        if let reason {
          if let blob = try quarantine(digest, witness, reason) {
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
  private func check(_ digest: Digest) -> (size: Int64, witness: Witness, reason: String?) {
    let path = blobPath(digest)
    let fd = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard fd >= 0 else {
      return (0, errno == ENOENT ? .gone : .unreadable, SystemError.last("open").description)
    }
    defer { _ = Glibc.close(fd) }
    var status = stat()
    guard fstat(fd, &status) == 0 else { return (0, .unreadable, SystemError.last("stat").description) }
    let witness = Witness.inode(UInt64(status.st_ino))
    // Never read what has no end.
    guard status.st_mode & S_IFMT == S_IFREG else { return (0, witness, "it is no file") }
    defer { _ = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) }
    do throws(OCIError) {
      let found = try hash(fd, path, digest.algorithm)
      return (Int64(status.st_size), witness, found == digest ? nil : "its bytes have the digest \(found)")
    } catch {
      return (Int64(status.st_size), witness, error.message)
    }
  }
}
