import Wire

extension KindStrategy {
  static let statefulSet = KindStrategy(
    .v1("apps", "StatefulSet"), nameProblems: Names.dns1123Label, defaults: Defaults.statefulSet,
    validate: { validator, object, old in
      let path = FieldPath.of("spec")
      guard let spec = object["spec"] else { return validator.required(path) }
      let before = old?["spec"]
      validator.workload(spec, before, path, "StatefulSet")
      if let before { validator.statefulSetUpdate(spec, before, path) }
    },
    warn: { warner, object, old in
      warner.workload(object, old)
      for (index, claim) in (object["spec"]?.elements("volumeClaimTemplates") ?? []).enumerated() where old == nil {
        warner.claim(claim["spec"], FieldPath.of("spec", "volumeClaimTemplates")[index]["spec"])
      }
    },
    cells: { row in
      let ready = row.count(row.status["readyReplicas"])
      return row.workload.merging(["Ready": .string("\(ready)/\(row.replicas)")]) { $1 }
    })
}

extension Defaults {
  fileprivate static func statefulSet(_ set: inout JSON) {
    set.modifyOrMake("spec") { spec in
      spec.setDefault("podManagementPolicy", "OrderedReady")
      spec.modifyOrMake("updateStrategy") { strategy in
        strategy.setDefault("type", "RollingUpdate")
        if strategy.text("type") == "RollingUpdate" {
          strategy.modifyOrMake("rollingUpdate") { $0.setDefault("partition", 0) }
        }
      }
      spec.modifyOrMake("persistentVolumeClaimRetentionPolicy") { policy in
        policy.setDefault("whenDeleted", "Retain")
        policy.setDefault("whenScaled", "Retain")
      }
      spec.setDefault("replicas", 1)
      spec.setDefault("revisionHistoryLimit", 10)
      spec.modifyElements("volumeClaimTemplates", persistentVolumeClaim)
      podTemplate(&spec)
    }
  }
}

extension Validator {
  fileprivate mutating func statefulSetUpdate(_ spec: JSON, _ old: JSON, _ path: FieldPath) {
    let mayChange: Set<String> = [
      "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
      "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "selector",
    ]
    let names = Set((spec.object?.keys ?? []) + (old.object?.keys ?? [])).subtracting(mayChange)
    if names.contains(where: { spec[$0] != old[$0] }) {
      forbidden(
        path,
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
          + "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")
    }
  }
}
