import CLinux
import Glibc

/// Flags of mount(2).
public struct MountFlags: OptionSet, Sendable {
  public let rawValue: UInt
  public init(rawValue: UInt) { self.rawValue = rawValue }

  public static let readOnly = MountFlags(rawValue: 1)
  public static let noSetuid = MountFlags(rawValue: 2)
  public static let noDevices = MountFlags(rawValue: 4)
  public static let noExecute = MountFlags(rawValue: 8)
  public static let remount = MountFlags(rawValue: 32)
  public static let bind = MountFlags(rawValue: 4096)
  public static let recursive = MountFlags(rawValue: 16384)
  public static let unbindable = MountFlags(rawValue: 1 << 17)
  public static let `private` = MountFlags(rawValue: 1 << 18)
  public static let slave = MountFlags(rawValue: 1 << 19)
  public static let shared = MountFlags(rawValue: 1 << 20)
}

/// Mounting and unmounting. The calls block; they are quick for the file systems used here.
public enum Mount {
  /// mount(2).
  public static func mount(
    source: String, target: String, type: String = "", flags: MountFlags = [], data: String = ""
  ) throws(SystemError) {
    guard apus_mount(source, target, type.isEmpty ? nil : type, flags.rawValue, data.isEmpty ? nil : data) == 0 else {
      throw SystemError("mount \(source) on \(target)", errno: errno)
    }
  }

  /// Shows the file or folder `source` at `target`, which exists and is of the same kind.
  public static func bind(
    source: String, target: String, readOnly: Bool = false, recursive: Bool = true
  ) throws(SystemError) {
    try mount(source: source, target: target, flags: recursive ? [.bind, .recursive] : .bind)
    guard readOnly else { return }
    // A bind mount takes its flags from a second call only.
    do {
      try mount(source: "none", target: target, flags: [.bind, .remount, .readOnly])
    } catch {
      try? unmount(target, detach: true)
      throw error
    }
  }

  /// A file system in memory.
  /// - Parameter sizeMax: bytes; `nil` for the kernel's default, half of the memory.
  public static func tmpfs(target: String, mode: UInt32 = 0o777, sizeMax: Int64? = nil) throws(SystemError) {
    var data = "mode=" + String(mode, radix: 8)
    if let sizeMax { data += ",size=\(sizeMax)" }
    try mount(source: "tmpfs", target: target, type: "tmpfs", flags: [.noSetuid, .noDevices], data: data)
  }

  /// An overlay file system.
  ///
  /// - Parameters:
  ///   - lower: the layers, top first; at least one.
  ///   - upper: where changes go; `nil`, with `work`, for a read-only overlay.
  ///   - work: an empty folder on the same file system as `upper`.
  ///   - isVolatile: whether changes may be lost when the machine fails: what a container writes needs no fsync.
  public static func overlay(
    lower: [String], upper: String?, work: String?, target: String, isVolatile: Bool = false
  ) throws(SystemError) {
    // In the option string these characters separate things.
    func escape(_ path: String) -> String {
      var text = ""
      for character in path {
        if character == "\\" || character == "," || character == ":" { text.append("\\") }
        text.append(character)
      }
      return text
    }
    var data = "lowerdir=" + lower.map(escape).joined(separator: ":")
    if let upper, let work { data += ",upperdir=\(escape(upper)),workdir=\(escape(work))" }
    if isVolatile { data += ",volatile" }
    if data.utf8.count < 4000 {
      return try mount(source: "overlay", target: target, type: "overlay", data: data)
    }
    var pointers: [UnsafePointer<CChar>?] = []
    for path in lower { pointers.append(strdup(path).map { UnsafePointer($0) }) }
    defer { for pointer in pointers { free(UnsafeMutablePointer(mutating: pointer)) } }
    guard apus_mount_overlay(target, pointers, Int32(lower.count), upper, work, isVolatile ? 1 : 0) == 0 else {
      throw SystemError("mount an overlay of \(lower.count) layers on \(target)", errno: errno)
    }
  }

  /// Shows what was looked up at `target`, which exists and is of the same kind. The descriptor is mounted, not its path.
  /// - Parameter recursive: with what is mounted below it.
  public static func attach(_ file: ResolvedFile, to target: String, recursive: Bool) throws(SystemError) {
    let mount = clinux_clone_mount(file.descriptor, recursive ? 1 : 0)
    guard mount >= 0 else { throw .last("clone the mount of \(file.label)") }
    defer { _ = close(mount) }
    guard clinux_attach_mount(mount, target) == 0 else { throw .last("mount \(file.label) on \(target)") }
  }

  /// Unmounts what is at the path with all that is mounted below it. Both are made private first, so that nothing is
  /// unmounted where they were cloned from.
  public static func detachTree(_ target: String) throws(SystemError) {
    guard apus_mount("none", target, nil, MountFlags([.private, .recursive]).rawValue, nil) == 0 else {
      // Nothing is mounted there.
      if errno == EINVAL || errno == ENOENT { return }
      throw .last("make the mount \(target) private")
    }
    try unmount(target, detach: true)
  }

  /// Unmounts. What is not mounted counts as unmounted.
  /// - Parameter detach: takes the mount out of the tree at once and frees it when its last user ends.
  public static func unmount(_ target: String, detach: Bool = false) throws(SystemError) {
    try unmount(Array(target.utf8CString), target, detach: detach)
  }

  /// By the path's bytes, ended by a zero: what a container mounts may be named by any.
  private static func unmount(_ path: [CChar], _ target: String, detach: Bool) throws(SystemError) {
    // UMOUNT_NOFOLLOW: never another mount through a symbolic link that a container left.
    guard apus_unmount(path, (detach ? 2 : 0) | 8) == 0 || errno == EINVAL || errno == ENOENT else {
      throw SystemError("unmount \(target)", errno: errno)
    }
  }

  /// Unmounts everything at or below `path`, deepest first.
  public static func unmountTree(_ path: String, detach: Bool = true) throws(SystemError) {
    for mount in try MountInfo.current().reversed() where mount.isAtOrBelow(path) {
      try unmount(mount.mountPointBytes.map { CChar(bitPattern: $0) } + [0], mount.mountPoint, detach: detach)
    }
  }

  /// Whether what is at the path is kept in memory only (tmpfs).
  public static func isInMemory(_ path: String) -> Bool {
    clinux_is_of_type(path, 0x0102_1994) == 1  // TMPFS_MAGIC
  }

  public static func isMountPoint(_ path: String) throws(SystemError) -> Bool {
    try MountInfo.current().contains { $0.mountPointBytes.elementsEqual(path.utf8) }
  }
}
