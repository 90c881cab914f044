import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// A field selector: `status.phase=Running,spec.nodeName!=a` (`k8s.io/apimachinery/pkg/fields`).
struct FieldSelector: Sendable, Equatable {
  struct Requirement: Sendable, Equatable {
    var path: [String]
    var value: String
    var isEqual: Bool
  }

  private(set) var requirements: [Requirement] = []

  var isEmpty: Bool { requirements.isEmpty }

  /// The name that must match, when the selector fixes it: such a list is one look-up.
  var exactName: String? {
    requirements.first { $0.path == ["metadata", "name"] && $0.isEqual }?.value
  }

  init() {}

  /// - Throws: 400 for text that is no selector and for a field that this kind cannot be selected by.
  init(_ text: String, kind: KindSchema) throws(KubeError) {
    guard !text.isEmpty else { return }
    for term in Self.terms(text) where !term.isEmpty {
      guard let (path, value, isEqual) = Self.split(term) else {
        throw .badRequest("invalid selector: '\(text)'; can't understand '\(term)'")
      }
      guard Self.supports(path, kind: kind) else { throw .badRequest("field label not supported: \(path)") }
      let stored = kind.conversion?.selectableFields[path] ?? path
      requirements.append(
        Requirement(path: stored.split(separator: ".").map(String.init), value: value, isEqual: isEqual))
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

  private static let fields: [String: Set<String>] = [
    "pods": [
      "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
      "status.phase", "status.podIP", "status.nominatedNodeName",
    ],
    "events": [
      "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
      "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
      "reportingComponent", "source", "type",
    ],
    "events.events.k8s.io": [
      "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "regarding.apiVersion",
      "regarding.resourceVersion", "regarding.fieldPath", "reason", "reportingController", "type",
    ],
    "nodes": ["spec.unschedulable"],
    "secrets": ["type"],
    "services": ["spec.clusterIP", "spec.type"],
    "namespaces": ["status.phase"],
    "replicationcontrollers": ["status.replicas"],
    "replicasets.apps": ["status.replicas"],
    "jobs.batch": ["status.successful"],
    "certificatesigningrequests.certificates.k8s.io": ["spec.signerName"],
  ]

  private static func supports(_ path: String, kind: KindSchema) -> Bool {
    if path == "metadata.name" { return true }
    if path == "metadata.namespace" { return true }
    return fields[kind.groupVersionResource.groupResource]?.contains(path) == true
  }

  /// Whether an object passes.
  func matches(_ header: ObjectHeader, _ bytes: [UInt8]) -> Bool {
    requirements.allSatisfy { (Self.value($0.path, header, bytes) == $0.value) == $0.isEqual }
  }

  /// What an object has at a path that `init` has let through.
  private static func value(_ path: [String], _ header: ObjectHeader, _ bytes: [UInt8]) -> String {
    switch path {
    case ["metadata", "name"]: return header.name
    case ["metadata", "namespace"]: return header.namespace
    // `source` means the component, and an event of the newer kind names it elsewhere.
    case ["source"]:
      return JSON.scalar(at: ["source", "component"], of: bytes)
        ?? JSON.scalar(at: ["reportingComponent"], of: bytes) ?? ""
    case ["spec", "unschedulable"], ["spec", "hostNetwork"]: return JSON.scalar(at: path, of: bytes) ?? "false"
    case ["status", "replicas"]: return JSON.scalar(at: path, of: bytes) ?? "0"
    case ["status", "successful"]: return JSON.scalar(at: ["status", "succeeded"], of: bytes) ?? "0"
    default: return JSON.scalar(at: path, of: bytes) ?? ""
    }
  }

  /// One that the selector asks a single value of, for the store to find the watches that an event concerns.
  var sieve: Store.Sieve? {
    guard let requirement = requirements.first(where: \.isEqual),
      let field = Self.storeFields[requirement.path.joined(separator: ".")]
    else { return nil }
    return .field(field, value: requirement.value)
  }

  /// One for each path that objects can be selected by in the form in which they are stored.
  private static let storeFields: [String: Store.Field] = {
    var paths: Set = ["metadata.name", "metadata.namespace"]
    for (_, selectable) in fields { paths.formUnion(selectable) }
    return Dictionary(
      uniqueKeysWithValues: paths.map { text in
        let path = text.split(separator: ".").map(String.init)
        return (text, Store.Field { value(path, $0.header, $0.value) })
      })
  }()
}
