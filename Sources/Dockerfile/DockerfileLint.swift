/// Checks of a Dockerfile that parses: what is legal and yet likely wrong.
///
/// The ids of Docker's build checks mean what they mean there. The others are in the spirit of hadolint and can also be
/// named by hadolint's code. `# check=skip=A,B` leaves checks out: at the top for a file, directly above an instruction for
/// that instruction; so does `# hadolint ignore=DL3008` (or an id) there.
public enum DockerfileLint {
  public enum Severity: String, Sendable, Comparable {
    case style, info, warning, error

    private var rank: Int {
      switch self {
      case .style: 0
      case .info: 1
      case .warning: 2
      case .error: 3
      }
    }
    public static func < (a: Severity, b: Severity) -> Bool { a.rank < b.rank }
  }

  /// The checks. Raw values are the stable ids.
  public enum Check: String, Sendable, CaseIterable {
    // Docker's build checks.
    case stageNameCasing = "StageNameCasing"
    case fromAsCasing = "FromAsCasing"
    case noEmptyContinuation = "NoEmptyContinuation"
    case consistentInstructionCasing = "ConsistentInstructionCasing"
    case duplicateStageName = "DuplicateStageName"
    case reservedStageName = "ReservedStageName"
    case jsonArgsRecommended = "JSONArgsRecommended"
    case maintainerDeprecated = "MaintainerDeprecated"
    case undefinedArgInFrom = "UndefinedArgInFrom"
    case workdirRelativePath = "WorkdirRelativePath"
    case undefinedVar = "UndefinedVar"
    case multipleInstructionsDisallowed = "MultipleInstructionsDisallowed"
    case legacyKeyValueFormat = "LegacyKeyValueFormat"
    case redundantTargetPlatform = "RedundantTargetPlatform"
    case secretsUsedInArgOrEnv = "SecretsUsedInArgOrEnv"
    case invalidDefaultArgInFrom = "InvalidDefaultArgInFrom"
    case fromPlatformFlagConstDisallowed = "FromPlatformFlagConstDisallowed"
    case copyIgnoredFile = "CopyIgnoredFile"
    case invalidDefinitionDescription = "InvalidDefinitionDescription"
    case exposeProtoCasing = "ExposeProtoCasing"
    case exposeInvalidFormat = "ExposeInvalidFormat"
    /// What the build itself would refuse once variables have their values.
    case invalidValue = "InvalidValue"
    // In the spirit of hadolint.
    case lateDirective = "LateDirective"
    case brokenExecForm = "BrokenExecForm"
    case untaggedBaseImage = "UntaggedBaseImage"
    case latestTag = "LatestTag"
    case sudoUsed = "SudoUsed"
    case cdInsteadOfWorkdir = "CdInsteadOfWorkdir"
    case lastUserRoot = "LastUserRoot"
    case uselessCommand = "UselessCommand"
    case aptInsteadOfAptGet = "AptInsteadOfAptGet"
    case aptGetWithoutYes = "AptGetWithoutYes"
    case aptGetRecommends = "AptGetRecommends"
    case aptGetListsKept = "AptGetListsKept"
    case aptGetUpdateAlone = "AptGetUpdateAlone"
    case aptGetUpgrade = "AptGetUpgrade"
    case apkCacheKept = "ApkCacheKept"
    case pipCacheKept = "PipCacheKept"
    case yumWithoutYes = "YumWithoutYes"
    case yumCacheKept = "YumCacheKept"
    case addInsteadOfCopy = "AddInsteadOfCopy"
    case copyDestinationWithoutSlash = "CopyDestinationWithoutSlash"
    case relativeCopyWithoutWorkdir = "RelativeCopyWithoutWorkdir"
    case missingPipefail = "MissingPipefail"
    case wgetAndCurl = "WgetAndCurl"
    case shellReplaced = "ShellReplaced"
    case envSelfReference = "EnvSelfReference"

    /// Whether it is one of Docker's own build checks: only these make a build fail under `# check=error=true`, so that
    /// a file that passes there passes here.
    public var isBuildCheck: Bool {
      hadolint == nil && ![.invalidValue, .lateDirective, .brokenExecForm, .aptGetUpdateAlone].contains(self)
    }

    /// The code of the same rule in hadolint.
    public var hadolint: String? {
      switch self {
      case .uselessCommand: "DL3001"
      case .lastUserRoot: "DL3002"
      case .cdInsteadOfWorkdir: "DL3003"
      case .sudoUsed: "DL3004"
      case .aptGetUpgrade: "DL3005"
      case .untaggedBaseImage: "DL3006"
      case .latestTag: "DL3007"
      case .aptGetListsKept: "DL3009"
      case .aptGetWithoutYes: "DL3014"
      case .aptGetRecommends: "DL3015"
      case .apkCacheKept: "DL3019"
      case .addInsteadOfCopy: "DL3020"
      case .copyDestinationWithoutSlash: "DL3021"
      case .aptInsteadOfAptGet: "DL3027"
      case .yumWithoutYes: "DL3030"
      case .yumCacheKept: "DL3032"
      case .pipCacheKept: "DL3042"
      case .envSelfReference: "DL3044"
      case .relativeCopyWithoutWorkdir: "DL3045"
      case .wgetAndCurl: "DL4001"
      case .shellReplaced: "DL4005"
      case .missingPipefail: "DL4006"
      default: nil
      }
    }

    /// Reported only when a file or the caller asks for it.
    public var isExperimental: Bool { self == .invalidDefinitionDescription }

    public var severity: Severity {
      switch self {
      case .invalidValue, .copyDestinationWithoutSlash, .aptGetWithoutYes, .yumWithoutYes, .brokenExecForm: .error
      case .untaggedBaseImage, .latestTag, .sudoUsed, .lastUserRoot, .aptGetUpdateAlone, .relativeCopyWithoutWorkdir,
        .missingPipefail, .shellReplaced, .envSelfReference, .lateDirective:
        .warning
      case .cdInsteadOfWorkdir, .uselessCommand, .aptInsteadOfAptGet, .aptGetRecommends, .aptGetListsKept,
        .aptGetUpgrade, .apkCacheKept, .pipCacheKept, .yumCacheKept, .addInsteadOfCopy, .wgetAndCurl:
        .info
      case .invalidDefinitionDescription: .style
      default: .warning
      }
    }
  }

  public struct Finding: Sendable, Equatable {
    public var check: Check
    public var message: String
    public var range: SourceRange

    /// The stable id of the check.
    public var id: String { check.rawValue }
    public var severity: Severity { check.severity }
  }

  public struct Options: Sendable {
    /// The values that words are expanded with; without them, those of a build for `linux/amd64` without arguments.
    public var variables: BuildVariables?
    /// The context's `.dockerignore`, for `CopyIgnoredFile`.
    public var ignore: DockerIgnore?
    /// The environment of base images by stage, where it is known. Without it, a variable that such a stage uses is
    /// only reported when it looks like a misspelling.
    public var environments: [Int: [StageScope.Variable]]
    /// Ids that are left out, besides those of the file; `all` for all.
    public var skip: Set<String>
    /// Experimental checks that are switched on, besides those of the file; `all` for all.
    public var experimental: Set<String>

    public init(
      variables: BuildVariables? = nil, ignore: DockerIgnore? = nil,
      environments: [Int: [StageScope.Variable]] = [:], skip: Set<String> = [], experimental: Set<String> = []
    ) {
      self.variables = variables
      self.ignore = ignore
      self.environments = environments
      self.skip = skip
      self.experimental = experimental
    }
  }

  /// What is worth a word, in the order of lines.
  public static func check(_ dockerfile: Dockerfile, options: Options = Options()) -> [Finding] {
    var linter = Linter(dockerfile, options)
    linter.checkLanguage()
    linter.checkVariables()
    linter.checkPractice()
    return linter.result()
  }

  /// The error of `# check=error=true`: `nil` when the file does not ask for it or no build check found anything.
  public static func failure(_ findings: [Finding], in dockerfile: Dockerfile) -> DockerfileError? {
    guard dockerfile.directives.check?.isError == true else { return nil }
    let counted = findings.filter(\.check.isBuildCheck)
    guard let first = counted.first else { return nil }
    var ids: [String] = []
    for finding in counted where !ids.contains(finding.id) { ids.append(finding.id) }
    return DockerfileError(.check, "lint violation found for rules: \(ids.joined(separator: ", "))")
      .at(first.range, in: dockerfile.source)
  }

  /// Whether a variable is named like something that must not be in an image: `DB_PASSWORD`, `NPM_TOKEN`.
  public static func looksSecret(_ name: String) -> Bool {
    let words = name.lowercased().split(separator: "_")
    if words.contains("public") { return false }
    let secrets: Set<Substring> = [
      "apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token",
    ]
    return words.contains { secrets.contains($0) }
  }
}

/// The state of one run over a file.
struct Linter {
  let dockerfile: Dockerfile
  let options: DockerfileLint.Options
  private(set) var found: [DockerfileLint.Finding] = []

  init(_ dockerfile: Dockerfile, _ options: DockerfileLint.Options) {
    self.dockerfile = dockerfile
    self.options = options
  }

  mutating func report(_ check: DockerfileLint.Check, _ message: String, _ range: SourceRange) {
    found.append(DockerfileLint.Finding(check: check, message: message, range: range))
  }

  mutating func report(_ check: DockerfileLint.Check, _ message: String, _ instruction: Dockerfile.Instruction) {
    guard !Linter.ignores(instruction, check) else { return }
    report(check, message, instruction.range)
  }

  /// `# check=skip=JSONArgsRecommended // why` or `# hadolint ignore=DL3006,LatestTag` above the instruction.
  private static func ignores(_ instruction: Dockerfile.Instruction, _ check: DockerfileLint.Check) -> Bool {
    for comment in instruction.comments {
      if skipped(by: comment).contains(where: { $0 == "all" || $0 == check.rawValue }) { return true }
      let words = comment.split(separator: " ")
      guard words.first == "hadolint", let list = words.first(where: { $0.hasPrefix("ignore=") }) else { continue }
      let ids = list.dropFirst("ignore=".count).split(separator: ",").map(String.init)
      if ids.contains(check.rawValue) || check.hadolint.map(ids.contains) == true { return true }
    }
    return false
  }

  /// The ids of a comment in the form of the directive, which holds up to the first space.
  private static func skipped(by comment: String) -> [Substring] {
    guard let (key, value) = Parser.directive(Array("#\(comment)".utf8)[...]), key == "check" else { return [] }
    let options = value.prefix { $0 != " " }.split(separator: ";")
    return options.flatMap { option -> [Substring] in
      option.hasPrefix("skip=") ? option.dropFirst("skip=".count).split(separator: ",") : []
    }
  }

  func result() -> [DockerfileLint.Finding] {
    let skip = options.skip.union(dockerfile.directives.check?.skip ?? [])
    let experimental = options.experimental.union(dockerfile.directives.check?.experimental ?? [])
    if skip.contains("all") { return [] }
    var seen: Set<String> = []
    return
      found.filter { finding in
        let check = finding.check
        if skip.contains(check.rawValue) || check.hadolint.map(skip.contains) == true { return false }
        if check.isExperimental, !experimental.contains("all"), !experimental.contains(check.rawValue) { return false }
        return seen.insert("\(finding.id) \(finding.range.start) \(finding.message)").inserted
      }
      .enumerated()
      .sorted { a, b in
        (a.element.range.start, a.element.id, a.offset) < (b.element.range.start, b.element.id, b.offset)
      }
      .map(\.element)
  }

  /// Every instruction with the stage it stands in; `nil` before the first.
  var instructions: [(stage: Dockerfile.Stage?, instruction: Dockerfile.Instruction)] {
    var all: [(Dockerfile.Stage?, Dockerfile.Instruction)] = dockerfile.globalArguments.map { (nil, $0) }
    for stage in dockerfile.stages {
      all.append((stage, stage.declaration))
      all += stage.instructions.map { (stage, $0) }
    }
    return all
  }
}
