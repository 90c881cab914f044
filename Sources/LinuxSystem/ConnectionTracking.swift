import Glibc
public import Wire

/// A connection that the kernel remembers, as `ctnetlink` tells it: who began it, and who answers it.
public struct TrackedFlow: Sendable, Hashable {
  public struct Side: Sendable, Hashable {
    public var source: IPAddress
    public var destination: IPAddress
    /// Zero for protocols without ports.
    public var sourcePort: UInt16
    public var destinationPort: UInt16

    public init(source: IPAddress, destination: IPAddress, sourcePort: UInt16, destinationPort: UInt16) {
      self.source = source
      self.destination = destination
      self.sourcePort = sourcePort
      self.destinationPort = destinationPort
    }
  }

  /// `IPPROTO_UDP` and the like.
  public var `protocol`: UInt8
  public var original: Side
  /// What an answer looks like: its source is where the packets really go.
  public var reply: Side
  /// Attributes as they came, by which the kernel finds the entry again.
  fileprivate var identity: [UInt8]

  public init(protocol: UInt8, original: Side, reply: Side) {
    self.protocol = `protocol`
    self.original = original
    self.reply = reply
    identity = []
  }
}

/// The kernel's table of connections (`linux/netfilter/nfnetlink_conntrack.h`), of the network namespace that the
/// calling thread is in. Needs CAP_NET_ADMIN. Blocks for as long as the kernel takes to answer: milliseconds for
/// thousands of entries.
public struct ConnectionTracking: ~Copyable {
  private static let get: UInt16 = 1 << 8 | 1
  private static let delete: UInt16 = 1 << 8 | 2
  /// Of the kernel's table, which is bounded itself.
  static let flowsMax = 1 << 20

  private let fd: Int32

  public init() throws(SystemError) {
    let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    fd = socket(AF_NETLINK, type, /* NETLINK_NETFILTER */ 12)
    guard fd >= 0 else { throw .last("socket for netfilter") }
    // A kernel that does not answer must not hold a thread for ever.
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { _ = close(fd) }

  /// The connections of a family and a protocol that `isWanted`.
  public func flows(
    _ family: IPAddress.Family, protocol: UInt8, where isWanted: (TrackedFlow) -> Bool
  ) throws(SystemError) -> [TrackedFlow] {
    var result: [TrackedFlow] = []
    try exchange(Self.get, flags: /* NLM_F_DUMP */ 0x300, family, []) { body in
      guard result.count < Self.flowsMax, let flow = Self.flow(body), flow.protocol == `protocol`, isWanted(flow)
      else { return }
      result.append(flow)
    }
    return result
  }

  /// Forgets a connection; one that is gone already counts as forgotten.
  public func forget(_ flow: TrackedFlow) throws(SystemError) {
    do throws(SystemError) {
      try exchange(Self.delete, flags: /* NLM_F_ACK */ 0x4, flow.original.destination.family, flow.identity) { _ in }
    } catch  where error.errno == ENOENT {
      // It ended by itself.
    }
  }

  // MARK: Messages

  /// Sends a request and hands over the body of each answer until the kernel says that it is done.
  private func exchange(
    _ type: UInt16, flags: UInt16, _ family: IPAddress.Family, _ attributes: [UInt8],
    _ body: (ArraySlice<UInt8>) -> Void
  ) throws(SystemError) {
    var message: [UInt8] = []
    func append<Value: FixedWidthInteger>(_ value: Value) { withUnsafeBytes(of: value) { message += $0 } }
    append(UInt32(20 + attributes.count))
    append(type)
    append( /* NLM_F_REQUEST */1 | flags)
    append(UInt64(0))
    // nfgenmsg
    message += [UInt8(family == .ipv4 ? AF_INET : AF_INET6), 0, 0, 0]
    message += attributes
    guard send(fd, message, message.count, 0) == message.count else { throw .last("ask netfilter for connections") }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = recv(fd, &buffer, buffer.count, 0)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .last("read netfilter's connections") }
      var at = 0
      while at + 16 <= count {
        let length = Int(Self.number(buffer, at, UInt32.self))
        guard length >= 16, at + length <= count else { throw SystemError("netfilter's answer is malformed") }
        switch Self.number(buffer, at + 4, UInt16.self) {
        case /* NLMSG_ERROR */ 2:
          let code = length >= 20 ? 0 &- Self.number(buffer, at + 16, Int32.self) : EPROTO
          guard code == 0 else { throw SystemError("netfilter's connections", errno: code) }
          return
        case /* NLMSG_DONE */ 3: return
        default: if length >= 20 { body(buffer[at + 20..<at + length]) }
        }
        at += (length + 3) & ~3
      }
    }
  }

  private static func number<Value: FixedWidthInteger>(_ bytes: [UInt8], _ at: Int, _: Value.Type) -> Value {
    bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: Value.self) }
  }

  /// The attributes of a message by type, each with its header and padding.
  private static func attributes(
    _ bytes: ArraySlice<UInt8>
  ) -> [UInt16: (whole: ArraySlice<UInt8>, value: ArraySlice<UInt8>)] {
    var result: [UInt16: (whole: ArraySlice<UInt8>, value: ArraySlice<UInt8>)] = [:]
    var rest = bytes
    while rest.count >= 4 {
      let start = rest.startIndex
      let length = Int(rest[start]) | Int(rest[start + 1]) << 8
      let type = (UInt16(rest[start + 2]) | UInt16(rest[start + 3]) << 8) & 0x3FFF
      guard length >= 4, length <= rest.count else { break }
      let padded = min((length + 3) & ~3, rest.count)
      result[type] = (rest[start..<start + padded], rest[start + 4..<start + length])
      rest = rest.dropFirst(padded)
    }
    return result
  }

  static func flow(_ body: ArraySlice<UInt8>) -> TrackedFlow? {
    let all = attributes(body)
    // CTA_TUPLE_ORIG, CTA_TUPLE_REPLY
    guard let original = all[1], let reply = all[2], let (number, first) = side(original.value),
      let (_, second) = side(reply.value)
    else { return nil }
    var flow = TrackedFlow(protocol: number, original: first, reply: second)
    flow.identity = Array(original.whole)
    // CTA_ID, CTA_ZONE
    for type: UInt16 in [12, 18] { if let attribute = all[type] { flow.identity += attribute.whole } }
    return flow
  }

  private static func side(_ tuple: ArraySlice<UInt8>) -> (protocol: UInt8, TrackedFlow.Side)? {
    let parts = attributes(tuple)
    // CTA_TUPLE_IP, CTA_TUPLE_PROTO; CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST; CTA_PROTO_NUM,
    // CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT
    guard let ip = parts[1].map({ attributes($0.value) }), let transport = parts[2].map({ attributes($0.value) }),
      let source = (ip[1] ?? ip[3])?.value, let destination = (ip[2] ?? ip[4])?.value,
      source.count == destination.count, source.count == 4 || source.count == 16, let number = transport[1]?.value.first
    else { return nil }
    func port(_ type: UInt16) -> UInt16 {
      guard let value = transport[type]?.value, value.count == 2 else { return 0 }
      return UInt16(value[value.startIndex]) << 8 | UInt16(value[value.startIndex + 1])
    }
    return (
      number,
      TrackedFlow.Side(
        source: IPAddress(bytes: source), destination: IPAddress(bytes: destination),
        sourcePort: port(2), destinationPort: port(3))
    )
  }
}
