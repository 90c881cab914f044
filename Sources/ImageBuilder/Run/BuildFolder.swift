import Glibc
import Layers
import LinuxSystem
import Synchronization

/// A build's own folder: snapshots and bundles of the steps that run. It is locked while the build lives, whatever way its
/// process ends; what a killed build left is recognised by its free lock and taken away.
///
/// ```
/// WORK/builds/ID/lock
/// WORK/builds/ID/N/        one step that runs, one snapshot, or what was fetched
/// WORK/caches/HEX/         a cache mount's files, kept
/// WORK/steps/              where builds meet (``StepRendezvous``)
/// ```
final class BuildFolder: Sendable {
  let path: String
  let id: String
  /// Without symbolic links.
  let work: String
  /// By the numbers of `newFolder`.
  let snapshots: Snapshotter
  private let lock: Int32
  private let numbers = Counter()
  private let cgroupRoot: String

  /// Makes the folder, after sweeping what killed builds left. Blocks.
  init(work: String, cgroupRoot: String) throws(BuildError) {
    self.cgroupRoot = cgroupRoot
    let work = try system { () throws(SystemError) in
      try Directory.create(work, mode: 0o700)
      // Mounts are found by what the kernel calls them: without symbolic links.
      guard let real = realpath(work, nil) else { throw SystemError.last("find \(work)") }
      defer { free(real) }
      return String(cString: real)
    }
    self.work = work
    try system { () throws(SystemError) in
      try Directory.create("\(work)/builds", mode: 0o700)
      try Directory.create("\(work)/caches", mode: 0o700)
      // Nobody else reaches what steps made, set-user-id programs among them. Older builds made them 0711.
      for folder in [work, "\(work)/builds", "\(work)/caches"] {
        guard chmod(folder, 0o700) == 0 else { throw SystemError.last("chmod \(folder)") }
      }
    }
    let sweepLock = try Self.lockForSweeping(work)
    defer { close(sweepLock) }
    Self.sweep(work: work, cgroupRoot: cgroupRoot)
    var template = Array("\(work)/builds/XXXXXX".utf8CString)
    guard template.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap(mkdtemp) }) != nil else {
      throw BuildError(SystemError.last("create a folder in \(work)/builds"))
    }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    id = FilePath.name(path)
    snapshots = Snapshotter(folder: path)
    lock = try Self.openLock("\(path)/lock")
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else { throw BuildError(SystemError.last("lock \(path)")) }
  }

  deinit { close(lock) }

  private static func openLock(_ path: String) throws(BuildError) -> Int32 {
    let fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw BuildError(SystemError.last("open \(path)")) }
    return fd
  }

  /// A new folder in it. Blocks shortly.
  func newFolder() throws(BuildError) -> (path: String, number: Int) {
    let number = numbers.increment()
    let folder = "\(path)/\(number)"
    try system { () throws(SystemError) in try Directory.create(folder, mode: 0o700) }
    return (folder, number)
  }

  /// Where a cache mount's files are.
  func cacheFolder(_ hex: String) -> String { "\(work)/caches/\(hex)" }

  func cgroupPath(_ number: Int) -> String { "/\(cgroupRoot)/\(id)/\(number)" }

  /// Counts a helper program to the build, on a machine that has cgroups: when this process is killed, the next build ends
  /// it. Blocks shortly.
  func adopt(_ pid: Int32) {
    guard let cgroups = try? CgroupLayout.current() else { return }
    // One hierarchy that takes it is enough to find it by.
    for root in cgroups.mountPoints {
      let path = "\(root)/\(cgroupRoot)/\(id)/helpers"
      guard (try? Directory.create(path)) != nil else { continue }
      let fd = open("\(path)/cgroup.procs", O_WRONLY | O_CLOEXEC)
      guard fd >= 0 else { continue }
      defer { close(fd) }
      let number = Array(String(pid).utf8)
      if write(fd, number, number.count) == number.count { return }
    }
  }

  /// Ends what still runs in a step's cgroup, and waits for its end.
  func killStep(_ number: Int) async {
    guard let cgroups = try? CgroupLayout.current() else { return }
    try? await Cgroup(cgroups, path: cgroupPath(number)).kill(deadline: .now + Self.killDeadline)
  }

  /// What does not end by then hangs in the kernel, and is left to the next build.
  private static let killDeadline = Duration.seconds(10)

  /// Takes everything of this build away: processes, mounts, files. Blocks.
  func remove() {
    Self.remove(path, id: id, cgroupRoot: cgroupRoot)
  }

  // MARK: Sweeping

  private static func lockForSweeping(_ work: String) throws(BuildError) -> Int32 {
    let lock = try openLock("\(work)/lock")
    while flock(lock, LOCK_EX) != 0 {
      guard errno == EINTR else {
        let error = SystemError.last("lock \(work)")
        close(lock)
        throw BuildError(error)
      }
    }
    return lock
  }

  /// Takes away what killed builds have left: processes, mounts, files. Blocks.
  func sweepOthers() throws(BuildError) {
    let lock = try Self.lockForSweeping(work)
    defer { close(lock) }
    Self.sweep(work: work, cgroupRoot: cgroupRoot)
  }

  private static func sweep(work: String, cgroupRoot: String) {
    StepRendezvous(work: work).sweep()
    for id in (try? Directory.list("\(work)/builds")) ?? [] {
      let path = "\(work)/builds/\(id)"
      let fd = open("\(path)/lock", O_RDWR | O_CLOEXEC)
      if fd < 0, errno != ENOENT { continue }
      defer { if fd >= 0 { close(fd) } }
      if fd >= 0, flock(fd, LOCK_EX | LOCK_NB) != 0 { continue }
      remove(path, id: id, cgroupRoot: cgroupRoot)
    }
  }

  private static func remove(_ path: String, id: String, cgroupRoot: String) {
    // What cannot be removed now is tried again by the next build.
    // A machine without cgroups can build what does not run. The layout is read anew: a step may have had one mounted.
    if let cgroups = try? CgroupLayout.current() {
      let cgroup = Cgroup(cgroups, path: "/\(cgroupRoot)/\(id)")
      try? cgroup.killBlocking(deadline: .now + killDeadline)
      try? cgroup.remove()
      for root in cgroups.mountPoints { rmdir("\(root)/\(cgroupRoot)") }
    }
    try? Mount.unmountTree(path)
    try? Directory.removeTree(path)
  }
}
