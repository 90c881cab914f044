import CLinux
import Glibc

/// A folder as the root of a tree into which untrusted paths are written: no name, `..`, absolute path or symbolic link
/// leads out of it, because every path is resolved with `PathScope.beneath`.
///
/// Paths are relative to the root, without a leading slash; the empty path is the root itself. Used by one thread at a
/// time. A path that would leave the tree fails with `EXDEV`.
public final class DirectoryTree {
  private let root: Int32
  private let label: String
  /// The parent that was opened last: entries of an archive come folder by folder.
  private var cached: (path: String, fd: Int32)?

  /// What a path names.
  public enum EntryType: Sendable, Equatable {
    case file, directory, symbolicLink, whiteout, other
  }

  public init(_ path: String) throws(SystemError) {
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard root >= 0 else { throw SystemError("open the folder \(path)", errno: errno) }
    label = path
  }

  deinit {
    forgetParent()
    _ = close(root)
  }

  /// Forgets the cached parent; done whenever a path may mean another folder than before.
  private func forgetParent() {
    if let cached { _ = close(cached.fd) }
    cached = nil
  }

  private func failure(_ operation: String, _ path: String) -> SystemError {
    SystemError("\(operation) \(path)", errno: errno)
  }

  private func split(_ path: String) -> (parent: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
    // By bytes, as the kernel does: to Swift a slash before a combining mark is another character.
    return (String(path[..<slash]), String(path[path.utf8.index(after: slash)...]))
  }

  /// The descriptor of the folder that holds `path`; missing folders are made (0755, owned by the caller).
  private func parent(of path: String) throws(SystemError) -> (fd: Int32, name: String) {
    let (folder, name) = split(path)
    guard !name.isEmpty, name != ".", name != ".." else { throw SystemError("use the name \(path)", errno: EINVAL) }
    if folder.isEmpty { return (root, name) }
    if let cached, cached.path == folder { return (cached.fd, name) }
    forgetParent()
    var fd = PathScope.beneath.open(folder, in: root, flags: UInt64(O_RDONLY | O_DIRECTORY))
    if fd < 0, errno == ENOENT {
      try createDirectories(folder)
      fd = PathScope.beneath.open(folder, in: root, flags: UInt64(O_RDONLY | O_DIRECTORY))
    }
    guard fd >= 0 else { throw failure("open the folder", folder) }
    cached = (folder, fd)
    return (fd, name)
  }

  /// Makes a folder and its missing parents.
  public func createDirectories(_ path: String) throws(SystemError) {
    _ = close(try PathScope.beneath.createFolders(path, in: root))
  }

  /// What is at `path`, without following a symbolic link there; `nil` when nothing is.
  public func type(of path: String) throws(SystemError) -> EntryType? {
    if path.isEmpty { return .directory }
    let (fd, name) = try parent(of: path)
    var status = stat()
    guard fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
      if errno == ENOENT { return nil }
      throw failure("stat", path)
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return .file
    case S_IFDIR: return .directory
    case S_IFLNK: return .symbolicLink
    case S_IFCHR where status.st_rdev == 0: return .whiteout
    default: return .other
    }
  }

  /// Makes a folder; one that exists (and is no symbolic link) stays.
  public func createDirectory(_ path: String) throws(SystemError) {
    if path.isEmpty { return }
    let (fd, name) = try parent(of: path)
    guard mkdirat(fd, name, 0o755) == 0 || errno == EEXIST else { throw failure("create the folder", path) }
  }

  /// Makes a new file and gives its descriptor, which the caller closes.
  public func createFile(_ path: String, mode: UInt32 = 0o600) throws(SystemError) -> Int32 {
    let (fd, name) = try parent(of: path)
    let file = PathScope.beneath.open(
      name, in: fd, flags: UInt64(O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW), mode: mode)
    guard file >= 0 else { throw failure("create", path) }
    return file
  }

  public func createSymbolicLink(_ path: String, target: String) throws(SystemError) {
    let (fd, name) = try parent(of: path)
    guard symlinkat(target, fd, name) == 0 else { throw failure("create the symbolic link", path) }
  }

  /// Makes `path` another name of `target`, which is in the tree, too; a symbolic link there is linked itself.
  public func createHardLink(_ path: String, target: String) throws(SystemError) {
    let (folder, name) = split(target)
    let source = PathScope.beneath.open(folder, in: root, flags: apus_o_path() | UInt64(O_DIRECTORY))
    guard source >= 0 else { throw failure("open the folder of the link's target", target) }
    defer { _ = close(source) }
    let (fd, newName) = try parent(of: path)
    guard linkat(source, name, fd, newName, 0) == 0 else { throw failure("link \(path) to", target) }
  }

  /// Makes a device, a pipe or a socket: `mode` with the type bits.
  public func createNode(_ path: String, mode: UInt32, major: UInt32 = 0, minor: UInt32 = 0) throws(SystemError) {
    let (fd, name) = try parent(of: path)
    guard apus_make_device(fd, name, mode, major, minor) == 0 else { throw failure("create the device", path) }
  }

  /// Removes whatever is at `path`.
  public func remove(_ path: String) throws(SystemError) {
    let (fd, name) = try parent(of: path)
    defer { forgetParent() }
    try TreeRemoval.remove(name, in: fd, label: "\(label)/\(path)")
  }

  /// Removes whatever is at `path`, unless its parent is gone or has a symbolic link in its path: what such a link leads
  /// to is left as it is, also inside the tree.
  public func removeIfBelow(_ path: String) throws(SystemError) {
    let (folder, name) = split(path)
    guard !name.isEmpty, name != ".", name != ".." else { throw SystemError("use the name \(path)", errno: EINVAL) }
    guard let fd = try openWithoutLinks(folder) else { return }
    defer {
      _ = close(fd)
      forgetParent()
    }
    try TreeRemoval.remove(name, in: fd, label: "\(label)/\(path)")
  }

  /// The names in a folder, sorted; `nil` when there is no folder, or a symbolic link in its path.
  public func namesIfBelow(_ path: String) throws(SystemError) -> [String]? {
    guard let fd = try openWithoutLinks(path) else { return nil }
    return try Directory.names(consuming: fd, path: "\(label)/\(path)").sorted()
  }

  /// The descriptor of a folder, which the caller closes; `nil` when it is none, or a symbolic link is in its path.
  private func openWithoutLinks(_ folder: String) throws(SystemError) -> Int32? {
    let fd = PathScope.withoutLinks.open(folder, in: root, flags: UInt64(O_RDONLY | O_DIRECTORY))
    if fd >= 0 { return fd }
    guard errno == ENOENT || errno == ENOTDIR || errno == ELOOP else { throw failure("open the folder", folder) }
    return nil
  }

  /// Owner, permission bits and times, in the order in which they do not undo one another. A symbolic link itself is
  /// changed, not what it points to; it has no mode.
  /// - Parameter modified: seconds and nanoseconds since 1970; `nil` leaves the time.
  public func setAttributes(
    _ path: String, owner: UInt32, group: UInt32, mode: UInt32?, modified: (seconds: Int64, nanoseconds: Int)?
  ) throws(SystemError) {
    let (fd, name) = path.isEmpty ? (root, ".") : try parent(of: path)
    guard fchownat(fd, name, owner, group, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("chown", path) }
    // After chown, which clears the set-user-id bits.
    if let mode, fchmodat(fd, name, mode, AT_SYMLINK_NOFOLLOW) != 0 { throw failure("chmod", path) }
    if let modified {
      try setModificationTime(path, seconds: modified.seconds, nanoseconds: modified.nanoseconds)
    }
  }

  /// Sets the time of the last change of content.
  public func setModificationTime(_ path: String, seconds: Int64, nanoseconds: Int) throws(SystemError) {
    let (fd, name) = path.isEmpty ? (root, ".") : try parent(of: path)
    let time = timespec(tv_sec: Int(seconds), tv_nsec: nanoseconds)
    guard utimensat(fd, name, [time, time], AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("set the time of", path) }
  }

  /// Sets an extended attribute of a file or folder (not of a symbolic link).
  public func setExtendedAttribute(_ path: String, name: String, value: [UInt8]) throws(SystemError) {
    let (fd, entry) = path.isEmpty ? (root, ".") : try parent(of: path)
    let file = PathScope.beneath.open(entry, in: fd, flags: apus_o_path() | UInt64(O_NOFOLLOW))
    guard file >= 0 else { throw failure("open", path) }
    defer { _ = close(file) }
    guard value.withUnsafeBytes({ apus_setxattr_path(file, name, $0.baseAddress, $0.count) }) == 0 else {
      throw failure("set the attribute \(name) of", path)
    }
  }

  /// Writes everything in the tree's file system to the disk (syncfs(2)).
  public func sync() throws(SystemError) {
    guard apus_syncfs(root) == 0 else { throw failure("sync", label) }
  }
}
