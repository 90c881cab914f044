// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Wire

public struct AWSElasticBlockStoreVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeID: String? { get { json[string: "volumeID"] } set { json[string: "volumeID"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var partition: Int64? { get { json[int: "partition"] } set { json[int: "partition"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

/// Affinity says near what a pod wants to run, and away from what.
public struct Affinity: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// On which nodes the pod wants to run.
  public var nodeAffinity: NodeAffinity? { get { json[optionalView: "nodeAffinity"] } _modify { yield &json[optionalView: "nodeAffinity"] } }
  /// Near which pods the pod wants to run.
  public var podAffinity: PodAffinity? { get { json[optionalView: "podAffinity"] } _modify { yield &json[optionalView: "podAffinity"] } }
  /// Away from which pods the pod wants to run.
  public var podAntiAffinity: PodAntiAffinity? { get { json[optionalView: "podAntiAffinity"] } _modify { yield &json[optionalView: "podAntiAffinity"] } }
}

public struct AppArmorProfile: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var localhostProfile: String? { get { json[string: "localhostProfile"] } set { json[string: "localhostProfile"] = newValue } }
}

public struct AttachedVolume: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var devicePath: String? { get { json[string: "devicePath"] } set { json[string: "devicePath"] = newValue } }
}

public struct AzureDiskVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var diskName: String? { get { json[string: "diskName"] } set { json[string: "diskName"] = newValue } }
  public var diskURI: String? { get { json[string: "diskURI"] } set { json[string: "diskURI"] = newValue } }
  public var cachingMode: String? { get { json[string: "cachingMode"] } set { json[string: "cachingMode"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
}

public struct AzureFilePersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var secretName: String? { get { json[string: "secretName"] } set { json[string: "secretName"] = newValue } }
  public var shareName: String? { get { json[string: "shareName"] } set { json[string: "shareName"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretNamespace: String? { get { json[string: "secretNamespace"] } set { json[string: "secretNamespace"] = newValue } }
}

public struct AzureFileVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var secretName: String? { get { json[string: "secretName"] } set { json[string: "secretName"] = newValue } }
  public var shareName: String? { get { json[string: "shareName"] } set { json[string: "shareName"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct CSIPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var driver: String? { get { json[string: "driver"] } set { json[string: "driver"] = newValue } }
  public var volumeHandle: String? { get { json[string: "volumeHandle"] } set { json[string: "volumeHandle"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var volumeAttributes: [String: String] { get { json[stringMap: "volumeAttributes"] } set { json[stringMap: "volumeAttributes"] = newValue } }
  public var controllerPublishSecretRef: SecretReference? { get { json[optionalView: "controllerPublishSecretRef"] } _modify { yield &json[optionalView: "controllerPublishSecretRef"] } }
  public var nodeStageSecretRef: SecretReference? { get { json[optionalView: "nodeStageSecretRef"] } _modify { yield &json[optionalView: "nodeStageSecretRef"] } }
  public var nodePublishSecretRef: SecretReference? { get { json[optionalView: "nodePublishSecretRef"] } _modify { yield &json[optionalView: "nodePublishSecretRef"] } }
  public var controllerExpandSecretRef: SecretReference? { get { json[optionalView: "controllerExpandSecretRef"] } _modify { yield &json[optionalView: "controllerExpandSecretRef"] } }
  public var nodeExpandSecretRef: SecretReference? { get { json[optionalView: "nodeExpandSecretRef"] } _modify { yield &json[optionalView: "nodeExpandSecretRef"] } }
}

public struct CSIVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var driver: String? { get { json[string: "driver"] } set { json[string: "driver"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var volumeAttributes: [String: String] { get { json[stringMap: "volumeAttributes"] } set { json[stringMap: "volumeAttributes"] = newValue } }
  public var nodePublishSecretRef: LocalObjectReference? { get { json[optionalView: "nodePublishSecretRef"] } _modify { yield &json[optionalView: "nodePublishSecretRef"] } }
}

/// Capabilities are Linux capabilities to add and to drop.
public struct Capabilities: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Capabilities to add.
  public var add: [String] { get { json[strings: "add"] } set { json[strings: "add"] = newValue } }
  /// Capabilities to drop; ALL drops every one.
  public var drop: [String] { get { json[strings: "drop"] } set { json[strings: "drop"] = newValue } }
}

public struct CephFSPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var monitors: [String] { get { json[strings: "monitors", keepsEmpty: true] } set { json[strings: "monitors", keepsEmpty: true] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var secretFile: String? { get { json[string: "secretFile"] } set { json[string: "secretFile"] = newValue } }
  public var secretRef: SecretReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct CephFSVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var monitors: [String] { get { json[strings: "monitors", keepsEmpty: true] } set { json[strings: "monitors", keepsEmpty: true] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var secretFile: String? { get { json[string: "secretFile"] } set { json[string: "secretFile"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct CinderPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeID: String? { get { json[string: "volumeID"] } set { json[string: "volumeID"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretRef: SecretReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

public struct CinderVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeID: String? { get { json[string: "volumeID"] } set { json[string: "volumeID"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

public struct ClientIPConfig: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var timeoutSeconds: Int64? { get { json[int: "timeoutSeconds"] } set { json[int: "timeoutSeconds"] = newValue } }
}

public struct ClusterTrustBundleProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var signerName: String? { get { json[string: "signerName"] } set { json[string: "signerName"] = newValue } }
  public var labelSelector: LabelSelector? { get { json[optionalView: "labelSelector"] } _modify { yield &json[optionalView: "labelSelector"] } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var user: Int64? { get { json[int: "user"] } set { json[int: "user"] = newValue } }
}

public struct ConfigMapEnvSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct ConfigMapKeySelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Key to take.
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct ConfigMapNodeConfigSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Namespace of the object that is named.
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  public var resourceVersion: String? { get { json[string: "resourceVersion"] } set { json[string: "resourceVersion"] = newValue } }
  public var kubeletConfigKey: String? { get { json[string: "kubeletConfigKey"] } set { json[string: "kubeletConfigKey"] = newValue } }
}

public struct ConfigMapProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Every key unless told.
  public var items: [KeyToPath] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

/// ConfigMapVolumeSource shows the keys of a ConfigMap as files.
public struct ConfigMapVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Every key unless told.
  public var items: [KeyToPath] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  /// Mode of the files; 0644 unless told.
  public var defaultMode: Int64? { get { json[int: "defaultMode"] } set { json[int: "defaultMode"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
  public var defaultUser: Int64? { get { json[int: "defaultUser"] } set { json[int: "defaultUser"] = newValue } }
}

/// Container is one container of a pod.
public struct Container: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name, unique in the pod.
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Image to run.
  public var image: String? { get { json[string: "image"] } set { json[string: "image"] = newValue } }
  /// Program and first arguments, instead of the image's entry point.
  public var command: [String] { get { json[strings: "command"] } set { json[strings: "command"] = newValue } }
  /// Arguments, instead of the image's.
  public var args: [String] { get { json[strings: "args"] } set { json[strings: "args"] = newValue } }
  /// Folder in which the program starts, instead of the image's.
  public var workingDir: String? { get { json[string: "workingDir"] } set { json[string: "workingDir"] = newValue } }
  /// A list for people and tools; what it leaves out can be reached, too.
  public var ports: [ContainerPort] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
  public var envFrom: [EnvFromSource] { get { json[views: "envFrom"] } set { json[views: "envFrom"] = newValue } }
  public var env: [EnvVar] { get { json[views: "env"] } set { json[views: "env"] = newValue } }
  public var resources: ResourceRequirements? { get { json[optionalView: "resources"] } _modify { yield &json[optionalView: "resources"] } }
  /// Whether a resource change restarts the container.
  public var resizePolicy: [ContainerResizePolicy] { get { json[views: "resizePolicy"] } set { json[views: "resizePolicy"] = newValue } }
  /// Always makes an init container a sidecar that keeps running.
  public var restartPolicy: String? { get { json[string: "restartPolicy"] } set { json[string: "restartPolicy"] = newValue } }
  public var restartPolicyRules: [ContainerRestartRule] { get { json[views: "restartPolicyRules"] } set { json[views: "restartPolicyRules"] = newValue } }
  /// Volumes to mount and where.
  public var volumeMounts: [VolumeMount] { get { json[views: "volumeMounts"] } set { json[views: "volumeMounts"] = newValue } }
  /// Block devices of claims.
  public var volumeDevices: [VolumeDevice] { get { json[views: "volumeDevices"] } set { json[views: "volumeDevices"] = newValue } }
  /// Check after whose failure the container is restarted.
  public var livenessProbe: Probe? { get { json[optionalView: "livenessProbe"] } _modify { yield &json[optionalView: "livenessProbe"] } }
  /// Check that decides whether services send traffic here.
  public var readinessProbe: Probe? { get { json[optionalView: "readinessProbe"] } _modify { yield &json[optionalView: "readinessProbe"] } }
  /// Check that must succeed before the other checks begin.
  public var startupProbe: Probe? { get { json[optionalView: "startupProbe"] } _modify { yield &json[optionalView: "startupProbe"] } }
  public var lifecycle: Lifecycle? { get { json[optionalView: "lifecycle"] } _modify { yield &json[optionalView: "lifecycle"] } }
  /// File whose contents become the message when the container ends.
  public var terminationMessagePath: String? { get { json[string: "terminationMessagePath"] } set { json[string: "terminationMessagePath"] = newValue } }
  /// File, or FallbackToLogsOnError to use the end of the log.
  public var terminationMessagePolicy: String? { get { json[string: "terminationMessagePolicy"] } set { json[string: "terminationMessagePolicy"] = newValue } }
  /// Always, IfNotPresent or Never.
  public var imagePullPolicy: String? { get { json[string: "imagePullPolicy"] } set { json[string: "imagePullPolicy"] = newValue } }
  public var securityContext: SecurityContext? { get { json[optionalView: "securityContext"] } _modify { yield &json[optionalView: "securityContext"] } }
  /// Whether standard input is open.
  public var stdin: Bool? { get { json[bool: "stdin"] } set { json[bool: "stdin"] = newValue } }
  /// Whether standard input closes after the first attach.
  public var stdinOnce: Bool? { get { json[bool: "stdinOnce"] } set { json[bool: "stdinOnce"] = newValue } }
  /// Whether the container has a terminal.
  public var tty: Bool? { get { json[bool: "tty"] } set { json[bool: "tty"] = newValue } }
}

public struct ContainerExtendedResourceRequest: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var containerName: String? { get { json[string: "containerName"] } set { json[string: "containerName"] = newValue } }
  public var resourceName: String? { get { json[string: "resourceName"] } set { json[string: "resourceName"] = newValue } }
  public var requestName: String? { get { json[string: "requestName"] } set { json[string: "requestName"] = newValue } }
}

public struct ContainerImage: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var names: [String] { get { json[strings: "names", keepsEmpty: true] } set { json[strings: "names", keepsEmpty: true] = newValue } }
  public var sizeBytes: Int64? { get { json[int: "sizeBytes"] } set { json[int: "sizeBytes"] = newValue } }
}

/// ContainerPort is a port on which a container listens.
public struct ContainerPort: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name by which services refer to the port.
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Port of the node that leads here.
  public var hostPort: Int64? { get { json[int: "hostPort"] } set { json[int: "hostPort"] = newValue } }
  /// Number of the port in the container.
  public var containerPort: Int64? { get { json[int: "containerPort"] } set { json[int: "containerPort"] = newValue } }
  /// TCP, UDP or SCTP.
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
  /// Address of the node on which the host port listens.
  public var hostIP: String? { get { json[string: "hostIP"] } set { json[string: "hostIP"] = newValue } }
}

public struct ContainerResizePolicy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var resourceName: String? { get { json[string: "resourceName"] } set { json[string: "resourceName"] = newValue } }
  public var restartPolicy: String? { get { json[string: "restartPolicy"] } set { json[string: "restartPolicy"] = newValue } }
}

public struct ContainerRestartRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var action: String? { get { json[string: "action"] } set { json[string: "action"] = newValue } }
  public var exitCodes: ContainerRestartRuleOnExitCodes? { get { json[optionalView: "exitCodes"] } _modify { yield &json[optionalView: "exitCodes"] } }
}

public struct ContainerRestartRuleOnExitCodes: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  public var values: [Int64] { get { json[ints: "values"] } set { json[ints: "values"] = newValue } }
}

/// ContainerState says whether a container waits, runs or has ended.
public struct ContainerState: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var waiting: ContainerStateWaiting? { get { json[optionalView: "waiting"] } _modify { yield &json[optionalView: "waiting"] } }
  public var running: ContainerStateRunning? { get { json[optionalView: "running"] } _modify { yield &json[optionalView: "running"] } }
  public var terminated: ContainerStateTerminated? { get { json[optionalView: "terminated"] } _modify { yield &json[optionalView: "terminated"] } }
}

/// ContainerStateRunning says since when a container runs.
public struct ContainerStateRunning: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// When the container started.
  public var startedAt: String? { get { json[string: "startedAt"] } set { json[string: "startedAt"] = newValue } }
}

/// ContainerStateTerminated says how a container ended.
public struct ContainerStateTerminated: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Exit code of the container.
  public var exitCode: Int64? { get { json[int: "exitCode"] } set { json[int: "exitCode"] = newValue } }
  /// Signal that ended the container.
  public var signal: Int64? { get { json[int: "signal"] } set { json[int: "signal"] = newValue } }
  /// Why the container ended, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  /// When the container started.
  public var startedAt: String? { get { json[string: "startedAt"] } set { json[string: "startedAt"] = newValue } }
  /// When the container ended.
  public var finishedAt: String? { get { json[string: "finishedAt"] } set { json[string: "finishedAt"] = newValue } }
  public var containerID: String? { get { json[string: "containerID"] } set { json[string: "containerID"] = newValue } }
}

/// ContainerStateWaiting says why a container does not run yet.
public struct ContainerStateWaiting: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Why the container waits, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why the container waits, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

/// ContainerStatus is the state of one container.
public struct ContainerStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name of the container.
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// What the container does now.
  public var state: ContainerState? { get { json[optionalView: "state"] } _modify { yield &json[optionalView: "state"] } }
  /// How the container ended the last time.
  public var lastState: ContainerState? { get { json[optionalView: "lastState"] } _modify { yield &json[optionalView: "lastState"] } }
  /// Whether the container passes its readiness check.
  public var ready: Bool? { get { json[bool: "ready"] } set { json[bool: "ready"] = newValue } }
  /// How often the container was restarted.
  public var restartCount: Int64? { get { json[int: "restartCount"] } set { json[int: "restartCount"] = newValue } }
  /// Image that runs.
  public var image: String? { get { json[string: "image"] } set { json[string: "image"] = newValue } }
  /// Digest of the image that runs.
  public var imageID: String? { get { json[string: "imageID"] } set { json[string: "imageID"] = newValue } }
  /// Identity of the container, as RUNTIME://ID.
  public var containerID: String? { get { json[string: "containerID"] } set { json[string: "containerID"] = newValue } }
  /// Whether the startup check has passed.
  public var started: Bool? { get { json[bool: "started"] } set { json[bool: "started"] = newValue } }
  public var allocatedResources: [String: Quantity] { get { json[quantities: "allocatedResources"] } set { json[quantities: "allocatedResources"] = newValue } }
  public var resources: ResourceRequirements? { get { json[optionalView: "resources"] } _modify { yield &json[optionalView: "resources"] } }
  public var volumeMounts: [VolumeMountStatus] { get { json[views: "volumeMounts"] } set { json[views: "volumeMounts"] = newValue } }
  public var user: ContainerUser? { get { json[optionalView: "user"] } _modify { yield &json[optionalView: "user"] } }
  public var allocatedResourcesStatus: [ResourceStatus] { get { json[views: "allocatedResourcesStatus"] } set { json[views: "allocatedResourcesStatus"] = newValue } }
  public var stopSignal: String? { get { json[string: "stopSignal"] } set { json[string: "stopSignal"] = newValue } }
}

public struct ContainerUser: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var linux: LinuxContainerUser? { get { json[optionalView: "linux"] } _modify { yield &json[optionalView: "linux"] } }
}

public struct DaemonEndpoint: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var Port: Int64? { get { json[int: "Port"] } set { json[int: "Port"] = newValue } }
}

public struct DownwardAPIProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which keys become files, and their names; every key unless told.
  public var items: [DownwardAPIVolumeFile] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
}

public struct DownwardAPIVolumeFile: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var fieldRef: ObjectFieldSelector? { get { json[optionalView: "fieldRef"] } _modify { yield &json[optionalView: "fieldRef"] } }
  public var resourceFieldRef: ResourceFieldSelector? { get { json[optionalView: "resourceFieldRef"] } _modify { yield &json[optionalView: "resourceFieldRef"] } }
  public var mode: Int64? { get { json[int: "mode"] } set { json[int: "mode"] = newValue } }
  public var user: Int64? { get { json[int: "user"] } set { json[int: "user"] = newValue } }
}

/// DownwardAPIVolumeSource shows fields of the pod as files.
public struct DownwardAPIVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which keys become files, and their names; every key unless told.
  public var items: [DownwardAPIVolumeFile] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  /// Mode of the files; 0644 unless told.
  public var defaultMode: Int64? { get { json[int: "defaultMode"] } set { json[int: "defaultMode"] = newValue } }
  public var defaultUser: Int64? { get { json[int: "defaultUser"] } set { json[int: "defaultUser"] = newValue } }
}

/// EmptyDirVolumeSource is a folder that lives as long as the pod.
public struct EmptyDirVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Memory keeps the folder in memory.
  public var medium: String? { get { json[string: "medium"] } set { json[string: "medium"] = newValue } }
  /// Size after which the pod is evicted.
  public var sizeLimit: Quantity? { get { json[quantity: "sizeLimit"] } set { json[quantity: "sizeLimit"] = newValue } }
  public var mode: Int64? { get { json[int: "mode"] } set { json[int: "mode"] = newValue } }
}

public struct EndpointAddress: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ip: String? { get { json[string: "ip"] } set { json[string: "ip"] = newValue } }
  public var hostname: String? { get { json[string: "hostname"] } set { json[string: "hostname"] = newValue } }
  public var nodeName: String? { get { json[string: "nodeName"] } set { json[string: "nodeName"] = newValue } }
  public var targetRef: ObjectReference? { get { json[optionalView: "targetRef"] } _modify { yield &json[optionalView: "targetRef"] } }
}

public struct EndpointPort: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var port: Int64? { get { json[int: "port"] } set { json[int: "port"] = newValue } }
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
  public var appProtocol: String? { get { json[string: "appProtocol"] } set { json[string: "appProtocol"] = newValue } }
}

public struct EndpointSubset: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var addresses: [EndpointAddress] { get { json[views: "addresses"] } set { json[views: "addresses"] = newValue } }
  public var notReadyAddresses: [EndpointAddress] { get { json[views: "notReadyAddresses"] } set { json[views: "notReadyAddresses"] = newValue } }
  public var ports: [EndpointPort] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
}

/// EnvFromSource takes every key of a ConfigMap or Secret as a variable.
public struct EnvFromSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Text put before each name.
  public var prefix: String? { get { json[string: "prefix"] } set { json[string: "prefix"] = newValue } }
  /// The ConfigMap.
  public var configMapRef: ConfigMapEnvSource? { get { json[optionalView: "configMapRef"] } _modify { yield &json[optionalView: "configMapRef"] } }
  /// The Secret.
  public var secretRef: SecretEnvSource? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

/// EnvVar is one environment variable.
public struct EnvVar: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name of the variable.
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Value; $(NAME) stands for an earlier variable.
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
  public var valueFrom: EnvVarSource? { get { json[optionalView: "valueFrom"] } _modify { yield &json[optionalView: "valueFrom"] } }
}

/// EnvVarSource says where a variable's value comes from.
public struct EnvVarSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// A field of the pod.
  public var fieldRef: ObjectFieldSelector? { get { json[optionalView: "fieldRef"] } _modify { yield &json[optionalView: "fieldRef"] } }
  /// A resource of a container.
  public var resourceFieldRef: ResourceFieldSelector? { get { json[optionalView: "resourceFieldRef"] } _modify { yield &json[optionalView: "resourceFieldRef"] } }
  /// A key of a ConfigMap.
  public var configMapKeyRef: ConfigMapKeySelector? { get { json[optionalView: "configMapKeyRef"] } _modify { yield &json[optionalView: "configMapKeyRef"] } }
  /// A key of a Secret.
  public var secretKeyRef: SecretKeySelector? { get { json[optionalView: "secretKeyRef"] } _modify { yield &json[optionalView: "secretKeyRef"] } }
  public var fileKeyRef: FileKeySelector? { get { json[optionalView: "fileKeyRef"] } _modify { yield &json[optionalView: "fileKeyRef"] } }
}

/// EphemeralContainer is added to a running pod, for debugging.
public struct EphemeralContainer: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var image: String? { get { json[string: "image"] } set { json[string: "image"] = newValue } }
  public var command: [String] { get { json[strings: "command"] } set { json[strings: "command"] = newValue } }
  public var args: [String] { get { json[strings: "args"] } set { json[strings: "args"] = newValue } }
  public var workingDir: String? { get { json[string: "workingDir"] } set { json[string: "workingDir"] = newValue } }
  public var ports: [ContainerPort] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
  public var envFrom: [EnvFromSource] { get { json[views: "envFrom"] } set { json[views: "envFrom"] = newValue } }
  public var env: [EnvVar] { get { json[views: "env"] } set { json[views: "env"] = newValue } }
  public var resources: ResourceRequirements? { get { json[optionalView: "resources"] } _modify { yield &json[optionalView: "resources"] } }
  public var resizePolicy: [ContainerResizePolicy] { get { json[views: "resizePolicy"] } set { json[views: "resizePolicy"] = newValue } }
  public var restartPolicy: String? { get { json[string: "restartPolicy"] } set { json[string: "restartPolicy"] = newValue } }
  public var restartPolicyRules: [ContainerRestartRule] { get { json[views: "restartPolicyRules"] } set { json[views: "restartPolicyRules"] = newValue } }
  public var volumeMounts: [VolumeMount] { get { json[views: "volumeMounts"] } set { json[views: "volumeMounts"] = newValue } }
  public var volumeDevices: [VolumeDevice] { get { json[views: "volumeDevices"] } set { json[views: "volumeDevices"] = newValue } }
  public var livenessProbe: Probe? { get { json[optionalView: "livenessProbe"] } _modify { yield &json[optionalView: "livenessProbe"] } }
  public var readinessProbe: Probe? { get { json[optionalView: "readinessProbe"] } _modify { yield &json[optionalView: "readinessProbe"] } }
  public var startupProbe: Probe? { get { json[optionalView: "startupProbe"] } _modify { yield &json[optionalView: "startupProbe"] } }
  public var lifecycle: Lifecycle? { get { json[optionalView: "lifecycle"] } _modify { yield &json[optionalView: "lifecycle"] } }
  public var terminationMessagePath: String? { get { json[string: "terminationMessagePath"] } set { json[string: "terminationMessagePath"] = newValue } }
  public var terminationMessagePolicy: String? { get { json[string: "terminationMessagePolicy"] } set { json[string: "terminationMessagePolicy"] = newValue } }
  public var imagePullPolicy: String? { get { json[string: "imagePullPolicy"] } set { json[string: "imagePullPolicy"] = newValue } }
  public var securityContext: SecurityContext? { get { json[optionalView: "securityContext"] } _modify { yield &json[optionalView: "securityContext"] } }
  public var stdin: Bool? { get { json[bool: "stdin"] } set { json[bool: "stdin"] = newValue } }
  public var stdinOnce: Bool? { get { json[bool: "stdinOnce"] } set { json[bool: "stdinOnce"] = newValue } }
  public var tty: Bool? { get { json[bool: "tty"] } set { json[bool: "tty"] = newValue } }
  public var targetContainerName: String? { get { json[string: "targetContainerName"] } set { json[string: "targetContainerName"] = newValue } }
}

public struct EphemeralVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeClaimTemplate: PersistentVolumeClaimTemplate? { get { json[optionalView: "volumeClaimTemplate"] } _modify { yield &json[optionalView: "volumeClaimTemplate"] } }
}

public struct EventSeries: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var count: Int64? { get { json[int: "count"] } set { json[int: "count"] = newValue } }
  public var lastObservedTime: String? { get { json[string: "lastObservedTime"] } set { json[string: "lastObservedTime"] = newValue } }
}

public struct EventSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var component: String? { get { json[string: "component"] } set { json[string: "component"] = newValue } }
  public var host: String? { get { json[string: "host"] } set { json[string: "host"] = newValue } }
}

public struct EvictionResponder: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var priority: Int64? { get { json[int: "priority"] } set { json[int: "priority"] = newValue } }
}

/// ExecAction runs a command in the container.
public struct ExecAction: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Program and arguments; no shell is involved.
  public var command: [String] { get { json[strings: "command"] } set { json[strings: "command"] = newValue } }
}
