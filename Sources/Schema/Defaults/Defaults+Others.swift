import Wire

extension Defaults {
  /// The groups with few defaults.
  static func others(_ group: String, _ version: String, _ kind: String, _ object: inout JSON) {
    switch (group, kind) {
    case ("autoscaling", "HorizontalPodAutoscaler"): autoscaler(version, &object)
    case ("networking.k8s.io", "NetworkPolicy"): networkPolicy(&object)
    case ("networking.k8s.io", "IngressClass"):
      object.modify("spec") { spec in spec.modify("parameters") { $0.setDefault("scope", "Cluster") } }
    case ("networking.k8s.io", "Ingress"):
      object.modifyOrMake("status") { $0.setDefault("loadBalancer", [:]) }
    case ("discovery.k8s.io", "EndpointSlice"):
      object.modifyElements("ports") { port in
        port.setDefault("name", "")
        port.setDefault("protocol", "TCP")
      }
    case ("rbac.authorization.k8s.io", "RoleBinding"), ("rbac.authorization.k8s.io", "ClusterRoleBinding"):
      roleBinding(&object)
    case ("scheduling.k8s.io", "PriorityClass"): object.setDefault("preemptionPolicy", "PreemptLowerPriority")
    case ("storage.k8s.io", "StorageClass"):
      object.setDefault("reclaimPolicy", "Delete")
      object.setDefault("volumeBindingMode", "Immediate")
    case ("storage.k8s.io", "CSIDriver"):
      object.modifyOrMake("spec") { spec in
        spec.setDefault("attachRequired", true)
        spec.setDefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
        spec.setDefault("volumeLifecycleModes", ["Persistent"])
        for name in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
          spec.setDefault(name, false)
        }
      }
    case ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"):
      object.modifyElements("webhooks", webhook)
    case ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"):
      object.modifyElements("webhooks") {
        webhook(&$0)
        $0.setDefault("reinvocationPolicy", "Never")
      }
    case ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
      ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"):
      object.modify("spec") { spec in
        spec.setDefault("failurePolicy", "Fail")
        spec.modify("matchConstraints", matchResources)
      }
    case ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
      ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"):
      object.modify("spec") { $0.modify("matchResources", matchResources) }
    case ("apiextensions.k8s.io", "CustomResourceDefinition"): customResourceDefinition(&object)
    case ("authentication.k8s.io", "TokenRequest"):
      object.modifyOrMake("spec") { $0.setDefault("expirationSeconds", 3600) }
    default: break
    }
  }

  private static func autoscaler(_ version: String, _ object: inout JSON) {
    object.modify("spec") { spec in
      spec.setDefault("minReplicas", 1)
      guard version == "v2" else { return }
      if spec.isAbsentOrEmpty("metrics") {
        spec["metrics"] = [
          [
            "type": "Resource",
            "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": 80]],
          ]
        ]
      }
    }
  }

  private static func networkPolicy(_ policy: inout JSON) {
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

  private static func roleBinding(_ binding: inout JSON) {
    let group: JSON = "rbac.authorization.k8s.io"
    binding.modify("roleRef") { if $0.isAbsentOrEmpty("apiGroup") { $0["apiGroup"] = group } }
    binding.modifyElements("subjects") { subject in
      let kind = subject.text("kind")
      if kind == "User" || kind == "Group", subject.isAbsentOrEmpty("apiGroup") { subject["apiGroup"] = group }
    }
  }

  private static func webhook(_ webhook: inout JSON) {
    webhook.setDefault("failurePolicy", "Fail")
    webhook.setDefault("matchPolicy", "Equivalent")
    webhook.setDefault("namespaceSelector", [:])
    webhook.setDefault("objectSelector", [:])
    webhook.setDefault("timeoutSeconds", 10)
    webhook.modifyElements("rules") { $0.setDefault("scope", "*") }
    webhook.modify("clientConfig") { config in config.modify("service") { $0.setDefault("port", 443) } }
  }

  private static func matchResources(_ match: inout JSON) {
    match.setDefault("matchPolicy", "Equivalent")
    match.setDefault("namespaceSelector", [:])
    match.setDefault("objectSelector", [:])
    for list in ["resourceRules", "excludeResourceRules"] {
      match.modifyElements(list) { $0.setDefault("scope", "*") }
    }
  }

  private static func customResourceDefinition(_ definition: inout JSON) {
    definition.modify("spec") { spec in
      spec.modify("names") { names in
        let kind = names.text("kind")
        guard !kind.isEmpty else { return }
        names.setDefault("singular", .string(kind.lowercased()))
        names.setDefault("listKind", .string(kind + "List"))
      }
      spec.modifyOrMake("conversion") { $0.setDefault("strategy", "None") }
    }
  }
}
