/// What the command line gives: the values that variables of a Dockerfile can take from outside.
public struct BuildVariables: Sendable {
  /// `--build-arg`.
  public var buildArguments: [String: String]
  /// `os/arch[/variant]` of the machine that builds.
  public var buildPlatform: String
  /// `os/arch[/variant]` of the image to build.
  public var targetPlatform: String
  /// The name of the stage to build (`TARGETSTAGE`), `default` without one.
  public var targetStage: String

  public init(
    buildArguments: [String: String] = [:], buildPlatform: String, targetPlatform: String,
    targetStage: String = "default"
  ) {
    self.buildArguments = buildArguments
    self.buildPlatform = buildPlatform
    self.targetPlatform = targetPlatform
    self.targetStage = targetStage
  }

  /// Arguments that every build has without declaring them, if the command line gives them. They are in the environment
  /// of `RUN` and nowhere else: not in history, not in cache keys.
  public static let proxyNames = [
    "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy",
    "ALL_PROXY", "all_proxy",
  ]

  /// Arguments that steer the builder and need no declaration.
  public static let builderNames = [
    "BUILDKIT_BUILD_NAME", "BUILDKIT_CACHE_MOUNT_NS", "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM", "BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_SYNTAX",
    "SOURCE_DATE_EPOCH",
  ]

  /// The arguments that are set before the first line: a stage gets one by declaring it without a default.
  public static let platformNames = [
    "BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT", "TARGETPLATFORM", "TARGETOS", "TARGETARCH",
    "TARGETVARIANT", "TARGETSTAGE",
  ]

  func platformValues() throws(DockerfileError) -> [String: String] {
    var values = ["TARGETSTAGE": targetStage]
    for (prefix, text) in [("BUILD", buildPlatform), ("TARGET", targetPlatform)] {
      guard let platform = PlatformWords(text) else {
        throw DockerfileError(.value, "failed to parse platform \(quoted(text)): expected os/arch[/variant]")
      }
      values[prefix + "PLATFORM"] = platform.text
      values[prefix + "OS"] = platform.os
      values[prefix + "ARCH"] = platform.architecture
      values[prefix + "VARIANT"] = platform.variant
    }
    for (name, value) in buildArguments where values[name] != nil { values[name] = value }
    return values
  }
}

/// The arguments before the first `FROM`, evaluated: what `FROM` lines may use, and what `ARG NAME` in a stage
/// inherits.
public struct GlobalScope: Sendable {
  public let variables: BuildVariables
  /// Values of the global arguments and of the platform arguments.
  public internal(set) var values: [String: String]
  let escape: UInt8
  let expansionBytesMax: Int

  func expander() -> Expander {
    let values = values
    return Expander(escape: escape, bytesMax: expansionBytesMax) { values[$0] }
  }

  /// Expands one word. The engine lives no longer than the call, so that `values` can then be changed in place.
  fileprivate func expand(_ text: String) throws(DockerfileError) -> String {
    guard
      text.utf8.contains(where: {
        $0 == Byte.dollar || $0 == escape || $0 == Byte.singleQuote || $0 == Byte.doubleQuote
      })
    else { return text }
    var expander = expander()
    return try expander.expand(text)
  }

  /// Build arguments that nothing in the file declares, sorted: a build says once, at its end, that they were not
  /// consumed.
  public func unusedBuildArguments(in dockerfile: Dockerfile) -> [String] {
    var known = Set(BuildVariables.proxyNames + BuildVariables.builderNames + BuildVariables.platformNames)
    for instruction in dockerfile.globalArguments + dockerfile.stages.flatMap(\.instructions) {
      var body = instruction.body
      if case .onbuild(let onBuild) = body { body = onBuild.trigger.body }
      if case .arg(let arguments) = body { known.formUnion(arguments.map(\.name)) }
    }
    return variables.buildArguments.keys.filter { !known.contains($0) }.sorted()
  }
}

extension Dockerfile {
  /// Evaluates the arguments before the first `FROM`, each with the values of the ones before it.
  public func globalScope(_ variables: BuildVariables) throws(DockerfileError) -> GlobalScope {
    var scope = GlobalScope(
      variables: variables, values: try variables.platformValues(), escape: directives.escape,
      expansionBytesMax: limits.expansionBytesMax)
    var bytes = 0
    for instruction in globalArguments {
      guard case .arg(let arguments) = instruction.body else { continue }
      for argument in arguments {
        do throws(DockerfileError) {
          let name = try scope.expand(argument.name)
          if let value = variables.buildArguments[name] {
            scope.values[name] = value
          } else if let written = argument.value {
            let value = try scope.expand(written)
            bytes += value.utf8.count
            guard bytes <= StageScope.bytesMax else {
              throw DockerfileError(.limit, "the global arguments take more than \(StageScope.bytesMax) bytes")
            }
            scope.values[name] = value
          }
        } catch {
          throw error.at(instruction.range, in: source)
        }
      }
    }
    return scope
  }
}

/// The variables of one stage at one point, and the expansion of its instructions.
///
/// A stage is evaluated from its first instruction to its last; every instruction sees the variables as the ones before
/// it left them.
public struct StageScope: Sendable {
  public typealias Variable = (name: String, value: String)

  /// What `ENV` set here and in the base image, in order: it goes into the image's configuration.
  public private(set) var environment: [Variable]
  /// Where a variable stands in `environment`.
  private var places: [String: Int] = [:]
  private var declared: [String] = []
  private var isDeclared: Set<String> = []
  /// Every variable in effect: the last of `ENV` and `ARG` that set it counts, as in BuildKit.
  private var values: [String: String] = [:]
  private var bytes = 0
  /// Steps that the patterns of the stage may still take together.
  private var stepsLeft = 10 * Expander.stepsMax
  private let globals: GlobalScope
  private var source: SourceText
  /// Variables that the instruction evaluated last used although they are not set.
  package private(set) var undefined: [String] = []

  /// How much the variables of one stage may take together; Linux starts no process with more.
  static let bytesMax = 4 << 20

  /// The scope of a stage on an image.
  ///
  /// - Parameter environment: of the image's configuration.
  public init(_ dockerfile: Dockerfile, globals: GlobalScope, environment: [Variable] = []) {
    self.globals = globals
    self.environment = environment
    source = dockerfile.source
    for (index, (name, value)) in environment.enumerated() {
      values[name] = value
      places[name] = index
      bytes += name.utf8.count + value.utf8.count
    }
  }

  /// The scope of a stage on another stage: it inherits what that one's `ENV` and `ARG` set.
  public init(_ dockerfile: Dockerfile, childOf parent: StageScope) {
    self = parent
    source = dockerfile.source
    undefined = []
  }

  /// The `ARG`s in effect that have a value, in the order of their declaration. They are in the environment of `RUN`,
  /// in its cache key and in its history, and not in the image.
  public var arguments: [Variable] {
    declared.compactMap { name in values[name].map { (name, $0) } }
  }

  /// Proxies given on the command line and declared nowhere: for the environment of `RUN` only.
  public var proxyArguments: [Variable] {
    BuildVariables.proxyNames.compactMap { name in
      guard values[name] == nil, let value = globals.variables.buildArguments[name] else { return nil }
      return (name, value)
    }
  }

  /// What a command of `RUN` finds in its environment, without the proxies: `ENV` first, then `ARG`.
  public var runEnvironment: [Variable] {
    var seen: Set<String> = []
    var result: [Variable] = []
    for name in environment.map(\.name) + declared {
      guard seen.insert(name).inserted, let value = values[name], !StageScope.hidden.contains(name) else { continue }
      result.append((name, value))
    }
    return result
  }

  /// Arguments that are for the builder and not for commands.
  private static let hidden: Set<String> = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"]

  /// The value of a variable in effect.
  public func value(of name: String) -> String? { values[name] }

  /// Names that are set or declared, for "did you mean".
  package var names: [String] { Array(values.keys) + declared }

  /// The same instruction with its variables replaced; `ARG` and `ENV` take effect for what follows.
  ///
  /// Instructions whose words are left to the shell or to the container (`RUN`, `CMD`, `ENTRYPOINT`, `SHELL`,
  /// `HEALTHCHECK`, `MAINTAINER`, `ONBUILD`) come back with their commands as they were.
  public mutating func evaluate(_ instruction: Dockerfile.Instruction) throws(DockerfileError)
    -> Dockerfile.Instruction
  {
    var result = instruction
    undefined = []
    do throws(DockerfileError) {
      if case .arg(let arguments) = instruction.body {
        result.body = .arg(try evaluate(arguments))
      } else {
        var expansion = expansion()
        defer { finish(expansion) }
        result.body = try expansion.expand(instruction.body)
      }
      if case .env(let pairs) = result.body { try apply(pairs) }
    } catch {
      throw error.at(instruction.range, in: source)
    }
    return result
  }

  /// The engine for one instruction or argument. It must be gone before a variable is set, so that the variables are
  /// changed in place and not copied.
  private func expansion() -> Expansion { Expansion(values, globals, steps: min(stepsLeft, Expander.stepsMax)) }

  private mutating func finish(_ expansion: Expansion) {
    stepsLeft -= min(stepsLeft, Expander.stepsMax) - max(0, expansion.expander.stepsLeft)
    undefined += expansion.expander.undefined
  }

  private mutating func set(_ name: String, _ value: String) throws(DockerfileError) {
    bytes += value.utf8.count - (values[name]?.utf8.count ?? -name.utf8.count)
    guard bytes <= StageScope.bytesMax else {
      throw DockerfileError(.limit, "the variables of the stage take more than \(StageScope.bytesMax) bytes")
    }
    values[name] = value
  }

  private mutating func apply(_ pairs: [Dockerfile.KeyValue]) throws(DockerfileError) {
    for pair in pairs {
      try set(pair.key, pair.value)
      if let at = places[pair.key] {
        environment[at].value = pair.value
      } else {
        places[pair.key] = environment.count
        environment.append((pair.key, pair.value))
      }
    }
  }

  /// Several arguments on one line see one another, unlike the variables of `ENV`.
  private mutating func evaluate(_ arguments: [Dockerfile.Argument]) throws(DockerfileError) -> [Dockerfile.Argument] {
    var result: [Dockerfile.Argument] = []
    for argument in arguments {
      let name: String
      let value: String?
      do {
        var expansion = expansion()
        defer { finish(expansion) }
        name = try expansion.expander.expand(argument.name)
        guard !name.isEmpty else { throw DockerfileError(.syntax, "ARG names can not be blank") }
        if let given = globals.variables.buildArguments[name] {
          value = given
        } else if let written = argument.value {
          value = try expansion.expander.expand(written)
        } else {
          value = globals.values[name]
        }
      }
      if isDeclared.insert(name).inserted { declared.append(name) }
      if let value { try set(name, value) }
      result.append(Dockerfile.Argument(name: name, value: value))
    }
    return result
  }
}
