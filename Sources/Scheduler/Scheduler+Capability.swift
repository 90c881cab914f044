import ControllerKit

extension Capability {
  /// Gives pods their nodes.
  package static let scheduler = Capability(
    name: "scheduler", roles: [.server],
    start: { context in
      CapabilityParts(services: [
        Scheduler(
          client: context.client, informers: context.informers, metrics: context.metrics, time: context.time,
          seed: context.seed)
      ])
    })
}
