import ControllerKit
import KubeClient
import Schema
import Wire

/// Nobody grants what they do not have: a role may hold only rules that its writer is allowed, and a binding only refer
/// to such a role, unless the writer may `escalate` roles or `bind` that one
/// (`pkg/registry/rbac/{clusterrole,clusterrolebinding}/policybased`).
struct RBACEscalation: AdmissionStep {
  let rbac: RBAC

  private static let group = "rbac.authorization.k8s.io"

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.kind.group == Self.group, request.subresource.isEmpty, request.isStored,
      !request.user.isMaster
    else { return }
    switch request.kind.kind {
    case "Role", "ClusterRole": try checkRole(request)
    case "RoleBinding", "ClusterRoleBinding": try checkBinding(request)
    default: break
    }
  }

  private func checkRole(_ request: AdmissionRequest) throws(KubeError) {
    let (rules, aggregation) = (request.object["rules"], request.object["aggregationRule"])
    if let old = request.old, old["rules"] == rules, old["aggregationRule"] == aggregation { return }
    if may("escalate", request, resource: request.kind.resource, name: request.name) { return }
    var granted = (rules?.array ?? []).map(RBAC.Rule.init)
    // What an aggregated role will hold is not known.
    if aggregation != nil { granted += RBAC.Rule.everything }
    try check(granted, request)
  }

  private func checkBinding(_ request: AdmissionRequest) throws(KubeError) {
    if let old = request.old, old["subjects"] == request.object["subjects"], old["roleRef"] == request.object["roleRef"]
    {
      return
    }
    let kind = request.object.at("roleRef", "kind")?.string ?? ""
    let name = request.object.at("roleRef", "name")?.string ?? ""
    if may("bind", request, resource: kind == "Role" ? "roles" : "clusterroles", name: name) { return }
    guard let rules = rbac.rules(ofRole: name, namespace: kind == "Role" ? request.namespace : "") else {
      throw request.forbidden(
        "user \"\(request.user.name)\" may not bind the \(kind) \"\(name)\", which does not exist: create it first")
    }
    try check(rules, request)
  }

  private func may(_ verb: String, _ request: AdmissionRequest, resource: String, name: String) -> Bool {
    rbac.allows(
      AccessAttributes(
        user: request.user, verb: verb, namespace: request.namespace, group: Self.group, resource: resource, name: name)
    )
  }

  private func check(_ granted: [RBAC.Rule], _ request: AdmissionRequest) throws(KubeError) {
    let held = rbac.rules(for: request.user, namespace: request.namespace)
    for rule in granted where !RBAC.covers(held, rule) {
      let groups = request.user.groups.map { "\"\($0)\"" }.joined(separator: " ")
      throw request.forbidden(
        "user \"\(request.user.name)\" (groups=[\(groups)]) is attempting to grant RBAC permissions not currently held: "
          + rule.json.text)
    }
  }
}

extension RBAC {
  /// More single permissions than this in one rule are refused rather than compared.
  private static let permissionsMax = 20_000

  /// Whether everything that `rule` allows is allowed by one or the other of `held`
  /// (`k8s.io/component-helpers/auth/rbac/validation.Covers`).
  static func covers(_ held: [Rule], _ rule: Rule) -> Bool {
    for verb in rule.verbs {
      for path in rule.paths where !held.contains(where: { $0.covers(verb: verb, path: path) }) { return false }
    }
    // An empty set of names stands for every name.
    let names: [String?] = rule.names.isEmpty ? [nil] : rule.names.map { $0 }
    var count = 1
    for factor in [rule.verbs.count, rule.groups.count, rule.resources.count, names.count] {
      count = min(count * factor, permissionsMax + 1)
    }
    guard count <= permissionsMax else { return false }
    for verb in rule.verbs {
      for group in rule.groups {
        for resource in rule.resources {
          for name in names {
            guard held.contains(where: { $0.covers(verb: verb, group: group, resource: resource, name: name) }) else {
              return false
            }
          }
        }
      }
    }
    return true
  }
}

extension RBAC.Rule {
  /// Everything there is.
  static let everything = [
    RBAC.Rule(["verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]]),
    RBAC.Rule(["verbs": ["*"], "nonResourceURLs": ["*"]]),
  ]

  fileprivate func covers(verb: String, path: String) -> Bool {
    (verbs.contains(verb) || verbs.contains("*"))
      && paths.contains { $0 == "*" || $0 == path || ($0.hasSuffix("*") && path.hasPrefix($0.dropLast())) }
  }

  /// - Parameter name: `nil` for every name.
  fileprivate func covers(verb: String, group: String, resource: String, name: String?) -> Bool {
    guard verbs.contains(verb) || verbs.contains("*"), groups.contains(group) || groups.contains("*") else {
      return false
    }
    guard names.isEmpty || name.map(names.contains) == true else { return false }
    if resources.contains(resource) || resources.contains("*") { return true }
    guard let slash = resource.firstIndex(of: "/") else { return false }
    return resources.contains("*" + resource[slash...])
  }
}
