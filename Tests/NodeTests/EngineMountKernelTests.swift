import Glibc
import LinuxSystem
import Testing

@testable import Containers
@testable import Node

extension KernelTests {
  @Suite("The engine's mount") struct EngineMountKernelTests {}
}

extension KernelTests.EngineMountKernelTests {
  private func mounts(below folder: String) throws -> Int {
    try MountInfo.current().count { $0.isAtOrBelow(folder) }
  }

  /// What a container could reach of the engine by /proc/self/exe, root as it may be there (CVE-2019-5736).
  @Test func nobodyWritesToTheEngine() async throws {
    try await RuntimeHarness.run { harness in
      let path = try harness.runtime.oci.path()
      #expect(path.hasPrefix("\(harness.configuration.runDirectory)/engine/"))
      for flags in [O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC] {
        let fd = open(path, flags | O_CLOEXEC)
        #expect(fd == -1 && errno == EROFS)
        if fd >= 0 { close(fd) }
      }
      #expect(chmod(path, 0o777) == -1 && errno == EROFS)
      // By a descriptor, as one that was kept of a process that has ended.
      let kept = open(path, O_RDONLY | O_CLOEXEC)
      try #require(kept >= 0)
      defer { close(kept) }
      #expect(open("/proc/self/fd/\(kept)", O_WRONLY | O_CLOEXEC) == -1 && errno == EROFS)
    }
  }

  /// From this mount the engine has no reason to run itself a second time.
  @Test func containersAreMadeFromIt() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("m1")
      let id = try await harness.container("m1", ["echo", "here"])
      try await harness.runtime.startContainer(id)
      #expect(await harness.exit(of: id)?.exitCode == 0)
      #expect(try await harness.log(id).contains("here"))
      let folder = "\(harness.configuration.runDirectory)/engine"
      #expect(try mounts(below: folder) == 1)
      // The next server uses it as it is.
      try await harness.restart()
      #expect(try mounts(below: folder) == 1)
    }
  }

  @Test func aReplacedProgramIsMountedAnew() async throws {
    try await RuntimeHarness.run { harness in
      let program = "\(harness.base)/engine"
      let folder = "\(harness.configuration.runDirectory)/engine-test"
      func install(_ original: String) async throws {
        let copied = try await Subprocess.run("/bin/cp", ["--remove-destination", original, program])
        try #require(copied.status.isSuccess)
      }
      try await install("/bin/true")
      let mount = EngineMount(folder: folder)
      let first = try mount.path(of: program)
      #expect(try mount.path(of: program) == first)
      // Held by its mount, so that its number is not given to the next one.
      try await install("/bin/false")
      let second = try EngineMount(folder: folder).path(of: program)
      #expect(second != first)
      let (old, new) = (try await Subprocess.run(first, []), try await Subprocess.run(second, []))
      #expect(old.status.isSuccess && !new.status.isSuccess)
      try mount.clear(besides: second)
      #expect(access(first, F_OK) == -1 && access(second, X_OK) == 0)
      #expect(try mounts(below: folder) == 1)
      try mount.clear(besides: nil)
      #expect(try Directory.list(folder).isEmpty && mounts(below: folder) == 0)
      #expect(throws: SystemError.self) { try mount.path(of: "\(harness.base)/none") }
    }
  }
}
