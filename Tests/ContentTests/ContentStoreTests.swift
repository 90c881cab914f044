import Glibc
import Layers
import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import Content

@Suite struct ContentStoreTests {
  let folder = TemporaryFolder()
  let clock = TestClock()
  let app = Repository(path: "team/app")

  func open(faults: Faults = Faults()) throws -> ContentStore {
    try ContentStore.open(root: "\(folder.path)/images", time: clock, isDurable: true, faults: faults)
  }

  func files() throws -> [String] { try Directory.list("\(folder.path)/images/blobs/sha256") }

  func options(_ change: (inout GarbageOptions) -> Void = { _ in }) -> GarbageOptions {
    var options = GarbageOptions()
    change(&options)
    return options
  }

  // MARK: Blobs

  @Test func storesABlobOnce() throws {
    let store = try open()
    let bytes = Array("hello".utf8)
    let lease = try store.lease(for: .seconds(60))
    let blob = try store.storeBlob(bytes, lease: lease)
    #expect(blob == StoredBlob(digest: Digest(of: bytes), size: 5))
    #expect(try store.storeBlob(bytes, lease: lease) == blob)
    #expect(try store.blobSize(blob.digest) == 5)
    #expect(try store.document(blob.digest) == bytes)
    let file = try #require(try store.openBlob(blob.digest))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 3, alignment: 1)
    defer { buffer.deallocate() }
    #expect(try file.read(into: buffer, at: 2) == 3)
    #expect(Array(buffer) == Array("llo".utf8))
    #expect(try files().count == 1)
    #expect(try store.storeBlob([], lease: lease).size == 0)
    let other = try ContentStore.open(root: store.root, time: clock)
    #expect(try other.document(blob.digest) == bytes)
  }

  @Test func refusesAWrongDigest() throws {
    let store = try open()
    let lease = try store.lease(for: .seconds(60))
    let wrong = Digest(of: [1])
    let error = #expect(throws: OCIError.self) { try store.storeBlob([2], expecting: wrong, lease: lease) }
    #expect(error?.code == .digestMismatch)
    #expect(try files().isEmpty)
    let sha512 = Digest(of: [2], .sha512)
    let writer = try store.newBlob()
    try writer.write([2])
    #expect(try writer.commit(expecting: sha512, lease: lease).digest == sha512)
    #expect(try Directory.list("\(store.root)/blobs/sha512") == [sha512.hex])
    #expect(throws: OCIError.self) { try writer.commit(lease: lease) }
  }

  @Test func forgetsWhatIsNotCommitted() throws {
    let store = try open()
    do {
      let writer = try store.newBlob()
      try writer.write([1, 2, 3])
    }
    let work = try Directory.list("\(store.root)/work")
    #expect(work.count == 1)
    #expect(try Directory.list("\(store.root)/work/\(work[0])") == ["lock"])
  }

  // MARK: Several at a time

  @Test func parallelPushesShareLayers() async throws {
    let store = try open()
    let other = try open()
    let shared = Content("base").layers
    try await withThrowingTaskGroup { group in
      for index in 0..<16 {
        group.addTask {
          let store = index % 2 == 0 ? store : other
          try await blocking { () throws(OCIError) in
            for round in 0..<4 {
              let content = Content("p\(index)-\(round)", layers: 1, shared: shared)
              do { try store.push(content, to: Repository(path: "r\(index % 4)"), tags: ["t\(index)"]) } catch {
                throw (error as? OCIError) ?? OCIError(.system, "\(error)")
              }
            }
          }
        }
      }
      group.addTask {
        try await blocking { () throws(OCIError) in
          for _ in 0..<8 { _ = try other.collectGarbage() }
        }
      }
      try await group.waitForAll()
    }
    for index in 0..<16 {
      let content = Content("p\(index)-3", layers: 1, shared: shared)
      let record = try #require(try store.manifest(.tag("t\(index)"), in: Repository(path: "r\(index % 4)")))
      #expect(record.digest == content.digest)
      for blob in content.blobs { #expect(try store.document(Digest(of: blob)) == blob) }
    }
    clock.advance(.seconds(10))
    #expect(try store.scrub().isEmpty)
  }
}
