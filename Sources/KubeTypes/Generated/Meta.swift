// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Wire

public struct Condition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct DeleteOptions: KubeValue {
  public static let kind = "DeleteOptions"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public init() { json = ["apiVersion": "v1", "kind": "DeleteOptions"] }
  public var gracePeriodSeconds: Int64? { get { json[int: "gracePeriodSeconds"] } set { json[int: "gracePeriodSeconds"] = newValue } }
  public var preconditions: Preconditions? { get { json[optionalView: "preconditions"] } _modify { yield &json[optionalView: "preconditions"] } }
  public var orphanDependents: Bool? { get { json[bool: "orphanDependents"] } set { json[bool: "orphanDependents"] = newValue } }
  public var propagationPolicy: String? { get { json[string: "propagationPolicy"] } set { json[string: "propagationPolicy"] = newValue } }
  public var dryRun: [String] { get { json[strings: "dryRun"] } set { json[strings: "dryRun"] = newValue } }
  public var ignoreStoreReadErrorWithClusterBreakingPotential: Bool? { get { json[bool: "ignoreStoreReadErrorWithClusterBreakingPotential"] } set { json[bool: "ignoreStoreReadErrorWithClusterBreakingPotential"] = newValue } }
}

public struct FieldSelectorRequirement: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  public var values: [String] { get { json[strings: "values"] } set { json[strings: "values"] = newValue } }
}

public struct LabelSelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var matchLabels: [String: String] { get { json[stringMap: "matchLabels"] } set { json[stringMap: "matchLabels"] = newValue } }
  public var matchExpressions: [LabelSelectorRequirement] { get { json[views: "matchExpressions"] } set { json[views: "matchExpressions"] = newValue } }
}

public struct LabelSelectorRequirement: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
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

public struct ObjectMeta: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var generateName: String? { get { json[string: "generateName"] } set { json[string: "generateName"] = newValue } }
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
  public var selfLink: String? { get { json[string: "selfLink"] } set { json[string: "selfLink"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  public var resourceVersion: String? { get { json[string: "resourceVersion"] } set { json[string: "resourceVersion"] = newValue } }
  public var generation: Int64? { get { json[int: "generation"] } set { json[int: "generation"] = newValue } }
  public var creationTimestamp: String? { get { json[string: "creationTimestamp"] } set { json[string: "creationTimestamp"] = newValue } }
  public var deletionTimestamp: String? { get { json[string: "deletionTimestamp"] } set { json[string: "deletionTimestamp"] = newValue } }
  public var deletionGracePeriodSeconds: Int64? { get { json[int: "deletionGracePeriodSeconds"] } set { json[int: "deletionGracePeriodSeconds"] = newValue } }
  public var labels: [String: String] { get { json[stringMap: "labels"] } set { json[stringMap: "labels"] = newValue } }
  public var annotations: [String: String] { get { json[stringMap: "annotations"] } set { json[stringMap: "annotations"] = newValue } }
  public var ownerReferences: [OwnerReference] { get { json[views: "ownerReferences"] } set { json[views: "ownerReferences"] = newValue } }
  public var finalizers: [String] { get { json[strings: "finalizers"] } set { json[strings: "finalizers"] = newValue } }
  public var managedFields: [ManagedFieldsEntry] { get { json[views: "managedFields"] } set { json[views: "managedFields"] = newValue } }
}

public struct OwnerReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var apiVersion: String? { get { json[string: "apiVersion"] } set { json[string: "apiVersion"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  public var controller: Bool? { get { json[bool: "controller"] } set { json[bool: "controller"] = newValue } }
  public var blockOwnerDeletion: Bool? { get { json[bool: "blockOwnerDeletion"] } set { json[bool: "blockOwnerDeletion"] = newValue } }
}

public struct Preconditions: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  public var resourceVersion: String? { get { json[string: "resourceVersion"] } set { json[string: "resourceVersion"] = newValue } }
}

public struct ShardInfo: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var selector: String? { get { json[string: "selector"] } set { json[string: "selector"] = newValue } }
}

public struct Status: KubeValue {
  public static let kind = "Status"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public init() { json = ["apiVersion": "v1", "kind": "Status"] }
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
