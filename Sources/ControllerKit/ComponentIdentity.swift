import KubeClient

/// Who a part of this process is towards the API: a user of its own, with exactly the rights that it needs. The API server
/// makes its ClusterRole and ClusterRoleBinding, and judges what it asks for as what comes from outside.
///
/// What its informers read is not among the rights: informers are shared, and read as one user.
package struct ComponentIdentity: Sendable, Equatable {
  /// To whom the role is bound.
  package enum Subject: Sendable, Equatable {
    case user
    /// A ServiceAccount of `kube-system`.
    case serviceAccount(String)
    /// All users of a group.
    case group(String)
  }

  package var user: Caller
  /// The name of its ClusterRole and ClusterRoleBinding.
  package var role: String
  package var subject: Subject
  package var rules: [CapabilityIdentity.Rule]

  private static let namespace = "kube-system"
  private static let authenticated = "system:authenticated"

  private init(user: Caller, role: String, subject: Subject, rules: [CapabilityIdentity.Rule]) {
    self.user = user
    self.role = role
    self.subject = subject
    self.rules = rules
  }

  /// A controller, as kube-controller-manager runs it with `--use-service-account-credentials`: the ServiceAccount of its
  /// name, and the role `system:controller:NAME`.
  package static func controller(_ name: String, _ rules: [CapabilityIdentity.Rule]) -> ComponentIdentity {
    ComponentIdentity(
      user: Caller(
        name: "system:serviceaccount:\(namespace):\(name)",
        groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)", authenticated]),
      role: "system:controller:\(name)", subject: .serviceAccount(name), rules: rules)
  }

  /// A user whose role has the same name, such as `system:kube-scheduler`.
  package static func user(_ name: String, _ rules: [CapabilityIdentity.Rule]) -> ComponentIdentity {
    ComponentIdentity(user: Caller(name: name, groups: [authenticated]), role: name, subject: .user, rules: rules)
  }

  /// A node. Role and binding are those of all nodes: whatever the name, they are the same.
  package static func node(_ name: String, _ rules: [CapabilityIdentity.Rule]) -> ComponentIdentity {
    let group = "system:nodes"
    return ComponentIdentity(
      user: Caller(name: "system:node:\(name)", groups: [group, authenticated]), role: "system:node",
      subject: .group(group), rules: rules)
  }

  /// For the subject of a binding of a ServiceAccount.
  package static var serviceAccountNamespace: String { namespace }
}

extension CapabilityIdentity.Rule {
  /// What an `EventRecorder` asks for.
  package static let events = CapabilityIdentity.Rule(verbs: ["create", "patch"], resources: ["events"])
}

/// The API as one identity or another.
package typealias ComponentClients = @Sendable (ComponentIdentity) -> any KubeClient
