package import Wire

/// Collects what is wrong with one object. It has what the rules of kinds share; each kind's own are in its file.
package struct Validator {
  private enum Step {
    case name(String)
    case index(Int)
    case key(String)
  }

  private(set) var errors: [FieldError] = []
  /// The subresource that is written; empty for the object itself.
  package let subresource: String
  private var steps: [Step] = []

  init(subresource: String) { self.subresource = subresource }

  /// One mistake is often made many times; an answer with thousands of lines helps nobody.
  private static let errorsMax = 100

  /// Keeps an error, unless it is there already or there are too many.
  package mutating func report(_ error: FieldError) {
    guard errors.count < Self.errorsMax, !errors.contains(error) else { return }
    errors.append(error)
  }

  // Each of these reports an error of its type (`FieldError`).

  package mutating func required(_ path: FieldPath, _ detail: String = "") { report(.required(path, detail)) }
  package mutating func invalid(_ path: FieldPath, _ value: JSON, _ detail: String) {
    report(.invalid(path, value, detail))
  }
  package mutating func forbidden(_ path: FieldPath, _ detail: String) { report(.forbidden(path, detail)) }
  package mutating func duplicate(_ path: FieldPath, _ value: JSON) { report(.duplicate(path, value)) }
  package mutating func notSupported(_ path: FieldPath, _ value: JSON, _ supported: [String]) {
    report(.notSupported(path, value, supported))
  }

  // The rules below make the path only for what is wrong: nearly nothing is, and a path is an allocation for each step.

  /// Reports each problem that a rule of `Names` finds.
  package mutating func check(_ path: @autoclosure () -> FieldPath, _ text: String, _ rule: (String) -> [String]) {
    for problem in rule(text) { invalid(path(), .string(text), problem) }
  }

  /// A text that must be there and follow a rule.
  package mutating func checkRequired(
    _ path: @autoclosure () -> FieldPath, _ text: String, _ rule: (String) -> [String]
  ) {
    if text.isEmpty { required(path()) } else { check(path(), text, rule) }
  }

  package mutating func notNegative(_ path: @autoclosure () -> FieldPath, _ value: JSON?) {
    guard let value, let number = value.int, number < 0 else { return }
    invalid(path(), value, "must be greater than or equal to 0")
  }

  package mutating func notNegative(_ object: JSON, _ path: FieldPath, _ names: String...) {
    for name in names { notNegative(path[name], object[name]) }
  }

  package mutating func atLeast(_ minimum: Int64, _ path: @autoclosure () -> FieldPath, _ value: JSON?) {
    guard let value, let number = value.int, number < minimum else { return }
    invalid(path(), value, "must be greater than or equal to \(minimum)")
  }

  package mutating func port(_ path: @autoclosure () -> FieldPath, _ value: JSON) {
    guard let number = value.int, (1...65_535).contains(number) else {
      return invalid(path(), value, "must be between 1 and 65535, inclusive")
    }
  }

  /// A port by number, or by the name that a container gives it.
  package mutating func portOrName(_ path: @autoclosure () -> FieldPath, _ value: JSON?) {
    switch value {
    case nil: required(path())
    case .string(let name)?: check(path(), name, Names.portName)
    case let number?: port(path(), number)
    }
  }

  /// A field that may not change once the object exists.
  package mutating func immutable(_ path: @autoclosure () -> FieldPath, _ new: JSON?, _ old: JSON?) {
    if new != old { invalid(path(), new ?? .null, "field is immutable") }
  }

  // MARK: Declarations

  /// Checks what the declarations say: non-empty strings, enumerations, unique keys. The status is what a controller
  /// saw; it is not checked.
  mutating func declared(_ object: JSON, _ structure: StructSchema) {
    guard case .object(let members) = object else { return }
    for member in members.members where member.key != "status" {
      guard let field = structure.field(member.key) else { continue }
      steps.append(.name(member.key))
      declared(member.value, field)
      steps.removeLast()
    }
    for field in structure.fields where field.isNonEmpty && members[field.name]?.isEmptyValue ?? true {
      required(FieldPath.root[field.name])
    }
  }

  private mutating func declared(_ value: JSON, _ field: FieldSchema) {
    if field.type.isChecked { declared(value, field.type) }
    if case .array(let elements) = value, elements.count > 1 { unique(elements, field) }
  }

  private mutating func declared(_ value: JSON, _ type: TypeSchema) {
    switch type {
    case .structure(let structure):
      guard case .object(let object) = value else { return }
      for field in structure.nonEmptyFields where object[field.name]?.isEmptyValue ?? true {
        required(here[field.name])
      }
      for member in object.members {
        guard let position = structure.position(member.key) else { continue }
        steps.append(.name(member.key))
        declared(member.value, structure.fields[position])
        steps.removeLast()
      }
    case .list(let element):
      guard case .array(let elements) = value else { return }
      for (index, item) in elements.enumerated() {
        steps.append(.index(index))
        declared(item, element)
        steps.removeLast()
      }
    case .map(let element):
      guard case .object(let object) = value else { return }
      for member in object.members {
        steps.append(.key(member.key))
        declared(member.value, element)
        steps.removeLast()
      }
    case .string(let known?):
      guard !known.isOpen, case .string(let text) = value, !text.isEmpty, !known.values.contains(text) else { return }
      notSupported(here, value, known.values.filter { !$0.isEmpty }.sorted())
    default: break
    }
  }

  /// Where the walk over the declarations stands; made only when there is something to report.
  private var here: FieldPath {
    steps.reduce(FieldPath.root) { path, step in
      switch step {
      case .name(let name): path[name]
      case .index(let index): path[index]
      case .key(let key): path[key: key]
      }
    }
  }

  /// Lists in which Kubernetes lets the same key stand twice, although they are merged by it, or says so in other words.
  private static let mayRepeat: Set<String> = [
    "env", "hostAliases", "imagePullSecrets", "ownerReferences", "ports", "secrets", "topologySpreadConstraints",
  ]

  private mutating func unique(_ elements: [JSON], _ field: FieldSchema) {
    guard case .map(let keys) = field.listType, !Self.mayRepeat.contains(field.name) else { return }
    var seen = Set<String>()
    for (index, element) in elements.enumerated() {
      let identity = keys.map { element[$0]?.text ?? "" }.joined(separator: "\u{0}")
      guard !seen.insert(identity).inserted else { continue }
      if keys.count == 1 {
        duplicate(here[index][keys[0]], element[keys[0]] ?? .null)
      } else {
        let members = keys.compactMap { key in element[key].map { (key: key, value: $0) } }
        duplicate(here[index], .object(JSONObject(uniqueMembers: members)))
      }
    }
  }
}

extension TypeSchema {
  /// Whether the declarations say anything about values of this type.
  var isChecked: Bool {
    switch self {
    case .structure(let structure): structure.hasChecksBelow
    case .string(let known): known.map { !$0.isOpen } ?? false
    case .list(let element), .map(let element): element.isChecked
    default: false
    }
  }
}
