// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// Binding assigns a pod to a node.
public struct Binding: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "bindings")
  public static let isNamespaced = true
  public static let kind = "Binding"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var target: ObjectReference { get { json[view: "target"] } _modify { yield &json[view: "target"] } }
}

/// ConfigMap holds configuration that pods read as environment variables or files.
public struct ConfigMap: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "configmaps")
  public static let isNamespaced = true
  public static let kind = "ConfigMap"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// Whether the data cannot be changed any more.
  public var immutable: Bool? { get { json[bool: "immutable"] } set { json[bool: "immutable"] = newValue } }
  /// Keys and their texts.
  public var data: [String: String] { get { json[stringMap: "data"] } set { json[stringMap: "data"] = newValue } }
  /// Keys and their bytes, in base64.
  public var binaryData: [String: String] { get { json[stringMap: "binaryData"] } set { json[stringMap: "binaryData"] = newValue } }
}

/// Endpoints lists the addresses behind a service; EndpointSlice takes its place.
public struct Endpoints: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "endpoints")
  public static let isNamespaced = true
  public static let kind = "Endpoints"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var subsets: [EndpointSubset] { get { json[views: "subsets"] } set { json[views: "subsets"] = newValue } }
}

/// Event reports something that happened to an object.
public struct Event: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "events")
  public static let isNamespaced = true
  public static let kind = "Event"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The object that the event is about.
  public var involvedObject: ObjectReference { get { json[view: "involvedObject"] } _modify { yield &json[view: "involvedObject"] } }
  /// What happened, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// What happened, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  /// Who reports.
  public var source: EventSource? { get { json[optionalView: "source"] } _modify { yield &json[optionalView: "source"] } }
  /// When it first happened.
  public var firstTimestamp: String? { get { json[string: "firstTimestamp"] } set { json[string: "firstTimestamp"] = newValue } }
  /// When it last happened.
  public var lastTimestamp: String? { get { json[string: "lastTimestamp"] } set { json[string: "lastTimestamp"] = newValue } }
  /// How often it happened.
  public var count: Int64? { get { json[int: "count"] } set { json[int: "count"] = newValue } }
  /// Normal or Warning.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var eventTime: String? { get { json[string: "eventTime"] } set { json[string: "eventTime"] = newValue } }
  public var series: EventSeries? { get { json[optionalView: "series"] } _modify { yield &json[optionalView: "series"] } }
  public var action: String? { get { json[string: "action"] } set { json[string: "action"] = newValue } }
  public var related: ObjectReference? { get { json[optionalView: "related"] } _modify { yield &json[optionalView: "related"] } }
  public var reportingComponent: String? { get { json[string: "reportingComponent"] } set { json[string: "reportingComponent"] = newValue } }
  public var reportingInstance: String? { get { json[string: "reportingInstance"] } set { json[string: "reportingInstance"] = newValue } }
}

/// LimitRange sets defaults and bounds for the resources of pods and containers in a namespace.
public struct LimitRange: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "limitranges")
  public static let isNamespaced = true
  public static let kind = "LimitRange"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: LimitRangeSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

/// Namespace gives names of objects a scope.
public struct Namespace: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "namespaces")
  public static let isNamespaced = false
  public static let kind = "Namespace"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state of the namespace.
  public var spec: NamespaceSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The current state of the namespace.
  public var status: NamespaceStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

/// Node is a machine on which pods run.
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

/// PersistentVolume is a piece of storage in the cluster.
public struct PersistentVolume: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "persistentvolumes")
  public static let isNamespaced = false
  public static let kind = "PersistentVolume"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: PersistentVolumeSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: PersistentVolumeStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

/// PersistentVolumeClaim asks for storage and binds to a volume.
public struct PersistentVolumeClaim: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "persistentvolumeclaims")
  public static let isNamespaced = true
  public static let kind = "PersistentVolumeClaim"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted storage.
  public var spec: PersistentVolumeClaimSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: PersistentVolumeClaimStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

/// Pod is a group of containers that run together on one node and share a network address and volumes.
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

/// PodTemplate is a template from which pods are made.
public struct PodTemplate: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "podtemplates")
  public static let isNamespaced = true
  public static let kind = "PodTemplate"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The objects to make.
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
}

/// ReplicationController keeps a number of pods running; Deployment takes its place.
public struct ReplicationController: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "replicationcontrollers")
  public static let isNamespaced = true
  public static let kind = "ReplicationController"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: ReplicationControllerSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: ReplicationControllerStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

/// ResourceQuota limits what all objects of a namespace may use together.
public struct ResourceQuota: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "resourcequotas")
  public static let isNamespaced = true
  public static let kind = "ResourceQuota"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: ResourceQuotaSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: ResourceQuotaStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

/// Secret holds data, such as passwords and keys, that pods read as environment variables or files.
public struct Secret: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "secrets")
  public static let isNamespaced = true
  public static let kind = "Secret"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// Whether the data cannot be changed any more.
  public var immutable: Bool? { get { json[bool: "immutable"] } set { json[bool: "immutable"] = newValue } }
  /// Keys and their bytes, in base64.
  public var data: [String: String] { get { json[stringMap: "data"] } set { json[stringMap: "data"] = newValue } }
  /// Keys and texts that are written into data; never read back.
  public var stringData: [String: String] { get { json[stringMap: "stringData"] } set { json[stringMap: "stringData"] = newValue } }
  /// What the secret is for, such as kubernetes.io/tls; Opaque unless told.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
}

/// Service gives a set of pods one stable address and name.
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

/// ServiceAccount is the identity of the processes in a pod.
public struct ServiceAccount: KubeKind {
  public static let resource = GroupVersionResource(group: "", version: "v1", resource: "serviceaccounts")
  public static let isNamespaced = true
  public static let kind = "ServiceAccount"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// Secrets that pods of the account may use.
  public var secrets: [ObjectReference] { get { json[views: "secrets"] } set { json[views: "secrets"] = newValue } }
  /// Secrets with credentials of image registries for the account's pods.
  public var imagePullSecrets: [LocalObjectReference] { get { json[views: "imagePullSecrets"] } set { json[views: "imagePullSecrets"] = newValue } }
  /// Whether pods of the account get a token mounted.
  public var automountServiceAccountToken: Bool? { get { json[bool: "automountServiceAccountToken"] } set { json[bool: "automountServiceAccountToken"] = newValue } }
}
