// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Wire

public struct NFSVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var server: String? { get { json[string: "server"] } set { json[string: "server"] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct NamespaceCondition: KubeValue {
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

public struct NamespaceSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Names that must be removed before a deleted namespace goes.
  public var finalizers: [String] { get { json[strings: "finalizers"] } set { json[strings: "finalizers"] = newValue } }
}

public struct NamespaceStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Active or Terminating.
  public var phase: String? { get { json[string: "phase"] } set { json[string: "phase"] = newValue } }
  /// Aspects of the current state.
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
  /// What must hold for the pod to be scheduled.
  public var requiredDuringSchedulingIgnoredDuringExecution: NodeSelector? { get { json[optionalView: "requiredDuringSchedulingIgnoredDuringExecution"] } _modify { yield &json[optionalView: "requiredDuringSchedulingIgnoredDuringExecution"] } }
  /// What is preferred, with weights.
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
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// When it was last reported.
  public var lastHeartbeatTime: String? { get { json[string: "lastHeartbeatTime"] } set { json[string: "lastHeartbeatTime"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
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

/// NodeSpec describes a node.
public struct NodeSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Range of addresses for pods of the node.
  public var podCIDR: String? { get { json[string: "podCIDR"] } set { json[string: "podCIDR"] = newValue } }
  public var podCIDRs: [String] { get { json[strings: "podCIDRs"] } set { json[strings: "podCIDRs"] = newValue } }
  public var providerID: String? { get { json[string: "providerID"] } set { json[string: "providerID"] = newValue } }
  /// Whether no new pods are scheduled here.
  public var unschedulable: Bool? { get { json[bool: "unschedulable"] } set { json[bool: "unschedulable"] = newValue } }
  /// Taints of the node.
  public var taints: [Taint] { get { json[views: "taints"] } set { json[views: "taints"] = newValue } }
  public var configSource: NodeConfigSource? { get { json[optionalView: "configSource"] } _modify { yield &json[optionalView: "configSource"] } }
  public var externalID: String? { get { json[string: "externalID"] } set { json[string: "externalID"] = newValue } }
  public var podPreemptionPolicy: NodePodPreemptionPolicy? { get { json[optionalView: "podPreemptionPolicy"] } _modify { yield &json[optionalView: "podPreemptionPolicy"] } }
}

/// NodeStatus is the current state of a node.
public struct NodeStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// What the node has.
  public var capacity: [String: Quantity] { get { json[quantities: "capacity"] } set { json[quantities: "capacity"] = newValue } }
  /// What pods may use.
  public var allocatable: [String: Quantity] { get { json[quantities: "allocatable"] } set { json[quantities: "allocatable"] = newValue } }
  public var phase: String? { get { json[string: "phase"] } set { json[string: "phase"] = newValue } }
  /// Aspects of the state, such as Ready.
  public var conditions: [NodeCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  /// Addresses and names of the node.
  public var addresses: [NodeAddress] { get { json[views: "addresses"] } set { json[views: "addresses"] = newValue } }
  public var daemonEndpoints: NodeDaemonEndpoints? { get { json[optionalView: "daemonEndpoints"] } _modify { yield &json[optionalView: "daemonEndpoints"] } }
  /// Kernel, operating system and versions of the node.
  public var nodeInfo: NodeSystemInfo? { get { json[optionalView: "nodeInfo"] } _modify { yield &json[optionalView: "nodeInfo"] } }
  /// Images that are on the node.
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
  /// Version in which the path is written.
  public var apiVersion: String? { get { json[string: "apiVersion"] } set { json[string: "apiVersion"] = newValue } }
  /// Path of the field, such as status.podIP.
  public var fieldPath: String? { get { json[string: "fieldPath"] } set { json[string: "fieldPath"] = newValue } }
}

/// ObjectReference names an object.
public struct ObjectReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  /// Namespace of the object that is named.
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
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// When it was last checked.
  public var lastProbeTime: String? { get { json[string: "lastProbeTime"] } set { json[string: "lastProbeTime"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct PersistentVolumeClaimSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// How the volume is mounted, such as ReadWriteOnce.
  public var accessModes: [String] { get { json[strings: "accessModes"] } set { json[strings: "accessModes"] = newValue } }
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  /// How much storage is wanted.
  public var resources: VolumeResourceRequirements? { get { json[optionalView: "resources"] } _modify { yield &json[optionalView: "resources"] } }
  /// Volume that is bound to the claim.
  public var volumeName: String? { get { json[string: "volumeName"] } set { json[string: "volumeName"] = newValue } }
  /// Class of the storage.
  public var storageClassName: String? { get { json[string: "storageClassName"] } set { json[string: "storageClassName"] = newValue } }
  /// Filesystem or Block.
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
  /// Aspects of the current state.
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
  /// The wanted state.
  public var spec: PersistentVolumeClaimSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

public struct PersistentVolumeClaimVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name of the claim.
  public var claimName: String? { get { json[string: "claimName"] } set { json[string: "claimName"] = newValue } }
  /// Whether it can only be read.
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
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
}

public struct PodAffinity: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// What must hold for the pod to be scheduled.
  public var requiredDuringSchedulingIgnoredDuringExecution: [PodAffinityTerm] { get { json[views: "requiredDuringSchedulingIgnoredDuringExecution"] } set { json[views: "requiredDuringSchedulingIgnoredDuringExecution"] = newValue } }
  /// What is preferred, with weights.
  public var preferredDuringSchedulingIgnoredDuringExecution: [WeightedPodAffinityTerm] { get { json[views: "preferredDuringSchedulingIgnoredDuringExecution"] } set { json[views: "preferredDuringSchedulingIgnoredDuringExecution"] = newValue } }
}

public struct PodAffinityTerm: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Pods that are meant.
  public var labelSelector: LabelSelector? { get { json[optionalView: "labelSelector"] } _modify { yield &json[optionalView: "labelSelector"] } }
  /// Namespaces of the pods that are meant; the pod's own unless told.
  public var namespaces: [String] { get { json[strings: "namespaces"] } set { json[strings: "namespaces"] = newValue } }
  /// Label of nodes that says what near is, such as kubernetes.io/hostname.
  public var topologyKey: String? { get { json[string: "topologyKey"] } set { json[string: "topologyKey"] = newValue } }
  public var namespaceSelector: LabelSelector? { get { json[optionalView: "namespaceSelector"] } _modify { yield &json[optionalView: "namespaceSelector"] } }
  public var matchLabelKeys: [String] { get { json[strings: "matchLabelKeys"] } set { json[strings: "matchLabelKeys"] = newValue } }
  public var mismatchLabelKeys: [String] { get { json[strings: "mismatchLabelKeys"] } set { json[strings: "mismatchLabelKeys"] = newValue } }
}

public struct PodAntiAffinity: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// What must hold for the pod to be scheduled.
  public var requiredDuringSchedulingIgnoredDuringExecution: [PodAffinityTerm] { get { json[views: "requiredDuringSchedulingIgnoredDuringExecution"] } set { json[views: "requiredDuringSchedulingIgnoredDuringExecution"] = newValue } }
  /// What is preferred, with weights.
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

/// PodCondition is one aspect of a pod's state.
public struct PodCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// When it was last checked.
  public var lastProbeTime: String? { get { json[string: "lastProbeTime"] } set { json[string: "lastProbeTime"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
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

/// PodSecurityContext sets the privileges of all containers of a pod.
public struct PodSecurityContext: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var seLinuxOptions: SELinuxOptions? { get { json[optionalView: "seLinuxOptions"] } _modify { yield &json[optionalView: "seLinuxOptions"] } }
  public var windowsOptions: WindowsSecurityContextOptions? { get { json[optionalView: "windowsOptions"] } _modify { yield &json[optionalView: "windowsOptions"] } }
  /// User id of the first process of each container.
  public var runAsUser: Int64? { get { json[int: "runAsUser"] } set { json[int: "runAsUser"] = newValue } }
  /// Group id of the first process of each container.
  public var runAsGroup: Int64? { get { json[int: "runAsGroup"] } set { json[int: "runAsGroup"] = newValue } }
  /// Whether containers are refused that would run as root.
  public var runAsNonRoot: Bool? { get { json[bool: "runAsNonRoot"] } set { json[bool: "runAsNonRoot"] = newValue } }
  /// Further groups of the first process of each container.
  public var supplementalGroups: [Int64] { get { json[ints: "supplementalGroups"] } set { json[ints: "supplementalGroups"] = newValue } }
  public var supplementalGroupsPolicy: String? { get { json[string: "supplementalGroupsPolicy"] } set { json[string: "supplementalGroupsPolicy"] = newValue } }
  /// Group that owns the volumes.
  public var fsGroup: Int64? { get { json[int: "fsGroup"] } set { json[int: "fsGroup"] = newValue } }
  /// Kernel parameters of the pod's namespaces.
  public var sysctls: [Sysctl] { get { json[views: "sysctls"] } set { json[views: "sysctls"] = newValue } }
  /// OnRootMismatch or Always: when owners in volumes are changed.
  public var fsGroupChangePolicy: String? { get { json[string: "fsGroupChangePolicy"] } set { json[string: "fsGroupChangePolicy"] = newValue } }
  public var seccompProfile: SeccompProfile? { get { json[optionalView: "seccompProfile"] } _modify { yield &json[optionalView: "seccompProfile"] } }
  public var appArmorProfile: AppArmorProfile? { get { json[optionalView: "appArmorProfile"] } _modify { yield &json[optionalView: "appArmorProfile"] } }
  public var seLinuxChangePolicy: String? { get { json[string: "seLinuxChangePolicy"] } set { json[string: "seLinuxChangePolicy"] = newValue } }
}

/// PodSpec describes the wanted pod.
public struct PodSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumes: [Volume] { get { json[views: "volumes"] } set { json[views: "volumes"] = newValue } }
  /// Containers that run to their end, one after the other, before the others start.
  public var initContainers: [Container] { get { json[views: "initContainers"] } set { json[views: "initContainers"] = newValue } }
  /// At least one, and fixed once the pod exists.
  public var containers: [Container] { get { json[views: "containers", keepsEmpty: true] } set { json[views: "containers", keepsEmpty: true] = newValue } }
  public var ephemeralContainers: [EphemeralContainer] { get { json[views: "ephemeralContainers"] } set { json[views: "ephemeralContainers"] = newValue } }
  /// Whether ended containers are started again: Always, OnFailure or Never.
  public var restartPolicy: String? { get { json[string: "restartPolicy"] } set { json[string: "restartPolicy"] = newValue } }
  /// Seconds between the request to stop and the kill; 30 unless told.
  public var terminationGracePeriodSeconds: Int64? { get { json[int: "terminationGracePeriodSeconds"] } set { json[int: "terminationGracePeriodSeconds"] = newValue } }
  /// Seconds after which the pod is ended and counts as failed.
  public var activeDeadlineSeconds: Int64? { get { json[int: "activeDeadlineSeconds"] } set { json[int: "activeDeadlineSeconds"] = newValue } }
  /// Which DNS servers containers ask: ClusterFirst, ClusterFirstWithHostNet, Default or None.
  public var dnsPolicy: String? { get { json[string: "dnsPolicy"] } set { json[string: "dnsPolicy"] = newValue } }
  /// Labels that a node must have for the pod to run there.
  public var nodeSelector: [String: String] { get { json[stringMap: "nodeSelector"] } set { json[stringMap: "nodeSelector"] = newValue } }
  /// Service account that the pod's processes act as.
  public var serviceAccountName: String? { get { json[string: "serviceAccountName"] } set { json[string: "serviceAccountName"] = newValue } }
  /// Old name of serviceAccountName.
  public var serviceAccount: String? { get { json[string: "serviceAccount"] } set { json[string: "serviceAccount"] = newValue } }
  /// Whether a token of the service account is mounted.
  public var automountServiceAccountToken: Bool? { get { json[bool: "automountServiceAccountToken"] } set { json[bool: "automountServiceAccountToken"] = newValue } }
  /// Node on which the pod runs; the scheduler sets it.
  public var nodeName: String? { get { json[string: "nodeName"] } set { json[string: "nodeName"] = newValue } }
  /// Whether the pod uses the node's network instead of one of its own.
  public var hostNetwork: Bool? { get { json[bool: "hostNetwork"] } set { json[bool: "hostNetwork"] = newValue } }
  /// Whether the pod sees the node's processes.
  public var hostPID: Bool? { get { json[bool: "hostPID"] } set { json[bool: "hostPID"] = newValue } }
  /// Whether the pod uses the node's IPC namespace.
  public var hostIPC: Bool? { get { json[bool: "hostIPC"] } set { json[bool: "hostIPC"] = newValue } }
  /// Whether the containers see one another's processes.
  public var shareProcessNamespace: Bool? { get { json[bool: "shareProcessNamespace"] } set { json[bool: "shareProcessNamespace"] = newValue } }
  /// Containers may set their own.
  public var securityContext: PodSecurityContext? { get { json[optionalView: "securityContext"] } _modify { yield &json[optionalView: "securityContext"] } }
  /// Secrets with credentials of image registries.
  public var imagePullSecrets: [LocalObjectReference] { get { json[views: "imagePullSecrets"] } set { json[views: "imagePullSecrets"] = newValue } }
  /// Host name of the pod; its own name unless told.
  public var hostname: String? { get { json[string: "hostname"] } set { json[string: "hostname"] = newValue } }
  /// Subdomain, so that the pod is called HOSTNAME.SUBDOMAIN.NAMESPACE.svc.
  public var subdomain: String? { get { json[string: "subdomain"] } set { json[string: "subdomain"] = newValue } }
  public var affinity: Affinity? { get { json[optionalView: "affinity"] } _modify { yield &json[optionalView: "affinity"] } }
  /// Scheduler that chooses the node.
  public var schedulerName: String? { get { json[string: "schedulerName"] } set { json[string: "schedulerName"] = newValue } }
  public var tolerations: [Toleration] { get { json[views: "tolerations"] } set { json[views: "tolerations"] = newValue } }
  /// Extra lines of the containers' hosts file.
  public var hostAliases: [HostAlias] { get { json[views: "hostAliases"] } set { json[views: "hostAliases"] = newValue } }
  /// Priority class of the pod.
  public var priorityClassName: String? { get { json[string: "priorityClassName"] } set { json[string: "priorityClassName"] = newValue } }
  /// Priority; pods of a higher one are scheduled first.
  public var priority: Int64? { get { json[int: "priority"] } set { json[int: "priority"] = newValue } }
  /// DNS settings added to those of the policy.
  public var dnsConfig: PodDNSConfig? { get { json[optionalView: "dnsConfig"] } _modify { yield &json[optionalView: "dnsConfig"] } }
  /// Conditions that must be true for the pod to be ready.
  public var readinessGates: [PodReadinessGate] { get { json[views: "readinessGates"] } set { json[views: "readinessGates"] = newValue } }
  /// Runtime class that runs the pod.
  public var runtimeClassName: String? { get { json[string: "runtimeClassName"] } set { json[string: "runtimeClassName"] = newValue } }
  /// Whether containers get environment variables of the services in the namespace.
  public var enableServiceLinks: Bool? { get { json[bool: "enableServiceLinks"] } set { json[bool: "enableServiceLinks"] = newValue } }
  /// Whether the pod may push away pods of lower priority.
  public var preemptionPolicy: String? { get { json[string: "preemptionPolicy"] } set { json[string: "preemptionPolicy"] = newValue } }
  /// Resources the pod itself needs beside its containers.
  public var overhead: [String: Quantity] { get { json[quantities: "overhead"] } set { json[quantities: "overhead"] = newValue } }
  public var topologySpreadConstraints: [TopologySpreadConstraint] { get { json[views: "topologySpreadConstraints"] } set { json[views: "topologySpreadConstraints"] = newValue } }
  public var setHostnameAsFQDN: Bool? { get { json[bool: "setHostnameAsFQDN"] } set { json[bool: "setHostnameAsFQDN"] = newValue } }
  /// Operating system of the containers.
  public var os: PodOS? { get { json[optionalView: "os"] } _modify { yield &json[optionalView: "os"] } }
  /// Whether the pod uses the node's user namespace; true unless told.
  public var hostUsers: Bool? { get { json[bool: "hostUsers"] } set { json[bool: "hostUsers"] = newValue } }
  /// While any is left, the pod is not scheduled.
  public var schedulingGates: [PodSchedulingGate] { get { json[views: "schedulingGates"] } set { json[views: "schedulingGates"] = newValue } }
  public var resourceClaims: [PodResourceClaim] { get { json[views: "resourceClaims"] } set { json[views: "resourceClaims"] = newValue } }
  /// Resources of the whole pod.
  public var resources: ResourceRequirements? { get { json[optionalView: "resources"] } _modify { yield &json[optionalView: "resources"] } }
  public var hostnameOverride: String? { get { json[string: "hostnameOverride"] } set { json[string: "hostnameOverride"] = newValue } }
  public var schedulingGroup: PodSchedulingGroup? { get { json[optionalView: "schedulingGroup"] } _modify { yield &json[optionalView: "schedulingGroup"] } }
  public var evictionResponders: [EvictionResponder] { get { json[views: "evictionResponders"] } set { json[views: "evictionResponders"] = newValue } }
}

/// PodStatus is the state of a pod as its node last saw it.
public struct PodStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  /// Pending, Running, Succeeded, Failed or Unknown.
  public var phase: String? { get { json[string: "phase"] } set { json[string: "phase"] = newValue } }
  /// Aspects of the state, such as Ready and PodScheduled.
  public var conditions: [PodCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  /// Why the pod is in its phase, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  /// Why the pod is in its phase, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Node where pods are pushed away for this one.
  public var nominatedNodeName: String? { get { json[string: "nominatedNodeName"] } set { json[string: "nominatedNodeName"] = newValue } }
  /// Address of the node.
  public var hostIP: String? { get { json[string: "hostIP"] } set { json[string: "hostIP"] = newValue } }
  /// Addresses of the node.
  public var hostIPs: [HostIP] { get { json[views: "hostIPs"] } set { json[views: "hostIPs"] = newValue } }
  /// Address of the pod.
  public var podIP: String? { get { json[string: "podIP"] } set { json[string: "podIP"] = newValue } }
  /// Addresses of the pod, one per address family.
  public var podIPs: [PodIP] { get { json[views: "podIPs"] } set { json[views: "podIPs"] = newValue } }
  /// When the node took the pod over.
  public var startTime: String? { get { json[string: "startTime"] } set { json[string: "startTime"] = newValue } }
  public var initContainerStatuses: [ContainerStatus] { get { json[views: "initContainerStatuses"] } set { json[views: "initContainerStatuses"] = newValue } }
  public var containerStatuses: [ContainerStatus] { get { json[views: "containerStatuses"] } set { json[views: "containerStatuses"] = newValue } }
  /// Guaranteed, Burstable or BestEffort.
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

/// PodTemplateSpec describes the pods that a workload makes.
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
  /// When the status last changed.
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
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct PreferredSchedulingTerm: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var weight: Int64? { get { json[int: "weight"] } set { json[int: "weight"] = newValue } }
  public var preference: NodeSelectorTerm { get { json[view: "preference"] } _modify { yield &json[view: "preference"] } }
}

/// Probe is a check that the node makes on a container.
public struct Probe: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Command that must exit with 0.
  public var exec: ExecAction? { get { json[optionalView: "exec"] } _modify { yield &json[optionalView: "exec"] } }
  /// Request that must be answered with a status from 200 to 399.
  public var httpGet: HTTPGetAction? { get { json[optionalView: "httpGet"] } _modify { yield &json[optionalView: "httpGet"] } }
  /// Port that must accept a connection.
  public var tcpSocket: TCPSocketAction? { get { json[optionalView: "tcpSocket"] } _modify { yield &json[optionalView: "tcpSocket"] } }
  public var grpc: GRPCAction? { get { json[optionalView: "grpc"] } _modify { yield &json[optionalView: "grpc"] } }
  /// Seconds to wait after the start.
  public var initialDelaySeconds: Int64? { get { json[int: "initialDelaySeconds"] } set { json[int: "initialDelaySeconds"] = newValue } }
  /// Seconds after which a check fails; 1 unless told.
  public var timeoutSeconds: Int64? { get { json[int: "timeoutSeconds"] } set { json[int: "timeoutSeconds"] = newValue } }
  /// Seconds between checks; 10 unless told.
  public var periodSeconds: Int64? { get { json[int: "periodSeconds"] } set { json[int: "periodSeconds"] = newValue } }
  /// Successes in a row that make it succeed again; 1 unless told.
  public var successThreshold: Int64? { get { json[int: "successThreshold"] } set { json[int: "successThreshold"] = newValue } }
  /// Failures in a row that make it fail; 3 unless told.
  public var failureThreshold: Int64? { get { json[int: "failureThreshold"] } set { json[int: "failureThreshold"] = newValue } }
  /// Seconds to end after a failure, instead of the pod's.
  public var terminationGracePeriodSeconds: Int64? { get { json[int: "terminationGracePeriodSeconds"] } set { json[int: "terminationGracePeriodSeconds"] = newValue } }
}

/// ProjectedVolumeSource puts several sources into one folder.
public struct ProjectedVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// What appears in the folder.
  public var sources: [VolumeProjection] { get { json[views: "sources", keepsEmpty: true] } set { json[views: "sources", keepsEmpty: true] = newValue } }
  /// Mode of the files; 0644 unless told.
  public var defaultMode: Int64? { get { json[int: "defaultMode"] } set { json[int: "defaultMode"] = newValue } }
  public var defaultUser: Int64? { get { json[int: "defaultUser"] } set { json[int: "defaultUser"] = newValue } }
}
