// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Schema
public import Wire

public struct PriorityClass: KubeKind {
  public static let resource = GroupVersionResource(group: "scheduling.k8s.io", version: "v1", resource: "priorityclasses")
  public static let isNamespaced = false
  public static let kind = "PriorityClass"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var value: Int64? { get { json[int: "value"] } set { json[int: "value"] = newValue } }
  public var globalDefault: Bool? { get { json[bool: "globalDefault"] } set { json[bool: "globalDefault"] = newValue } }
  public var description: String? { get { json[string: "description"] } set { json[string: "description"] = newValue } }
  public var preemptionPolicy: String? { get { json[string: "preemptionPolicy"] } set { json[string: "preemptionPolicy"] = newValue } }
}
