/// The query of a URL: names and values in order, percent-decoded, `+` read as a space
/// (`application/x-www-form-urlencoded`).
struct Query: Sendable, Equatable {
  private(set) var items: [(name: String, value: String)] = []

  init() {}

  init(_ text: Substring) {
    guard !text.isEmpty else { return }
    for pair in text.split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = percentDecoded(parts[0], plusIsSpace: true)
      items.append((name, parts.count > 1 ? percentDecoded(parts[1], plusIsSpace: true) : ""))
    }
  }

  /// The first value of `name`.
  subscript(name: String) -> String? { items.first { $0.name == name }?.value }

  func all(_ name: String) -> [String] { items.filter { $0.name == name }.map(\.value) }

  /// A Go boolean as `strconv.ParseBool` reads it; an empty value counts as true, as in `?watch`.
  func flag(_ name: String) -> Bool {
    guard let value = self[name] else { return false }
    return !["0", "f", "F", "false", "FALSE", "False"].contains(value)
  }

  func int(_ name: String) -> Int64? { self[name].flatMap { Int64($0) } }

  static func == (a: Query, b: Query) -> Bool {
    a.items.count == b.items.count && zip(a.items, b.items).allSatisfy { $0 == $1 }
  }
}

/// Decodes `%XX`; a `%` that no two hexadecimal digits follow stays as it is. Invalid UTF-8 is repaired.
func percentDecoded(_ text: Substring, plusIsSpace: Bool = false) -> String {
  let utf8 = text.utf8
  guard utf8.contains(where: { $0 == UInt8(ascii: "%") || (plusIsSpace && $0 == UInt8(ascii: "+")) }) else {
    return String(text)
  }
  let bytes = Array(utf8)
  var decoded: [UInt8] = []
  decoded.reserveCapacity(bytes.count)
  var at = 0
  while at < bytes.count {
    let byte = bytes[at]
    if byte == UInt8(ascii: "%"), at + 2 < bytes.count, let high = hexValue(bytes[at + 1]),
      let low = hexValue(bytes[at + 2])
    {
      decoded.append(high << 4 | low)
      at += 3
      continue
    }
    decoded.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
    at += 1
  }
  return String(decoding: decoded, as: UTF8.self)
}

private func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 0x30...0x39: byte - 0x30
  case 0x41...0x46: byte - 0x41 + 10
  case 0x61...0x66: byte - 0x61 + 10
  default: nil
  }
}
