import Content
import Distribution
import Glibc
import Layers
import LinuxSystem
import NIOPosix
import OCI
import Synchronization
import Testing
import Wire

@testable import Node

/// A layer on the other side of a network that does what the test says.
private final class FakeLayer: Sendable {
  struct Failure: Error {}

  private struct State {
    var requests: [Range<Int64>] = []
    var running = 0
    var runningMax = 0
    var isAway = false
    var isClosed = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  let bytes: [UInt8]
  private let state = Mutex(State())

  init(_ bytes: [UInt8]) { self.bytes = bytes }
  init(_ count: Int) { bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 12) } }

  var requests: [Range<Int64>] { state.withLock { $0.requests } }
  var running: Int { state.withLock { $0.running } }
  var runningMax: Int { state.withLock { $0.runningMax } }
  var waitingCount: Int { state.withLock { $0.waiting.count } }
  /// Answers come with a failure, or not at all until `open`.
  func set(isAway: Bool) { state.withLock { $0.isAway = isAway } }
  func close() { state.withLock { $0.isClosed = true } }
  func open() {
    let waiting = state.withLock { state in
      state.isClosed = false
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  func fetch(_ range: Range<Int64>) async throws -> [UInt8] {
    state.withLock { state in
      state.requests.append(range)
      state.running += 1
      state.runningMax = max(state.runningMax, state.running)
    }
    defer { state.withLock { $0.running -= 1 } }
    await withCheckedContinuation { continuation in
      let isClosed = state.withLock { state in
        if state.isClosed { state.waiting.append(continuation) }
        return state.isClosed
      }
      if !isClosed { continuation.resume() }
    }
    if state.withLock({ $0.isAway }) { throw Failure() }
    return Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])
  }
}

@Suite(.timeLimit(.minutes(1))) struct LazyBlobTests {
  private static let piece = LazyBlob.pieceSize

  private func withBlob(
    _ count: Int, _ body: (FakeLayer, LazyBlob, VirtualClock) async throws -> Void
  ) async throws {
    var template = Array("/tmp/apus-lazy-XXXXXX".utf8CString)
    let folder = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp).map { String(cString: $0) } }
    let path = try #require(folder)
    defer { try? Directory.removeTree(path) }
    let (layer, clock) = (FakeLayer(count), VirtualClock())
    let blob = try LazyBlob(path: "\(path)/0", size: Int64(count), time: clock) { try await layer.fetch($0) }
    try await body(layer, blob, clock)
  }

  private func read(_ blob: LazyBlob, _ range: Range<Int64>) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count)
    let count = bytes.withUnsafeMutableBytes { (try? blob.read(at: range.lowerBound, into: $0)) ?? 0 }
    return Array(bytes[..<count])
  }

  private func until(_ check: () -> Bool) async {
    while !check() { await Task.yield() }
  }

  @Test func fetchesWhatIsWantedOnce() async throws {
    try await withBlob(3_000_001) { layer, blob, _ in
      #expect(!blob.has(0..<1))
      #expect(await blob.wait(for: [300_000..<300_010], within: .seconds(60)))
      #expect(layer.requests == [Self.piece..<2 * Self.piece])
      #expect(blob.has(Self.piece..<2 * Self.piece) && !blob.has(0..<300_000))
      #expect(read(blob, 300_000..<300_010) == Array(layer.bytes[300_000..<300_010]))
      // Twice at once, and what is there already: one request.
      async let first = blob.wait(for: [0..<10], within: .seconds(60))
      async let second = blob.wait(for: [5..<Self.piece + 5], within: .seconds(60))
      #expect(await first)
      #expect(await second)
      #expect(layer.requests.count == 2)
      // The end, which is no whole piece.
      #expect(await blob.wait(for: [3_000_000..<3_000_001], within: .seconds(60)))
      #expect(read(blob, 2_999_999..<3_000_001) == Array(layer.bytes[2_999_999...]))
      #expect(await !blob.wait(for: [0..<3_000_002], within: .seconds(60)))
      #expect(await blob.wait(for: [5..<5], within: .seconds(60)))
    }
  }

  @Test func largeRangesAreAskedForInParts() async throws {
    try await withBlob(40 * 1024 * 1024) { layer, blob, _ in
      layer.close()
      async let all = blob.wait(for: [0..<30 * 1024 * 1024], within: .seconds(60))
      await until { layer.waitingCount == 8 }
      // Nothing stands behind one answer that does not come; but there are never too many.
      async let other = blob.wait(for: [35 * 1024 * 1024..<36 * 1024 * 1024], within: .seconds(60))
      layer.open()
      #expect(await all)
      #expect(await other)
      #expect(layer.runningMax <= 8)
      #expect(layer.requests.allSatisfy { $0.count <= 1 << 20 })
      #expect(blob.bytesFetched == 31 * 1024 * 1024)
      #expect(read(blob, 0..<30 * 1024 * 1024) == Array(layer.bytes[..<(30 * 1024 * 1024)]))
    }
  }

  @Test func aReadThatCannotBeHadFailsInTime() async throws {
    try await withBlob(1_000_000) { layer, blob, clock in
      layer.close()
      #expect(await !blob.wait(for: [0..<10], within: .milliseconds(20)))
      layer.open()
      layer.set(isAway: true)
      await until { blob.has(0..<1) || layer.requests.count >= 1 }
      #expect(await !blob.wait(for: [300_000..<300_010], within: .milliseconds(20)))
      // Once the registry is there again, so is what is read.
      layer.set(isAway: false)
      async let waited = blob.wait(for: [300_000..<300_010], within: .seconds(60))
      await until {
        clock.advance(by: .seconds(20))
        return blob.has(300_000..<300_010)
      }
      #expect(await waited)
    }
  }

  @Test func theRestComesWhileNobodyWaits() async throws {
    try await withBlob(20 * 1024 * 1024 + 5) { layer, blob, clock in
      #expect(!blob.seal())
      layer.set(isAway: true)
      async let rest: Void = blob.fetchRest()
      async let other: Void = blob.fetchRest()
      await until { layer.requests.count >= 2 }
      layer.set(isAway: false)
      let isOver = Mutex(false)
      async let ticking: Void = {
        while !isOver.withLock({ $0 }) {
          clock.advance(by: .seconds(1))
          await Task.yield()
        }
      }()
      try await rest
      try await other
      isOver.withLock { $0 = true }
      await ticking
      #expect(blob.bytesFetched == 20 * 1024 * 1024 + 5)
      #expect(read(blob, 0..<blob.size) == layer.bytes)
      // What turned out wrong is fetched again, until the file is a blob of the store.
      blob.forget(0..<10)
      #expect(!blob.has(0..<10) && !blob.seal())
      try await blob.fetchRest()
      #expect(blob.seal())
      blob.kept()
      blob.forget(0..<10)
      #expect(blob.has(0..<10))
    }
  }

  /// While the file is compared with its digest nothing of it changes, and who reads what is wrong waits for the end.
  @Test(arguments: [false, true]) func whatIsForgottenMeanwhileWaits(isRight: Bool) async throws {
    try await withBlob(1_000_000) { layer, blob, _ in
      try await blob.fetchRest()
      #expect(blob.seal())
      let count = layer.requests.count
      blob.forget(0..<10)
      let isOver = Mutex(false)
      async let waited = {
        defer { isOver.withLock { $0 = true } }
        return await blob.wait(for: [0..<10, 900_000..<900_001], within: .seconds(60))
      }()
      for _ in 0..<1000 { await Task.yield() }
      #expect(layer.requests.count == count && !isOver.withLock { $0 })
      if isRight { blob.kept() } else { blob.unseal() }
      #expect(await waited)
      #expect(layer.requests.count == (isRight ? count : count + 1) && blob.has(0..<blob.size))
    }
  }

  /// All that a read needs is asked for at once, each piece once.
  @Test func severalRangesAreOneWait() async throws {
    try await withBlob(8 * 1024 * 1024) { layer, blob, _ in
      layer.close()
      let ranges: [Range<Int64>] = [0..<10, 5..<20, 3_000_000..<3_000_010, 0..<5, 6_000_000..<6_000_001, 7..<7]
      async let waited = blob.wait(for: ranges, within: .seconds(60))
      await until { layer.waitingCount == 3 }
      layer.open()
      #expect(await waited)
      #expect(layer.requests.count == 3)
      #expect(await !blob.wait(for: [0..<1, 0..<blob.size + 1], within: .seconds(60)))
      #expect(await blob.wait(for: [], within: .seconds(60)))
    }
  }

  /// Of two parts that somebody waits for, the one that was here turns out wrong.
  @Test func whatIsForgottenIsFetchedForThoseWhoWait() async throws {
    try await withBlob(1_000_000) { layer, blob, _ in
      #expect(await blob.wait(for: [0..<10], within: .seconds(60)))
      layer.close()
      async let waited = blob.wait(for: [0..<10, 900_000..<900_010], within: .seconds(60))
      await until { layer.waitingCount == 1 }
      blob.forget(0..<10)
      await until { layer.waitingCount == 2 }
      layer.open()
      #expect(await waited)
      #expect(blob.has(0..<10))
    }
  }

  /// A background that ends leaves nobody waiting for what it had begun.
  @Test func whatACancelledBackgroundHadBegunIsFetched() async throws {
    try await withBlob(100_000) { layer, blob, _ in
      layer.set(isAway: true)
      let rest = Task { try await blob.fetchRest() }
      await until { layer.requests.count == 1 && layer.running == 0 }
      async let waited = blob.wait(for: [0..<10], within: .seconds(60))
      layer.set(isAway: false)
      rest.cancel()
      #expect(await waited)
      await #expect(throws: (any Error).self) { try await rest.value }
    }
  }

  @Test func aSizeThatCannotBeIsRefused() throws {
    for size in [0, LazyBlob.sizeMax + 1, Int64.max] {
      #expect(throws: SystemError.self) {
        try LazyBlob(path: "/nowhere/0", size: size, time: VirtualClock()) { _ in [] }
      }
    }
  }

  // MARK: Keeping

  /// A layer in a store, the fetched copy of it, and what an empty store makes of that.
  private func withLayer(
    _ body: (_ bytes: [UInt8], StargzTree, _ keep: (FakeLayer) async throws -> (LazyBlob, LazyServer.Keeping))
      async throws
      -> Void
  ) async throws {
    var template = Array("/var/tmp/apus-lazy-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp).map { String(cString: $0) } }
    let base = try #require(made)
    defer { try? Directory.removeTree(base) }
    let source = try ContentStore.open(root: "\(base)/source")
    var options = LayerOptions()
    options.compression = .gzip
    options.isSeekable = true
    let content = FakeLayer(3_000_000).bytes
    let layer = try source.writeLayer(
      .entries([LayerEntry(path: "a", content: .bytes(content))], lowers: nil), options: options,
      lease: try source.lease(for: .seconds(600)))
    let digest = layer.descriptor.digest
    let bytes = try DurableFile.read(source.blobPath(digest), limit: 64 << 20)
    let offset = try Stargz.tocOffset(footer: Array(bytes.suffix(Stargz.footerSize)), size: Int64(bytes.count))
    let toc = try Stargz.tableOfContents(
      Array(bytes[Int(offset)..<bytes.count - Stargz.footerSize]), digest: try #require(layer.descriptor.tocDigest))
    let tree = try StargzTree(toc, tocOffset: offset)
    let store = try ContentStore.open(root: "\(base)/store")
    try await body(bytes, tree) { layer in
      let blob = try LazyBlob(path: "\(base)/store/part", size: Int64(layer.bytes.count), time: VirtualClock()) {
        try await layer.fetch($0)
      }
      try await blob.fetchRest()
      let kept = await LazyServer.keep(digest, blob, tree, in: store) { _ in }
      #expect((try store.blobSize(digest) != nil) == (kept == .kept))
      return (blob, kept)
    }
  }

  @Test func whatCameWrongIsForgottenAndNotKept() async throws {
    try await withLayer { bytes, tree, keep in
      let chunk = tree.chunks[1]
      var damaged = bytes
      damaged[Int(chunk.offset) + 100] ^= 1
      let (blob, answer) = try await keep(FakeLayer(damaged))
      #expect(answer == .wrong)
      #expect(!blob.has(chunk.offset..<chunk.end) && !blob.seal())
      // Nothing that can be read is wrong: the last bytes of the footer.
      damaged = bytes
      damaged[damaged.count - 1] ^= 1
      let (other, all) = try await keep(FakeLayer(damaged))
      #expect(all == .wrong && !other.has(0..<1) && !other.has(other.size - 1..<other.size))
      let (_, kept) = try await keep(FakeLayer(bytes))
      #expect(kept == .kept)
    }
  }

  @Test func chunksInMemoryAreBounded() async throws {
    try await withBlob(1) { _, blob, _ in
      let chunks = LazyChunks(bytesMax: 1000)
      for number in 0..<100 { chunks.keep([UInt8](repeating: UInt8(number), count: 100), of: number, in: blob) }
      #expect((0..<100).count { chunks.content(of: $0, in: blob) != nil } == 10)
      #expect(chunks.content(of: 99, in: blob) == [UInt8](repeating: 99, count: 100))
      // The least recently used goes first.
      _ = chunks.content(of: 90, in: blob)
      chunks.keep([1], of: 200, in: blob)
      chunks.keep([UInt8](repeating: 1, count: 150), of: 201, in: blob)
      #expect(chunks.content(of: 90, in: blob) != nil && chunks.content(of: 91, in: blob) == nil)
    }
  }

  @Test func ordersAndRecordsAreReadAsTheyWereWritten() throws {
    var order = LazyOrder(
      image: Digest(of: [1]), registry: "r.example:5000", repository: "a/b", credentials: nil, store: "/s",
      folder: "/f",
      mounts: "/m", deadline: .seconds(60),
      layers: [.init(digest: Digest(of: [2]), size: 5, tocDigest: Digest(of: [3]))])
    for credentials: Credentials? in [
      nil, .basic(username: "u", password: "p"), .identityToken("i"), .registryToken("t"),
    ] {
      order.credentials = credentials
      #expect(LazyOrder(json: try JSON.parse(order.json.serialized())) == order)
    }
    #expect(LazyOrder(json: ["image": "x"]) == nil)
    order.layers[0].size = LazyBlob.sizeMax + 1
    #expect(LazyOrder(json: order.json) == nil)
    var json = order.json
    json["layers"] = [["digest": "sha256:1"]]
    #expect(LazyOrder(json: json) == nil)
  }
}
