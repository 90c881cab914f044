/// What an address is for (RFC 6890), as far as it decides whether packets may be translated to it or away from it.
///
/// This is the one check of addresses that users name: the API refuses by it, and the compiler of the service rules
/// leaves out by it what was stored before the API did.
public enum AddressClass: Sendable, Hashable, CaseIterable {
  /// `0.0.0.0`, `::`
  case unspecified
  /// `0.0.0.0/8` but the first: "this network", of which Linux takes some for the machine itself.
  case thisNetwork
  case loopback
  /// The metadata services of clouds are here.
  case linkLocal
  case linkLocalMulticast
  case multicast
  case broadcast
  /// `240.0.0.0/4`
  case reserved
  /// An IPv4 address written as an IPv6 one: what compares texts or families does not see which it is.
  case mapped
  /// An address of a machine or a pod.
  case ordinary

  public init(_ address: IPAddress) {
    if address.isIPv4 {
      self.init(ipv4: UInt32(truncatingIfNeeded: address.value))
      return
    }
    let bytes = address.bytes
    if let embedded = Self.embeddedIPv4(bytes) {
      let inner = AddressClass(ipv4: embedded.address)
      // `::` and `::1` look like embedded addresses, too.
      self = inner != .ordinary ? inner : embedded.isSameAddress ? .mapped : .ordinary
      return
    }
    switch (bytes[0], bytes[1]) {
    case (0xFF, let second): self = second & 0x0F == 2 ? .linkLocalMulticast : .multicast
    case (0xFE, let second) where second & 0xC0 == 0x80: self = .linkLocal
    default:
      guard bytes.dropLast().allSatisfy({ $0 == 0 }), bytes[15] <= 1 else {
        self = .ordinary
        return
      }
      self = bytes[15] == 0 ? .unspecified : .loopback
    }
  }

  /// - Parameter address: in the order of its digits: `127.0.0.1` is `0x7F000001`.
  public init(ipv4 address: UInt32) {
    switch (address >> 24, address) {
    case (_, 0): self = .unspecified
    case (0, _): self = .thisNetwork
    case (127, _): self = .loopback
    case (169, _) where address >> 16 & 0xFF == 254: self = .linkLocal
    case (224, _) where address >> 8 & 0xFFFF == 0: self = .linkLocalMulticast
    case (224...239, _): self = .multicast
    case (_, UInt32.max): self = .broadcast
    case (240..., _): self = .reserved
    default: self = .ordinary
    }
  }

  /// The IPv4 address inside an IPv6 one: mapped and compatible (RFC 4291), translated (RFC 6052), 6to4 (RFC 3056).
  private static func embeddedIPv4(_ bytes: [UInt8]) -> (address: UInt32, isSameAddress: Bool)? {
    func address(at start: Int) -> UInt32 { bytes[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    func isZero(_ range: Range<Int>) -> Bool { bytes[range].allSatisfy { $0 == 0 } }
    if isZero(0..<10), bytes[10] == 0xFF, bytes[11] == 0xFF { return (address(at: 12), true) }
    // `::` and `::1` are addresses of IPv6 itself.
    if isZero(0..<12), !isZero(12..<15) { return (address(at: 12), true) }
    if bytes.starts(with: [0x00, 0x64, 0xFF, 0x9B]), isZero(4..<12) { return (address(at: 12), false) }
    if bytes.starts(with: [0x20, 0x02]) { return (address(at: 2), false) }
    return nil
  }

  /// Why packets are not translated to such an address or away from it, in the words of Kubernetes where it has some
  /// (`pkg/apis/core/validation`, `ValidateEndpointIP`); `nil` when they may be.
  public var refusal: String? {
    switch self {
    case .unspecified: "may not be unspecified (0.0.0.0 or ::)"
    case .thisNetwork: "may not be in the range of \"this network\" (0.0.0.0/8)"
    case .loopback: "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    case .linkLocal: "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    case .linkLocalMulticast: "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    case .multicast: "may not be in the multicast range (224.0.0.0/4, ff00::/8)"
    case .broadcast: "may not be the broadcast address (255.255.255.255)"
    case .reserved: "may not be in the reserved range (240.0.0.0/4)"
    case .mapped: "must not be an IPv4-mapped IPv6 address"
    case .ordinary: nil
    }
  }

  /// Why no machine can have such an address, or listen on it; `nil` when one can.
  public var hostRefusal: String? {
    switch self {
    case .unspecified, .loopback, .linkLocal, .ordinary: nil
    default: refusal
    }
  }
}

/// The addresses that belong to the cluster itself: no Service may take them as external ones.
public struct ClusterAddresses: Sendable, Equatable {
  public var pods: IPRanges?
  public var services: IPRanges
  /// Addresses by which the machine itself is reached.
  public var machine: [IPAddress]

  /// The number of the API's address in a range of the services.
  public static let apiIndex = 1
  /// The number of the name server's address in a range of the services.
  public static let dnsIndex = 10

  public init(pods: IPRanges?, services: IPRanges, machine: [IPAddress] = []) {
    self.pods = pods
    self.services = services
    self.machine = machine
  }

  /// Who names an external address.
  public enum Source: Sendable {
    /// `spec.externalIPs`, which whoever may write Services in one namespace may set.
    case user
    /// `status.loadBalancer`, which needs a right of its own: load balancers that forward to the machine name its address.
    case loadBalancer
  }

  /// Why an address may not lead to a Service from outside; `nil` when it may.
  public func refusal(external address: IPAddress, from source: Source) -> String? {
    if let refusal = AddressClass(address).refusal { return refusal }
    if services.contains(address) { return "may not be in the range of the cluster addresses (\(services))" }
    if let pods, pods.contains(address) { return "may not be in the range of the pods (\(pods))" }
    if source == .user, machine.contains(address) {
      return "may not be an address by which the machine itself is reached; a node port is reached by all of them"
    }
    return nil
  }

  /// Why a Service may not have a cluster address; `nil` when it may.
  ///
  /// - Parameter service: `namespace/name`.
  public func refusal(cluster address: IPAddress, for service: String) -> String? {
    switch services.index(of: address) {
    case nil: "is not in the range of the cluster addresses (\(services))"
    case Self.apiIndex where service != "default/kubernetes": "is the address of the API"
    case Self.dnsIndex where service != "kube-system/kube-dns": "is the address of the cluster's name server"
    default: nil
    }
  }
}
