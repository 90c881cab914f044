import Distribution
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import TestKit
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

  /// Any pattern ends, whatever stands in it; one without sets and escapes matches as its plain definition says.
  @Test(arguments: 0..<4 as Range<UInt64>) func anyPatternEnds(seed: UInt64) {
    func slow(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
      guard let first = pattern.first else { return name.isEmpty }
      if first == UInt8(ascii: "*") {
        return slow(pattern.dropFirst(), name) || (!name.isEmpty && slow(pattern, name.dropFirst()))
      }
      guard let character = name.first, first == UInt8(ascii: "?") || first == character else { return false }
      return slow(pattern.dropFirst(), name.dropFirst())
    }
    var random = SeededGenerator(seed: seed)
    func matches(_ pattern: [UInt8], _ name: [UInt8]) -> Bool? {
      Wildcard.matches(String(decoding: pattern, as: UTF8.self), String(decoding: name, as: UTF8.self))
    }
    let characters = Array("ab*?[]^-\\".utf8)
    var outcomes: Set<Bool?> = []
    for _ in 0..<2000 {
      outcomes.insert(matches(random.bytes(0...11, of: characters), random.bytes(0...11, of: characters)))
      let (pattern, name) = (random.bytes(0...6, of: Array("ab*?".utf8)), random.bytes(0...8, of: Array("ab".utf8)))
      #expect(matches(pattern, name) == slow(pattern[...], name[...]), "\(pattern) \(name)")
    }
    #expect(outcomes == [true, false, nil], "the test must have met every outcome")
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

  /// Patterns count from the folder that is copied; with `--parents` from the context's root, or from `/./`. What is named
  /// itself stays.
  @Test(arguments: [
    ("packages", false, "b", ["", "a", "a/i.js"]), ("packages", false, "packages/b", ["", "a", "a/i.js", "b", "b/x"]),
    ("packages", false, "/b", ["", "a", "a/i.js", "b", "b/x"]), ("packages", false, "a/i.js", ["", "a", "b", "b/x"]),
    ("packages", false, "**/*.js", ["", "a", "b", "b/x"]),
    ("packages", false, "packages", ["", "a", "a/i.js", "b", "b/x"]),
    ("packages/a/i.js", false, "*.js", [""]), ("packages/a/i.js", false, "packages/a/i.js", [""]),
    ("packages/a/*.js", false, "*.js", [""]), ("pack*", false, "b", ["", "a", "a/i.js"]),
    ("packages", true, "b", ["packages", "packages/a", "packages/a/i.js", "packages/b", "packages/b/x"]),
    ("packages", true, "packages/b", ["packages", "packages/a", "packages/a/i.js"]),
    ("packages/./a", true, "a/i.js", ["a"]), ("packages/./a", true, "i.js", ["a", "a/i.js"]),
    ("packages/a/i.js", true, "*.js", ["packages", "packages/a", "packages/a/i.js"]),
    ("packages/a/i.js", true, "**/*.js", []), ("packages/./a/i.js", true, "a/*.js", []),
    ("packages/./a/i.js", true, "packages/a/*.js", ["a", "a/i.js"]), ("packages", true, "packages", []),
    ("packages/a", true, "packages", []),
  ]) func patternsCountFromWhatIsCopied(source: String, parents: Bool, pattern: String, paths: [String]) throws {
    let folder = Folder()
    for name in ["packages/a/i.js", "packages/b/x"] { folder.write(name, "") }
    let found = try select(folder, source, excluded: [pattern], parents: parents)
    #expect(found.count == 1 && found.first?.items.map(\.path) == paths)
  }

  @Test func whatIsTakenBackIsThere() throws {
    let folder = Folder()
    for name in ["p/a/1", "p/a/2"] { folder.write(name, "") }
    #expect(try select(folder, "p", excluded: ["a", "!a/2"])[0].items.map(\.path) == ["", "a", "a/2"])
    #expect(
      try select(folder, "p", excluded: ["p", "!p/a/2"], parents: true)[0].items.map(\.path) == ["p", "p/a", "p/a/2"])
  }

  @Test func aDotAtTheEndIsNoPivot() throws {
    let folder = Folder()
    folder.write("test/a/b/f", "x")
    for source in ["/test/a/b/.", "test/a/b/.", "./test/a/b/./", "test/a/b"] {
      #expect(
        try select(folder, source, parents: true)[0].items.map(\.path) == ["test", "test/a", "test/a/b", "test/a/b/f"])
    }
    #expect(try select(folder, "test/./a/b/.", parents: true)[0].items.map(\.path) == ["a", "a/b", "a/b/f"])
  }

  /// With `--parents` the destination is made also when a pattern matches nothing; without, nothing is.
  @Test func patternsWithoutAMatch() throws {
    let folder = Folder()
    folder.write("a/f", "x")
    for source in ["a/./x*", "x*", "a/x*"] {
      let found = try select(folder, source, parents: true)
      #expect(found.count == 1 && found[0].keepsPath && found[0].items.isEmpty)
      #expect(try select(folder, source).isEmpty)
    }
    #expect(throws: BuildError.self) { try select(folder, "a/./x", parents: true) }
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
  func place(
    _ folder: Folder, _ source: String, at destination: String, image: Folder? = nil, parents: Bool = false,
    origin: FileTree.Origin = .context, owner: Placement.Owner? = nil, chmod: String? = nil, isLinked: Bool = false,
    onTheWay: Set<String>? = nil
  ) throws -> [LayerEntry] {
    let tree = try FileTree(folder.path, origin: origin, label: "the source")
    var selections = try Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: parents).select(source)
    if let onTheWay {
      selections[0].isUnpacked = true
      for index in selections[0].items.indices {
        selections[0].items[index].isOnTheWay = onTheWay.contains(selections[0].items[index].path)
      }
    }
    let lower = isLinked ? nil : try LowerTree(image.map { [$0.path] } ?? [])
    var placement = Placement(
      destination: lower, owner: owner, chmod: try chmod.map { try FileMode.parse($0) }, now: 5, epoch: nil)
    return try placement.place(selections, sources: CopySources(trees: [tree]), at: destination)
  }

  private func shown(_ entries: [LayerEntry]) -> [String] {
    entries.map { "\($0.path) \(String($0.mode ?? 0, radix: 8)) \($0.owner):\($0.group)" }
  }

  /// The folder that contents go into is made as the folders on the way are: it does not take over what its source is.
  @Test func newFoldersAreRootsAndOpen() throws {
    let (folder, image) = (Folder(), Folder())
    folder.write("d/s/f", "x")
    image.write("there/x", "")
    for path in ["", "/d", "/d/s"] {
      chown(folder.path + path, 33, 34)
      chmod(folder.path + path, 0o700)
    }
    let owned = geteuid() == 0 ? "33:34" : "\(geteuid()):\(getegid())"
    #expect(shown(try place(folder, "d", at: "/new")) == ["new 755 0:0", "new/s 700 0:0", "new/s/f 644 0:0"])
    #expect(shown(try place(folder, ".", at: "/a/b")).starts(with: ["a 755 0:0", "a/b 755 0:0", "a/b/d 700 0:0"]))
    #expect(shown(try place(folder, "d/s/f", at: "/p/q/f")) == ["p 755 0:0", "p/q 755 0:0", "p/q/f 644 0:0"])
    // Of a stage: what is in the folder keeps its owner, the folder that is made does not have it.
    let copied = shown(try place(folder, "d", at: "/new", origin: .image))
    #expect(copied.prefix(2) == ["new 755 0:0", "new/s 700 \(owned)"])
    // One that exists stays as it is.
    #expect(shown(try place(folder, "d", at: "/there", image: image)).first == "there/s 700 0:0")
    let owner = Placement.Owner(uid: 7, gid: 8)
    #expect(shown(try place(folder, "d", at: "/n", owner: owner)) == ["n 755 7:8", "n/s 700 7:8", "n/s/f 644 7:8"])
    #expect(shown(try place(folder, "d", at: "/n", isLinked: true)).first == "n 755 0:0")
    // The source's parents with `--parents` are copied, the destination is made.
    #expect(
      shown(try place(folder, "d/s", at: "/n/m", parents: true))
        == ["n 755 0:0", "n/m 755 0:0", "n/m/d 700 0:0", "n/m/d/s 700 0:0", "n/m/d/s/f 644 0:0"])
    #expect(shown(try place(folder, "no*", at: "/out/", parents: true)) == ["out 755 0:0"])
    #expect(try place(folder, "no*", at: "/out/").isEmpty)
  }

  /// `--chmod` in numbers holds for the folders on the way, too; changes to a mode have none to change there.
  @Test func modesOfNewFolders() throws {
    let folder = Folder()
    folder.write("d/f", "x")
    #expect(
      shown(try place(folder, "d/f", at: "/p/s/f", chmod: "777")) == ["p 777 0:0", "p/s 777 0:0", "p/s/f 777 0:0"])
    #expect(shown(try place(folder, "d", at: "/p/s", chmod: "0700")) == ["p 700 0:0", "p/s 700 0:0", "p/s/f 700 0:0"])
    #expect(shown(try place(folder, "d", at: "/p", chmod: "u+x,go=")) == ["p 755 0:0", "p/f 700 0:0"])
  }

  /// What `ADD` unpacks takes the place of what is there.
  @Test func archivesReplace() throws {
    let (archive, image) = (Folder(), Folder())
    archive.write("file/in", "x")
    archive.write("folder", "x")
    image.write("file", "")
    image.write("folder/a/b", "")
    let entries = try place(archive, "/", at: "/", image: image, onTheWay: [])
    #expect(entries.map(\.path) == ["file", "file/in", "folder"])
    #expect(throws: BuildError.self) { try place(archive, "/", at: "/", image: image) }
    // A folder on the way to a member that is a file there cannot be passed.
    #expect(throws: BuildError.self) { try place(archive, "/", at: "/", image: image, onTheWay: ["file"]) }
  }

  /// A folder that is no member of the archive is the one that is there, also behind a link; a member replaces the link.
  @Test func archivesFollowLinks() throws {
    let (archive, image) = (Folder(), Folder())
    archive.write("lib/x/f", "x")
    image.write("usr/lib/x/g", "")
    image.link("lib", to: "usr/lib")
    let paths = try place(archive, "/", at: "/", image: image, onTheWay: ["lib", "lib/x"]).map(\.path)
    #expect(paths == ["usr/lib/x/f"])
    #expect(
      try place(archive, "/", at: "/", image: image, onTheWay: ["lib"]).map(\.path) == ["usr/lib/x", "usr/lib/x/f"])
    #expect(try place(archive, "/", at: "/", image: image, onTheWay: []).map(\.path) == ["lib", "lib/x", "lib/x/f"])
    #expect(
      try place(archive, "/", at: "/n", image: image, onTheWay: ["lib", "lib/x"]).map(\.path)
        == ["n", "n/lib", "n/lib/x", "n/lib/x/f"])
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
    #expect(try users.process("node:none") == .init(uid: 1000, gid: 3000, groups: [3000], home: "/home/node"))
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
