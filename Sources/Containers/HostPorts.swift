import Glibc
import LinuxSystem
import Wire

/// Ports of the host that pods ask for. The plugin `portmap` translates them whether or not a process of the host listens
/// there: then the pod would answer in its place, be it the API, the registry, the name server or somebody's database.
enum HostPorts {
  /// - Throws: when a process of the host has one of the ports.
  static func check(_ ports: [PortMapping]) throws(RuntimeError) {
    for port in ports where isTaken(port) {
      let address = port.hostIP.isEmpty ? "" : "\(port.hostIP):"
      throw RuntimeError(
        .network,
        "the host port \(address)\(port.hostPort)/\(port.transport.uppercased()) is in use by a process of the host")
    }
  }

  /// Whether the port cannot be had. What cannot be found out (no such protocol, no such address) counts as free: nothing
  /// listens there.
  static func isTaken(_ mapping: PortMapping) -> Bool {
    let text = mapping.hostIP.isEmpty ? "0.0.0.0" : mapping.hostIP
    guard let address = IPAddress(text), let port = UInt16(exactly: mapping.hostPort) else { return false }
    let isUDP = mapping.transport == "udp"
    let type = Int32((isUDP ? SOCK_DGRAM : SOCK_STREAM).rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    // 132 is SCTP.
    let fd = socket(address.isIPv4 ? AF_INET : AF_INET6, type, mapping.transport == "sctp" ? 132 : 0)
    guard fd >= 0 else { return false }
    defer { _ = close(fd) }
    // A connection that has just ended does not count; one who listens does all the same. With UDP the option would let
    // two have the same port.
    var yes: Int32 = 1
    if !isUDP { setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)) }
    var storage = sockaddr_storage()
    let length = address.write(to: &storage, port: port)
    let result = withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, length) }
    }
    return result != 0 && errno == EADDRINUSE
  }
}
