import KubeClient

/// Who a process of a capability is towards the API: a user of its own with exactly the rights that it needs, a client
/// certificate for it, and a kubeconfig that holds both.
package struct CapabilityIdentity: Sendable, Equatable {
  /// A rule of its ClusterRole (`rbac.authorization.k8s.io/v1 PolicyRule`).
  package struct Rule: Sendable, Equatable {
    package var verbs: [String]
    package var group: String
    package var resources: [String]
    /// Paths that are no resources, such as a route's; then group and resources say nothing.
    package var paths: [String]

    package init(verbs: [String], group: String = "", resources: [String]) {
      self.verbs = verbs
      self.group = group
      self.resources = resources
      paths = []
    }

    package init(verbs: [String], paths: [String]) {
      self.verbs = verbs
      self.paths = paths
      group = ""
      resources = []
    }
  }

  /// Lower-case letters, digits and `-`. The certificate's files in `DATA/pki` are called after it.
  package var name: String
  package var rules: [Rule]
  /// Where its kubeconfig is written, below the data directory. The folder belongs to the capability's footprint.
  package var kubeconfig: String

  package init(name: String, rules: [Rule], kubeconfig: String) {
    precondition(
      !name.isEmpty && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D },
      "an identity's name is part of a user's and of files' names")
    self.name = name
    self.rules = rules
    self.kubeconfig = kubeconfig
  }

  /// The user's name, and that of its ClusterRole and ClusterRoleBinding.
  package var user: String { Caller.ownPrefix + name }
}
