import Schema
import Wire

// The generated properties call these subscripts; each label has one overload, so that the compiler has nothing to
// search. Reading a member of another type than expected reads as absent.

extension JSON {
  subscript(string key: String) -> String? {
    get { self[key]?.string }
    set { self[key] = newValue.map { .string($0) } }
  }

  subscript(bool key: String) -> Bool? {
    get { self[key]?.bool }
    set { self[key] = newValue.map { .bool($0) } }
  }

  subscript(int key: String) -> Int64? {
    get { self[key]?.int }
    set { self[key] = newValue.map { .int($0) } }
  }

  subscript(double key: String) -> Double? {
    get { self[key]?.number }
    set { self[key] = newValue.map { .double($0) } }
  }

  subscript(quantity key: String) -> Quantity? {
    get { self[key].flatMap(Quantity.init(json:)) }
    set { self[key] = newValue.map { .string($0.description) } }
  }

  subscript(intOrString key: String) -> IntOrString? {
    get { self[key].flatMap(IntOrString.init(json:)) }
    set { self[key] = newValue?.json }
  }

  subscript(value key: String) -> JSON? {
    get { self[key] }
    set { self[key] = newValue }
  }

  subscript(strings key: String, keepsEmpty keepsEmpty: Bool = false) -> [String] {
    get { self[key]?.array?.compactMap(\.string) ?? [] }
    set { store(newValue.map { .string($0) }, key, keepsEmpty) }
  }

  subscript(ints key: String, keepsEmpty keepsEmpty: Bool = false) -> [Int64] {
    get { self[key]?.array?.compactMap(\.int) ?? [] }
    set { store(newValue.map { .int($0) }, key, keepsEmpty) }
  }

  subscript(values key: String, keepsEmpty keepsEmpty: Bool = false) -> [JSON] {
    get { self[key]?.array ?? [] }
    set { store(newValue, key, keepsEmpty) }
  }

  subscript<V: KubeValue>(views key: String, keepsEmpty keepsEmpty: Bool = false) -> [V] {
    get { self[key]?.array?.map { V(json: $0) } ?? [] }
    set { store(newValue.map(\.json), key, keepsEmpty) }
  }

  subscript(stringMap key: String, keepsEmpty keepsEmpty: Bool = false) -> [String: String] {
    get { map(key) { $0.string } }
    set { store(newValue, key, keepsEmpty) { .string($0) } }
  }

  subscript(quantities key: String, keepsEmpty keepsEmpty: Bool = false) -> [String: Quantity] {
    get { map(key) { Quantity(json: $0) } }
    set { store(newValue, key, keepsEmpty) { .string($0.description) } }
  }

  subscript(valueMap key: String, keepsEmpty keepsEmpty: Bool = false) -> [String: JSON] {
    get { map(key) { $0 } }
    set { store(newValue, key, keepsEmpty) { $0 } }
  }

  subscript<V: KubeValue>(viewMap key: String, keepsEmpty keepsEmpty: Bool = false) -> [String: V] {
    get { map(key) { V(json: $0) } }
    set { store(newValue, key, keepsEmpty) { $0.json } }
  }

  /// A struct that reads as empty when it is absent, and appears when something is set in it.
  subscript<V: KubeValue>(view key: String) -> V {
    get { V(json: self[key] ?? .object(JSONObject())) }
    _modify {
      // The value is taken out while it is changed, so that the change is made in place.
      var taken = take(key)
      var view = V(json: taken ?? .object(JSONObject()))
      let wasAbsent = taken == nil
      taken = nil
      defer {
        if case .object(let object) = view.json, object.isEmpty, wasAbsent {
          // Nothing was set: nothing appears.
        } else {
          self[key] = view.json
        }
      }
      yield &view
    }
  }

  /// A struct that may be absent; an empty one stays (`emptyDir: {}`).
  subscript<V: KubeValue>(optionalView key: String) -> V? {
    get {
      guard let value = self[key], !value.isNull else { return nil }
      return V(json: value)
    }
    _modify {
      var taken = take(key)
      var view = taken.flatMap { $0.isNull ? nil : V(json: $0) }
      taken = nil
      defer { self[key] = view?.json }
      yield &view
    }
  }

  /// Takes the value out and leaves null in its place, so that the value has one owner.
  private mutating func take(_ key: String) -> JSON? {
    guard has(key) else { return nil }
    var value: JSON? = .null
    swap(&self[key], &value)
    return value
  }

  private func has(_ key: String) -> Bool {
    guard case .object(let object) = self else { return false }
    return object.index(of: key) != nil
  }

  private mutating func store(_ elements: [JSON], _ key: String, _ keepsEmpty: Bool) {
    self[key] = elements.isEmpty && !keepsEmpty ? nil : .array(elements)
  }

  private func map<V>(_ key: String, _ read: (JSON) -> V?) -> [String: V] {
    guard case .object(let object)? = self[key] else { return [:] }
    var result = [String: V](minimumCapacity: object.count)
    for member in object.members { result[member.key] = read(member.value) }
    return result
  }

  /// Keys are written in order, so that equal maps give equal bytes.
  private mutating func store<V>(
    _ values: [String: V], _ key: String, _ keepsEmpty: Bool, _ write: (V) -> JSON
  ) {
    guard !values.isEmpty || keepsEmpty else {
      self[key] = nil
      return
    }
    let members = values.sorted { $0.key < $1.key }.map { (key: $0.key, value: write($0.value)) }
    self[key] = .object(JSONObject(uniqueMembers: members))
  }
}

extension Quantity {
  /// A quantity is written as a string; a plain number is read too.
  init?(json: JSON) {
    switch json {
    case .string(let text): self.init(text)
    case .int(let value): self.init(value)
    case .double(let value): self.init("\(value)")
    default: return nil
    }
  }
}
