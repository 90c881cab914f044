import KubeClient
import KubeTypes
import Synchronization
import Wire

/// `projected`: ConfigMaps, Secrets, the downward API and tokens in one folder, in memory.
final class ProjectedPlugin: VolumePlugin {
  let source = "projected"

  /// Kept so that a refresh for another reason does not ask for a new one.
  private struct Token {
    var text: String
    var refreshAt: Timestamp
  }

  /// By the pod's uid, and what was asked for.
  private let tokens = Mutex<[String: [String: Token]]>([:])

  func references(of volume: Volume, namespace: String) -> Set<ObjectReferenceKey> {
    var keys: Set<ObjectReferenceKey> = []
    for source in volume.projected?.sources ?? [] {
      keys.formUnion(ObjectReferenceKey.set(.configMap, namespace, source.configMap?.name))
      keys.formUnion(ObjectReferenceKey.set(.secret, namespace, source.secret?.name))
    }
    return keys
  }

  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume {
    let source = request.volume.projected
    var files: [String: AtomicWriter.File] = [:]
    var refreshAt: Timestamp?
    for part in source?.sources ?? [] {
      let more = try await self.files(of: part, source?.defaultMode ?? 0o644, request, context, &refreshAt)
      files.merge(more) { _, new in new }
    }
    let folder = try await context.memoryFolder(of: request)
    try await context.write(files, of: request, to: folder)
    return PreparedVolume(path: folder, isReadOnly: true, refreshAt: refreshAt)
  }

  func tearDown(_ uid: String) { _ = tokens.withLock { $0.removeValue(forKey: uid) } }

  // MARK: -

  private func files(
    of source: VolumeProjection, _ mode: Int64, _ request: VolumeRequest, _ context: VolumeContext,
    _ refreshAt: inout Timestamp?
  ) async throws -> [String: AtomicWriter.File] {
    if let source = source.configMap {
      return try await context.files(
        of: ObjectReferenceKey(kind: .configMap, namespace: request.namespace, name: source.name ?? ""),
        items: source.items, defaultMode: mode, isOptional: source.`optional` == true)
    }
    if let source = source.secret {
      return try await context.files(
        of: ObjectReferenceKey(kind: .secret, namespace: request.namespace, name: source.name ?? ""),
        items: source.items, defaultMode: mode, isOptional: source.`optional` == true)
    }
    if let source = source.downwardAPI {
      return try VolumeContent.files(
        from: source.items, defaultMode: mode, pod: request.pod, place: context.place,
        allocatable: context.allocatable())
    }
    if let source = source.serviceAccountToken {
      let token = try await token(
        audience: source.audience ?? "", seconds: source.expirationSeconds ?? 3600, request, context)
      refreshAt = refreshAt.map { min($0, token.refreshAt) } ?? token.refreshAt
      let access = TokenAccess(request.pod, defaultMode: mode)
      return [
        source.path ?? "token": AtomicWriter.File(
          bytes: Array(token.text.utf8), mode: access.mode, owner: access.owner)
      ]
    }
    throw NodeError(.failedMount, "this projected source is not supported by this node")
  }

  /// A token bound to the pod, the known one until 80 % of its life are over.
  private func token(
    audience: String, seconds: Int64, _ request: VolumeRequest, _ context: VolumeContext
  ) async throws -> Token {
    let pod = request.pod
    let uid = request.uid
    let key = "\(request.name)/\(audience)/\(seconds)"
    let now = context.time.now()
    if let known = tokens.withLock({ $0[uid]?[key] }), now < known.refreshAt { return known }
    let account = pod.spec.serviceAccountName ?? "default"
    let audiences: JSON = audience.isEmpty ? [] : [.string(audience)]
    let body: JSON = [
      "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
      "spec": [
        "audiences": audiences, "expirationSeconds": .int(seconds),
        "boundObjectRef": [
          "kind": "Pod", "apiVersion": "v1", "name": .string(pod.metadata.name ?? ""), "uid": .string(uid),
        ],
      ],
    ]
    let answer = try await context.client.create(
      ServiceAccount.resource, namespace: pod.metadata.namespace, name: account, subresource: "token", body: body,
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
