import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Synchronization
import Wire

/// Deletes pods from nodes with `NoExecute` taints that they do not tolerate, or no longer: `tolerationSeconds` counts
/// from when the taint was added.
///
/// While no node at all is ready, taints for lost nodes evict nobody: the fault is then more likely on this side, and
/// there is no place to go (kube-controller-manager's full disruption mode).
struct NodeLifecycleEvictionReconciler: Reconciler {
  let name = "taint-eviction"

  let client: any KubeClient
  let nodes: Informer
  let pods: Informer
  let events: EventRecorder
  let time: any TimeSource
  private let firstSeen = FirstSeen()

  init(client: any KubeClient, nodes: Informer, pods: Informer, events: EventRecorder, time: any TimeSource) {
    self.client = client
    self.nodes = nodes
    self.pods = pods
    self.events = events
    self.time = time
  }

  struct ActiveTaint: Sendable {
    var taint: Taint
    /// By the time that nobody sets (`TimeSource.uptime`).
    var since: Duration
  }

  struct Candidate: Sendable {
    var key: ObjectKey
    var uid: String
    var tolerations: [Toleration]
  }

  struct Snapshot: Sendable {
    /// With effect `NoExecute`.
    var taints: [ActiveTaint]
    /// The node's pods that are not being deleted yet.
    var pods: [Candidate]
    var isAnyNodeReady: Bool
    /// What evictions are due by.
    var uptime: Duration
    /// What is written into the pod's condition.
    var now: Timestamp
  }

  struct Action: Sendable, Equatable {
    var key: ObjectKey
    var uid: String
    var now: Timestamp
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    let now = time.now()
    let taints = nodes.get(key)?.decode(Node.self).spec.taints.filter { $0.effect == "NoExecute" } ?? []
    let uptime = time.uptime()
    let active = firstSeen.update(node: key.name, taints: taints, now: now, uptime: uptime)
    if active.isEmpty { return nil }
    let candidates = pods.list(by: .node, key.name).compactMap { object -> Candidate? in
      guard object.header.deletionTimestamp == nil else { return nil }
      return Candidate(
        key: object.header.key, uid: object.header.uid, tolerations: object.decode(Pod.self).spec.tolerations)
    }
    return Snapshot(
      taints: active, pods: candidates, isAnyNodeReady: nodes.count(by: .readiness, "True") > 0, uptime: uptime,
      now: now)
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    let taints = snapshot.taints.filter { active in
      snapshot.isAnyNodeReady
        || ![NodeLifecycleReconciler.notReady, NodeLifecycleReconciler.unreachable].contains(active.taint.key)
    }
    var plan = Plan<Action>()
    for pod in snapshot.pods {
      guard let due = Self.evictionTime(of: pod.tolerations, taints: taints) else { continue }
      if due <= snapshot.uptime {
        plan.actions.append(Action(key: pod.key, uid: pod.uid, now: snapshot.now))
      } else {
        plan.requeue(after: due - snapshot.uptime)
      }
    }
    return plan
  }

  /// When the first of the taints evicts; `nil` when all are tolerated for ever.
  static func evictionTime(of tolerations: [Toleration], taints: [ActiveTaint]) -> Duration? {
    taints.compactMap { active -> Duration? in
      guard let toleration = tolerations.first(where: { $0.tolerates(active.taint) }) else { return active.since }
      // A year of seconds and more is for ever, and must not overflow.
      return toleration.tolerationSeconds.map { active.since + .seconds(min(max(0, $0), 31_536_000)) }
    }.min()
  }

  func apply(_ action: Action) async throws {
    do {
      let condition: JSON = [
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": .string(action.now.rfc3339),
      ]
      _ = try await client.patch(
        pods.resource, namespace: action.key.namespace, name: action.key.name, subresource: "status",
        type: .strategicMerge,
        body: ["metadata": ["uid": .string(action.uid)], "status": ["conditions": [condition]]],
        options: WriteOptions(fieldManager: "taint-eviction-controller"))
      events.record(
        .normal,
        regarding: EventSubject(
          kind: "Pod", apiVersion: "v1", namespace: action.key.namespace, name: action.key.name, uid: action.uid),
        reason: "TaintManagerEviction", message: "Marking for deletion Pod \(action.key)")
      _ = try await client.delete(
        pods.resource, namespace: action.key.namespace, name: action.key.name,
        options: DeleteOptions(preconditionUID: action.uid))
    } catch let error as KubeError where error.reason == .notFound {
      // Gone already.
    }
  }

  /// Since when each taint is there. How old it is by `timeAdded` is asked once, when it is first seen: a clock that is set
  /// later moves no eviction. Taints that were set by hand have no `timeAdded`.
  private final class FirstSeen: Sendable {
    private let times = Mutex<[String: [String: Duration]]>([:])

    func update(node: String, taints: [Taint], now: Timestamp, uptime: Duration) -> [ActiveTaint] {
      times.withLock { times in
        let known = times[node] ?? [:]
        var seen: [String: Duration] = [:]
        let active = taints.map { taint in
          let id = "\(taint.key ?? "")=\(taint.value ?? "")@\(taint.timeAdded ?? "")"
          let age = taint.timeAdded.flatMap { Timestamp(rfc3339: $0) }.map { max(.zero, now.since($0)) } ?? .zero
          let since = known[id] ?? uptime - age
          seen[id] = since
          return ActiveTaint(taint: taint, since: since)
        }
        times[node] = seen.isEmpty ? nil : seen
        return active
      }
    }
  }
}
