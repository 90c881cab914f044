import Content
import Distribution
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import OCI
import Wire

/// Does one step: looks it up, and when it is not known, does it and notes it, together with whoever else needs it now.
struct StepExecutor: Sendable {
  let session: BuildSession
  let step: Step
  let plan: BuildPlan

  private var scope: KeyScope {
    var scope = session.scope
    scope.platform = step.platform
    return scope
  }

  func perform(parent: StepResult?, vertex: ProgressVertex) async throws(BuildError) -> StepResult {
    switch step.kind {
    case .scratch:
      vertex.finish()
      return StepResult(layers: [], hasLayer: false)
    case .base(let image):
      vertex.cached()
      return StepResult(layers: image.layers, hasLayer: false)
    case .workdir(let path, let user):
      let base = parent?.layers ?? []
      let key = CacheKey.workdir(path: path, user: user, base: CacheKey.chain(base), scope: scope)
      return try await perform(key, identity(key), sharing: { _ in false }, parent: parent, vertex: vertex) {
        _ throws(BuildError) in
        (try await makeWorkingDirectory(path, user: user, on: base), [:])
      }
    case .run(let run):
      let base = parent?.layers ?? []
      var contents: [String] = []
      for mount in run.mounts { contents.append(try await identity(of: mount)) }
      let hosts = session.request.extraHosts.map { "\($0.host):\($0.address)" }
      let key = CacheKey.run(
        run, base: CacheKey.chain(base), mountContents: contents, extraHosts: hosts, scope: scope)
      let platform = try stored { () throws(OCIError) in try Platform(parsing: step.platform) }
      // Only the command's own failure is that of all: others may come from this build's files, caches or sign-ins.
      return try await perform(
        key, sharedIdentity(of: run, key), sharing: { $0.code == .execution }, parent: parent, vertex: vertex
      ) { relay throws(BuildError) in
        let outcome = try await RunExecutor(session: session, step: run, title: step.title, platform: platform)
          .run(on: base, vertex: relay)
        if let layer = outcome.layer, let folder = outcome.folder { session.noteMade(layer, folder: folder) }
        return (outcome.layer, outcome.cacheMounts)
      }
    case .copy(let copy):
      return try await CopyExecutor(session: session, copy: copy, scope: scope, step: step).perform(
        parent: parent, vertex: vertex, executor: self)
    }
  }

  // MARK: Sharing

  /// What others must have the same of to share a run of this step.
  func identity(_ key: CacheKey, confidential: [String] = [], isForAllProcesses: Bool = true) -> StepIdentity {
    StepIdentity(
      key, ignoresCache: step.ignoresCache, means: session.means, confidential: confidential,
      isForAllProcesses: isForAllProcesses)
  }

  /// `nil` for a command that gets a secret or an agent: its result may come from the cache, as everywhere, but what it
  /// prints and how it fails is only for who gave them. Nor for one whose cache begins with the files of a stage or an
  /// image: which, is not in the key, and a step that is done again has to see those of its own build.
  func sharedIdentity(of run: RunStep, _ key: CacheKey) -> StepIdentity? {
    for mount in run.mounts where mount.mount.kind == .cache && mount.origin != nil { return nil }
    for mount in run.mounts where mount.mount.kind == .secret || mount.mount.kind == .ssh { return nil }
    return identity(key, confidential: run.proxies.map { "\($0.name)=\($0.value)" })
  }

  private func perform(
    _ key: CacheKey, _ identity: StepIdentity?, sharing isShared: @escaping @Sendable (BuildError) -> Bool,
    parent: StepResult?, vertex: ProgressVertex,
    work: @escaping @Sendable (ProgressVertex) async throws(BuildError) -> (Image.Layer?, [String: String])
  ) async throws(BuildError) -> StepResult {
    if let hit = try await find([key]) { return finish(known(hit, [key]), on: parent, vertex: vertex) }
    let made = try await once(identity, sharing: isShared, keys: [key], vertex: vertex) { relay throws(BuildError) in
      // Another run may have ended since.
      if identity != nil, let hit = try await find([key]) { return known(hit, [key]) }
      let (layer, mounts) = try await work(relay)
      var made = try await note(layer, under: [key])
      made.cacheMounts = mounts
      return made
    }
    return finish(made, on: parent, vertex: vertex)
  }

  /// Carries a step out, or takes part in what another build carries out.
  ///
  /// - Parameters:
  ///   - identity: `nil` when nobody is to take part.
  ///   - isShared: whether a failure is everybody's.
  ///   - keys: under which its result is noted.
  func once(
    _ identity: StepIdentity?, sharing isShared: @escaping @Sendable (BuildError) -> Bool, keys: [CacheKey],
    vertex: ProgressVertex, work: @escaping @Sendable (ProgressVertex) async throws(BuildError) -> MadeStep
  ) async throws(BuildError) -> MadeStep {
    guard let identity else { return try await work(vertex) }
    while true {
      if Task.isCancelled { throw .cancelled }
      // Before it begins: it gives it back when it ends, which may be at once.
      session.retain()
      let ticket = session.shared.join(identity, sharing: isShared) { [session] report in
        let result = await Self.carryOut(identity, sharing: isShared, session: session, report: report, work)
        await session.release()
        return result
      }
      if !ticket.isLeading { await session.release() }
      let shared: MadeStep?
      do throws(BuildError) {
        shared = try await session.shared.result(of: ticket) { vertex.show($0) }
      } catch {
        // As this build calls it.
        var error = error
        error.step = step.title
        throw error
      }
      guard let made = shared else { continue }
      if made.build == session.folder.id { return made }
      // What has gone from the store meanwhile is made again.
      if try await blocking({ [session] () throws(BuildError) in try session.takeUp(made, keys: keys) }) { return made }
    }
  }

  /// Does the work, unless another process does.
  private static func carryOut(
    _ identity: StepIdentity, sharing isShared: @escaping @Sendable (BuildError) -> Bool, session: BuildSession,
    report: @escaping @Sendable (StepNote) -> Void,
    _ work: @escaping @Sendable (ProgressVertex) async throws(BuildError) -> MadeStep
  ) async -> Result<MadeStep, BuildError> {
    func alone() async -> Result<MadeStep, BuildError> { await outcome(work, ProgressVertex(relaying: report)) }
    guard let name = identity.name else { return await alone() }
    while !Task.isCancelled {
      let claim = try? await blocking { () throws(BuildError) in session.rendezvous.claim(name) }
      switch claim {
      case .alone, nil: return await alone()
      case .own(let host):
        async let served: Void = host.serve()
        let relay = ProgressVertex { note in
          report(note)
          host.note(note)
        }
        let result = await outcome(work, relay)
        host.end(StepFrame(result, sharing: isShared))
        await served
        return result
      case .other(let connection):
        switch await session.rendezvous.follow(connection, report: report) {
        case .made(let made): return .success(made)
        case .failed(let error): return .failure(error)
        case .lost:
          // A builder that was killed has left the step's processes: they end before it is begun anew.
          if !Task.isCancelled { try? await blocking { () throws(BuildError) in try session.folder.sweepOthers() } }
        case .busy: return await alone()
        }
      }
    }
    return .failure(.cancelled)
  }

  private static func outcome(
    _ work: (ProgressVertex) async throws(BuildError) -> MadeStep, _ vertex: ProgressVertex
  ) async -> Result<MadeStep, BuildError> {
    do throws(BuildError) { return .success(try await work(vertex)) } catch { return .failure(error) }
  }

  // MARK: The cache

  /// Looks keys up in their order.
  func find(_ keys: [CacheKey]) async throws(BuildError) -> CacheRecord? {
    guard !step.ignoresCache else { return nil }
    for (index, key) in keys.enumerated() {
      let record = try await blocking { [session] () throws(BuildError) -> CacheRecord? in
        guard let record = try session.cache.record(key, isAvailable: session.isRemote) else { return nil }
        // From here on the collector leaves it alone. One that went meanwhile is no hit.
        if let layer = record.layer, !session.isRemote(layer),
          try !stored({ () throws(OCIError) in try session.lease.pin(layer.digest) })
        {
          return nil
        }
        // What was found by a later key is found by the earlier ones next time.
        for earlier in keys[..<index] { try session.cache.put(earlier, record) }
        return record
      }
      if let record { return record }
    }
    return nil
  }

  func known(_ record: CacheRecord, _ keys: [CacheKey]) -> MadeStep {
    MadeStep(record: record, isCached: true, keys: keys, build: session.folder.id)
  }

  /// Keeps what the step made.
  func note(_ layer: Image.Layer?, under keys: [CacheKey]) async throws(BuildError) -> MadeStep {
    let record = CacheRecord(layer: layer, created: session.now)
    try await blocking { [session] () throws(BuildError) in
      for key in keys { try session.cache.put(key, record) }
    }
    return MadeStep(record: record, isCached: false, keys: keys, build: session.folder.id)
  }

  /// Tells how the step ended, and takes up what the build has to know of it.
  func finish(_ made: MadeStep, on parent: StepResult?, vertex: ProgressVertex) -> StepResult {
    for material in made.materials { session.note(material) }
    for (name, path) in made.cacheMounts { session.noteCacheMount(id: name, path: path) }
    if made.isCached { vertex.cached() } else { vertex.finish() }
    session.count(cached: made.isCached)
    return result(made.record, on: parent)
  }

  private func result(_ record: CacheRecord, on parent: StepResult?) -> StepResult {
    StepResult(
      layers: (parent?.layers ?? []) + (record.layer.map { [$0] } ?? []), hasLayer: record.layer != nil,
      created: record.created)
  }

  private func makeWorkingDirectory(
    _ path: String, user: String, on base: [Image.Layer]
  ) async throws(BuildError) -> Image.Layer? {
    let lower = try await session.lowerTree(base)
    let (now, epoch) = (session.now.microseconds / 1_000_000, session.epoch)
    return try await blocking { [session] () throws(BuildError) in
      let owner = user.isEmpty ? nil : try ImageUsers(lower).workingDirectoryOwner(user)
      var placement = Placement(destination: lower, owner: owner, chmod: nil, now: now, epoch: epoch)
      let entries = try placement.folders(path)
      if entries.isEmpty { return nil }
      return try session.write(.entries(entries, lowers: lower), options: session.layerOptions(allowsDevices: false))
    }
  }

  /// What a mount shows, for the key of the step.
  private func identity(of planned: RunMount) async throws(BuildError) -> String {
    guard planned.mount.kind == .bind, let origin = planned.origin else { return "" }
    if case .step(let id) = origin { return CacheKey.chain(session.layers(of: id)) }
    let tree = try await session.tree(origin)
    let source = planned.mount.source ?? "/"
    var selections = try await blocking { () throws(BuildError) in
      try Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: false).select(source)
    }
    let sources = CopySources(trees: [tree])
    try await Selection.hash(&selections, sources)
    return CacheKey.content(selections, sources: sources)
  }
}
