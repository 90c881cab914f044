import Glibc
import Layers
import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import Content

/// Files that are damaged or gone, and disks that are full.
extension ContentStoreTests {
  // MARK: Scrub

  @Test func findsDamagedBlobs() throws {
    let store = try open()
    let image = Content("a")
    try store.push(image, to: app, tags: ["1"])
    #expect(try store.scrub().isEmpty)
    let (wrong, gone) = (Digest(of: image.layers[0]), Digest(of: image.layers[1]))
    _ = try folder.write([1, 2, 3], "images/blobs/sha256/\(wrong.hex)")
    _ = try folder.write([9], "images/blobs/sha256/\(image.digest.hex)")
    unlink(store.blobPath(gone))
    #expect(try store.scrub(olderThan: .seconds(3600)).isEmpty)
    clock.advance(.seconds(10))
    var last = ScrubProgress()
    let damaged = try store.scrub(progress: { last = $0 })
    #expect(Set(damaged.map(\.digest)) == [wrong, gone, image.digest])
    #expect(damaged.allSatisfy { $0.repositories == [app] })
    #expect(last.blobs == 4 && last.damaged == 3)
    #expect(try Directory.list("\(store.root)/quarantine").count == 2)
    #expect(try store.blobSize(wrong) == nil)
    #expect(try store.isLinked(gone, in: app) == false)
    let error = #expect(throws: OCIError.self) { try store.manifest(.tag("1"), in: app) }
    #expect(error?.code == .corrupt)
    // The next push heals it.
    try store.push(image, to: app, tags: ["1"])
    clock.advance(.seconds(10))
    #expect(try store.scrub().isEmpty)
    #expect(try store.manifest(.tag("1"), in: app)?.bytes == image.manifest)
    #expect(try store.document(wrong) == image.layers[0])
    #expect(try store.usage(of: app) == Int64(image.config.count + 200 + image.manifest.count))
  }

  // MARK: Disks and catalogs

  @Test(.enabled(if: geteuid() == 0))
  func aFullDiskStoresNothing() throws {
    let disk = "\(folder.path)/disk"
    try Directory.create(disk)
    try #require(mount("tmpfs", disk, "tmpfs", 0, "size=3m") == 0)
    defer { umount2(disk, 2) }
    do {
      let store = try ContentStore.open(root: "\(disk)/images", time: clock)
      let small = Content("small")
      try store.push(small, to: app, tags: ["1"])
      let lease = try store.lease(for: .seconds(60))
      let blob = [UInt8](repeating: 1, count: 4 << 20)
      let error = #expect(throws: OCIError.self) { try store.storeBlob(blob, lease: lease) }
      #expect(error?.code == .diskFull, "\(error?.message ?? "")")
      let upload = try store.beginUpload(in: app)
      try upload.append([1, 2, 3])
      let refused = #expect(throws: OCIError.self) { try upload.append(blob, at: 3) }
      #expect(refused?.code == .diskFull)
      #expect(upload.offset == 3)
      try upload.append([4], at: 3)
      _ = try upload.finish(Digest(of: [1, 2, 3, 4]))
      // The catalog has no room either.
      var full: [OCIError.Code] = []
      _ = try? folder.write([UInt8](repeating: 2, count: 1), "disk/fill")
      let fd = Glibc.open("\(disk)/fill", O_WRONLY)
      let piece = [UInt8](repeating: 3, count: 4096)
      while write(fd, piece, piece.count) > 0 {}
      close(fd)
      for index in 0..<2000 {
        do {
          try store.push(Content("x\(index)", layers: 1, size: 10), to: app, tags: ["x\(index)"])
        } catch let error as OCIError {
          full.append(error.code)
          if full.count == 3 { break }
        }
      }
      #expect(full == [.diskFull, .diskFull, .diskFull])
      unlink("\(disk)/fill")
      #expect(try store.manifest(.tag("1"), in: app)?.bytes == small.manifest)
      try store.push(Content("after"), to: app, tags: ["after"])
      #expect(try store.manifest(.tag("after"), in: app)?.bytes == Content("after").manifest)
      clock.advance(.seconds(10))
      #expect(try store.scrub().isEmpty)
    }
  }

  /// What is not there was there: the blobs say so.
  @Test(arguments: ["absent", "empty", "absent with its log"]) func refusesToForgetTheNames(how: String) throws {
    do { try open().push(Content("a"), to: app, tags: ["1"]) }
    let catalog = "\(folder.path)/images/catalog.db"
    switch how {
    case "empty": _ = try folder.write([], "images/catalog.db")
    case "absent": unlink(catalog)
    default: for suffix in ["", "-wal", "-shm"] { unlink(catalog + suffix) }
    }
    for _ in 0..<2 {
      let error = #expect(throws: OCIError.self) { try open() }
      #expect(error?.code == .corrupt && "\(error.map { "\($0)" } ?? "")".contains(catalog))
    }
  }

  @Test func refusesAForeignCatalog() throws {
    try Directory.create("\(folder.path)/images")
    _ = try folder.write(Array(String(repeating: "x", count: 5000).utf8), "images/catalog.db")
    let error = #expect(throws: OCIError.self) { try open() }
    #expect(error?.code == .corrupt)
  }
}
