/// A JSON value (RFC 8259).
///
/// Whole numbers that fit are `.int`; every other number is `.double`. Objects keep the order of their members, so
/// that what was sent is what is stored and shown.
public enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case string(String)
  case array([JSON])
  case object(JSONObject)
}

/// The members of a JSON object in their order. Look-up is linear: API objects have few members per level.
public struct JSONObject: Sendable, ExpressibleByDictionaryLiteral {
  public typealias Member = (key: String, value: JSON)

  public private(set) var members: [Member]

  public init() { members = [] }

  public init(dictionaryLiteral elements: (String, JSON)...) {
    members = elements.map { (key: $0.0, value: $0.1) }
  }

  /// Takes members whose keys are known to differ; the parser checks that itself.
  public init(uniqueMembers: [Member]) { members = uniqueMembers }

  public var isEmpty: Bool { members.isEmpty }
  public var count: Int { members.count }
  public var keys: [String] { members.map(\.key) }

  @inlinable
  public func index(of key: String) -> Int? { members.firstIndex { $0.key == key } }

  /// The value of `key`; assigning `nil` removes the member, a new key goes to the end.
  public subscript(key: String) -> JSON? {
    get { index(of: key).map { members[$0].value } }
    set {
      switch (index(of: key), newValue) {
      case (let at?, let value?): members[at].value = value
      case (let at?, nil): members.remove(at: at)
      case (nil, let value?): members.append((key: key, value: value))
      case (nil, nil): break
      }
    }
    _modify {
      let at = index(of: key)
      var value: JSON?
      if let at {
        // Take the value out of the array first, so that changing a nested value in place does not copy it.
        value = members[at].value
        members[at].value = .null
      }
      defer {
        switch (at, value) {
        case (let at?, let value?): members[at].value = value
        case (let at?, nil): members.remove(at: at)
        case (nil, let value?): members.append((key: key, value: value))
        case (nil, nil): break
        }
      }
      yield &value
    }
  }

  /// Adds a member whose key is known to be new, without a look-up.
  public mutating func append(uniqueKey key: String, _ value: JSON) { members.append((key: key, value: value)) }

  public mutating func removeAll(where shouldRemove: (Member) throws -> Bool) rethrows {
    try members.removeAll(where: shouldRemove)
  }

  /// Changes the value at a position of `members`, without a look-up.
  public mutating func update(at position: Int, _ body: (inout JSON) throws -> Void) rethrows {
    try body(&members[position].value)
  }
}

extension JSONObject: Equatable {
  /// Two objects are equal when they have the same members, in whichever order (RFC 8259, section 4).
  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    guard a.count == b.count else { return false }
    // Only for large objects in another order, where looking each key up in turn would be quadratic.
    var values: [String: JSON]?
    for (position, member) in a.members.enumerated() {
      // Objects that were made alike have their members at the same places.
      let other = b.members[position]
      if other.key == member.key {
        if other.value != member.value { return false }
        continue
      }
      if values == nil, b.count > 32 {
        values = Dictionary(b.members.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
      }
      if (values.map { $0[member.key] } ?? b[member.key]) != member.value { return false }
    }
    return true
  }
}

extension JSON {
  @inlinable public var isNull: Bool { if case .null = self { true } else { false } }
  @inlinable public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  @inlinable public var string: String? { if case .string(let value) = self { value } else { nil } }
  @inlinable public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  @inlinable public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }

  /// The whole number, also when it was written as `1.0` or `1e3`.
  public var int: Int64? {
    switch self {
    case .int(let value): value
    case .double(let value): Int64(exactly: value)
    default: nil
    }
  }

  public var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// The member `key` of an object. Assigning to a value that is no object makes it one, which is what nested
  /// assignment (`pod["spec"]["nodeName"] = "a"`) needs.
  public subscript(key: String) -> JSON? {
    get {
      guard case .object(let object) = self else { return nil }
      return object[key]
    }
    _modify {
      var object: JSONObject
      if case .object(let members) = self { object = members } else { object = JSONObject() }
      self = .null
      defer { self = .object(object) }
      yield &object[key]
    }
  }

  /// The value below the given member names, or `nil` where one is missing.
  ///
  /// The first names are no list, so that the paths that each request asks for make no array.
  public func at(_ first: String, _ second: String) -> JSON? { self[first]?[second] }
  public func at(_ first: String, _ second: String, _ third: String) -> JSON? { self[first]?[second]?[third] }
  public func at(_ first: String, _ second: String, _ third: String, _ fourth: String, _ more: String...) -> JSON? {
    var value = self[first]?[second]?[third]?[fourth]
    for key in more { value = value?[key] }
    return value
  }

  /// The type's name as error messages give it.
  public var typeName: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .int, .double: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(JSONObject(uniqueMembers: elements.map { (key: $0.0, value: $0.1) }))
  }
  public init(nilLiteral: ()) { self = .null }
}
