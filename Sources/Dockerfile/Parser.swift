import Wire

/// Reads a Dockerfile from its first byte to its last.
///
/// Lines become logical lines (continuations joined, comments and heredocs taken out), logical lines become
/// instructions, instructions become stages. `Parser+Instructions.swift` knows the eighteen instructions,
/// `Parser+Words.swift` the ways in which their arguments are cut.
struct Parser {
  let source: SourceText
  let limits: Dockerfile.Limits
  var reader: LineReader
  var directives = Dockerfile.Directives()
  var warnings: [Dockerfile.Warning] = []
  var instructionCount = 0
  /// The arguments of the instruction above, for a hint.
  var previous: ArraySlice<UInt8> = []

  init(_ bytes: [UInt8], name: String, limits: Dockerfile.Limits) throws(DockerfileError) {
    guard bytes.count <= limits.bytesMax else {
      throw DockerfileError(
        .limit, "\(name) has \(bytes.count) bytes; at most \(limits.bytesMax) are read",
        range: SourceRange(lines: 1...1), excerpt: "")
    }
    self.limits = limits
    reader = LineReader(bytes)
    source = SourceText(name: name, lines: reader.lines())
  }

  mutating func parseFile() throws(DockerfileError) -> Dockerfile {
    try parseDirectives()
    var globals: [Dockerfile.Instruction] = []
    var stages: [Dockerfile.Stage] = []
    while let instruction = try nextInstruction() {
      switch instruction.body {
      case .from(let from):
        guard stages.count < limits.stagesMax else {
          throw fail(.limit, "more than \(limits.stagesMax) build stages", instruction.range)
        }
        stages.append(Dockerfile.Stage(index: stages.count, declaration: instruction, from: from))
      case .arg where stages.isEmpty:
        globals.append(instruction)
      default:
        guard !stages.isEmpty else {
          throw fail(
            .syntax, "no build stage in current context: \(instruction.body.name) before the first FROM",
            instruction.range)
        }
        stages[stages.count - 1].instructions.append(instruction)
      }
    }
    if stages.isEmpty {
      let last = SourceRange(lines: max(1, reader.count)...max(1, reader.count))
      throw globals.isEmpty
        ? fail(.syntax, "file with no instructions", last)
        : fail(.syntax, "no build stage in current context: the file has no FROM", last)
    }
    return Dockerfile(
      source: source, directives: directives, globalArguments: globals, stages: stages, warnings: warnings,
      limits: limits)
  }

  mutating func parseTrigger() throws(DockerfileError) -> Dockerfile.Instruction {
    guard let instruction = try nextInstruction() else {
      throw fail(.syntax, "empty ONBUILD trigger", SourceRange(lines: 1...1))
    }
    try checkTrigger(instruction.body.name, instruction.range)
    if let extra = try nextInstruction() {
      throw fail(.syntax, "an ONBUILD trigger is one instruction", extra.range)
    }
    return instruction
  }

  func fail(_ code: DockerfileError.Code, _ message: String, _ range: SourceRange) -> DockerfileError {
    DockerfileError(code, message, range: range, excerpt: source.excerpt(range))
  }

  // MARK: Directives

  /// `# key=value` lines at the top: after anything else they are comments.
  private mutating func parseDirectives() throws(DockerfileError) {
    var seen: Set<String> = []
    var isFirst = true
    while let line = reader.next() {
      // A file that is made executable starts with the interpreter's name.
      if isFirst, line.starts(with: [Byte.hash, UInt8(ascii: "!")]) {
        isFirst = false
        continue
      }
      isFirst = false
      guard let (key, value) = Parser.directive(line), Parser.directiveNames.contains(key) else {
        reader.back()
        return
      }
      let range = SourceRange(lines: reader.line...reader.line)
      guard seen.insert(key).inserted else {
        throw fail(.syntax, "only one \(key) parser directive can be used", range)
      }
      switch key {
      case "syntax": directives.syntax = value
      case "escape":
        guard value == "\\" || value == "`" else {
          throw fail(.syntax, "invalid escape token '\(value)' does not match ` or \\", range)
        }
        directives.escape = value == "`" ? Byte.backtick : Byte.backslash
      default: directives.check = try parseCheck(value, range)
      }
    }
  }

  static let directiveNames = ["syntax", "escape", "check"]

  /// The key (in lower case) and value of `# key = value`.
  static func directive(_ line: ArraySlice<UInt8>) -> (key: String, value: String)? {
    var rest = line.trimmed()
    guard rest.first == Byte.hash else { return nil }
    rest = rest.dropFirst().trimmed()
    guard let equals = rest.firstIndex(of: Byte.equals) else { return nil }
    let key = rest[..<equals].trimmed()
    guard let first = key.first, first.isLetter, key.allSatisfy({ $0.isLetter || $0.isDigit }) else { return nil }
    let value = rest[(equals + 1)...].trimmed()
    guard !value.isEmpty else { return nil }
    return (key.text.lowercased(), value.text)
  }

  private func parseCheck(_ value: String, _ range: SourceRange) throws(DockerfileError)
    -> Dockerfile.Directives.Check
  {
    var check = Dockerfile.Directives.Check()
    for option in value.split(separator: ";", omittingEmptySubsequences: true) {
      let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let key = parts[0].trimmedText().lowercased()
      guard parts.count == 2 else {
        throw fail(.syntax, "invalid check option \(quoted(option.trimmedText())): expected key=value", range)
      }
      let ids = parts[1].split(separator: ",").map { $0.trimmedText() }.filter { !$0.isEmpty }
      switch key {
      case "skip": check.skip += ids
      case "experimental": check.experimental += ids
      case "error":
        guard let isError = parseBool(parts[1].trimmedText()) else {
          throw fail(.syntax, "invalid check option error: \(quoted(parts[1].trimmedText())) is no boolean", range)
        }
        check.isError = isError
      default:
        throw fail(
          .syntax,
          "invalid check option \(quoted(key))"
            + Suggestion.phrase(for: key, among: ["skip", "error", "experimental"]),
          range)
      }
    }
    return check
  }

  // MARK: Logical lines

  private mutating func nextInstruction() throws(DockerfileError) -> Dockerfile.Instruction? {
    guard let line = try nextLine() else { return nil }
    instructionCount += 1
    guard instructionCount <= limits.instructionsMax else {
      throw fail(
        .limit, "more than \(limits.instructionsMax) instructions",
        SourceRange(lines: line.firstLine...line.lastLine))
    }
    if line.bytes.contains(0) {
      throw fail(.syntax, "the line holds a NUL byte", line.range(0..<line.bytes.count))
    }
    if String(validating: line.bytes, as: UTF8.self) == nil {
      throw fail(.syntax, "the line is not valid UTF-8", line.range(0..<line.bytes.count))
    }
    return try parseInstruction(line)
  }

  /// The next line that says something, with its continuations.
  private mutating func nextLine() throws(DockerfileError) -> LogicalLine? {
    var comments: [String] = []
    while let physical = reader.next() {
      var start = physical.startIndex
      while start < physical.endIndex, physical[start].isSpace { start += 1 }
      var rest = physical[start...]
      if rest.first == Byte.hash {
        if let (key, _) = Parser.directive(physical), Parser.directiveNames.contains(key), instructionCount == 0 {
          warnings.append(
            Dockerfile.Warning(kind: .lateDirective(key), range: SourceRange(lines: reader.line...reader.line)))
        }
        let comment = rest.dropFirst().trimmed().text
        if comment.isEmpty { comments = [] } else { comments.append(comment) }
        continue
      }
      var line = LogicalLine()
      line.comments = comments
      comments = []
      var continues = trimContinuation(&rest)
      if !continues, rest.isEmpty { continue }
      line.append(rest, line: reader.line, column: start - physical.startIndex + 1)
      var emptyLine: Int?
      while continues {
        guard let physical = reader.next() else { break }
        let trimmed = physical.drop { $0.isSpace }
        if trimmed.first == Byte.hash { continue }
        if trimmed.isEmpty {
          emptyLine = emptyLine ?? reader.line
          continue
        }
        var rest = physical
        continues = trimContinuation(&rest)
        line.append(rest, line: reader.line, column: 1)
      }
      if let emptyLine {
        warnings.append(
          Dockerfile.Warning(kind: .emptyContinuation, range: SourceRange(lines: emptyLine...emptyLine)))
      }
      // Only a continuation onto nothing.
      if line.bytes.trimmed().isEmpty { continue }
      return line
    }
    return nil
  }

  /// Cuts an escape character at the end of a line (white space may follow it). Two of them are not a continuation.
  private func trimContinuation(_ line: inout ArraySlice<UInt8>) -> Bool {
    var end = line.endIndex
    while end > line.startIndex, line[end - 1].isSpace { end -= 1 }
    guard end > line.startIndex, line[end - 1] == directives.escape else { return false }
    if end - 1 > line.startIndex, line[end - 2] == directives.escape { return false }
    line = line[..<(end - 1)]
    return true
  }

  // MARK: Heredocs

  /// The heredocs that a line announces, with their contents read from the lines below.
  mutating func readHeredocs(_ line: inout LogicalLine, from offset: Int) throws(DockerfileError)
    -> [Dockerfile.Heredoc]
  {
    var heredocs: [Dockerfile.Heredoc] = []
    for word in shellWords(line.bytes[offset...]) {
      guard var heredoc = parseHeredocWord(word) else { continue }
      let terminator = Array(heredoc.name.utf8)
      var content: [UInt8] = []
      var isTerminated = false
      while let raw = reader.nextRaw() {
        var body = raw
        if heredoc.stripsTabs { body = body.drop { $0 == Byte.tab } }
        var end = body.endIndex
        if end > body.startIndex, body[end - 1] == Byte.newline { end -= 1 }
        if end > body.startIndex, body[end - 1] == Byte.carriageReturn { end -= 1 }
        line.lastLine = reader.line
        if body[..<end].elementsEqual(terminator) {
          isTerminated = true
          break
        }
        content.append(contentsOf: body)
      }
      let range = SourceRange(line.position(at: 0), SourcePosition(line: line.lastLine))
      guard isTerminated else {
        throw fail(
          .syntax, "unterminated heredoc: no line is \(quoted(heredoc.name))", line.range(0..<line.bytes.count))
      }
      guard let text = String(validating: content, as: UTF8.self), !content.contains(0) else {
        throw fail(.syntax, "the heredoc is not valid UTF-8 text", range)
      }
      heredoc.content = text
      heredocs.append(heredoc)
    }
    return heredocs
  }
}

/// As Go's `strconv.ParseBool`, which BuildKit uses for every boolean.
func parseBool(_ text: String) -> Bool? {
  switch text {
  case "1", "t", "T", "true", "TRUE", "True": true
  case "0", "f", "F", "false", "FALSE", "False": false
  default: nil
  }
}
