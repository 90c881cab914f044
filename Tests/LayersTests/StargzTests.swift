import Glibc
import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import Layers

@Suite struct StargzTests {
  private static let large = noise(2_500_000, seed: 3)

  private static let entries: [LayerEntry] = [
    LayerEntry(path: "", content: .directory, mode: 0o711),
    LayerEntry(path: "bin", content: .directory, owner: 3, group: 4, mode: 0o750, modified: FileTime(seconds: 7)),
    LayerEntry(
      path: "bin/large", content: .bytes(large), owner: 10, group: 20, mode: 0o4755,
      modified: FileTime(seconds: 1_700_000_000),
      attributes: [FileAttribute(name: "user.note", value: [0, 255, 1])]),
    LayerEntry(path: "bin/again", content: .hardLink(target: "bin/large")),
    LayerEntry(path: "bin/empty", content: .bytes([])),
    LayerEntry(path: "bin/link", content: .symbolicLink(target: "../../etc/passwd")),
    LayerEntry(path: "dev/null", content: .characterDevice(major: 1, minor: 3)),
    LayerEntry(path: "gone", content: .whiteout),
    LayerEntry(path: "hidden", content: .opaque),
    LayerEntry(path: "hidden/a", content: .bytes(Array("a".utf8))),
    LayerEntry(path: "pipe", content: .pipe),
    // Before and behind a combining mark these are two names.
    LayerEntry(path: "caf\u{E9}", content: .bytes([1])),
    LayerEntry(path: "cafe\u{301}", content: .bytes([2])),
  ]

  private struct Layer {
    var bytes: [UInt8]
    var summary: LayerSummary

    var size: Int64 { Int64(bytes.count) }

    func tocOffset() throws(OCIError) -> Int64 {
      try Stargz.tocOffset(footer: Array(bytes.suffix(Stargz.footerSize)), size: size)
    }

    func toc() throws(OCIError) -> [UInt8] {
      let offset = Int(try tocOffset())
      guard let digest = summary.tocDigest else { return [] }
      return try Stargz.tableOfContents(Array(bytes[offset..<bytes.count - Stargz.footerSize]), digest: digest)
    }

    func tree() throws(OCIError) -> StargzTree { try StargzTree(try toc(), tocOffset: try tocOffset()) }

    func content(_ chunk: StargzTree.Chunk) throws(OCIError) -> [UInt8] {
      try chunk.content(of: MemorySource(Array(bytes[Int(chunk.offset)..<Int(chunk.end)])))
    }
  }

  private static func layer(
    _ entries: [LayerEntry] = StargzTests.entries, threads: Int = 2, epoch: Int64? = nil
  ) throws -> Layer {
    let sink = MemorySink()
    var options = LayerOptions()
    options.compression = .gzip
    options.isSeekable = true
    options.threads = threads
    options.allowsDevices = true
    options.timeMax = epoch
    let summary = try LayerWriter.write(.entries(entries, lowers: nil), to: sink, options: options)
    return Layer(bytes: sink.bytes, summary: summary)
  }

  // MARK: Writing

  @Test func isAPlainLayerForEverybody() throws {
    let layer = try Self.layer()
    let tar = try decompressed(layer.bytes)
    #expect(layer.summary.diffID == Digest(of: tar))
    #expect(layer.summary.uncompressedSize == Int64(tar.count))
    let members = try Member.all(tar)
    let plain = try Member.all(
      try written(.entries(Self.entries, lowers: nil)) { $0.allowsDevices = true })
    #expect(members.first?.entry.path == ".no.prefetch.landmark")
    #expect(members.first?.content == [0x0F])
    #expect(members.last?.entry.path == "stargz.index.json")
    #expect(Array(members.dropFirst().dropLast()) == plain)
    #expect(layer.summary.entries == plain.count)
    #expect(members.last.map { Digest(of: $0.content) } == layer.summary.tocDigest)
  }

  @Test func isTheSameForAnyNumberOfThreads() throws {
    let bytes = try Self.layer(threads: 1).bytes
    #expect(try Self.layer(threads: 2).bytes == bytes)
    #expect(try Self.layer(threads: 5).bytes == bytes)
  }

  @Test func hasTheFooterOfTheSpecification() throws {
    #expect(
      Stargz.footer(tocOffset: 0x1234).map { String($0, radix: 16) }.joined(separator: " ")
        == "1f 8b 8 4 0 0 0 0 0 ff 1a 0 53 47 16 0 30 30 30 30 30 30 30 30 30 30 30 30 31 32 33 34 53 54 41 52 47 5a "
        + "1 0 0 ff ff 0 0 0 0 0 0 0 0")
    #expect(try decompressed(Stargz.footer(tocOffset: 5)).isEmpty)
    let layer = try Self.layer()
    // A gzip member begins at every place that the table names, and at the table.
    let tree = try layer.tree()
    for offset in try tree.chunks.map(\.offset) + [layer.tocOffset()] {
      #expect(layer.bytes[Int(offset)...].starts(with: [0x1F, 0x8B, 8]))
    }
    #expect(tree.chunks.count == 6, "3 chunks of the large file, and 3 small ones")
  }

  @Test func itsOwnFilesDoNotComeFromAnotherLayer() throws {
    let entries =
      Self.entries + [
        LayerEntry(path: "stargz.index.json", content: .bytes(Array("{}".utf8))),
        LayerEntry(path: ".prefetch.landmark", content: .bytes([0xF])),
        LayerEntry(path: "bin/stargz.index.json", content: .bytes([1])),
      ]
    let names = try Member.all(try decompressed(try Self.layer(entries).bytes)).map(\.entry.path)
    #expect(names.count { $0 == "stargz.index.json" } == 1)
    #expect(!names.contains(".prefetch.landmark"))
    #expect(names.contains("bin/stargz.index.json"))
  }

  // MARK: Reading

  @Test func everyFileIsReadByItself() throws {
    let layer = try Self.layer()
    let tree = try layer.tree()
    let large = try #require(tree.node(at: "bin/large"))
    #expect(try tree.chunks[tree.nodes[large].chunks].flatMap { try layer.content($0) } == Self.large)
    #expect(tree.node(at: "bin/again") == large)
    let node = tree.nodes[large]
    #expect((node.mode, node.owner, node.group, node.links) == (0o4755, 10, 20, 2))
    #expect(node.size == 2_500_000 && node.modified == 1_700_000_000)
    #expect(node.attributes == [FileAttribute(name: "user.note", value: [0, 255, 1])])
    #expect(tree.nodes[0].mode == 0o711)
    #expect(tree.nodes[0].links == 2 + 3)
    let link = try #require(tree.node(at: "bin/link"))
    #expect(tree.nodes[link].target == "../../etc/passwd" && tree.nodes[link].kind == .symbolicLink)
    let null = try #require(tree.node(at: "dev/null"))
    #expect((tree.nodes[null].deviceMajor, tree.nodes[null].deviceMinor) == (1, 3))
    #expect(tree.node(at: "pipe").map { tree.nodes[$0].kind } == .pipe)
    #expect(tree.node(at: "bin/empty").map { tree.nodes[$0].size } == 0)
    // What overlayfs wants of what is hidden.
    let gone = try #require(tree.node(at: "gone"))
    #expect(tree.nodes[gone].kind == .characterDevice && tree.nodes[gone].deviceMajor == 0)
    let hidden = try #require(tree.node(at: "hidden"))
    #expect(tree.nodes[hidden].attributes == [FileAttribute(name: "trusted.overlay.opaque", value: [0x79])])
    // What the format itself has is not to be seen.
    #expect(tree.node(at: "stargz.index.json") == nil && tree.node(at: ".no.prefetch.landmark") == nil)
    #expect(tree.prefetchSize == 0)
    // Names are bytes.
    let names = tree.nodes[0].children.map(\.name).filter { $0.starts(with: Array("caf".utf8)) }
    #expect(names.count == 2)
    #expect(tree.child(of: 0, named: Array("caf\u{E9}".utf8)) != tree.child(of: 0, named: Array("cafe\u{301}".utf8)))
  }

  @Test func aPartOfAFileNeedsItsChunksOnly() throws {
    let tree = try Self.layer().tree()
    let large = try #require(tree.node(at: "bin/large"))
    let first = tree.nodes[large].chunks.lowerBound
    #expect(tree.chunks(of: large, offset: 0, count: 1) == first..<first + 1)
    #expect(tree.chunks(of: large, offset: (1 << 20) - 1, count: 2) == first..<first + 2)
    #expect(tree.chunks(of: large, offset: 1 << 20, count: 1) == first + 1..<first + 2)
    #expect(tree.chunks(of: large, offset: 2_499_999, count: 1 << 20) == first + 2..<first + 3)
    #expect(tree.chunks(of: large, offset: 2_500_000, count: 10).isEmpty)
    #expect(tree.chunks(of: 0, offset: 0, count: 10).isEmpty)
  }

  /// Every byte of the layer, changed: what is given away is right, or there is an error.
  @Test func changedBytesNeverGetThrough() throws {
    let layer = try Self.layer()
    let tree = try layer.tree()
    let contents = try tree.chunks.map { try layer.content($0) }
    var random = SeededGenerator(seed: 11)
    var refused = 0
    for _ in 0..<200 {
      var damaged = layer
      let at = Int.random(in: 0..<damaged.bytes.count, using: &random)
      damaged.bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      do {
        let toc = try damaged.toc()
        #expect(Digest(of: toc) == layer.summary.tocDigest)
      } catch {
        refused += 1
      }
      for (chunk, content) in zip(tree.chunks, contents) where (chunk.offset..<chunk.end).contains(Int64(at)) {
        do {
          #expect(try damaged.content(chunk) == content)
        } catch {
          refused += 1
        }
      }
    }
    #expect(refused > 100)
  }

  @Test func aTableOfAnotherLayerIsRefused() throws {
    var layer = try Self.layer()
    layer.summary.tocDigest = Digest(of: [1])
    let error = #expect(throws: OCIError.self) { try layer.toc() }
    #expect(error?.code == .digestMismatch)
  }

  /// As other writers make them: `./` in front, large chunks, several chunks in one member, a prefetch landmark.
  @Test func readsTheTablesOfOthers() throws {
    let toc = """
      {"version":1,"entries":[
      {"name":"./","type":"dir","mode":16877,"modtime":"2020-01-02T03:04:05Z"},
      {"name":"./a","type":"reg","size":10,"mode":33261,"offset":100,"uid":7,"chunkDigest":"\(Digest(of: [1]))"},
      {"name":".prefetch.landmark","type":"reg","size":1,"offset":300,"chunkDigest":"\(Digest(of: [0xF]))"},
      {"name":"b/c","type":"reg","size":30,"offset":400,"chunkSize":20,"chunkDigest":"\(Digest(of: [2]))"},
      {"name":"b/c","type":"chunk","offset":400,"innerOffset":20,"chunkOffset":20,"chunkDigest":"\(Digest(of: [3]))"},
      {"name":"b/d","type":"hardlink","linkName":"./a"}]}
      """
    let tree = try StargzTree(Array(toc.utf8), tocOffset: 1000)
    #expect(tree.prefetchSize == 300)
    #expect(tree.nodes[0].mode == 0o755 && tree.nodes[0].modified == 1_577_934_245)
    #expect(tree.node(at: "b/d") == tree.node(at: "a"))
    #expect(tree.chunks.map(\.size) == [10, 20, 10])
    #expect(tree.chunks.map(\.end) == [400, 1000, 1000], "as far as the next member, or the table")
    // A folder without an entry of its own is root's.
    #expect(tree.node(at: "b").map { tree.nodes[$0].mode } == 0o755)
  }

  private static let digest = Digest(of: [1]).description

  @Test(arguments: [
    #"{"version":2,"entries":[]}"#, #"{"entries":[]}"#, #"[]"#, #"{"version":1}"#,
    #"{"version":1,"entries":[{"type":"dir"}]}"#, #"{"version":1,"entries":[{"name":"a"}]}"#,
    #"{"version":1,"entries":[{"name":"../a","type":"dir"}]}"#,
    #"{"version":1,"entries":[{"name":"/a","type":"dir"}]}"#,
    #"{"version":1,"entries":[{"name":"a/../../b","type":"symlink","linkName":"x"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"door"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"symlink"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"hardlink","linkName":"b"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"hardlink","linkName":"../b"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"symlink","linkName":"b"},{"name":"a/c","type":"dir"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"reg","size":-1}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"reg","size":5,"offset":1}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"reg","size":5,"offset":5000,"chunkDigest":"D"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"reg","size":5,"offset":1,"chunkSize":3,"chunkDigest":"D"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"reg","size":5,"offset":1,"chunkSize":9,"chunkDigest":"D"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"reg","size":99999999,"offset":1,"chunkDigest":"D"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"chunk","offset":1,"chunkDigest":"D"}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"dir","uid":-5}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"char","devMajor":5000}]}"#,
    #"{"version":1,"entries":[{"name":"a","type":"dir","xattrs":{"user.a":"***"}}]}"#,
    #"{"version":1,"entries":[{"name":".wh...","type":"reg"}]}"#,
  ])
  func refusesWhatIsNoTable(text: String) throws {
    let toc = Array(
      text.split(separator: "\"D\"", omittingEmptySubsequences: false).joined(
        separator: "\"\(Self.digest)\""
      ).utf8)
    let error = #expect(throws: OCIError.self) { try StargzTree(toc, tocOffset: 1000) }
    #expect(error?.message.isEmpty == false)
  }

  /// Small tables that would be large in memory: folders that no entry names, and values by the million.
  @Test func refusesWhatDoesNotFitIntoMemory() throws {
    let deep = String(repeating: "a/", count: 2000)
    let names = (0..<600).map { #"{"name":"\#($0)/\#(deep)","type":"dir"}"# }.joined(separator: ",")
    let values = String(repeating: "[],", count: Stargz.tocValuesMax)
    for entries in [names, values + "[]"] {
      let error = #expect(throws: OCIError.self) {
        try StargzTree(Array(#"{"version":1,"entries":[\#(entries)]}"#.utf8), tocOffset: 10)
      }
      #expect(error?.code == .limitExceeded)
    }
    // What is within a name is no value.
    let name = #"a\",[{"#
    let tree = try StargzTree(Array(#"{"version":1,"entries":[{"name":"\#(name)","type":"dir"}]}"#.utf8), tocOffset: 10)
    #expect(tree.nodes.count == 2)
  }

  @Test func linksAreFollowedWithinTheTree() throws {
    func link(_ name: String, _ target: String) -> LayerEntry {
      LayerEntry(path: name, content: .symbolicLink(target: target))
    }
    let tree = try Self.layer([
      LayerEntry(path: "usr/lib/passwd", content: .bytes([1])), link("etc/passwd", "../usr/./lib/passwd"),
      link("etc/group", "/etc2/../lib/passwd"), link("etc2", "usr/lib"),
      link("up", "../../../../usr/lib/passwd"), link("loop", "loop"), link("none", "/missing"),
    ]).tree()
    let file = try #require(tree.node(at: "usr/lib/passwd"))
    for path in ["usr/lib/passwd", "etc/passwd", "up", "etc/group", "/etc2/passwd"] {
      #expect(tree.node(following: path) == file, "\(path)")
    }
    // `..` is of where a link leads, not of the link.
    #expect(tree.node(following: "etc2/../passwd") == nil)
    #expect(tree.node(following: "loop") == nil && tree.node(following: "none") == nil)
    #expect(tree.node(following: "etc2") == tree.node(at: "usr/lib"))
  }

  @Test func attributesOfTheOverlayAreNotTaken() throws {
    let toc = #"""
      {"version":1,"entries":[{"name":"a","type":"dir","mode":493,"xattrs":{"trusted.overlay.redirect":"L2V0Yw==",
      "trusted.overlay.opaque":"eQ==","security.selinux":"YQ==","user.a":"Yg=="}}]}
      """#
    let tree = try StargzTree(Array(toc.utf8), tocOffset: 10)
    #expect(tree.node(at: "a").map { tree.nodes[$0].attributes } == [FileAttribute(name: "user.a", value: [0x62])])
  }

  @Test(arguments: [0, 40, 47])
  func refusesWhatIsNoFooter(missing: Int) throws {
    let footer = Stargz.footer(tocOffset: 100)
    #expect(try Stargz.tocOffset(footer: footer, size: 1000) == 100)
    #expect(throws: OCIError.self) { try Stargz.tocOffset(footer: Array(footer.dropFirst(missing)) + [0], size: 1000) }
    #expect(throws: OCIError.self) { try Stargz.tocOffset(footer: footer, size: 151) }
    #expect(throws: OCIError.self) { try Stargz.tocOffset(footer: footer, size: 100 << 20) }
    #expect(throws: OCIError.self) { try Stargz.tocOffset(footer: [], size: 1000) }
    #expect(throws: OCIError.self) { try Stargz.tocOffset(footer: Stargz.footer(tocOffset: .max), size: 1000) }
  }

  /// Whatever the table says, its tree is one: every node is within it, and every chunk within the layer.
  @Test func fuzz() throws {
    let good = try Self.layer().toc()
    var random = SeededGenerator(seed: 5)
    var (trees, errors) = (0, 0)
    let numbers = ["-1", "0", "1", "9223372036854775807", "1e30", "null", "\"\"", "[]", "4096", "2500000"]
    for _ in 0..<1500 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[at] = .random(in: 0x20...0x7E, using: &random)
        case 1: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...30, using: &random)))
        case 2:
          // Another value in place of a number, which leaves JSON as JSON.
          guard let colon = bytes[at...].firstIndex(of: UInt8(ascii: ":")), colon + 1 < bytes.count else { continue }
          var end = colon + 1
          while end < bytes.count, (0x30...0x39).contains(bytes[end]) { end += 1 }
          if end > colon + 1 {
            bytes.replaceSubrange(colon + 1..<end, with: numbers.randomElement(using: &random)!.utf8)
          }
        default:
          let names = ["../x", "bin", "hidden/a", "bin/large", "", ".", ".wh.bin", ".wh..wh..opq", "a//b"]
          guard let quote = bytes[at...].firstRange(of: Array("\"name\":\"".utf8))?.upperBound,
            let end = bytes[quote...].firstIndex(of: UInt8(ascii: "\""))
          else { continue }
          bytes.replaceSubrange(quote..<end, with: names.randomElement(using: &random)!.utf8)
        }
      }
      do {
        let tree = try StargzTree(bytes, tocOffset: 3_000_000)
        trees += 1
        for node in tree.nodes {
          #expect(node.size >= 0 && node.mode <= 0o7777 && node.parent < tree.nodes.count)
          #expect(node.chunks.upperBound <= tree.chunks.count)
          for child in node.children {
            #expect(child.node < tree.nodes.count && !child.name.isEmpty && !child.name.contains(0x2F))
            #expect(child.name != [0x2E] && child.name != [0x2E, 0x2E] && child.name.count <= 255)
          }
        }
        for chunk in tree.chunks {
          #expect(0 <= chunk.offset && chunk.offset < chunk.end && chunk.end <= 3_000_000 && chunk.size > 0)
        }
      } catch {
        errors += 1
      }
    }
    #expect(trees > 100 && errors > 100)
  }

  /// Chunks whose compressed bytes are anything end with an error, within the size that the table gave them.
  @Test func fuzzChunks() throws {
    let layer = try Self.layer()
    let chunk = try #require(try layer.tree().chunks.first { $0.size > 1000 })
    var random = SeededGenerator(seed: 8)
    for _ in 0..<200 {
      var bytes = Array(layer.bytes[Int(chunk.offset)..<Int(chunk.end)])
      for _ in 0..<Int.random(in: 1...20, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
      }
      if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random)) }
      if let content = try? chunk.content(of: MemorySource(bytes)) { #expect(Int64(content.count) == chunk.size) }
    }
  }
}
