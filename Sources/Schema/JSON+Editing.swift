import Wire

// Changing a parsed object in place: the part that is changed is taken out of its parent first, so that its storage has
// one owner and nothing is copied.

extension JSON {
  /// Changes the member `key` when it is there.
  mutating func modify(_ key: String, _ body: (inout JSON) -> Void) {
    guard case .object(var object) = self, let at = object.index(of: key) else { return }
    self = .null
    object.update(at: at, body)
    self = .object(object)
  }

  /// Changes each element of the list `key`.
  mutating func modifyElements(_ key: String, _ body: (inout JSON) -> Void) {
    modify(key) { $0.modifyElements(body) }
  }

  mutating func modifyElements(_ body: (inout JSON) -> Void) {
    guard case .array(var elements) = self else { return }
    self = .null
    for index in elements.indices { body(&elements[index]) }
    self = .array(elements)
  }

  /// Sets a member of an object that has none of that name.
  mutating func setDefault(_ key: String, _ value: @autoclosure () -> JSON) {
    guard case .object(let object) = self, object.index(of: key) == nil else { return }
    self[key] = value()
  }

  /// Changes the member `key`, which is made an empty object when it is absent.
  mutating func modifyOrMake(_ key: String, _ body: (inout JSON) -> Void) {
    setDefault(key, [:])
    modify(key, body)
  }

  func has(_ key: String) -> Bool {
    guard case .object(let object) = self else { return false }
    return object.index(of: key) != nil
  }

  /// Absent, or empty as Go counts it for `omitempty`.
  func isAbsentOrEmpty(_ key: String) -> Bool { self[key]?.isEmptyValue ?? true }

  func isAbsentOrEmptyBelow(_ parent: String, _ key: String) -> Bool { self[parent]?.isAbsentOrEmpty(key) ?? true }

  /// Null, false, 0, "" and empty lists and objects.
  var isEmptyValue: Bool {
    switch self {
    case .null: true
    case .bool(let value): !value
    case .int(let value): value == 0
    case .double(let value): value == 0
    case .string(let text): text.isEmpty
    case .array(let elements): elements.isEmpty
    case .object(let object): object.isEmpty
    }
  }

  /// The text of the member, or the empty string.
  func text(_ key: String) -> String { self[key]?.string ?? "" }

  /// The elements of the list, or none.
  func elements(_ key: String) -> [JSON] { self[key]?.array ?? [] }

  /// The members of the map, or none.
  func members(_ key: String) -> [JSONObject.Member] { self[key]?.object?.members ?? [] }
}
