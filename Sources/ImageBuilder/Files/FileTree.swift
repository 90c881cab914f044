import CLinux
import Dockerfile
import Glibc
import LinuxSystem
import OCI

/// What a walk finds at a path. Enough to tell later whether the file is still the same.
struct FileEntry: Sendable, Equatable {
  /// Relative to the tree's root, `/` separated; empty for the root.
  var path: String
  var status: FileStatus
  /// Of a symbolic link.
  var target = ""

  var kind: FileStatus.Kind { status.kind }
}

/// A folder of this machine, read as if it were a whole file system: nothing outside is reached, whatever `..` and
/// symbolic links say. The calls block.
final class FileTree: Sendable {
  /// Where files come from decides what a copy keeps.
  enum Origin: Sendable, Equatable {
    /// A build context: files belong to root in the image, and what is no file, folder or link is refused.
    case context
    /// An image or stage: owners, devices and capabilities are kept.
    case image
  }

  let origin: Origin
  /// For messages: `the build context`, `stage "build"`.
  let label: String
  let ignore: DockerIgnore?
  /// For whoever writes layers.
  let source: SourceTree
  private let root: Int32
  private let rootPath: String

  static let entriesMax = 2_000_000
  /// Folders within one another: each is open while what is in it is read.
  static let levelsMax = 512

  init(_ path: String, origin: Origin, label: String, ignore: DockerIgnore? = nil) throws(BuildError) {
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard root >= 0 else { throw BuildError(SystemError.last("open \(label) \(path)")) }
    guard let real = Self.linkTarget("/proc/self/fd/\(root)") else {
      let error = BuildError(SystemError.last("open \(label) \(path)"))
      close(root)
      throw error
    }
    rootPath = real
    let copy = fcntl(root, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw BuildError(SystemError.last("dup")) }
    source = SourceTree(consuming: copy, label: label)
    self.origin = origin
    self.label = label
    self.ignore = ignore
  }

  deinit { close(root) }

  /// The path on this machine. Only for entries of this tree, whose parents are no symbolic links.
  func hostPath(_ path: String) -> String { path.isEmpty ? rootPath : rootPath + "/" + path }

  private static func linkTarget(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4097)
    let count = readlink(path, &buffer, buffer.count - 1)
    guard count > 0 else { return nil }
    return String(validating: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: Looking up

  private func openPath(_ path: String, flags: UInt64) -> Int32 { PathScope.inRoot.open(path, in: root, flags: flags) }

  /// Where a path ends when symbolic links are followed inside the tree, relative to the root; `nil` when there is
  /// nothing.
  func resolve(_ path: String) throws(BuildError) -> String? {
    do throws(SystemError) {
      return try source.resolve(FilePath.relative(path))
    } catch {
      switch error.errno {
      case ELOOP: throw BuildError(.context, "\"\(path)\" in \(label) leads through too many symbolic links")
      case ESTALE:
        throw BuildError(.contextChanged, "\"\(path)\" in \(label) was moved away while the build read it")
      default: throw BuildError(error)
      }
    }
  }

  /// What is at a path, with symbolic links followed in its parents only; `nil` when there is nothing.
  func entry(_ path: String) throws(BuildError) -> FileEntry? {
    let parent = FilePath.parent(path)
    let name = FilePath.name(path)
    let fd = openPath(parent, flags: apus_o_path() | UInt64(O_DIRECTORY))
    guard fd >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw BuildError(SystemError.last("open \(parent) in \(label)"))
    }
    defer { close(fd) }
    return try entry(in: fd, name: name.isEmpty ? "." : name, path: path)
  }

  private func entry(in folder: Int32, name: String, path: String) throws(BuildError) -> FileEntry? {
    var status = stat()
    guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw BuildError(SystemError.last("stat \(path) in \(label)"))
    }
    var entry = FileEntry(path: path, status: FileStatus(status))
    // A single layer is read as it lies unpacked: what it hides is not there.
    if origin == .image, entry.status.isWhiteout { return nil }
    if entry.kind == .symbolicLink {
      var buffer = [CChar](repeating: 0, count: 4097)
      let count = readlinkat(folder, name, &buffer, buffer.count - 1)
      guard count >= 0 else { throw BuildError(SystemError.last("read the link \(path) in \(label)")) }
      guard let target = String(validating: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) else {
        throw BuildError(.context, "the target of the symbolic link \"\(path)\" in \(label) is not UTF-8")
      }
      entry.target = target
    }
    return entry
  }

  /// Whether `.dockerignore` leaves a path out.
  func isIgnored(_ path: String) -> Bool { !path.isEmpty && (ignore?.excludes(path) ?? false) }

  // MARK: Walking

  /// The names in a folder, sorted by bytes; those that `.dockerignore` leaves out are not among them, unless something
  /// below is kept.
  func names(in folder: String) throws(BuildError) -> [String] {
    let fd = openPath(folder, flags: UInt64(O_RDONLY | O_DIRECTORY))
    guard fd >= 0 else { throw BuildError(SystemError.last("open \(folder) in \(label)")) }
    let names = try Self.names(consuming: fd, label: "\(folder) in \(label)")
    guard let ignore else { return names }
    var kept: [String] = []
    for name in names {
      let path = FilePath.join(folder, name)
      let isDirectory = try entry(path)?.kind == .directory
      switch ignore.verdict(path, isDirectory: isDirectory) {
      case .included: kept.append(name)
      case .excluded where isDirectory:
        var found: [FileEntry] = []
        try walk(path, into: &found) { _ in false }
        if !found.isEmpty { kept.append(name) }
      case .excluded, .excludedWithAll: break
      }
    }
    return kept
  }

  /// Everything below a folder, parents before what is in them, sorted by bytes within each folder; the folder itself is
  /// not among it. What `.dockerignore` leaves out is not there.
  ///
  /// - Parameter isExcluded: what else is left out; a folder with all that is in it only when nothing in it is kept.
  func walk(
    _ folder: String, into entries: inout [FileEntry], excluding isExcluded: (FileEntry) -> Bool
  ) throws(BuildError) {
    let fd = openPath(folder, flags: UInt64(O_RDONLY | O_DIRECTORY))
    guard fd >= 0 else { throw BuildError(SystemError.last("open \(folder) in \(label)")) }
    let prefix = folder.isEmpty ? "" : folder + "/"
    try walk(fd, prefix: prefix, level: 0, into: &entries, excluding: isExcluded)
  }

  private func walk(
    _ fd: Int32, prefix: String, level: Int, into entries: inout [FileEntry], excluding isExcluded: (FileEntry) -> Bool
  ) throws(BuildError) {
    defer { close(fd) }
    guard level < Self.levelsMax else {
      throw BuildError(
        .context,
        "\"\(prefix.prefix(80))…\" in \(label) is too deep: there are more than \(Self.levelsMax) folders in one another; "
          + "leave it out by .dockerignore")
    }
    let copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw BuildError(SystemError.last("dup")) }
    for name in try Self.names(consuming: copy, label: "\(prefix.isEmpty ? "/" : prefix) in \(label)") {
      let path = prefix + name
      guard let entry = try entry(in: fd, name: name, path: path) else {
        if origin == .image { continue }
        throw BuildError(.contextChanged, "\"\(path)\" in \(label) went away while the build read it")
      }
      let isDirectory = entry.kind == .directory
      var isKept = !isExcluded(entry)
      switch ignore?.verdict(path, isDirectory: isDirectory) ?? .included {
      case .included: break
      case .excluded: isKept = false
      case .excludedWithAll: continue
      }
      guard entries.count < Self.entriesMax else {
        throw BuildError(.context, "\(label) has more than \(Self.entriesMax) files; leave some out by .dockerignore")
      }
      let position = entries.count
      if isKept { entries.append(entry) }
      guard isDirectory else { continue }
      let child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard child >= 0 else { throw BuildError(SystemError.last("open \(path) in \(label)")) }
      try walk(child, prefix: path + "/", level: level + 1, into: &entries, excluding: isExcluded)
      // A folder that is left out is there all the same when something in it is kept.
      if !isKept, entries.count > position { entries.insert(entry, at: position) }
    }
  }

  private static func names(consuming fd: Int32, label: String) throws(BuildError) -> [String] {
    guard let stream = fdopendir(fd) else {
      let error = BuildError(SystemError.last("read the folder \(label)"))
      close(fd)
      throw error
    }
    defer { closedir(stream) }
    rewinddir(stream)
    var names: [String] = []
    while true {
      errno = 0
      guard let item = readdir(stream) else {
        guard errno == 0 else { throw BuildError(SystemError.last("read the folder \(label)")) }
        // By bytes, as every machine sorts them.
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      }
      // By its address: an entry ends with its name, and the structure's room for 256 bytes may not be there.
      guard let start = clinux_entry_name(item), let name = String(validatingCString: start) else {
        throw BuildError(
          .context, "a file name in \(label) is not UTF-8; rename it, or leave it out by .dockerignore")
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  // MARK: Reading

  /// Opens a file of a walk; it must still be the one that was found.
  func openFile(_ entry: FileEntry) throws(BuildError) -> Int32 {
    let fd = openPath(entry.path, flags: UInt64(O_RDONLY | O_NOFOLLOW | O_NONBLOCK))
    guard fd >= 0 else {
      if errno == ENOENT || errno == ENOTDIR || errno == ELOOP { throw changed(entry) }
      throw BuildError(SystemError.last("open \(entry.path) in \(label)"))
    }
    do throws(BuildError) { try checkUnchanged(fd, entry) } catch {
      close(fd)
      throw error
    }
    return fd
  }

  /// Throws when the open file is not as the walk found it.
  func checkUnchanged(_ fd: Int32, _ entry: FileEntry) throws(BuildError) {
    var status = stat()
    guard fstat(fd, &status) == 0 else { throw BuildError(SystemError.last("stat \(entry.path) in \(label)")) }
    let now = FileStatus(status)
    guard now.inode == entry.status.inode, now.size == entry.status.size, now.modified == entry.status.modified else {
      throw changed(entry)
    }
  }

  private func changed(_ entry: FileEntry) -> BuildError {
    BuildError(
      .contextChanged,
      "\"\(entry.path)\" in \(label) changed while the build read it; build again when nothing writes to it, "
        + "or leave it out by .dockerignore")
  }

  /// The content's digest. `buffer` is for reading.
  func digest(_ entry: FileEntry, buffer: UnsafeMutableRawBufferPointer) throws(BuildError) -> Digest {
    let fd = try openFile(entry)
    defer { close(fd) }
    var hasher = DigestHasher(.sha256)
    var count: Int64 = 0
    while true {
      let got = read(fd, buffer.baseAddress, buffer.count)
      if got < 0 {
        if errno == EINTR { continue }
        throw BuildError(SystemError.last("read \(entry.path) in \(label)"))
      }
      if got == 0 { break }
      hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
      count += Int64(got)
    }
    guard count == entry.status.size else { throw changed(entry) }
    try checkUnchanged(fd, entry)
    return hasher.finish()
  }

  /// A whole small file; `nil` when there is none. Symbolic links are followed inside the tree.
  func document(_ path: String, limit: Int) throws(BuildError) -> [UInt8]? {
    // By its name only, until it is known to be a file: opening a device can have an effect.
    let fd = openPath(FilePath.relative(path), flags: apus_o_path())
    guard fd >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw BuildError(SystemError.last("open \(path) in \(label)"))
    }
    defer { close(fd) }
    var status = stat()
    guard fstat(fd, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw BuildError(.context, "\"\(path)\" in \(label) is no file")
    }
    return try system { () throws(SystemError) in try DurableFile.read("/proc/self/fd/\(fd)", limit: limit) }
  }
}
