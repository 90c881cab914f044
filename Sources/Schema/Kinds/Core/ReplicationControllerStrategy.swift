import Wire

extension KindStrategy {
  static let replicationController = KindStrategy(
    .core("ReplicationController"), defaults: Defaults.replicationController,
    validate: { validator, object, _ in validator.replicationController(object) }, warn: { $0.workload($1, $2) },
    cells: { row in
      row.replicaSet.merging(["Selector": .string(row.labels(row.spec["selector"]).joined(separator: ","))]) { $1 }
    },
    selectableFields: [SelectableField("status.replicas", absent: "0")], orphansDependents: true)
}

extension Defaults {
  fileprivate static func replicationController(_ controller: inout JSON) {
    let labels = controller.at("spec", "template", "metadata", "labels")
    controller.modifyOrMake("spec") { spec in
      spec.setDefault("replicas", 1)
      if spec.isAbsentOrEmpty("selector"), let labels { spec["selector"] = labels }
      if spec.has("template") { podTemplate(&spec) }
    }
    labelsFromTemplate(labels, &controller)
  }
}

extension Validator {
  fileprivate mutating func replicationController(_ controller: JSON) {
    let path = FieldPath.of("spec")
    guard let spec = controller["spec"] else { return required(path) }
    notNegative(spec, path, "replicas", "minReadySeconds")
    if spec.isAbsentOrEmpty("selector") { required(path["selector"]) }
    guard let template = spec["template"] else { return required(path["template"]) }
    alwaysRestarts(template, path["template"], "ReplicationController")
    let labels = template.at("metadata", "labels")
    if spec.members("selector").contains(where: { labels?[$0.key] != $0.value }) {
      invalid(
        path["template"]["metadata"]["labels"], labels ?? [:], "`selector` does not match template `labels`")
    }
    podTemplate(template, path["template"])
  }
}
