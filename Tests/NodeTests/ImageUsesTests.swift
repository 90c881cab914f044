import LinuxSystem
import Logging
import Testing
import Wire

@testable import Node
@testable import OCI

@Suite("Images in use")
struct ImageUsesTests {
  private let clock = VirtualClock()
  private let pins = FakePins()

  private func digest(_ letter: Character) -> Digest {
    guard let digest = Digest("sha256:" + String(repeating: letter, count: 64)) else { fatalError("a digest") }
    return digest
  }

  private func uses(_ folder: String) -> ImageUses {
    ImageUses(
      pins: pins, lanes: testLanes.images, path: "\(folder)/pulled.json", time: clock, log: Logger(label: "test"))
  }

  private func found(_ name: String, _ letter: Character) throws -> FoundImage {
    FoundImage(
      image: OCI.Image(
        names: [name], digest: digest(letter), id: digest("0"), size: 1, config: ImageConfig(), layers: []),
      reference: try Reference(parsing: name), target: digest(letter))
  }

  @Test("the first user pins, the last one lets go")
  func counting() async throws {
    try await withTemporaryFolder { folder in
      let uses = uses(folder)
      var hold = try uses.hold(digest("a"))
      #expect(hold != nil && pins.pinned == [digest("a")])
      // The end of a hold comes on another thread.
      hold = nil
      while !pins.pinned.isEmpty { await Task.yield() }
      hold = try uses.hold(digest("a"))
      try uses.began("c1", digest("a"))
      try uses.began("c2", digest("a"))
      let writes = pins.writes
      hold = nil
      uses.ended("c1")
      #expect(pins.pinned == [digest("a")])
      #expect(pins.writes == writes)
      uses.ended("c1")
      uses.ended("unknown")
      uses.ended("c2")
      while !pins.pinned.isEmpty { await Task.yield() }
    }
  }

  @Test("an image that is not there cannot be held")
  func missing() throws {
    pins.missing = [digest("a")]
    try withTemporaryFolder { folder in
      let hold = try uses(folder).hold(digest("a"))
      #expect(hold == nil)
    }
  }

  @Test("the start of the node pins what is there and lets go the rest")
  func adoption() throws {
    _ = pins.pin(digest("f"))
    try withTemporaryFolder { folder in
      try uses(folder).adopt([("c1", digest("a")), ("c2", digest("a")), ("c3", digest("b"))])
      #expect(pins.pinned == [digest("a"), digest("b")])
    }
  }

  @Test("what was pulled is remembered, and how long it is unused")
  func pulled() throws {
    try withTemporaryFolder { folder in
      let first = uses(folder)
      first.pulled(try found("registry.test/a:1", "a"))
      let began = clock.now()
      clock.advance(by: .seconds(100))
      first.pulled(try found("registry.test/b:1", "b"))
      // Pulled again without news: as old as before.
      first.pulled(try found("registry.test/a:1", "a"))
      // By a digest: there is no name to remove.
      first.pulled(try found("registry.test/c@\(digest("c"))", "c"))
      clock.advance(by: .seconds(100))
      try first.began("c1", digest("b"))
      first.ended("c1")
      first.save()

      let second = uses(folder)
      try second.adopt([])
      let images = second.pulledImages
      #expect(images.map(\.name) == ["registry.test/a:1", "registry.test/b:1"])
      #expect(images.map(\.pulledAt) == [began, began.adding(.seconds(100))])
      #expect(images.map(\.lastUsedAt) == [began.adding(.seconds(100)), began.adding(.seconds(200))])
      second.forgetPulled("registry.test/a:1")
      let third = uses(folder)
      try third.adopt([])
      #expect(third.pulledImages.map(\.name) == ["registry.test/b:1"])
    }
  }
}

private func makeTemporaryFolder() throws -> String {
  let path = "/tmp/apus-uses-\(UInt64.random(in: 0 ... .max))"
  try Directory.create(path)
  return path
}

private func withTemporaryFolder(_ body: (String) throws -> Void) throws {
  let folder = try makeTemporaryFolder()
  defer { try? Directory.removeTree(folder) }
  try body(folder)
}

private func withTemporaryFolder(_ body: (String) async throws -> Void) async throws {
  let folder = try makeTemporaryFolder()
  defer { try? Directory.removeTree(folder) }
  try await body(folder)
}
