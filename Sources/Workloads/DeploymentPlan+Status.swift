import ControllerKit
import KubeTypes
import Wire

/// What the status says.
extension DeploymentRules {
  /// `progressDeadlineSeconds`; the largest number means none.
  private var progressDeadline: Int64? {
    deployment.spec.progressDeadlineSeconds.flatMap { $0 < Int64(Int32.max) ? $0 : nil }
  }

  var hasProgressDeadline: Bool { progressDeadline != nil }

  func condition(_ type: String) -> DeploymentCondition? { status.conditions.first { $0.type == type } }

  /// Sets a condition unless it has this status and reason already (`SetDeploymentCondition`).
  mutating func setCondition(_ type: String, _ value: ConditionStatus, _ reason: String, _ message: String) {
    if let known = condition(type), known.status == value.rawValue, known.reason == reason { return }
    var conditions = status.conditions
    Conditions.set(type, value, reason: reason, message: message, now: now, updateTime: now, in: &conditions)
    status.conditions = conditions
  }

  private mutating func removeCondition(_ type: String) {
    if condition(type) != nil { status.conditions = status.conditions.filter { $0.type != type } }
  }

  /// A paused rollout makes no progress, and its time does not run (`checkPausedConditions`).
  mutating func updatePausedCondition() {
    guard hasProgressDeadline else { return }
    let reason = condition("Progressing")?.reason
    // That it took too long remains true.
    if reason == "ProgressDeadlineExceeded" { return }
    if deployment.spec.paused ?? false {
      setCondition("Progressing", .unknown, "DeploymentPaused", "Deployment is paused")
    } else if reason == "DeploymentPaused" {
      setCondition("Progressing", .unknown, "DeploymentResumed", "Deployment is resumed")
    }
  }

  /// `calculateStatus`.
  mutating func updateCounters() {
    let all = old + [new].compactMap { $0 }
    func sum(_ value: (PlannedReplicaSet) -> Int64) -> Int64 { all.reduce(0) { $0 + value($1) } }
    func orNil(_ value: Int64) -> Int64? { value == 0 ? nil : value }
    let available = sum(\.available)
    status.observedGeneration = deployment.metadata.generation
    status.replicas = orNil(sum(\.replicas))
    status.updatedReplicas = orNil(new?.replicas ?? 0)
    status.readyReplicas = orNil(sum(\.ready))
    status.availableReplicas = orNil(available)
    status.unavailableReplicas = orNil(max(0, sum(\.size) - available))
    if available >= limits.replicas - limits.maxUnavailable {
      setCondition("Available", .yes, "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
      setCondition("Available", .no, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    }
  }

  /// Whether the rollout is done: all pods are of the new template and available.
  func isComplete(_ status: DeploymentStatus) -> Bool {
    status.updatedReplicas ?? 0 == limits.replicas && status.replicas ?? 0 == limits.replicas
      && status.availableReplicas ?? 0 == limits.replicas
      && status.observedGeneration ?? 0 >= deployment.metadata.generation ?? 0
  }

  /// `syncRolloutStatus`: how the rollout goes, after `updateCounters`.
  mutating func updateProgress() {
    updateFailure()
    guard let deadline = progressDeadline else {
      removeCondition("Progressing")
      return
    }
    let subject = new.map { "ReplicaSet \"\($0.name)\"" } ?? "Deployment \"\(name)\""
    let isDone =
      status.replicas ?? 0 == status.updatedReplicas ?? 0
      && condition("Progressing")?.reason == "NewReplicaSetAvailable"
    if !isDone {
      if isComplete(status) {
        setCondition("Progressing", .yes, "NewReplicaSetAvailable", "\(subject) has successfully progressed.")
      } else if hasProgressed {
        // Also when it said so before: `lastUpdateTime` is what the deadline counts from.
        var conditions = status.conditions
        if condition("Progressing")?.reason == "ReplicaSetUpdated" {
          for index in conditions.indices where conditions[index].type == "Progressing" {
            conditions[index].lastUpdateTime = now.rfc3339
            conditions[index].message = "\(subject) is progressing."
          }
          status.conditions = conditions
        } else {
          setCondition("Progressing", .yes, "ReplicaSetUpdated", "\(subject) is progressing.")
        }
      } else if hasTimedOut(deadline) {
        setCondition("Progressing", .no, "ProgressDeadlineExceeded", "\(subject) has timed out progressing.")
      }
    }
    // Nothing else may happen before the deadline. A rollout that was done has none any more.
    guard let reason = condition("Progressing")?.reason, reason != "ProgressDeadlineExceeded",
      reason != "NewReplicaSetAvailable", !isComplete(status), let end = deadlineEnd(deadline)
    else { return }
    plan.requeue(after: max(.seconds(1), end.since(now) + .seconds(1)))
  }

  private var hasProgressed: Bool {
    let before = deployment.status
    func leftOver(_ status: DeploymentStatus) -> Int64 { (status.replicas ?? 0) - (status.updatedReplicas ?? 0) }
    return status.updatedReplicas ?? 0 > before.updatedReplicas ?? 0 || leftOver(status) < leftOver(before)
      || status.readyReplicas ?? 0 > before.readyReplicas ?? 0
      || status.availableReplicas ?? 0 > before.availableReplicas ?? 0
  }

  private func deadlineEnd(_ deadline: Int64) -> Timestamp? {
    condition("Progressing")?.lastUpdateTime.flatMap(Timestamp.init(rfc3339:))?.adding(.seconds(deadline))
  }

  private func hasTimedOut(_ deadline: Int64) -> Bool {
    guard let progressing = condition("Progressing") else { return false }
    // A rollout that was done is not late; the condition of the next one is not written yet.
    if progressing.reason == "NewReplicaSetAvailable" { return false }
    if progressing.reason == "ProgressDeadlineExceeded" { return true }
    return deadlineEnd(deadline).map { $0 < now } ?? false
  }

  /// Shows that a ReplicaSet cannot make its pods.
  private mutating func updateFailure() {
    func failure(_ replicaSet: PlannedReplicaSet) -> ReplicaSetCondition? {
      replicaSet.object.status.conditions.first { $0.type == "ReplicaFailure" }
    }
    guard let found = new.flatMap(failure) ?? old.lazy.compactMap(failure).first else {
      removeCondition("ReplicaFailure")
      return
    }
    setCondition(
      "ReplicaFailure", ConditionStatus(rawValue: found.status ?? "") ?? .yes, found.reason ?? "", found.message ?? "")
  }
}
