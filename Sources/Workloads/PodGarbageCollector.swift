import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Synchronization
import Telemetry
import Wire

/// Deletes pods that nobody else would: those of nodes that do not exist, and ended ones beyond a number.
struct PodGarbageReconciler: Reconciler {
  let name = "pod-garbage"

  /// Ended pods that are kept (`--terminated-pod-gc-threshold`).
  static let terminatedMax = 12_500
  /// How long a node may be missing before its pods are given up: it may only be registering anew.
  static let nodeGrace: Duration = .seconds(40)

  let client: any KubeClient
  let pods: Informer
  let nodes: Informer
  let time: any TimeSource

  enum Key: Sendable, Hashable {
    /// The pods of a node that went.
    case node(String)
    /// All pods against all nodes.
    case orphans
    /// The number of ended pods.
    case terminated
  }

  struct Candidate: Sendable, Equatable {
    var key: ObjectKey
    var uid: String
    var creation: String
    var isTerminated: Bool
  }

  enum Snapshot: Sendable {
    case orphans([Candidate], now: Timestamp)
    case terminated([Candidate], max: Int)
  }

  enum Action: Sendable, Equatable {
    /// Marks the pod as failed: its node will never tell how it ended.
    case fail(Candidate, now: Timestamp)
    case delete(Candidate)
  }

  private static func isTerminated(_ pod: Object) -> Bool {
    let phase = JSON.scalar(at: ["status", "phase"], of: pod.bytes)
    return phase == "Succeeded" || phase == "Failed"
  }

  func observe(_ key: Key) async throws -> Snapshot? {
    if key == .terminated {
      if pods.count <= Self.terminatedMax { return nil }
      let candidates = pods.list().compactMap { object -> Candidate? in
        guard object.header.deletionTimestamp == nil, Self.isTerminated(object) else { return nil }
        return candidate(object.header, isTerminated: true)
      }
      return .terminated(candidates, max: Self.terminatedMax)
    }
    let asked = if case .node(let name) = key { [name] } else { pods.values(of: .node) }
    var orphans: [Candidate] = []
    for node in asked where try await isNodeMissing(node) {
      orphans += pods.list(by: .node, node).map { candidate($0.header, isTerminated: Self.isTerminated($0)) }
    }
    return orphans.isEmpty ? nil : .orphans(orphans, now: time.now())
  }

  private func candidate(_ header: ObjectHeader, isTerminated: Bool) -> Candidate {
    Candidate(key: header.key, uid: header.uid, creation: header.creationTimestamp, isTerminated: isTerminated)
  }

  /// Asks the server and not only the informer: a pod is given up for good.
  private func isNodeMissing(_ name: String) async throws -> Bool {
    if nodes.get(ObjectKey(name: name)) != nil { return false }
    do {
      _ = try await client.get(nodes.resource, namespace: nil, name: name)
      return false
    } catch let error as KubeError where error.reason == .notFound {
      return true
    }
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    switch snapshot {
    case .orphans(let candidates, let now):
      return Plan(
        candidates.flatMap { candidate -> [Action] in
          candidate.isTerminated ? [.delete(candidate)] : [.fail(candidate, now: now), .delete(candidate)]
        })
    case .terminated(let candidates, let max):
      guard candidates.count > max else { return Plan() }
      let oldestFirst = candidates.sorted { ($0.creation, $0.key) < ($1.creation, $1.key) }
      return Plan(oldestFirst.prefix(candidates.count - max).map { .delete($0) })
    }
  }

  func apply(_ action: Action) async throws {
    do {
      switch action {
      case .fail(let pod, let now):
        let condition: JSON = [
          "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
          "message": "PodGC: node no longer exists", "lastTransitionTime": .string(now.rfc3339),
        ]
        _ = try await client.patch(
          pods.resource, namespace: pod.key.namespace, name: pod.key.name, subresource: "status",
          type: .strategicMerge,
          body: [
            "metadata": ["uid": .string(pod.uid)], "status": ["phase": "Failed", "conditions": [condition]],
          ], options: WriteOptions(fieldManager: "pod-garbage-collector"))
      case .delete(let pod):
        _ = try await client.delete(
          pods.resource, namespace: pod.key.namespace, name: pod.key.name,
          options: DeleteOptions(gracePeriodSeconds: 0, preconditionUID: pod.uid))
      }
    } catch let error as KubeError where error.reason == .notFound {
      // Gone already.
    }
  }
}

/// Deletes pods without a node, and ended pods beyond 12,500.
func podGarbageCollector(
  client: any KubeClient, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64
) -> any ControllerKit.Service {
  let pods = informers.informer(for: GroupVersionResource(group: "", version: "v1", resource: "pods"))
  let nodes = informers.informer(for: GroupVersionResource(group: "", version: "v1", resource: "nodes"))
  pods.add(.node)
  let controller = Controller(
    PodGarbageReconciler(client: client, pods: pods, nodes: nodes, time: time), workers: 1,
    informers: [pods, nodes], metrics: metrics, time: time, seed: seed)
  // What was left behind while nobody watched.
  controller.enqueue(.orphans, after: PodGarbageReconciler.nodeGrace)
  nodes.onChange { old, new in
    if new == nil, let old {
      controller.enqueue(.node(old.header.name), after: PodGarbageReconciler.nodeGrace)
    }
  }
  pods.onChange { old, _ in
    // Ended pods cannot be too many while all pods together are not; counting them would mean to decode each.
    guard old == nil, pods.count > PodGarbageReconciler.terminatedMax else { return }
    controller.enqueue(.terminated, after: .seconds(20))
  }
  return controller
}
