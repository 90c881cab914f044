import Glibc

/// Why a lock was not taken.
public struct FileLockError: Error, Equatable, CustomStringConvertible {
  public var path: String
  /// The process that holds the lock; `nil` when it is not known, or when something else is wrong.
  public var holder: Int32?
  /// The error number of the call that failed; `EWOULDBLOCK` when another process holds the lock.
  public var errno: Int32

  public var isHeld: Bool { errno == EWOULDBLOCK }

  public var description: String {
    if isHeld {
      let who = holder.map { "process \($0)" } ?? "another process"
      return "\(path) is locked by \(who)"
    }
    return "cannot lock \(path): \(String(cString: strerror(errno)))"
  }
}

/// An exclusive lock on a file, held for as long as the object and the process live.
///
/// It is a `flock`, which the kernel drops when the process dies in whichever way: there is no stale lock. The file
/// carries the holder's process id for the message only. It is never removed, since two processes could then lock two
/// files of the same name.
public final class FileLock: Sendable {
  public let path: String
  private let descriptor: Int32

  private init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Takes the lock, or throws at once when another process (or another `FileLock` of this process) holds it.
  public static func acquire(_ path: String) throws(FileLockError) -> FileLock {
    // Close-on-exec: containers' monitors outlive the server and must not keep its lock.
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileLockError(path: path, holder: nil, errno: Glibc.errno) }
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = Glibc.errno
      if code == EINTR { continue }
      let holder = code == EWOULDBLOCK ? readProcessID(descriptor) : nil
      close(descriptor)
      throw FileLockError(path: path, holder: holder, errno: code)
    }
    let lock = FileLock(path: path, descriptor: descriptor)
    let text = Array("\(getpid())\n".utf8)
    guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.count, 0) == text.count else {
      throw FileLockError(path: path, holder: nil, errno: Glibc.errno)
    }
    return lock
  }

  private static func readProcessID(_ descriptor: Int32) -> Int32? {
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    guard count > 0 else { return nil }
    return Int32(String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
  }
}
