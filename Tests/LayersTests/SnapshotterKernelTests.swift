import Glibc
import LinuxSystem
import Testing

@testable import Layers

private let isEnabled = getenv("APUS_KERNEL_TESTS").map { String(cString: $0) } == "1"

/// Snapshots on real overlays.
@Suite(.serialized, .enabled(if: isEnabled), .timeLimit(.minutes(1))) struct SnapshotterKernelTests {
  /// On a file system of its own, which can carry an overlay whatever is below.
  private final class Ground {
    let path: String
    let snapshots: Snapshotter

    init() throws {
      var template = Array("/tmp/apus-snapshots-XXXXXX".utf8CString)
      path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
      snapshots = Snapshotter(folder: "\(path)/snapshots")
      try Mount.tmpfs(target: path, mode: 0o700)
      try Directory.create("\(path)/snapshots", mode: 0o700)
    }

    deinit {
      try? Mount.unmountTree(path)
      rmdir(path)
    }

    /// As a process sees it that knows nothing of the first one's.
    func another() -> Snapshotter { Snapshotter(folder: "\(path)/snapshots") }

    func layer(_ name: String, _ files: [String]) throws -> String {
      let folder = "\(path)/layers/\(name)"
      try Directory.create(folder)
      for file in files { try DurableFile.write(Array(name.utf8), to: "\(folder)/\(file)") }
      return folder
    }

    func mounts() throws -> [String] {
      try MountInfo.current().map(\.mountPoint).filter { $0.hasPrefix("\(path)/") }.sorted()
    }
  }

  private func text(_ path: String) throws -> String {
    String(decoding: try DurableFile.read(path, limit: 99), as: UTF8.self)
  }

  @Test func whatIsCommittedIsALayerOfOthers() throws {
    let ground = try Ground()
    let snapshots = ground.snapshots
    let lower = [try ground.layer("top", ["a", "both"]), try ground.layer("bottom", ["b", "both"])]
    let root = try snapshots.prepare("first", on: lower)
    #expect(root == "\(ground.path)/snapshots/first/rootfs")
    #expect(try Directory.list(root) == ["a", "b", "both"] && text("\(root)/both") == "top")
    var status = stat()
    #expect(stat(root, &status) == 0 && status.st_mode & 0o7777 == 0o755)
    try DurableFile.write(Array("new".utf8), to: "\(root)/c")
    #expect(unlink("\(root)/a") == 0)

    let layer = try snapshots.commit("first")
    #expect(try ground.mounts() == [])
    #expect(try Directory.list(layer) == ["a", "c"], "with a whiteout")
    #expect(try Directory.list(lower[0]) == ["a", "both"] && Directory.list(lower[1]) == ["b", "both"])

    let (second, view) = (
      try snapshots.prepare("second", on: [layer] + lower), try snapshots.view("view", of: [layer] + lower)
    )
    for path in [second, view] {
      #expect(access("\(path)/a", F_OK) != 0 && access("\(path)/b", F_OK) == 0)
      #expect(try text("\(path)/c") == "new" && text("\(path)/both") == "top")
    }
    try DurableFile.write(Array("changed".utf8), to: "\(second)/c")
    #expect(open("\(view)/d", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600) < 0 && errno == EROFS)
    #expect(try text("\(view)/c") == "new" && text("\(layer)/c") == "new")

    #expect(refusal { () throws(SystemError) in try snapshots.remove("first") } == EBUSY)
    #expect(refusal { () throws(SystemError) in _ = try snapshots.commit("view") } == EROFS)
    #expect(try text("\(second)/c") == "changed", "what was refused has changed nothing")
    #expect(try snapshots.keys() == ["first", "second", "view"])
    for key in ["second", "view", "first"] { try snapshots.remove(key) }
    #expect(try snapshots.keys() == [] && ground.mounts() == [])
  }

  @Test func anEmptyImageHasARoot() throws {
    let ground = try Ground()
    let root = try ground.snapshots.prepare("a", on: [])
    #expect(try Directory.list(root) == [])
    try DurableFile.write([1], to: "\(root)/file")
    #expect(try Directory.list(try ground.snapshots.view("b", of: [])) == [])
    #expect(try Directory.list(try ground.snapshots.commit("a")) == ["file"])
  }

  /// What its owner keeps beside it, too.
  @Test func whatIsInItsFolderGoesWithIt() throws {
    let ground = try Ground()
    try Directory.create("\(ground.path)/snapshots/a", mode: 0o700)
    try DurableFile.write([1], to: "\(ground.path)/snapshots/a/record.json")
    let root = try ground.snapshots.prepare("a", on: [try ground.layer("layer", ["x"])])
    // A process that still uses it does not keep it there.
    let held = open("\(root)/x", O_RDONLY | O_CLOEXEC)
    #expect(held >= 0)
    try ground.snapshots.remove("a")
    _ = close(held)
    #expect(try ground.snapshots.keys() == [] && ground.mounts() == [])
    // And again: nothing is there.
    try ground.snapshots.remove("a")
  }

  @Test func whatIsInUseIsNotCommitted() throws {
    let ground = try Ground()
    let root = try ground.snapshots.prepare("a", on: [try ground.layer("layer", ["x"])])
    let file = open("\(root)/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    #expect(file >= 0)
    #expect(refusal { () throws(SystemError) in _ = try ground.snapshots.commit("a") } == EBUSY)
    // It goes on.
    #expect(write(file, "more", 4) == 4)
    _ = close(file)
    let layer = try ground.snapshots.commit("a")
    #expect(try text("\(layer)/new") == "more")
  }

  /// A process can end between any two steps of `prepare`. The last of these is also what an earlier version made, with the
  /// container's record beside it.
  @Test(arguments: 0...5) func aHalfMadeOneIsFoundAndRemoved(steps: Int) throws {
    let ground = try Ground()
    let (folder, layer) = ("\(ground.path)/snapshots/left", try ground.layer("layer", ["x"]))
    try Directory.create(folder, mode: 0o700)
    try DurableFile.write([1], to: "\(folder)/record.json")
    for name in ["rootfs", "work", "upper"].prefix(steps) { try Directory.create("\(folder)/\(name)", mode: 0o700) }
    if steps >= 4 { #expect(chmod("\(folder)/upper", 0o755) == 0) }
    if steps == 5 {
      try Mount.overlay(
        lower: [layer], upper: "\(folder)/upper", work: "\(folder)/work", target: "\(folder)/rootfs", isVolatile: true)
      try DurableFile.write([2], to: "\(folder)/rootfs/file")
    }
    let later = ground.another()
    #expect(try later.keys() == ["left"])
    let parent = "\(folder)/upper"
    #expect(refusal { () throws(SystemError) in _ = try later.prepare("new", on: [parent]) } == ENOENT)
    if steps > 0 {
      #expect(refusal { () throws(SystemError) in _ = try later.prepare("left", on: [layer]) } == EEXIST)
      #expect(access("\(folder)/record.json", F_OK) == 0)
    }
    try later.remove("left")
    #expect(try later.keys() == [] && ground.mounts() == [])
    #expect(try Directory.list(layer) == ["x"])
    // The key is free.
    #expect(try Directory.list(try later.prepare("left", on: [layer])) == ["x"])
  }

  /// Likewise of one that failed and was not killed.
  @Test func afterAFailureItIsRemovedAndMadeAnew() throws {
    let ground = try Ground()
    let layer = try ground.layer("layer", ["x"])
    try Directory.create("\(ground.path)/snapshots/a", mode: 0o700)
    try DurableFile.write([], to: "\(ground.path)/snapshots/a/work")
    #expect(refusal { () throws(SystemError) in _ = try ground.snapshots.prepare("a", on: [layer]) } == ENOTDIR)
    let gone = "\(ground.path)/layers/gone"
    #expect(refusal { () throws(SystemError) in _ = try ground.snapshots.prepare("b", on: [gone, layer]) } == ENOENT)
    #expect(try ground.snapshots.keys() == ["a", "b"])
    for key in ["a", "b"] {
      try ground.snapshots.remove(key)
      #expect(try Directory.list(try ground.snapshots.prepare(key, on: [layer])) == ["x"])
    }
  }

  @Test func whatWasCommittedOutlivesItsProcess() throws {
    let ground = try Ground()
    let lower = try ground.layer("layer", ["x"])
    for key in ["whole", "half"] {
      try DurableFile.write(Array(key.utf8), to: "\(try ground.snapshots.prepare(key, on: [lower]))/made")
    }
    let layer = try ground.snapshots.commit("whole")
    // Killed in the middle of a commit: not all of the kernel's own is removed.
    try Mount.unmount("\(ground.path)/snapshots/half/rootfs")
    try Directory.removeTree("\(ground.path)/snapshots/half/work/work")

    let later = ground.another()
    #expect(try later.keys() == ["half", "whole"])
    let half = "\(ground.path)/snapshots/half/upper"
    #expect(refusal { () throws(SystemError) in _ = try later.prepare("new", on: [half, lower]) } == ENOENT)
    try later.remove("half")
    let root = try later.prepare("new", on: [layer, lower])
    #expect(try Directory.list(root) == ["made", "x"] && text("\(root)/made") == "whole")
    #expect(refusal { () throws(SystemError) in try later.remove("whole") } == EBUSY)
    try later.remove("new")
    try later.remove("whole")
    #expect(try later.keys() == [] && ground.mounts() == [])
  }

  /// Of many who want a key one gets it; who wants other keys gets them.
  @Test func manyAtOnce() async throws {
    let ground = try Ground()
    let (snapshots, layer) = (ground.snapshots, try ground.layer("layer", ["x"]))
    let same = await withTaskGroup(of: Int32?.self) { group in
      for _ in 0..<16 {
        group.addTask {
          do throws(SystemError) {
            _ = try await DedicatedThread.run { () throws(SystemError) in try snapshots.prepare("same", on: [layer]) }
            return nil
          } catch {
            return error.errno
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(same.count { $0 == nil } == 1 && same.count { $0 == EEXIST } == 15)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<16 {
        group.addTask {
          try await DedicatedThread.run { () throws(SystemError) in
            let root = try snapshots.prepare("own-\(number)", on: [layer])
            try DurableFile.write([UInt8(number)], to: "\(root)/file")
            if number % 2 == 0 {
              _ = try snapshots.commit("own-\(number)")
            } else {
              try snapshots.remove("own-\(number)")
            }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try snapshots.keys() == (["same"] + (0..<8).map { "own-\($0 * 2)" }).sorted())
    #expect(try ground.mounts() == ["\(ground.path)/snapshots/same/rootfs"])
    for number in 0..<8 {
      let file = "\(ground.path)/snapshots/own-\(number * 2)/upper/file"
      #expect(try DurableFile.read(file, limit: 9) == [UInt8(number * 2)])
    }
  }
}
