import Glibc
import LinuxSystem
import TestKit
import Testing

@testable import Layers

/// Why a call is refused; `nil` when it is not.
func refusal(_ body: () throws(SystemError) -> Void) -> Int32? {
  do throws(SystemError) {
    try body()
    return nil
  } catch {
    return error.errno
  }
}

let hostileKeys = [
  "", ".", "..", "/", "a/b", "../a", "a/", "/etc", "a b", "a\n", "a\0", "a\u{301}", "ä", "a:b", "a,b", "a\\b", "*",
  String(repeating: "a", count: 256), String(repeating: "a", count: 300), String(repeating: "../", count: 99),
]

/// The life of a snapshot, without a file system.
@Suite struct SnapshotStatesTests {
  private typealias Kind = SnapshotStates.Kind

  /// One that a `base` is committed in.
  private func based() throws -> SnapshotStates {
    var states = SnapshotStates()
    try states.add("base", .active, on: [])
    states.committed("base")
    return states
  }

  @Test(arguments: hostileKeys) func noOtherFolderCanBeNamed(_ key: String) {
    var states = SnapshotStates()
    #expect(!SnapshotStates.isKey(key))
    #expect(refusal { () throws(SystemError) in try states.add(key, .active, on: []) } == EINVAL)
    #expect(refusal { () throws(SystemError) in try states.add(key, .view, on: []) } == EINVAL)
    #expect(refusal { () throws(SystemError) in try states.checkCommit(key) } == EINVAL)
    #expect(refusal { () throws(SystemError) in try states.remove(key) } == EINVAL)
    #expect(!states.isKnown(key))
  }

  @Test(arguments: ["a", "0", "-", "_", "..a", "a.b-C_9", String(repeating: "a", count: 255)])
  func whatCanBeAFolderIsAKey(_ key: String) throws {
    var states = SnapshotStates()
    try states.add(key, .active, on: [])
    try states.checkCommit(key)
  }

  @Test func aKeyIsUsedOnce() throws {
    for first in [Kind.active, .view] {
      var states = SnapshotStates()
      try states.add("a", first, on: [])
      for second in [Kind.active, .view] {
        #expect(refusal { () throws(SystemError) in try states.add("a", second, on: []) } == EEXIST)
      }
      // As long as something of it is left.
      try states.remove("a")
      #expect(refusal { () throws(SystemError) in try states.add("a", .active, on: []) } == EEXIST)
      states.removed("a")
      try states.add("a", .active, on: [])
    }
    var states = try based()
    #expect(refusal { () throws(SystemError) in try states.add("base", .active, on: []) } == EEXIST)
  }

  @Test func onlyWhatIsActiveIsCommittedAndOnce() throws {
    var states = try based()
    try states.add("view", .view, on: ["base"])
    #expect(refusal { () throws(SystemError) in try states.checkCommit("view") } == EROFS)
    #expect(refusal { () throws(SystemError) in try states.checkCommit("base") } == EEXIST)
    #expect(refusal { () throws(SystemError) in try states.checkCommit("nobody") } == ENOENT)
    try states.add("active", .active, on: ["base"])
    try states.checkCommit("active")
    try states.remove("active")
    #expect(refusal { () throws(SystemError) in try states.checkCommit("active") } == ENOENT)
  }

  @Test func onlyWhatIsCommittedIsAParent() throws {
    var states = try based()
    try states.add("active", .active, on: ["base"])
    try states.add("view", .view, on: ["base"])
    for parent in ["active", "view", "nobody"] {
      for kind in [Kind.active, .view] {
        #expect(refusal { () throws(SystemError) in try states.add("new", kind, on: ["base", parent]) } == ENOENT)
      }
    }
    // What was refused has left nothing.
    #expect(!states.isKnown("new"))
    try states.add("new", .active, on: ["base"])
    // One of an earlier process.
    states.found("older")
    try states.add("newer", .active, on: ["base", "older"])
    // What is known is not found to be anything else.
    states.found("active")
    #expect(refusal { () throws(SystemError) in try states.add("newest", .active, on: ["active"]) } == ENOENT)
  }

  @Test func aParentOutlivesItsChildren() throws {
    var states = try based()
    try states.add("child", .active, on: ["base"])
    states.committed("child")
    try states.add("grandchild", .active, on: ["child", "base"])
    try states.add("view", .view, on: ["base"])
    #expect(refusal { () throws(SystemError) in try states.remove("base") } == EBUSY)
    #expect(refusal { () throws(SystemError) in try states.remove("child") } == EBUSY)
    try states.remove("view")
    try states.remove("grandchild")
    // What is being removed may still be mounted.
    #expect(refusal { () throws(SystemError) in try states.remove("child") } == EBUSY)
    states.removed("view")
    states.removed("grandchild")
    try states.remove("child")
    // From now on nobody may stand on it.
    #expect(refusal { () throws(SystemError) in try states.add("late", .active, on: ["child"]) } == ENOENT)
    states.removed("child")
    try states.remove("base")
    states.removed("base")
    for key in ["base", "child", "grandchild", "view", "late"] { #expect(!states.isKnown(key)) }
  }

  @Test func whatIsNotThereCanBeRemoved() throws {
    var states = SnapshotStates()
    try states.remove("older")
    // A second attempt after one that failed.
    try states.remove("older")
    states.removed("older")
    #expect(!states.isKnown("older"))
    try states.add("older", .active, on: [])
  }
}

/// What needs no mount.
@Suite struct SnapshotterTests {
  private let folder = TemporaryFolder()

  private func make(_ name: String) throws -> String {
    try Directory.create("\(folder.path)/\(name)")
    return "\(folder.path)/\(name)"
  }

  @Test(arguments: hostileKeys) func aHostileKeyTouchesNothing(_ key: String) throws {
    let snapshots = Snapshotter(folder: try make("all/snapshots"))
    let layer = try make("all/layer")
    _ = try folder.write([1], "all/file")
    #expect(refusal { () throws(SystemError) in _ = try snapshots.prepare(key, on: [layer]) } == EINVAL)
    #expect(refusal { () throws(SystemError) in _ = try snapshots.view(key, of: [layer]) } == EINVAL)
    #expect(refusal { () throws(SystemError) in _ = try snapshots.commit(key) } == EINVAL)
    #expect(refusal { () throws(SystemError) in try snapshots.remove(key) } == EINVAL)
    #expect(try Directory.list("\(folder.path)/all") == ["file", "layer", "snapshots"])
    #expect(try snapshots.keys() == [] && Directory.list(layer) == [])
  }

  @Test func allThatCanBeOneIsListed() throws {
    let snapshots = Snapshotter(folder: try make("snapshots"))
    #expect(try snapshots.keys() == [])
    for name in ["b", "a", "a name", "c"] { _ = try make("snapshots/\(name)") }
    #expect(try snapshots.keys() == ["a", "b", "c"])
    let none = Snapshotter(folder: "\(folder.path)/nowhere")
    #expect(refusal { () throws(SystemError) in _ = try none.keys() } == ENOENT)
  }

  /// A view of one layer needs no mount, and so no rights.
  @Test func aSingleLayerIsItsOwnView() throws {
    let snapshots = Snapshotter(folder: try make("snapshots"))
    let layer = try make("layer")
    #expect(try snapshots.view("a", of: [layer, layer]) == layer)
    #expect(try snapshots.keys() == ["a"])
    #expect(refusal { () throws(SystemError) in _ = try snapshots.view("a", of: [layer]) } == EEXIST)
    #expect(refusal { () throws(SystemError) in _ = try snapshots.commit("a") } == EROFS)
    #expect(try Mount.isMountPoint("\(snapshots.folder(of: "a"))/rootfs") == false)
    // What only looks like one of here is somebody else's.
    for (number, other) in ["../upper", "a/b/upper", "a/upper/b", "a/rootfs", "./upper"].enumerated() {
      let path = "\(folder.path)/snapshots/\(other)"
      #expect(try snapshots.view("other-\(number)", of: [path]) == path)
    }
  }

  /// Also one that this process does not know.
  @Test func whatAnEarlierProcessMadeIsNotMadeAnew() throws {
    let snapshots = Snapshotter(folder: try make("snapshots"))
    let layer = try make("layer")
    _ = try make("snapshots/a/rootfs")
    _ = try folder.write([1], "snapshots/a/rootfs/file")
    for _ in 0..<2 {
      #expect(refusal { () throws(SystemError) in _ = try snapshots.prepare("a", on: [layer]) } == EEXIST)
      #expect(refusal { () throws(SystemError) in _ = try snapshots.view("a", of: [layer]) } == EEXIST)
    }
    #expect(try DurableFile.read("\(folder.path)/snapshots/a/rootfs/file", limit: 9) == [1])
    #expect(try Directory.list("\(folder.path)/snapshots/a") == ["rootfs"])
  }

  /// By what is on disk: a folder of changes is a layer when the kernel's own folder is gone.
  @Test func whatAnEarlierProcessCommittedIsAParentAndNothingElseOfIts() throws {
    let snapshots = Snapshotter(folder: try make("snapshots"))
    for name in ["committed/upper", "active/upper", "active/work", "begun/work", "begun/rootfs", "view/rootfs"] {
      _ = try make("snapshots/\(name)")
    }
    for key in ["active", "begun", "view", "nobody"] {
      let parent = "\(snapshots.folder(of: key))/upper"
      #expect(refusal { () throws(SystemError) in _ = try snapshots.view("new", of: [parent]) } == ENOENT, "\(key)")
    }
    #expect(try snapshots.keys() == ["active", "begun", "committed", "view"])
    let parent = "\(snapshots.folder(of: "committed"))/upper"
    #expect(try snapshots.view("new", of: [parent]) == parent)
    #expect(refusal { () throws(SystemError) in try snapshots.remove("committed") } == EBUSY)
    #expect(access(parent, F_OK) == 0)
  }
}
