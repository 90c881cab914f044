import Wire

extension KindStrategy {
  static let clusterRoleBinding = KindStrategy(
    .v1("rbac.authorization.k8s.io", "ClusterRoleBinding"), nameProblems: Names.pathSegment,
    defaults: Defaults.roleBinding, validate: { $0.roleBinding($1, old: $2, isCluster: true) },
    cells: { $0.roleBinding })

  static let roleBinding = KindStrategy(
    .v1("rbac.authorization.k8s.io", "RoleBinding"), nameProblems: Names.pathSegment, defaults: Defaults.roleBinding,
    validate: { $0.roleBinding($1, old: $2, isCluster: false) }, cells: { $0.roleBinding })
}

extension Defaults {
  fileprivate static func roleBinding(_ binding: inout JSON) {
    let group: JSON = "rbac.authorization.k8s.io"
    binding.modify("roleRef") { if $0.isAbsentOrEmpty("apiGroup") { $0["apiGroup"] = group } }
    binding.modifyElements("subjects") { subject in
      let kind = subject.text("kind")
      if kind == "User" || kind == "Group", subject.isAbsentOrEmpty("apiGroup") { subject["apiGroup"] = group }
    }
  }
}

extension Validator {
  fileprivate mutating func roleBinding(_ binding: JSON, old: JSON?, isCluster: Bool) {
    let group = "rbac.authorization.k8s.io"
    let reference = binding["roleRef"] ?? [:]
    let path = FieldPath.of("roleRef")
    if reference.text("apiGroup") != group {
      notSupported(path["apiGroup"], .string(reference.text("apiGroup")), [group])
    }
    let kinds = isCluster ? ["ClusterRole"] : ["ClusterRole", "Role"]
    if !kinds.contains(reference.text("kind")) {
      notSupported(path["kind"], .string(reference.text("kind")), kinds)
    }
    checkRequired(path["name"], reference.text("name"), Names.pathSegment)
    for (index, subject) in binding.elements("subjects").enumerated() {
      let here = FieldPath.of("subjects")[index]
      if subject.text("name").isEmpty { required(here["name"]) }
      switch subject.text("kind") {
      case "ServiceAccount":
        if !subject.text("name").isEmpty { check(here["name"], subject.text("name"), Names.dns1123Subdomain) }
        if !subject.text("apiGroup").isEmpty {
          notSupported(here["apiGroup"], .string(subject.text("apiGroup")), [""])
        }
        if subject.text("namespace").isEmpty, isCluster { required(here["namespace"]) }
      case "User", "Group":
        if subject.text("apiGroup") != group {
          notSupported(here["apiGroup"], .string(subject.text("apiGroup")), [group])
        }
      default: notSupported(here["kind"], .string(subject.text("kind")), ["ServiceAccount", "User", "Group"])
      }
    }
    if let old, old["roleRef"] != reference {
      invalid(path, reference, "cannot change roleRef")
    }
  }
}

extension TableRow {
  fileprivate var roleBinding: [String: JSON] {
    let subjects = object["subjects"]?.array ?? []
    func names(_ kind: String) -> JSON {
      let found = subjects.filter { $0["kind"]?.string == kind }.map { subject in
        let name = subject["name"]?.string ?? ""
        return kind == "ServiceAccount" ? "\(subject["namespace"]?.string ?? "")/\(name)" : name
      }
      return .string(found.joined(separator: ", "))
    }
    return [
      "Role": .string("\(object.at("roleRef", "kind")?.string ?? "")/\(object.at("roleRef", "name")?.string ?? "")"),
      "Users": names("User"), "Groups": names("Group"), "ServiceAccounts": names("ServiceAccount"),
    ]
  }
}
