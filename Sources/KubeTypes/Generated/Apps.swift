// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// ControllerRevision is an immutable snapshot of a controller's state.
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

/// DaemonSet runs one copy of a pod on every matching node.
public struct DaemonSet: KubeKind {
  public static let resource = GroupVersionResource(group: "apps", version: "v1", resource: "daemonsets")
  public static let isNamespaced = true
  public static let kind = "DaemonSet"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: DaemonSetSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: DaemonSetStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct DaemonSetCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

/// DaemonSetSpec describes the wanted state of a daemon set.
public struct DaemonSetSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Pods that belong to the set; it cannot be changed.
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
  /// How pods are replaced.
  public var updateStrategy: DaemonSetUpdateStrategy? { get { json[optionalView: "updateStrategy"] } _modify { yield &json[optionalView: "updateStrategy"] } }
  /// Seconds a new pod must be ready to count as available.
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
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var updatedNumberScheduled: Int64? { get { json[int: "updatedNumberScheduled"] } set { json[int: "updatedNumberScheduled"] = newValue } }
  public var numberAvailable: Int64? { get { json[int: "numberAvailable"] } set { json[int: "numberAvailable"] = newValue } }
  public var numberUnavailable: Int64? { get { json[int: "numberUnavailable"] } set { json[int: "numberUnavailable"] = newValue } }
  public var collisionCount: Int64? { get { json[int: "collisionCount"] } set { json[int: "collisionCount"] = newValue } }
  /// Aspects of the current state.
  public var conditions: [DaemonSetCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}

public struct DaemonSetUpdateStrategy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var rollingUpdate: RollingUpdateDaemonSet? { get { json[optionalView: "rollingUpdate"] } _modify { yield &json[optionalView: "rollingUpdate"] } }
}

/// Deployment keeps a number of equal pods running and replaces them gradually when their template changes.
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
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// When the condition was last written.
  public var lastUpdateTime: String? { get { json[string: "lastUpdateTime"] } set { json[string: "lastUpdateTime"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

/// DeploymentSpec describes the wanted state of a deployment.
public struct DeploymentSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Wanted number of pods; 1 unless told.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  /// Pods that belong to the deployment; it cannot be changed and must match the template's labels.
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
  public var strategy: DeploymentStrategy? { get { json[optionalView: "strategy"] } _modify { yield &json[optionalView: "strategy"] } }
  /// Seconds a new pod must be ready to count as available.
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  /// How many old replica sets are kept for rollbacks; 10 unless told.
  public var revisionHistoryLimit: Int64? { get { json[int: "revisionHistoryLimit"] } set { json[int: "revisionHistoryLimit"] = newValue } }
  /// Whether changes of the template are not rolled out.
  public var paused: Bool? { get { json[bool: "paused"] } set { json[bool: "paused"] = newValue } }
  /// Seconds without progress after which the rollout counts as failed; 600 unless told.
  public var progressDeadlineSeconds: Int64? { get { json[int: "progressDeadlineSeconds"] } set { json[int: "progressDeadlineSeconds"] = newValue } }
}

/// DeploymentStatus is the last observed state of a deployment.
public struct DeploymentStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  /// Pods there are.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  /// Pods with the current template.
  public var updatedReplicas: Int64? { get { json[int: "updatedReplicas"] } set { json[int: "updatedReplicas"] = newValue } }
  /// Pods that are ready.
  public var readyReplicas: Int64? { get { json[int: "readyReplicas"] } set { json[int: "readyReplicas"] = newValue } }
  /// Pods that have been ready for minReadySeconds.
  public var availableReplicas: Int64? { get { json[int: "availableReplicas"] } set { json[int: "availableReplicas"] = newValue } }
  /// Pods that are missing.
  public var unavailableReplicas: Int64? { get { json[int: "unavailableReplicas"] } set { json[int: "unavailableReplicas"] = newValue } }
  public var terminatingReplicas: Int64? { get { json[int: "terminatingReplicas"] } set { json[int: "terminatingReplicas"] = newValue } }
  /// Aspects of the state, such as Available and Progressing.
  public var conditions: [DeploymentCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  /// How often the name of a replica set was taken.
  public var collisionCount: Int64? { get { json[int: "collisionCount"] } set { json[int: "collisionCount"] = newValue } }
}

/// DeploymentStrategy says how old pods are replaced by new ones.
public struct DeploymentStrategy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// RollingUpdate or Recreate.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var rollingUpdate: RollingUpdateDeployment? { get { json[optionalView: "rollingUpdate"] } _modify { yield &json[optionalView: "rollingUpdate"] } }
}

/// ReplicaSet keeps a number of equal pods running.
public struct ReplicaSet: KubeKind {
  public static let resource = GroupVersionResource(group: "apps", version: "v1", resource: "replicasets")
  public static let isNamespaced = true
  public static let kind = "ReplicaSet"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: ReplicaSetSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: ReplicaSetStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct ReplicaSetCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

/// ReplicaSetSpec describes the wanted state of a replica set.
public struct ReplicaSetSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Wanted number of pods; 1 unless told.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  /// Seconds a new pod must be ready to count as available.
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  /// Pods that belong to the set; it cannot be changed.
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
}

public struct ReplicaSetStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Number of pods.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var fullyLabeledReplicas: Int64? { get { json[int: "fullyLabeledReplicas"] } set { json[int: "fullyLabeledReplicas"] = newValue } }
  public var readyReplicas: Int64? { get { json[int: "readyReplicas"] } set { json[int: "readyReplicas"] = newValue } }
  public var availableReplicas: Int64? { get { json[int: "availableReplicas"] } set { json[int: "availableReplicas"] = newValue } }
  public var terminatingReplicas: Int64? { get { json[int: "terminatingReplicas"] } set { json[int: "terminatingReplicas"] = newValue } }
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  /// Aspects of the current state.
  public var conditions: [ReplicaSetCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}

public struct RollingUpdateDaemonSet: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var maxUnavailable: IntOrString? { get { json[intOrString: "maxUnavailable"] } set { json[intOrString: "maxUnavailable"] = newValue } }
  public var maxSurge: IntOrString? { get { json[intOrString: "maxSurge"] } set { json[intOrString: "maxSurge"] = newValue } }
}

/// RollingUpdateDeployment bounds a rolling update.
public struct RollingUpdateDeployment: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// How many pods may be missing, as a number or percentage; 25% unless told.
  public var maxUnavailable: IntOrString? { get { json[intOrString: "maxUnavailable"] } set { json[intOrString: "maxUnavailable"] = newValue } }
  /// How many pods may be extra, as a number or percentage; 25% unless told.
  public var maxSurge: IntOrString? { get { json[intOrString: "maxSurge"] } set { json[intOrString: "maxSurge"] = newValue } }
}

public struct RollingUpdateStatefulSetStrategy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var partition: Int64? { get { json[int: "partition"] } set { json[int: "partition"] = newValue } }
  public var maxUnavailable: IntOrString? { get { json[intOrString: "maxUnavailable"] } set { json[intOrString: "maxUnavailable"] = newValue } }
}

/// StatefulSet runs pods with stable names and storage of their own.
public struct StatefulSet: KubeKind {
  public static let resource = GroupVersionResource(group: "apps", version: "v1", resource: "statefulsets")
  public static let isNamespaced = true
  public static let kind = "StatefulSet"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: StatefulSetSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: StatefulSetStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct StatefulSetCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
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

/// StatefulSetSpec describes the wanted state of a stateful set.
public struct StatefulSetSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Wanted number of pods; 1 unless told.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  /// Pods that belong to the set; it cannot be changed.
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
  /// Claims that each pod gets for itself.
  public var volumeClaimTemplates: [PersistentVolumeClaim] { get { json[views: "volumeClaimTemplates"] } set { json[views: "volumeClaimTemplates"] = newValue } }
  /// Headless service that names the pods.
  public var serviceName: String? { get { json[string: "serviceName"] } set { json[string: "serviceName"] = newValue } }
  /// OrderedReady starts pods one after the other, Parallel all at once.
  public var podManagementPolicy: String? { get { json[string: "podManagementPolicy"] } set { json[string: "podManagementPolicy"] = newValue } }
  /// How pods are replaced.
  public var updateStrategy: StatefulSetUpdateStrategy? { get { json[optionalView: "updateStrategy"] } _modify { yield &json[optionalView: "updateStrategy"] } }
  public var revisionHistoryLimit: Int64? { get { json[int: "revisionHistoryLimit"] } set { json[int: "revisionHistoryLimit"] = newValue } }
  /// Seconds a new pod must be ready to count as available.
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  public var persistentVolumeClaimRetentionPolicy: StatefulSetPersistentVolumeClaimRetentionPolicy? { get { json[optionalView: "persistentVolumeClaimRetentionPolicy"] } _modify { yield &json[optionalView: "persistentVolumeClaimRetentionPolicy"] } }
  public var ordinals: StatefulSetOrdinals? { get { json[optionalView: "ordinals"] } _modify { yield &json[optionalView: "ordinals"] } }
}

public struct StatefulSetStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  /// Number of pods.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var readyReplicas: Int64? { get { json[int: "readyReplicas"] } set { json[int: "readyReplicas"] = newValue } }
  public var currentReplicas: Int64? { get { json[int: "currentReplicas"] } set { json[int: "currentReplicas"] = newValue } }
  public var updatedReplicas: Int64? { get { json[int: "updatedReplicas"] } set { json[int: "updatedReplicas"] = newValue } }
  public var currentRevision: String? { get { json[string: "currentRevision"] } set { json[string: "currentRevision"] = newValue } }
  public var updateRevision: String? { get { json[string: "updateRevision"] } set { json[string: "updateRevision"] = newValue } }
  public var collisionCount: Int64? { get { json[int: "collisionCount"] } set { json[int: "collisionCount"] = newValue } }
  /// Aspects of the current state.
  public var conditions: [StatefulSetCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  public var availableReplicas: Int64? { get { json[int: "availableReplicas"] } set { json[int: "availableReplicas"] = newValue } }
}

public struct StatefulSetUpdateStrategy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var rollingUpdate: RollingUpdateStatefulSetStrategy? { get { json[optionalView: "rollingUpdate"] } _modify { yield &json[optionalView: "rollingUpdate"] } }
}
