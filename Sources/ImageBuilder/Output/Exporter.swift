import Content
import Distribution
import Glibc
import Layers
import LinuxSystem
import OCI
import Wire

/// Puts what was built where the request says.
struct Exporter: Sendable {
  struct Built: Sendable {
    var plan: BuildPlan
    var results: [StepResult]
    var platform: Platform
    /// What was fetched for it, its base images not among it.
    var materials: Set<Material>
  }

  let session: BuildSession
  let tags: [Reference]
  /// `nil` when the image is to tell nothing.
  let provenance: Provenance?

  /// For images without a name.
  private static let untagged = Repository(host: "cache.apus", path: "untagged")

  func export(_ built: [Built]) async throws(BuildError) -> BuildResult {
    let outputs = session.request.outputs.isEmpty ? [.image(push: false)] : session.request.outputs
    var result = BuildResult(
      images: [], digest: "", mediaType: "", size: 0, names: [], stepCount: session.counts.steps,
      cachedStepCount: session.counts.cached)
    let needsImage = outputs.contains { output in
      switch output {
      case .image, .ociArchive, .dockerArchive: true
      case .local, .tar, .cacheOnly: false
      }
    }
    if needsImage { try await exportImage(built, outputs: outputs, into: &result) }
    for output in outputs {
      switch output {
      case .local(let path): try await exportFiles(built, to: path)
      case .tar(let path): try await exportTar(built, to: path)
      case .image, .ociArchive, .dockerArchive, .cacheOnly: break
      }
    }
    return result
  }

  // MARK: Images

  private func exportImage(
    _ built: [Built], outputs: [BuildRequest.Output], into result: inout BuildResult
  ) async throws(BuildError) {
    let made = try await session.reporter.vertex("exporting to image") { vertex throws(BuildError) in
      vertex.status("exporting layers")
      for item in built { try await session.fetch(item.results[item.plan.result].layers) }
      return try await blocking { [self] () throws(BuildError) in try store(built, vertex) }
    }
    result.images = made.images.map {
      BuildResult.PlatformImage(
        platform: $0.platform.description, manifestDigest: $0.manifest.digest.description,
        configDigest: $0.config.description)
    }
    result.digest = made.top.digest.description
    result.mediaType = made.top.mediaType
    result.size = made.top.size
    result.names = tags.map(\.description)
    for output in outputs {
      switch output {
      case .image(let push) where push: try await self.push(made.top.digest, made.repositories)
      case .ociArchive(let path): try await exportArchive(made.top.digest, to: path, format: .ociArchive)
      case .dockerArchive(let path):
        // It knows no indexes, and so neither statements.
        try await exportArchive(made.images[0].manifest.digest, to: path, format: .dockerArchive)
      default: break
      }
    }
  }

  private struct Made: Sendable {
    var images: [AssembledImage]
    var top: Descriptor
    var repositories: [Repository]
  }

  private func store(_ built: [Built], _ vertex: ProgressVertex) throws(BuildError) -> Made {
    var repositories: [Repository] = []
    var places: [(repository: Repository, tag: String)] = []
    for tag in tags {
      let repository = try stored { () throws(OCIError) in try session.content.repository(for: tag) }
      if !repositories.contains(repository) { repositories.append(repository) }
      places.append((repository, tag.tag ?? "latest"))
    }
    if repositories.isEmpty { repositories = [Self.untagged] }
    var images: [AssembledImage] = []
    for item in built {
      let assembler = ImageAssembler(plan: item.plan, results: item.results, epoch: session.epoch)
      let image = try session.store(assembler, platform: item.platform, in: repositories)
      vertex.status("exporting manifest \(image.manifest.digest) done")
      vertex.status("exporting config \(image.config) done")
      images.append(image)
    }
    var top = images[0].manifest
    top.platform = nil
    var attestations: [Descriptor] = []
    if let provenance {
      for (item, image) in zip(built, images) {
        let statement = provenance.statement(
          about: Provenance.Subject(
            names: tags.map { Material.packageURL($0, platform: item.platform.description) },
            digest: image.manifest.digest, platform: item.platform.description),
          of: item.materials.union(item.baseImages.compactMap(Material.image)))
        attestations.append(try session.attach(statement, to: image.manifest, in: repositories))
      }
      vertex.status(
        "exporting attestation manifests \(attestations.map(\.digest.description).joined(separator: " ")) done")
    }
    if images.count > 1 || !attestations.isEmpty {
      let index = Index(manifests: images.map(\.manifest) + attestations)
      let bytes = index.json.serialized()
      top = Descriptor(mediaType: MediaType.index, digest: Digest(of: bytes), size: Int64(bytes.count))
      for repository in repositories {
        _ = try stored { () throws(OCIError) in
          try session.content.putManifest(bytes, mediaType: MediaType.index, in: repository, requiring: .present)
        }
      }
      vertex.status("exporting manifest list \(top.digest) done")
    }
    for (place, tag) in zip(places, tags) {
      _ = try stored { () throws(OCIError) in try session.content.tag(place.tag, top.digest, in: place.repository) }
      vertex.status("naming to \(tag) done")
    }
    return Made(images: images, top: top, repositories: repositories)
  }

  private func push(_ digest: Digest, _ repositories: [Repository]) async throws(BuildError) {
    guard !tags.isEmpty else { throw BuildError(.invalid, "tag is needed when pushing to registry: give --tag") }
    for tag in tags {
      try await session.reporter.vertex("pushing \(tag)") { vertex throws(BuildError) in
        do {
          let repository = try session.content.repository(for: tag)
          try await session.client.push(
            .digest(digest), in: repository, of: session.content, to: tag, credentials: session.credentials(tag)
          ) { event in
            if case .finished(let digest, let size) = event {
              vertex.status("\(digest) \(SizeText.decimal(size)) done")
            }
          }
        } catch let error as DistributionError {
          throw BuildError(.network, "failed to push \(tag): \(error.message)")
        } catch {
          throw asBuildError(error)
        }
      }
    }
  }

  private func exportArchive(_ digest: Digest, to path: String, format: ArchiveFormat) async throws(BuildError) {
    // The digest says which one exactly, also when somebody else has moved the tag.
    let names = tags.isEmpty ? ["\(Self.untagged)@\(digest)"] : tags.map { "\($0)@\(digest)" }
    try await session.reporter.vertex("exporting to \(format.rawValue)") { vertex throws(BuildError) in
      let target = path == "-" ? "\(session.folder.path)/export.tar" : path
      do throws(OCIError) {
        try await session.images.exportArchive(
          names, to: target, format: format, allPlatforms: format == .ociArchive)
      } catch {
        throw BuildError(error)
      }
      guard path == "-" else { return }
      try await blocking { () throws(BuildError) in
        try Self.copyToStandardOutput(target)
      }
    }
  }

  private static func copyToStandardOutput(_ path: String) throws(BuildError) {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw BuildError(SystemError.last("open \(path)")) }
    defer { close(fd) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = read(fd, &buffer, buffer.count)
      guard count >= 0 else { throw BuildError(SystemError.last("read \(path)")) }
      if count == 0 { return }
      let failure = buffer.withUnsafeBytes {
        DurableFile.writeAll(STDOUT_FILENO, UnsafeRawBufferPointer(rebasing: $0[..<count]))
      }
      guard failure == 0 else { throw BuildError(SystemError("write to standard output", errno: failure)) }
    }
  }

  // MARK: Files

  /// The files of each result, with the folder's name for it: empty for the only one.
  private func trees(_ built: [Built]) async throws(BuildError) -> [(tree: FileTree, prefix: String)] {
    var trees: [(tree: FileTree, prefix: String)] = []
    for (index, item) in built.enumerated() {
      // Beyond the ids of any plan.
      let id = -1 - index
      session.set(item.results[item.plan.result].layers, of: id, label: "the result")
      let prefix = built.count == 1 ? "" : item.platform.description.split(separator: "/").joined(separator: "_")
      trees.append((try await session.tree(.step(id)), prefix))
    }
    return trees
  }

  private func exportFiles(_ built: [Built], to path: String) async throws(BuildError) {
    try await session.reporter.vertex("exporting to client directory") { vertex throws(BuildError) in
      for (tree, prefix) in try await trees(built) {
        let target = prefix.isEmpty ? path : "\(path)/\(prefix)"
        try await blocking { () throws(BuildError) in
          try system { () throws(SystemError) in try Directory.create(target) }
          let selector = Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: false)
          let items = try selector.select("/").flatMap(\.items)
          // What is there in the way goes; what else is there stays. No symbolic link there leads out of the folder.
          let writer = try system { () throws(SystemError) in try DirectoryTree(target) }
          for item in items where item.entry.kind != .directory {
            try system { () throws(SystemError) in try writer.remove(item.path) }
          }
          try Materializer.write(items.filter { !$0.path.isEmpty }, of: tree, into: target)
        }
      }
    }
  }

  private func exportTar(_ built: [Built], to path: String) async throws(BuildError) {
    try await session.reporter.vertex("exporting to client tarball") { vertex throws(BuildError) in
      let trees = try await trees(built)
      let epoch = session.epoch
      try await blocking { () throws(BuildError) in
        let fd = path == "-" ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard fd >= 0 else { throw BuildError(SystemError.last("create \(path)")) }
        let sink = DescriptorSink(fd, label: path)
        var entries: [LayerEntry] = []
        for (tree, prefix) in trees {
          let selector = Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: false)
          let selections = try selector.select("/")
          var placement = Placement(destination: nil, owner: nil, chmod: nil, now: 0, epoch: epoch)
          entries += try placement.place(selections, sources: CopySources(trees: [tree]), at: "/\(prefix)")
        }
        var options = LayerOptions()
        options.compression = .none
        options.allowsDevices = true
        options.timeMax = epoch
        do throws(OCIError) {
          _ = try LayerWriter.write(.entries(entries, lowers: nil), to: sink, options: options)
        } catch {
          throw BuildError(error)
        }
      }
    }
  }
}

extension Exporter.Built {
  fileprivate var baseImages: [BaseImage] {
    plan.steps.compactMap { step in if case .base(let image) = step.kind { image } else { nil } }
  }
}

/// A file that bytes are written to; closed with the object.
private final class DescriptorSink: ByteSink {
  private let fd: Int32
  private let label: String

  init(_ fd: Int32, label: String) {
    self.fd = fd
    self.label = label
  }

  deinit { close(fd) }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    let failure = DurableFile.writeAll(fd, bytes)
    guard failure == 0 else { throw OCIError(SystemError("write \(label)", errno: failure)) }
  }
}
