import Content
import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import Testing
import Wire

@testable import Node

extension KernelTests {
  /// Layers that are served by FUSE while they are fetched.
  @Suite("Lazy layers") struct LazyLayerTests {}
}

/// A layer in a file, fetched as from a registry.
private final class LazyHarness: Sendable {
  let base: String
  let blob: LazyBlob
  let tree: StargzTree
  let blobPath: String
  private let server: FuseServer
  private let over: AsyncStream<Void>

  /// What a fetch does to the bytes that it brings.
  typealias Fault = @Sendable (Range<Int64>, [UInt8]) async throws -> [UInt8]

  var mounted: String { "\(base)/mounted" }
  var layer: String { "\(mounted)/fs" }

  static func run(
    _ entries: [LayerEntry], deadline: Duration = .seconds(600), fault: @escaping Fault = { $1 },
    _ test: (LazyHarness) async throws -> Void
  ) async throws {
    var template = Array("/var/tmp/apus-lazy-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp).map { String(cString: $0) } }
    let base = try #require(made)
    // Others than root read there, too.
    #expect(chmod(base, 0o755) == 0)
    defer {
      try? Mount.unmountTree(base)
      try? Directory.removeTree(base)
    }
    let harness = try await LazyHarness(base, entries, deadline, fault)
    do { try await test(harness) } catch { Issue.record(error) }
    try Mount.unmountTree(base)
    await harness.waitForEnd()
  }

  private init(_ base: String, _ entries: [LayerEntry], _ deadline: Duration, _ fault: @escaping Fault) async throws {
    self.base = base
    let store = try ContentStore.open(root: "\(base)/store")
    var options = LayerOptions()
    options.compression = .gzip
    options.isSeekable = true
    options.allowsDevices = true
    let layer = try store.writeLayer(
      .entries(entries, lowers: nil), options: options, lease: try store.lease(for: .seconds(600)))
    blobPath = store.blobPath(layer.descriptor.digest)
    let bytes = try DurableFile.read(blobPath, limit: 64 << 20)
    let size = Int64(bytes.count)
    let offset = try Stargz.tocOffset(footer: Array(bytes.suffix(Stargz.footerSize)), size: size)
    let digest = try #require(layer.descriptor.tocDigest)
    let toc = try Stargz.tableOfContents(
      Array(bytes[Int(offset)..<bytes.count - Stargz.footerSize]), digest: digest)
    tree = try StargzTree(toc, tocOffset: offset)
    blob = try LazyBlob(path: "\(base)/part", size: size, time: SystemClock()) { range in
      try await fault(range, Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
    }
    try Directory.create("\(base)/mounted")
    let files = LazyLayer(tree: tree, blob: blob, chunks: LazyChunks(bytesMax: 4 << 20), deadline: deadline) { _ in }
    let server = try FuseServer(files, at: "\(base)/mounted", source: "apus-test")
    self.server = server
    let (over, ended) = AsyncStream.makeStream(of: Void.self)
    self.over = over
    DedicatedThread.start("apus-fuse") {
      do throws(SystemError) { try server.run() } catch { Issue.record(error) }
      ended.finish()
    }
  }

  func waitForEnd() async { for await _ in over {} }

  /// What a command prints.
  func shell(_ script: String) async throws -> String {
    let result = try await Subprocess.run("/bin/sh", ["-c", script], timeout: .seconds(50), outputLimit: 8 << 20)
    try #require(result.status.isSuccess, "\(script): \(result.status) \(result.message)")
    return String(decoding: result.stdout, as: UTF8.self)
  }

  /// Whether a file is read to its end.
  func reads(_ path: String) async throws -> Bool {
    try await Subprocess.run("/bin/cat", [path], timeout: .seconds(50), outputLimit: 1).status.isSuccess
  }
}

private func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
  var state = seed
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count + 8)
  while bytes.count < count {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    withUnsafeBytes(of: state >> 16) { bytes.append(contentsOf: $0.prefix(6)) }
  }
  return Array(bytes.prefix(count))
}

extension KernelTests.LazyLayerTests {
  private static func entries() throws -> [LayerEntry] {
    var entries = [
      LayerEntry(path: "", content: .directory, mode: 0o755, modified: FileTime(seconds: 1_600_000_000)),
      LayerEntry(
        path: "bin/busybox", content: .bytes(try DurableFile.read("/bin/busybox", limit: 16 << 20)), mode: 0o755),
      LayerEntry(path: "bin/again", content: .hardLink(target: "bin/busybox")),
      LayerEntry(path: "bin/sh", content: .symbolicLink(target: "busybox")),
      LayerEntry(
        path: "data/large", content: .bytes(bytes(5_000_001, seed: 1)), owner: 12, group: 34, mode: 0o6755,
        modified: FileTime(seconds: 1_500_000_000),
        attributes: [
          FileAttribute(name: "user.note", value: Array("of note".utf8)),
          FileAttribute(
            name: "security.capability",
            value: [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ]),
      LayerEntry(path: "data/secret", content: .bytes(Array("root's".utf8)), mode: 0o600),
      LayerEntry(path: "data/open", content: .bytes(Array("everybody's".utf8)), mode: 0o644),
      LayerEntry(path: "data/empty", content: .bytes([])),
      LayerEntry(path: "dev/null", content: .characterDevice(major: 1, minor: 3), mode: 0o666),
      LayerEntry(path: "dev/pipe", content: .pipe, mode: 0o640),
      LayerEntry(path: "gone", content: .whiteout),
      LayerEntry(path: "hidden", content: .opaque),
      LayerEntry(path: "hidden/own", content: .bytes(Array("own".utf8))),
    ]
    for number in 0..<700 {
      entries.append(
        LayerEntry(
          path: "many/a-name-that-is-not-short-\(number)", content: .bytes(bytes(number % 50, seed: UInt64(number)))))
    }
    return entries
  }

  @Test func isTheSameAsUnpacked() async throws {
    try await LazyHarness.run(try Self.entries()) { lazy in
      let plain = "\(lazy.base)/plain"
      try Directory.create(plain)
      try ArchiveExtractor.extract(lazy.blobPath, into: plain, label: "plain")
      unlink("\(plain)/stargz.index.json")
      unlink("\(plain)/.no.prefetch.landmark")
      // Folders have other sizes; the times of whiteouts are the extraction's.
      for what in [
        "find . ! -type d ! -name gone -printf '%P %y %m %U %G %s %n %l %T@\\n' | sort",
        "find . -mindepth 1 -type d -printf '%P %m %U %G %T@\\n' | sort", "find . -maxdepth 0 -printf '%m %U %G\\n'",
        "find . -name gone -printf '%P %y %m %U %G\\n'",
        "find . -type f -exec cksum {} + | sort",
        "find . -type d | sort | while read folder; do echo $folder; ls -a $folder; done",
        "stat -c '%n %t %T %b' dev/null dev/pipe", "cat data/empty; ls bin many",
      ] {
        let there = try await lazy.shell("cd \(lazy.layer) && \(what)")
        #expect(try await lazy.shell("cd \(plain) && \(what)") == there, "\(what)")
        #expect(!there.isEmpty)
      }
      for (path, name) in [
        ("data/large", "user.note"), ("data/large", "security.capability"), ("hidden", "trusted.overlay.opaque"),
        ("data/open", "user.note"), ("bin/busybox", "security.capability"),
      ] {
        let expected = try Directory.extendedAttribute("\(plain)/\(path)", name: name)
        #expect(try Directory.extendedAttribute("\(lazy.layer)/\(path)", name: name) == expected)
      }
      #expect(access("\(lazy.mounted)/bin", F_OK) != 0, "the layer is below a folder, and nowhere else")
    }
  }

  @Test func isALayerOfAnOverlay() async throws {
    try await LazyHarness.run(try Self.entries()) { lazy in
      for folder in ["below/hidden", "below/data", "snapshots"] {
        try Directory.create("\(lazy.base)/\(folder)")
      }
      for name in ["gone", "hidden/other", "data/below"] {
        try DurableFile.write(Array("below".utf8), to: "\(lazy.base)/below/\(name)")
      }
      let (snapshots, parent) = (Snapshotter(folder: "\(lazy.base)/snapshots"), [lazy.layer, "\(lazy.base)/below"])
      let merged = try snapshots.prepare("merged", on: parent)
      let view = try snapshots.view("view", of: parent)
      for root in [merged, view] {
        #expect(try await lazy.shell("ls \(root)") == "bin\ndata\ndev\nhidden\nmany\n")
      }
      try snapshots.remove("view")
      #expect(try await lazy.shell("ls \(merged)/hidden") == "own\n")
      #expect(try await lazy.shell("cat \(merged)/data/below") == "below")
      // Programs run from it; what is changed is copied up.
      #expect(try await lazy.shell("\(merged)/bin/busybox echo it runs") == "it runs\n")
      #expect(try await lazy.shell("echo more >>\(merged)/data/open && cat \(merged)/data/open") == "everybody'smore\n")
      #expect(try await lazy.shell("rm \(merged)/bin/again && ls \(merged)/bin") == "busybox\nsh\n")
      #expect(try await lazy.shell("cksum <\(merged)/data/large") == lazy.shell("cksum <\(lazy.layer)/data/large"))
      // Modes count, for whoever it is, as for a container: it is in there, and nobody else comes so far.
      let nobody = "cd \(merged) && setpriv --reuid 65534 --regid 65534 --clear-groups"
      #expect(try await lazy.shell("\(nobody) cksum data/large | cut -d' ' -f2") == "5000001\n")
      #expect(try await lazy.shell("\(nobody) cat data/secret 2>&1 || true").contains("Permission denied"))
      #expect(try await lazy.shell("! touch \(lazy.layer)/new 2>&1").contains("Read-only file system"))

      // Taken out of the tree it goes on for those who have it, and nobody else finds an empty folder in its place.
      try Mount.unmount(lazy.mounted, detach: true)
      #expect(access(lazy.layer, F_OK) != 0)
      #expect(
        try await lazy.shell("cat \(merged)/hidden/own \(merged)/many/a-name-that-is-not-short-49 | wc -c") == "52\n")
      let changes = try snapshots.commit("merged")
      // Its last user was the overlay: the server has ended by itself.
      await lazy.waitForEnd()
      #expect(
        try await lazy.shell("cd \(changes) && find . -type f && cat data/open") == "./data/open\neverybody'smore\n")
    }
  }

  @Test func onlyWhatIsReadIsFetched() async throws {
    try await LazyHarness.run(try Self.entries()) { lazy in
      _ = try await lazy.shell("find \(lazy.layer) -printf '%s' >/dev/null && ls -lR \(lazy.layer) >/dev/null")
      #expect(lazy.blob.bytesFetched == 0, "names and attributes are in the table")
      _ = try await lazy.shell("cat \(lazy.layer)/data/open")
      #expect((1...2 * LazyBlob.pieceSize).contains(lazy.blob.bytesFetched))
      _ = try await lazy.shell("dd if=\(lazy.layer)/data/large bs=4096 skip=700 count=1 2>/dev/null | wc -c")
      #expect(lazy.blob.bytesFetched < lazy.blob.size / 2)
    }
  }

  @Test func manyReadAtOnce() async throws {
    try await LazyHarness.run(try Self.entries()) { lazy in
      let readers = (0..<8).map { _ in "cksum <\(lazy.layer)/data/large & cat \(lazy.layer)/many/* | cksum &" }
      let answers = try await lazy.shell(readers.joined(separator: " ") + " wait").split(separator: "\n")
      #expect(answers.count == 16 && Set(answers).count == 2)
      #expect(lazy.blob.bytesFetched <= lazy.blob.size)
    }
  }

  @Test func wrongBytesAreNeverServed() async throws {
    let count = Mutex<[Int64: Int]>([:])
    let isAlwaysWrong = Mutex(true)
    let fault: LazyHarness.Fault = { range, bytes in
      let time = count.withLock { count in
        count[range.lowerBound, default: 0] += 1
        return count[range.lowerBound] ?? 0
      }
      guard isAlwaysWrong.withLock({ $0 }) || time == 1 else { return bytes }
      return bytes.enumerated().map { $0.offset % 1000 == 500 ? $0.element ^ 0x10 : $0.element }
    }
    try await LazyHarness.run(try Self.entries(), fault: fault) { lazy in
      #expect(try await !lazy.reads("\(lazy.layer)/data/large"))
      let text = try await Subprocess.run("/bin/cat", ["\(lazy.layer)/data/large"], outputLimit: 16 << 20)
      #expect(text.message.contains("Input/output error") || text.stdout.isEmpty)
      #expect(bytes(5_000_001, seed: 1).starts(with: text.stdout), "as far as it came, it is right")
      // A fault that goes over: what is wrong is fetched once more, and nobody sees it.
      isAlwaysWrong.withLock { $0 = false }
      #expect(try await lazy.reads("\(lazy.layer)/data/large"))
    }
  }

  @Test func aReadHasADeadline() async throws {
    let isAway = Mutex(true)
    let fault: LazyHarness.Fault = { _, bytes in
      if isAway.withLock({ $0 }) { throw SystemError("fetch", errno: ECONNREFUSED) }
      return bytes
    }
    try await LazyHarness.run(try Self.entries(), deadline: .milliseconds(300), fault: fault) { lazy in
      let failed = try await Subprocess.run("/bin/cat", ["\(lazy.layer)/data/open"])
      #expect(failed.message.contains("Input/output error"), "\(failed.message)")
      isAway.withLock { $0 = false }
      #expect(try await lazy.reads("\(lazy.layer)/data/open"))
    }
  }

  /// A container that is killed ends, also while it waits for the network.
  @Test func whoIsKilledIsNotHeld() async throws {
    let asked = AsyncStream.makeStream(of: Void.self)
    let held = Mutex<[CheckedContinuation<Void, Never>]>([])
    let fault: LazyHarness.Fault = { _, bytes in
      await withCheckedContinuation { continuation in
        held.withLock { $0.append(continuation) }
        asked.continuation.yield()
      }
      return bytes
    }
    try await LazyHarness.run(try Self.entries(), fault: fault) { lazy in
      let reader = try Subprocess.spawn("/bin/cat", ["\(lazy.layer)/data/large"], descriptors: [])
      for await _ in asked.stream { break }
      // What does not need the network is answered meanwhile.
      #expect(try await lazy.shell("ls \(lazy.layer)/hidden") == "own\n")
      reader.signal(SIGKILL)
      #expect(await reader.wait(deadline: .now + .seconds(30)) == .signaled(SIGKILL))
      for continuation in held.withLock({ $0 }) { continuation.resume() }
    }
  }
}
