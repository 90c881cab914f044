import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Wire

/// Keeps the ConfigMap `kube-root-ca.crt` in every namespace that is not being deleted, so that pods can verify the API
/// server (KEP-1205).
struct RootCAReconciler: Reconciler {
  let name = "root-ca"

  static let resource = GroupVersionResource(group: "", version: "v1", resource: "configmaps")
  static let configMap = "kube-root-ca.crt"
  static let key = "ca.crt"

  let client: any KubeClient
  let namespaces: Informer
  let configMaps: Informer
  /// PEM.
  let certificate: String

  struct Snapshot: Sendable {
    var namespace: String
    var isActive: Bool
    var configMap: ConfigMap?
    var certificate: String
  }

  enum Action: Sendable, Equatable {
    case create(ConfigMap)
    case update(ConfigMap)
  }

  /// The key is the namespace's.
  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    guard let namespace = namespaces.get(key) else { return nil }
    return Snapshot(
      namespace: key.name, isActive: namespace.header.deletionTimestamp == nil,
      configMap: configMaps.get(ObjectKey(namespace: key.name, name: Self.configMap))?.decode(),
      certificate: certificate)
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    guard snapshot.isActive else { return Plan() }
    let data = [Self.key: snapshot.certificate]
    guard var configMap = snapshot.configMap else {
      var configMap = ConfigMap()
      configMap.metadata.name = Self.configMap
      configMap.metadata.namespace = snapshot.namespace
      configMap.metadata.annotations = [
        "kubernetes.io/description": "Certificates that verify the API server when it is called by an internal name."
      ]
      configMap.data = data
      return Plan([.create(configMap)])
    }
    if configMap.data == data || configMap.metadata.deletionTimestamp != nil { return Plan() }
    configMap.data = data
    return Plan([.update(configMap)])
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    namespaces.get(key).map { EventSubject(Namespace.groupVersionKind, $0.header) }
  }

  func apply(_ action: Action) async throws {
    let options = WriteOptions(fieldManager: "root-ca-publisher")
    do {
      switch action {
      case .create(let configMap):
        _ = try await client.create(
          Self.resource, namespace: configMap.metadata.namespace, name: nil, subresource: nil, body: configMap.json,
          options: options)
      case .update(let configMap):
        _ = try await client.update(
          Self.resource, namespace: configMap.metadata.namespace, name: Self.configMap, subresource: nil,
          body: configMap.json, options: options)
      }
    } catch let error as KubeError where error.reason == .notFound {
      // The namespace or the ConfigMap is gone: its informer says so, and the next visit makes it again.
    }
  }
}

/// Publishes the cluster's CA certificate (PEM) in each namespace.
func rootCAController(
  client: any KubeClient, informers: InformerSet, certificate: String, metrics: Metrics, time: any TimeSource,
  seed: UInt64
) -> any ControllerKit.Service {
  let namespaces = informers.informer(for: NamespaceReconciler.resource)
  let configMaps = informers.informer(for: RootCAReconciler.resource)
  let controller = Controller(
    RootCAReconciler(client: client, namespaces: namespaces, configMaps: configMaps, certificate: certificate),
    informers: [namespaces, configMaps],
    events: EventRecorder(client: client, component: "root-ca-publisher", time: time), metrics: metrics, time: time,
    seed: seed)
  namespaces.onChange { _, new in
    if let new { controller.enqueue(new.header.key) }
  }
  configMaps.onChange { old, new in
    guard let header = (new ?? old)?.header, header.name == RootCAReconciler.configMap else { return }
    controller.enqueue(ObjectKey(name: header.namespace))
  }
  return controller
}
