import Wire

/// Hands out an instruction's flags by name, and refuses what nobody asked for.
struct FlagReader {
  private let arguments: Parser.Arguments
  private let parser: Parser
  private var known: [String] = []

  init(_ arguments: Parser.Arguments, _ parser: Parser) {
    self.arguments = arguments
    self.parser = parser
  }

  private func all(_ name: String) -> [Flag] { arguments.flags.filter { $0.name == name } }

  private func fail(_ flag: Flag, _ message: String, _ code: DockerfileError.Code = .syntax) -> DockerfileError {
    parser.fail(code, message, arguments.line.range(flag.offsets))
  }

  /// An error at the flag of that name.
  func fail(_ name: String, _ message: String, _ code: DockerfileError.Code = .syntax) -> DockerfileError {
    guard let flag = all(name).first else { return parser.fail(code, message, arguments.range) }
    return fail(flag, message, code)
  }

  private mutating func one(_ name: String) throws(DockerfileError) -> Flag? {
    known.append(name)
    let flags = all(name)
    if flags.count > 1 { throw fail(flags[1], "duplicate flag specified: \(name)") }
    return flags.first
  }

  mutating func string(_ name: String) throws(DockerfileError) -> String? {
    guard let flag = try one(name) else { return nil }
    guard let value = flag.value else { throw fail(flag, "missing a value on flag: \(name)") }
    return value
  }

  mutating func placedStrings(_ name: String) throws(DockerfileError) -> [(String, Range<Int>)] {
    known.append(name)
    var values: [(String, Range<Int>)] = []
    for flag in all(name) {
      guard let value = flag.value else { throw fail(flag, "missing a value on flag: \(name)") }
      values.append((value, flag.offsets))
    }
    return values
  }

  mutating func strings(_ name: String) throws(DockerfileError) -> [String] {
    try placedStrings(name).map(\.0)
  }

  /// `--flag`, `--flag=true`, `--flag=false`.
  mutating func bool(_ name: String) throws(DockerfileError) -> Bool? {
    guard let flag = try one(name) else { return nil }
    guard let value = flag.value else { return true }
    switch value.lowercased() {
    case "true": return true
    case "false": return false
    default: throw fail(flag, "expecting boolean value for flag \(name), not: \(value)")
    }
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, _ complaint: String)
    throws(DockerfileError) -> Choice? where Choice.RawValue == String
  {
    guard let flag = try one(name) else { return nil }
    guard let value = flag.value else { throw fail(flag, "missing a value on flag: \(name)") }
    if let choice = Choice(rawValue: value) { return choice }
    let values = Choice.allCases.map(\.rawValue)
    throw fail(
      flag,
      "\(complaint) \(quoted(value))" + Suggestion.phrase(for: value, among: values)
        + "; it is one of \(values.joined(separator: ", "))", .value)
  }

  /// A duration as Go writes it. Zero stands for the default.
  mutating func duration(_ name: String) throws(DockerfileError) -> Duration? {
    guard let flag = try one(name) else { return nil }
    guard let value = flag.value else { throw fail(flag, "missing a value on flag: \(name)") }
    guard let duration = GoDuration.parse(value) else {
      throw fail(flag, "invalid duration \(quoted(value)) for --\(name): expected something like 30s or 1m30s", .value)
    }
    guard duration >= .zero else { throw fail(flag, "Interval \(quoted(name)) cannot be negative", .value) }
    if duration == .zero { return nil }
    guard duration >= .milliseconds(1) else {
      throw fail(flag, "Interval \(quoted(name)) cannot be less than 1ms", .value)
    }
    return duration
  }

  /// Refuses a `--chmod` that can be judged before variables are replaced.
  func checkMode(_ mode: String?) throws(DockerfileError) {
    guard let mode, !mode.contains("$") else { return }
    do throws(DockerfileError) {
      _ = try FileMode.parse(mode)
    } catch {
      throw fail("chmod", error.message, .value)
    }
  }

  /// Refuses flags that the instruction does not have.
  func finish() throws(DockerfileError) {
    for flag in arguments.flags where !known.contains(flag.name) {
      let suggestion = Suggestion.nearest(to: flag.name, among: known).map { " (did you mean --\($0)?)" } ?? ""
      throw fail(flag, "unknown flag: --\(SourceText.printable(flag.name, limit: 80))\(suggestion)")
    }
  }
}
