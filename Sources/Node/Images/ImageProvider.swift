import Containers
import Content
import Distribution
import KubeTypes
import LinuxSystem
import OCI
import Wire

/// An image of the store, as a name leads to it.
struct FoundImage: Sendable {
  var image: OCI.Image
  var reference: Reference
  /// What the name leads to: the image's manifest, or an index that has it.
  var target: Digest
  /// How much of it is fetched while it runs already.
  var bytesToCome: Int64 = 0
  /// Keeps what serves it meanwhile.
  var hold: ImageHold?
  /// How a runtime with images of its own names it.
  var runtimeID: String?

  /// `imageID` of a container's status: `docker.io/library/nginx@sha256:…`, as containerd's `RepoDigests` have it.
  var imageID: String { runtimeID ?? "\(reference.name)@\(target)" }
}

/// An image that is ready to be run.
struct PreparedImage: Sendable {
  var image: OCI.Image
  /// The folders of its layers, top first; none of an image that the runtime keeps itself.
  var lowerDirectories: [String]
  /// Those of them that are served while they are fetched.
  var servedDirectories: [String] = []
  var imageID: String
  /// Keeps the image from being removed until its container holds it.
  var hold: ImageHold

  var isLazy: Bool { !servedDirectories.isEmpty }
}

/// Finds the images of containers by their pull policies, and pulls those that are not here.
final class ImageProvider: NodeImages {
  typealias Pulls = PullCoordinator<PullRequest, FoundImage>

  enum Finding: Sendable {
    case here(FoundImage)
    /// Only a registry knows.
    case remote(Reference)
  }

  let catalog: ImageCatalog
  let uses: ImageUses
  let lazy: LazyImages
  private let lanes: BlockingLanes
  private let pulls: Pulls
  private let credentials: PullCredentials

  /// - Parameters:
  ///   - puller: `nil` for a node without registries.
  ///   - credentialsPath: see `NodeConfiguration.imageCredentialsPath`.
  init(
    catalog: ImageCatalog, puller: (any ImagePuller)?, uses: ImageUses, lazy: LazyImages, lanes: BlockingLanes,
    credentialsPath: String?, parallelPullsMax: Int, time: any TimeSource
  ) {
    self.catalog = catalog
    self.uses = uses
    self.lazy = lazy
    self.lanes = lanes
    credentials = PullCredentials(path: credentialsPath, lanes: lanes)
    pulls = PullCoordinator(parallelMax: parallelPullsMax, time: time) { request in
      guard let puller else {
        throw NodeError(
          .errImagePull,
          "image \"\(request.reference)\" is not on this node, and the node has no registry client: import it with "
            + "`apus image import FILE`")
      }
      if lazy.isOn, let found = try await Self.begin(request, puller, catalog, uses, lazy, lanes) { return found }
      let (digest, _) = try await puller.pull(request)
      let found = try await Self.pulled(request, digest, catalog, lanes)
      lazy.mended(found.image.digest)
      try await lanes.run(nil, "note \(request.reference)") { uses.pulled(found) }
      return found
    }
  }

  private static func pulled(
    _ request: PullRequest, _ digest: Digest, _ catalog: ImageCatalog, _ lanes: BlockingLanes
  ) async throws -> FoundImage {
    try await lanes.run(nil, "find \(request.reference)") {
      var exact = request.reference
      exact.tag = nil
      exact.digest = digest
      guard var found = try catalog.find(exact.description) else {
        throw NodeError(.errImagePull, "image \(request.reference) was pulled as \(digest) and is not in the store")
      }
      found.reference = request.reference
      return found
    }
  }

  /// Pulls all but the layers that can be fetched while they are used, and has those served. `nil`: that is not possible,
  /// and the image has to be pulled as a whole.
  private static func begin(
    _ request: PullRequest, _ puller: any ImagePuller, _ catalog: ImageCatalog, _ uses: ImageUses, _ lazy: LazyImages,
    _ lanes: BlockingLanes
  ) async throws -> FoundImage? {
    let (digest, credentials) = try await puller.pull(request) { lazy.isLazy($0) }
    var found = try await pulled(request, digest, catalog, lanes)
    let image = found.image
    let missing = try await lanes.run(nil, "look for the layers of \(image.digest)") {
      try catalog.store.missingLayers(of: image)
    }
    if !missing.isEmpty {
      if lazy.isBroken(image.digest) { return nil }
      found.hold = try await lanes.run(nil, "hold \(image.digest)") { try uses.hold(image.digest) }
      let served = lazy.folders(of: image.digest)
      if !missing.allSatisfy({ served[$0.digest] != nil }) {
        do {
          try await lazy.start(image, missing, from: request.reference, credentials: credentials)
        } catch {
          if Task.isCancelled { throw error }
          lazy.refused(request.reference, error)
          return nil
        }
      }
      found.bytesToCome = missing.reduce(0) { $0 + $1.size }
    }
    let result = found
    try await lanes.run(nil, "note \(request.reference)") { uses.pulled(result) }
    return result
  }

  // MARK: - Finding

  /// A container's image as its name is read.
  static func reference(_ name: String) throws(NodeError) -> Reference {
    do {
      return try Reference(parsing: name)
    } catch {
      throw NodeError(.invalidImageName, "Failed to apply default image tag \"\(name)\": \(error)")
    }
  }

  func find(_ container: Container) async throws(NodeError) -> Finding {
    let name = container.image ?? ""
    let reference = try Self.reference(name)
    let found: FoundImage?
    let isOwn: Bool
    do {
      (found, isOwn) = try await lanes.run(nil, "find \(name)") { [catalog, lazy] in
        // One that was begun and broke off is not here.
        var found = try catalog.find(name)
        if let image = found?.image, try !lazy.isComplete(image) { found = nil }
        return (found, try catalog.isOwn(reference))
      }
    } catch {
      throw NodeError(.errImagePull, "Failed to inspect image \"\(name)\": \(describe(error))")
    }
    // Unknown policies do not pass the API's validation.
    let policy = container.imagePullPolicy.flatMap(ImagePolicy.init(rawValue:)) ?? .ifNotPresent
    switch policy.decide(name, isHere: found != nil, isOwn: isOwn) {
    case .fail(let error): throw error
    case .use: return found.map { .here($0) } ?? .remote(reference)
    case .pull: return .remote(reference)
    }
  }

  // MARK: - Pulling

  func pull(_ reference: Reference, secrets: [Secret]) async throws -> Pulls.Outcome {
    let credentials = try await credentials.credentials(for: reference, secrets: secrets)
    return try await pulls.pull(PullRequest(reference: reference, credentials: credentials))
  }

  // MARK: - Using

  func isServed(_ image: PreparedImage) -> Bool { lazy.serves(image.servedDirectories) }

  func used(_ image: PreparedImage, by containerID: String) async throws {
    let digest = image.image.digest
    try await lanes.run(nil, "pin \(digest)") { [uses] in try uses.began(containerID, digest) }
  }

  func unused(by containerIDs: [String]) async throws {
    try await lanes.run(nil, "unpin images") { [uses] in for id in containerIDs { uses.ended(id) } }
  }

  /// Pins what is here, and lets go what an earlier server held.
  func adopt(_ containers: [ContainerState]) async throws {
    var images: [(id: String, digest: Digest)] = []
    for container in containers {
      let label = container.labels[ContainerSpecBuilder.imageLabel]
      if let digest = label.flatMap({ Digest($0) }) { images.append((container.id, digest)) }
    }
    try await lanes.run(nil, "pin the images of containers") { [uses, images] in try uses.adopt(images) }
    let lazyImages = containers.filter { $0.status != .exited }.compactMap {
      $0.labels[ContainerSpecBuilder.lazyImageLabel]
    }
    await lazy.adopt(used: Set(images.map(\.digest)), lazy: Set(lazyImages.compactMap { Digest($0) }))
  }

  func list() async throws -> [OCI.Image] {
    try await lanes.run(nil, "list images") { [catalog] in catalog.store.list() }
  }

  // MARK: - Preparing

  /// Holds and unpacks the image.
  func prepare(_ found: FoundImage) async throws(NodeError) -> PreparedImage {
    let image = found.image
    do {
      let hold = try await lanes.run(nil, "hold \(image.digest)") { [uses] in try uses.hold(image.digest) }
      guard let hold else {
        throw NodeError(.errImagePull, "image \(found.reference) was removed while it was being prepared")
      }
      let missing = try await lanes.run(nil, "look for the layers of \(image.digest)") { [catalog] in
        Set(try catalog.store.missingLayers(of: image).map(\.digest))
      }
      let served = missing.isEmpty ? [:] : lazy.folders(of: image.digest).filter { missing.contains($0.key) }
      guard served.count == missing.count else {
        throw NodeError(.errImagePull, "image \(found.reference) is not complete any more: it is pulled again")
      }
      return PreparedImage(
        image: image, lowerDirectories: try await catalog.store.unpack(image, besides: served),
        servedDirectories: Array(served.values), imageID: found.imageID, hold: hold)
    } catch let error as NodeError {
      throw error
    } catch {
      throw NodeError(.createContainerError, "unpacking image \(found.reference): \(describe(error))")
    }
  }
}

/// What the node asks of the store. Every call blocks: make it on the thread pool.
struct ImageCatalog: Sendable {
  let store: ImageStore

  /// The image of a name as a pod has it: also by a digest or an image id. One whose manifest or configuration the disk
  /// has damaged is not here: it is pulled again.
  func find(_ name: String) throws(OCIError) -> FoundImage? {
    do throws(OCIError) {
      return try findSound(name)
    } catch {
      guard error.code == .corrupt || error.code == .notFound else { throw error }
      return nil
    }
  }

  private func findSound(_ name: String) throws(OCIError) -> FoundImage? {
    guard let image = try store.image(name) else { return nil }
    let reference = try Reference(parsing: name)
    var target = reference.digest
    if target == nil, let tag = reference.tag {
      target = try store.content.manifest(.tag(tag), in: store.content.repository(for: reference))?.digest
    }
    return FoundImage(image: image, reference: reference, target: target ?? image.digest)
  }

  /// Whether there is nobody to ask for the image but the store: its name belongs to the node's own registry, or is
  /// below `localhost/`, which names no registry.
  func isOwn(_ reference: Reference) throws(OCIError) -> Bool {
    if reference.registry == "localhost" { return true }
    return try store.content.repository(for: reference).host.isEmpty
  }
}
