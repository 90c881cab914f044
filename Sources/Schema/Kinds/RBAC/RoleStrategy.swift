import Wire

extension KindStrategy {
  static let clusterRole = KindStrategy(
    .v1("rbac.authorization.k8s.io", "ClusterRole"), nameProblems: Names.pathSegment,
    validate: { validator, object, _ in validator.policyRules(object.elements("rules"), isNamespaced: false) })

  static let role = KindStrategy(
    .v1("rbac.authorization.k8s.io", "Role"), nameProblems: Names.pathSegment,
    validate: { validator, object, _ in validator.policyRules(object.elements("rules"), isNamespaced: true) })
}

extension Validator {
  fileprivate mutating func policyRules(_ rules: [JSON], isNamespaced: Bool) {
    for (index, rule) in rules.enumerated() {
      let path = FieldPath.of("rules")[index]
      if rule.elements("verbs").isEmpty { required(path["verbs"], "verbs must contain at least one value") }
      let isURL = !rule.elements("nonResourceURLs").isEmpty
      let hasGroups = !rule.elements("apiGroups").isEmpty
      let hasResources = !rule.elements("resources").isEmpty
      if isURL {
        if isNamespaced {
          invalid(
            path["nonResourceURLs"], rule["nonResourceURLs"] ?? .null,
            "namespaced rules cannot apply to non-resource URLs")
        }
        if hasGroups || hasResources || !rule.elements("resourceNames").isEmpty {
          invalid(
            path["nonResourceURLs"], rule["nonResourceURLs"] ?? .null,
            "rules cannot apply to both regular resources and non-resource URLs")
        }
      } else {
        if !hasGroups { required(path["apiGroups"], "resource rules must supply at least one api group") }
        if !hasResources { required(path["resources"], "resource rules must supply at least one resource") }
      }
    }
  }
}
