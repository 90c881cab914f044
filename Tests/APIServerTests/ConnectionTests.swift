import KubeClient
import Logging
import NIOCore
import NIOEmbedded
import NIOPosix
import Schema
import Testing
import Wire

@testable import APIServer
@testable import HTTP

/// What one side of a connection can hold of the server: places, time, memory. The assumption that failed: that whoever
/// sends something will go on with it.
@Suite struct ConnectionTests {
  private static let tokens = """
    admin-token,admin,1,"system:masters"
    alice-token,alice,2,"editors"
    bob-token,bob,3,"editors"

    """

  /// A server whose editors may write ConfigMaps.
  private static func use(
    _ limits: HTTPServerLimits = .apiServer, _ body: (Peers, Fixture) async throws -> Void
  ) async throws {
    try await Fixture.run(tokens: tokens) { fixture in
      _ = try await fixture.client.create(
        GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterrolebindings"),
        namespace: nil, name: nil, subresource: nil,
        body: [
          "metadata": ["name": "editors"],
          "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"],
          "subjects": [["kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "editors"]],
        ], options: WriteOptions())
      let server = HTTPServer(
        group: MultiThreadedEventLoopGroup(numberOfThreads: 1), tls: nil, limits: limits, drainTimeout: .seconds(5),
        handler: RequestHandler(router: fixture.server.router, logger: Logger(label: "test")))
      try await body(Peers(server: server), fixture)
    }
  }

  private static let maps = "/api/v1/namespaces/default/configmaps"

  // MARK: Time

  @Test func silenceIsAHeadThatDoesNotCome() async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        peer.advance(.seconds(9))
        #expect(peer.isOpen)
        peer.advance(.seconds(2))
        #expect(!peer.isOpen)
      }
    }
  }

  /// One byte each second is no progress.
  @Test(arguments: ["GET /version HTTP/1.1\r\nHost: a\r\nX: aaaaaaaaaaaaaa", "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaa"])
  func headsThatTrickle(head: String) async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        for byte in head.utf8.prefix(12) {
          peer.send([byte])
          peer.advance(.seconds(1))
        }
        #expect(!peer.isOpen)
      }
    }
  }

  /// After an answer too: the next head has the idle time, however it comes.
  @Test func laterHeadsThatTrickle() async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        for _ in 0..<3 {
          peer.send("GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
          #expect(peer.takeStatuses() == [200])
          peer.advance(.seconds(20))
        }
        #expect(peer.isOpen, "within its time a connection may rest")
        peer.send("GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in 0..<31 {
          peer.send("G")
          peer.advance(.seconds(1))
        }
        #expect(!peer.isOpen)
      }
    }
  }

  @Test func whoHasSignedInMayRestLonger() async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        for _ in 0..<3 {
          peer.send("GET /version HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\n\r\n")
          #expect(peer.takeStatuses() == [200])
          peer.advance(.seconds(170))
        }
        #expect(peer.isOpen)
        peer.advance(.seconds(11))
        #expect(!peer.isOpen)
      }
    }
  }

  @Test(arguments: ["Authorization: Bearer alice-token\r\n", "Authorization: Bearer nobody\r\n", ""])
  func bodiesThatTrickle(who: String) async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        peer.send("POST \(Self.maps) HTTP/1.1\r\nHost: a\r\n\(who)Content-Length: 1000000\r\n\r\n")
        for _ in 0..<12 {
          peer.send("x")
          peer.advance(.seconds(1))
        }
        #expect(peer.takeStatuses().first == 408)
        #expect(!peer.isOpen && peers.server.bodyBytes == 0)
      }
    }
  }

  /// Extensions of chunks are no body, and time does not wait for them.
  @Test func chunksOfNothing() async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        peer.send(
          "POST \(Self.maps) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\nTransfer-Encoding: chunked\r\n\r\n1;"
        )
        for _ in 0..<12 {
          peer.send("a=b;")
          peer.advance(.seconds(1))
        }
        #expect(peer.takeStatuses().first == 408)
        #expect(!peer.isOpen)
      }
    }
  }

  @Test func slowAndSteadyIsFine() async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        peer.send(
          "POST \(Self.maps)/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\nContent-Length: 2097152\r\n\r\n"
        )
        for _ in 0..<32 {
          peer.send([UInt8](repeating: 0x20, count: 64 << 10))
          peer.advance(.milliseconds(900))
        }
        #expect(peer.takeStatuses() == [405])
      }
    }
  }

  // MARK: Places

  @Test func aFloodTurnsItselfOver() async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let flood = try (0..<200).map { _ in try peers.connect(from: "10.0.0.9") }
        for peer in flood { peer.advance(.zero) }
        #expect(flood.filter(\.isOpen).count == peers.server.limits.connections.addressMax)
        #expect(flood.last?.isOpen == true && flood.first?.isOpen == false)
      }
    }
  }

  /// From more addresses than there are places: administrators, users and strangers who ask something get in.
  @Test func everybodyElseGetsIn() async throws {
    var limits = HTTPServerLimits.apiServer
    limits.connections = ConnectionBudget.Limits(total: 128, strangers: 64)
    try await Self.use(limits) { peers, _ in
      try peers.run {
        let before = try peers.connect(from: "10.1.0.1")
        before.send("GET /version HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\n\r\n")
        #expect(before.takeStatuses() == [200])
        let flood = try (0..<500).map { try peers.connect(from: "10.0.\($0 / 250).\($0 % 250)") }
        for peer in flood { peer.advance(.zero) }
        #expect(flood.filter(\.isOpen).count == 64)
        for token in ["admin-token", "alice-token", "bob-token"] {
          let peer = try peers.connect(from: "10.0.0.1")
          peer.send("GET /version HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
          #expect(peer.takeStatuses() == [200])
        }
        before.send("GET /version HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\n\r\n")
        #expect(before.takeStatuses() == [200], "who has signed in stays")
      }
    }
  }

  /// A complete head and a body that does not come: those are not closed for others, but they do not get all.
  @Test func halfRequestsOfStrangers() async throws {
    try await Self.use { peers, _ in
      try peers.run {
        var refused = 0
        for _ in 0..<150 {
          let peer = try peers.connect(from: "10.0.0.9")
          peer.send("POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
          if peer.takeStatuses() == [429] { refused += 1 }
        }
        #expect(refused >= 150 - peers.server.limits.connections.addressBusyMax)
        let peer = try peers.connect(from: "10.0.0.9")
        peer.send("GET /version HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\n\r\n")
        #expect(peer.takeStatuses() == [200])
      }
    }
  }

  @Test func oneUserDoesNotTakeThePlacesOfAll() async throws {
    var limits = HTTPServerLimits.apiServer
    limits.connections = ConnectionBudget.Limits(total: 256, strangers: 64)
    try await Self.use(limits) { peers, _ in
      try peers.run {
        func ask(_ token: String) throws -> [Int] {
          let peer = try peers.connect()
          peer.send("GET /version HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
          return peer.takeStatuses()
        }
        let answers = try (0..<100).map { _ in try ask("alice-token") }
        #expect(answers.filter { $0 == [200] }.count == limits.connections.userMax)
        #expect(answers.last == [429])
        #expect(try ask("bob-token") == [200])
        #expect(try ask("admin-token") == [200])
      }
    }
  }

  // MARK: Memory

  private static func post(_ token: String, _ length: Int, _ more: String = "") -> String {
    "POST \(maps) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\nContent-Length: \(length)\r\n\(more)\r\n"
  }

  private static var small: HTTPServerLimits {
    var limits = HTTPServerLimits.apiServer
    limits.bodies = SharedBudget.Limits(total: 1000, share: 400, kept: 200)
    return limits
  }

  @Test func bodiesShareOneBudget() async throws {
    try await Self.use(Self.small) { peers, _ in
      try peers.run {
        let first = try peers.connect()
        first.send(Self.post("alice-token", 300) + "{")
        let second = try peers.connect()
        second.send(Self.post("alice-token", 300))
        #expect(second.text.contains("429 Too Many Requests") && second.text.contains("Retry-After: 1"))
        #expect(second.text.contains("TooManyRequests"))
        let other = try peers.connect()
        other.send(Self.post("bob-token", 400))
        #expect(other.takeStatuses() == [])
        let third = try peers.connect()
        third.send(Self.post("bob-token", 101))
        #expect(third.takeStatuses() == [429])
        let admin = try peers.connect()
        admin.send(Self.post("admin-token", 300))
        #expect(admin.takeStatuses() == [] && peers.server.bodyBytes == 1000)
        // What has begun goes on, and gives its room back with the answer.
        first.send(String(repeating: " ", count: 298) + "]")
        #expect(first.takeStatuses() == [400])
        #expect(peers.server.bodyBytes == 700)
      }
    }
  }

  @Test func permissionToSendIsForThoseWhoHaveRoom() async throws {
    try await Self.use(Self.small) { peers, _ in
      try peers.run {
        let first = try peers.connect()
        first.send(Self.post("alice-token", 400, "Expect: 100-continue\r\n"))
        #expect(first.takeStatuses() == [100])
        let second = try peers.connect()
        second.send(Self.post("alice-token", 400, "Expect: 100-continue\r\n"))
        #expect(second.takeStatuses() == [429])
      }
    }
  }

  @Test func chunkedBodiesCountAsTheyCome() async throws {
    try await Self.use(Self.small) { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        peer.send(
          "POST \(Self.maps) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in 0..<3 { peer.send("64\r\n" + String(repeating: " ", count: 100) + "\r\n") }
        #expect(peers.server.bodyBytes == 300 && peer.takeStatuses() == [])
        for _ in 0..<2 { peer.send("64\r\n" + String(repeating: " ", count: 100) + "\r\n") }
        #expect(peer.takeStatuses() == [429] && peers.server.bodyBytes == 0)
      }
    }
  }

  @Test func whoLeavesLeavesNothing() async throws {
    try await Self.use(Self.small) { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        peer.send(Self.post("alice-token", 400) + "{")
        #expect(peers.server.bodyBytes == 400)
        peer.close()
        #expect(peers.server.bodyBytes == 0 && peers.server.connectionCount == 0)
      }
    }
  }

  /// Nothing is kept of a body that will be refused, so it needs no room.
  @Test func bodiesOfStrangersAreNotKept() async throws {
    try await Self.use(Self.small) { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        peer.send("POST \(Self.maps) HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        peer.send([UInt8](repeating: 0x20, count: 500_000))
        #expect(peers.server.bodyBytes == 0)
        peer.send([UInt8](repeating: 0x20, count: 500_000))
        #expect(peer.takeStatuses() == [403])
      }
    }
  }

  /// Requests cost their sender nothing, and answers are large: who does not read them gets no more.
  @Test func answersThatNobodyReads() async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        let request = "GET /openapi/v3/api/v1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\n\r\n"
        peer.channel.isWritable = false
        peer.send(String(repeating: request, count: 50))
        #expect(peer.takeStatuses().count == 1)
        peer.channel.isWritable = true
        peer.channel.pipeline.fireChannelWritabilityChanged()
        #expect(peer.takeStatuses().count == 49)
        peer.channel.isWritable = false
        peer.send(request)
        peer.advance(.seconds(61))
        #expect(!peer.isOpen)
      }
    }
  }

  /// A request whose answer takes its time, and thousands behind it in one segment.
  @Test(.timeLimit(.minutes(1))) func thousandsBehindASlowOne() async throws {
    try await Self.use { peers, _ in
      let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try peers.server.addHandlers(to: channel) }
        }.bind(host: "127.0.0.1", port: 0).get()
      let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: "127.0.0.1", port: listener.localAddress?.port ?? 0) { channel in
          channel.eventLoop.makeCompletedFuture {
            try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
          }
        }
      let client = StreamingClient(connection)
      let body = #"{"metadata":{"name":"slow"}}"#
      let next = "GET /version HTTP/1.1\r\nHost: a\r\n\r\n"
      let count = 8000
      try await client.send(
        ByteBuffer(
          string: Self.post("alice-token", body.utf8.count) + body + String(repeating: next, count: count)))
      var answers = 0
      var rest: [UInt8] = []
      let mark = Array("HTTP/1.1 ".utf8)
      while answers < count + 1, let bytes = await client.read() {
        rest += bytes.readableBytesView
        var at = 0
        while at + mark.count <= rest.count {
          if rest[at] == mark[0], rest[at..<(at + mark.count)].elementsEqual(mark) { answers += 1 }
          at += 1
        }
        rest.removeFirst(at)
      }
      #expect(answers == count + 1)
      await client.close()
      try await listener.close()
    }
  }

  // MARK: Watches

  private func update(_ fixture: Fixture, _ count: Int, bytes: Int) async throws {
    for number in 0..<count {
      _ = try await fixture.patch(
        "configmaps", "a", .merge,
        ["data": ["n": .string("\(number)"), "x": .string(String(repeating: "x", count: bytes))]])
    }
  }

  /// A watcher that takes nothing is closed when that has lasted too long.
  @Test func watchersThatDoNotRead() async throws {
    try await Self.use { peers, fixture in
      _ = try await fixture.configMap("a")
      try peers.run {
        let peer = try peers.connect()
        peer.channel.isWritable = false
        peer.send("GET \(Self.maps)?watch=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\n\r\n")
        #expect(peer.takeStatuses() == [200])
        peer.advance(.seconds(9))
        #expect(peer.isOpen)
        peer.channel.isWritable = true
        peer.channel.pipeline.fireChannelWritabilityChanged()
        #expect(peer.text.contains("ADDED"), "who reads again goes on")
        peer.advance(.seconds(100))
        #expect(peer.isOpen)
        peer.send("x")
        peer.channel.isWritable = false
        peer.channel.pipeline.fireUserInboundEventTriggered(HTTPServer.Drain())
        peer.advance(.seconds(61))
        #expect(!peer.isOpen, "a last answer that is not taken ends, too")
      }
      try peers.run {
        let peer = try peers.connect()
        peer.channel.isWritable = false
        peer.send("GET \(Self.maps)?watch=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice-token\r\n\r\n")
        peer.advance(.seconds(11))
        #expect(!peer.isOpen)
      }
    }
  }

  @Test(.timeLimit(.minutes(1))) func whatWaitsForAWatcherIsBounded() async throws {
    try await Self.use { peers, fixture in
      _ = try await fixture.configMap("a")
      let kind = try #require(fixture.client.service.schemas.resource(Fixture.resource("configmaps")))
      let response = try WatchResponse(
        fixture.client.service, kind, WatchSource.Options(), contentType: "application/json", endsAfter: nil
      ) { _ in ByteBuffer(string: "x") }
      try await update(fixture, 40, bytes: 900_000)
      while !response.isOverrun { await Task.yield() }
      #expect(response.waitingBytes < 1 << 20, "what waited is given up at once")
      let pieces = try WatchResponse(
        fixture.client.service, kind, WatchSource.Options(), contentType: "application/json", endsAfter: nil
      ) { _ in ByteBuffer(string: "x") }
      try await update(fixture, 4, bytes: 300_000)
      while pieces.waitingBytes < 1_200_000 { await Task.yield() }
      _ = pieces.next(1, bytes: .max)
      #expect(pieces.next(64, bytes: 256 << 10).lines.count == 1, "large ones go out one by one")
      pieces.cancel()
    }
  }

  // MARK: Heads

  /// Two requests are in each of these for whoever reads the framing otherwise. The second must never be answered.
  @Test(arguments: [
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{B}chunked\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nX: b\r\n Transfer-Encoding: chunked\r\nHost: c\r\n\r\n",
    "POST /version HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-0\r\n\r\n",
    "POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
    "GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /version HTTP/1.1\r\n\r\n",
    "GET /version HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET /version HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET /version HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n",
    "GET /version HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
  ]) func headsThatAreNotSure(head: String) async throws {
    try await Self.use { peers, _ in
      try peers.run {
        let peer = try peers.connect()
        peer.send(head + "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        let statuses = peer.takeStatuses()
        #expect(statuses.count <= 1 && statuses.allSatisfy { [400, 417, 501].contains($0) }, "\(statuses)")
        peer.advance(.seconds(11))
        #expect(!peer.isOpen)
      }
    }
  }
}

/// Connections to a server without a network, under a clock that the test moves.
struct Peers: Sendable {
  let server: HTTPServer

  /// Embedded channels belong to one thread at a time: all that is done with them is done in here, without suspending.
  func run<Value>(_ body: () throws -> Value) rethrows -> Value { try body() }

  func connect(from address: String = "10.0.0.1") throws -> Peer { try Peer(server, address) }
}

final class Peer {
  let channel: EmbeddedChannel
  private(set) var received: [UInt8] = []

  fileprivate init(_ server: HTTPServer, _ address: String) throws {
    channel = EmbeddedChannel()
    channel.remoteAddress = try SocketAddress(ipAddress: address, port: 1)
    try server.addHandlers(to: channel)
    channel.connect(to: try SocketAddress(ipAddress: address, port: 1), promise: nil)
  }

  var isOpen: Bool { channel.isActive }

  func send(_ text: String) { send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) {
    _ = try? channel.writeInbound(ByteBuffer(bytes: bytes))
    channel.embeddedEventLoop.run()
    collect()
  }

  func advance(_ time: TimeAmount) {
    channel.embeddedEventLoop.advanceTime(by: time)
    collect()
  }

  func close() {
    channel.close(promise: nil)
    channel.embeddedEventLoop.run()
  }

  private func collect() {
    while let buffer = try? channel.readOutbound(as: ByteBuffer.self) { received += buffer.readableBytesView }
  }

  var text: String {
    collect()
    return String(decoding: received, as: UTF8.self)
  }

  /// The statuses of the answers since the last time.
  func takeStatuses() -> [Int] {
    collect()
    defer { received = [] }
    return text.split(separator: "HTTP/1.1 ", omittingEmptySubsequences: false).dropFirst().compactMap {
      Int($0.prefix(3))
    }
  }
}
