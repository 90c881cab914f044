import Glibc
import LinuxSystem
import OCI
import TestKit
import Testing

@testable import Layers

/// Archives that `ADD` unpacks: names are understood below the target, as if it were the root of a file system.
@Suite(.enabled(if: geteuid() == 0)) struct ArchiveExtractorTests {
  private let folder = TemporaryFolder()

  /// The files and links that an archive makes, with the folders that are members.
  private func extract(_ build: (inout TarBuilder) -> Void) throws -> (files: [String], folders: Set<String>) {
    var tar = TarBuilder()
    build(&tar)
    let archive = try folder.write(tar.finish(), "a.tar")
    let root = "\(folder.path)/root"
    if access(root, F_OK) == 0 { try Directory.removeTree(root) }
    try Directory.create(root)
    #expect(ArchiveExtractor.isArchive(archive))
    let folders = try ArchiveExtractor.extract(archive, into: root, label: "a")
    var files: [String] = []
    func walk(_ prefix: String) throws {
      for name in try Directory.list("\(root)/\(prefix)").sorted() {
        let path = prefix + name
        var status = stat()
        #expect(lstat("\(root)/\(path)", &status) == 0)
        if status.st_mode & S_IFMT == S_IFDIR { try walk(path + "/") } else { files.append(path) }
      }
    }
    try walk("")
    // Nothing beside it.
    #expect(try Directory.list(folder.path).sorted() == ["a.tar", "root"])
    return (files, folders)
  }

  @Test func namesStayBelow() throws {
    #expect(try extract { $0.file("a/../b", "x") }.files == ["b"])
    #expect(try extract { $0.file("/abs/f", "x") }.files == ["abs/f"])
    #expect(try extract { $0.file("/../../abs/f", "x") }.files == ["abs/f"])
    #expect(try extract { $0.file("./a//b/./c", "x") }.files == ["a/b/c"])
    for climbing in ["../f", "a/../../f", ".."] {
      let error = #expect(throws: OCIError.self) { try extract { $0.file(climbing, "x") } }
      #expect(error?.code == .unsafePath)
    }
  }

  @Test(arguments: ["..", "../../..", "/", "/etc/..", ".", "../root"]) func linksStayBelow(target: String) throws {
    let found = try extract { tar in
      tar.header("s", type: "2", target: target)
      tar.file("s/etc/my", "x")
    }
    #expect(found.files.contains { $0.hasSuffix("etc/my") } && found.files.contains("s"))
    #expect(access("/etc/my", F_OK) != 0)
  }

  @Test func linksToFoldersAreFollowed() throws {
    let found = try extract { tar in
      tar.folder("usr/")
      tar.header("lib", type: "2", target: "/usr/lib")
      tar.file("lib/a", "x")
      tar.header("hard", type: "1", target: "lib/a")
      // Now it is a folder, and what comes goes there.
      tar.folder("lib/")
      tar.file("lib/b", "x")
    }
    #expect(found.files == ["hard", "lib/b", "usr/lib/a"])
    #expect(found.folders == ["usr", "lib"])
  }

  @Test func aLinkThatTurnsIsRefused() throws {
    #expect(throws: OCIError.self) {
      try extract { tar in
        tar.header("a", type: "2", target: "b")
        tar.header("b", type: "2", target: "a")
        tar.file("a/f", "x")
      }
    }
  }

  @Test func membersWithoutAName() throws {
    let found = try extract { tar in
      tar.folder("")
      tar.file("", "ignored")
      tar.file("f", "x")
    }
    #expect(found.files == ["f"] && found.folders.isEmpty)
    #expect(
      try extract {
        $0.folder("./"); $0.file("./f", "x")
      }.files == ["f"])
  }

  /// A layer of an image is as strict as before.
  @Test func layersAreStrict() throws {
    for name in ["/abs/f", "a/../b", ""] {
      var tar = TarBuilder()
      tar.file(name, "x")
      let root = "\(folder.path)/strict"
      try Directory.create(root)
      var extractor = try LayerExtractor(root: root, label: "layer")
      #expect(throws: OCIError.self) { try extractor.extract(MemorySource(tar.finish()), limits: ImageLimits()) }
    }
  }

  /// Any names and targets, in any order: nothing comes to be beside the root, and nothing crashes.
  @Test func anyNames() throws {
    var state: UInt64 = 7
    func random(_ count: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(count))
    }
    let parts = ["a", "b", "..", ".", "", "/", "a\u{301}", ".wh.a", ".wh..wh..opq", "etc"]
    func path() -> String { (0..<(1 + random(5))).map { _ in parts[random(parts.count)] }.joined(separator: "/") }
    for round in 0..<400 {
      var tar = TarBuilder()
      for _ in 0..<8 {
        switch random(5) {
        case 0: tar.folder(path() + "/")
        case 1: tar.header(path(), type: "2", target: path())
        case 2: tar.header(path(), type: "1", target: path())
        default: tar.file(path(), "x")
        }
      }
      let outer = "\(folder.path)/\(round)"
      try Directory.create("\(outer)/root")
      var extractor = try LayerExtractor(root: "\(outer)/root", label: "any", names: .contained)
      do { try extractor.extract(MemorySource(tar.finish()), limits: ImageLimits()) } catch {}
      #expect(try Directory.list(outer) == ["root"], "round \(round)")
    }
  }
}
