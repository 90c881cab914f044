import Glibc
import LinuxSystem
import Testing
import Wire

@testable import ControllerKit

@Suite struct GivenSocketTests {
  private static let loopback = IPAddress(bytes: [127, 0, 0, 1])

  private func opened(_ kind: ServerSocket.Kind = .tcp) throws -> (socket: ServerSocket, descriptor: OwnedDescriptor) {
    let descriptor = try ServerSocket(kind, Self.loopback, port: 0).open()
    return (try ServerSocket(adopting: descriptor), descriptor)
  }

  private func refusal(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch { return "\(error)" }
  }

  @Test func eachListenerTakesItsOwnOnce() throws {
    let (one, two) = (try opened(), try opened())
    let sockets = try GivenSockets([("api", one.descriptor), ("registry", two.descriptor)], for: ["api", "registry"])
    #expect(try sockets.take("registry", host: "127.0.0.1", port: 0) === two.descriptor)
    #expect(refusal { try sockets.finish() } == "nobody uses the sockets that were given for api")
    #expect(try sockets.take("api", host: "127.0.0.1", port: Int(one.socket.port)) === one.descriptor)
    #expect(try sockets.take("api", host: "127.0.0.1", port: Int(one.socket.port)) == nil)
    try sockets.finish()
  }

  @Test func whoIsGivenNoneBindsHisOwn() throws {
    let sockets = try GivenSockets([], for: ["api"])
    // Whatever he is configured with.
    #expect(try sockets.take("api", host: "localhost", port: 1) == nil)
    try sockets.finish()
    #expect(try GivenSockets().take("api", host: "127.0.0.1", port: 1) == nil)
  }

  @Test func whatIsForNobodyOrCannotBeListenedOnIsRefused() throws {
    let null = OwnedDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
    let (one, datagrams) = (try opened(), try opened(.udp))
    #expect(
      refusal { _ = try GivenSockets([("web", one.descriptor)], for: ["api", "registry"]) }
        == "a socket was given for 'web', and nothing that is started here listens by that name: there is api, registry"
    )
    let text = refusal { _ = try GivenSockets([("api", null)], for: ["api"]) }
    #expect(text?.hasPrefix("the socket that was given for 'api' cannot be listened on: ") == true)
    #expect(
      refusal { _ = try GivenSockets([("api", datagrams.descriptor)], for: ["api"]) }
        == "the socket that was given for 'api' cannot be listened on: it is \(datagrams.socket)")
  }

  @Test func theAddressIsTheConfiguredOne() throws {
    let (socket, descriptor) = try opened()
    func refusal(_ host: String, _ port: Int) -> String? {
      self.refusal { _ = try GivenSockets([("api", descriptor)], for: ["api"]).take("api", host: host, port: port) }
    }
    #expect(refusal("127.0.0.1", Int(socket.port)) == nil)
    #expect(refusal("127.0.0.1", 0) == nil)
    let other = Int(socket.port) ^ 1
    #expect(
      refusal("127.0.0.1", other)
        == "the socket that was given for 'api' is \(socket), and 127.0.0.1:\(other) is what it is configured with")
    for host in ["127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"] {
      #expect(refusal(host, Int(socket.port))?.contains("is what it is configured with") == true, "\(host)")
    }
    #expect(refusal("::1", 6443)?.contains("[::1]:6443") == true)
    #expect(
      refusal("localhost", Int(socket.port))
        == "a socket was given for 'api', which is configured with a name, 'localhost': give its address, 127.0.0.1")
  }
}
