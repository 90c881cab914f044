import Glibc
import Layers
import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import Content

@Suite struct ImageStoreTests {
  private let folder = TemporaryFolder()

  private func store(_ limits: ImageLimits = ImageLimits()) throws -> ImageStore {
    try ImageStore.open(root: "\(folder.path)/images", limits: limits)
  }

  private let base = layer { tar in
    tar.folder("bin/")
    tar.file("bin/app", "program", mode: 0o4755)
    tar.file("etc/old", "x")
    tar.folder("data/")
    tar.file("data/a", "a")
  }

  private let upper = layer { tar in
    tar.file("etc/.wh.old", "")
    tar.file("data/.wh..wh..opq", "")
    tar.file("data/b", "b")
  }

  private func blobs() throws -> [String] { try Directory.list("\(folder.path)/images/blobs/sha256") }

  @Test func importsAnOCILayout() async throws {
    let store = try store()
    let tar = try ImageBuilder(layers: [base, upper]).ociTar(name: "localhost/web-app:1")
    let images = try await store.importArchive(path: try folder.write(tar, "i.tar"))
    #expect(images.map(\.names) == [["localhost/web-app:1"]])
    let image = try #require(try store.image("localhost/web-app:1"))
    #expect(image == images[0])
    #expect(image.config.entrypoint == ["/app"])
    #expect(image.config.cmd == ["serve"])
    #expect(image.config.env == ["A=1"])
    #expect(image.config.user == "1000")
    #expect(image.config.exposedPorts == ["8080/tcp"])
    #expect(image.config.stopSignal == "SIGTERM")
    #expect(image.layers.map(\.diffID) == [Digest(of: base), Digest(of: upper)])
    #expect(try store.image(image.id.hex)?.digest == image.digest)
    #expect(try store.image(String(image.id.hex.prefix(12)))?.digest == image.digest)
    #expect(try store.image(image.digest.description) != nil)
    #expect(try store.image("localhost/web-app@\(image.digest)") != nil)
    #expect(try store.image("localhost/web-app:2") == nil)
    #expect(try blobs().count == 4)
    #expect(try Directory.list("\(folder.path)/images/work").isEmpty)
  }

  @Test func importsADockerArchive() async throws {
    let store = try store()
    let tar = try ImageBuilder(layers: [base]).dockerTar(tags: ["web:1", "me/web:2"])
    let images = try await store.importArchive(path: try folder.write(tar, "d.tar"))
    #expect(images[0].names == ["docker.io/library/web:1", "docker.io/me/web:2"])
    #expect(try store.image("web:1")?.digest == images[0].digest)
    #expect(store.list().count == 1)
  }

  @Test func importsAFolder() async throws {
    let store = try store()
    let builder = ImageBuilder(layers: [base])
    var reader = TarReader(MemorySource(try builder.ociTar(name: "a:1")), label: "t")
    try Directory.create("\(folder.path)/layout/blobs/sha256")
    while let entry = try reader.next() {
      var content: [UInt8] = []
      try reader.forEachPiece { content += $0 }
      _ = try folder.write(content, "layout/\(entry.path)")
    }
    _ = try await store.importArchive(path: "\(folder.path)/layout")
    #expect(try store.image("a:1") != nil)
  }

  @Test(arguments: ["gzip", "zstd"])
  func importsCompressed(program: String) async throws {
    let store = try store()
    let packed = try await compressed(base, with: program)
    let builder = ImageBuilder(
      layers: [base], compress: { _ in packed })
    let tar = try await compressed(try builder.ociTar(name: "c:1"), with: "gzip")
    let image = try await store.importArchive(path: try folder.write(tar, "c.tar.gz"))[0]
    #expect(image.layers[0].diffID == Digest(of: base))
    guard geteuid() == 0 else { return }
    let folders = try await store.unpack(image)
    #expect(try DurableFile.read("\(folders[0])/bin/app", limit: 100) == Array("program".utf8))
  }

  @Test(.enabled(if: geteuid() == 0))
  func unpacksForOverlay() async throws {
    let store = try store()
    let tar = try ImageBuilder(layers: [base, upper]).ociTar(name: "a:1")
    let image = try await store.importArchive(path: try folder.write(tar, "i.tar"))[0]
    let folders = try await store.unpack(image)
    #expect(folders.count == 2)
    #expect(folders[1].contains(Digest(of: base).hex))
    var status = stat()
    #expect(stat("\(folders[1])/bin/app", &status) == 0)
    #expect(status.st_mode & 0o7777 == 0o4755)
    #expect(status.st_mtim.tv_sec == 1_600_000_000)
    #expect(lstat("\(folders[0])/etc/old", &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFCHR && status.st_rdev == 0)
    #expect(
      try Directory.extendedAttribute("\(folders[0])/data", name: "trusted.overlay.opaque") == [UInt8(ascii: "y")])
    // Once only, also for several at the same time.
    async let first = store.unpack(image)
    async let second = store.unpack(image)
    #expect(try await first == folders)
    #expect(try await second == folders)
  }

  /// Layers that a build or a process of its own has need not be in the store.
  @Test func takesLayersFromOthers() async throws {
    let store = try store()
    func layer(_ number: UInt8) -> Image.Layer {
      Image.Layer(
        blob: Digest(of: [number]), diffID: Digest(of: [number, 0]), size: 1, mediaType: MediaType.layer(.gzip))
    }
    let image = Image(layers: [layer(1), layer(2), layer(1)], label: "test")
    let others = [layer(1).digest: "/made/fs", layer(2).digest: "/served/fs", layer(3).digest: "/another/fs"]
    #expect(try await store.unpack(image, besides: others) == ["/made/fs", "/served/fs", "/made/fs"])
    #expect(try Directory.list("\(folder.path)/images/unpacked") == [])
    let error = await #expect(throws: OCIError.self) {
      try await store.unpack(image, besides: [layer(1).digest: "/made/fs"])
    }
    #expect(error?.code == .notFound && error?.digests == [layer(2).digest])
    // Beside one that is unpacked here.
    try Directory.create("\(folder.path)/images/unpacked/\(layer(2).diffID.hex)/fs")
    #expect(store.isUnpacked(layer(2)) && !store.isUnpacked(layer(1)))
    let folders = try await store.unpack(image, besides: [layer(1).digest: "/made/fs"])
    #expect(
      folders == ["/made/fs", "\(folder.path)/images/unpacked/\(layer(2).diffID.hex)/fs", "/made/fs"])
  }

  /// What a build committed becomes the store's, and its folder is no longer the build's.
  @Test func adoptsWhatABuildCommitted() async throws {
    let store = try store()
    let layer = Image.Layer(
      blob: Digest(of: [1]), diffID: Digest(of: [2]), size: 1, mediaType: MediaType.layer(.gzip))
    for round in ["first", "second"] {
      try Directory.create("\(folder.path)/\(round)/upper")
      _ = try folder.write(Array(round.utf8), "\(round)/upper/file")
      try store.adopt("\(folder.path)/\(round)/upper", as: layer)
    }
    let folders = try await store.unpack(Image(layers: [layer], label: "test"))
    #expect(try Directory.list(folders[0]) == ["file"])
    #expect(try DurableFile.read("\(folders[0])/file", limit: 99) == Array("first".utf8), "what is there stays")
    #expect(try Directory.list("\(folder.path)/images/work") == [])
  }

  @Test(
    .enabled(if: geteuid() == 0), arguments: ["../escape", "/etc/escape", "a/../../escape", "link/escape", "up/escape"])
  func refusesToLeaveTheRoot(name: String) async throws {
    let store = try store()
    let bad = layer { tar in
      tar.header("link", type: "2", target: "/tmp")
      tar.header("up", type: "2", target: "../../../..")
      tar.file(name, "gotcha")
    }
    let tar = try ImageBuilder(layers: [bad]).ociTar(name: "bad:1")
    let image = try await store.importArchive(path: try folder.write(tar, "i.tar"))[0]
    let error = await #expect(throws: OCIError.self) { try await store.unpack(image) }
    #expect(error?.code == .unsafePath)
    #expect(access("/tmp/escape", F_OK) != 0)
    #expect(access("/etc/escape", F_OK) != 0)
    #expect(try Directory.list("\(folder.path)/images/unpacked").isEmpty)
    #expect(try Directory.list("\(folder.path)/images/work").isEmpty)
  }

  @Test(.enabled(if: geteuid() == 0))
  func refusesAHardLinkOutOfTheRoot() async throws {
    let store = try store()
    for target in ["../../../../../etc/passwd", "/etc/passwd", "l/passwd"] {
      let bad = layer { tar in
        tar.header("l", type: "2", target: "/etc")
        tar.header("h", type: "1", target: target)
      }
      let tar = try ImageBuilder(layers: [bad]).ociTar(name: "bad:1")
      let image = try await store.importArchive(path: try folder.write(tar, "i.tar"))[0]
      await #expect(throws: OCIError.self) { try await store.unpack(image) }
    }
  }

  @Test(.enabled(if: geteuid() == 0))
  func refusesAWrongDiffID() async throws {
    let store = try store()
    let packed = try await compressed(base, with: "gzip")
    let builder = ImageBuilder(
      layers: [base], compress: { _ in packed }, diffIDs: ["sha256:" + String(repeating: "0", count: 64)])
    let image = try await store.importArchive(path: try folder.write(try builder.ociTar(name: "a:1"), "i.tar"))[0]
    let error = await #expect(throws: OCIError.self) { try await store.unpack(image) }
    #expect(error?.code == .digestMismatch)
    #expect(try Directory.list("\(folder.path)/images/unpacked").isEmpty)
  }

  /// What the disk has damaged is not unpacked, and is out of use from then on: a pull or an import brings it again.
  @Test(.enabled(if: geteuid() == 0), arguments: ["gzip", "none"])
  func damagedLayersAreNotUnpacked(compression: String) async throws {
    let store = try store()
    var builder = ImageBuilder(layers: [base])
    if compression == "gzip" {
      let packed = try await compressed(base, with: "gzip")
      builder = ImageBuilder(layers: [base], compress: { _ in packed })
    }
    let archive = try folder.write(try builder.ociTar(name: "a:1"), "i.tar")
    for damage in 0..<4 {
      let image = try await store.importArchive(path: archive)[0]
      let path = store.blobPath(image.layers[0].digest)
      var bytes = try DurableFile.read(path, limit: 1 << 24)
      switch damage {
      case 0: bytes[bytes.count / 2] ^= 1
      case 1: bytes.removeLast(bytes.count / 2)
      case 2: bytes += [0]
      default: bytes = []
      }
      try DurableFile.write(bytes, to: path)
      let error = await #expect(throws: OCIError.self) { try await store.unpack(image) }
      #expect(error?.code == .corrupt, "\(damage): \(error?.message ?? "")")
      #expect(try store.missingLayers(of: image).count == 1)
      #expect(try Directory.list("\(folder.path)/images/unpacked").isEmpty)
    }
    let image = try await store.importArchive(path: archive)[0]
    #expect(try await store.unpack(image).count == 1)
  }

  @Test func storesNothingOfABrokenArchive() async throws {
    let store = try store()
    let builder = ImageBuilder(layers: [base])
    let good = try builder.ociTar(name: "a:1")
    let broken: [(String, [UInt8], OCIError.Code)] = [
      ("missing", try builder.ociTar(name: "a:1", omitting: Digest(of: base)), .invalidArchive),
      ("damaged", try builder.ociTar(name: "a:1", damaging: Digest(of: base)), .digestMismatch),
      ("cut", Array(good.prefix(good.count / 2)), .invalidArchive),
      ("empty", [], .invalidArchive),
      ("text", Array(String(repeating: "no tar", count: 200).utf8), .invalidArchive),
      ("none", TarBuilder().finish(), .invalidArchive),
      ("name", try builder.ociTar(name: "me/UPPER:1"), .invalidReference),
      ("platform", try ImageBuilder(layers: [base], architecture: "s390x").ociTar(name: "a:1"), .unsupported),
      ("diff", try ImageBuilder(layers: [base], diffIDs: []).ociTar(name: "a:1"), .invalidArchive),
    ]
    for (name, bytes, code) in broken {
      let path = try folder.write(bytes, name)
      let error = await #expect(throws: OCIError.self, "\(name)") { try await store.importArchive(path: path) }
      #expect(error?.code == code, "\(name): \(error?.message ?? "")")
      #expect(error?.message.contains(name == "name" ? "UPPER" : path) == true, "\(error?.message ?? "")")
    }
    #expect(try blobs().isEmpty)
    #expect(store.list().isEmpty)
    #expect(try Directory.list("\(folder.path)/images/work").isEmpty)
    await #expect(throws: OCIError.self) { try await store.importArchive(path: "\(folder.path)/nowhere") }
  }

  @Test func refusesABomb() async throws {
    var limits = ImageLimits()
    limits.ratioFreeBytes = 1 << 20
    let store = try store(limits)
    let zeros = try await compressed([UInt8](repeating: 0, count: 8 << 20), with: "gzip")
    let error = await #expect(throws: OCIError.self) {
      try await store.importArchive(path: try folder.write(zeros, "bomb.tar.gz"))
    }
    #expect(error != nil)
    let layer = layer { $0.file("zeros", [UInt8](repeating: 0, count: 4 << 20)) }
    let packed = try await compressed(layer, with: "gzip")
    let tar = try ImageBuilder(layers: [layer], compress: { _ in packed }).ociTar(name: "a:1")
    let image = try await store.importArchive(path: try folder.write(tar, "i.tar"))[0]
    guard geteuid() == 0 else { return }
    let refused = await #expect(throws: OCIError.self) { try await store.unpack(image) }
    #expect(refused?.code == .limitExceeded)
  }

  @Test func removesOnlyWhatNobodyNeeds() async throws {
    let store = try store()
    for (name, layers) in [("a:1", [base]), ("b:1", [base, upper])] {
      let tar = try ImageBuilder(layers: layers).ociTar(name: name)
      _ = try await store.importArchive(path: try folder.write(tar, "i.tar"))
    }
    #expect(try blobs().count == 6)
    if geteuid() == 0 { _ = try await store.unpack(try #require(try store.image("b:1"))) }
    try store.remove("b:1")
    #expect(try blobs().count == 3)
    #expect(try store.image("a:1") != nil)
    if geteuid() == 0 {
      #expect(try Directory.list("\(folder.path)/images/unpacked") == [Digest(of: base).hex])
    }
    try store.remove("a:1")
    #expect(try blobs().isEmpty)
    #expect(try Directory.list("\(folder.path)/images/unpacked").isEmpty)
    let error = #expect(throws: OCIError.self) { try store.remove("a:1") }
    #expect(error?.code == .notFound)
  }

  @Test func aNameMovesToTheNewImage() async throws {
    let store = try store()
    let first = try await store.importArchive(
      path: try folder.write(try ImageBuilder(layers: [base]).ociTar(name: "a:1"), "1.tar"))[0]
    let second = try await store.importArchive(
      path: try folder.write(try ImageBuilder(layers: [upper]).ociTar(name: "a:1"), "2.tar"))[0]
    #expect(try store.image("a:1")?.digest == second.digest)
    #expect(first.digest != second.digest)
    #expect(store.list().count == 1)
  }

  @Test func seesWhatAnotherStoreObjectDoes() async throws {
    let one = try store()
    let two = try store()
    #expect(two.list().isEmpty)
    _ = try await one.importArchive(
      path: try folder.write(try ImageBuilder(layers: [base]).ociTar(name: "a:1"), "1.tar"))
    #expect(two.list().map(\.names) == [["docker.io/library/a:1"]])
    try two.remove("a:1")
    #expect(one.list().isEmpty)
  }

  @Test func sweepsTheWorkOfADeadProcess() async throws {
    _ = try store()
    try Directory.create("\(folder.path)/images/work/dead/layer")
    _ = try folder.write([1], "images/work/dead/lock")
    _ = try store()
    #expect(try Directory.list("\(folder.path)/images/work").isEmpty)
  }

  /// Damaged archives give errors, never traps, and leave the store as it was.
  @Test func survivesDamagedArchives() async throws {
    let store = try store()
    let packed = try await compressed(base, with: "gzip")
    let good = try ImageBuilder(layers: [base], compress: { _ in packed }).ociTar(name: "a:1")
    var random = SeededGenerator(seed: 7)
    for round in 0..<60 {
      var bytes = good
      for _ in 0..<4 {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let path = try folder.write(bytes, "fuzz\(round)")
      if let images = try? await store.importArchive(path: path) {
        for image in images { try store.remove(image.digest.description) }
      }
    }
    #expect(try blobs().isEmpty)
  }

  /// To Swift "/" and a combining mark are one character, to the kernel they are not.
  @Test func linksStayInTheArchive() {
    #expect(ImageArchive.resolve("../../\u{301}x", from: "a/b") == nil)
    #expect(ImageArchive.resolve("../\u{301}x", from: "a/b") == "\u{301}x")
  }
}
