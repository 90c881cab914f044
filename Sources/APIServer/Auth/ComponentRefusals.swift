import ControllerKit
import KubeClient
import Logging
import Synchronization
import Telemetry

/// Tells of what components of this process were refused: with the rights that they come with this is a fault of ours, or
/// somebody took a right away.
///
/// Each refusal is counted, and of those of one user, verb and resource the first, second, fourth and so on are logged: a
/// controller that is refused for every object fills no log.
final class ComponentRefusals: Sendable {
  private struct Asked: Hashable {
    var user: String
    var verb: String
    var resource: String
  }

  private let counter: Counter
  private let logger: Logger
  /// Bounded by the components, verbs and resources of this program.
  private let counts = Mutex<[Asked: UInt64]>([:])

  init(metrics: Metrics, logger: Logger) {
    counter = metrics.counter(
      "apus_component_refusals_total", help: "Requests of components of the server's process that RBAC refused.",
      labels: ["user", "verb", "resource"])
    self.logger = logger
  }

  /// - Returns: the error for the component.
  func note(_ attributes: AccessAttributes) -> KubeError {
    let resource = [attributes.resource, attributes.subresource].filter { !$0.isEmpty }.joined(separator: "/")
    let asked = Asked(
      user: attributes.user.name, verb: attributes.verb,
      resource: attributes.group.isEmpty ? resource : "\(resource).\(attributes.group)")
    counter.increment(asked.user, asked.verb, asked.resource)
    let count = counts.withLock { counts in
      counts[asked, default: 0] += 1
      return counts[asked] ?? 1
    }
    let refusal = attributes.refusal
    if count & (count - 1) == 0 {
      logger.error(
        "a component of this server has not the right to do what it tried",
        metadata: [
          "user": "\(asked.user)", "verb": "\(asked.verb)", "resource": "\(asked.resource)", "count": "\(count)",
          "error": "\(refusal.message)",
        ])
    }
    return refusal.asMissingRight
  }
}
