import Containers
import ControllerKit
import KubeClient
import KubeTypes
import Logging
import Wire

/// What all pod workers share.
struct NodeContext: Sendable {
  let configuration: NodeConfiguration
  let client: any KubeClient
  let runtime: any ContainerRuntime
  let images: any NodeImages
  let time: any TimeSource
  let events: EventRecorder
  let volumes: VolumeManager
  let references: ReferenceStore
  let files: FileWatcher
  let lanes: NodeLanes
  let specs: ContainerSpecBuilder
  /// The services of a namespace that have an address.
  let services: @Sendable (String) -> [ServiceVariables.Entry]
  let allocatable: @Sendable () -> [String: Quantity]
  let log: Logger

  /// `crun://`.
  var scheme: String { configuration.runtimeName + "://" }
}

/// The engine's, not the API's of the same name.
typealias ContainerState = Containers.ContainerState
