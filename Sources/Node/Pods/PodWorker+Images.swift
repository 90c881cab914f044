import ControllerKit
import Distribution
import KubeTypes
import LinuxSystem
import Logging
import OCI
import Wire

extension PodWorker {
  /// Begins to get the image of the container's next run.
  func prepareImage(_ name: String) {
    guard let container = container(name), intent == .run else { return }
    containers[name, default: PodContainer()].prepares(container.image ?? "") { id in
      Task {
        let began = context.time.now()
        let result: Result<PreparedImage, NodeError>
        do throws(NodeError) { result = .success(try await preparedImage(for: container)) } catch {
          result = .failure(error)
        }
        preparationEnded(name, id, began: began, result)
      }
    }
  }

  private func preparationEnded(
    _ name: String, _ id: Int, began: Timestamp, _ result: Result<PreparedImage, NodeError>
  ) {
    guard let image = containers[name]?.prepared(id, try? result.get()) else { return }
    if case .failure(let error) = result {
      if error.reason == .errImagePull { pullFailed(image, error.message, began: began) }
      startFailed(name, error)
    }
    wake()
  }

  private func preparedImage(for container: Container) async throws(NodeError) -> PreparedImage {
    let name = container.name ?? ""
    let image = container.image ?? ""
    let backoff = pullBackoffs[image].flatMap { $0.retryAt(now: context.time.now()) == nil ? nil : $0 }
    let finding: ImageProvider.Finding
    do {
      finding = try await context.images.find(container)
    } catch {
      if error.reason == .errImagePull, let backoff { throw Self.waits(image, backoff) }
      throw error
    }
    switch finding {
    case .here(let found):
      event(.normal, "Pulled", "Container image \"\(image)\" already present on machine", container: name)
      return try await context.images.prepare(found)
    case .remote(let reference):
      if let backoff { throw Self.waits(image, backoff) }
      let secrets = await pullSecrets()
      event(.normal, "Pulling", "Pulling image \"\(image)\"", container: name)
      let began = context.time.now()
      let outcome: ImageProvider.Pulls.Outcome
      do {
        outcome = try await context.images.pull(reference, secrets: secrets)
      } catch let error as NodeError {
        throw error
      } catch {
        throw NodeError(.errImagePull, describe(error))
      }
      let waited = max(outcome.duration, context.time.now().since(began))
      event(
        .normal, "Pulled",
        "Successfully pulled image \"\(image)\" in \(Self.milliseconds(outcome.duration)) "
          + "(\(Self.milliseconds(waited)) including waiting). Image size: \(outcome.value.image.size) bytes."
          + (outcome.value.bytesToCome > 0
            ? " The container starts while \(outcome.value.bytesToCome) of them are fetched." : ""),
        container: name)
      return try await context.images.prepare(outcome.value)
    }
  }

  private static func waits(_ image: String, _ backoff: PullBackoff) -> NodeError {
    NodeError(.imagePullBackOff, "Back-off pulling image \"\(image)\": ErrImagePull: \(backoff.message)")
  }

  /// As Go prints a duration that is truncated to milliseconds.
  static func milliseconds(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    return GoDuration.format(.milliseconds(seconds * 1000 + attoseconds / 1_000_000_000_000_000))
  }

  /// The pod's pull secrets that can be had. The API has put those of its service account there when the pod named none.
  private func pullSecrets() async -> [Secret] {
    var secrets: [Secret] = []
    var missing: [String] = []
    for reference in pod.spec.imagePullSecrets {
      guard let name = reference.name, !name.isEmpty else { continue }
      let key = ObjectReferenceKey(kind: .secret, namespace: key.namespace, name: name)
      if let object = try? await context.references.get(key) {
        secrets.append(object.decode(Secret.self))
      } else {
        missing.append(name)
      }
    }
    if !missing.isEmpty {
      event(
        .warning, "FailedToRetrieveImagePullSecret",
        "Unable to retrieve some image pull secrets (\(missing.joined(separator: ", "))); "
          + "attempting to pull the image may not succeed.")
    }
    return secrets
  }

  // MARK: - Use

  /// From now on the container keeps the image, also beyond the server's life.
  func imageUsed(by id: String, _ prepared: PreparedImage) async {
    do {
      try await context.images.used(prepared, by: id)
    } catch {
      context.log.warning("image not pinned", metadata: ["container": "\(id)", "error": "\(describe(error))"])
    }
  }

  /// The runtime has removed the containers.
  func imageUnused(by ids: [String]) async {
    do {
      try await context.images.unused(by: ids)
    } catch {
      // The next start of the node sees to it.
      context.log.warning("images stay pinned", metadata: ["pod": "\(key)", "error": "\(describe(error))"])
    }
  }

  // MARK: - Failures

  private func pullFailed(_ image: String, _ message: String, began: Timestamp) {
    let now = context.time.now()
    pullBackoffs = pullBackoffs.filter { !$0.value.isForgotten(at: now) }
    guard var backoff = pullBackoffs[image] else {
      pullBackoffs[image] = PullBackoff(now: now, message: message)
      return
    }
    // Containers with the same image share one pull, and its failure counts once.
    if backoff.failedAt >= began { return }
    backoff.failed(now: now, message: message)
    pullBackoffs[image] = backoff
  }

  func announceImageFailure(_ error: NodeError, container name: String) {
    let image = container(name)?.image ?? ""
    switch error.reason {
    case .errImagePull:
      event(.warning, "Failed", "Failed to pull image \"\(image)\": \(error.message)", container: name)
    case .imagePullBackOff: event(.normal, "BackOff", "Back-off pulling image \"\(image)\"", container: name)
    case .errImageNeverPull: event(.warning, "ErrImageNeverPull", error.message, container: name)
    case .invalidImageName: event(.warning, "InspectFailed", error.message, container: name)
    default: break
    }
  }

  /// The names of the store changed: what waits for an image that is there now tries again at once. What only a registry
  /// has is left to its back-off.
  func imagesChanged() async {
    for name in containers.keys where containers[name]?.failure?.isAboutImage == true {
      guard let container = container(name), await context.images.isHere(container) else { continue }
      if containers[name]?.failure?.isAboutImage == true { containers[name]?.retries(at: context.time.now()) }
      wake()
    }
  }
}
