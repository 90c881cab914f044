import Wire

/// A domain name: its labels in lower case, root last and left out. DNS compares names without regard to case.
struct DNSName: Sendable, Hashable, CustomStringConvertible {
  var labels: [String]

  init(labels: [String]) { self.labels = labels }

  /// From text such as `web.default.svc.cluster.local`, with or without the last dot. Not for outside input: no checks.
  init(_ text: String) { labels = text.lowercased().split(separator: ".").map(String.init) }

  /// Dots inside a label, which a message may carry, are written as `\.`.
  var description: String {
    labels.map { $0.contains(".") ? String($0.flatMap { $0 == "." ? ["\\", "."] : [$0] }) : $0 }.joined(separator: ".")
      + "."
  }

  /// The labels in front of `suffix`; `nil` when the name is not below it or equal to it.
  func prefix(below suffix: DNSName) -> [String]? {
    guard labels.count >= suffix.labels.count, labels.suffix(suffix.labels.count).elementsEqual(suffix.labels) else {
      return nil
    }
    return Array(labels.dropLast(suffix.labels.count))
  }
}

enum DNSType {
  static let a: UInt16 = 1
  static let cname: UInt16 = 5
  static let soa: UInt16 = 6
  static let ptr: UInt16 = 12
  static let txt: UInt16 = 16
  static let aaaa: UInt16 = 28
  static let srv: UInt16 = 33
  static let opt: UInt16 = 41
  static let any: UInt16 = 255

  /// Of the records that hold addresses of a family.
  static func address(_ family: IPAddress.Family) -> UInt16 { family == .ipv4 ? a : aaaa }
}

enum DNSCode {
  static let noError: UInt8 = 0
  static let formatError: UInt8 = 1
  static let serverFailure: UInt8 = 2
  static let nameError: UInt8 = 3
  static let notImplemented: UInt8 = 4
  static let refused: UInt8 = 5
}

/// A resource record that we answer with.
struct DNSRecord: Sendable, Hashable {
  enum Data: Sendable, Hashable {
    /// A or AAAA, by its family.
    case address(IPAddress)
    case cname(DNSName)
    case ptr(DNSName)
    case srv(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
    case txt(String)
    case soa(primary: DNSName, contact: DNSName, serial: UInt32, negativeTTL: UInt32)
  }

  var name: DNSName
  var ttl: UInt32
  var data: Data

  var type: UInt16 {
    switch data {
    case .address(let address): DNSType.address(address.family)
    case .cname: DNSType.cname
    case .ptr: DNSType.ptr
    case .srv: DNSType.srv
    case .txt: DNSType.txt
    case .soa: DNSType.soa
    }
  }
}

struct DNSQuestion: Sendable, Hashable {
  var name: DNSName
  var type: UInt16
  var `class`: UInt16
}

/// A query as it came (RFC 1035, section 4; EDNS0, RFC 6891).
struct DNSQuery: Sendable, Equatable {
  var id: UInt16
  var opcode: UInt8
  var recursionDesired: Bool
  var checkingDisabled: Bool
  var question: DNSQuestion
  /// The question's bytes as they were sent: answers repeat its upper and lower case.
  var questionBytes: [UInt8]
  /// The client's buffer for UDP; `nil` without EDNS.
  var payloadSize: Int?
  var ednsVersion: UInt8

  /// Parses a message that must be a query with one question.
  init(_ bytes: [UInt8]) throws(PodNetworkError) {
    var reader = DNSReader(bytes)
    id = try reader.uint16()
    let flags = try reader.uint16()
    guard flags & 0x8000 == 0 else { throw PodNetworkError(.message, "a response, not a query") }
    opcode = UInt8(truncatingIfNeeded: flags >> 11) & 0xF
    recursionDesired = flags & 0x0100 != 0
    checkingDisabled = flags & 0x0010 != 0
    let questions = try reader.uint16()
    let answers = try reader.uint16()
    let authorities = try reader.uint16()
    let additionals = try reader.uint16()
    guard questions == 1 else { throw PodNetworkError(.message, "\(questions) questions instead of one") }
    let start = reader.at
    question = DNSQuestion(name: try reader.name(), type: try reader.uint16(), class: try reader.uint16())
    questionBytes = Array(bytes[start..<reader.at])
    // There is nothing in front of it that it could share.
    guard bytes[start..<reader.at - 4].last == 0 else {
      throw PodNetworkError(.message, "the question's name is compressed")
    }
    ednsVersion = 0
    for index in 0..<Int(answers) + Int(authorities) + Int(additionals) {
      _ = try reader.name()
      let type = try reader.uint16()
      let payload = try reader.uint16()
      let ttl = try reader.uint32()
      try reader.skip(Int(try reader.uint16()))
      guard type == DNSType.opt, index >= Int(answers) + Int(authorities) else { continue }
      guard payloadSize == nil else { throw PodNetworkError(.message, "two OPT records") }
      payloadSize = Int(payload)
      ednsVersion = UInt8(truncatingIfNeeded: ttl >> 16)
    }
  }

  /// How long an answer by UDP may be: no more than passes every path without fragments (RFC 9715).
  var answerMax: Int { min(max(payloadSize ?? 512, 512), 1232) }
}

/// Reads a message; every offset is checked.
struct DNSReader {
  let bytes: [UInt8]
  private(set) var at: Int

  init(_ bytes: [UInt8], at: Int = 0) {
    self.bytes = bytes
    self.at = at
  }

  private func cutOff() -> PodNetworkError { PodNetworkError(.message, "the message is cut off") }

  mutating func uint16() throws(PodNetworkError) -> UInt16 {
    guard at + 2 <= bytes.count else { throw cutOff() }
    defer { at += 2 }
    return UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1])
  }

  mutating func uint32() throws(PodNetworkError) -> UInt32 {
    UInt32(try uint16()) << 16 | UInt32(try uint16())
  }

  mutating func take(_ count: Int) throws(PodNetworkError) -> [UInt8] {
    guard count >= 0, at + count <= bytes.count else { throw cutOff() }
    defer { at += count }
    return Array(bytes[at..<at + count])
  }

  mutating func skip(_ count: Int) throws(PodNetworkError) {
    guard count >= 0, at + count <= bytes.count else { throw cutOff() }
    at += count
  }

  /// A name, which may be compressed (RFC 1035, section 4.1.4). A pointer must lead to an earlier place: so it ends.
  mutating func name() throws(PodNetworkError) -> DNSName {
    var labels: [String] = []
    var position = at
    var end: Int?
    var lowest = at
    var length = 1
    while true {
      guard position < bytes.count else { throw cutOff() }
      let first = Int(bytes[position])
      switch first {
      case 0:
        at = end ?? position + 1
        return DNSName(labels: labels)
      case 1...63:
        guard position + 1 + first <= bytes.count else { throw cutOff() }
        length += first + 1
        guard length <= 255 else { throw PodNetworkError(.message, "a name is longer than 255 bytes") }
        let label = bytes[position + 1..<position + 1 + first].map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        labels.append(String(decoding: label, as: UTF8.self))
        position += 1 + first
      case 0xC0...0xFF:
        guard position + 2 <= bytes.count else { throw cutOff() }
        let target = (first & 0x3F) << 8 | Int(bytes[position + 1])
        guard target < lowest else { throw PodNetworkError(.message, "a compressed name points forward") }
        if end == nil { end = position + 2 }
        lowest = target
        position = target
      default: throw PodNetworkError(.message, "a label of an unknown type")
      }
    }
  }
}

/// Writes a message, names compressed.
struct DNSWriter {
  private(set) var bytes: [UInt8] = []
  private var offsets: [ArraySlice<String>: Int] = [:]

  mutating func uint8(_ value: UInt8) { bytes.append(value) }

  mutating func uint16(_ value: UInt16) {
    bytes.append(UInt8(truncatingIfNeeded: value >> 8))
    bytes.append(UInt8(truncatingIfNeeded: value))
  }

  mutating func uint32(_ value: UInt32) {
    uint16(UInt16(truncatingIfNeeded: value >> 16))
    uint16(UInt16(truncatingIfNeeded: value))
  }

  mutating func raw(_ other: [UInt8]) { bytes += other }

  mutating func setUInt16(_ value: UInt16, at offset: Int) {
    bytes[offset] = UInt8(truncatingIfNeeded: value >> 8)
    bytes[offset + 1] = UInt8(truncatingIfNeeded: value)
  }

  /// Notes where the parts of an uncompressed name that has been written stand, for pointers to them.
  mutating func note(_ name: DNSName, at offset: Int) {
    var offset = offset
    for index in name.labels.indices where offset < bytes.count {
      if offsets[name.labels[index...]] == nil { offsets[name.labels[index...]] = offset }
      // The length as written: in `name`, bytes that are no UTF-8 have become others.
      offset += Int(bytes[offset]) + 1
    }
  }

  mutating func name(_ name: DNSName, isCompressed: Bool = true) {
    for index in name.labels.indices {
      if isCompressed, let offset = offsets[name.labels[index...]] { return uint16(0xC000 | UInt16(offset)) }
      if bytes.count < 0x4000, offsets[name.labels[index...]] == nil { offsets[name.labels[index...]] = bytes.count }
      let label = Array(name.labels[index].utf8.prefix(63))
      bytes.append(UInt8(label.count))
      bytes += label
    }
    bytes.append(0)
  }

  /// Writes records until one has no room; returns how many were written.
  mutating func records(_ records: [DNSRecord], room: Int) -> Int {
    for (index, record) in records.enumerated() {
      let mark = bytes.count
      self.record(record)
      guard bytes.count > room else { continue }
      bytes.removeSubrange(mark...)
      // Nothing may point to what is gone.
      offsets = offsets.filter { $0.value < mark }
      return index
    }
    return records.count
  }

  mutating func record(_ record: DNSRecord) {
    name(record.name)
    uint16(record.type)
    uint16(1)
    uint32(record.ttl)
    let lengthAt = bytes.count
    uint16(0)
    switch record.data {
    case .address(let address): bytes += address.bytes
    case .cname(let target), .ptr(let target): name(target)
    case .srv(let priority, let weight, let port, let target):
      uint16(priority)
      uint16(weight)
      uint16(port)
      // RFC 2782: never compressed.
      name(target, isCompressed: false)
    case .txt(let text):
      let part = Array(text.utf8.prefix(255))
      bytes.append(UInt8(part.count))
      bytes += part
    case .soa(let primary, let contact, let serial, let negativeTTL):
      name(primary)
      name(contact)
      for value in [serial, 7200, 1800, 86400, negativeTTL] { uint32(value) }
    }
    setUInt16(UInt16(truncatingIfNeeded: bytes.count - lengthAt - 2), at: lengthAt)
  }
}

/// What we answer.
struct DNSAnswer: Sendable, Equatable {
  var code: UInt8 = DNSCode.noError
  var isAuthoritative = true
  var answers: [DNSRecord] = []
  var authorities: [DNSRecord] = []
  var additionals: [DNSRecord] = []

  /// The message, in `sizeMax` bytes. When not all answers have room, it holds as many as do and says so (TC): who can
  /// asks again by TCP, and who cannot has some. Additional records are a help, and go without a word.
  func message(for query: DNSQuery, sizeMax: Int) -> [UInt8] {
    let room = sizeMax - (query.payloadSize == nil ? 0 : DNSAnswer.optionsSize)
    var writer = DNSWriter()
    for value in [query.id, 0, 1, 0, 0, 0] { writer.uint16(value) }
    writer.raw(query.questionBytes)
    writer.note(query.question.name, at: 12)
    let answered = writer.records(answers, room: room)
    var isTruncated = answered < answers.count
    var named = 0
    var added = 0
    if !isTruncated {
      named = writer.records(authorities, room: room)
      isTruncated = named < authorities.count
      if !isTruncated { added = writer.records(additionals, room: room) }
    }
    if query.payloadSize != nil {
      writer.uint8(0)
      writer.uint16(DNSType.opt)
      writer.uint16(1232)
      // BADVERS has its upper bits here.
      writer.uint32(query.ednsVersion > 0 ? 1 << 24 : 0)
      writer.uint16(0)
      added += 1
    }
    writer.setUInt16(flags(for: query, isTruncated: isTruncated), at: 2)
    for (index, count) in [answered, named, added].enumerated() {
      writer.setUInt16(UInt16(truncatingIfNeeded: count), at: 6 + 2 * index)
    }
    return writer.bytes
  }

  /// Of an OPT record without options.
  private static let optionsSize = 11

  private func flags(for query: DNSQuery, isTruncated: Bool) -> UInt16 {
    var flags: UInt16 = 0x8000 | UInt16(query.opcode) << 11 | 0x0080 | UInt16(code & 0xF)
    if isAuthoritative { flags |= 0x0400 }
    if isTruncated { flags |= 0x0200 }
    if query.recursionDesired { flags |= 0x0100 }
    if query.checkingDisabled { flags |= 0x0010 }
    return flags
  }

  /// An answer to a message that could not be read beyond its header; `nil` when even that is too short, or it is a
  /// response (answering those could go on for ever).
  static func formatError(for bytes: [UInt8]) -> [UInt8]? {
    guard bytes.count >= 12, bytes[2] & 0x80 == 0 else { return nil }
    return [bytes[0], bytes[1], 0x80 | bytes[2] & 0x79, 0x80 | DNSCode.formatError] + [UInt8](repeating: 0, count: 8)
  }
}
