import CLinux
import Glibc

/// What the kernel knows of a file, folder or link (stat(2)).
public struct FileStatus: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    case file, directory, symbolicLink, pipe, socket, characterDevice, blockDevice
  }

  public var kind: Kind
  /// Permission bits, with set-user-id, set-group-id and sticky.
  public var mode: UInt32
  public var owner: UInt32
  public var group: UInt32
  public var size: Int64
  public var modified: FileTime
  public var device: UInt64
  public var inode: UInt64
  /// How many names the file has.
  public var links: UInt64
  /// Of a device.
  public var deviceMajor: UInt32
  public var deviceMinor: UInt32

  public init(_ status: stat) {
    kind =
      switch status.st_mode & S_IFMT {
      case S_IFDIR: .directory
      case S_IFLNK: .symbolicLink
      case S_IFIFO: .pipe
      case S_IFSOCK: .socket
      case S_IFCHR: .characterDevice
      case S_IFBLK: .blockDevice
      default: .file
      }
    mode = status.st_mode & 0o7777
    owner = status.st_uid
    group = status.st_gid
    size = Int64(status.st_size)
    modified = FileTime(seconds: Int64(status.st_mtim.tv_sec), nanoseconds: status.st_mtim.tv_nsec)
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    links = UInt64(status.st_nlink)
    deviceMajor = clinux_device_major(status.st_rdev)
    deviceMinor = clinux_device_minor(status.st_rdev)
  }

  /// A character device 0:0, by which overlayfs hides a name of the layers below.
  public var isWhiteout: Bool { kind == .characterDevice && deviceMajor == 0 && deviceMinor == 0 }
}

/// A point in time as file systems keep it.
public struct FileTime: Sendable, Hashable, Comparable {
  /// Since 1970, also negative.
  public var seconds: Int64
  /// 0 to 999,999,999, always forward.
  public var nanoseconds: Int

  public init(seconds: Int64, nanoseconds: Int = 0) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  public static func < (a: FileTime, b: FileTime) -> Bool { (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds) }
}

/// An extended attribute of a file.
public struct FileAttribute: Sendable, Hashable {
  public var name: String
  public var value: [UInt8]

  public init(name: String, value: [UInt8]) {
    self.name = name
    self.value = value
  }
}

/// A folder from which files are read that may be changed meanwhile, by somebody who is not trusted: every path is
/// resolved with `PathScope.inRoot`, so that neither `..` nor a symbolic link leads out of it.
///
/// Paths are relative to the folder; the empty path is the folder itself. Thread safe.
public final class SourceTree: Sendable {
  /// For errors: the folder's path.
  public let label: String
  private let root: Int32

  public init(_ path: String) throws(SystemError) {
    root = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard root >= 0 else { throw .last("open the folder \(path)") }
    label = path
  }

  /// Takes a folder's descriptor over, and closes it in the end.
  public init(consuming descriptor: Int32, label: String) {
    root = descriptor
    self.label = label
  }

  deinit { _ = close(root) }

  private func failure(_ operation: String, _ path: String) -> SystemError {
    .last("\(operation) \(path.isEmpty ? label : "\(label)/\(path)")")
  }

  /// Opens a file or folder for reading. Symbolic links on the way are followed inside the tree; one at the end is not:
  /// it fails with `ELOOP`.
  ///
  /// A device must not be opened, because that alone can have an effect: ask for the `status` first where one may be.
  public func open(_ path: String) throws(SystemError) -> SourceFile {
    // Without O_NONBLOCK a pipe would stop us until somebody writes into it.
    let flags = UInt64(O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
    let fd = PathScope.inRoot.open(path, in: root, flags: flags)
    guard fd >= 0 else { throw failure("open", path) }
    var status = stat()
    guard fstat(fd, &status) == 0 else {
      let error = failure("stat", path)
      _ = close(fd)
      throw error
    }
    return SourceFile(descriptor: fd, status: FileStatus(status), label: "\(label)/\(path)")
  }

  /// What is at `path`, without following a symbolic link there; `nil` when nothing is.
  public func status(_ path: String) throws(SystemError) -> FileStatus? {
    let fd = PathScope.inRoot.open(path, in: root, flags: apus_o_path() | UInt64(O_NOFOLLOW))
    guard fd >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw failure("open", path)
    }
    defer { _ = close(fd) }
    var status = stat()
    guard fstat(fd, &status) == 0 else { throw failure("stat", path) }
    return FileStatus(status)
  }

  /// Where a path ends when every symbolic link of it, also one at its end, is followed inside the tree: relative to the
  /// root. `nil` when nothing is there.
  ///
  /// - Throws: `ELOOP` for too many links, `ESTALE` when it was moved out of the tree meanwhile.
  public func resolve(_ path: String) throws(SystemError) -> String? {
    let fd = PathScope.inRoot.open(path, in: root, flags: apus_o_path())
    guard fd >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw failure("open", path)
    }
    defer { _ = close(fd) }
    guard let real = SourceTree.link(AT_FDCWD, "/proc/self/fd/\(fd)"),
      let own = SourceTree.link(AT_FDCWD, "/proc/self/fd/\(root)")
    else { throw failure("find", path) }
    if real == own { return "" }
    // By bytes: to Swift a slash before a combining mark is another character.
    let prefix = own == "/" ? own : own + "/"
    guard real.utf8.starts(with: prefix.utf8) else {
      throw SystemError("find \(label)/\(path), which was moved away", errno: ESTALE)
    }
    return String(decoding: real.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
  }

  /// Where the symbolic link at `path` points to, as it is written there.
  public func target(_ path: String) throws(SystemError) -> String {
    let fd = PathScope.inRoot.open(path, in: root, flags: apus_o_path() | UInt64(O_NOFOLLOW))
    guard fd >= 0 else { throw failure("open", path) }
    defer { _ = close(fd) }
    guard let target = SourceTree.link(fd, "") else { throw failure("read the symbolic link", path) }
    return target
  }

  /// The target of a symbolic link; `nil` and `errno` when it cannot be read or is not UTF-8 (`EILSEQ`).
  fileprivate static func link(_ directory: Int32, _ name: String) -> String? {
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      guard let start = buffer.assumingMemoryBound(to: CChar.self).baseAddress else { return nil }
      let count = readlinkat(directory, name, start, buffer.count)
      guard count >= 0 else { return nil }
      guard let text = String(validating: buffer[..<count], as: UTF8.self) else {
        errno = EILSEQ
        return nil
      }
      return text
    }
  }
}

/// An open file or folder, which is closed at the end of its life. Used by one thread.
public struct SourceFile: ~Copyable {
  public let descriptor: Int32
  /// As it was when the file was opened.
  public let status: FileStatus
  /// For errors.
  public let label: String

  init(descriptor: Int32, status: FileStatus, label: String) {
    self.descriptor = descriptor
    self.status = status
    self.label = label
  }

  deinit { _ = close(descriptor) }

  /// Reads from the file's position into the front of `buffer`; 0 at the end.
  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
    while true {
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      if errno != EINTR { throw .last("read \(label)") }
    }
  }

  /// The whole content. Fails with `EFBIG` when the file has more than `limit` bytes.
  public func contents(limit: Int) throws(SystemError) -> [UInt8] {
    try DurableFile.read("/proc/self/fd/\(descriptor)", limit: limit)
  }

  /// What the file is now.
  public func currentStatus() throws(SystemError) -> FileStatus {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .last("stat \(label)") }
    return FileStatus(status)
  }

  /// The extended attributes whose names `isWanted`, sorted by name.
  public func attributes(where isWanted: (String) -> Bool) throws(SystemError) -> [FileAttribute] {
    // Most files have none; 64 KiB is the kernel's limit for a list and for a value.
    var count = clinux_list_attributes(descriptor, nil, 0)
    guard count != 0 else { return [] }
    if count < 0 {
      if errno == EOPNOTSUPP { return [] }
      throw .last("list the attributes of \(label)")
    }
    var bytes = [UInt8](repeating: 0, count: 65536)
    count = bytes.withUnsafeMutableBytes { clinux_list_attributes(descriptor, $0.baseAddress, $0.count) }
    guard count >= 0 else { throw .last("list the attributes of \(label)") }
    var attributes: [FileAttribute] = []
    for name in bytes[..<count].split(separator: 0) {
      let name = String(decoding: name, as: UTF8.self)
      guard isWanted(name), let value = try attribute(name) else { continue }
      attributes.append(FileAttribute(name: name, value: value))
    }
    return attributes.sorted { $0.name < $1.name }
  }

  /// The value of an extended attribute; `nil` when there is none of that name.
  public func attribute(_ name: String) throws(SystemError) -> [UInt8]? {
    var value = [UInt8](repeating: 0, count: 65536)
    let count = value.withUnsafeMutableBytes { clinux_get_attribute(descriptor, name, $0.baseAddress, $0.count) }
    guard count >= 0 else {
      if errno == ENODATA || errno == EOPNOTSUPP { return nil }
      throw .last("read the attribute \(name) of \(label)")
    }
    return Array(value[..<count])
  }

  // MARK: Of a folder

  /// The names in the folder, sorted by their bytes, without `.` and `..`. A name that is not UTF-8 fails with `EILSEQ`.
  public func names() throws(SystemError) -> [String] {
    let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard copy >= 0 else { throw .last("open the folder \(label)") }
    guard let stream = fdopendir(copy) else {
      let error = SystemError.last("read the folder \(label)")
      _ = close(copy)
      throw error
    }
    defer { _ = closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw .last("read the folder \(label)") }
        break
      }
      // By its address: an entry ends with its name, and the structure's room for 256 bytes may not be there.
      guard let start = clinux_entry_name(entry), let name = String(validatingCString: start) else {
        throw SystemError("read a name in the folder \(label)", errno: EILSEQ)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    // By bytes: the order must not depend on how Swift compares characters.
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// What the folder has under that name, without following a symbolic link.
  public func status(of name: String) throws(SystemError) -> FileStatus {
    var status = stat()
    guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw .last("stat \(label)/\(name)") }
    return FileStatus(status)
  }

  /// Opens a file or folder that is directly in this folder. A symbolic link fails with `ELOOP`.
  public func open(_ name: String) throws(SystemError) -> SourceFile {
    let fd = openat(descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
    guard fd >= 0 else { throw .last("open \(label)/\(name)") }
    var status = stat()
    guard fstat(fd, &status) == 0 else {
      let error = SystemError.last("stat \(label)/\(name)")
      _ = Glibc.close(fd)
      throw error
    }
    return SourceFile(descriptor: fd, status: FileStatus(status), label: "\(label)/\(name)")
  }

  /// The target of a symbolic link that is directly in this folder.
  public func target(of name: String) throws(SystemError) -> String {
    guard let target = SourceTree.link(descriptor, name) else { throw .last("read the symbolic link \(label)/\(name)") }
    return target
  }
}
