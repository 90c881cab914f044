/// An IPv4 or IPv6 address: a number in its family. IPv4 addresses come before IPv6 ones.
public struct IPAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// By the names that Kubernetes has (`ipFamilies`, `addressType`).
  public enum Family: String, Sendable, Hashable, CaseIterable, Comparable {
    case ipv4 = "IPv4"
    case ipv6 = "IPv6"

    /// Of an address.
    public var bits: Int { self == .ipv4 ? 32 : 128 }
    public static func < (a: Family, b: Family) -> Bool { a.bits < b.bits }
  }

  public let family: Family
  /// In the order of its digits: `127.0.0.1` is `0x7F000001`.
  public let value: UInt128

  /// - Precondition: the value fits the family.
  public init(_ family: Family, _ value: UInt128) {
    precondition(family == .ipv6 || value <= UInt32.max, "an IPv4 address has 32 bits")
    (self.family, self.value) = (family, value)
  }

  /// - Parameter bytes: in network order.
  /// - Precondition: there are 4 or 16.
  public init(bytes: some Collection<UInt8>) {
    precondition(bytes.count == 4 || bytes.count == 16, "an address has 4 or 16 bytes, not \(bytes.count)")
    self.init(bytes.count == 4 ? .ipv4 : .ipv6, bytes.reduce(0) { $0 << 8 | UInt128($1) })
  }

  /// Parses four decimal numbers with dots between them, or the forms of RFC 4291, section 2.2. Leading zeros in decimal
  /// numbers are refused, since some read them as octal, and so are zones.
  public init?(_ text: some StringProtocol) {
    var text = String(text)
    let value = text.withUTF8 { bytes -> (Family, UInt128)? in
      // The longest is an IPv6 address with an IPv4 one at its end.
      guard bytes.count <= 45 else { return nil }
      if bytes.contains(UInt8(ascii: ":")) { return Self.ipv6(bytes[...]).map { (.ipv6, $0) } }
      return Self.ipv4(bytes[...]).map { (.ipv4, UInt128($0)) }
    }
    guard let (family, value) = value else { return nil }
    self.init(family, value)
  }

  public var isIPv4: Bool { family == .ipv4 }

  /// In network order.
  public var bytes: [UInt8] {
    stride(from: family.bits - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt128($0)) }
  }

  /// The canonical text: RFC 5952, with IPv4 addresses written as IPv6 ones in the mixed form of its section 5.
  public var description: String {
    if isIPv4 { return Self.dotted(UInt32(truncatingIfNeeded: value)) }
    if value >> 32 == 0xFFFF { return "::ffff:" + Self.dotted(UInt32(truncatingIfNeeded: value)) }
    let groups = groups
    let gap = Self.longestZeros(groups)
    func text(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    guard gap.count > 1 else { return text(groups[...]) }
    return text(groups[..<gap.lowerBound]) + "::" + text(groups[gap.upperBound...])
  }

  public static func < (a: IPAddress, b: IPAddress) -> Bool {
    a.family == b.family ? a.value < b.value : a.family < b.family
  }

  /// The eight groups of an IPv6 address.
  private var groups: [UInt16] { (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)) } }

  private static func dotted(_ value: UInt32) -> String {
    "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
  }

  /// The first of the longest runs of zeros.
  private static func longestZeros(_ groups: [UInt16]) -> Range<Int> {
    var longest = 0..<0
    var start = 0
    for (index, group) in groups.enumerated() {
      if group != 0 { start = index + 1 } else if index + 1 - start > longest.count { longest = start..<index + 1 }
    }
    return longest
  }

  private typealias Text = Slice<UnsafeBufferPointer<UInt8>>

  private static func ipv4(_ text: Text) -> UInt32? {
    var value: UInt32 = 0
    let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    for part in parts {
      guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
      var number: UInt32 = 0
      for digit in part {
        guard (0x30...0x39).contains(digit) else { return nil }
        number = number * 10 + UInt32(digit - 0x30)
      }
      guard number <= 255 else { return nil }
      value = value << 8 | number
    }
    return value
  }

  private static func ipv6(_ text: Text) -> UInt128? {
    let colon = UInt8(ascii: ":")
    var gap: Text.Index?
    var index = text.startIndex
    while index + 1 < text.endIndex {
      if text[index] == colon, text[index + 1] == colon {
        guard gap == nil else { return nil }
        gap = index
        // Three colons are not two gaps, and not one.
        index += 1
        if index + 1 < text.endIndex, text[index + 1] == colon { return nil }
      }
      index += 1
    }
    guard let gap else {
      guard let all = groups(text, isLast: true), all.count == 8 else { return nil }
      return number(all)
    }
    guard let head = groups(text[..<gap], isLast: false), let tail = groups(text[(gap + 2)...], isLast: true),
      head.count + tail.count < 8
    else { return nil }
    return number(head + [UInt16](repeating: 0, count: 8 - head.count - tail.count) + tail)
  }

  private static func number(_ groups: [UInt16]) -> UInt128 { groups.reduce(0) { $0 << 16 | UInt128($1) } }

  /// - Parameter isLast: whether an IPv4 address may end it.
  private static func groups(_ text: Text, isLast: Bool) -> [UInt16]? {
    if text.isEmpty { return [] }
    var result: [UInt16] = []
    let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard parts.count <= 8 else { return nil }
    for (index, part) in parts.enumerated() {
      if isLast, index == parts.count - 1, part.contains(UInt8(ascii: ".")) {
        guard let embedded = ipv4(part) else { return nil }
        result += [UInt16(truncatingIfNeeded: embedded >> 16), UInt16(truncatingIfNeeded: embedded)]
        continue
      }
      guard (1...4).contains(part.count) else { return nil }
      var group: UInt16 = 0
      for digit in part {
        guard let value = Character(Unicode.Scalar(digit)).hexDigitValue else { return nil }
        group = group << 4 | UInt16(value)
      }
      result.append(group)
    }
    return result
  }
}
