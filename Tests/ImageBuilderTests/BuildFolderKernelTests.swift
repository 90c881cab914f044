import Glibc
import Layers
import LinuxSystem
import Testing

@testable import ImageBuilder

private let isEnabled = getenv("APUS_KERNEL_TESTS").map { String(cString: $0) } == "1"

/// A build's snapshots on real overlays.
@Suite(.serialized, .enabled(if: isEnabled), .timeLimit(.minutes(1))) struct BuildFolderKernelTests {
  /// Runs a test in a folder on a file system of its own, which can carry an overlay whatever is below.
  private func onGround(_ test: (String) throws -> Void) throws {
    let folder = Folder()
    try Mount.tmpfs(target: folder.path, mode: 0o700)
    defer { try? Mount.unmountTree(folder.path) }
    try Directory.create("\(folder.path)/layer")
    try DurableFile.write([1], to: "\(folder.path)/layer/file")
    try test(folder.path)
  }

  private func mounts(below path: String) throws -> [String] {
    try MountInfo.current().filter { $0.isAtOrBelow(path) }.map(\.mountPoint)
  }

  /// Whatever state its snapshots were in; and another build that lives keeps its own.
  @Test func theNextBuildRemovesWhatAKilledOneLeft() throws {
    try onGround { ground in
      let (work, layer) = ("\(ground)/build", "\(ground)/layer")
      func build() throws -> BuildFolder { try BuildFolder(work: work, cgroupRoot: "apus-build-test") }
      func begin(_ build: BuildFolder) throws {
        func key() throws -> String { String(try build.newFolder().number) }
        let step = try key()
        try DurableFile.write([2], to: "\(try build.snapshots.prepare(step, on: [layer]))/made")
        let made = try build.snapshots.commit(step)
        #expect(try Directory.list(try build.snapshots.prepare(try key(), on: [made, layer])) == ["file", "made"])
        #expect(try Directory.list(try build.snapshots.view(try key(), of: [made, layer])) == ["file", "made"])
        try Directory.create("\(build.snapshots.folder(of: try key()))/rootfs")
      }
      let living = try build()
      try begin(living)
      var killed: BuildFolder? = try build()
      try begin(try #require(killed))
      let left = try #require(killed).path
      #expect(try mounts(below: left).count == 2)
      // Its lock is free, as after its process's end.
      killed = nil
      let next = try build()
      #expect(access(left, F_OK) != 0)
      #expect(try mounts(below: left) == [])
      #expect(try mounts(below: living.path).count == 2)
      #expect(try Directory.list("\(work)/builds") == [living.id, next.id].sorted())
      for build in [living, next] { build.remove() }
      #expect(try Directory.list("\(work)/builds") == [] && mounts(below: work) == [])
    }
  }
}
