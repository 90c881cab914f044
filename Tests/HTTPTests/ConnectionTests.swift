import NIOCore
import NIOEmbedded
import NIOHTTP1
import Synchronization
import Testing

@testable import HTTP

/// One connection with all of its handlers, on an embedded channel.
@Suite struct ConnectionTests {
  private static func get(_ path: String, _ headers: String = "") -> String {
    "GET \(path) HTTP/1.1\r\nHost: a\r\n\(headers)\r\n"
  }

  // MARK: Order

  @Test func requestsAreAnsweredInOrder() throws {
    let peer = try Peer(HTTPServer(TestHandler(TestHandler.echo)))
    peer.send((0..<3).map { Self.get("/\($0)") }.joined())
    let bodies = peer.take().split(separator: "\r\n\r\n").dropFirst().map { $0.prefix(2) }
    #expect(bodies == ["/0", "/1", "/2"])
  }

  /// As many as a client puts into one segment, without one call within the other.
  @Test func thousandsInOneSegment() throws {
    let peer = try Peer(HTTPServer(TestHandler(TestHandler.echo)))
    peer.send(String(repeating: Self.get("/"), count: 5000))
    #expect(peer.takeStatuses().count == 5000)
  }

  /// Of pulled bodies, too.
  @Test func thousandsOfPulledAnswers() throws {
    let peer = try Peer(
      HTTPServer(
        TestHandler(
          TestHandler.answering { _ in
            HTTPServerResponse(status: 200, body: .pulled(TestBody(length: 4, ["ab", "cd"], isEnded: true)))
          })))
    peer.send(String(repeating: Self.get("/"), count: 2000))
    let text = peer.take()
    #expect(text.components(of: "abcd") == 2000)
  }

  @Test func bodiesAreCollected() throws {
    let server = HTTPServer(TestHandler(TestHandler.echo))
    let peer = try Peer(server)
    peer.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    #expect(server.bodyBytes == 6 && peer.take() == "")
    peer.send("def")
    #expect(peer.take().hasSuffix("/xabcdef"))
    #expect(server.bodyBytes == 0)
    peer.send("POST /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    #expect(server.bodyBytes == 3)
    peer.send("0\r\n\r\n")
    #expect(peer.take().hasSuffix("/yabc"))
    #expect(server.bodyBytes == 0)
  }

  // MARK: Forms of answers

  @Test func framingOfAnswers() throws {
    let peer = try Peer(
      HTTPServer(
        TestHandler(
          TestHandler.answering { request in
            switch request.head.uri {
            case "/none": HTTPServerResponse(status: 204)
            case "/unchanged": HTTPServerResponse(status: 304, headers: ["ETag": "x"])
            case "/live": HTTPServerResponse(status: 200, body: .pulled(TestBody(["x"], isEnded: true)))
            default: HTTPServerResponse(status: 200, body: .buffer(ByteBuffer(string: "hello")))
            }
          })))
    peer.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
    let head = peer.take()
    #expect(head.contains("Content-Length: 5\r\n") && head.hasSuffix("\r\n\r\n"))
    peer.send(Self.get("/none"))
    #expect(peer.take() == "HTTP/1.1 204 No Content\r\n\r\n")
    peer.send(Self.get("/unchanged"))
    #expect(peer.take() == "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n")
    peer.send(Self.get("/live"))
    #expect(peer.take().hasSuffix("transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"))
    #expect(peer.isOpen)
    peer.send(Self.get("/", "Connection: close\r\n"))
    #expect(peer.take().contains("Connection: close\r\n"))
    #expect(!peer.isOpen)
  }

  /// HTTP/1.0 knows no chunks: the connection's end is the body's.
  @Test func oldClients() throws {
    let handler = TestHandler(
      TestHandler.answering { request in
        request.head.uri == "/live"
          ? HTTPServerResponse(status: 200, body: .pulled(TestBody(["abc"], isEnded: true)))
          : HTTPServerResponse(status: 200, body: .buffer(ByteBuffer(string: "hello")))
      })
    let server = HTTPServer(handler)
    let kept = try Peer(server)
    kept.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    #expect(kept.take().contains("Connection: keep-alive\r\n"))
    #expect(kept.isOpen)
    kept.send("GET /live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    let text = kept.take()
    #expect(text.hasPrefix("HTTP/1.0 200 OK\r\n") && text.hasSuffix("\r\n\r\nabc"))
    #expect(!text.lowercased().contains("transfer-encoding"))
    #expect(!kept.isOpen)
  }

  @Test func aProducerWritesAtTheClientsPace() async throws {
    let written = Mutex(0)
    let handler = TestHandler(
      TestHandler.answering { _ in
        HTTPServerResponse(
          status: 200,
          body: .stream(length: 6) { write in
            for piece in ["ab", "cd", "ef"] {
              try await write(ByteBuffer(string: piece))
              written.withLock { $0 += 1 }
            }
          })
      })
    let text = try await exchange(HTTPServer(handler), Self.get("/", "Connection: close\r\n"))
    #expect(text.hasSuffix("\r\n\r\nabcdef") && text.contains("Content-Length: 6\r\n"))
    #expect(written.withLock { $0 } == 3)
  }

  @Test func aFailedProducerCutsTheConnection() async throws {
    struct Failure: Error {}
    let handler = TestHandler(
      TestHandler.answering { _ in
        HTTPServerResponse(
          status: 200,
          body: .stream(length: nil) { write in
            try await write(ByteBuffer(string: "ab"))
            throw Failure()
          })
      })
    let text = try await exchange(HTTPServer(handler), Self.get("/"))
    #expect(text.hasSuffix("2\r\nab\r\n"), "without the last chunk")
  }

  // MARK: Bodies that are pulled

  @Test func aListWaitsForItsReader() throws {
    let body = TestBody(length: 6, ["ab", "cd", "ef"], isEnded: true)
    let peer = try Peer(
      HTTPServer(TestHandler(TestHandler.answering { _ in HTTPServerResponse(status: 200, body: .pulled(body)) })))
    peer.channel.isWritable = false
    peer.send(Self.get("/"))
    #expect(body.state.withLock { $0.pulls } == 0)
    peer.setWritable(true)
    #expect(peer.take().hasSuffix("abcdef"))
    #expect(body.isCancelled && peer.isOpen)
  }

  /// The next answer would be read as the rest of it.
  @Test(arguments: [["ab", "cd"], ["ab", "cd", "ef", "gh"]]) func aListOfAnotherLengthCutsTheConnection(
    _ pieces: [String]
  ) throws {
    let body = TestBody(length: 6, pieces, isEnded: true)
    let peer = try Peer(
      HTTPServer(
        TestHandler(
          TestHandler.answering { request in
            request.head.uri == "/"
              ? HTTPServerResponse(status: 200, body: .pulled(body))
              : HTTPServerResponse(status: 200, body: .buffer(ByteBuffer(string: "next")))
          })))
    peer.send(Self.get("/") + Self.get("/next"))
    let text = peer.take()
    #expect(text.hasSuffix("abcd") || text.hasSuffix("abcdef"), "\(text)")
    #expect(!peer.isOpen && body.isCancelled)
  }

  @Test func aListThatIsNotTakenEnds() throws {
    let body = TestBody(length: 6, ["ab", "cd", "ef"], isEnded: true)
    let peer = try Peer(
      HTTPServer(TestHandler(TestHandler.answering { _ in HTTPServerResponse(status: 200, body: .pulled(body)) })))
    peer.channel.isWritable = false
    peer.send(Self.get("/"))
    peer.advance(.seconds(59))
    #expect(peer.isOpen)
    peer.advance(.seconds(2))
    #expect(!peer.isOpen && body.isCancelled)
  }

  @Test func aLiveBodyMaySayNothing() throws {
    let body = TestBody()
    let peer = try Peer(
      HTTPServer(TestHandler(TestHandler.answering { _ in HTTPServerResponse(status: 200, body: .pulled(body)) })))
    peer.send(Self.get("/"))
    #expect(peer.takeStatuses() == [200], "the head goes out before there is anything")
    peer.advance(.hours(1))
    #expect(peer.isOpen)
    body.add("x")
    peer.run()
    #expect(peer.take() == "1\r\nx\r\n")
    // Its client does not read, and reads again.
    peer.setWritable(false)
    body.add("y")
    peer.run()
    peer.advance(.seconds(9))
    peer.setWritable(true)
    #expect(peer.take() == "1\r\ny\r\n")
    peer.advance(.hours(1))
    #expect(peer.isOpen)
    peer.setWritable(false)
    body.add("z")
    peer.run()
    peer.advance(.seconds(11))
    #expect(!peer.isOpen && body.isCancelled)
  }

  @Test func anOverrunReaderIsCutOffAtOnce() throws {
    let body = TestBody()
    let peer = try Peer(
      HTTPServer(TestHandler(TestHandler.answering { _ in HTTPServerResponse(status: 200, body: .pulled(body)) })))
    peer.send(Self.get("/"))
    peer.setWritable(false)
    body.state.withLock { $0.isOverrun = true }
    body.add("x")
    peer.run()
    #expect(!peer.isOpen)
  }

  @Test func whoLeavesEndsTheBody() throws {
    let body = TestBody()
    let peer = try Peer(
      HTTPServer(TestHandler(TestHandler.answering { _ in HTTPServerResponse(status: 200, body: .pulled(body)) })))
    peer.send(Self.get("/"))
    peer.close()
    #expect(body.isCancelled)
  }

  @Test func drainEndsWhatWouldLastForEver() throws {
    let body = TestBody(["x"])
    let server = HTTPServer(
      TestHandler(
        TestHandler.answering { request in
          request.head.uri == "/live"
            ? HTTPServerResponse(status: 200, body: .pulled(body)) : HTTPServerResponse(status: 200)
        }))
    let live = try Peer(server)
    live.send(Self.get("/live"))
    live.drain()
    #expect(live.take().hasSuffix("1\r\nx\r\n0\r\n\r\n"))
    #expect(!live.isOpen && body.isCancelled)
    let idle = try Peer(server)
    idle.send(Self.get("/"))
    idle.drain()
    #expect(!idle.isOpen)
  }

  // MARK: Streamed bodies

  /// A handler that reads when the test says so.
  private final class Reader: Sendable {
    let body = Mutex<HTTPRequestBody?>(nil)
    let respond = Mutex<HTTPRequestHandler.Respond?>(nil)

    var receive: TestHandler.Receive {
      { request in
        .stream { [self] body, respond in
          self.body.withLock { $0 = body }
          self.respond.withLock { $0 = respond }
        }
      }
    }

    func answer(_ response: HTTPServerResponse) { respond.withLock { $0 }?(response) }
  }

  /// Reads of the socket stop while what has come is not taken.
  @Test func aFastClientWaitsForASlowReader() async throws {
    let reader = Reader()
    let server = HTTPServer(TestHandler(reader.receive)) {
      $0.bodies = SharedBudget.Limits(total: 8 << 20, share: 4 << 20, kept: 1 << 20)
    }
    let peer = try await AsyncPeer(server)
    try await peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
    try await peer.send([UInt8](repeating: 1, count: 900_000))
    #expect(try await peer.isReading)
    try await peer.send([UInt8](repeating: 1, count: 200_000))
    #expect(try await !peer.isReading)
    await peer.advance(.hours(1))
    #expect(peer.channel.isActive, "the reader's pace is not the client's fault")
    #expect(server.bodyBytes >= 900_000)
    let body = try #require(reader.body.withLock { $0 })
    #expect(try await body.next().reduce(0) { $0 + $1.readableBytes } == 1_100_000)
    #expect(server.bodyBytes == 0)
    #expect(try await peer.isReading)
    try await peer.channel.close()
    await #expect(throws: HTTPRequestBody.Failure.self) { _ = try await body.next() }
  }

  @Test func aBodyThatStallsIsTheHandlersToAnswer() async throws {
    let reader = Reader()
    let peer = try await AsyncPeer(HTTPServer(TestHandler(reader.receive)))
    try await peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
    let body = try #require(reader.body.withLock { $0 })
    #expect(try await body.next().map(\.readableBytes) == [3])
    await peer.advance(.seconds(61))
    await #expect(throws: HTTPRequestBody.Failure.stalled) { _ = try await body.next() }
    reader.answer(HTTPServerResponse(status: 408))
    #expect(try await peer.next().hasPrefix("HTTP/1.1 408 "))
  }

  @Test func permissionComesWithTheFirstRead() async throws {
    let reader = Reader()
    let peer = try await AsyncPeer(HTTPServer(TestHandler(reader.receive)))
    try await peer.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    #expect(try await peer.channel.readOutbound(as: ByteBuffer.self) == nil)
    let body = try #require(reader.body.withLock { $0 })
    async let piece = body.next()
    #expect(try await peer.next().hasPrefix("HTTP/1.1 100 "))
    try await peer.send("abc")
    #expect(try await piece.map(\.readableBytes) == [3])
    #expect(try await body.next().isEmpty)
    reader.answer(HTTPServerResponse(status: 201))
    #expect(try await peer.next().hasPrefix("HTTP/1.1 201 "))
  }

  @Test func collectingHasABudget() async throws {
    let reader = Reader()
    let server = HTTPServer(TestHandler(reader.receive))
    let peer = try await AsyncPeer(server)
    try await peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    let body = try #require(reader.body.withLock { $0 })
    await #expect(throws: HTTPRequestBody.Failure.bodiesAreMany) {
      _ = try await body.collect(length: 1200, bytesMax: 2000)
    }
    #expect(try await body.collect(length: 3, bytesMax: 100) == Array("abc".utf8))
    #expect(server.bodyBytes == 0)
  }

  // MARK: Another protocol

  @Test func anUpgradeTakesTheChannel() throws {
    let taken = Mutex(false)
    let peer = try Peer(
      HTTPServer(
        TestHandler(
          TestHandler.answering { _ in
            HTTPServerResponse(
              status: 101,
              body: .upgrade { channel in
                guard let channel else { return }
                HTTPServer.removeHandlers(from: channel).whenSuccess {
                  channel.writeAndFlush(ByteBuffer(string: "switched"), promise: nil)
                }
                taken.withLock { $0 = true }
              })
          })))
    peer.send(Self.get("/"))
    peer.run()
    #expect(peer.take() == "switched" && taken.withLock { $0 })
    peer.send("no HTTP any more")
    #expect(try peer.channel.readInbound(as: ByteBuffer.self).map { String(buffer: $0) } == "no HTTP any more")
    peer.advance(.hours(1))
    #expect(peer.isOpen)
  }

  @Test func anUpgradeWithoutAClientEnds() throws {
    let ended = Mutex(false)
    let respond = Mutex<HTTPRequestHandler.Respond?>(nil)
    let peer = try Peer(
      HTTPServer(
        TestHandler { _ in
          .collect(bytesMax: 0, holder: nil) { _, later in respond.withLock { $0 = later } }
        }))
    peer.send(Self.get("/"))
    peer.close()
    respond.withLock { $0 }?(
      HTTPServerResponse(status: 101, body: .upgrade { channel in ended.withLock { $0 = channel == nil } }))
    peer.channel.embeddedEventLoop.run()
    #expect(ended.withLock { $0 })
  }

  // MARK: Heads

  /// Two requests are in each of these for whoever reads the framing otherwise. The second must never be answered.
  @Test(arguments: [
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{B}chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
  ]) func headsThatAreNotSure(head: String) throws {
    let peer = try Peer(HTTPServer(TestHandler(TestHandler.echo)))
    peer.send(head + Self.get("/second"))
    let statuses = peer.takeStatuses()
    #expect(statuses.count <= 1 && statuses.allSatisfy { [400, 417, 501].contains($0) }, "\(statuses)")
    peer.advance(.seconds(11))
    #expect(!peer.isOpen)
  }

  @Test func heads() throws {
    let server = HTTPServer(TestHandler(TestHandler.echo)) { $0.connection.headerBytesMax = 8 << 10 }
    for head in [
      Self.get("/", "X: \(String(repeating: "a", count: 9000))\r\n"),
      Self.get("/", String(repeating: "X: a\r\n", count: 200)),
    ] {
      let peer = try Peer(server)
      peer.send(head)
      #expect(peer.takeStatuses() == [400])
      #expect(!peer.isOpen)
    }
  }

  /// Requests that are right but for one byte: none is answered twice, and nothing is kept.
  @Test func almostRequests() throws {
    var random = Noise(state: 3)
    let server = HTTPServer(TestHandler(TestHandler.echo))
    let texts = [
      "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
      "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      "GET /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    ]
    for round in 0..<1000 {
      let peer = try Peer(server)
      var bytes = Array(texts[round % texts.count].utf8)
      bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      peer.send(bytes)
      // What is left over of a changed length is no request.
      #expect(peer.takeStatuses().filter { $0 == 200 }.count <= 1)
      peer.advance(.seconds(200))
      #expect(!peer.isOpen)
    }
    #expect(server.bodyBytes == 0 && server.connectionCount == 0)
  }

  // MARK: Places

  @Test func aFloodIsToldOnce() throws {
    let handler = TestHandler(TestHandler.echo)
    let server = HTTPServer(handler)
    let flood = try (0..<100).map { _ in try Peer(server, from: "10.0.0.9") }
    for peer in flood { peer.advance(.zero) }
    #expect(flood.filter(\.isOpen).count == server.limits.connections.addressMax)
    #expect(handler.events.withLock { $0 } == [.connectionsAreMany(address: "10.0.0.9")])
    for peer in flood { peer.close() }
    #expect(server.connectionCount == 0)
  }

  /// One exchange over a real socket, until the server closes.
  private func exchange(_ server: HTTPServer, _ request: String) async throws -> String {
    let port = try await server.listen(host: "127.0.0.1", port: 0)
    let text = try await Loopback.exchange(port: port, request)
    await server.shutdown()
    return text
  }
}

extension String {
  /// How often a text occurs in it.
  fileprivate func components(of text: String) -> Int {
    split(separator: text, omittingEmptySubsequences: false).count - 1
  }
}
