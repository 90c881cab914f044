import Containers
import LinuxSystem
import Logging

/// The node's threads for blocking calls, by what the calls are for. Pods are the lanes: what hangs for one pod holds up
/// no other one, and no work of another kind.
struct NodeLanes: Sendable {
  /// Paths that a pod's specification names (`hostPath`, and `subPath` in one). Whatever is mounted there may never
  /// answer.
  let paths: BlockingLanes
  /// The volumes that the node makes.
  let volumes: BlockingLanes
  /// The copies of pods, and their folders.
  let records: BlockingLanes
  /// Reading, moving and removing logs, and the last words of containers.
  let logs: BlockingLanes
  /// The image store: one for all pods, without lanes.
  let images: BlockingLanes
  /// Removing images, which may take long.
  let collection: BlockingLanes

  /// - Parameter pathDeadline: for one look at a path of a pod.
  init(pathDeadline: Duration = .seconds(10), log: Logger) {
    func lanes(_ name: String, _ deadline: Duration, running: Int, stuck: Int) -> BlockingLanes {
      BlockingLanes(name, .init(deadline: deadline, runningMax: running, stuckMax: stuck)) {
        $0.write(to: log, of: name)
      }
    }
    // As many as pods that a node may have: each may have one call that hangs.
    paths = lanes("paths", pathDeadline, running: 64, stuck: 128)
    volumes = lanes("volumes", .seconds(60), running: 16, stuck: 16)
    records = lanes("records", .seconds(60), running: 8, stuck: 8)
    logs = lanes("logs", .seconds(60), running: 16, stuck: 16)
    images = lanes("images", .seconds(120), running: 8, stuck: 8)
    collection = lanes("collect", .seconds(3600), running: 1, stuck: 1)
  }
}
