import Wire

extension KindStrategy {
  static let replicaSet = KindStrategy(
    .v1("apps", "ReplicaSet"),
    defaults: { set in
      set.modifyOrMake("spec") { spec in
        spec.setDefault("replicas", 1)
        Defaults.podTemplate(&spec)
      }
    },
    validate: { validator, object, old in
      let path = FieldPath.of("spec")
      guard let spec = object["spec"] else { return validator.required(path) }
      validator.workload(spec, old?["spec"], path, "ReplicaSet")
    },
    warn: { $0.workload($1, $2) }, cells: { $0.replicaSet },
    selectableFields: [SelectableField("status.replicas", absent: "0")])
}
