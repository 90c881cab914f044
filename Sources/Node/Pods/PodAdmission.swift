import KubeTypes
import Schema
import Wire

/// Whether a pod that was bound to this node has room here, as kubelet's admission asks
/// (`pkg/kubelet/lifecycle/predicate.go`). The scheduler has seen to it; a pod that names its node itself did not ask
/// it. Pure.
struct PodAdmission: Sendable {
  /// Why a pod fails at once.
  struct Rejection: Sendable, Equatable {
    /// `OutOfcpu`, `OutOfmemory`, `OutOfpods`, …
    var reason: String
    var message: String
  }

  private struct Admitted {
    var key: ObjectKey
    var requests: [String: Quantity]
  }

  private let capacity: [String: Quantity]
  /// By uid.
  private var admitted: [String: Admitted] = [:]

  init(capacity: [String: Quantity]) { self.capacity = capacity }

  /// - Parameter isCurrent: whether the API still has the pod of that key and uid; one that it deleted holds nothing.
  /// - Returns: `nil` when there is room, or the pod need not be asked: it ran here before, or has ended.
  func check(_ pod: Pod, isCurrent: (ObjectKey, String) -> Bool) -> Rejection? {
    let status = pod.json["status"]
    if Self.hasEnded(pod) || pod.metadata.deletionTimestamp != nil || status?["startTime"]?.string != nil { return nil }
    if let rejection = Self.wrongSystem(pod) { return rejection }
    let others = admitted.filter { $0.key != pod.metadata.uid && isCurrent($0.value.key, $0.key) }
    for (name, requested) in Self.requests(of: pod.spec).sorted(by: { $0.key < $1.key }) where requested > .zero {
      // What the node does not have at all is not its to refuse (kubelet's removeMissingExtendedResources).
      guard let capacity = capacity[name] else { continue }
      let used = others.values.reduce(Quantity.zero) { $0 + ($1.requests[name] ?? .zero) }
      if used + requested > capacity {
        func amount(_ quantity: Quantity) -> Int64 { name == "cpu" ? quantity.milliValue : quantity.value }
        return Rejection(
          reason: "OutOf\(name)",
          message: "Node didn't have enough resource: \(name), requested: \(amount(requested)), used: \(amount(used)), "
            + "capacity: \(amount(capacity))")
      }
    }
    return nil
  }

  /// Pods for another operating system than this one.
  private static func wrongSystem(_ pod: Pod) -> Rejection? {
    if let selected = pod.spec.nodeSelector["kubernetes.io/os"], selected != "linux" {
      return Rejection(
        reason: "PodOSSelectorNodeLabelDoesNotMatch",
        message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label")
    }
    guard let system = pod.spec.os?.name, !system.isEmpty, system != "linux" else { return nil }
    return Rejection(
      reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS")
  }

  mutating func add(_ pod: Pod) {
    guard let uid = pod.metadata.uid, !Self.hasEnded(pod) else { return }
    admitted[uid] = Admitted(
      key: ObjectKey(namespace: pod.metadata.namespace ?? "", name: pod.metadata.name ?? ""),
      requests: Self.requests(of: pod.spec))
  }

  /// The pod changed: it may have ended, or have been resized.
  mutating func update(_ pod: Pod) {
    guard let uid = pod.metadata.uid, admitted[uid] != nil else { return }
    remove(uid)
    add(pod)
  }

  mutating func remove(_ uid: String) { admitted[uid] = nil }

  private static func hasEnded(_ pod: Pod) -> Bool {
    let phase = pod.json.at("status", "phase")?.string
    return phase == "Succeeded" || phase == "Failed"
  }

  /// What a pod takes, itself included (`pods`): the larger of what its containers need together and what its init
  /// containers need one after the other, each beside the sidecars before it, plus the overhead (KEP-753). Pod-level
  /// requests stand in for the sum (KEP-2837).
  static func requests(of spec: PodSpec) -> [String: Quantity] {
    func sum(_ a: [String: Quantity], _ b: [String: Quantity]) -> [String: Quantity] { a.merging(b) { $0 + $1 } }
    var running: [String: Quantity] = [:]
    for container in spec.containers { running = sum(running, container.resources?.requests ?? [:]) }
    var sidecars: [String: Quantity] = [:]
    var peak: [String: Quantity] = [:]
    for container in spec.initContainers {
      let requests = container.resources?.requests ?? [:]
      if container.restartPolicy == "Always" {
        running = sum(running, requests)
        sidecars = sum(sidecars, requests)
      } else {
        peak.merge(sum(sidecars, requests)) { max($0, $1) }
      }
    }
    running.merge(peak) { max($0, $1) }
    running.merge(spec.resources?.requests ?? [:]) { $1 }
    running = sum(running, spec.overhead)
    running["pods"] = Quantity(1)
    return running
  }
}
