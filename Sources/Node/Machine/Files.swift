import Glibc
import LinuxSystem

/// The file calls that volumes need. All of them block: call them on the thread pool.
enum Files {
  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// Not following a symbolic link.
  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  static func readLink(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = buffer.withUnsafeMutableBytes { bytes in
      bytes.baseAddress.map { readlink(path, $0.assumingMemoryBound(to: CChar.self), bytes.count) } ?? -1
    }
    return count < 0 ? nil : String(decoding: buffer.prefix(count), as: UTF8.self)
  }

  /// Names without `.` and `..`, sorted; empty when the folder cannot be read.
  static func list(_ path: String) -> [String] {
    (try? Directory.list(path)) ?? []
  }

  /// Makes the folder and its parents; one that is there keeps its mode. The mode is not narrowed by the umask.
  static func makeDirectory(_ path: String, mode: UInt32) throws(SystemError) {
    if mkdir(path, mode) == 0 {
      guard Glibc.chmod(path, mode) == 0 else { throw SystemError.last("chmod \(path)") }
      return
    }
    switch errno {
    case EEXIST: return
    case ENOENT:
      guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
        throw SystemError.last("mkdir \(path)")
      }
      try makeDirectory(String(path[..<slash]), mode: 0o755)
      guard mkdir(path, mode) == 0 || errno == EEXIST else { throw SystemError.last("mkdir \(path)") }
      guard Glibc.chmod(path, mode) == 0 else { throw SystemError.last("chmod \(path)") }
    default: throw SystemError.last("mkdir \(path)")
    }
  }

  /// Gives the path to a group and adds permission bits.
  static func chown(_ path: String, group: UInt32, addingMode bits: UInt32) throws(SystemError) {
    guard lchown(path, uid_t.max, group) == 0 else { throw SystemError.last("chown \(path)") }
    var status = stat()
    guard lstat(path, &status) == 0 else { throw SystemError.last("stat \(path)") }
    let mode = status.st_mode & 0o7777 | bits
    guard Glibc.chmod(path, mode) == 0 else { throw SystemError.last("chmod \(path)") }
  }

  /// Writes a new file, without asking for it to be on disk. Without an owner or a group it is ours.
  static func write(
    _ bytes: [UInt8], to path: String, mode: UInt32, owner: UInt32? = nil, group: UInt32?
  ) throws(SystemError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw SystemError.last("create \(path)") }
    defer { close(descriptor) }
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.write(descriptor, $0.baseAddress?.advanced(by: written), $0.count - written)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw SystemError.last("write \(path)")
      }
      written += count
    }
    if owner != nil || group != nil {
      guard fchown(descriptor, owner ?? .max, group ?? .max) == 0 else { throw SystemError.last("chown \(path)") }
    }
    guard fchmod(descriptor, mode) == 0 else { throw SystemError.last("chmod \(path)") }
  }

  /// The whole file, or `nil` when it cannot be read or is longer than `limit` bytes.
  static func read(_ path: String, limit: Int) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = block.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        return nil
      }
      if count == 0 { return bytes }
      bytes.append(contentsOf: block[..<count])
      if bytes.count > limit { return nil }
    }
  }

  /// The last `limit` bytes of a file; empty when it cannot be read.
  static func tail(_ path: String, limit: Int) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    let size = lseek(descriptor, 0, SEEK_END)
    guard size > 0 else { return [] }
    let start = max(0, size - limit)
    return [UInt8](unsafeUninitializedCapacity: limit) { buffer, initialized in
      initialized = max(0, pread(descriptor, buffer.baseAddress, limit, start))
    }
  }

  /// Whether something is mounted on the folder.
  static func isMountPoint(_ path: String) -> Bool {
    var status = stat()
    var parent = stat()
    guard lstat(path, &status) == 0, lstat(path + "/..", &parent) == 0 else { return false }
    return status.st_dev != parent.st_dev
  }
}
