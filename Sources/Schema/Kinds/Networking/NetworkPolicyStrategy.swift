import Wire

extension KindStrategy {
  static let networkPolicy = KindStrategy(
    .v1("networking.k8s.io", "NetworkPolicy"), defaults: Defaults.networkPolicy,
    validate: { validator, object, _ in
      validator.labelSelector(object.at("spec", "podSelector"), .of("spec", "podSelector"))
    },
    cells: { ["Pod-Selector": $0.selector($0.spec["podSelector"])] })
}

extension Defaults {
  fileprivate static func networkPolicy(_ policy: inout JSON) {
    policy.modifyOrMake("spec") { spec in
      for direction in ["ingress", "egress"] {
        spec.modifyElements(direction) { rule in
          rule.modifyElements("ports") { $0.setDefault("protocol", "TCP") }
        }
      }
      if spec.isAbsentOrEmpty("policyTypes") {
        spec["policyTypes"] = spec.isAbsentOrEmpty("egress") ? ["Ingress"] : ["Ingress", "Egress"]
      }
    }
  }
}
