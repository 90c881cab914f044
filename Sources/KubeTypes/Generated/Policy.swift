// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// PodDisruptionBudget limits how many pods of a set may be evicted at once.
public struct PodDisruptionBudget: KubeKind {
  public static let resource = GroupVersionResource(group: "policy", version: "v1", resource: "poddisruptionbudgets")
  public static let isNamespaced = true
  public static let kind = "PodDisruptionBudget"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted bounds.
  public var spec: PodDisruptionBudgetSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: PodDisruptionBudgetStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct PodDisruptionBudgetSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// How many pods must stay, as a number or percentage.
  public var minAvailable: IntOrString? { get { json[intOrString: "minAvailable"] } set { json[intOrString: "minAvailable"] = newValue } }
  /// Pods that the budget protects.
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  /// How many pods may be missing, as a number or percentage.
  public var maxUnavailable: IntOrString? { get { json[intOrString: "maxUnavailable"] } set { json[intOrString: "maxUnavailable"] = newValue } }
  public var unhealthyPodEvictionPolicy: String? { get { json[string: "unhealthyPodEvictionPolicy"] } set { json[string: "unhealthyPodEvictionPolicy"] = newValue } }
}

public struct PodDisruptionBudgetStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var disruptedPods: [String: String] { get { json[stringMap: "disruptedPods"] } set { json[stringMap: "disruptedPods"] = newValue } }
  public var disruptionsAllowed: Int64? { get { json[int: "disruptionsAllowed"] } set { json[int: "disruptionsAllowed"] = newValue } }
  public var currentHealthy: Int64? { get { json[int: "currentHealthy"] } set { json[int: "currentHealthy"] = newValue } }
  public var desiredHealthy: Int64? { get { json[int: "desiredHealthy"] } set { json[int: "desiredHealthy"] = newValue } }
  public var expectedPods: Int64? { get { json[int: "expectedPods"] } set { json[int: "expectedPods"] = newValue } }
  public var conditions: [Condition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}
