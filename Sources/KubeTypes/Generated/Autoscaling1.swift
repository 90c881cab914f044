// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// Scale is the wanted and the current number of replicas of a workload.
public struct Scale: KubeKind {
  public static let resource = GroupVersionResource(group: "autoscaling", version: "v1", resource: "scales")
  public static let isNamespaced = true
  public static let kind = "Scale"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: ScaleSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: ScaleStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct ScaleSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Number of pods.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
}

public struct ScaleStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Number of pods.
  public var replicas: Int64? { get { json[int: "replicas"] } set { json[int: "replicas"] = newValue } }
  public var selector: String? { get { json[string: "selector"] } set { json[string: "selector"] = newValue } }
}
