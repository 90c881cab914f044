import Dockerfile
import OCI

/// Turns a Dockerfile into a plan. Pure: base images and named contexts are given, and those that are missing are
/// named, so that the caller gets them and asks again.
///
/// Only what the target needs is planned: a stage is visited when something refers to it.
struct BuildPlanner {
  struct ImageKey: Hashable, Sendable {
    var reference: String
    /// `os/arch[/variant]`.
    var platform: String
  }

  struct Options: Sendable {
    var target: String?
    var labels: [String: String] = [:]
    var network: BuildRequest.Network = .default
    /// Whether the Dockerfile's `RUN --network=host` is granted.
    var allowsHostNetwork = true
    /// The same for the triggers (`ONBUILD`) of base images, which others wrote.
    var allowsHostNetworkInTriggers = false
    var ignoresCache = false
    var ignoredCacheStages: Set<String> = []
    /// Names of `--build-context` that are folders.
    var namedFolders: Set<String> = []
    /// Names of `--build-context` that are images, with their references.
    var namedImages: [String: String] = [:]
    /// Whether titles tell the platform.
    var showsPlatform = false
  }

  enum Outcome {
    case plan(BuildPlan)
    /// These images have to be known first.
    case needs([ImageKey])
  }

  private struct StageState {
    var configuration: ImageConfiguration
    var scope: StageScope
    var step: Int
    var platform: String
    var baseHistory: [History]
    var history: [HistoryEntry]
  }

  private let dockerfile: Dockerfile
  private let globals: GlobalScope
  private let graph: StageGraph
  private let options: Options
  private let images: [ImageKey: BaseImage]
  private var steps: [Step] = []
  private var stages: [Int: StageState] = [:]
  private var imageSteps: [ImageKey: Int] = [:]
  private var missing: [ImageKey] = []
  /// Stages that are being planned: triggers can make them need one another, which the graph does not know.
  private var open: Set<Int> = []

  private init(
    _ dockerfile: Dockerfile, globals: GlobalScope, options: Options, images: [ImageKey: BaseImage]
  ) throws(DockerfileError) {
    self.dockerfile = dockerfile
    self.globals = globals
    self.options = options
    self.images = images
    graph = try dockerfile.stageGraph(globals)
  }

  /// - Parameter images: what is known so far, by reference as the Dockerfile has it and platform.
  static func plan(
    _ dockerfile: Dockerfile, globals: GlobalScope, options: Options, images: [ImageKey: BaseImage]
  ) throws(BuildError) -> Outcome {
    var planner = try parsed { () throws(DockerfileError) in
      try BuildPlanner(dockerfile, globals: globals, options: options, images: images)
    }
    let target: Dockerfile.Stage
    if let name = options.target, !name.isEmpty {
      target = try parsed { () throws(DockerfileError) in try dockerfile.stage(named: name) }
    } else if let last = dockerfile.stages.last {
      target = last
    } else {
      throw BuildError(.dockerfile, "the Dockerfile has no stages: begin with FROM")
    }
    // Base images first, without looking at instructions: what they are decides what the instructions mean.
    for index in planner.graph.order(for: target.index) { planner.requireBase(of: index) }
    if !planner.missing.isEmpty { return .needs(planner.missing) }
    let state = try planner.stage(target.index)
    if !planner.missing.isEmpty { return .needs(planner.missing) }
    var configuration = state.configuration
    for (name, value) in options.labels { configuration.config.labels[name] = value }
    return .plan(
      BuildPlan(
        platform: state.platform, steps: planner.steps, result: state.step, configuration: configuration,
        baseHistory: state.baseHistory, history: state.history))
  }

  // MARK: Images

  private func platform(of node: StageGraph.Node) -> String { node.platform ?? globals.variables.targetPlatform }

  private func key(_ reference: String, platform: String) -> ImageKey {
    ImageKey(reference: options.namedImages[contextName(reference)] ?? reference, platform: platform)
  }

  /// The `--build-context` that an image's name means, by its familiar form without `latest`, as BuildKit compares; the name
  /// itself when there is none.
  private func contextName(_ reference: String) -> String {
    func isKnown(_ name: String) -> Bool { options.namedFolders.contains(name) || options.namedImages[name] != nil }
    if isKnown(reference) { return reference }
    guard let parsed = try? Reference(parsing: reference) else { return reference }
    let familiar = parsed.familiar
    let name = familiar.hasSuffix(":latest") ? String(familiar.dropLast(":latest".count)) : familiar
    return isKnown(name) ? name : reference
  }

  /// - Returns: whether it is known.
  @discardableResult
  private mutating func requireBase(of stage: Int) -> Bool {
    let node = graph.nodes[stage]
    guard case .image(let reference) = node.base, !options.namedFolders.contains(contextName(reference)) else {
      return true
    }
    return require(key(reference, platform: platform(of: node))) != nil
  }

  private mutating func require(_ key: ImageKey) -> BaseImage? {
    if let image = images[key] { return image }
    if !missing.contains(key) { missing.append(key) }
    return nil
  }

  /// The step that provides an image's files.
  private mutating func imageStep(_ key: ImageKey, stage: Int, range: SourceRange?, title: String) -> Int? {
    if let id = imageSteps[key] { return id }
    guard let image = require(key) else { return nil }
    let id = add(
      Step(
        id: 0, kind: .base(image), stage: stage, platform: key.platform, range: range, title: title))
    imageSteps[key] = id
    return id
  }

  private mutating func add(_ step: Step) -> Int {
    var step = step
    step.id = steps.count
    steps.append(step)
    return step.id
  }

  // MARK: Stages

  private mutating func stage(_ index: Int) throws(BuildError) -> StageState {
    if let state = stages[index] { return state }
    let stage = dockerfile.stages[index]
    guard open.insert(index).inserted else {
      throw BuildError(
        .dockerfile,
        "circular dependency: the stage \(stage.name ?? "\(index)") needs itself by way of triggers (ONBUILD)")
    }
    defer { open.remove(index) }
    let node = graph.nodes[index]
    let platform = platform(of: node)
    var state: StageState
    // Images from a trigger are asked for by it; until they are known the plan is thrown away anyway.
    switch node.base {
    case .stage(let base):
      let parent = try self.stage(base)
      state = StageState(
        configuration: parent.configuration, scope: StageScope(dockerfile, childOf: parent.scope), step: parent.step,
        platform: parent.platform, baseHistory: parent.baseHistory, history: parent.history)
      state.configuration.hasOwnCmd = false
    case .scratch:
      let id = add(
        Step(
          id: 0, kind: .scratch, stage: index, platform: platform, range: stage.declaration.range,
          title: title(stage, 1, "FROM scratch")))
      state = StageState(
        configuration: .scratch,
        scope: StageScope(dockerfile, globals: globals, environment: ImageConfiguration.scratch.environment),
        step: id, platform: platform, baseHistory: [], history: [])
    case .image(let reference) where options.namedFolders.contains(contextName(reference)):
      state = folderStage(contextName(reference), stage: stage, platform: platform)
    case .image(let reference):
      let key = key(reference, platform: platform)
      guard let image = require(key),
        let id = imageStep(
          key, stage: index, range: stage.declaration.range, title: title(stage, 1, "FROM \(key.reference)"))
      else {
        throw BuildError(.system, "the image \(reference) was not looked up before planning")
      }
      state = StageState(
        configuration: image.configuration,
        scope: StageScope(
          dockerfile, globals: globals, environment: image.configuration.environment),
        step: id, platform: platform, baseHistory: image.history, history: [])
    }
    let triggers = state.configuration.config.onBuild
    state.configuration.config.onBuild = []
    // Those of a stage stand in this Dockerfile.
    let allowsHostInTriggers =
      if case .image = node.base { options.allowsHostNetworkInTriggers } else { options.allowsHostNetwork }
    var instructions = stage.instructions.map { (instruction: $0, range: Optional($0.range)) }
    if !triggers.isEmpty {
      var parsedTriggers: [(instruction: Dockerfile.Instruction, range: SourceRange?)] = []
      for text in triggers {
        let trigger = try parsed { () throws(DockerfileError) in
          try Dockerfile.parseTrigger(text, image: stage.from.image)
        }
        // An error in it is shown at the FROM that brought it.
        parsedTriggers.append((trigger, stage.declaration.range))
      }
      instructions = parsedTriggers + instructions
    }
    let total = 1 + instructions.count { Self.isShown($0.instruction.body) }
    var number = 1
    let ignoresCache =
      options.ignoresCache || (stage.name.map { options.ignoredCacheStages.contains($0) } ?? false)
    for (position, (instruction, range)) in instructions.enumerated() {
      let allowsHost = position < triggers.count ? allowsHostInTriggers : options.allowsHostNetwork
      if Self.isShown(instruction.body) { number += 1 }
      let shown = title(stage, number, instruction.text, total: total)
      let before = missing.count
      do throws(BuildError) {
        try perform(
          instruction, range: range, title: shown, stage: index, ignoresCache: ignoresCache, allowsHost: allowsHost,
          state: &state)
      } catch {
        guard let range else { throw error }
        throw error.at(range, in: dockerfile.source, step: shown)
      }
      // A step without its source cannot be planned; the next round has the image.
      if missing.count > before { break }
    }
    stages[index] = state
    return state
  }

  /// A stage on a folder of `--build-context`: its files are all that is in the image.
  private mutating func folderStage(_ name: String, stage: Dockerfile.Stage, platform: String) -> StageState {
    let range = stage.declaration.range
    let title = title(stage, 1, "FROM \(name)")
    let empty = add(
      Step(id: 0, kind: .scratch, stage: stage.index, platform: platform, range: range, title: title))
    var step = Step(
      id: 0, kind: .scratch, parent: empty, stage: stage.index, platform: platform, range: range, title: title)
    step.kind = .copy(
      CopyStep(
        sources: [.path("/")], destination: "/", origin: .named(name), chown: nil, chmod: nil, chmodText: nil,
        isLinked: false, keepsParents: false, excluded: [], isAdd: false, checksum: nil, unpacks: nil,
        keepsGitDirectory: false, fromText: name))
    let id = add(step)
    return StageState(
      configuration: .scratch,
      scope: StageScope(dockerfile, globals: globals, environment: ImageConfiguration.scratch.environment),
      step: id, platform: platform, baseHistory: [], history: [HistoryEntry(createdBy: "COPY / /", step: id)])
  }

  private mutating func perform(
    _ instruction: Dockerfile.Instruction, range: SourceRange?, title: String, stage: Int, ignoresCache: Bool,
    allowsHost: Bool, state: inout StageState
  ) throws(BuildError) {
    let evaluated = try parsed { () throws(DockerfileError) in try state.scope.evaluate(instruction) }
    let isConfiguration = try parsed { () throws(DockerfileError) in try state.configuration.apply(evaluated.body) }
    var step = Step(
      id: 0, kind: .scratch, parent: state.step, stage: stage, platform: state.platform, range: range, title: title,
      ignoresCache: ignoresCache)
    switch evaluated.body {
    case .workdir:
      let path = state.configuration.config.workingDir
      try Self.checkTexts([path])
      guard path != "/" else {
        state.history.append(HistoryEntry(createdBy: "WORKDIR \(path)"))
        return
      }
      step.kind = .workdir(path: path, user: state.configuration.config.user)
      state.step = add(step)
      state.history.append(HistoryEntry(createdBy: "WORKDIR \(path)", step: state.step))
    case .run(let run):
      let plan = try runStep(
        run, scope: state.scope, configuration: state.configuration, stage: stage, allowsHost: allowsHost,
        sources: &step.sources)
      guard let plan else { return }
      try Self.checkTexts(plan.arguments)
      step.kind = .run(plan)
      state.step = add(step)
      state.history.append(
        HistoryEntry(createdBy: Self.history(run, plan, shell: state.configuration.shellWords), step: state.step))
    case .copy(let copy):
      guard let origin = try origin(copy.from, stage: stage, platform: state.platform, range: range) else { return }
      if case .step(let id) = origin { step.sources.append(id) }
      step.kind = .copy(try Self.check(try copyStep(copy, origin: origin, configuration: state.configuration)))
      state.step = add(step)
      state.history.append(HistoryEntry(createdBy: instruction.text, step: state.step))
    case .add(let item):
      step.kind = .copy(try Self.check(try addStep(item, configuration: state.configuration)))
      step.title = RemoteSource.withoutCredentials(step.title)
      state.step = add(step)
      state.history.append(
        HistoryEntry(createdBy: RemoteSource.withoutCredentials(instruction.text), step: state.step))
    default:
      if isConfiguration, !Self.isSilent(evaluated.body) {
        state.history.append(HistoryEntry(createdBy: evaluated.text, author: state.configuration.author))
      }
    }
  }

  /// What `--from` means. `nil` when an image has to be looked up first.
  private mutating func origin(
    _ from: String?, stage: Int, platform: String, range: SourceRange?
  ) throws(BuildError) -> FileOrigin? {
    guard let from, !from.isEmpty else { return .context }
    if options.namedFolders.contains(contextName(from)) { return .named(contextName(from)) }
    switch graph.origin(of: from) {
    case .stage(let index):
      guard index != stage else {
        throw BuildError(.dockerfile, "--from=\(from) is the stage itself; copy from an earlier one")
      }
      // A trigger (ONBUILD) may lead to stages that nothing else does.
      var isKnown = true
      for needed in graph.order(for: index) where !requireBase(of: needed) { isKnown = false }
      guard isKnown else { return nil }
      return .step(try self.stage(index).step)
    case .scratch:
      throw BuildError(.dockerfile, "--from=scratch: \"scratch\" has no files; name a stage or an image")
    case .image(let reference):
      let key = key(reference, platform: platform)
      return imageStep(key, stage: stage, range: range, title: prefix(nil) + "FROM \(key.reference)]").map { .step($0) }
    }
  }

  private func copyStep(
    _ copy: Dockerfile.Copy, origin: FileOrigin, configuration: ImageConfiguration
  ) throws(BuildError) -> CopyStep {
    for case .path(let path) in copy.sources where path.hasPrefix("http://") || path.hasPrefix("https://") {
      throw BuildError(.dockerfile, "source can't be a URL for COPY: \"\(path)\"; use ADD")
    }
    return CopyStep(
      sources: copy.sources.map { source in
        switch source {
        case .path(let path): .path(path)
        case .heredoc(let heredoc): .document(name: heredoc.name, content: heredoc.content)
        }
      }, destination: destination(copy.destination, configuration), origin: origin, chown: copy.chown,
      chmod: try mode(copy.chmod), chmodText: copy.chmod, isLinked: copy.link, keepsParents: copy.parents,
      excluded: copy.exclude, isAdd: false, checksum: nil, unpacks: nil, keepsGitDirectory: false, fromText: copy.from)
  }

  private func addStep(
    _ item: Dockerfile.Add, configuration: ImageConfiguration
  ) throws(BuildError) -> CopyStep {
    let sources = item.sources.map { source -> CopyStep.Source in
      switch source {
      case .path(let path):
        switch RemoteSource(path) {
        case .http(let url): .http(url: url)
        case .git(let reference): .git(reference)
        case nil: .path(path)
        }
      case .heredoc(let heredoc): .document(name: heredoc.name, content: heredoc.content)
      }
    }
    if item.checksum != nil {
      // A digest that nothing is compared with would look like a promise.
      guard sources.count == 1 else {
        throw BuildError(.dockerfile, "checksum can't be specified for multiple sources")
      }
      switch sources[0] {
      case .http, .git: break
      default: throw BuildError(.dockerfile, "checksum can't be specified for non-HTTP(S) and non-git sources")
      }
    }
    return CopyStep(
      sources: sources, destination: destination(item.destination, configuration), origin: .context, chown: item.chown,
      chmod: try mode(item.chmod), chmodText: item.chmod, isLinked: item.link, keepsParents: false,
      excluded: item.exclude, isAdd: true, checksum: item.checksum, unpacks: item.unpack,
      keepsGitDirectory: item.keepGitDirectory, fromText: nil)
  }

  /// To the kernel a text ends at its first zero: it would be another path, or another argument, than is written.
  private static func checkTexts(_ texts: [String]) throws(BuildError) {
    guard texts.allSatisfy({ !$0.utf8.contains(0) }) else {
      throw BuildError(.dockerfile, "a zero byte can stand neither in a path nor in an argument; remove it")
    }
  }

  private static func check(_ step: CopyStep) throws(BuildError) -> CopyStep {
    try checkTexts(
      [step.destination]
        + step.sources.compactMap { (source: CopyStep.Source) -> String? in
          switch source {
          case .path(let path): path
          case .document(let name, _): name
          case .http, .git: nil
          }
        })
    return step
  }

  private func mode(_ text: String?) throws(BuildError) -> FileMode? {
    guard let text else { return nil }
    return try parsed { () throws(DockerfileError) in try FileMode.parse(text) }
  }

  private func destination(_ text: String, _ configuration: ImageConfiguration) -> String {
    let path = configuration.absolute(text)
    return FilePath.namesDirectory(text) && path != "/" ? path + "/" : path
  }

  private mutating func runStep(
    _ run: Dockerfile.Run, scope: StageScope, configuration: ImageConfiguration, stage: Int, allowsHost: Bool,
    sources: inout [Int]
  ) throws(BuildError) -> RunStep? {
    guard run.security == .sandbox else {
      throw BuildError(
        .unsupported, "RUN --security=insecure is not built: steps run with the capabilities of a normal container")
    }
    guard run.devices.isEmpty else {
      throw BuildError(.unsupported, "RUN --device is not built: steps have no devices of the machine")
    }
    var mounts: [RunMount] = []
    var agents = 0
    for mount in run.mounts {
      var planned = RunMount(mount: mount, target: "")
      if let target = mount.effectiveTarget {
        planned.target = configuration.absolute(target)
      } else if mount.kind == .ssh {
        planned.target = "/run/buildkit/ssh_agent.\(agents)"
        agents += 1
      }
      if mount.kind == .bind || (mount.kind == .cache && mount.from != nil) {
        let from: FileOrigin? = try origin(
          mount.from, stage: stage, platform: platform(of: graph.nodes[stage]), range: nil)
        guard let from else { return nil }
        planned.origin = from
        if case .step(let id) = from, !sources.contains(id) { sources.append(id) }
      }
      mounts.append(planned)
    }
    var script: (name: String, content: String)?
    let arguments: [String]
    switch run.invocation {
    case .exec(let words): arguments = words
    case .shell(let text): arguments = configuration.shellWords + [text]
    case .script(let name, let content):
      arguments = ["/dev/pipes/\(name)"]
      script = (name, content)
    }
    guard run.network != .host || allowsHost else {
      throw BuildError(
        .invalid,
        "network.host is not allowed: a base image's trigger, and a Dockerfile that was fetched or came in an archive, "
          + "get the machine's network only with --allow network.host")
    }
    let network: BuildRequest.Network =
      switch run.network {
      case .default: options.network
      case .none: .none
      case .host: .host
      }
    return RunStep(
      arguments: arguments, script: script, environment: scope.runEnvironment,
      proxies: scope.proxyArguments, workingDirectory: configuration.config.workingDir, user: configuration.config.user,
      mounts: mounts, network: network)
  }

  // MARK: Texts

  /// Whether the instruction counts in `[2/4]`.
  private static func isShown(_ body: Dockerfile.Body) -> Bool {
    switch body {
    case .run, .copy, .add, .workdir: true
    default: false
    }
  }

  private static func isSilent(_ body: Dockerfile.Body) -> Bool {
    if case .workdir = body { true } else { false }
  }

  private static func history(_ run: Dockerfile.Run, _ plan: RunStep, shell: [String]) -> String {
    switch run.invocation {
    case .script(let name, _): "RUN <<\(name)"
    case .exec, .shell: "RUN " + plan.arguments.joined(separator: " ")
    }
  }

  private func prefix(_ stage: Dockerfile.Stage?) -> String {
    var words: [String] = []
    if options.showsPlatform { words.append(globals.variables.targetPlatform) }
    if let stage {
      if let name = stage.name {
        words.append(name)
      } else if dockerfile.stages.count > 1 {
        words.append("stage-\(stage.index)")
      }
    }
    return "[" + words.map { $0 + " " }.joined()
  }

  private func title(_ stage: Dockerfile.Stage, _ number: Int, _ text: String, total: Int? = nil) -> String {
    let total = total ?? 1 + stage.instructions.count { Self.isShown($0.body) }
    return "\(prefix(stage))\(number)/\(total)] \(text)"
  }
}
