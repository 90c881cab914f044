// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// StorageClass describes a way to make volumes.
public struct StorageClass: KubeKind {
  public static let resource = GroupVersionResource(group: "storage.k8s.io", version: "v1", resource: "storageclasses")
  public static let isNamespaced = false
  public static let kind = "StorageClass"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// Driver that makes the volumes.
  public var provisioner: String? { get { json[string: "provisioner"] } set { json[string: "provisioner"] = newValue } }
  /// Parameters of the driver.
  public var parameters: [String: String] { get { json[stringMap: "parameters"] } set { json[stringMap: "parameters"] = newValue } }
  /// Delete or Retain: what happens to a volume when its claim goes.
  public var reclaimPolicy: String? { get { json[string: "reclaimPolicy"] } set { json[string: "reclaimPolicy"] = newValue } }
  public var mountOptions: [String] { get { json[strings: "mountOptions"] } set { json[strings: "mountOptions"] = newValue } }
  public var allowVolumeExpansion: Bool? { get { json[bool: "allowVolumeExpansion"] } set { json[bool: "allowVolumeExpansion"] = newValue } }
  /// Immediate, or WaitForFirstConsumer to choose the volume with the pod's node.
  public var volumeBindingMode: String? { get { json[string: "volumeBindingMode"] } set { json[string: "volumeBindingMode"] = newValue } }
  public var allowedTopologies: [TopologySelectorTerm] { get { json[views: "allowedTopologies"] } set { json[views: "allowedTopologies"] = newValue } }
}
