/// Base64 (RFC 4648, sections 4 and 5).
public enum Base64 {
  /// With padding, or for `urlSafe` without it and with `-` and `_`, as JSON Web Tokens write it.
  public static func encode(_ bytes: [UInt8], urlSafe: Bool = false) -> String {
    let alphabet = urlSafe ? urlAlphabet : standardAlphabet
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    var index = 0
    while index < bytes.count {
      let left = bytes.count - index
      let group =
        UInt32(bytes[index]) << 16 | (left > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
        | (left > 2 ? UInt32(bytes[index + 2]) : 0)
      text.append(alphabet[Int(group >> 18)])
      text.append(alphabet[Int(group >> 12 & 63)])
      if left > 1 {
        text.append(alphabet[Int(group >> 6 & 63)])
      } else if !urlSafe {
        text.append(UInt8(ascii: "="))
      }
      if left > 2 {
        text.append(alphabet[Int(group & 63)])
      } else if !urlSafe {
        text.append(UInt8(ascii: "="))
      }
      index += 3
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// The bytes, or `nil` for anything that is not exactly one encoding: foreign characters, wrong padding, or bits set
  /// behind the last byte. Line breaks are skipped in the standard form, as Go's decoder does.
  public static func decode(_ text: String, urlSafe: Bool = false) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count / 4 * 3)
    var group: UInt32 = 0
    var digits = 0
    var padding = 0
    for character in text.utf8 {
      if !urlSafe, character == 0x0A || character == 0x0D { continue }
      if character == UInt8(ascii: "="), !urlSafe {
        padding += 1
        continue
      }
      guard padding == 0, let value = value(of: character, urlSafe: urlSafe) else { return nil }
      group = group << 6 | UInt32(value)
      digits += 1
      if digits == 4 {
        bytes.append(UInt8(group >> 16))
        bytes.append(UInt8(group >> 8 & 255))
        bytes.append(UInt8(group & 255))
        group = 0
        digits = 0
      }
    }
    if !urlSafe, padding != (4 - digits) % 4 { return nil }
    switch digits {
    case 0: return bytes
    case 2:
      guard group & 15 == 0 else { return nil }
      return bytes + [UInt8(group >> 4)]
    case 3:
      guard group & 3 == 0 else { return nil }
      return bytes + [UInt8(group >> 10), UInt8(group >> 2 & 255)]
    default: return nil
    }
  }

  private static let standardAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let urlAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  private static func value(of character: UInt8, urlSafe: Bool) -> UInt8? {
    switch character {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - 65
    case UInt8(ascii: "a")...UInt8(ascii: "z"): character - 71
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character + 4
    case UInt8(ascii: "+") where !urlSafe, UInt8(ascii: "-") where urlSafe: 62
    case UInt8(ascii: "/") where !urlSafe, UInt8(ascii: "_") where urlSafe: 63
    default: nil
    }
  }
}
