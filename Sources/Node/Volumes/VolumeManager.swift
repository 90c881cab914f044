import KubeClient
import KubeTypes
import LinuxSystem
import Wire

/// Prepares, refreshes and removes the volumes of pods, each by the plugin for its kind.
///
/// Everything is found again by its path, so that a server that starts anew goes on with what the last one prepared.
final class VolumeManager: Sendable {
  private let plugins: [any VolumePlugin]
  private let context: VolumeContext

  /// - Parameter plugins: the kinds that are served. The first one that a volume has the source of gets it.
  init(_ context: VolumeContext, plugins: [any VolumePlugin] = VolumePlugins.all()) {
    self.context = context
    self.plugins = plugins
  }

  /// What a pod's containers can mount.
  struct Prepared: Sendable, Equatable {
    /// By name.
    var volumes: [String: PreparedVolume] = [:]
    /// When a token must be renewed.
    var refreshAt: Timestamp?
  }

  /// Makes or updates every volume of the pod. Idempotent, also beside running containers.
  func prepare(_ pod: Pod) async throws(NodeError) -> Prepared {
    var prepared = Prepared()
    for volume in pod.spec.volumes {
      let name = volume.name ?? ""
      do {
        let made = try await prepare(volume, of: pod)
        prepared.volumes[name] = made
        if let refreshAt = made.refreshAt {
          prepared.refreshAt = prepared.refreshAt.map { min($0, refreshAt) } ?? refreshAt
        }
      } catch let error as NodeError {
        throw NodeError(.failedMount, "MountVolume.SetUp failed for volume \"\(name)\" : \(error.message)")
      } catch {
        throw NodeError(.failedMount, "MountVolume.SetUp failed for volume \"\(name)\" : \(describe(error))")
      }
    }
    return prepared
  }

  private func prepare(_ volume: Volume, of pod: Pod) async throws -> PreparedVolume {
    guard let plugin = plugin(for: volume) else {
      let kind = volume.json.object?.keys.first { $0 != "name" } ?? "unknown"
      throw NodeError(.failedMount, "volumes of type \(kind) are not supported by this node")
    }
    let folder = context.configuration.volumeDirectory(pod.metadata.uid ?? "", volume.name ?? "")
    return try await plugin.setUp(VolumeRequest(volume: volume, pod: pod, folder: folder), context)
  }

  /// Every ConfigMap and Secret that the pod's volumes follow.
  func references(of pod: Pod) -> Set<ObjectReferenceKey> {
    let namespace = pod.metadata.namespace ?? ""
    return pod.spec.volumes.reduce(into: []) { keys, volume in
      if let plugin = plugin(for: volume) { keys.formUnion(plugin.references(of: volume, namespace: namespace)) }
    }
  }

  private func plugin(for volume: Volume) -> (any VolumePlugin)? {
    plugins.first { plugin in volume.json[plugin.source].map { !$0.isNull } ?? false }
  }

  /// Whether anything of the pod's volumes is on this machine.
  func hasVolumes(_ uid: String) -> Bool { places(uid).contains { Files.exists($0) } }

  /// Unmounts and removes everything. Idempotent.
  func remove(_ uid: String) async throws(NodeError) {
    for plugin in plugins { plugin.tearDown(uid) }
    let (folders, root) = (trees(uid), context.memoryRoot)
    do {
      try await context.mounts.remove(uid)
      try await context.lanes.volumes.run(uid, "remove volumes") {
        for folder in folders where Files.exists(folder) {
          try Mount.unmountTree(folder)
          try Directory.removeTree(folder)
        }
        // The last one takes the memory file system with it: a node without pods leaves no mount behind.
        if Files.list(root).isEmpty, Files.isMountPoint(root) { try? Mount.unmount(root) }
      }
    } catch {
      throw NodeError(.failedMount, "UnmountVolume.TearDown failed: \(describe(error))")
    }
  }

  /// The uids of all pods that have a folder on this machine.
  func pods() async throws -> Set<String> {
    let folders = [context.configuration.podsDirectory, context.memoryRoot]
    return try await context.lanes.volumes.run(nil, "look for volumes") { Set(folders.flatMap { Files.list($0) }) }
  }

  /// Looks after what is not one pod's, until the task is cancelled.
  func run() async { await context.mounts.run() }

  // MARK: - Places

  private func places(_ uid: String) -> [String] { trees(uid) + [context.configuration.mountsDirectory(uid)] }

  /// Folders that are the pod's volumes and nothing else, and of which no record tells.
  private func trees(_ uid: String) -> [String] {
    let folder = context.configuration.podDirectory(uid)
    // The first is where earlier servers mounted what `subPath` names.
    return ["\(folder)/volume-subpaths", "\(folder)/volumes", context.memoryDirectory(uid)]
  }
}
