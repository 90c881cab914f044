import Wire

extension KindStrategy {
  static let daemonSet = KindStrategy(
    .v1("apps", "DaemonSet"), defaults: Defaults.daemonSet,
    validate: { validator, object, old in
      let path = FieldPath.of("spec")
      guard let spec = object["spec"] else { return validator.required(path) }
      validator.workload(spec, old?["spec"], path, "DaemonSet")
      validator.rollingUpdate(spec["updateStrategy"] ?? [:], path["updateStrategy"])
    },
    warn: { $0.workload($1, $2) }, cells: { $0.daemonSet })
}

extension Defaults {
  fileprivate static func daemonSet(_ set: inout JSON) {
    set.modifyOrMake("spec") { spec in
      spec.modifyOrMake("updateStrategy") { strategy in
        strategy.setDefault("type", "RollingUpdate")
        if strategy.text("type") == "RollingUpdate" {
          strategy.modifyOrMake("rollingUpdate") { update in
            update.setDefault("maxUnavailable", 1)
            update.setDefault("maxSurge", 0)
          }
        }
      }
      spec.setDefault("revisionHistoryLimit", 10)
      podTemplate(&spec)
    }
  }
}

extension TableRow {
  fileprivate var daemonSet: [String: JSON] {
    var cells = workload
    cells["Desired"] = .int(count(status["desiredNumberScheduled"]))
    cells["Current"] = .int(count(status["currentNumberScheduled"]))
    cells["Ready"] = .int(count(status["numberReady"]))
    cells["Up-to-date"] = .int(count(status["updatedNumberScheduled"]))
    cells["Available"] = .int(count(status["numberAvailable"]))
    let nodes = labels(spec.at("template", "spec", "nodeSelector"))
    cells["Node Selector"] = .string(nodes.isEmpty ? "<none>" : nodes.joined(separator: ","))
    return cells
  }
}
