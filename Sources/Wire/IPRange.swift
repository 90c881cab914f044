/// A range of addresses of one family in CIDR notation, numbered from its network address.
public struct IPRange: Sendable, Hashable, CustomStringConvertible {
  /// The network address.
  public let base: IPAddress
  public let prefixLength: Int

  /// Bits behind the prefix are cleared.
  ///
  /// - Precondition: the family has that many bits.
  public init(_ address: IPAddress, prefixLength: Int) {
    precondition((0...address.family.bits).contains(prefixLength), "a prefix of \(prefixLength) bits")
    self.prefixLength = prefixLength
    base = IPAddress(address.family, address.value & ~Self.hostMask(address.family, prefixLength))
  }

  /// Parses `10.244.0.0/24` and `fd00:10:244::/64`; bits behind the prefix are cleared.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(parts[0]), (1...3).contains(parts[1].utf8.count),
      parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), parts[1].utf8.count == 1 || parts[1].utf8.first != 0x30,
      let length = Int(parts[1]), length <= address.family.bits
    else { return nil }
    self.init(address, prefixLength: length)
  }

  public var family: IPAddress.Family { base.family }

  /// How many addresses it has, network and broadcast address included; `Int.max` for more than that.
  public var count: Int {
    let bits = family.bits - prefixLength
    return bits >= Int.bitWidth - 1 ? .max : 1 << bits
  }

  /// - Precondition: there is an address of that number.
  public subscript(index: Int) -> IPAddress {
    precondition((0..<count).contains(index), "address \(index) of \(self)")
    return IPAddress(family, base.value + UInt128(index))
  }

  /// The number of an address; `nil` outside, and for one that `Int` cannot number.
  public func index(of address: IPAddress) -> Int? {
    contains(address) ? Int(exactly: address.value - base.value) : nil
  }

  public func contains(_ address: IPAddress) -> Bool {
    address.family == family && (address.value ^ base.value) & ~Self.hostMask(family, prefixLength) == 0
  }

  public func overlaps(_ other: IPRange) -> Bool { contains(other.base) || other.contains(base) }

  public var last: IPAddress { IPAddress(family, base.value | Self.hostMask(family, prefixLength)) }

  public var description: String { "\(base)/\(prefixLength)" }

  private static func hostMask(_ family: IPAddress.Family, _ prefixLength: Int) -> UInt128 {
    // A shift by all bits is zero here, as it has to be.
    ((1 as UInt128) << UInt128(family.bits - prefixLength)) &- 1
  }
}

/// One range, or one of each family: then the first one's family goes first wherever a client asks for none.
public struct IPRanges: Sendable, Hashable, CustomStringConvertible {
  public let all: [IPRange]

  /// - Precondition: there are one or two, of different families.
  public init(_ ranges: [IPRange]) {
    precondition((1...2).contains(ranges.count) && Set(ranges.map(\.family)).count == ranges.count, "\(ranges)")
    all = ranges
  }

  /// Parses `10.244.0.0/16`, `fd00:10:244::/64` and both with a comma between.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let ranges = parts.compactMap { IPRange($0) }
    guard (1...2).contains(parts.count), ranges.count == parts.count,
      Set(ranges.map(\.family)).count == ranges.count
    else { return nil }
    all = ranges
  }

  public var primary: IPRange { all[0] }
  /// The first one is the primary one.
  public var families: [IPAddress.Family] { all.map(\.family) }
  public subscript(family: IPAddress.Family) -> IPRange? { all.first { $0.family == family } }

  public func contains(_ address: IPAddress) -> Bool { all.contains { $0.contains(address) } }
  /// The number of an address in the range of its family.
  public func index(of address: IPAddress) -> Int? { self[address.family]?.index(of: address) }

  public var description: String { all.map(\.description).joined(separator: ",") }
}

/// Why ranges cannot be those of a cluster.
public struct ClusterRangesError: Error, Sendable, Equatable, CustomStringConvertible {
  public var description: String
}

/// The addresses of a cluster's pods and services: the one place that says which may be.
public struct ClusterRanges: Sendable, Hashable {
  /// The number of the machine's own address among the pods of a family: the bridge's, and the pods' gateway.
  public static let gatewayIndex = 1

  public let pods: IPRanges
  public let services: IPRanges

  /// - Parameters:
  ///   - pods: as `IPRanges` parses them.
  ///   - services: of families that the pods have.
  public init(pods: String, services: String) throws(ClusterRangesError) {
    self.pods = try Self.parse(pods, "pod", ipv4: 8...30, ipv6: 16...126, example: "10.244.0.0/24")
    // The name server has the tenth address; kube-apiserver has the same limit for IPv6.
    self.services = try Self.parse(services, "service", ipv4: 8...28, ipv6: 108...124, example: "10.96.0.0/16")
    for range in self.services.all {
      guard let own = self.pods[range.family] else {
        throw ClusterRangesError(
          description:
            "the service range \(range) is of \(range.family.rawValue), and the pod range \(self.pods) is not: "
            + "no pod could answer there")
      }
      guard !own.overlaps(range) else {
        throw ClusterRangesError(description: "the pod range \(own) and the service range \(range) must not overlap")
      }
    }
  }

  private static func parse(
    _ text: String, _ name: String, ipv4: ClosedRange<Int>, ipv6: ClosedRange<Int>, example: String
  ) throws(ClusterRangesError) -> IPRanges {
    guard let ranges = IPRanges(text) else {
      throw ClusterRangesError(
        description: "the \(name) range \"\(text)\" must be a range such as \(example), or one of IPv4 and one of IPv6 "
          + "with a comma between")
    }
    for range in ranges.all {
      let lengths = range.family == .ipv4 ? ipv4 : ipv6
      guard lengths.contains(range.prefixLength) else {
        throw ClusterRangesError(
          description: "the \(name) range \(range) must have a prefix of /\(lengths.lowerBound) to "
            + "/\(lengths.upperBound)")
      }
      guard AddressClass(range.base).refusal == nil, AddressClass(range.last).refusal == nil else {
        throw ClusterRangesError(description: "the \(name) range \(range) is not of addresses that machines may have")
      }
    }
    return ranges
  }

  /// The machine's address on the pods' bridge in each family of theirs.
  public var gateways: [IPAddress] { pods.all.map { $0[Self.gatewayIndex] } }

  /// The machine's address that the service of the API leads to.
  public var apiEndpoint: IPAddress {
    guard let range = pods[services.primary.family] else { preconditionFailure("checked at the start") }
    return range[Self.gatewayIndex]
  }

  /// Where the name server answers, in each family of the services.
  public var nameServers: [IPAddress] { services.all.map { $0[ClusterAddresses.dnsIndex] } }
}
