import CLinux
import Glibc

/// Removes a tree that others filled as they liked: names are bytes, a tree may be nested deeper than a path is long,
/// and it may change meanwhile. Every step goes by descriptors, follows no symbolic link and enters nothing that is
/// mounted, also when the mount is of the same file system. Neither the stack nor the number of descriptors grows with
/// the depth.
struct TreeRemoval {
  private struct Level {
    /// In the folder above.
    var name: [CChar]
    var device: dev_t
    var inode: ino_t
    /// `nil` while a deep folder's content is removed: it is opened again from below.
    var stream: OpaquePointer?
  }

  /// The folders of the first levels stay open: a real tree is read once.
  private static let openMax = 32
  /// How often something may come back while it is removed.
  private static let attemptsMax = 256

  private let root: Int32
  private let label: String
  private var levels: [Level] = []
  private var attempts = 0

  /// Removes what `name` is in the folder `parent`. What does not exist counts as removed; a mount point fails with
  /// `EBUSY`.
  static func remove(_ name: String, in parent: Int32, label: String) throws(SystemError) {
    var removal = TreeRemoval(root: parent, label: label)
    defer { removal.close() }
    let name = Array(name.utf8CString)
    if try removal.unlink(name, in: parent) { return }
    try removal.enter(name, in: parent)
    while !removal.levels.isEmpty { try removal.step() }
  }

  private init(root: Int32, label: String) {
    self.root = root
    self.label = label
  }

  private func close() {
    for level in levels { if let stream = level.stream { closedir(stream) } }
  }

  /// Removes what is left in the deepest folder up to the next one below it; at its end, the folder.
  private mutating func step() throws(SystemError) {
    guard let stream = levels[levels.count - 1].stream else {
      preconditionFailure("the deepest folder is always open")
    }
    errno = 0
    guard let entry = readdir(stream) else {
      guard errno == 0 else { throw failure("read a folder in", []) }
      return try leave()
    }
    let name = Self.bytes(of: entry)
    if name == [0x2e, 0] || name == [0x2e, 0x2e, 0] { return }
    let folder = dirfd(stream)
    if try !unlink(name, in: folder) { try enter(name, in: folder) }
  }

  private static func bytes(of entry: UnsafePointer<dirent>) -> [CChar] {
    guard let name = clinux_entry_name(entry) else { return [0] }
    return Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1))
  }

  /// Removes anything but a folder. Whether nothing is there any more; otherwise it is a folder.
  private func unlink(_ name: [CChar], in folder: Int32) throws(SystemError) -> Bool {
    if unlinkat(folder, name, 0) == 0 || errno == ENOENT { return true }
    if errno == EPERM {
      makeRemovable(name, in: folder)
      if unlinkat(folder, name, 0) == 0 || errno == ENOENT { return true }
    }
    guard errno == EISDIR else { throw failure("remove", name) }
    return false
  }

  private mutating func enter(_ name: [CChar], in folder: Int32) throws(SystemError) {
    let fd = PathScope.withoutMounts.open(name, in: folder, flags: UInt64(O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
    guard fd >= 0 else {
      switch errno {
      case ENOENT: return
      case EXDEV: throw SystemError(operation("remove", name), errno: EBUSY, detail: "something is mounted there")
      // No folder any more: it is looked at again with what else came meanwhile.
      case ENOTDIR, ELOOP:
        try count(name)
        if try unlink(name, in: folder) { return }
        return try enter(name, in: folder)
      default: throw failure("open the folder", name)
      }
    }
    let level = try open(fd, name)
    if levels.count > Self.openMax { closeDeepest() }
    levels.append(level)
  }

  private func open(_ fd: Int32, _ name: [CChar]) throws(SystemError) -> Level {
    var status = stat()
    guard fstat(fd, &status) == 0, let stream = fdopendir(fd) else {
      let error = failure("open the folder", name)
      Glibc.close(fd)
      throw error
    }
    return Level(name: name, device: status.st_dev, inode: status.st_ino, stream: stream)
  }

  private mutating func closeDeepest() {
    if let stream = levels[levels.count - 1].stream { closedir(stream) }
    levels[levels.count - 1].stream = nil
  }

  /// Goes back up, and removes the folder that is empty now.
  private mutating func leave() throws(SystemError) {
    let name = levels[levels.count - 1].name
    if levels.count > 1, levels[levels.count - 2].stream == nil { try openParent() }
    closeDeepest()
    levels.removeLast()
    let folder = levels.last?.stream.map { dirfd($0) } ?? root
    if unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT { return }
    if errno == EPERM {
      makeRemovable(name, in: folder)
      if unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT { return }
    }
    switch errno {
    // Somebody put something into it, or something else in its place.
    case ENOTEMPTY, EEXIST, ENOTDIR:
      try count(name)
      if try !unlink(name, in: folder) { try enter(name, in: folder) }
    default: throw failure("remove", name)
    }
  }

  /// Opens the folder above the deepest one again.
  private mutating func openParent() throws(SystemError) {
    let above = levels[levels.count - 2]
    guard let stream = levels[levels.count - 1].stream else { return }
    let fd = openat(dirfd(stream), "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard fd >= 0 else { throw failure("open the folder above", levels[levels.count - 1].name) }
    let level = try open(fd, above.name)
    levels[levels.count - 2].stream = level.stream
    // The deepest folder may have been moved away: what is above it then is not ours to empty.
    guard level.device == above.device, level.inode == above.inode else {
      throw SystemError(operation("remove", above.name), errno: ESTALE, detail: "it was moved meanwhile")
    }
  }

  private mutating func count(_ name: [CChar]) throws(SystemError) {
    attempts += 1
    guard attempts < Self.attemptsMax else {
      throw SystemError(operation("remove", name), errno: EBUSY, detail: "somebody writes into it all the time")
    }
  }

  /// Takes the flags away that chattr(1) sets, from the entry and from its folder. What fails shows in the next try.
  private func makeRemovable(_ name: [CChar], in folder: Int32) {
    let before = errno
    defer { errno = before }
    if folder != AT_FDCWD { _ = clinux_make_removable(folder) }
    var status = stat()
    guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return }
    // A device or a pipe must not be opened.
    guard [S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) else { return }
    let fd = PathScope.withoutMounts.open(name, in: folder, flags: UInt64(O_RDONLY | O_NOFOLLOW | O_NONBLOCK))
    guard fd >= 0 else { return }
    _ = clinux_make_removable(fd)
    Glibc.close(fd)
  }

  private func failure(_ operation: String, _ name: [CChar]) -> SystemError {
    let code = errno
    return SystemError(self.operation(operation, name), errno: code)
  }

  /// With the path, as far as it can be printed.
  private func operation(_ operation: String, _ name: [CChar]) -> String {
    let names = levels.dropFirst().map(\.name) + (levels.isEmpty ? [] : [name])
    var text = "\(operation) \(label)"
    for name in names.prefix(16) { text += "/" + Self.text(name) }
    if names.count > 16 { text += "/… (\(names.count) folders deep)" }
    return text
  }

  private static func text(_ name: [CChar]) -> String {
    String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
