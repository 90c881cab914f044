// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Wire

public struct NFSVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var server: String? { get { json[string: "server"] } set { json[string: "server"] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct NamespaceCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct NamespaceSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var finalizers: [String] { get { json[strings: "finalizers"] } set { json[strings: "finalizers"] = newValue } }
}

public struct NamespaceStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var phase: String? { get { json[string: "phase"] } set { json[string: "phase"] = newValue } }
  public var conditions: [NamespaceCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}

public struct NodeAddress: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var address: String? { get { json[string: "address"] } set { json[string: "address"] = newValue } }
}

public struct NodeAffinity: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var requiredDuringSchedulingIgnoredDuringExecution: NodeSelector? { get { json[optionalView: "requiredDuringSchedulingIgnoredDuringExecution"] } _modify { yield &json[optionalView: "requiredDuringSchedulingIgnoredDuringExecution"] } }
  public var preferredDuringSchedulingIgnoredDuringExecution: [PreferredSchedulingTerm] { get { json[views: "preferredDuringSchedulingIgnoredDuringExecution"] } set { json[views: "preferredDuringSchedulingIgnoredDuringExecution"] = newValue } }
}

public struct NodeAllocatableMappedResources: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var quantity: Quantity? { get { json[quantity: "quantity"] } set { json[quantity: "quantity"] = newValue } }
}

public struct NodeAllocatableOverheadResources: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var perPod: Quantity? { get { json[quantity: "perPod"] } set { json[quantity: "perPod"] = newValue } }
  public var perContainer: Quantity? { get { json[quantity: "perContainer"] } set { json[quantity: "perContainer"] = newValue } }
}

public struct NodeAllocatableResourceClaimStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var resourceClaimName: String? { get { json[string: "resourceClaimName"] } set { json[string: "resourceClaimName"] = newValue } }
  public var containers: [String] { get { json[strings: "containers"] } set { json[strings: "containers"] = newValue } }
  public var mapping: [NodeAllocatableMappedResources] { get { json[views: "mapping"] } set { json[views: "mapping"] = newValue } }
  public var overhead: [NodeAllocatableOverheadResources] { get { json[views: "overhead"] } set { json[views: "overhead"] = newValue } }
}

public struct NodeCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastHeartbeatTime: String? { get { json[string: "lastHeartbeatTime"] } set { json[string: "lastHeartbeatTime"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct NodeConfigSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var configMap: ConfigMapNodeConfigSource? { get { json[optionalView: "configMap"] } _modify { yield &json[optionalView: "configMap"] } }
}

public struct NodeConfigStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var assigned: NodeConfigSource? { get { json[optionalView: "assigned"] } _modify { yield &json[optionalView: "assigned"] } }
  public var active: NodeConfigSource? { get { json[optionalView: "active"] } _modify { yield &json[optionalView: "active"] } }
  public var lastKnownGood: NodeConfigSource? { get { json[optionalView: "lastKnownGood"] } _modify { yield &json[optionalView: "lastKnownGood"] } }
  public var error: String? { get { json[string: "error"] } set { json[string: "error"] = newValue } }
}

public struct NodeDaemonEndpoints: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var kubeletEndpoint: DaemonEndpoint? { get { json[optionalView: "kubeletEndpoint"] } _modify { yield &json[optionalView: "kubeletEndpoint"] } }
}

public struct NodeFeatures: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var supplementalGroupsPolicy: Bool? { get { json[bool: "supplementalGroupsPolicy"] } set { json[bool: "supplementalGroupsPolicy"] = newValue } }
}

public struct NodePodPreemptionPolicy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var disableResizePreemption: [String] { get { json[strings: "disableResizePreemption"] } set { json[strings: "disableResizePreemption"] = newValue } }
}

public struct NodeRuntimeHandler: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var features: NodeRuntimeHandlerFeatures? { get { json[optionalView: "features"] } _modify { yield &json[optionalView: "features"] } }
}

public struct NodeRuntimeHandlerFeatures: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var recursiveReadOnlyMounts: Bool? { get { json[bool: "recursiveReadOnlyMounts"] } set { json[bool: "recursiveReadOnlyMounts"] = newValue } }
  public var userNamespaces: Bool? { get { json[bool: "userNamespaces"] } set { json[bool: "userNamespaces"] = newValue } }
}

public struct NodeSelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var nodeSelectorTerms: [NodeSelectorTerm] { get { json[views: "nodeSelectorTerms", keepsEmpty: true] } set { json[views: "nodeSelectorTerms", keepsEmpty: true] = newValue } }
}

public struct NodeSelectorRequirement: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  public var values: [String] { get { json[strings: "values"] } set { json[strings: "values"] = newValue } }
}

public struct NodeSelectorTerm: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var matchExpressions: [NodeSelectorRequirement] { get { json[views: "matchExpressions"] } set { json[views: "matchExpressions"] = newValue } }
  public var matchFields: [NodeSelectorRequirement] { get { json[views: "matchFields"] } set { json[views: "matchFields"] = newValue } }
}

public struct NodeSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var podCIDR: String? { get { json[string: "podCIDR"] } set { json[string: "podCIDR"] = newValue } }
  public var podCIDRs: [String] { get { json[strings: "podCIDRs"] } set { json[strings: "podCIDRs"] = newValue } }
  public var providerID: String? { get { json[string: "providerID"] } set { json[string: "providerID"] = newValue } }
  public var unschedulable: Bool? { get { json[bool: "unschedulable"] } set { json[bool: "unschedulable"] = newValue } }
  public var taints: [Taint] { get { json[views: "taints"] } set { json[views: "taints"] = newValue } }
  public var configSource: NodeConfigSource? { get { json[optionalView: "configSource"] } _modify { yield &json[optionalView: "configSource"] } }
  public var externalID: String? { get { json[string: "externalID"] } set { json[string: "externalID"] = newValue } }
  public var podPreemptionPolicy: NodePodPreemptionPolicy? { get { json[optionalView: "podPreemptionPolicy"] } _modify { yield &json[optionalView: "podPreemptionPolicy"] } }
}

public struct NodeStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var capacity: [String: Quantity] { get { json[quantities: "capacity"] } set { json[quantities: "capacity"] = newValue } }
  public var allocatable: [String: Quantity] { get { json[quantities: "allocatable"] } set { json[quantities: "allocatable"] = newValue } }
  public var phase: String? { get { json[string: "phase"] } set { json[string: "phase"] = newValue } }
  public var conditions: [NodeCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  public var addresses: [NodeAddress] { get { json[views: "addresses"] } set { json[views: "addresses"] = newValue } }
  public var daemonEndpoints: NodeDaemonEndpoints? { get { json[optionalView: "daemonEndpoints"] } _modify { yield &json[optionalView: "daemonEndpoints"] } }
  public var nodeInfo: NodeSystemInfo? { get { json[optionalView: "nodeInfo"] } _modify { yield &json[optionalView: "nodeInfo"] } }
  public var images: [ContainerImage] { get { json[views: "images"] } set { json[views: "images"] = newValue } }
  public var volumesInUse: [String] { get { json[strings: "volumesInUse"] } set { json[strings: "volumesInUse"] = newValue } }
  public var volumesAttached: [AttachedVolume] { get { json[views: "volumesAttached"] } set { json[views: "volumesAttached"] = newValue } }
  public var config: NodeConfigStatus? { get { json[optionalView: "config"] } _modify { yield &json[optionalView: "config"] } }
  public var runtimeHandlers: [NodeRuntimeHandler] { get { json[views: "runtimeHandlers"] } set { json[views: "runtimeHandlers"] = newValue } }
  public var features: NodeFeatures? { get { json[optionalView: "features"] } _modify { yield &json[optionalView: "features"] } }
  public var declaredFeatures: [String] { get { json[strings: "declaredFeatures"] } set { json[strings: "declaredFeatures"] = newValue } }
}

public struct NodeSwapStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var capacity: Int64? { get { json[int: "capacity"] } set { json[int: "capacity"] = newValue } }
}

public struct NodeSystemInfo: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var machineID: String? { get { json[string: "machineID"] } set { json[string: "machineID"] = newValue } }
  public var systemUUID: String? { get { json[string: "systemUUID"] } set { json[string: "systemUUID"] = newValue } }
  public var bootID: String? { get { json[string: "bootID"] } set { json[string: "bootID"] = newValue } }
  public var kernelVersion: String? { get { json[string: "kernelVersion"] } set { json[string: "kernelVersion"] = newValue } }
  public var osImage: String? { get { json[string: "osImage"] } set { json[string: "osImage"] = newValue } }
  public var containerRuntimeVersion: String? { get { json[string: "containerRuntimeVersion"] } set { json[string: "containerRuntimeVersion"] = newValue } }
  public var kubeletVersion: String? { get { json[string: "kubeletVersion"] } set { json[string: "kubeletVersion"] = newValue } }
  public var kubeProxyVersion: String? { get { json[string: "kubeProxyVersion"] } set { json[string: "kubeProxyVersion"] = newValue } }
  public var operatingSystem: String? { get { json[string: "operatingSystem"] } set { json[string: "operatingSystem"] = newValue } }
  public var architecture: String? { get { json[string: "architecture"] } set { json[string: "architecture"] = newValue } }
  public var swap: NodeSwapStatus? { get { json[optionalView: "swap"] } _modify { yield &json[optionalView: "swap"] } }
}

public struct ObjectFieldSelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var apiVersion: String? { get { json[string: "apiVersion"] } set { json[string: "apiVersion"] = newValue } }
  public var fieldPath: String? { get { json[string: "fieldPath"] } set { json[string: "fieldPath"] = newValue } }
}

public struct ObjectReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  public var apiVersion: String? { get { json[string: "apiVersion"] } set { json[string: "apiVersion"] = newValue } }
  public var resourceVersion: String? { get { json[string: "resourceVersion"] } set { json[string: "resourceVersion"] = newValue } }
  public var fieldPath: String? { get { json[string: "fieldPath"] } set { json[string: "fieldPath"] = newValue } }
}

public struct PersistentVolumeClaimCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastProbeTime: String? { get { json[string: "lastProbeTime"] } set { json[string: "lastProbeTime"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct PersistentVolumeClaimSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var accessModes: [String] { get { json[strings: "accessModes"] } set { json[strings: "accessModes"] = newValue } }
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var resources: VolumeResourceRequirements? { get { json[optionalView: "resources"] } _modify { yield &json[optionalView: "resources"] } }
  public var volumeName: String? { get { json[string: "volumeName"] } set { json[string: "volumeName"] = newValue } }
  public var storageClassName: String? { get { json[string: "storageClassName"] } set { json[string: "storageClassName"] = newValue } }
  public var volumeMode: String? { get { json[string: "volumeMode"] } set { json[string: "volumeMode"] = newValue } }
  public var dataSource: TypedLocalObjectReference? { get { json[optionalView: "dataSource"] } _modify { yield &json[optionalView: "dataSource"] } }
  public var dataSourceRef: TypedObjectReference? { get { json[optionalView: "dataSourceRef"] } _modify { yield &json[optionalView: "dataSourceRef"] } }
  public var volumeAttributesClassName: String? { get { json[string: "volumeAttributesClassName"] } set { json[string: "volumeAttributesClassName"] = newValue } }
}

public struct PersistentVolumeClaimStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var phase: String? { get { json[string: "phase"] } set { json[string: "phase"] = newValue } }
  public var accessModes: [String] { get { json[strings: "accessModes"] } set { json[strings: "accessModes"] = newValue } }
  public var capacity: [String: Quantity] { get { json[quantities: "capacity"] } set { json[quantities: "capacity"] = newValue } }
  public var conditions: [PersistentVolumeClaimCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  public var allocatedResources: [String: Quantity] { get { json[quantities: "allocatedResources"] } set { json[quantities: "allocatedResources"] = newValue } }
  public var allocatedResourceStatuses: [String: String] { get { json[stringMap: "allocatedResourceStatuses"] } set { json[stringMap: "allocatedResourceStatuses"] = newValue } }
  public var currentVolumeAttributesClassName: String? { get { json[string: "currentVolumeAttributesClassName"] } set { json[string: "currentVolumeAttributesClassName"] = newValue } }
  public var modifyVolumeStatus: ModifyVolumeStatus? { get { json[optionalView: "modifyVolumeStatus"] } _modify { yield &json[optionalView: "modifyVolumeStatus"] } }
  public var healthStatus: VolumeHealthStatus? { get { json[optionalView: "healthStatus"] } _modify { yield &json[optionalView: "healthStatus"] } }
}

public struct PersistentVolumeClaimTemplate: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: PersistentVolumeClaimSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

public struct PersistentVolumeClaimVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var claimName: String? { get { json[string: "claimName"] } set { json[string: "claimName"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct PersistentVolumeSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var capacity: [String: Quantity] { get { json[quantities: "capacity"] } set { json[quantities: "capacity"] = newValue } }
  public var gcePersistentDisk: GCEPersistentDiskVolumeSource? { get { json[optionalView: "gcePersistentDisk"] } _modify { yield &json[optionalView: "gcePersistentDisk"] } }
  public var awsElasticBlockStore: AWSElasticBlockStoreVolumeSource? { get { json[optionalView: "awsElasticBlockStore"] } _modify { yield &json[optionalView: "awsElasticBlockStore"] } }
  public var hostPath: HostPathVolumeSource? { get { json[optionalView: "hostPath"] } _modify { yield &json[optionalView: "hostPath"] } }
  public var glusterfs: GlusterfsPersistentVolumeSource? { get { json[optionalView: "glusterfs"] } _modify { yield &json[optionalView: "glusterfs"] } }
  public var nfs: NFSVolumeSource? { get { json[optionalView: "nfs"] } _modify { yield &json[optionalView: "nfs"] } }
  public var rbd: RBDPersistentVolumeSource? { get { json[optionalView: "rbd"] } _modify { yield &json[optionalView: "rbd"] } }
  public var iscsi: ISCSIPersistentVolumeSource? { get { json[optionalView: "iscsi"] } _modify { yield &json[optionalView: "iscsi"] } }
  public var cinder: CinderPersistentVolumeSource? { get { json[optionalView: "cinder"] } _modify { yield &json[optionalView: "cinder"] } }
  public var cephfs: CephFSPersistentVolumeSource? { get { json[optionalView: "cephfs"] } _modify { yield &json[optionalView: "cephfs"] } }
  public var fc: FCVolumeSource? { get { json[optionalView: "fc"] } _modify { yield &json[optionalView: "fc"] } }
  public var flocker: FlockerVolumeSource? { get { json[optionalView: "flocker"] } _modify { yield &json[optionalView: "flocker"] } }
  public var flexVolume: FlexPersistentVolumeSource? { get { json[optionalView: "flexVolume"] } _modify { yield &json[optionalView: "flexVolume"] } }
  public var azureFile: AzureFilePersistentVolumeSource? { get { json[optionalView: "azureFile"] } _modify { yield &json[optionalView: "azureFile"] } }
  public var vsphereVolume: VsphereVirtualDiskVolumeSource? { get { json[optionalView: "vsphereVolume"] } _modify { yield &json[optionalView: "vsphereVolume"] } }
  public var quobyte: QuobyteVolumeSource? { get { json[optionalView: "quobyte"] } _modify { yield &json[optionalView: "quobyte"] } }
  public var azureDisk: AzureDiskVolumeSource? { get { json[optionalView: "azureDisk"] } _modify { yield &json[optionalView: "azureDisk"] } }
  public var photonPersistentDisk: PhotonPersistentDiskVolumeSource? { get { json[optionalView: "photonPersistentDisk"] } _modify { yield &json[optionalView: "photonPersistentDisk"] } }
  public var portworxVolume: PortworxVolumeSource? { get { json[optionalView: "portworxVolume"] } _modify { yield &json[optionalView: "portworxVolume"] } }
  public var scaleIO: ScaleIOPersistentVolumeSource? { get { json[optionalView: "scaleIO"] } _modify { yield &json[optionalView: "scaleIO"] } }
  public var local: LocalVolumeSource? { get { json[optionalView: "local"] } _modify { yield &json[optionalView: "local"] } }
  public var storageos: StorageOSPersistentVolumeSource? { get { json[optionalView: "storageos"] } _modify { yield &json[optionalView: "storageos"] } }
  public var csi: CSIPersistentVolumeSource? { get { json[optionalView: "csi"] } _modify { yield &json[optionalView: "csi"] } }
  public var accessModes: [String] { get { json[strings: "accessModes"] } set { json[strings: "accessModes"] = newValue } }
  public var claimRef: ObjectReference? { get { json[optionalView: "claimRef"] } _modify { yield &json[optionalView: "claimRef"] } }
  public var persistentVolumeReclaimPolicy: String? { get { json[string: "persistentVolumeReclaimPolicy"] } set { json[string: "persistentVolumeReclaimPolicy"] = newValue } }
  public var storageClassName: String? { get { json[string: "storageClassName"] } set { json[string: "storageClassName"] = newValue } }
  public var mountOptions: [String] { get { json[strings: "mountOptions"] } set { json[strings: "mountOptions"] = newValue } }
  public var volumeMode: String? { get { json[string: "volumeMode"] } set { json[string: "volumeMode"] = newValue } }
  public var nodeAffinity: VolumeNodeAffinity? { get { json[optionalView: "nodeAffinity"] } _modify { yield &json[optionalView: "nodeAffinity"] } }
  public var volumeAttributesClassName: String? { get { json[string: "volumeAttributesClassName"] } set { json[string: "volumeAttributesClassName"] = newValue } }
}

public struct PersistentVolumeStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var phase: String? { get { json[string: "phase"] } set { json[string: "phase"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var lastPhaseTransitionTime: String? { get { json[string: "lastPhaseTransitionTime"] } set { json[string: "lastPhaseTransitionTime"] = newValue } }
}

public struct PhotonPersistentDiskVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var pdID: String? { get { json[string: "pdID"] } set { json[string: "pdID"] = newValue } }
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
}

public struct PodAffinity: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var requiredDuringSchedulingIgnoredDuringExecution: [PodAffinityTerm] { get { json[views: "requiredDuringSchedulingIgnoredDuringExecution"] } set { json[views: "requiredDuringSchedulingIgnoredDuringExecution"] = newValue } }
  public var preferredDuringSchedulingIgnoredDuringExecution: [WeightedPodAffinityTerm] { get { json[views: "preferredDuringSchedulingIgnoredDuringExecution"] } set { json[views: "preferredDuringSchedulingIgnoredDuringExecution"] = newValue } }
}

public struct PodAffinityTerm: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var labelSelector: LabelSelector? { get { json[optionalView: "labelSelector"] } _modify { yield &json[optionalView: "labelSelector"] } }
  public var namespaces: [String] { get { json[strings: "namespaces"] } set { json[strings: "namespaces"] = newValue } }
  public var topologyKey: String? { get { json[string: "topologyKey"] } set { json[string: "topologyKey"] = newValue } }
  public var namespaceSelector: LabelSelector? { get { json[optionalView: "namespaceSelector"] } _modify { yield &json[optionalView: "namespaceSelector"] } }
  public var matchLabelKeys: [String] { get { json[strings: "matchLabelKeys"] } set { json[strings: "matchLabelKeys"] = newValue } }
  public var mismatchLabelKeys: [String] { get { json[strings: "mismatchLabelKeys"] } set { json[strings: "mismatchLabelKeys"] = newValue } }
}

public struct PodAntiAffinity: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var requiredDuringSchedulingIgnoredDuringExecution: [PodAffinityTerm] { get { json[views: "requiredDuringSchedulingIgnoredDuringExecution"] } set { json[views: "requiredDuringSchedulingIgnoredDuringExecution"] = newValue } }
  public var preferredDuringSchedulingIgnoredDuringExecution: [WeightedPodAffinityTerm] { get { json[views: "preferredDuringSchedulingIgnoredDuringExecution"] } set { json[views: "preferredDuringSchedulingIgnoredDuringExecution"] = newValue } }
}

public struct PodCertificateProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var signerName: String? { get { json[string: "signerName"] } set { json[string: "signerName"] = newValue } }
  public var keyType: String? { get { json[string: "keyType"] } set { json[string: "keyType"] = newValue } }
  public var maxExpirationSeconds: Int64? { get { json[int: "maxExpirationSeconds"] } set { json[int: "maxExpirationSeconds"] = newValue } }
  public var credentialBundlePath: String? { get { json[string: "credentialBundlePath"] } set { json[string: "credentialBundlePath"] = newValue } }
  public var keyPath: String? { get { json[string: "keyPath"] } set { json[string: "keyPath"] = newValue } }
  public var certificateChainPath: String? { get { json[string: "certificateChainPath"] } set { json[string: "certificateChainPath"] = newValue } }
  public var userAnnotations: [String: String] { get { json[stringMap: "userAnnotations"] } set { json[stringMap: "userAnnotations"] = newValue } }
  public var user: Int64? { get { json[int: "user"] } set { json[int: "user"] = newValue } }
}

public struct PodCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastProbeTime: String? { get { json[string: "lastProbeTime"] } set { json[string: "lastProbeTime"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct PodDNSConfig: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var nameservers: [String] { get { json[strings: "nameservers"] } set { json[strings: "nameservers"] = newValue } }
  public var searches: [String] { get { json[strings: "searches"] } set { json[strings: "searches"] = newValue } }
  public var options: [PodDNSConfigOption] { get { json[views: "options"] } set { json[views: "options"] = newValue } }
}

public struct PodDNSConfigOption: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
}

public struct PodExtendedResourceClaimStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var requestMappings: [ContainerExtendedResourceRequest] { get { json[views: "requestMappings", keepsEmpty: true] } set { json[views: "requestMappings", keepsEmpty: true] = newValue } }
  public var resourceClaimName: String? { get { json[string: "resourceClaimName"] } set { json[string: "resourceClaimName"] = newValue } }
}

public struct PodIP: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ip: String? { get { json[string: "ip"] } set { json[string: "ip"] = newValue } }
}

public struct PodOS: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}

public struct PodReadinessGate: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var conditionType: String? { get { json[string: "conditionType"] } set { json[string: "conditionType"] = newValue } }
}

public struct PodResourceClaim: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var resourceClaimName: String? { get { json[string: "resourceClaimName"] } set { json[string: "resourceClaimName"] = newValue } }
  public var resourceClaimTemplateName: String? { get { json[string: "resourceClaimTemplateName"] } set { json[string: "resourceClaimTemplateName"] = newValue } }
}

public struct PodResourceClaimStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var resourceClaimName: String? { get { json[string: "resourceClaimName"] } set { json[string: "resourceClaimName"] = newValue } }
}

public struct PodSchedulingGate: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}

public struct PodSchedulingGroup: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var podGroupName: String? { get { json[string: "podGroupName"] } set { json[string: "podGroupName"] = newValue } }
}

public struct PodSecurityContext: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var seLinuxOptions: SELinuxOptions? { get { json[optionalView: "seLinuxOptions"] } _modify { yield &json[optionalView: "seLinuxOptions"] } }
  public var windowsOptions: WindowsSecurityContextOptions? { get { json[optionalView: "windowsOptions"] } _modify { yield &json[optionalView: "windowsOptions"] } }
  public var runAsUser: Int64? { get { json[int: "runAsUser"] } set { json[int: "runAsUser"] = newValue } }
  public var runAsGroup: Int64? { get { json[int: "runAsGroup"] } set { json[int: "runAsGroup"] = newValue } }
  public var runAsNonRoot: Bool? { get { json[bool: "runAsNonRoot"] } set { json[bool: "runAsNonRoot"] = newValue } }
  public var supplementalGroups: [Int64] { get { json[ints: "supplementalGroups"] } set { json[ints: "supplementalGroups"] = newValue } }
  public var supplementalGroupsPolicy: String? { get { json[string: "supplementalGroupsPolicy"] } set { json[string: "supplementalGroupsPolicy"] = newValue } }
  public var fsGroup: Int64? { get { json[int: "fsGroup"] } set { json[int: "fsGroup"] = newValue } }
  public var sysctls: [Sysctl] { get { json[views: "sysctls"] } set { json[views: "sysctls"] = newValue } }
  public var fsGroupChangePolicy: String? { get { json[string: "fsGroupChangePolicy"] } set { json[string: "fsGroupChangePolicy"] = newValue } }
  public var seccompProfile: SeccompProfile? { get { json[optionalView: "seccompProfile"] } _modify { yield &json[optionalView: "seccompProfile"] } }
  public var appArmorProfile: AppArmorProfile? { get { json[optionalView: "appArmorProfile"] } _modify { yield &json[optionalView: "appArmorProfile"] } }
  public var seLinuxChangePolicy: String? { get { json[string: "seLinuxChangePolicy"] } set { json[string: "seLinuxChangePolicy"] = newValue } }
}

public struct PodSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumes: [Volume] { get { json[views: "volumes"] } set { json[views: "volumes"] = newValue } }
  public var initContainers: [Container] { get { json[views: "initContainers"] } set { json[views: "initContainers"] = newValue } }
  public var containers: [Container] { get { json[views: "containers", keepsEmpty: true] } set { json[views: "containers", keepsEmpty: true] = newValue } }
  public var ephemeralContainers: [EphemeralContainer] { get { json[views: "ephemeralContainers"] } set { json[views: "ephemeralContainers"] = newValue } }
  public var restartPolicy: String? { get { json[string: "restartPolicy"] } set { json[string: "restartPolicy"] = newValue } }
  public var terminationGracePeriodSeconds: Int64? { get { json[int: "terminationGracePeriodSeconds"] } set { json[int: "terminationGracePeriodSeconds"] = newValue } }
  public var activeDeadlineSeconds: Int64? { get { json[int: "activeDeadlineSeconds"] } set { json[int: "activeDeadlineSeconds"] = newValue } }
  public var dnsPolicy: String? { get { json[string: "dnsPolicy"] } set { json[string: "dnsPolicy"] = newValue } }
  public var nodeSelector: [String: String] { get { json[stringMap: "nodeSelector"] } set { json[stringMap: "nodeSelector"] = newValue } }
  public var serviceAccountName: String? { get { json[string: "serviceAccountName"] } set { json[string: "serviceAccountName"] = newValue } }
  public var serviceAccount: String? { get { json[string: "serviceAccount"] } set { json[string: "serviceAccount"] = newValue } }
  public var automountServiceAccountToken: Bool? { get { json[bool: "automountServiceAccountToken"] } set { json[bool: "automountServiceAccountToken"] = newValue } }
  public var nodeName: String? { get { json[string: "nodeName"] } set { json[string: "nodeName"] = newValue } }
  public var hostNetwork: Bool? { get { json[bool: "hostNetwork"] } set { json[bool: "hostNetwork"] = newValue } }
  public var hostPID: Bool? { get { json[bool: "hostPID"] } set { json[bool: "hostPID"] = newValue } }
  public var hostIPC: Bool? { get { json[bool: "hostIPC"] } set { json[bool: "hostIPC"] = newValue } }
  public var shareProcessNamespace: Bool? { get { json[bool: "shareProcessNamespace"] } set { json[bool: "shareProcessNamespace"] = newValue } }
  public var securityContext: PodSecurityContext? { get { json[optionalView: "securityContext"] } _modify { yield &json[optionalView: "securityContext"] } }
  public var imagePullSecrets: [LocalObjectReference] { get { json[views: "imagePullSecrets"] } set { json[views: "imagePullSecrets"] = newValue } }
  public var hostname: String? { get { json[string: "hostname"] } set { json[string: "hostname"] = newValue } }
  public var subdomain: String? { get { json[string: "subdomain"] } set { json[string: "subdomain"] = newValue } }
  public var affinity: Affinity? { get { json[optionalView: "affinity"] } _modify { yield &json[optionalView: "affinity"] } }
  public var schedulerName: String? { get { json[string: "schedulerName"] } set { json[string: "schedulerName"] = newValue } }
  public var tolerations: [Toleration] { get { json[views: "tolerations"] } set { json[views: "tolerations"] = newValue } }
  public var hostAliases: [HostAlias] { get { json[views: "hostAliases"] } set { json[views: "hostAliases"] = newValue } }
  public var priorityClassName: String? { get { json[string: "priorityClassName"] } set { json[string: "priorityClassName"] = newValue } }
  public var priority: Int64? { get { json[int: "priority"] } set { json[int: "priority"] = newValue } }
  public var dnsConfig: PodDNSConfig? { get { json[optionalView: "dnsConfig"] } _modify { yield &json[optionalView: "dnsConfig"] } }
  public var readinessGates: [PodReadinessGate] { get { json[views: "readinessGates"] } set { json[views: "readinessGates"] = newValue } }
  public var runtimeClassName: String? { get { json[string: "runtimeClassName"] } set { json[string: "runtimeClassName"] = newValue } }
  public var enableServiceLinks: Bool? { get { json[bool: "enableServiceLinks"] } set { json[bool: "enableServiceLinks"] = newValue } }
  public var preemptionPolicy: String? { get { json[string: "preemptionPolicy"] } set { json[string: "preemptionPolicy"] = newValue } }
  public var overhead: [String: Quantity] { get { json[quantities: "overhead"] } set { json[quantities: "overhead"] = newValue } }
  public var topologySpreadConstraints: [TopologySpreadConstraint] { get { json[views: "topologySpreadConstraints"] } set { json[views: "topologySpreadConstraints"] = newValue } }
  public var setHostnameAsFQDN: Bool? { get { json[bool: "setHostnameAsFQDN"] } set { json[bool: "setHostnameAsFQDN"] = newValue } }
  public var os: PodOS? { get { json[optionalView: "os"] } _modify { yield &json[optionalView: "os"] } }
  public var hostUsers: Bool? { get { json[bool: "hostUsers"] } set { json[bool: "hostUsers"] = newValue } }
  public var schedulingGates: [PodSchedulingGate] { get { json[views: "schedulingGates"] } set { json[views: "schedulingGates"] = newValue } }
  public var resourceClaims: [PodResourceClaim] { get { json[views: "resourceClaims"] } set { json[views: "resourceClaims"] = newValue } }
  public var resources: ResourceRequirements? { get { json[optionalView: "resources"] } _modify { yield &json[optionalView: "resources"] } }
  public var hostnameOverride: String? { get { json[string: "hostnameOverride"] } set { json[string: "hostnameOverride"] = newValue } }
  public var schedulingGroup: PodSchedulingGroup? { get { json[optionalView: "schedulingGroup"] } _modify { yield &json[optionalView: "schedulingGroup"] } }
  public var evictionResponders: [EvictionResponder] { get { json[views: "evictionResponders"] } set { json[views: "evictionResponders"] = newValue } }
}

public struct PodStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var phase: String? { get { json[string: "phase"] } set { json[string: "phase"] = newValue } }
  public var conditions: [PodCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var nominatedNodeName: String? { get { json[string: "nominatedNodeName"] } set { json[string: "nominatedNodeName"] = newValue } }
  public var hostIP: String? { get { json[string: "hostIP"] } set { json[string: "hostIP"] = newValue } }
  public var hostIPs: [HostIP] { get { json[views: "hostIPs"] } set { json[views: "hostIPs"] = newValue } }
  public var podIP: String? { get { json[string: "podIP"] } set { json[string: "podIP"] = newValue } }
  public var podIPs: [PodIP] { get { json[views: "podIPs"] } set { json[views: "podIPs"] = newValue } }
  public var startTime: String? { get { json[string: "startTime"] } set { json[string: "startTime"] = newValue } }
  public var initContainerStatuses: [ContainerStatus] { get { json[views: "initContainerStatuses"] } set { json[views: "initContainerStatuses"] = newValue } }
  public var containerStatuses: [ContainerStatus] { get { json[views: "containerStatuses"] } set { json[views: "containerStatuses"] = newValue } }
  public var qosClass: String? { get { json[string: "qosClass"] } set { json[string: "qosClass"] = newValue } }
  public var ephemeralContainerStatuses: [ContainerStatus] { get { json[views: "ephemeralContainerStatuses"] } set { json[views: "ephemeralContainerStatuses"] = newValue } }
  public var resize: String? { get { json[string: "resize"] } set { json[string: "resize"] = newValue } }
  public var resourceClaimStatuses: [PodResourceClaimStatus] { get { json[views: "resourceClaimStatuses"] } set { json[views: "resourceClaimStatuses"] = newValue } }
  public var extendedResourceClaimStatus: PodExtendedResourceClaimStatus? { get { json[optionalView: "extendedResourceClaimStatus"] } _modify { yield &json[optionalView: "extendedResourceClaimStatus"] } }
  public var allocatedResources: [String: Quantity] { get { json[quantities: "allocatedResources"] } set { json[quantities: "allocatedResources"] = newValue } }
  public var resources: ResourceRequirements? { get { json[optionalView: "resources"] } _modify { yield &json[optionalView: "resources"] } }
  public var nodeAllocatableResourceClaimStatuses: [NodeAllocatableResourceClaimStatus] { get { json[views: "nodeAllocatableResourceClaimStatuses"] } set { json[views: "nodeAllocatableResourceClaimStatuses"] = newValue } }
  public var volumeHealth: [PodVolumeHealth] { get { json[views: "volumeHealth"] } set { json[views: "volumeHealth"] = newValue } }
}

public struct PodTemplateSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: PodSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

public struct PodVolumeHealth: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var healthConditions: [VolumeHealthCondition] { get { json[views: "healthConditions"] } set { json[views: "healthConditions"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
}

public struct PortStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var port: Int64? { get { json[int: "port"] } set { json[int: "port"] = newValue } }
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
  public var error: String? { get { json[string: "error"] } set { json[string: "error"] = newValue } }
}

public struct PortworxVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeID: String? { get { json[string: "volumeID"] } set { json[string: "volumeID"] = newValue } }
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct PreferredSchedulingTerm: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var weight: Int64? { get { json[int: "weight"] } set { json[int: "weight"] = newValue } }
  public var preference: NodeSelectorTerm { get { json[view: "preference"] } _modify { yield &json[view: "preference"] } }
}

public struct Probe: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var exec: ExecAction? { get { json[optionalView: "exec"] } _modify { yield &json[optionalView: "exec"] } }
  public var httpGet: HTTPGetAction? { get { json[optionalView: "httpGet"] } _modify { yield &json[optionalView: "httpGet"] } }
  public var tcpSocket: TCPSocketAction? { get { json[optionalView: "tcpSocket"] } _modify { yield &json[optionalView: "tcpSocket"] } }
  public var grpc: GRPCAction? { get { json[optionalView: "grpc"] } _modify { yield &json[optionalView: "grpc"] } }
  public var initialDelaySeconds: Int64? { get { json[int: "initialDelaySeconds"] } set { json[int: "initialDelaySeconds"] = newValue } }
  public var timeoutSeconds: Int64? { get { json[int: "timeoutSeconds"] } set { json[int: "timeoutSeconds"] = newValue } }
  public var periodSeconds: Int64? { get { json[int: "periodSeconds"] } set { json[int: "periodSeconds"] = newValue } }
  public var successThreshold: Int64? { get { json[int: "successThreshold"] } set { json[int: "successThreshold"] = newValue } }
  public var failureThreshold: Int64? { get { json[int: "failureThreshold"] } set { json[int: "failureThreshold"] = newValue } }
  public var terminationGracePeriodSeconds: Int64? { get { json[int: "terminationGracePeriodSeconds"] } set { json[int: "terminationGracePeriodSeconds"] = newValue } }
}

public struct ProjectedVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var sources: [VolumeProjection] { get { json[views: "sources", keepsEmpty: true] } set { json[views: "sources", keepsEmpty: true] = newValue } }
  public var defaultMode: Int64? { get { json[int: "defaultMode"] } set { json[int: "defaultMode"] = newValue } }
  public var defaultUser: Int64? { get { json[int: "defaultUser"] } set { json[int: "defaultUser"] = newValue } }
}
