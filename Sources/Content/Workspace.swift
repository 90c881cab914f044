import Glibc
import Layers
import LinuxSystem
import OCI

/// A folder for unfinished work in `ROOT/work`, on the same file system as the store, so that what is finished can be
/// renamed into its place. It is locked while it is used: what a killed process left is recognised by its free lock.
final class Workspace: Sendable {
  let path: String
  private let lock: Int32

  /// - Precondition: the store's lock is held, so that no other process sweeps between making and locking.
  init(root: String) throws(OCIError) {
    var template = Array("\(root)/work/XXXXXX".utf8CString)
    guard template.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap(mkdtemp) }) != nil else {
      throw OCIError(SystemError.last("create a folder in \(root)/work"))
    }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    lock = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let error = OCIError(SystemError.last("lock \(path)"))
      if lock >= 0 { _ = close(lock) }
      try? Directory.removeTree(path)
      throw error
    }
  }

  deinit {
    // What cannot be removed now is swept when the store is opened next.
    try? Directory.removeTree(path)
    _ = close(lock)
  }

  /// Removes the folders of processes that ended. The store's lock is held.
  static func sweep(root: String) {
    for name in (try? Directory.list("\(root)/work")) ?? [] {
      let path = "\(root)/work/\(name)"
      let fd = open("\(path)/lock", O_RDWR | O_CLOEXEC)
      if fd >= 0 {
        defer { _ = close(fd) }
        guard flock(fd, LOCK_EX | LOCK_NB) == 0 else { continue }
        try? Directory.removeTree(path)
      } else if errno == ENOENT {
        try? Directory.removeTree(path)
      }
    }
  }
}

/// A blob that has been written and hashed, but is not yet in the store.
struct StagedBlob: Sendable {
  var digest: Digest
  var size: Int64
  /// Where its bytes are.
  var path: String
  var compression: Compression

  func bytes(limit: Int, label: String) throws(OCIError) -> [UInt8] {
    guard size <= limit else {
      throw OCIError(.limitExceeded, "\(label) has \(size) bytes; documents may have \(limit)")
    }
    return try system { () throws(SystemError) in try DurableFile.read(path, limit: limit) }
  }
}

/// Writes a blob into a workspace while hashing it.
struct StagedBlobWriter: ~Copyable {
  private let fd: Int32
  private let path: String
  private var hasher: DigestHasher
  private var size: Int64 = 0
  private var head: [UInt8] = []

  init(_ workspace: Workspace, number: Int, algorithm: Digest.Algorithm = .sha256) throws(OCIError) {
    path = "\(workspace.path)/\(number)"
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard fd >= 0 else { throw OCIError(SystemError.last("create \(path)")) }
    hasher = DigestHasher(algorithm)
  }

  deinit { _ = close(fd) }

  mutating func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    let code = DurableFile.writeAll(fd, bytes)
    guard code == 0 else { throw OCIError(SystemError("store the image in \(path)", errno: code)) }
    hasher.update(bytes)
    size += Int64(bytes.count)
    if head.count < 4 { head.append(contentsOf: bytes.prefix(4 - head.count)) }
  }

  func finish() -> StagedBlob {
    StagedBlob(digest: hasher.finish(), size: size, path: path, compression: Compression(magic: head))
  }
}
