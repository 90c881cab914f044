import Content
import Distribution
import OCI

/// Fetches images from registries into the node's store. A seam: tests put one without a network in its place.
protocol ImagePuller: Sendable {
  /// Fetches the image that the name leads to now, without the parts that the store has. Ends soon when the task is
  /// cancelled, and keeps what was fetched for the next try.
  ///
  /// - Parameter isLeftOut: which layers are not fetched.
  /// - Returns: the digest that the registry gave for the name: of an index, when it has one.
  func pull(
    _ reference: Reference, credentials: Credentials?, leavingOut isLeftOut: @escaping @Sendable (Descriptor) -> Bool
  ) async throws(DistributionError) -> Digest
}

/// What one pull is: asked for twice at the same time, it is made once. Pods with other credentials make one of their
/// own, so that none gets an image through another's rights.
struct PullRequest: Sendable, Hashable {
  var reference: Reference
  /// Tried in this order; none at all for an anonymous pull.
  var credentials: [Credentials]
}

extension ImagePuller {
  /// Tries the credentials one after the other, as kubelet does. Without success, the failures of all are told.
  /// - Returns: the digest, and the credentials that did.
  func pull(
    _ request: PullRequest, leavingOut isLeftOut: @escaping @Sendable (Descriptor) -> Bool = { _ in false }
  ) async throws(DistributionError) -> (Digest, Credentials?) {
    guard !request.credentials.isEmpty else {
      return (try await pull(request.reference, credentials: nil, leavingOut: isLeftOut), nil)
    }
    var failures: [DistributionError] = []
    for credentials in request.credentials {
      do {
        return (try await pull(request.reference, credentials: credentials, leavingOut: isLeftOut), credentials)
      } catch {
        failures.append(error)
        switch error.code {
        // Registries answer that something does not exist when somebody may not see it.
        case .unauthorized, .denied, .notFound, .rejected: continue
        // Others' rights do not help.
        default: throw error
        }
      }
    }
    var messages: [String] = []
    for failure in failures where !messages.contains(failure.message) { messages.append(failure.message) }
    var error = failures[failures.count - 1]
    if messages.count > 1 { error.message = "[\(messages.joined(separator: ", "))]" }
    throw error
  }
}

/// Pulls with the program's one registry client into the program's one store.
struct RegistryPuller: ImagePuller {
  let client: RegistryClient
  let content: ContentStore

  func pull(
    _ reference: Reference, credentials: Credentials?, leavingOut isLeftOut: @escaping @Sendable (Descriptor) -> Bool
  ) async throws(DistributionError) -> Digest {
    try await client.pull(reference, into: content, credentials: credentials, leavingOut: isLeftOut)
  }
}
