import Content
import Distribution
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import Wire

/// What the steps of one build share: folders, the lease that keeps their layers, the cache, the context.
final class BuildSession: Sendable {
  let request: BuildRequest
  let content: ContentStore
  let images: ImageStore
  let client: RegistryClient
  let credentials: @Sendable (Reference) -> Credentials?
  let configuration: ImageBuilder.Configuration
  let time: any TimeSource
  let folder: BuildFolder
  let lease: Lease
  let cache: BuildCache
  let reporter: ProgressReporter
  let epoch: Int64?
  let shared: SharedSteps<StepIdentity, MadeStep>
  let means: BuilderMeans
  let rendezvous: StepRendezvous

  private struct State {
    /// The build itself, and those of its steps that are carried out: others may wait for them when it has ended.
    var users = 1
    var trees: [String: FileTree] = [:]
    /// Steps' files, set by the scheduler before anything that needs them runs.
    var layers: [Int: [Image.Layer]] = [:]
    var labels: [Int: String] = [:]
    /// Layers that steps of this build made, and their snapshots, by digest.
    var made: [Digest: (layer: Image.Layer, folder: String)] = [:]
    /// Where layers are that are not in the store.
    var remote: [Digest: RemoteCache.Location] = [:]
    var cacheMounts: [String: String] = [:]
    var importedMounts: [String: Image.Layer] = [:]
    var steps = 0
    var cachedSteps = 0
    /// What was fetched for the plan that runs, and for all of them.
    var materials: Set<Material> = []
    var contextMaterials: Set<Material> = []
  }

  private let state = Mutex(State())

  init(
    _ builder: ImageBuilder, request: BuildRequest, folder: BuildFolder, lease: Lease, reporter: ProgressReporter,
    epoch: Int64?
  ) {
    self.request = request
    content = builder.content
    images = builder.images
    client = builder.client
    credentials = builder.credentials
    configuration = builder.configuration
    time = builder.time
    self.folder = folder
    self.lease = lease
    self.reporter = reporter
    self.epoch = epoch
    cache = BuildCache(builder.content, time: builder.time)
    shared = builder.steps
    means = builder.means
    rendezvous = StepRendezvous(work: folder.work, time: builder.time)
  }

  /// Keeps folder, mounts and lease until `release`.
  func retain() { state.withLock { $0.users += 1 } }

  /// Gives back what `retain` or the making of the session has taken. The last one takes everything away.
  func release() async {
    let isLast = state.withLock { state in
      state.users -= 1
      return state.users == 0
    }
    guard isLast else { return }
    try? await blocking { [self] () throws(BuildError) in
      keepWhatWasMade()
      folder.remove()
      lease.release()
    }
  }

  /// Lets mounts go, and hands what was unpacked over to the store. No step runs. Blocks.
  func keepWhatWasMade() {
    closeTrees()
    try? Mount.unmountTree(folder.path)
    adoptLayers()
  }

  var scope: KeyScope { KeyScope(platform: "", compression: request.compression, sourceDateEpoch: epoch) }

  /// The time of what is made now.
  var now: Timestamp { epoch.map { Timestamp(seconds: $0) } ?? time.now() }

  // MARK: Steps

  /// Begins a plan: the ids of steps mean its steps from here on.
  func begin(_ plan: BuildPlan) {
    state.withLock {
      $0.layers = [:]
      $0.labels = [:]
      $0.materials = []
      $0.trees = $0.trees.filter { !$0.key.hasPrefix("step ") }
    }
  }

  func set(_ layers: [Image.Layer], of step: Int, label: String) {
    state.withLock {
      $0.layers[step] = layers
      $0.labels[step] = label
    }
  }

  func layers(of step: Int) -> [Image.Layer] { state.withLock { $0.layers[step] ?? [] } }

  func count(cached: Bool) {
    state.withLock {
      $0.steps += 1
      if cached { $0.cachedSteps += 1 }
    }
  }

  /// Remembers what was fetched for the plan that runs.
  func note(_ material: Material) { state.withLock { _ = $0.materials.insert(material) } }

  /// Remembers a context that was fetched, once for all plans.
  func noteContext(_ material: Material) { state.withLock { _ = $0.contextMaterials.insert(material) } }

  var materials: Set<Material> { state.withLock { $0.materials.union($0.contextMaterials) } }

  var counts: (steps: Int, cached: Int) { state.withLock { ($0.steps, $0.cachedSteps) } }

  // MARK: Layers

  func layerOptions(allowsDevices: Bool) -> LayerOptions {
    var options = LayerOptions()
    options.compression =
      switch request.compression {
      case .none: .none
      case .gzip, .estargz: .gzip
      case .zstd: .zstd
      }
    options.isSeekable = request.compression == .estargz
    // Half the time of zlib's usual 6, for a twentieth more bytes.
    if options.compression == .gzip { options.level = 4 }
    options.timeMax = epoch
    options.allowsDevices = allowsDevices
    return options
  }

  /// Writes a layer; `nil` when there is nothing in it. Blocks.
  func write(_ contents: LayerContents, options: LayerOptions) throws(BuildError) -> Image.Layer? {
    do throws(OCIError) {
      let stored = try content.writeLayer(contents, options: options, lease: lease)
      guard stored.entries > 0 else { return nil }
      return Image.Layer(stored.descriptor, diffID: stored.diffID)
    } catch {
      throw error.code == .changed ? BuildError(.contextChanged, error.message) : BuildError(error)
    }
  }

  /// Remembers a layer that is a committed snapshot in this build's folder. Of equal ones the first is used.
  func noteMade(_ layer: Image.Layer, folder: String) {
    state.withLock { if $0.made[layer.digest] == nil { $0.made[layer.digest] = (layer, folder) } }
  }

  /// Hands what was unpacked by running over to the store. All mounts are gone. Blocks.
  private func adoptLayers() {
    let made = state.withLock { state in
      defer { state.made = [:] }
      return state.made
    }
    guard !made.isEmpty, let tree = try? DirectoryTree(folder.path), (try? tree.sync()) != nil else { return }
    // Not adopted is unpacked again where it is needed.
    for (layer, folder) in made.values { try? images.adopt(folder, as: layer) }
  }

  /// Takes up what a step of another build has made. Blocks.
  ///
  /// - Returns: `false` when its layer is not here.
  func takeUp(_ made: MadeStep, keys: [CacheKey]) throws(BuildError) -> Bool {
    if let layer = made.record.layer, !isRemote(layer),
      try !stored({ () throws(OCIError) in try lease.pin(layer.digest) })
    {
      return false
    }
    for key in Set(made.keys + keys) { try cache.put(key, made.record) }
    return true
  }

  func addImported(_ contents: RemoteCache.Contents, from location: RemoteCache.Location) {
    state.withLock { state in
      for layer in contents.layers where state.remote[layer.digest] == nil { state.remote[layer.digest] = location }
      state.importedMounts.merge(contents.mounts) { own, _ in own }
    }
  }

  /// The archive of a cache mount that an imported cache has.
  func importedMount(_ name: String) -> Image.Layer? { state.withLock { $0.importedMounts[name] } }

  func isRemote(_ layer: Image.Layer) -> Bool { state.withLock { $0.remote[layer.digest] != nil } }

  /// Gets layers that an imported cache has promised.
  func fetch(_ layers: [Image.Layer]) async throws(BuildError) {
    for layer in layers {
      let isHere = try await blocking { [content, lease] () throws(BuildError) in
        try stored { () throws(OCIError) in
          guard try lease.pin(layer.digest) else { return false }
          return try content.blobSize(layer.digest) != nil
        }
      }
      if isHere { continue }
      guard let location = state.withLock({ $0.remote[layer.digest] }) else {
        throw BuildError(.notFound, "the layer \(layer.digest) is not in the store; build with --no-cache")
      }
      try await RemoteCache.fetch(layer, from: location, session: self)
    }
  }

  /// The folders of layers, top first, unpacked where they are not: a snapshot's parent.
  func folders(_ layers: [Image.Layer]) async throws(BuildError) -> [String] {
    let made = state.withLock { $0.made.mapValues(\.folder) }
    try await fetch(layers.filter { made[$0.digest] == nil && !images.isUnpacked($0) })
    do throws(OCIError) {
      return try await images.unpack(Image(layers: layers, label: "the build"), besides: made)
    } catch {
      throw BuildError(error)
    }
  }

  func lowerTree(_ layers: [Image.Layer]) async throws(BuildError) -> LowerTree {
    let folders = try await folders(layers)
    return try await blocking { () throws(BuildError) in
      try stored { () throws(OCIError) in try LowerTree(folders) }
    }
  }

  // MARK: Trees

  /// The files of an origin.
  func tree(_ origin: FileOrigin) async throws(BuildError) -> FileTree {
    switch origin {
    case .context: return try await cachedTree("context") { () async throws(BuildError) in try self.openContext() }
    case .named(let name):
      return try await cachedTree("named \(name)") { () async throws(BuildError) in
        let place = try await self.namedFolder(name)
        return try await blocking { () throws(BuildError) in
          try FileTree(place, origin: .context, label: "the build context \"\(name)\"")
        }
      }
    case .step(let id):
      let (layers, label) = state.withLock { ($0.layers[id] ?? [], $0.labels[id] ?? "a stage") }
      return try await cachedTree("step \(id)") { () async throws(BuildError) in
        try await self.mount(layers, label: label)
      }
    }
  }

  /// The folder of a `--build-context` that is no image.
  private func namedFolder(_ name: String) async throws(BuildError) -> String {
    let place = request.namedContexts[name] ?? ""
    var status = stat()
    if stat(place, &status) == 0 { return place }
    guard let source = RemoteSource(place) else {
      throw BuildError(
        .notFound, "--build-context \(name)=\(place): there is no such folder; or write docker-image://, or an address")
    }
    let fetched = try await RemoteContext(client: client, folder: folder, request: request).fetch(
      source, reporter: reporter)
    noteContext(fetched.material)
    guard case .folder(let path) = fetched.content else {
      throw BuildError(.context, "--build-context \(name)=\(RemoteSource.withoutCredentials(place)) is no tar archive")
    }
    return path
  }

  private func cachedTree(
    _ key: String, _ open: () async throws(BuildError) -> FileTree
  ) async throws(BuildError) -> FileTree {
    if let tree = state.withLock({ $0.trees[key] }) { return tree }
    let tree = try await open()
    // Two may have opened it: one mount more until the end of the build.
    return state.withLock { state in
      if let first = state.trees[key] { return first }
      state.trees[key] = tree
      return tree
    }
  }

  /// Shows layers as one folder, read-only, until the end of the build.
  private func mount(_ layers: [Image.Layer], label: String) async throws(BuildError) -> FileTree {
    let parent = try await folders(layers)
    return try await blocking { [folder] () throws(BuildError) in
      let key = String(try folder.newFolder().number)
      let view = try system { () throws(SystemError) in try folder.snapshots.view(key, of: parent) }
      return try FileTree(view, origin: .image, label: label)
    }
  }

  /// Lets go of the mounted trees.
  private func closeTrees() { state.withLock { $0.trees = [:] } }

  func setContext(_ tree: FileTree) { state.withLock { $0.trees["context"] = tree } }

  private func openContext() throws(BuildError) -> FileTree {
    throw BuildError(
      .notFound, "there is no build context: give a folder (`apus build .`) instead of a Dockerfile alone")
  }

  func noteCacheMount(id: String, path: String) { state.withLock { $0.cacheMounts[id] = path } }

  var cacheMounts: [String: String] { state.withLock { $0.cacheMounts } }
}
