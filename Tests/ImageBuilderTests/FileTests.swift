import Distribution
import Dockerfile
import Glibc
import LinuxSystem
import OCI
import Testing

@testable import ImageBuilder

@Suite struct WildcardTests {
  @Test(arguments: [
    ("*", "abc", true), ("a*", "abc", true), ("a*c", "abc", true), ("a*d", "abc", false), ("?bc", "abc", true),
    ("?", "", false), ("[a-c]x", "bx", true), ("[^a-c]x", "bx", false), ("\\*", "*", true), ("\\*", "a", false),
    ("*.go", ".go", true), ("*b*c*", "aabbcc", true), ("", "", true), ("[]a]", "]", nil), ("[a", "a", nil),
    ("a\\", "a", nil), ("[-]", "-", nil),
  ])
  func matches(pattern: String, name: String, expected: Bool?) {
    #expect(Wildcard.matches(pattern, name) == expected)
  }

  /// Any pattern ends, whatever stands in it.
  @Test func anyPatternEnds() {
    var state: UInt64 = 7
    func next() -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33)
    }
    let characters = Array("ab*?[]^-\\")
    for _ in 0..<5000 {
      let pattern = String((0..<next() % 12).map { _ in characters[next() % characters.count] })
      let name = String((0..<next() % 12).map { _ in characters[next() % characters.count] })
      _ = Wildcard.matches(pattern, name)
    }
  }
}

@Suite struct FilePathTests {
  @Test func paths() {
    #expect(FilePath.absolute("a/../b", from: "/x") == "/x/b")
    #expect(FilePath.absolute("/a/./b//", from: "/x") == "/a/b")
    #expect(FilePath.absolute("../../..", from: "/x") == "/")
    #expect(FilePath.relative("a/../../../b") == "b")
    #expect(FilePath.namesDirectory("a/") && FilePath.namesDirectory(".") && !FilePath.namesDirectory("a"))
  }
}

@Suite struct SelectorTests {
  func select(_ folder: Folder, _ source: String, excluded: [String] = [], parents: Bool = false) throws -> [Selection]
  {
    try Selector(
      tree: try folder.tree(), treeIndex: 0, excluded: excluded.isEmpty ? nil : try DockerIgnore(patterns: excluded),
      keepsParents: parents
    ).select(source)
  }

  @Test func folderGivesItsContent() throws {
    let folder = Folder()
    folder.write("d/b", "")
    folder.write("d/a/x", "")
    let found = try select(folder, "d")
    #expect(found.count == 1 && found[0].isFolder)
    #expect(found[0].items.map(\.path) == ["", "a", "a/x", "b"])
  }

  @Test func patternsMatchInOrder() throws {
    let folder = Folder()
    for name in ["b1", "a1", "c2", "d/a1"] { folder.write(name, "") }
    #expect(try select(folder, "*1").map(\.name) == ["a1", "b1"])
    #expect(try select(folder, "*/a1").map(\.name) == ["a1"])
    #expect(try select(folder, "nothing*").isEmpty)
  }

  @Test func linksStayInside() throws {
    let folder = Folder()
    folder.write("real", "x")
    folder.link("inside", to: "real")
    folder.link("absolute", to: "/real")
    folder.link("outside", to: "/etc/passwd")
    folder.link("climbing", to: "../../../../etc/passwd")
    #expect(try select(folder, "inside")[0].items[0].entry.path == "real")
    // The context is the root: an absolute target is looked for in it.
    #expect(try select(folder, "absolute")[0].items[0].entry.path == "real")
    for name in ["outside", "climbing"] {
      do {
        _ = try select(folder, name)
        Issue.record("\(name) was found")
      } catch let error as BuildError {
        #expect(error.code == .notFound)
        #expect(error.message.contains("is not in the build context"))
      }
    }
    // There is nothing above the root.
    #expect(try select(folder, "../a/../../real")[0].items[0].entry.path == "real")
    #expect(throws: BuildError.self) { try select(folder, "../\(folder.path)/real") }
  }

  @Test func parentsAreKeptFromThePivot() throws {
    let folder = Folder()
    folder.write("a/b/c", "x")
    #expect(try select(folder, "./a/b/c", parents: true)[0].items.map(\.path) == ["a", "a/b", "a/b/c"])
    #expect(try select(folder, "a/./b/c", parents: true)[0].items.map(\.path) == ["b", "b/c"])
  }

  @Test func excludedFilesAreLeftOut() throws {
    let folder = Folder()
    for name in ["d/a.md", "d/b", "d/e/c.md"] { folder.write(name, "") }
    #expect(try select(folder, "d", excluded: ["*.md", "**/*.md"])[0].items.map(\.path).contains("b"))
    #expect(try !select(folder, "d", excluded: ["**/*.md"])[0].items.map(\.path).contains("e/c.md"))
  }

  @Test func ignoredFilesAreNotThere() throws {
    let folder = Folder()
    for name in ["keep", "out/x", "out/kept", "gone/y"] { folder.write(name, "") }
    let ignore = try DockerIgnore(patterns: ["out", "!out/kept", "gone"])
    let tree = try folder.tree(ignore: ignore)
    let found = try Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: false).select(".")
    #expect(found[0].items.map(\.path) == ["", "keep", "out", "out/kept"])
    #expect(throws: BuildError.self) {
      try Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: false).select("gone")
    }
  }

  @Test func aFileThatChangesIsNoticed() throws {
    let folder = Folder()
    folder.write("f", "one")
    let tree = try folder.tree()
    let entry = try #require(try tree.entry("f"))
    folder.write("f", "another")
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    defer { buffer.deallocate() }
    #expect(throws: BuildError.self) { try tree.digest(entry, buffer: buffer) }
  }
}

@Suite struct PlacementTests {
  func place(_ folder: Folder, _ source: String, at destination: String, image: Folder? = nil) throws -> [LayerEntry] {
    let tree = try folder.tree()
    let selections = try Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: false).select(source)
    let lower = try LowerTree(image.map { [$0.path] } ?? [])
    var placement = Placement(destination: lower, owner: nil, chmod: nil, now: 5, epoch: nil)
    return try placement.place(selections, sources: CopySources(trees: [tree]), at: destination)
  }

  @Test func fileGoesToItsNameOrIntoTheFolder() throws {
    let (folder, image) = (Folder(), Folder())
    folder.write("f", "x")
    image.write("there/x", "")
    #expect(try place(folder, "f", at: "/new").map(\.path) == ["new"])
    #expect(try place(folder, "f", at: "/new/").map(\.path) == ["new", "new/f"])
    #expect(try place(folder, "f", at: "/there", image: image).map(\.path) == ["there/f"])
    #expect(try place(folder, "f", at: "/a/b").map(\.path) == ["a", "a/b"])
  }

  @Test func linksOfTheImageAreFollowed() throws {
    let (folder, image) = (Folder(), Folder())
    folder.write("f", "x")
    folder.write("d/lib/f", "x")
    image.write("usr/lib/x", "")
    image.link("lib", to: "usr/lib")
    image.link("up", to: "../../usr")
    #expect(try place(folder, "f", at: "/lib/", image: image).map(\.path) == ["usr/lib/f"])
    #expect(try place(folder, "f", at: "/up/lib/f", image: image).map(\.path) == ["usr/lib/f"])
    // A folder must not take the place of a link.
    #expect(throws: BuildError.self) { try place(folder, "d", at: "/", image: image) }
  }

  @Test func aFileDoesNotReplaceAFolder() throws {
    let (folder, image) = (Folder(), Folder())
    folder.write("d/name", "x")
    image.write("name/x", "")
    #expect(throws: BuildError.self) { try place(folder, "d", at: "/", image: image) }
  }
}

@Suite struct ImageUsersTests {
  let users = ImageUsers(
    UserDatabase(
      passwd: Array("root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:\n#c\nbroken\n".utf8),
      group: Array("tools:x:2000:node,other\nnone:x:3000:\n".utf8)))

  @Test func processes() throws {
    // The primary group is in the list, too: a process loses no group when a program changes the primary one.
    #expect(try users.process("") == .init(uid: 0, gid: 0, groups: [0], home: "/root"))
    #expect(try users.process("node") == .init(uid: 1000, gid: 1001, groups: [1001, 2000], home: "/home/node"))
    #expect(try users.process("1000:tools") == .init(uid: 1000, gid: 2000, groups: [2000], home: "/home/node"))
    #expect(try users.process("77:88") == .init(uid: 77, gid: 88, groups: [88]))
    // To the kernel the largest number means "as it is", which is root.
    #expect(throws: BuildError.self) { try users.process("4294967295") }
    #expect(throws: BuildError.self) { try users.process("nobody") }
    #expect(throws: BuildError.self) { try users.process("node:nogroup") }
    #expect(try ImageUsers(UserDatabase()).process("root").uid == 0)
  }

  /// `WORKDIR` makes folders, it runs nobody: a user that is not known is found out by the first `RUN`.
  @Test func ownersOfWorkingDirectories() throws {
    #expect(try users.workingDirectoryOwner("") == nil)
    #expect(try users.workingDirectoryOwner("nosuch") == nil)
    #expect(try users.workingDirectoryOwner("node:nosuch") == nil)
    #expect(try users.workingDirectoryOwner("node") == .init(uid: 1000, gid: 1001))
  }

  /// A user who could not be looked up would get root's group: what cannot be read is no empty file.
  @Test func whatCannotBeReadIsNoEmptyFile() throws {
    let image = Folder()
    func users() throws -> ImageUsers { try ImageUsers(try LowerTree([image.path])) }
    #expect(try users().process("").uid == 0)
    image.write("etc/real", "web:x:33:34::/srv:\n")
    #expect(symlink("/etc/real", "\(image.path)/etc/passwd") == 0)
    #expect(try users().process("web").gid == 34)
    image.write("etc/real", String(repeating: "a", count: (1 << 20) + 1))
    #expect(throws: BuildError.self) { try users() }
    unlink("\(image.path)/etc/passwd")
    #expect(symlink("/nowhere", "\(image.path)/etc/passwd") == 0)
    #expect(try users().process("").uid == 0)
    unlink("\(image.path)/etc/passwd")
    image.write("etc/passwd/inside", "")
    #expect(throws: BuildError.self) { try users() }
  }

  @Test func owners() throws {
    #expect(try users.owner("55") == .init(uid: 55, gid: 55))
    #expect(try users.owner("node") == .init(uid: 1000, gid: 1001))
    #expect(try users.owner("55:tools") == .init(uid: 55, gid: 2000))
    #expect(throws: BuildError.self) { try users.owner("ghost") }
    #expect(ImageUsers.isNumeric("1:2") && !ImageUsers.isNumeric("a:2") && !ImageUsers.isNumeric(""))
  }
}

/// What a build reads and leaves outside its steps.
@Suite struct BuildSourceTests {
  private let folder = Folder()

  private func load(_ context: String) async throws -> SourceLoader.Loaded {
    let loader = SourceLoader(
      request: BuildRequest(context: .directory("\(folder.path)/\(context)")), reporter: ProgressReporter { _ in },
      folder: try BuildFolder(work: "\(folder.path)/work", cgroupRoot: "apus-build-test"),
      client: RegistryClient())
    return try await loader.load()
  }

  @Test func aDockerfileIsReadInsideTheContextOnly() async throws {
    folder.write("secret", "FROM outside")
    folder.write("inside/docker/File", "FROM inside")
    #expect(symlink("docker/File", "\(folder.path)/inside/Dockerfile") == 0)
    #expect(try await load("inside").dockerfile.stages.count == 1)
    folder.write("out/index.html", "")
    #expect(symlink("../secret", "\(folder.path)/out/Dockerfile") == 0)
    let error = await #expect(throws: BuildError.self) { try await load("out") }
    #expect(error?.code == .notFound)
  }

  @Test func theWorkFolderIsClosedAndWithoutLinks() throws {
    folder.write("real/file", "")
    #expect(chmod("\(folder.path)/real", 0o711) == 0)
    #expect(symlink("real", "\(folder.path)/link") == 0)
    let build = try BuildFolder(work: "\(folder.path)/link", cgroupRoot: "apus-build-test")
    #expect(build.path.contains("/real/builds/"))
    let made = try build.newFolder().path
    for path in ["\(folder.path)/real", build.path, made] {
      var status = stat()
      #expect(stat(path, &status) == 0 && status.st_mode & 0o7777 == 0o700)
    }
    build.remove()
    #expect(access(build.path, F_OK) != 0)
  }
}
