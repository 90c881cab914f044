import Content
import Glibc
import LinuxSystem
import NIOCore
import OCI
import Synchronization
import Testing
import Wire

@testable import Registry

/// Two registries that speak to each other, and a subscriber.
@Suite(.timeLimit(.minutes(1))) struct UpstreamTests {
  @Test func pullThrough() async throws {
    let kept = TestRegistry.temporaryFolder()
    defer { try? Directory.removeTree(kept) }
    try await TestRegistry.use { origin in
      let image = try await origin.pushImage("library/app", "1")
      let large = [UInt8](repeating: 9, count: 3 << 20)
      let digest = try await origin.push(large, to: "library/app")
      try await TestRegistry.use(
        {
          var upstream = RegistryConfiguration.Upstream(prefix: "up", registry: "127.0.0.1:\(origin.port)")
          upstream.freshness = .zero
          $0.upstreams = [upstream]
        }, folder: kept
      ) { cache in
        let head = try await cache.send("HEAD", "/v2/up/library/app/blobs/\(digest)")
        #expect(head.status == 200 && head["content-length"] == "\(large.count)")
        let manifest = try await cache.send("GET", "/v2/up/library/app/manifests/1")
        #expect(manifest.status == 200 && manifest.body == image.bytes, "\(manifest.text)")
        // Many at one time, whole and in parts: one fetch.
        try await withThrowingTaskGroup(of: Void.self) { group in
          for index in 0..<6 {
            group.addTask {
              let headers = index % 3 == 2 ? [("Range", "bytes=1-10")] : []
              let blob = try await cache.send("GET", "/v2/up/library/app/blobs/\(digest)", headers: headers)
              #expect(blob.body == (index % 3 == 2 ? Array(large[1...10]) : large), "\(blob.status)")
            }
          }
          try await group.waitForAll()
        }
        #expect(try await cache.send("GET", "/v2/up/library/app/tags/list").json["tags"] == ["1"])
        #expect(try await cache.send("GET", "/v2/up/library/app/manifests/none").code == "MANIFEST_UNKNOWN")
        #expect(try await cache.send("GET", "/v2/up/library/app/blobs/\(Digest(of: [4]))").code == "BLOB_UNKNOWN")
        let refused = try await cache.send("POST", "/v2/up/library/app/blobs/uploads/", body: [])
        #expect(refused.status == 403 && refused.code == "DENIED")
        // What is kept is no image of the node.
        #expect(try cache.content.repositories(host: "", after: nil, limit: 10).isEmpty)
        // A tag that moves there moves here.
        let moved = try await origin.pushImage("library/app", "1", seed: "moved")
        #expect(try await cache.send("GET", "/v2/up/library/app/manifests/1").body == moved.bytes)
        await origin.registry.shutdown()
        #expect(try await cache.send("GET", "/v2/up/library/app/manifests/1").body == moved.bytes)
        #expect(try await cache.send("GET", "/v2/up/library/app/blobs/\(digest)").body == large)
        let gone = try await cache.send("GET", "/v2/up/library/app/manifests/never-seen")
        #expect(gone.status == 502 && gone.code == "UNAVAILABLE")
      }
    }
  }

  @Test func replication() async throws {
    try await TestRegistry.use { target in
      try await TestRegistry.use({
        var replica = RegistryConfiguration.Replica(name: "r", registry: "127.0.0.1:\(target.port)")
        replica.path = "mirror"
        replica.repositories = [Glob("prod/**")]
        $0.replicas = [replica]
      }) { source in
        let image = try await source.pushImage("prod/app", "1")
        try await source.pushImage("test/app", "1")
        let subject = Descriptor(mediaType: MediaType.manifest, digest: image.digest, size: Int64(image.bytes.count))
        let signature = try await source.pushImage("prod/app", "digest", seed: "s", subject: subject)
        func arrived(_ reference: String) async throws -> Response {
          var response = try await target.send("GET", "/v2/mirror/prod/app/manifests/\(reference)")
          for _ in 0..<3000 where response.status != 200 {
            response = try await target.send("GET", "/v2/mirror/prod/app/manifests/\(reference)")
          }
          return response
        }
        #expect(try await arrived("1").body == image.bytes)
        #expect(try await arrived(signature.digest.description).body == signature.bytes)
        #expect(try await target.send("GET", "/v2/mirror/test/app/manifests/1").status == 404)
      }
    }
  }

  /// What is deleted here goes there when the replica asks for it, also when it was deleted while nothing could be sent;
  /// what only the replica has is left alone.
  @Test func replicatedDeletions() async throws {
    let kept = TestRegistry.temporaryFolder()
    defer { try? Directory.removeTree(kept) }
    try await TestRegistry.use { target in
      func configure(_ configuration: inout RegistryConfiguration, deletions: Bool = true) {
        var replica = RegistryConfiguration.Replica(name: "r", registry: "127.0.0.1:\(target.port)")
        replica.deletions = deletions
        replica.repositories = [Glob("prod/**")]
        configuration.replicas = [replica]
      }
      func status(_ reference: String) async throws -> Int {
        try await target.send("HEAD", "/v2/prod/app/manifests/\(reference)").status
      }
      func wait(_ reference: String, _ wanted: Int) async throws {
        var found = try await status(reference)
        for _ in 0..<3000 where found != wanted { found = try await status(reference) }
        #expect(found == wanted, "\(reference)")
      }
      try await target.pushImage("prod/app", "own", seed: "own")
      var digest = ""
      try await TestRegistry.use({ configure(&$0) }, folder: kept) { source in
        for tag in ["1", "2", "3", "4"] {
          digest = try await source.pushImage("prod/app", tag, seed: tag).digest.description
          try await wait(tag, 200)
        }
        #expect(try await source.send("DELETE", "/v2/prod/app/manifests/1").status == 202)
        try await wait("1", 404)
        #expect(try await source.send("DELETE", "/v2/prod/app/manifests/\(digest)").status == 202)
        try await wait(digest, 404)
        #expect(try await status("4") == 404)
      }
      // Nobody sends anything: two go, one of them comes back.
      do {
        let content = try ContentStore.open(root: "\(kept)/images")
        defer { content.close() }
        let repository = Repository(path: "prod/app")
        let three = try #require(try content.manifest(.tag("3"), in: repository))
        for tag in ["2", "3"] { #expect(try content.deleteTag(tag, in: repository)) }
        #expect(try content.tag("3", three.digest, in: repository))
      }
      try await TestRegistry.use({ configure(&$0) }, folder: kept) { source in
        try await wait("2", 404)
        try await until { try source.content.deletions(for: "r", limit: 1).isEmpty }
        #expect(try await status("3") == 200)
        #expect(try await status("own") == 200)
        // By default nothing is deleted there.
        var configuration = source.registry.configuration
        configure(&configuration, deletions: false)
        try await source.registry.reload(configuration)
        #expect(try await source.send("DELETE", "/v2/prod/app/manifests/3").status == 202)
        try await source.pushImage("prod/app", "5", seed: "5")
        try await wait("5", 200)
        #expect(try await status("3") == 200)
      }
    }
  }

  /// A replica that lets nobody delete yet still gets its copies, and the deletions as soon as it lets us.
  @Test func refusedDeletionsHoldUpNothing() async throws {
    func rule(_ actions: Set<Action>) -> AccessRule {
      AccessRule(repositories: [Glob("**")], subjects: ["anonymous"], actions: actions)
    }
    try await TestRegistry.use({ $0.access = [rule([.pull, .push])] }) { target in
      func status(_ tag: String) async throws -> Int {
        try await target.send("HEAD", "/v2/app/manifests/\(tag)").status
      }
      func wait(_ tag: String, _ wanted: Int) async throws {
        try await until { try await status(tag) == wanted }
      }
      try await TestRegistry.use({
        var replica = RegistryConfiguration.Replica(name: "r", registry: "127.0.0.1:\(target.port)")
        replica.deletions = true
        $0.replicas = [replica]
      }) { source in
        for tag in ["1", "2"] {
          try await source.pushImage("app", tag, seed: tag)
          try await wait(tag, 200)
        }
        for tag in ["1", "2"] {
          #expect(try await source.send("DELETE", "/v2/app/manifests/\(tag)").status == 202)
        }
        func failed() -> Bool {
          source.registry.metrics.exposition().split(separator: "\n").contains {
            $0.hasPrefix("apus_registry_replications") && $0.contains("failed")
          }
        }
        try await until { failed() }
        try await source.pushImage("app", "3", seed: "3")
        try await wait("3", 200)
        #expect(try await status("1") == 200)
        #expect(try source.content.deletions(for: "r", limit: 10).count == 2)
        var configuration = target.registry.configuration
        configuration.access = [rule([.pull, .push, .delete])]
        try await target.registry.reload(configuration)
        for tag in ["1", "2"] { try await wait(tag, 404) }
        try await until { try source.content.deletions(for: "r", limit: 1).isEmpty }
      }
    }
  }

  /// A tag that is back, and names what the disk has damaged, is back: nothing is deleted, and others are not held up.
  @Test func damagedManifestsAreNotDeletedThere() async throws {
    let kept = TestRegistry.temporaryFolder()
    defer { try? Directory.removeTree(kept) }
    try await TestRegistry.use { target in
      func configure(_ configuration: inout RegistryConfiguration) {
        var replica = RegistryConfiguration.Replica(name: "r", registry: "127.0.0.1:\(target.port)")
        replica.deletions = true
        configuration.replicas = [replica]
      }
      func wait(_ tag: String, _ wanted: Int) async throws {
        try await until { try await target.send("HEAD", "/v2/app/manifests/\(tag)").status == wanted }
      }
      try await TestRegistry.use(configure, folder: kept) { source in
        for tag in ["1", "2"] {
          try await source.pushImage("app", tag, seed: tag)
          try await wait(tag, 200)
        }
      }
      do {
        let content = try ContentStore.open(root: "\(kept)/images")
        defer { content.close() }
        let repository = Repository(path: "app")
        let one = try #require(try content.manifest(.tag("1"), in: repository))
        for tag in ["1", "2"] { #expect(try content.deleteTag(tag, in: repository)) }
        #expect(try content.tag("1", one.digest, in: repository))
        try DurableFile.write([0], to: content.blobPath(one.digest))
        #expect(try content.scrub(olderThan: .zero).map(\.digest) == [one.digest])
      }
      try await TestRegistry.use(configure, folder: kept) { source in
        try await wait("2", 404)
        try await until { try source.content.deletions(for: "r", limit: 1).isEmpty }
        #expect(try await target.send("HEAD", "/v2/app/manifests/1").status == 200)
      }
    }
  }

  /// A replica that is taken out of the configuration gets nothing more of what is waiting for it.
  @Test func aRemovedReplicaStops() async throws {
    try await TestRegistry.use { target in
      // Its first blob is asked for and never answered: the copy is under way when the replica goes.
      let silent = try SilentServer()
      defer { silent.close() }
      try await TestRegistry.use({
        $0.replicas = [.init(name: "r", registry: "127.0.0.1:\(silent.port)")]
      }) { source in
        for index in 0..<20 { try await source.pushImage("app", "\(index)", seed: "\(index)") }
        await silent.connected()
        var configuration = source.registry.configuration
        configuration.replicas = []
        try await source.registry.reload(configuration)
        #expect(source.registry.metrics.exposition().contains("apus_registry_replication_queue 0"))
        // The connection is given up, long before any deadline.
        await silent.disconnected()
        configuration.replicas = [.init(name: "r", registry: "127.0.0.1:\(target.port)")]
        try await source.registry.reload(configuration)
        var status = 0
        for _ in 0..<3000 where status != 200 {
          status = try await target.send("HEAD", "/v2/app/manifests/19").status
        }
        #expect(status == 200)
      }
    }
  }

  @Test func notifications() async throws {
    let subscriber = try Subscriber(statuses: [503, 202, 202])
    try await TestRegistry.use({
      $0.notifications = [
        .init(
          url: "http://127.0.0.1:\(subscriber.port)/events?x=1", events: [.push, .delete],
          repositories: [Glob("team/**")], headers: [.init("Authorization", "Bearer t")])
      ]
    }) { registry in
      let image = try await registry.pushImage("team/app", "1")
      try await registry.pushImage("other/app", "1")
      #expect(try await registry.send("DELETE", "/v2/team/app/manifests/1").status == 202)
      let requests = await subscriber.requests()
      #expect(requests.count == 3)
      let bodies = try requests.map { try JSON.parse(Array($0.utf8.drop { $0 != UInt8(ascii: "{") })) }
      // The refused one comes again, with the same id, and before what came after it.
      #expect(bodies[0]["id"] == bodies[1]["id"])
      #expect(bodies.map { $0["type"]?.string ?? "" }.map { $0.contains("push") } == [true, true, false])
      #expect(bodies[1].at("data", "digest")?.string == image.digest.description)
      #expect(requests.allSatisfy { $0.hasPrefix("POST /events?x=1 HTTP/1.1") })
      #expect(requests.allSatisfy { $0.contains("Authorization: Bearer t") })
      #expect(requests[0].contains("application/cloudevents+json"))
    }
  }

  @Test func followsItsFile() async throws {
    try await TestRegistry.use { registry in
      let path = "\(registry.folder)/registry.yaml"
      let base = registry.registry.configuration
      let following = Task { try await registry.registry.follow(configurationFile: path, over: base) }
      try DurableFile.write(Array("immutableTags: [{tags: [v1]}]\n".utf8), to: path)
      try await until { !registry.registry.configuration.immutability.isEmpty }
      // A mistake changes nothing; the next good file counts.
      try DurableFile.write(Array("nonsense: 1\n".utf8), to: path)
      try DurableFile.write(Array("requireContent: false\n".utf8), to: path)
      try await until { !registry.registry.configuration.requiresContent }
      #expect(registry.registry.configuration.immutability.isEmpty)
      following.cancel()
      _ = await following.result
    }
  }
}

/// A server that takes connections and never answers.
private final class SilentServer: Sendable {
  let port: Int
  private let descriptor: Int32
  private let events: AsyncStream<Bool>

  init() throws {
    let (descriptor, port) = listeningSocket()
    (self.descriptor, self.port) = (descriptor, port)
    let (stream, continuation) = AsyncStream<Bool>.makeStream()
    events = stream
    DedicatedThread.start("test-silent") {
      let client = accept(descriptor, nil, nil)
      guard client >= 0 else { return continuation.finish() }
      continuation.yield(true)
      var piece = [UInt8](repeating: 0, count: 4096)
      while recv(client, &piece, piece.count, 0) > 0 {}
      _ = Glibc.close(client)
      continuation.yield(false)
    }
  }

  func connected() async { for await isOpen in events where isOpen { return } }
  func disconnected() async { for await isOpen in events where !isOpen { return } }
  func close() { _ = Glibc.close(descriptor) }
}

func listeningSocket() -> (descriptor: Int32, port: Int) {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr = in_addr(s_addr: UInt32(0x7F00_0001).bigEndian)
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let size = length
  let isBound = withUnsafeMutablePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
      bind(descriptor, pointer, size) == 0 && listen(descriptor, 8) == 0
        && getsockname(descriptor, pointer, &length) == 0
    }
  }
  #expect(isBound)
  return (descriptor, Int(in_port_t(bigEndian: address.sin_port)))
}

/// A server that answers each request on a connection of its own with the next status.
private final class Subscriber: Sendable {
  let port: Int
  private let received = Mutex<[String]>([])
  private let done: AsyncStream<Void>

  init(statuses: [Int]) throws {
    let descriptor: Int32
    (descriptor, port) = listeningSocket()
    let (stream, continuation) = AsyncStream<Void>.makeStream()
    done = stream
    DedicatedThread.start("test-subscriber") { [self] in
      for status in statuses {
        let client = accept(descriptor, nil, nil)
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 << 10)
        while true {
          let text = String(decoding: bytes, as: UTF8.self)
          if let end = text.range(of: "\r\n\r\n"), let field = text.range(of: "Content-Length: "),
            let wanted = Int(text[field.upperBound...].prefix { $0.isNumber }),
            text[end.upperBound...].utf8.count >= wanted
          {
            break
          }
          let count = recv(client, &piece, piece.count, 0)
          guard count > 0 else { break }
          bytes += piece[..<count]
        }
        received.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
        let answer = Array("HTTP/1.1 \(status) X\r\nContent-Length: 0\r\n\r\n".utf8)
        _ = Glibc.send(client, answer, answer.count, Int32(MSG_NOSIGNAL))
        _ = close(client)
      }
      _ = close(descriptor)
      continuation.finish()
    }
  }

  /// After all have come.
  func requests() async -> [String] {
    for await _ in done {}
    return received.withLock { $0 }
  }
}

extension String {
  /// Without Foundation.
  fileprivate func range(of text: String) -> Range<String.Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text), let end = index(start, offsetBy: text.count, limitedBy: endIndex) {
        return start..<end
      }
      start = index(after: start)
    }
    return nil
  }
}
