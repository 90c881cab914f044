import Wire

extension KindStrategy {
  static let flowSchema = KindStrategy(
    .v1("flowcontrol.apiserver.k8s.io", "FlowSchema"), cells: { $0.flowSchema })
}

extension TableRow {
  fileprivate var flowSchema: [String: JSON] {
    let missing = condition("Dangling")?["status"]
    return [
      "PriorityLevel": text(spec.at("priorityLevelConfiguration", "name")),
      "MatchingPrecedence": text(spec["matchingPrecedence"]),
      "DistinguisherMethod": text(spec.at("distinguisherMethod", "type")), "MissingPL": text(missing, or: "?"),
    ]
  }
}
