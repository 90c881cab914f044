/// A `.dockerignore`: which paths of a build context are left out.
///
/// One pattern a line; `#` begins a comment, `!` takes back what an earlier line left out. The last pattern that
/// matches a path or one of its parents decides. `*` and `?` stay inside a name, `[a-z]` is one of a class, `**` is any
/// number of folders, also none. Patterns are cleaned (`a//b/../c/` is `a/c`) and count from the context's root, with
/// or without a leading slash.
///
/// The rules are those of Docker's pattern matcher. A path is matched against a pattern and all its parents in one
/// pass.
public struct DockerIgnore: Sendable {
  public enum Verdict: Sendable, Equatable {
    case included
    case excluded
    /// A directory that is left out with all that is in it: a walk need not enter it.
    case excludedWithAll
  }

  private struct Rule: Sendable {
    var pattern: PathPattern
    var isNegated: Bool
  }

  private var rules: [Rule] = []

  static let bytesMax = 1 << 20
  static let rulesMax = 10_000

  /// Reads a `.dockerignore` file.
  ///
  /// - Throws: a malformed pattern with its line, or a file that is too large.
  public init(_ bytes: [UInt8], name: String = ".dockerignore") throws(DockerfileError) {
    guard bytes.count <= DockerIgnore.bytesMax else {
      throw DockerfileError(
        .limit, "\(name) has \(bytes.count) bytes; at most \(DockerIgnore.bytesMax) are read",
        range: SourceRange(lines: 1...1))
    }
    var reader = LineReader(bytes)
    let source = SourceText(name: name, lines: reader.lines())
    while let line = reader.next() {
      if line.first == Byte.hash { continue }
      do throws(DockerfileError) {
        try add(line.text, isFromRoot: true)
      } catch {
        throw error.at(SourceRange(lines: reader.line...reader.line), in: source)
      }
    }
  }

  /// Patterns of `--exclude`, which count from the folder that is copied. As in BuildKit, one with a leading slash matches
  /// nothing there.
  public init(patterns: [String]) throws(DockerfileError) {
    for pattern in patterns { try add(pattern, isFromRoot: false) }
  }

  /// Whether there is no pattern at all.
  public var isEmpty: Bool { rules.isEmpty }

  /// - Parameter isFromRoot: whether a leading slash means nothing.
  private mutating func add(_ line: String, isFromRoot: Bool) throws(DockerfileError) {
    var text = line.trimmedText()
    guard !text.isEmpty else { return }
    let isNegated = text.hasPrefix("!")
    if isNegated {
      text = text.dropFirst().trimmedText()
      guard !text.isEmpty else { throw DockerfileError(.syntax, "illegal exclusion pattern: \"!\"") }
    }
    text = cleanPath(text)
    if isFromRoot, text.utf8.count > 1, text.hasPrefix("/") { text.removeFirst() }
    // The root itself is never left out.
    if text == "." || text == "/" { return }
    guard rules.count < DockerIgnore.rulesMax else {
      throw DockerfileError(.limit, "more than \(DockerIgnore.rulesMax) patterns")
    }
    rules.append(Rule(pattern: try PathPattern(text), isNegated: isNegated))
  }

  /// Whether a path is left out: because of itself or of a folder that it is in.
  ///
  /// - Parameter path: relative to the root of the context, with `/` between names and without `.` and `..`.
  public func excludes(_ path: String) -> Bool {
    path.isEmpty ? false : decision(Array(path.utf8)) != nil
  }

  /// The same, and for a folder also whether anything in it can be included.
  public func verdict(_ path: String, isDirectory: Bool) -> Verdict {
    if path.isEmpty { return .included }
    let bytes = Array(path.utf8)
    guard let decisive = decision(bytes) else { return .included }
    guard isDirectory else { return .excluded }
    // Only what stands behind the rule that left the folder out can bring back something in it: that rule also matches
    // everything below.
    for rule in rules[(decisive + 1)...] where rule.isNegated && rule.pattern.mayMatch(below: bytes) {
      return .excluded
    }
    return .excludedWithAll
  }

  /// The rule by which the path is left out; `nil` when it is included.
  private func decision(_ path: [UInt8]) -> Int? {
    var decisive: Int?
    for (index, rule) in rules.enumerated() {
      // A rule that would change nothing is not tried.
      if rule.isNegated == (decisive == nil) { continue }
      if rule.pattern.matchesPathOrParent(path) { decisive = rule.isNegated ? nil : index }
    }
    return decisive
  }
}

/// One pattern of a `.dockerignore` or `--exclude`, compiled.
struct PathPattern: Sendable {
  private enum Token: Sendable {
    case literal(UInt32)
    /// `?`
    case anyCharacter
    /// `[…]`
    case oneOf([ClosedRange<UInt32>], isNegated: Bool)
    /// `*`
    case anyName
    /// `**/`: nothing, or anything up to a slash.
    case anyFolders
    /// `**` at the end.
    case anything
  }

  /// The common patterns need no machine.
  private enum Form: Sendable {
    case path([UInt8])
    /// `**/name`
    case name([UInt8])
    /// `**end`, which Docker's matcher takes for any path that ends so, also within a name.
    case suffix([UInt8])
    case machine([Token])
  }

  private let form: Form

  static let bytesMax = 4096

  /// - Parameter text: cleaned, not empty, without a slash in front.
  init(_ text: String) throws(DockerfileError) {
    guard text.utf8.count <= PathPattern.bytesMax else {
      throw DockerfileError(.limit, "a pattern has more than \(PathPattern.bytesMax) bytes")
    }
    let tokens = try PathPattern.tokens(text)
    func literals(_ tokens: ArraySlice<Token>) -> [UInt8]? {
      var scalars = String.UnicodeScalarView()
      for token in tokens {
        guard case .literal(let value) = token, let scalar = UnicodeScalar(value) else { return nil }
        scalars.append(scalar)
      }
      return Array(String(scalars).utf8)
    }
    if let path = literals(tokens[...]) {
      form = .path(path)
    } else if text.hasPrefix("**"), !text.hasPrefix("**/"), !text.contains("\\"),
      let end = literals(tokens.dropFirst()), !end.isEmpty
    {
      form = .suffix(end)
    } else if case .anyFolders? = tokens.first, let name = literals(tokens.dropFirst()), !name.isEmpty {
      form = .name(name)
    } else {
      form = .machine(tokens)
    }
  }

  private static func tokens(_ text: String) throws(DockerfileError) -> [Token] {
    func fail(_ why: String) -> DockerfileError {
      DockerfileError(.syntax, "syntax error in pattern \(quoted(text)): \(why)")
    }
    var tokens: [Token] = []
    let scalars = Array(text.unicodeScalars)
    var at = 0
    while at < scalars.count {
      let scalar = scalars[at]
      at += 1
      switch scalar {
      case "*":
        guard at < scalars.count, scalars[at] == "*" else {
          tokens.append(.anyName)
          continue
        }
        at += 1
        if at < scalars.count, scalars[at] == "/" { at += 1 }
        tokens.append(at == scalars.count ? .anything : .anyFolders)
      case "?": tokens.append(.anyCharacter)
      case "\\":
        guard at < scalars.count else { throw fail("it ends in an escape") }
        tokens.append(.literal(scalars[at].value))
        at += 1
      case "[":
        var ranges: [ClosedRange<UInt32>] = []
        var isNegated = false
        if at < scalars.count, scalars[at] == "^" {
          isNegated = true
          at += 1
        }
        func character() throws(DockerfileError) -> UInt32 {
          guard at < scalars.count else { throw fail("a [ has no ]") }
          if scalars[at] == "\\" {
            at += 1
          } else if scalars[at] == "-" || scalars[at] == "]" {
            throw fail("a class holds characters and ranges such as a-z")
          }
          guard at < scalars.count else { throw fail("a [ has no ]") }
          defer { at += 1 }
          return scalars[at].value
        }
        while true {
          if at < scalars.count, scalars[at] == "]", !ranges.isEmpty {
            at += 1
            break
          }
          let low = try character()
          var high = low
          if at < scalars.count, scalars[at] == "-" {
            at += 1
            high = try character()
          }
          guard low <= high else { throw fail("a range ends before it starts") }
          ranges.append(low...high)
        }
        tokens.append(.oneOf(ranges, isNegated: isNegated))
      default: tokens.append(.literal(scalar.value))
      }
    }
    return tokens
  }

  /// Whether the pattern matches the path or one of the folders that it is in.
  func matchesPathOrParent(_ path: [UInt8]) -> Bool {
    switch form {
    case .path(let wanted):
      path.starts(with: wanted)
        && (path.count == wanted.count || path[wanted.count] == UInt8(ascii: "/"))
    case .name(let wanted): PathPattern.contains(path, wanted)
    case .suffix(let wanted):
      path.indices.contains { at in
        let isBoundary = at + 1 == path.count || path[at + 1] == UInt8(ascii: "/")
        return isBoundary && path[...at].suffix(wanted.count).elementsEqual(wanted)
      }
    case .machine(let tokens): PathPattern.run(tokens, path, below: false)
    }
  }

  /// Whether the pattern could match something in the folder `path`.
  func mayMatch(below path: [UInt8]) -> Bool {
    switch form {
    case .path(let wanted):
      wanted.count > path.count + 1 && wanted.starts(with: path) && wanted[path.count] == UInt8(ascii: "/")
    case .name, .suffix: true
    case .machine(let tokens): PathPattern.run(tokens, path, below: true)
    }
  }

  /// Whether `wanted` stands in `path` between slashes or ends.
  private static func contains(_ path: [UInt8], _ wanted: [UInt8]) -> Bool {
    let slash = UInt8(ascii: "/")
    var start = 0
    while path.count - start >= wanted.count {
      let end = start + wanted.count
      if end == path.count || path[end] == slash, path[start..<end].elementsEqual(wanted) { return true }
      guard let next = path[start...].firstIndex(of: slash) else { return false }
      start = next + 1
    }
    return false
  }

  /// Runs the machine that has one state before each token and one at the end. All states that are possible are
  /// followed at once, so the time is bounded by the product of both lengths.
  private static func run(_ tokens: [Token], _ path: [UInt8], below: Bool) -> Bool {
    let slash = UInt32(UInt8(ascii: "/"))
    var active = [Bool](repeating: false, count: tokens.count + 1)
    var next = active
    /// A state is entered together with those behind it that need no character.
    func enter(_ state: Int, _ states: inout [Bool]) {
      var state = state
      while true {
        states[state] = true
        guard state < tokens.count else { return }
        switch tokens[state] {
        case .anyName, .anyFolders, .anything: state += 1
        case .literal, .anyCharacter, .oneOf: return
        }
      }
    }
    enter(0, &active)
    var at = 0
    // Below a folder, the path goes on with a slash.
    let count = path.count + (below ? 1 : 0)
    while at < count {
      var value = at < path.count ? UInt32(path[at]) : slash
      var width = 1
      if value >= 0x80 {
        let expected = value < 0xe0 ? 2 : value < 0xf0 ? 3 : 4
        if at + expected <= path.count {
          width = expected
          value &= UInt32(0xff >> (expected + 1))
          for offset in 1..<expected { value = value << 6 | UInt32(path[at + offset] & 0x3f) }
        }
      }
      if value == slash, active[tokens.count], !below { return true }
      var isAlive = false
      for state in next.indices { next[state] = false }
      for state in tokens.indices where active[state] {
        switch tokens[state] {
        case .literal(let wanted): if wanted == value { enter(state + 1, &next) }
        case .anyCharacter: if value != slash { enter(state + 1, &next) }
        case .oneOf(let ranges, let isNegated):
          if value != slash, ranges.contains(where: { $0.contains(value) }) != isNegated { enter(state + 1, &next) }
        case .anyName: if value != slash { enter(state, &next) }
        case .anything: enter(state, &next)
        case .anyFolders:
          // Inside the folders: only a slash leads out.
          next[state] = true
          if value == slash { enter(state + 1, &next) }
        }
      }
      for state in next.indices where next[state] { isAlive = true }
      guard isAlive else { return false }
      swap(&active, &next)
      at += width
    }
    // Something can follow the slash in every state but the last.
    return below ? active.dropLast().contains(true) : active[tokens.count]
  }
}
