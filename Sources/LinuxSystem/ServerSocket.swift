import CLinux
import Glibc
public import Wire

/// Where a server takes packets or connections: what bind(2) is told, and what the kernel says of a socket.
public struct ServerSocket: Sendable, Hashable, CustomStringConvertible {
  public enum Kind: String, Sendable, Hashable {
    case tcp, udp
  }

  public var kind: Kind
  public var address: IPAddress
  public var port: UInt16

  public init(_ kind: Kind, _ address: IPAddress, port: UInt16) {
    (self.kind, self.address, self.port) = (kind, address, port)
  }

  public var description: String {
    "\(kind.rawValue) \(address.isIPv4 ? "\(address)" : "[\(address)]"):\(port)"
  }

  private static let backlog: Int32 = 128

  /// Makes it: bound, non-blocking and close-on-exec, and listening when it takes connections.
  public func open() throws(SystemError) -> OwnedDescriptor {
    let type = kind == .tcp ? SOCK_STREAM : SOCK_DGRAM
    let flags = Int32(type.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let fd = socket(address.isIPv4 ? AF_INET : AF_INET6, flags, 0)
    guard fd >= 0 else { throw .last("make a socket for \(self)") }
    let made = OwnedDescriptor(fd)
    var one: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    // Connections of a server before this one may still be ending. Two that listen are refused all the same.
    if kind == .tcp { setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, size) }
    // An address is one of its own family only, `::` too.
    if !address.isIPv4 { setsockopt(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, size) }
    var storage = sockaddr_storage()
    let length = address.write(to: &storage, port: port)
    let isBound = withUnsafePointer(to: storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, length) == 0 }
    }
    guard isBound else { throw .last("bind \(self)") }
    if kind == .tcp { guard listen(fd, Self.backlog) == 0 else { throw .last("listen on \(self)") } }
    return made
  }

  /// Takes over a descriptor that another process has opened. What it is, the kernel says; it is non-blocking and
  /// close-on-exec from here on, as those are that `open` makes.
  ///
  /// - Throws: with what it is, when it is none of these: closed, no socket, of another family or kind, not bound, connected,
  ///   or of a kind that listens and does not.
  public init(adopting descriptor: OwnedDescriptor) throws(SystemError) {
    let fd = descriptor.number
    let operation = "use descriptor \(fd) as a server's socket"
    // Of a closed one and of what is no socket the first call tells.
    func option(_ name: Int32) throws(SystemError) -> Int32 {
      var value: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      guard getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 else { throw .last(operation) }
      return value
    }
    guard [AF_INET, AF_INET6].contains(try option(SO_DOMAIN)) else {
      throw SystemError(operation, detail: "its family is neither IPv4 nor IPv6")
    }
    let kind: Kind
    switch (try option(SO_TYPE), try option(SO_PROTOCOL)) {
    case (Int32(SOCK_STREAM.rawValue), Int32(IPPROTO_TCP)): kind = .tcp
    case (Int32(SOCK_DGRAM.rawValue), Int32(IPPROTO_UDP)): kind = .udp
    default: throw SystemError(operation, detail: "it is neither of TCP nor of UDP")
    }
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let (isConnected, name) = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> (Bool, (IPAddress, UInt16)?) in
        if getpeername(fd, address, &length) == 0 { return (true, nil) }
        length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return (false, getsockname(fd, address, &length) == 0 ? IPAddress.read(address) : nil)
      }
    }
    guard !isConnected else { throw SystemError(operation, detail: "it is connected") }
    let isListening = try option(SO_ACCEPTCONN) == 1
    guard isListening || kind == .udp else { throw SystemError(operation, detail: "it does not listen") }
    guard let (address, port) = name, port != 0 else { throw SystemError(operation, detail: "it is not bound") }
    guard fcntl(fd, F_SETFD, FD_CLOEXEC) == 0, clinux_set_nonblocking(fd) == 0 else { throw .last(operation) }
    self.init(kind, address, port: port)
  }

  /// Whether a socket at the address `::` takes connections of IPv4, too.
  public static func takesBothFamilies(_ descriptor: OwnedDescriptor) -> Bool {
    var isOnlyIPv6: Int32 = 1
    var size = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(descriptor.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &isOnlyIPv6, &size) == 0 && isOnlyIPv6 == 0
  }
}
