import Containers
import Distribution
import KubeTypes
import LinuxSystem
import OCI

/// The images of a node's containers. A seam, so that pod workers need not know whose they are: the node's own, in the
/// program's one store (`ImageProvider`), or those of another container runtime (`CRIImages`).
protocol NodeImages: Sendable {
  /// Where the container's image is by its policy.
  func find(_ container: Container) async throws(NodeError) -> ImageProvider.Finding

  /// Fetches an image. Ends soon when the task is cancelled.
  ///
  /// - Parameter secrets: the pod's pull secrets, in its order.
  func pull(_ reference: Reference, secrets: [Secret]) async throws -> ImageProvider.Pulls.Outcome

  /// Makes what the runtime needs to run it.
  func prepare(_ found: FoundImage) async throws(NodeError) -> PreparedImage

  /// Whether the files of an image that is fetched while it runs are still there.
  func isServed(_ image: PreparedImage) -> Bool

  /// From now on the container keeps the image, also beyond the server's life.
  func used(_ image: PreparedImage, by containerID: String) async throws

  /// The runtime has removed the containers.
  func unused(by containerIDs: [String]) async throws

  /// At the start of the node: these containers are here, and no other use outlived the server.
  func adopt(_ containers: [ContainerState]) async throws

  /// All that are here, for the Node's status.
  func list() async throws -> [OCI.Image]
}

extension NodeImages {
  /// Whether the container's image, which could not be had before, can be had now without a registry.
  func isHere(_ container: Container) async -> Bool {
    guard case .here = try? await find(container) else { return false }
    return true
  }
}

/// With which credentials an image is pulled.
struct PullCredentials: Sendable {
  /// See `NodeConfiguration.imageCredentialsPath`.
  let path: String?
  let lanes: BlockingLanes

  /// The secrets' credentials first, then the node's (kubelet's `UnionDockerKeyring`).
  func credentials(for reference: Reference, secrets: [Secret]) async throws(NodeError) -> [Credentials] {
    var found = try PullSecrets.configuration(of: secrets).credentials(for: reference)
    for credentials in try await ofNode().credentials(for: reference) where !found.contains(credentials) {
      found.append(credentials)
    }
    return found
  }

  private func ofNode() async throws(NodeError) -> DockerConfiguration {
    guard let path else { return DockerConfiguration() }
    do {
      return try await lanes.run(nil, "read \(path)") {
        guard let bytes = Files.read(path, limit: PullSecrets.sizeMax) else { return DockerConfiguration() }
        return try DockerConfiguration(parsing: bytes)
      }
    } catch {
      throw NodeError(.errImagePull, "the node's registry credentials in \(path): \(describe(error))")
    }
  }
}
