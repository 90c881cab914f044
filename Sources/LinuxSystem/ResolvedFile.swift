import CLinux
import Glibc

/// How far a path may lead that somebody else named: a pod, an image, a build context.
///
/// Such a path is resolved by the kernel (openat2(2), Linux 5.6) from a folder that it belongs to, in one call, and never
/// through the links of `/proc` that lead to other processes' files. What was opened is used by its descriptor: a path
/// that is looked up again may mean something else by then.
public enum PathScope: Sendable {
  /// Nothing outside the folder is reached: a `..`, an absolute path or a symbolic link that leads out fails with `EXDEV`.
  case beneath
  /// The folder is the root for every `..` and every absolute symbolic link, as in a container with that root.
  case inRoot
  /// As `beneath`, and any symbolic link fails with `ELOOP`.
  case withoutLinks
  /// As `withoutLinks`, and whatever is mounted below the folder fails with `EXDEV`.
  case withoutMounts

  private var resolve: UInt64 {
    let (noMounts, noMagicLinks, noLinks, beneath, inRoot): (UInt64, UInt64, UInt64, UInt64, UInt64) = (1, 2, 4, 8, 16)
    return switch self {
    case .beneath: noMagicLinks | beneath
    case .inRoot: noMagicLinks | inRoot
    case .withoutLinks: noMagicLinks | noLinks | beneath
    case .withoutMounts: noMagicLinks | noLinks | beneath | noMounts
    }
  }

  /// A close-on-exec descriptor of what `path` names below `folder`, which the caller closes; -1 and `errno` when there
  /// is none. The empty path is the folder itself.
  public func open(_ path: String, in folder: Int32, flags: UInt64, mode: UInt32 = 0) -> Int32 {
    path.isEmpty
      ? clinux_openat2(folder, ".", flags, mode, resolve) : clinux_openat2(folder, path, flags, mode, resolve)
  }

  func open(_ name: UnsafePointer<CChar>, in folder: Int32, flags: UInt64) -> Int32 {
    clinux_openat2(folder, name, flags, 0, resolve)
  }

  /// Makes the folders of `path` that are missing below `root`. A symbolic link on the way that leads to nothing is no
  /// missing folder: it fails.
  ///
  /// - Parameters:
  ///   - mode: permission bits, which the umask narrows.
  ///   - made: is given each folder that was made, open, to change what it is.
  /// - Returns: a descriptor of the last folder, which the caller closes.
  func createFolders(
    _ path: String, in root: Int32, mode: UInt32 = 0o755,
    made: (_ folder: Int32) throws(SystemError) -> Void = { _ in }
  ) throws(SystemError) -> Int32 {
    let flags = UInt64(O_RDONLY | O_DIRECTORY)
    var current = open("", in: root, flags: flags)
    guard current >= 0 else { throw .last("open the folder of \(path)") }
    var prefix = ""
    do throws(SystemError) {
      // By bytes, as the kernel does: to Swift a slash before a combining mark is another character.
      for component in path.utf8.split(separator: UInt8(ascii: "/")).map(Substring.init) where component != "." {
        prefix += prefix.isEmpty ? component : "/" + component
        var next = open(prefix, in: root, flags: flags)
        if next < 0, errno == ENOENT {
          let isMade = mkdirat(current, String(component), mode) == 0
          guard isMade || errno == EEXIST else { throw .last("create the folder \(prefix)") }
          next =
            isMade
            ? PathScope.withoutLinks.open(String(component), in: current, flags: flags)
            : open(prefix, in: root, flags: flags)
          guard next >= 0 else { throw .last("open the folder \(prefix)") }
          if isMade {
            do throws(SystemError) { try made(next) } catch {
              close(next)
              throw error
            }
          }
        }
        guard next >= 0 else { throw .last("open the folder \(prefix)") }
        close(current)
        current = next
      }
    } catch {
      close(current)
      throw error
    }
    return current
  }
}

/// A file or folder that was looked up once and is held by its descriptor: whatever its path comes to mean later, this
/// stays what it is. Closed at the end of its life.
public final class ResolvedFile: Sendable {
  /// Opened with `O_PATH`: it names the file, and opening it had no effect, whatever it is.
  public let descriptor: Int32
  /// As it was when it was looked up.
  public let status: FileStatus
  /// For errors: the path.
  public let label: String

  /// Takes a descriptor over.
  private init(consuming descriptor: Int32, label: String) throws(SystemError) {
    self.descriptor = descriptor
    self.label = label
    var status = stat()
    let isThere = fstat(descriptor, &status) == 0
    self.status = FileStatus(status)
    guard isThere else { throw .last("stat \(label)") }
  }

  deinit { close(descriptor) }

  /// A folder or file that only root names.
  public convenience init(_ path: String) throws(SystemError) {
    let fd = Glibc.open(path, Int32(apus_o_path()) | O_CLOEXEC)
    guard fd >= 0 else { throw .last("open \(path)") }
    try self.init(consuming: fd, label: path)
  }

  /// What `path` names in `folder`. A symbolic link at the end is followed, too.
  public convenience init(_ path: String, in folder: ResolvedFile, scope: PathScope) throws(SystemError) {
    let fd = scope.open(path, in: folder.descriptor, flags: apus_o_path())
    let label = folder.label == "/" ? "/\(path)" : "\(folder.label)/\(path)"
    guard fd >= 0 else { throw .last("open \(label)") }
    try self.init(consuming: fd, label: label)
  }

  /// Makes the folders of `path` that are missing in this folder.
  ///
  /// - Parameters:
  ///   - mode: the permission bits of those that are made, exactly.
  ///   - group: the group of those that are made; `nil` for what the file system gives them.
  public func createFolders(_ path: String, scope: PathScope, mode: UInt32, group: UInt32? = nil) throws(SystemError) {
    let last = try scope.createFolders(path, in: descriptor, mode: mode & 0o777) { folder throws(SystemError) in
      var status = stat()
      guard fstat(folder, &status) == 0 else { throw .last("stat a folder of \(path)") }
      // Somebody may have put another folder in the place of the new one: that is not ours to change.
      guard status.st_uid == geteuid() else { return }
      if let group, status.st_gid != group, fchown(folder, uid_t.max, group) != 0 {
        throw .last("chown a folder of \(path)")
      }
      guard fchmod(folder, mode) == 0 else { throw .last("chmod a folder of \(path)") }
    }
    close(last)
  }

  /// Makes an empty file in this folder, unless something is there.
  public func createFile(_ path: String, scope: PathScope, mode: UInt32) throws(SystemError) {
    let fd = scope.open(path, in: descriptor, flags: UInt64(O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW), mode: mode)
    guard fd >= 0 else {
      if errno == EEXIST { return }
      throw .last("create \(label)/\(path)")
    }
    defer { close(fd) }
    guard fchmod(fd, mode) == 0 else { throw .last("chmod \(label)/\(path)") }
  }

  /// The whole content of a regular file. Whatever else it is, it is not opened: that alone can have an effect.
  public func contents(limit: Int) throws(SystemError) -> [UInt8] {
    guard status.kind == .file else {
      throw SystemError("read \(label)", errno: EINVAL, detail: "it is no regular file")
    }
    do throws(SystemError) { return try DurableFile.read("/proc/self/fd/\(descriptor)", limit: limit) } catch {
      throw SystemError("read \(label)", errno: error.errno)
    }
  }
}

extension ResolvedFile: Equatable {
  public static func == (a: ResolvedFile, b: ResolvedFile) -> Bool { a === b }
}
