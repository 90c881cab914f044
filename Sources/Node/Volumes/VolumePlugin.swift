import KubeClient
import KubeTypes
import LinuxSystem
import Synchronization
import Wire

/// One kind of volume: what a pod has in `spec.volumes[]` under one name.
///
/// What a kind makes below `VolumeRequest.folder` or `VolumeContext.memoryFolder` is found again by its place, with all that
/// is mounted there, and is removed with the pod. Nothing else is kept of it: the tree is the record, the kernel's list of
/// mounts tells the rest, and a start of a pod waits for no fsync. What lies elsewhere, or takes more than to unmount it, is
/// the work of a `VolumeDriver`, and goes through `VolumeContext.mounts`, which keeps records.
///
/// Calls for one pod come one after another, those for different pods at the same time. What may block runs on the lanes of
/// `VolumeContext`, under the pod's uid.
protocol VolumePlugin: Sendable {
  /// The name of the volume's source, such as `configMap`.
  var source: String { get }

  /// The ConfigMaps and Secrets whose change the volume follows.
  func references(of volume: Volume, namespace: String) -> Set<ObjectReferenceKey>

  /// Makes the volume, or brings it up to date beside running containers. Idempotent, also after a call that was cut off
  /// anywhere.
  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume

  /// Forgets what is kept of a pod in memory, when its volumes go. Idempotent; the pod's object may be gone.
  func tearDown(_ uid: String)
}

extension VolumePlugin {
  func references(of volume: Volume, namespace: String) -> Set<ObjectReferenceKey> { [] }
  func tearDown(_ uid: String) {}
}

/// The kinds that the node knows.
enum VolumePlugins {
  static func all() -> [any VolumePlugin] {
    [
      EmptyDirPlugin(), HostPathPlugin(), ConfigMapPlugin(), SecretPlugin(), DownwardAPIPlugin(), ProjectedPlugin(),
      PersistentVolumeClaimPlugin(),
    ]
  }
}

/// A volume that a pod asks for.
struct VolumeRequest: Sendable {
  let volume: Volume
  let pod: Pod
  /// On disk, for this volume alone. Nobody has made it yet.
  let folder: String

  var uid: String { pod.metadata.uid ?? "" }
  var namespace: String { pod.metadata.namespace ?? "" }
  var name: String { volume.name ?? "" }
  /// Owns the files.
  var group: UInt32? { pod.spec.securityContext?.fsGroup.map { UInt32(truncatingIfNeeded: $0) } }
}

/// A volume that containers can mount.
struct PreparedVolume: Sendable, Equatable {
  /// A file or folder of the host.
  var path: String
  /// The node writes it: containers may only read.
  var isReadOnly: Bool
  /// The `type` of a `hostPath`; `nil` for what only the node names.
  var hostPathType: String?
  /// When it has to be set up again although nothing has changed.
  var refreshAt: Timestamp?
}

/// What the kinds of volumes have of the node.
struct VolumeContext: Sendable {
  let configuration: NodeConfiguration
  let client: any KubeClient
  let references: ReferenceStore
  let time: any TimeSource
  let lanes: NodeLanes
  let allocatable: @Sendable () -> [String: Quantity]
  let mounts: VolumeMounts

  var place: FieldReference.Place { FieldReference.Place(hostIPs: configuration.nodeIPs, podIPs: []) }

  /// Makes `folder` hold these files.
  func write(_ files: [String: AtomicWriter.File], of request: VolumeRequest, to folder: String) async throws {
    let stamp = time.now()
    let group = request.group
    try await lanes.volumes.run(request.uid, "write \(folder)") {
      try AtomicWriter.write(files, to: folder, group: group, stamp: stamp)
    }
  }

  /// The files of a ConfigMap or Secret.
  func files(
    of key: ObjectReferenceKey, items: [KeyToPath], defaultMode: Int64, isOptional: Bool
  ) async throws -> [String: AtomicWriter.File] {
    let object = try await references.get(key)
    let data: [String: [UInt8]]? =
      switch key.kind {
      case .configMap: object.map { VolumeContent.data(of: $0.decode(ConfigMap.self)) }
      case .secret: object.map { VolumeContent.data(of: $0.decode(Secret.self)) }
      }
    let what = key.kind == .configMap ? "configmap \"\(key.name)\"" : "secret \"\(key.name)\""
    return try VolumeContent.files(
      from: data, items: items, defaultMode: defaultMode, isOptional: isOptional, what: what)
  }

  // MARK: - Memory

  /// Secrets and tokens are kept in memory only.
  var memoryRoot: String { "\(configuration.runDirectory)/volumes" }

  func memoryDirectory(_ uid: String) -> String { "\(memoryRoot)/\(uid)" }

  /// A folder in memory for this volume alone, below one that is there.
  func memoryFolder(of request: VolumeRequest) async throws -> String {
    let root = memoryRoot
    try await lanes.volumes.run(request.uid, "mount \(root)") { try Self.mountMemory(root) }
    return "\(memoryDirectory(request.uid))/\(request.name)"
  }

  private static let mounting = Mutex(())

  private static func mountMemory(_ root: String) throws(SystemError) {
    // Two pods must not mount it twice.
    let failure: SystemError? = mounting.withLock { _ in
      do throws(SystemError) {
        try Directory.createPrivate(root)
        if !Mount.isInMemory(root) { try Mount.tmpfs(target: root, mode: 0o700) }
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }
}
