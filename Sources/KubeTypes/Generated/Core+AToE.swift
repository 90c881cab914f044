// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Wire

public struct AWSElasticBlockStoreVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeID: String? { get { json[string: "volumeID"] } set { json[string: "volumeID"] = newValue } }
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var partition: Int64? { get { json[int: "partition"] } set { json[int: "partition"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct Affinity: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var nodeAffinity: NodeAffinity? { get { json[optionalView: "nodeAffinity"] } _modify { yield &json[optionalView: "nodeAffinity"] } }
  public var podAffinity: PodAffinity? { get { json[optionalView: "podAffinity"] } _modify { yield &json[optionalView: "podAffinity"] } }
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
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
}

public struct AzureFilePersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var secretName: String? { get { json[string: "secretName"] } set { json[string: "secretName"] = newValue } }
  public var shareName: String? { get { json[string: "shareName"] } set { json[string: "shareName"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretNamespace: String? { get { json[string: "secretNamespace"] } set { json[string: "secretNamespace"] = newValue } }
}

public struct AzureFileVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var secretName: String? { get { json[string: "secretName"] } set { json[string: "secretName"] = newValue } }
  public var shareName: String? { get { json[string: "shareName"] } set { json[string: "shareName"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct CSIPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var driver: String? { get { json[string: "driver"] } set { json[string: "driver"] = newValue } }
  public var volumeHandle: String? { get { json[string: "volumeHandle"] } set { json[string: "volumeHandle"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
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
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var volumeAttributes: [String: String] { get { json[stringMap: "volumeAttributes"] } set { json[stringMap: "volumeAttributes"] = newValue } }
  public var nodePublishSecretRef: LocalObjectReference? { get { json[optionalView: "nodePublishSecretRef"] } _modify { yield &json[optionalView: "nodePublishSecretRef"] } }
}

public struct Capabilities: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var add: [String] { get { json[strings: "add"] } set { json[strings: "add"] = newValue } }
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
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct CinderPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeID: String? { get { json[string: "volumeID"] } set { json[string: "volumeID"] = newValue } }
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretRef: SecretReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

public struct CinderVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeID: String? { get { json[string: "volumeID"] } set { json[string: "volumeID"] = newValue } }
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
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
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var user: Int64? { get { json[int: "user"] } set { json[int: "user"] = newValue } }
}

public struct ConfigMapEnvSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct ConfigMapKeySelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct ConfigMapNodeConfigSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
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
  public var items: [KeyToPath] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct ConfigMapVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var items: [KeyToPath] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  public var defaultMode: Int64? { get { json[int: "defaultMode"] } set { json[int: "defaultMode"] = newValue } }
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
  public var defaultUser: Int64? { get { json[int: "defaultUser"] } set { json[int: "defaultUser"] = newValue } }
}

public struct Container: KubeValue {
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

public struct ContainerPort: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var hostPort: Int64? { get { json[int: "hostPort"] } set { json[int: "hostPort"] = newValue } }
  public var containerPort: Int64? { get { json[int: "containerPort"] } set { json[int: "containerPort"] = newValue } }
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
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

public struct ContainerState: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var waiting: ContainerStateWaiting? { get { json[optionalView: "waiting"] } _modify { yield &json[optionalView: "waiting"] } }
  public var running: ContainerStateRunning? { get { json[optionalView: "running"] } _modify { yield &json[optionalView: "running"] } }
  public var terminated: ContainerStateTerminated? { get { json[optionalView: "terminated"] } _modify { yield &json[optionalView: "terminated"] } }
}

public struct ContainerStateRunning: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var startedAt: String? { get { json[string: "startedAt"] } set { json[string: "startedAt"] = newValue } }
}

public struct ContainerStateTerminated: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var exitCode: Int64? { get { json[int: "exitCode"] } set { json[int: "exitCode"] = newValue } }
  public var signal: Int64? { get { json[int: "signal"] } set { json[int: "signal"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  public var startedAt: String? { get { json[string: "startedAt"] } set { json[string: "startedAt"] = newValue } }
  public var finishedAt: String? { get { json[string: "finishedAt"] } set { json[string: "finishedAt"] = newValue } }
  public var containerID: String? { get { json[string: "containerID"] } set { json[string: "containerID"] = newValue } }
}

public struct ContainerStateWaiting: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct ContainerStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var state: ContainerState? { get { json[optionalView: "state"] } _modify { yield &json[optionalView: "state"] } }
  public var lastState: ContainerState? { get { json[optionalView: "lastState"] } _modify { yield &json[optionalView: "lastState"] } }
  public var ready: Bool? { get { json[bool: "ready"] } set { json[bool: "ready"] = newValue } }
  public var restartCount: Int64? { get { json[int: "restartCount"] } set { json[int: "restartCount"] = newValue } }
  public var image: String? { get { json[string: "image"] } set { json[string: "image"] = newValue } }
  public var imageID: String? { get { json[string: "imageID"] } set { json[string: "imageID"] = newValue } }
  public var containerID: String? { get { json[string: "containerID"] } set { json[string: "containerID"] = newValue } }
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

public struct DownwardAPIVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var items: [DownwardAPIVolumeFile] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  public var defaultMode: Int64? { get { json[int: "defaultMode"] } set { json[int: "defaultMode"] = newValue } }
  public var defaultUser: Int64? { get { json[int: "defaultUser"] } set { json[int: "defaultUser"] = newValue } }
}

public struct EmptyDirVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var medium: String? { get { json[string: "medium"] } set { json[string: "medium"] = newValue } }
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

public struct EnvFromSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var prefix: String? { get { json[string: "prefix"] } set { json[string: "prefix"] = newValue } }
  public var configMapRef: ConfigMapEnvSource? { get { json[optionalView: "configMapRef"] } _modify { yield &json[optionalView: "configMapRef"] } }
  public var secretRef: SecretEnvSource? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

public struct EnvVar: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
  public var valueFrom: EnvVarSource? { get { json[optionalView: "valueFrom"] } _modify { yield &json[optionalView: "valueFrom"] } }
}

public struct EnvVarSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var fieldRef: ObjectFieldSelector? { get { json[optionalView: "fieldRef"] } _modify { yield &json[optionalView: "fieldRef"] } }
  public var resourceFieldRef: ResourceFieldSelector? { get { json[optionalView: "resourceFieldRef"] } _modify { yield &json[optionalView: "resourceFieldRef"] } }
  public var configMapKeyRef: ConfigMapKeySelector? { get { json[optionalView: "configMapKeyRef"] } _modify { yield &json[optionalView: "configMapKeyRef"] } }
  public var secretKeyRef: SecretKeySelector? { get { json[optionalView: "secretKeyRef"] } _modify { yield &json[optionalView: "secretKeyRef"] } }
  public var fileKeyRef: FileKeySelector? { get { json[optionalView: "fileKeyRef"] } _modify { yield &json[optionalView: "fileKeyRef"] } }
}

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

public struct ExecAction: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var command: [String] { get { json[strings: "command"] } set { json[strings: "command"] = newValue } }
}
