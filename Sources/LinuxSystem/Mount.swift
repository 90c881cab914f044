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
  ///   - lower: the layers, top first; at least one. The same folder may be there several times.
  ///   - upper: where changes go; `nil`, with `work`, for a read-only overlay.
  ///   - work: an empty folder on the same file system as `upper`.
  ///   - isVolatile: whether changes may be lost when the machine fails: what a container writes needs no fsync.
  public static func overlay(
    lower: [String], upper: String?, work: String?, target: String, isVolatile: Bool = false
  ) throws(SystemError) {
    let layers = distinctLayers(lower)
    if upper == nil, layers.count == 1 {
      // The kernel wants two folders, or a place for changes.
      return try bind(source: layers[0], target: target, readOnly: true, recursive: false)
    }
    if let data = overlayOptions(layers, upper, work, isVolatile) {
      return try mount(source: "overlay", target: target, type: "overlay", data: data)
    }
    var pointers: [UnsafePointer<CChar>?] = []
    for path in layers { pointers.append(strdup(path).map { UnsafePointer($0) }) }
    defer { for pointer in pointers { free(UnsafeMutablePointer(mutating: pointer)) } }
    if apus_mount_overlay(target, pointers, Int32(layers.count), upper, work, isVolatile ? 1 : 0) == 0 { return }
    let code = errno
    // Linux before 6.7 takes no layers one by one.
    guard code == EINVAL || code == ENOSYS || code == EOPNOTSUPP else {
      throw SystemError("mount an overlay of \(layers.count) layers on \(target)", errno: code)
    }
    try overlayByDescriptors(lower: layers, upper: upper, work: work, target: target, isVolatile: isVolatile)
  }

  /// A list of layers, top first, in which each folder stands once: the kernel refuses one that is there twice (`ELOOP`).
  ///
  /// The topmost of equal layers stays, and nothing that is seen changes, whatever whiteouts and opaque folders are in
  /// them or between them. A look-up goes from top to bottom and reaches the lower one of two equal layers only when the
  /// upper one has been passed. Where it ends in a layer (a file, a whiteout, an opaque folder), it ended in the upper one
  /// already; where the layer has a folder, the upper one has given the same names, and its own attributes stand above;
  /// where it has nothing, it adds nothing.
  public static func distinctLayers(_ lower: [String]) -> [String] {
    // By bytes: to Swift two forms of one character are equal, and two folders have them as their names.
    var seen: Set<[UInt8]> = []
    return lower.filter { seen.insert(Array($0.utf8)).inserted }
  }

  /// How long mount(2)'s option string may be: a page, with its end.
  private static let optionBytesMax = 4095

  /// `nil` when they are longer than mount(2) takes them.
  private static func overlayOptions(
    _ lower: [String], _ upper: String?, _ work: String?, _ isVolatile: Bool
  ) -> String? {
    // In the option string these characters separate things. By scalars, as the kernel sees them: to Swift a comma before
    // a combining mark is another character.
    func escape(_ path: String) -> String {
      var text = String.UnicodeScalarView()
      for scalar in path.unicodeScalars {
        if scalar == "\\" || scalar == "," || scalar == ":" { text.append("\\") }
        text.append(scalar)
      }
      return String(text)
    }
    var data = "lowerdir=" + lower.map(escape).joined(separator: ":")
    if let upper, let work { data += ",upperdir=\(escape(upper)),workdir=\(escape(work))" }
    if isVolatile { data += ",volatile" }
    return data.utf8.count <= optionBytesMax ? data : nil
  }

  /// The same with the layers named by descriptors, which are short whatever the folders are called: more than 200 fit.
  ///
  /// `/proc/self/mountinfo` then does not tell which layers are mounted: only what pins them does.
  static func overlayByDescriptors(
    lower: [String], upper: String?, work: String?, target: String, isVolatile: Bool
  ) throws(SystemError) {
    var descriptors: [Int32] = []
    defer { for descriptor in descriptors { _ = close(descriptor) } }
    func name(_ path: String) throws(SystemError) -> String {
      let descriptor = open(path, Int32(truncatingIfNeeded: apus_o_path()) | O_DIRECTORY | O_CLOEXEC)
      guard descriptor >= 0 else { throw .last("open the layer \(path)") }
      descriptors.append(descriptor)
      return "/proc/self/fd/\(descriptor)"
    }
    var names: [String] = []
    for path in lower { names.append(try name(path)) }
    let (upperName, workName) = (try upper.map(name), try work.map(name))
    guard let data = overlayOptions(names, upperName, workName, isVolatile) else {
      throw SystemError("mount \(lower.count) layers, which is too many before Linux 6.7,", errno: E2BIG)
    }
    try mount(source: "overlay", target: target, type: "overlay", data: data)
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
