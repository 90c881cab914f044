import Glibc
import TestKit
import Testing
import Wire

@testable import LinuxSystem

/// What the kernel writes about connections and sockets, whole, cut and changed.
@Suite struct KernelTableTests {
  private static func attribute(_ type: UInt16, _ value: [UInt8]) -> [UInt8] {
    let length = UInt16(4 + value.count)
    let head = [UInt8(length & 0xff), UInt8(length >> 8), UInt8(type & 0xff), UInt8(type >> 8)]
    return head + value + [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
  }

  private static func tuple(
    _ type: UInt16, _ source: [UInt8], _ destination: [UInt8], _ sourcePort: UInt16, _ destinationPort: UInt16
  ) -> [UInt8] {
    func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }
    // NLA_F_NESTED is set on those that hold others.
    return attribute(
      type | 0x8000,
      attribute(1 | 0x8000, attribute(1, source) + attribute(2, destination))
        + attribute(2 | 0x8000, attribute(1, [17]) + attribute(2, big(sourcePort)) + attribute(3, big(destinationPort)))
    )
  }

  private static let message =
    tuple(1, [10, 0, 0, 1], [10, 96, 0, 10], 40_000, 53) + tuple(2, [10, 244, 0, 5], [10, 0, 0, 1], 5353, 40_000)
    + attribute(3, [0, 0, 0, 8]) + attribute(12, [1, 2, 3, 4]) + attribute(18, [0, 7])

  @Test func aConnectionIsRead() throws {
    let flow = try #require(ConnectionTracking.flow(Self.message[...]))
    #expect(flow.protocol == 17)
    #expect(flow.original.source == IPAddress("10.0.0.1") && flow.original.destination == IPAddress("10.96.0.10"))
    #expect(flow.original.sourcePort == 40_000 && flow.original.destinationPort == 53)
    #expect(flow.reply.source == IPAddress("10.244.0.5") && flow.reply.sourcePort == 5353)
    // The slice of a larger buffer means the same.
    let buffer = [UInt8](repeating: 9, count: 20) + Self.message
    #expect(ConnectionTracking.flow(buffer[20...]) == flow)
    // A protocol without ports.
    var without = Self.message
    for at in without.indices.dropLast(4) where without[at..<at + 4].elementsEqual([6, 0, 2, 0]) { without[at + 2] = 9 }
    #expect(ConnectionTracking.flow(without[...])?.original.sourcePort == 0)
    // IPv6 is not in this table.
    #expect(
      ConnectionTracking.flow(
        (Self.tuple(1, [UInt8](repeating: 0, count: 16), [10, 0, 0, 1], 1, 2) + Self.message.dropFirst(52))[...]) == nil
    )
  }

  @Test(arguments: [1, 2, 3] as [UInt64]) func anyMessageIsReadOrNot(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for length in 0..<Self.message.count { _ = ConnectionTracking.flow(Self.message[..<length]) }
    var found = 0
    for _ in 0..<3000 {
      var message = Self.message
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        message[Int.random(in: 0..<message.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let end = Int.random(in: message.count / 2...message.count, using: &random)
      if let flow = ConnectionTracking.flow(message[..<end]) {
        found += 1
        #expect(flow.original.source.isIPv4 && flow.reply.destination.isIPv4)
      }
    }
    #expect(found > 0)
  }

  @Test(arguments: [1, 2] as [UInt64]) func anyTableOfSocketsIsRead(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let line = Array(
      "   0: 00000000000000000000000001000000:192B 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4711 1 0\n"
        .utf8)
    #expect(TCPListeners.parse(line + line).map(\.port) == [6443, 6443])
    for _ in 0..<2000 {
      var table = line + line
      for _ in 0..<4 {
        table[Int.random(in: 0..<table.count, using: &random)] = Array("0AFx: \n-+".utf8).randomElement(using: &random)!
      }
      for (port, _) in TCPListeners.parse(table) { #expect((0...65_535).contains(port)) }
    }
  }

  @Test func addressesOfThisMachine() throws {
    let local = HostAddresses.local()
    #expect(local.contains(try #require(IPAddress("127.0.0.1"))))
    for address in HostAddresses.towardsTheWorld() { #expect(local.contains(address)) }
  }

  @Test(arguments: ["127.0.0.1", "10.1.2.3", "255.255.255.255", "::1", "fd00:1:2:3:4:5:6:7", "::ffff:10.0.0.1"])
  func socketAddresses(text: String) throws {
    let address = try #require(IPAddress(text))
    var storage = sockaddr_storage()
    let length = address.write(to: &storage, port: 0x1234)
    #expect(Int32(storage.ss_family) == (address.isIPv4 ? AF_INET : AF_INET6))
    #expect(Int(length) == (address.isIPv4 ? 16 : 28))
    let bytes = withUnsafeBytes(of: storage) { Array($0[..<Int(length)]) }
    #expect(Array(bytes[2..<4]) == [0x12, 0x34])
    let start = address.isIPv4 ? 4 : 8
    #expect(Array(bytes[start..<start + address.bytes.count]) == address.bytes)
    var host = [CChar](repeating: 0, count: 64)
    let result = withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        getnameinfo($0, length, &host, 64, nil, 0, NI_NUMERICHOST)
      }
    }
    #expect(
      result == 0
        && IPAddress(String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))?.bytes
          == address.bytes
    )
  }
}

/// The seccomp profile, as what it lets through.
@Suite struct ContainerSeccompTests {
  private struct Rule {
    var names: [String]
    var action: String
    var arguments: [JSON]
  }

  private func rules(_ capabilities: Set<String>) throws -> [Rule] {
    let profile = ContainerSeccomp.runtimeDefault(capabilities: capabilities)
    #expect(profile["defaultAction"] == "SCMP_ACT_ERRNO" && profile["defaultErrnoRet"] == 1)
    return try #require(profile["syscalls"]?.array).map { rule in
      Rule(
        names: try #require(rule["names"]?.array).compactMap(\.string), action: try #require(rule["action"]?.string),
        arguments: rule["args"]?.array ?? [])
    }
  }

  /// Calls that are allowed whatever their arguments are.
  private func allowed(_ capabilities: Set<String>) throws -> Set<String> {
    Set(try rules(capabilities).filter { $0.action == "SCMP_ACT_ALLOW" && $0.arguments.isEmpty }.flatMap(\.names))
  }

  /// What leads out of a container, or into the kernel, is not there without the right that Linux asks for it.
  @Test func withoutRightsNothingThatLeadsOut() throws {
    let allowed = try allowed([])
    for name in [
      "mount", "umount", "umount2", "pivot_root", "setns", "unshare", "clone", "clone3", "open_by_handle_at", "bpf",
      "perf_event_open", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
      "reboot", "swapon", "swapoff", "keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup",
      "io_uring_enter", "io_uring_register", "iopl", "ioperm", "acct", "quotactl", "settimeofday", "clock_settime",
      "stime", "syslog", "chroot", "vhangup", "fsopen", "fsmount", "fsconfig", "fspick", "move_mount", "open_tree",
      "mount_setattr", "sethostname", "setdomainname", "process_madvise", "pidfd_getfd", "kcmp", "move_pages",
      "migrate_pages", "set_mempolicy", "mbind", "lookup_dcookie", "nfsservctl", "fanotify_init", "socket",
      "personality", "uselib", "ustat", "sysfs", "_sysctl", "create_module", "get_kernel_syms", "query_module",
    ] {
      #expect(!allowed.contains(name), "\(name)")
    }
    for name in ["read", "write", "execve", "futex", "openat", "mmap", "exit_group", "getrandom", "rseq"] {
      #expect(allowed.contains(name), "\(name)")
    }
  }

  @Test(arguments: [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"), ("CAP_SYS_ADMIN", "mount"), ("CAP_SYS_ADMIN", "unshare"),
    ("CAP_SYS_BOOT", "reboot"), ("CAP_SYS_CHROOT", "chroot"), ("CAP_SYS_MODULE", "finit_module"),
    ("CAP_SYS_PACCT", "acct"), ("CAP_SYS_PTRACE", "pidfd_getfd"), ("CAP_SYS_RAWIO", "iopl"),
    ("CAP_SYS_TIME", "clock_settime"), ("CAP_SYS_TTY_CONFIG", "vhangup"), ("CAP_SYS_NICE", "mbind"),
    ("CAP_SYSLOG", "syslog"), ("CAP_BPF", "bpf"), ("CAP_PERFMON", "perf_event_open"),
  ])
  func aRightBringsItsCalls(capability: String, call: String) throws {
    #expect(try allowed([capability]).contains(call))
    // And takes none away, and brings no other's.
    #expect(try allowed([capability]).isSuperset(of: allowed([])))
    let others = Set(["CAP_NET_ADMIN", "CAP_CHOWN", "CAP_KILL"])
    #expect(try allowed(others) == allowed([]))
  }

  /// A namespace of its own would give a process rights in it: clone only without the flags for one.
  @Test func newNamespacesNeedTheRight() throws {
    let flags: [UInt64] = [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000]
    let clone = try #require(try rules([]).first { $0.names == ["clone"] })
    let argument = try #require(clone.arguments.first)
    #expect(clone.action == "SCMP_ACT_ALLOW" && clone.arguments.count == 1)
    #expect(argument["index"] == 0 && argument["op"] == "SCMP_CMP_MASKED_EQ" && argument["valueTwo"]?.int ?? 0 == 0)
    #expect(argument["value"]?.int == Int64(flags.reduce(0, |)))
    // Where a filter cannot look, the C library is to ask in the way where it can: ENOSYS.
    let clone3 = try #require(try rules([]).first { $0.names == ["clone3"] })
    #expect(clone3.action == "SCMP_ACT_ERRNO")
    let profile = ContainerSeccomp.runtimeDefault(capabilities: [])
    #expect(profile["syscalls"]?.array?.first { $0["names"] == ["clone3"] }?["errnoRet"] == 38)
    #expect(try !rules(["CAP_SYS_ADMIN"]).contains { $0.names == ["clone3"] && $0.action != "SCMP_ACT_ALLOW" })
    #expect(try allowed(["CAP_SYS_ADMIN"]).isSuperset(of: ["clone", "clone3"]))
  }

  @Test func socketsOfTheHypervisorAreRefused() throws {
    let socket = try #require(try rules([]).first { $0.names == ["socket"] })
    #expect(socket.arguments == [["index": 0, "value": 40, "op": "SCMP_CMP_NE"]])
    let personas = try rules([]).filter { $0.names == ["personality"] }.compactMap { $0.arguments.first?["value"]?.int }
    // PER_LINUX, PER_LINUX32, UNAME26 with either, and asking.
    #expect(Set(personas) == [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff])
  }

  @Test func eachNameOnceAndWellFormed() throws {
    for capabilities in [[], ["CAP_SYS_ADMIN", "CAP_BPF", "CAP_SYSLOG", "CAP_PERFMON"]] as [Set<String>] {
      let names = try #require(try rules(capabilities).first).names
      #expect(names == Set(names).sorted() && names.count > 300)
      for name in names {
        #expect(name.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "_") }, "\(name)")
      }
    }
    #expect(
      ContainerSeccomp.runtimeDefault(capabilities: ["CAP_BPF", "CAP_SYS_NICE"])
        == ContainerSeccomp.runtimeDefault(capabilities: ["CAP_SYS_NICE", "CAP_BPF"]))
  }
}
