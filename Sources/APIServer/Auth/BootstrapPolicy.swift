import ControllerKit
import KubeClient
import Schema
import Wire

/// The roles and bindings that every cluster has (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`), as far as there is
/// something here that they speak of.
enum BootstrapPolicy {
  private static let api = "rbac.authorization.k8s.io/v1"
  private static let labels: JSON = ["kubernetes.io/bootstrapping": "rbac-defaults"]
  /// The annotation that says `false` where people want to keep what they made of a role or binding.
  static let autoUpdate = "rbac.authorization.kubernetes.io/autoupdate"

  private static func metadata(_ name: String) -> JSON {
    ["name": .string(name), "labels": labels, "annotations": [autoUpdate: "true"]]
  }

  private static func rule(_ verbs: [String], _ group: String, _ resources: [String]) -> JSON {
    [
      "verbs": .array(verbs.map(JSON.string)), "apiGroups": [.string(group)],
      "resources": .array(resources.map(JSON.string)),
    ]
  }

  private static func paths(_ verbs: [String], _ paths: [String]) -> JSON {
    ["verbs": .array(verbs.map(JSON.string)), "nonResourceURLs": .array(paths.map(JSON.string))]
  }

  private static func role(_ name: String, _ rules: [JSON]) -> JSON {
    [
      "apiVersion": .string(api), "kind": "ClusterRole", "metadata": metadata(name),
      "rules": .array(rules),
    ]
  }

  private static func binding(_ name: String, users: [String] = [], groups: [String] = []) -> JSON {
    let subjects = users.map { ("User", $0) } + groups.map { ("Group", $0) }
    return binding(
      name,
      subjects: subjects.map { kind, name in
        ["kind": .string(kind), "apiGroup": "rbac.authorization.k8s.io", "name": .string(name)]
      })
  }

  private static func binding(_ name: String, subjects: [JSON]) -> JSON {
    [
      "apiVersion": .string(api), "kind": "ClusterRoleBinding", "metadata": metadata(name),
      "subjects": .array(subjects),
      "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": .string(name)],
    ]
  }

  private static let read = ["get", "list", "watch"]
  private static let write = ["create", "delete", "deletecollection", "patch", "update"]

  private static let viewed: [(String, [String])] = [
    (
      "",
      [
        "bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces", "namespaces/status",
        "persistentvolumeclaims", "persistentvolumeclaims/status", "pods", "pods/log", "pods/status",
        "replicationcontrollers", "replicationcontrollers/scale", "replicationcontrollers/status", "resourcequotas",
        "resourcequotas/status", "serviceaccounts", "services", "services/status",
      ]
    ),
    (
      "apps",
      [
        "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale",
        "deployments/status", "replicasets", "replicasets/scale", "replicasets/status", "statefulsets",
        "statefulsets/scale", "statefulsets/status",
      ]
    ),
    ("autoscaling", ["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    ("batch", ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    ("discovery.k8s.io", ["endpointslices"]), ("events.k8s.io", ["events"]),
    ("networking.k8s.io", ["ingresses", "ingresses/status", "networkpolicies"]),
    ("policy", ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
  ]

  private static let edited: [(String, [String])] = [
    (
      "",
      [
        "configmaps", "events", "persistentvolumeclaims", "pods", "pods/attach", "pods/eviction", "pods/exec",
        "pods/portforward", "pods/proxy", "replicationcontrollers", "replicationcontrollers/scale", "secrets",
        "serviceaccounts", "services", "services/proxy",
      ]
    ),
    (
      "apps",
      [
        "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale",
        "statefulsets", "statefulsets/scale",
      ]
    ),
    ("autoscaling", ["horizontalpodautoscalers"]), ("batch", ["cronjobs", "jobs"]),
    ("networking.k8s.io", ["ingresses", "networkpolicies"]), ("policy", ["poddisruptionbudgets"]),
    ("coordination.k8s.io", ["leases"]),
  ]

  private static var viewRules: [JSON] { viewed.map { rule(read, $0.0, $0.1) } }

  private static var editRules: [JSON] {
    edited.map { rule(write, $0.0, $0.1) } + [
      rule(read, "", ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"]),
      rule(["create"], "", ["serviceaccounts/token"]), rule(["impersonate"], "", ["serviceaccounts"]),
      rule(read, "coordination.k8s.io", ["leases"]),
    ] + viewRules
  }

  private static var adminRules: [JSON] {
    [
      rule(["create"], "authorization.k8s.io", ["localsubjectaccessreviews"]),
      rule(read + write, "rbac.authorization.k8s.io", ["roles", "rolebindings"]),
    ] + editRules
  }

  private static let roles = GroupVersionResource(
    group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles")
  private static let bindings = GroupVersionResource(
    group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterrolebindings")

  private static func rules(_ rules: [CapabilityIdentity.Rule]) -> [JSON] {
    rules.map { $0.paths.isEmpty ? rule($0.verbs, $0.group, $0.resources) : paths($0.verbs, $0.paths) }
  }

  /// A capability's identity: its role, and that it has it.
  static func objects(for identity: CapabilityIdentity) -> [(GroupVersionResource, JSON)] {
    [(roles, role(identity.user, rules(identity.rules))), (bindings, binding(identity.user, users: [identity.user]))]
  }

  /// The same for a component of this process.
  static func objects(for component: ComponentIdentity) -> [(GroupVersionResource, JSON)] {
    let bound: JSON
    switch component.subject {
    case .user: bound = binding(component.role, users: [component.user.name])
    case .group(let name): bound = binding(component.role, groups: [name])
    case .serviceAccount(let name):
      bound = binding(
        component.role,
        subjects: [
          [
            "kind": "ServiceAccount", "name": .string(name),
            "namespace": .string(ComponentIdentity.serviceAccountNamespace),
          ]
        ])
    }
    return [(roles, role(component.role, rules(component.rules))), (bindings, bound)]
  }

  /// What has to change in a role or binding of the policy so that it gives at least what it should.
  struct Repair {
    /// `nil` for a binding of another role, which has to be made anew.
    var patch: JSONObject?
    /// What is wrong with it.
    var reason: String
  }

  /// Nothing that people added is taken out.
  ///
  /// - Returns: `nil` for what is as it should be, or is to stay as people want it.
  static func repair(of existing: JSON, to wanted: JSON) -> Repair? {
    if existing.at("metadata", "annotations", autoUpdate)?.string == "false" { return nil }
    guard
      ["kind", "name"].allSatisfy({ existing.at("roleRef", $0)?.string == wanted.at("roleRef", $0)?.string })
    else {
      let bound = ["kind", "name"].map { existing.at("roleRef", $0)?.string ?? "" }.joined(separator: " ")
      return Repair(patch: nil, reason: "it binds \(bound)")
    }
    let rules = existing["rules"]?.array ?? []
    let held = rules.map(RBAC.Rule.init)
    // The usual case is told without comparing every single permission.
    let missingRules =
      existing["rules"] == wanted["rules"]
      ? [] : (wanted["rules"]?.array ?? []).filter { !RBAC.covers(held, RBAC.Rule($0)) }
    let subjects = existing["subjects"]?.array ?? []
    let missingSubjects = (wanted["subjects"]?.array ?? []).filter { subject in
      !subjects.contains { known in
        ["kind", "name", "namespace"].allSatisfy { known[$0]?.string ?? "" == subject[$0]?.string ?? "" }
      }
    }
    var patch: JSONObject = [:]
    var reasons: [String] = []
    if !missingRules.isEmpty {
      patch["rules"] = .array(rules + missingRules)
      reasons.append("it lacks the rules \(JSON.array(missingRules).text)")
    }
    if !missingSubjects.isEmpty {
      patch["subjects"] = .array(subjects + missingSubjects)
      reasons.append("it lacks the subjects \(JSON.array(missingSubjects).text)")
    }
    return patch.isEmpty ? nil : Repair(patch: patch, reason: reasons.joined(separator: ", "))
  }

  static var objects: [(GroupVersionResource, JSON)] {
    let discovery = [
      "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
      "/version/",
    ]
    let everyone = ["system:authenticated", "system:unauthenticated"]
    return [
      (roles, role("cluster-admin", [rule(["*"], "*", ["*"]), paths(["*"], ["*"])])),
      (roles, role("admin", adminRules)), (roles, role("edit", editRules)), (roles, role("view", viewRules)),
      (roles, role("system:discovery", [paths(["get"], discovery)])),
      (
        roles,
        role(
          "system:public-info-viewer",
          [
            paths(
              ["get"],
              ["/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*", "/version", "/version/"])
          ])
      ),
      (
        roles,
        role(
          "system:basic-user",
          [
            rule(
              ["create"], "authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
            rule(["create"], "authentication.k8s.io", ["selfsubjectreviews"]),
          ])
      ),
      (
        roles,
        role(
          "system:auth-delegator",
          [
            rule(["create"], "authentication.k8s.io", ["tokenreviews"]),
            rule(["create"], "authorization.k8s.io", ["subjectaccessreviews"]),
          ])
      ),
      (
        roles,
        role(
          "system:service-account-issuer-discovery",
          [
            paths(
              ["get"],
              [
                "/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks",
                "/openid/v1/jwks/",
              ])
          ])
      ),
      (
        roles,
        role(
          "system:monitoring",
          [paths(["get"], ["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*"])])
      ),
      (bindings, binding("cluster-admin", groups: ["system:masters"])),
      (bindings, binding("system:discovery", groups: ["system:authenticated"])),
      (bindings, binding("system:public-info-viewer", groups: everyone)),
      (bindings, binding("system:basic-user", groups: ["system:authenticated"])),
      (bindings, binding("system:service-account-issuer-discovery", groups: ["system:serviceaccounts"])),
      (bindings, binding("system:monitoring", groups: ["system:monitoring"])),
    ]
  }
}
