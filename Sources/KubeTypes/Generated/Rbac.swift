// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

public struct AggregationRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var clusterRoleSelectors: [LabelSelector] { get { json[views: "clusterRoleSelectors"] } set { json[views: "clusterRoleSelectors"] = newValue } }
}

/// ClusterRole is a set of permissions in all namespaces and on cluster-scoped objects.
public struct ClusterRole: KubeKind {
  public static let resource = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles")
  public static let isNamespaced = false
  public static let kind = "ClusterRole"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// What is allowed.
  public var rules: [PolicyRule] { get { json[views: "rules", keepsEmpty: true] } set { json[views: "rules", keepsEmpty: true] = newValue } }
  /// Roles whose rules are collected here.
  public var aggregationRule: AggregationRule? { get { json[optionalView: "aggregationRule"] } _modify { yield &json[optionalView: "aggregationRule"] } }
}

/// ClusterRoleBinding grants a cluster role to users, groups and service accounts everywhere.
public struct ClusterRoleBinding: KubeKind {
  public static let resource = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterrolebindings")
  public static let isNamespaced = false
  public static let kind = "ClusterRoleBinding"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// To whom the role is granted.
  public var subjects: [Subject] { get { json[views: "subjects"] } set { json[views: "subjects"] = newValue } }
  /// The role; it cannot be changed.
  public var roleRef: RoleRef { get { json[view: "roleRef"] } _modify { yield &json[view: "roleRef"] } }
}

/// PolicyRule allows verbs on resources or URLs.
public struct PolicyRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// What may be done; * is everything.
  public var verbs: [String] { get { json[strings: "verbs", keepsEmpty: true] } set { json[strings: "verbs", keepsEmpty: true] = newValue } }
  /// API groups of the resources; empty text is the core group.
  public var apiGroups: [String] { get { json[strings: "apiGroups"] } set { json[strings: "apiGroups"] = newValue } }
  /// Resources; * is every one.
  public var resources: [String] { get { json[strings: "resources"] } set { json[strings: "resources"] = newValue } }
  /// Names of objects; every one unless told.
  public var resourceNames: [String] { get { json[strings: "resourceNames"] } set { json[strings: "resourceNames"] = newValue } }
  /// Paths that are no resources.
  public var nonResourceURLs: [String] { get { json[strings: "nonResourceURLs"] } set { json[strings: "nonResourceURLs"] = newValue } }
}

/// Role is a set of permissions in one namespace.
public struct Role: KubeKind {
  public static let resource = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "roles")
  public static let isNamespaced = true
  public static let kind = "Role"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// What is allowed.
  public var rules: [PolicyRule] { get { json[views: "rules", keepsEmpty: true] } set { json[views: "rules", keepsEmpty: true] = newValue } }
}

/// RoleBinding grants a role to users, groups and service accounts in one namespace.
public struct RoleBinding: KubeKind {
  public static let resource = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "rolebindings")
  public static let isNamespaced = true
  public static let kind = "RoleBinding"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// To whom the role is granted.
  public var subjects: [Subject] { get { json[views: "subjects"] } set { json[views: "subjects"] = newValue } }
  /// The role; it cannot be changed.
  public var roleRef: RoleRef { get { json[view: "roleRef"] } _modify { yield &json[view: "roleRef"] } }
}

/// RoleRef names the role that is granted.
public struct RoleRef: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// API group of the kind that is named.
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}

/// Subject is a user, a group or a service account.
public struct Subject: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  /// API group of the kind that is named.
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Namespace of the object that is named.
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
}
