/// Replaces variables and resolves quotes in the words of a Dockerfile.
///
/// `$name`, `${name}`, `${name:-word}` `${name-word}` `${name:+word}` `${name+word}` `${name:?message}`
/// `${name?message}`, `${name#pattern}` `##` `%` `%%`, `${name/pattern/text}` `//`. A pattern knows `*`, `?` and
/// escapes. Single quotes keep everything, double quotes keep all but variables and `\"`, `\$`, `\\`. A variable that
/// is not set is empty.
public struct Expander {
  /// A backslash or a backtick (`# escape=`).
  public var escape: UInt8
  /// Quotes mean nothing, as in the text of a heredoc.
  public var keepsQuotes: Bool
  /// The bound of a result in bytes: values that double themselves line by line end here.
  public var bytesMax: Int
  /// Variables that were used and not set, without a modifier that provides for that; in their order.
  public private(set) var undefined: [String] = []
  /// Variables that were used and set.
  public private(set) var used: Set<String> = []

  private let lookup: (String) -> String?
  private var missing: Set<String> = []
  private var bytes: [UInt8] = []
  private var at = 0
  private var depth = 0
  /// Steps that pattern matching may still take: patterns are matched in time bounded by this, whatever they are.
  var stepsLeft = Expander.stepsMax

  static let depthMax = 64
  static let stepsMax = 4_000_000

  public init(
    escape: UInt8 = UInt8(ascii: "\\"), keepsQuotes: Bool = false, bytesMax: Int = 1 << 20,
    lookup: @escaping (String) -> String?
  ) {
    self.escape = escape
    self.keepsQuotes = keepsQuotes
    self.bytesMax = bytesMax
    self.lookup = lookup
  }

  /// The text with its variables replaced and its quotes and escapes resolved.
  public mutating func expand(_ text: String) throws(DockerfileError) -> String {
    try run(text).text.text
  }

  /// The same, cut into words at white space outside quotes, after the replacement.
  public mutating func words(_ text: String) throws(DockerfileError) -> [String] {
    var output = try run(text)
    return output.words.finish()
  }

  private struct Words {
    var done: [String] = []
    var word: [UInt8] = []
    var isInWord = false

    mutating func add(_ byte: UInt8) {
      guard byte.isSpace else { return addRaw(byte) }
      if isInWord {
        done.append(word.text)
        word = []
        isInWord = false
      }
    }
    mutating func addRaw(_ byte: UInt8) {
      word.append(byte)
      isInWord = true
    }
    mutating func finish() -> [String] {
      if isInWord { done.append(word.text) }
      return done
    }
  }

  private struct Output {
    var text: [UInt8] = []
    var words = Words()
  }

  private mutating func run(_ text: String) throws(DockerfileError) -> Output {
    bytes = Array(text.utf8)
    at = 0
    depth = 0
    do throws(DockerfileError) {
      return try process(until: nil, rawEscapes: false)
    } catch {
      throw DockerfileError(
        error.code, "failed to process \(quoted(SourceText.printable(text, limit: 200))): \(error.message)")
    }
  }

  private func fail(_ message: String) -> DockerfileError { DockerfileError(.expansion, message) }

  private func checkSize(_ count: Int) throws(DockerfileError) {
    if count > bytesMax { throw DockerfileError(.limit, "the value grows beyond \(bytesMax) bytes") }
  }

  /// Reads up to `stop` (which is taken) or to the end.
  private mutating func process(until stop: UInt8?, rawEscapes: Bool) throws(DockerfileError) -> Output {
    var result = Output()
    while at < bytes.count {
      let byte = bytes[at]
      if byte == stop {
        at += 1
        return result
      }
      switch byte {
      case Byte.dollar:
        let value = try dollar()
        result.text += value
        for byte in value { result.words.add(byte) }
      case Byte.singleQuote where !keepsQuotes:
        let value = try singleQuote()
        result.text += value
        result.words.isInWord = true
        result.words.word += value
      case Byte.doubleQuote where !keepsQuotes:
        let value = try doubleQuote(rawEscapes: rawEscapes)
        result.text += value
        result.words.isInWord = true
        result.words.word += value
      case escape:
        at += 1
        if rawEscapes {
          result.text.append(byte)
          result.words.addRaw(byte)
        }
        guard at < bytes.count else { break }
        result.text.append(bytes[at])
        result.words.addRaw(bytes[at])
        at += 1
      default:
        result.text.append(byte)
        result.words.add(byte)
        at += 1
      }
      try checkSize(result.text.count)
    }
    if let stop {
      throw fail(
        "unexpected end of statement while looking for matching \(String(UnicodeScalar(stop)))")
    }
    return result
  }

  private mutating func singleQuote() throws(DockerfileError) -> ArraySlice<UInt8> {
    let start = at + 1
    guard let end = bytes[start...].firstIndex(of: Byte.singleQuote) else {
      at = bytes.count
      throw fail("unexpected end of statement while looking for matching single-quote")
    }
    at = end + 1
    return bytes[start..<end]
  }

  private mutating func doubleQuote(rawEscapes: Bool) throws(DockerfileError) -> [UInt8] {
    var result: [UInt8] = []
    at += 1
    while at < bytes.count {
      let byte = bytes[at]
      switch byte {
      case Byte.doubleQuote:
        at += 1
        return result
      case Byte.dollar:
        result += try dollar()
        try checkSize(result.count)
      case escape:
        at += 1
        guard at < bytes.count else { break }
        let next = bytes[at]
        if next == Byte.doubleQuote || next == Byte.dollar || next == escape {
          if rawEscapes { result.append(byte) }
          result.append(next)
          at += 1
        } else {
          result.append(byte)
        }
      default:
        result.append(byte)
        at += 1
      }
    }
    throw fail("unexpected end of statement while looking for matching double-quote")
  }

  // MARK: Variables

  private mutating func dollar() throws(DockerfileError) -> [UInt8] {
    at += 1
    guard at < bytes.count, bytes[at] == UInt8(ascii: "{") else {
      let name = name()
      return name.isEmpty ? [Byte.dollar] : Array((value(of: name, counts: true) ?? "").utf8)
    }
    depth += 1
    defer { depth -= 1 }
    guard depth <= Expander.depthMax else {
      throw DockerfileError(.limit, "variables are nested deeper than \(Expander.depthMax)")
    }
    at += 1
    guard at < bytes.count else { throw fail("syntax error: missing '}'") }
    switch bytes[at] {
    case UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: ":"): throw fail("syntax error: bad substitution")
    default: break
    }
    let name = name()
    guard at < bytes.count else { throw fail("syntax error: missing '}'") }
    var modifier = bytes[at]
    at += 1
    switch modifier {
    case UInt8(ascii: "}"):
      return Array((value(of: name, counts: true) ?? "").utf8)
    case UInt8(ascii: ":"):
      guard at < bytes.count else { throw fail("syntax error: missing '}'") }
      modifier = bytes[at]
      at += 1
      guard [UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "?")].contains(modifier) else {
        throw unsupported(":" + printable(modifier))
      }
      return try conditional(name, modifier, emptyIsUnset: true)
    case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "?"):
      return try conditional(name, modifier, emptyIsUnset: false)
    case UInt8(ascii: "#"), UInt8(ascii: "%"):
      let isGreedy = at < bytes.count && bytes[at] == modifier
      if isGreedy { at += 1 }
      let pattern = try GlobPattern(try braced(rawEscapes: true))
      let value = Array((value(of: name, counts: true) ?? "").utf8)
      return modifier == UInt8(ascii: "#")
        ? Array(value.dropFirst(try pattern.prefix(of: value, longest: isGreedy, &stepsLeft) ?? 0))
        : Array(value.dropLast(try pattern.suffix(of: value, longest: isGreedy, &stepsLeft) ?? 0))
    case UInt8(ascii: "/"):
      let replacesAll = at < bytes.count && bytes[at] == modifier
      if replacesAll { at += 1 }
      let pattern: GlobPattern
      do throws(DockerfileError) {
        pattern = try GlobPattern(try process(until: UInt8(ascii: "/"), rawEscapes: true).text)
      } catch {
        throw at >= bytes.count && error.code == .expansion ? fail("syntax error: missing '/' in ${}") : error
      }
      // Escapes stay in the replacement, as in BuildKit.
      let replacement = try braced(rawEscapes: true)
      let value = Array((value(of: name, counts: true) ?? "").utf8)
      return try pattern.replace(
        in: value, with: replacement, all: replacesAll, bytesMax: bytesMax, &stepsLeft)
    default:
      throw unsupported(printable(modifier))
    }
  }

  private func unsupported(_ modifier: String) -> DockerfileError {
    fail("unsupported modifier (\(modifier)) in substitution")
  }

  private func printable(_ byte: UInt8) -> String {
    byte >= 0x20 && byte < 0x7f ? String(UnicodeScalar(byte)) : "byte \(byte)"
  }

  /// Up to the closing brace.
  private mutating func braced(rawEscapes: Bool) throws(DockerfileError) -> [UInt8] {
    do throws(DockerfileError) {
      return try process(until: UInt8(ascii: "}"), rawEscapes: rawEscapes).text
    } catch {
      throw at >= bytes.count && error.code == .expansion && error.message.contains("looking for matching }")
        ? fail("syntax error: missing '}'") : error
    }
  }

  private mutating func conditional(_ name: String, _ modifier: UInt8, emptyIsUnset: Bool)
    throws(DockerfileError) -> [UInt8]
  {
    let word = try braced(rawEscapes: false)
    let value = value(of: name, counts: false)
    let isSet = value != nil && !(emptyIsUnset && value == "")
    switch modifier {
    case UInt8(ascii: "-"): return isSet ? Array((value ?? "").utf8) : word
    case UInt8(ascii: "+"): return isSet ? word : []
    default:
      if isSet { return Array((value ?? "").utf8) }
      let why = word.isEmpty ? "is not allowed to be \(value == nil ? "unset" : "empty")" : word.text
      throw fail("\(name): \(why)")
    }
  }

  /// Letters, digits and underscores; or digits; or one of the shell's special parameters, which are never set here.
  private mutating func name() -> String {
    let start = at
    guard at < bytes.count else { return "" }
    if bytes[at].isDigit {
      while at < bytes.count, bytes[at].isDigit { at += 1 }
    } else if "@*#?-$!".utf8.contains(bytes[at]) {
      at += 1
    } else {
      while at < bytes.count, bytes[at].isLetter || bytes[at].isDigit || bytes[at] == UInt8(ascii: "_") { at += 1 }
    }
    return bytes[start..<at].text
  }

  private mutating func value(of name: String, counts: Bool) -> String? {
    let value = lookup(name)
    if value != nil {
      used.insert(name)
    } else if counts, missing.insert(name).inserted {
      undefined.append(name)
    }
    return value
  }
}
