import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Wire

/// Deletes objects whose owners are gone, and carries out foreground and orphan deletion
/// (https://kubernetes.io/docs/concepts/architecture/garbage-collection/).
///
/// It works on the headers in the informers; nothing is decoded. Before anything is deleted the absence of each owner is
/// confirmed by a live read, so that an informer that lags deletes nothing.
struct GarbageCollectorReconciler: Reconciler {
  let name = "garbage-collector"

  static let foreground = "foregroundDeletion"
  static let orphan = "orphan"

  let client: any KubeClient
  let monitors: GarbageMonitors
  let graph: GarbageGraph
  let events: EventRecorder

  struct GroupKind: Hashable, Sendable {
    var group: String
    var kind: String

    init(group: String, kind: String) {
      self.group = group
      self.kind = kind
    }

    init(_ reference: OwnerReference) {
      self.init(
        group: GroupVersion(apiVersion: reference.apiVersion ?? "")?.group ?? "", kind: reference.kind ?? "")
    }
  }

  /// How an owner stands.
  enum OwnerState: Sendable, Equatable {
    /// It is there.
    case solid
    /// It is being deleted in the foreground and waits for its dependents.
    case waiting
    case absent
    /// Nobody can say: its kind is not served, or a cluster-scoped object names a namespaced owner.
    case unresolvable
  }

  struct Owner: Sendable, Equatable {
    var uid: String
    var state: OwnerState
  }

  struct Dependent: Sendable, Equatable {
    var place: GarbageGraph.Place
    var isBeingDeleted: Bool
    /// `blockOwnerDeletion`.
    var isBlocking: Bool
    var header: ObjectHeader
  }

  struct Item: Sendable, Equatable {
    var place: GarbageGraph.Place
    var header: ObjectHeader
  }

  enum Snapshot: Sendable, Equatable {
    /// An object that goes after its dependents.
    case foreground(Item, [Dependent])
    /// An object that goes without them.
    case orphaning(Item, [Dependent])
    /// An object with owners.
    case owned(Item, [Owner], hasDependents: Bool, hasWaitingDependents: Bool)
  }

  enum Action: Sendable, Equatable {
    case delete(Item, PropagationPolicy)
    case removeFinalizer(Item, String)
    case setOwners(Item, [OwnerReference])
    /// Clears `blockOwnerDeletion` in all owner references.
    case unblockOwners(Item)
  }

  /// By `deployments.apps`.
  private var informers: [String: Informer] { monitors.current.informers }
  private var resources: [String: ServedResource] { monitors.current.resources }
  private var kinds: [GroupKind: ServedResource] { monitors.current.kinds }

  func observe(_ slot: GarbageGraph.Slot) async throws -> Snapshot? {
    guard let header = informers[slot.resource]?.get(slot.key)?.header else { return nil }
    let item = Item(
      place: GarbageGraph.Place(resource: slot.resource, key: slot.key, uid: header.uid), header: header)
    if header.deletionTimestamp != nil {
      // An object that goes without its dependents, or after them, must not go before all of them are known: of a kind that
      // was just added, they are not.
      if Self.isOrphaning(header) || Self.isWaiting(header), let unknown = monitors.current.unsynced {
        throw Self.unknown(unknown, of: slot)
      }
      if header.finalizers.contains(Self.orphan) { return .orphaning(item, dependents(of: header.uid)) }
      if header.finalizers.contains(Self.foreground) { return .foreground(item, dependents(of: header.uid)) }
      return nil
    }
    if header.ownerReferences.isEmpty { return nil }
    let owners = try await self.owners(of: item)
    // Solid owners only: the usual case, without any live read.
    guard owners.contains(where: { $0.state == .absent || $0.state == .waiting }) else {
      // Of one whose kind was just added nobody would tell the end before all of them are known.
      if let unknown = unknownOwners(of: header) { throw Self.unknown(unknown, of: slot) }
      return nil
    }
    // The decision is made on the newest state of the object itself, and guarded by its version.
    guard let live = try await liveObject(item.place) else { return nil }
    if live.header.uid != header.uid || live.header.deletionTimestamp != nil { return nil }
    let newest = Item(place: item.place, header: live.header)
    let newestOwners =
      live.header.ownerReferences == header.ownerReferences ? owners : try await self.owners(of: newest)
    let dependents = self.dependents(of: header.uid)
    return .owned(
      newest, newestOwners, hasDependents: !dependents.isEmpty,
      hasWaitingDependents: dependents.contains {
        $0.isBeingDeleted && $0.header.finalizers.contains(Self.foreground)
      })
  }

  /// The resource of an owner whose objects are not known yet; `nil` when there is none.
  private func unknownOwners(of header: ObjectHeader) -> String? {
    let monitors = monitors.current
    return header.ownerReferences.lazy.compactMap { monitors.kinds[GroupKind($0)]?.resource.groupResource }
      .first { monitors.informers[$0]?.isSynced == false }
  }

  private static func unknown(_ resource: String, of slot: GarbageGraph.Slot) -> KubeError {
    KubeError(
      code: 503, reason: .serviceUnavailable,
      message: "\(resource) are not listed yet: the owners and dependents of \(slot) are not all known")
  }

  private func dependents(of uid: String) -> [Dependent] {
    graph.dependents(of: uid).compactMap { place in
      guard let header = informers[place.resource]?.get(place.key)?.header, header.uid == place.uid,
        let reference = header.ownerReferences.first(where: { $0.uid == uid })
      else { return nil }
      return Dependent(
        place: place, isBeingDeleted: header.deletionTimestamp != nil,
        isBlocking: reference.blockOwnerDeletion == true, header: header)
    }
  }

  private func liveObject(_ place: GarbageGraph.Place) async throws -> Object? {
    guard let resource = resources[place.resource] else { return nil }
    return try await get(resource, place.key)
  }

  private func get(_ resource: ServedResource, _ key: ObjectKey) async throws -> Object? {
    do {
      return try await client.get(
        resource.resource, namespace: resource.isNamespaced ? key.namespace : nil, name: key.name)
    } catch let error as KubeError where error.reason == .notFound {
      return nil
    }
  }

  private func owners(of item: Item) async throws -> [Owner] {
    var owners: [Owner] = []
    for reference in item.header.ownerReferences {
      owners.append(Owner(uid: reference.uid ?? "", state: try await state(of: reference, for: item)))
    }
    return owners
  }

  private func state(of reference: OwnerReference, for item: Item) async throws -> OwnerState {
    guard let resource = kinds[GroupKind(reference)] else { return .unresolvable }
    let namespace = item.header.namespace
    if resource.isNamespaced && namespace.isEmpty {
      reportInvalidOwner(reference, of: item)
      return .unresolvable
    }
    let key = ObjectKey(namespace: resource.isNamespaced ? namespace : "", name: reference.name ?? "")
    let uid = reference.uid ?? ""
    let informer = informers[resource.resource.groupResource]
    var header = informer?.get(key)?.header
    if header?.uid != uid { header = try await get(resource, key)?.header }
    guard let header, header.uid == uid else {
      // An owner in another namespace counts as absent; say so, since it is surely not what was meant.
      if resource.isNamespaced, informer.map({ $0.count(by: .uid, uid) > 0 }) == true {
        reportInvalidOwner(reference, of: item)
      }
      return .absent
    }
    return header.deletionTimestamp != nil && header.finalizers.contains(Self.foreground) ? .waiting : .solid
  }

  private func reportInvalidOwner(_ reference: OwnerReference, of item: Item) {
    guard let resource = resources[item.place.resource] else { return }
    let owner =
      "[\(reference.apiVersion ?? "")/\(reference.kind ?? ""), namespace: \(item.header.namespace), "
      + "name: \(reference.name ?? ""), uid: \(reference.uid ?? "")]"
    events.record(
      .warning, regarding: subject(resource, item.header),
      reason: "OwnerRefInvalidNamespace",
      message: "ownerRef \(owner) does not exist in namespace \"\(item.header.namespace)\"")
  }

  /// Follows the objects of these resources, and no others, from now on.
  ///
  /// - Returns: what is to be visited: dependents whose owners can be looked for now, and owners that wait for what went.
  func monitor(
    _ resources: [ServedResource], by set: InformerSet, _ enqueue: @escaping @Sendable (GarbageGraph.Slot) -> Void
  ) -> [GarbageGraph.Slot] {
    let change = monitors.change(to: resources, by: set)
    let owners = change.removed.reduce(into: Set<String>()) { $0.formUnion(graph.forget($1)) }
    for (name, informer) in change.added {
      informer.onChange { [weak informer] old, new in
        // One of a resource that went, or is followed in another version now, may tell of its last changes still.
        guard let informer, monitors.current.informers[name] === informer else { return }
        for key in changed(name, old, new) { enqueue(key) }
      }
    }
    let kinds = Set(change.kinds)
    let dependents = graph.all.filter { place in
      informers[place.resource]?.get(place.key)?.header.ownerReferences.contains {
        kinds.contains(GroupKind($0))
      } == true
    }.map(\.slot)
    return (dependents + waiting(owners)).sorted { ($0.resource, $0.key) < ($1.resource, $1.key) }
  }

  /// Those of these objects that wait for their dependents.
  private func waiting(_ uids: Set<String>) -> [GarbageGraph.Slot] {
    if uids.isEmpty { return [] }
    return informers.flatMap { name, informer in
      informer.list().filter { uids.contains($0.header.uid) && Self.isWaiting($0.header) }
        .map { GarbageGraph.Slot(resource: name, key: $0.header.key) }
    }
  }

  /// Takes a change of any object into the graph; returns what is to be visited because of it.
  func changed(_ resource: String, _ old: Object?, _ new: Object?) -> [GarbageGraph.Slot] {
    // One that was replaced by another of the same name between two lists.
    if let old, let new, old.header.uid != new.header.uid {
      return changed(resource, old, nil) + changed(resource, nil, new)
    }
    guard let header = (new ?? old)?.header else { return [] }
    let place = GarbageGraph.Place(resource: resource, key: header.key, uid: header.uid)
    let before = old?.header.ownerReferences ?? []
    let after = new?.header.ownerReferences ?? []
    if before != after { graph.update(place, from: before, to: after) }

    var visits: [GarbageGraph.Slot] = []
    // Owners that wait for this object, or for its reference to go.
    if before != after || new == nil {
      for owner in before { if let place = waitingOwner(owner, of: header) { visits.append(place.slot) } }
    }
    guard let new else { return visits + graph.dependents(of: header.uid).map(\.slot) }
    if before != after || old == nil {
      let hasGoneOwner = after.contains { !isKnownSolid($0, for: new.header) }
      if hasGoneOwner { visits.append(place.slot) }
    }
    let isWaiting = Self.isWaiting(new.header)
    if isWaiting || Self.isOrphaning(new.header) { visits.append(place.slot) }
    if isWaiting, old.map({ !Self.isWaiting($0.header) }) ?? true {
      visits += graph.dependents(of: header.uid).map(\.slot)
    }
    return visits
  }

  private static func isWaiting(_ header: ObjectHeader) -> Bool {
    header.deletionTimestamp != nil && header.finalizers.contains(foreground)
  }

  private static func isOrphaning(_ header: ObjectHeader) -> Bool {
    header.deletionTimestamp != nil && header.finalizers.contains(orphan)
  }

  /// The owner as the informer has it, when it is the one that is meant.
  private func knownOwner(_ reference: OwnerReference, of header: ObjectHeader) -> (GarbageGraph.Place, ObjectHeader)? {
    guard let resource = kinds[GroupKind(reference)] else { return nil }
    let key = ObjectKey(namespace: resource.isNamespaced ? header.namespace : "", name: reference.name ?? "")
    let name = resource.resource.groupResource
    guard let owner = informers[name]?.get(key)?.header, owner.uid == reference.uid else { return nil }
    return (GarbageGraph.Place(resource: name, key: key, uid: owner.uid), owner)
  }

  private func isKnownSolid(_ reference: OwnerReference, for header: ObjectHeader) -> Bool {
    knownOwner(reference, of: header).map { !Self.isWaiting($0.1) } ?? false
  }

  private func waitingOwner(_ reference: OwnerReference, of header: ObjectHeader) -> GarbageGraph.Place? {
    guard let (place, owner) = knownOwner(reference, of: header), Self.isWaiting(owner) else { return nil }
    return place
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    switch snapshot {
    case .foreground(let item, let dependents):
      if !dependents.contains(where: \.isBlocking) { return Plan([.removeFinalizer(item, Self.foreground)]) }
      // Each dependent is visited when its owner starts to wait, and decides for itself: it may have another owner. The
      // end of one brings this object back.
      return Plan()

    case .orphaning(let item, let dependents):
      let releases = dependents.map { dependent in
        Action.setOwners(
          Item(place: dependent.place, header: dependent.header),
          dependent.header.ownerReferences.filter { $0.uid != item.header.uid })
      }
      return Plan(releases + [.removeFinalizer(item, Self.orphan)])

    case .owned(let item, let owners, let hasDependents, let hasWaitingDependents):
      func uids(_ state: OwnerState) -> Set<String> { Set(owners.filter { $0.state == state }.map(\.uid)) }
      if !uids(.unresolvable).isEmpty { return Plan() }
      let gone = uids(.absent).union(uids(.waiting))
      if gone.isEmpty { return Plan() }
      if !uids(.solid).isEmpty {
        // One owner is enough to live.
        return Plan([.setOwners(item, item.header.ownerReferences.filter { !gone.contains($0.uid ?? "") })])
      }
      if !uids(.waiting).isEmpty && hasDependents {
        // An owner that waits for this one, which waits for its own: foreground all the way down. Where the chain is a
        // circle, this link stops blocking.
        return Plan((hasWaitingDependents ? [.unblockOwners(item)] : []) + [.delete(item, .foreground)])
      }
      let policy: PropagationPolicy =
        item.header.finalizers.contains(Self.orphan)
        ? .orphan : item.header.finalizers.contains(Self.foreground) ? .foreground : .background
      return Plan([.delete(item, policy)])
    }
  }

  func subject(of slot: GarbageGraph.Slot) -> EventSubject? {
    guard let resource = resources[slot.resource], let header = informers[slot.resource]?.get(slot.key)?.header else {
      return nil
    }
    return subject(resource, header)
  }

  private func subject(_ resource: ServedResource, _ header: ObjectHeader) -> EventSubject {
    EventSubject(
      kind: resource.kind, apiVersion: resource.resource.groupVersion.description, namespace: header.namespace,
      name: header.name, uid: header.uid)
  }

  func apply(_ action: Action) async throws {
    do {
      switch action {
      case .delete(let item, let policy):
        guard let resource = resources[item.place.resource] else { return }
        _ = try await client.delete(
          resource.resource, namespace: namespace(resource, item), name: item.place.key.name,
          options: DeleteOptions(propagationPolicy: policy, preconditionUID: item.header.uid))
      case .removeFinalizer(let item, let finalizer):
        let rest = item.header.finalizers.filter { $0 != finalizer }
        try await patch(
          item, ["finalizers": rest.isEmpty ? .null : .array(rest.map { .string($0) })])
      case .setOwners(let item, let owners):
        try await patch(item, ["ownerReferences": owners.isEmpty ? .null : .array(owners.map(\.json))])
      case .unblockOwners(let item):
        let owners = item.header.ownerReferences.map { owner in
          var owner = owner
          owner.blockOwnerDeletion = false
          return owner
        }
        try await patch(item, ["ownerReferences": .array(owners.map(\.json))], isGuarded: false)
      }
    } catch let error as KubeError where error.reason == .notFound {
      // It is gone, which is what was wanted.
    }
  }

  private func namespace(_ resource: ServedResource, _ item: Item) -> String? {
    resource.isNamespaced ? item.place.key.namespace : nil
  }

  /// Changes metadata of exactly the version that was looked at; on a conflict the queue looks again.
  private func patch(_ item: Item, _ metadata: JSONObject, isGuarded: Bool = true) async throws {
    guard let resource = resources[item.place.resource] else { return }
    var metadata = metadata
    metadata["uid"] = .string(item.header.uid)
    if isGuarded { metadata["resourceVersion"] = .string("\(item.header.resourceVersion)") }
    _ = try await client.patch(
      resource.resource, namespace: namespace(resource, item), name: item.place.key.name, subresource: nil,
      type: .merge, body: ["metadata": .object(metadata)],
      options: WriteOptions(fieldManager: "garbage-collector"))
  }
}

/// Watches all resources and runs the collector.
final class GarbageCollector: ControllerKit.Service {
  /// Events have no owners and come in crowds.
  static let ignored: Set<String> = ["events", "events.events.k8s.io"]

  private let controller: Controller<GarbageCollectorReconciler>
  private let resources: ServedResources

  /// - Parameter resources: followed while they change.
  init(
    client: any KubeClient, informers set: InformerSet, resources: ServedResources, metrics: Metrics,
    time: any TimeSource,
    seed: UInt64
  ) {
    self.resources = resources
    let reconciler = GarbageCollectorReconciler(
      client: client, monitors: GarbageMonitors(ignored: Self.ignored), graph: GarbageGraph(),
      events: EventRecorder(client: client, component: "garbage-collector-controller", time: time))
    // What is there at the start is listed before anything is decided.
    let first = resources.current.filter { !Self.ignored.contains($0.resource.groupResource) }
    controller = Controller(
      reconciler, workers: 4, informers: first.map { set.informer(for: $0.resource) }, events: reconciler.events,
      metrics: metrics, time: time, seed: seed)
    let controller = controller
    resources.follow { resources in
      for key in reconciler.monitor(resources, by: set, { controller.enqueue($0) }) { controller.enqueue(key) }
    }
  }

  func run() async throws { try await controller.run() }
}
