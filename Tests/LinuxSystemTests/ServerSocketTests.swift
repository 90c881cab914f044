import Glibc
import Testing
import Wire

@testable import LinuxSystem

@Suite struct ServerSocketTests {
  private static let loopback = IPAddress(bytes: [127, 0, 0, 1])

  /// What a descriptor is refused with.
  private func refusal(_ descriptor: Int32) -> SystemError? {
    do throws(SystemError) {
      _ = try ServerSocket(adopting: OwnedDescriptor(descriptor))
      return nil
    } catch { return error }
  }

  private func make(_ family: Int32, _ type: __socket_type) throws -> Int32 {
    let descriptor = socket(family, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
    try #require(descriptor >= 0)
    return descriptor
  }

  @Test(arguments: [ServerSocket.Kind.tcp, .udp]) func whatSomebodyElseHasOpenedIsTakenOver(
    _ kind: ServerSocket.Kind
  ) throws {
    let descriptor = try ServerSocket(kind, Self.loopback, port: 0).open()
    // As a process has it that is given one.
    #expect(fcntl(descriptor.number, F_SETFD, 0) == 0)
    #expect(fcntl(descriptor.number, F_SETFL, fcntl(descriptor.number, F_GETFL) & ~O_NONBLOCK) == 0)
    let socket = try ServerSocket(adopting: descriptor)
    #expect(socket == ServerSocket(kind, Self.loopback, port: socket.port) && socket.port != 0)
    #expect(fcntl(descriptor.number, F_GETFD) & FD_CLOEXEC != 0)
    #expect(fcntl(descriptor.number, F_GETFL) & O_NONBLOCK != 0)
    // Once more is the same.
    #expect(try ServerSocket(adopting: descriptor) == socket)
  }

  @Test func whatIsNoneIsRefused() throws {
    // A number that no process has.
    #expect(refusal(.max)?.errno == EBADF)
    #expect(refusal(open("/dev/null", O_RDONLY | O_CLOEXEC))?.errno == ENOTSOCK)
    #expect(refusal(try make(AF_UNIX, SOCK_STREAM))?.detail == "its family is neither IPv4 nor IPv6")
    #expect(refusal(try make(AF_INET, SOCK_STREAM))?.detail == "it does not listen")
    #expect(refusal(try make(AF_INET, SOCK_DGRAM))?.detail == "it is not bound")
  }

  /// The two ends of a connection: one that connected, and one that was accepted.
  @Test func connectionsAreRefused() throws {
    let listener = try ServerSocket(.tcp, Self.loopback, port: 0).open()
    var storage = sockaddr_storage()
    let length = Self.loopback.write(to: &storage, port: try ServerSocket(adopting: listener).port)
    let client = try make(AF_INET, SOCK_STREAM)
    let isConnected = withUnsafePointer(to: storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(client, $0, length) == 0 }
    }
    #expect(isConnected)
    // To the client it is there a moment before it can be accepted.
    var waiting = pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)
    #expect(poll(&waiting, 1, 20_000) == 1)
    let accepted = accept(listener.number, nil, nil)
    #expect(accepted >= 0)
    for end in [client, accepted] { #expect(refusal(end)?.detail == "it is connected") }
  }

  @Test func whetherAllAddressesAreThoseOfBothFamilies() throws {
    let descriptor = OwnedDescriptor(try make(AF_INET6, SOCK_STREAM))
    for isOnlyIPv6 in [1, 0, 1] as [Int32] {
      var value = isOnlyIPv6
      #expect(
        setsockopt(
          descriptor.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &value, socklen_t(MemoryLayout<Int32>.size)) == 0)
      #expect(ServerSocket.takesBothFamilies(descriptor) == (isOnlyIPv6 == 0))
    }
    #expect(!ServerSocket.takesBothFamilies(OwnedDescriptor(try make(AF_INET, SOCK_STREAM))))
  }
}
