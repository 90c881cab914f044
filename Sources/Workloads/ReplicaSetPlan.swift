import ControllerKit
import KubeTypes
import Wire

/// All that the ReplicaSet rules look at.
struct ReplicaSetSnapshot: Sendable {
  var replicaSet: ReplicaSet
  var selector: Selector
  /// Pods that this ReplicaSet controls.
  var pods: [PodFacts]
  /// Pods of the namespace that nobody controls and that the selector matches.
  var orphans: [PodFacts] = []
  /// Uids of pods whose deletion was accepted already, though the informer does not show it.
  var deleting: Set<String> = []
  /// How many pods of the owner's ReplicaSets are on each node.
  var neighbours: [String: Int] = [:]
  /// What the last attempt to create or delete pods ran into.
  var failure: ReplicaSetFailure?
  var now: Timestamp
}

struct ReplicaSetFailure: Sendable, Equatable {
  /// `FailedCreate` or `FailedDelete`.
  var reason: String
  var message: String
  /// The generation for which another attempt would end in the same way; `nil` when it may help.
  var hopelessGeneration: Int64?
}

enum ReplicaSetAction: Sendable, Equatable {
  case adopt(PodFacts, ReplicaSet)
  case release(PodFacts, ReplicaSet)
  /// In batches that double in size as long as the server accepts them.
  case create(count: Int, ReplicaSet)
  case delete([PodFacts], ReplicaSet)
  /// Writes `status`, guarded by `resourceVersion`.
  case updateStatus(ReplicaSet)
}

/// The ReplicaSet rules (`pkg/controller/replicaset`).
enum ReplicaSetRules {
  /// How many pods are created or deleted in one pass.
  static let burst = 500

  static func plan(_ snapshot: ReplicaSetSnapshot) -> Plan<ReplicaSetAction> {
    let replicaSet = snapshot.replicaSet
    let isBeingDeleted = replicaSet.metadata.deletionTimestamp != nil
    let wanted = Int(clamping: replicaSet.spec.replicas ?? 1)
    let minReadySeconds = replicaSet.spec.minReadySeconds ?? 0
    var plan = Plan<ReplicaSetAction>()

    let claims = Claims(
      owned: snapshot.pods, orphans: snapshot.orphans, selector: snapshot.selector, isOwnerBeingDeleted: isBeingDeleted)
    plan.actions =
      claims.released.map { .release($0, replicaSet) } + claims.adopted.map { .adopt($0, replicaSet) }
    let active = (claims.kept + claims.adopted).filter {
      !$0.isFinished && !$0.isBeingDeleted && !snapshot.deleting.contains($0.uid)
    }

    var changes: [ReplicaSetAction] = []
    let isHopeless = snapshot.failure?.hopelessGeneration.map { $0 == replicaSet.metadata.generation } ?? false
    if !isBeingDeleted, active.count < wanted, !isHopeless {
      changes.append(.create(count: min(wanted - active.count, burst), replicaSet))
    } else if !isBeingDeleted, active.count > wanted {
      let surplus = min(active.count - wanted, burst)
      let ranked = active.map { pod in
        (PodDeletionRank(pod, neighbours: snapshot.neighbours[pod.nodeName] ?? 0, now: snapshot.now), pod)
      }.sorted { $0.0 < $1.0 }
      changes.append(.delete(ranked.prefix(surplus).map(\.1), replicaSet))
    }

    let status = status(snapshot, active: active, minReadySeconds: minReadySeconds)
    if status.json != replicaSet.status.json {
      var updated = replicaSet
      updated.status = status
      // Pods are made first, for they are waited for. But a failure has to be told before the same thing is tried
      // again, or it would never be told.
      let isFailureNews =
        Conditions.find("ReplicaFailure", in: status.conditions.map(\.json))
        != Conditions.find("ReplicaFailure", in: replicaSet.status.conditions.map(\.json))
      changes.insert(.updateStatus(updated), at: isFailureNews ? 0 : changes.count)
    }
    plan.actions += changes

    for pod in active {
      if let at = pod.availableAt(minReadySeconds: minReadySeconds), at > snapshot.now {
        plan.requeue(after: at.since(snapshot.now))
      }
    }
    return plan
  }

  private static func status(
    _ snapshot: ReplicaSetSnapshot, active: [PodFacts], minReadySeconds: Int64
  ) -> ReplicaSetStatus {
    let replicaSet = snapshot.replicaSet
    let templateLabels = replicaSet.spec.template.metadata.labels
    func count(_ isCounted: (PodFacts) -> Bool) -> Int64? {
      let count = active.count(where: isCounted)
      return count == 0 ? nil : Int64(count)
    }
    var status = replicaSet.status
    status.replicas = Int64(active.count)
    status.fullyLabeledReplicas = count { pod in
      templateLabels.allSatisfy { pod.header.labels[$0.key] == $0.value }
    }
    status.readyReplicas = count(\.isReady)
    status.availableReplicas = count { pod in
      pod.availableAt(minReadySeconds: minReadySeconds).map { $0 <= snapshot.now } ?? false
    }
    status.observedGeneration = replicaSet.metadata.generation
    var conditions = status.conditions
    // With as many pods as wanted there is nothing that fails any more.
    if let failure = snapshot.failure, active.count != Int(clamping: replicaSet.spec.replicas ?? 1) {
      Conditions.set(
        "ReplicaFailure", .yes, reason: failure.reason, message: failure.message, now: snapshot.now, in: &conditions)
    } else {
      conditions.removeAll { $0.type == "ReplicaFailure" }
    }
    if conditions != status.conditions { status.conditions = conditions }
    return status
  }
}
