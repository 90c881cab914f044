import CYAML

/// Why bytes are not YAML, and where.
public struct YAMLError: Error, Sendable, Equatable, CustomStringConvertible {
  public var message: String
  /// From 1.
  public var line: Int
  /// From 1.
  public var column: Int

  public var description: String { "yaml: line \(line), column \(column): \(message)" }
}

/// YAML as Kubernetes reads it: the JSON-compatible part of YAML 1.1, by libyaml.
public enum YAML {
  /// Aliases may not blow a document up to more than this many values.
  static let valuesMax = 1_000_000
  static let depthMax = 256

  /// The documents of a stream; empty documents are left out. Repeated keys, keys that are no scalars, and unknown
  /// aliases are errors.
  public static func parse(_ bytes: [UInt8]) throws(YAMLError) -> [JSON] {
    var builder = Builder()
    let result: Result<Void, YAMLError> = bytes.withUnsafeBufferPointer { buffer in
      var parser = yaml_parser_t()
      guard yaml_parser_initialize(&parser) == 1 else {
        return .failure(YAMLError(message: "out of memory", line: 1, column: 1))
      }
      defer { yaml_parser_delete(&parser) }
      yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
      while true {
        var event = yaml_event_t()
        guard yaml_parser_parse(&parser, &event) == 1 else {
          let problem = parser.problem.map { String(cString: $0) } ?? "malformed"
          let isReader = parser.error == YAML_READER_ERROR
          return .failure(
            YAMLError(
              message: problem, line: Int(isReader ? parser.mark.line : parser.problem_mark.line) + 1,
              column: Int(isReader ? parser.mark.column : parser.problem_mark.column) + 1))
        }
        defer { yaml_event_delete(&event) }
        if event.type == YAML_STREAM_END_EVENT { return .success(()) }
        do throws(YAMLError) {
          try builder.take(event)
        } catch {
          return .failure(error)
        }
      }
    }
    try result.get()
    return builder.documents
  }

  /// A collection that is still open.
  private struct Frame {
    var value: JSON
    /// The key that waits for its value, in a mapping.
    var key: String?
    var keys: Set<String> = []
    /// Whether a merge key brought members that a later key may name again.
    var hasMerged = false
    var anchor: String?
  }

  private struct Builder {
    var documents: [JSON] = []
    var stack: [Frame] = []
    var anchors: [String: JSON] = [:]
    var values = 0

    mutating func take(_ event: yaml_event_t) throws(YAMLError) {
      func failure(_ message: String) -> YAMLError {
        YAMLError(message: message, line: Int(event.start_mark.line) + 1, column: Int(event.start_mark.column) + 1)
      }
      func name(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        pointer.map { String(cString: $0) }
      }
      switch event.type {
      case YAML_DOCUMENT_START_EVENT: anchors = [:]
      case YAML_SCALAR_EVENT:
        let scalar = event.data.scalar
        let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
        let isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
        if case .object = stack.last?.value, stack.last?.key == nil {
          // Only the text of a key counts: JSON has no other keys.
          guard stack[stack.count - 1].keys.insert(text).inserted else {
            throw failure("key \"\(text)\" already set in map")
          }
          stack[stack.count - 1].key = text
          return
        }
        let tag = name(scalar.tag)
        let value = tag == "tag:yaml.org,2002:str" || !isPlain ? JSON.string(text) : YAML.resolve(text)
        if let anchor = name(scalar.anchor) { anchors[anchor] = value }
        try put(value, failure)
      case YAML_SEQUENCE_START_EVENT:
        try open(.array([]), anchor: name(event.data.sequence_start.anchor), failure)
      case YAML_MAPPING_START_EVENT:
        try open(.object(JSONObject()), anchor: name(event.data.mapping_start.anchor), failure)
      case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
        guard let frame = stack.popLast() else { return }
        if let anchor = frame.anchor { anchors[anchor] = frame.value }
        try put(frame.value, failure)
      case YAML_ALIAS_EVENT:
        let alias = name(event.data.alias.anchor) ?? ""
        guard let value = anchors[alias] else { throw failure("unknown anchor '\(alias)' referenced") }
        guard stack.count + YAML.depth(value) <= depthMax else {
          throw failure("nesting deeper than \(depthMax) levels")
        }
        values += YAML.count(value)
        try put(value, failure)
      default: break
      }
    }

    mutating func open(_ value: JSON, anchor: String?, _ failure: (String) -> YAMLError) throws(YAMLError) {
      if case .object = stack.last?.value, stack.last?.key == nil {
        throw failure("a key must be a scalar")
      }
      guard stack.count < depthMax else { throw failure("nesting deeper than \(depthMax) levels") }
      stack.append(Frame(value: value, anchor: anchor))
    }

    mutating func put(_ value: JSON, _ failure: (String) -> YAMLError) throws(YAMLError) {
      values += 1
      guard values <= valuesMax else { throw failure("document contains excessive aliasing") }
      guard !stack.isEmpty else {
        if !value.isNull { documents.append(value) }
        return
      }
      let top = stack.count - 1
      switch stack[top].value {
      case .array(var elements):
        stack[top].value = .null
        elements.append(value)
        stack[top].value = .array(elements)
      case .object(var object):
        guard let key = stack[top].key else { throw failure("a key must be a scalar") }
        stack[top].value = .null
        stack[top].key = nil
        if key == "<<" {
          YAML.merge(value, into: &object)
          stack[top].hasMerged = true
        } else if stack[top].hasMerged {
          object[key] = value
        } else {
          object.append(uniqueKey: key, value)
        }
        stack[top].value = .object(object)
      default: break
      }
    }
  }

  /// The merge key (`<<: *defaults`): members that are there already win.
  private static func merge(_ value: JSON, into object: inout JSONObject) {
    switch value {
    case .object(let members):
      let present = Set(object.keys)
      for (key, value) in members.members where !present.contains(key) { object.append(uniqueKey: key, value) }
    case .array(let parts): for part in parts { merge(part, into: &object) }
    default: break
    }
  }

  private static func depth(_ value: JSON) -> Int {
    switch value {
    case .array(let elements): elements.reduce(0) { max($0, depth($1)) } + 1
    case .object(let object): object.members.reduce(0) { max($0, depth($1.value)) } + 1
    default: 0
    }
  }

  private static func count(_ value: JSON) -> Int {
    switch value {
    case .array(let elements): elements.reduce(1) { $0 + count($1) }
    case .object(let object): object.members.reduce(1) { $0 + count($1.value) }
    default: 1
    }
  }

  /// The value of a plain scalar, by the core schema with YAML 1.1's booleans, as sigs.k8s.io/yaml reads it.
  static func resolve(_ text: String) -> JSON {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return .bool(true)
    case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return .bool(false)
    default: break
    }
    guard let first = text.utf8.first,
      (0x30...0x39).contains(first) || first == UInt8(ascii: "-") || first == UInt8(ascii: "+")
        || first == UInt8(ascii: ".")
    else { return .string(text) }
    let digits = text.filter { $0 != "_" }
    let isNegative = digits.hasPrefix("-")
    let magnitude = isNegative || digits.hasPrefix("+") ? String(digits.dropFirst()) : digits
    func whole(_ text: Substring, radix: Int) -> JSON? {
      guard let value = Int64(text, radix: radix) else { return nil }
      return .int(isNegative ? -value : value)
    }
    if magnitude.hasPrefix("0x"), let value = whole(magnitude.dropFirst(2), radix: 16) { return value }
    if magnitude.hasPrefix("0o"), let value = whole(magnitude.dropFirst(2), radix: 8) { return value }
    if magnitude.hasPrefix("0b"), let value = whole(magnitude.dropFirst(2), radix: 2) { return value }
    if magnitude.count > 1, magnitude.hasPrefix("0"), let value = whole(magnitude.dropFirst(1), radix: 8) {
      return value
    }
    if let value = Int64(digits) { return .int(value) }
    let isDecimal = magnitude.utf8.allSatisfy {
      (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") || $0 | 0x20 == UInt8(ascii: "e") || $0 == UInt8(ascii: "-")
        || $0 == UInt8(ascii: "+")
    }
    if isDecimal, magnitude.utf8.contains(where: { (0x30...0x39).contains($0) }), let value = Double(digits),
      value.isFinite
    {
      return .double(value)
    }
    return .string(text)
  }
}
