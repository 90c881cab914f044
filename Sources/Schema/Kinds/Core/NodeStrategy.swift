import Wire

extension KindStrategy {
  static let node = KindStrategy(
    .core("Node"),
    defaults: { node in
      node.modify("status") { status in
        if status.isAbsentOrEmpty("allocatable"), let capacity = status["capacity"] { status["allocatable"] = capacity }
      }
    },
    validate: { validator, object, _ in validator.node(object) }, warn: { warner, object, _ in warner.node(object) },
    cells: { $0.node }, selectableFields: [SelectableField("spec.unschedulable", absent: "false")],
    countsGeneration: false,
    // It is the node's own agent that creates it.
    bringsStatus: true)
}

extension Validator {
  fileprivate mutating func node(_ node: JSON) {
    let path = FieldPath.of("spec", "taints")
    var seen = Set<String>()
    for (index, taint) in (node["spec"]?.elements("taints") ?? []).enumerated() {
      let key = taint.text("key")
      if !key.isEmpty { check(path[index]["key"], key, Names.qualifiedName) }
      check(path[index]["value"], taint.text("value"), Names.labelValue)
      if !seen.insert("\(key):\(taint.text("effect"))").inserted {
        report(
          FieldError(
            type: .duplicate, path: path[index].description, value: taint,
            detail: "taints must be unique by key and effect pair"))
      }
    }
  }
}

extension Warner {
  fileprivate mutating func node(_ node: JSON) {
    if node.at("spec", "configSource") != nil {
      warn(.of("spec", "configSource"), "the feature is no longer supported")
    }
    if node.at("spec", "externalID")?.string?.isEmpty == false {
      warn(.of("spec", "externalID"), "this field is deprecated, and is unused by Kubernetes")
    }
  }
}

extension TableRow {
  fileprivate var node: [String: JSON] {
    let conditions = status["conditions"]?.array ?? []
    var states: [String] = []
    if let ready = conditions.first(where: { $0["type"]?.string == "Ready" }) {
      states.append(ready["status"]?.string == "True" ? "Ready" : "NotReady")
    } else {
      states.append("Unknown")
    }
    if spec["unschedulable"]?.bool == true { states.append("SchedulingDisabled") }
    let roles = (object.at("metadata", "labels")?.object?.members ?? []).compactMap { label -> String? in
      label.key.hasPrefix("node-role.kubernetes.io/") ? String(label.key.dropFirst(24)) : nil
    }.sorted()
    func address(_ type: String) -> JSON {
      text((status["addresses"]?.array ?? []).first { $0["type"]?.string == type }?["address"])
    }
    let info = status["nodeInfo"]
    return [
      "Status": .string(states.joined(separator: ",")),
      "Roles": .string(roles.isEmpty ? "<none>" : roles.joined(separator: ",")),
      "Version": text(info?["kubeletVersion"], or: ""), "Internal-IP": address("InternalIP"),
      "External-IP": address("ExternalIP"), "OS-Image": text(info?["osImage"], or: "<unknown>"),
      "Kernel-Version": text(info?["kernelVersion"], or: "<unknown>"),
      "Container-Runtime": text(info?["containerRuntimeVersion"], or: "<unknown>"),
    ]
  }
}
