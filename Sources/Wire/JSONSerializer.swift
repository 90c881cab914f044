extension JSON {
  /// The compact JSON text. Members keep their order; `/` is not escaped; `<`, `>` and `&` are written as they are.
  public func serialized() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(512)
    serialize(into: &bytes)
    return bytes
  }

  /// The compact JSON text as a string.
  public var text: String { String(decoding: serialized(), as: UTF8.self) }

  /// Appends the compact JSON text.
  public func serialize(into bytes: inout [UInt8]) {
    switch self {
    case .null: bytes.append(literal: "null")
    case .bool(let value): bytes.append(literal: value ? "true" : "false")
    case .int(let value): bytes.append(decimal: value)
    case .double(let value):
      // JSON has no infinities and no NaN; the parser never makes one.
      if value.isFinite { bytes.append(contentsOf: "\(value)".utf8) } else { bytes.append(literal: "null") }
    case .string(let value): bytes.append(jsonString: value)
    case .array(let elements):
      bytes.append(UInt8(ascii: "["))
      var isFirst = true
      for element in elements {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        isFirst = false
        element.serialize(into: &bytes)
      }
      bytes.append(UInt8(ascii: "]"))
    case .object(let object):
      bytes.append(UInt8(ascii: "{"))
      var isFirst = true
      for member in object.members {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        isFirst = false
        bytes.append(jsonString: member.key)
        bytes.append(UInt8(ascii: ":"))
        member.value.serialize(into: &bytes)
      }
      bytes.append(UInt8(ascii: "}"))
    }
  }

  /// The text with two spaces per level and a final line break, as people read it.
  public func prettyPrinted() -> String {
    var bytes: [UInt8] = []
    writePretty(into: &bytes, indent: 0)
    bytes.append(UInt8(ascii: "\n"))
    return String(decoding: bytes, as: UTF8.self)
  }

  private func writePretty(into bytes: inout [UInt8], indent: Int) {
    func newLine(_ level: Int) {
      bytes.append(UInt8(ascii: "\n"))
      bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * level))
    }
    switch self {
    case .array(let elements) where !elements.isEmpty:
      bytes.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        newLine(indent + 1)
        element.writePretty(into: &bytes, indent: indent + 1)
      }
      newLine(indent)
      bytes.append(UInt8(ascii: "]"))
    case .object(let object) where !object.isEmpty:
      bytes.append(UInt8(ascii: "{"))
      for (index, member) in object.members.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        newLine(indent + 1)
        bytes.append(jsonString: member.key)
        bytes.append(literal: ": ")
        member.value.writePretty(into: &bytes, indent: indent + 1)
      }
      newLine(indent)
      bytes.append(UInt8(ascii: "}"))
    default: serialize(into: &bytes)
    }
  }
}

extension [UInt8] {
  /// Appends the bytes of a literal.
  @inlinable
  public mutating func append(literal: StaticString) {
    append(contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
  }

  /// Appends a whole number in decimal digits.
  public mutating func append(decimal value: Int64) {
    append(contentsOf: String(value).utf8)
  }

  /// Appends a JSON string with its quotes.
  public mutating func append(jsonString text: String) {
    append(UInt8(ascii: "\""))
    var text = text
    text.withUTF8 { utf8 in
      var start = 0
      for index in 0..<utf8.count {
        let byte = utf8[index]
        guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
        append(contentsOf: UnsafeBufferPointer(rebasing: utf8[start..<index]))
        start = index + 1
        switch byte {
        case UInt8(ascii: "\""): append(literal: "\\\"")
        case UInt8(ascii: "\\"): append(literal: "\\\\")
        case 0x0A: append(literal: "\\n")
        case 0x0D: append(literal: "\\r")
        case 0x09: append(literal: "\\t")
        default:
          append(literal: "\\u00")
          append(Self.hexDigits[Int(byte >> 4)])
          append(Self.hexDigits[Int(byte & 15)])
        }
      }
      append(contentsOf: UnsafeBufferPointer(rebasing: utf8[start...]))
    }
    append(UInt8(ascii: "\""))
  }

  private static var hexDigits: [UInt8] { Array("0123456789abcdef".utf8) }
}
