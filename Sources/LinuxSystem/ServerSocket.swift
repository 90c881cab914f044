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

  /// What a descriptor is, as the kernel tells it; `nil` when it is none of these: no socket, of another family or kind, not
  /// bound, connected, or of a kind that listens and does not.
  public init?(of descriptor: OwnedDescriptor) {
    let fd = descriptor.number
    func option(_ name: Int32) -> Int32? {
      var value: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : nil
    }
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let name = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> (IPAddress, UInt16)? in
        guard getpeername(fd, address, &length) != 0 else { return nil }
        length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        guard getsockname(fd, address, &length) == 0 else { return nil }
        return IPAddress.read(address)
      }
    }
    guard let (address, port) = name, port != 0, let type = option(SO_TYPE), let proto = option(SO_PROTOCOL) else {
      return nil
    }
    switch (type, proto) {
    case (Int32(SOCK_STREAM.rawValue), Int32(IPPROTO_TCP)):
      guard option(SO_ACCEPTCONN) == 1 else { return nil }
      self.init(.tcp, address, port: port)
    case (Int32(SOCK_DGRAM.rawValue), Int32(IPPROTO_UDP)): self.init(.udp, address, port: port)
    default: return nil
    }
  }
}
