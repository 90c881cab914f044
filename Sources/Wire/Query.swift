/// The query of a URL or a form body: names and values in order, percent-decoded, `+` read as a space
/// (`application/x-www-form-urlencoded`).
public struct Query: Sendable, Equatable {
  public struct Item: Sendable, Equatable {
    public var name: String
    public var value: String
  }

  public private(set) var items: [Item] = []

  /// More parameters than this no client has a reason to send; what follows is left out.
  public static let itemsMax = 256

  public init() {}

  /// - Parameter text: what follows the `?`. Never fails: what is malformed is taken as it stands.
  public init(_ text: Substring) {
    guard !text.isEmpty else { return }
    for pair in text.utf8.split(separator: UInt8(ascii: "&")).prefix(Self.itemsMax) {
      let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
        .map { Self.percentDecoded(Substring($0), plusIsSpace: true) }
      items.append(Item(name: parts[0], value: parts.count > 1 ? parts[1] : ""))
    }
  }

  /// The first value of `name`.
  public subscript(name: String) -> String? { items.first { $0.name == name }?.value }

  /// Every value of `name`, in order.
  public func all(_ name: String) -> [String] { items.filter { $0.name == name }.map(\.value) }

  /// A Go boolean as `strconv.ParseBool` reads it; an empty value counts as true, as in `?watch`.
  public func flag(_ name: String) -> Bool {
    guard let value = self[name] else { return false }
    return !["0", "f", "F", "false", "FALSE", "False"].contains(value)
  }

  /// `nil` when there is none, or when it is no decimal number.
  public func int(_ name: String) -> Int64? { self[name].flatMap { Int64($0) } }

  /// Decodes `%XX`; a `%` that no two hexadecimal digits follow stays as it is. Invalid UTF-8 is repaired.
  public static func percentDecoded(_ text: Substring, plusIsSpace: Bool = false) -> String {
    guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || (plusIsSpace && $0 == UInt8(ascii: "+")) }) else {
      return String(text)
    }
    let bytes = Array(text.utf8)
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

  /// Encodes everything but unreserved characters (RFC 3986, section 2.3).
  public static func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var encoded: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        encoded.append(byte)
      default:
        encoded.append(UInt8(ascii: "%"))
        encoded.append(digits[Int(byte >> 4)])
        encoded.append(digits[Int(byte & 15)])
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }

  private static func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }
}
