import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Wire

/// Rolls Deployments out: keeps a ReplicaSet per pod template and moves the replicas from the old ones to the new one.
struct DeploymentReconciler: Reconciler {
  let name = "deployment"
  private let client: any KubeClient
  private let deployments: Informer
  private let replicaSets: Informer
  private let pods: Informer
  private let time: any TimeSource
  fileprivate let events: EventRecorder
  fileprivate let pending = PendingWrites()
  private let owners: OwnerReferenceWriter
  private let options = WriteOptions(fieldManager: "deployment-controller")

  init(client: any KubeClient, deployments: Informer, replicaSets: Informer, pods: Informer, time: any TimeSource) {
    self.client = client
    self.deployments = deployments
    self.replicaSets = replicaSets
    self.pods = pods
    self.time = time
    events = EventRecorder(client: client, component: "deployment-controller", time: time)
    owners = OwnerReferenceWriter(
      client: client, kind: Deployment.groupVersionKind, resource: Deployment.resource, options: options)
  }

  fileprivate static func owner(_ replicaSet: Object) -> ObjectKey? {
    guard let owner = replicaSet.header.controller, owner.kind == Deployment.kind else { return nil }
    return ObjectKey(namespace: replicaSet.header.namespace, name: owner.name ?? "")
  }

  /// Deployments that could adopt a ReplicaSet.
  fileprivate func candidates(for replicaSet: Object) -> [ObjectKey] {
    if replicaSet.header.labels.isEmpty { return [] }
    return deployments.owners(selecting: replicaSet.header).filter { deployment in
      let selector = try? Selector(labelSelector: deployment.json().at("spec", "selector"))
      return selector.map { !$0.isEmpty && $0.matches(replicaSet.header.labels) } ?? false
    }.map(\.header.key)
  }

  func observe(_ key: ObjectKey) async throws -> DeploymentSnapshot? {
    guard let object = deployments.get(key) else { return nil }
    let deployment = object.decode(Deployment.self)
    guard let selector = try? Selector(labelSelector: deployment.spec.json["selector"]) else { return nil }
    let owned = pending.overlay(on: replicaSets, owner: object.header.uid).objects
    var snapshot = DeploymentSnapshot(
      deployment: deployment, selector: selector, replicaSets: owned.map { $0.decode() }, now: time.now())
    snapshot.orphans = replicaSets.orphans(in: key.namespace).filter { selector.matches($0.header.labels) }
      .map { $0.decode() }
    if deployment.spec.strategy?.type == "Recreate" {
      for replicaSet in owned {
        let unfinished = pods.list(controlledBy: replicaSet.header.uid).count { pod in
          let phase = JSON.scalar(at: ["status", "phase"], of: pod.bytes)
          return phase != "Succeeded" && phase != "Failed"
        }
        snapshot.unfinishedPods[replicaSet.header.uid] = unfinished
      }
    }
    return snapshot
  }

  func plan(_ snapshot: DeploymentSnapshot) -> Plan<DeploymentAction> { DeploymentRules.plan(snapshot) }

  func subject(of key: ObjectKey) -> EventSubject? {
    deployments.get(key).map { EventSubject(Deployment.groupVersionKind, $0.header) }
  }

  func apply(_ action: DeploymentAction) async throws {
    switch action {
    case .adopt(let replicaSet, let deployment):
      try await owners.adopt(
        ObjectHeader(replicaSet.json), of: ReplicaSet.resource, by: ObjectHeader(deployment.json))
    case .release(let replicaSet, let deployment):
      try await owners.release(
        ObjectHeader(replicaSet.json), of: ReplicaSet.resource, from: ObjectHeader(deployment.json))
    case .create(let replicaSet, let deployment):
      try await create(replicaSet, for: deployment)
    case .update(let replicaSet, let before, let deployment):
      _ = try await client.update(replicaSet, options: options)
      if let before { recordScaling(replicaSet, from: before, deployment) }
    case .delete(let replicaSet):
      try await delete(replicaSet)
    case .updateStatus(let deployment):
      _ = try await client.updateStatus(deployment, options: options)
    case .setRevision(let revision, let deployment):
      // Without a resourceVersion: the status was just written. The uid makes sure that it is the same Deployment.
      _ = try await client.patch(
        Deployment.self, namespace: deployment.metadata.namespace, name: deployment.metadata.name ?? "",
        body: [
          "metadata": [
            "uid": .string(deployment.metadata.uid ?? ""),
            "annotations": [DeploymentAnnotation.revision: .string(revision)],
          ]
        ], options: options)
    case .warnThatAllIsSelected(let deployment):
      events.record(
        .warning, regarding: EventSubject(deployment), reason: "SelectingAll",
        message: "This deployment is selecting all pods. A non-empty selector is required.")
    }
  }

  private func recordScaling(_ replicaSet: ReplicaSet, from before: Int64, _ deployment: Deployment) {
    let size = replicaSet.spec.replicas ?? 1
    events.record(
      .normal, regarding: EventSubject(deployment), reason: "ScalingReplicaSet",
      message:
        "Scaled \(size > before ? "up" : "down") replica set \(replicaSet.metadata.name ?? "") from \(before) to \(size)"
    )
  }

  private func create(_ replicaSet: ReplicaSet, for deployment: Deployment) async throws {
    let name = replicaSet.metadata.name ?? ""
    do {
      let created = try await client.create(
        ReplicaSet.resource, namespace: replicaSet.metadata.namespace, name: nil, subresource: nil,
        body: replicaSet.json, options: options)
      let uid = deployment.metadata.uid ?? ""
      pending.created(created, owner: uid)
      let key = ObjectKey(namespace: deployment.metadata.namespace ?? "", name: deployment.metadata.name ?? "")
      // What was noted of one that went meanwhile, nobody would ever ask for.
      if deployments.get(key)?.header.uid != uid { pending.forget(owner: uid) }
      if replicaSet.spec.replicas ?? 0 > 0 { recordScaling(replicaSet, from: 0, deployment) }
    } catch let error as KubeError where error.reason == .alreadyExists {
      let existing = try await client.get(ReplicaSet.self, namespace: replicaSet.metadata.namespace, name: name)
      let owner = existing.metadata.ownerReferences.first { $0.controller == true }
      // It is ours and the informer has not shown it yet.
      if owner?.uid == deployment.metadata.uid,
        DeploymentHash.isSameTemplate(existing.spec.template, replicaSet.spec.template)
      {
        return
      }
      // Another template has the same hash: with the next number it gets another one.
      var counted = deployment
      counted.status.collisionCount = (deployment.status.collisionCount ?? 0) + 1
      _ = try await client.updateStatus(counted, options: options)
      throw error
    } catch let error as KubeError {
      // The namespace is going, and the Deployment with it.
      if error.isNamespaceTerminating { throw error }
      let message = "Failed to create new replica set \"\(name)\": \(error)"
      events.record(
        .warning, regarding: EventSubject(deployment), reason: "ReplicaSetCreateError", message: message)
      if deployment.spec.progressDeadlineSeconds != nil {
        var failed = deployment
        Conditions.set(
          "Progressing", .no, reason: "ReplicaSetCreateError", message: message, now: time.now(),
          updateTime: time.now(), in: &failed.status.conditions)
        if failed.status.json != deployment.status.json { _ = try await client.updateStatus(failed, options: options) }
      }
      throw error
    }
  }

  private func delete(_ replicaSet: ReplicaSet) async throws {
    do {
      try await client.delete(
        ReplicaSet.self, namespace: replicaSet.metadata.namespace, name: replicaSet.metadata.name ?? "",
        options: DeleteOptions(
          propagationPolicy: .background, preconditionUID: replicaSet.metadata.uid,
          preconditionResourceVersion: replicaSet.metadata.resourceVersion))
    } catch let error as KubeError where error.reason == .notFound {
      // It is what was wanted.
    }
  }
}

/// Rolls Deployments out.
func deploymentController(
  client: any KubeClient, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64
) -> any ControllerKit.Service {
  let deployments = informers.informer(for: Deployment.resource)
  deployments.add(.selector)
  let replicaSets = informers.informer(for: ReplicaSet.resource)
  let pods = informers.informer(for: Pod.resource)
  let reconciler = DeploymentReconciler(
    client: client, deployments: deployments, replicaSets: replicaSets, pods: pods, time: time)
  let controller = Controller(
    reconciler, workers: 5, informers: [deployments, replicaSets, pods], events: reconciler.events, metrics: metrics,
    time: time, seed: seed)
  deployments.onChange { old, new in
    guard let object = new ?? old else { return }
    if new == nil { reconciler.pending.forget(owner: object.header.uid) }
    controller.enqueue(object.header.key)
  }
  replicaSets.onChange { old, new in
    for key in Set([old, new].compactMap { $0.flatMap(DeploymentReconciler.owner) }) { controller.enqueue(key) }
    if let new, new.header.controller == nil, new.header.deletionTimestamp == nil {
      for key in reconciler.candidates(for: new) { controller.enqueue(key) }
    }
  }
  pods.onChange { old, new in
    // `Recreate` waits for the end of the old pods.
    guard new == nil, let owner = old?.header.controller, owner.kind == ReplicaSet.kind, let old else { return }
    let replicaSet = replicaSets.get(ObjectKey(namespace: old.header.namespace, name: owner.name ?? ""))
    if let key = replicaSet.flatMap(DeploymentReconciler.owner) { controller.enqueue(key) }
  }
  return controller
}
