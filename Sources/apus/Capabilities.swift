import ControllerKit
import PodNetwork
import Scheduler
import Workloads

/// The composition root's list, in the order in which they start: what one provides, those after it use.
enum Capabilities {
  static let all: [Capability] = [.images, .podNetwork, .node, .scheduler, .workloads, .registry, .builder]
}
