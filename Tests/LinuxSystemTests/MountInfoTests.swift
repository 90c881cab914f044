import Glibc
import TestKit
import Testing

@testable import LinuxSystem

@Suite struct MountInfoTests {
  /// What the kernel writes for a name (`mangle_path`, fs/seq_file.c; fs/proc_namespace.c).
  private static func escaped(_ name: [UInt8]) -> [UInt8] {
    name.flatMap { byte -> [UInt8] in
      guard [0x20, 0x09, 0x0a, 0x5c, 0x23].contains(byte) else { return [byte] }
      let digits = String(byte, radix: 8)
      return [0x5c] + Array((String(repeating: "0", count: 3 - digits.utf8.count) + digits).utf8)
    }
  }

  /// Every name that a folder can have comes back as it is, whatever bytes it has.
  @Test(arguments: 0..<20 as Range<UInt64>) func namesComeBack(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    // Such as have a meaning in the line, and all others.
    let alphabet = Array(" \t\n\\-#,:/0127".utf8) + (1...255).map { UInt8($0) }
    for _ in 0..<100 {
      let (root, point, source) = (
        random.bytes(1...20, of: alphabet), [0x2f] + random.bytes(0...20, of: alphabet),
        random.bytes(1...9, of: alphabet)
      )
      let tags = (0..<Int.random(in: 0...3, using: &random)).map { "shared:\($0)" }
      var line = Array("7 6 0:5 ".utf8) + Self.escaped(root) + [0x20] + Self.escaped(point) + Array(" rw,relatime".utf8)
      for tag in tags { line += [0x20] + Array(tag.utf8) }
      line += Array(" - fuse.x ".utf8) + Self.escaped(source) + Array(" rw,a=b".utf8)
      let info = try #require(MountInfo(line: line))
      #expect(info.mountPointBytes == point)
      #expect(info.root == String(decoding: root, as: UTF8.self))
      #expect(info.source == String(decoding: source, as: UTF8.self))
      #expect(info.propagation == tags && info.type == "fuse.x" && info.superOptions == ["rw", "a=b"])
      #expect(info.id == 7 && info.parent == 6 && info.options == ["rw", "relatime"])
    }
  }

  @Test func whatIsNoEscapeStays() {
    for (text, expected) in [
      ("\\040", " "), ("\\134", "\\"), ("a\\011b", "a\tb"), ("\\04", "\\04"), ("\\", "\\"), ("\\08x", "\\08x"),
      ("\\777", "\\777"), ("\\400", "\\400"), ("\\+12", "\\+12"), ("\\-01", "\\-01"), ("\\ 12", "\\ 12"),
      ("\\134040", "\\040"), ("\\377", "\u{ff}"),
    ] {
      let expected = text == "\\377" ? [0xff] : Array(expected.utf8)
      #expect(MountInfo.unescape(Array(text.utf8)) == expected, "\(text)")
    }
  }

  /// An empty source is one that some file systems have; a line that is cut is none.
  @Test func oddLines() throws {
    let line = "36 35 98:0 / /a rw master:1 - tmpfs  rw"
    #expect(MountInfo(line: Array(line.utf8))?.source == "")
    #expect(MountInfo(line: Array("36 35 98:0 / /- rw - - - -".utf8))?.type == "-")
    for text in [
      "", " ", "-", "36 35 98:0 / /a rw", "36 35 98:0 / /a rw -", "36 35 98:0 / /a rw - ext4",
      "36 35 98:0 / /a rw - ext4 /dev/x", "x 35 98:0 / /a rw - ext4 /dev/x rw", "36 y 98:0 / /a rw - ext4 /dev/x rw",
      "36 35 98:0 - /a rw ext4 /dev/x rw", "99999999999999999999 35 98:0 / /a rw - ext4 /dev/x rw",
    ] {
      #expect(MountInfo(line: Array(text.utf8)) == nil, "\(text)")
    }
    var whole = Array("36 35 98:0 / /a\\040b rw shared:1 - ext4 /dev/x rw,b".utf8)
    #expect(MountInfo(line: whole) != nil)
    while !whole.isEmpty {
      whole.removeLast()
      if let info = MountInfo(line: whole) { #expect(info.mountPoint == "/a b" && info.type == "ext4") }
    }
  }

  @Test(arguments: [1, 2, 3] as [UInt64]) func anyBytesAreReadOrNot(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let base = Array("36 35 98:0 / /mnt\\040a rw,noatime shared:1 - ext3 /dev/root rw,errors=continue".utf8)
    for _ in 0..<3000 {
      var line = base
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        let at = Int.random(in: 0..<line.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: line[at] = UInt8.random(in: 0...255, using: &random)
        case 1: line.remove(at: at)
        default: line.insert(Array(" -\\0".utf8).randomElement(using: &random)!, at: at)
        }
      }
      guard let info = MountInfo(line: line), info.mountPoint.utf8.elementsEqual(info.mountPointBytes) else { continue }
      #expect(info.isAtOrBelow(info.mountPoint))
    }
  }

  @Test func whatIsAtOrBelow() throws {
    func info(_ point: String) throws -> MountInfo {
      try #require(MountInfo(line: Array("1 1 0:1 / \(point) rw - t s rw".utf8)))
    }
    let mount = try info("/a/b")
    for path in ["/a/b", "/a", "/"] { #expect(mount.isAtOrBelow(path), "\(path)") }
    for path in ["/a/bc", "/a/", "/b", "/a/b/c", "/A"] { #expect(!mount.isAtOrBelow(path), "\(path)") }
    #expect(try info("/").isAtOrBelow("/") && !info("/").isAtOrBelow("/a"))
    #expect(try !info("/ab").isAtOrBelow("/a"))
  }

  /// The kernel's own list: each line is understood.
  @Test func everyMountOfThisProcessIsRead() throws {
    let lines = try DurableFile.read("/proc/self/mountinfo", limit: 64 << 20).split(separator: 0x0a)
    for line in lines { #expect(MountInfo(line: line) != nil, "\(String(decoding: line, as: UTF8.self))") }
    #expect(try Mount.isMountPoint("/proc") && !Mount.isMountPoint("/proc/self"))
  }
}

@Suite struct MountTests {
  private let folder = TestFolder()

  @Test func layersStandOnceWhereTheyAreTopmost() {
    #expect(Mount.distinctLayers(["a", "b", "a", "c", "b", "b"]) == ["a", "b", "c"])
    #expect(Mount.distinctLayers([]) == [])
    // Two forms of one character are two folders.
    #expect(Mount.distinctLayers(["/\u{e9}", "/e\u{301}"]).count == 2)
  }

  @Test(.enabled(if: geteuid() == 0)) func whatIsNotMountedIsAsIfUnmounted() throws {
    try folder.write("x", to: "file")
    for name in ["file", "none", "."] {
      try Mount.unmount("\(folder.path)/\(name)")
      try Mount.unmountTree("\(folder.path)/\(name)")
    }
    #expect(try !Mount.isMountPoint(folder.path) && !Mount.isInMemory("/proc"))
    #expect(!Namespaces.isPinned("\(folder.path)/file") && !Namespaces.isPinned("\(folder.path)/none"))
    #expect(Namespaces.isPinned("/proc/self/ns/net"))
  }
}
