import OCI
import TestKit
import Testing
import Wire

@testable import Content

/// Deletions that somebody else has still to learn of.
@Suite struct DeletionTests {
  private let folder = TemporaryFolder()
  private let app = Repository(path: "team/app")

  private func open(faults: Faults = Faults()) throws -> ContentStore {
    try ContentStore.open(root: "\(folder.path)/images", time: TestClock(), isDurable: true, faults: faults)
  }

  private func waiting(_ store: ContentStore, _ name: String = "r") throws -> [String] {
    try store.deletions(for: name, limit: 100).map { "\($0.repository) \($0.reference)" }
  }

  @Test func areKeptUntilAcknowledged() throws {
    let image = Content("a")
    do {
      let store = try open()
      try store.push(image, to: app, tags: ["0", "1", "2"])
      #expect(try store.deleteTag("0", in: app))
      try store.setDeletionListeners(["r", "s"])
      // A tag that moves, and what nobody deletes by name, is no deletion.
      try store.push(Content("b"), to: app, tags: ["2"])
      #expect(try store.deleteTag("none", in: app) == false)
      try store.push(image, to: Repository(host: "elsewhere", path: "x"), tags: ["1"])
      #expect(try store.deleteTag("1", in: Repository(host: "elsewhere", path: "x")))
      #expect(try waiting(store).isEmpty)
      #expect(throws: OCIError.self) { try store.deleteTag("2", in: app, isImmutable: { _ in true }) }
      #expect(try store.deleteTag("2", in: app))
      #expect(try store.deleteManifest(image.digest, in: app))
      store.close()
    }
    let store = try open()
    #expect(try waiting(store) == ["team/app 2", "team/app 1", "team/app \(image.digest)"])
    #expect(try waiting(store, "s").count == 3)
    let first = try #require(try store.deletions(for: "r", limit: 1).first)
    #expect(first.reference == .tag("2"))
    let behind = try store.deletions(for: "r", after: first, limit: 1)
    #expect(behind.map(\.reference) == [.tag("1")])
    // Deleted again meanwhile: that one is to be made as well.
    try store.push(image, to: app, tags: ["2"])
    #expect(try store.deleteTag("2", in: app))
    try store.acknowledge(first)
    #expect(try waiting(store) == ["team/app 1", "team/app \(image.digest)", "team/app 2"])
    try store.setDeletionListeners(["s"])
    #expect(try waiting(store).isEmpty)
    #expect(try waiting(store, "s").count == 3)
  }

  /// The deletion and the note of it are one change.
  @Test(arguments: [Faults.Point.beforeCommit, .afterCommit])
  func surviveACrash(at point: Faults.Point) throws {
    do {
      let store = try open()
      try store.push(Content("a"), to: app, tags: ["1"])
      try store.setDeletionListeners(["r"])
      store.close()
    }
    do {
      var faults = Faults()
      faults.reach = { (reached) throws(OCIError) in if reached == point { throw Faults.crash } }
      let store = try open(faults: faults)
      #expect(throws: OCIError.self) { try store.deleteTag("1", in: app) }
    }
    let store = try open()
    let isGone = try store.manifest(.tag("1"), in: app) == nil
    #expect(isGone == (point == .afterCommit))
    #expect(try waiting(store) == (isGone ? ["team/app 1"] : []))
  }
}
