import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import Content

/// What is kept, for how long, and what is taken away.
extension ContentStoreTests {
  // MARK: Leases and pins

  @Test func aLeaseKeepsBlobsUntilItEnds() throws {
    let store = try open()
    let lease = try store.lease(for: .seconds(600))
    let blob = try store.storeBlob([1, 2, 3], lease: lease)
    clock.advance(.seconds(500))
    #expect(try store.collectGarbage().blobsTrashed == 0)
    try lease.extend(for: .seconds(600))
    clock.advance(.seconds(500))
    #expect(try store.collectGarbage().blobsTrashed == 0)
    clock.advance(.seconds(200))
    #expect(try store.collectGarbage().blobsTrashed == 1)
    #expect(try store.blobSize(blob.digest) == nil)
    let error = #expect(throws: OCIError.self) { try lease.pin(blob.digest) }
    #expect(error?.code == .leaseExpired)
    #expect(throws: OCIError.self) { try lease.extend(for: .seconds(1)) }
    // Out of the trash.
    let second = try store.lease(for: .seconds(600))
    #expect(try second.pin(blob.digest))
    #expect(try store.blobSize(blob.digest) == 3)
    #expect(try second.pin(Digest(of: [9])) == false)
    second.release()
    #expect(try store.collectGarbage().blobsTrashed == 1)
    clock.advance(.seconds(25 * 3600))
    #expect(try store.collectGarbage().blobsDeleted == 1)
    #expect(try files().isEmpty)
  }

  @Test func whatRunsIsNotCollected() throws {
    let store = try open()
    let image = Content("a")
    try store.push(image, to: app, tags: ["1"])
    let running = store.pinSet("node")
    #expect(try running.pin(image.digest))
    _ = try store.deleteManifest(image.digest, in: app)
    for _ in 0..<4 {
      clock.advance(.seconds(50 * 3600))
      _ = try store.collectGarbage()
    }
    #expect(try files().count == 4)
    let after = try open()
    #expect(try after.pinSet("node").digests() == [image.digest])
    #expect(try after.pinSet("node").replace(with: [image.digest, Digest(of: [1])]) == [Digest(of: [1])])
    try after.pinSet("node").unpin(image.digest)
    clock.advance(.seconds(50 * 3600))
    _ = try after.collectGarbage()
    clock.advance(.seconds(50 * 3600))
    _ = try after.collectGarbage()
    #expect(try files().isEmpty)
  }

  // MARK: Garbage

  @Test func collectsWhatNobodyNeeds() throws {
    let store = try open()
    let base = Content("base")
    let (a, b) = (Content("a", shared: base.layers), Content("b", shared: base.layers))
    try store.push(a, to: app, tags: ["a"])
    try store.push(b, to: app, tags: ["b"])
    #expect(try store.collectGarbage() == GarbageReport())
    _ = try store.deleteTag("b", in: app)
    #expect(try store.collectGarbage().manifestsTrashed == 0)
    clock.advance(.seconds(25 * 3600))
    let first = try store.collectGarbage()
    #expect(first.manifestsTrashed == 1)
    #expect(first.blobsDeleted == 0)
    #expect(try store.manifest(.digest(b.digest), in: app) == nil)
    #expect(try store.manifest(.tag("a"), in: app) != nil)
    clock.advance(.seconds(25 * 3600))
    let second = try store.collectGarbage()
    #expect(second.manifestsDeleted == 1)
    #expect(second.blobsDeleted == 4)
    #expect(second.bytesDeleted == Int64(b.config.count + 200 + b.manifest.count))
    #expect(try files().count == 6)
    for blob in a.blobs { #expect(try store.isLinked(Digest(of: blob), in: app)) }
    for blob in b.blobs.dropFirst(3) { #expect(try !store.isLinked(Digest(of: blob), in: app)) }
  }

  @Test func theSubjectOwnsItsReferrers() throws {
    let store = try open()
    let image = Content("a")
    let signature = Content("sig", layers: 1, subject: image.manifest)
    let about = Content("about", layers: 1, subject: signature.manifest)
    try store.push(signature, to: app)
    try store.push(about, to: app)
    try store.push(image, to: app, tags: ["1"])
    for _ in 0..<3 {
      clock.advance(.seconds(100 * 3600))
      #expect(try store.collectGarbage() == GarbageReport())
    }
    _ = try store.deleteTag("1", in: app)
    clock.advance(.seconds(100 * 3600))
    #expect(try store.collectGarbage().manifestsTrashed == 3)
    clock.advance(.seconds(100 * 3600))
    _ = try store.collectGarbage()
    #expect(try files().isEmpty)
    // One whose subject never comes stays for its grace only.
    try store.push(signature, to: app)
    clock.advance(.seconds(10 * 3600))
    #expect(try store.collectGarbage().manifestsTrashed == 0)
    clock.advance(.seconds(20 * 3600))
    #expect(try store.collectGarbage(options { $0.untaggedGrace = nil }).manifestsTrashed == 1)
  }

  @Test func anIndexKeepsItsChildren() throws {
    let store = try open()
    let (a, b) = (Content("a"), Content("b"))
    try store.push(a, to: app)
    try store.push(b, to: app)
    let index = Content.index([a.manifest, b.manifest])
    try store.putManifest(index, mediaType: MediaType.index, tags: ["1"], in: app)
    clock.advance(.seconds(100 * 3600))
    #expect(try store.collectGarbage() == GarbageReport())
    #expect(try store.deleteManifest(Digest(of: index), in: app))
    #expect(try store.collectGarbage().manifestsTrashed == 2)
  }

  @Test func theTrashCanBeUndone() throws {
    let store = try open()
    let image = Content("a")
    let signature = Content("sig", layers: 1, subject: image.manifest)
    try store.push(image, to: app, tags: ["1", "2"])
    try store.push(signature, to: app)
    let usage = try store.usage(of: app)
    #expect(try store.deleteManifest(image.digest, in: app))
    clock.advance(.seconds(23 * 3600))
    _ = try store.collectGarbage(options { $0.unreferencedGrace = .seconds(1) })
    let trash = try store.trash()
    #expect(Set(trash.map(\.digest)) == [image.digest, signature.digest])
    #expect(trash.first { $0.digest == image.digest }?.tags == ["1", "2"])
    #expect(trash.allSatisfy { $0.repository == app })
    try store.push(Content("new"), to: app, tags: ["2"])
    #expect(try store.restoreFromTrash(image.digest, in: Repository(path: "other")) == false)
    #expect(try store.restoreFromTrash(image.digest))
    #expect(try store.restoreFromTrash(image.digest) == false)
    #expect(try store.manifest(.tag("1"), in: app)?.digest == image.digest)
    #expect(try store.manifest(.tag("2"), in: app)?.digest == Content("new").digest)
    #expect(try store.referrers(to: image.digest, in: app).descriptors.map(\.digest) == [signature.digest])
    for blob in image.blobs + signature.blobs { #expect(try store.isLinked(Digest(of: blob), in: app)) }
    _ = try store.deleteManifest(Content("new").digest, in: app)
    clock.advance(.seconds(100 * 3600))
    _ = try store.collectGarbage()
    #expect(try store.usage(of: app) == usage)
    #expect(try store.manifest(.tag("1"), in: app)?.bytes == image.manifest)
    let blob = try store.storeBlob([5], lease: try store.lease(for: .seconds(1)))
    clock.advance(.seconds(5))
    #expect(try store.collectGarbage().blobsTrashed == 1)
    #expect(try store.trash().map(\.digest) == [blob.digest])
    #expect(try store.restoreFromTrash(blob.digest, in: app))
    #expect(try store.isLinked(blob.digest, in: app))
  }

  @Test func pushingAgainTakesItOutOfTheTrash() throws {
    let store = try open()
    let image = Content("a")
    try store.push(image, to: app, tags: ["1"])
    _ = try store.deleteManifest(image.digest, in: app)
    clock.advance(.seconds(23 * 3600))
    _ = try store.collectGarbage()
    try store.push(image, to: app, tags: ["1"])
    #expect(try store.trash().isEmpty)
    clock.advance(.seconds(1000 * 3600))
    #expect(try store.collectGarbage() == GarbageReport())
    #expect(try store.manifest(.tag("1"), in: app)?.bytes == image.manifest)
  }

  /// A client asks for a blob long after it was pushed, and refers to it soon after: it must still be there.
  @Test func askingForABlobKeepsIt() throws {
    let store = try open()
    let image = Content("a")
    for blob in image.blobs {
      let upload = try store.beginUpload(in: app)
      try upload.append(blob)
      _ = try upload.finish(Digest(of: blob))
    }
    clock.advance(.seconds(23 * 3600))
    for blob in image.blobs { #expect(try store.isLinked(Digest(of: blob), in: app)) }
    clock.advance(.seconds(2 * 3600))
    #expect(try store.collectGarbage().linksRemoved == 0)
    try store.putManifest(image.manifest, mediaType: MediaType.manifest, tags: ["1"], in: app)
    clock.advance(.seconds(48 * 3600))
    #expect(try store.collectGarbage() == GarbageReport())
  }

  @Test func removesFilesWithoutARow() throws {
    let stray = Digest(of: [1, 2])
    do {
      let store = try open()
      try store.push(Content("a"), to: app, tags: ["1"])
      _ = try folder.write([1, 2], "images/blobs/sha256/\(stray.hex)")
      _ = try folder.write([1, 2], "images/work/removed-sha256-\(stray.hex)")
    }
    let store = try open()
    #expect(try store.blobSize(stray) == nil)
    _ = try store.collectGarbage()
    #expect(try files().count == 4)
    #expect(try Directory.list("\(store.root)/work").isEmpty)
  }
}
