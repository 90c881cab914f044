// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Wire

/// Condition is one aspect of the current state.
public struct Condition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// Generation to which the condition belongs.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct FieldSelectorRequirement: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  public var values: [String] { get { json[strings: "values"] } set { json[strings: "values"] = newValue } }
}

/// LabelSelector chooses objects by their labels; all its parts must match, and an empty one matches everything.
public struct LabelSelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Labels that must have these values.
  public var matchLabels: [String: String] { get { json[stringMap: "matchLabels"] } set { json[stringMap: "matchLabels"] = newValue } }
  /// Comparisons that must all hold.
  public var matchExpressions: [LabelSelectorRequirement] { get { json[views: "matchExpressions"] } set { json[views: "matchExpressions"] = newValue } }
}

/// LabelSelectorRequirement compares one label with values.
public struct LabelSelectorRequirement: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// The label that is compared.
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  /// In, NotIn, Exists or DoesNotExist.
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  /// What the label is compared with; empty for Exists and DoesNotExist.
  public var values: [String] { get { json[strings: "values"] } set { json[strings: "values"] = newValue } }
}

public struct ListMeta: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var selfLink: String? { get { json[string: "selfLink"] } set { json[string: "selfLink"] = newValue } }
  public var resourceVersion: String? { get { json[string: "resourceVersion"] } set { json[string: "resourceVersion"] = newValue } }
  public var `continue`: String? { get { json[string: "continue"] } set { json[string: "continue"] = newValue } }
  public var remainingItemCount: Int64? { get { json[int: "remainingItemCount"] } set { json[int: "remainingItemCount"] = newValue } }
  public var shardInfo: ShardInfo? { get { json[optionalView: "shardInfo"] } _modify { yield &json[optionalView: "shardInfo"] } }
}

public struct ManagedFieldsEntry: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var manager: String? { get { json[string: "manager"] } set { json[string: "manager"] = newValue } }
  public var operation: String? { get { json[string: "operation"] } set { json[string: "operation"] = newValue } }
  public var apiVersion: String? { get { json[string: "apiVersion"] } set { json[string: "apiVersion"] = newValue } }
  public var time: String? { get { json[string: "time"] } set { json[string: "time"] = newValue } }
  public var fieldsType: String? { get { json[string: "fieldsType"] } set { json[string: "fieldsType"] = newValue } }
  public var fieldsV1: JSON? { get { json[value: "fieldsV1"] } set { json[value: "fieldsV1"] = newValue } }
  public var subresource: String? { get { json[string: "subresource"] } set { json[string: "subresource"] = newValue } }
}

/// ObjectMeta is what every stored object has: names, labels, annotations, owners and times.
public struct ObjectMeta: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name, unique within the namespace; it cannot be changed.
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Beginning of a name that the server completes when `name` is empty.
  public var generateName: String? { get { json[string: "generateName"] } set { json[string: "generateName"] = newValue } }
  /// Namespace of the object; empty for cluster-scoped kinds.
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
  /// Not used any more.
  public var selfLink: String? { get { json[string: "selfLink"] } set { json[string: "selfLink"] = newValue } }
  /// Identity of this object, given by the server; a new object of the same name has another one.
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  /// Version of the stored object; an update with another one is refused.
  public var resourceVersion: String? { get { json[string: "resourceVersion"] } set { json[string: "resourceVersion"] = newValue } }
  /// Number that rises when the wanted state changes.
  public var generation: Int64? { get { json[int: "generation"] } set { json[int: "generation"] = newValue } }
  /// When the server created the object.
  public var creationTimestamp: String? { get { json[string: "creationTimestamp"] } set { json[string: "creationTimestamp"] = newValue } }
  /// When the object is to be gone; set by the server when a deletion was asked for.
  public var deletionTimestamp: String? { get { json[string: "deletionTimestamp"] } set { json[string: "deletionTimestamp"] = newValue } }
  /// Seconds the object has to end by itself.
  public var deletionGracePeriodSeconds: Int64? { get { json[int: "deletionGracePeriodSeconds"] } set { json[int: "deletionGracePeriodSeconds"] = newValue } }
  /// Keys and values by which objects are selected.
  public var labels: [String: String] { get { json[stringMap: "labels"] } set { json[stringMap: "labels"] = newValue } }
  /// Keys and values for tools; they cannot be selected by.
  public var annotations: [String: String] { get { json[stringMap: "annotations"] } set { json[stringMap: "annotations"] = newValue } }
  public var ownerReferences: [OwnerReference] { get { json[views: "ownerReferences"] } set { json[views: "ownerReferences"] = newValue } }
  /// Names that must be removed before a deleted object goes.
  public var finalizers: [String] { get { json[strings: "finalizers"] } set { json[strings: "finalizers"] = newValue } }
  /// Which manager set which field.
  public var managedFields: [ManagedFieldsEntry] { get { json[views: "managedFields"] } set { json[views: "managedFields"] = newValue } }
}

/// OwnerReference names an object without which this one is deleted.
public struct OwnerReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var apiVersion: String? { get { json[string: "apiVersion"] } set { json[string: "apiVersion"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  /// Whether this owner manages the object.
  public var controller: Bool? { get { json[bool: "controller"] } set { json[bool: "controller"] = newValue } }
  /// Whether a foreground deletion of the owner waits for this object.
  public var blockOwnerDeletion: Bool? { get { json[bool: "blockOwnerDeletion"] } set { json[bool: "blockOwnerDeletion"] = newValue } }
}

public struct ShardInfo: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var selector: String? { get { json[string: "selector"] } set { json[string: "selector"] = newValue } }
}

/// Status is the answer to a request that returns no other object.
public struct Status: KubeValue {
  public static let kind = "Status"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public init() { json = ["apiVersion": "v1", "kind": "Status"] }
  /// Names, labels, annotations and owners of the object.
  public var metadata: ListMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var details: StatusDetails? { get { json[optionalView: "details"] } _modify { yield &json[optionalView: "details"] } }
  public var code: Int64? { get { json[int: "code"] } set { json[int: "code"] = newValue } }
}

public struct StatusCause: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  public var field: String? { get { json[string: "field"] } set { json[string: "field"] = newValue } }
}

public struct StatusDetails: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var group: String? { get { json[string: "group"] } set { json[string: "group"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  public var causes: [StatusCause] { get { json[views: "causes"] } set { json[views: "causes"] = newValue } }
  public var retryAfterSeconds: Int64? { get { json[int: "retryAfterSeconds"] } set { json[int: "retryAfterSeconds"] = newValue } }
}
