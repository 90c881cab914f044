import Wire

extension KindStrategy {
  static let deployment = KindStrategy(
    .v1("apps", "Deployment"), defaults: Defaults.deployment, validate: { $0.deployment($1, old: $2) },
    warn: { $0.workload($1, $2) },
    cells: { row in
      let ready = row.count(row.status["readyReplicas"])
      return row.workload.merging([
        "Ready": .string("\(ready)/\(row.replicas)"), "Up-to-date": .int(row.count(row.status["updatedReplicas"])),
        "Available": .int(row.count(row.status["availableReplicas"])),
      ]) { $1 }
    },
    metadataKeptByStatus: ["labels"])
}

extension Defaults {
  fileprivate static func deployment(_ deployment: inout JSON) {
    deployment.modifyOrMake("spec") { spec in
      spec.setDefault("replicas", 1)
      spec.modifyOrMake("strategy") { strategy in
        strategy.setDefault("type", "RollingUpdate")
        if strategy.text("type") == "RollingUpdate" {
          strategy.modifyOrMake("rollingUpdate") { update in
            update.setDefault("maxUnavailable", "25%")
            update.setDefault("maxSurge", "25%")
          }
        }
      }
      spec.setDefault("revisionHistoryLimit", 10)
      spec.setDefault("progressDeadlineSeconds", 600)
      podTemplate(&spec)
    }
  }
}

extension Validator {
  fileprivate mutating func deployment(_ deployment: JSON, old: JSON?) {
    let path = FieldPath.of("spec")
    guard let spec = deployment["spec"] else { return required(path) }
    workload(spec, old?["spec"], path, "Deployment")
    notNegative(spec, path, "progressDeadlineSeconds")
    if let deadline = spec["progressDeadlineSeconds"], let seconds = deadline.int, seconds >= 0,
      seconds <= spec["minReadySeconds"]?.int ?? 0
    {
      invalid(path["progressDeadlineSeconds"], deadline, "must be greater than minReadySeconds")
    }
    rollingUpdate(spec["strategy"] ?? [:], path["strategy"])
  }
}
