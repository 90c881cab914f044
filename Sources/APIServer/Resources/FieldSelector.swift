import KubeClient
import KubeTypes
import Schema
import Store
import Synchronization
import Wire

/// A field selector: `status.phase=Running,spec.nodeName!=a` (`k8s.io/apimachinery/pkg/fields`).
struct FieldSelector: Sendable, Equatable {
  struct Requirement: Sendable, Equatable {
    /// What is compared.
    enum Subject: Sendable, Hashable {
      case name
      case namespace
      case field(SelectableField.Place)
    }

    var subject: Subject
    var value: String
    var isEqual: Bool
  }

  private(set) var requirements: [Requirement] = []

  var isEmpty: Bool { requirements.isEmpty }

  /// The name that must match, when the selector fixes it: such a list is one look-up.
  var exactName: String? {
    requirements.first { $0.subject == .name && $0.isEqual }?.value
  }

  init() {}

  /// - Throws: 400 for text that is no selector and for a field that this kind cannot be selected by.
  init(_ text: String, kind: KindSchema) throws(KubeError) {
    guard !text.isEmpty else { return }
    for term in Self.terms(text) where !term.isEmpty {
      guard let (path, value, isEqual) = Self.split(term) else {
        throw .badRequest("invalid selector: '\(text)'; can't understand '\(term)'")
      }
      guard let subject = Self.subject(path, kind) else { throw .badRequest("field label not supported: \(path)") }
      requirements.append(Requirement(subject: subject, value: value, isEqual: isEqual))
    }
  }

  /// Splits at commas that no backslash escapes.
  private static func terms(_ text: String) -> [String] {
    var terms: [String] = []
    var term = ""
    var isEscaped = false
    for character in text {
      if isEscaped {
        term.append("\\")
        term.append(character)
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == "," {
        terms.append(term)
        term = ""
      } else {
        term.append(character)
      }
    }
    if isEscaped { term.append("\\") }
    terms.append(term)
    return terms
  }

  private static func split(_ term: String) -> (path: String, value: String, isEqual: Bool)? {
    guard let at = term.firstIndex(where: { $0 == "=" || $0 == "!" }) else { return nil }
    let path = String(term[..<at])
    var rest = term[at...]
    let isEqual: Bool
    if rest.hasPrefix("!=") {
      isEqual = false
      rest = rest.dropFirst(2)
    } else if rest.hasPrefix("==") {
      isEqual = true
      rest = rest.dropFirst(2)
    } else if rest.hasPrefix("=") {
      isEqual = true
      rest = rest.dropFirst()
    } else {
      return nil
    }
    guard !path.isEmpty, let value = unescaped(rest) else { return nil }
    return (path, value, isEqual)
  }

  private static func unescaped(_ text: Substring) -> String? {
    var value = ""
    var isEscaped = false
    for character in text {
      if isEscaped {
        guard character == "\\" || character == "," || character == "=" else { return nil }
        value.append(character)
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == "=" {
        return nil
      } else {
        value.append(character)
      }
    }
    return isEscaped ? nil : value
  }

  private static func subject(_ path: String, _ kind: KindSchema) -> Requirement.Subject? {
    switch path {
    case "metadata.name": .name
    case "metadata.namespace": .namespace
    default: kind.strategy.selectableFields.first { $0.name == path }.map { .field($0.place) }
    }
  }

  /// Whether an object passes.
  func matches(_ header: ObjectHeader, _ bytes: [UInt8]) -> Bool {
    requirements.allSatisfy { (Self.value($0.subject, header, bytes) == $0.value) == $0.isEqual }
  }

  private static func value(_ subject: Requirement.Subject, _ header: ObjectHeader, _ bytes: [UInt8]) -> String {
    switch subject {
    case .name: return header.name
    case .namespace: return header.namespace
    case .field(let place):
      for path in place.paths { if let value = JSON.scalar(at: path, of: bytes) { return value } }
      return place.absent
    }
  }

  /// One that the selector asks a single value of, for the store to find the watches that an event concerns.
  var sieve: Store.Sieve? {
    guard let requirement = requirements.first(where: \.isEqual) else { return nil }
    return .field(Self.storeField(requirement.subject), value: requirement.value)
  }

  /// The store's field for what is compared: the same one for all watches that there are.
  private static func storeField(_ subject: Requirement.Subject) -> Store.Field {
    storeFields.withLock { fields in
      if let field = fields[subject]?.field { return field }
      // Kinds come and go: what no watch asks for any more is forgotten before another one is made.
      fields = fields.filter { $0.value.field != nil }
      let field = Store.Field { value(subject, $0.header, $0.value) }
      fields[subject] = StoreField(field: field)
      return field
    }
  }

  private struct StoreField: Sendable {
    weak var field: Store.Field?
  }

  private static let storeFields = Mutex<[Requirement.Subject: StoreField]>([:])
}
