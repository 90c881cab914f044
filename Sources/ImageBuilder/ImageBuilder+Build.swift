import Content
import Distribution
import Dockerfile
import Glibc
import LinuxSystem
import OCI
import Wire

extension ImageBuilder {
  /// Builds. Cancelling the task kills the steps that run and takes everything away that is unfinished.
  ///
  /// - Throws: the first failure; what other steps did until then stays in the cache.
  public func build(
    _ request: BuildRequest, progress: @escaping BuildEventHandler = { _ in }
  ) async throws(BuildError) -> BuildResult {
    let reporter = ProgressReporter(progress)
    let folder = try await blocking { [configuration] () throws(BuildError) in
      try BuildFolder(work: configuration.workDirectory, cgroupRoot: configuration.cgroupRoot)
    }
    let lease: Lease
    do throws(BuildError) {
      lease = try await blocking { [content] () throws(BuildError) in
        // As long as a build may take; a killed one lets its layers go then.
        try stored { () throws(OCIError) in try content.lease(for: .seconds(24 * 3600)) }
      }
    } catch {
      try? await blocking { () throws(BuildError) in folder.remove() }
      throw error
    }
    let start = time.now()
    let (session, loaded): (BuildSession, SourceLoader.Loaded)
    do throws(BuildError) {
      (session, loaded) = try await open(request, reporter: reporter, folder: folder, lease: lease)
    } catch {
      try? await blocking { () throws(BuildError) in
        folder.remove()
        lease.release()
      }
      throw Task.isCancelled ? BuildError.cancelled : error
    }
    let result: Result<BuildResult, BuildError>
    do throws(BuildError) {
      result = .success(try await build(loaded, session: session, start: start))
    } catch {
      result = .failure(Task.isCancelled ? .cancelled : error)
    }
    await session.release()
    reporter.close()
    return try result.get()
  }

  /// Reads the Dockerfile and opens the context.
  private func open(
    _ request: BuildRequest, reporter: ProgressReporter, folder: BuildFolder, lease: Lease
  ) async throws(BuildError) -> (BuildSession, SourceLoader.Loaded) {
    for tag in request.tags { _ = try Self.name(tag) }
    let targets = try Self.platforms(request)
    for case .dockerArchive in request.outputs where targets.count > 1 {
      throw BuildError(.unsupported, "a docker archive holds one platform, and there are several: use type=oci")
    }
    let loaded = try await SourceLoader(
      request: request, reporter: reporter, folder: folder, client: client
    ).load()
    let epochText = request.buildArguments["SOURCE_DATE_EPOCH"]
    var epoch = request.sourceDateEpoch
    if epoch == nil, let text = epochText, !text.isEmpty {
      guard let seconds = Int64(text) else {
        throw BuildError(.invalid, "SOURCE_DATE_EPOCH=\(text) is no number of seconds since 1970")
      }
      epoch = seconds
    }
    let session = BuildSession(
      self, request: request, folder: folder, lease: lease, reporter: reporter, epoch: epoch)
    if let context = loaded.context { session.setContext(context) }
    if let material = loaded.material { session.noteContext(material) }
    return (session, loaded)
  }

  private func build(
    _ loaded: SourceLoader.Loaded, session: BuildSession, start: Timestamp
  ) async throws(BuildError) -> BuildResult {
    let (request, reporter, epoch) = (session.request, session.reporter, session.epoch)
    let tags = try request.tags.map { tag throws(BuildError) in try Self.name(tag) }
    let targets = try Self.platforms(request)
    for location in request.cacheSources { try await RemoteCache.load(location, session: session) }
    if Task.isCancelled { throw .cancelled }

    let findings = DockerfileLint.check(
      loaded.dockerfile,
      options: DockerfileLint.Options(variables: Self.variables(request, targets[0]), ignore: loaded.ignore))
    for finding in findings where finding.check.isBuildCheck {
      reporter.warn("\(finding.id): \(finding.message) (line \(finding.range.start.line))")
    }
    if let failure = DockerfileLint.failure(findings, in: loaded.dockerfile) { throw BuildError(failure) }

    var built: [Exporter.Built] = []
    for platform in targets {
      let plan = try await plan(loaded.dockerfile, platform: platform, isSingle: targets.count == 1, session: session)
      session.begin(plan)
      let results = try await StepScheduler(session: session, plan: plan, dockerfile: loaded.dockerfile).run()
      built.append(
        Exporter.Built(plan: plan, results: results, platform: platform, materials: session.materials))
    }
    let provenance = request.provenance.map { wanted in
      // With an epoch the same input gives the same statement.
      let (start, end) = (epoch.map { Timestamp(seconds: $0) } ?? start, session.now)
      return Provenance(
        mode: wanted.mode, builderID: wanted.builderID, builderVersion: configuration.version, start: start, end: end,
        source: loaded.material, dockerfileName: loaded.dockerfile.source.name, target: request.target,
        network: request.network, buildArguments: request.buildArguments, labels: request.labels,
        secretIDs: request.secrets.map(\.id), agentIDs: Array(request.agents.keys),
        hidden: Provenance.hiddenValues(request, loaded.dockerfile))
    }
    let result = try await Exporter(session: session, tags: tags, provenance: provenance).export(built)
    for export in request.cacheExports {
      let layers = built.flatMap { $0.results[$0.plan.result].layers }
      try await RemoteCache.save(export, resultLayers: layers, session: session)
    }
    try await blocking { [configuration] () throws(BuildError) in
      session.keepWhatWasMade()
      try session.cache.keepImported()
      try session.cache.prune(bytesMax: configuration.cacheBytesMax)
    }
    if let scope = try? loaded.dockerfile.globalScope(Self.variables(request, targets[0])) {
      let unused = scope.unusedBuildArguments(in: loaded.dockerfile).filter { $0 != "SOURCE_DATE_EPOCH" }
      if !unused.isEmpty {
        reporter.warn("one or more build-args \(unused.sorted()) were not consumed")
      }
    }
    return result
  }

  private static func variables(_ request: BuildRequest, _ platform: Platform) -> BuildVariables {
    BuildVariables(
      buildArguments: request.buildArguments, buildPlatform: Platform.host.description,
      targetPlatform: platform.description, targetStage: request.target ?? "default")
  }

  private static func platforms(_ request: BuildRequest) throws(BuildError) -> [Platform] {
    if request.platforms.isEmpty { return [.host] }
    var platforms: [Platform] = []
    for text in request.platforms {
      let platform = try stored { () throws(OCIError) in try Platform(parsing: text) }
      guard platform.os == "linux" else {
        throw BuildError(.unsupported, "images for \(platform.os) are not built: this program builds for Linux")
      }
      if !platforms.contains(platform) { platforms.append(platform) }
    }
    return platforms
  }

  private static func name(_ tag: String) throws(BuildError) -> Reference {
    let reference = try stored { () throws(OCIError) in try Reference(parsing: tag) }
    guard reference.digest == nil else { throw BuildError(.invalid, "invalid tag \"\(tag)\": it has a digest") }
    return reference
  }

  /// Plans, looking base images up until none is missing.
  private func plan(
    _ dockerfile: Dockerfile, platform: Platform, isSingle: Bool, session: BuildSession
  ) async throws(BuildError) -> BuildPlan {
    let request = session.request
    let globals = try parsed { () throws(DockerfileError) in
      try dockerfile.globalScope(Self.variables(request, platform))
    }
    var options = BuildPlanner.Options(
      target: request.target, labels: request.labels, network: request.network, ignoresCache: request.ignoresCache,
      ignoredCacheStages: Set(request.ignoredCacheStages.map { $0.lowercased() }), showsPlatform: !isSingle)
    let isHostWished = request.allowsHostNetwork || request.network == .host
    options.allowsHostNetworkInTriggers = isHostWished
    switch request.context {
    case .remote, .archive: options.allowsHostNetwork = isHostWished
    case .directory, .empty: options.allowsHostNetwork = true
    }
    for (name, place) in request.namedContexts {
      if place.hasPrefix("docker-image://") {
        options.namedImages[name] = String(place.dropFirst("docker-image://".count))
      } else {
        options.namedFolders.insert(name)
      }
    }
    var images: [BuildPlanner.ImageKey: BaseImage] = [:]
    while true {
      switch try BuildPlanner.plan(dockerfile, globals: globals, options: options, images: images) {
      case .plan(let plan): return plan
      case .needs(let keys):
        let bases = BaseImages(session: session)
        let outcomes = Outcomes<BaseImage>()
        await withTaskGroup(of: Void.self) { group in
          for (number, key) in keys.enumerated() {
            group.addTask {
              do throws(BuildError) {
                outcomes.set(number, .success(try await bases.load(key)))
              } catch {
                outcomes.set(number, .failure(error))
              }
            }
          }
        }
        for (number, key) in keys.enumerated() {
          do throws(BuildError) {
            images[key] = try outcomes.take(number).get()
          } catch {
            throw Self.at(error, key, dockerfile)
          }
        }
      }
    }
  }

  /// Shows the `FROM` that asked for an image that is not there.
  private static func at(_ error: BuildError, _ key: BuildPlanner.ImageKey, _ dockerfile: Dockerfile) -> BuildError {
    guard let stage = dockerfile.stages.first(where: { $0.from.image == key.reference }) else { return error }
    return error.at(stage.declaration.range, in: dockerfile.source, step: "")
  }

  /// Looks the Dockerfile over without building (`docker build --check`).
  public func check(_ request: BuildRequest) async throws(BuildError) -> (
    dockerfile: Dockerfile, findings: [DockerfileLint.Finding]
  ) {
    let folder = try await blocking { [configuration] () throws(BuildError) in
      try BuildFolder(work: configuration.workDirectory, cgroupRoot: configuration.cgroupRoot)
    }
    let result: Result<SourceLoader.Loaded, BuildError>
    do throws(BuildError) {
      result = .success(
        try await SourceLoader(
          request: request, reporter: ProgressReporter { _ in }, folder: folder, client: client
        ).load())
    } catch {
      result = .failure(error)
    }
    try? await blocking { () throws(BuildError) in folder.remove() }
    let loaded = try result.get()
    let targets = try Self.platforms(request)
    let findings = DockerfileLint.check(
      loaded.dockerfile,
      options: DockerfileLint.Options(variables: Self.variables(request, targets[0]), ignore: loaded.ignore))
    return (loaded.dockerfile, findings)
  }
}
