import HTTPTestKit
import NIOCore
import NIOHTTP1
import Synchronization
import TestKit
import Testing

@testable import HTTP

/// Both ends of SPDY against each other, and the client against servers that mean no good, by real sockets.
@Suite(.timeLimit(.minutes(1))) struct SPDYTests {
  private func upgrade(_ port: Int) async throws -> HTTPUpgrade {
    let url = try #require(HTTPURL("http://127.0.0.1:\(port)/streams"))
    return try await HTTPClient().upgrade(HTTPClientRequest(method: .POST, url: url), to: "SPDY/3.1")
  }

  private func client(_ port: Int) async throws -> SPDYClient { try await SPDYClient.start(try await upgrade(port)) }

  /// Agrees, and runs a server's end whose streams are given to a task each.
  private static func serve(
    _ session: ScriptedServer.Session, _ handle: @escaping @Sendable (SPDYStream) async -> Void
  ) async throws {
    try await session.agree("Upgrade: SPDY/3.1")
    let connection = try SPDYConnection(.server) { try await session.output.write($0) }
    let (streams, opener) = AsyncStream<SPDYStream>.makeStream()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        try? await connection.run(session.input) { stream in
          if stream.header("kind") == "unwanted" { return false }
          opener.yield(stream)
          return true
        }
        opener.finish()
      }
      for await stream in streams { group.addTask { await handle(stream) } }
      group.cancelAll()
    }
  }

  private static let echo: @Sendable (ScriptedServer.Session) async throws -> Void = { session in
    try await serve(session) { stream in
      while let bytes = await stream.read() { try? await stream.write(bytes) }
      try? await stream.finish()
    }
  }

  /// Numbered bytes, so that an exchange of two pieces shows.
  private static func pattern(_ offset: Int, _ count: Int) -> [UInt8] {
    (offset..<offset + count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
  }

  /// Far more than fits into any buffer, both ways at once, on several streams: an end that waited with reading until the
  /// other reads would never come to an end.
  @Test func bothWaysAtOnce() async throws {
    try await ScriptedServer.run(Self.echo) { port in
      let client = try await client(port)
      let streams = try await client.open(Array(repeating: [], count: 4), within: .seconds(60))
      #expect(streams.map(\.id) == [1, 3, 5, 7])
      let total = 2 << 20
      await withTaskGroup(of: Void.self) { group in
        for stream in streams {
          group.addTask {
            var sent = 0
            while sent < total {
              try? await stream.write(ByteBuffer(bytes: Self.pattern(sent, 100_000)))
              sent += 100_000
            }
            try? await stream.finish()
          }
          group.addTask {
            var received = 0
            while let bytes = await stream.read() {
              #expect(Array(bytes.readableBytesView) == Self.pattern(received, bytes.readableBytes))
              received += bytes.readableBytes
            }
            #expect(received >= total && received % 100_000 == 0)
          }
        }
      }
      client.close()
    }
  }

  /// Whoever closes a connection ends the task that waits for room in a stream which nobody reads.
  @Test func closingEndsWhoWaits() async throws {
    let connection = try SPDYConnection(.client) { _ in }
    let encoder = Mutex(try SPDYFrameEncoder())
    let reply = try encoder.withLock { encoder throws(SPDYError) in
      try encoder.encode(.synReply(id: 1, headers: [], isLast: false))
    }
    let piece = SPDYFrameEncoder.data(1, ByteBuffer(repeating: 0, count: 32 << 10), isLast: false)
    let frames = [reply] + Array(repeating: piece, count: 4)
    let taken = Mutex(0)
    let stream = try await connection.open([])
    let running = Task {
      try await connection.run(
        AsyncStream<ByteBuffer> {
          taken.withLock { taken in
            defer { taken += 1 }
            return taken < frames.count ? frames[taken] : nil
          }
        })
    }
    // The third piece finds the stream full, and the fourth is not taken.
    while taken.withLock({ $0 }) < 4 { await Task.yield() }
    connection.close()
    try await running.value
    #expect(stream.isCutOff)
  }

  @Test func streamsThatAreRefusedAndReset() async throws {
    try await ScriptedServer.run({ session in
      try await Self.serve(session) { stream in
        while let bytes = await stream.read() { try? await stream.write(bytes) }
        try? await stream.finish()
      }
    }) { port in
      let client = try await client(port)
      let streams = try await client.open(
        [[], [SPDYHeader(name: "kind", value: "unwanted")]], within: .seconds(60))
      // It was accepted, and reset behind that.
      #expect(await streams[1].read() == nil)
      await #expect(throws: ChannelError.self) { try await streams[1].write(ByteBuffer(string: "x")) }
      try await streams[0].write(ByteBuffer(string: "x"))
      #expect(await streams[0].read() == ByteBuffer(string: "x"), "the other one goes on")
      client.close()
    }
    let ends = Mutex(0)
    try await ScriptedServer.run({ session in
      try await Self.serve(session) { stream in
        while let bytes = await stream.read() { try? await stream.write(bytes) }
        ends.withLock { $0 += 1 }
      }
    }) { port in
      let client = try await client(port)
      let stream = try await client.open([[]], within: .seconds(60))[0]
      try await stream.write(ByteBuffer(string: "x"))
      #expect(await stream.read() == ByteBuffer(string: "x"))
      stream.reset()
      #expect(await stream.read() == nil)
      await #expect(throws: ChannelError.self) { try await stream.write(ByteBuffer(string: "y")) }
      while ends.withLock({ $0 }) == 0 { await Task.yield() }
      client.close()
      let late = await clientFailure { () throws(HTTPClientError) in
        while true { _ = try await client.open([[]], within: .seconds(60)) }
      }
      #expect(late == .closed(isAnswered: true))
    }
  }

  /// The connection is read no further than a stream's bytes are.
  @Test func nobodyReadsAhead() async throws {
    let piece = 16 << 10
    let pulled = Mutex(0)
    let connection = try SPDYConnection(.client) { _ in }
    let stream = try await connection.open([])
    var encoder = try SPDYFrameEncoder()
    let reply = try encoder.encode(.synReply(id: 1, headers: [], isLast: false))
    let total = 256 * piece
    let input = AsyncStream<ByteBuffer> {
      let (isFirst, isOver) = pulled.withLock { pulled in
        defer { pulled += piece }
        return (pulled == 0, pulled > total)
      }
      if isFirst { return reply }
      return isOver ? nil : SPDYFrameEncoder.data(1, ByteBuffer(repeating: 1, count: piece), isLast: false)
    }
    let run = Task { try await connection.run(input) }
    #expect(await stream.isAccepted())
    var read = 0
    while let bytes = await stream.read() {
      read += bytes.readableBytes
      // What waits, the one that is over the bound, and the next one's beginning.
      #expect(pulled.withLock { $0 } <= read + SPDYConnectionState.window + 3 * piece)
    }
    #expect(read == total)
    try await run.value
  }

  /// A peer that keeps a window is waited for, and one that opens it goes on.
  @Test func theWriterWaitsForTheWindow() async throws {
    let sent = Mutex(0)
    let connection = try SPDYConnection(.client) { bytes in sent.withLock { $0 += bytes.readableBytes } }
    let (input, peer) = AsyncStream<ByteBuffer>.makeStream()
    let run = Task { try await connection.run(input) }
    let stream = try await connection.open([])
    let head = sent.withLock { $0 }
    var encoder = try SPDYFrameEncoder()
    peer.yield(try encoder.encode(.synReply(id: 1, headers: [], isLast: false)))
    peer.yield(try encoder.encode(.settings(initialWindow: 10)))
    // It is answered behind the settings, so that they have been read then.
    peer.yield(try encoder.encode(.ping(id: 2)))
    while sent.withLock({ $0 }) < head + 12 { await Task.yield() }
    let writer = Task { try await stream.write(ByteBuffer(repeating: 1, count: 30)) }
    // A frame's head has eight bytes.
    while sent.withLock({ $0 }) < head + 12 + 18 { await Task.yield() }
    #expect(sent.withLock { $0 } == head + 12 + 18)
    peer.yield(try encoder.encode(.windowUpdate(id: 1, delta: 100)))
    try await writer.value
    #expect(sent.withLock { $0 } == head + 12 + 18 + 28)
    // One that waits when the connection ends does not wait for ever.
    peer.yield(try encoder.encode(.settings(initialWindow: 0)))
    let last = Task { try await stream.write(ByteBuffer(repeating: 1, count: 1000)) }
    peer.finish()
    await #expect(throws: ChannelError.self) { try await last.value }
    try await run.value
  }

  // MARK: Servers

  @Test func aServerThatNeverAnswers() async throws {
    try await ScriptedServer.run({ try await $0.hang() }) { port in
      let url = try #require(HTTPURL("http://127.0.0.1:\(port)/"))
      var configuration = HTTPClientConfiguration()
      configuration.deadlines.head = .milliseconds(20)
      let http = HTTPClient(configuration)
      let code = await clientFailure { () throws(HTTPClientError) in
        try await http.upgrade(HTTPClientRequest(method: .POST, url: url), to: "SPDY/3.1")
      }
      #expect(code == .timeout(.head, .milliseconds(20)))
    }
    try await ScriptedServer.run({ session in
      try await session.agree("Upgrade: SPDY/3.1")
      try await session.hang()
    }) { port in
      let client = try await client(port)
      let code = await clientFailure { () throws(HTTPClientError) in
        try await client.open([[], []], within: .milliseconds(20))
      }
      #expect(code == .timeout(.head, .milliseconds(20)))
    }
  }

  @Test(arguments: [
    "\u{80}", "HTTP/1.1 200 OK\r\n\r\n", "\u{80}\u{3}\u{0}\u{1}\u{0}\u{2}\u{0}\u{0}",
  ]) func aServerThatDoesNotSpeakSPDY(garbage: String) async throws {
    let bytes = garbage.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } + [UInt8](repeating: 0x81, count: 64)
    try await ScriptedServer.run({ session in
      try await session.agree("Upgrade: SPDY/3.1")
      try await session.output.write(ByteBuffer(bytes: bytes))
      try await session.hang()
    }) { port in
      let client = try await client(port)
      let code = await clientFailure { () throws(HTTPClientError) in try await client.open([[]], within: .seconds(60)) }
      #expect(code == .malformed)
    }
  }

  /// A header block of a kilobyte that decompresses to a megabyte, and windows beyond all bounds.
  @Test(arguments: [true, false]) func bombsEndTheConnection(isBomb: Bool) async throws {
    try await ScriptedServer.run({ session in
      try await session.agree("Upgrade: SPDY/3.1")
      var frame = ByteBuffer(integer: (isBomb ? 0x8003_0002 : 0x8003_0009) as UInt32)
      var payload = ByteBuffer(integer: (isBomb ? 1 : 0) as UInt32)
      if isBomb {
        payload.writeBytes(try SPDYDeflater().compress([UInt8](repeating: 0, count: 1 << 20)))
      } else {
        payload.writeInteger(UInt32(Int32.max))
      }
      frame.writeInteger(UInt32(payload.readableBytes))
      frame.writeBuffer(&payload)
      try await session.output.write(frame)
      try await session.hang()
    }) { port in
      let client = try await client(port)
      let code = await clientFailure { () throws(HTTPClientError) in try await client.open([[]], within: .seconds(60)) }
      #expect(code == .malformed)
      #expect(client.failure?.message.contains(isBomb ? "header block" : "window") == true)
    }
  }

  /// Frames of a good server, damaged: the client ends or goes on, and never traps or waits for ever.
  @Test(arguments: 0..<32 as Range<UInt64>) func damagedFrames(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<20 {
      var encoder = try SPDYFrameEncoder()
      var bytes: [UInt8] = []
      for frame in [
        SPDYFrame.synReply(id: 1, headers: [SPDYHeader(name: "a", value: "b")], isLast: false),
        .data(id: 1, ByteBuffer(repeating: 7, count: 300), isLast: false), .ping(id: 2),
        .settings(initialWindow: 100), .windowUpdate(id: 1, delta: 7), .synReply(id: 3, headers: [], isLast: true),
        .data(id: 1, ByteBuffer(string: "end"), isLast: true), .goAway(lastStream: 3, status: 0),
      ] {
        bytes += try encoder.encode(frame).readableBytesView
      }
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      let written = Mutex(0)
      let connection = try SPDYConnection(.client) { bytes in written.withLock { $0 += bytes.readableBytes } }
      let first = try await connection.open([])
      let second = try await connection.open([])
      let (input, peer) = AsyncStream<ByteBuffer>.makeStream()
      var rest = ByteBuffer(bytes: bytes)
      while rest.readableBytes > 0 {
        let count = Int.random(in: 1...min(50, rest.readableBytes), using: &generator)
        if let piece = rest.readSlice(length: count) { peer.yield(piece) }
      }
      peer.finish()
      async let read = { [first] in
        var count = 0
        while let bytes = await first.read() { count += bytes.readableBytes }
        return count
      }()
      do { try await connection.run(input) } catch { #expect(error is SPDYError) }
      #expect(await read <= bytes.count)
      _ = await (first.isAccepted(), second.isAccepted())
      await #expect(throws: (any Error).self) { try await first.write(ByteBuffer(string: "x")) }
    }
  }
}

/// The change of protocol itself.
@Suite(.timeLimit(.minutes(1))) struct UpgradeTests {
  private func failure(_ answer: String) async throws -> HTTPClientError? {
    try await ScriptedServer.run({ session in
      try await session.write(answer)
      try await session.hang()
    }) { port in
      let url = try #require(HTTPURL("http://127.0.0.1:\(port)/exec?token=secret"))
      do throws(HTTPClientError) {
        _ = try await HTTPClient().upgrade(HTTPClientRequest(method: .POST, url: url), to: "SPDY/3.1")
        return nil
      } catch {
        return error
      }
    }
  }

  @Test(arguments: [403, 404, 500]) func refusalsSayWhatTheServerSays(status: Int) async throws {
    let error = try await failure("HTTP/1.1 \(status) No\r\nContent-Length: 13\r\n\r\nnot\u{7} \r\n here\n")
    #expect(error?.code == .upgradeRefused(status: status))
    #expect(error?.message == "it answers \(status): not here")
  }

  @Test func refusalsAreCut() async throws {
    let long = String(repeating: "x", count: 100_000)
    let error = try await failure("HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n" + long)
    #expect(error?.message == "it answers 500: " + String(repeating: "x", count: 512))
    #expect(try await failure("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?.message == "it answers 200")
  }

  @Test func anotherProtocolThanTheOneThatWasAskedFor() async throws {
    for field in ["Upgrade: websocket\r\n", ""] {
      let error = try await failure("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\(field)\r\n")
      #expect(error?.code == .malformed)
    }
  }

  @Test(arguments: [true, false]) func byTLSAndByUnixSockets(isTLS: Bool) async throws {
    let folder = try ClientTestFolder()
    let socket = isTLS ? nil : "\(folder.path)/s"
    let server = ClientTestServer { _ in
      .raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: spdy/3.1\r\n\r\nfirst")
    }
    try await server.run(isTLS: isTLS, unixSocket: socket) { port in
      let url = try #require(HTTPURL(isTLS ? "https://127.0.0.1:\(port)/" : "http://host/"))
      var request = HTTPClientRequest(method: .POST, url: url)
      request.tls.isVerificationSkipped = true
      if let socket { request.endpoint = .unixSocket(path: socket) }
      let upgrade = try await HTTPClient().upgrade(request, to: "SPDY/3.1")
      let text = try await upgrade.connection.executeThenClose { input, _ in
        var text = ""
        for try await bytes in input {
          text += String(buffer: bytes)
          if text.utf8.count >= 5 { break }
        }
        return text
      }
      #expect(text == "first")
      let head = server.requests.withLock { $0.first?.head.headers }
      #expect(head?["upgrade"] == ["SPDY/3.1"] && head?["connection"] == ["Upgrade"])
    }
  }
}
