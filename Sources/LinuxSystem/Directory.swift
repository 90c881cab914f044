import CLinux
import Glibc

/// Folders.
public enum Directory {
  /// Makes the folder and its missing parents. An existing folder is left as it is.
  /// - Parameter mode: the permission bits of the folders that are made (the umask applies).
  public static func create(_ path: String, mode: UInt32 = 0o755) throws(SystemError) {
    if mkdir(path, mode) == 0 { return }
    switch errno {
    case EEXIST:
      var status = stat()
      if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
      throw SystemError("create the folder \(path)", errno: ENOTDIR)
    case ENOENT:
      let parent = DurableFile.parent(of: path)
      guard parent != path, parent != "." else { throw SystemError("create the folder \(path)", errno: ENOENT) }
      try create(parent, mode: mode)
      // Somebody else may have made it meanwhile.
      guard mkdir(path, mode) == 0 || errno == EEXIST else {
        throw SystemError("create the folder \(path)", errno: errno)
      }
    default: throw SystemError("create the folder \(path)", errno: errno)
    }
  }

  /// The one name of a file or folder: absolute, without symbolic links, `.` and `..`, as realpath(3) gives it. What is
  /// not there yet may be named too, also by a symbolic link that points to nothing.
  ///
  /// - Parameter path: absolute, or relative to the current folder.
  public static func resolve(_ path: String) throws(SystemError) -> String {
    var rest = Array(parts(path).reversed())
    var resolved = ""
    if path.utf8.first != UInt8(ascii: "/") {
      guard let current = getcwd(nil, 0) else { throw SystemError("read the current folder's path", errno: errno) }
      resolved = String(cString: current)
      free(current)
      if resolved == "/" { resolved = "" }
    }
    var linksMax = 40
    while let part = rest.popLast() {
      if part == "." { continue }
      if part == ".." {
        resolved = resolved.isEmpty ? "" : DurableFile.parent(of: resolved)
        if resolved == "/" { resolved = "" }
        continue
      }
      let next = "\(resolved)/\(part)"
      var target = [CChar](repeating: 0, count: 4096)
      let count = readlink(next, &target, target.count)
      guard count >= 0 else {
        // EINVAL: it is no link.
        guard errno == EINVAL || errno == ENOENT else { throw SystemError("resolve \(next)", errno: errno) }
        resolved = next
        continue
      }
      linksMax -= 1
      guard linksMax > 0, count < target.count else { throw SystemError("resolve \(path)", errno: ELOOP) }
      let text = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.utf8.first == UInt8(ascii: "/") { resolved = "" }
      rest += parts(text).reversed()
    }
    return resolved.isEmpty ? "/" : resolved
  }

  /// By bytes, as the kernel does: to Swift a slash before a combining mark is another character.
  private static func parts(_ path: String) -> [Substring] {
    path.utf8.split(separator: UInt8(ascii: "/")).map(Substring.init)
  }

  /// The names in the folder, sorted, without `.` and `..`.
  public static func list(_ path: String) throws(SystemError) -> [String] {
    let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0 else { throw SystemError("open the folder \(path)", errno: errno) }
    return try names(consuming: fd, path: path).sorted()
  }

  /// Makes the folder's entries durable.
  public static func sync(_ path: String) throws(SystemError) {
    let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0 else { throw SystemError("open the folder \(path)", errno: errno) }
    defer { _ = close(fd) }
    guard fsync(fd) == 0 else { throw SystemError("fsync the folder \(path)", errno: errno) }
  }

  /// Makes the folder, with missing parents, for its owner alone; one that is there is closed to others. Whatever is
  /// below it can then be reached by nobody else, whichever modes others give it.
  public static func createPrivate(_ path: String) throws(SystemError) {
    try create(path, mode: 0o700)
    let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0 else { throw SystemError("open the folder \(path)", errno: errno) }
    defer { _ = close(fd) }
    guard fchmod(fd, 0o700) == 0 else { throw SystemError("chmod \(path)", errno: errno) }
  }

  /// Removes a file, a symbolic link (not what it points to), or a folder with everything in it, whatever the names in
  /// it are and however deep it is. What does not exist counts as removed. What is mounted at the path or below it is not
  /// entered: it fails with `EBUSY`.
  public static func removeTree(_ path: String) throws(SystemError) {
    var path = path
    while path.utf8.count > 1, path.utf8.last == UInt8(ascii: "/") { path.removeLast() }
    let folder = open(DurableFile.parent(of: path), Int32(apus_o_path()) | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return }
      throw SystemError("open the folder of \(path)", errno: errno)
    }
    defer { _ = close(folder) }
    let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[path.utf8.index(after: $0)...]) } ?? path
    try TreeRemoval.remove(name, in: folder, label: path)
  }

  /// An extended attribute of a file, folder or symbolic link; `nil` when it has none of that name, or one longer than
  /// 64 KiB, the kernel's limit.
  public static func extendedAttribute(_ path: String, name: String) throws(SystemError) -> [UInt8]? {
    var value = [UInt8](repeating: 0, count: 65536)
    let count = value.withUnsafeMutableBytes { apus_getxattr(path, name, $0.baseAddress, $0.count) }
    guard count >= 0 else {
      if errno == ENODATA || errno == EOPNOTSUPP { return nil }
      throw SystemError("read the attribute \(name) of \(path)", errno: errno)
    }
    return Array(value[..<count])
  }

  static func names(consuming fd: Int32, path: String) throws(SystemError) -> [String] {
    guard let stream = fdopendir(fd) else {
      let code = errno
      _ = close(fd)
      throw SystemError("read the folder \(path)", errno: code)
    }
    defer { _ = closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw SystemError("read the folder \(path)", errno: errno) }
        return names
      }
      let name = String(cString: clinux_entry_name(entry))
      if name != ".", name != ".." { names.append(name) }
    }
  }
}
