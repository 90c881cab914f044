import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import Schema
import Synchronization
import Wire

/// Prepares, refreshes and removes the volumes of pods.
///
/// Everything is found again by its path, so that a server that starts anew goes on with what the last one prepared.
///
/// `sizeLimit` of an `emptyDir` is enforced in memory, as the size of its tmpfs. On disk it is not: kubelet measures the
/// folder now and then and evicts the pod, and this node evicts nothing.
final class VolumeManager: Sendable {
  private let configuration: NodeConfiguration
  private let client: any KubeClient
  private let references: ReferenceStore
  private let time: any TimeSource
  private let lanes: NodeLanes
  private let allocatable: @Sendable () -> [String: Quantity]

  /// Tokens of projected volumes, so that a refresh for another reason does not ask for a new one.
  private struct Token {
    var text: String
    var refreshAt: Timestamp
  }
  private let tokens = Mutex<[String: [String: Token]]>([:])

  init(
    configuration: NodeConfiguration, client: any KubeClient, references: ReferenceStore, time: any TimeSource,
    lanes: NodeLanes, allocatable: @escaping @Sendable () -> [String: Quantity]
  ) {
    self.configuration = configuration
    self.client = client
    self.references = references
    self.time = time
    self.lanes = lanes
    self.allocatable = allocatable
  }

  /// What a pod's containers can mount.
  struct Prepared: Sendable, Equatable {
    struct Volume: Sendable, Equatable {
      /// A file or folder of the host.
      var path: String
      /// The node writes it: containers may only read.
      var isReadOnly: Bool
      /// The `type` of a `hostPath`; `nil` for what only the node names.
      var hostPathType: String?
    }
    var volumes: [String: Volume] = [:]
    /// When a token must be renewed.
    var refreshAt: Timestamp?
  }

  /// Makes or updates every volume of the pod. Idempotent, also beside running containers.
  func prepare(_ pod: Pod) async throws(NodeError) -> Prepared {
    var prepared = Prepared()
    for volume in pod.spec.volumes {
      let name = volume.name ?? ""
      do {
        prepared.volumes[name] = try await prepare(volume, name, pod, &prepared.refreshAt)
      } catch let error as NodeError {
        throw NodeError(.failedMount, "MountVolume.SetUp failed for volume \"\(name)\" : \(error.message)")
      } catch {
        throw NodeError(.failedMount, "MountVolume.SetUp failed for volume \"\(name)\" : \(describe(error))")
      }
    }
    return prepared
  }

  /// Whether anything of the pod's volumes is on this machine.
  func hasVolumes(_ uid: String) -> Bool {
    Files.exists("\(configuration.podDirectory(uid))/volumes") || Files.exists(memoryDirectory(uid))
      || Files.exists(oldSubPathDirectory(uid))
  }

  /// Unmounts and removes everything. Idempotent.
  func remove(_ uid: String) async throws(NodeError) {
    _ = tokens.withLock { $0.removeValue(forKey: uid) }
    let folders = [oldSubPathDirectory(uid), "\(configuration.podDirectory(uid))/volumes", memoryDirectory(uid)]
    let root = memoryRoot
    do {
      try await lanes.volumes.run(uid, "remove volumes") {
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

  // MARK: - Places

  /// Secrets and tokens are kept in memory only.
  private var memoryRoot: String { "\(configuration.runDirectory)/volumes" }
  private func memoryDirectory(_ uid: String) -> String { "\(memoryRoot)/\(uid)" }
  /// Where earlier servers mounted what `subPath` names.
  private func oldSubPathDirectory(_ uid: String) -> String { "\(configuration.podDirectory(uid))/volume-subpaths" }

  private func memoryFolder(_ uid: String, _ name: String) async throws -> String {
    let root = memoryRoot
    try await lanes.volumes.run(uid, "mount \(root)") { try Self.mountMemory(root) }
    return "\(memoryDirectory(uid))/\(name)"
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

  // MARK: - One volume

  private func prepare(
    _ volume: Volume, _ name: String, _ pod: Pod, _ refreshAt: inout Timestamp?
  ) async throws -> Prepared.Volume {
    let uid = pod.metadata.uid ?? ""
    let namespace = pod.metadata.namespace ?? ""
    let group = pod.spec.securityContext?.fsGroup.map { UInt32(truncatingIfNeeded: $0) }
    let folder = configuration.volumeDirectory(uid, name)
    if let source = volume.emptyDir {
      let inMemory = source.medium == "Memory"
      let limit = source.sizeLimit
      try await lanes.volumes.run(uid, "make \(folder)") {
        try Self.makeEmptyDirectory(folder, inMemory: inMemory, limit: limit?.value, group: group)
      }
      return Prepared.Volume(path: folder, isReadOnly: false)
    }
    if let source = volume.hostPath {
      let path = source.path ?? ""
      let type = source.`type` ?? ""
      _ = try await lanes.paths.run(uid, "open hostPath \(path)") { try HostPath.open(path, type: type) }
      return Prepared.Volume(path: path, isReadOnly: false, hostPathType: type)
    }
    if let source = volume.configMap {
      let files = try await files(
        .configMap, namespace, source.name ?? "", items: source.items, mode: source.defaultMode,
        isOptional: source.`optional` == true)
      try await write(files, of: uid, to: folder, group: group)
      return Prepared.Volume(path: folder, isReadOnly: true)
    }
    if let source = volume.secret {
      let files = try await files(
        .secret, namespace, source.secretName ?? "", items: source.items, mode: source.defaultMode,
        isOptional: source.`optional` == true)
      let folder = try await memoryFolder(uid, name)
      try await write(files, of: uid, to: folder, group: group)
      return Prepared.Volume(path: folder, isReadOnly: true)
    }
    if let source = volume.downwardAPI {
      let files = try VolumeContent.files(
        from: source.items, defaultMode: source.defaultMode ?? 0o644, pod: pod, place: place, allocatable: allocatable()
      )
      try await write(files, of: uid, to: folder, group: group)
      return Prepared.Volume(path: folder, isReadOnly: true)
    }
    if let source = volume.projected {
      var files: [String: AtomicWriter.File] = [:]
      for part in source.sources {
        let more = try await projection(part, source.defaultMode ?? 0o644, pod, name, &refreshAt)
        files.merge(more) { _, new in new }
      }
      let folder = try await memoryFolder(uid, name)
      try await write(files, of: uid, to: folder, group: group)
      return Prepared.Volume(path: folder, isReadOnly: true)
    }
    if let claim = volume.persistentVolumeClaim {
      throw NodeError(
        .failedMount,
        "persistentVolumeClaim \"\(claim.claimName ?? "")\" cannot be mounted: this node has no storage driver yet; "
          + "use emptyDir or hostPath")
    }
    let kind = volume.json.object?.keys.first { $0 != "name" } ?? "unknown"
    throw NodeError(.failedMount, "volumes of type \(kind) are not supported by this node")
  }

  private var place: FieldReference.Place { FieldReference.Place(hostIPs: configuration.nodeIPs, podIPs: []) }

  private func write(
    _ files: [String: AtomicWriter.File], of uid: String, to folder: String, group: UInt32?
  ) async throws {
    let stamp = time.now()
    try await lanes.volumes.run(uid, "write \(folder)") {
      try AtomicWriter.write(files, to: folder, group: group, stamp: stamp)
    }
  }

  private static func makeEmptyDirectory(
    _ folder: String, inMemory: Bool, limit: Int64?, group: UInt32?
  ) throws(SystemError) {
    try Files.makeDirectory(folder, mode: 0o777)
    if inMemory, try !Mount.isMountPoint(folder) { try Mount.tmpfs(target: folder, mode: 0o1777, sizeMax: limit) }
    guard let group else { return }
    var status = stat()
    guard lstat(folder, &status) == 0 else { throw SystemError.last("stat \(folder)") }
    // Set once: what containers made of it since is theirs (`fsGroupChangePolicy: OnRootMismatch`).
    if status.st_gid != group || status.st_mode & 0o2000 == 0 {
      try Files.chown(folder, group: group, addingMode: 0o2770)
    }
  }

  private func files(
    _ kind: ObjectReferenceKey.Kind, _ namespace: String, _ name: String, items: [KeyToPath], mode: Int64?,
    isOptional: Bool
  ) async throws -> [String: AtomicWriter.File] {
    let object = try await references.get(ObjectReferenceKey(kind: kind, namespace: namespace, name: name))
    let data: [String: [UInt8]]? =
      switch kind {
      case .configMap: object.map { VolumeContent.data(of: $0.decode(ConfigMap.self)) }
      case .secret: object.map { VolumeContent.data(of: $0.decode(Secret.self)) }
      }
    let what = kind == .configMap ? "configmap \"\(name)\"" : "secret \"\(name)\""
    return try VolumeContent.files(
      from: data, items: items, defaultMode: mode ?? 0o644, isOptional: isOptional, what: what)
  }

  private func projection(
    _ source: VolumeProjection, _ mode: Int64, _ pod: Pod, _ volume: String, _ refreshAt: inout Timestamp?
  ) async throws -> [String: AtomicWriter.File] {
    let namespace = pod.metadata.namespace ?? ""
    if let source = source.configMap {
      return try await files(
        .configMap, namespace, source.name ?? "", items: source.items, mode: mode,
        isOptional: source.`optional` == true)
    }
    if let source = source.secret {
      return try await files(
        .secret, namespace, source.name ?? "", items: source.items, mode: mode, isOptional: source.`optional` == true)
    }
    if let source = source.downwardAPI {
      return try VolumeContent.files(
        from: source.items, defaultMode: mode, pod: pod, place: place, allocatable: allocatable())
    }
    if let source = source.serviceAccountToken {
      let token = try await token(
        audience: source.audience ?? "", seconds: source.expirationSeconds ?? 3600, pod: pod, volume: volume)
      refreshAt = refreshAt.map { min($0, token.refreshAt) } ?? token.refreshAt
      let access = TokenAccess(pod, defaultMode: mode)
      return [
        source.path ?? "token": AtomicWriter.File(
          bytes: Array(token.text.utf8), mode: access.mode, owner: access.owner)
      ]
    }
    throw NodeError(.failedMount, "this projected source is not supported by this node")
  }

  /// A token bound to the pod, the known one until 80 % of its life are over.
  private func token(audience: String, seconds: Int64, pod: Pod, volume: String) async throws -> Token {
    let uid = pod.metadata.uid ?? ""
    let key = "\(volume)/\(audience)/\(seconds)"
    let now = time.now()
    if let known = tokens.withLock({ $0[uid]?[key] }), now < known.refreshAt { return known }
    let account = pod.spec.serviceAccountName ?? "default"
    let audiences: JSON = audience.isEmpty ? [] : [.string(audience)]
    let request: JSON = [
      "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
      "spec": [
        "audiences": audiences, "expirationSeconds": .int(seconds),
        "boundObjectRef": [
          "kind": "Pod", "apiVersion": "v1", "name": .string(pod.metadata.name ?? ""), "uid": .string(uid),
        ],
      ],
    ]
    let answer = try await client.create(
      ServiceAccount.resource, namespace: pod.metadata.namespace, name: account, subresource: "token", body: request,
      options: WriteOptions(fieldManager: "apus-node")
    ).json()
    guard let text = answer.at("status", "token")?.string else {
      throw NodeError(.failedMount, "the API server gave no token for service account \(account)")
    }
    let expiry =
      answer.at("status", "expirationTimestamp")?.string.flatMap { Timestamp(rfc3339: $0) }
      ?? now.adding(.seconds(seconds))
    let life = max(0, expiry.microseconds - now.microseconds)
    let token = Token(text: text, refreshAt: Timestamp(microseconds: now.microseconds + life / 5 * 4))
    tokens.withLock { $0[uid, default: [:]][key] = token }
    return token
  }
}

/// Who may read a service account's token: the user of all the pod's containers alone, where they have one and the pod
/// names it (`FsUserFrom` and the projected volume in Kubernetes).
struct TokenAccess: Equatable {
  /// `nil` for root.
  var owner: UInt32?
  var mode: UInt32

  init(_ pod: Pod, defaultMode: Int64) {
    let context = pod.spec.securityContext
    let users = (pod.spec.initContainers + pod.spec.containers).map {
      $0.securityContext?.runAsUser ?? context?.runAsUser
    }
    if let user = users.first ?? nil, users.allSatisfy({ $0 == user }) { owner = UInt32(exactly: user) }
    mode = owner == nil && context?.fsGroup == nil ? UInt32(truncatingIfNeeded: defaultMode) : 0o600
  }
}
