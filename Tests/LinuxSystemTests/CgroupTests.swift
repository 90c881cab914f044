import Testing

@testable import LinuxSystem

@Suite struct CgroupTests {
  private func layout(_ lines: [String]) throws -> CgroupLayout {
    try CgroupLayout(mounts: lines.compactMap { MountInfo(line: Array($0.utf8)) })
  }

  @Test func findsHierarchiesWithoutAMount() {
    let layout = CgroupLayout(mode: .hybrid, controllers: ["cpu": "/sys/fs/cgroup/cpu,cpuacct"], unified: "/unified")
    let memberships = "12:hugetlb:/\n9:name=systemd:/\n5:cpu,cpuacct:/a\n4:net_cls,net_prio:/b:c\n0::/\nbroken\n"
    #expect(layout.unmounted(Array(memberships.utf8)) == ["hugetlb", "net_cls,net_prio"])
  }

  @Test func recognisesEachLayout() throws {
    let unified = try layout(["30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"])
    #expect(unified == CgroupLayout(mode: .v2, controllers: [:], unified: "/sys/fs/cgroup"))

    let lines = [
      "30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755",
      "31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
      "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
      "33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
      "34 30 0:29 / /mnt/elsewhere rw - cgroup cgroup rw,memory",
    ]
    let old = try layout(lines)
    #expect(old.mode == .v1 && old.unified == nil && old.controllers["name=systemd"] == "/sys/fs/cgroup/systemd")
    #expect(
      old.controllers["cpu"] == "/sys/fs/cgroup/cpu,cpuacct" && old.controllers["memory"] == "/sys/fs/cgroup/memory")
    #expect(old.mountPoints.count == 3)

    let hybrid = try layout(lines + ["35 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"])
    #expect(hybrid.mode == .hybrid && hybrid.unified == "/sys/fs/cgroup/unified" && hybrid.mountPoints.count == 4)
    #expect(throws: SystemError.self) { try layout(["30 23 0:26 / /proc rw - proc proc rw"]) }
  }

  @Test func convertsAsTheKubeletDoes() {
    #expect(
      [0, 1, 100, 1000, 4000, 1 << 40].map { CgroupLimits.shares(millis: $0) } == [2, 2, 102, 1024, 4096, 262_144])
    #expect([1, 10, 250, 1000].map { CgroupLimits.quota(millis: $0) } == [1000, 1000, 25_000, 100_000])
    // Limits come from outside.
    #expect([Int64.max, .min, -1].map { CgroupLimits.shares(millis: $0) } == [262_144, 2, 2])
    #expect([Int64.min, -1].map { CgroupLimits.quota(millis: $0) } == [1000, 1000])
    #expect(CgroupLimits.quota(millis: .max) == CgroupLimits.quota(millis: .max - 1))
    #expect([2, 1024, 262_144].map { CgroupLimits.weight(shares: $0) } == [1, 39, 10_000])
  }

  @Test func readsTables() {
    let table = Cgroup.parseTable(Array("usage_usec 12\nbad\nthree words here\nx -1\noom_kill 3\n".utf8))
    #expect(table == ["usage_usec": 12, "oom_kill": 3])
  }
}
