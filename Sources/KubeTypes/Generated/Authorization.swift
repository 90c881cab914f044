// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

public struct FieldSelectorAttributes: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var rawSelector: String? { get { json[string: "rawSelector"] } set { json[string: "rawSelector"] = newValue } }
  public var requirements: [FieldSelectorRequirement] { get { json[views: "requirements"] } set { json[views: "requirements"] = newValue } }
}

public struct LabelSelectorAttributes: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var rawSelector: String? { get { json[string: "rawSelector"] } set { json[string: "rawSelector"] = newValue } }
  public var requirements: [LabelSelectorRequirement] { get { json[views: "requirements"] } set { json[views: "requirements"] = newValue } }
}

public struct NonResourceAttributes: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var verb: String? { get { json[string: "verb"] } set { json[string: "verb"] = newValue } }
}

public struct ResourceAttributes: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Namespace of the object that is named.
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
  public var verb: String? { get { json[string: "verb"] } set { json[string: "verb"] = newValue } }
  public var group: String? { get { json[string: "group"] } set { json[string: "group"] = newValue } }
  public var version: String? { get { json[string: "version"] } set { json[string: "version"] = newValue } }
  public var resource: String? { get { json[string: "resource"] } set { json[string: "resource"] = newValue } }
  public var subresource: String? { get { json[string: "subresource"] } set { json[string: "subresource"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var fieldSelector: FieldSelectorAttributes? { get { json[optionalView: "fieldSelector"] } _modify { yield &json[optionalView: "fieldSelector"] } }
  public var labelSelector: LabelSelectorAttributes? { get { json[optionalView: "labelSelector"] } _modify { yield &json[optionalView: "labelSelector"] } }
}

/// SelfSubjectAccessReview answers whether the caller may do something.
public struct SelfSubjectAccessReview: KubeKind {
  public static let resource = GroupVersionResource(group: "authorization.k8s.io", version: "v1", resource: "selfsubjectaccessreviews")
  public static let isNamespaced = false
  public static let kind = "SelfSubjectAccessReview"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: SelfSubjectAccessReviewSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: SubjectAccessReviewStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct SelfSubjectAccessReviewSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var resourceAttributes: ResourceAttributes? { get { json[optionalView: "resourceAttributes"] } _modify { yield &json[optionalView: "resourceAttributes"] } }
  public var nonResourceAttributes: NonResourceAttributes? { get { json[optionalView: "nonResourceAttributes"] } _modify { yield &json[optionalView: "nonResourceAttributes"] } }
}

/// SubjectAccessReview answers whether a user may do something.
public struct SubjectAccessReview: KubeKind {
  public static let resource = GroupVersionResource(group: "authorization.k8s.io", version: "v1", resource: "subjectaccessreviews")
  public static let isNamespaced = false
  public static let kind = "SubjectAccessReview"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: SubjectAccessReviewSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: SubjectAccessReviewStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct SubjectAccessReviewSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var resourceAttributes: ResourceAttributes? { get { json[optionalView: "resourceAttributes"] } _modify { yield &json[optionalView: "resourceAttributes"] } }
  public var nonResourceAttributes: NonResourceAttributes? { get { json[optionalView: "nonResourceAttributes"] } _modify { yield &json[optionalView: "nonResourceAttributes"] } }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var groups: [String] { get { json[strings: "groups"] } set { json[strings: "groups"] = newValue } }
  public var extra: [String: JSON] { get { json[valueMap: "extra"] } set { json[valueMap: "extra"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
}

public struct SubjectAccessReviewStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var allowed: Bool? { get { json[bool: "allowed"] } set { json[bool: "allowed"] = newValue } }
  public var denied: Bool? { get { json[bool: "denied"] } set { json[bool: "denied"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var evaluationError: String? { get { json[string: "evaluationError"] } set { json[string: "evaluationError"] = newValue } }
}
