import Glibc
import Synchronization

/// The system's random numbers, taken many at a time: one system call for each would be a good part of what an identifier
/// costs. No number is given twice.
struct BufferedRandomNumbers: RandomNumberGenerator, Sendable {
  /// 256 bytes: as much as getentropy(3) gives at once.
  static let count = 32

  private let fill: @Sendable (inout [UInt64]) -> Void
  private var numbers = [UInt64](repeating: 0, count: Self.count)
  /// Of the numbers that were not given yet.
  private var left = 0

  /// - Parameter fill: sets all numbers of the array, without changing their count.
  init(fill: @escaping @Sendable (inout [UInt64]) -> Void = Self.fillFromSystem) { self.fill = fill }

  mutating func next() -> UInt64 {
    if left == 0 {
      fill(&numbers)
      precondition(numbers.count == Self.count, "a source of random numbers sets those that there are")
      left = Self.count
    }
    left -= 1
    return numbers[left]
  }

  private static let fillFromSystem: @Sendable (inout [UInt64]) -> Void = { numbers in
    numbers.withUnsafeMutableBytes { bytes in
      // It can only fail by a mistake of ours, and what is left of earlier numbers must not be given again.
      precondition(getentropy(bytes.baseAddress, bytes.count) == 0, "getentropy(3) gives up to 256 bytes")
    }
  }
}

/// Random identifiers: UIDs and the suffixes of generated names. Tests hand in a seeded generator.
final class IdentifierSource: Sendable {
  private let generator: Mutex<any RandomNumberGenerator & Sendable>

  init(_ generator: any RandomNumberGenerator & Sendable = BufferedRandomNumbers()) {
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
    // One number is enough for all five.
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
