import Content
import Logging
import OCI
import Synchronization
import Testing
import Wire

@testable import Node

/// On a real store, with a disk that the test makes up.
@Suite("Image collector")
struct ImageCollectorTests {
  private let clock = VirtualClock()

  private func withImages(
    _ names: [String], _ body: (NodeHarness, ImageUses) async throws -> Void
  ) async throws {
    let harness = try await NodeHarness(time: clock)
    defer { harness.close() }
    let uses = ImageUses(
      pins: harness.images.content.pinSet("test"), lanes: testLanes.images, path: "\(harness.base)/pulled.json",
      time: clock, log: Logger(label: "test"))
    let catalog = ImageCatalog(store: harness.images)
    for name in names {
      _ = try await harness.importImage(name)
      uses.pulled(try #require(try catalog.find(name)))
      clock.advance(by: .seconds(600))
    }
    try await body(harness, uses)
  }

  /// A disk of 100,000 bytes on which each image takes 6,000.
  private func collector(
    _ harness: NodeHarness, _ uses: ImageUses, full: Int64, failures: SharedMessages = SharedMessages()
  ) -> ImageCollector {
    let images = harness.images
    let count = images.list().count
    return ImageCollector(
      catalog: ImageCatalog(store: images), uses: uses, lanes: testLanes.collection, policy: ImageCollectionPolicy(),
      time: clock, log: Logger(label: "test"),
      usage: {
        let available = (100 - full) * 1000 + Int64(count - images.list().count) * 6000
        return FileSystemUsage(total: 100_000, available: available, inodesTotal: 0, inodesFree: 0)
      }, failed: { failures.add($0) })
  }

  private func names(_ harness: NodeHarness) -> [String] { harness.images.list().flatMap(\.names) }

  @Test("nothing goes while there is space")
  func space() async throws {
    try await withImages(["registry.test/a:1"]) { harness, uses in
      #expect(collector(harness, uses, full: 84).collect().isEmpty)
      #expect(names(harness).contains("registry.test/a:1"))
    }
  }

  @Test("the longest unused goes until there is enough")
  func enough() async throws {
    try await withImages(["registry.test/a:1", "registry.test/b:1", "registry.test/c:1"]) { harness, uses in
      let failures = SharedMessages()
      #expect(collector(harness, uses, full: 86, failures: failures).collect() == ["registry.test/a:1"])
      #expect(!names(harness).contains("registry.test/a:1"))
      #expect(names(harness).contains("registry.test/b:1"))
      #expect(uses.pulledImages.map(\.name) == ["registry.test/b:1", "registry.test/c:1"])
      #expect(failures.all.isEmpty)
    }
  }

  @Test("what runs, what was imported and what was made anew by hand stays, and that is told")
  func protection() async throws {
    try await withImages(["registry.test/a:1", "registry.test/b:1", "registry.test/c:1"]) { harness, uses in
      let used = try #require(try harness.images.image("registry.test/a:1"))
      try uses.began("c1", used.digest)
      // The name leads elsewhere now.
      _ = try await harness.importImage("registry.test/b:1", healthcheck: ["Test": ["NONE"]])
      _ = try await harness.importImage("registry.test/by-hand:1")
      let failures = SharedMessages()
      #expect(collector(harness, uses, full: 99, failures: failures).collect() == ["registry.test/c:1"])
      #expect(
        names(harness) == [
          "localhost/web:1", "registry.test/a:1", "registry.test/b:1", "registry.test/by-hand:1",
        ])
      #expect(
        failures.all == [
          "Failed to garbage collect required amount of images. Attempted to free 19000 bytes, but only found 6000 bytes "
            + "eligible to free."
        ])
    }
  }
}

final class SharedMessages: Sendable {
  private let messages = Mutex<[String]>([])
  var all: [String] { messages.withLock { $0 } }
  func add(_ message: String) { messages.withLock { $0.append(message) } }
}
