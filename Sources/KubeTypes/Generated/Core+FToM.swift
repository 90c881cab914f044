// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Wire

public struct FCVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var targetWWNs: [String] { get { json[strings: "targetWWNs"] } set { json[strings: "targetWWNs"] = newValue } }
  public var lun: Int64? { get { json[int: "lun"] } set { json[int: "lun"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var wwids: [String] { get { json[strings: "wwids"] } set { json[strings: "wwids"] = newValue } }
}

public struct FileKeySelector: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var volumeName: String? { get { json[string: "volumeName"] } set { json[string: "volumeName"] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  /// Whether a missing object or key is no error.
  public var optional: Bool? { get { json[bool: "optional"] } set { json[bool: "optional"] = newValue } }
}

public struct FlexPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var driver: String? { get { json[string: "driver"] } set { json[string: "driver"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var secretRef: SecretReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var options: [String: String] { get { json[stringMap: "options"] } set { json[stringMap: "options"] = newValue } }
}

public struct FlexVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var driver: String? { get { json[string: "driver"] } set { json[string: "driver"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var options: [String: String] { get { json[stringMap: "options"] } set { json[stringMap: "options"] = newValue } }
}

public struct FlockerVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var datasetName: String? { get { json[string: "datasetName"] } set { json[string: "datasetName"] = newValue } }
  public var datasetUUID: String? { get { json[string: "datasetUUID"] } set { json[string: "datasetUUID"] = newValue } }
}

public struct GCEPersistentDiskVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var pdName: String? { get { json[string: "pdName"] } set { json[string: "pdName"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  public var partition: Int64? { get { json[int: "partition"] } set { json[int: "partition"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

/// GRPCAction calls the gRPC health service.
public struct GRPCAction: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var port: Int64? { get { json[int: "port"] } set { json[int: "port"] = newValue } }
  public var service: String? { get { json[string: "service"] } set { json[string: "service"] = newValue } }
  public var mode: String? { get { json[string: "mode"] } set { json[string: "mode"] = newValue } }
}

public struct GitRepoVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var repository: String? { get { json[string: "repository"] } set { json[string: "repository"] = newValue } }
  public var revision: String? { get { json[string: "revision"] } set { json[string: "revision"] = newValue } }
  public var directory: String? { get { json[string: "directory"] } set { json[string: "directory"] = newValue } }
}

public struct GlusterfsPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var endpoints: String? { get { json[string: "endpoints"] } set { json[string: "endpoints"] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var endpointsNamespace: String? { get { json[string: "endpointsNamespace"] } set { json[string: "endpointsNamespace"] = newValue } }
}

public struct GlusterfsVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var endpoints: String? { get { json[string: "endpoints"] } set { json[string: "endpoints"] = newValue } }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
}

/// HTTPGetAction is an HTTP GET request.
public struct HTTPGetAction: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Path of the request.
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  /// Port, by number or name.
  public var port: IntOrString? { get { json[intOrString: "port"] } set { json[intOrString: "port"] = newValue } }
  /// Host to connect to; the pod's address unless told.
  public var host: String? { get { json[string: "host"] } set { json[string: "host"] = newValue } }
  /// HTTP or HTTPS.
  public var scheme: String? { get { json[string: "scheme"] } set { json[string: "scheme"] = newValue } }
  /// Headers of the request.
  public var httpHeaders: [HTTPHeader] { get { json[views: "httpHeaders"] } set { json[views: "httpHeaders"] = newValue } }
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
}

public struct HTTPHeader: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var value: String? { get { json[string: "value"] } set { json[string: "value"] = newValue } }
}

public struct HostAlias: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ip: String? { get { json[string: "ip"] } set { json[string: "ip"] = newValue } }
  public var hostnames: [String] { get { json[strings: "hostnames"] } set { json[strings: "hostnames"] = newValue } }
}

public struct HostIP: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ip: String? { get { json[string: "ip"] } set { json[string: "ip"] = newValue } }
}

/// HostPathVolumeSource is a file or folder of the node.
public struct HostPathVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Path on the node.
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  /// What must be at the path, such as DirectoryOrCreate.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
}

public struct ISCSIPersistentVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var targetPortal: String? { get { json[string: "targetPortal"] } set { json[string: "targetPortal"] = newValue } }
  public var iqn: String? { get { json[string: "iqn"] } set { json[string: "iqn"] = newValue } }
  public var lun: Int64? { get { json[int: "lun"] } set { json[int: "lun"] = newValue } }
  public var iscsiInterface: String? { get { json[string: "iscsiInterface"] } set { json[string: "iscsiInterface"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var portals: [String] { get { json[strings: "portals"] } set { json[strings: "portals"] = newValue } }
  public var chapAuthDiscovery: Bool? { get { json[bool: "chapAuthDiscovery"] } set { json[bool: "chapAuthDiscovery"] = newValue } }
  public var chapAuthSession: Bool? { get { json[bool: "chapAuthSession"] } set { json[bool: "chapAuthSession"] = newValue } }
  public var secretRef: SecretReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  public var initiatorName: String? { get { json[string: "initiatorName"] } set { json[string: "initiatorName"] = newValue } }
}

public struct ISCSIVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var targetPortal: String? { get { json[string: "targetPortal"] } set { json[string: "targetPortal"] = newValue } }
  public var iqn: String? { get { json[string: "iqn"] } set { json[string: "iqn"] = newValue } }
  public var lun: Int64? { get { json[int: "lun"] } set { json[int: "lun"] = newValue } }
  public var iscsiInterface: String? { get { json[string: "iscsiInterface"] } set { json[string: "iscsiInterface"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
  /// Whether it can only be read.
  public var readOnly: Bool? { get { json[bool: "readOnly"] } set { json[bool: "readOnly"] = newValue } }
  public var portals: [String] { get { json[strings: "portals"] } set { json[strings: "portals"] = newValue } }
  public var chapAuthDiscovery: Bool? { get { json[bool: "chapAuthDiscovery"] } set { json[bool: "chapAuthDiscovery"] = newValue } }
  public var chapAuthSession: Bool? { get { json[bool: "chapAuthSession"] } set { json[bool: "chapAuthSession"] = newValue } }
  public var secretRef: LocalObjectReference? { get { json[optionalView: "secretRef"] } _modify { yield &json[optionalView: "secretRef"] } }
  public var initiatorName: String? { get { json[string: "initiatorName"] } set { json[string: "initiatorName"] = newValue } }
}

public struct ImageVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var reference: String? { get { json[string: "reference"] } set { json[string: "reference"] = newValue } }
  public var pullPolicy: String? { get { json[string: "pullPolicy"] } set { json[string: "pullPolicy"] = newValue } }
}

public struct ImageVolumeStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var imageRef: String? { get { json[string: "imageRef"] } set { json[string: "imageRef"] = newValue } }
}

/// KeyToPath gives a key a file name.
public struct KeyToPath: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// The key.
  public var key: String? { get { json[string: "key"] } set { json[string: "key"] = newValue } }
  /// Path of the file in the volume.
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  /// Mode of the file.
  public var mode: Int64? { get { json[int: "mode"] } set { json[int: "mode"] = newValue } }
  public var user: Int64? { get { json[int: "user"] } set { json[int: "user"] = newValue } }
}

/// Lifecycle holds what to do when a container has started and before it stops.
public struct Lifecycle: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Done right after the start; a failure ends the container.
  public var postStart: LifecycleHandler? { get { json[optionalView: "postStart"] } _modify { yield &json[optionalView: "postStart"] } }
  /// Done before the container is asked to stop.
  public var preStop: LifecycleHandler? { get { json[optionalView: "preStop"] } _modify { yield &json[optionalView: "preStop"] } }
  public var stopSignal: String? { get { json[string: "stopSignal"] } set { json[string: "stopSignal"] = newValue } }
}

public struct LifecycleHandler: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var exec: ExecAction? { get { json[optionalView: "exec"] } _modify { yield &json[optionalView: "exec"] } }
  public var httpGet: HTTPGetAction? { get { json[optionalView: "httpGet"] } _modify { yield &json[optionalView: "httpGet"] } }
  public var tcpSocket: TCPSocketAction? { get { json[optionalView: "tcpSocket"] } _modify { yield &json[optionalView: "tcpSocket"] } }
  public var sleep: SleepAction? { get { json[optionalView: "sleep"] } _modify { yield &json[optionalView: "sleep"] } }
}

public struct LimitRangeItem: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var max: [String: Quantity] { get { json[quantities: "max"] } set { json[quantities: "max"] = newValue } }
  public var min: [String: Quantity] { get { json[quantities: "min"] } set { json[quantities: "min"] = newValue } }
  public var `default`: [String: Quantity] { get { json[quantities: "default"] } set { json[quantities: "default"] = newValue } }
  public var defaultRequest: [String: Quantity] { get { json[quantities: "defaultRequest"] } set { json[quantities: "defaultRequest"] = newValue } }
  public var maxLimitRequestRatio: [String: Quantity] { get { json[quantities: "maxLimitRequestRatio"] } set { json[quantities: "maxLimitRequestRatio"] = newValue } }
}

public struct LimitRangeSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var limits: [LimitRangeItem] { get { json[views: "limits", keepsEmpty: true] } set { json[views: "limits", keepsEmpty: true] = newValue } }
}

public struct LinuxContainerUser: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var uid: Int64? { get { json[int: "uid"] } set { json[int: "uid"] = newValue } }
  public var gid: Int64? { get { json[int: "gid"] } set { json[int: "gid"] = newValue } }
  public var supplementalGroups: [Int64] { get { json[ints: "supplementalGroups"] } set { json[ints: "supplementalGroups"] = newValue } }
}

public struct LoadBalancerIngress: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ip: String? { get { json[string: "ip"] } set { json[string: "ip"] = newValue } }
  public var hostname: String? { get { json[string: "hostname"] } set { json[string: "hostname"] = newValue } }
  public var ipMode: String? { get { json[string: "ipMode"] } set { json[string: "ipMode"] = newValue } }
  public var ports: [PortStatus] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
}

public struct LoadBalancerStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ingress: [LoadBalancerIngress] { get { json[views: "ingress"] } set { json[views: "ingress"] = newValue } }
}

/// LocalObjectReference names an object in the same namespace.
public struct LocalObjectReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}

public struct LocalVolumeSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  /// Type of the file system.
  public var fsType: String? { get { json[string: "fsType"] } set { json[string: "fsType"] = newValue } }
}

public struct ModifyVolumeStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var targetVolumeAttributesClassName: String? { get { json[string: "targetVolumeAttributesClassName"] } set { json[string: "targetVolumeAttributesClassName"] = newValue } }
  /// The last observed state.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
}
