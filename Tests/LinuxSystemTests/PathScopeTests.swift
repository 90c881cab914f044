import CLinux
import Glibc
import Synchronization
import Testing

@testable import LinuxSystem

/// Changes places as a container can do it in a volume that it shares, until it is stopped.
private final class Attacker {
  private let isOver: TestThread.Result
  private let thread: TestThread

  init(_ step: @escaping @Sendable () -> Void) {
    let isOver = TestThread.Result()
    self.isOver = isOver
    thread = TestThread { while !isOver.isSet { step() } }
  }

  func stop() {
    isOver.set()
    thread.join()
  }

  /// A folder and a link that leads out take each other's name.
  static func exchanging(_ folder: String, _ name: String, with link: String) -> Attacker {
    Attacker {
      rename("\(folder)/\(name)", "\(folder)/.kept")
      rename("\(folder)/\(link)", "\(folder)/\(name)")
      rename("\(folder)/\(name)", "\(folder)/\(link)")
      rename("\(folder)/.kept", "\(folder)/\(name)")
    }
  }
}

@Suite struct PathScopeTests {
  private let folder = TestFolder()

  private func root() throws -> ResolvedFile {
    try Directory.create("\(folder.path)/root/in")
    try Directory.create("\(folder.path)/outside")
    return try ResolvedFile("\(folder.path)/root")
  }

  private func link(_ target: String, _ name: String) {
    #expect(symlink(target, "\(folder.path)/root/\(name)") == 0)
  }

  @Test func aFarmOfLinksHasAnEnd() throws {
    let root = try root()
    try folder.write("x", to: "root/in/file")
    // A chain as long as the kernel follows, and one longer.
    link("in/file", "c1")
    for number in 2...41 { link("c\(number - 1)", "c\(number)") }
    // Each doubles the way: 2^30 steps.
    link(".", "l0")
    for number in 1...30 { link("l\(number - 1)/l\(number - 1)", "l\(number)") }
    for scope in [PathScope.beneath, .inRoot] {
      #expect(try ResolvedFile("c40", in: root, scope: scope).contents(limit: 9) == Array("x".utf8))
      for path in ["c41", "l30", "l30/in/file", "l30/c1"] {
        #expect(code { _ = try ResolvedFile(path, in: root, scope: scope) } == ELOOP, "\(path)")
        #expect(code { try root.createFolders("\(path)/new", scope: scope, mode: 0o755) } == ELOOP, "\(path)")
      }
    }
    for path in ["c1", "l0", "l0/in", "l0/in/file"] {
      #expect(code { _ = try ResolvedFile(path, in: root, scope: .withoutLinks) } == ELOOP, "\(path)")
    }
    #expect(try Directory.list("\(folder.path)/root/in") == ["file"])
  }

  /// The folder itself may be reached by a link: what is named by the owner is trusted, what is below it is not.
  @Test func emptyAndDottedPathsAreTheFolder() throws {
    let root = try root()
    for scope in [PathScope.beneath, .inRoot, .withoutLinks, .withoutMounts] {
      for path in ["", ".", "./", "in/..", "./in/./.."] {
        let found = try ResolvedFile(path, in: root, scope: scope)
        #expect(found.status.inode == root.status.inode, "\(path)")
      }
      #expect(try ResolvedFile("in", in: root, scope: scope).status.kind == .directory)
      #expect(code { _ = try ResolvedFile("none", in: root, scope: scope) } == ENOENT)
    }
    // Out is refused, except in a root, which has nothing above it.
    for path in ["..", "/", "in/../..", "/etc"] {
      #expect(code { _ = try ResolvedFile(path, in: root, scope: .beneath) } == EXDEV, "\(path)")
      #expect(code { _ = try ResolvedFile(path, in: root, scope: .withoutLinks) } == EXDEV, "\(path)")
    }
    #expect(try ResolvedFile("/../in/../..", in: root, scope: .inRoot).status.inode == root.status.inode)
    #expect(code { _ = try ResolvedFile("/etc", in: root, scope: .inRoot) } == ENOENT)
  }

  @Test func foldersAreMadeWhereTheyAreNamed() throws {
    let root = try root()
    for name in ["a", "\u{301}b", "..c", "d.", " ", "\n", "e\u{301}", "\u{e9}"] {
      try root.createFolders("in/\(name)//./\(name)/", scope: .beneath, mode: 0o750)
      #expect(try Directory.list("\(folder.path)/root/in/\(name)") == [name])
      #expect(try ResolvedFile("in/\(name)/\(name)", in: root, scope: .withoutLinks).status.mode == 0o750)
    }
    // Two forms of one character are two names.
    #expect(try Directory.list("\(folder.path)/root/in").count == 8)
    // With `..`, too, as long as it stays inside.
    try root.createFolders("x/../y", scope: .beneath, mode: 0o700)
    #expect(try Directory.list("\(folder.path)/root") == ["in", "x", "y"])
    #expect(code { try root.createFolders("x/../../z", scope: .beneath, mode: 0o700) } == EXDEV)
    try root.createFolders("/../../z", scope: .inRoot, mode: 0o700)
    #expect(try Directory.list("\(folder.path)/root") == ["in", "x", "y", "z"])
    #expect(try Directory.list(folder.path) == ["outside", "root"])
    try folder.write("", to: "root/file")
    #expect(code { try root.createFolders("file/x", scope: .beneath, mode: 0o700) } == ENOTDIR)
  }

  @Test func filesAreMadeOnceAndOnlyInside() throws {
    let root = try root()
    try root.createFile("in/file", scope: .beneath, mode: 0o666)
    #expect(try ResolvedFile("in/file", in: root, scope: .beneath).status.mode == 0o666)
    try folder.write("kept", to: "root/in/other")
    try root.createFile("in/other", scope: .beneath, mode: 0o600)
    #expect(try folder.read("root/in/other") == "kept")
    link("../outside/new", "out")
    link("../outside", "away")
    // A link at the end counts as something that is there; one on the way leads out.
    try root.createFile("out", scope: .beneath, mode: 0o600)
    #expect(code { try root.createFile("away/new", scope: .beneath, mode: 0o600) } == EXDEV)
    #expect(code { try root.createFile("none/new", scope: .beneath, mode: 0o600) } == ENOENT)
    #expect(try Directory.list("\(folder.path)/outside").isEmpty)
  }

  /// Whatever is exchanged while folders and files are made, nothing comes into being outside.
  @Test func aRaceMakesNothingOutside() throws {
    let root = try root()
    link("../outside", "out")
    let attacker = Attacker.exchanging("\(folder.path)/root", "in", with: "out")
    var made = 0
    for number in 0..<400 {
      if (try? root.createFolders("in/\(number)/deep", scope: .beneath, mode: 0o755)) != nil { made += 1 }
      try? root.createFile("in/\(number)/file", scope: .beneath, mode: 0o644)
      try? root.createFile("in/f\(number)", scope: .beneath, mode: 0o644)
    }
    attacker.stop()
    #expect(made > 0)
    #expect(try Directory.list("\(folder.path)/outside").isEmpty)
    #expect(try folder.openFiles().count == 1)
  }

  /// What was looked up stays what it is, whatever its name comes to mean.
  @Test func whatWasLookedUpStays() throws {
    let root = try root()
    try folder.write("mine", to: "root/in/file")
    let file = try ResolvedFile("in/file", in: root, scope: .beneath)
    let inside = try ResolvedFile("in", in: root, scope: .beneath)
    rename("\(folder.path)/root/in", "\(folder.path)/root/moved")
    link("../outside", "in")
    try folder.write("other", to: "outside/file")
    #expect(try file.contents(limit: 9) == Array("mine".utf8))
    #expect(try ResolvedFile("file", in: inside, scope: .beneath).contents(limit: 9) == Array("mine".utf8))
    unlink("\(folder.path)/root/moved/file")
    #expect(try file.contents(limit: 9) == Array("mine".utf8))
    #expect(code { _ = try file.contents(limit: 3) } == EFBIG)
  }
}

@Suite struct DirectoryTreeTests {
  private let folder = TestFolder()

  private func tree() throws -> DirectoryTree {
    try Directory.create("\(folder.path)/root")
    try Directory.create("\(folder.path)/outside")
    return try DirectoryTree("\(folder.path)/root")
  }

  private func make(_ tree: DirectoryTree, _ path: String) throws { close(try tree.createFile(path)) }

  /// To Swift a slash before a combining mark is another character; to the kernel it is a slash.
  @Test func eachNameIsItsBytes() throws {
    let tree = try tree()
    for name in ["\u{301}x", "\u{fe0f}", "e\u{301}", "\u{e9}", "..", "..x", ".x"] where name != ".." {
      try make(tree, "a/\(name)")
      try tree.createSymbolicLink("b/\(name)", target: name)
      try tree.createDirectory("c/\(name)")
      try tree.createHardLink("d/\(name)", target: "a/\(name)")
    }
    let names = ["\u{301}x", "\u{fe0f}", "e\u{301}", "\u{e9}", "..x", ".x"]
    for part in ["a", "b", "c", "d"] {
      let found = try Directory.list("\(folder.path)/root/\(part)")
      #expect(Set(found.map { Array($0.utf8) }) == Set(names.map { Array($0.utf8) }), "\(part)")
    }
    for name in names {
      #expect(try tree.type(of: "a/\(name)") == .file && tree.type(of: "c/\(name)") == .directory)
      try tree.remove("a/\(name)")
      #expect(try tree.type(of: "a/\(name)") == nil && tree.type(of: "d/\(name)") == .file)
      try tree.removeIfBelow("d/\(name)")
      #expect(try tree.type(of: "d/\(name)") == nil)
    }
  }

  @Test func namesThatMeanAnotherPlaceAreRefused() throws {
    let tree = try tree()
    for path in ["..", ".", "a/..", "a/.", "a/", "/", "../x/..", ""] {
      #expect(code { try make(tree, path) } == EINVAL, "\(path)")
      #expect(code { try tree.remove(path) } == EINVAL, "\(path)")
      #expect(code { try tree.createSymbolicLink(path, target: "x") } == EINVAL, "\(path)")
    }
    for path in ["../x", "a/../../x", "../outside/x"] {
      #expect(code { try make(tree, path) } == EXDEV, "\(path)")
      #expect(code { try tree.createDirectories(path) } == EXDEV, "\(path)")
      #expect(code { try tree.createHardLink("new", target: path) } == EXDEV, "\(path)")
    }
    #expect(try Directory.list("\(folder.path)/outside").isEmpty)
  }

  /// A file that is there, or a link, is not written through: an archive must not change what a link leads to.
  @Test func nothingIsWrittenThroughALink() throws {
    let tree = try tree()
    try folder.write("precious", to: "outside/file")
    try tree.createSymbolicLink("link", target: "../outside/file")
    try tree.createSymbolicLink("inside", target: "real")
    try make(tree, "real")
    for path in ["link", "inside", "real"] { #expect(code { try make(tree, path) } == EEXIST, "\(path)") }
    let before = try ResolvedFile("\(folder.path)/outside/file").status
    // Owner, mode and times are the link's own; a link has no mode.
    for mode in [nil, 0o777] as [UInt32?] {
      _ = code {
        try tree.setAttributes("link", owner: geteuid(), group: getegid(), mode: mode, modified: (7, 0))
      }
    }
    _ = code { try tree.setExtendedAttribute("link", name: "user.a", value: [1]) }
    #expect(try ResolvedFile("\(folder.path)/outside/file").status == before)
    #expect(try Directory.extendedAttribute("\(folder.path)/outside/file", name: "user.a") == nil)
  }

  @Test func attributesAreSetAsTheyAreSaid() throws {
    let tree = try tree()
    try make(tree, "f")
    try tree.createDirectory("d")
    for (path, mode) in [("f", 0o6755), ("d", 0o1777), ("", 0o2750)] as [(String, UInt32)] {
      try tree.setAttributes(path, owner: geteuid(), group: getegid(), mode: mode, modified: (-5, 123_456_789))
      let status = try ResolvedFile("\(folder.path)/root/\(path)").status
      #expect(status.mode == mode, "\(path)")
      #expect(status.modified == FileTime(seconds: -5, nanoseconds: 123_456_789), "\(path)")
    }
    try tree.setAttributes("f", owner: geteuid(), group: getegid(), mode: nil, modified: nil)
    #expect(try ResolvedFile("\(folder.path)/root/f").status.modified.seconds == -5)
    try tree.createNode("pipe", mode: UInt32(S_IFIFO) | 0o640)
    #expect(try tree.type(of: "pipe") == .other)
    try tree.sync()
  }

  /// A hard link to a symbolic link is a second name of the link.
  @Test func aLinkIsLinkedItself() throws {
    let tree = try tree()
    try tree.createSymbolicLink("link", target: "nowhere")
    try tree.createHardLink("second", target: "link")
    #expect(try tree.type(of: "second") == .symbolicLink)
    #expect(code { try tree.createHardLink("third", target: "none") } == ENOENT)
  }

  /// The parent that was opened last is not taken for what its name has come to mean.
  @Test func theLastParentIsForgottenWithItsName() throws {
    let tree = try tree()
    try make(tree, "a/b/one")
    try tree.remove("a")
    try make(tree, "a/b/two")
    #expect(try tree.namesIfBelow("a/b") == ["two"])
    try tree.remove("a/b")
    try tree.createSymbolicLink("a/b", target: "../other")
    try tree.createDirectory("other")
    try make(tree, "a/b/three")
    #expect(try tree.namesIfBelow("other") == ["three"])
    try tree.removeIfBelow("a/b")
    #expect(try tree.type(of: "other/three") == .file)
  }

  @Test func aRaceWritesNothingOutside() throws {
    let tree = try tree()
    try Directory.create("\(folder.path)/root/in")
    try folder.write("precious", to: "outside/kept")
    #expect(symlink("../outside", "\(folder.path)/root/out") == 0)
    let attacker = Attacker.exchanging("\(folder.path)/root", "in", with: "out")
    for number in 0..<200 {
      // Another parent each time, so that the way is gone again.
      try? make(tree, "in/f\(number)")
      try? make(tree, "in/d\(number)/f")
      try? tree.createDirectories("in/e\(number)/x")
      try? tree.removeIfBelow("in/kept")
      try? tree.remove("in/f\(number)")
      try? tree.createSymbolicLink("in/l\(number)", target: "x")
    }
    attacker.stop()
    #expect(try Directory.list("\(folder.path)/outside") == ["kept"])
    #expect(try folder.read("outside/kept") == "precious")
  }
}

/// Reading what others may change.
@Suite struct SourceTreeTests {
  private let folder = TestFolder()

  private func tree() throws -> SourceTree {
    try folder.write("secret", to: "outside/file")
    try folder.write("x", to: "root/a/file")
    return try SourceTree("\(folder.path)/root")
  }

  @Test func namesAreSortedByBytesAndMustBeText() throws {
    let tree = try tree()
    let expected = ["b", "B", "\u{e9}", "e\u{301}", "a.b", "a-b", "\u{301}"]
    for name in expected { try folder.write("", to: "root/n/\(name)") }
    let names = try tree.open("n").names().map { Array($0.utf8) }
    #expect(names == expected.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) })
    let longest = String(repeating: "n", count: 255)
    try Directory.create("\(folder.path)/root/long")
    close(Glibc.open("\(folder.path)/root/long/\(longest)", O_WRONLY | O_CREAT, 0o600))
    let long = try tree.open("long").names()
    #expect(long == [longest])
    let fd = open("\(folder.path)/root/n", O_RDONLY | O_DIRECTORY)
    close(openat(fd, [CChar(bitPattern: 0xff), 0], O_WRONLY | O_CREAT, 0o600))
    close(fd)
    #expect(code { _ = try tree.open("n").names() } == EILSEQ)
  }

  @Test func linksStayInside() throws {
    let tree = try tree()
    for (name, target) in [
      ("relative", "a/file"), ("absolute", "/a/file"), ("above", "../../../a/file"), ("chain", "relative"),
    ] {
      #expect(symlink(target, "\(folder.path)/root/\(name)") == 0)
      #expect(try tree.resolve(name) == "a/file", "\(name)")
      #expect(try tree.target(name) == target)
      #expect(try tree.status(name)?.kind == .symbolicLink)
      // At the end a link is not followed.
      #expect(code { _ = try tree.open(name).status } == ELOOP)
    }
    #expect(symlink("a", "\(folder.path)/root/folder") == 0)
    let content = try tree.open("folder/file").contents(limit: 9)
    #expect(content == Array("x".utf8))
    #expect(try tree.resolve("folder/../folder/./file") == "a/file")
    #expect(try tree.resolve("") == "" && tree.resolve("..") == "" && tree.resolve("a/..") == "")
    for (name, target) in [("out", "../outside/file"), ("host", "/etc/passwd"), ("none", "nowhere")] {
      #expect(symlink(target, "\(folder.path)/root/\(name)") == 0)
      #expect(try tree.resolve(name) == nil, "\(name)")
    }
    #expect(symlink("loop", "\(folder.path)/root/loop") == 0)
    #expect(code { _ = try tree.resolve("loop") } == ELOOP)
    #expect(code { _ = try tree.target("a/file") } == ENOENT || code { _ = try tree.target("a/file") } == EINVAL)
    #expect(try tree.status("a/none") == nil && tree.status("a/file/none") == nil)
  }

  /// A name whose first character Swift joins with the slash before it.
  @Test func whatIsResolvedIsTheWholeName() throws {
    let tree = try tree()
    try folder.write("", to: "root/\u{301}x/\u{301}y")
    #expect(symlink("\u{301}x/\u{301}y", "\(folder.path)/root/link") == 0)
    #expect(try tree.resolve("link").map { Array($0.utf8) } == Array("\u{301}x/\u{301}y".utf8))
  }

  @Test func aPipeIsOpenedWithoutWaiting() throws {
    let tree = try tree()
    #expect(mkfifo("\(folder.path)/root/pipe", 0o600) == 0)
    let kinds = [try tree.open("pipe").status.kind, try tree.open("").open("pipe").status.kind]
    #expect(kinds == [.pipe, .pipe])
  }

  @Test func filesOfAFolderAreOpenedWithoutLinks() throws {
    let tree = try tree()
    #expect(symlink("file", "\(folder.path)/root/a/link") == 0)
    let inside = try tree.open("a")
    let (names, kind, target) = (try inside.names(), try inside.status(of: "link").kind, try inside.target(of: "link"))
    #expect(names == ["file", "link"] && kind == .symbolicLink && target == "file")
    let content = try inside.open("file").contents(limit: 1)
    #expect(content == Array("x".utf8))
    let codes = [
      code { _ = try inside.open("file").contents(limit: 0) }, code { _ = try inside.open("link").status },
      code { _ = try inside.open("none").status }, code { _ = try inside.status(of: "none") },
    ]
    #expect(codes == [EFBIG, ELOOP, ENOENT, ENOENT])
  }

  @Test func attributesAreThoseThatAreWanted() throws {
    let tree = try tree()
    let writer = try DirectoryTree("\(folder.path)/root")
    do throws(SystemError) { try writer.setExtendedAttribute("a/file", name: "user.b", value: [0, 1, 255]) } catch {
      // Not every file system has them.
      #expect(error.errno == EOPNOTSUPP)
      return
    }
    try writer.setExtendedAttribute("a/file", name: "user.a", value: [])
    let file = try tree.open("a/file")
    let (all, none) = (try file.attributes { $0.hasPrefix("user.") }, try file.attributes { _ in false })
    #expect(
      all == [FileAttribute(name: "user.a", value: []), FileAttribute(name: "user.b", value: [0, 1, 255])])
    let (there, missing) = (try file.attribute("user.b"), try file.attribute("user.c"))
    #expect(none.isEmpty && there == [0, 1, 255] && missing == nil)
    #expect(try Directory.extendedAttribute("\(folder.path)/root/a/file", name: "user.b") == [0, 1, 255])
  }

  @Test func aRaceOfLinksReadsNothingOutside() throws {
    let tree = try tree()
    #expect(symlink("../outside", "\(folder.path)/root/out") == 0)
    let attacker = Attacker.exchanging("\(folder.path)/root", "a", with: "out")
    defer { attacker.stop() }
    var read = 0
    for _ in 0..<5000 {
      if let content = try? tree.open("a/file").contents(limit: 100) {
        read += 1
        #expect(content == Array("x".utf8))
      }
      if let path = try? tree.resolve("a/file") { #expect(["a/file", ".kept/file"].contains(path)) }
    }
    #expect(read > 0)
  }
}
