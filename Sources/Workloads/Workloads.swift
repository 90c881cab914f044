import ControllerKit
import KubeClient
import Telemetry
import Wire

/// The controllers that keep objects as they were declared.
public enum Workloads {
  /// Every controller of this room, one line each. Their informers come from `informers`, which has to run beside them.
  ///
  /// - Parameters:
  ///   - resources: what is served, for garbage collection and the deletion of namespaces.
  ///   - rootCertificate: PEM, for `kube-root-ca.crt` in each namespace.
  ///   - metrics: where their visits are counted.
  ///   - seed: for the jitter of the controllers.
  public static func services(
    client: any KubeClient, informers: InformerSet, resources: [ServedResource], rootCertificate: String,
    metrics: Metrics, time: any TimeSource, seed: UInt64
  ) -> [any ControllerKit.Service] {
    var random = SeededRandom(seed: seed)
    var services: [any ControllerKit.Service] = []
    services += replicaControllers(
      client: client, informers: informers, metrics: metrics, time: time, seed: random.next())
    services.append(
      deploymentController(client: client, informers: informers, metrics: metrics, time: time, seed: random.next()))
    services.append(
      namespaceController(
        client: client, informers: informers, resources: resources.filter(\.isNamespaced).map(\.resource),
        metrics: metrics, time: time, seed: random.next()))
    services.append(
      serviceAccountController(client: client, informers: informers, metrics: metrics, time: time, seed: random.next()))
    services.append(
      rootCAController(
        client: client, informers: informers, certificate: rootCertificate, metrics: metrics, time: time,
        seed: random.next()))
    services += endpointControllers(
      client: client, informers: informers, metrics: metrics, time: time, seed: random.next())
    services.append(
      GarbageCollector(
        client: client, informers: informers, resources: resources, metrics: metrics, time: time, seed: random.next()))
    services.append(
      podGarbageCollector(client: client, informers: informers, metrics: metrics, time: time, seed: random.next()))
    services += nodeLifecycleControllers(
      client: client, informers: informers, metrics: metrics, time: time, seed: random.next())
    services.append(UnservedKindEvents(client: client, informers: informers, resources: resources, time: time))
    return services
  }
}
