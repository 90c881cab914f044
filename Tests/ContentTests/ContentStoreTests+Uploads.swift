import LinuxSystem
import OCI
import Testing
import Wire

@testable import Content

/// Uploads and the room that they may take.
extension ContentStoreTests {
  // MARK: Uploads

  @Test func uploadsInPieces() throws {
    let store = try open()
    let upload = try store.beginUpload(in: app)
    try upload.append(Array("hel".utf8), at: 0)
    let error = #expect(throws: OCIError.self) { try upload.append(Array("lo".utf8), at: 4) }
    #expect(error?.code == .outOfOrder)
    #expect(try store.upload(upload.id, in: app)?.offset == 3)
    #expect(try store.upload(upload.id, in: Repository(path: "other")) == nil)
    #expect(try store.upload("nothing", in: app) == nil)
    try upload.append(Array("lo".utf8), at: 3)
    let digest = Digest(of: Array("hello".utf8))
    #expect(try store.isLinked(digest, in: app) == false)
    #expect(try upload.finish(digest).size == 5)
    #expect(try store.blobSize(digest, in: app) == 5)
    #expect(try store.blobSize(digest, in: Repository(path: "other")) == nil)
    #expect(try store.upload(upload.id, in: app) == nil)
    #expect(try Directory.list("\(store.root)/uploads").isEmpty)
    #expect(throws: OCIError.self) { try upload.append([1]) }
    #expect(throws: OCIError.self) { try upload.finish(digest) }
  }

  @Test func uploadsSurviveARestart() throws {
    let id: String
    do {
      let store = try open()
      let upload = try store.beginUpload(in: app)
      try upload.append(Array("hel".utf8))
      id = upload.id
      store.close()
    }
    let store = try open()
    let upload = try #require(try store.upload(id, in: app))
    #expect(upload.offset == 3)
    try upload.append(Array("lo".utf8), at: 3)
    _ = try upload.finish(Digest(of: Array("hello".utf8), .sha512))
    #expect(try store.document(Digest(of: Array("hello".utf8), .sha512)) == Array("hello".utf8))
  }

  @Test func anUploadWithAWrongDigestIsGone() throws {
    let store = try open()
    let upload = try store.beginUpload(in: app)
    try upload.append([1])
    let error = #expect(throws: OCIError.self) { try upload.finish(Digest(of: [2])) }
    #expect(error?.code == .digestMismatch)
    #expect(try store.upload(upload.id, in: app) == nil)
    #expect(try Directory.list("\(store.root)/uploads").isEmpty)
    #expect(try files().isEmpty)
    let cancelled = try store.beginUpload(in: app)
    try cancelled.cancel()
    #expect(try store.upload(cancelled.id, in: app) == nil)
  }

  @Test func forgottenUploadsAreRemoved() throws {
    let store = try open()
    let old = try store.beginUpload(in: app)
    clock.advance(.seconds(20 * 3600))
    let new = try store.beginUpload(in: app)
    clock.advance(.seconds(5 * 3600))
    #expect(try store.collectGarbage().uploadsRemoved == 1)
    #expect(try store.upload(old.id, in: app) == nil)
    #expect(try store.upload(new.id, in: app) != nil)
  }

  // MARK: Quotas

  @Test func quotas() throws {
    let store = try open()
    let image = Content("a", layers: 2, size: 1000)
    try store.push(image, to: app, tags: ["1"])
    let size = Int64(image.config.count + 2000 + image.manifest.count)
    #expect(try store.usage(of: app) == size)
    try store.setQuotas([RepositoryQuota(prefix: "team", bytesMax: size + 1500)])
    #expect(try store.quotas().count == 1)
    let next = Repository(path: "team/next")
    try store.checkQuota(of: next, adding: 1500)
    #expect(throws: OCIError.self) { try store.checkQuota(of: next, adding: 1501) }
    let big = Content("b", layers: 2, size: 1000)
    let upload = try store.beginUpload(in: next)
    try upload.append(big.layers[0])
    _ = try upload.finish(Digest(of: big.layers[0]))
    // As many as there is room for; they are still there when there is more.
    let second = try store.beginUpload(in: next)
    try second.append(Array(big.layers[1][..<400]))
    let early = #expect(throws: OCIError.self) { try second.append(Array(big.layers[1][400...])) }
    #expect(early?.code == .quotaExceeded)
    #expect(try store.upload(second.id, in: next)?.offset == 400)
    // What was taken in without a look is looked at in the end.
    try Array(big.layers[1][400...]).withUnsafeBytes { (rest) throws in
      try second.append(UnsafeRawBufferPointer(rest), stored: 1000)
    }
    let error = #expect(throws: OCIError.self) { try second.finish(Digest(of: big.layers[1])) }
    #expect(error?.code == .quotaExceeded)
    #expect(try store.blobSize(Digest(of: big.layers[1])) == nil)
    #expect(!(try files()).contains(Digest(of: big.layers[1]).hex))
    #expect(try store.upload(second.id, in: next)?.offset == 1000)
    try second.cancel()
    // What is there already may be put again, and other repositories are free.
    try store.putManifest(image.manifest, mediaType: MediaType.manifest, tags: ["2"], in: app)
    try store.push(big, to: Repository(path: "teams"), tags: ["1"])
    _ = try store.deleteManifest(image.digest, in: app)
    #expect(try store.usage(of: app) == size - Int64(image.manifest.count))
    clock.advance(.seconds(50 * 3600))
    _ = try store.collectGarbage()
    #expect(try store.usage(host: "", prefix: "team") == 0)
    _ = try store.beginUpload(in: next)
    try store.setQuotas([])
    #expect(try store.usage(prefix: "") > 0)
  }
}
