import CLinux
import Glibc
import TestKit
import Testing

@testable import LinuxSystem

/// Every layout of hierarchies, as folders with files in them.
@Suite struct CgroupTreeTests {
  private let folder = TestFolder()

  /// The hierarchies that a machine of that kind has.
  private func layout(_ mode: CgroupLayout.Mode) -> CgroupLayout {
    let root = folder.path
    let old = [
      "cpu": "\(root)/cpu,cpuacct", "cpuacct": "\(root)/cpu,cpuacct", "memory": "\(root)/memory",
      "pids": "\(root)/pids", "name=systemd": "\(root)/systemd",
    ]
    return switch mode {
    case .v1: CgroupLayout(mode: .v1, controllers: old, unified: nil)
    case .v2: CgroupLayout(mode: .v2, controllers: [:], unified: "\(root)/unified")
    case .hybrid: CgroupLayout(mode: .hybrid, controllers: old, unified: "\(root)/unified")
    }
  }

  private func cgroup(_ mode: CgroupLayout.Mode, files: [String: String]) throws -> Cgroup {
    for (name, content) in files { try folder.write(content, to: name) }
    return Cgroup(layout(mode), path: "/apus/pod1")
  }

  private let old = [
    "cpu,cpuacct/apus/pod1/cpu.shares": "1024", "cpu,cpuacct/apus/pod1/cpu.cfs_period_us": "",
    "cpu,cpuacct/apus/pod1/cpu.cfs_quota_us": "-1", "memory/apus/pod1/memory.limit_in_bytes": "0",
    "pids/apus/pod1/pids.max": "",
  ]
  private let new = [
    "unified/cgroup.controllers": "cpuset cpu memory pids\n", "unified/cgroup.subtree_control": "",
    "unified/apus/cgroup.subtree_control": "", "unified/apus/pod1/cgroup.subtree_control": "",
    "unified/apus/pod1/cpu.weight": "", "unified/apus/pod1/cpu.max": "", "unified/apus/pod1/memory.max": "",
    "unified/apus/pod1/pids.max": "",
  ]

  @Test(arguments: [CgroupLayout.Mode.v1, .hybrid]) func limitsOfVersion1(mode: CgroupLayout.Mode) throws {
    let cgroup = try cgroup(mode, files: old.merging(new) { one, _ in one })
    try cgroup.create(CgroupLimits(cpuShares: 2048, cpuQuota: 50_000, memory: 1 << 30, pids: 77))
    #expect(try folder.read("cpu,cpuacct/apus/pod1/cpu.shares") == "2048")
    #expect(try folder.read("cpu,cpuacct/apus/pod1/cpu.cfs_quota_us") == "50000")
    #expect(try folder.read("cpu,cpuacct/apus/pod1/cpu.cfs_period_us") == "100000")
    #expect(try folder.read("memory/apus/pod1/memory.limit_in_bytes") == "1073741824")
    #expect(try folder.read("pids/apus/pod1/pids.max") == "77")
    // The version 2 hierarchy beside it has no controllers, and gets no limits.
    for name in ["cpu.weight", "memory.max", "pids.max"] {
      #expect(try folder.read("unified/apus/pod1/\(name)").isEmpty)
    }
    try cgroup.set(CgroupLimits(pids: -1))
    #expect(try folder.read("pids/apus/pod1/pids.max").hasPrefix("max"))
    #expect(try folder.read("cpu,cpuacct/apus/pod1/cpu.shares") == "2048")
  }

  @Test func limitsOfVersion2() throws {
    let cgroup = try cgroup(.v2, files: new)
    try cgroup.create(CgroupLimits(cpuShares: 1024, cpuQuota: 25_000, memory: -1, pids: 12))
    #expect(try folder.read("unified/apus/pod1/cpu.weight") == "39")
    #expect(try folder.read("unified/apus/pod1/cpu.max") == "25000 100000")
    #expect(try folder.read("unified/apus/pod1/memory.max") == "max")
    #expect(try folder.read("unified/apus/pod1/pids.max") == "12")
    // Controllers are handed down by every parent, and not by the cgroup itself: it has processes.
    for parent in ["unified", "unified/apus"] {
      #expect(try folder.read("\(parent)/cgroup.subtree_control").hasPrefix("+"), "\(parent)")
    }
    #expect(try folder.read("unified/apus/pod1/cgroup.subtree_control").isEmpty)
    try folder.write("", to: "unified/apus/pod1/cpu.max")
    try cgroup.set(CgroupLimits(cpuQuota: -1))
    #expect(try folder.read("unified/apus/pod1/cpu.max") == "max 100000")
    #expect(try folder.read("unified/apus/pod1/cpu.weight") == "39")
  }

  /// Each controller that there is, and none that there is not: the kernel would refuse them all.
  @Test func controllersAreHandedDownOneByOne() throws {
    let cgroup = try cgroup(.v2, files: new)
    let path = folder.path
    var written: [String] = []
    let failure = try SystemCalls.run(stoppingAt: [.write], { code { try cgroup.create(CgroupLimits()) } }) { call in
      let file = call.file().dropFirst(path.utf8.count + 1)
      written.append("\(file) \(call.text(1).prefix { $0.isLetter || $0 == "+" })")
      // One that cannot be handed down is no hindrance.
      return written.count == 2 ? .fail(EBUSY) : .proceed
    }
    #expect(failure == nil)
    let names = ["+cpu", "+cpuset", "+memory", "+pids"]
    #expect(
      written == names.map { "unified/cgroup.subtree_control \($0)" }
        + names.map { "unified/apus/cgroup.subtree_control \($0)" })
  }

  @Test func aLimitThatCannotBeSetIsSaid() throws {
    let none = Cgroup(CgroupLayout(mode: .v1, controllers: ["pids": folder.path], unified: nil), path: "/x")
    let error = #expect(throws: SystemError.self) { try none.set(CgroupLimits(memory: 1)) }
    #expect(error?.errno == ENOENT && error?.detail.contains("memory") == true)
    let cgroup = try cgroup(.v2, files: new)
    let failure = try SystemCalls.run(
      stoppingAt: [.write], { code { try cgroup.set(CgroupLimits(memory: 4096)) } }, deciding: { _ in .fail(EBUSY) })
    #expect(failure == EBUSY)
    #expect(try folder.openFiles().isEmpty)
  }

  @Test func usageOfVersion2() throws {
    let cgroup = try cgroup(
      .v2,
      files: [
        "unified/apus/pod1/cpu.stat": "usage_usec 1234\nuser_usec 1000\n",
        "unified/apus/pod1/memory.current": "8192\n",
        "unified/apus/pod1/memory.stat": "anon 1\ninactive_file 4096\nactive_file 2\n",
        "unified/apus/pod1/memory.events": "low 0\noom 9\noom_kill 3\n", "unified/apus/pod1/pids.current": "5\n",
      ])
    #expect(
      try cgroup.usage()
        == CgroupUsage(
          cpuNanoseconds: 1_234_000, memoryBytes: 8192, inactiveFileBytes: 4096, processes: 5, oomKills: 3))
    #expect(try cgroup.oomKills() == 3)
    try folder.write("no numbers here\n", to: "unified/apus/pod1/memory.stat")
    try folder.write("max\n", to: "unified/apus/pod1/memory.current")
    #expect(try cgroup.usage().inactiveFileBytes == 0 && cgroup.usage().memoryBytes == 0)
    unlink("\(folder.path)/unified/apus/pod1/pids.current")
    #expect(code { _ = try cgroup.usage() } == ENOENT)
  }

  @Test(arguments: [CgroupLayout.Mode.v1, .hybrid]) func usageOfVersion1(mode: CgroupLayout.Mode) throws {
    let cgroup = try cgroup(
      mode,
      files: [
        "cpu,cpuacct/apus/pod1/cpuacct.usage": "18446744073709551615\n",
        "memory/apus/pod1/memory.usage_in_bytes": "8192\n",
        "memory/apus/pod1/memory.stat": "inactive_file 1\ntotal_inactive_file 4096\n",
        "memory/apus/pod1/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        "pids/apus/pod1/pids.current": "7\n",
      ])
    #expect(
      try cgroup.usage()
        == CgroupUsage(
          cpuNanoseconds: .max, memoryBytes: 8192, inactiveFileBytes: 4096, processes: 7, oomKills: 2))
  }

  /// Numbers come from files that may say anything.
  @Test func aNumberBeyondAllBoundsEndsNothing() throws {
    let cgroup = try cgroup(
      .v2,
      files: [
        "unified/apus/pod1/cpu.stat": "usage_usec 18446744073709551615\n",
        "unified/apus/pod1/memory.current": "99999999999999999999999\n", "unified/apus/pod1/memory.stat": "",
        "unified/apus/pod1/memory.events": "oom_kill -1\n", "unified/apus/pod1/pids.current": "",
      ])
    let usage = try cgroup.usage()
    #expect(usage.cpuNanoseconds == .max && usage.memoryBytes == 0 && usage.processes == 0 && usage.oomKills == 0)
  }

  @Test func removedInEveryHierarchyFromBelow() throws {
    let cgroup = try cgroup(.hybrid, files: [:])
    for root in cgroup.layout.mountPoints { try Directory.create("\(root)/apus/pod1/a/b/c") }
    try Directory.create("\(folder.path)/memory/apus/pod2")
    try Directory.removeTree("\(folder.path)/pids")
    try cgroup.remove()
    try cgroup.remove()
    for root in cgroup.layout.mountPoints where !root.hasSuffix("pids") {
      #expect(access("\(root)/apus", F_OK) == 0 && access("\(root)/apus/pod1", F_OK) != 0, "\(root)")
    }
    #expect(try Directory.list("\(folder.path)/memory/apus") == ["pod2"])
    // What cannot be removed is said: a file stands for a process here.
    try folder.write("", to: "systemd/apus/pod1/a/procs")
    #expect(code { try cgroup.remove() } == ENOTEMPTY)
  }

  @Test func aProcessIsTakenInWhereProcessesAreTracked() throws {
    for (mode, roots) in [
      (CgroupLayout.Mode.v1, ["systemd"]), (.v2, ["unified"]), (.hybrid, ["systemd", "unified"]),
    ] {
      let folder = TestFolder()
      var layout = self.layout(mode)
      layout.controllers = layout.controllers.mapValues { folder.path + $0.dropFirst(self.folder.path.count) }
      layout.unified = layout.unified.map { folder.path + $0.dropFirst(self.folder.path.count) }
      for root in ["systemd", "unified", "memory"] { try folder.write("", to: "\(root)/apus/server/cgroup.procs") }
      try Cgroup(layout, path: "/apus/server").adopt(4711)
      for root in ["systemd", "unified", "memory"] {
        let content = try folder.read("\(root)/apus/server/cgroup.procs")
        #expect(content == (roots.contains(root) ? "4711" : ""), "\(mode) \(root)")
      }
    }
  }

  @Test func whoIsInIt() throws {
    let cgroup = try cgroup(
      .hybrid,
      files: [
        "unified/apus/pod1/cgroup.procs": "12\n13\n\n", "unified/apus/pod1/a/cgroup.procs": "14\n12\nx\n-\n",
        "unified/apus/pod1/a/b/cgroup.procs": "0\n15", "unified/apus/pod1/c/none": "",
        "unified/apus/pod2/cgroup.procs": "16\n", "systemd/apus/pod1/cgroup.procs": "99\n",
      ])
    #expect(cgroup.processes() == [0, 12, 13, 14, 15])
    #expect(cgroup.descendants(levels: 0).isEmpty)
    #expect(Set(cgroup.descendants(levels: 1)) == ["/apus/pod1/a", "/apus/pod1/c"])
    #expect(Set(cgroup.descendants(levels: 9)) == ["/apus/pod1/a", "/apus/pod1/a/b", "/apus/pod1/c"])
  }

  @Test func theHierarchyThatHasEverybody() {
    #expect(layout(.v1).tracker == "\(folder.path)/systemd")
    #expect(layout(.hybrid).tracker == "\(folder.path)/unified" && layout(.v2).tracker == "\(folder.path)/unified")
    var without = layout(.v1)
    without.controllers["name=systemd"] = nil
    #expect(without.tracker == "\(folder.path)/pids")
    #expect(CgroupLayout(mode: .v1, controllers: ["memory": "/m"], unified: nil).tracker == "/m")
    #expect(CgroupLayout(mode: .v1, controllers: [:], unified: nil).tracker == nil)
  }

  /// Kills all, and nobody else: a number in the list that is another's process by now, such as this one.
  @Test func allAreKilledAndNobodyElse() async throws {
    // The cgroup that this process and its children are in, whatever it is called here.
    let memberships = try DurableFile.read("/proc/self/cgroup", limit: 1 << 16)
    let line = try #require(memberships.split(separator: 0x0a).first)
    let own = String(decoding: line, as: UTF8.self).split(
      separator: ":", maxSplits: 2, omittingEmptySubsequences: false)[2]
    let path = String(own)
    let layout = CgroupLayout(mode: .v2, controllers: [:], unified: folder.path)
    let handles = try (0..<5).map { _ in try Subprocess.spawn("sleep", ["1000"], descriptors: []) }
    let below = path == "/" ? "" : String(path.dropFirst()) + "/"
    let (here, inside) = ("\(below)cgroup.procs", "\(below)deep/cgroup.procs")
    try folder.write(handles[..<3].map { "\($0.pid)\n" }.joined() + "\(getpid())\n", to: here)
    try folder.write(handles[3...].map { "\($0.pid)\n" }.joined(), to: inside)
    let folder = folder
    // A kernel takes those that have ended out of the list.
    let kernel = Task {
      var ends: [LinuxSystem.ExitStatus?] = []
      for handle in handles { ends.append(await handle.wait()) }
      try folder.write("\(getpid())\n", to: here)
      try folder.write("", to: inside)
      return ends
    }
    try await Cgroup(layout, path: path).kill(deadline: .now + .seconds(60))
    #expect(try await kernel.value == [LinuxSystem.ExitStatus?](repeating: .signaled(SIGKILL), count: 5))
  }

  /// What is in the list but in another cgroup is left alone; that it is still there is told.
  @Test func aStrangerInTheListIsLeftAlone() async throws {
    let handle = try Subprocess.spawn("sleep", ["1000"], descriptors: [])
    let layout = CgroupLayout(mode: .v2, controllers: [:], unified: folder.path)
    try folder.write("\(handle.pid)\n0\n", to: "apus-no-such-cgroup/cgroup.procs")
    let error = await #expect(throws: SystemError.self) {
      try await Cgroup(layout, path: "/apus-no-such-cgroup").kill(deadline: .now)
    }
    #expect(error?.errno == ETIMEDOUT && error?.detail.hasSuffix("0, \(handle.pid)") == true)
    #expect(await handle.wait(deadline: .now) == nil)
    handle.signal(SIGKILL)
    #expect(await handle.wait() == .signaled(SIGKILL))
  }

  /// The kernel tells nobody that a version 1 cgroup has become empty.
  @Test func whatCannotBeSeenIsLookedForAgain() async throws {
    let layout = CgroupLayout(mode: .v2, controllers: [:], unified: folder.path)
    let list = "apus-no-such-cgroup/cgroup.procs"
    try folder.write("0\n", to: list)
    let clock = CountingClock { [folder] count in if count == 3 { try folder.write("", to: list) } }
    try await Cgroup(layout, path: "/apus-no-such-cgroup").kill(deadline: .now + .seconds(60), time: clock)
    #expect(clock.count == 3)
  }

  @Test func membershipIsOfWholeNames() async throws {
    let handle = try Subprocess.spawn("sleep", ["1000"], descriptors: [])
    #expect(!Cgroup.isMember(handle.pid, of: "/apus-none"))
    #expect(!Cgroup.isMember(1 << 30, of: "/"))
    handle.signal(SIGKILL)
    // A child that nobody has waited for keeps tests of processes that fail waiting for ever.
    #expect(await handle.wait() == .signaled(SIGKILL))
  }
}

@Suite struct CgroupLayoutTests {
  /// The layouts of machines that there are, as their kernels list them.
  @Test(arguments: [
    (["cgroup2 /sys/fs/cgroup rw,nsdelegate"], CgroupLayout.Mode.v2, 1),
    (
      [
        "tmpfs /sys/fs/cgroup ro", "cgroup2 /sys/fs/cgroup/unified rw", "cgroup /sys/fs/cgroup/systemd rw,name=systemd",
        "cgroup /sys/fs/cgroup/memory rw,memory", "cgroup /sys/fs/cgroup/net_cls,net_prio rw,net_cls,net_prio",
      ], .hybrid, 4
    ),
    (["tmpfs /sys/fs/cgroup ro", "cgroup /sys/fs/cgroup/pids rw,pids"], .v1, 1),
    // Mounts of the same hierarchies elsewhere, and names that only look alike.
    (["cgroup2 /sys/fs/cgroup rw", "cgroup /sys/fs/cgroups/memory rw,memory", "cgroup /mnt/m rw,memory"], .v2, 1),
    (["cgroup2 /sys/fs/cgroup rw", "cgroup2 /sys/fs/cgroup/second rw"], .v2, 1),
    // An option that is no controller.
    (["cgroup2 /sys/fs/cgroup rw", "cgroup /sys/fs/cgroup/odd rw,xattr,noprefix"], .v2, 1),
  ])
  func layouts(mounts: [String], mode: CgroupLayout.Mode, count: Int) throws {
    let infos = mounts.compactMap { text -> MountInfo? in
      let words = text.split(separator: " ")
      return MountInfo(line: Array("1 1 0:1 / \(words[1]) rw - \(words[0]) none \(words[2])".utf8))
    }
    #expect(infos.count == mounts.count)
    let layout = try CgroupLayout(mounts: infos)
    #expect(layout.mode == mode && layout.mountPoints.count == count)
    if mode == .v2 { #expect(layout.unified == "/sys/fs/cgroup") }
  }

  @Test func leftoversAreThoseOfBothKinds() throws {
    let folder = TestFolder()
    try folder.write("hugetlb misc\n", to: "cgroup.controllers")
    // Version 1 with everything that this machine's kernel lists, so that only the hybrid's own is left.
    let memberships = try DurableFile.read("/proc/self/cgroup", limit: 1 << 16)
    var controllers: [String: String] = ["memory": "/m"]
    for line in String(decoding: memberships, as: UTF8.self).split(separator: "\n") {
      for name in line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)[1].split(separator: ",") {
        controllers[String(name)] = "/x"
      }
    }
    let hybrid = CgroupLayout(mode: .hybrid, controllers: controllers, unified: folder.path)
    #expect(try hybrid.leftoverControllers() == ["hugetlb", "misc"])
    #expect(try CgroupLayout(mode: .v2, controllers: [:], unified: folder.path).leftoverControllers().isEmpty)
    #expect(try CgroupLayout(mode: .v1, controllers: controllers, unified: nil).leftoverControllers().isEmpty)
    let broken = CgroupLayout(mode: .hybrid, controllers: controllers, unified: "\(folder.path)/none")
    #expect(code { _ = try broken.leftoverControllers() } == ENOENT)
  }

  /// The kubelet's own table, and what is between its points.
  @Test func sharesAndWeightsGrowTogether() {
    var last: (UInt64, UInt64, Int64) = (0, 0, 0)
    for millis in stride(from: Int64(0), through: 300_000, by: 7) {
      let shares = CgroupLimits.shares(millis: millis)
      let now = (shares, CgroupLimits.weight(shares: shares), CgroupLimits.quota(millis: millis))
      #expect(now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2)
      #expect((2...262_144).contains(now.0) && (1...10_000).contains(now.1) && now.2 >= 1000)
      last = now
    }
    #expect(CgroupLimits.weight(shares: 0) == 1)
  }

  @Test(arguments: [1, 2] as [UInt64]) func anyTableIsRead(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<2000 {
      let bytes = random.bytes(0...60, of: Array("ab1 9\n\n-\0\u{ff}".utf8) + [0xff])
      for (name, value) in Cgroup.parseTable(bytes) {
        #expect(!name.isEmpty && String(value).utf8.allSatisfy { (0x30...0x39).contains($0) })
        #expect(String(decoding: bytes, as: UTF8.self).contains("\(name) "))
      }
    }
  }
}
