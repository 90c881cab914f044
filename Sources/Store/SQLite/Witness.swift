import Glibc
import LinuxSystem

/// Remembers the newest answered revision beside the database, so that a log that ends before it is noticed.
///
/// A commit writes some bytes into the kernel's cache and does not wait for the disk: when the process dies in whichever
/// way, the file is exact; when the machine dies, it may be as old as the kernel's write-back allows (half a minute), or
/// as the last copy of the log. It never says more than what was answered.
///
/// `mark` (8 bytes), revision, and the checksum of the cluster's id and the revision, little-endian.
///
/// Used by the thread that commits, and `sync` by any.
final class Witness: Sendable {
  private static let mark = Array("apus-rev".utf8)
  private static let size = 20

  enum Found: Equatable {
    case absent
    /// Neither a revision nor nothing: cut, changed, or another cluster's.
    case unreadable
    case revision(Int64)
  }

  private let descriptor: Int32
  /// Of the cluster's id.
  private let clusterSum: Checksum

  /// Opens the file, which is made when it is missing, and says what it holds.
  static func open(_ path: String, cluster: String) throws(StoreError) -> (witness: Witness, found: Found) {
    let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      if errno == ENOSPC || errno == EDQUOT { throw .diskFull(path) }
      throw .io("cannot open \(path): \(String(cString: strerror(errno)))")
    }
    let witness = Witness(descriptor: descriptor, cluster: cluster)
    var bytes = [UInt8](repeating: 0, count: size + 1)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    if count == 0 { return (witness, .absent) }
    guard count == size else { return (witness, .unreadable) }
    let revision = bytes.withUnsafeBytes { Int64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: Int64.self)) }
    let isWhole = witness.withRecord(revision) { $0.elementsEqual(bytes[..<size]) }
    return (witness, isWhole ? .revision(revision) : .unreadable)
  }

  private init(descriptor: Int32, cluster: String) {
    self.descriptor = descriptor
    var sum = Checksum()
    sum.add(cluster)
    clusterSum = sum
  }

  deinit { close(descriptor) }

  /// What cannot be written is not: the database has all that matters, and an older revision is true as well.
  func note(_ revision: Int64) {
    _ = withRecord(revision) { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
  }

  /// Waits until the file is on disk.
  func sync() { fdatasync(descriptor) }

  /// Each commit writes one: it is made on the stack.
  private func withRecord<Result>(_ revision: Int64, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    var sum = clusterSum
    sum.add(revision.littleEndian)
    let value = sum.value
    return withUnsafeTemporaryAllocation(byteCount: Self.size, alignment: 8) { record in
      record.copyBytes(from: Self.mark)
      record.storeBytes(of: revision.littleEndian, toByteOffset: 8, as: Int64.self)
      record.storeBytes(of: value.littleEndian, toByteOffset: 16, as: UInt32.self)
      return body(UnsafeRawBufferPointer(record))
    }
  }
}
