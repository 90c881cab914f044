import LinuxSystem
import OCI
import TestKit
import Testing

@testable import Layers

/// Parsers of what comes from outside: whatever the bytes, they end, within their limits, with a value or an error.
@Suite struct FuzzTests {
  private func archive() throws -> [UInt8] {
    var tar = TarBuilder()
    tar.folder("etc/")
    tar.pax([("path", "a/long/name"), ("mtime", "1.5"), ("SCHILY.xattr.user.a", "b"), ("size", "3")])
    tar.file("short", "abc")
    tar.longName(String(repeating: "n", count: 150))
    tar.file("x", [UInt8](repeating: 1, count: 600))
    tar.header("link", type: "2", target: "x")
    tar.header("etc/.wh.gone")
    return tar.finish()
  }

  /// Reads an archive to its end, or to its first error, and says how many bytes it gave.
  private func read(_ bytes: [UInt8]) -> (entries: Int, bytes: Int) {
    var reader = TarReader(MemorySource(bytes), label: "fuzz", entriesMax: 1000)
    var (entries, count) = (0, 0)
    do {
      while let entry = try reader.next() {
        entries += 1
        #expect(entry.size >= 0 && !entry.path.isEmpty && entry.mode <= 0o7777)
        try reader.forEachPiece { count += $0.count }
      }
    } catch {
      #expect(!error.message.isEmpty)
    }
    return (entries, count)
  }

  @Test func tar() throws {
    let good = try archive()
    #expect(read(good).entries == 5)
    for seed in 0..<1500 {
      var random = SeededGenerator(seed: UInt64(seed))
      let bytes = random.mutated(good)
      let result = read(bytes)
      // It cannot give more than it got.
      #expect(result.bytes <= bytes.count && result.entries <= bytes.count / 512 + 1, "seed \(seed)")
    }
    for seed in 0..<100 {
      var random = SeededGenerator(seed: UInt64(seed))
      _ = read((0..<2048).map { _ in UInt8.random(in: 0...255, using: &random) })
    }
  }

  /// With the checksum made right again the parser gets to see the damage.
  @Test func tarHeaders() throws {
    let good = try archive()
    for seed in 0..<1500 {
      var random = SeededGenerator(seed: UInt64(seed))
      var bytes = good
      let block = Int.random(in: 0..<bytes.count / 512, using: &random) * 512
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        bytes[block + Int.random(in: 0..<512, using: &random)] =
          [0, 0x20, 0x30, 0x37, 0x38, 0x80, 0xBF, 0xC0, 0xFF].randomElement(using: &random)!
      }
      for index in 148..<156 { bytes[block + index] = 0x20 }
      let sum = bytes[block..<block + 512].reduce(0) { $0 + Int($1) }
      let digits = String(sum, radix: 8)
      let text = String(repeating: "0", count: 6 - digits.utf8.count) + digits + "\u{0} "
      for (index, byte) in text.utf8.enumerated() { bytes[block + 148 + index] = byte }
      #expect(read(bytes).bytes <= bytes.count, "seed \(seed)")
    }
  }

  @Test(arguments: [Compression.gzip, .zstd])
  func compressedData(compression: Compression) throws {
    let sink = MemorySink()
    let writer = try CompressionWriter(compression, threads: 1, to: sink)
    let plain = noise(5000, seed: 1)
    try writer.write(plain)
    try writer.finish()
    for seed in 0..<500 {
      var random = SeededGenerator(seed: UInt64(seed))
      let bytes = random.mutated(sink.bytes)
      // Damage is found, or it did no harm: 32 bits of checksum do not let it through by chance here.
      if let result = try? decompressed(bytes), Compression(magic: bytes.prefix(4)) == compression {
        #expect(result == plain || result.isEmpty || bytes.count != sink.bytes.count, "seed \(seed)")
      }
    }
  }

  /// To Swift "/" and a combining mark are one character, to the kernel they are not.
  @Test func slashesBeforeCombiningMarks() throws {
    for path in ["../\u{301}x", "a/\u{308}/../../\u{301}", "/\u{301}etc"] {
      #expect(throws: OCIError.self) { try LayerExtractor.clean(path, label: "test") }
      #expect(throws: OCIError.self) {
        try written(.entries([LayerEntry(path: path, content: .directory)], lowers: nil))
      }
    }
    #expect(try LayerExtractor.clean("a/./\u{301}x//b", label: "test") == "a/\u{301}x/b")
    #expect(throws: OCIError.self) {
      try written(.entries([LayerEntry(path: "a/.wh.\u{301}x", content: .bytes([]))], lowers: nil))
    }
  }

  @Test func wholeLayers() throws {
    let folder = TemporaryFolder()
    guard isRoot else { return }
    var tar = TarBuilder()
    tar.folder("d/")
    tar.header("d/up", type: "2", target: "../..")
    tar.file("d/up/x", "escape")
    tar.header("d/hard", type: "1", target: "d/f")
    tar.file("d/.wh.f", "")
    tar.file("d/f", "content")
    let good = tar.finish()
    for seed in 0..<150 {
      var random = SeededGenerator(seed: UInt64(seed))
      let root = "\(folder.path)/\(seed)/root"
      try Directory.create(root)
      do {
        var extractor = try LayerExtractor(root: root, label: "fuzz")
        var bytes = random.mutated(good)
        for at in stride(from: 0, to: bytes.count - 511, by: 512)
        where bytes[at + 257..<at + 262].elementsEqual("ustar".utf8) {
          for index in 148..<156 { bytes[at + index] = 0x20 }
          let digits = String(bytes[at..<at + 512].reduce(0) { $0 + Int($1) }, radix: 8)
          let text = String(repeating: "0", count: 6 - digits.utf8.count) + digits + "\u{0} "
          for (index, byte) in text.utf8.enumerated() { bytes[at + 148 + index] = byte }
        }
        try extractor.extract(MemorySource(bytes), limits: ImageLimits())
      } catch {}
      // Nothing beside the root.
      #expect(try Directory.list("\(folder.path)/\(seed)") == ["root"], "seed \(seed)")
    }
  }
}
