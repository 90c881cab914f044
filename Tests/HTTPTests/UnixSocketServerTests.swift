import Glibc
import LinuxSystem
import NIOCore
import NIOHTTP1
import Testing

@testable import HTTP

@Suite(.timeLimit(.minutes(1))) struct UnixSocketServerTests {
  private func makeServer() -> HTTPServer {
    HTTPServer(
      TestHandler(
        TestHandler.answering { request in
          let text = ByteBuffer(string: "\(request.head.version.major) \(request.head.uri)")
          return HTTPServerResponse(status: 200, body: .buffer(text))
        }))
  }

  private func text(
    _ path: String, _ http2: HTTPClientConfiguration.HTTP2 = .offered
  ) async throws(HTTPClientError) -> String {
    var configuration = HTTPClientConfiguration()
    configuration.http2 = http2
    return try await HTTPClient(configuration).text("http://engine/x") { $0.endpoint = .unixSocket(path: path) }
  }

  @Test func bothProtocolsAndTheEnd() async throws {
    let folder = try ClientTestFolder()
    let path = folder.path + "/s"
    let server = makeServer()
    try await server.listen(unixSocket: path)
    expectText(try await text(path), "1 /x")
    expectText(try await text(path, .required), "2 /x")
    let second = makeServer()
    let error = await #expect(throws: SystemError.self) { try await second.listen(unixSocket: path) }
    #expect(error?.detail == "a server listens there")
    expectText(try await text(path), "1 /x")
    await server.shutdown()
    #expect(try Directory.list(folder.path) == [])
    #expect(await clientFailure { () throws(HTTPClientError) in try await text(path) } == .connect)
    // The name is free again.
    try await second.listen(unixSocket: path)
    expectText(try await text(path), "1 /x")
    await second.shutdown()
  }

  @Test func aDeadServersFileIsReplaced() async throws {
    let folder = try ClientTestFolder()
    let path = folder.path + "/s"
    let (descriptor, _) = try UnixSocket.bind(path, mode: 0o600)
    #expect(close(descriptor) == 0)
    let server = makeServer()
    try await server.listen(unixSocket: path)
    expectText(try await text(path), "1 /x")
    await server.shutdown()
  }

  @Test func pathsThatAreNone() async throws {
    for path in ["s", "", "/" + String(repeating: "a", count: 107)] {
      #expect(await clientFailure { () throws(HTTPClientError) in try await text(path) } == .invalidRequest)
      await #expect(throws: SystemError.self) { try await makeServer().listen(unixSocket: path) }
    }
  }

  /// Fields behind the body, in both protocols.
  @Test func trailers() async throws {
    let folder = try ClientTestFolder()
    let path = folder.path + "/s"
    let server = HTTPServer(
      TestHandler(
        TestHandler.answering { _ in
          var response = HTTPServerResponse(
            status: 200, body: .stream(length: nil) { try await $0(ByteBuffer(string: "x")) })
          response.trailers = { ["checksum": "1"] }
          return response
        }))
    try await server.listen(unixSocket: path)
    for http2 in [.offered, .required] as [HTTPClientConfiguration.HTTP2] {
      var configuration = HTTPClientConfiguration()
      configuration.http2 = http2
      let client = HTTPClient(configuration)
      var request = HTTPClientRequest(method: .GET, url: try #require(HTTPURL("http://engine/")))
      request.endpoint = .unixSocket(path: path)
      for _ in 0..<2 {
        let (response, body) = try await client.collect(request, limit: 10, within: .seconds(30))
        #expect(body == Array("x".utf8))
        #expect(response.trailers == ["checksum": "1"])
      }
      #expect(client.connectionCount == 1)
    }
    await server.shutdown()
  }
}
