import Wire

/// An IPv4 address.
struct IPv4: Sendable, Hashable, Comparable, CustomStringConvertible {
  var value: UInt32

  init(value: UInt32) { self.value = value }

  /// Parses four decimal numbers with dots between them; leading zeros are refused, since some read them as octal.
  init?(_ text: some StringProtocol) {
    var value: UInt32 = 0
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    for part in parts {
      guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
        part.utf8.count == 1 || part.utf8.first != 0x30, let byte = UInt8(part)
      else { return nil }
      value = value << 8 | UInt32(byte)
    }
    self.value = value
  }

  var ip: IPAddress { IPAddress(bytes: octets) }
  var octets: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
  var description: String { octets.map { String($0) }.joined(separator: ".") }
  static func < (a: IPv4, b: IPv4) -> Bool { a.value < b.value }
}

/// A range of IPv4 addresses in CIDR notation.
struct IPv4Range: Sendable, Hashable, CustomStringConvertible {
  var base: IPv4
  var prefixLength: Int

  /// Parses `10.244.0.0/24`; bits behind the prefix are cleared.
  init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPv4(parts[0]), let length = Int(parts[1]), (0...32).contains(length) else {
      return nil
    }
    prefixLength = length
    base = IPv4(value: length == 0 ? 0 : address.value & (UInt32.max << UInt32(32 - length)))
  }

  func contains(_ address: IPv4) -> Bool {
    prefixLength == 0 || (address.value ^ base.value) >> UInt32(32 - prefixLength) == 0
  }

  /// The first usable address: the gateway of the pods.
  var first: IPv4 { IPv4(value: base.value &+ 1) }
  var last: IPv4 {
    IPv4(value: base.value | (prefixLength == 0 ? .max : prefixLength == 32 ? 0 : UInt32.max >> UInt32(prefixLength)))
  }
  var description: String { "\(base)/\(prefixLength)" }
}
