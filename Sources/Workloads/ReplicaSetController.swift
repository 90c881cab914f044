import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Synchronization
import Telemetry
import Wire

/// A kind that says how many pods there should be. A ReplicationController is the older form of a ReplicaSet: it has a map
/// of labels for a selector, and is worked on as the ReplicaSet that it stands for.
struct ReplicaKind: Sendable, Equatable {
  let groupVersionKind: GroupVersionKind
  let resource: GroupVersionResource
  /// Of the controller, in logs.
  let name: String
  /// Of the controller, in events and managed fields.
  let component: String

  static let replicaSet = ReplicaKind(
    groupVersionKind: ReplicaSet.groupVersionKind, resource: ReplicaSet.resource, name: "replicaset",
    component: "replicaset-controller")
  static let replicationController = ReplicaKind(
    groupVersionKind: ReplicationController.groupVersionKind, resource: ReplicationController.resource,
    name: "replicationcontroller", component: "replication-controller")

  var options: WriteOptions { WriteOptions(fieldManager: component) }

  /// The object as a ReplicaSet.
  func view(_ object: Object) -> ReplicaSet { ReplicaSet(json: view(object.json())) }

  private func view(_ json: JSON) -> JSON {
    guard self == .replicationController, let labels = json.at("spec", "selector") else { return json }
    var json = json
    json["spec"]?["selector"] = ["matchLabels": labels]
    return json
  }

  /// The object that a view stands for.
  func body(_ view: ReplicaSet) -> JSON {
    guard self == .replicationController else { return view.json }
    var json = view.json
    let labels = json.at("spec", "selector", "matchLabels")
    json["spec"]?["selector"] = labels
    return json
  }

  /// A selector that is invalid or selects everything does not pass validation; there is nothing to do for it.
  func selector(_ object: Object) -> Selector? {
    guard let selector = try? Selector(labelSelector: view(object.json()).at("spec", "selector")), !selector.isEmpty
    else { return nil }
    return selector
  }

  func subject(_ view: ReplicaSet) -> EventSubject { EventSubject(groupVersionKind, ObjectHeader(view.json)) }

  func ownerReference(_ view: ReplicaSet) -> OwnerReference {
    .controller(groupVersionKind, name: view.metadata.name ?? "", uid: view.metadata.uid ?? "")
  }

  func owns(_ reference: OwnerReference) -> Bool {
    reference.kind == groupVersionKind.kind && reference.apiVersion == groupVersionKind.apiVersion
  }
}

/// Keeps as many pods as a ReplicaSet or ReplicationController says: creates, deletes, adopts and releases them, and counts
/// them in its status.
struct ReplicaSetReconciler: Reconciler {
  var name: String { kind.name }
  private let kind: ReplicaKind
  private let client: any KubeClient
  private let replicaSets: Informer
  private let pods: Informer
  private let time: any TimeSource
  private let events: EventRecorder
  private let facts: PodFactsCache
  private let pending = PendingWrites()
  private let failures = ReplicaSetFailures()

  init(
    _ kind: ReplicaKind, client: any KubeClient, replicaSets: Informer, pods: Informer, facts: PodFactsCache,
    time: any TimeSource
  ) {
    self.kind = kind
    self.client = client
    self.replicaSets = replicaSets
    self.pods = pods
    self.facts = facts
    self.time = time
    events = EventRecorder(client: client, component: kind.component, time: time)
  }

  /// ReplicaSets that could adopt a pod.
  fileprivate func candidates(for pod: Object) -> [ObjectKey] {
    if pod.header.labels.isEmpty { return [] }
    return replicaSets.owners(selecting: pod.header).filter { replicaSet in
      kind.selector(replicaSet)?.matches(pod.header.labels) ?? false
    }.map(\.header.key)
  }

  fileprivate func forget(uid: String) {
    pending.forget(owner: uid)
    failures.set(nil, uid: uid)
  }

  func observe(_ key: ObjectKey) async throws -> ReplicaSetSnapshot? {
    guard let object = replicaSets.get(key), let selector = kind.selector(object) else { return nil }
    let replicaSet = kind.view(object)
    let uid = object.header.uid
    let (owned, deleting) = pending.overlay(on: pods, owner: uid)
    var snapshot = ReplicaSetSnapshot(
      replicaSet: replicaSet, selector: selector, pods: owned.map(facts.facts), deleting: deleting,
      failure: failures.get(uid: uid), now: time.now())
    snapshot.orphans = pods.orphans(in: key.namespace).filter { selector.matches($0.header.labels) }.map(facts.facts)
    if owned.count > Int(clamping: replicaSet.spec.replicas ?? 1) {
      snapshot.neighbours = neighbours(of: object)
    }
    return snapshot
  }

  /// Active pods per node of all ReplicaSets with the same owner: while a rollout goes on, the node that has two pods
  /// of the same Deployment gives one up first.
  private func neighbours(of replicaSet: Object) -> [String: Int] {
    let family = replicaSet.header.controller.map { replicaSets.list(controlledBy: $0.uid ?? "") } ?? [replicaSet]
    var counts: [String: Int] = [:]
    for member in family {
      for pod in pods.list(controlledBy: member.header.uid).map(facts.facts)
      where !pod.isFinished && !pod.isBeingDeleted {
        counts[pod.nodeName, default: 0] += 1
      }
    }
    return counts
  }

  func plan(_ snapshot: ReplicaSetSnapshot) -> Plan<ReplicaSetAction> { ReplicaSetRules.plan(snapshot) }

  func apply(_ action: ReplicaSetAction) async throws {
    switch action {
    case .adopt(let pod, let replicaSet):
      // The ReplicaSet of the informer may be gone, and another one may have its name.
      let live = try await client.get(
        kind.resource, namespace: pod.header.namespace, name: replicaSet.metadata.name ?? "")
      guard live.header.uid == replicaSet.metadata.uid, live.header.deletionTimestamp == nil else { return }
      try await setOwners(of: pod, to: pod.header.ownerReferences + [kind.ownerReference(replicaSet)])
    case .release(let pod, let replicaSet):
      try await setOwners(of: pod, to: pod.header.ownerReferences.filter { $0.uid != replicaSet.metadata.uid })
    case .create(let count, let replicaSet):
      try await create(count, replicaSet)
    case .delete(let pods, let replicaSet):
      try await delete(pods, replicaSet)
    case .updateStatus(let replicaSet):
      if !replicaSet.status.conditions.contains(where: { $0.type == "ReplicaFailure" }) {
        failures.set(nil, uid: replicaSet.metadata.uid ?? "")
      }
      _ = try await client.update(
        kind.resource, namespace: replicaSet.metadata.namespace, name: replicaSet.metadata.name ?? "",
        subresource: "status", body: kind.body(replicaSet), options: kind.options)
    }
  }

  /// Guarded by the pod's `resourceVersion`: owners that somebody else has set are not lost.
  private func setOwners(of pod: PodFacts, to owners: [OwnerReference]) async throws {
    _ = try await client.patch(
      Pod.resource, namespace: pod.header.namespace, name: pod.header.name, subresource: nil, type: .merge,
      body: [
        "metadata": [
          "uid": .string(pod.uid), "resourceVersion": .string(String(pod.header.resourceVersion)),
          "ownerReferences": .array(owners.map(\.json)),
        ]
      ], options: kind.options)
  }

  // MARK: Pods

  /// Creates pods in batches of 1, 2, 4, …: when the server refuses the first (a quota, an admission rule), it is not
  /// asked for the other hundreds.
  private func create(_ count: Int, _ replicaSet: ReplicaSet) async throws {
    let uid = replicaSet.metadata.uid ?? ""
    let subject = kind.subject(replicaSet)
    let pod = Self.pod(from: replicaSet, kind)
    var rest = count
    var batch = 1
    while rest > 0 {
      let size = min(batch, rest)
      let results = await withTaskGroup(of: Result<Object, any Error>.self) { group in
        for _ in 0..<size {
          group.addTask { [client, kind] in
            do {
              return .success(
                try await client.create(
                  Pod.resource, namespace: subject.namespace, name: nil, subresource: nil, body: pod,
                  options: kind.options))
            } catch {
              return .failure(error)
            }
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      var problem: (any Error)?
      for result in results {
        switch result {
        case .success(let created):
          pending.created(created, owner: uid)
          events.record(
            .normal, regarding: subject, reason: "SuccessfulCreate", message: "Created pod: \(created.header.name)")
        case .failure(let error): problem = error
        }
      }
      if let problem {
        if problem is CancellationError { throw problem }
        // The namespace is going, and the ReplicaSet with it.
        if (problem as? KubeError)?.isNamespaceTerminating == true { return }
        events.record(.warning, regarding: subject, reason: "FailedCreate", message: "Error creating: \(problem)")
        var failure = ReplicaSetFailure(reason: "FailedCreate", message: "\(problem)")
        let isHopeless = TerminalError(from: problem) != nil
        // Noted, so that the next visit tells it and creates nothing until the ReplicaSet is another.
        if isHopeless { failure.hopelessGeneration = replicaSet.metadata.generation }
        failures.set(failure, uid: uid)
        throw isHopeless ? TerminalError(problem, asksAgain: true) : problem
      }
      rest -= size
      batch *= 2
    }
    failures.set(nil, uid: uid)
  }

  private func delete(_ pods: [PodFacts], _ replicaSet: ReplicaSet) async throws {
    let uid = replicaSet.metadata.uid ?? ""
    let subject = kind.subject(replicaSet)
    let problem = await withTaskGroup(of: (any Error)?.self) { group in
      for pod in pods {
        group.addTask { await self.delete(pod, owner: uid, subject) }
      }
      return await group.reduce(nil) { $0 ?? $1 }
    }
    if let problem {
      if !(problem is CancellationError) {
        failures.set(ReplicaSetFailure(reason: "FailedDelete", message: "\(problem)"), uid: uid)
      }
      throw problem
    }
    failures.set(nil, uid: uid)
  }

  private func delete(_ pod: PodFacts, owner: String, _ subject: EventSubject) async -> (any Error)? {
    do {
      _ = try await client.delete(
        Pod.resource, namespace: pod.header.namespace, name: pod.header.name,
        options: DeleteOptions(preconditionUID: pod.uid))
    } catch let error as KubeError where error.reason == .notFound || error.reason == .conflict {
      // It is gone already, or another pod has its name.
      pending.deleted(uid: pod.uid, owner: owner)
      return nil
    } catch {
      if !(error is CancellationError) {
        events.record(.warning, regarding: subject, reason: "FailedDelete", message: "Error deleting: \(error)")
      }
      return error
    }
    pending.deleted(uid: pod.uid, owner: owner)
    events.record(
      .normal, regarding: subject, reason: "SuccessfulDelete", message: "Deleted pod: \(pod.header.name)")
    return nil
  }

  /// The pod that a ReplicaSet's template describes.
  static func pod(from replicaSet: ReplicaSet, _ kind: ReplicaKind = .replicaSet) -> JSON {
    let template = replicaSet.spec.template.json
    var metadata: JSON = ["generateName": .string("\(replicaSet.metadata.name ?? "")-")]
    metadata["namespace"] = .string(replicaSet.metadata.namespace ?? "")
    for key in ["labels", "annotations", "finalizers"] {
      if let value = template.at("metadata", key), !value.isNull { metadata[key] = value }
    }
    metadata["ownerReferences"] = [kind.ownerReference(replicaSet).json]
    return [
      "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] ?? .object(JSONObject()),
    ]
  }
}

/// Keeps the pods of ReplicaSets and ReplicationControllers.
func replicaControllers(
  client: any KubeClient, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64
) -> [any ControllerKit.Service] {
  let pods = informers.informer(for: Pod.resource)
  let facts = PodFactsCache()
  pods.onChange { old, new in
    if new == nil, let old { facts.forget(uid: old.header.uid) }
  }
  var random = SeededRandom(seed: seed)
  return [ReplicaKind.replicaSet, .replicationController].map {
    replicaController(
      $0, client: client, informers: informers, pods: pods, facts: facts, metrics: metrics, time: time,
      seed: random.next())
  }
}

private func replicaController(
  _ kind: ReplicaKind, client: any KubeClient, informers: InformerSet, pods: Informer, facts: PodFactsCache,
  metrics: Metrics, time: any TimeSource, seed: UInt64
) -> any ControllerKit.Service {
  let replicaSets = informers.informer(for: kind.resource)
  replicaSets.add(.selector)
  let reconciler = ReplicaSetReconciler(
    kind, client: client, replicaSets: replicaSets, pods: pods, facts: facts, time: time)
  let controller = Controller(
    reconciler, workers: 5, informers: [replicaSets, pods], metrics: metrics, time: time, seed: seed)
  replicaSets.onChange { old, new in
    guard let object = new ?? old else { return }
    if new == nil { reconciler.forget(uid: object.header.uid) }
    controller.enqueue(object.header.key)
  }
  pods.onChange { old, new in
    for pod in [old, new] {
      guard let pod, let owner = pod.header.controller, kind.owns(owner) else { continue }
      controller.enqueue(ObjectKey(namespace: pod.header.namespace, name: owner.name ?? ""))
    }
    if let new, new.header.controller == nil, new.header.deletionTimestamp == nil {
      for key in reconciler.candidates(for: new) { controller.enqueue(key) }
    }
  }
  return controller
}

/// What the last attempt of each ReplicaSet, by uid, ran into.
private final class ReplicaSetFailures: Sendable {
  private let failures = Mutex<[String: ReplicaSetFailure]>([:])

  func get(uid: String) -> ReplicaSetFailure? { failures.withLock { $0[uid] } }
  func set(_ failure: ReplicaSetFailure?, uid: String) { failures.withLock { $0[uid] = failure } }
}
