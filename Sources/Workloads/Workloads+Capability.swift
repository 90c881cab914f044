import ControllerKit
import Schema

extension Capability {
  /// The controllers that keep objects as they were declared.
  package static let workloads = Capability(
    name: "workloads", roles: [.server], components: Workloads.components,
    start: { context in
      // What garbage collection and the deletion of namespaces have to look through.
      let resources = context.schemas.kinds.filter { $0.verbs.contains("list") && $0.verbs.contains("watch") }.map {
        ServedResource($0.groupVersionResource, kind: $0.kind, isNamespaced: $0.isNamespaced)
      }
      return CapabilityParts(
        services: Workloads.services(
          clients: context.clients, informers: context.informers, resources: resources,
          rootCertificate: context.rootCertificate, metrics: context.metrics, time: context.time, seed: context.seed))
    })
}
