import CRI
import Containers
import Distribution
import KubeTypes
import OCI
import RPC
import Wire

/// The images of another container runtime: it finds, pulls and keeps them. It removes none for want of space, and neither
/// does the node.
final class CRIImages: NodeImages {
  /// Of one pull. Runtimes have deadlines of their own for a registry that sends nothing.
  private static let pullDeadline = Duration.seconds(3600)

  private let client: CRIClient
  private let pulls: ImageProvider.Pulls
  private let credentials: PullCredentials

  init(
    client: CRIClient, credentials: PullCredentials, parallelPullsMax: Int, time: any TimeSource
  ) {
    self.client = client
    self.credentials = credentials
    pulls = ImageProvider.Pulls(parallelMax: parallelPullsMax, time: time) { request in
      try await Self.pull(request, client)
    }
  }

  // MARK: - Finding

  func find(_ container: Container) async throws(NodeError) -> ImageProvider.Finding {
    let name = container.image ?? ""
    let reference = try ImageProvider.reference(name)
    let found = try await Self.found(reference, client)
    // Unknown policies do not pass the API's validation.
    let policy = container.imagePullPolicy.flatMap(ImagePolicy.init(rawValue:)) ?? .ifNotPresent
    switch policy.decide(name, isHere: found != nil, isOwn: false) {
    case .fail(let error): throw error
    case .use: return found.map { .here($0) } ?? .remote(reference)
    case .pull: return .remote(reference)
    }
  }

  private static func found(_ reference: Reference, _ client: CRIClient) async throws(NodeError) -> FoundImage? {
    do throws(RPCError) {
      return try image(try await client.imageStatus(reference.description, verbose: true), reference)
    } catch {
      throw NodeError(.errImagePull, "Failed to inspect image \"\(reference)\": \(error)")
    }
  }

  /// - Parameter status: asked for with `verbose`.
  /// - Returns: `nil` when there is no such image.
  static func image(
    _ status: RuntimeV1.ImageStatusResponse, _ reference: Reference
  ) throws(RPCError) -> FoundImage? {
    guard let image = status.image else { return nil }
    guard let id = Digest(image.id) else {
      throw RPCError(.internalError, "the container runtime gives the image the id \"\(image.id)\", which is no digest")
    }
    guard let configuration = CRITranslation.configuration(of: status) else {
      throw RPCError(.unimplemented, "the container runtime does not tell the image's configuration")
    }
    let document: ConfigDocument
    do throws(OCIError) {
      document = try ConfigDocument(configuration.serialized(), label: "image \(reference)")
    } catch {
      throw RPCError(.internalError, "\(error)", cause: error)
    }
    // As the kubelet with containerd: an image that came from no registry is named by its id.
    let imageID = image.repoDigests.first { $0.hasPrefix(reference.name + "@") } ?? image.repoDigests.first ?? image.id
    let found = OCI.Image(
      names: image.repoTags.sorted(), digest: id, id: id, size: Int64(clamping: image.size), config: document.config,
      layers: [])
    return FoundImage(image: found, reference: reference, target: id, runtimeID: imageID)
  }

  // MARK: - Pulling

  func pull(_ reference: Reference, secrets: [Secret]) async throws -> ImageProvider.Pulls.Outcome {
    let credentials = try await credentials.credentials(for: reference, secrets: secrets)
    return try await pulls.pull(PullRequest(reference: reference, credentials: credentials))
  }

  /// Tries the credentials one after the other, as the kubelet does.
  private static func pull(_ request: PullRequest, _ client: CRIClient) async throws -> FoundImage {
    let name = request.reference.description
    var messages: [String] = []
    for credentials in request.credentials.isEmpty ? [nil] : request.credentials.map(Optional.some) {
      do throws(RPCError) {
        _ = try await client.pullImage(
          name, auth: credentials.map { auth($0, registry: request.reference.registry) }, deadline: pullDeadline)
      } catch {
        try Task.checkCancellation()
        if !messages.contains(error.message) { messages.append(error.message) }
        // Others' rights do not help.
        if error.status == .unavailable || error.status == .deadlineExceeded { break }
        continue
      }
      guard let found = try await found(request.reference, client) else {
        throw NodeError(.errImagePull, "image \(name) was pulled, and the container runtime does not have it")
      }
      return found
    }
    throw NodeError(.errImagePull, messages.count == 1 ? messages[0] : "[\(messages.joined(separator: ", "))]")
  }

  static func auth(_ credentials: Credentials, registry: String) -> RuntimeV1.AuthConfig {
    var auth = RuntimeV1.AuthConfig()
    auth.serverAddress = registry
    switch credentials {
    case .basic(let username, let password): (auth.username, auth.password) = (username, password)
    case .identityToken(let token): auth.identityToken = token
    case .registryToken(let token): auth.registryToken = token
    }
    return auth
  }

  // MARK: - Using

  func prepare(_ found: FoundImage) async throws(NodeError) -> PreparedImage {
    PreparedImage(image: found.image, lowerDirectories: [], imageID: found.imageID, hold: ImageHold {})
  }

  func isServed(_ image: PreparedImage) -> Bool { true }

  /// The runtime knows by itself what its containers use.
  func used(_ image: PreparedImage, by containerID: String) async throws {}
  func unused(by containerIDs: [String]) async throws {}
  func adopt(_ containers: [ContainerState]) async throws {}

  func list() async throws -> [OCI.Image] {
    try await client.listImages().compactMap { image in
      Digest(image.id).map {
        OCI.Image(
          names: (image.repoDigests + image.repoTags).sorted(), digest: $0, id: $0, size: Int64(clamping: image.size),
          config: ImageConfig(), layers: [])
      }
    }
  }
}
