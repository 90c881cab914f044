import Wire

extension KindStrategy {
  static let priorityClass = KindStrategy(
    .v1("scheduling.k8s.io", "PriorityClass"),
    defaults: { $0.setDefault("preemptionPolicy", "PreemptLowerPriority") },
    validate: { $0.priorityClass($1, old: $2) }, cells: { $0.priorityClass })
}

extension Validator {
  fileprivate mutating func priorityClass(_ object: JSON, old: JSON?) {
    let name = object.at("metadata", "name")?.string ?? ""
    if let value = object["value"], let number = value.int, number > 1_000_000_000, !name.hasPrefix("system-") {
      forbidden(
        .of("value"),
        "maximum allowed value of a user defined priority is 1000000000")
    }
    if let old { immutable(.of("value"), object["value"], old["value"]) }
  }
}

extension TableRow {
  fileprivate var priorityClass: [String: JSON] {
    [
      "Value": .int(count(object["value"])), "Global-Default": .bool(object["globalDefault"]?.bool == true),
      "PreemptionPolicy": text(object["preemptionPolicy"], or: "PreemptLowerPriority"),
    ]
  }
}
