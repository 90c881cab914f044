// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Schema
public import Wire

public struct Binding: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "bindings")
  public static let isNamespaced = true
  public static let kind = "Binding"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var target: ObjectReference { get { json[view: "target"] } _modify { yield &json[view: "target"] } }
}

public struct ConfigMap: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "configmaps")
  public static let isNamespaced = true
  public static let kind = "ConfigMap"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var immutable: Bool? { get { json[bool: "immutable"] } set { json[bool: "immutable"] = newValue } }
  public var data: [String: String] { get { json[stringMap: "data"] } set { json[stringMap: "data"] = newValue } }
  public var binaryData: [String: String] { get { json[stringMap: "binaryData"] } set { json[stringMap: "binaryData"] = newValue } }
}

public struct Endpoints: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "endpoints")
  public static let isNamespaced = true
  public static let kind = "Endpoints"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var subsets: [EndpointSubset] { get { json[views: "subsets"] } set { json[views: "subsets"] = newValue } }
}

public struct Event: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "events")
  public static let isNamespaced = true
  public static let kind = "Event"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var involvedObject: ObjectReference { get { json[view: "involvedObject"] } _modify { yield &json[view: "involvedObject"] } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  public var source: EventSource? { get { json[optionalView: "source"] } _modify { yield &json[optionalView: "source"] } }
  public var firstTimestamp: String? { get { json[string: "firstTimestamp"] } set { json[string: "firstTimestamp"] = newValue } }
  public var lastTimestamp: String? { get { json[string: "lastTimestamp"] } set { json[string: "lastTimestamp"] = newValue } }
  public var count: Int64? { get { json[int: "count"] } set { json[int: "count"] = newValue } }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var eventTime: String? { get { json[string: "eventTime"] } set { json[string: "eventTime"] = newValue } }
  public var series: EventSeries? { get { json[optionalView: "series"] } _modify { yield &json[optionalView: "series"] } }
  public var action: String? { get { json[string: "action"] } set { json[string: "action"] = newValue } }
  public var related: ObjectReference? { get { json[optionalView: "related"] } _modify { yield &json[optionalView: "related"] } }
  public var reportingComponent: String? { get { json[string: "reportingComponent"] } set { json[string: "reportingComponent"] = newValue } }
  public var reportingInstance: String? { get { json[string: "reportingInstance"] } set { json[string: "reportingInstance"] = newValue } }
}

public struct LimitRange: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "limitranges")
  public static let isNamespaced = true
  public static let kind = "LimitRange"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: LimitRangeSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

public struct Namespace: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "namespaces")
  public static let isNamespaced = false
  public static let kind = "Namespace"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: NamespaceSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: NamespaceStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct Node: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "nodes")
  public static let isNamespaced = false
  public static let kind = "Node"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: NodeSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: NodeStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct PersistentVolume: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "persistentvolumes")
  public static let isNamespaced = false
  public static let kind = "PersistentVolume"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: PersistentVolumeSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: PersistentVolumeStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct PersistentVolumeClaim: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "persistentvolumeclaims")
  public static let isNamespaced = true
  public static let kind = "PersistentVolumeClaim"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: PersistentVolumeClaimSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: PersistentVolumeClaimStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct Pod: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "pods")
  public static let isNamespaced = true
  public static let kind = "Pod"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: PodSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: PodStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct PodTemplate: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "podtemplates")
  public static let isNamespaced = true
  public static let kind = "PodTemplate"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
}

public struct ReplicationController: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "replicationcontrollers")
  public static let isNamespaced = true
  public static let kind = "ReplicationController"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: ReplicationControllerSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: ReplicationControllerStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct ResourceQuota: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "resourcequotas")
  public static let isNamespaced = true
  public static let kind = "ResourceQuota"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: ResourceQuotaSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: ResourceQuotaStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct Secret: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "secrets")
  public static let isNamespaced = true
  public static let kind = "Secret"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var immutable: Bool? { get { json[bool: "immutable"] } set { json[bool: "immutable"] = newValue } }
  public var data: [String: String] { get { json[stringMap: "data"] } set { json[stringMap: "data"] = newValue } }
  public var stringData: [String: String] { get { json[stringMap: "stringData"] } set { json[stringMap: "stringData"] = newValue } }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
}

public struct Service: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "services")
  public static let isNamespaced = true
  public static let kind = "Service"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: ServiceSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: ServiceStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct ServiceAccount: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "serviceaccounts")
  public static let isNamespaced = true
  public static let kind = "ServiceAccount"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var secrets: [ObjectReference] { get { json[views: "secrets"] } set { json[views: "secrets"] = newValue } }
  public var imagePullSecrets: [LocalObjectReference] { get { json[views: "imagePullSecrets"] } set { json[views: "imagePullSecrets"] = newValue } }
  public var automountServiceAccountToken: Bool? { get { json[bool: "automountServiceAccountToken"] } set { json[bool: "automountServiceAccountToken"] = newValue } }
}
