import ControllerKit
import KubeClient
import Telemetry
import Wire

/// The controllers that keep objects as they were declared.
package enum Workloads {
  /// Every controller of this room, one line each. Their informers come from `informers`, which has to run beside them.
  ///
  /// - Parameters:
  ///   - clients: the API as each of them (`components`).
  ///   - resources: what is served, for garbage collection and the deletion of namespaces.
  ///   - rootCertificate: PEM, for `kube-root-ca.crt` in each namespace.
  ///   - metrics: where their visits are counted.
  ///   - seed: for the jitter of the controllers.
  package static func services(
    clients: ComponentClients, informers: InformerSet, resources: ServedResources, rootCertificate: String,
    metrics: Metrics, time: any TimeSource, seed: UInt64
  ) -> [any ControllerKit.Service] {
    var random = SeededRandom(seed: seed)
    var services: [any ControllerKit.Service] = []
    services += replicaControllers(
      clients: clients, informers: informers, metrics: metrics, time: time, seed: random.next())
    services.append(
      deploymentController(
        client: clients(.deployments), informers: informers, metrics: metrics, time: time, seed: random.next()))
    services.append(
      namespaceController(
        client: clients(.namespaces), informers: informers, resources: resources,
        metrics: metrics, time: time, seed: random.next()))
    services.append(
      serviceAccountController(
        client: clients(.serviceAccounts), informers: informers, metrics: metrics, time: time, seed: random.next()))
    services.append(
      rootCAController(
        client: clients(.rootCertificates), informers: informers, certificate: rootCertificate, metrics: metrics,
        time: time, seed: random.next()))
    services += endpointControllers(
      clients: clients, informers: informers, metrics: metrics, time: time, seed: random.next())
    services.append(
      GarbageCollector(
        client: clients(.garbage), informers: informers, resources: resources, metrics: metrics, time: time,
        seed: random.next()))
    services.append(
      podGarbageCollector(
        client: clients(.podGarbage), informers: informers, metrics: metrics, time: time, seed: random.next()))
    services += nodeLifecycleControllers(
      client: clients(.nodes), informers: informers, metrics: metrics, time: time, seed: random.next())
    services.append(
      UnservedKindEvents(client: clients(.unservedKinds), informers: informers, resources: resources, time: time))
    return services
  }
}
