import CLinux
import Glibc

/// Namespaces that live as long as a bind mount pins them, without a process inside.
public enum Namespaces {
  public enum Kind: String, Sendable, CaseIterable {
    case network = "net"
    case ipc
    case uts

    var flag: Int32 {
      switch self {
      case .network: 0x4000_0000
      case .ipc: 0x0800_0000
      case .uts: 0x0400_0000
      }
    }
  }

  /// Makes namespaces of the given kinds and pins each at `folder`/`kind`.
  ///
  /// A new network namespace has `lo` up; a new UTS namespace has the host name. Sysctls are written from inside.
  /// When it fails nothing stays pinned.
  ///
  /// - Parameter sysctls: dotted names that belong to the namespaces made here.
  public static func create(
    _ kinds: [Kind], folder: String, hostname: String?, sysctls: [String: String] = [:]
  ) async throws(SystemError) {
    try await DedicatedThread.run("apus-namespace") { () throws(SystemError) in
      try Directory.create(folder, mode: 0o700)
      var pinned: [String] = []
      do throws(SystemError) {
        guard clinux_unshare(kinds.reduce(0) { $0 | $1.flag }) == 0 else { throw .last("unshare") }
        if kinds.contains(.uts), let hostname {
          guard sethostname(hostname, hostname.utf8.count) == 0 else { throw .last("sethostname \(hostname)") }
        }
        if kinds.contains(.network), clinux_loopback_up() != 0 { throw .last("set lo up") }
        for (name, value) in sysctls.sorted(by: { $0.key < $1.key }) { try writeSysctl(name, value) }
        for kind in kinds {
          let path = "\(folder)/\(kind.rawValue)"
          let fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o444)
          guard fd >= 0 else { throw .last("create \(path)") }
          close(fd)
          try Mount.bind(source: "/proc/thread-self/ns/\(kind.rawValue)", target: path, recursive: false)
          pinned.append(path)
        }
      } catch {
        for path in pinned { try? Mount.unmount(path, detach: true) }
        throw error
      }
    }
  }

  /// Gives a pinned UTS namespace another host name.
  public static func setHostname(_ hostname: String, of path: String) async throws(SystemError) {
    try await inside(path, .uts) { () throws(SystemError) in
      guard sethostname(hostname, hostname.utf8.count) == 0 else { throw .last("sethostname \(hostname)") }
    }
  }

  /// Releases what `create` pinned. Idempotent.
  public static func remove(folder: String) async throws(SystemError) {
    try await DedicatedThread.run("apus-namespace") { () throws(SystemError) in
      for kind in Kind.allCases {
        let path = "\(folder)/\(kind.rawValue)"
        try Mount.unmount(path, detach: true)
        if unlink(path) != 0, errno != ENOENT, errno != ENOTDIR { throw .last("remove \(path)") }
      }
      if rmdir(folder) != 0, errno != ENOENT { throw .last("remove \(folder)") }
    }
  }

  /// Whether a namespace is pinned at `path`: an ordinary file stays where a reboot took the mount.
  public static func isPinned(_ path: String) -> Bool {
    clinux_is_of_type(path, 0x6e73_6673) == 1  // NSFS_MAGIC
  }

  /// Runs `body` on a thread of its own inside a network namespace.
  public static func inNetwork<Value: Sendable>(
    _ path: String, _ body: @escaping @Sendable () throws(SystemError) -> Value
  ) async throws(SystemError) -> Value {
    try await inside(path, .network, body)
  }

  private static func inside<Value: Sendable>(
    _ path: String, _ kind: Kind, _ body: @escaping @Sendable () throws(SystemError) -> Value
  ) async throws(SystemError) -> Value {
    try await DedicatedThread.run("apus-namespace") { () throws(SystemError) in
      let fd = open(path, O_RDONLY | O_CLOEXEC)
      guard fd >= 0 else { throw .last("open \(path)") }
      defer { close(fd) }
      // The thread ends after `body`, so it need not come back.
      guard clinux_setns(fd, kind.flag) == 0 else { throw .last("setns \(path)") }
      return try body()
    }
  }

  private static func writeSysctl(_ name: String, _ value: String) throws(SystemError) {
    let path = "/proc/sys/" + String(name.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 })
    guard !path.contains("/../") else { throw SystemError("sysctl \(name)", errno: EINVAL) }
    let fd = open(path, O_WRONLY | O_CLOEXEC)
    guard fd >= 0 else { throw .last("sysctl \(name)") }
    defer { close(fd) }
    guard write(fd, value, value.utf8.count) >= 0 else { throw .last("sysctl \(name)=\(value)") }
  }
}
