import Glibc

/// Patterns of `COPY` sources: Go's `filepath.Match`, part by part: `*`, `?`, `[a-z]`, `[^a]` and `\` before a character
/// that is meant as it is. `**` stands for any number of folders (with `--parents`, as BuildKit has it).
struct Wildcard: Sendable, Equatable {
  private let parts: [Substring]

  init(_ pattern: String) { parts = FilePath.parts(pattern) }

  /// Whether a source is a pattern at all.
  static func isPattern(_ text: String) -> Bool { text.utf8.contains { $0 == 0x2A || $0 == 0x3F || $0 == 0x5B } }

  /// How many leading parts have no wildcard: the folder from which a search starts.
  var literalPrefix: [String] {
    var prefix: [String] = []
    for part in parts.dropLast() {
      if Wildcard.isPattern(String(part)) || part.contains("\\") { break }
      prefix.append(String(part))
    }
    return prefix
  }

  var count: Int { parts.count }
  var hasDoubleStar: Bool { parts.contains("**") }
  func part(_ index: Int) -> Substring { parts[index] }

  /// Whether a name matches one part; `nil` when the pattern is malformed.
  static func matches(_ pattern: some StringProtocol, _ name: some StringProtocol) -> Bool? {
    let pattern = Array(pattern.unicodeScalars)
    let name = Array(name.unicodeScalars)
    guard isWellFormed(pattern) else { return nil }
    // Two positions to come back to make it linear in practice and quadratic at worst.
    var (p, n) = (0, 0)
    var star: (pattern: Int, name: Int)?
    while n < name.count || p < pattern.count {
      if p < pattern.count {
        if pattern[p] == "*" {
          star = (p, n)
          p += 1
          continue
        }
        if n < name.count, let next = matchOne(pattern, p, name[n]) {
          p = next
          n += 1
          continue
        }
      }
      guard let back = star, back.name < name.count else { return false }
      star = (back.pattern, back.name + 1)
      p = back.pattern + 1
      n = back.name + 1
    }
    return true
  }

  /// The position behind the element at `p` when it matches the character.
  private static func matchOne(_ pattern: [Unicode.Scalar], _ p: Int, _ character: Unicode.Scalar) -> Int? {
    switch pattern[p] {
    case "?": return p + 1
    case "\\": return pattern[p + 1] == character ? p + 2 : nil
    case "[":
      var at = p + 1
      let isNegated = pattern[at] == "^"
      if isNegated { at += 1 }
      var isInside = false
      var isFirst = true
      while isFirst || pattern[at] != "]" {
        isFirst = false
        let low = scalar(pattern, &at)
        var high = low
        if pattern[at] == "-" {
          at += 1
          high = scalar(pattern, &at)
        }
        if low.value <= character.value, character.value <= high.value { isInside = true }
      }
      return isInside != isNegated ? at + 1 : nil
    default: return pattern[p] == character ? p + 1 : nil
    }
  }

  private static func scalar(_ pattern: [Unicode.Scalar], _ at: inout Int) -> Unicode.Scalar {
    if pattern[at] == "\\" { at += 1 }
    defer { at += 1 }
    return pattern[at]
  }

  private static func isWellFormed(_ pattern: [Unicode.Scalar]) -> Bool {
    var at = 0
    func take() -> Bool {
      guard at < pattern.count, pattern[at] != "-", pattern[at] != "]" else { return false }
      if pattern[at] == "\\" { at += 1 }
      guard at < pattern.count else { return false }
      at += 1
      return at < pattern.count
    }
    while at < pattern.count {
      switch pattern[at] {
      case "\\":
        guard at + 1 < pattern.count else { return false }
        at += 2
      case "[":
        at += 1
        if at < pattern.count, pattern[at] == "^" { at += 1 }
        var isFirst = true
        while isFirst || (at < pattern.count && pattern[at] != "]") {
          isFirst = false
          guard take() else { return false }
          if pattern[at] == "-" {
            at += 1
            guard take() else { return false }
          }
        }
        guard at < pattern.count else { return false }
        at += 1
      default: at += 1
      }
    }
    return true
  }
}
