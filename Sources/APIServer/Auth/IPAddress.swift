import Glibc

/// An IPv4 or IPv6 address, and a range of them.
struct IPAddress: Sendable, Hashable, CustomStringConvertible {
  /// 4 or 16 bytes in network order.
  var bytes: [UInt8]

  init(bytes: [UInt8]) { self.bytes = bytes }

  /// Parses the dotted or the colon form.
  init?(_ text: String) {
    var four = in_addr()
    if inet_pton(AF_INET, text, &four) == 1 {
      bytes = withUnsafeBytes(of: &four) { Array($0) }
      return
    }
    var sixteen = in6_addr()
    guard inet_pton(AF_INET6, text, &sixteen) == 1 else { return nil }
    bytes = withUnsafeBytes(of: &sixteen) { Array($0) }
  }

  var isIPv4: Bool { bytes.count == 4 }

  var description: String {
    var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(isIPv4 ? AF_INET : AF_INET6, bytes, &buffer, socklen_t(buffer.count)) != nil else { return "" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// An IPv4 range in CIDR notation whose addresses are numbered from its network address.
struct IPv4Range: Sendable, Equatable, CustomStringConvertible {
  var base: UInt32
  var prefixLength: Int

  init?(_ text: String) {
    let parts = text.split(separator: "/")
    guard parts.count == 2, let length = Int(parts[1]), (8...30).contains(length),
      let address = IPAddress(String(parts[0])), address.isIPv4
    else { return nil }
    prefixLength = length
    let value = address.bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    base = value & ~UInt32((UInt64(1) << (32 - length)) - 1)
  }

  /// How many addresses it has, network and broadcast address included.
  var count: Int { 1 << (32 - prefixLength) }

  subscript(index: Int) -> IPAddress {
    let value = base + UInt32(index)
    return IPAddress(bytes: [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)])
  }

  /// The number of an address, or `nil` outside.
  func index(of address: IPAddress) -> Int? {
    guard address.isIPv4 else { return nil }
    let value = address.bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard value >= base, Int(value - base) < count else { return nil }
    return Int(value - base)
  }

  var description: String { "\(self[0])/\(prefixLength)" }
}
