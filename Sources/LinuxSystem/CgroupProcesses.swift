import Glibc
public import Wire

extension CgroupLayout {
  /// A hierarchy in which every process has its place, with whatever controllers: the version 2 one, or the service
  /// manager's. What a runtime starts is in it as it is in all others.
  var tracker: String? {
    unified ?? controllers["name=systemd"] ?? controllers["pids"] ?? mountPoints.first
  }
}

extension CgroupLayout {
  /// Moves this process into the cgroup where it is already, so that moves of other processes are quick for the next 10
  /// milliseconds. Blocks for as long as a move takes: 8 to 16 ms when there was none just before.
  ///
  /// A move takes a lock that the forks of the whole machine share, and the first one after a pause waits for a grace
  /// period of RCU (`cgroup_threadgroup_rwsem` in kernel/cgroup/cgroup.c; kernel/rcu/sync.c). A container's start moves
  /// two processes, one after the other: this way the wait is beside other work and not before each of them.
  ///
  /// - Returns: whether it did; when not, moves take as long as they do.
  @discardableResult
  public func prepareMoves() -> Bool {
    guard let root = tracker, let bytes = try? DurableFile.read("/proc/self/cgroup", limit: 64 << 10) else {
      return false
    }
    let name = root == unified ? "" : controllers.first { $0.value == root }?.key ?? ""
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3, fields[1].split(separator: ",", omittingEmptySubsequences: false).contains(name[...])
      else { continue }
      let file = open("\(root)\(fields[2] == "/" ? "" : fields[2])/cgroup.procs", O_WRONLY | O_CLOEXEC)
      guard file >= 0 else { return false }
      defer { close(file) }
      // 0 is whoever writes.
      return write(file, "0", 1) == 1
    }
    return false
  }
}

/// Who is in a cgroup: the kernel's own account of what lives, which no file of ours can contradict.
extension Cgroup {
  /// The processes of this cgroup and those below it. None when it is not there. One that is not seen from this
  /// process's pid namespace counts as 0.
  public func processes() -> Set<Int32> {
    var found: Set<Int32> = []
    if let root = layout.tracker { Self.collect(root + path, &found) }
    return found
  }

  /// The paths of the cgroups below this one, at most so many levels deep.
  public func descendants(levels: Int) -> [String] {
    guard levels > 0, let root = layout.tracker else { return [] }
    return Self.folders(root + path).flatMap { name in
      let below = Cgroup(layout, path: "\(path)/\(name)")
      return [below.path] + below.descendants(levels: levels - 1)
    }
  }

  /// Kills every process of this cgroup and those below it, in whichever hierarchy, and waits for their end.
  /// - Parameter time: measures the wait before another look.
  /// - Throws: `ETIMEDOUT` when some are left at the deadline: they hang in the kernel, or cannot be seen from here.
  public func kill(
    deadline: ContinuousClock.Instant, time: any TimeSource = SystemClock()
  ) async throws(SystemError) {
    while let (found, killed) = killOnce() {
      for process in killed { try? await process.ready(.readable, deadline) }
      // The kernel tells nobody when a version 1 cgroup has become empty: one that is just ending is looked for again.
      if killed.isEmpty { try? await time.sleep(for: Self.lookAgainAfter) }
      if ContinuousClock.now >= deadline || Task.isCancelled { throw left(found) }
    }
  }

  /// As `kill`, for callers that may block.
  public func killBlocking(deadline: ContinuousClock.Instant) throws(SystemError) {
    while let (found, killed) = killOnce() {
      for process in killed {
        let rest = max(.zero, deadline - .now).components
        let milliseconds = rest.seconds * 1000 + rest.attoseconds / 1_000_000_000_000_000
        _ = process.withDescriptor { fd in
          var request = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
          return poll(&request, 1, Int32(clamping: milliseconds))
        }
      }
      if killed.isEmpty { usleep(UInt32(Self.lookAgainAfter.components.attoseconds / 1_000_000_000_000)) }
      if ContinuousClock.now >= deadline { throw left(found) }
    }
  }

  private static let lookAgainAfter = Duration.milliseconds(2)

  private func left(_ found: Set<Int32>) -> SystemError {
    let numbers = found.sorted().map(String.init).joined(separator: ", ")
    return SystemError(
      "end the processes of the cgroup \(path)", errno: ETIMEDOUT, detail: "still there after SIGKILL: \(numbers)")
  }

  /// Sends SIGKILL to whatever is in there, once: a process may start others until it is dead.
  ///
  /// - Returns: who was there, and the pidfds of those that were killed; `nil` when nobody is left.
  private func killOnce() -> (found: Set<Int32>, killed: [AsyncDescriptor])? {
    var found: Set<Int32> = []
    for root in layout.mountPoints { Self.collect(root + path, &found) }
    found.remove(getpid())
    guard !found.isEmpty else { return nil }
    var killed: [AsyncDescriptor] = []
    for pid in found where pid > 0 {
      guard let start = ProcessWatch.startTime(of: pid), let process = ProcessWatch.open(pid: pid, startTime: start)
      else { continue }
      // Asked again with the descriptor held: the number may have become another process's meanwhile.
      guard Self.isMember(pid, of: path) else { continue }
      try? ProcessWatch.signal(process, SIGKILL)
      killed.append(process)
    }
    return (found, killed)
  }

  /// Whether a process is in the cgroup or below it, in any hierarchy (`/proc/PID/cgroup`, cgroups(7)).
  public static func isMember(_ pid: Int32, of path: String) -> Bool {
    guard let bytes = try? DurableFile.read("/proc/\(pid)/cgroup", limit: 64 << 10) else { return false }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").contains { line in
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { return false }
      return fields[2].hasSuffix(path) || fields[2].contains(path + "/")
    }
  }

  private static func collect(_ folder: String, _ found: inout Set<Int32>) {
    guard let bytes = try? DurableFile.read("\(folder)/cgroup.procs", limit: 16 << 20) else { return }
    for line in bytes.split(separator: 0x0a) {
      if let pid = Int32(String(decoding: line, as: UTF8.self)) { found.insert(pid) }
    }
    for name in folders(folder) { collect("\(folder)/\(name)", &found) }
  }

  private static func folders(_ folder: String) -> [String] {
    // A cgroup without others below it has the links of its own two names. Some file systems do not count (1).
    var info = stat()
    guard stat(folder, &info) == 0, info.st_nlink != 2 else { return [] }
    return ((try? Directory.list(folder)) ?? []).filter { name in
      var entry = stat()
      return lstat("\(folder)/\(name)", &entry) == 0 && entry.st_mode & S_IFMT == S_IFDIR
    }
  }
}
