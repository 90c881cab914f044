import Dockerfile
import Glibc
import Layers
import LinuxSystem
import TestKit
import Testing

@testable import ImageBuilder

/// A small file system in memory: what copying is to come to.
private struct Model: Equatable {
  enum Node: Equatable {
    case folder
    case file(String)
    case link(String)
  }
  struct Conflict: Error {}

  var nodes: [String: Node] = [:]

  /// Makes a folder with those above it.
  mutating func makeFolder(_ path: String) throws {
    if path.isEmpty { return }
    try makeFolder(FilePath.parent(path))
    switch nodes[path] {
    case nil: nodes[path] = .folder
    case .folder: break
    default: throw Conflict()
    }
  }

  /// Where a path leads to when the links in it are followed.
  func resolve(_ path: String) throws -> String {
    var done = ""
    var rest = Array(path.split(separator: "/").map(String.init).reversed())
    var links = 0
    while let part = rest.popLast() {
      if part == ".." {
        done = FilePath.parent(done)
        continue
      }
      let next = FilePath.join(done, part)
      if case .link(let target) = nodes[next] {
        links += 1
        guard links <= 40 else { throw Conflict() }
        if target.hasPrefix("/") { done = "" }
        rest += target.split(separator: "/").map(String.init).reversed()
      } else {
        done = next
      }
    }
    return done
  }

  /// `COPY source destination`, where `source` is what is at `path` of another file system.
  mutating func copy(_ source: Model, _ path: String, to destination: String) throws {
    var target = try resolve(FilePath.relative(destination))
    if path.isEmpty || source.nodes[path] == .folder {
      try makeFolder(target)
      let prefix = path.isEmpty ? "" : path + "/"
      for (name, node) in source.nodes.sorted(by: { $0.key < $1.key }) where name.hasPrefix(prefix) && name != path {
        try put(node, at: FilePath.join(target, String(name.dropFirst(prefix.count))))
      }
      return
    }
    if destination.hasSuffix("/") || target.isEmpty || nodes[target] == .folder {
      try makeFolder(target)
      target = FilePath.join(target, FilePath.name(path))
    }
    try put(source.nodes[path]!, at: target)
  }

  /// Nothing takes the place of something of another kind, where one of the two is a folder.
  private mutating func put(_ node: Node, at path: String) throws {
    if let there = nodes[path], (there == .folder) != (node == .folder) { throw Conflict() }
    try makeFolder(FilePath.parent(path))
    nodes[path] = node
  }

  /// As files.
  func write(to folder: Folder) {
    for (path, node) in nodes.sorted(by: { $0.key < $1.key }) {
      switch node {
      case .folder: mkdir("\(folder.path)/\(path)", 0o755)
      case .file(let content): folder.write(path, content)
      case .link(let target): folder.link(path, to: target)
      }
    }
  }

  /// What a layer makes of it.
  mutating func apply(_ entries: [LayerEntry]) throws {
    for entry in entries {
      switch entry.content {
      case .directory:
        if nodes[entry.path] != .folder { nodes = nodes.filter { !$0.key.hasPrefix(entry.path + "/") } }
        nodes[entry.path] = .folder
      case .file(let tree, let path, _):
        nodes[entry.path] = .file(String(decoding: try tree.open(path).contents(limit: 1000), as: UTF8.self))
      case .bytes(let bytes): nodes[entry.path] = .file(String(decoding: bytes, as: UTF8.self))
      case .symbolicLink(let target): nodes[entry.path] = .link(target)
      default: throw Conflict()
      }
    }
  }
}

@Suite struct PlacementModelTests {
  private static let names = ["a", "b", "\u{e4}\u{f6}", "e\u{301}x", "c d", "\u{1f600}"]

  private func tree(_ random: inout SeededGenerator, links: Bool, below: Int) -> Model {
    var model = Model()
    for number in 0..<Int.random(in: 0...8, using: &random) {
      let depth = Int.random(in: 1...below, using: &random)
      let path = (0..<depth).map { _ in Self.names.randomElement(using: &random)! }.joined(separator: "/")
      guard (try? model.makeFolder(FilePath.parent(path))) != nil, model.nodes[path] == nil else { continue }
      switch Int.random(in: 0..<(links ? 4 : 3), using: &random) {
      case 0: model.nodes[path] = .folder
      case 3: model.nodes[path] = .link(["a", "/b", "../a", "/c d/a", "../../b"].randomElement(using: &random)!)
      default: model.nodes[path] = .file("\(number)")
      }
    }
    return model
  }

  /// What a copy puts into a layer makes of the image what copying the files would make of it, and is refused where that
  /// would be.
  @Test(arguments: 0..<60 as Range<UInt64>) func copiesAreWhatCopyingIs(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let (source, image) = (tree(&random, links: false, below: 3), tree(&random, links: true, below: 2))
    let (sourceFolder, imageFolder) = (Folder(), Folder())
    source.write(to: sourceFolder)
    image.write(to: imageFolder)
    let lower = try LowerTree([imageFolder.path])
    let files = try sourceFolder.tree()
    for _ in 0..<6 {
      let path = ([""] + source.nodes.keys.sorted()).randomElement(using: &random)!
      let destination =
        "/"
        + (0..<Int.random(in: 0...2, using: &random)).map { _ in Self.names.randomElement(using: &random)! }
        .joined(separator: "/") + ["", "/"].randomElement(using: &random)!
      var expected: Model? = image
      do { try expected?.copy(source, path, to: destination) } catch { expected = nil }
      var actual: Model? = image
      do {
        let selections = try Selector(tree: files, treeIndex: 0, excluded: nil, keepsParents: false).select(
          path.isEmpty ? "." : path)
        var placement = Placement(destination: lower, owner: nil, chmod: nil, now: 1, epoch: nil)
        try actual?.apply(try placement.place(selections, sources: CopySources(trees: [files]), at: destination))
      } catch let error as BuildError {
        // A circle of links is the image's fault.
        #expect(error.code == .invalid || error.message.contains("symbolic links"), "\(error)")
        actual = nil
      }
      #expect(actual == expected, "\(path) to \(destination) with \(source.nodes) on \(image.nodes)")
    }
  }

  /// Several sources of one instruction, one after the other: each sees what those before it have made.
  @Test(arguments: 0..<30 as Range<UInt64>) func severalSources(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed &+ 1000)
    let (source, image) = (tree(&random, links: false, below: 2), tree(&random, links: false, below: 2))
    let (sourceFolder, imageFolder) = (Folder(), Folder())
    source.write(to: sourceFolder)
    image.write(to: imageFolder)
    let paths = source.nodes.keys.sorted().shuffled(using: &random).prefix(4)
    let destination = "/" + Self.names.randomElement(using: &random)! + "/"
    var expected: Model? = image
    for path in paths { do { try expected?.copy(source, path, to: destination) } catch { expected = nil } }
    var actual: Model? = image
    let files = try sourceFolder.tree()
    do {
      let selector = Selector(tree: files, treeIndex: 0, excluded: nil, keepsParents: false)
      let selections = try paths.flatMap { try selector.select($0) }
      var placement = Placement(
        destination: try LowerTree([imageFolder.path]), owner: nil, chmod: nil, now: 1, epoch: nil)
      try actual?.apply(try placement.place(selections, sources: CopySources(trees: [files]), at: destination))
    } catch is BuildError {
      actual = nil
    }
    #expect(actual == expected, "\(paths) to \(destination) with \(source.nodes) on \(image.nodes)")
  }
}

/// Whole builds, whose layers are read.
@Suite(.timeLimit(.minutes(2))) struct CopyBuildTests {
  private let workshop: Workshop

  init() throws { workshop = try Workshop() }

  private func last(_ dockerfile: String, _ change: (inout BuildRequest) -> Void = { _ in }) async throws -> [Member] {
    let result = try await workshop.build(dockerfile, change)
    return try #require(try workshop.layers(result.digest).last)
  }

  private func failure(_ dockerfile: String) async -> BuildError? {
    do throws(BuildError) { try await workshop.build(dockerfile) } catch { return error }
    return nil
  }

  private func names(_ members: [Member]) -> [String] {
    members.map { $0.entry.path.hasSuffix("/") ? String($0.entry.path.dropLast()) : $0.entry.path }
  }

  /// Folders whose names are longer in bytes than in characters.
  @Test func namesOfAnyLanguage() async throws {
    for name in ["\u{e4}\u{f6}\u{fc}/\u{df}", "\u{65e5}\u{672c}/\u{8a9e}/x", "e\u{301}/e\u{301}", "\u{1f600}/\u{301}y"]
    {
      workshop.write("d/\(name)", name)
    }
    let expected: Set<String> = [
      "o", "o/\u{e4}\u{f6}\u{fc}", "o/\u{e4}\u{f6}\u{fc}/\u{df}", "o/\u{65e5}\u{672c}", "o/\u{65e5}\u{672c}/\u{8a9e}",
      "o/\u{65e5}\u{672c}/\u{8a9e}/x", "o/e\u{301}", "o/e\u{301}/e\u{301}", "o/\u{1f600}", "o/\u{1f600}/\u{301}y",
    ]
    #expect(
      Set(names(try await last("FROM scratch\nCOPY d /o\n")).map { Array($0.utf8) })
        == Set(expected.map { Array($0.utf8) }))
    #expect(
      names(try await last("FROM scratch\nCOPY d/\u{65e5}\u{672c} /o\n")) == ["o", "o/\u{8a9e}", "o/\u{8a9e}/x"])
    #expect(
      names(try await last("FROM scratch\nCOPY --parents d/\u{e4}* /o/\n"))
        == ["o", "o/d", "o/d/\u{e4}\u{f6}\u{fc}", "o/d/\u{e4}\u{f6}\u{fc}/\u{df}"])
    #expect(
      names(try await last("FROM scratch\nCOPY --exclude=\u{8a9e}/x d/\u{65e5}\u{672c} /\u{e9}/\n"))
        == ["\u{e9}", "\u{e9}/\u{8a9e}"])
    #expect(names(try await last("FROM scratch\nCOPY d/\u{1f600}/\u{301}y /\u{301}z\n")) == ["\u{301}z"])
  }

  /// Two forms of one character are two names: both files are there.
  @Test func bothFormsOfOneCharacter() async throws {
    for name in ["\u{e9}", "e\u{301}"] {
      workshop.write("p\(name)", "file \(name.utf8.count)")
      workshop.write("d\(name)/f", "in \(name.utf8.count)")
    }
    for source in ["*", "p* d*", "."] {
      let members = try await last("FROM scratch\nCOPY \(source) /o/\n")
      let files = Dictionary(grouping: members.filter { $0.entry.kind == .file }) { Array($0.entry.path.utf8) }
      let expected = source == "." ? ["p\u{e9}", "pe\u{301}", "d\u{e9}/f", "de\u{301}/f"] : ["p\u{e9}", "pe\u{301}"]
      for path in expected { #expect(files[Array("o/\(path)".utf8)]?.count == 1, "\(path) of \(source)") }
    }
  }

  @Test func modesOwnersAndTimes() async throws {
    workshop.write("d/f", "x", mode: 0o4711)
    workshop.write("d/g", "y", mode: 0o600)
    var times = [timespec(tv_sec: 1_000_000_000, tv_nsec: 999), timespec(tv_sec: 1_100_000_000, tv_nsec: 999_999_999)]
    #expect(utimensat(AT_FDCWD, "\(workshop.folder.path)/context/d/f", &times, 0) == 0)
    func file(_ members: [Member], _ path: String = "o/f") throws -> TarEntry {
      try #require(members.first { $0.entry.path == path }).entry
    }
    let plain = try file(try await last("FROM scratch\nCOPY d /o\n"))
    #expect(plain.mode == 0o4711 && plain.owner == 0 && plain.group == 0)
    // Whole seconds, as everybody has them.
    #expect(plain.modified == 1_100_000_000 && plain.modifiedNanoseconds == 0)
    let owned = try await last("FROM scratch\nCOPY --chown=7:8 --chmod=u+w,go=r d /o\n")
    #expect(try file(owned).owner == 7 && file(owned).group == 8)
    #expect(try file(owned, "o/g").mode == 0o644)
    #expect(try file(try await last("FROM scratch\nCOPY --chown=9 d /o\n")).group == 9)
    #expect(try file(try await last("FROM scratch\nADD --chmod=0123 d /o\n")).mode == 0o123)
    let dated = try await last("FROM scratch\nCOPY d /o\n") { $0.sourceDateEpoch = 42 }
    for member in dated { #expect(member.entry.modified == 42, "\(member.entry.path)") }
    let failed = await failure("FROM scratch\nCOPY --chown=nobody d /o\n")
    #expect(failed != nil)
  }

  /// Two names of one file are two names in the layer, and its content is in it once.
  @Test func namesOfOneFileStayThat() async throws {
    workshop.write("d/one", "content")
    let path = "\(workshop.folder.path)/context/d"
    #expect(link("\(path)/one", "\(path)/two") == 0 && link("\(path)/one", "\(path)/three") == 0)
    let members = try await last("FROM scratch\nCOPY d /o\n")
    #expect(members.filter { $0.entry.kind == .file && $0.content == Array("content".utf8) }.count == 1)
    let links = members.filter { $0.entry.kind == .hardLink }
    let file = try #require(members.first { $0.entry.kind == .file })
    #expect(links.count == 2 && links.allSatisfy { $0.entry.target == file.entry.path })
    // One of them alone is a file.
    #expect(try await last("FROM scratch\nCOPY d/two /x\n").map(\.entry.kind) == [.file])
    // The same file twice in one instruction is still there under both names.
    let twice = try await last("FROM scratch\nCOPY d/one d/two /y/\n")
    #expect(Set(twice.filter { $0.entry.kind != .directory }.map(\.entry.path)) == ["y/one", "y/two"])
  }

  @Test func linksAreCopiedAndNotFollowedInsideAFolder() async throws {
    workshop.write("d/f", "x")
    workshop.folder.link("context/d/link", to: "f")
    workshop.folder.link("context/d/out", to: "/etc/passwd")
    workshop.folder.link("context/d/dangling", to: "nowhere")
    let members = try await last("FROM scratch\nCOPY d /o\n")
    let links = members.filter { $0.entry.kind == .symbolicLink }.map { "\($0.entry.path) \($0.entry.target)" }
    #expect(links == ["o/dangling nowhere", "o/link f", "o/out /etc/passwd"])
    // Named itself, what it leads to is copied, inside the context.
    #expect(try await last("FROM scratch\nCOPY d/link /x\n").map(\.content) == [Array("x".utf8)])
    #expect(await failure("FROM scratch\nCOPY d/out /x\n")?.code == .notFound)
    #expect(await failure("FROM scratch\nCOPY d/dangling /x\n")?.code == .notFound)
  }

  @Test func whatCannotBeInAnImageIsRefused() async throws {
    workshop.write("d/f", "x")
    let path = "\(workshop.folder.path)/context/d"
    #expect(mkfifo("\(path)/pipe", 0o600) == 0)
    var error = await failure("FROM scratch\nCOPY d /o\n")
    #expect(error?.code == .context && error?.message.contains("named pipe") == true)
    // Left out it is in nobody's way.
    workshop.write(".dockerignore", "d/pipe\n")
    #expect(names(try await last("FROM scratch\nCOPY d /o\n")) == ["o", "o/f"])
    workshop.write(".dockerignore", "")
    #expect(names(try await last("FROM scratch\nCOPY --exclude=pipe d /o\n")) == ["o", "o/f"])
    unlink("\(path)/pipe")
    workshop.write("d/.wh.gone", "x")
    error = await failure("FROM scratch\nCOPY d /o\n")
    #expect(error?.message.contains(".wh.") == true)
    unlink("\(path)/.wh.gone")
    let fd = open(path, O_RDONLY | O_DIRECTORY)
    close(openat(fd, [CChar(bitPattern: 0xff), 0], O_WRONLY | O_CREAT, 0o600))
    close(fd)
    error = await failure("FROM scratch\nCOPY d /o\n")
    #expect(error?.code == .context && error?.message.contains("UTF-8") == true)
  }

  /// To the kernel a path ends at a zero, and is no longer than 4095 bytes.
  @Test func pathsThatAreNone() async throws {
    workshop.write("d/f", "x")
    workshop.write("a", "x")
    for text in ["COPY a\u{0}b /x", "COPY a /x\u{0}y", "COPY [\"a\\u0000b\", \"/x\"]", "WORKDIR /x\u{0}y"] {
      #expect(await failure("FROM scratch\n\(text)\n") != nil, "\(text.debugDescription)")
    }
    let long = Array(repeating: String(repeating: "n", count: 200), count: 30).joined(separator: "/")
    #expect(await failure("FROM scratch\nCOPY a /\(long)\n") != nil)
    #expect(await failure("FROM scratch\nCOPY a /\(String(repeating: "n", count: 300))\n") != nil)
  }

  /// Deeper than anybody means it: refused before each folder on the way takes a descriptor and a part of the stack.
  @Test func aContextThatIsTooDeep() async throws {
    var fd = open("\(workshop.folder.path)/context", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    for _ in 0..<600 {
      mkdirat(fd, "dd", 0o755)
      let next = openat(fd, "dd", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      close(fd)
      fd = next
    }
    close(openat(fd, "file", O_WRONLY | O_CREAT, 0o644))
    close(fd)
    let error = await failure("FROM scratch\nCOPY . /o\n")
    #expect(error?.message.contains("too deep") == true, "\(String(describing: error))")
    // Left out it is in nobody's way.
    workshop.write("f", "x")
    workshop.write(".dockerignore", "dd\n.dockerignore\n")
    #expect(names(try await last("FROM scratch\nCOPY . /o\n")) == ["o", "o/f"])
    try Directory.removeTree("\(workshop.folder.path)/context")
  }

  @Test(.enabled(if: geteuid() == 0)) func whereThingsGo() async throws {
    workshop.write("d/f", "x")
    workshop.write("d/e/g", "y")
    workshop.write("a", "z")
    for (text, expected) in [
      ("COPY a /", ["a"]), ("COPY a /b", ["b"]), ("COPY a /b/", ["b", "b/a"]), ("COPY d /", ["e", "e/g", "f"]),
      ("COPY d/e d/f /x/", ["x", "x/f", "x/g"]), ("COPY a ./b", ["b"]), ("COPY a .", ["a"]),
      ("COPY d/*/g /n", ["n"]), ("COPY ./d/../a /q", ["q"]), ("COPY --link d /l", ["l", "l/e", "l/e/g", "l/f"]),
      ("COPY --parents d/e/g /p/", ["p", "p/d", "p/d/e", "p/d/e/g"]),
      ("COPY <<EOF /doc\nhello\nEOF", ["doc"]),
      ("COPY <<one <<two /docs/\n1\none\n2\ntwo", ["docs", "docs/one", "docs/two"]),
    ] {
      #expect(names(try await last("FROM scratch\n\(text)\n")) == expected, "\(text)")
    }
    for text in ["COPY a d /one", "COPY d/* /one", "COPY none /x", "COPY ../none /x"] {
      #expect(await failure("FROM scratch\n\(text)\n") != nil, "\(text)")
    }
    // Into a working directory, and one that is made.
    #expect(names(try await last("FROM scratch\nWORKDIR /w\nWORKDIR v\n")).last == "w/v")
    #expect(names(try await last("FROM scratch\nADD --link a /w/\n")) == ["w", "w/a"])
  }
}

/// `*`, `?`, classes and escapes against a matcher that tries every way.
@Suite struct WildcardModelTests {
  private indirect enum Part { case any, one, scalar(Unicode.Scalar), set([ClosedRange<UInt32>], isNegated: Bool) }

  private func parts(_ random: inout SeededGenerator, _ alphabet: [Unicode.Scalar]) -> (text: String, parts: [Part]) {
    var text = String.UnicodeScalarView()
    var parts: [Part] = []
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      switch Int.random(in: 0..<6, using: &random) {
      case 0:
        text.append("*")
        parts.append(.any)
      case 1:
        text.append("?")
        parts.append(.one)
      case 2:
        let isNegated = Bool.random(using: &random)
        var ranges: [ClosedRange<UInt32>] = []
        text.append("[")
        if isNegated { text.append("^") }
        for _ in 0..<Int.random(in: 1...2, using: &random) {
          let (a, b) = (alphabet.randomElement(using: &random)!, alphabet.randomElement(using: &random)!)
          text.append("\\")
          text.append(a)
          if Bool.random(using: &random) {
            text.append("-")
            text.append("\\")
            text.append(b)
            if a.value <= b.value { ranges.append(a.value...b.value) }
          } else {
            ranges.append(a.value...a.value)
          }
        }
        text.append("]")
        parts.append(.set(ranges, isNegated: isNegated))
      default:
        let scalar = alphabet.randomElement(using: &random)!
        if ["*", "?", "[", "\\"].contains(scalar) || Bool.random(using: &random) { text.append("\\") }
        text.append(scalar)
        parts.append(.scalar(scalar))
      }
    }
    return (String(text), parts)
  }

  private func matches(_ parts: ArraySlice<Part>, _ name: ArraySlice<Unicode.Scalar>) -> Bool {
    guard let part = parts.first else { return name.isEmpty }
    let rest = parts.dropFirst()
    if case .any = part {
      return (0...name.count).contains { matches(rest, name.dropFirst($0)) }
    }
    guard let first = name.first else { return false }
    let isMatch =
      switch part {
      case .any, .one: true
      case .scalar(let scalar): scalar == first
      case .set(let ranges, let isNegated): ranges.contains { $0.contains(first.value) } != isNegated
      }
    return isMatch && matches(rest, name.dropFirst())
  }

  @Test(arguments: 0..<10 as Range<UInt64>) func likeTryingEveryWay(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let alphabet = Array("abc*?[]-^\\\u{e9}\u{301}".unicodeScalars)
    var matched = 0
    for _ in 0..<2000 {
      let (pattern, parts) = parts(&random, alphabet)
      let name = (0..<Int.random(in: 0...6, using: &random)).map { _ in alphabet.randomElement(using: &random)! }
      var text = String.UnicodeScalarView()
      text.append(contentsOf: name)
      let expected = matches(parts[...], name[...])
      if expected { matched += 1 }
      #expect(Wildcard.matches(pattern, String(text)) == expected, "\(pattern) \(String(text))")
    }
    #expect(matched > 50)
  }

  /// Many stars against a name that nearly fits: the time does not explode.
  @Test func manyStarsEnd() {
    let pattern = String(repeating: "*a", count: 200) + "b"
    #expect(Wildcard.matches(pattern, String(repeating: "a", count: 4000)) == false)
  }
}

@Suite struct FilePathBytesTests {
  @Test(arguments: ["a/\u{301}b", "\u{301}", "/\u{301}x/\u{301}", "x/\u{200d}y", "e\u{301}/\u{e9}"])
  func aSlashIsASlash(path: String) {
    let parts = path.utf8.split(separator: UInt8(ascii: "/")).map { Array($0) }
    let clean = FilePath.relative(path)
    #expect(clean.utf8.split(separator: UInt8(ascii: "/")).map { Array($0) } == parts)
    #expect(Array(FilePath.name(clean).utf8) == parts.last)
    #expect(
      FilePath.parent(clean).utf8.split(separator: UInt8(ascii: "/")).map { Array($0) } == Array(parts.dropLast()))
    #expect(Array(FilePath.join(FilePath.parent(clean), FilePath.name(clean)).utf8) == Array(clean.utf8))
    #expect(Array(FilePath.absolute(path, from: "/w").utf8).first == UInt8(ascii: "/"))
    #expect(FilePath.absolute("/\(path)", from: "/w") == "/" + clean)
  }
}

@Suite struct FileTreeTests {
  @Test func namesAreSortedByBytes() throws {
    let folder = Folder()
    let names = ["b", "B", "a-b", "a.b", "a/x", "\u{e9}", "e\u{301}", "Z", "~"]
    for name in names { folder.write(name, "") }
    var found: [FileEntry] = []
    try folder.tree().walk("", into: &found) { _ in false }
    let paths = found.map { Array($0.path.utf8) }
    #expect(paths.count == 10)
    let top = try folder.tree().names(in: "").map { Array($0.utf8) }
    #expect(top == top.sorted { $0.lexicographicallyPrecedes($1) } && top.count == 9)
  }

  /// What is in a folder that is left out is only looked at as far as something in it may be kept.
  @Test func foldersThatAreLeftOutAreNotEntered() throws {
    let folder = Folder()
    for name in ["out/a/b", "in/a", "some/a", "some/b"] { folder.write(name, "") }
    let tree = try folder.tree(ignore: try DockerIgnore(patterns: ["out", "some", "!some/b"]))
    var found: [FileEntry] = []
    try tree.walk("", into: &found) { _ in false }
    #expect(found.map(\.path) == ["in", "in/a", "some", "some/b"])
    #expect(try tree.names(in: "") == ["in", "some"])
    #expect(try tree.names(in: "some") == ["b"])
  }

  @Test(arguments: ["rewritten", "replaced", "removed", "linked", "longer"]) func changesAreNoticed(how: String) throws
  {
    let folder = Folder()
    folder.write("f", "content")
    let tree = try folder.tree()
    let entry = try #require(try tree.entry("f"))
    let path = "\(folder.path)/f"
    switch how {
    case "rewritten":
      folder.write("f", "CONTENT")
      var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 2, tv_nsec: 0)]
      utimensat(AT_FDCWD, path, &times, 0)
    case "replaced":
      folder.write("g", "content")
      rename("\(folder.path)/g", path)
    case "removed": unlink(path)
    case "linked":
      folder.write("g", "content")
      unlink(path)
      folder.link("f", to: "g")
    default: folder.write("f", "content and more")
    }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    defer { buffer.deallocate() }
    let error = #expect(throws: BuildError.self) { try tree.digest(entry, buffer: buffer) }
    #expect(error?.code == .contextChanged)
  }

  @Test func documentsAreFilesInsideTheTree() throws {
    let folder = Folder()
    folder.write("in/f", "text")
    folder.link("in/link", to: "f")
    folder.link("in/out", to: "/etc/passwd")
    #expect(mkfifo("\(folder.path)/in/pipe", 0o600) == 0)
    let tree = try FileTree("\(folder.path)/in", origin: .context, label: "the tree")
    #expect(try tree.document("f", limit: 4) == Array("text".utf8))
    #expect(try tree.document("/../f", limit: 4) == Array("text".utf8))
    #expect(try tree.document("link", limit: 4) == Array("text".utf8))
    #expect(try tree.document("out", limit: 4) == nil && tree.document("none", limit: 4) == nil)
    #expect(throws: BuildError.self) { try tree.document("f", limit: 3) }
    #expect(throws: BuildError.self) { try tree.document("pipe", limit: 3) }
    #expect(throws: BuildError.self) { try tree.document("", limit: 3) }
  }
}
