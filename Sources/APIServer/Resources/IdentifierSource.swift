import Synchronization

/// Random identifiers: UIDs and the suffixes of generated names. Tests hand in a seeded generator.
final class IdentifierSource: Sendable {
  private let generator: Mutex<any RandomNumberGenerator & Sendable>

  init(_ generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()) {
    self.generator = Mutex(generator)
  }

  /// A version 4 UUID (RFC 9562, section 5.4) in lower case.
  func uid() -> String {
    var bytes = [UInt8](repeating: 0, count: 16)
    generator.withLock { generator in
      let (high, low) = (generator.next(), generator.next())
      for index in 0..<8 {
        bytes[index] = UInt8(truncatingIfNeeded: high >> (8 * UInt64(index)))
        bytes[8 + index] = UInt8(truncatingIfNeeded: low >> (8 * UInt64(index)))
      }
    }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    var text: [UInt8] = []
    text.reserveCapacity(36)
    for (index, byte) in bytes.enumerated() {
      if index == 4 || index == 6 || index == 8 || index == 10 { text.append(UInt8(ascii: "-")) }
      text.append(Self.hexadecimal[Int(byte >> 4)])
      text.append(Self.hexadecimal[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Five characters without vowels and without digits that look like letters (`k8s.io/apimachinery/pkg/util/rand`).
  func suffix() -> String {
    var text: [UInt8] = []
    // One number for all five: each is a system call.
    var number = generator.withLock { $0.next() }
    for _ in 0..<5 {
      let (rest, place) = number.quotientAndRemainder(dividingBy: UInt64(Self.alphabet.count))
      text.append(Self.alphabet[Int(place)])
      number = rest
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// An unpredictable number below `limit`.
  func number(below limit: Int) -> Int {
    generator.withLock { Int($0.next() % UInt64(limit)) }
  }

  private static let hexadecimal = Array("0123456789abcdef".utf8)
  private static let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)
}
