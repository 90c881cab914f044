import Glibc
import HTTP
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

@testable import RPC

/// A server of gRPC on our own server of HTTP: what it answers is the test's affair.
private final class TestService: HTTPRequestHandler {
  /// `nil`: never.
  typealias Reply = @Sendable (_ message: [UInt8]) -> HTTPServerResponse?

  let heads = Mutex<[HTTPRequestHead]>([])
  private let reply: Reply

  init(_ reply: @escaping Reply) { self.reply = reply }

  func receive(_ request: HTTPServerRequest) -> HTTPReception {
    heads.withLock { $0.append(request.head) }
    let holder = ConnectionBudget.User(name: "a", isPrivileged: false)
    return .collect(bytesMax: 1 << 20, holder: holder) { [reply] body, respond in
      if let response = reply(Array((body ?? ByteBuffer()).readableBytesView.dropFirst(5))) { respond(response) }
    }
  }

  func response(to problem: HTTPServerProblem, of request: HTTPServerRequest) -> HTTPServerResponse {
    HTTPServerResponse(status: 500)
  }

  func noticed(_ event: HTTPServerEvent) {}

  /// Runs a test against the server, on a socket of its own.
  func run(_ body: (RPCClient) async throws -> Void) async throws {
    var template = Array("/tmp/apus-rpc-XXXXXX".utf8CString)
    try #require(template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp) } != nil)
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let server = HTTPServer(
      group: MultiThreadedEventLoopGroup.singleton, tls: nil,
      limits: HTTPServerLimits(
        connections: ConnectionBudget.Limits(total: 64, strangers: 64),
        bodies: SharedBudget.Limits(total: 8 << 20, share: 8 << 20, kept: 1 << 20)),
      drainTimeout: .seconds(5), handler: self)
    try await server.listen(unixSocket: folder + "/s")
    let result: Result<Void, any Error>
    do {
      result = .success(try await body(RPCClient(unixSocket: folder + "/s", messageMax: 1000)))
    } catch {
      result = .failure(error)
    }
    await server.shutdown()
    #expect(rmdir(folder) == 0, "the socket is gone")
    try result.get()
  }
}

extension HTTPServerResponse {
  /// - Parameter status: behind the body; `nil` for an answer that ends without one.
  fileprivate static func messages(
    _ pieces: [ByteBuffer], status: String? = "0", message: String? = nil
  ) -> HTTPServerResponse {
    var response = HTTPServerResponse(
      status: 200, headers: ["content-type": "application/grpc"],
      body: .stream(length: nil) { write in for piece in pieces { try await write(piece) } })
    if let status {
      response.trailers = {
        var fields: HTTPHeaders = ["grpc-status": status]
        if let message { fields.add(name: "grpc-message", value: message) }
        return fields
      }
    }
    return response
  }
}

@Suite(.timeLimit(.minutes(1))) struct RPCClientTests {
  private let method = RPCMethod(service: "test.v1.Echo", name: "Say")

  private func frame(_ text: String) -> ByteBuffer { RPCMessageReader.frame(ByteBuffer(string: text)) }

  private func failure(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws(RPCError) -> Void
  ) async -> RPCError? {
    do throws(RPCError) {
      try await body()
      Issue.record("it should have failed", sourceLocation: sourceLocation)
      return nil
    } catch {
      return error
    }
  }

  private func call(_ client: RPCClient, _ text: String = "x") async throws(RPCError) -> String {
    String(buffer: try await client.call(method, ByteBuffer(string: text), deadline: .seconds(30)))
  }

  private func status(_ response: @escaping @autoclosure @Sendable () -> HTTPServerResponse) async throws -> RPCStatus?
  {
    var status: RPCStatus?
    try await TestService { _ in response() }.run { client in
      status = await failure { () throws(RPCError) in _ = try await call(client) }?.status
    }
    return status
  }

  // MARK: Calls

  @Test func unaryCalls() async throws {
    let service = TestService { [self] message in
      .messages([frame(String(decoding: message.reversed(), as: UTF8.self))])
    }
    try await service.run { client in
      for text in ["", "abc", String(repeating: "a", count: 1000)] {
        #expect(try await call(client, text) == String(text.reversed()))
      }
      _ = try await client.call(
        method, ByteBuffer(string: "x"), metadata: ["x-name": "value"], deadline: .seconds(30))
    }
    let head = try #require(service.heads.withLock { $0.last })
    #expect(head.method == .POST && head.uri == "/test.v1.Echo/Say" && head.version.major == 2)
    #expect(head.headers["te"] == ["trailers"] && head.headers["content-type"] == ["application/grpc"])
    #expect(head.headers["grpc-timeout"] == ["30000000u"] && head.headers["x-name"] == ["value"])
  }

  @Test func manyAtOnce() async throws {
    try await TestService { [self] message in .messages([frame(String(decoding: message, as: UTF8.self))]) }.run {
      client in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for number in 0..<200 { group.addTask { try await call(client, "\(number)") == "\(number)" } }
        for try await isSame in group { #expect(isSame) }
      }
    }
  }

  @Test func streams() async throws {
    let texts = ["", "one", "two", String(repeating: "a", count: 1000)]
    let bytes = texts.reduce(into: ByteBuffer()) { $0.writeImmutableBuffer(frame($1)) }
    // Messages are cut anywhere.
    let pieces = stride(from: 0, to: bytes.readableBytes, by: 3).map { at in
      bytes.getSlice(at: at, length: min(3, bytes.readableBytes - at)) ?? ByteBuffer()
    }
    try await TestService { _ in .messages(pieces) }.run { client in
      let stream = try await client.stream(method, ByteBuffer(), deadline: nil)
      var got: [String] = []
      while let message = try await stream.next() { got.append(String(buffer: message)) }
      #expect(got == texts)
      #expect(stream.metadata["content-type"] == ["application/grpc"])
    }
  }

  @Test func streamsThatFailAtTheEnd() async throws {
    let service = TestService { [self] _ in .messages([frame("one")], status: "5", message: "no%20more") }
    try await service.run { client in
      let stream = try await client.stream(method, ByteBuffer(), deadline: .seconds(30))
      #expect(try await stream.next() == ByteBuffer(string: "one"))
      let error = await failure { () throws(RPCError) in _ = try await stream.next() }
      #expect(error?.status == .notFound && error?.message == "no more")
    }
  }

  @Test func callsThatTheServerRefuses() async throws {
    for status in RPCStatus.allCases where status != .ok {
      let text = "\(status.rawValue)"
      #expect(try await self.status(.messages([], status: text)) == status)
      #expect(
        try await self.status(
          HTTPServerResponse(status: 200, headers: ["content-type": "application/grpc", "grpc-status": text])) == status
      )
    }
  }

  @Test func whatTheCallerMayNot() async throws {
    try await TestService { _ in nil }.run { client in
      let large = await failure { () throws(RPCError) in _ = try await call(client, String(repeating: "a", count: 1001))
      }
      #expect(large?.status == .resourceExhausted)
      let reserved = await failure { () throws(RPCError) in
        _ = try await client.call(method, ByteBuffer(), metadata: ["Grpc-Timeout": "1S"], deadline: .seconds(30))
      }
      #expect(reserved?.status == .invalidArgument)
    }
  }

  // MARK: Servers that break the rules

  @Test func answersThatAreNone() async throws {
    let compressed = ByteBuffer(bytes: [1, 0, 0, 0, 0])
    let large = ByteBuffer(bytes: [0, 0, 0, 3, 233])
    let half = ByteBuffer(bytes: [0, 0, 0, 0, 9, 1])
    #expect(try await status(.messages([compressed])) == .unimplemented)
    #expect(try await status(.messages([large])) == .resourceExhausted)
    #expect(try await status(.messages([half])) == .internalError)
    #expect(try await status(.messages([frame("x")], status: nil)) == .internalError)
    #expect(try await status(.messages([], status: nil)) == .internalError)
    #expect(try await status(.messages([])) == .internalError)
    #expect(try await status(.messages([frame("x"), frame("y")])) == .internalError)
    #expect(try await status(.messages([frame("x")], status: "ok")) == .unknown)
    #expect(try await status(HTTPServerResponse(status: 200, headers: ["content-type": "text/html"])) == .unknown)
    #expect(try await status(HTTPServerResponse(status: 404)) == .unimplemented)
    #expect(try await status(HTTPServerResponse(status: 503)) == .unavailable)
  }

  /// The server goes away in the middle of an answer.
  @Test func streamsThatAreCutOff() async throws {
    struct Broken: Error {}
    let first = frame("one")
    let service = TestService { _ in
      HTTPServerResponse(
        status: 200, headers: ["content-type": "application/grpc"],
        body: .stream(length: nil) { write in
          try await write(first)
          throw Broken()
        })
    }
    try await service.run { client in
      let error = await failure { () throws(RPCError) in
        let stream = try await client.stream(method, ByteBuffer(), deadline: .seconds(30))
        while try await stream.next() != nil {}
      }
      #expect(error?.status == .unavailable)
    }
  }

  @Test func nobodyListens() async throws {
    let client = RPCClient(unixSocket: "/tmp/apus-rpc-nobody/s")
    let error = await failure { () throws(RPCError) in _ = try await call(client) }
    #expect(error?.status == .unavailable)
    let path = await failure { () throws(RPCError) in
      _ = try await call(RPCClient(unixSocket: "/" + String(repeating: "a", count: 107)))
    }
    #expect(path?.status == .invalidArgument)
  }

  // MARK: Time

  /// Sends one message, and says nothing more until the client goes.
  private func hanging(_ first: ByteBuffer) -> HTTPServerResponse {
    HTTPServerResponse(
      status: 200, headers: ["content-type": "application/grpc"],
      body: .stream(length: nil) { write in
        try await write(first)
        // Ends when the task is cancelled.
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        for await _ in stream {}
        continuation.finish()
      })
  }

  @Test func deadlines() async throws {
    try await TestService { _ in nil }.run { client in
      let error = await failure { () throws(RPCError) in
        _ = try await client.call(method, ByteBuffer(), deadline: .milliseconds(20))
      }
      #expect(error?.status == .deadlineExceeded)
    }
  }

  @Test func deadlinesInTheMiddleOfAnAnswer() async throws {
    let service = TestService { [self] _ in hanging(frame("one")) }
    try await service.run { client in
      let error = await failure { () throws(RPCError) in
        let stream = try await client.stream(method, ByteBuffer(), deadline: .milliseconds(300))
        while try await stream.next() != nil {}
      }
      #expect(error?.status == .deadlineExceeded)
    }
  }

  @Test func cancelling() async throws {
    let service = TestService { [self] _ in hanging(frame("one")) }
    try await service.run { client in
      let stream = try await client.stream(method, ByteBuffer(), deadline: nil)
      #expect(try await stream.next() == ByteBuffer(string: "one"))
      let task = Task { await failure { () throws(RPCError) in _ = try await stream.next() }?.status }
      task.cancel()
      #expect(await task.value == .cancelled)
    }
  }
}
