import Glibc
import Testing

@testable import Containers

/// A pod's host port takes nothing from a process of the host (H4 by another way: the port plugin translates first). The
/// assumption that failed: only other pods have ports.
@Suite struct HostPortsTests {
  /// A socket on a free port of an address.
  private func occupy(_ address: String, udp: Bool, listens: Bool = true) throws -> (fd: Int32, port: Int) {
    let fd = socket(AF_INET, Int32((udp ? SOCK_DGRAM : SOCK_STREAM).rawValue), 0)
    try #require(fd >= 0)
    var socketAddress = sockaddr_in()
    socketAddress.sin_family = sa_family_t(AF_INET)
    inet_pton(AF_INET, address, &socketAddress.sin_addr)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &socketAddress) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(fd, $0, length) == 0 && getsockname(fd, $0, &length) == 0
      }
    }
    try #require(bound)
    if !udp, listens { try #require(listen(fd, 1) == 0) }
    return (fd, Int(UInt16(bigEndian: socketAddress.sin_port)))
  }

  @Test(arguments: ["127.0.0.1", "127.0.0.2"], ["tcp", "udp"])
  func whatAProcessHasIsTaken(address: String, transport: String) throws {
    let (fd, port) = try occupy(address, udp: transport == "udp")
    defer { close(fd) }
    func isTaken(_ hostIP: String, _ other: String? = nil) -> Bool {
      HostPorts.isTaken(PortMapping(hostPort: port, containerPort: 80, transport: other ?? transport, hostIP: hostIP))
    }
    #expect(isTaken(address))
    // Every address of the host includes this one.
    #expect(isTaken("") && isTaken("0.0.0.0"))
    #expect(!isTaken("127.0.0.3"))
    #expect(!isTaken(address, transport == "tcp" ? "udp" : "tcp"))
    #expect(throws: RuntimeError.self) {
      try HostPorts.check([PortMapping(hostPort: port, containerPort: 80, transport: transport)])
    }
  }

  @Test func whatIsFreeIsFree() throws {
    let (fd, port) = try occupy("127.0.0.1", udp: false)
    close(fd)
    try HostPorts.check([
      PortMapping(hostPort: port, containerPort: 80, transport: "tcp", hostIP: "127.0.0.1"),
      PortMapping(hostPort: port, containerPort: 80, transport: "tcp", hostIP: "no address"),
      PortMapping(hostPort: port, containerPort: 80, transport: "sctp", hostIP: "127.0.0.1"),
    ])
  }
}
