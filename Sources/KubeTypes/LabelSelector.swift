import Wire

/// Why a selector is refused, in the words of Kubernetes.
public struct SelectorError: Error, Sendable, Equatable, CustomStringConvertible {
  public var message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}

/// A condition on labels, from a URL (`app=web,tier in (a,b),!legacy`) or from a `metav1.LabelSelector`.
///
/// Semantics and messages are those of `k8s.io/apimachinery/pkg/labels`.
public struct Selector: Sendable, Equatable, CustomStringConvertible {
  public enum Operator: String, Sendable {
    case `in` = "in"
    case notIn = "notin"
    case equals = "="
    case doubleEquals = "=="
    case notEquals = "!="
    case greaterThan = "gt"
    case lessThan = "lt"
    case exists = "exists"
    case doesNotExist = "!"
  }

  /// One term. `values` is sorted and without repetition.
  public struct Requirement: Sendable, Equatable {
    public let key: String
    public let `operator`: Operator
    public let values: [String]

    /// Checks the key, the number of values and the values.
    public init(key: String, _ operator: Operator, _ values: [String] = []) throws(SelectorError) {
      try LabelSyntax.checkKey(key)
      let values = Set(values).sorted()
      func refuse(_ detail: String) -> SelectorError {
        let shown = values.map { "\"\($0)\"" }.joined(separator: ", ")
        return SelectorError("values: Invalid value: []string{\(shown)}: \(detail)")
      }
      switch `operator` {
      case .in, .notIn:
        if values.isEmpty { throw refuse("for 'in', 'notin' operators, values set can't be empty") }
      case .equals, .doubleEquals, .notEquals:
        if values.count != 1 { throw refuse("exact-match compatibility requires one single value") }
      case .exists, .doesNotExist:
        if !values.isEmpty { throw refuse("values set must be empty for exists and does not exist") }
      case .greaterThan, .lessThan:
        if values.count != 1 { throw refuse("for 'Gt', 'Lt' operators, exactly one value is required") }
        for (index, value) in values.enumerated() where Int64(value) == nil {
          throw SelectorError(
            "values[\(index)]: Invalid value: \"\(value)\": for 'Gt', 'Lt' operators, the value must be an integer")
        }
      }
      for (index, value) in values.enumerated() { try LabelSyntax.checkValue(value, key: key, index: index) }
      self.key = key
      self.operator = `operator`
      self.values = values
    }

    /// Whether labels meet the term. A missing label meets `notIn`, `notEquals` and `doesNotExist`.
    public func matches(_ labels: [String: String]) -> Bool {
      let value = labels[key]
      switch `operator` {
      case .in, .equals, .doubleEquals: return value.map(values.contains) ?? false
      case .notIn, .notEquals: return !(value.map(values.contains) ?? false)
      case .exists: return value != nil
      case .doesNotExist: return value == nil
      case .greaterThan, .lessThan:
        guard let number = value.flatMap(Int64.init), let limit = values.first.flatMap(Int64.init) else { return false }
        return `operator` == .greaterThan ? number > limit : number < limit
      }
    }
  }

  /// All of them must be met; sorted by key. None are met by everything.
  public let requirements: [Requirement]
  private let matchesNothing: Bool

  /// Matches every object.
  public static let everything = Selector([])
  /// Matches no object: a selector that is absent.
  public static let nothing = Selector([], matchesNothing: true)

  public init(_ requirements: [Requirement]) { self.init(requirements, matchesNothing: false) }

  private init(_ requirements: [Requirement], matchesNothing: Bool) {
    self.requirements = requirements.enumerated()
      .sorted { ($0.element.key, $0.offset) < ($1.element.key, $1.offset) }.map(\.element)
    self.matchesNothing = matchesNothing
  }

  /// Parses the URL syntax; the empty text selects everything.
  public init(parsing text: String) throws(SelectorError) {
    var parser = SelectorParser(text)
    self.init(try parser.parse())
  }

  /// Every label must have this value (`spec.selector` of a Service or ReplicationController).
  public init(matchLabels labels: [String: String]) throws(SelectorError) {
    var requirements: [Requirement] = []
    for (key, value) in labels { requirements.append(try Requirement(key: key, .equals, [value])) }
    self.init(requirements)
  }

  /// Reads a `metav1.LabelSelector`: absent selects nothing, empty selects everything.
  public init(labelSelector json: JSON?) throws(SelectorError) {
    guard let json, !json.isNull else {
      self = .nothing
      return
    }
    var requirements: [Requirement] = []
    for (key, value) in json["matchLabels"]?.object?.members ?? [] {
      requirements.append(try Requirement(key: key, .equals, [value.string ?? ""]))
    }
    for expression in json["matchExpressions"]?.array ?? [] {
      let name = expression["operator"]?.string ?? ""
      let `operator`: Operator
      switch name {
      case "In": `operator` = .in
      case "NotIn": `operator` = .notIn
      case "Exists": `operator` = .exists
      case "DoesNotExist": `operator` = .doesNotExist
      default: throw SelectorError("\"\(name)\" is not a valid label selector operator")
      }
      requirements.append(
        try Requirement(
          key: expression["key"]?.string ?? "", `operator`,
          expression["values"]?.array?.map { $0.string ?? "" } ?? []))
    }
    self.init(requirements)
  }

  public func matches(_ labels: [String: String]) -> Bool {
    !matchesNothing && requirements.allSatisfy { $0.matches(labels) }
  }

  /// Whether it selects everything.
  public var isEmpty: Bool { !matchesNothing && requirements.isEmpty }

  /// The URL syntax, as `status.selector` of a scale gives it.
  public var description: String {
    requirements.map { requirement in
      let key = requirement.key
      let value = requirement.values.first ?? ""
      switch requirement.operator {
      case .exists: return key
      case .doesNotExist: return "!\(key)"
      case .equals, .doubleEquals, .notEquals: return "\(key)\(requirement.operator.rawValue)\(value)"
      case .greaterThan: return "\(key)>\(value)"
      case .lessThan: return "\(key)<\(value)"
      case .in, .notIn:
        return "\(key) \(requirement.operator.rawValue) (\(requirement.values.joined(separator: ",")))"
      }
    }.joined(separator: ",")
  }
}

/// What label keys and values may be (`k8s.io/apimachinery/pkg/util/validation`).
enum LabelSyntax {
  private static let nameForm = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
  private static let nameRule =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    + " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '\(nameForm)')"
  private static let valueRule =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    + " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    + " '(\(nameForm))?')"
  private static let subdomainRule =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    + " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    + " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

  static func checkKey(_ key: String) throws(SelectorError) {
    let problems = keyProblems(key)
    if !problems.isEmpty {
      throw SelectorError("<nil>: Invalid value: \"\(key)\": \(problems.joined(separator: "; "))")
    }
  }

  static func checkValue(_ value: String, key: String, index: Int) throws(SelectorError) {
    var problems: [String] = []
    if value.utf8.count > 63 { problems.append("must be no more than 63 characters") }
    if !value.isEmpty, !isName(value[...]) { problems.append(valueRule) }
    if !problems.isEmpty {
      throw SelectorError(
        "values[\(index)][\(key)]: Invalid value: \"\(value)\": \(problems.joined(separator: "; "))")
    }
  }

  private static func keyProblems(_ key: String) -> [String] {
    var problems: [String] = []
    let parts = key.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let name = parts.last else {
      return [
        "a qualified name \(nameRule) with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
      ]
    }
    if parts.count == 2 {
      if parts[0].isEmpty {
        problems.append("prefix part must be non-empty")
      } else {
        if parts[0].utf8.count > 253 { problems.append("prefix part must be no more than 253 characters") }
        if !isSubdomain(parts[0]) { problems.append("prefix part \(subdomainRule)") }
      }
    }
    if name.isEmpty {
      problems.append("name part must be non-empty")
    } else if name.utf8.count > 63 {
      problems.append("name part must be no more than 63 characters")
    }
    if !isName(name) { problems.append("name part \(nameRule)") }
    return problems
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26
  }

  private static func isName(_ text: Substring) -> Bool {
    guard let first = text.utf8.first, let last = text.utf8.last else { return false }
    return isAlphanumeric(first) && isAlphanumeric(last)
      && text.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2D || $0 == 0x5F || $0 == 0x2E }
  }

  private static func isSubdomain(_ text: Substring) -> Bool {
    text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      guard let first = label.utf8.first, let last = label.utf8.last, first != 0x2D, last != 0x2D else { return false }
      return label.utf8.allSatisfy { $0 == 0x2D || $0 &- 0x30 < 10 || $0 &- 0x61 < 26 }
    }
  }
}

/// The grammar of `labels.Parse`, with its messages.
private struct SelectorParser {
  private enum Token: Equatable {
    case identifier, comma, openParenthesis, closeParenthesis, end
    case `operator`(Selector.Operator)
  }

  private let tokens: [(token: Token, text: String)]
  private var at = 0

  init(_ text: String) { tokens = Self.scan(text) }

  private static func isSpecial(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "="), UInt8(ascii: "!"), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: ","),
      UInt8(ascii: ">"), UInt8(ascii: "<"):
      true
    default: false
    }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A }

  private static func scan(_ text: String) -> [(token: Token, text: String)] {
    let bytes = Array(text.utf8)
    var tokens: [(token: Token, text: String)] = []
    var at = 0
    while at < bytes.count {
      let byte = bytes[at]
      if isSpace(byte) {
        at += 1
        continue
      }
      let next = at + 1 < bytes.count ? bytes[at + 1] : 0
      switch byte {
      case UInt8(ascii: ","): tokens.append((.comma, ","))
      case UInt8(ascii: "("): tokens.append((.openParenthesis, "("))
      case UInt8(ascii: ")"): tokens.append((.closeParenthesis, ")"))
      case UInt8(ascii: ">"): tokens.append((.operator(.greaterThan), ">"))
      case UInt8(ascii: "<"): tokens.append((.operator(.lessThan), "<"))
      case UInt8(ascii: "=") where next == UInt8(ascii: "="):
        tokens.append((.operator(.doubleEquals), "=="))
        at += 1
      case UInt8(ascii: "="): tokens.append((.operator(.equals), "="))
      case UInt8(ascii: "!") where next == UInt8(ascii: "="):
        tokens.append((.operator(.notEquals), "!="))
        at += 1
      case UInt8(ascii: "!"): tokens.append((.operator(.doesNotExist), "!"))
      default:
        let start = at
        while at < bytes.count, !isSpace(bytes[at]), !isSpecial(bytes[at]) { at += 1 }
        let word = String(decoding: bytes[start..<at], as: UTF8.self)
        switch word {
        case "in": tokens.append((.operator(.in), word))
        case "notin": tokens.append((.operator(.notIn), word))
        default: tokens.append((.identifier, word))
        }
        continue
      }
      at += 1
    }
    tokens.append((.end, ""))
    return tokens
  }

  /// The next token where a key or a value is expected: `in` and `notin` are plain words there.
  private var value: (token: Token, text: String) {
    let next = tokens[min(at, tokens.count - 1)]
    if next.token == .operator(.in) || next.token == .operator(.notIn) { return (.identifier, next.text) }
    return next
  }

  private mutating func takeValue() -> (token: Token, text: String) {
    let next = value
    at += 1
    return next
  }

  mutating func parse() throws(SelectorError) -> [Selector.Requirement] {
    var requirements: [Selector.Requirement] = []
    if value.token == .end { return requirements }
    while true {
      guard value.token == .identifier || value.token == .operator(.doesNotExist) else {
        throw SelectorError("found '\(value.text)', expected: !, identifier, or 'end of string'")
      }
      do {
        requirements.append(try parseRequirement())
      } catch {
        throw SelectorError("unable to parse requirement: \(error.message)")
      }
      let separator = takeValue()
      switch separator.token {
      case .end: return requirements
      case .comma:
        guard value.token == .identifier || value.token == .operator(.doesNotExist) else {
          throw SelectorError("found '\(value.text)', expected: identifier after ','")
        }
      default: throw SelectorError("found '\(separator.text)', expected: ',' or 'end of string'")
      }
    }
  }

  private mutating func parseRequirement() throws(SelectorError) -> Selector.Requirement {
    var key = takeValue()
    let isNegated = key.token == .operator(.doesNotExist)
    if isNegated { key = takeValue() }
    guard key.token == .identifier else { throw SelectorError("found '\(key.text)', expected: identifier") }
    try LabelSyntax.checkKey(key.text)
    if isNegated { return try Selector.Requirement(key: key.text, .doesNotExist) }
    if value.token == .end || value.token == .comma { return try Selector.Requirement(key: key.text, .exists) }

    let sign = tokens[min(at, tokens.count - 1)]
    at += 1
    guard case .operator(let `operator`) = sign.token, `operator` != .doesNotExist else {
      throw SelectorError("found '\(sign.text)', expected: in, notin, =, ==, !=, gt, lt")
    }
    if `operator` == .in || `operator` == .notIn {
      return try Selector.Requirement(key: key.text, `operator`, parseSet())
    }
    if value.token == .end || value.token == .comma {
      return try Selector.Requirement(key: key.text, `operator`, [""])
    }
    let operand = takeValue()
    guard operand.token == .identifier else { throw SelectorError("found '\(operand.text)', expected: identifier") }
    return try Selector.Requirement(key: key.text, `operator`, [operand.text])
  }

  /// `(a,b)`; an empty place between commas is the empty value.
  private mutating func parseSet() throws(SelectorError) -> [String] {
    let open = takeValue()
    guard open.token == .openParenthesis else { throw SelectorError("found '\(open.text)' expected: '('") }
    if value.token == .closeParenthesis {
      at += 1
      return []
    }
    guard value.token == .identifier || value.token == .comma else {
      throw SelectorError("found '\(value.text)', expected: ',', ')' or identifier")
    }
    var values: [String] = []
    var isPlaceEmpty = true
    while true {
      let next = takeValue()
      switch next.token {
      case .identifier where isPlaceEmpty:
        values.append(next.text)
        isPlaceEmpty = false
      case .comma:
        if isPlaceEmpty { values.append("") }
        isPlaceEmpty = true
      case .closeParenthesis:
        if isPlaceEmpty { values.append("") }
        return values
      case .identifier: throw SelectorError("found '\(next.text)', expected: ',' or ')'")
      default:
        throw SelectorError("found '\(next.text)', expected: \(isPlaceEmpty ? "',', or identifier" : "',' or ')'")")
      }
    }
  }
}
