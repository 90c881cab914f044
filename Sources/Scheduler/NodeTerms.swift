import KubeTypes

/// One requirement of a node selector term, on a label or a field.
struct NodeRequirement: Sendable, Equatable {
  enum Operator: Sendable, Equatable {
    case isIn(Set<String>)
    case notIn(Set<String>)
    case exists
    case doesNotExist
    case greaterThan(Int64)
    case lessThan(Int64)
    /// An operator or value that the API server should have refused: matches no node.
    case never
  }

  var key: String
  var condition: Operator

  init(key: String, condition: Operator) {
    self.key = key
    self.condition = condition
  }

  init(_ requirement: NodeSelectorRequirement) {
    key = requirement.key ?? ""
    let values = requirement.values
    switch requirement.operator {
    case "In": condition = .isIn(Set(values))
    case "NotIn": condition = .notIn(Set(values))
    case "Exists": condition = .exists
    case "DoesNotExist": condition = .doesNotExist
    case "Gt": condition = values.first.flatMap { Int64($0) }.map { .greaterThan($0) } ?? .never
    case "Lt": condition = values.first.flatMap { Int64($0) }.map { .lessThan($0) } ?? .never
    default: condition = .never
    }
  }

  /// `value` is the label's, `nil` when the node does not have it.
  func matches(_ value: String?) -> Bool {
    switch condition {
    case .isIn(let values): value.map(values.contains) ?? false
    case .notIn(let values): value.map { !values.contains($0) } ?? true
    case .exists: value != nil
    case .doesNotExist: value == nil
    case .greaterThan(let bound): value.flatMap { Int64($0) }.map { $0 > bound } ?? false
    case .lessThan(let bound): value.flatMap { Int64($0) }.map { $0 < bound } ?? false
    case .never: false
    }
  }
}

/// A node selector term: all its requirements must hold. A term without any matches no node (`v1.NodeSelectorTerm`).
struct NodeTerm: Sendable, Equatable {
  var labels: [NodeRequirement]
  var fields: [NodeRequirement]

  init(labels: [NodeRequirement] = [], fields: [NodeRequirement] = []) {
    self.labels = labels
    self.fields = fields
  }

  init(_ term: NodeSelectorTerm) {
    labels = term.matchExpressions.map(NodeRequirement.init)
    fields = term.matchFields.map(NodeRequirement.init)
  }

  func matches(name: String, labels nodeLabels: [String: String]) -> Bool {
    if labels.isEmpty && fields.isEmpty { return false }
    return labels.allSatisfy { $0.matches(nodeLabels[$0.key]) }
      && fields.allSatisfy { $0.matches($0.key == "metadata.name" ? name : nil) }
  }
}
