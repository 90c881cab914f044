import Distribution
import Dockerfile
import Glibc
import LinuxSystem
import OCI
import Wire

/// Does one step: looks it up, and when it is not known, does it and notes it.
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
      return try await perform([key], parent: parent, vertex: vertex) { () throws(BuildError) in
        try await makeWorkingDirectory(path, user: user, on: base)
      }
    case .run(let run):
      let base = parent?.layers ?? []
      var contents: [String] = []
      for mount in run.mounts { contents.append(try await identity(of: mount)) }
      let hosts = session.request.extraHosts.map { "\($0.host):\($0.address)" }
      let key = CacheKey.run(
        run, base: CacheKey.chain(base), mountContents: contents, extraHosts: hosts, scope: scope)
      let platform = try stored { () throws(OCIError) in try Platform(parsing: step.platform) }
      return try await perform([key], parent: parent, vertex: vertex) { () throws(BuildError) in
        let outcome = try await RunExecutor(session: session, step: run, title: step.title, platform: platform)
          .run(on: base, vertex: vertex)
        if let layer = outcome.layer, let folder = outcome.folder { session.noteMade(layer, folder: folder) }
        return outcome.layer
      }
    case .copy(let copy):
      return try await CopyExecutor(session: session, copy: copy, scope: scope, step: step).perform(
        parent: parent, vertex: vertex, executor: self)
    }
  }

  /// Looks keys up in their order; without a hit does the work and notes it under all of them.
  func perform(
    _ keys: [CacheKey], parent: StepResult?, vertex: ProgressVertex, work: () async throws(BuildError) -> Image.Layer?
  ) async throws(BuildError) -> StepResult {
    if let hit = try await lookUp(keys, vertex: vertex) { return result(hit, on: parent) }
    let layer = try await work()
    return result(try await note(layer, under: keys, vertex: vertex), on: parent)
  }

  func lookUp(_ keys: [CacheKey], vertex: ProgressVertex) async throws(BuildError) -> CacheRecord? {
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
      if let record {
        vertex.cached()
        session.count(cached: true)
        return record
      }
    }
    return nil
  }

  func note(
    _ layer: Image.Layer?, under keys: [CacheKey], vertex: ProgressVertex
  ) async throws(BuildError) -> CacheRecord {
    let record = CacheRecord(layer: layer, created: session.now)
    try await blocking { [session] () throws(BuildError) in
      for key in keys { try session.cache.put(key, record) }
    }
    vertex.finish()
    session.count(cached: false)
    return record
  }

  func result(_ record: CacheRecord, on parent: StepResult?) -> StepResult {
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
