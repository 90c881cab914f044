import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Synchronization
import Telemetry
import Wire

/// Empties namespaces that are being deleted, and then lets them go by taking the `kubernetes` finalizer out of
/// `spec.finalizers`.
///
/// Pods go first (KEP-5080): a network policy or a secret that they depend on is not taken from under them.
struct NamespaceReconciler: Reconciler {
  let name = "namespace"

  static let resource = GroupVersionResource(group: "", version: "v1", resource: "namespaces")
  static let pods = GroupVersionResource(group: "", version: "v1", resource: "pods")
  static let finalizer = "kubernetes"
  /// Objects of one resource that are listed in one pass.
  static let pageSize = 500
  /// What goes one by one is looked at together.
  static let changePause = Duration.milliseconds(20)
  /// When a list failed, or an informer has none yet. Nothing tells that it would not fail any more, nor of what goes before
  /// an informer knows of it.
  static let failurePause = Duration.seconds(5)
  /// What informers do not follow (`GarbageCollector.ignored`) may have finalizers, too.
  static let backstop = Duration.seconds(600)

  let client: any KubeClient
  let namespaces: Informer
  /// Every namespaced resource that can be listed and deleted, in one version each, at the time.
  let resources: @Sendable () -> [GroupVersionResource]
  /// Whether informers tell of all that they are to follow: each has its first list.
  let isFollowed: @Sendable () -> Bool
  let time: any TimeSource

  struct Content: Sendable {
    var resource: GroupVersionResource
    var objects: [ObjectHeader]
  }

  struct Snapshot: Sendable {
    var namespace: Namespace
    /// What is left, without empty resources.
    var content: [Content]
    /// Why resources could not be listed.
    var failures: [String]
    /// Whether the end of each object that is left is told.
    var isFollowed: Bool
    var now: Timestamp
  }

  enum Action: Sendable, Equatable {
    case delete(GroupVersionResource, ObjectKey, uid: String)
    case updateStatus(Namespace)
    case finalize(Namespace)
  }

  /// Whether a change of one of its objects can let a namespace go, or changes what it says that it waits for. Most changes,
  /// as those of a pod's status, do neither.
  static func concerns(_ old: ObjectHeader?, _ new: ObjectHeader?) -> Bool {
    guard let old, let new else { return true }
    return old.uid != new.uid || old.finalizers != new.finalizers
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    guard let object = namespaces.get(key), object.header.deletionTimestamp != nil else { return nil }
    var content: [Content] = []
    var failures: [String] = []
    // Before the lists: what they find and an informer does not know yet may be gone when it does.
    let isFollowed = isFollowed()
    for resource in resources() {
      do {
        let list = try await client.list(
          resource, namespace: key.name, options: ListOptions(limit: Self.pageSize))
        if !list.items.isEmpty { content.append(Content(resource: resource, objects: list.items.map(\.header))) }
      } catch let error as KubeError {
        // A resource that is no longer served, or is nothing that is kept, has no objects.
        if ![.notFound, .methodNotAllowed].contains(error.reason) {
          failures.append("\(resource.groupResource): \(error)")
        }
      }
    }
    return Snapshot(
      namespace: object.decode(), content: content, failures: failures, isFollowed: isFollowed, now: time.now())
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    var namespace = snapshot.namespace
    guard snapshot.namespace.metadata.deletionTimestamp != nil else { return Plan() }
    if snapshot.content.isEmpty && snapshot.failures.isEmpty {
      guard namespace.spec.finalizers.contains(Self.finalizer) else { return Plan() }
      // An empty list is written, not left out: leaving it out means "unchanged" to some servers.
      namespace.spec.json["finalizers"] = .array(
        namespace.spec.finalizers.filter { $0 != Self.finalizer }.map { .string($0) })
      return Plan([.finalize(namespace)])
    }
    let pods = snapshot.content.filter { $0.resource.groupResource == Self.pods.groupResource }
    let deletions = (pods.isEmpty ? snapshot.content : pods).flatMap { content in
      content.objects.filter { $0.deletionTimestamp == nil }
        .map { Action.delete(content.resource, $0.key, uid: $0.uid) }
    }
    // What was deleted without finalizers is gone at the next look, and there may be more than one page.
    if !deletions.isEmpty { return Plan(deletions, requeueAfter: Self.changePause) }
    // The rest waits for somebody: a pod for its node, another object for its finalizers. Informers tell when it goes.
    let isChanged = Self.setConditions(&namespace, snapshot)
    return Plan(
      isChanged ? [.updateStatus(namespace)] : [],
      requeueAfter: snapshot.failures.isEmpty && snapshot.isFollowed ? Self.backstop : Self.failurePause)
  }

  /// Says what keeps the namespace; the words are those of kube-controller-manager.
  private static func setConditions(_ namespace: inout Namespace, _ snapshot: Snapshot) -> Bool {
    var conditions = namespace.status.conditions
    var isChanged = false
    func set(_ type: String, _ isTrue: Bool, _ reason: String, _ message: String) {
      let changed = Conditions.set(
        type, isTrue ? .yes : .no, reason: reason, message: message, now: snapshot.now, in: &conditions)
      isChanged = isChanged || changed
    }
    set(
      "NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources successfully discovered")
    set(
      "NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
      "All legacy kube types successfully parsed")
    if snapshot.failures.isEmpty {
      set(
        "NamespaceDeletionContentFailure", false, "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization")
    } else {
      set(
        "NamespaceDeletionContentFailure", true, "ContentDeletionFailed",
        "Failed to delete all resource types, \(snapshot.failures.count) remaining: "
          + snapshot.failures.sorted().joined(separator: ", "))
    }
    let remaining = snapshot.content
      .map { "\($0.resource.groupResource) has \($0.objects.count) resource instances" }.sorted()
    if remaining.isEmpty {
      set("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed")
    } else {
      set(
        "NamespaceContentRemaining", true, "SomeResourcesRemain",
        "Some resources are remaining: \(remaining.joined(separator: ", "))")
    }
    var finalizers: [String: Int] = [:]
    for object in snapshot.content.flatMap(\.objects) {
      for finalizer in object.finalizers { finalizers[finalizer, default: 0] += 1 }
    }
    if finalizers.isEmpty {
      set(
        "NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers",
        "All content-preserving finalizers finished")
    } else {
      let list = finalizers.map { "\($0.key) in \($0.value) resource instances" }.sorted()
      set(
        "NamespaceFinalizersRemaining", true, "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: \(list.joined(separator: ", "))")
    }
    namespace.status.conditions = conditions
    return isChanged
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    namespaces.get(key).map { EventSubject(Namespace.groupVersionKind, $0.header) }
  }

  func apply(_ action: Action) async throws {
    do {
      switch action {
      case .delete(let resource, let key, let uid):
        _ = try await client.delete(
          resource, namespace: key.namespace, name: key.name,
          options: DeleteOptions(propagationPolicy: .background, preconditionUID: uid))
      case .updateStatus(let namespace):
        _ = try await client.update(
          Self.resource, namespace: nil, name: namespace.metadata.name ?? "", subresource: "status",
          body: namespace.json, options: WriteOptions(fieldManager: "namespace-controller"))
      case .finalize(let namespace):
        _ = try await client.update(
          Self.resource, namespace: nil, name: namespace.metadata.name ?? "", subresource: "finalize",
          body: namespace.json, options: WriteOptions(fieldManager: "namespace-controller"))
      }
    } catch let error as KubeError where error.reason == .notFound {
      // It is gone, which is what was wanted.
    }
  }
}

/// Deletes namespaces, with the objects of all resources that are served at the time. Their informers are those of the
/// garbage collector, which follows all of them in any case.
func namespaceController(
  client: any KubeClient, informers: InformerSet, resources: ServedResources, metrics: Metrics,
  time: any TimeSource,
  seed: UInt64
) -> any ControllerKit.Service {
  let namespaces = informers.informer(for: NamespaceReconciler.resource)
  @Sendable func followed(_ resources: [ServedResource]) -> [GroupVersionResource] {
    resources.filter { $0.isNamespaced && !GarbageCollector.ignored.contains($0.resource.groupResource) }
      .map(\.resource)
  }
  // Those that tell of what is in namespaces, at the time.
  let known = Mutex<[Informer]>([])
  let reconciler = NamespaceReconciler(
    client: client, namespaces: namespaces,
    resources: { resources.current.filter(\.isNamespaced).map(\.resource) },
    isFollowed: { known.withLock { $0.allSatisfy(\.isSynced) } }, time: time)
  // One kind that cannot be listed must not hold up the others, nor what is to be said of it.
  let controller = Controller(
    reconciler, informers: [namespaces],
    events: EventRecorder(client: client, component: "namespace-controller", time: time), metrics: metrics, time: time,
    seed: seed)
  namespaces.onChange { _, new in
    if let new, new.header.deletionTimestamp != nil { controller.enqueue(new.header.key) }
  }
  resources.follow { resources in
    let all = followed(resources).map { informers.informer(for: $0) }
    let added = known.withLock { known in
      let added = all.filter { informer in !known.contains { $0 === informer } }
      known = all
      return added
    }
    for informer in added {
      informer.onChange { old, new in
        guard NamespaceReconciler.concerns(old?.header, new?.header), let header = (new ?? old)?.header else { return }
        let key = ObjectKey(name: header.namespace)
        guard namespaces.get(key)?.header.deletionTimestamp != nil else { return }
        controller.enqueue(key, after: NamespaceReconciler.changePause)
      }
    }
    // What a namespace waits for may be of a kind that is served no more, or of one that came.
    for namespace in namespaces.list() where namespace.header.deletionTimestamp != nil {
      controller.enqueue(namespace.header.key)
    }
  }
  return controller
}
