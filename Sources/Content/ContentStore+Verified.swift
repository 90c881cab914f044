import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Synchronization

/// What tells whether a file is still the one that was looked at. Whoever changes a file, or puts another one in its place,
/// changes this: nobody can set back the time of an inode's change.
struct FileStamp: Sendable, Equatable {
  private var device: UInt64
  private(set) var inode: UInt64
  private(set) var size: Int64
  private var modified: FileTime
  private var changed: FileTime

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int64(status.st_size)
    modified = FileTime(seconds: Int64(status.st_mtim.tv_sec), nanoseconds: status.st_mtim.tv_nsec)
    changed = FileTime(seconds: Int64(status.st_ctim.tv_sec), nanoseconds: status.st_ctim.tv_nsec)
  }

  /// Whether the bytes are the same: deleting a file, which stays readable for those who have it open, changes the inode.
  func hasSameContent(as other: FileStamp) -> Bool {
    (device, inode, size, modified) == (other.device, other.inode, other.size, other.modified)
  }

  /// Of an open file; `nil` when it cannot be told.
  init?(_ descriptor: Int32) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return nil }
    self.init(status)
  }
}

/// The blobs whose files this process has compared with their digests, and that have not changed since. It makes reading
/// a blob again as cheap as a look at its inode.
final class VerifiedBlobs: Sendable {
  private let stamps = Mutex<[Digest: FileStamp]>([:])
  /// Some 200 bytes each. When they are more, all are forgotten, and are compared once more.
  private static let countMax = 65_536

  func contains(_ digest: Digest, _ stamp: FileStamp) -> Bool { stamps.withLock { $0[digest] == stamp } }

  func insert(_ digest: Digest, _ stamp: FileStamp) {
    stamps.withLock { stamps in
      if stamps.count >= Self.countMax { stamps = [:] }
      stamps[digest] = stamp
    }
  }

  func remove(_ digest: Digest) { stamps.withLock { _ = $0.removeValue(forKey: digest) } }
}

extension ContentStore {
  /// Opens a blob's file, which has the length that the catalog says.
  ///
  /// - Returns: `nil` when there is none.
  /// - Throws: `corrupt` when it is no file of that length; it is out of use then.
  func openFile(_ digest: Digest, size: Int64) throws(OCIError) -> BlobFile? {
    let path = blobPath(digest)
    // O_NONBLOCK: whatever somebody put there, opening it must not wait.
    let fd = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard fd >= 0 else {
      guard errno == ENOENT else { throw OCIError(SystemError.last("open \(path)")) }
      // It has been collected since it was looked up, or was removed by hand: then it has to be brought again.
      takeOut(digest, .gone, "its file is gone")
      return nil
    }
    var status = stat()
    guard fstat(fd, &status) == 0 else {
      let error = OCIError(SystemError.last("stat \(path)"))
      _ = Glibc.close(fd)
      throw error
    }
    let stamp = FileStamp(status)
    guard status.st_mode & S_IFMT == S_IFREG, stamp.size == size else {
      _ = Glibc.close(fd)
      throw damaged(digest, .inode(stamp.inode), "it has \(stamp.size) bytes instead of \(size), or is no file")
    }
    return BlobFile(
      descriptor: fd, size: size, digest: digest, stamp: stamp, isVerified: verified.contains(digest, stamp))
  }

  /// A look at a blob's file without opening it: whether it has its length. One that has not is taken out of use.
  func hasLength(_ digest: Digest, _ size: Int64) throws(OCIError) -> Bool {
    var status = stat()
    if stat(blobPath(digest), &status) == 0, status.st_mode & S_IFMT == S_IFREG, Int64(status.st_size) == size {
      return true
    }
    do throws(OCIError) {
      // It may have been stored again at this moment.
      return try openFile(digest, size: size) != nil
    } catch {
      guard error.code == .corrupt else { throw error }
      return false
    }
  }

  /// Compares a blob with its digest, unless that has been done and it has not changed since. Blocks.
  ///
  /// - Throws: `corrupt` when it is another content; it is out of use then.
  public func verify(_ file: BlobFile) throws(OCIError) {
    if file.isVerified { return }
    try conclude(file, found: try hash(file.descriptor, blobPath(file.digest), file.digest.algorithm))
  }

  /// The end of a comparison that the caller has made piece by piece.
  ///
  /// - Parameter found: the digest of all bytes of the file, as they were read.
  /// - Throws: `corrupt` when it is another than the blob's; it is out of use then.
  public func conclude(_ file: BlobFile, found: Digest) throws(OCIError) {
    guard found == file.digest else {
      throw damaged(file.digest, .inode(file.stamp.inode), "its bytes have the digest \(found)")
    }
    // What changed while it was read is compared again next time.
    guard file.isUnchanged else { return }
    file.noteVerified()
    verified.insert(file.digest, file.stamp)
  }

  /// Whether another one has compared the same file with the digest meanwhile.
  public func isVerified(_ file: BlobFile) -> Bool {
    if !file.isVerified, verified.contains(file.digest, file.stamp) { file.noteVerified() }
    return file.isVerified
  }

  /// The path of a blob's file, which is what its digest says: for programs and calls that read files. Blocks.
  ///
  /// - Throws: `notFound`; `corrupt` when it is another content.
  public func soundPath(_ digest: Digest) throws(OCIError) -> String {
    guard let file = try openBlob(digest) else {
      throw OCIError(.notFound, "the blob \(digest) is not in the store", digests: [digest])
    }
    try verify(file)
    return blobPath(digest)
  }

  /// Takes a blob that could not be used out of use when its file is not what its digest says. Blocks.
  ///
  /// - Returns: what is wrong with it; `nil` when nothing is, or it is not here.
  public func examine(_ digest: Digest) throws(OCIError) -> OCIError? {
    do throws(OCIError) {
      guard let file = try openBlob(digest) else { return nil }
      try conclude(file, found: try hash(file.descriptor, blobPath(digest), digest.algorithm))
      return nil
    } catch {
      guard error.code == .corrupt else { throw error }
      return error
    }
  }

  /// Whether a blob that is to be stored is here already, whole. What is here and damaged is taken out of use: the new
  /// bytes take its place.
  func isSound(_ digest: Digest, size: Int64) throws(OCIError) -> Bool {
    guard try blobSize(digest) == size else { return false }
    do throws(OCIError) {
      guard let file = try openFile(digest, size: size) else { return false }
      try verify(file)
      return true
    } catch {
      guard error.code == .corrupt else { throw error }
      return false
    }
  }

  /// Remembers that the file of a blob holds the bytes that were hashed on their way into it.
  func noteStored(_ staged: StagedFile) {
    var status = stat()
    guard let own = FileStamp(staged.descriptor), stat(blobPath(staged.digest), &status) == 0,
      FileStamp(status) == own
    else { return }
    verified.insert(staged.digest, own)
  }

  // MARK: Damage

  /// What somebody has seen of a file that is not what it should be.
  enum Witness: Sendable {
    /// There is no file.
    case gone
    /// There is one that cannot be read.
    case unreadable
    /// The file with this inode is wrong.
    case inode(UInt64)
  }

  /// The error for a blob that was found damaged, which is taken out of use.
  func damaged(_ digest: Digest, _ witness: Witness, _ reason: String) -> OCIError {
    takeOut(digest, witness, reason)
    return OCIError(
      .corrupt,
      "the blob \(digest) is damaged: \(reason); it is in quarantine: push, pull or import it again", digests: [digest])
  }

  private func takeOut(_ digest: Digest, _ witness: Witness, _ reason: String) {
    // That it is damaged counts, also when that cannot be written down, as on a full disk.
    _ = try? quarantine(digest, witness, reason)
  }

  /// Takes a damaged blob's name away, unless it has been deleted or stored again meanwhile.
  func quarantine(_ digest: Digest, _ witness: Witness, _ reason: String) throws(OCIError) -> DamagedBlob? {
    verified.remove(digest)
    let blob: DamagedBlob? = try writer.perform { (transaction: Transaction) throws(OCIError) in
      let catalog = transaction.catalog
      let id = try catalog.first("SELECT id FROM blob WHERE digest = ?1 AND state = 1", .init(digest)) { row in
        row.integer(0)
      }
      guard let id else { return nil }
      // What was stored anew has been verified, and is not the file that was read.
      let path = transaction.blobPath(digest)
      var status = stat()
      switch witness {
      case .gone: guard lstat(path, &status) != 0 else { return nil }
      case .unreadable: break
      case .inode(let inode):
        // Links are followed, as when it was read.
        guard stat(path, &status) != 0 || UInt64(status.st_ino) == inode else { return nil }
      }
      let isThere = lstat(path, &status) == 0
      let repositories = try catalog.repositories(having: id)
      try catalog.run("UPDATE blob SET state = ?2 WHERE id = ?1", .init(id), .init(Catalog.BlobState.damaged.rawValue))
      if isThere {
        var target = "\(transaction.root)/quarantine/\(digest.algorithm.rawValue)-\(digest.hex)"
        // A folder cannot take the place of an earlier find.
        if status.st_mode & S_IFMT == S_IFDIR { target += "-\(status.st_ino)" }
        try transaction.moveAway(path, to: target)
      }
      return DamagedBlob(digest: digest, reason: reason, repositories: repositories)
    }
    if blob != nil { manifests.remove(digest) }
    return blob
  }

  /// What is known of a blob that is out of use because it was damaged; `nil` when it is not, or not any more.
  public func damage(_ digest: Digest) throws(OCIError) -> (repositories: [Repository], isManifest: Bool)? {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      let id = try catalog.first(
        "SELECT id FROM blob WHERE digest = ?1 AND state = ?2", .init(digest),
        .init(Catalog.BlobState.damaged.rawValue)
      ) { row in row.integer(0) }
      guard let id else { return nil }
      return (
        try catalog.repositories(having: id),
        try catalog.exists("SELECT 1 FROM manifest WHERE blob = ?1", .init(id))
      )
    }
  }
}

extension Catalog {
  /// The repositories that have a blob, as such or as a manifest.
  fileprivate func repositories(having blob: Int64) throws(OCIError) -> [Repository] {
    try all(
      """
      SELECT DISTINCT host, path FROM repository WHERE id IN (
        SELECT repository FROM link WHERE blob = ?1 UNION SELECT repository FROM manifest WHERE blob = ?1)
        ORDER BY host, path
      """, .init(blob)
    ) { row in Repository(host: row.text(0), path: row.text(1)) }
  }
}
