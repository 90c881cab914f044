import Content
import Distribution
import Glibc
import LinuxSystem
import OCI

/// Finds base images: in the store, and where they are not, at their registries.
struct BaseImages: Sendable {
  let session: BuildSession

  func load(_ key: BuildPlanner.ImageKey) async throws(BuildError) -> BaseImage {
    try await session.reporter.vertex("[internal] load metadata for \(Self.shown(key.reference))") {
      vertex throws(BuildError) in
      try await find(key, vertex)
    }
  }

  private static func shown(_ reference: String) -> String {
    (try? Reference(parsing: reference).description) ?? reference
  }

  private func find(_ key: BuildPlanner.ImageKey, _ vertex: ProgressVertex) async throws(BuildError) -> BaseImage {
    let platform = try stored { () throws(OCIError) in try Platform(parsing: key.platform) }
    let parsed = Result { () throws(OCIError) in try Reference(parsing: key.reference) }
    if case .success(let reference) = parsed {
      if !session.request.pulls, let image = try await inStore(reference, key, platform) { return image }
      do throws(DistributionError) {
        _ = try await session.client.pull(
          reference, into: session.content, platform: platform, credentials: session.credentials(reference)
        ) { event in
          if case .finished(let digest, let size) = event {
            vertex.status("\(digest) \(SizeText.decimal(size)) done")
          }
        }
      } catch {
        // What is here is better than nothing, unless the newest was asked for.
        if !session.request.pulls, let id = try await byID(key, platform) { return id }
        let code: BuildError.Code = error.code == .notFound ? .notFound : .network
        if Task.isCancelled { throw .cancelled }
        throw BuildError(code, "failed to resolve source metadata for \(reference): \(error.message)")
      }
      if let image = try await inStore(reference, key, platform) { return image }
      throw BuildError(.notFound, "\(reference) has no image for \(platform)")
    }
    if let image = try await byID(key, platform) { return image }
    throw BuildError(parsed.failure ?? OCIError(.notFound, key.reference))
  }

  /// By image id or digest prefix, as `image list` shows them.
  private func byID(_ key: BuildPlanner.ImageKey, _ platform: Platform) async throws(BuildError) -> BaseImage? {
    try await blocking { [session] () throws(BuildError) in
      guard let image = try? session.images.image(key.reference) else { return nil }
      let document = try stored { () throws(OCIError) in
        try ConfigDocument(try session.content.document(image.id), label: "image \(key.reference)")
      }
      return try Self.base(key, digest: image.digest, document: document, layers: image.layers, session: session)
    }
  }

  private func inStore(
    _ reference: Reference, _ key: BuildPlanner.ImageKey, _ platform: Platform
  ) async throws(BuildError) -> BaseImage? {
    try await blocking { [session] () throws(BuildError) in
      let content = session.content
      func lookUp() throws(OCIError) -> BaseImage? {
        let repository = try content.repository(for: reference)
        let name: ManifestReference =
          if let digest = reference.digest { .digest(digest) } else { .tag(reference.tag ?? "latest") }
        guard var record = try content.manifest(name, in: repository) else { return nil }
        if MediaType.isIndex(record.mediaType) {
          let index = try Index(record.bytes, label: "index \(reference)")
          guard let chosen = index.image(for: platform),
            let child = try content.manifest(.digest(chosen.digest), in: repository)
          else { return nil }
          record = child
        }
        let manifest = try Manifest(record.bytes, label: "image \(reference)")
        // Of an image that was pulled for another platform some blobs may be missing.
        guard try content.blobSize(manifest.config.digest) != nil else { return nil }
        for layer in manifest.layers {
          guard try session.lease.pin(layer.digest) else { return nil }
        }
        let document = try ConfigDocument(
          try content.document(manifest.config.digest), label: "image \(reference)")
        guard document.diffIDs.count == manifest.layers.count else {
          throw OCIError(
            .invalidArchive, "image \(reference): manifest and configuration have different numbers of layers")
        }
        guard document.config.architecture.isEmpty || platform.rank(of: document.config.platform) != nil else {
          return nil
        }
        let layers = zip(manifest.layers, document.diffIDs).map { layer, diffID in
          Image.Layer(layer, diffID: diffID)
        }
        return try? Self.base(key, digest: record.digest, document: document, layers: layers, session: session)
      }
      return try stored(lookUp)
    }
  }

  private static func base(
    _ key: BuildPlanner.ImageKey, digest: Digest, document: ConfigDocument, layers: [Image.Layer],
    session: BuildSession
  ) throws(BuildError) -> BaseImage {
    BaseImage(
      reference: key.reference, platform: key.platform, digest: digest.description,
      layers: layers.map { layer in
        var layer = layer
        // Docker's name for the same thing: the image that is made here is an OCI image.
        if layer.mediaType == MediaType.dockerLayer { layer.mediaType = MediaType.layer(.gzip) }
        return layer
      },
      configuration: ImageConfiguration(document.config, author: document.author), history: document.history,
      created: document.config.created)
  }
}

extension Result {
  fileprivate var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
