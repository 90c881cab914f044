import Wire

extension KindStrategy {
  static let podDisruptionBudget = KindStrategy(
    .v1("policy", "PodDisruptionBudget"), validate: { validator, object, _ in validator.budget(object) },
    cells: { $0.budget })
}

extension Validator {
  fileprivate mutating func budget(_ object: JSON) {
    let path = FieldPath.of("spec")
    labelSelector(object.at("spec", "selector"), path["selector"])
    if object.at("spec", "minAvailable") != nil, object.at("spec", "maxUnavailable") != nil {
      invalid(path, object["spec"] ?? [:], "minAvailable and maxUnavailable cannot be both set")
    }
  }
}

extension TableRow {
  fileprivate var budget: [String: JSON] {
    [
      "Min Available": text(spec["minAvailable"], or: "N/A"),
      "Max Unavailable": text(spec["maxUnavailable"], or: "N/A"),
      "Allowed Disruptions": .int(count(status["disruptionsAllowed"])),
    ]
  }
}
