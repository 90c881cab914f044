import Content
import Distribution
import Glibc
import LinuxSystem
import OCI
import Testing
import Wire

@testable import Registry

/// What a disk or a hand does to a blob's file.
enum Damage: String, CaseIterable, Sendable {
  case flipped, cut, emptied, longer, gone, replaced, link, pipe, folder
  /// With the time of its change set back.
  case flippedInSecret

  /// Whether the length tells.
  var showsInLength: Bool { ![.flipped, .replaced, .flippedInSecret, .link].contains(self) }

  func inflict(on path: String) throws {
    func open() throws -> Int32 {
      let fd = Glibc.open(path, O_RDWR | O_CLOEXEC)
      try #require(fd >= 0)
      return fd
    }
    func flip() throws {
      let fd = try open()
      defer { close(fd) }
      var status = stat()
      #expect(fstat(fd, &status) == 0)
      // At the end, where it would be seen last.
      var byte: UInt8 = 0
      #expect(pread(fd, &byte, 1, Int(status.st_size) - 1) == 1)
      byte ^= 1
      #expect(pwrite(fd, &byte, 1, Int(status.st_size) - 1) == 1)
      if self == .flippedInSecret { #expect(futimens(fd, [status.st_atim, status.st_mtim]) == 0) }
    }
    switch self {
    case .flipped, .flippedInSecret: try flip()
    case .cut, .emptied:
      let fd = try open()
      defer { close(fd) }
      var status = stat()
      #expect(fstat(fd, &status) == 0)
      #expect(ftruncate(fd, self == .emptied ? 0 : Int(status.st_size) - 1) == 0)
    case .longer:
      let fd = try open()
      defer { close(fd) }
      #expect(lseek(fd, 0, SEEK_END) > 0 && write(fd, "x", 1) == 1)
    case .gone: #expect(unlink(path) == 0)
    case .replaced:
      let bytes = try DurableFile.read(path, limit: 64 << 20)
      try DurableFile.write(bytes.map { ~$0 }, to: path)
    case .link:
      let bytes = try DurableFile.read(path, limit: 64 << 20)
      try DurableFile.write(bytes.map { ~$0 }, to: "\(path).other")
      #expect(unlink(path) == 0 && symlink("\(path).other", path) == 0)
    case .pipe: #expect(unlink(path) == 0 && mkfifo(path, 0o600) == 0)
    case .folder: #expect(unlink(path) == 0 && mkdir(path, 0o700) == 0)
    }
  }
}

/// What failed: the bytes of a file were sent as a blob because the file has the blob's name. A client must see an error,
/// or an end that comes too early; never a whole answer with other bytes, and no wait.
@Suite(.timeLimit(.minutes(2))) struct DamageTests {
  private static func content(_ size: Int, _ seed: UInt8 = 1) -> [UInt8] {
    var state = UInt32(seed)
    let block = (0..<min(size, 4093)).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(truncatingIfNeeded: state >> 24)
    }
    var bytes: [UInt8] = []
    while bytes.count < size { bytes += block.prefix(size - bytes.count) }
    return bytes
  }

  /// The answer, or `nil` when the connection ended before it was whole.
  private func get(
    _ registry: TestRegistry, _ path: String, headers: [(String, String)] = []
  ) async throws -> Response? {
    do {
      return try await registry.send("GET", path, headers: headers)
    } catch is Connection.Failure {
      return nil
    }
  }

  private static let sizes = [10, 100_000, (1 << 20) + 1, 3 << 20]

  @Test(arguments: Damage.allCases) func damagedBlobsAreNotServed(damage: Damage) async throws {
    try await TestRegistry.use { registry in
      for (number, size) in Self.sizes.enumerated() {
        let bytes = Self.content(size, UInt8(number))
        // Once for a blob that has just come, and once for one that has been read before.
        for isRead in [false, true] {
          let digest = try await registry.push(bytes, to: "a")
          if isRead { #expect(try await registry.send("GET", "/v2/a/blobs/\(digest)").body == bytes) }
          try damage.inflict(on: registry.content.blobPath(digest))
          let answer = try await get(registry, "/v2/a/blobs/\(digest)")
          #expect(answer.map { $0.status >= 400 } ?? true, "\(damage) \(size): \(answer?.status ?? 0)")
          // From now on it is not there, so that a push brings it again.
          for method in ["HEAD", "GET"] {
            #expect(try await registry.send(method, "/v2/a/blobs/\(digest)").status == 404)
          }
          #expect(try await registry.push(bytes, to: "a") == digest)
          #expect(try await registry.send("GET", "/v2/a/blobs/\(digest)").body == bytes)
        }
      }
    }
  }

  /// Who asks before a push whether a blob is there is not told so of one that shows to be wrong at a glance.
  @Test(arguments: Damage.allCases.filter(\.showsInLength)) func pushersAreNotMisled(damage: Damage) async throws {
    try await TestRegistry.use { registry in
      let bytes = Self.content(50_000)
      let digest = try await registry.push(bytes, to: "a")
      try damage.inflict(on: registry.content.blobPath(digest))
      #expect(try await registry.send("HEAD", "/v2/a/blobs/\(digest)").status == 404)
      #expect(try await registry.push(bytes, to: "a") == digest)
      #expect(try await registry.send("GET", "/v2/a/blobs/\(digest)").body == bytes)
    }
  }

  /// The same bytes pushed again take the place of damaged ones, also when nobody has noticed yet.
  @Test(arguments: Damage.allCases) func aPushHeals(damage: Damage) async throws {
    try await TestRegistry.use { registry in
      let bytes = Self.content(2 << 20)
      let digest = try await registry.push(bytes, to: "a")
      try damage.inflict(on: registry.content.blobPath(digest))
      #expect(try await registry.push(bytes, to: "b") == digest)
      for name in ["a", "b"] { #expect(try await registry.send("GET", "/v2/\(name)/blobs/\(digest)").body == bytes) }
    }
  }

  /// After a restart nothing is known of what is on the disk.
  @Test(arguments: [10, 3 << 20]) func damageWhileNobodyLooked(size: Int) async throws {
    let folder = TestRegistry.temporaryFolder()
    defer { try? Directory.removeTree(folder) }
    let bytes = Self.content(size)
    var digest = Digest(of: [])
    try await TestRegistry.use(folder: folder) { digest = try await $0.push(bytes, to: "a") }
    try Damage.flippedInSecret.inflict(on: "\(folder)/images/blobs/sha256/\(digest.hex)")
    try await TestRegistry.use(folder: folder) { registry in
      let answer = try await get(registry, "/v2/a/blobs/\(digest)")
      #expect(answer.map { $0.status >= 500 } ?? true)
      #expect(try await registry.send("GET", "/v2/a/blobs/\(digest)").status == 404)
      #expect(try await registry.push(bytes, to: "a") == digest)
    }
    // And what is sound is served, from its first byte to its last, with and without having been looked at.
    try await TestRegistry.use(folder: folder) { registry in
      for _ in 0..<2 {
        let answer = try await registry.send("GET", "/v2/a/blobs/\(digest)")
        #expect(answer.body == bytes)
      }
    }
  }

  /// A part is worth what the whole is, wherever the damage is.
  @Test func partsOfDamagedBlobs() async throws {
    let folder = TestRegistry.temporaryFolder()
    defer { try? Directory.removeTree(folder) }
    let (bytes, sound) = (Self.content(3 << 20), Self.content(3 << 20, 2))
    try await TestRegistry.use(folder: folder) { registry in
      for bytes in [bytes, sound] { try await registry.push(bytes, to: "a") }
    }
    try await TestRegistry.use(folder: folder) { registry in
      let digest = Digest(of: bytes)
      try Damage.flipped.inflict(on: registry.content.blobPath(digest))
      let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
        for start in 0..<8 {
          group.addTask {
            try await registry.send("GET", "/v2/a/blobs/\(digest)", headers: [("Range", "bytes=\(start)-100")]).status
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(statuses.allSatisfy { $0 == 500 || $0 == 404 }, "\(statuses)")
      let part = try await registry.send(
        "GET", "/v2/a/blobs/\(Digest(of: sound))", headers: [("Range", "bytes=5-9")])
      #expect(part.status == 206 && part.body == Array(sound[5...9]))
    }
  }

  /// The file goes on being sent in large pieces: it is looked at before each.
  @Test(arguments: [Damage.cut, .emptied, .flipped]) func damageWhileItIsSent(damage: Damage) async throws {
    try await TestRegistry.use { registry in
      let bytes = Self.content(48 << 20)
      let digest = try await registry.push(bytes, to: "a")
      #expect(try await registry.send("GET", "/v2/a/blobs/\(digest)").body.count == bytes.count)
      let path = registry.content.blobPath(digest)
      let port = registry.port
      let failure = await #expect(throws: Connection.Failure.self) {
        _ = try await Connection.open(port: port) { wire in
          try wire.send("GET /v2/a/blobs/\(digest) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
          // What fits into the sockets' buffers is under way, and more is not.
          #expect(try !wire.isAtEnd)
          try damage.inflict(on: path)
          return try wire.response()
        }
      }
      #expect(failure?.what.hasPrefix("cut after") == true)
    }
  }

  // MARK: Manifests

  @Test func damagedManifestsAreNotServed() async throws {
    let folder = TestRegistry.temporaryFolder()
    defer { try? Directory.removeTree(folder) }
    var digest = Digest(of: [])
    try await TestRegistry.use(folder: folder) { digest = try await $0.pushImage("a", "1").digest }
    try Damage.flipped.inflict(on: "\(folder)/images/blobs/sha256/\(digest.hex)")
    try await TestRegistry.use(folder: folder) { registry in
      for _ in 0..<2 {
        for reference in ["1", digest.description] {
          #expect(try await registry.send("GET", "/v2/a/manifests/\(reference)").status == 500)
        }
      }
      let image = try await registry.pushImage("a", "1")
      #expect(try await registry.send("GET", "/v2/a/manifests/1").body == image.bytes)
    }
  }

  // MARK: Where there is a copy

  private static func upstream(_ source: TestRegistry) -> (inout RegistryConfiguration) -> Void {
    { $0.upstreams = [.init(prefix: "up", registry: "127.0.0.1:\(source.port)")] }
  }

  /// What is kept of an upstream registry is fetched again; the client sees nothing of it when it is small.
  @Test(arguments: Damage.allCases) func whatIsKeptIsFetchedAgain(damage: Damage) async throws {
    try await TestRegistry.use { source in
      let image = try await source.pushImage("app", "1")
      let (small, large) = (Self.content(1000), Self.content(3 << 20))
      for bytes in [small, large] { try await source.push(bytes, to: "app") }
      let folder = TestRegistry.temporaryFolder()
      defer { try? Directory.removeTree(folder) }
      try await TestRegistry.use(Self.upstream(source), folder: folder) { registry in
        let manifest = try await registry.send("GET", "/v2/up/app/manifests/1")
        #expect(manifest.body == image.bytes)
        for bytes in [small, large] {
          #expect(try await registry.send("GET", "/v2/up/app/blobs/\(Digest(of: bytes))").body == bytes)
        }
      }
      try await TestRegistry.use(Self.upstream(source), folder: folder) { registry in
        for digest in [image.digest, Digest(of: small), Digest(of: large)] {
          try damage.inflict(on: registry.content.blobPath(digest))
        }
        #expect(try await registry.send("GET", "/v2/up/app/manifests/1").body == image.bytes)
        #expect(try await registry.send("GET", "/v2/up/app/blobs/\(Digest(of: small))").body == small)
        // A large one whose length is right is cut the first time, or is whole when it was repaired meanwhile.
        let first = try await get(registry, "/v2/up/app/blobs/\(Digest(of: large))")
        #expect(first.map { $0.status == 200 && $0.body == large } ?? !damage.showsInLength)
        #expect(try await registry.send("GET", "/v2/up/app/blobs/\(Digest(of: large))").body == large)
      }
    }
  }

  /// What the scrub finds comes back by itself, from upstream and from a replica.
  @Test func theScrubsFindsAreRepaired() async throws {
    try await TestRegistry.use { source in
      let kept = try await source.push(Self.content(5000), to: "app")
      try await TestRegistry.use({ configuration in
        Self.upstream(source)(&configuration)
        var replica = RegistryConfiguration.Replica(name: "r", registry: "127.0.0.1:\(source.port)")
        replica.path = "copy"
        configuration.replicas = [replica]
      }) { registry in
        #expect(try await registry.send("GET", "/v2/up/app/blobs/\(kept)").status == 200)
        let image = try await registry.pushImage("mine", "1")
        try await until { try await source.send("HEAD", "/v2/copy/mine/manifests/1").status == 200 }
        let layer = Digest(of: Array("layer x".utf8))
        for digest in [kept, image.digest, layer] {
          try Damage.replaced.inflict(on: registry.content.blobPath(digest))
        }
        let found = try registry.content.scrub()
        #expect(Set(found.map(\.digest)) == [kept, image.digest, layer])
        registry.registry.repair.noticed(found.map(\.digest))
        for digest in [kept, image.digest, layer] {
          try await until { try registry.content.damage(digest) == nil }
          #expect(try registry.content.examine(digest) == nil)
        }
        #expect(try await registry.send("GET", "/v2/mine/manifests/1").body == image.bytes)
        #expect(try await registry.send("GET", "/v2/mine/blobs/\(layer)").body == Array("layer x".utf8))
      }
    }
  }

  @Test func whereCopiesAre() {
    var configuration = RegistryConfiguration()
    configuration.upstreams = [.init(prefix: "up", registry: "u.example")]
    configuration.upstreams[0].path = "p"
    var replica = RegistryConfiguration.Replica(name: "r", registry: "r.example")
    replica.repositories = [Glob("prod/**")]
    configuration.replicas = [replica]
    let sources = Repair.sources(
      of: [
        Repository(host: PullThrough.host, path: "up/a"), Repository(host: PullThrough.host, path: "other/a"),
        Repository(path: "prod/a"), Repository(path: "dev/a"), Repository(host: "docker.io", path: "prod/a"),
      ], configuration)
    #expect(
      sources.map(\.repository) == [
        Repository(host: "u.example", path: "p/a"), Repository(host: "r.example", path: "prod/a"),
      ])
  }

  /// An upstream registry that sends other bytes, all of them: no client gets a whole answer.
  @Test func anUpstreamThatLies() async throws {
    let bytes = Self.content(600_000)
    let digest = Digest(of: bytes)
    let liar = try LyingServer(body: bytes.map { ~$0 })
    defer { liar.close() }
    try await TestRegistry.use({
      $0.upstreams = [.init(prefix: "up", registry: "127.0.0.1:\(liar.port)")]
    }) { registry in
      let answer = try await get(registry, "/v2/up/app/blobs/\(digest)")
      #expect(answer.map { $0.status >= 400 } ?? true)
      #expect(try registry.content.blobSize(digest) == nil)
    }
  }
}

/// Answers every request with the same bytes, whatever they should be.
private final class LyingServer: Sendable {
  let port: Int
  private let descriptor: Int32

  init(body: [UInt8]) throws {
    let (descriptor, port) = listeningSocket()
    (self.descriptor, self.port) = (descriptor, port)
    DedicatedThread.start("test-liar") {
      while true {
        let client = accept(descriptor, nil, nil)
        guard client >= 0 else { return }
        var piece = [UInt8](repeating: 0, count: 4096)
        _ = recv(client, &piece, piece.count, 0)
        let bytes =
          Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n".utf8) + body
        _ = DurableFile.writeAll(client, bytes)
        _ = Glibc.close(client)
      }
    }
  }

  func close() {
    // Wakes the thread that waits for connections.
    shutdown(descriptor, Int32(SHUT_RDWR))
    _ = Glibc.close(descriptor)
  }
}

extension DurableFile {
  fileprivate static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Int32 {
    bytes.withUnsafeBytes { writeAll(descriptor, $0) }
  }
}
