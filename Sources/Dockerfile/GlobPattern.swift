/// A pattern of `${name#pattern}` and its like: `?` is one character, `*` any number, a backslash takes one literally.
///
/// Matching takes time linear in the value for each start (a `*` only ever needs its last position), and every
/// comparison is paid for from a budget: no pattern holds a build up.
struct GlobPattern {
  enum Token: Equatable {
    case literal(UInt8)
    case any
    case many
  }

  private(set) var tokens: [Token] = []

  init(_ pattern: [UInt8]) throws(DockerfileError) {
    var at = 0
    while at < pattern.count {
      switch pattern[at] {
      case UInt8(ascii: "*"):
        // Two in a row are one.
        if tokens.last != .many { tokens.append(.many) }
      case UInt8(ascii: "?"): tokens.append(.any)
      case Byte.backslash:
        at += 1
        guard at < pattern.count else {
          throw DockerfileError(.expansion, "invalid pattern (\(pattern.text)) in substitution: it ends in an escape")
        }
        switch pattern[at] {
        case UInt8(ascii: "*"), UInt8(ascii: "?"), Byte.backslash, UInt8(ascii: "}"), UInt8(ascii: "/"),
          Byte.dollar, Byte.doubleQuote, Byte.singleQuote:
          tokens.append(.literal(pattern[at]))
        default:
          throw DockerfileError(
            .expansion,
            "invalid pattern (\(pattern.text)) in substitution: invalid escape '\\\([pattern[at]].text)'")
        }
      default: tokens.append(.literal(pattern[at]))
      }
      at += 1
    }
  }

  private func pay(_ steps: Int, _ left: inout Int) throws(DockerfileError) {
    left -= steps
    if left < 0 {
      throw DockerfileError(.limit, "the pattern takes too long to match; shorten the pattern or the value")
    }
  }

  /// The length in bytes of the character that begins with `first`, of which `left` bytes are there.
  private static func width(_ first: UInt8, _ left: Int) -> Int {
    let width = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    return min(width, left)
  }

  /// The lengths that the pattern can match from the beginning of `value`, as the set of states of a machine that has
  /// one state per token: the shortest or the longest of them.
  private func match(_ value: ArraySlice<UInt8>, longest: Bool, _ left: inout Int) throws(DockerfileError) -> Int? {
    var active = [Bool](repeating: false, count: tokens.count + 1)
    var next = active
    func enter(_ state: Int, _ states: inout [Bool]) {
      states[state] = true
      // A star may stand for nothing.
      if state < tokens.count, tokens[state] == .many { states[state + 1] = true }
    }
    enter(0, &active)
    var best: Int?
    var at = value.startIndex
    while true {
      try pay(tokens.count + 1, &left)
      if active[tokens.count] {
        best = at - value.startIndex
        if !longest { return best }
      }
      guard at < value.endIndex else { return best }
      // A final star matches all that is left.
      if longest, tokens.last == .many, active[tokens.count - 1] { return value.count }
      let byte = value[at]
      let width = GlobPattern.width(byte, value.endIndex - at)
      for state in next.indices { next[state] = false }
      var isAlive = false
      for state in tokens.indices where active[state] {
        switch tokens[state] {
        case .many:
          enter(state, &next)
          isAlive = true
        case .any:
          enter(state + 1, &next)
          isAlive = true
        case .literal:
          // Literals are bytes: a character of several is as many tokens, walked here at once.
          let end = state + width
          guard end <= tokens.count,
            (0..<width).allSatisfy({ tokens[state + $0] == .literal(value[at + $0]) })
          else { continue }
          enter(end, &next)
          isAlive = true
        }
      }
      guard isAlive else { return best }
      swap(&active, &next)
      at += width
    }
  }

  /// The length of the shortest or longest match at the beginning.
  func prefix(of value: [UInt8], longest: Bool, _ left: inout Int) throws(DockerfileError) -> Int? {
    try match(value[...], longest: longest, &left)
  }

  /// The length of the shortest or longest match at the end.
  func suffix(of value: [UInt8], longest: Bool, _ left: inout Int) throws(DockerfileError) -> Int? {
    // Characters stay whole: only their beginnings are tried.
    let starts = value.indices.filter { value[$0] & 0xc0 != 0x80 } + [value.count]
    for start in longest ? starts : starts.reversed() {
      if try matchesWhole(value[start...], &left) { return value.count - start }
    }
    return nil
  }

  private func matchesWhole(_ value: ArraySlice<UInt8>, _ left: inout Int) throws(DockerfileError) -> Bool {
    // The classic two-pointer match: on a mismatch, the last star takes one character more.
    var token = 0
    var at = value.startIndex
    var starToken: Int?
    var starAt = at
    while at < value.endIndex {
      try pay(1, &left)
      let width = GlobPattern.width(value[at], value.endIndex - at)
      if token < tokens.count {
        switch tokens[token] {
        case .many:
          starToken = token
          starAt = at
          token += 1
          continue
        case .any:
          token += 1
          at += width
          continue
        case .literal(let wanted) where wanted == value[at]:
          token += 1
          at += 1
          continue
        case .literal: break
        }
      }
      guard let star = starToken else { return false }
      starAt += GlobPattern.width(value[starAt], value.endIndex - starAt)
      token = star + 1
      at = starAt
    }
    while token < tokens.count, tokens[token] == .many { token += 1 }
    return token == tokens.count
  }

  /// Replaces the first or every longest match, from the left.
  func replace(in value: [UInt8], with replacement: [UInt8], all: Bool, bytesMax: Int, _ left: inout Int)
    throws(DockerfileError) -> [UInt8]
  {
    // An empty pattern matches nothing, as in the shell.
    if tokens.isEmpty { return value }
    var result: [UInt8] = []
    var at = 0
    while at < value.count {
      guard let length = try match(value[at...], longest: true, &left), length > 0 else {
        result.append(value[at])
        at += 1
        continue
      }
      result += replacement
      at += length
      if result.count > bytesMax {
        throw DockerfileError(.limit, "the value grows beyond \(bytesMax) bytes")
      }
      if !all { return result + value[at...] }
    }
    return result
  }
}
