// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Schema
public import Wire

public struct AggregationRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var clusterRoleSelectors: [LabelSelector] { get { json[views: "clusterRoleSelectors"] } set { json[views: "clusterRoleSelectors"] = newValue } }
}

public struct ClusterRole: KubeKind {
  public static let resource = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles")
  public static let isNamespaced = false
  public static let kind = "ClusterRole"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var rules: [PolicyRule] { get { json[views: "rules", keepsEmpty: true] } set { json[views: "rules", keepsEmpty: true] = newValue } }
  public var aggregationRule: AggregationRule? { get { json[optionalView: "aggregationRule"] } _modify { yield &json[optionalView: "aggregationRule"] } }
}

public struct ClusterRoleBinding: KubeKind {
  public static let resource = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterrolebindings")
  public static let isNamespaced = false
  public static let kind = "ClusterRoleBinding"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var subjects: [Subject] { get { json[views: "subjects"] } set { json[views: "subjects"] = newValue } }
  public var roleRef: RoleRef { get { json[view: "roleRef"] } _modify { yield &json[view: "roleRef"] } }
}

public struct PolicyRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var verbs: [String] { get { json[strings: "verbs", keepsEmpty: true] } set { json[strings: "verbs", keepsEmpty: true] = newValue } }
  public var apiGroups: [String] { get { json[strings: "apiGroups"] } set { json[strings: "apiGroups"] = newValue } }
  public var resources: [String] { get { json[strings: "resources"] } set { json[strings: "resources"] = newValue } }
  public var resourceNames: [String] { get { json[strings: "resourceNames"] } set { json[strings: "resourceNames"] = newValue } }
  public var nonResourceURLs: [String] { get { json[strings: "nonResourceURLs"] } set { json[strings: "nonResourceURLs"] = newValue } }
}

public struct Role: KubeKind {
  public static let resource = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "roles")
  public static let isNamespaced = true
  public static let kind = "Role"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var rules: [PolicyRule] { get { json[views: "rules", keepsEmpty: true] } set { json[views: "rules", keepsEmpty: true] = newValue } }
}

public struct RoleBinding: KubeKind {
  public static let resource = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "rolebindings")
  public static let isNamespaced = true
  public static let kind = "RoleBinding"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var subjects: [Subject] { get { json[views: "subjects"] } set { json[views: "subjects"] = newValue } }
  public var roleRef: RoleRef { get { json[view: "roleRef"] } _modify { yield &json[view: "roleRef"] } }
}

public struct RoleRef: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}

public struct Subject: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
}
