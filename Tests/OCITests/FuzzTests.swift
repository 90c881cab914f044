import LinuxSystem
import TestKit
import Testing
import Wire

@testable import OCI

/// Parsers of what comes from outside: whatever the bytes, they end, within their limits, with a value or an error.
@Suite struct FuzzTests {
  /// A few bytes changed, taken out, doubled, or put in.
  private func mutated(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...8, using: &random) {
      guard !bytes.isEmpty else { return [UInt8.random(in: 0...255, using: &random)] }
      let at = Int.random(in: 0..<bytes.count, using: &random)
      let end = min(bytes.count, at + Int.random(in: 1...40, using: &random))
      switch Int.random(in: 0..<7, using: &random) {
      case 0: bytes[at] = .random(in: 0...255, using: &random)
      case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 2: bytes.removeSubrange(at..<end)
      case 3: bytes.insert(contentsOf: bytes[at..<end], at: at)
      case 4: bytes.removeSubrange(at...)
      case 5: for index in at..<end { bytes[index] = [0, 0x20, 0x37, 0x7F, 0x80, 0xFF].randomElement(using: &random)! }
      default:
        bytes.insert(
          contentsOf: Array("18446744073709551615".utf8).prefix(Int.random(in: 1...20, using: &random)), at: at)
      }
    }
    return bytes
  }

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
      let bytes = mutated(good, &random)
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
      let bytes = mutated(sink.bytes, &random)
      // Damage is found, or it did no harm: 32 bits of checksum do not let it through by chance here.
      if let result = try? decompressed(bytes), Compression(magic: bytes.prefix(4)) == compression {
        #expect(result == plain || result.isEmpty || bytes.count != sink.bytes.count, "seed \(seed)")
      }
    }
  }

  @Test func manifests() throws {
    let digest = Digest(of: [1])
    let layer = Descriptor(
      mediaType: MediaType.layer(.gzip), digest: digest, size: 5, annotations: ["a": "b"], platform: .host)
    let image = Manifest(
      config: layer, layers: [layer, layer], artifactType: "t", subject: layer, annotations: ["k": "v"])
    let index = Index(manifests: [layer, layer], subject: layer)
    var config = ImageConfig()
    config.cmd = ["a"]
    config.exposedPorts = ["80/tcp"]
    config.healthcheck = ImageConfig.Healthcheck()
    config.healthcheck?.interval = .seconds(3)
    let document = ConfigDocument(config: config, diffIDs: [digest], history: [History(createdBy: "x")])
    for seed in 0..<1000 {
      var random = SeededGenerator(seed: UInt64(seed))
      for good in [image.json, index.json] {
        // The same bytes are understood the same way, also after they have been written again.
        if let parsed = try? ManifestDocument(mutated(good.serialized(), &random), label: "m") {
          let again: JSON
          switch parsed {
          case .image(let manifest): again = manifest.json
          case .index(let index): again = index.json
          }
          #expect(try ManifestDocument(again.serialized(), label: "m") == parsed, "seed \(seed)")
        }
      }
      if let parsed = try? ConfigDocument(mutated(document.json.serialized(), &random), label: "c") {
        #expect(
          try ConfigDocument(parsed.json.serialized(), label: "c").config.cmd == parsed.config.cmd, "seed \(seed)")
      }
    }
  }

  @Test func referencesAndPlatforms() throws {
    let references = [
      "nginx", "localhost:5000/team/app:1.2-rc", "quay.io/a/b_c/d__e-f@sha256:\(String(repeating: "a", count: 64))",
      "[::1]:5000/x:y", "docker.io/library/busybox:latest@sha512:\(String(repeating: "0", count: 128))",
    ]
    let platforms = ["linux/amd64", "linux/arm/v7", "windows/amd64", "arm64"]
    for seed in 0..<2000 {
      var random = SeededGenerator(seed: UInt64(seed))
      let text = String(
        decoding: mutated(Array(references.randomElement(using: &random)!.utf8), &random), as: UTF8.self)
      if let reference = try? Reference(parsing: text) {
        #expect(try Reference(parsing: reference.description) == reference, "seed \(seed): \(text)")
        #expect(!reference.repository.contains("..") && !reference.repository.hasPrefix("/"), "seed \(seed): \(text)")
        #expect(reference.description.utf8.count < 1000)
      }
      _ = Digest(text)
      let platform = String(
        decoding: mutated(Array(platforms.randomElement(using: &random)!.utf8), &random), as: UTF8.self)
      if let parsed = try? Platform(parsing: platform) {
        #expect(try Platform(parsing: parsed.description) == parsed, "seed \(seed): \(platform)")
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
    #expect(ImageArchive.resolve("../../\u{301}x", from: "a/b") == nil)
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
        var bytes = mutated(good, &random)
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
