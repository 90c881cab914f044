extension JSON {
  /// One field of a text that is known to be well-formed, without decoding it: decoding a pod for one string costs twenty
  /// times as much.
  ///
  /// - Returns: a string's text, a number's or boolean's literal; `nil` when it is missing, null, an array or an object,
  ///   or when the text is malformed on the way to it.
  public static func scalar(at path: [String], of bytes: [UInt8]) -> String? {
    bytes.withUnsafeBufferPointer { bytes in
      var scanner = JSONFieldScanner(bytes)
      for key in path where !scanner.enter(key) { return nil }
      return scanner.scalar()
    }
  }

  /// The value of one field of a text that is known to be well-formed; the rest of the text is not decoded.
  ///
  /// - Returns: `nil` when it is missing, or when the text is malformed on the way to it or in it.
  public static func value(at path: [String], of bytes: [UInt8]) -> JSON? {
    let value: [UInt8]? = bytes.withUnsafeBufferPointer { bytes in
      var scanner = JSONFieldScanner(bytes)
      for key in path where !scanner.enter(key) { return nil }
      return scanner.value()
    }
    return value.flatMap { try? JSON.parse($0) }
  }
}

/// Every look at a byte is behind one at the end: the compiler does not check again.
private struct JSONFieldScanner {
  private let bytes: UnsafeBufferPointer<UInt8>
  private var at = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  private mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 { at += 1 }
  }

  /// Moves to the value of `key` in the object that starts here.
  mutating func enter(_ key: String) -> Bool {
    skipSpace()
    guard at < bytes.count, bytes[at] == UInt8(ascii: "{") else { return false }
    at += 1
    while true {
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { return false }
      let start = at + 1
      skipString()
      let matches = at - 1 >= start && isEqual(key, start..<at - 1)
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { return false }
      at += 1
      skipSpace()
      if matches { return true }
      skipValue()
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: ",") else { return false }
      at += 1
    }
  }

  private func isEqual(_ key: String, _ range: Range<Int>) -> Bool {
    let utf8 = key.utf8
    guard utf8.count == range.count else { return false }
    var index = range.lowerBound
    for byte in utf8 {
      if bytes[index] != byte { return false }
      index += 1
    }
    return true
  }

  private mutating func skipString() {
    at += 1
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\\"): at += 2
      case UInt8(ascii: "\""):
        at += 1
        return
      default: at += 1
      }
    }
  }

  private mutating func skipValue() {
    guard at < bytes.count else { return }
    switch bytes[at] {
    case UInt8(ascii: "\""): skipString()
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      var depth = 0
      while at < bytes.count {
        switch bytes[at] {
        case UInt8(ascii: "\""):
          skipString()
          continue
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        default: break
        }
        at += 1
        if depth == 0 { return }
      }
    default:
      while at < bytes.count {
        switch bytes[at] {
        case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x0A, 0x0D, 0x09: return
        default: at += 1
        }
      }
    }
  }

  mutating func value() -> [UInt8]? {
    let start = at
    skipValue()
    return at <= bytes.count ? Array(bytes[start..<at]) : nil
  }

  mutating func scalar() -> String? {
    guard at < bytes.count else { return nil }
    let start = at
    switch bytes[at] {
    case UInt8(ascii: "{"), UInt8(ascii: "["): return nil
    case UInt8(ascii: "\""):
      skipString()
      guard at <= bytes.count, at - start >= 2 else { return nil }
      let text = bytes[start..<at]
      if text.contains(UInt8(ascii: "\\")) { return (try? JSON.parse(Array(text)))?.string }
      return String(decoding: text.dropFirst().dropLast(), as: UTF8.self)
    default:
      skipValue()
      let text = String(decoding: bytes[start..<at], as: UTF8.self)
      return text == "null" || text.isEmpty ? nil : text
    }
  }
}
