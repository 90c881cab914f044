import Wire

extension KindStrategy {
  static let mutatingAdmissionPolicy = KindStrategy(
    .v1("admissionregistration.k8s.io", "MutatingAdmissionPolicy"), defaults: Defaults.admissionPolicy,
    cells: { ["Mutations": .int($0.length($0.spec["mutations"])), "ParamKind": $0.paramKind] })

  static let validatingAdmissionPolicy = KindStrategy(
    .v1("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"), defaults: Defaults.admissionPolicy,
    cells: { ["Validations": .int($0.length($0.spec["validations"])), "ParamKind": $0.paramKind] })

  static let mutatingAdmissionPolicyBinding = KindStrategy(
    .v1("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"), defaults: Defaults.admissionPolicyBinding,
    cells: { $0.admissionPolicyBinding })

  static let validatingAdmissionPolicyBinding = KindStrategy(
    .v1("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"), defaults: Defaults.admissionPolicyBinding,
    cells: { $0.admissionPolicyBinding })
}

extension Defaults {
  fileprivate static func admissionPolicy(_ policy: inout JSON) {
    policy.modify("spec") { spec in
      spec.setDefault("failurePolicy", "Fail")
      spec.modify("matchConstraints", matchResources)
    }
  }

  fileprivate static func admissionPolicyBinding(_ binding: inout JSON) {
    binding.modify("spec") { $0.modify("matchResources", matchResources) }
  }

  private static func matchResources(_ match: inout JSON) {
    match.setDefault("matchPolicy", "Equivalent")
    match.setDefault("namespaceSelector", [:])
    match.setDefault("objectSelector", [:])
    for list in ["resourceRules", "excludeResourceRules"] {
      match.modifyElements(list) { $0.setDefault("scope", "*") }
    }
  }
}

extension TableRow {
  fileprivate var admissionPolicyBinding: [String: JSON] {
    let reference = spec["paramRef"]
    let place = reference?["namespace"]?.string.map { "\($0)/" } ?? ""
    let name = reference?["name"]?.string ?? (reference?["selector"] == nil ? "" : "*")
    return [
      "PolicyName": text(spec["policyName"]),
      "ParamRef": reference == nil ? "<unset>" : .string(place + name),
    ]
  }

  fileprivate var paramKind: JSON {
    guard let kind = spec["paramKind"] else { return "<unset>" }
    return .string("\(kind["apiVersion"]?.string ?? "")/\(kind["kind"]?.string ?? "")")
  }

  fileprivate func length(_ list: JSON?) -> Int64 { Int64(list?.array?.count ?? 0) }
}
