// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Wire

public struct QuobyteVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var registry: String? { get { json[string: "registry"] } set { json[string: "registry"] = newValue } }
  public var volume: String? { get { json[string: "volume"] } set { json[string: "volume"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var group: String? { get { json[string: "group"] } set { json[string: "group"] = newValue } }
  public var tenant: String? { get { json[string: "tenant"] } set { json[string: "tenant"] = newValue } }
}

public struct RBDPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var monitors: [String] { get { json[strings: "monitors", keepsEmpty: true] } set { json[strings: "monitors", keepsEmpty: true] = newValue } }
  public var image: String? { get { json[string: "image"] } set { json[string: "image"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var pool: String? { get { json[string: "pool"] } set { json[string: "pool"] = newValue } }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var keyring: String? { get { json[string: "keyring"] } set { json[string: "keyring"] = newValue } }
  public var secretRef: SecretReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct RBDVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var monitors: [String] { get { json[strings: "monitors", keepsEmpty: true] } set { json[strings: "monitors", keepsEmpty: true] = newValue } }
  public var image: String? { get { json[string: "image"] } set { json[string: "image"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var pool: String? { get { json[string: "pool"] } set { json[string: "pool"] = newValue } }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var keyring: String? { get { json[string: "keyring"] } set { json[string: "keyring"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct ReplicationControllerCondition: KubeValue {
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

public struct ReplicationControllerSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Number of pods.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  /// Seconds a new pod must be ready to count as available.
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  public var selector: [String: String] { get { json[stringMap: "selector"] } set { json[stringMap: "selector"] = newValue } }
  /// The objects to make.
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
}

public struct ReplicationControllerStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Number of pods.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var fullyLabeledReplicas: Int64? { get { json[int: "fullyLabeledReplicas"] } set { json[int: "fullyLabeledReplicas"] = newValue } }
  public var readyReplicas: Int64? { get { json[int: "readyReplicas"] } set { json[int: "readyReplicas"] = newValue } }
  public var availableReplicas: Int64? { get { json[int: "availableReplicas"] } set { json[int: "availableReplicas"] = newValue } }
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  /// Aspects of the current state.
  public var conditions: [ReplicationControllerCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}

public struct ResourceClaim: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var request: String? { get { json[string: "request"] } set { json[string: "request"] = newValue } }
}

public struct ResourceFieldSelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Container whose resource is meant.
  public var containerName: String? { get { json[string: "containerName"] } set { json[string: "containerName"] = newValue } }
  /// Resource, such as limits.cpu.
  public var resource: String? { get { json[string: "resource"] } set { json[string: "resource"] = newValue } }
  /// Unit of the result.
  public var divisor: Quantity? { get { json[quantity: "divisor"] } set { json[quantity: "divisor"] = newValue } }
}

public struct ResourceHealth: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var resourceID: String? { get { json[string: "resourceID"] } set { json[string: "resourceID"] = newValue } }
  public var health: String? { get { json[string: "health"] } set { json[string: "health"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct ResourceQuotaSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var hard: [String: Quantity] { get { json[quantities: "hard"] } set { json[quantities: "hard"] = newValue } }
  public var scopes: [String] { get { json[strings: "scopes"] } set { json[strings: "scopes"] = newValue } }
  public var scopeSelector: ScopeSelector? { get { json[optionalView: "scopeSelector"] } _modify { yield &json[optionalView: "scopeSelector"] } }
}

public struct ResourceQuotaStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var hard: [String: Quantity] { get { json[quantities: "hard"] } set { json[quantities: "hard"] = newValue } }
  public var used: [String: Quantity] { get { json[quantities: "used"] } set { json[quantities: "used"] = newValue } }
}

/// ResourceRequirements is what a container needs at least and may use at most.
public struct ResourceRequirements: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// What may be used at most.
  public var limits: [String: Quantity] { get { json[quantities: "limits"] } set { json[quantities: "limits"] = newValue } }
  /// What is needed at least; the scheduler reserves it.
  public var requests: [String: Quantity] { get { json[quantities: "requests"] } set { json[quantities: "requests"] = newValue } }
  public var claims: [ResourceClaim] { get { json[views: "claims"] } set { json[views: "claims"] = newValue } }
}

public struct ResourceStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var resources: [ResourceHealth] { get { json[views: "resources"] } set { json[views: "resources"] = newValue } }
}

public struct SELinuxOptions: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var role: String? { get { json[string: "role"] } set { json[string: "role"] = newValue } }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var level: String? { get { json[string: "level"] } set { json[string: "level"] = newValue } }
}

public struct ScaleIOPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var gateway: String? { get { json[string: "gateway"] } set { json[string: "gateway"] = newValue } }
  public var system: String? { get { json[string: "system"] } set { json[string: "system"] = newValue } }
  public var secretRef: SecretReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  public var sslEnabled: Bool? { get { json[bool: "sslEnabled"] } set { json[bool: "sslEnabled"] = newValue } }
  public var protectionDomain: String? { get { json[string: "protectionDomain"] } set { json[string: "protectionDomain"] = newValue } }
  public var storagePool: String? { get { json[string: "storagePool"] } set { json[string: "storagePool"] = newValue } }
  public var storageMode: String? { get { json[string: "storageMode"] } set { json[string: "storageMode"] = newValue } }
  public var volumeName: String? { get { json[string: "volumeName"] } set { json[string: "volumeName"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct ScaleIOVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var gateway: String? { get { json[string: "gateway"] } set { json[string: "gateway"] = newValue } }
  public var system: String? { get { json[string: "system"] } set { json[string: "system"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  public var sslEnabled: Bool? { get { json[bool: "sslEnabled"] } set { json[bool: "sslEnabled"] = newValue } }
  public var protectionDomain: String? { get { json[string: "protectionDomain"] } set { json[string: "protectionDomain"] = newValue } }
  public var storagePool: String? { get { json[string: "storagePool"] } set { json[string: "storagePool"] = newValue } }
  public var storageMode: String? { get { json[string: "storageMode"] } set { json[string: "storageMode"] = newValue } }
  public var volumeName: String? { get { json[string: "volumeName"] } set { json[string: "volumeName"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct ScopeSelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var matchExpressions: [ScopedResourceSelectorRequirement] { get { json[views: "matchExpressions"] } set { json[views: "matchExpressions"] = newValue } }
}

public struct ScopedResourceSelectorRequirement: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var scopeName: String? { get { json[string: "scopeName"] } set { json[string: "scopeName"] = newValue } }
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  public var values: [String] { get { json[strings: "values"] } set { json[strings: "values"] = newValue } }
}

/// SeccompProfile limits the system calls of a container.
public struct SeccompProfile: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// RuntimeDefault, Unconfined or Localhost.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// File of the profile on the node, for Localhost.
  public var localhostProfile: String? { get { json[string: "localhostProfile"] } set { json[string: "localhostProfile"] = newValue } }
}

public struct SecretEnvSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct SecretKeySelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Key to take.
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct SecretProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Every key unless told.
  public var items: [KeyToPath] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct SecretReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Namespace of the object that is named.
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
}

/// SecretVolumeSource shows the keys of a Secret as files.
public struct SecretVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name of the Secret.
  public var secretName: String? { get { json[string: "secretName"] } set { json[string: "secretName"] = newValue } }
  /// Every key unless told.
  public var items: [KeyToPath] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  /// Mode of the files; 0644 unless told.
  public var defaultMode: Int64? { get { json[int: "defaultMode"] } set { json[int: "defaultMode"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
  public var defaultUser: Int64? { get { json[int: "defaultUser"] } set { json[int: "defaultUser"] = newValue } }
}

/// SecurityContext sets the privileges of one container.
public struct SecurityContext: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var capabilities: Capabilities? { get { json[optionalView: "capabilities"] } _modify { yield &json[optionalView: "capabilities"] } }
  /// Whether the container has all rights on the node.
  public var privileged: Bool? { get { json[bool: "privileged"] } set { json[bool: "privileged"] = newValue } }
  public var seLinuxOptions: SELinuxOptions? { get { json[optionalView: "seLinuxOptions"] } _modify { yield &json[optionalView: "seLinuxOptions"] } }
  public var windowsOptions: WindowsSecurityContextOptions? { get { json[optionalView: "windowsOptions"] } _modify { yield &json[optionalView: "windowsOptions"] } }
  /// User id of the first process.
  public var runAsUser: Int64? { get { json[int: "runAsUser"] } set { json[int: "runAsUser"] = newValue } }
  /// Group id of the first process.
  public var runAsGroup: Int64? { get { json[int: "runAsGroup"] } set { json[int: "runAsGroup"] = newValue } }
  /// Whether the container is refused when it would run as root.
  public var runAsNonRoot: Bool? { get { json[bool: "runAsNonRoot"] } set { json[bool: "runAsNonRoot"] = newValue } }
  /// Whether the root file system cannot be written.
  public var readOnlyRootFilesystem: Bool? { get { json[bool: "readOnlyRootFilesystem"] } set { json[bool: "readOnlyRootFilesystem"] = newValue } }
  /// Whether a process may get more rights than its parent.
  public var allowPrivilegeEscalation: Bool? { get { json[bool: "allowPrivilegeEscalation"] } set { json[bool: "allowPrivilegeEscalation"] = newValue } }
  /// How /proc is mounted.
  public var procMount: String? { get { json[string: "procMount"] } set { json[string: "procMount"] = newValue } }
  public var seccompProfile: SeccompProfile? { get { json[optionalView: "seccompProfile"] } _modify { yield &json[optionalView: "seccompProfile"] } }
  public var appArmorProfile: AppArmorProfile? { get { json[optionalView: "appArmorProfile"] } _modify { yield &json[optionalView: "appArmorProfile"] } }
}

public struct ServiceAccountTokenProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// For whom the token is; the API server unless told.
  public var audience: String? { get { json[string: "audience"] } set { json[string: "audience"] = newValue } }
  /// Seconds the token is valid; it is renewed in time.
  public var expirationSeconds: Int64? { get { json[int: "expirationSeconds"] } set { json[int: "expirationSeconds"] = newValue } }
  /// Path of the file in the volume.
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var user: Int64? { get { json[int: "user"] } set { json[int: "user"] = newValue } }
}

/// ServicePort is one port of a service.
public struct ServicePort: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name of the port; needed when there are several.
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// TCP, UDP or SCTP.
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
  /// Protocol above TCP, such as http.
  public var appProtocol: String? { get { json[string: "appProtocol"] } set { json[string: "appProtocol"] = newValue } }
  /// Port of the service.
  public var port: Int64? { get { json[int: "port"] } set { json[int: "port"] = newValue } }
  /// Port of the pods, by number or name; the same as port unless told.
  public var targetPort: IntOrString? { get { json[intOrString: "targetPort"] } set { json[intOrString: "targetPort"] = newValue } }
  /// Port on every node, for NodePort and LoadBalancer.
  public var nodePort: Int64? { get { json[int: "nodePort"] } set { json[int: "nodePort"] = newValue } }
}

/// ServiceSpec describes a service.
public struct ServiceSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ports: [ServicePort] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
  /// Labels of the pods that serve.
  public var selector: [String: String] { get { json[stringMap: "selector"] } set { json[stringMap: "selector"] = newValue } }
  /// Address of the service; None makes it headless.
  public var clusterIP: String? { get { json[string: "clusterIP"] } set { json[string: "clusterIP"] = newValue } }
  /// Addresses of the service, one per address family.
  public var clusterIPs: [String] { get { json[strings: "clusterIPs"] } set { json[strings: "clusterIPs"] = newValue } }
  /// ClusterIP, NodePort, LoadBalancer or ExternalName.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// Further addresses on which nodes accept traffic for the service.
  public var externalIPs: [String] { get { json[strings: "externalIPs"] } set { json[strings: "externalIPs"] = newValue } }
  /// ClientIP sends a client to the same pod again; None does not.
  public var sessionAffinity: String? { get { json[string: "sessionAffinity"] } set { json[string: "sessionAffinity"] = newValue } }
  /// Not used any more.
  public var loadBalancerIP: String? { get { json[string: "loadBalancerIP"] } set { json[string: "loadBalancerIP"] = newValue } }
  public var loadBalancerSourceRanges: [String] { get { json[strings: "loadBalancerSourceRanges"] } set { json[strings: "loadBalancerSourceRanges"] = newValue } }
  /// DNS name that the service stands for, with type ExternalName.
  public var externalName: String? { get { json[string: "externalName"] } set { json[string: "externalName"] = newValue } }
  /// Cluster or Local: whether traffic from outside stays on its node.
  public var externalTrafficPolicy: String? { get { json[string: "externalTrafficPolicy"] } set { json[string: "externalTrafficPolicy"] = newValue } }
  public var healthCheckNodePort: Int64? { get { json[int: "healthCheckNodePort"] } set { json[int: "healthCheckNodePort"] = newValue } }
  /// Whether pods that are not ready are found too.
  public var publishNotReadyAddresses: Bool? { get { json[bool: "publishNotReadyAddresses"] } set { json[bool: "publishNotReadyAddresses"] = newValue } }
  public var sessionAffinityConfig: SessionAffinityConfig? { get { json[optionalView: "sessionAffinityConfig"] } _modify { yield &json[optionalView: "sessionAffinityConfig"] } }
  /// IPv4 and IPv6, in the order of preference.
  public var ipFamilies: [String] { get { json[strings: "ipFamilies"] } set { json[strings: "ipFamilies"] = newValue } }
  /// SingleStack, PreferDualStack or RequireDualStack.
  public var ipFamilyPolicy: String? { get { json[string: "ipFamilyPolicy"] } set { json[string: "ipFamilyPolicy"] = newValue } }
  public var allocateLoadBalancerNodePorts: Bool? { get { json[bool: "allocateLoadBalancerNodePorts"] } set { json[bool: "allocateLoadBalancerNodePorts"] = newValue } }
  public var loadBalancerClass: String? { get { json[string: "loadBalancerClass"] } set { json[string: "loadBalancerClass"] = newValue } }
  /// Cluster or Local: whether traffic from inside stays on its node.
  public var internalTrafficPolicy: String? { get { json[string: "internalTrafficPolicy"] } set { json[string: "internalTrafficPolicy"] = newValue } }
  public var trafficDistribution: String? { get { json[string: "trafficDistribution"] } set { json[string: "trafficDistribution"] = newValue } }
}

/// ServiceStatus is the current state of a service.
public struct ServiceStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var loadBalancer: LoadBalancerStatus? { get { json[optionalView: "loadBalancer"] } _modify { yield &json[optionalView: "loadBalancer"] } }
  public var conditions: [Condition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}

public struct SessionAffinityConfig: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var clientIP: ClientIPConfig? { get { json[optionalView: "clientIP"] } _modify { yield &json[optionalView: "clientIP"] } }
}

public struct SleepAction: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var seconds: Int64? { get { json[int: "seconds"] } set { json[int: "seconds"] = newValue } }
}

public struct StorageOSPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeName: String? { get { json[string: "volumeName"] } set { json[string: "volumeName"] = newValue } }
  public var volumeNamespace: String? { get { json[string: "volumeNamespace"] } set { json[string: "volumeNamespace"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretRef: ObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

public struct StorageOSVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeName: String? { get { json[string: "volumeName"] } set { json[string: "volumeName"] = newValue } }
  public var volumeNamespace: String? { get { json[string: "volumeNamespace"] } set { json[string: "volumeNamespace"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

public struct Sysctl: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
}

/// TCPSocketAction opens a TCP connection.
public struct TCPSocketAction: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Port, by number or name.
  public var port: IntOrString? { get { json[intOrString: "port"] } set { json[intOrString: "port"] = newValue } }
  /// Host to connect to; the pod's address unless told.
  public var host: String? { get { json[string: "host"] } set { json[string: "host"] = newValue } }
}

/// Taint keeps pods away from a node that do not tolerate it.
public struct Taint: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Key of the taint.
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  /// Value of the taint.
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
  /// NoSchedule, PreferNoSchedule or NoExecute.
  public var effect: String? { get { json[string: "effect"] } set { json[string: "effect"] = newValue } }
  public var timeAdded: String? { get { json[string: "timeAdded"] } set { json[string: "timeAdded"] = newValue } }
}

/// Toleration lets a pod run on nodes with a matching taint.
public struct Toleration: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Key of the taint; empty with Exists matches all.
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  /// Equal or Exists.
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  /// Value of the taint, for Equal.
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
  /// Effect of the taint; empty matches all.
  public var effect: String? { get { json[string: "effect"] } set { json[string: "effect"] = newValue } }
  /// Seconds a NoExecute taint is accepted.
  public var tolerationSeconds: Int64? { get { json[int: "tolerationSeconds"] } set { json[int: "tolerationSeconds"] = newValue } }
}

public struct TopologySelectorLabelRequirement: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var values: [String] { get { json[strings: "values", keepsEmpty: true] } set { json[strings: "values", keepsEmpty: true] = newValue } }
}

public struct TopologySelectorTerm: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var matchLabelExpressions: [TopologySelectorLabelRequirement] { get { json[views: "matchLabelExpressions"] } set { json[views: "matchLabelExpressions"] = newValue } }
}

/// TopologySpreadConstraint spreads matching pods over zones, nodes and the like.
public struct TopologySpreadConstraint: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var maxSkew: Int64? { get { json[int: "maxSkew"] } set { json[int: "maxSkew"] = newValue } }
  public var topologyKey: String? { get { json[string: "topologyKey"] } set { json[string: "topologyKey"] = newValue } }
  public var whenUnsatisfiable: String? { get { json[string: "whenUnsatisfiable"] } set { json[string: "whenUnsatisfiable"] = newValue } }
  public var labelSelector: LabelSelector? { get { json[optionalView: "labelSelector"] } _modify { yield &json[optionalView: "labelSelector"] } }
  public var minDomains: Int64? { get { json[int: "minDomains"] } set { json[int: "minDomains"] = newValue } }
  public var nodeAffinityPolicy: String? { get { json[string: "nodeAffinityPolicy"] } set { json[string: "nodeAffinityPolicy"] = newValue } }
  public var nodeTaintsPolicy: String? { get { json[string: "nodeTaintsPolicy"] } set { json[string: "nodeTaintsPolicy"] = newValue } }
  public var matchLabelKeys: [String] { get { json[strings: "matchLabelKeys"] } set { json[strings: "matchLabelKeys"] = newValue } }
}

public struct TypedLocalObjectReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// API group of the kind that is named.
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}

public struct TypedObjectReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// API group of the kind that is named.
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Namespace of the object that is named.
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
}

/// Volume is a folder that containers of the pod can mount.
public struct Volume: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name of the volume, unique in the pod.
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var hostPath: HostPathVolumeSource? { get { json[optionalView: "hostPath"] } _modify { yield &json[optionalView: "hostPath"] } }
  public var emptyDir: EmptyDirVolumeSource? { get { json[optionalView: "emptyDir"] } _modify { yield &json[optionalView: "emptyDir"] } }
  public var gcePersistentDisk: GCEPersistentDiskVolumeSource? { get { json[optionalView: "gcePersistentDisk"] } _modify { yield &json[optionalView: "gcePersistentDisk"] } }
  public var awsElasticBlockStore: AWSElasticBlockStoreVolumeSource? { get { json[optionalView: "awsElasticBlockStore"] } _modify { yield &json[optionalView: "awsElasticBlockStore"] } }
  public var gitRepo: GitRepoVolumeSource? { get { json[optionalView: "gitRepo"] } _modify { yield &json[optionalView: "gitRepo"] } }
  public var secret: SecretVolumeSource? { get { json[optionalView: "secret"] } _modify { yield &json[optionalView: "secret"] } }
  /// A folder of an NFS server.
  public var nfs: NFSVolumeSource? { get { json[optionalView: "nfs"] } _modify { yield &json[optionalView: "nfs"] } }
  public var iscsi: ISCSIVolumeSource? { get { json[optionalView: "iscsi"] } _modify { yield &json[optionalView: "iscsi"] } }
  public var glusterfs: GlusterfsVolumeSource? { get { json[optionalView: "glusterfs"] } _modify { yield &json[optionalView: "glusterfs"] } }
  /// The volume of a claim in the same namespace.
  public var persistentVolumeClaim: PersistentVolumeClaimVolumeSource? { get { json[optionalView: "persistentVolumeClaim"] } _modify { yield &json[optionalView: "persistentVolumeClaim"] } }
  public var rbd: RBDVolumeSource? { get { json[optionalView: "rbd"] } _modify { yield &json[optionalView: "rbd"] } }
  public var flexVolume: FlexVolumeSource? { get { json[optionalView: "flexVolume"] } _modify { yield &json[optionalView: "flexVolume"] } }
  public var cinder: CinderVolumeSource? { get { json[optionalView: "cinder"] } _modify { yield &json[optionalView: "cinder"] } }
  public var cephfs: CephFSVolumeSource? { get { json[optionalView: "cephfs"] } _modify { yield &json[optionalView: "cephfs"] } }
  public var flocker: FlockerVolumeSource? { get { json[optionalView: "flocker"] } _modify { yield &json[optionalView: "flocker"] } }
  public var downwardAPI: DownwardAPIVolumeSource? { get { json[optionalView: "downwardAPI"] } _modify { yield &json[optionalView: "downwardAPI"] } }
  public var fc: FCVolumeSource? { get { json[optionalView: "fc"] } _modify { yield &json[optionalView: "fc"] } }
  public var azureFile: AzureFileVolumeSource? { get { json[optionalView: "azureFile"] } _modify { yield &json[optionalView: "azureFile"] } }
  public var configMap: ConfigMapVolumeSource? { get { json[optionalView: "configMap"] } _modify { yield &json[optionalView: "configMap"] } }
  public var vsphereVolume: VsphereVirtualDiskVolumeSource? { get { json[optionalView: "vsphereVolume"] } _modify { yield &json[optionalView: "vsphereVolume"] } }
  public var quobyte: QuobyteVolumeSource? { get { json[optionalView: "quobyte"] } _modify { yield &json[optionalView: "quobyte"] } }
  public var azureDisk: AzureDiskVolumeSource? { get { json[optionalView: "azureDisk"] } _modify { yield &json[optionalView: "azureDisk"] } }
  public var photonPersistentDisk: PhotonPersistentDiskVolumeSource? { get { json[optionalView: "photonPersistentDisk"] } _modify { yield &json[optionalView: "photonPersistentDisk"] } }
  public var projected: ProjectedVolumeSource? { get { json[optionalView: "projected"] } _modify { yield &json[optionalView: "projected"] } }
  public var portworxVolume: PortworxVolumeSource? { get { json[optionalView: "portworxVolume"] } _modify { yield &json[optionalView: "portworxVolume"] } }
  public var scaleIO: ScaleIOVolumeSource? { get { json[optionalView: "scaleIO"] } _modify { yield &json[optionalView: "scaleIO"] } }
  public var storageos: StorageOSVolumeSource? { get { json[optionalView: "storageos"] } _modify { yield &json[optionalView: "storageos"] } }
  /// Storage of a driver.
  public var csi: CSIVolumeSource? { get { json[optionalView: "csi"] } _modify { yield &json[optionalView: "csi"] } }
  /// A claim that lives as long as the pod.
  public var ephemeral: EphemeralVolumeSource? { get { json[optionalView: "ephemeral"] } _modify { yield &json[optionalView: "ephemeral"] } }
  /// The contents of an image.
  public var image: ImageVolumeSource? { get { json[optionalView: "image"] } _modify { yield &json[optionalView: "image"] } }
}

public struct VolumeDevice: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var devicePath: String? { get { json[string: "devicePath"] } set { json[string: "devicePath"] = newValue } }
}

public struct VolumeHealthCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct VolumeHealthStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var healthConditions: [VolumeHealthCondition] { get { json[views: "healthConditions"] } set { json[views: "healthConditions"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
}

/// VolumeMount puts a volume at a path of a container.
public struct VolumeMount: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Name of the volume.
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  /// Whether the volume cannot be written here.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var recursiveReadOnly: String? { get { json[string: "recursiveReadOnly"] } set { json[string: "recursiveReadOnly"] = newValue } }
  /// Where the volume appears in the container.
  public var mountPath: String? { get { json[string: "mountPath"] } set { json[string: "mountPath"] = newValue } }
  /// Folder or file of the volume that is mounted, instead of its root.
  public var subPath: String? { get { json[string: "subPath"] } set { json[string: "subPath"] = newValue } }
  /// Whether mounts pass between node and container.
  public var mountPropagation: String? { get { json[string: "mountPropagation"] } set { json[string: "mountPropagation"] = newValue } }
  /// Like subPath, with $(NAME) for environment variables.
  public var subPathExpr: String? { get { json[string: "subPathExpr"] } set { json[string: "subPathExpr"] = newValue } }
  public var bindMountOptions: [String] { get { json[strings: "bindMountOptions"] } set { json[strings: "bindMountOptions"] = newValue } }
}

public struct VolumeMountStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var mountPath: String? { get { json[string: "mountPath"] } set { json[string: "mountPath"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var recursiveReadOnly: String? { get { json[string: "recursiveReadOnly"] } set { json[string: "recursiveReadOnly"] = newValue } }
  public var volumeStatus: VolumeStatus? { get { json[optionalView: "volumeStatus"] } _modify { yield &json[optionalView: "volumeStatus"] } }
}

public struct VolumeNodeAffinity: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var required: NodeSelector? { get { json[optionalView: "required"] } _modify { yield &json[optionalView: "required"] } }
}

public struct VolumeProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var secret: SecretProjection? { get { json[optionalView: "secret"] } _modify { yield &json[optionalView: "secret"] } }
  public var downwardAPI: DownwardAPIProjection? { get { json[optionalView: "downwardAPI"] } _modify { yield &json[optionalView: "downwardAPI"] } }
  public var configMap: ConfigMapProjection? { get { json[optionalView: "configMap"] } _modify { yield &json[optionalView: "configMap"] } }
  public var serviceAccountToken: ServiceAccountTokenProjection? { get { json[optionalView: "serviceAccountToken"] } _modify { yield &json[optionalView: "serviceAccountToken"] } }
  public var clusterTrustBundle: ClusterTrustBundleProjection? { get { json[optionalView: "clusterTrustBundle"] } _modify { yield &json[optionalView: "clusterTrustBundle"] } }
  public var podCertificate: PodCertificateProjection? { get { json[optionalView: "podCertificate"] } _modify { yield &json[optionalView: "podCertificate"] } }
}

public struct VolumeResourceRequirements: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var limits: [String: Quantity] { get { json[quantities: "limits"] } set { json[quantities: "limits"] = newValue } }
  public var requests: [String: Quantity] { get { json[quantities: "requests"] } set { json[quantities: "requests"] = newValue } }
}

public struct VolumeStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var image: ImageVolumeStatus? { get { json[optionalView: "image"] } _modify { yield &json[optionalView: "image"] } }
}

public struct VsphereVirtualDiskVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumePath: String? { get { json[string: "volumePath"] } set { json[string: "volumePath"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var storagePolicyName: String? { get { json[string: "storagePolicyName"] } set { json[string: "storagePolicyName"] = newValue } }
  public var storagePolicyID: String? { get { json[string: "storagePolicyID"] } set { json[string: "storagePolicyID"] = newValue } }
}

public struct WeightedPodAffinityTerm: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var weight: Int64? { get { json[int: "weight"] } set { json[int: "weight"] = newValue } }
  public var podAffinityTerm: PodAffinityTerm { get { json[view: "podAffinityTerm"] } _modify { yield &json[view: "podAffinityTerm"] } }
}

public struct WindowsSecurityContextOptions: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var gmsaCredentialSpecName: String? { get { json[string: "gmsaCredentialSpecName"] } set { json[string: "gmsaCredentialSpecName"] = newValue } }
  public var gmsaCredentialSpec: String? { get { json[string: "gmsaCredentialSpec"] } set { json[string: "gmsaCredentialSpec"] = newValue } }
  public var runAsUserName: String? { get { json[string: "runAsUserName"] } set { json[string: "runAsUserName"] = newValue } }
  public var hostProcess: Bool? { get { json[bool: "hostProcess"] } set { json[bool: "hostProcess"] = newValue } }
}
