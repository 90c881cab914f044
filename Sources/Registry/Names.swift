import OCI

/// The grammar of repository names and tags (OCI distribution specification 1.1, "Pulling manifests").
///
/// They are checked by hand over bytes, in one pass: they stand in every request.
enum Names {
  /// Docker's clients and the specification's regular expression allow 255 characters.
  static let repositoryBytesMax = 255
  static let tagBytesMax = 128

  /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`
  static func isRepository(_ text: some StringProtocol) -> Bool {
    let count = text.utf8.count
    guard count > 0, count <= repositoryBytesMax else { return false }
    // What stands before the current byte: nothing of a part yet, a letter or digit, or separators.
    var separator: UInt8 = 0
    var separators = 0
    var isAtStart = true
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        isAtStart = false
        separators = 0
      case UInt8(ascii: "/"):
        guard !isAtStart, separators == 0 else { return false }
        isAtStart = true
      case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        guard !isAtStart else { return false }
        if separators == 0 {
          separator = byte
        } else {
          guard byte == separator else { return false }
          if byte == UInt8(ascii: ".") || (byte == UInt8(ascii: "_") && separators == 2) { return false }
        }
        separators += 1
      default: return false
      }
    }
    return !isAtStart && separators == 0
  }

  /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
  static func isTag(_ text: some StringProtocol) -> Bool {
    var isFirst = true
    var count = 0
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
        break
      case UInt8(ascii: "."), UInt8(ascii: "-"): if isFirst { return false }
      default: return false
      }
      isFirst = false
      count += 1
    }
    return count > 0 && count <= tagBytesMax
  }

  /// The subject of a referrers tag, or the front of it: `sha256-HEX` names `sha256:HEX`, and `sha512-HEX` with the first
  /// 64 digits a longer one ("Referrers Tag Schema").
  static func subject(ofReferrersTag tag: String) -> String? {
    guard let dash = tag.firstIndex(of: "-"), let algorithm = Digest.Algorithm(rawValue: String(tag[..<dash])) else {
      return nil
    }
    let hex = tag[tag.index(after: dash)...]
    let isHex = hex.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    return isHex && hex.utf8.count == 64 ? "\(algorithm.rawValue):\(hex)" : nil
  }
}

/// A pattern over repository names or tags: `*` is any run of characters but `/`, `**` also over `/`, `?` one character
/// but `/`; everything else is itself.
public struct Glob: Sendable, Hashable, CustomStringConvertible {
  public let pattern: String
  private let bytes: [UInt8]

  public init(_ pattern: String) {
    self.pattern = pattern
    bytes = Array(pattern.utf8)
  }

  public var description: String { pattern }

  /// Takes time at most in the product of the lengths: patterns come from a configuration, names from anybody.
  public func matches(_ text: some StringProtocol) -> Bool {
    // The set of positions in the pattern that the text so far can lead to, as in a simulated automaton.
    // `**/app` is also `app`.
    var states = closure(pattern.hasPrefix("**/") ? [0, 3] : [0])
    for byte in text.utf8 {
      var next: [Int] = []
      for state in states where state < bytes.count {
        switch bytes[state] {
        case UInt8(ascii: "*"):
          let isDouble = state + 1 < bytes.count && bytes[state + 1] == UInt8(ascii: "*")
          if isDouble || byte != UInt8(ascii: "/") { next.append(state) }
        case UInt8(ascii: "?"): if byte != UInt8(ascii: "/") { next.append(state + 1) }
        default: if bytes[state] == byte { next.append(state + 1) }
        }
      }
      states = closure(next)
      if states.isEmpty { return false }
    }
    return states.contains(bytes.count)
  }

  /// Adds the positions behind stars, which match nothing as well.
  private func closure(_ positions: [Int]) -> [Int] {
    var seen = Set<Int>()
    var result: [Int] = []
    var pending = positions
    while let position = pending.popLast() {
      guard seen.insert(position).inserted else { continue }
      result.append(position)
      guard position < bytes.count, bytes[position] == UInt8(ascii: "*") else { continue }
      let isDouble = position + 1 < bytes.count && bytes[position + 1] == UInt8(ascii: "*")
      pending.append(position + (isDouble ? 2 : 1))
    }
    return result
  }
}
