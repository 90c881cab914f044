import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Wire

/// Keeps the service account `default` in every namespace that is not being deleted.
struct ServiceAccountReconciler: Reconciler {
  let name = "serviceaccount"

  static let resource = GroupVersionResource(group: "", version: "v1", resource: "serviceaccounts")
  static let account = "default"

  let client: any KubeClient
  let namespaces: Informer
  let accounts: Informer

  struct Snapshot: Sendable {
    var namespace: String
    var isActive: Bool
    var hasAccount: Bool
  }

  enum Action: Sendable, Equatable { case create(namespace: String) }

  /// The key is the namespace's.
  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    guard let namespace = namespaces.get(key) else { return nil }
    return Snapshot(
      namespace: key.name, isActive: namespace.header.deletionTimestamp == nil,
      hasAccount: accounts.get(ObjectKey(namespace: key.name, name: Self.account)) != nil)
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    snapshot.isActive && !snapshot.hasAccount ? Plan([.create(namespace: snapshot.namespace)]) : Plan()
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    namespaces.get(key).map { EventSubject(Namespace.groupVersionKind, $0.header) }
  }

  func apply(_ action: Action) async throws {
    guard case .create(let namespace) = action else { return }
    var account = ServiceAccount()
    account.metadata.name = Self.account
    account.metadata.namespace = namespace
    do {
      _ = try await client.create(
        Self.resource, namespace: namespace, name: nil, subresource: nil, body: account.json,
        options: WriteOptions(fieldManager: "service-account-controller"))
    } catch let error as KubeError where error.reason == .alreadyExists || error.reason == .notFound {
      // Somebody else made it, or the namespace is gone.
    }
  }
}

/// Keeps a `default` service account in each namespace.
func serviceAccountController(
  client: any KubeClient, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64
) -> any ControllerKit.Service {
  let namespaces = informers.informer(for: NamespaceReconciler.resource)
  let accounts = informers.informer(for: ServiceAccountReconciler.resource)
  let controller = Controller(
    ServiceAccountReconciler(client: client, namespaces: namespaces, accounts: accounts),
    informers: [namespaces, accounts],
    events: EventRecorder(client: client, component: "service-account-controller", time: time), metrics: metrics,
    time: time, seed: seed)
  namespaces.onChange { _, new in
    if let new { controller.enqueue(new.header.key) }
  }
  accounts.onChange { old, new in
    guard new == nil, let old, old.header.name == ServiceAccountReconciler.account else { return }
    controller.enqueue(ObjectKey(name: old.header.namespace))
  }
  return controller
}
