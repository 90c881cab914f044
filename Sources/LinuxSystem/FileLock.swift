import CLinux
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

/// An exclusive lock on a file or a folder, held for as long as the object and the process live.
///
/// It is a `flock`, which the kernel drops when the process dies in whichever way: there is no stale lock. It is on the
/// file itself and not on its name: a folder's lock holds whatever is removed or replaced in it, and by whichever path
/// the folder is reached. Who holds it is the kernel's word.
public final class FileLock: Sendable {
  public let path: String
  private let descriptor: Int32

  private init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Locks a file, which is made when it is missing and never removed: two processes could then lock two files of the
  /// same name.
  ///
  /// Throws when another process (or another `FileLock` of this process) holds it; waits for one that was killed and has
  /// not ended yet.
  public static func acquire(_ path: String) throws(FileLockError) -> FileLock {
    try acquire(path, O_RDWR | O_CREAT)
  }

  /// The same for a folder, which must be there, also when it is locked: who held it before may have removed it.
  public static func acquire(directory path: String) throws(FileLockError) -> FileLock {
    let lock = try acquire(path, O_RDONLY | O_DIRECTORY)
    var (named, locked) = (stat(), stat())
    guard stat(path, &named) == 0, fstat(lock.descriptor, &locked) == 0, named.st_dev == locked.st_dev,
      named.st_ino == locked.st_ino
    else { throw FileLockError(path: path, holder: nil, errno: ENOENT) }
    return lock
  }

  /// Shares a lock that another process has taken, by the descriptor that it took it with: it is held until all who share
  /// it have let it go.
  ///
  /// Throws `EWOULDBLOCK` when the descriptor holds no lock, or one of another file than the path's.
  public static func share(_ descriptor: OwnedDescriptor, _ path: String) throws(FileLockError) -> FileLock {
    var (named, locked) = (stat(), stat())
    // The call says yes to whoever shares the lock, and takes it when nobody has it.
    guard stat(path, &named) == 0, fstat(descriptor.number, &locked) == 0, named.st_dev == locked.st_dev,
      named.st_ino == locked.st_ino, flock(descriptor.number, LOCK_EX | LOCK_NB) == 0,
      let copy = try? descriptor.duplicate()
    else { throw FileLockError(path: path, holder: nil, errno: EWOULDBLOCK) }
    return FileLock(path: path, descriptor: copy)
  }

  /// The descriptor for another process to `share` the lock with.
  public func shared() throws(SystemError) -> OwnedDescriptor {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw .last("dup \(path)") }
    return OwnedDescriptor(copy)
  }

  /// The process that holds the lock of the file or folder; `nil` when none does or it cannot be told.
  public static func holder(of path: String) -> Int32? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    return holder(of: descriptor)
  }

  private static func acquire(_ path: String, _ flags: Int32) throws(FileLockError) -> FileLock {
    // Close-on-exec: containers' monitors outlive the server and must not keep its lock.
    let descriptor = open(path, flags | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw FileLockError(path: path, holder: nil, errno: Glibc.errno) }
    // Who can open a file can lock it. A folder's mode is its owner's.
    if flags & O_DIRECTORY == 0 { fchmod(descriptor, 0o600) }
    var retriesMax = 8
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = Glibc.errno
      if code == EINTR { continue }
      let holder = code == EWOULDBLOCK ? holder(of: descriptor) : nil
      if code == EWOULDBLOCK, retriesMax > 0 {
        retriesMax -= 1
        // Nobody has it any more: it was let go between the two questions, as when a killed process has just ended.
        guard let holder else { continue }
        if ProcessEnd.isUnderWay(holder), ProcessEnd.wait(holder) { continue }
      }
      close(descriptor)
      throw FileLockError(path: path, holder: holder, errno: code)
    }
    return FileLock(path: path, descriptor: descriptor)
  }

  private static func holder(of descriptor: Int32) -> Int32? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, let locks = try? DurableFile.read("/proc/locks", limit: 1 << 22) else {
      return nil
    }
    return holder(
      in: String(decoding: locks, as: UTF8.self), major: clinux_device_major(status.st_dev),
      minor: clinux_device_minor(status.st_dev), inode: UInt64(status.st_ino))
  }

  /// Reads `/proc/locks`: `1: FLOCK ADVISORY WRITE PROCESS MAJOR:MINOR:INODE 0 EOF`, the device in hexadecimal digits;
  /// `->` stands before the type of one that waits. A process of another namespace has the number 0.
  static func holder(in locks: String, major: UInt32, minor: UInt32, inode: UInt64) -> Int32? {
    var byInode: [Int32] = []
    for line in locks.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count >= 6, fields[1] == "FLOCK", let process = Int32(fields[4]), process > 0 else { continue }
      let file = fields[5].split(separator: ":")
      guard file.count == 3, UInt64(file[2]) == inode else { continue }
      if UInt32(file[0], radix: 16) == major, UInt32(file[1], radix: 16) == minor { return process }
      byInode.append(process)
    }
    // Some file systems tell stat(2) another device than the lock's.
    return byInode.count == 1 ? byInode.first : nil
  }
}

/// Processes that were killed and are still there: a big one takes a while to end.
enum ProcessEnd {
  /// Whether the process is ending and cannot go on.
  static func isUnderWay(_ process: Int32) -> Bool {
    // Without a process there is nothing to wait for.
    guard let status = try? DurableFile.read("/proc/\(process)/status", limit: 1 << 16),
      let stat = try? DurableFile.read("/proc/\(process)/stat", limit: 1 << 12)
    else { return true }
    return isUnderWay(status: String(decoding: status, as: UTF8.self), stat: String(decoding: stat, as: UTF8.self))
  }

  /// - Parameters:
  ///   - status: `/proc/PID/status`; SIGKILL may wait for a process that the kernel holds.
  ///   - stat: `/proc/PID/stat`, whose ninth field are the kernel's flags.
  static func isUnderWay(status: String, stat: String) -> Bool {
    for line in status.split(separator: "\n") {
      let words = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
      guard words.count >= 2 else { continue }
      switch words[0] {
      case "State:": if words[1] == "Z" || words[1] == "X" { return true }
      case "SigPnd:", "ShdPnd:":
        if let pending = UInt64(words[1], radix: 16), pending & 1 << UInt64(SIGKILL - 1) != 0 { return true }
      default: continue
      }
    }
    // The command's name stands in parentheses and may hold anything: fields are counted from its end.
    guard let nameEnd = stat.lastIndex(of: ")") else { return false }
    let fields = stat[stat.index(after: nameEnd)...].split(separator: " ")
    guard fields.count > 6, let flags = UInt64(fields[6]) else { return false }
    let isExiting: UInt64 = 0x4
    let isKilled: UInt64 = 0x400
    return flags & (isExiting | isKilled) != 0
  }

  /// Waits until it has ended; false when it does not within 30 seconds.
  static func wait(_ process: Int32) -> Bool {
    let descriptor = clinux_pidfd_open(process)
    guard descriptor >= 0 else { return errno == ESRCH }
    defer { close(descriptor) }
    var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&poller, 1, 30_000) > 0
  }
}
