// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// PriorityClass gives a priority to pods that name it.
public struct PriorityClass: KubeKind {
  public static let resource = GroupVersionResource(group: "scheduling.k8s.io", version: "v1", resource: "priorityclasses")
  public static let isNamespaced = false
  public static let kind = "PriorityClass"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// Priority of the pods; the higher, the earlier.
  public var value: Int64? { get { json[int: "value"] } set { json[int: "value"] = newValue } }
  /// Whether pods without a class get this one.
  public var globalDefault: Bool? { get { json[bool: "globalDefault"] } set { json[bool: "globalDefault"] = newValue } }
  public var description: String? { get { json[string: "description"] } set { json[string: "description"] = newValue } }
  public var preemptionPolicy: String? { get { json[string: "preemptionPolicy"] } set { json[string: "preemptionPolicy"] = newValue } }
}
