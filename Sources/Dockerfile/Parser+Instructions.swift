import Wire

extension Parser {
  static let instructionNames = [
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
    "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
  ]

  /// What an instruction's own parser works on.
  struct Arguments {
    var name: String
    var line: LogicalLine
    var flags: [Flag]
    /// The place of everything behind the flags, without white space at its ends.
    var offsets: Range<Int>
    var heredocs: [Dockerfile.Heredoc]

    var bytes: ArraySlice<UInt8> { line.bytes[offsets] }
    var text: String { bytes.text }
    /// The lines, heredocs included.
    var range: SourceRange {
      SourceRange(line.position(at: 0), SourcePosition(line: line.lastLine))
    }
  }

  mutating func parseInstruction(_ line: LogicalLine) throws(DockerfileError) -> Dockerfile.Instruction {
    try parseInstruction(line, from: 0, isTrigger: false)
  }

  private mutating func parseInstruction(_ line: LogicalLine, from start: Int, isTrigger: Bool)
    throws(DockerfileError) -> Dockerfile.Instruction
  {
    var line = line
    var at = start
    while at < line.bytes.count, line.bytes[at].isSpace { at += 1 }
    let wordStart = at
    while at < line.bytes.count, !line.bytes[at].isSpace { at += 1 }
    let keyword = line.bytes[wordStart..<at].text
    let name = keyword.uppercased()
    guard Parser.instructionNames.contains(name) else {
      var message = "unknown instruction: \(SourceText.printable(keyword, limit: 80))"
      if keyword.unicodeScalars.contains("\u{a0}") {
        message += " (it holds a no-break space, U+00A0, where a space belongs)"
      } else {
        let suggestion = Suggestion.phrase(for: name, among: Parser.instructionNames)
        message += suggestion.isEmpty && Parser.hasSpacedHeredoc(previous) ? Parser.heredocHint : suggestion
      }
      throw fail(.syntax, message, line.range(wordStart..<at))
    }
    if isTrigger { try checkTrigger(name, line.range(wordStart..<at)) }
    let flags = takeFlags(line.bytes, at: &at)
    var end = line.bytes.count
    while end > at, line.bytes[end - 1].isSpace { end -= 1 }
    while at < end, line.bytes[at].isSpace { at += 1 }
    let offsets = at..<max(at, end)

    var heredocs: [Dockerfile.Heredoc] = []
    if name == "RUN" || name == "COPY" || name == "ADD", try parseJSONWords(line, offsets) == nil {
      heredocs = try readHeredocs(&line, from: at)
    }
    let arguments = Arguments(name: name, line: line, flags: flags, offsets: offsets, heredocs: heredocs)
    previous = line.bytes[offsets]
    let body = try parseBody(arguments)
    var last = line
    if case .onbuild(let onBuild) = body { last.lastLine = max(last.lastLine, onBuild.trigger.range.end.line) }
    let lastColumn =
      last.lastLine - 1 < source.lines.count ? max(1, source.lines[max(0, last.lastLine - 1)].utf8.count) : 1
    return Dockerfile.Instruction(
      body: body, keyword: keyword,
      range: SourceRange(line.position(at: wordStart), SourcePosition(line: last.lastLine, column: lastColumn)),
      text: line.bytes[wordStart..<max(wordStart, end)].text, comments: line.comments)
  }

  private static let heredocHint =
    "; if it belongs to a heredoc of the instruction above, write that as <<NAME, without a space"

  /// `cat << EOF`: the shell takes it for a heredoc, the language of Dockerfiles does not.
  private static func hasSpacedHeredoc(_ text: ArraySlice<UInt8>) -> Bool {
    let less = UInt8(ascii: "<")
    for at in text.indices.dropLast(3) where text[at] == less && text[at + 1] == less && text[at + 2].isSpace {
      if let next = text[(at + 3)...].first(where: { !$0.isSpace }), next.isLetter || "'\"".utf8.contains(next) {
        return true
      }
    }
    return false
  }

  private mutating func parseBody(_ arguments: Arguments) throws(DockerfileError) -> Dockerfile.Body {
    var flags = FlagReader(arguments, self)
    let body: Dockerfile.Body
    switch arguments.name {
    case "ADD": body = .add(try parseAdd(arguments, &flags))
    case "ARG": body = .arg(try parseArg(arguments))
    case "CMD": body = .cmd(try commandLine(arguments))
    case "COPY": body = .copy(try parseCopy(arguments, &flags))
    case "ENTRYPOINT": body = .entrypoint(try commandLine(arguments))
    case "ENV": body = .env(try keyValues(arguments))
    case "EXPOSE": body = .expose(try words(arguments))
    case "FROM": body = .from(try parseFrom(arguments, &flags))
    case "HEALTHCHECK": body = .healthcheck(try parseHealthCheck(arguments, &flags))
    case "LABEL": body = .label(try keyValues(arguments))
    case "MAINTAINER": body = .maintainer(try oneArgument(arguments))
    case "ONBUILD":
      try flags.finish()
      return .onbuild(try parseOnBuild(arguments))
    case "RUN": body = .run(try parseRun(arguments, &flags))
    case "SHELL": body = .shell(try parseShell(arguments))
    case "STOPSIGNAL": body = .stopsignal(try oneArgument(arguments))
    case "USER": body = .user(try oneArgument(arguments))
    case "VOLUME": body = .volume(try parseVolume(arguments))
    default: body = .workdir(try oneArgument(arguments))
    }
    try flags.finish()
    return body
  }

  private func fail(_ arguments: Arguments, _ message: String, code: DockerfileError.Code = .syntax)
    -> DockerfileError
  {
    let line = arguments.line
    return fail(code, message, line.range(0..<line.bytes.count))
  }

  // MARK: Forms shared by several instructions

  private func oneArgument(_ arguments: Arguments) throws(DockerfileError) -> String {
    guard !arguments.bytes.isEmpty else { throw fail(arguments, "\(arguments.name) requires exactly one argument") }
    return arguments.text
  }

  private func words(_ arguments: Arguments) throws(DockerfileError) -> [String] {
    let words = Parser.whitespaceWords(arguments.bytes).map(\.text)
    guard !words.isEmpty else { throw fail(arguments, "\(arguments.name) requires at least one argument") }
    return words
  }

  private mutating func commandLine(_ arguments: Arguments) throws(DockerfileError) -> Dockerfile.CommandLine {
    if let words = try parseJSONWords(arguments.line, arguments.offsets) { return .exec(words) }
    noteBrokenExecForm(arguments)
    // Without any argument, CMD and ENTRYPOINT forget what the base image says.
    return arguments.bytes.isEmpty && arguments.name != "RUN" ? .exec([]) : .shell(arguments.text)
  }

  /// `CMD ['a', 'b']` or `CMD ["a",]` was hardly meant for a shell.
  private mutating func noteBrokenExecForm(_ arguments: Arguments) {
    guard arguments.bytes.first == UInt8(ascii: "["), arguments.bytes.last == UInt8(ascii: "]") else { return }
    let inner = arguments.bytes.dropFirst().trimmed()
    let curly: [UInt8] = Array("“".utf8)
    guard let first = inner.first else { return }
    if first == Byte.doubleQuote || first == Byte.singleQuote || inner.starts(with: curly) {
      warnings.append(
        Dockerfile.Warning(kind: .looksLikeExecForm, range: arguments.line.range(arguments.offsets)))
    }
  }

  private func keyValues(_ arguments: Arguments) throws(DockerfileError) -> [Dockerfile.KeyValue] {
    let words = nameValueWords(arguments.bytes)
    guard let first = words.first else {
      throw fail(arguments, "\(arguments.name) requires at least one argument")
    }
    guard first.bytes.contains(Byte.equals) else {
      let value = line(arguments, from: first.offsets.upperBound)
      guard !value.isEmpty else { throw fail(arguments, "\(arguments.name) must have two arguments") }
      return [Dockerfile.KeyValue(key: first.bytes.text, value: value.text, isLegacy: true)]
    }
    var pairs: [Dockerfile.KeyValue] = []
    for word in words {
      guard let equals = word.bytes.firstIndex(of: Byte.equals) else {
        throw fail(
          .syntax,
          "Syntax error - can't find = in \(quoted(word.bytes.text)). Must be of the form: name=value",
          arguments.line.range(word.offsets))
      }
      guard equals > 0 else {
        throw fail(.syntax, "\(arguments.name) names can not be blank", arguments.line.range(word.offsets))
      }
      pairs.append(
        Dockerfile.KeyValue(key: word.bytes[..<equals].text, value: word.bytes[(equals + 1)...].text))
    }
    return pairs
  }

  private func line(_ arguments: Arguments, from offset: Int) -> ArraySlice<UInt8> {
    arguments.line.bytes[offset..<arguments.offsets.upperBound].trimmed()
  }

  /// The sources and destination of `ADD` and `COPY`.
  private func sources(_ arguments: Arguments) throws(DockerfileError) -> (
    [Dockerfile.FileSource], destination: String
  ) {
    let name = arguments.name
    var words: [String]
    var isJSON = false
    if let json = try parseJSONWords(arguments.line, arguments.offsets) {
      words = json
      isJSON = true
    } else {
      words = Parser.whitespaceWords(arguments.bytes).map(\.text)
    }
    guard !words.isEmpty else { throw fail(arguments, "\(name) requires at least two arguments") }
    guard words.count > 1, let destination = words.popLast() else {
      throw fail(
        arguments,
        "\(name) requires at least two arguments, but only one was provided. Destination could not be determined")
    }
    var heredocs = arguments.heredocs[...]
    var sources: [Dockerfile.FileSource] = []
    for word in words {
      if !isJSON, let named = parseHeredocWord(Array(word.utf8)[...]), heredocs.first?.name == named.name {
        sources.append(.heredoc(heredocs.removeFirst()))
      } else {
        sources.append(.path(word))
      }
    }
    guard heredocs.isEmpty else {
      let isDestination = parseHeredocWord(Array(destination.utf8)[...]) != nil
      throw fail(
        arguments,
        isDestination
          ? "\(name) cannot accept a heredoc as a destination"
          : "\(name) cannot use the heredoc \(quoted(heredocs.first?.name ?? "")): its name holds white space")
    }
    return (sources, destination)
  }

  // MARK: Instructions

  private func parseFrom(_ arguments: Arguments, _ flags: inout FlagReader) throws(DockerfileError) -> Dockerfile.From {
    let platform = try flags.string("platform")
    let words = Parser.whitespaceWords(arguments.bytes)
    guard words.count == 1 || (words.count == 3 && words[1].text.lowercased() == "as") else {
      throw fail(arguments, "FROM requires either one or three arguments")
    }
    var from = Dockerfile.From(image: words[0].text, platform: platform, name: nil, asKeyword: nil)
    if words.count == 3 {
      let name = words[2].text
      guard Parser.isStageName(name) else {
        throw fail(
          .syntax,
          "invalid name for build stage: \(quoted(name)), name can't start with a number or contain symbols",
          arguments.line.range(words[2].offsets))
      }
      from.name = name
      from.asKeyword = words[1].text
    }
    return from
  }

  static func isStageName(_ name: String) -> Bool {
    guard let first = name.utf8.first, first.isLetter else { return false }
    return name.utf8.allSatisfy { byte in
      byte.isLetter || byte.isDigit || byte == Byte.dash || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
    }
  }

  private func parseArg(_ arguments: Arguments) throws(DockerfileError) -> [Dockerfile.Argument] {
    let words = nameValueWords(arguments.bytes)
    guard !words.isEmpty else { throw fail(arguments, "ARG requires at least one argument") }
    var result: [Dockerfile.Argument] = []
    for word in words {
      let equals = word.bytes.firstIndex(of: Byte.equals)
      let name = word.bytes[..<(equals ?? word.bytes.endIndex)]
      guard !name.isEmpty else {
        throw fail(.syntax, "ARG names can not be blank", arguments.line.range(word.offsets))
      }
      result.append(Dockerfile.Argument(name: name.text, value: equals.map { word.bytes[($0 + 1)...].text }))
    }
    return result
  }

  private func parseCopy(_ arguments: Arguments, _ flags: inout FlagReader) throws(DockerfileError) -> Dockerfile.Copy {
    let from = try flags.string("from")
    if let from, from.contains("$") {
      throw flags.fail(
        "from",
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
      )
    }
    let chown = try flags.string("chown")
    let chmod = try flags.string("chmod")
    let link = try flags.bool("link") ?? false
    let parents = try flags.bool("parents") ?? false
    let exclude = try flags.strings("exclude")
    try flags.checkMode(chmod)
    let (sources, destination) = try sources(arguments)
    if let from, from.isEmpty { throw flags.fail("from", "missing a value on flag: from") }
    return Dockerfile.Copy(
      sources: sources, destination: destination, from: from, chown: chown, chmod: chmod, link: link,
      parents: parents, exclude: exclude)
  }

  private func parseAdd(_ arguments: Arguments, _ flags: inout FlagReader) throws(DockerfileError) -> Dockerfile.Add {
    let chown = try flags.string("chown")
    let chmod = try flags.string("chmod")
    let link = try flags.bool("link") ?? false
    let keepGitDirectory = try flags.bool("keep-git-dir") ?? false
    let checksum = try flags.string("checksum")
    let unpack = try flags.bool("unpack")
    let exclude = try flags.strings("exclude")
    try flags.checkMode(chmod)
    let (sources, destination) = try sources(arguments)
    return Dockerfile.Add(
      sources: sources, destination: destination, chown: chown, chmod: chmod, link: link, exclude: exclude,
      keepGitDirectory: keepGitDirectory, checksum: checksum, unpack: unpack)
  }

  private mutating func parseRun(_ arguments: Arguments, _ flags: inout FlagReader) throws(DockerfileError)
    -> Dockerfile.Run
  {
    var mounts: [Dockerfile.Mount] = []
    for (text, offsets) in try flags.placedStrings("mount") {
      do throws(DockerfileError) {
        var none: Expander?
        mounts.append(try Dockerfile.Mount.parse(text, &none))
      } catch {
        throw fail(error.code, error.message, arguments.line.range(offsets))
      }
    }
    var devices: [Dockerfile.Run.Device] = []
    for (text, offsets) in try flags.placedStrings("device") {
      do throws(DockerfileError) {
        devices.append(try Dockerfile.Run.Device.parse(text))
      } catch {
        throw fail(error.code, error.message, arguments.line.range(offsets))
      }
    }
    let network: Dockerfile.Run.Network = try flags.choice("network", "unsupported network mode") ?? .default
    let security: Dockerfile.Run.Security = try flags.choice("security", "security is not valid:") ?? .sandbox
    let command = try commandLine(arguments)
    if case .shell(let text) = command, text.isEmpty {
      throw fail(arguments, "RUN requires at least one argument")
    }
    if case .exec(let words) = command, words.isEmpty {
      throw fail(arguments, "RUN requires at least one argument")
    }
    return Dockerfile.Run(
      command: command, heredocs: arguments.heredocs, mounts: mounts, network: network, security: security,
      devices: devices)
  }

  private func parseShell(_ arguments: Arguments) throws(DockerfileError) -> [String] {
    guard !arguments.bytes.isEmpty else { throw fail(arguments, "SHELL requires at least one argument") }
    guard let words = try parseJSONWords(arguments.line, arguments.offsets) else {
      throw fail(arguments, "SHELL requires the arguments to be in JSON form")
    }
    guard !words.isEmpty else { throw fail(arguments, "SHELL requires at least one argument") }
    return words
  }

  private func parseVolume(_ arguments: Arguments) throws(DockerfileError) -> [String] {
    let words: [String]
    if let json = try parseJSONWords(arguments.line, arguments.offsets) {
      words = json
    } else {
      words = Parser.whitespaceWords(arguments.bytes).map(\.text)
    }
    guard !words.isEmpty else { throw fail(arguments, "VOLUME requires at least one argument") }
    guard words.allSatisfy({ !$0.trimmedText().isEmpty }) else {
      throw fail(arguments, "VOLUME specified can not be an empty string")
    }
    return words
  }

  private mutating func parseHealthCheck(_ arguments: Arguments, _ flags: inout FlagReader)
    throws(DockerfileError) -> Dockerfile.HealthCheck
  {
    let kind = Parser.whitespaceWords(arguments.bytes).first
    guard let kind else { throw fail(arguments, "HEALTHCHECK requires at least one argument") }
    var rest = arguments
    rest.offsets = kind.offsets.upperBound..<arguments.offsets.upperBound
    while let first = rest.bytes.first, first.isSpace {
      rest.offsets = (rest.offsets.lowerBound + 1)..<rest.offsets.upperBound
    }
    switch kind.text.uppercased() {
    case "NONE":
      guard rest.bytes.isEmpty else { throw fail(arguments, "HEALTHCHECK NONE takes no arguments") }
      return .none
    case "CMD":
      var timing = Dockerfile.HealthCheck.Timing()
      timing.interval = try flags.duration("interval")
      timing.timeout = try flags.duration("timeout")
      timing.startPeriod = try flags.duration("start-period")
      timing.startInterval = try flags.duration("start-interval")
      if let text = try flags.string("retries") {
        guard let retries = Int(text) else {
          throw flags.fail("retries", "--retries must be a whole number, not \(quoted(text))", .value)
        }
        guard retries >= 0 else {
          throw flags.fail("retries", "--retries cannot be negative (\(retries))", .value)
        }
        timing.retries = retries == 0 ? nil : retries
      }
      guard !rest.bytes.isEmpty else { throw fail(arguments, "Missing command after HEALTHCHECK CMD") }
      let command = try commandLine(rest)
      if case .exec(let words) = command, words.isEmpty {
        throw fail(arguments, "Missing command after HEALTHCHECK CMD")
      }
      return .cmd(command, timing)
    default:
      throw fail(
        .syntax, "Unknown type \(quoted(kind.text)) in HEALTHCHECK (try CMD)", arguments.line.range(kind.offsets))
    }
  }

  private mutating func parseOnBuild(_ arguments: Arguments) throws(DockerfileError) -> Dockerfile.OnBuild {
    guard !arguments.bytes.isEmpty else { throw fail(arguments, "ONBUILD requires at least one argument") }
    let trigger = try parseInstruction(arguments.line, from: arguments.offsets.lowerBound, isTrigger: true)
    var text = trigger.text
    let heredocs: [Dockerfile.Heredoc] =
      switch trigger.body {
      case .run(let run): run.heredocs
      case .copy(let copy): copy.sources.compactMap(\.heredoc)
      case .add(let add): add.sources.compactMap(\.heredoc)
      default: []
      }
    for heredoc in heredocs { text += "\n" + heredoc.content + heredoc.name }
    return Dockerfile.OnBuild(text: text, trigger: trigger)
  }

  func checkTrigger(_ name: String, _ range: SourceRange) throws(DockerfileError) {
    switch name {
    case "ONBUILD":
      throw fail(.syntax, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", range)
    case "MAINTAINER", "FROM":
      throw fail(.syntax, "\(name) isn't allowed as an ONBUILD trigger", range)
    default: break
    }
  }
}

extension Dockerfile.FileSource {
  /// The document, for a source that is one.
  public var heredoc: Dockerfile.Heredoc? {
    if case .heredoc(let heredoc) = self { heredoc } else { nil }
  }

  /// The path, pattern or URL, for a source that is no document.
  public var path: String? {
    if case .path(let path) = self { path } else { nil }
  }
}
