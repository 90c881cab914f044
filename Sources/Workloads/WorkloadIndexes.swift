import ControllerKit
import KubeTypes
import Wire

extension InformerIndex {
  /// Pods by the node that they are on.
  static let node = InformerIndex("node") { pod in
    guard let node = JSON.scalar(at: ["spec", "nodeName"], of: pod.bytes), !node.isEmpty else { return [] }
    return [node]
  }

  /// Nodes by the status of their condition `Ready`.
  static let readiness = InformerIndex("readiness") { node in
    let conditions = JSON.value(at: ["status", "conditions"], of: node.bytes)?.array ?? []
    return (conditions.first { $0["type"]?.string == "Ready" }?["status"]?.string).map { [$0] } ?? []
  }

  /// What has pods or ReplicaSets of its own, by a label value that they must have: only that can adopt an object of the
  /// namespace that has the label. One whose selector requires no single value is under the namespace alone.
  ///
  /// `spec.selector` is a `LabelSelector`, or a map of labels.
  static let selector = InformerIndex("selector") { owner in
    let selector = JSON.value(at: ["spec", "selector"], of: owner.bytes)
    let isMap = selector?["matchLabels"] == nil && selector?["matchExpressions"] == nil
    let labels = (isMap ? selector : selector?["matchLabels"])?.object?.members ?? []
    let pair = labels.compactMap { key, value in value.string.map { (key, $0) } }.min { $0 < $1 }
    return [selectorValue(namespace: owner.header.namespace, pair)]
  }

  /// What no name contains is between the parts.
  private static func selectorValue(namespace: String, _ pair: (String, String)?) -> String {
    pair.map { "\(namespace)\n\($0.0)=\($0.1)" } ?? namespace
  }

  /// The values of `selector` under which all stand that can select an object.
  static func selectorValues(for object: ObjectHeader) -> [String] {
    [selectorValue(namespace: object.namespace, nil)]
      + object.labels.map { selectorValue(namespace: object.namespace, ($0.key, $0.value)) }
  }
}

extension Informer {
  /// The objects whose selector can match; `InformerIndex.selector` has to be theirs.
  func owners(selecting object: ObjectHeader) -> [Object] {
    InformerIndex.selectorValues(for: object).flatMap { list(by: .selector, $0) }
  }
}
