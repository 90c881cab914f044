/// Why bytes are not JSON, and where.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  public var message: String
  /// The offset in bytes at which the parser stopped.
  public var offset: Int
  /// The line, from 1.
  public var line: Int

  public var description: String { "\(message) (line \(line), byte \(offset))" }
}

extension JSON {
  /// Parses one JSON text (RFC 8259). Trailing bytes other than white space, repeated keys, lone surrogates, invalid
  /// UTF-8, and nesting deeper than `depthMax` are errors.
  ///
  /// - Parameter duplicates: when given, a repeated key is noted here (as a path such as `spec.replicas`) and the last
  ///   one wins, which is what `fieldValidation=Warn` and `Ignore` need.
  public static func parse(_ bytes: [UInt8], depthMax: Int = 512, duplicates: inout [String]) throws(JSONError) -> JSON
  {
    do {
      return try parse(bytes, depthMax: depthMax)
    } catch {
      // Keeping the path costs much and is for the few texts that repeat a key. Others fail again in the same way.
      var parser = JSONParser(bytes: bytes, depthMax: depthMax, keepingDuplicates: true)
      let value = try parser.parseDocument()
      duplicates = parser.duplicates
      return value
    }
  }

  /// Parses one JSON text (RFC 8259); a repeated key is an error.
  public static func parse(_ bytes: [UInt8], depthMax: Int = 512) throws(JSONError) -> JSON {
    var parser = JSONParser(bytes: bytes, depthMax: depthMax, keepingDuplicates: false)
    return try parser.parseDocument()
  }

  /// Parses one member of an object and nothing behind it: the header of a large object for the cost of its front.
  /// `nil` when the member is missing.
  public static func parse(member key: String, of bytes: [UInt8], depthMax: Int = 512) throws(JSONError) -> JSON? {
    var parser = JSONParser(bytes: bytes, depthMax: depthMax, keepingDuplicates: false)
    return try parser.parseMember(key)
  }

  public static func parse(_ text: String, depthMax: Int = 512) throws(JSONError) -> JSON {
    try parse(Array(text.utf8), depthMax: depthMax)
  }
}

/// A recursive-descent parser.
private struct JSONParser {
  /// How many repeated keys are noted; one is enough to refuse a text.
  static let duplicatesMax = 64

  let bytes: [UInt8]
  let depthMax: Int
  let keepingDuplicates: Bool
  var at = 0
  var depth = 0
  var path: [String] = []
  var duplicates: [String] = []

  init(bytes: [UInt8], depthMax: Int, keepingDuplicates: Bool) {
    self.bytes = bytes
    self.depthMax = depthMax
    self.keepingDuplicates = keepingDuplicates
  }

  func failure(_ message: String, at offset: Int? = nil) -> JSONError {
    let offset = offset ?? at
    var line = 1
    for index in 0..<min(offset, bytes.count) where bytes[index] == UInt8(ascii: "\n") { line += 1 }
    return JSONError(message: message, offset: offset, line: line)
  }

  mutating func parseDocument() throws(JSONError) -> JSON {
    skipSpace()
    let value = try parseValue()
    skipSpace()
    if at < bytes.count { throw failure("unexpected data after the JSON value") }
    return value
  }

  @inline(__always)
  mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x0A, 0x0D, 0x09: at += 1
      default: return
      }
    }
  }

  mutating func parseValue() throws(JSONError) -> JSON {
    guard at < bytes.count else { throw failure("unexpected end of JSON input") }
    switch bytes[at] {
    case UInt8(ascii: "{"): return try parseObject()
    case UInt8(ascii: "["): return try parseArray()
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "t"):
      try expect("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try expect("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try expect("null")
      return .null
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
    default: throw failure("unexpected character \(printable(bytes[at])), expected a JSON value")
    }
  }

  func printable(_ byte: UInt8) -> String {
    byte >= 0x20 && byte < 0x7F ? "'\(Character(UnicodeScalar(byte)))'" : "0x" + String(byte, radix: 16)
  }

  mutating func expect(_ word: StaticString) throws(JSONError) {
    let count = word.utf8CodeUnitCount
    guard at + count <= bytes.count else { throw failure("unexpected end of JSON input") }
    for index in 0..<count where bytes[at + index] != word.utf8Start[index] {
      throw failure("unexpected character \(printable(bytes[at + index])) in the literal \(word)", at: at + index)
    }
    at += count
  }

  mutating func enter() throws(JSONError) {
    depth += 1
    if depth > depthMax { throw failure("nesting deeper than \(depthMax) levels") }
    at += 1
    skipSpace()
  }

  mutating func parseMember(_ wanted: String) throws(JSONError) -> JSON? {
    skipSpace()
    guard at < bytes.count, bytes[at] == UInt8(ascii: "{") else { throw failure("expected an object") }
    try enter()
    while at < bytes.count, bytes[at] == UInt8(ascii: "\"") {
      let key = try parseString()
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else {
        throw failure("expected ':' after the key \"\(key)\"")
      }
      at += 1
      skipSpace()
      let value = try parseValue()
      if key == wanted { return value }
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: ",") else { break }
      at += 1
      skipSpace()
    }
    guard at < bytes.count, bytes[at] == UInt8(ascii: "}") else { throw failure("malformed object") }
    return nil
  }

  mutating func parseObject() throws(JSONError) -> JSON {
    try enter()
    defer { depth -= 1 }
    var members: [JSONObject.Member] = []
    // Comparing with every earlier key is quadratic; past a handful of members a dictionary takes over.
    var seen: [String: Int]?
    if at < bytes.count, bytes[at] == UInt8(ascii: "}") {
      at += 1
      return .object(JSONObject())
    }
    members.reserveCapacity(6)
    while true {
      guard at < bytes.count else { throw failure("unexpected end of JSON input in an object") }
      guard bytes[at] == UInt8(ascii: "\"") else {
        throw failure("unexpected character \(printable(bytes[at])), expected a key in double quotes")
      }
      let keyOffset = at
      let key = try parseString()
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else {
        throw failure("expected ':' after the key \"\(key)\"")
      }
      at += 1
      skipSpace()
      if keepingDuplicates { path.append(key) }
      let value = try parseValue()
      if keepingDuplicates { path.removeLast() }

      if members.count == 16, seen == nil {
        seen = Dictionary(members.enumerated().map { ($1.key, $0) }, uniquingKeysWith: { first, _ in first })
      }
      let earlier = seen.map { $0[key] } ?? members.firstIndex { $0.key == key }
      if let earlier {
        guard keepingDuplicates else { throw failure("duplicate key \"\(key)\"", at: keyOffset) }
        if duplicates.count < Self.duplicatesMax { duplicates.append(pathText(key)) }
        members[earlier].value = value
      } else {
        seen?[key] = members.count
        members.append((key: key, value: value))
      }

      skipSpace()
      guard at < bytes.count else { throw failure("unexpected end of JSON input in an object") }
      switch bytes[at] {
      case UInt8(ascii: ","):
        at += 1
        skipSpace()
      case UInt8(ascii: "}"):
        at += 1
        return .object(JSONObject(uniqueMembers: members))
      default: throw failure("unexpected character \(printable(bytes[at])), expected ',' or '}'")
      }
    }
  }

  /// As fields are named in messages: `spec.containers[0].image`.
  private func pathText(_ key: String) -> String {
    (path + [key]).reduce(into: "") { text, step in
      text += text.isEmpty || step.hasPrefix("[") ? step : ".\(step)"
    }
  }

  mutating func parseArray() throws(JSONError) -> JSON {
    try enter()
    defer { depth -= 1 }
    var elements: [JSON] = []
    if at < bytes.count, bytes[at] == UInt8(ascii: "]") {
      at += 1
      return .array([])
    }
    while true {
      if keepingDuplicates { path.append("[\(elements.count)]") }
      elements.append(try parseValue())
      if keepingDuplicates { path.removeLast() }
      skipSpace()
      guard at < bytes.count else { throw failure("unexpected end of JSON input in an array") }
      switch bytes[at] {
      case UInt8(ascii: ","):
        at += 1
        skipSpace()
      case UInt8(ascii: "]"):
        at += 1
        return .array(elements)
      default: throw failure("unexpected character \(printable(bytes[at])), expected ',' or ']'")
      }
    }
  }

  mutating func parseNumber() throws(JSONError) -> JSON {
    let start = at
    var isWhole = true
    if bytes[at] == UInt8(ascii: "-") { at += 1 }
    let firstDigit = at
    skipDigits()
    if at == firstDigit { throw failure("expected a digit") }
    if bytes[firstDigit] == UInt8(ascii: "0"), at - firstDigit > 1 {
      throw failure("a number must not start with 0", at: firstDigit)
    }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      isWhole = false
      at += 1
      let fraction = at
      skipDigits()
      if at == fraction { throw failure("expected a digit after '.'") }
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      isWhole = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
      let exponent = at
      skipDigits()
      if at == exponent { throw failure("expected a digit in the exponent") }
    }
    if isWhole, at - firstDigit <= 18 {
      var value: Int64 = 0
      for index in firstDigit..<at { value = value &* 10 &+ Int64(bytes[index] &- 0x30) }
      return .int(firstDigit > start ? -value : value)
    }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    if isWhole, let value = Int64(text) { return .int(value) }
    guard let value = Double(text), value.isFinite else { throw failure("number out of range", at: start) }
    return .double(value)
  }

  @inline(__always)
  mutating func skipDigits() {
    while at < bytes.count, bytes[at] &- 0x30 < 10 { at += 1 }
  }

  /// Parses a string; `at` stands on the opening quote.
  mutating func parseString() throws(JSONError) -> String {
    at += 1
    let start = at
    var seen: UInt8 = 0
    while at < bytes.count {
      let byte = bytes[at]
      if byte == UInt8(ascii: "\"") {
        let text = seen < 0x80 ? ascii(start..<at) : try string(start..<at)
        at += 1
        return text
      }
      if byte == UInt8(ascii: "\\") { return try parseEscapedString(from: start) }
      if byte < 0x20 { throw failure("control character in a string") }
      seen |= byte
      at += 1
    }
    throw failure("unexpected end of JSON input in a string")
  }

  /// Nearly all strings; they need no validation.
  func ascii(_ range: Range<Int>) -> String {
    bytes.withUnsafeBytes { bytes in
      String(unsafeUninitializedCapacity: range.count) { target in
        UnsafeMutableRawBufferPointer(target).copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range]))
        return range.count
      }
    }
  }

  func string(_ range: Range<Int>) throws(JSONError) -> String {
    guard let text = String(validating: bytes[range], as: UTF8.self) else {
      throw failure("invalid UTF-8 in a string", at: range.lowerBound)
    }
    return text
  }

  /// Goes on from the first backslash at `at`.
  mutating func parseEscapedString(from start: Int) throws(JSONError) -> String {
    var buffer: [UInt8] = []
    buffer.reserveCapacity(at - start + 32)
    for index in start..<at { buffer.append(bytes[index]) }
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: buffer, as: UTF8.self) else {
          throw failure("invalid UTF-8 in a string", at: start)
        }
        return text
      case UInt8(ascii: "\\"):
        guard at < bytes.count else { throw failure("unexpected end of JSON input in a string") }
        let escape = bytes[at]
        at += 1
        switch escape {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(escape)
        case UInt8(ascii: "b"): buffer.append(0x08)
        case UInt8(ascii: "f"): buffer.append(0x0C)
        case UInt8(ascii: "n"): buffer.append(0x0A)
        case UInt8(ascii: "r"): buffer.append(0x0D)
        case UInt8(ascii: "t"): buffer.append(0x09)
        case UInt8(ascii: "u"): buffer.append(contentsOf: Array(String(try parseUnicodeEscape()).utf8))
        default: throw failure("unknown escape \(printable(escape))", at: at - 1)
        }
      case 0..<0x20: throw failure("control character in a string", at: at - 1)
      default: buffer.append(byte)
      }
    }
    throw failure("unexpected end of JSON input in a string")
  }

  mutating func parseHex4() throws(JSONError) -> UInt32 {
    guard at + 4 <= bytes.count else { throw failure("unexpected end of JSON input in a string") }
    var value: UInt32 = 0
    for _ in 0..<4 {
      let byte = bytes[at]
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x41 + 10
      case 0x61...0x66: digit = byte - 0x61 + 10
      default: throw failure("expected four hexadecimal digits after \\u")
      }
      value = value << 4 | UInt32(digit)
      at += 1
    }
    return value
  }

  mutating func parseUnicodeEscape() throws(JSONError) -> Unicode.Scalar {
    let start = at - 2
    let first = try parseHex4()
    if let scalar = Unicode.Scalar(first) { return scalar }
    // A high surrogate must be followed by a low one (RFC 8259, section 7).
    guard first < 0xDC00, at + 2 <= bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u")
    else { throw failure("lone surrogate in a string", at: start) }
    at += 2
    let second = try parseHex4()
    guard (0xDC00...0xDFFF).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { throw failure("lone surrogate in a string", at: start) }
    return scalar
  }
}
