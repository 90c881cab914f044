import Glibc
import LinuxSystem

/// Resolves `subPath` of a volume mount without letting it lead out of the volume, also when a container changes
/// symbolic links at the same time (CVE-2017-1002101, CVE-2021-25741). Blocks.
enum SubPath {
  /// `O_PATH`, which the C library's module does not show to Swift.
  private static let openPath: Int32 = 0o10_000_000

  /// Opens `volume/subPath`, making missing folders, and binds what was opened, not what the name then means, to
  /// `target`, which is made. Does nothing when something is mounted at `target`.
  static func bind(volume: String, subPath: String, mode: UInt32, to target: String) throws(NodeError) {
    if Files.exists(target), (try? Mount.isMountPoint(target)) == true { return }
    let parts = subPath.split(separator: "/").filter { $0 != "." }
    guard !subPath.hasPrefix("/"), !parts.contains("..") else {
      throw NodeError(.createContainerConfigError, "subPath \(subPath) must be relative and must not contain '..'")
    }
    guard let root = realPath(volume) else {
      throw NodeError(.createContainerConfigError, "volume folder for subPath \(subPath) is missing")
    }
    var current = open(root, Self.openPath | O_CLOEXEC | O_DIRECTORY)
    guard current >= 0 else { throw failure(subPath) }
    defer { close(current) }
    for (index, part) in parts.enumerated() {
      var next = openat(current, String(part), Self.openPath | O_CLOEXEC)
      if next < 0 && errno == ENOENT {
        guard mkdirat(current, String(part), mode) == 0 || errno == EEXIST else { throw failure(subPath) }
        next = openat(current, String(part), Self.openPath | O_CLOEXEC | O_NOFOLLOW)
      }
      guard next >= 0 else { throw failure(subPath) }
      close(current)
      current = next
      // What was opened may lie behind a symbolic link: ask the kernel where it really is.
      guard let real = Files.readLink("/proc/self/fd/\(current)"), real == root || real.hasPrefix(root + "/") else {
        throw NodeError(
          .createContainerConfigError, "subPath \(parts[...index].joined(separator: "/")) leads out of the volume")
      }
    }
    var status = stat()
    guard fstat(current, &status) == 0 else { throw failure(subPath) }
    do {
      if status.st_mode & S_IFMT == S_IFDIR {
        try Files.makeDirectory(target, mode: 0o755)
      } else {
        if let slash = target.lastIndex(of: "/") { try Files.makeDirectory(String(target[..<slash]), mode: 0o755) }
        if !Files.exists(target) { try Files.write([], to: target, mode: 0o644, group: nil) }
      }
    } catch {
      throw NodeError(.createContainerConfigError, "subPath \(subPath): \(error)")
    }
    do {
      try Mount.mount(source: "/proc/self/fd/\(current)", target: target, flags: .bind)
    } catch {
      throw NodeError(.createContainerConfigError, "subPath \(subPath): \(error)")
    }
  }

  private static func failure(_ subPath: String) -> NodeError {
    NodeError(
      .createContainerConfigError, "failed to prepare subPath \(subPath): \(String(cString: strerror(errno)))")
  }

  private static func realPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
