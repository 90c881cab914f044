import CLinux
import Glibc

/// Files that are either wholly there or not there at all, also after a power failure.
public enum DurableFile {
  /// Replaces the file: writes a temporary file beside it, syncs it, renames it, and syncs the folder.
  ///
  /// Nothing is left behind when it fails; the old content stays.
  /// - Parameter mode: the permission bits, exactly (the umask does not apply).
  public static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o644) throws(SystemError) {
    let folder = parent(of: path)
    // The process id keeps two processes apart, the descriptor two threads of one.
    var template = Array("\(path).tmp.XXXXXX".utf8CString)
    let fd = template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.map { apus_create_temporary($0) } ?? -1
    }
    guard fd >= 0 else { throw SystemError("create a temporary file beside \(path)", errno: errno) }
    let temporary = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    do throws(SystemError) {
      defer { _ = close(fd) }
      try writeAll(fd, bytes, to: path)
      guard fchmod(fd, mode) == 0 else { throw SystemError("chmod \(path)", errno: errno) }
      guard fsync(fd) == 0 else { throw SystemError("fsync \(path)", errno: errno) }
    } catch {
      _ = unlink(temporary)
      throw error
    }
    guard rename(temporary, path) == 0 else {
      let code = errno
      _ = unlink(temporary)
      throw SystemError("rename \(temporary) to \(path)", errno: code)
    }
    try Directory.sync(folder)
  }

  /// The whole content. Fails with `EFBIG` when the file is larger than `limit` bytes.
  public static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw SystemError("open \(path)", errno: errno) }
    defer { _ = close(fd) }
    var status = stat()
    guard fstat(fd, &status) == 0 else { throw SystemError("stat \(path)", errno: errno) }
    // Files in /proc and /sys say 0: the size is a hint for the first buffer only.
    var bytes = [UInt8](repeating: 0, count: min(max(Int(status.st_size) + 1, 4096), limit + 1))
    var count = 0
    while true {
      if count == bytes.count {
        guard count <= limit else { throw SystemError("read \(path) (limit \(limit) bytes)", errno: EFBIG) }
        bytes.append(contentsOf: repeatElement(0, count: min(bytes.count, limit + 1 - count)))
      }
      let got = bytes.withUnsafeMutableBytes { Glibc.read(fd, $0.baseAddress?.advanced(by: count), $0.count - count) }
      if got < 0 {
        if errno == EINTR { continue }
        throw SystemError("read \(path)", errno: errno)
      }
      if got == 0 { break }
      count += got
      guard count <= limit else { throw SystemError("read \(path) (limit \(limit) bytes)", errno: EFBIG) }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  /// Writes all bytes to a descriptor. `path` is for the error only.
  public static func writeAll(_ fd: Int32, _ bytes: [UInt8], to path: String) throws(SystemError) {
    var failure: Int32 = 0
    bytes.withUnsafeBytes { failure = writeAll(fd, $0) }
    guard failure == 0 else { throw SystemError("write \(path)", errno: failure) }
  }

  /// Writes all bytes to a descriptor; returns 0 or the error number.
  public static func writeAll(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Int32 {
    var at = 0
    while at < bytes.count {
      let count = Glibc.write(fd, bytes.baseAddress?.advanced(by: at), bytes.count - at)
      if count < 0 {
        if errno == EINTR { continue }
        return errno
      }
      at += count
    }
    return 0
  }

  /// The folder of a file; `.` when the path names none.
  public static func parent(of path: String) -> String {
    // By bytes, as the kernel does: to Swift a slash before a combining mark is another character.
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
