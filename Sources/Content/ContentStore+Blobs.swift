import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Synchronization

extension ContentStore {
  /// Where a blob is, or would be. The file may go at any time unless a lease or a pin keeps it.
  public func blobPath(_ digest: Digest) -> String { "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

  /// The size of a blob in bytes; `nil` when it is not here, also when it waits in the trash or was found damaged.
  public func blobSize(_ digest: Digest) throws(OCIError) -> Int64? {
    try readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.first("SELECT size FROM blob WHERE digest = ?1 AND state = 1", .init(digest)) { row in row.integer(0)
      }
    }
  }

  /// The one digest that is known and begins so; `nil` when there is none, or several.
  /// - Parameter prefix: `sha512:` and hexadecimal digits.
  public func digest(startingWith prefix: String) throws(OCIError) -> Digest? {
    let found = try readers.read { (catalog: Catalog) throws(OCIError) in
      // 'g' comes after all digits.
      try catalog.all("SELECT digest FROM blob WHERE digest >= ?1 AND digest < ?1 || 'g' LIMIT 2", .init(prefix)) {
        (row) throws(OCIError) in try catalog.digest(row, 0)
      }
    }
    return found.count == 1 ? found[0] : nil
  }

  /// Opens a blob; `nil` when it is not here.
  ///
  /// - Throws: `corrupt` when its file has not the length that it was stored with; it is out of use then.
  public func openBlob(_ digest: Digest) throws(OCIError) -> BlobFile? {
    guard let size = try blobSize(digest) else { return nil }
    return try openFile(digest, size: size)
  }

  /// A small blob, verified again: manifests and configurations decide what is run.
  ///
  /// - Parameter limit: bytes that it may have; `limits.documentMax` without.
  /// - Throws: `notFound`, `limitExceeded`; `corrupt` when it is not what its digest says, and out of use from then on.
  public func document(_ digest: Digest, limit: Int? = nil) throws(OCIError) -> [UInt8] {
    let (path, limit) = (blobPath(digest), limit ?? limits.documentMax)
    guard let size = try blobSize(digest) else {
      throw OCIError(.notFound, "the blob \(digest) is not in the store", digests: [digest])
    }
    guard size <= limit else {
      throw OCIError(.limitExceeded, "the document \(digest) has more than \(limit) bytes")
    }
    guard let file = try openFile(digest, size: size) else {
      throw OCIError(
        .corrupt, "the file of the blob \(digest) is gone; push, pull or import it again", digests: [digest])
    }
    let bytes = try system { () throws(SystemError) in
      try DurableFile.read("/proc/self/fd/\(file.descriptor)", limit: limit)
    }
    let found = Digest(of: bytes, digest.algorithm)
    guard found == digest else {
      throw damaged(digest, .inode(file.stamp.inode), "\(path) has the digest \(found)")
    }
    return bytes
  }

  /// Begins a blob in the store's workspace.
  /// - Parameter algorithm: of the digest under which it will be stored.
  public func newBlob(_ algorithm: Digest.Algorithm = .sha256) throws(OCIError) -> BlobWriter {
    try BlobWriter(store: self, path: try stagedPath(), algorithm: algorithm)
  }

  /// Stores bytes that are in memory.
  public func storeBlob(
    _ bytes: [UInt8], expecting digest: Digest? = nil, lease: Lease
  ) throws(OCIError) -> StoredBlob {
    let writer = try newBlob(digest?.algorithm ?? .sha256)
    try writer.write(bytes)
    return try writer.commit(expecting: digest, lease: lease)
  }

  /// Takes over a file on the store's file system as a blob, when it has that digest. The file stays, as another name of
  /// the same bytes: nobody may write to it any more. Nothing is stored when it throws.
  public func storeBlob(file path: String, expecting digest: Digest, lease: Lease) throws(OCIError) -> StoredBlob {
    let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw OCIError(SystemError.last("open \(path)")) }
    defer { _ = Glibc.close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw OCIError(SystemError.last("stat \(path)")) }
    let found = try hash(descriptor, path, digest.algorithm)
    guard found == digest else {
      throw OCIError(
        .digestMismatch, "the content has the digest \(found), but \(digest) was expected; nothing was stored",
        digests: [digest])
    }
    let name = try stagedPath()
    guard Glibc.link(path, name) == 0 else { throw OCIError(SystemError.last("link \(path) to \(name)")) }
    defer { _ = Glibc.unlink(name) }
    let staged = StagedFile(path: name, descriptor: descriptor, digest: digest, size: Int64(status.st_size))
    try store(staged, lease.pinning(digest))
    lease.hasBeenUsed()
    return StoredBlob(digest: digest, size: staged.size)
  }

  /// Syncs a staged file, unless its blob is here, and makes a change that stores it.
  ///
  /// - Parameter change: gets the blob's row; runs in the transaction.
  func store<T: Sendable>(
    _ staged: StagedFile, _ change: @escaping @Sendable (Transaction, _ blob: Int64) throws(OCIError) -> T
  ) throws(OCIError) -> T {
    let isHere = try isSound(staged.digest, size: staged.size)
    faults.pause()
    if isHere {
      // The file need not be synced. When the blob goes at this very moment, it is stored after all.
      let result: T? = try writer.perform { (transaction: Transaction) throws(OCIError) in
        guard let (id, _) = try transaction.presentBlob(staged.digest) else { return nil }
        transaction.afterCommit.append { _ = Glibc.unlink(staged.path) }
        return try change(transaction, id)
      }
      if let result { return result }
    }
    try sync(staged.descriptor, staged.path)
    faults.pause()
    let result = try writer.perform { (transaction: Transaction) throws(OCIError) in
      let id = try transaction.place(staged.path, staged.digest, size: staged.size)
      return try change(transaction, id)
    }
    noteStored(staged)
    return result
  }
}

/// A finished file that is to become a blob.
struct StagedFile: Sendable {
  var path: String
  var descriptor: Int32
  var digest: Digest
  var size: Int64
}

/// A blob that is open for reading. It stays readable when the blob is deleted meanwhile. Closed with the object.
public final class BlobFile: Sendable {
  /// For `sendfile` and `pread`; owned by the object.
  public let descriptor: Int32
  /// As the file had it when it was opened, and as the catalog says.
  public let size: Int64
  public let digest: Digest
  let stamp: FileStamp
  private let hasBeenVerified: Atomic<Bool>

  init(descriptor: Int32, size: Int64, digest: Digest, stamp: FileStamp, isVerified: Bool) {
    self.descriptor = descriptor
    self.size = size
    self.digest = digest
    self.stamp = stamp
    hasBeenVerified = Atomic(isVerified)
  }

  /// Whether its bytes have been compared with its digest by this process, and it had not changed since when it was
  /// opened.
  public var isVerified: Bool { hasBeenVerified.load(ordering: .relaxed) }

  func noteVerified() { hasBeenVerified.store(true, ordering: .relaxed) }

  /// Whether the bytes are still those that were there when it was opened, as far as length and time of change tell: to
  /// be asked before each large piece that is sent.
  public var isUnchanged: Bool { FileStamp(descriptor)?.hasSameContent(as: stamp) ?? false }

  deinit { _ = Glibc.close(descriptor) }

  /// Fills the front of `buffer` with what is at `offset`; returns how many bytes, 0 at the end.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(OCIError) -> Int {
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, Int(offset))
      if count >= 0 { return count }
      if errno != EINTR { throw OCIError(SystemError.last("read the blob \(digest)")) }
    }
  }
}

/// Reads a blob from its beginning.
final class BlobSource: ByteSource {
  private let blob: BlobFile
  private var position: Int64 = 0

  init(_ blob: BlobFile) { self.blob = blob }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    let count = try blob.read(into: buffer, at: position)
    position += Int64(count)
    return count
  }
}

/// A blob that has been stored.
public struct StoredBlob: Sendable, Equatable {
  public var digest: Digest
  public var size: Int64
}

/// Writes a blob while hashing it. Used by one thread at a time. What is not committed is removed with the object.
public final class BlobWriter: Sendable {
  private let store: ContentStore
  private let path: String
  private let descriptor: Int32
  private let state: Mutex<State>

  private struct State {
    var hasher: DigestHasher
    var size: Int64 = 0
    var isFinished = false
  }

  init(store: ContentStore, path: String, algorithm: Digest.Algorithm) throws(OCIError) {
    self.store = store
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    state = Mutex(State(hasher: DigestHasher(algorithm)))
    guard descriptor >= 0 else { throw OCIError(SystemError.last("create \(path)")) }
  }

  deinit {
    cancel()
    if descriptor >= 0 { _ = close(descriptor) }
  }

  /// Bytes so far.
  public var size: Int64 { state.withLock { $0.size } }

  /// The digest of the bytes so far.
  public var digest: Digest { state.withLock { $0.hasher.finish() } }

  public func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    let code: Int32 = state.withLock { state in
      guard !state.isFinished else { return EBADF }
      let code = DurableFile.writeAll(descriptor, bytes)
      guard code == 0 else { return code }
      state.hasher.update(bytes)
      state.size += Int64(bytes.count)
      return 0
    }
    guard code == 0 else {
      // A part of the bytes may have been written: the blob cannot go on.
      cancel()
      throw OCIError(SystemError("write the blob \(path)", errno: code))
    }
  }

  public func write(_ bytes: [UInt8]) throws(OCIError) {
    try bytes.withUnsafeBufferPointer { (buffer) throws(OCIError) in try write(UnsafeRawBufferPointer(buffer)) }
  }

  /// Stores the blob, pinned by the lease until something refers to it. A blob that is here already is not stored twice.
  ///
  /// When it throws, nothing has been stored; with `digestMismatch` the bytes are gone as well.
  /// - Parameter expecting: the digest that the bytes must have; may be of another algorithm.
  public func commit(expecting: Digest? = nil, lease: Lease) throws(OCIError) -> StoredBlob {
    let staged = try finish(expecting: expecting)
    let pin = lease.pinning(staged.digest)
    try store.store(staged, pin)
    lease.hasBeenUsed()
    state.withLock { $0.isFinished = true }
    return StoredBlob(digest: staged.digest, size: staged.size)
  }

  private func finish(expecting: Digest?) throws(OCIError) -> StagedFile {
    let (digest, size, isFinished) = state.withLock { ($0.hasher.finish(), $0.size, $0.isFinished) }
    guard !isFinished else { throw OCIError(.closed, "the blob has been committed or cancelled already") }
    var staged = StagedFile(path: path, descriptor: descriptor, digest: digest, size: size)
    guard let expecting else { return staged }
    if expecting.algorithm != digest.algorithm {
      staged.digest = try store.hash(descriptor, path, expecting.algorithm)
    }
    guard staged.digest == expecting else {
      cancel()
      throw OCIError(
        .digestMismatch,
        "the content has the digest \(staged.digest), but \(expecting) was expected; nothing was stored",
        digests: [expecting])
    }
    return staged
  }

  /// Gives up: the bytes are removed.
  public func cancel() {
    let isOpen = state.withLock { state in
      defer { state.isFinished = true }
      return !state.isFinished
    }
    if isOpen { _ = unlink(path) }
  }
}

extension ContentStore {
  /// The digest of a whole file, read from its beginning.
  func hash(_ descriptor: Int32, _ path: String, _ algorithm: Digest.Algorithm) throws(OCIError) -> Digest {
    try hasher(of: descriptor, path, algorithm).finish()
  }

  func hasher(of descriptor: Int32, _ path: String, _ algorithm: Digest.Algorithm) throws(OCIError) -> DigestHasher {
    var hasher = DigestHasher(algorithm)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
    defer { buffer.deallocate() }
    var offset = 0
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, offset)
      if count < 0 {
        if errno == EINTR { continue }
        throw OCIError(SystemError.last("read \(path)"))
      }
      if count == 0 { return hasher }
      hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      offset += count
    }
  }
}
