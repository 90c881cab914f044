// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Wire

public struct QuobyteVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var registry: String? { get { json[string: "registry"] } set { json[string: "registry"] = newValue } }
  public var volume: String? { get { json[string: "volume"] } set { json[string: "volume"] = newValue } }
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
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var pool: String? { get { json[string: "pool"] } set { json[string: "pool"] = newValue } }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var keyring: String? { get { json[string: "keyring"] } set { json[string: "keyring"] = newValue } }
  public var secretRef: SecretReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct RBDVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var monitors: [String] { get { json[strings: "monitors", keepsEmpty: true] } set { json[strings: "monitors", keepsEmpty: true] = newValue } }
  public var image: String? { get { json[string: "image"] } set { json[string: "image"] = newValue } }
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var pool: String? { get { json[string: "pool"] } set { json[string: "pool"] = newValue } }
  public var user: String? { get { json[string: "user"] } set { json[string: "user"] = newValue } }
  public var keyring: String? { get { json[string: "keyring"] } set { json[string: "keyring"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

public struct ReplicationControllerCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct ReplicationControllerSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var minReadySeconds: Int64? { get { json[int: "minReadySeconds"] } set { json[int: "minReadySeconds"] = newValue } }
  public var selector: [String: String] { get { json[stringMap: "selector"] } set { json[stringMap: "selector"] = newValue } }
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
}

public struct ReplicationControllerStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var fullyLabeledReplicas: Int64? { get { json[int: "fullyLabeledReplicas"] } set { json[int: "fullyLabeledReplicas"] = newValue } }
  public var readyReplicas: Int64? { get { json[int: "readyReplicas"] } set { json[int: "readyReplicas"] = newValue } }
  public var availableReplicas: Int64? { get { json[int: "availableReplicas"] } set { json[int: "availableReplicas"] = newValue } }
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
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
  public var containerName: String? { get { json[string: "containerName"] } set { json[string: "containerName"] = newValue } }
  public var resource: String? { get { json[string: "resource"] } set { json[string: "resource"] = newValue } }
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

public struct ResourceRequirements: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var limits: [String: Quantity] { get { json[quantities: "limits"] } set { json[quantities: "limits"] = newValue } }
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
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
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
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
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

public struct SeccompProfile: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var localhostProfile: String? { get { json[string: "localhostProfile"] } set { json[string: "localhostProfile"] = newValue } }
}

public struct SecretEnvSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct SecretKeySelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct SecretProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var items: [KeyToPath] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct SecretReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
}

public struct SecretVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var secretName: String? { get { json[string: "secretName"] } set { json[string: "secretName"] = newValue } }
  public var items: [KeyToPath] { get { json[views: "items"] } set { json[views: "items"] = newValue } }
  public var defaultMode: Int64? { get { json[int: "defaultMode"] } set { json[int: "defaultMode"] = newValue } }
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
  public var defaultUser: Int64? { get { json[int: "defaultUser"] } set { json[int: "defaultUser"] = newValue } }
}

public struct SecurityContext: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var capabilities: Capabilities? { get { json[optionalView: "capabilities"] } _modify { yield &json[optionalView: "capabilities"] } }
  public var privileged: Bool? { get { json[bool: "privileged"] } set { json[bool: "privileged"] = newValue } }
  public var seLinuxOptions: SELinuxOptions? { get { json[optionalView: "seLinuxOptions"] } _modify { yield &json[optionalView: "seLinuxOptions"] } }
  public var windowsOptions: WindowsSecurityContextOptions? { get { json[optionalView: "windowsOptions"] } _modify { yield &json[optionalView: "windowsOptions"] } }
  public var runAsUser: Int64? { get { json[int: "runAsUser"] } set { json[int: "runAsUser"] = newValue } }
  public var runAsGroup: Int64? { get { json[int: "runAsGroup"] } set { json[int: "runAsGroup"] = newValue } }
  public var runAsNonRoot: Bool? { get { json[bool: "runAsNonRoot"] } set { json[bool: "runAsNonRoot"] = newValue } }
  public var readOnlyRootFilesystem: Bool? { get { json[bool: "readOnlyRootFilesystem"] } set { json[bool: "readOnlyRootFilesystem"] = newValue } }
  public var allowPrivilegeEscalation: Bool? { get { json[bool: "allowPrivilegeEscalation"] } set { json[bool: "allowPrivilegeEscalation"] = newValue } }
  public var procMount: String? { get { json[string: "procMount"] } set { json[string: "procMount"] = newValue } }
  public var seccompProfile: SeccompProfile? { get { json[optionalView: "seccompProfile"] } _modify { yield &json[optionalView: "seccompProfile"] } }
  public var appArmorProfile: AppArmorProfile? { get { json[optionalView: "appArmorProfile"] } _modify { yield &json[optionalView: "appArmorProfile"] } }
}

public struct ServiceAccountTokenProjection: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var audience: String? { get { json[string: "audience"] } set { json[string: "audience"] = newValue } }
  public var expirationSeconds: Int64? { get { json[int: "expirationSeconds"] } set { json[int: "expirationSeconds"] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var user: Int64? { get { json[int: "user"] } set { json[int: "user"] = newValue } }
}

public struct ServicePort: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
  public var appProtocol: String? { get { json[string: "appProtocol"] } set { json[string: "appProtocol"] = newValue } }
  public var port: Int64? { get { json[int: "port"] } set { json[int: "port"] = newValue } }
  public var targetPort: IntOrString? { get { json[intOrString: "targetPort"] } set { json[intOrString: "targetPort"] = newValue } }
  public var nodePort: Int64? { get { json[int: "nodePort"] } set { json[int: "nodePort"] = newValue } }
}

public struct ServiceSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ports: [ServicePort] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
  public var selector: [String: String] { get { json[stringMap: "selector"] } set { json[stringMap: "selector"] = newValue } }
  public var clusterIP: String? { get { json[string: "clusterIP"] } set { json[string: "clusterIP"] = newValue } }
  public var clusterIPs: [String] { get { json[strings: "clusterIPs"] } set { json[strings: "clusterIPs"] = newValue } }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var externalIPs: [String] { get { json[strings: "externalIPs"] } set { json[strings: "externalIPs"] = newValue } }
  public var sessionAffinity: String? { get { json[string: "sessionAffinity"] } set { json[string: "sessionAffinity"] = newValue } }
  public var loadBalancerIP: String? { get { json[string: "loadBalancerIP"] } set { json[string: "loadBalancerIP"] = newValue } }
  public var loadBalancerSourceRanges: [String] { get { json[strings: "loadBalancerSourceRanges"] } set { json[strings: "loadBalancerSourceRanges"] = newValue } }
  public var externalName: String? { get { json[string: "externalName"] } set { json[string: "externalName"] = newValue } }
  public var externalTrafficPolicy: String? { get { json[string: "externalTrafficPolicy"] } set { json[string: "externalTrafficPolicy"] = newValue } }
  public var healthCheckNodePort: Int64? { get { json[int: "healthCheckNodePort"] } set { json[int: "healthCheckNodePort"] = newValue } }
  public var publishNotReadyAddresses: Bool? { get { json[bool: "publishNotReadyAddresses"] } set { json[bool: "publishNotReadyAddresses"] = newValue } }
  public var sessionAffinityConfig: SessionAffinityConfig? { get { json[optionalView: "sessionAffinityConfig"] } _modify { yield &json[optionalView: "sessionAffinityConfig"] } }
  public var ipFamilies: [String] { get { json[strings: "ipFamilies"] } set { json[strings: "ipFamilies"] = newValue } }
  public var ipFamilyPolicy: String? { get { json[string: "ipFamilyPolicy"] } set { json[string: "ipFamilyPolicy"] = newValue } }
  public var allocateLoadBalancerNodePorts: Bool? { get { json[bool: "allocateLoadBalancerNodePorts"] } set { json[bool: "allocateLoadBalancerNodePorts"] = newValue } }
  public var loadBalancerClass: String? { get { json[string: "loadBalancerClass"] } set { json[string: "loadBalancerClass"] = newValue } }
  public var internalTrafficPolicy: String? { get { json[string: "internalTrafficPolicy"] } set { json[string: "internalTrafficPolicy"] = newValue } }
  public var trafficDistribution: String? { get { json[string: "trafficDistribution"] } set { json[string: "trafficDistribution"] = newValue } }
}

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
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretRef: ObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

public struct StorageOSVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeName: String? { get { json[string: "volumeName"] } set { json[string: "volumeName"] = newValue } }
  public var volumeNamespace: String? { get { json[string: "volumeNamespace"] } set { json[string: "volumeNamespace"] = newValue } }
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
}

public struct Sysctl: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
}

public struct TCPSocketAction: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var port: IntOrString? { get { json[intOrString: "port"] } set { json[intOrString: "port"] = newValue } }
  public var host: String? { get { json[string: "host"] } set { json[string: "host"] = newValue } }
}

public struct Taint: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
  public var effect: String? { get { json[string: "effect"] } set { json[string: "effect"] = newValue } }
  public var timeAdded: String? { get { json[string: "timeAdded"] } set { json[string: "timeAdded"] = newValue } }
}

public struct Toleration: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
  public var effect: String? { get { json[string: "effect"] } set { json[string: "effect"] = newValue } }
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
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}

public struct TypedObjectReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
}

public struct Volume: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var hostPath: HostPathVolumeSource? { get { json[optionalView: "hostPath"] } _modify { yield &json[optionalView: "hostPath"] } }
  public var emptyDir: EmptyDirVolumeSource? { get { json[optionalView: "emptyDir"] } _modify { yield &json[optionalView: "emptyDir"] } }
  public var gcePersistentDisk: GCEPersistentDiskVolumeSource? { get { json[optionalView: "gcePersistentDisk"] } _modify { yield &json[optionalView: "gcePersistentDisk"] } }
  public var awsElasticBlockStore: AWSElasticBlockStoreVolumeSource? { get { json[optionalView: "awsElasticBlockStore"] } _modify { yield &json[optionalView: "awsElasticBlockStore"] } }
  public var gitRepo: GitRepoVolumeSource? { get { json[optionalView: "gitRepo"] } _modify { yield &json[optionalView: "gitRepo"] } }
  public var secret: SecretVolumeSource? { get { json[optionalView: "secret"] } _modify { yield &json[optionalView: "secret"] } }
  public var nfs: NFSVolumeSource? { get { json[optionalView: "nfs"] } _modify { yield &json[optionalView: "nfs"] } }
  public var iscsi: ISCSIVolumeSource? { get { json[optionalView: "iscsi"] } _modify { yield &json[optionalView: "iscsi"] } }
  public var glusterfs: GlusterfsVolumeSource? { get { json[optionalView: "glusterfs"] } _modify { yield &json[optionalView: "glusterfs"] } }
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
  public var csi: CSIVolumeSource? { get { json[optionalView: "csi"] } _modify { yield &json[optionalView: "csi"] } }
  public var ephemeral: EphemeralVolumeSource? { get { json[optionalView: "ephemeral"] } _modify { yield &json[optionalView: "ephemeral"] } }
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
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

public struct VolumeHealthStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var healthConditions: [VolumeHealthCondition] { get { json[views: "healthConditions"] } set { json[views: "healthConditions"] = newValue } }
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
}

public struct VolumeMount: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var recursiveReadOnly: String? { get { json[string: "recursiveReadOnly"] } set { json[string: "recursiveReadOnly"] = newValue } }
  public var mountPath: String? { get { json[string: "mountPath"] } set { json[string: "mountPath"] = newValue } }
  public var subPath: String? { get { json[string: "subPath"] } set { json[string: "subPath"] = newValue } }
  public var mountPropagation: String? { get { json[string: "mountPropagation"] } set { json[string: "mountPropagation"] = newValue } }
  public var subPathExpr: String? { get { json[string: "subPathExpr"] } set { json[string: "subPathExpr"] = newValue } }
  public var bindMountOptions: [String] { get { json[strings: "bindMountOptions"] } set { json[strings: "bindMountOptions"] = newValue } }
}

public struct VolumeMountStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var mountPath: String? { get { json[string: "mountPath"] } set { json[string: "mountPath"] = newValue } }
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
