import Wire

/// Collects what is wrong with one object. The rules of each kind are extensions of it.
struct Validator {
  private(set) var errors: [FieldError] = []

  /// One mistake is often made many times; an answer with thousands of lines helps nobody.
  private static let errorsMax = 100

  mutating func report(_ error: FieldError) {
    guard errors.count < Self.errorsMax, !errors.contains(error) else { return }
    errors.append(error)
  }

  mutating func required(_ path: FieldPath, _ detail: String = "") { report(.required(path, detail)) }
  mutating func invalid(_ path: FieldPath, _ value: JSON, _ detail: String) { report(.invalid(path, value, detail)) }
  mutating func forbidden(_ path: FieldPath, _ detail: String) { report(.forbidden(path, detail)) }
  mutating func duplicate(_ path: FieldPath, _ value: JSON) { report(.duplicate(path, value)) }
  mutating func notSupported(_ path: FieldPath, _ value: JSON, _ supported: [String]) {
    report(.notSupported(path, value, supported))
  }

  /// Reports each problem that a rule of `Names` finds.
  mutating func check(_ path: FieldPath, _ text: String, _ rule: (String) -> [String]) {
    for problem in rule(text) { invalid(path, .string(text), problem) }
  }

  /// A text that must be there and follow a rule.
  mutating func checkRequired(_ path: FieldPath, _ text: String, _ rule: (String) -> [String]) {
    if text.isEmpty { required(path) } else { check(path, text, rule) }
  }

  mutating func notNegative(_ path: FieldPath, _ value: JSON?) {
    guard let value, let number = value.int, number < 0 else { return }
    invalid(path, value, "must be greater than or equal to 0")
  }

  mutating func notNegative(_ object: JSON, _ path: FieldPath, _ names: String...) {
    for name in names { notNegative(path[name], object[name]) }
  }

  mutating func atLeast(_ minimum: Int64, _ path: FieldPath, _ value: JSON?) {
    guard let value, let number = value.int, number < minimum else { return }
    invalid(path, value, "must be greater than or equal to \(minimum)")
  }

  mutating func port(_ path: FieldPath, _ value: JSON) {
    guard let number = value.int, (1...65_535).contains(number) else {
      return invalid(path, value, "must be between 1 and 65535, inclusive")
    }
  }

  /// A port by number, or by the name that a container gives it.
  mutating func portOrName(_ path: FieldPath, _ value: JSON?) {
    switch value {
    case nil: required(path)
    case .string(let name)?: check(path, name, Names.portName)
    case let number?: port(path, number)
    }
  }

  /// A field that may not change once the object exists.
  mutating func immutable(_ path: FieldPath, _ new: JSON?, _ old: JSON?) {
    if new != old { invalid(path, new ?? .null, "field is immutable") }
  }

  // MARK: Declarations

  /// Checks what the declarations say: non-empty strings, enumerations, unique keys. The status is what a controller
  /// saw; it is not checked.
  mutating func declared(_ object: JSON, _ structure: StructSchema, _ path: FieldPath) {
    guard case .object(let members) = object else { return }
    for field in structure.fields where field.isNonEmpty {
      if members[field.name]?.isEmptyValue ?? true { required(path[field.name]) }
    }
    for member in members.members {
      guard let field = structure.field(member.key) else { continue }
      if case .root = path, member.key == "status" { continue }
      declared(member.value, field.type, path[member.key])
      if case .array(let elements) = member.value { unique(elements, field, path[member.key]) }
    }
  }

  private mutating func declared(_ value: JSON, _ type: TypeSchema, _ path: FieldPath) {
    switch type {
    case .structure(let structure): declared(value, structure, path)
    case .list(let element):
      guard element.isChecked, case .array(let elements) = value else { return }
      for (index, item) in elements.enumerated() { declared(item, element, path[index]) }
    case .map(let element):
      guard element.isChecked, case .object(let object) = value else { return }
      for member in object.members { declared(member.value, element, path[key: member.key]) }
    case .string(let known?):
      guard !known.isOpen, case .string(let text) = value, !text.isEmpty, !known.values.contains(text) else { return }
      notSupported(path, value, known.values.filter { !$0.isEmpty }.sorted())
    default: break
    }
  }

  /// Lists in which Kubernetes lets the same key stand twice, although they are merged by it.
  private static let mayRepeat: Set<String> = [
    "env", "hostAliases", "imagePullSecrets", "ownerReferences", "ports", "secrets",
  ]

  private mutating func unique(_ elements: [JSON], _ field: FieldSchema, _ path: FieldPath) {
    guard elements.count > 1, case .map(let keys) = field.listType, !Self.mayRepeat.contains(field.name) else { return }
    var seen = Set<String>()
    for (index, element) in elements.enumerated() {
      let identity = keys.map { element[$0]?.text ?? "" }.joined(separator: "\u{0}")
      guard !seen.insert(identity).inserted else { continue }
      if keys.count == 1 {
        duplicate(path[index][keys[0]], element[keys[0]] ?? .null)
      } else {
        let members = keys.compactMap { key in element[key].map { (key: key, value: $0) } }
        duplicate(path[index], .object(JSONObject(uniqueMembers: members)))
      }
    }
  }
}

extension TypeSchema {
  /// Whether the declarations say anything about values of this type.
  fileprivate var isChecked: Bool {
    switch self {
    case .structure: true
    case .string(let known): known.map { !$0.isOpen } ?? false
    case .list(let element), .map(let element): element.isChecked
    default: false
    }
  }
}
