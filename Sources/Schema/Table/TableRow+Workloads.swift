import Wire

extension TableRow {
  /// What the tables of kinds with a pod template have in common.
  var workload: [String: JSON] {
    let template = containers(spec.at("template", "spec"))
    return ["Containers": template.names, "Images": template.images, "Selector": selector(spec["selector"])]
  }

  /// How many pods are wanted.
  var replicas: Int64 { spec["replicas"]?.int ?? 1 }

  /// A ReplicaSet, and what was before it.
  var replicaSet: [String: JSON] {
    var cells = workload
    cells["Desired"] = .int(replicas)
    cells["Current"] = .int(count(status["replicas"]))
    cells["Ready"] = .int(count(status["readyReplicas"]))
    return cells
  }
}
