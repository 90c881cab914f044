/// Bytes with a meaning in the language.
enum Byte {
  static let tab = UInt8(ascii: "\t")
  static let newline = UInt8(ascii: "\n")
  static let carriageReturn = UInt8(ascii: "\r")
  static let space = UInt8(ascii: " ")
  static let hash = UInt8(ascii: "#")
  static let backslash = UInt8(ascii: "\\")
  static let backtick = UInt8(ascii: "`")
  static let singleQuote = UInt8(ascii: "'")
  static let doubleQuote = UInt8(ascii: "\"")
  static let dollar = UInt8(ascii: "$")
  static let equals = UInt8(ascii: "=")
  static let dash = UInt8(ascii: "-")
}

extension UInt8 {
  /// White space inside a line or at its end.
  var isSpace: Bool { self == Byte.space || (self >= 9 && self <= 13) }
  var isDigit: Bool { self >= 0x30 && self <= 0x39 }
  var isLetter: Bool { (self | 0x20) >= 0x61 && (self | 0x20) <= 0x7a }
}

extension BidirectionalCollection where Element == UInt8 {
  /// Without white space at both ends.
  func trimmed() -> SubSequence {
    var low = startIndex
    var high = endIndex
    while low < high, self[low].isSpace { low = index(after: low) }
    while high > low, self[index(before: high)].isSpace { high = index(before: high) }
    return self[low..<high]
  }

  var text: String { String(decoding: self, as: UTF8.self) }
}

extension StringProtocol {
  /// Without white space at both ends.
  func trimmedText() -> String { Array(utf8).trimmed().text }
}

/// The message form of a value: in double quotes, with what would break a line escaped.
func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\n": result += "\\n"
    case "\r": result += "\\r"
    case "\t": result += "\\t"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}

/// "Did you mean": the nearest of a few known words.
enum Suggestion {
  /// Beyond that many known words nobody looks for a likeness.
  private static let candidatesMax = 500

  /// The known word that differs from `word` by the fewest typing mistakes, if few enough.
  static func nearest(to word: String, among known: some Sequence<String>) -> String? {
    let wanted = Array(word.lowercased().utf8.prefix(64))
    guard !wanted.isEmpty else { return nil }
    let limit = wanted.count <= 2 ? 1 : wanted.count <= 5 ? 2 : 3
    var best: (word: String, distance: Int)?
    for candidate in known.prefix(candidatesMax) where candidate != word {
      let distance = self.distance(wanted, Array(candidate.lowercased().utf8.prefix(64)), limit: limit)
      // A word that shares no letter is no suggestion, however short both are.
      guard distance <= limit, distance < max(wanted.count, candidate.utf8.count) else { continue }
      if best == nil || distance < (best?.distance ?? 0) { best = (candidate, distance) }
    }
    return best?.word
  }

  /// ` (did you mean X?)`, or nothing.
  static func phrase(for word: String, among known: some Sequence<String>) -> String {
    nearest(to: word, among: known).map { " (did you mean \($0)?)" } ?? ""
  }

  /// Levenshtein's distance with transpositions of neighbours as one mistake; anything beyond `limit` is `limit + 1`.
  private static func distance(_ a: [UInt8], _ b: [UInt8], limit: Int) -> Int {
    if abs(a.count - b.count) > limit { return limit + 1 }
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    var row = last
    for i in a.indices {
      row[0] = i + 1
      for j in b.indices {
        var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
        row[j + 1] = cost
      }
      (beforeLast, last, row) = (last, row, beforeLast)
    }
    return min(last[b.count], limit + 1)
  }
}
