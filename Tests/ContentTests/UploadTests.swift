import Glibc
import LinuxSystem
import OCI
import Synchronization
import TestKit
import Testing
import Wire

@testable import Content

/// Unfinished uploads: what they may take, over restarts and in any number.
@Suite struct UploadTests {
  private let folder = TemporaryFolder()
  private let clock = TestClock()
  private let app = Repository(path: "team/app")
  private let other = Repository(path: "team/other")

  private func open(_ change: (inout UploadLimits) -> Void = { _ in }) throws -> ContentStore {
    let store = try ContentStore.open(
      root: "\(folder.path)/images", time: clock, isDurable: false, faults: Faults())
    var limits = UploadLimits()
    change(&limits)
    store.setUploadLimits(limits)
    return store
  }

  private func refused(_ body: () throws -> Void) -> OCIError.Code? {
    do {
      try body()
      return nil
    } catch {
      return (error as? OCIError)?.code
    }
  }

  @Test func theirNumberIsBounded() throws {
    let store = try open {
      $0.countMax = 3
      $0.repositoryCountMax = 2
    }
    let first = try store.beginUpload(in: app)
    let second = try store.beginUpload(in: app)
    try first.append([0])
    try second.append([2])
    #expect(refused { _ = try store.beginUpload(in: app) } == .tooManyUploads)
    try store.beginUpload(in: other).append([0])
    #expect(refused { _ = try store.beginUpload(in: Repository(path: "third")) } == .tooManyUploads)
    #expect(try Directory.list("\(store.root)/uploads").count == 3)
    // One that ends, in whatever way, makes room.
    try first.cancel()
    let third = try store.beginUpload(in: app)
    try third.append([1])
    _ = try third.finish(Digest(of: [1]))
    #expect(refused { _ = try second.finish(Digest(of: [3])) } == .digestMismatch)
    #expect(store.unfinishedUploads() == (1, 1))
  }

  /// The room is free when the client is answered, whoever has the file open; but not that of a file that became a blob.
  @Test func roomIsGivenBackAtOnce() throws {
    let store = try open()
    func size(_ path: String, after end: (Upload) throws -> Void) throws -> Int {
      let upload = try store.beginUpload(in: app)
      try upload.append([1, 2, 3])
      if !path.isEmpty { #expect(link(upload.path, path) == 0) }
      let reader = Glibc.open(upload.path, O_RDONLY)
      defer { close(reader) }
      try end(upload)
      var status = stat()
      #expect(fstat(reader, &status) == 0 && access(upload.path, F_OK) != 0)
      return status.st_size
    }
    #expect(try size("") { try $0.cancel() } == 0)
    let refusedSize = try size("") { upload in
      #expect(refused { _ = try upload.finish(Digest(of: [])) } == .digestMismatch)
    }
    #expect(refusedSize == 0)
    #expect(try size("\(folder.path)/blob") { try $0.cancel() } == 3)
  }

  /// Whoever only begins uploads locks nobody out: the longest idle one that has no byte goes, open here or not.
  @Test(arguments: [false, true])
  func emptyOnesMakeRoom(isReopened: Bool) throws {
    func limits(_ limits: inout UploadLimits) { (limits.countMax, limits.repositoryCountMax) = (4, 2) }
    var ids: [String] = []
    var store = try open(limits)
    for (index, repository) in [other, app, app, Repository(path: "third")].enumerated() {
      let upload = try store.beginUpload(in: repository)
      if index == 1 { try upload.append([1]) }
      ids.append(upload.id)
      clock.advance(.seconds(10))
    }
    if isReopened {
      store.close()
      store = try open(limits)
    }
    // Asked for: now the last one of the repositories is idle for longer.
    #expect(try store.upload(ids[0], in: other) != nil)
    clock.advance(.seconds(10))
    // The repository's limit takes one of its own.
    let own = try store.beginUpload(in: app)
    #expect(try store.upload(ids[2], in: app) == nil)
    try own.append([1])
    #expect(refused { _ = try store.beginUpload(in: app) } == .tooManyUploads)
    clock.advance(.seconds(10))
    let new = try store.beginUpload(in: Repository(path: "fourth"))
    #expect(try store.upload(ids[3], in: Repository(path: "third")) == nil)
    #expect(try store.upload(ids[0], in: other) != nil)
    try new.append([1])
    try #require(try store.upload(ids[0], in: other)).append([1])
    #expect(refused { _ = try store.beginUpload(in: Repository(path: "fifth")) } == .tooManyUploads)
    #expect(store.unfinishedUploads() == (4, 4))
    #expect(try Directory.list("\(store.root)/uploads").count == 4)
  }

  /// A blob that the repository has takes no room, up to its size and no further.
  @Test func whatIsStoredIsFree() throws {
    let store = try open()
    let blob = [UInt8](repeating: 1, count: 60)
    let first = try store.beginUpload(in: app)
    try first.append(blob)
    _ = try first.finish(Digest(of: blob))
    try store.setQuotas([RepositoryQuota(prefix: "team", bytesMax: 100)])
    let again = try store.beginUpload(in: app)
    func append(_ bytes: [UInt8]) throws {
      try bytes.withUnsafeBytes { (bytes) throws in try again.append(bytes, stored: 60) }
    }
    try append(blob)
    #expect(refused { try append([1]) } == .quotaExceeded)
    #expect(again.offset == 60)
    _ = try again.finish(Digest(of: blob))
  }

  /// Looks at the quota when a change is committed and its upload has not ended yet.
  private final class Look: Sendable {
    let store = Mutex<ContentStore?>(nil)
    let codes = Mutex<[OCIError.Code?]>([])

    func take(_ repository: Repository) {
      guard let store = store.withLock({ $0 }) else { return }
      do throws(OCIError) {
        try store.checkQuota(of: repository, adding: 0)
        codes.withLock { $0.append(nil) }
      } catch {
        codes.withLock { $0.append(error.code) }
      }
    }
  }

  @Test func nobodySeesBytesTwice() throws {
    let (look, app) = (Look(), app)
    var faults = Faults()
    faults.reach = { (point: Faults.Point) throws(OCIError) in if point == .afterCommit { look.take(app) } }
    let store = try ContentStore.open(root: "\(folder.path)/images", time: clock, isDurable: false, faults: faults)
    defer { look.store.withLock { $0 = nil } }
    try store.setQuotas([RepositoryQuota(prefix: "team", bytesMax: 60)])
    let bytes = [UInt8](repeating: 1, count: 60)
    let upload = try store.beginUpload(in: app)
    try upload.append(bytes)
    look.store.withLock { $0 = store }
    _ = try upload.finish(Digest(of: bytes))
    #expect(look.codes.withLock { $0 } == [nil])
  }

  /// One that becomes a blob is counted once at each moment: what fits together is never refused.
  @Test func finishedOnesCountOnce() async throws {
    let store = try open()
    try store.setQuotas([RepositoryQuota(prefix: "team", bytesMax: 400)])
    let app = app
    let failures = await withTaskGroup(of: (any Error)?.self) { group in
      for task in 0..<4 as Range<UInt8> {
        group.addTask {
          do {
            for index in 0..<10 as Range<UInt8> {
              let bytes = [task, index] + [UInt8](repeating: 0, count: 8)
              let upload = try store.beginUpload(in: app)
              try upload.append(bytes)
              _ = try upload.finish(Digest(of: bytes))
            }
            return nil
          } catch {
            return error
          }
        }
      }
      return await group.reduce(into: []) { if let error = $1 { $0.append(error) } }
    }
    #expect(failures.isEmpty, "\(failures)")
    #expect(try store.usage(of: app) == 400)
    // One that cannot become a blob is counted as before.
    try store.setQuotas([])
    let late = try store.beginUpload(in: app)
    try late.append([1])
    try store.setQuotas([RepositoryQuota(prefix: "team", bytesMax: 400)])
    #expect(refused { _ = try late.finish(Digest(of: [1])) } == .quotaExceeded)
    #expect(store.unfinishedBytes(host: "", prefix: "team") == 1)
  }

  /// An older program named its files otherwise.
  @Test func olderNamesAreTakenOver() throws {
    let id = String(repeating: "0a", count: 16)
    let path = "\(folder.path)/images/uploads/\(id)-\(Digest(of: Array("/team/app".utf8)).hex.prefix(16))"
    try open().close()
    try DurableFile.write([1, 2, 3], to: path)
    let store = try open()
    #expect(try store.upload(id, in: other) == nil)
    let upload = try #require(try store.upload(id, in: app))
    #expect(upload.offset == 3)
    #expect(store.unfinishedBytes(host: "", prefix: "team/app") == 3)
    _ = try upload.finish(Digest(of: [1, 2, 3]))
    #expect(try Directory.list("\(store.root)/uploads").isEmpty)
  }

  @Test func theirBytesAreBounded() throws {
    let store = try open {
      $0.bytesMax = 100
      $0.repositoryBytesMax = 60
    }
    let (first, second) = (try store.beginUpload(in: app), try store.beginUpload(in: other))
    let bytes = [UInt8](repeating: 7, count: 50)
    try first.append(bytes)
    #expect(refused { try first.append(bytes) } == .tooManyUploads)
    #expect(first.offset == 50)
    try second.append(bytes)
    #expect(refused { try second.append([1]) } == .tooManyUploads)
    #expect(store.unfinishedUploads().bytes == 100)
    _ = try first.finish(Digest(of: bytes))
    try second.append([1])
    #expect(store.unfinishedUploads().bytes == 51)
    try second.cancel()
    #expect(store.unfinishedUploads() == (0, 0))
  }

  @Test func theyCountAfterARestart() throws {
    let long = Repository(path: String(repeating: "long/", count: 50) + "x")
    let id: String
    do {
      let store = try open()
      let upload = try store.beginUpload(in: app)
      try upload.append([UInt8](repeating: 1, count: 70))
      id = upload.id
      try store.beginUpload(in: long).append([UInt8](repeating: 1, count: 30))
      store.close()
    }
    let store = try open {
      $0.repositoryCountMax = 1
      $0.bytesMax = 120
    }
    #expect(store.unfinishedUploads() == (2, 100))
    for repository in [app, long] {
      #expect(refused { _ = try store.beginUpload(in: repository) } == .tooManyUploads, "\(repository)")
    }
    let upload = try #require(try store.upload(id, in: app))
    #expect(refused { try upload.append([UInt8](repeating: 1, count: 21)) } == .tooManyUploads)
    // Quotas know whose they are.
    try store.setQuotas([
      RepositoryQuota(prefix: "team", bytesMax: 75), RepositoryQuota(prefix: "long/long", bytesMax: 40),
    ])
    try upload.append([UInt8](repeating: 1, count: 5))
    #expect(refused { try upload.append([1]) } == .quotaExceeded)
    #expect(refused { try store.checkQuota(of: long, adding: 11) } == .quotaExceeded)
    #expect(refused { try store.checkQuota(of: Repository(path: "longer"), adding: 1000) } == nil)
    _ = try upload.finish(Digest(of: [UInt8](repeating: 1, count: 75)))
    #expect(store.unfinishedUploads() == (1, 30))
  }

  @Test func parallelUploadsShareAQuota() async throws {
    let store = try open()
    try store.setQuotas([RepositoryQuota(prefix: "team", bytesMax: 1000)])
    let app = app
    let taken = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<8 {
        group.addTask {
          var taken = 0
          guard let upload = try? store.beginUpload(in: app) else { return 0 }
          while (try? upload.append([UInt8](repeating: 1, count: 30))) != nil { taken += 30 }
          return taken
        }
      }
      return await group.reduce(0, +)
    }
    #expect(taken <= 1000 && taken > 1000 - 30 * 8)
    #expect(store.unfinishedUploads().bytes == Int64(taken))
  }

  /// Begun and left, ten thousand times: few are open, there are no more, and they are gone when their time is over.
  @Test func tenThousand() throws {
    do {
      let store = try open {
        $0.countMax = 10_000
        $0.repositoryCountMax = 4000
      }
      for index in 0..<10_000 { _ = try store.beginUpload(in: Repository(path: "r\(index % 3)")) }
      _ = try store.beginUpload(in: app)
      #expect(store.uploads.withLock { $0.open.count } <= 256)
      #expect(try Directory.list("\(store.root)/uploads").count == 10_000)
      store.close()
    }
    let store = try open {
      $0.countMax = 10_000
      $0.idleMax = .seconds(3600)
    }
    #expect(store.unfinishedUploads().count == 10_000)
    _ = try store.beginUpload(in: app)
    #expect(store.unfinishedUploads().count == 10_000)
    #expect(try Directory.list("\(store.root)/uploads").count == 10_000)
    clock.advance(.seconds(3601))
    // Nobody has to wait for the next collection.
    let upload = try store.beginUpload(in: app)
    #expect(try Directory.list("\(store.root)/uploads").count == 1)
    try upload.append([1])
    _ = try upload.finish(Digest(of: [1]))
    #expect(try Directory.list("\(store.root)/uploads").isEmpty)
  }

  /// The one that was used least recently is closed; when it goes on, it is as it was.
  @Test func closedOnesGoOn() throws {
    let store = try open()
    let ids = try (0..<2).map { _ in
      let upload = try store.beginUpload(in: app)
      try upload.append(Array("hel".utf8))
      return upload.id
    }
    for index in 0..<300 {
      _ = try store.beginUpload(in: other)
      if index % 100 == 0 { _ = try store.upload(ids[1], in: app) }
    }
    let isOpen = store.uploads.withLock { table in ids.map { table.open[$0] != nil } }
    #expect(isOpen == [false, true])
    for (id, algorithm) in zip(ids, Digest.Algorithm.allCases) {
      let upload = try #require(try store.upload(id, in: app))
      #expect(upload.offset == 3)
      try upload.append(Array("lo".utf8), at: 3)
      #expect(try upload.finish(Digest(of: Array("hello".utf8), algorithm)).size == 5)
    }
    let late = try {
      let upload = try store.beginUpload(in: app)
      try upload.append([1])
      return upload.id
    }()
    for _ in 0..<300 { _ = try store.beginUpload(in: other) }
    let again = try #require(try store.upload(late, in: app))
    #expect(refused { _ = try again.finish(Digest(of: [2])) } == .digestMismatch)
  }

  /// Random changes against counting everything anew.
  @Test func theLedgerAddsUp() throws {
    for seed in 0..<50 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      var ledger = UploadLedger()
      var model: [String: UploadLedger.Entry] = [:]
      var limits = UploadLimits()
      (limits.countMax, limits.repositoryCountMax) = (12, 5)
      (limits.bytesMax, limits.repositoryBytesMax) = (1000, 500)
      for step in 0..<400 {
        let id = "\(Int.random(in: 0..<20, using: &random))"
        let owner = model[id]?.owner ?? "o\(Int.random(in: 0..<4, using: &random))"
        switch Int.random(in: 0..<4, using: &random) {
        case 0 where model[id] == nil:
          if (try? ledger.begin(id, of: owner, now: Int64(step), limits)) != nil {
            model[id] = UploadLedger.Entry(owner: owner, bytes: 0, touched: Int64(step))
          }
        case 1 where model[id] != nil:
          let count = Int64.random(in: 0..<200, using: &random)
          if (try? ledger.grow(id, of: owner, by: count, now: Int64(step), limits)) != nil {
            model[id]?.bytes += count
            model[id]?.touched = Int64(step)
          }
        case 2 where (model[id]?.bytes ?? 0) > 0:
          ledger.shrink(id, by: 1)
          model[id]?.bytes -= 1
        case 3:
          ledger.remove(id)
          model[id] = nil
        default: break
        }
        #expect(ledger.entries == model, "seed \(seed)")
        #expect(ledger.total == UploadLedger.Usage(count: model.count, bytes: model.values.reduce(0) { $0 + $1.bytes }))
        #expect(ledger.total.count <= 12 && ledger.total.bytes <= 1000)
        for number in 0..<4 {
          let own = model.values.filter { $0.owner == "o\(number)" }
          let usage = UploadLedger.Usage(count: own.count, bytes: own.reduce(0) { $0 + $1.bytes })
          #expect(ledger.usage(of: "o\(number)") == usage && usage.count <= 5 && usage.bytes <= 500)
        }
      }
    }
  }
}
