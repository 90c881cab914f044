import Glibc

/// Where this machine's cgroup hierarchies are (cgroups(7)): version 1 with one mount per controller, version 2 with
/// one for all, or both (hybrid).
public struct CgroupLayout: Sendable, Equatable {
  public enum Mode: String, Sendable {
    case v1
    case v2
    /// Controllers in version 1, and a version 2 hierarchy beside them.
    case hybrid
  }

  public var mode: Mode
  /// Controller (`memory`, `name=systemd`) to mount point, version 1.
  public var controllers: [String: String]
  /// Mount point of the version 2 hierarchy.
  public var unified: String?

  /// Every hierarchy's mount point, once.
  public var mountPoints: [String] { Array(Set(controllers.values).union(unified.map { [$0] } ?? [])).sorted() }

  public init(mode: Mode, controllers: [String: String], unified: String?) {
    self.mode = mode
    self.controllers = controllers
    self.unified = unified
  }

  /// Reads the layout from the mounts below `/sys/fs/cgroup`. A second mount of a hierarchy elsewhere does not count.
  public init(mounts: [MountInfo]) throws(SystemError) {
    var controllers: [String: String] = [:]
    var unified: String?
    for mount in mounts where mount.isAtOrBelow("/sys/fs/cgroup") {
      if mount.type == "cgroup2" {
        unified = unified ?? mount.mountPoint
      } else if mount.type == "cgroup" {
        for option in mount.superOptions where Self.known.contains(option) || option.hasPrefix("name=") {
          if controllers[option] == nil { controllers[option] = mount.mountPoint }
        }
      }
    }
    switch (unified, controllers.isEmpty) {
    case (nil, true):
      throw SystemError(
        "find cgroups", errno: ENOENT,
        detail: "nothing is mounted below /sys/fs/cgroup; mount cgroup2 there: mount -t cgroup2 none /sys/fs/cgroup")
    case (_, true): mode = .v2
    case (nil, false): mode = .v1
    case (_, false): mode = .hybrid
    }
    self.controllers = controllers
    self.unified = unified
  }

  public static func current() throws(SystemError) -> CgroupLayout { try CgroupLayout(mounts: MountInfo.current()) }

  private static let known: Set = [
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "net_cls", "net_prio", "blkio", "perf_event", "hugetlb",
    "pids", "rdma", "misc",
  ]

  /// On a machine with version 1, the controllers that are not mounted as such: those that still belong to the version 2
  /// hierarchy, since `crun` refuses to work while there are any, and those whose version 1 hierarchy has no mount here,
  /// since `crun` makes its groups by the names in `/proc/self/cgroup` and would make plain directories instead.
  public func leftoverControllers() throws(SystemError) -> [String] {
    guard mode != .v2 else { return [] }
    var names: [String] = []
    if let unified {
      let bytes = try DurableFile.read("\(unified)/cgroup.controllers", limit: 4096)
      names = bytes.split { $0 == 0x20 || $0 == 0x0a }.map { String(decoding: $0, as: UTF8.self) }
    }
    return names + unmounted(try DurableFile.read("/proc/self/cgroup", limit: 1 << 16))
  }

  /// The version 1 hierarchies in a `/proc/PID/cgroup` (`12:hugetlb:/`, cgroups(7)) that `controllers` does not know.
  func unmounted(_ memberships: [UInt8]) -> [String] {
    String(decoding: memberships, as: UTF8.self).split(separator: "\n").compactMap { line in
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3, !fields[1].isEmpty, !fields[1].hasPrefix("name=") else { return nil }
      let isMounted = fields[1].split(separator: ",").contains { controllers[String($0)] != nil }
      return isMounted ? nil : String(fields[1])
    }
  }

  /// Mounts each leftover controller as a version 1 hierarchy at `/sys/fs/cgroup/<name>`, and returns their names.
  /// Nothing that is mounted is touched.
  public mutating func mountLeftoverControllers() throws(SystemError) -> [String] {
    let names = try leftoverControllers()
    for name in names {
      let target = "/sys/fs/cgroup/\(name)"
      do throws(SystemError) {
        try Directory.create(target)
        try Mount.mount(
          source: "cgroup", target: target, type: "cgroup", flags: [.noSetuid, .noDevices, .noExecute], data: name)
      } catch {
        throw SystemError(
          error.operation, errno: error.errno,
          detail: "the cgroup controller \(name) is neither in version 1 nor can it be moved there, and crun does not "
            + "work on such a machine; run as root: mkdir -p \(target) && mount -t cgroup -o \(name) cgroup \(target), or "
            + "start the kernel with cgroup_no_v1=all")
      }
      for controller in name.split(separator: ",") { controllers[String(controller)] = target }
    }
    return names
  }
}

/// Limits of one cgroup; `nil` leaves one as it is.
public struct CgroupLimits: Sendable, Equatable {
  /// The weight as version 1 has it: 2 to 262144, 1024 for one CPU.
  public var cpuShares: UInt64?
  /// Microseconds per period of 100 ms; -1 for none.
  public var cpuQuota: Int64?
  /// Bytes; -1 for none.
  public var memory: Int64?
  public var pids: Int64?

  public init(cpuShares: UInt64? = nil, cpuQuota: Int64? = nil, memory: Int64? = nil, pids: Int64? = nil) {
    self.cpuShares = cpuShares
    self.cpuQuota = cpuQuota
    self.memory = memory
    self.pids = pids
  }

  /// More than any machine has, and little enough to be reckoned with: limits come from outside.
  private static let millisMax: Int64 = 1 << 36

  /// Kubernetes' `MilliCPUToShares`.
  public static func shares(millis: Int64) -> UInt64 {
    UInt64(min(max(min(max(millis, 0), millisMax) * 1024 / 1000, 2), 262_144))
  }
  /// Kubernetes' `MilliCPUToQuota`; the kernel's least quota is 1 ms, and its largest that of some billion CPUs.
  public static func quota(millis: Int64) -> Int64 { max(min(max(millis, 0), millisMax) * 100, 1000) }
  public static let periodMicroseconds: Int64 = 100_000

  /// The mapping that OCI runtimes use from shares to version 2's weight (1 to 10000).
  static func weight(shares: UInt64) -> UInt64 { 1 + (max(shares, 2) - 2) * 9999 / 262_142 }
}

public struct CgroupUsage: Sendable, Equatable {
  public var cpuNanoseconds: UInt64
  public var memoryBytes: UInt64
  /// Memory that is file cache nobody has used for a while.
  public var inactiveFileBytes: UInt64
  public var processes: UInt64
  /// Processes that the kernel killed for want of memory.
  public var oomKills: UInt64
}

/// One cgroup: the same path in every hierarchy. The calls block shortly.
public struct Cgroup: Sendable {
  public var layout: CgroupLayout
  /// From the root of the hierarchies, with a slash first: `/apus/burstable/pod1`.
  public var path: String

  public init(_ layout: CgroupLayout, path: String) {
    self.layout = layout
    self.path = path
  }

  /// Makes the cgroup where limits need it and sets them.
  public func create(_ limits: CgroupLimits) throws(SystemError) {
    if layout.mode == .v2, let root = layout.unified {
      try Directory.create(root + path)
      try enableControllers(root)
    } else {
      for controller in ["cpu", "memory", "pids"] {
        if let root = layout.controllers[controller] { try Directory.create(root + path) }
      }
    }
    try set(limits)
  }

  public func set(_ limits: CgroupLimits) throws(SystemError) {
    if layout.mode == .v2 {
      if let shares = limits.cpuShares { try write("cpu.weight", String(CgroupLimits.weight(shares: shares))) }
      if let quota = limits.cpuQuota {
        try write("cpu.max", "\(quota < 0 ? "max" : String(quota)) \(CgroupLimits.periodMicroseconds)")
      }
      if let memory = limits.memory { try write("memory.max", memory < 0 ? "max" : String(memory)) }
      if let pids = limits.pids { try write("pids.max", pids < 0 ? "max" : String(pids)) }
    } else {
      if let shares = limits.cpuShares { try write("cpu.shares", String(shares), "cpu") }
      if let quota = limits.cpuQuota {
        try write("cpu.cfs_period_us", String(CgroupLimits.periodMicroseconds), "cpu")
        try write("cpu.cfs_quota_us", String(quota), "cpu")
      }
      if let memory = limits.memory { try write("memory.limit_in_bytes", String(memory), "memory") }
      if let pids = limits.pids { try write("pids.max", pids < 0 ? "max" : String(pids), "pids") }
    }
  }

  /// Moves a process into this cgroup of the hierarchies that only keep track of processes, so that a service manager
  /// that ends the server does not count it as the server's.
  public func adopt(_ pid: Int32) throws(SystemError) {
    for root in [layout.controllers["name=systemd"], layout.unified] {
      guard let root else { continue }
      try Directory.create(root + path)
      try Self.write(root + path + "/cgroup.procs", String(pid))
    }
  }

  public func usage() throws(SystemError) -> CgroupUsage {
    if layout.mode == .v2 {
      let memory = try table("memory.stat")
      let (nanoseconds, isBeyond) = try table("cpu.stat")["usage_usec", default: 0].multipliedReportingOverflow(
        by: 1000)
      return CgroupUsage(
        cpuNanoseconds: isBeyond ? .max : nanoseconds,
        memoryBytes: try number("memory.current"), inactiveFileBytes: memory["inactive_file", default: 0],
        processes: try number("pids.current"), oomKills: try table("memory.events")["oom_kill", default: 0])
    }
    return CgroupUsage(
      cpuNanoseconds: try number("cpuacct.usage", "cpuacct"),
      memoryBytes: try number("memory.usage_in_bytes", "memory"),
      inactiveFileBytes: try table("memory.stat", "memory")["total_inactive_file", default: 0],
      processes: try number("pids.current", "pids"), oomKills: try oomKills())
  }

  /// Processes in this cgroup that the kernel killed for want of memory.
  public func oomKills() throws(SystemError) -> UInt64 {
    layout.mode == .v2
      ? try table("memory.events")["oom_kill", default: 0]
      : try table("memory.oom_control", "memory")["oom_kill", default: 0]
  }

  /// Removes the cgroup and those below it from every hierarchy. Fails with `EBUSY` while processes are inside.
  public func remove() throws(SystemError) {
    for root in layout.mountPoints { try Self.removeTree(root + path) }
  }

  private static func removeTree(_ folder: String) throws(SystemError) {
    if rmdir(folder) == 0 || errno == ENOENT { return }
    // The folder's own files cannot be removed and need not be: only the cgroups below it stand in the way.
    let names = (try? Directory.list(folder)) ?? []
    for name in names {
      var info = stat()
      if lstat("\(folder)/\(name)", &info) == 0, info.st_mode & S_IFMT == S_IFDIR {
        try removeTree("\(folder)/\(name)")
      }
    }
    guard rmdir(folder) == 0 || errno == ENOENT else { throw .last("remove the cgroup \(folder)") }
  }

  /// In version 2 a cgroup's limits exist only when every parent hands the controller down.
  private func enableControllers(_ root: String) throws(SystemError) {
    let available = Set(
      try DurableFile.read("\(root)/cgroup.controllers", limit: 4096).split { $0 == 0x20 || $0 == 0x0a }
        .map { String(decoding: $0, as: UTF8.self) })
    let wanted = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"].filter(available.contains)
    var folder = root
    for part in path.split(separator: "/") {
      // The root's own processes do not hinder it; a controller that cannot be handed down is missed where it is used.
      for controller in wanted { try? Self.write("\(folder)/cgroup.subtree_control", "+\(controller)") }
      folder += "/\(part)"
    }
  }

  private func file(_ name: String, _ controller: String?) throws(SystemError) -> String {
    guard let controller else { return (layout.unified ?? "") + path + "/" + name }
    guard let root = layout.controllers[controller] else {
      throw SystemError(
        "\(name) of \(path)", errno: ENOENT, detail: "the cgroup controller \(controller) is not mounted")
    }
    return root + path + "/" + name
  }

  private func write(_ name: String, _ value: String, _ controller: String? = nil) throws(SystemError) {
    try Self.write(try file(name, controller), value)
  }

  private static func write(_ file: String, _ value: String) throws(SystemError) {
    let fd = open(file, O_WRONLY | O_CLOEXEC)
    guard fd >= 0 else { throw .last("open \(file)") }
    defer { close(fd) }
    guard Glibc.write(fd, value, value.utf8.count) >= 0 else { throw .last("write \(value) to \(file)") }
  }

  private func number(_ name: String, _ controller: String? = nil) throws(SystemError) -> UInt64 {
    let bytes = try DurableFile.read(try file(name, controller), limit: 4096)
    return UInt64(String(decoding: bytes.prefix { $0 != 0x0a }, as: UTF8.self)) ?? 0
  }

  private func table(_ name: String, _ controller: String? = nil) throws(SystemError) -> [String: UInt64] {
    Self.parseTable(try DurableFile.read(try file(name, controller), limit: 64 << 10))
  }

  /// Lines of `name value`.
  static func parseTable(_ bytes: [UInt8]) -> [String: UInt64] {
    var table: [String: UInt64] = [:]
    for line in bytes.split(separator: 0x0a) {
      let words = line.split(separator: 0x20)
      if words.count == 2, let value = UInt64(String(decoding: words[1], as: UTF8.self)) {
        table[String(decoding: words[0], as: UTF8.self)] = value
      }
    }
    return table
  }
}
