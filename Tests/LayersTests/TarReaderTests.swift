import LinuxSystem
import OCI
import TestKit
import Testing

@testable import Layers

@Suite struct TarReaderTests {
  private func entries(_ bytes: [UInt8]) throws -> [(TarEntry, String)] {
    var reader = TarReader(MemorySource(bytes), label: "test")
    var result: [(TarEntry, String)] = []
    while let entry = try reader.next() {
      var content: [UInt8] = []
      try reader.forEachPiece { content += $0 }
      result.append((entry, String(decoding: content, as: UTF8.self)))
    }
    return result
  }

  @Test func readsFilesLinksAndFolders() throws {
    var tar = TarBuilder()
    tar.folder("d/", mode: 0o750)
    tar.file("d/f", "hello", mode: 0o4755)
    tar.header("d/s", type: "2", target: "f")
    tar.header("d/h", type: "1", target: "d/f")
    tar.header("null", type: "3", major: 1, minor: 3)
    let all = try entries(tar.finish())
    #expect(all.map(\.0.path) == ["d/", "d/f", "d/s", "d/h", "null"])
    #expect(all.map(\.0.kind) == [.directory, .file, .symbolicLink, .hardLink, .characterDevice])
    #expect(all[1].1 == "hello")
    #expect(all[1].0.mode == 0o4755)
    #expect(all[1].0.modified == 1_600_000_000)
    #expect(all[2].0.target == "f")
    #expect(all[4].0.deviceMajor == 1 && all[4].0.deviceMinor == 3)
  }

  @Test func readsLongNames() throws {
    let long = String(repeating: "x/", count: 100) + "end"
    var tar = TarBuilder()
    tar.longName(long)
    tar.file("short", "a")
    tar.pax([("path", long + "2"), ("mtime", "1700000000.25"), ("uid", "3000000")])
    tar.file("short", "b")
    tar.longName(long, type: "K")
    tar.header("link", type: "2")
    let all = try entries(tar.finish()).map(\.0)
    #expect(all.map(\.path) == [long, long + "2", "link"])
    #expect(all[1].modified == 1_700_000_000)
    #expect(all[1].modifiedNanoseconds == 250_000_000)
    #expect(all[1].owner == 3_000_000)
    #expect(all[2].target == long)
  }

  @Test func readsAttributes() throws {
    var tar = TarBuilder()
    tar.pax([("SCHILY.xattr.user.note", "a=b\n c")])
    tar.file("f", "")
    let entry = try entries(tar.finish())[0].0
    #expect(entry.attributes.map(\.name) == ["user.note"])
    #expect(entry.attributes[0].value == Array("a=b\n c".utf8))
  }

  @Test func acceptsAnArchiveWithoutItsEnd() throws {
    var tar = TarBuilder()
    tar.file("f", "x")
    #expect(try entries(tar.bytes).count == 1)
    #expect(try entries([]).isEmpty)
  }

  @Test func refusesWhatIsCutOffOrDamaged() {
    var tar = TarBuilder()
    tar.file("f", String(repeating: "x", count: 2000))
    #expect(throws: OCIError.self) { try entries(Array(tar.bytes.prefix(1000))) }
    #expect(throws: OCIError.self) { try entries(Array(tar.bytes.prefix(300))) }
    var wrong = tar.bytes
    wrong[0] = UInt8(ascii: "g")
    let error = #expect(throws: OCIError.self) { try entries(wrong) }
    #expect(error?.message.contains("checksum") == true)
    var sparse = TarBuilder()
    sparse.header("s", type: "S")
    #expect(throws: OCIError.self) { try entries(sparse.finish()) }
    var many = TarBuilder()
    for index in 0..<20 { many.file("f\(index)", "") }
    #expect(throws: OCIError.self) {
      var reader = TarReader(MemorySource(many.finish()), label: "t", entriesMax: 10)
      while try reader.next() != nil {}
    }
  }

  @Test func paxTimes() {
    #expect(TarReader.time(Array("-1.5".utf8))! == (-2, 500_000_000))
    #expect(TarReader.time(Array("3".utf8))! == (3, 0))
    #expect(TarReader.time(Array("x".utf8)) == nil)
    #expect(TarReader.time(Array("1.x".utf8)) == nil)
  }

  /// Whatever the bytes: an error or entries, never a trap, and never more content than there are bytes.
  @Test func survivesDamage() {
    var tar = TarBuilder()
    tar.folder("d/")
    tar.pax([("path", "long/name"), ("size", "5"), ("SCHILY.xattr.user.a", "b")])
    tar.file("f", "hello")
    tar.longName("another/long/name")
    tar.file("g", "world")
    let good = tar.finish()
    var random = SeededGenerator(seed: 42)
    for _ in 0..<3000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        bytes[at] = UInt8.random(in: 0...255, using: &random)
      }
      // With right checksums the damage reaches the fields.
      for start in stride(from: 0, to: bytes.count - 511, by: 512) where bytes[start + 257] == UInt8(ascii: "u") {
        var sum = 0
        for (index, byte) in bytes[start..<start + 512].enumerated() {
          sum += (148..<156).contains(index) ? 32 : Int(byte)
        }
        let digits = Array(String(sum, radix: 8).utf8)
        for index in 0..<6 {
          bytes[start + 148 + index] = index < 6 - digits.count ? 0x30 : digits[index - 6 + digits.count]
        }
        bytes[start + 154] = 0
        bytes[start + 155] = 32
      }
      var total = 0
      do {
        var reader = TarReader(MemorySource(bytes), label: "fuzz")
        while try reader.next() != nil { try reader.forEachPiece { total += $0.count } }
      } catch {}
      #expect(total <= bytes.count)
    }
  }
}
