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
  let identity: ComponentIdentity

  static let replicaSet = ReplicaKind(
    groupVersionKind: ReplicaSet.groupVersionKind, resource: ReplicaSet.resource, name: "replicaset",
    component: "replicaset-controller", identity: .replicaSets)
  static let replicationController = ReplicaKind(
    groupVersionKind: ReplicationController.groupVersionKind, resource: ReplicationController.resource,
    name: "replicationcontroller", component: "replication-controller",
    identity: .replicationControllers)

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
  private let facts: PodFactsCache
  private let control: PodControl
  private let owners: OwnerReferenceWriter
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
    control = PodControl(
      client: client, events: EventRecorder(client: client, component: kind.component, time: time),
      options: kind.options)
    owners = OwnerReferenceWriter(
      client: client, kind: kind.groupVersionKind, resource: kind.resource, options: kind.options)
  }

  /// ReplicaSets that could adopt a pod.
  fileprivate func candidates(for pod: Object) -> [ObjectKey] {
    if pod.header.labels.isEmpty { return [] }
    return replicaSets.owners(selecting: pod.header).filter { replicaSet in
      kind.selector(replicaSet)?.matches(pod.header.labels) ?? false
    }.map(\.header.key)
  }

  fileprivate func forget(uid: String) {
    control.forget(owner: uid)
    failures.set(nil, uid: uid)
  }

  func observe(_ key: ObjectKey) async throws -> ReplicaSetSnapshot? {
    guard let object = replicaSets.get(key), let selector = kind.selector(object) else { return nil }
    let replicaSet = kind.view(object)
    let uid = object.header.uid
    // Before those that it has: one that is adopted meanwhile is seen twice, and not at all the other way round.
    let orphans = pods.orphans(in: key.namespace).filter { selector.matches($0.header.labels) }
    let (owned, deleting) = control.pods(of: uid, on: pods)
    var snapshot = ReplicaSetSnapshot(
      replicaSet: replicaSet, selector: selector, pods: owned.map(facts.facts), deleting: deleting,
      failure: failures.get(uid: uid), now: time.now())
    let known = orphans.isEmpty ? [] : Set(owned.map(\.header.uid))
    snapshot.orphans = orphans.filter { !known.contains($0.header.uid) }.map(facts.facts)
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
      try await owners.adopt(pod.header, of: Pod.resource, by: ObjectHeader(replicaSet.json))
    case .release(let pod, let replicaSet):
      try await owners.release(pod.header, of: Pod.resource, from: ObjectHeader(replicaSet.json))
    case .create(let count, let replicaSet):
      defer { forgetIfGone(replicaSet) }
      try await create(count, replicaSet)
    case .delete(let pods, let replicaSet):
      defer { forgetIfGone(replicaSet) }
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

  /// What was noted of one that went meanwhile, nobody would ever ask for.
  private func forgetIfGone(_ replicaSet: ReplicaSet) {
    guard let uid = replicaSet.metadata.uid,
      replicaSets.get(ObjectKey(namespace: replicaSet.metadata.namespace ?? "", name: replicaSet.metadata.name ?? ""))?
        .header.uid != uid
    else { return }
    forget(uid: uid)
  }

  private func create(_ count: Int, _ replicaSet: ReplicaSet) async throws {
    let uid = replicaSet.metadata.uid ?? ""
    let pod = Self.pod(from: replicaSet, kind)
    do {
      try await control.create(count, for: kind.subject(replicaSet)) { _ in pod }
    } catch let error as CancellationError {
      throw error
    } catch let error as KubeError where error.isNamespaceTerminating {
      // The namespace is going, and the ReplicaSet with it.
      return
    } catch {
      var failure = ReplicaSetFailure(reason: "FailedCreate", message: "\(error)")
      // A right that is missing can be given without the ReplicaSet being another.
      let isHopeless = TerminalError(from: error) != nil && (error as? KubeError)?.isMissingRight != true
      // Noted, so that the next visit tells it and creates nothing until the ReplicaSet is another.
      if isHopeless { failure.hopelessGeneration = replicaSet.metadata.generation }
      failures.set(failure, uid: uid)
      throw isHopeless ? TerminalError(error, asksAgain: true) : error
    }
    failures.set(nil, uid: uid)
  }

  private func delete(_ pods: [PodFacts], _ replicaSet: ReplicaSet) async throws {
    let uid = replicaSet.metadata.uid ?? ""
    do {
      try await control.delete(pods.map(\.header), for: kind.subject(replicaSet))
    } catch let error as CancellationError {
      throw error
    } catch {
      failures.set(ReplicaSetFailure(reason: "FailedDelete", message: "\(error)"), uid: uid)
      throw error
    }
    failures.set(nil, uid: uid)
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
  clients: ComponentClients, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64
) -> [any ControllerKit.Service] {
  let pods = informers.informer(for: Pod.resource)
  let facts = PodFactsCache()
  pods.onChange { old, new in
    if new == nil, let old { facts.forget(uid: old.header.uid) }
  }
  var random = SeededRandom(seed: seed)
  return [ReplicaKind.replicaSet, .replicationController].map {
    replicaController(
      $0, client: clients($0.identity), informers: informers, pods: pods, facts: facts, metrics: metrics, time: time,
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
