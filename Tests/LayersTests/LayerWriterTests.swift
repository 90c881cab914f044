import Glibc
import LinuxSystem
import OCI
import TestKit
import Testing

@testable import Layers

@Suite struct LayerWriterTests {
  private let folder = TemporaryFolder()

  private func make(_ name: String) throws -> String {
    try Directory.create("\(folder.path)/\(name)")
    return "\(folder.path)/\(name)"
  }

  /// A folder with a bit of everything; entries for all of it.
  private func context() throws -> (tree: SourceTree, entries: [LayerEntry]) {
    let root = try make("context/sub")
    _ = try folder.write(noise(700_000, seed: 1), "context/large")
    _ = try folder.write(Array("#!/bin/sh\n".utf8), "context/run.sh")
    _ = try folder.write([], "context/sub/empty")
    #expect(chmod("\(folder.path)/context/run.sh", 0o4755) == 0)
    #expect(symlink("../../../../etc/passwd", "\(root)/link") == 0)
    let tree = try SourceTree("\(folder.path)/context")
    return (
      tree,
      [
        LayerEntry(path: "app/sub/link", content: .symbolicLink(target: try tree.target("sub/link"))),
        LayerEntry(path: "app/run.sh", content: .file(tree, path: "run.sh"), owner: 10, group: 20),
        LayerEntry(path: "app/sub", content: .directory, mode: 0o700, modified: FileTime(seconds: 5)),
        LayerEntry(path: "app/large", content: .file(tree, path: "large"), mode: 0o600, modified: FileTime(seconds: 9)),
        LayerEntry(path: "app/sub/empty", content: .file(tree, path: "sub/empty"), modified: FileTime(seconds: 1)),
        LayerEntry(path: "app/again.sh", content: .hardLink(target: "app/run.sh")),
        LayerEntry(path: "app/config", content: .bytes(Array("x=1".utf8)), mode: 0o640),
      ]
    )
  }

  @Test func writesEntriesInOrderWithTheirParents() throws {
    let (_, entries) = try context()
    let bytes = try written(.entries(entries, lowers: nil))
    let members = try Member.all(bytes)
    #expect(
      members.map(\.entry.path) == [
        "app/", "app/config", "app/large", "app/run.sh", "app/sub/", "app/sub/empty", "app/sub/link", "app/again.sh",
      ])
    #expect(members[0].entry.mode == 0o755)
    #expect(members[1].content == Array("x=1".utf8))
    #expect(members[2].content == noise(700_000, seed: 1))
    #expect(members[2].entry.mode == 0o600)
    #expect(members[2].entry.modified == 9)
    #expect(members[3].entry.mode == 0o4755)
    #expect(members[3].entry.owner == 10)
    #expect(members[3].entry.group == 20)
    #expect(members[4].entry.mode == 0o700)
    // The order in which they are given does not matter.
    for seed in 0..<5 {
      var random = SeededGenerator(seed: UInt64(seed))
      #expect(try written(.entries(entries.shuffled(using: &random), lowers: nil)) == bytes)
    }
  }

  @Test(arguments: [Compression.gzip, .zstd])
  func isTheSameForAnyNumberOfThreads(compression: Compression) throws {
    let (_, entries) = try context()
    func layer(_ threads: Int) throws -> [UInt8] {
      try written(.entries(entries, lowers: nil)) {
        $0.compression = compression
        $0.threads = threads
      }
    }
    let one = try layer(1)
    #expect(try layer(2) == one)
    #expect(try layer(5) == one)
    #expect(try decompressed(one) == (try written(.entries(entries, lowers: nil))))
  }

  @Test func theLastOfSeveralEntriesCounts() throws {
    let entries = [
      LayerEntry(path: "a", content: .bytes([1])), LayerEntry(path: "b", content: .bytes([2])),
      LayerEntry(path: "./a", content: .bytes([3])), LayerEntry(path: "d/e", content: .bytes([])),
      LayerEntry(path: "d", content: .directory, mode: 0o700),
    ]
    let members = try Member.all(try written(.entries(entries, lowers: nil)))
    #expect(members.map(\.entry.path) == ["a", "b", "d/", "d/e"])
    #expect(members[0].content == [3])
    #expect(members[2].entry.mode == 0o700)
  }

  @Test func whatHidesComesFirst() throws {
    let entries = [
      LayerEntry(path: "d/a", content: .bytes([])), LayerEntry(path: "d/!", content: .bytes([])),
      LayerEntry(path: "d", content: .opaque), LayerEntry(path: "d/gone", content: .whiteout),
      LayerEntry(path: "d.txt", content: .bytes([])), LayerEntry(path: "old", content: .whiteout),
    ]
    #expect(
      try Member.all(try written(.entries(entries, lowers: nil))).map(\.entry.path) == [
        ".wh.old", "d/", "d/.wh..wh..opq", "d/.wh.gone", "d/!", "d/a", "d.txt",
      ])
  }

  @Test func timesAreBounded() throws {
    let entries = [
      LayerEntry(path: "new", content: .bytes([]), modified: FileTime(seconds: 2_000_000_000, nanoseconds: 5)),
      LayerEntry(path: "old", content: .bytes([]), modified: FileTime(seconds: 1_000, nanoseconds: 7)),
    ]
    func times(_ change: (inout LayerOptions) -> Void) throws -> [FileTime] {
      try Member.all(try written(.entries(entries, lowers: nil), change)).map {
        FileTime(seconds: $0.entry.modified, nanoseconds: $0.entry.modifiedNanoseconds)
      }
    }
    #expect(try times { $0.timeMax = 1_500_000_000 } == [FileTime(seconds: 1_500_000_000), FileTime(seconds: 1_000)])
    #expect(
      try times { $0.keepsFractions = true } == [
        FileTime(seconds: 2_000_000_000, nanoseconds: 5), FileTime(seconds: 1_000, nanoseconds: 7),
      ])
  }

  @Test func badEntriesAreRefused() throws {
    let tree = try SourceTree(folder.path)
    let bad: [(LayerEntry, OCIError.Code)] = [
      (LayerEntry(path: "../a", content: .directory), .unsafePath),
      (LayerEntry(path: "/etc/passwd", content: .directory), .unsafePath),
      (LayerEntry(path: "a/../../b", content: .directory), .unsafePath),
      (LayerEntry(path: "a/.wh.b", content: .bytes([])), .invalidArchive),
      (LayerEntry(path: ".wh..wh..opq/x", content: .bytes([])), .invalidArchive),
      (LayerEntry(path: "", content: .bytes([])), .invalidArchive),
      (LayerEntry(path: "a\u{0}", content: .bytes([])), .invalidArchive),
      (LayerEntry(path: String(repeating: "n", count: 256), content: .bytes([])), .invalidArchive),
      (LayerEntry(path: "null", content: .characterDevice(major: 1, minor: 3)), .unsupported),
      (LayerEntry(path: "sda", content: .blockDevice(major: 8, minor: 0)), .unsupported),
      (LayerEntry(path: "h", content: .hardLink(target: "../../etc/shadow")), .unsafePath),
      (LayerEntry(path: "h", content: .hardLink(target: "elsewhere")), .invalidArchive),
      (LayerEntry(path: "f", content: .file(tree, path: "nowhere")), .changed),
    ]
    for (entry, code) in bad {
      let error = #expect(throws: OCIError.self) { try written(.entries([entry], lowers: nil)) }
      #expect(error?.code == code, "\(entry.path): \(error?.message ?? "")")
    }
    let devices = try written(.entries([bad[8].0], lowers: nil)) { $0.allowsDevices = true }
    #expect(try Member.all(devices)[0].entry.deviceMinor == 3)
    let limited = #expect(throws: OCIError.self) {
      try written(.entries([LayerEntry(path: "a/b", content: .bytes([]))], lowers: nil)) { $0.entriesMax = 1 }
    }
    #expect(limited?.code == .limitExceeded)
    let large = #expect(throws: OCIError.self) {
      try written(.entries([LayerEntry(path: "a", content: .bytes([1]))], lowers: nil)) { $0.uncompressedMax = 1000 }
    }
    #expect(large?.code == .limitExceeded)
  }

  // MARK: A context that changes, and one that wants to get out

  @Test func nothingOutsideTheTreeIsRead() throws {
    _ = try make("outside")
    _ = try folder.write(Array("secret".utf8), "outside/file")
    let root = try make("inside")
    #expect(symlink("../outside", "\(root)/folder") == 0)
    #expect(symlink("\(folder.path)/outside", "\(root)/absolute") == 0)
    #expect(symlink("../outside/file", "\(root)/file") == 0)
    #expect(mkfifo("\(root)/pipe", 0o644) == 0)
    let tree = try SourceTree(root)
    for path in ["folder/file", "absolute/file", "file", "../outside/file", "pipe"] {
      let error = #expect(throws: OCIError.self, "\(path)") {
        try written(.entries([LayerEntry(path: "x", content: .file(tree, path: path))], lowers: nil))
      }
      #expect(error?.code == .changed, "\(path): \(error?.message ?? "")")
    }
    // A link inside the tree is followed on the way, with the tree as its root.
    try Directory.create("\(root)/real")
    _ = try folder.write([1], "inside/real/f")
    #expect(symlink("/real", "\(root)/alias") == 0)
    let members = try Member.all(
      try written(.entries([LayerEntry(path: "x", content: .file(tree, path: "alias/f"))], lowers: nil)))
    #expect(members[0].content == [1])
  }

  /// Changes a file when the first bytes of the layer are written.
  private final class Meddler: ByteSink {
    private var action: (() -> Void)?
    init(_ action: @escaping () -> Void) { self.action = action }
    func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
      action?()
      action = nil
    }
  }

  @Test(arguments: ["shorter", "longer", "rewritten", "touched"])
  func aFileThatChangesIsAnError(how: String) throws {
    let path = try folder.write([UInt8](repeating: 1, count: 2 << 20), "file")
    let tree = try SourceTree(folder.path)
    var options = LayerOptions()
    options.compression = .none
    let meddler = Meddler {
      let fd = open(path, O_WRONLY | O_CLOEXEC)
      switch how {
      case "shorter": _ = ftruncate(fd, 1 << 20)
      case "longer": _ = ftruncate(fd, 3 << 20)
      case "rewritten": _ = pwrite(fd, "x", 1, 0)
      default: _ = futimens(fd, [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)])
      }
      _ = close(fd)
    }
    let error = #expect(throws: OCIError.self) {
      try LayerWriter.write(
        .entries([LayerEntry(path: "f", content: .file(tree, path: "file"))], lowers: nil), to: meddler,
        options: options)
    }
    #expect(error?.code == .changed)
    #expect(error?.message.contains(path) == true)
    if how == "shorter" { #expect(error?.message.contains("1048576 of 2097152 bytes") == true) }
  }

  @Test func aFileThatChangedBeforeIsAnError() throws {
    _ = try folder.write([1], "file")
    let tree = try SourceTree(folder.path)
    let status = try #require(try tree.status("file"))
    let entry = LayerEntry(path: "f", content: .file(tree, path: "file", expected: status))
    _ = try written(.entries([entry], lowers: nil))
    _ = try folder.write([1, 2], "file")
    let error = #expect(throws: OCIError.self) { try written(.entries([entry], lowers: nil)) }
    #expect(error?.code == .changed)
  }

  // MARK: Round trip

  @Test(.enabled(if: isRoot))
  func unpacksToTheSameTree() throws {
    let (_, entries) = try context()
    try setAttribute("\(folder.path)/context/large", "user.note", "kept")
    // CAP_NET_BIND_SERVICE, permitted and effective (linux/capability.h, VFS_CAP_REVISION_2).
    let capability: [UInt8] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    try DirectoryTree("\(folder.path)/context").setExtendedAttribute(
      "run.sh", name: "security.capability", value: capability)
    let bytes = try written(.entries(entries, lowers: nil)) { $0.compression = .zstd }
    let target = try make("target")
    var extractor = try LayerExtractor(root: target, label: "layer")
    try extractor.extract(MemorySource(try decompressed(bytes)), limits: ImageLimits())
    let tree = try SourceTree(target)
    #expect(try DurableFile.read("\(target)/app/large", limit: 1 << 20) == noise(700_000, seed: 1))
    #expect(try tree.open("app/large").attribute("user.note") == Array("kept".utf8))
    #expect(try tree.open("app/run.sh").attribute("security.capability") == capability)
    let script = try #require(try tree.status("app/run.sh"))
    #expect(script.mode == 0o4755 && script.owner == 10 && script.group == 20 && script.links == 2)
    #expect(try tree.status("app/again.sh")?.inode == script.inode)
    #expect(try tree.status("app/sub")?.modified == FileTime(seconds: 5))
    #expect(try tree.target("app/sub/link") == "../../../../etc/passwd")
    // And what was unpacked, taken as an upper directory, is the same tree again.
    let second = try Member.all(try written(.upper(tree, lowers: nil)))
    let first = try Member.all(try decompressed(bytes))
    #expect(Set(second.map(\.entry.path)) == Set(first.map(\.entry.path)))
    // Of the two names of one file another one is the first.
    #expect(second.first { $0.entry.kind == .hardLink }?.entry.target == "app/again.sh")
    for member in first where !member.entry.path.hasSuffix(".sh") { #expect(second.contains(member)) }
  }
}
