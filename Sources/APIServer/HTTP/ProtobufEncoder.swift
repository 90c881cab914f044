import Glibc
import Protobuf
import Schema
import Wire

/// Writes stored objects, which are JSON, as protobuf: the other direction of `ProtobufBody`.
///
/// One walk over the text, into one buffer. Members that are absent or null are not written: who reads proto2 makes the same
/// of a field that is not there as of its zero. A member that the declaration does not have is left out, as upstream leaves
/// out what its types do not have.
struct ProtobufEncoder {
  static let mediaType = "application/vnd.kubernetes.protobuf"
  /// Of messages; JSON nests no deeper either.
  private static let depthMax = 512

  /// What is told of an object.
  enum Extent: Sendable {
    case object
    /// As `PartialObjectMetadata`.
    case metadata
  }

  private let json: UnsafeBufferPointer<UInt8>
  private let layout: ProtobufLayout
  /// What follows the last field that is wanted is not looked at.
  private let isPartial: Bool
  private var at = 0
  private var depth = 0
  private var writer: ProtobufWriter

  // MARK: Whole objects

  /// The object in its envelope: `6b 38 73 00`, then `runtime.Unknown`.
  ///
  /// - Parameter json: a well-formed text.
  /// - Throws: when it is not an object of the kind.
  static func envelope(
    _ json: [UInt8], _ layout: ProtobufLayout, _ extent: Extent = .object
  ) throws(ProtobufError) -> [UInt8] {
    try encode(json, layout, extent, after: head(layout, extent, isList: false), before: tail)
  }

  /// The object as an item of a list, without what says its kind.
  static func item(
    _ json: [UInt8], _ layout: ProtobufLayout, _ extent: Extent
  ) throws(ProtobufError) -> [UInt8] {
    try encode(json, layout, extent, after: [], before: [])
  }

  /// The object as field 2, which it is of its envelope as well as of a list.
  private static func encode(
    _ json: [UInt8], _ layout: ProtobufLayout, _ extent: Extent, after head: [UInt8], before tail: [UInt8]
  ) throws(ProtobufError) -> [UInt8] {
    try json.withUnsafeBufferPointer { json throws(ProtobufError) in
      var encoder = ProtobufEncoder(
        isPartial: extent == .metadata,
        json: json, layout: layout, writer: ProtobufWriter(after: head, capacity: json.count))
      let start = encoder.writer.open(2)
      encoder.skipSpace()
      try encoder.message(extent == .object ? layout.messages[0] : layout.metadata)
      encoder.skipSpace()
      guard encoder.at == json.count || extent == .metadata else { throw encoder.failure("something follows it") }
      encoder.writer.close(start)
      encoder.writer.append(tail)
      return encoder.writer.bytes
    }
  }

  /// What comes before the message of an object, or of a list of them: the magic, and `typeMeta`.
  static func head(_ layout: ProtobufLayout, _ extent: Extent, isList: Bool) -> [UInt8] {
    let kind =
      switch (extent, isList) {
      case (.object, false): layout.kind.kind
      case (.object, true): layout.kind.listKind
      case (.metadata, false): "PartialObjectMetadata"
      case (.metadata, true): "PartialObjectMetadataList"
      }
    let version = extent == .object ? layout.apiVersion : "meta.k8s.io/v1"
    var writer = ProtobufWriter(after: ProtobufBody.magic, capacity: 64)
    let start = writer.open(1)
    writer.bytes(1, version.utf8)
    writer.bytes(2, kind.utf8)
    writer.close(start)
    return writer.bytes
  }

  /// What comes after it: `contentEncoding` and `contentType`, which are empty.
  static let tail: [UInt8] = [0x1A, 0, 0x22, 0]

  private init(
    isPartial: Bool, json: UnsafeBufferPointer<UInt8>, layout: ProtobufLayout, writer: ProtobufWriter
  ) {
    self.isPartial = isPartial
    self.json = json
    self.layout = layout
    self.writer = writer
  }

  // MARK: Messages

  private mutating func message(_ fields: [ProtobufLayout.Field]) throws(ProtobufError) {
    depth += 1
    guard depth <= Self.depthMax else { throw failure("it nests deeper than \(Self.depthMax) messages") }
    // Members are mostly in the order of the declaration.
    var next = 0
    var more = try enter(UInt8(ascii: "{"), UInt8(ascii: "}"))
    while more {
      let name = try stringRange().range
      try expect(UInt8(ascii: ":"))
      if let index = index(of: name, in: fields, from: next) {
        next = index + 1
        try field(fields[index])
        if isPartial, depth == 1 { break }
      } else {
        try skipValue()
      }
      more = try goesOn(UInt8(ascii: "}"))
    }
    depth -= 1
  }

  private func index(of name: Range<Int>, in fields: [ProtobufLayout.Field], from start: Int) -> Int? {
    for step in 0..<fields.count {
      let index = start + step < fields.count ? start + step : start + step - fields.count
      if isEqual(name, fields[index].name) { return index }
    }
    return nil
  }

  private func isEqual(_ range: Range<Int>, _ name: [UInt8]) -> Bool {
    guard name.count == range.count, let start = json.baseAddress else { return false }
    return name.withUnsafeBytes { name in
      name.baseAddress.map { memcmp($0, start + range.lowerBound, range.count) == 0 } ?? true
    }
  }

  private mutating func field(_ field: ProtobufLayout.Field) throws(ProtobufError) {
    if try skipNull() { return }
    // Each member of an embedded message has the message around it: whoever reads them puts them together.
    let starts = field.embedding.map { writer.open($0) }
    switch field.coding {
    case .list(let element):
      var more = try enter(UInt8(ascii: "["), UInt8(ascii: "]"))
      while more {
        try value(element, field.number)
        more = try goesOn(UInt8(ascii: "]"))
      }
    case .map(let element):
      var more = try enter(UInt8(ascii: "{"), UInt8(ascii: "}"))
      while more {
        let start = writer.open(field.number)
        try string(1)
        try expect(UInt8(ascii: ":"))
        try value(element, 2)
        writer.close(start)
        more = try goesOn(UInt8(ascii: "}"))
      }
    case let coding: try value(coding, field.number)
    }
    for start in starts.reversed() { writer.close(start) }
  }

  private mutating func value(_ coding: ProtobufLayout.Coding, _ number: Int) throws(ProtobufError) {
    switch coding {
    case .string: try string(number)
    case .bytes:
      guard let bytes = Base64.decode(try text()) else { throw failure("bytes are not Base64") }
      writer.bytes(number, bytes)
    case .bool: writer.number(number, try bool() ? 1 : 0)
    case .int32:
      guard let value = Int32(exactly: try integer()) else { throw failure("a number does not fit into 32 bits") }
      writer.number(number, UInt64(bitPattern: Int64(value)))
    case .int64: writer.number(number, UInt64(bitPattern: try integer()))
    case .double:
      guard let value = Double(try literal()) else { throw failure("a number is none") }
      writer.double(number, value)
    case .message(let index):
      let start = writer.open(number)
      try message(layout.messages[index])
      writer.close(start)
    case .quantity, .intOrString, .time, .duration, .raw, .list, .map:
      let start = writer.open(number)
      try wrapped(coding)
      writer.close(start)
    }
  }

  /// The fields of a value that is one thing in JSON and a message in protobuf.
  private mutating func wrapped(_ coding: ProtobufLayout.Coding) throws(ProtobufError) {
    switch coding {
    case .quantity:
      if isString { try string(1) } else { writer.bytes(1, try literal().utf8) }
    case .intOrString:
      if isString {
        writer.number(1, 1)
        try string(3)
      } else {
        guard let value = Int32(exactly: try integer()) else { throw failure("a number does not fit into 32 bits") }
        writer.number(2, UInt64(bitPattern: Int64(value)))
      }
    case .time:
      if try skipNull() { return }
      // One that an earlier version has let in, and nobody can read, is no time: whole lists must not fail for it.
      guard let time = Timestamp(rfc3339: try text()) else { return }
      var (seconds, rest) = time.microseconds.quotientAndRemainder(dividingBy: 1_000_000)
      if rest < 0 { (seconds, rest) = (seconds - 1, rest + 1_000_000) }
      writer.number(1, UInt64(bitPattern: seconds))
      writer.number(2, UInt64(rest * 1000))
    case .duration:
      let text = try text()
      guard let duration = GoDuration.parse(text) else { throw failure("\"\(text)\" is no duration") }
      let (seconds, attoseconds) = duration.components
      let (whole, isLong) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
      let (nanoseconds, isLonger) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
      guard !isLong, !isLonger else { throw failure("\"\(text)\" is too long") }
      writer.number(1, UInt64(bitPattern: nanoseconds))
    case .raw: writer.bytes(1, piece(try valueRange()))
    case .list(let element):
      // A list where a value has to be a message (`ExtraValue`).
      var more = try enter(UInt8(ascii: "["), UInt8(ascii: "]"))
      while more {
        try value(element, 1)
        more = try goesOn(UInt8(ascii: "]"))
      }
    case .map, .string, .bytes, .bool, .int32, .int64, .double, .message:
      throw failure("a map stands where a value belongs")
    }
  }

  private mutating func string(_ number: Int) throws(ProtobufError) {
    let (range, isPlain) = try stringRange()
    if isPlain { return writer.bytes(number, piece(range)) }
    let start = writer.open(number)
    try unescape(range)
    writer.close(start)
  }

  // MARK: The text

  private func failure(_ reason: String) -> ProtobufError { ProtobufError("byte \(at) of the object: \(reason)") }

  private func piece(_ range: Range<Int>) -> UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(rebasing: json[range]) }

  private mutating func skipSpace() {
    while at < json.count, json[at] == 0x20 || json[at] == 0x0A || json[at] == 0x0D || json[at] == 0x09 { at += 1 }
  }

  private mutating func expect(_ byte: UInt8) throws(ProtobufError) {
    skipSpace()
    guard at < json.count, json[at] == byte else {
      throw failure("'\(Character(UnicodeScalar(byte)))' is missing")
    }
    at += 1
    skipSpace()
  }

  private mutating func skip(_ byte: UInt8) -> Bool {
    skipSpace()
    guard at < json.count, json[at] == byte else { return false }
    at += 1
    return true
  }

  /// - Returns: whether there is something before the end.
  private mutating func enter(_ begin: UInt8, _ end: UInt8) throws(ProtobufError) -> Bool {
    try expect(begin)
    return !skip(end)
  }

  /// After an element: whether another one follows.
  private mutating func goesOn(_ end: UInt8) throws(ProtobufError) -> Bool {
    if skip(end) { return false }
    try expect(UInt8(ascii: ","))
    return true
  }

  private var isString: Bool { at < json.count && json[at] == UInt8(ascii: "\"") }

  private mutating func skipNull() throws(ProtobufError) -> Bool {
    guard at < json.count, json[at] == UInt8(ascii: "n") else { return false }
    guard try literal() == "null" else { throw failure("a literal is none") }
    return true
  }

  /// Behind the quotes; plain when nothing is escaped.
  private mutating func stringRange() throws(ProtobufError) -> (range: Range<Int>, isPlain: Bool) {
    guard isString else { throw failure("a string is missing") }
    at += 1
    let start = at
    var isPlain = true
    while at < json.count, json[at] != UInt8(ascii: "\"") {
      if json[at] == UInt8(ascii: "\\") {
        isPlain = false
        at += 1
      }
      at += 1
    }
    guard at < json.count else { throw failure("a string does not end") }
    at += 1
    return (start..<at - 1, isPlain)
  }

  private mutating func text() throws(ProtobufError) -> String {
    let (range, isPlain) = try stringRange()
    if isPlain { return String(decoding: json[range], as: UTF8.self) }
    let outer = writer
    writer = ProtobufWriter()
    try unescape(range)
    defer { writer = outer }
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  /// Writes what stands between quotes.
  private mutating func unescape(_ range: Range<Int>) throws(ProtobufError) {
    var index = range.lowerBound
    while index < range.upperBound {
      let plain = index
      while index < range.upperBound, json[index] != UInt8(ascii: "\\") { index += 1 }
      writer.append(piece(plain..<index))
      guard index + 1 < range.upperBound else { break }
      let escaped = json[index + 1]
      index += 2
      switch escaped {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): writer.append(byte: escaped)
      case UInt8(ascii: "b"): writer.append(byte: 0x08)
      case UInt8(ascii: "f"): writer.append(byte: 0x0C)
      case UInt8(ascii: "n"): writer.append(byte: 0x0A)
      case UInt8(ascii: "r"): writer.append(byte: 0x0D)
      case UInt8(ascii: "t"): writer.append(byte: 0x09)
      case UInt8(ascii: "u"):
        var unit = try codeUnit(&index, range.upperBound)
        if 0xD800..<0xDC00 ~= unit, index + 1 < range.upperBound, json[index] == UInt8(ascii: "\\") {
          index += 2
          let low = try codeUnit(&index, range.upperBound)
          guard 0xDC00..<0xE000 ~= low else { throw failure("a string has half of a character") }
          unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = UnicodeScalar(unit) else { throw failure("a string has half of a character") }
        writer.append(Array(String(Character(scalar)).utf8))
      default: throw failure("a string has an escape that is none")
      }
    }
  }

  private func codeUnit(_ index: inout Int, _ end: Int) throws(ProtobufError) -> UInt32 {
    guard index + 4 <= end,
      let unit = UInt32(String(decoding: json[index..<index + 4], as: UTF8.self), radix: 16)
    else { throw failure("a string has an escape that is none") }
    index += 4
    return unit
  }

  private mutating func bool() throws(ProtobufError) -> Bool {
    switch try literal() {
    case "true": return true
    case "false": return false
    default: throw failure("a boolean is none")
    }
  }

  private mutating func integer() throws(ProtobufError) -> Int64 {
    let text = try literal()
    guard let value = Int64(text) ?? Double(text).flatMap({ Int64(exactly: $0) }) else {
      throw failure("a whole number is none")
    }
    return value
  }

  /// A number, or a word.
  private mutating func literal() throws(ProtobufError) -> String {
    let start = at
    while at < json.count {
      switch json[at] {
      case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x0A, 0x0D, 0x09: break
      case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "\""): throw failure("a value has another type")
      default:
        at += 1
        continue
      }
      break
    }
    guard at > start else { throw failure("a value is missing") }
    return String(decoding: json[start..<at], as: UTF8.self)
  }

  private mutating func skipValue() throws(ProtobufError) { _ = try valueRange() }

  /// The text of a value of any type.
  private mutating func valueRange() throws(ProtobufError) -> Range<Int> {
    let start = at
    var level = 0
    repeat {
      skipSpace()
      guard at < json.count else { throw failure("a value does not end") }
      switch json[at] {
      case UInt8(ascii: "\""): _ = try stringRange()
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        level += 1
        at += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        guard level > 0 else { throw failure("a value is missing") }
        level -= 1
        at += 1
      case UInt8(ascii: ","), UInt8(ascii: ":"):
        guard level > 0 else { throw failure("a value is missing") }
        at += 1
      default: _ = try literal()
      }
    } while level > 0
    return start..<at
  }
}
