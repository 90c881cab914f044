import CLinux
import Glibc
import Testing
import Wire

@testable import LinuxSystem

private let isEnabled = getenv("APUS_KERNEL_TESTS").map { String(cString: $0) } == "1"

/// Need root, and a mount namespace of their own.
@Suite("Kernel: full disks and mounts", .serialized, .enabled(if: isEnabled), .timeLimit(.minutes(2)))
struct FullDiskKernelTests {
  /// A disk of one mebibyte.
  private final class Disk {
    let path: String

    init() throws {
      var template = Array("/tmp/apus-disk-XXXXXX".utf8CString)
      path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
      try Mount.tmpfs(target: path, mode: 0o700, sizeMax: 1 << 20)
    }

    deinit {
      try? Mount.unmountTree(path)
      rmdir(path)
    }
  }

  @Test("a file that does not fit leaves the old one, and nothing beside it") func full() throws {
    let disk = try Disk()
    try DurableFile.write(Array("old".utf8), to: "\(disk.path)/file")
    let error = #expect(throws: SystemError.self) {
      try DurableFile.write([UInt8](repeating: 1, count: 2 << 20), to: "\(disk.path)/file")
    }
    #expect(error?.isDiskFull == true)
    #expect(try DurableFile.read("\(disk.path)/file", limit: 9) == Array("old".utf8))
    #expect(try Directory.list(disk.path) == ["file"])
    #expect(Mount.isInMemory(disk.path))
  }

  @Test("what a reserve gives back can be written to") func reserve() throws {
    let disk = try Disk()
    let reserve = DiskReserve(path: "\(disk.path)/reserve", bytes: 256 << 10)
    #expect(!reserve.isNeeded && reserve.fill() && reserve.isWhole)
    var written = 0
    while (try? DurableFile.write([UInt8](repeating: 1, count: 64 << 10), to: "\(disk.path)/\(written)")) != nil {
      written += 1
    }
    #expect(written > 4 && reserve.isNeeded)
    #expect(reserve.release() && !reserve.isWhole)
    try DurableFile.write([UInt8](repeating: 2, count: 128 << 10), to: "\(disk.path)/more")
    // Half as much again has to stay free: what was just freed is not taken away at once.
    #expect(!reserve.fill())
    for number in 0..<written { unlink("\(disk.path)/\(number)") }
    #expect(reserve.fill())
  }

  @Test("a scope without mounts ends where something is mounted, also of the same file system") func scopes() throws {
    let disk = try Disk()
    for name in ["root/in", "root/bound", "other/deep"] { try Directory.create("\(disk.path)/\(name)") }
    try Mount.bind(source: "\(disk.path)/other", target: "\(disk.path)/root/bound")
    let root = try ResolvedFile("\(disk.path)/root")
    #expect(try ResolvedFile("bound/deep", in: root, scope: .beneath).status.kind == .directory)
    #expect(try ResolvedFile("in", in: root, scope: .withoutMounts).status.kind == .directory)
    for path in ["bound", "bound/deep", "in/../bound/deep"] {
      #expect(code { _ = try ResolvedFile(path, in: root, scope: .withoutMounts) } == EXDEV, "\(path)")
    }
    #expect(code { try root.createFolders("bound/new", scope: .withoutMounts, mode: 0o755) } == EXDEV)
    #expect(try Mount.isMountPoint("\(disk.path)/root/bound") && !Mount.isMountPoint("\(disk.path)/root/in"))
    try Mount.unmountTree("\(disk.path)/root")
    try Mount.unmountTree("\(disk.path)/root")
    #expect(try Directory.list("\(disk.path)/other") == ["deep"])
  }

  @Test("a bind mount that cannot be made read-only is taken away again") func readOnly() throws {
    let disk = try Disk()
    for name in ["source", "target"] { try Directory.create("\(disk.path)/\(name)") }
    try Mount.bind(source: "\(disk.path)/source", target: "\(disk.path)/target", readOnly: true)
    #expect(code { try Directory.create("\(disk.path)/target/new") } == EROFS)
    try Directory.create("\(disk.path)/source/new")
    #expect(try Directory.list("\(disk.path)/target") == ["new"])
    // A mount that a container left behind a link is not the one that is named.
    #expect(symlink("target", "\(disk.path)/link") == 0)
    _ = code { try Mount.unmount("\(disk.path)/link") }
    #expect(try Mount.isMountPoint("\(disk.path)/target"))
    try Mount.unmount("\(disk.path)/target")
    #expect(code { try Mount.bind(source: "\(disk.path)/none", target: "\(disk.path)/target") } == ENOENT)
    #expect(try !Mount.isMountPoint("\(disk.path)/target"))
  }

  @Test("every mount of a tree goes, the deepest first, and none beside it") func unmountsTrees() throws {
    let disk = try Disk()
    try Directory.create("\(disk.path)/tree")
    try Directory.create("\(disk.path)/tree-beside")
    for target in ["tree", "tree-beside"] { try Mount.tmpfs(target: "\(disk.path)/\(target)") }
    for name in ["a", "a/b", "c d"] {
      try Directory.create("\(disk.path)/tree/\(name)")
      try Mount.tmpfs(target: "\(disk.path)/tree/\(name)")
    }
    try Mount.unmountTree("\(disk.path)/tree", detach: false)
    let left = try MountInfo.current().filter { $0.isAtOrBelow(disk.path) }.map(\.mountPoint)
    #expect(left == [disk.path, "\(disk.path)/tree-beside"])
  }
}

/// Need root.
@Suite("Kernel: namespaces", .serialized, .enabled(if: isEnabled), .timeLimit(.minutes(2)))
struct NamespaceKernelTests {
  private let folder = TestFolder()
  private var path: String { "\(folder.path)/ns" }

  @Test("pinned namespaces live without a process, and go with their pins") func pins() async throws {
    try await Namespaces.create(
      Namespaces.Kind.allCases, folder: path, hostname: "apus-test",
      sysctls: ["net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"])
    for kind in Namespaces.Kind.allCases { #expect(Namespaces.isPinned("\(path)/\(kind.rawValue)")) }
    var own = stat()
    #expect(stat("/proc/self/ns/net", &own) == 0)
    var pinned = stat()
    #expect(stat("\(path)/net", &pinned) == 0 && pinned.st_ino != own.st_ino)
    let (addresses, forward, inside) = try await Namespaces.inNetwork("\(path)/net") { () throws(SystemError) in
      var status = stat()
      stat("/proc/thread-self/ns/net", &status)
      return (
        HostAddresses.local(), try DurableFile.read("/proc/thread-self/net/dev", limit: 1 << 16).isEmpty, status.st_ino
      )
    }
    // `lo` is up, and nothing else is there.
    #expect(addresses.map(\.description).sorted() == ["127.0.0.1", "::1"] && !forward)
    #expect(inside == pinned.st_ino)
    // This process stays where it was.
    var after = stat()
    #expect(stat("/proc/self/ns/net", &after) == 0 && after.st_ino == own.st_ino)
    let name = try await Subprocess.run("nsenter", ["--uts=\(path)/uts", "hostname"])
    #expect(name.stdout == Array("apus-test\n".utf8))
    try await Namespaces.remove(folder: path)
    try await Namespaces.remove(folder: path)
    #expect(access(path, F_OK) != 0)
    #expect(code { _ = try ResolvedFile("\(path)/net") } == ENOENT)
  }

  @Test(
    "what cannot be set leaves nothing pinned",
    arguments: ["net.no.such", "net//x", "..//..//etc//hostname", "net.ipv4.//.//.//etc.hostname"])
  func failures(sysctl: String) async throws {
    let error = await #expect(throws: SystemError.self) {
      try await Namespaces.create([.network, .ipc], folder: path, hostname: nil, sysctls: [sysctl: "1"])
    }
    #expect(error?.operation.contains("sysctl") == true)
    for kind in Namespaces.Kind.allCases { #expect(!Namespaces.isPinned("\(path)/\(kind.rawValue)")) }
    try await Namespaces.remove(folder: path)
  }
}

/// Need root, and a machine with cgroups.
@Suite("Kernel: cgroups", .serialized, .enabled(if: isEnabled), .timeLimit(.minutes(2)))
struct CgroupKernelTests {
  @Test("a preparation for moves leaves this process where it is") func preparesMoves() throws {
    let before = try DurableFile.read("/proc/self/cgroup", limit: 64 << 10)
    #expect(try CgroupLayout.current().prepareMoves())
    #expect(try DurableFile.read("/proc/self/cgroup", limit: 64 << 10) == before)
  }

  @Test("processes and what they start are found, killed, and their cgroups removed") func kills() async throws {
    guard let layout = try? CgroupLayout.current(), let root = layout.tracker else { return }
    let top = Cgroup(layout, path: "/apus-test-\(getpid())")
    let inside = Cgroup(layout, path: "\(top.path)/a/b")
    for path in [top.path, inside.path] { try Directory.create(root + path) }
    var handles: [ProcessHandle] = []
    for cgroup in [top, inside] {
      let output = try Pipe()
      let input = try Pipe()
      let handle = try Subprocess.spawn(
        "sh", ["-c", "read x; sleep 1000 & echo $!; wait"],
        descriptors: [.init(from: input.readEnd, to: 0), .init(from: output.writeEnd, to: 1)])
      for fd in [input.readEnd, output.writeEnd] { close(fd) }
      let fd = open("\(root)\(cgroup.path)/cgroup.procs", O_WRONLY | O_CLOEXEC)
      let number = Array("\(handle.pid)".utf8)
      #expect(write(fd, number, number.count) == number.count)
      close(fd)
      #expect(write(input.writeEnd, "\n", 1) == 1)
      close(input.writeEnd)
      let reader = try AsyncDescriptor(owning: output.readEnd)
      let child = try #require(Int32(String(decoding: try await reader.read().dropLast(), as: UTF8.self)))
      #expect(cgroup.processes().isSuperset(of: [handle.pid, child]))
      #expect(Cgroup.isMember(child, of: cgroup.path) && Cgroup.isMember(child, of: top.path))
      #expect(!Cgroup.isMember(child, of: String(cgroup.path.dropLast())))
      handles.append(handle)
    }
    #expect(top.processes().count == 4 && inside.processes().count == 2)
    #expect(top.descendants(levels: 5).sorted() == ["\(top.path)/a", inside.path])
    #expect(code { try top.remove() } == EBUSY)
    // Those inside only.
    try await inside.kill(deadline: .now + .seconds(20))
    #expect(await handles[1].wait() != nil && top.processes().count == 2)
    try await top.kill(deadline: .now + .seconds(20))
    #expect(await handles[0].wait() != nil && top.processes().isEmpty)
    try top.remove()
    try top.remove()
    #expect(access(root + top.path, F_OK) != 0)
  }
}
