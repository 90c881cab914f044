// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Schema
public import Wire

public struct ControllerRevision: KubeKind {
  public static let resource = GroupVersionResource(group: "apps", version: "v1", resource: "controllerrevisions")
  public static let isNamespaced = true
  public static let kind = "ControllerRevision"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var data: JSON? { get { json[value: "data"] } set { json[value: "data"] = newValue } }
  public var revision: Int64? { get { json[int: "revision"] } set { json[int: "revision"] = newValue } }
}

public struct DaemonSet: KubeKind {
  public static let resource = GroupVersionResource(group: "apps", version: "v1", resource: "daemonsets")
  public static let isNamespaced = true
  public static let kind = "DaemonSet"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: DaemonSetSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: DaemonSetStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct DaemonSetCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct DaemonSetSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
  public var updateStrategy: DaemonSetUpdateStrategy? { get { json[optionalView: "updateStrategy"] } _modify { yield &json[optionalView: "updateStrategy"] } }
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  public var revisionHistoryLimit: Int64? { get { json[int: "revisionHistoryLimit"] } set { json[int: "revisionHistoryLimit"] = newValue } }
}

public struct DaemonSetStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var currentNumberScheduled: Int64? { get { json[int: "currentNumberScheduled"] } set { json[int: "currentNumberScheduled"] = newValue } }
  public var numberMisscheduled: Int64? { get { json[int: "numberMisscheduled"] } set { json[int: "numberMisscheduled"] = newValue } }
  public var desiredNumberScheduled: Int64? { get { json[int: "desiredNumberScheduled"] } set { json[int: "desiredNumberScheduled"] = newValue } }
  public var numberReady: Int64? { get { json[int: "numberReady"] } set { json[int: "numberReady"] = newValue } }
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var updatedNumberScheduled: Int64? { get { json[int: "updatedNumberScheduled"] } set { json[int: "updatedNumberScheduled"] = newValue } }
  public var numberAvailable: Int64? { get { json[int: "numberAvailable"] } set { json[int: "numberAvailable"] = newValue } }
  public var numberUnavailable: Int64? { get { json[int: "numberUnavailable"] } set { json[int: "numberUnavailable"] = newValue } }
  public var collisionCount: Int64? { get { json[int: "collisionCount"] } set { json[int: "collisionCount"] = newValue } }
  public var conditions: [DaemonSetCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}

public struct DaemonSetUpdateStrategy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var rollingUpdate: RollingUpdateDaemonSet? { get { json[optionalView: "rollingUpdate"] } _modify { yield &json[optionalView: "rollingUpdate"] } }
}

public struct Deployment: KubeKind {
  public static let resource = GroupVersionResource(group: "apps", version: "v1", resource: "deployments")
  public static let isNamespaced = true
  public static let kind = "Deployment"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: DeploymentSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: DeploymentStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct DeploymentCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastUpdateTime: String? { get { json[string: "lastUpdateTime"] } set { json[string: "lastUpdateTime"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct DeploymentSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
  public var strategy: DeploymentStrategy? { get { json[optionalView: "strategy"] } _modify { yield &json[optionalView: "strategy"] } }
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  public var revisionHistoryLimit: Int64? { get { json[int: "revisionHistoryLimit"] } set { json[int: "revisionHistoryLimit"] = newValue } }
  public var paused: Bool? { get { json[bool: "paused"] } set { json[bool: "paused"] = newValue } }
  public var progressDeadlineSeconds: Int64? { get { json[int: "progressDeadlineSeconds"] } set { json[int: "progressDeadlineSeconds"] = newValue } }
}

public struct DeploymentStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var updatedReplicas: Int64? { get { json[int: "updatedReplicas"] } set { json[int: "updatedReplicas"] = newValue } }
  public var readyReplicas: Int64? { get { json[int: "readyReplicas"] } set { json[int: "readyReplicas"] = newValue } }
  public var availableReplicas: Int64? { get { json[int: "availableReplicas"] } set { json[int: "availableReplicas"] = newValue } }
  public var unavailableReplicas: Int64? { get { json[int: "unavailableReplicas"] } set { json[int: "unavailableReplicas"] = newValue } }
  public var terminatingReplicas: Int64? { get { json[int: "terminatingReplicas"] } set { json[int: "terminatingReplicas"] = newValue } }
  public var conditions: [DeploymentCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  public var collisionCount: Int64? { get { json[int: "collisionCount"] } set { json[int: "collisionCount"] = newValue } }
}

public struct DeploymentStrategy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var rollingUpdate: RollingUpdateDeployment? { get { json[optionalView: "rollingUpdate"] } _modify { yield &json[optionalView: "rollingUpdate"] } }
}

public struct ReplicaSet: KubeKind {
  public static let resource = GroupVersionResource(group: "apps", version: "v1", resource: "replicasets")
  public static let isNamespaced = true
  public static let kind = "ReplicaSet"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: ReplicaSetSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: ReplicaSetStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct ReplicaSetCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct ReplicaSetSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
}

public struct ReplicaSetStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var fullyLabeledReplicas: Int64? { get { json[int: "fullyLabeledReplicas"] } set { json[int: "fullyLabeledReplicas"] = newValue } }
  public var readyReplicas: Int64? { get { json[int: "readyReplicas"] } set { json[int: "readyReplicas"] = newValue } }
  public var availableReplicas: Int64? { get { json[int: "availableReplicas"] } set { json[int: "availableReplicas"] = newValue } }
  public var terminatingReplicas: Int64? { get { json[int: "terminatingReplicas"] } set { json[int: "terminatingReplicas"] = newValue } }
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var conditions: [ReplicaSetCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}

public struct RollingUpdateDaemonSet: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var maxUnavailable: IntOrString? { get { json[intOrString: "maxUnavailable"] } set { json[intOrString: "maxUnavailable"] = newValue } }
  public var maxSurge: IntOrString? { get { json[intOrString: "maxSurge"] } set { json[intOrString: "maxSurge"] = newValue } }
}

public struct RollingUpdateDeployment: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var maxUnavailable: IntOrString? { get { json[intOrString: "maxUnavailable"] } set { json[intOrString: "maxUnavailable"] = newValue } }
  public var maxSurge: IntOrString? { get { json[intOrString: "maxSurge"] } set { json[intOrString: "maxSurge"] = newValue } }
}

public struct RollingUpdateStatefulSetStrategy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var partition: Int64? { get { json[int: "partition"] } set { json[int: "partition"] = newValue } }
  public var maxUnavailable: IntOrString? { get { json[intOrString: "maxUnavailable"] } set { json[intOrString: "maxUnavailable"] = newValue } }
}

public struct StatefulSet: KubeKind {
  public static let resource = GroupVersionResource(group: "apps", version: "v1", resource: "statefulsets")
  public static let isNamespaced = true
  public static let kind = "StatefulSet"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: StatefulSetSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  public var status: StatefulSetStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct StatefulSetCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct StatefulSetOrdinals: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var start: Int64? { get { json[int: "start"] } set { json[int: "start"] = newValue } }
}

public struct StatefulSetPersistentVolumeClaimRetentionPolicy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var whenDeleted: String? { get { json[string: "whenDeleted"] } set { json[string: "whenDeleted"] = newValue } }
  public var whenScaled: String? { get { json[string: "whenScaled"] } set { json[string: "whenScaled"] = newValue } }
}

public struct StatefulSetSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
  public var volumeClaimTemplates: [PersistentVolumeClaim] { get { json[views: "volumeClaimTemplates"] } set { json[views: "volumeClaimTemplates"] = newValue } }
  public var serviceName: String? { get { json[string: "serviceName"] } set { json[string: "serviceName"] = newValue } }
  public var podManagementPolicy: String? { get { json[string: "podManagementPolicy"] } set { json[string: "podManagementPolicy"] = newValue } }
  public var updateStrategy: StatefulSetUpdateStrategy? { get { json[optionalView: "updateStrategy"] } _modify { yield &json[optionalView: "updateStrategy"] } }
  public var revisionHistoryLimit: Int64? { get { json[int: "revisionHistoryLimit"] } set { json[int: "revisionHistoryLimit"] = newValue } }
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  public var persistentVolumeClaimRetentionPolicy: StatefulSetPersistentVolumeClaimRetentionPolicy? { get { json[optionalView: "persistentVolumeClaimRetentionPolicy"] } _modify { yield &json[optionalView: "persistentVolumeClaimRetentionPolicy"] } }
  public var ordinals: StatefulSetOrdinals? { get { json[optionalView: "ordinals"] } _modify { yield &json[optionalView: "ordinals"] } }
}

public struct StatefulSetStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var readyReplicas: Int64? { get { json[int: "readyReplicas"] } set { json[int: "readyReplicas"] = newValue } }
  public var currentReplicas: Int64? { get { json[int: "currentReplicas"] } set { json[int: "currentReplicas"] = newValue } }
  public var updatedReplicas: Int64? { get { json[int: "updatedReplicas"] } set { json[int: "updatedReplicas"] = newValue } }
  public var currentRevision: String? { get { json[string: "currentRevision"] } set { json[string: "currentRevision"] = newValue } }
  public var updateRevision: String? { get { json[string: "updateRevision"] } set { json[string: "updateRevision"] = newValue } }
  public var collisionCount: Int64? { get { json[int: "collisionCount"] } set { json[int: "collisionCount"] = newValue } }
  public var conditions: [StatefulSetCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  public var availableReplicas: Int64? { get { json[int: "availableReplicas"] } set { json[int: "availableReplicas"] = newValue } }
}

public struct StatefulSetUpdateStrategy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var rollingUpdate: RollingUpdateStatefulSetStrategy? { get { json[optionalView: "rollingUpdate"] } _modify { yield &json[optionalView: "rollingUpdate"] } }
}
