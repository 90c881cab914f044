import Glibc
import LinuxSystem

/// The checks of `hostPath.type` (`pkg/volume/hostpath` in Kubernetes). Blocks.
enum HostPath {
  static func check(_ path: String, type: String) throws(NodeError) {
    guard path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
      throw NodeError(.failedMount, "hostPath \(path) must be absolute and must not contain '..'")
    }
    var status = stat()
    let exists = stat(path, &status) == 0
    let format = status.st_mode & S_IFMT
    func require(_ expected: mode_t, _ noun: String) throws(NodeError) {
      guard exists, format == expected else {
        throw NodeError(.failedMount, "hostPath type check failed: \(path) is not \(noun)")
      }
    }
    switch type {
    case "":
      // Nothing is checked; a bind mount needs something to bind, and container engines make a folder.
      if !exists { try create { () throws(SystemError) in try Files.makeDirectory(path, mode: 0o755) } }
    case "DirectoryOrCreate":
      if exists {
        try require(S_IFDIR, "a directory")
      } else {
        try create { () throws(SystemError) in try Files.makeDirectory(path, mode: 0o755) }
      }
    case "Directory": try require(S_IFDIR, "a directory")
    case "FileOrCreate":
      if exists {
        try require(S_IFREG, "a file")
      } else {
        try create { () throws(SystemError) in try Files.write([], to: path, mode: 0o644, group: nil) }
      }
    case "File": try require(S_IFREG, "a file")
    case "Socket": try require(S_IFSOCK, "a socket file")
    case "CharDevice": try require(S_IFCHR, "a character device")
    case "BlockDevice": try require(S_IFBLK, "a block device")
    default: throw NodeError(.failedMount, "hostPath type \(type) is not known")
    }
  }

  private static func create(_ body: () throws(SystemError) -> Void) throws(NodeError) {
    do {
      try body()
    } catch {
      throw NodeError(.failedMount, "hostPath: \(error)")
    }
  }
}
