import Content
import HTTPTestKit
import NIOHTTP1
import OCI
import Synchronization
import TestKit
import Testing
import Wire

@testable import Distribution

@Suite(.timeLimit(.minutes(2))) struct TransferTests {
  private func withStore(
    _ registry: FakeRegistry, server: TestServer? = nil, _ body: (ContentStore, Int) async throws -> Void
  ) async throws {
    let folder = try TemporaryFolder()
    let store = try ContentStore.open(root: folder.path)
    let server = server ?? registry.server
    try await withServer(server) { port in try await body(store, port) }
    store.close()
  }

  private func reference(_ port: Int, _ text: String) throws -> Reference {
    try Reference(parsing: "127.0.0.1:\(port)/\(text)")
  }

  private func count(_ registry: FakeRegistry, _ prefix: String) -> Int {
    registry.log.withLock { $0.count { $0.hasPrefix(prefix) } }
  }

  // MARK: Pull

  @Test func pullsAnImage() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1", layerSize: 3_000_000)
    try await withStore(registry) { store, port in
      let events = Mutex<[TransferEvent]>([])
      let client = makeClient()
      let name = try reference(port, "team/app:1")
      let digest = try await client.pull(name, into: store) { event in events.withLock { $0.append(event) } }
      #expect(digest == image.digest)
      let target = try store.repository(for: name)
      #expect(try store.manifest(.tag("1"), in: target)?.bytes == image.manifest)
      for blob in image.blobs {
        #expect(try store.document(blob, limit: 1 << 30) == registry.state.withLock { $0.blobs["team/app"]?[blob] })
      }
      let all = events.withLock { $0 }
      #expect(all.first == .resolved(image.digest, mediaType: MediaType.manifest))
      #expect(Array(all.suffix(2)) == [.stored(image.digest), .tagged("1", image.digest)])
      for blob in image.blobs { #expect(all.contains { if case .finished(blob, _) = $0 { true } else { false } }) }
      // The second pull asks for the manifest's digest and nothing else.
      registry.log.withLock { $0 = [] }
      _ = try await client.pull(name, into: store)
      #expect(registry.log.withLock { $0 } == ["HEAD manifests/1"])
      // Another image with the same layers needs its own parts only.
      let second = registry.addImage(to: "team/other", tag: "1", layerSize: 3_000_000)
      registry.log.withLock { $0 = [] }
      _ = try await client.pull(try reference(port, "team/other:1"), into: store)
      #expect(second.digest == image.digest)
      #expect(count(registry, "GET blobs/") == 0)
    }
  }

  @Test func choosesThePlatform() async throws {
    let registry = FakeRegistry()
    let platforms = [Platform(os: "linux", architecture: "amd64"), Platform(os: "linux", architecture: "arm64")]
    var children: [Descriptor] = []
    for platform in platforms {
      let image = registry.addImage(to: "team/app", tag: nil, salt: "\(platform)", platform: platform)
      children.append(
        Descriptor(
          mediaType: MediaType.manifest, digest: image.digest, size: Int64(image.manifest.count), platform: platform))
    }
    let index = registry.add(
      manifest: Index(manifests: children).json.serialized(), type: MediaType.index, tag: "1", to: "team/app")
    try await withStore(registry) { store, port in
      let client = makeClient()
      let name = try reference(port, "team/app:1")
      let target = try store.repository(for: name)
      let digest = try await client.pull(name, into: store, platform: platforms[1])
      #expect(digest == index)
      #expect(try store.manifest(.tag("1"), in: target)?.digest == index)
      #expect(try store.manifest(.digest(children[1].digest), in: target) != nil)
      #expect(try store.manifest(.digest(children[0].digest), in: target) == nil)
      #expect(count(registry, "GET blobs/") == 3)
      let error = await failure { () throws(DistributionError) in
        try await client.pull(name, into: store, platform: Platform(os: "linux", architecture: "s390x"))
      }
      #expect(error.code == .noMatchingPlatform)
      #expect(error.message.contains("linux/amd64, linux/arm64"))
      _ = try await client.pull(name, into: store, platform: nil)
      #expect(try store.manifest(.digest(children[0].digest), in: target) != nil)
      #expect(count(registry, "GET blobs/") == 6)
    }
  }

  @Test func registriesWithoutHEAD() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    registry.fail { $0.method == .HEAD ? .respond(405) : nil }
    try await withStore(registry) { store, port in
      let digest = try await makeClient().pull(try reference(port, "team/app:1"), into: store)
      #expect(digest == image.digest)
    }
  }

  @Test func layersCanBeLeftOut() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    try await withStore(registry) { store, port in
      let client = makeClient()
      let name = try reference(port, "team/app:1")
      let left = image.blobs[1]
      #expect(try await client.pull(name, into: store, leavingOut: { $0.digest == left }) == image.digest)
      #expect(try store.blobSize(left) == nil && store.blobSize(image.blobs[2]) != nil)
      let found = try #require(try ImageStore(store).image(name.description))
      #expect(try ImageStore(store).missingLayers(of: found).map(\.digest) == [left])
      #expect(count(registry, "GET blobs/\(left)") == 0)
      // A pull of all of it fetches what is missing, and nothing else.
      registry.log.withLock { $0 = [] }
      _ = try await client.pull(name, into: store)
      #expect(count(registry, "GET blobs/") == 1)
      #expect(try ImageStore(store).missingLayers(of: found).isEmpty)
    }
  }

  @Test func aPartOfABlob() async throws {
    let registry = FakeRegistry()
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let blob = registry.add(blob: bytes, to: "team/app")
    try await withServer(registry.server) { port in
      let client = makeClient()
      let repository = Repository(host: "127.0.0.1:\(port)", path: "team/app")
      func part(_ range: Range<Int64>) async throws -> [UInt8] {
        try await client.blob(blob, range: range, size: 100_000, in: repository)
      }
      let first = try await part(500..<1700)
      #expect(first == Array(bytes[500..<1700]))
      #expect(try await part(99_999..<100_000) == [bytes[99_999]])
      #expect(try await part(0..<100_000) == bytes)
      #expect(try await part(5..<5) == [])
      // A registry without parts, and one that sends another part.
      registry.state.withLock { $0.ranges = false }
      await #expect { _ = try await part(500..<1700) } throws: { ($0 as? DistributionError)?.code == .unsupported }
      registry.fail { request in
        request.headers.contains(name: "range")
          ? .respond(206, ["content-range": "bytes 501-1700/100000"], Array(bytes[501...1700])) : nil
      }
      await #expect { _ = try await part(500..<1700) } throws: { ($0 as? DistributionError)?.code == .invalidResponse }
      registry.fail { _ in .respond(206, ["content-range": "bytes 500-1699/100000"], Array(bytes[500..<1600])) }
      await #expect(throws: DistributionError.self) { _ = try await part(500..<1700) }
      registry.fail { _ in .respond(206, ["content-range": "bytes 500-1699/100000"], Array(bytes[500..<1800])) }
      await #expect(throws: DistributionError.self) { _ = try await part(500..<1700) }
    }
  }

  @Test func aDigestIsNotTagged() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    try await withStore(registry) { store, port in
      let target = Repository(host: "mirror", path: "copy")
      let name = try reference(port, "team/app:1@\(image.digest)")
      _ = try await makeClient().pull(name, into: store, as: target)
      #expect(try store.tags(in: target, limit: 10).isEmpty)
      #expect(try store.manifest(.digest(image.digest), in: target) != nil)
    }
  }

  @Test func brokenConnectionsAreGotOver() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1", layerSize: 400_000)
    let number = Mutex(0)
    registry.fail { request in
      guard request.path.contains("/blobs/"), let blob = image.blobs.first(where: { request.path.hasSuffix("\($0)") }),
        let bytes = registry.state.withLock({ $0.blobs["team/app"]?[blob] })
      else { return nil }
      let isBroken = number.withLock { number in
        number += 1
        return number % 3 != 0
      }
      guard isBroken else { return nil }
      let start = request.headers.first(name: "range").flatMap { Int($0.dropFirst(6).dropLast()) } ?? 0
      return .truncate(
        start > 0 ? 206 : 200, ["content-range": "bytes \(start)-\(bytes.count - 1)/\(bytes.count)"],
        length: bytes.count - start, Array(bytes[start..<min(bytes.count, start + 100_000)]))
    }
    try await withStore(registry) { store, port in
      let retries = Mutex(0)
      _ = try await makeClient().pull(try reference(port, "team/app:1"), into: store) { event in
        if case .retrying = event { retries.withLock { $0 += 1 } }
      }
      for blob in image.blobs { #expect(try store.blobSize(blob) != nil) }
      #expect(retries.withLock { $0 } > 0)
    }
  }

  @Test func nothingWrongIsStored() async throws {
    for fault in ["content", "size", "longer", "shorter", "manifest", "missing"] {
      let registry = FakeRegistry()
      let image = registry.addImage(to: "team/app", tag: "1")
      let layer = image.blobs[1]
      registry.fail { request in
        if request.method == .GET, request.path.hasSuffix("\(layer)") {
          switch fault {
          case "content": return .respond(200, [:], Array(repeating: 1, count: 1001))
          case "size": return .respond(200, [:], Array(repeating: 1, count: 9))
          case "longer": return .chunked([:], [Array(repeating: 1, count: 2000)])
          case "shorter": return .chunked([:], [Array(repeating: 1, count: 20)])
          case "missing": return .respond(404)
          default: return nil
          }
        }
        if fault == "manifest", request.method == .GET, request.path.contains("/manifests/") {
          return .respond(200, ["content-type": MediaType.manifest], Array("{}".utf8))
        }
        return nil
      }
      try await withStore(registry) { store, port in
        let name = try reference(port, "team/app:1")
        let error = await failure { () throws(DistributionError) in try await makeClient().pull(name, into: store) }
        let codes: [DistributionError.Code] =
          switch fault {
          case "missing": [.notFound]
          case "shorter": [.connectionLost, .contentMismatch]
          default: [.contentMismatch]
          }
        #expect(codes.contains(error.code), "\(fault): \(error)")
        #expect(try store.blobSize(layer) == nil, "\(fault)")
        #expect(try store.manifest(.tag("1"), in: try store.repository(for: name)) == nil, "\(fault)")
      }
    }
  }

  @Test func aMirrorThatLiesIsGoneAround() async throws {
    let registry = FakeRegistry()
    let image = registry.addImage(to: "team/app", tag: "1")
    let mirror = FakeRegistry()
    mirror.addImage(to: "team/app", tag: "1")
    mirror.fail { request in
      request.path.contains("/blobs/") && request.method == .GET
        ? .respond(200, [:], Array(repeating: 1, count: 1001)) : nil
    }
    let mirrorServer = mirror.server
    let mirrorPort = try await mirrorServer.start()
    try await withStore(registry) { store, port in
      let client = makeClient {
        $0.hosts.hosts["127.0.0.1:\(port)"] = .init(mirrors: [.init(location: "127.0.0.1:\(mirrorPort)")])
      }
      _ = try await client.pull(try reference(port, "team/app:1"), into: store)
      for blob in image.blobs { #expect(try store.blobSize(blob) != nil) }
    }
    await mirrorServer.stop()
  }

  @Test func sharedLayersComeOnce() async throws {
    let registry = FakeRegistry()
    for number in 0..<8 { registry.addImage(to: "app-\(number)", tag: "1", layerSize: 200_000) }
    try await withStore(registry) { store, port in
      let client = makeClient()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<8 {
          let name = try reference(port, "app-\(number):1")
          group.addTask { _ = try await client.pull(name, into: store) }
        }
        try await group.waitForAll()
      }
      #expect(count(registry, "GET blobs/") == 3)
    }
  }

  @Test func parallelBlobsAreBounded() async throws {
    let now = Mutex(0)
    let most = Mutex(0)
    try await inParallel(3, Array(0..<50)) { (_) async throws(DistributionError) in
      let count = now.withLock { count in
        count += 1
        return count
      }
      most.withLock { $0 = max($0, count) }
      for _ in 0..<20 { await Task.yield() }
      now.withLock { $0 -= 1 }
    }
    #expect(most.withLock { $0 } <= 3)
    let done = Mutex(0)
    let error = await failure { () async throws(DistributionError) in
      try await inParallel(2, Array(0..<50)) { (number) async throws(DistributionError) in
        if number == 5 { throw DistributionError(.notFound, "five") }
        done.withLock { $0 += 1 }
      }
    }
    #expect(error.message == "five")
    #expect(done.withLock { $0 } < 50)
  }

  // MARK: Push

  /// Pulls an image into the store, so that there is something to push.
  private func fill(_ store: ContentStore, _ registry: FakeRegistry, _ port: Int, layerSize: Int = 1000) async throws
    -> (
      digest: Digest, blobs: [Digest]
    )
  {
    let image = registry.addImage(to: "source", tag: "1", layerSize: layerSize)
    _ = try await makeClient().pull(
      try reference(port, "source:1"), into: store, as: Repository(path: "local"))
    registry.log.withLock { $0 = [] }
    return (image.digest, image.blobs)
  }

  @Test(arguments: [nil, 100_000]) func pushesAnImage(chunk: Int?) async throws {
    let registry = FakeRegistry()
    registry.state.withLock { $0.chunkMin = chunk.map { $0 * 2 } }
    try await withStore(registry) { store, port in
      let image = try await fill(store, registry, port, layerSize: 900_000)
      let client = makeClient { $0.limits.uploadChunk = chunk }
      let name = try reference(port, "team/copy:2")
      let digest = try await client.push(.tag("1"), in: Repository(path: "local"), of: store, to: name)
      #expect(digest == image.digest)
      registry.state.withLock { state in
        #expect(state.tags["team/copy"] == ["2": image.digest])
        for blob in image.blobs { #expect(state.blobs["team/copy"]?[blob] == state.blobs["source"]?[blob]) }
        #expect(state.uploads.isEmpty)
      }
      #expect(count(registry, "PATCH") == (chunk == nil ? 0 : 5 + 5 + 1))
      #expect(registry.log.withLock { $0.last } == "PUT manifests/2")
      // Again: nothing is sent.
      registry.log.withLock { $0 = [] }
      try await client.push(.tag("1"), in: Repository(path: "local"), of: store, to: name)
      #expect(count(registry, "HEAD blobs/") == 3)
      #expect(registry.log.withLock { $0.count } == 4)
    }
  }

  @Test(arguments: [true, false]) func mounts(isDone: Bool) async throws {
    let registry = FakeRegistry()
    registry.state.withLock { $0.mounts = isDone }
    try await withStore(registry) { store, port in
      let image = try await fill(store, registry, port)
      let mounted = Mutex(0)
      try await makeClient().push(
        .digest(image.digest), in: Repository(path: "local"), of: store, to: try reference(port, "team/copy:2"),
        mountFrom: ["source"]
      ) { event in
        if case .mounted(_, from: "source") = event { mounted.withLock { $0 += 1 } }
      }
      #expect(mounted.withLock { $0 } == (isDone ? 3 : 0))
      #expect(count(registry, "PUT uploads/") + count(registry, "PUT blobs/uploads/") == (isDone ? 0 : 3))
      #expect(count(registry, "POST") == 3, "what was begun instead of the mount is used")
    }
  }

  @Test func mountsThatAreDenied() async throws {
    let registry = FakeRegistry()
    registry.fail { $0.query("mount") != nil ? .respond(403) : nil }
    try await withStore(registry) { store, port in
      let image = try await fill(store, registry, port)
      try await makeClient().push(
        .digest(image.digest), in: Repository(path: "local"), of: store, to: try reference(port, "team/copy:2"),
        mountFrom: ["secret"])
      #expect(registry.state.withLock { $0.tags["team/copy"] } == ["2": image.digest])
    }
  }

  @Test(arguments: UInt64(0)..<8) func pushesOverABadLine(seed: UInt64) async throws {
    let registry = FakeRegistry()
    let random = Mutex(SeededGenerator(seed: seed))
    // Requests are lost before they are done, or their answers after; seldom enough that attempts suffice.
    let server = TestServer { request in
      let fate = random.withLock { Int.random(in: 0..<10, using: &$0) }
      if request.method == .GET, request.path.contains("source") { return registry.answer(request) }
      if fate == 0 { return .close }
      let reply = registry.answer(request)
      return fate == 1 ? .close : reply
    }
    try await withStore(registry, server: server) { store, port in
      let image = try await fill(store, registry, port, layerSize: 300_000)
      let client = makeClient {
        $0.limits.uploadChunk = seed % 2 == 0 ? 70_000 : nil
        $0.retry.attempts = 30
      }
      try await client.push(.tag("1"), in: Repository(path: "local"), of: store, to: try reference(port, "team/copy:2"))
      registry.state.withLock { state in
        for blob in image.blobs { #expect(state.blobs["team/copy"]?[blob] == state.blobs["source"]?[blob]) }
        #expect(state.tags["team/copy"] == ["2": image.digest])
      }
    }
  }

  @Test func anIndexWithItsChildrenAndReferrers() async throws {
    let registry = FakeRegistry()
    var children: [Descriptor] = []
    for name in ["amd64", "arm64"] {
      let platform = Platform(os: "linux", architecture: name)
      let image = registry.addImage(to: "source", tag: nil, salt: name, platform: platform)
      children.append(
        Descriptor(
          mediaType: MediaType.manifest, digest: image.digest, size: Int64(image.manifest.count), platform: platform))
    }
    let index = registry.add(
      manifest: Index(manifests: children).json.serialized(), type: MediaType.index, tag: "1", to: "source")
    try await withStore(registry) { store, port in
      let local = Repository(path: "local")
      let client = makeClient()
      let name = try reference(port, "source:1")
      // One platform only: the other child is neither here nor there.
      _ = try await client.pull(name, into: store, platform: Platform(os: "linux", architecture: "amd64"), as: local)
      let target = try reference(port, "team/copy:1")
      let error = await failure { () throws(DistributionError) in
        try await client.push(.tag("1"), in: local, of: store, to: target)
      }
      #expect(error.code == .store)
      #expect(error.message.contains("linux/arm64"))
      // To where the child is, it can be pushed.
      try await client.push(.tag("1"), in: local, of: store, to: try reference(port, "source:2"))
      _ = try await client.pull(name, into: store, platform: nil, as: local)
      let config = Array("{}".utf8)
      let signature = Manifest(
        config: Descriptor(mediaType: MediaType.empty, digest: Digest(of: config), size: 2), layers: [],
        artifactType: "application/signature", subject: children[0])
      let lease = try store.lease(for: .seconds(60))
      let writer = try store.newBlob()
      try writer.write(config)
      _ = try writer.commit(expecting: Digest(of: config), lease: lease)
      let bytes = signature.json.serialized()
      _ = try store.putManifest(bytes, mediaType: MediaType.manifest, in: local, requiring: .present)
      registry.log.withLock { $0 = [] }
      let pushed = try await client.push(.tag("1"), in: local, of: store, to: target, withReferrers: true)
      #expect(pushed == index)
      registry.state.withLock { state in
        #expect(state.manifests["team/copy"]?.count == 4)
        #expect(state.manifests["team/copy"]?[Digest(of: bytes)] != nil)
        #expect(state.tags["team/copy"] == ["1": index])
      }
      #expect(registry.log.withLock { $0.last } == "PUT manifests/1")
    }
  }

  @Test func refusalsOfPush() async throws {
    let registry = FakeRegistry()
    try await withStore(registry) { store, port in
      let image = try await fill(store, registry, port)
      let local = Repository(path: "local")
      let client = makeClient { $0.retry.attempts = 2 }
      let missing = await failure { () throws(DistributionError) in
        try await client.push(.tag("9"), in: local, of: store, to: try! Reference(parsing: "127.0.0.1:\(port)/a:1"))
      }
      #expect(missing.code == .store)
      let name = try reference(port, "team/copy:1")
      registry.fail { $0.method == .PUT ? .text(400, #"{"errors":[{"code":"DIGEST_INVALID"}]}"#) : nil }
      let refused = await failure { () throws(DistributionError) in
        try await client.push(.tag("1"), in: local, of: store, to: name)
      }
      #expect(refused.code == .rejected)
      #expect(refused.registryCode == "DIGEST_INVALID")
      registry.fail { $0.method == .POST ? .respond(202) : nil }
      let nowhere = await failure { () throws(DistributionError) in
        try await client.push(.tag("1"), in: local, of: store, to: name)
      }
      #expect(nowhere.code == .invalidResponse)
      registry.fail { $0.method == .POST ? .respond(429) : nil }
      let busy = await failure { () throws(DistributionError) in
        try await client.push(.tag("1"), in: local, of: store, to: name)
      }
      #expect(busy.code == .tooManyRequests)
      let other = try Reference(parsing: "127.0.0.1:\(port)/a:1@\(Digest(of: [1]))")
      let mismatch = await failure { () throws(DistributionError) in
        try await client.push(.digest(image.digest), in: local, of: store, to: other)
      }
      #expect(mismatch.code == .contentMismatch)
    }
  }

  /// A registry that answers before it has read the body must not make the sender wait for ever.
  @Test func answersBeforeTheBodyHasGone() async throws {
    let registry = FakeRegistry()
    let server = TestServer(
      early: { head in
        head.method == .PUT && head.uri.contains("uploads") ? .text(400, #"{"errors":[{"code":"SIZE_INVALID"}]}"#) : nil
      }, reply: { registry.answer($0) })
    try await withStore(registry, server: server) { store, port in
      _ = try await fill(store, registry, port, layerSize: 20_000_000)
      let client = makeClient { $0.retry.attempts = 1 }
      let name = try reference(port, "team/copy:1")
      let error = await failure { () throws(DistributionError) in
        try await client.push(.tag("1"), in: Repository(path: "local"), of: store, to: name)
      }
      #expect(error.registryCode == "SIZE_INVALID", "\(error)")
    }
  }
}
