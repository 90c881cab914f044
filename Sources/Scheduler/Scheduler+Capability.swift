import ControllerKit

extension Capability {
  /// Gives pods their nodes.
  package static let scheduler = Capability(
    name: "scheduler", roles: [.server], components: [identity],
    start: { context in
      CapabilityParts(services: [
        Scheduler(
          client: context.clients(identity), informers: context.informers, metrics: context.metrics, time: context.time,
          seed: context.seed)
      ])
    })

  /// What it asks the API for beside what its informers read.
  private static let identity = ComponentIdentity.user(
    "system:kube-scheduler",
    [
      .init(verbs: ["create"], resources: ["pods/binding"]), .init(verbs: ["patch"], resources: ["pods/status"]),
      .events,
    ])
}
