import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import Content

/// Content that can be had again is given up when it becomes too much.
@Suite struct EvictionTests {
  private let folder = TemporaryFolder()
  private let clock = TestClock()
  private let idle = Duration.seconds(900)

  private func open() throws -> ContentStore {
    try ContentStore.open(root: "\(folder.path)/images", time: clock, isDurable: true, faults: Faults())
  }

  private func repository(_ path: String) -> Repository { Repository(host: "upstream", path: path) }
  private func files() throws -> Set<String> { Set(try Directory.list("\(folder.path)/images/blobs/sha256")) }

  @Test func leastRecentlyUsedFirst() throws {
    let store = try open()
    let images = (0..<4).map { Content("\($0)", layers: 1, size: 10_000) }
    for (index, image) in images.enumerated() {
      try store.push(image, to: repository("r\(index)"), tags: ["1"])
      clock.advance(.seconds(600))
    }
    // The oldest one is used again; the last one is in use.
    try store.touch(images[0].digest, in: repository("r0"))
    clock.advance(.seconds(700))
    _ = try store.manifest(.tag("1"), in: repository("r3"))
    let size = try store.usage(of: repository("r0"))
    #expect(try store.evict(host: "upstream", bytesMax: 5 * size, idle: idle) == EvictionReport())
    let report = try store.evict(host: "upstream", bytesMax: 3 * size, idle: idle)
    #expect(report.manifests == 1 && report.blobs == 3 && report.bytes == size)
    #expect(try store.manifest(.tag("1"), in: repository("r1")) == nil)
    for index in [0, 2, 3] { #expect(try store.manifest(.tag("1"), in: repository("r\(index)")) != nil, "\(index)") }
    #expect(try files().isDisjoint(with: (images[1].blobs + [images[1].manifest]).map { Digest(of: $0).hex }))
    #expect(try store.trash().isEmpty)
    // What was used within the time stays, however much there is.
    _ = try store.evict(host: "upstream", bytesMax: 0, idle: idle)
    #expect(try store.manifest(.tag("1"), in: repository("r0")) != nil)
    #expect(try store.manifest(.tag("1"), in: repository("r2")) == nil)
    clock.advance(.seconds(901))
    _ = try store.evict(host: "upstream", bytesMax: 0, idle: idle)
    #expect(try store.usage(host: "upstream", prefix: "") == 0)
    #expect(try files().isEmpty)
    // Other hosts are nobody's cache.
    try store.push(images[0], to: Repository(path: "r0"), tags: ["1"])
    clock.advance(.seconds(10_000))
    #expect(try store.evict(host: "upstream", bytesMax: 0, idle: idle) == EvictionReport())
  }

  @Test func whatIsNeededElsewhereStays() throws {
    let store = try open()
    let base = [UInt8](repeating: 1, count: 5000)
    let (shared, pinned) = (Content("a", layers: 1, shared: [base]), Content("b", layers: 1, shared: [base]))
    try store.push(shared, to: repository("a"), tags: ["1"])
    try store.push(pinned, to: repository("b"), tags: ["1"])
    try store.push(shared, to: Repository(path: "own"), tags: ["1"])
    #expect(try store.pinSet("node").pin(pinned.digest))
    // Loose here, and needed elsewhere: more of them than one transaction takes, and older than what can go.
    let own = try #require(shared.blobs.first { !pinned.blobs.contains($0) })
    for index in 0..<40 { #expect(try store.link(Digest(of: own), in: repository("loose/\(index)"))) }
    clock.advance(.seconds(1))
    let loose = [UInt8](repeating: 2, count: 700)
    let upload = try store.beginUpload(in: repository("c"))
    try upload.append(loose)
    _ = try upload.finish(Digest(of: loose))
    clock.advance(.seconds(1000))
    let report = try store.evict(host: "upstream", bytesMax: 0, idle: idle)
    #expect(report.manifests == 1 && report.bytes == 700 && report.links >= 41, "\(report)")
    #expect(try store.usage(host: "upstream", prefix: "loose") == 0)
    #expect(try store.manifest(.tag("1"), in: repository("a")) == nil)
    for (content, repository) in [(shared, Repository(path: "own")), (pinned, repository("b"))] {
      #expect(try store.manifest(.tag("1"), in: repository)?.bytes == content.manifest)
      for blob in content.blobs { #expect(try store.document(Digest(of: blob)) == blob) }
    }
    #expect(try store.openBlob(Digest(of: loose)) == nil)
    // A collection finds nothing amiss.
    _ = try store.collectGarbage()
    for blob in shared.blobs + pinned.blobs { #expect(try store.blobSize(Digest(of: blob)) != nil) }
  }

  /// An index goes with what only it had, and what is fetched again is whole.
  @Test func indexes() throws {
    let store = try open()
    let children = ["a", "b"].map { Content($0, layers: 1, size: 1000) }
    let index = Content.index(children.map(\.manifest))
    func fetch() throws {
      for child in children { try store.push(child, to: repository("i")) }
      try store.putManifest(index, mediaType: MediaType.index, tags: ["1"], in: repository("i"))
    }
    try fetch()
    clock.advance(.seconds(1000))
    _ = try store.evict(host: "upstream", bytesMax: 100, idle: idle)
    #expect(try store.usage(host: "upstream", prefix: "") <= 100)
    try fetch()
    #expect(try store.manifest(.tag("1"), in: repository("i"))?.bytes == index)
    for child in children {
      for blob in child.blobs { #expect(try store.document(Digest(of: blob)) == blob) }
    }
  }
}
