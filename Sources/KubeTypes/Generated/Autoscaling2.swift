// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

public struct ContainerResourceMetricSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var target: MetricTarget { get { json[view: "target"] } _modify { yield &json[view: "target"] } }
  public var container: String? { get { json[string: "container"] } set { json[string: "container"] = newValue } }
}

public struct ContainerResourceMetricStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var current: MetricValueStatus { get { json[view: "current"] } _modify { yield &json[view: "current"] } }
  public var container: String? { get { json[string: "container"] } set { json[string: "container"] = newValue } }
}

public struct CrossVersionObjectReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var apiVersion: String? { get { json[string: "apiVersion"] } set { json[string: "apiVersion"] = newValue } }
}

public struct ExternalMetricSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metric: MetricIdentifier { get { json[view: "metric"] } _modify { yield &json[view: "metric"] } }
  public var target: MetricTarget { get { json[view: "target"] } _modify { yield &json[view: "target"] } }
}

public struct ExternalMetricStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metric: MetricIdentifier { get { json[view: "metric"] } _modify { yield &json[view: "metric"] } }
  public var current: MetricValueStatus { get { json[view: "current"] } _modify { yield &json[view: "current"] } }
}

public struct HPAScalingPolicy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var value: Int64? { get { json[int: "value"] } set { json[int: "value"] = newValue } }
  public var periodSeconds: Int64? { get { json[int: "periodSeconds"] } set { json[int: "periodSeconds"] = newValue } }
}

public struct HPAScalingRules: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var stabilizationWindowSeconds: Int64? { get { json[int: "stabilizationWindowSeconds"] } set { json[int: "stabilizationWindowSeconds"] = newValue } }
  public var selectPolicy: String? { get { json[string: "selectPolicy"] } set { json[string: "selectPolicy"] = newValue } }
  public var policies: [HPAScalingPolicy] { get { json[views: "policies"] } set { json[views: "policies"] = newValue } }
  public var tolerance: Quantity? { get { json[quantity: "tolerance"] } set { json[quantity: "tolerance"] = newValue } }
}

/// HorizontalPodAutoscaler changes the number of pods of a workload by what it measures.
public struct HorizontalPodAutoscaler: KubeKind {
  public static let resource = GroupVersionResource(group: "autoscaling", version: "v2", resource: "horizontalpodautoscalers")
  public static let isNamespaced = true
  public static let kind = "HorizontalPodAutoscaler"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: HorizontalPodAutoscalerSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: HorizontalPodAutoscalerStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct HorizontalPodAutoscalerBehavior: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var scaleUp: HPAScalingRules? { get { json[optionalView: "scaleUp"] } _modify { yield &json[optionalView: "scaleUp"] } }
  public var scaleDown: HPAScalingRules? { get { json[optionalView: "scaleDown"] } _modify { yield &json[optionalView: "scaleDown"] } }
}

public struct HorizontalPodAutoscalerCondition: KubeValue {
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
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
}

public struct HorizontalPodAutoscalerSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// The workload to scale.
  public var scaleTargetRef: CrossVersionObjectReference { get { json[view: "scaleTargetRef"] } _modify { yield &json[view: "scaleTargetRef"] } }
  /// Least number of pods; 1 unless told.
  public var minReplicas: Int64? { get { json[int: "minReplicas"] } set { json[int: "minReplicas"] = newValue } }
  /// Greatest number of pods.
  public var maxReplicas: Int64? { get { json[int: "maxReplicas"] } set { json[int: "maxReplicas"] = newValue } }
  public var metrics: [MetricSpec] { get { json[views: "metrics"] } set { json[views: "metrics"] = newValue } }
  public var behavior: HorizontalPodAutoscalerBehavior? { get { json[optionalView: "behavior"] } _modify { yield &json[optionalView: "behavior"] } }
}

public struct HorizontalPodAutoscalerStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Generation that the controller has seen.
  public var observedGeneration: Int64? { get { json[int: "observedGeneration"] } set { json[int: "observedGeneration"] = newValue } }
  public var lastScaleTime: String? { get { json[string: "lastScaleTime"] } set { json[string: "lastScaleTime"] = newValue } }
  public var currentReplicas: Int64? { get { json[int: "currentReplicas"] } set { json[int: "currentReplicas"] = newValue } }
  public var desiredReplicas: Int64? { get { json[int: "desiredReplicas"] } set { json[int: "desiredReplicas"] = newValue } }
  public var currentMetrics: [MetricStatus] { get { json[views: "currentMetrics", keepsEmpty: true] } set { json[views: "currentMetrics", keepsEmpty: true] = newValue } }
  /// Aspects of the current state.
  public var conditions: [HorizontalPodAutoscalerCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
}

public struct MetricIdentifier: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
}

public struct MetricSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var object: ObjectMetricSource? { get { json[optionalView: "object"] } _modify { yield &json[optionalView: "object"] } }
  public var pods: PodsMetricSource? { get { json[optionalView: "pods"] } _modify { yield &json[optionalView: "pods"] } }
  public var resource: ResourceMetricSource? { get { json[optionalView: "resource"] } _modify { yield &json[optionalView: "resource"] } }
  public var containerResource: ContainerResourceMetricSource? { get { json[optionalView: "containerResource"] } _modify { yield &json[optionalView: "containerResource"] } }
  public var external: ExternalMetricSource? { get { json[optionalView: "external"] } _modify { yield &json[optionalView: "external"] } }
}

public struct MetricStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var object: ObjectMetricStatus? { get { json[optionalView: "object"] } _modify { yield &json[optionalView: "object"] } }
  public var pods: PodsMetricStatus? { get { json[optionalView: "pods"] } _modify { yield &json[optionalView: "pods"] } }
  public var resource: ResourceMetricStatus? { get { json[optionalView: "resource"] } _modify { yield &json[optionalView: "resource"] } }
  public var containerResource: ContainerResourceMetricStatus? { get { json[optionalView: "containerResource"] } _modify { yield &json[optionalView: "containerResource"] } }
  public var external: ExternalMetricStatus? { get { json[optionalView: "external"] } _modify { yield &json[optionalView: "external"] } }
}

public struct MetricTarget: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  public var value: Quantity? { get { json[quantity: "value"] } set { json[quantity: "value"] = newValue } }
  public var averageValue: Quantity? { get { json[quantity: "averageValue"] } set { json[quantity: "averageValue"] = newValue } }
  public var averageUtilization: Int64? { get { json[int: "averageUtilization"] } set { json[int: "averageUtilization"] = newValue } }
}

public struct MetricValueStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var value: Quantity? { get { json[quantity: "value"] } set { json[quantity: "value"] = newValue } }
  public var averageValue: Quantity? { get { json[quantity: "averageValue"] } set { json[quantity: "averageValue"] = newValue } }
  public var averageUtilization: Int64? { get { json[int: "averageUtilization"] } set { json[int: "averageUtilization"] = newValue } }
}

public struct ObjectMetricSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var describedObject: CrossVersionObjectReference { get { json[view: "describedObject"] } _modify { yield &json[view: "describedObject"] } }
  public var target: MetricTarget { get { json[view: "target"] } _modify { yield &json[view: "target"] } }
  public var metric: MetricIdentifier { get { json[view: "metric"] } _modify { yield &json[view: "metric"] } }
}

public struct ObjectMetricStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metric: MetricIdentifier { get { json[view: "metric"] } _modify { yield &json[view: "metric"] } }
  public var current: MetricValueStatus { get { json[view: "current"] } _modify { yield &json[view: "current"] } }
  public var describedObject: CrossVersionObjectReference { get { json[view: "describedObject"] } _modify { yield &json[view: "describedObject"] } }
}

public struct PodsMetricSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metric: MetricIdentifier { get { json[view: "metric"] } _modify { yield &json[view: "metric"] } }
  public var target: MetricTarget { get { json[view: "target"] } _modify { yield &json[view: "target"] } }
}

public struct PodsMetricStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metric: MetricIdentifier { get { json[view: "metric"] } _modify { yield &json[view: "metric"] } }
  public var current: MetricValueStatus { get { json[view: "current"] } _modify { yield &json[view: "current"] } }
}

public struct ResourceMetricSource: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var target: MetricTarget { get { json[view: "target"] } _modify { yield &json[view: "target"] } }
}

public struct ResourceMetricStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var current: MetricValueStatus { get { json[view: "current"] } _modify { yield &json[view: "current"] } }
}
