import Glibc
import LinuxSystem
import Testing
import Wire

@testable import HTTP

/// A server on a socket that somebody else has opened, and keeps.
@Suite(.timeLimit(.minutes(1))) struct GivenSocketTests {
  private static let request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

  private func opened(_ kind: ServerSocket.Kind = .tcp) throws -> OwnedDescriptor {
    try ServerSocket(kind, IPAddress(bytes: [127, 0, 0, 1]), port: 0).open()
  }

  /// Who connects while no server runs waits, and is answered by the next one.
  @Test func connectionsWaitForTheNextServer() async throws {
    let kept = try opened()
    let socket = try ServerSocket(adopting: kept)
    for _ in 0..<3 {
      let server = HTTPServer(TestHandler(TestHandler.echo))
      let answer = try await Loopback.exchange(port: Int(socket.port), Self.request) {
        let served = try await server.listen(on: OwnedDescriptor(kept.duplicate()))
        #expect(served == socket)
      }
      #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\n/x"), "\(answer)")
      await server.shutdown()
    }
  }

  /// Nobody else has it: with the server's end the port is free.
  @Test func theSocketIsTheServers() async throws {
    let server = HTTPServer(TestHandler(TestHandler.echo))
    let socket = try await server.listen(on: opened())
    #expect(throws: SystemError.self) { try socket.open() }
    #expect(try await Loopback.exchange(port: Int(socket.port), Self.request).hasSuffix("/x"))
    await server.shutdown()
    _ = try socket.open()
  }

  @Test func whatIsNoListenerIsRefused() async throws {
    let server = HTTPServer(TestHandler(TestHandler.echo))
    func refusal(_ descriptor: OwnedDescriptor) async throws -> SystemError? {
      do {
        _ = try await server.listen(on: descriptor)
        return nil
      } catch let error as SystemError { return error }
    }
    func made(_ family: Int32) -> OwnedDescriptor {
      OwnedDescriptor(Glibc.socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
    }
    #expect(try await refusal(OwnedDescriptor(.max))?.errno == EBADF)
    #expect(try await refusal(OwnedDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)))?.errno == ENOTSOCK)
    #expect(try await refusal(made(AF_UNIX))?.detail == "its family is neither IPv4 nor IPv6")
    #expect(try await refusal(made(AF_INET))?.detail == "it does not listen")
    #expect(try await refusal(opened(.udp))?.detail.hasSuffix("and not of TCP") == true)
    // It is as good as before.
    let socket = try await server.listen(on: opened())
    #expect(try await Loopback.exchange(port: Int(socket.port), Self.request).hasSuffix("/x"))
    await server.shutdown()
  }
}
