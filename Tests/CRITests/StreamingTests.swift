import HTTP
import HTTPTestKit
import NIOCore
import Testing
import Wire

@testable import CRI

/// The client of a container runtime's streaming server.
@Suite(.timeLimit(.minutes(1))) struct StreamingTests {
  private let output = CRIStreams(tty: false, stdin: false, stdout: true, stderr: true)
  private let input = CRIStreams(tty: false, stdin: true, stdout: true, stderr: false)

  private func failure(_ body: () async throws(StreamingError) -> Void) async -> StreamingError? {
    do throws(StreamingError) {
      try await body()
      return nil
    } catch {
      return error
    }
  }

  private func readAll(_ read: () async -> ByteBuffer?) async -> Int {
    var count = 0
    while let bytes = await read() { count += bytes.readableBytes }
    return count
  }

  @Test func exitCodesAreRead() async throws {
    try await FakeStreamingServer.run { url in
      let client = StreamingClient()
      for code in [1, 42, 137] as [Int32] {
        let process = try await client.process(at: "\(url)exit-\(code)", output)
        #expect(await process.readStdout() == nil)
        #expect(await process.readStderr() == nil)
        #expect(try await process.ending() == .exited(code: code))
      }
      let process = try await client.process(at: "\(url)write-3", output)
      #expect(await process.readStdout() == ByteBuffer(string: "xxx"))
      #expect(await process.readStderr() == ByteBuffer(string: "done"))
      #expect(try await process.ending() == .ended)
    }
  }

  @Test func whatCannotBeStartedIsSaid() async throws {
    try await FakeStreamingServer.run { url in
      let process = try await StreamingClient().process(
        at: "\(url)fail", CRIStreams(tty: false, stdin: false, stdout: true, stderr: false))
      let error = await failure { () throws(StreamingError) in _ = try await process.ending() }
      #expect(error == StreamingError(.failed, "no such program"))
    }
  }

  @Test func refusalsSayWhy() async throws {
    try await FakeStreamingServer.run { url in
      let gone = await failure { () throws(StreamingError) in
        _ = try await StreamingClient().process(at: "\(url)gone", output)
      }
      #expect(gone?.code == .refused(status: 404) && gone?.message.hasSuffix("it answers 404: no such word") == true)
      // It speaks only the other protocol at this word.
      let other = await failure { () throws(StreamingError) in _ = try await StreamingClient().port(80, at: "\(url)cat")
      }
      #expect(other?.code == .refused(status: 400))
    }
    let nobody = await failure { () throws(StreamingError) in
      _ = try await StreamingClient().process(at: "http://127.0.0.1:1/", output)
    }
    #expect(nobody?.code == .closed)
  }

  /// Input ends, and what was sent before still comes back.
  @Test func inputEndsAndOutputGoesOn() async throws {
    try await FakeStreamingServer.run { url in
      let process = try await StreamingClient().process(at: "\(url)cat", input)
      // More than fits into any buffer, so that both ends wait for each other.
      async let sent: Void = {
        for _ in 0..<40 { try await process.writeStdin(ByteBuffer(repeating: 7, count: 100_000)) }
        try await process.closeStdin()
      }()
      #expect(await readAll(process.readStdout) == 4_000_000)
      try await sent
      #expect(try await process.ending() == .ended)
      await #expect(throws: (any Error).self) { try await process.writeStdin(ByteBuffer(string: "x")) }
    }
  }

  @Test func outputComesWhole() async throws {
    try await FakeStreamingServer.run { url in
      let process = try await StreamingClient().process(at: "\(url)write-5000000", output)
      async let errors = readAll(process.readStderr)
      #expect(await readAll(process.readStdout) == 5_000_000)
      #expect(await errors == 4)
      #expect(try await process.ending() == .ended)
    }
  }

  @Test func terminalsAreResized() async throws {
    try await FakeStreamingServer.run { url in
      let process = try await StreamingClient().process(
        at: "\(url)size", CRIStreams(tty: true, stdin: false, stdout: true, stderr: false))
      try await process.resize(columns: 100, rows: 40)
      #expect(await process.readStdout() == ByteBuffer(string: "{\"Width\":100,\"Height\":40}\n"))
      #expect(try await process.ending() == .ended)
    }
  }

  @Test func aServerThatIsGoneIsNoEndOfTheCommand() async throws {
    try await FakeStreamingServer.run { url in
      let process = try await StreamingClient().process(at: "\(url)rude", output)
      #expect(await process.readStdout() == ByteBuffer(string: "half"))
      #expect(await process.readStdout() == nil)
      let error = await failure { () throws(StreamingError) in _ = try await process.ending() }
      #expect(error?.code == .closed)
    }
  }

  @Test func aServerThatTakesNoStreams() async throws {
    try await FakeStreamingServer.run { url in
      var deadlines = StreamingClient.Deadlines()
      deadlines.setup = .milliseconds(20)
      let client = StreamingClient(deadlines)
      let error = await failure { () throws(StreamingError) in _ = try await client.process(at: "\(url)deaf", output) }
      #expect(error?.code == .timedOut)
    }
  }

  @Test func aServerThatSpeaksSomethingElse() async throws {
    try await ScriptedServer.run({ session in
      try await session.agree("Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io")
      try await session.output.write(ByteBuffer(repeating: 0xFF, count: 100))
      try await session.hang()
    }) { port in
      let error = await failure { () throws(StreamingError) in
        _ = try await StreamingClient().process(at: "http://127.0.0.1:\(port)/", output)
      }
      #expect(error?.code == .invalid)
    }
    try await ScriptedServer.run({ session in
      try await session.agree("Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v3.channel.k8s.io")
      try await session.hang()
    }) { port in
      let error = await failure { () throws(StreamingError) in
        _ = try await StreamingClient().process(at: "http://127.0.0.1:\(port)/", output)
      }
      #expect(error?.message.contains("v4.channel.k8s.io") == true)
    }
  }

  @Test func portsAreForwarded() async throws {
    try await FakeStreamingServer.run { url in
      let client = StreamingClient()
      let port = try await client.port(80, at: "\(url)port")
      try await port.write(ByteBuffer(string: "hello"))
      #expect(try await port.read() == ByteBuffer(string: "hello"))
      try await port.closeWrite()
      #expect(try await port.read() == nil)
      let refused = try await client.port(9, at: "\(url)port")
      let error = await failure { () throws(StreamingError) in _ = try await refused.read() }
      #expect(error == StreamingError(.failed, "error forwarding port 9: connection refused"))
      let broken = try await client.port(7, at: "\(url)port")
      #expect(try await broken.read() == ByteBuffer(string: "half"))
      let end = await failure { () throws(StreamingError) in _ = try await broken.read() }
      #expect(end?.code == .closed, "what is cut off is no end")
      let closed = try await client.port(7, at: "\(url)port")
      closed.close()
      while try await closed.read() != nil {}
    }
  }

  // MARK: Values

  @Test func endingsAreRead() throws {
    func ending(_ text: String) throws(StreamingError) -> ProcessStreams.Ending {
      try ProcessStreams.ending(Array(text.utf8))
    }
    #expect(try ending(#"{"status":"Success"}"#) == .ended)
    for bad in ["", "x", "[]", "{}", #"{"status":7}"#, "{\"status\":\"Success\""] {
      #expect(throws: StreamingError.self, "\(bad)") { try ending(bad) }
    }
    // A code that is no number is a failure with the message that there is.
    for code in ["", "x", "99999999999"] {
      let text =
        #"{"status":"Failure","reason":"NonZeroExitCode","message":"m","details":{"causes":[{"reason":"ExitCode","#
        + #""message":"\#(code)"}]}}"#
      #expect(throws: StreamingError(.failed, "m")) { try ending(text) }
    }
    #expect(throws: StreamingError(.failed, "no reason is given")) { try ending(#"{"status":"Failure"}"#) }
  }

  @Test func streamsAreOnThisMachineOnly() throws {
    let own = try #require(IPAddress("192.0.2.7"))
    func endpoint(_ text: String) throws(StreamingError) -> HTTPEndpoint {
      try StreamingAddress(text) { $0 == own }.endpoint
    }
    for (text, host) in [
      ("http://127.0.0.1:4000/exec/x", "127.0.0.1"), ("http://127.9.9.9:4000/", "127.9.9.9"),
      ("https://[::1]:4000/exec/x", "::1"), ("http://localhost:4000/", "127.0.0.1"),
      ("http://0.0.0.0:4000/", "127.0.0.1"), ("http://[::]:4000/", "::1"), ("http://192.0.2.7:4000/", "192.0.2.7"),
    ] {
      #expect(try endpoint(text) == .address(host: host, port: 4000), "\(text)")
    }
    for text in [
      "http://192.0.2.8:4000/exec/token", "http://example.com:4000/exec/token",
      "http://127.0.0.1.example.com/exec/token",
      "http://[::ffff:192.0.2.8]/exec/token", "http://169.254.169.254/exec/token", "http://224.0.0.1/exec/token",
      "http://255.255.255.255/exec/token", "http://0.0.0.1/exec/token", "http://[2001:db8::1]/exec/token",
      "http://2130706433/exec/token",
    ] {
      #expect("\(text)") {
        try endpoint(text)
      } throws: { error in
        guard let error = error as? StreamingError else { return false }
        // What lets somebody in is not told.
        return error.code == .elsewhere && !error.message.contains("token")
      }
    }
    for text in ["", "/exec/x", "ftp://127.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1:99999/", "http:///x"] {
      #expect(throws: StreamingError.self, "\(text)") { try endpoint(text) }
    }
    #expect(StreamingAddress.isOwn(try #require(IPAddress("127.0.0.1"))))
    #expect(!StreamingAddress.isOwn(own))
  }
}
