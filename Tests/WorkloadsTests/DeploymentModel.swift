import ControllerKit
import KubeTypes
import Wire

@testable import Workloads

/// A Deployment with the fields that the API server sets.
func makeDeployment(
  replicas: Int64 = 3, image: String = "v1", surge: IntOrString = "25%", unavailable: IntOrString = "25%",
  recreate: Bool = false
) -> Deployment {
  var deployment = Deployment()
  deployment.metadata.name = "web"
  deployment.metadata.namespace = "shop"
  deployment.metadata.uid = "deployment-uid"
  deployment.metadata.resourceVersion = "1"
  deployment.metadata.generation = 1
  deployment.spec.json = [
    "replicas": .int(replicas), "selector": ["matchLabels": ["app": "web"]],
    "template": [
      "metadata": ["labels": ["app": "web"]],
      "spec": ["containers": [["name": "web", "image": .string(image)]]],
    ],
    "strategy": recreate
      ? ["type": "Recreate"]
      : ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": surge.json, "maxUnavailable": unavailable.json]],
    "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
  ]
  return deployment
}

/// A cluster of one Deployment, its ReplicaSets and pods, as plain values. The plans of the two controllers are applied
/// with the same guards as in the API: a write with an old resourceVersion fails.
struct DeploymentModel {
  struct Conflict: Error {}

  var deployment: Deployment
  var replicaSets: [String: ReplicaSet] = [:]
  var pods: [String: PodFacts] = [:]
  var owners: [String: String] = [:]
  var now = Timestamp(seconds: 1_800_000_000)
  var revision: Int64 = 100
  var events: [String] = []

  init(_ deployment: Deployment) { self.deployment = deployment }

  mutating func nextRevision() -> String {
    revision += 1
    return String(revision)
  }

  // MARK: The user

  mutating func edit(_ change: (inout Deployment) -> Void) {
    change(&deployment)
    deployment.metadata.generation = (deployment.metadata.generation ?? 0) + 1
    deployment.metadata.resourceVersion = nextRevision()
  }

  mutating func setImage(_ image: String) {
    edit { $0.json["spec"]?["template"]?["spec"] = ["containers": [["name": "web", "image": .string(image)]]] }
  }

  // MARK: The controllers

  var snapshot: DeploymentSnapshot {
    var snapshot = DeploymentSnapshot(
      deployment: deployment,
      selector: (try? Selector(labelSelector: deployment.spec.json["selector"])) ?? .nothing,
      replicaSets: replicaSets.values.sorted { $0.metadata.name ?? "" < $1.metadata.name ?? "" }, now: now)
    for replicaSet in replicaSets.values {
      let uid = replicaSet.metadata.uid ?? ""
      snapshot.unfinishedPods[uid] = pods.values.count { owners[$0.uid] == uid && !$0.isFinished }
    }
    return snapshot
  }

  /// Applies a plan; stops at the first conflict, as the controller does.
  mutating func apply(_ plan: Plan<DeploymentAction>) {
    for action in plan.actions {
      do { try apply(action) } catch { return }
    }
  }

  mutating func syncDeployment() { apply(DeploymentRules.plan(snapshot)) }

  private mutating func apply(_ action: DeploymentAction) throws {
    switch action {
    case .create(var object, let owner):
      let name = object.metadata.name ?? ""
      if let existing = replicaSets[name] {
        if DeploymentHash.isSameTemplate(existing.spec.template, object.spec.template) { return }
        deployment.status.collisionCount = (owner.status.collisionCount ?? 0) + 1
        deployment.metadata.resourceVersion = nextRevision()
        throw Conflict()
      }
      object.metadata.uid = "rs-\(nextRevision())"
      object.metadata.resourceVersion = String(revision)
      object.metadata.generation = 1
      object.metadata.creationTimestamp = now.rfc3339
      replicaSets[name] = object
      if object.spec.replicas ?? 0 > 0 { events.append("Scaled up \(name) from 0 to \(object.spec.replicas ?? 0)") }
    case .update(var object, let before, _):
      let name = object.metadata.name ?? ""
      guard let current = replicaSets[name], current.metadata.resourceVersion == object.metadata.resourceVersion else {
        throw Conflict()
      }
      object.status = current.status
      if object.spec != current.spec { object.metadata.generation = (current.metadata.generation ?? 0) + 1 }
      object.metadata.resourceVersion = nextRevision()
      replicaSets[name] = object
      if let before { events.append("Scaled \(name) from \(before) to \(object.spec.replicas ?? 0)") }
    case .delete(let object):
      replicaSets[object.metadata.name ?? ""] = nil
    case .updateStatus(let updated):
      guard updated.metadata.resourceVersion == deployment.metadata.resourceVersion else { throw Conflict() }
      deployment.status = updated.status
      deployment.metadata.resourceVersion = nextRevision()
    case .setRevision(let value, _):
      deployment.metadata.annotations[DeploymentAnnotation.revision] = value
      deployment.metadata.resourceVersion = nextRevision()
    case .adopt, .release, .warnThatAllIsSelected: break
    }
  }

  func replicaSetSnapshot(_ name: String) -> ReplicaSetSnapshot? {
    guard let replicaSet = replicaSets[name] else { return nil }
    let uid = replicaSet.metadata.uid ?? ""
    let owned = pods.values.filter { owners[$0.uid] == uid }.sorted { $0.uid < $1.uid }
    return ReplicaSetSnapshot(
      replicaSet: replicaSet, selector: (try? Selector(labelSelector: replicaSet.spec.json["selector"])) ?? .nothing,
      pods: owned, now: now)
  }

  mutating func syncReplicaSet(_ name: String) {
    guard let snapshot = replicaSetSnapshot(name) else { return }
    for action in ReplicaSetRules.plan(snapshot).actions {
      switch action {
      case .create(let count, let replicaSet):
        for _ in 0..<count { addPod(replicaSet) }
      case .delete(let victims, _):
        for pod in victims { pods[pod.uid]?.header.deletionTimestamp = now.rfc3339 }
      case .updateStatus(let updated):
        guard replicaSets[name]?.metadata.resourceVersion == updated.metadata.resourceVersion else { return }
        let version = nextRevision()
        replicaSets[name]?.status = updated.status
        replicaSets[name]?.metadata.resourceVersion = version
      case .adopt, .release: break
      }
    }
  }

  // MARK: The node

  private mutating func addPod(_ replicaSet: ReplicaSet) {
    let uid = "pod-\(nextRevision())"
    let template = replicaSet.spec.template
    pods[uid] = PodFacts(
      Object([
        "metadata": [
          "name": .string(uid), "namespace": "shop", "uid": .string(uid),
          "creationTimestamp": .string(now.rfc3339),
          "labels": template.metadata.json["labels"] ?? [:],
        ],
        "spec": ["nodeName": "node-1"],
        "status": ["phase": "Pending"],
      ]))
    owners[uid] = replicaSet.metadata.uid
  }

  mutating func setReady(_ uid: String, _ isReady: Bool) {
    guard var pod = pods[uid], pod.isReady != isReady else { return }
    pod.phase = "Running"
    pod.isReady = isReady
    pod.readyTransition = now
    pods[uid] = pod
  }

  mutating func remove(_ uid: String) {
    pods[uid] = nil
    owners[uid] = nil
  }

  var availablePods: Int { pods.values.count { $0.isReady && !$0.isBeingDeleted } }
  var totalSize: Int64 { replicaSets.values.reduce(0) { $0 + ($1.spec.replicas ?? 0) } }

  /// Lets everything happen until nothing changes any more; every pod becomes ready.
  mutating func settle(rounds: Int = 200) -> Bool {
    for _ in 0..<rounds {
      let before = (deployment, replicaSets, pods)
      syncDeployment()
      for name in replicaSets.keys.sorted() { syncReplicaSet(name) }
      for pod in pods.values {
        if pod.isBeingDeleted || pod.isFinished { remove(pod.uid) } else { setReady(pod.uid, true) }
      }
      for name in replicaSets.keys.sorted() { syncReplicaSet(name) }
      now = now.adding(.seconds(1))
      if before == (deployment, replicaSets, pods) { return true }
    }
    return false
  }

  /// The state of the ReplicaSet with this image.
  func replicaSet(image: String) -> ReplicaSet? {
    replicaSets.values.first {
      $0.json.at("spec", "template", "spec", "containers")?.array?.first?["image"]?.string == image
    }
  }

  func condition(_ type: String) -> DeploymentCondition? {
    deployment.status.conditions.first { $0.type == type }
  }
}
