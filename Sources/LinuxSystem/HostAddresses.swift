import Glibc
public import Wire

/// The machine's own addresses, as the kernel knows them now.
public enum HostAddresses {
  /// The addresses of all interfaces.
  public static func local() -> Set<IPAddress> {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return [] }
    defer { freeifaddrs(list) }
    var result: Set<IPAddress> = []
    var next = list
    while let item = next {
      next = item.pointee.ifa_next
      guard let address = item.pointee.ifa_addr, let parsed = IPAddress.read(address)?.address else { continue }
      result.insert(parsed)
    }
    return result
  }

  /// The addresses from which this machine speaks to the world: by these it is reached, too. Empty without a default
  /// route. No packet is sent: connecting a datagram socket only looks up the route.
  public static func towardsTheWorld() -> [IPAddress] {
    // Documentation addresses (RFC 5737, RFC 3849): nobody's.
    ["192.0.2.1", "2001:db8::1"].compactMap { IPAddress($0) }.compactMap(source(towards:))
  }

  private static func source(towards address: IPAddress) -> IPAddress? {
    let fd = socket(address.isIPv4 ? AF_INET : AF_INET6, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard fd >= 0 else { return nil }
    defer { _ = close(fd) }
    var storage = sockaddr_storage()
    var length = address.write(to: &storage, port: 9)
    return withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { socketAddress -> IPAddress? in
        guard connect(fd, socketAddress, length) == 0 else { return nil }
        length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        guard getsockname(fd, socketAddress, &length) == 0 else { return nil }
        return IPAddress.read(socketAddress)?.address
      }
    }
  }
}

extension IPAddress {
  /// Address and port of a socket address; `nil` when it is of another family.
  static func read(_ address: UnsafePointer<sockaddr>) -> (address: IPAddress, port: UInt16)? {
    switch Int32(address.pointee.sa_family) {
    case AF_INET:
      address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { four in
        (withUnsafeBytes(of: four.pointee.sin_addr) { IPAddress(bytes: $0) }, UInt16(bigEndian: four.pointee.sin_port))
      }
    case AF_INET6:
      address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { six in
        (withUnsafeBytes(of: six.pointee.sin6_addr) { IPAddress(bytes: $0) }, UInt16(bigEndian: six.pointee.sin6_port))
      }
    default: nil
    }
  }

  /// Fills in a socket address; returns its length.
  package func write(to storage: inout sockaddr_storage, port: UInt16) -> socklen_t {
    withUnsafeMutableBytes(of: &storage) { bytes in
      if isIPv4 {
        var four = sockaddr_in()
        four.sin_family = sa_family_t(AF_INET)
        four.sin_port = port.bigEndian
        withUnsafeMutableBytes(of: &four.sin_addr) { $0.copyBytes(from: self.bytes) }
        bytes.storeBytes(of: four, as: sockaddr_in.self)
        return socklen_t(MemoryLayout<sockaddr_in>.size)
      }
      var six = sockaddr_in6()
      six.sin6_family = sa_family_t(AF_INET6)
      six.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &six.sin6_addr) { $0.copyBytes(from: self.bytes) }
      bytes.storeBytes(of: six, as: sockaddr_in6.self)
      return socklen_t(MemoryLayout<sockaddr_in6>.size)
    }
  }
}
