import ControllerKit
import Schema

extension Capability {
  /// The controllers that keep objects as they were declared.
  package static let workloads = Capability(
    name: "workloads", roles: [.server], components: Workloads.components,
    start: { context in
      CapabilityParts(
        services: Workloads.services(
          clients: context.clients, informers: context.informers, resources: ServedResources(context.kinds),
          rootCertificate: context.rootCertificate, metrics: context.metrics, time: context.time, seed: context.seed))
    })
}
