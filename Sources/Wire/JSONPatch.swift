/// Why a patch cannot be applied.
public struct PatchError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Reason: Sendable, Equatable {
    /// The patch itself is no patch.
    case malformed
    /// The patch does not fit this object: a path is missing or a `test` failed.
    case inapplicable
  }

  public var reason: Reason
  public var message: String

  public init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message
  }

  public var description: String { message }
}

/// JSON Patch (RFC 6902).
public enum JSONPatch {
  /// More operations than any real patch has; Kubernetes draws the same line.
  public static let operationsMax = 10_000
  /// Values and bytes of text that the operations of one patch may put in. A short patch of `copy` operations would
  /// double the document with each.
  static let insertedMax = 8 << 20
  /// The parser's own limit: what reads the result recurses.
  static let depthMax = 512

  /// The document with all operations applied in order, or an error and no change.
  public static func apply(_ patch: JSON, to document: JSON) throws(PatchError) -> JSON {
    guard let operations = patch.array else { throw PatchError(.malformed, "a JSON patch is an array of operations") }
    guard operations.count <= operationsMax else {
      throw PatchError(
        .malformed, "a JSON patch may hold \(operationsMax) operations, this one has \(operations.count)")
    }
    var document = document
    var budget = insertedMax
    for (index, operation) in operations.enumerated() {
      do {
        try apply(operation: operation, to: &document, &budget)
      } catch {
        throw PatchError(error.reason, "operation \(index): \(error.message)")
      }
    }
    return document
  }

  /// Takes what `value` costs from the budget.
  private static func spend(_ value: JSON, depth: Int, _ budget: inout Int) throws(PatchError) {
    guard depth <= depthMax else { throw PatchError(.malformed, "nesting deeper than \(depthMax) levels") }
    budget -= 1
    switch value {
    case .string(let text): budget -= text.utf8.count
    case .array(let elements): for element in elements { try spend(element, depth: depth + 1, &budget) }
    case .object(let object):
      for member in object.members {
        budget -= member.key.utf8.count
        try spend(member.value, depth: depth + 1, &budget)
      }
    default: break
    }
    guard budget >= 0 else { throw PatchError(.malformed, "the patch adds more than \(insertedMax) bytes") }
  }

  private static func apply(operation: JSON, to document: inout JSON, _ budget: inout Int) throws(PatchError) {
    guard let name = operation["op"]?.string else { throw PatchError(.malformed, "\"op\" is missing") }
    let path = try pointer(operation, "path")
    func value() throws(PatchError) -> JSON {
      guard let value = operation["value"] else { throw PatchError(.malformed, "\"value\" is missing") }
      return value
    }
    switch name {
    case "add":
      let value = try value()
      try spend(value, depth: path.count, &budget)
      try add(value, at: path, to: &document)
    case "remove": _ = try remove(at: path, from: &document)
    case "replace":
      let value = try value()
      try spend(value, depth: path.count, &budget)
      if path.isEmpty {
        document = value
      } else {
        try change(at: path, before: path.count, in: &document) { $0 = value }
      }
    case "test":
      guard try test(path, is: value(), in: document) else {
        throw PatchError(.inapplicable, "test failed at \(text(path))")
      }
    case "copy":
      let value = try get(pointer(operation, "from"), from: document)
      try spend(value, depth: path.count, &budget)
      try add(value, at: path, to: &document)
    case "move":
      let from = try pointer(operation, "from")
      guard !path.starts(with: from) || path.count == from.count else {
        throw PatchError(.malformed, "a value cannot be moved into itself")
      }
      let value = try remove(at: from, from: &document)
      try spend(value, depth: path.count, &budget)
      try add(value, at: path, to: &document)
    default: throw PatchError(.malformed, "unknown operation \"\(name)\"")
    }
  }

  /// The reference tokens of a JSON pointer (RFC 6901).
  private static func pointer(_ operation: JSON, _ member: String) throws(PatchError) -> [String] {
    guard let text = operation[member]?.string else { throw PatchError(.malformed, "\"\(member)\" is missing") }
    if text.isEmpty { return [] }
    guard text.first == "/" else { throw PatchError(.malformed, "\"\(member)\" must be empty or start with '/'") }
    var tokens: [String] = []
    for raw in text.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      var token = ""
      var isEscape = false
      for character in raw {
        if isEscape {
          guard character == "0" || character == "1" else {
            throw PatchError(.malformed, "\"\(member)\" has a '~' that is not followed by 0 or 1")
          }
          token.append(character == "0" ? "~" : "/")
          isEscape = false
        } else if character == "~" {
          isEscape = true
        } else {
          token.append(character)
        }
      }
      if isEscape { throw PatchError(.malformed, "\"\(member)\" ends with '~'") }
      tokens.append(token)
    }
    return tokens
  }

  private static func text(_ path: some Sequence<String>) -> String {
    path.map { "/" + $0 }.joined()
  }

  private static func nothing(at path: ArraySlice<String>) -> PatchError {
    PatchError(.inapplicable, "nothing at \(text(path))")
  }

  /// The index that a token means in an array of `count` elements; -1 is the last one, as Kubernetes' library reads it
  /// beyond the RFC.
  private static func arrayIndex(_ token: String, count: Int) throws(PatchError) -> Int {
    guard let number = Int(token), token == String(number) else {
      throw PatchError(.inapplicable, "\"\(token)\" is no array index")
    }
    let index = number < 0 ? number + count : number
    guard (0..<count).contains(index) else {
      throw PatchError(.inapplicable, "index \(number) is beyond the array's end")
    }
    return index
  }

  private static func get(_ path: [String], from document: JSON) throws(PatchError) -> JSON {
    var value = document
    for (depth, token) in path.enumerated() {
      switch value {
      case .object(let object):
        guard let next = object[token] else { throw nothing(at: path[...depth]) }
        value = next
      case .array(let elements): value = elements[try arrayIndex(token, count: elements.count)]
      default: throw nothing(at: path[...depth])
      }
    }
    return value
  }

  /// Whether the value at a path is `wanted`; a member that is absent from its object is null.
  private static func test(_ path: [String], is wanted: JSON, in document: JSON) throws(PatchError) -> Bool {
    if wanted.isNull, let last = path.last, case .object(let parent) = try get(Array(path.dropLast()), from: document) {
      return parent[last]?.isNull ?? true
    }
    return try get(path, from: document) == wanted
  }

  /// Calls `body` on the existing value at the first `end` tokens of a path.
  private static func change(
    at path: [String], before end: Int, from depth: Int = 0, in document: inout JSON,
    _ body: (inout JSON) throws(PatchError) -> Void
  ) throws(PatchError) {
    guard depth < end else { return try body(&document) }
    switch document {
    case .object(var object):
      guard let at = object.index(of: path[depth]) else { throw nothing(at: path[...depth]) }
      document = .null
      defer { document = .object(object) }
      var value = object.members[at].value
      try change(at: path, before: end, from: depth + 1, in: &value, body)
      object.update(at: at) { $0 = value }
    case .array(var elements):
      let index = try arrayIndex(path[depth], count: elements.count)
      document = .null
      defer { document = .array(elements) }
      try change(at: path, before: end, from: depth + 1, in: &elements[index], body)
    default: throw nothing(at: path[...depth])
    }
  }

  private static func add(_ value: JSON, at path: [String], to document: inout JSON) throws(PatchError) {
    guard let last = path.last else {
      document = value
      return
    }
    try change(at: path, before: path.count - 1, in: &document) { (parent: inout JSON) throws(PatchError) in
      switch parent {
      case .object: parent[last] = value
      case .array(var elements):
        parent = .null
        defer { parent = .array(elements) }
        elements.insert(value, at: last == "-" ? elements.count : try arrayIndex(last, count: elements.count + 1))
      default: throw PatchError(.inapplicable, "\(text(path.dropLast())) is neither object nor array")
      }
    }
  }

  private static func remove(at path: [String], from document: inout JSON) throws(PatchError) -> JSON {
    guard let last = path.last else { throw PatchError(.inapplicable, "the whole document cannot be removed") }
    var removed = JSON.null
    try change(at: path, before: path.count - 1, in: &document) { (parent: inout JSON) throws(PatchError) in
      switch parent {
      case .object(let object):
        guard let value = object[last] else { throw nothing(at: path[...]) }
        removed = value
        parent[last] = nil
      case .array(var elements):
        let index = try arrayIndex(last, count: elements.count)
        removed = elements.remove(at: index)
        parent = .array(elements)
      default: throw nothing(at: path[...])
      }
    }
    return removed
  }
}

/// JSON Merge Patch (RFC 7386).
public enum MergePatch {
  /// Members of the patch replace those of the target; `null` removes them; objects are merged.
  public static func apply(_ patch: JSON, to target: JSON) -> JSON {
    guard case .object(let changes) = patch else { return patch }
    var result: JSONObject
    if case .object(let members) = target { result = members } else { result = JSONObject() }
    // Looking each key up in turn would be quadratic: maps may have a hundred thousand.
    var positions = Dictionary(
      result.members.enumerated().map { ($1.key, $0) }, uniquingKeysWith: { first, _ in first })
    var removed: Set<Int> = []
    for (key, change) in changes.members {
      let position = positions[key]
      if change.isNull {
        if let position { removed.insert(position) }
      } else if let position {
        result.update(at: position) { $0 = apply(change, to: $0) }
      } else {
        positions[key] = result.count
        result.append(uniqueKey: key, apply(change, to: .null))
      }
    }
    if !removed.isEmpty {
      var position = 0
      result.removeAll { _ in
        defer { position += 1 }
        return removed.contains(position)
      }
    }
    return .object(result)
  }
}
