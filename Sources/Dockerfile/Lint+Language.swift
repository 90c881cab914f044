/// Checks of how the file is written, without expanding anything.
extension Linter {
  mutating func checkLanguage() {
    for warning in dockerfile.warnings {
      switch warning.kind {
      case .emptyContinuation:
        report(
          .noEmptyContinuation, "An empty line stands inside a continued instruction; remove it or make it a comment",
          warning.range)
      case .lateDirective(let name):
        report(
          .lateDirective,
          "# \(name)= has no effect here: parser directives stand at the top, before comments and empty lines",
          warning.range)
      case .looksLikeExecForm:
        report(
          .brokenExecForm,
          "This looks like the JSON form but is no JSON, so a shell runs it as it stands: use double quotes, and no comma at the end",
          warning.range)
      }
    }
    checkCasing()
    checkStageNames()
    // Stages in which somebody has chosen a shell, themselves or by their base.
    var shells: Set<String> = []
    for stage in dockerfile.stages {
      let hasShell = checkOnce(stage, hasShell: shells.contains(stage.from.image.lowercased()))
      guard let name = stage.name else { continue }
      if hasShell { shells.insert(name) } else { shells.remove(name) }
    }
    for (_, instruction) in instructions {
      var body = instruction.body
      if case .onbuild(let onBuild) = body { body = onBuild.trigger.body }
      switch body {
      case .maintainer:
        report(
          .maintainerDeprecated,
          "MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors=…", instruction)
      case .env(let pairs), .label(let pairs):
        if pairs.contains(where: \.isLegacy) {
          report(
            .legacyKeyValueFormat,
            "\(body.name) key value is the old form: write \(body.name) key=value", instruction)
        }
        if case .env = body {
          for pair in pairs where DockerfileLint.looksSecret(pair.key) { reportSecret("ENV", pair.key, instruction) }
        }
      case .arg(let arguments):
        for argument in arguments where DockerfileLint.looksSecret(argument.name) {
          reportSecret("ARG", argument.name, instruction)
        }
        checkDescription(of: arguments.map(\.name), "ARG", instruction)
      case .from(let from):
        if let name = from.name { checkDescription(of: [name], "stage", instruction) }
        checkPlatform(from, instruction)
      case .expose(let ports):
        checkPorts(ports, instruction)
      default: break
      }
    }
  }

  private mutating func reportSecret(_ kind: String, _ name: String, _ instruction: Dockerfile.Instruction) {
    report(
      .secretsUsedInArgOrEnv,
      "\(kind) \(quoted(name)) is named like a secret and would be kept in the image or its history: use RUN --mount=type=secret",
      instruction)
  }

  private func isLower(_ text: String) -> Bool { text == text.lowercased() }
  private func isUpper(_ text: String) -> Bool { text == text.uppercased() }

  private mutating func checkCasing() {
    let all = instructions.map(\.instruction)
    let lower = all.count { isLower($0.keyword) }
    let upper = all.count { isUpper($0.keyword) }
    let majority = lower > upper ? "lowercase" : "uppercase"
    for instruction in all where lower > upper ? !isLower(instruction.keyword) : !isUpper(instruction.keyword) {
      report(
        .consistentInstructionCasing,
        "\(quoted(instruction.keyword)) is not written like most instructions of the file (\(majority))", instruction)
    }
    for stage in dockerfile.stages {
      let keyword = stage.declaration.keyword
      guard let word = stage.from.asKeyword else { continue }
      if isLower(keyword) && !isLower(word) || isUpper(keyword) && !isUpper(word) {
        report(
          .fromAsCasing, "\(quoted(keyword)) and \(quoted(word)) are not written in the same case", stage.declaration)
      }
    }
  }

  private mutating func checkStageNames() {
    var seen: Set<String> = []
    for stage in dockerfile.stages {
      guard let written = stage.from.name, let name = stage.name else { continue }
      if written != name {
        report(.stageNameCasing, "The stage name \(quoted(written)) should be lower case", stage.declaration)
      }
      if name == "scratch" || name == "context" {
        report(.reservedStageName, "The stage name \(quoted(name)) is reserved", stage.declaration)
      }
      if !seen.insert(name).inserted {
        report(
          .duplicateStageName, "There is a stage named \(quoted(name)) already; the last one is the one that is meant",
          stage.declaration)
      }
    }
  }

  /// `CMD`, `ENTRYPOINT` and `HEALTHCHECK` count once, and the first two should not be left to a shell.
  ///
  /// - Parameter inherited: whether the stage's base has a `SHELL`.
  /// - Returns: whether the stage has one.
  private mutating func checkOnce(_ stage: Dockerfile.Stage, hasShell inherited: Bool) -> Bool {
    var last: [String: Dockerfile.Instruction] = [:]
    var hasShell = inherited
    for instruction in stage.instructions {
      let name = instruction.body.name
      switch instruction.body {
      case .shell: hasShell = true
      case .cmd(let command), .entrypoint(let command):
        // Who chose a shell on purpose wants it.
        if command.isShell, !hasShell {
          report(
            .jsonArgsRecommended,
            "\(name) in the shell form starts a shell that takes the signals: write \(name) [\"…\"]", instruction)
        }
        fallthrough
      case .healthcheck:
        if let earlier = last[name] {
          report(
            .multipleInstructionsDisallowed,
            "\(name) is given again in the same stage (line \(instruction.range.start.line)); only the last one counts",
            earlier)
        }
        last[name] = instruction
      default: break
      }
    }
    return hasShell
  }

  private mutating func checkDescription(of names: [String], _ kind: String, _ instruction: Dockerfile.Instruction) {
    guard !instruction.comments.isEmpty else { return }
    for name in names where !instruction.comments.contains(where: { $0.hasPrefix(name + " ") }) {
      report(
        .invalidDefinitionDescription,
        "A comment above \(kind) \(quoted(name)) describes it if it starts with its name: # \(name) …", instruction)
    }
  }

  private mutating func checkPlatform(_ from: Dockerfile.From, _ instruction: Dockerfile.Instruction) {
    guard let platform = from.platform else { return }
    if platform == "$TARGETPLATFORM" || platform == "${TARGETPLATFORM}" {
      report(
        .redundantTargetPlatform, "--platform=\(platform) is what FROM does anyway", instruction)
    } else if !platform.contains("$") {
      // A stage for one architecture that says so in its name is chosen by `FROM name-$TARGETARCH`.
      let name = from.name?.lowercased() ?? ""
      if let words = PlatformWords(platform), !words.architecture.isEmpty, name.contains(words.architecture) { return }
      report(
        .fromPlatformFlagConstDisallowed,
        "--platform=\(platform) is constant: the image is for that platform whatever the build asks for; use $BUILDPLATFORM or none",
        instruction)
    }
  }

  private mutating func checkPorts(_ ports: [String], _ instruction: Dockerfile.Instruction) {
    for port in ports {
      let parts = port.split(separator: "/", maxSplits: 1)
      if parts.count == 2, !parts[1].contains("$"), !isLower(String(parts[1])) {
        report(.exposeProtoCasing, "The protocol \(quoted(String(parts[1]))) should be lower case", instruction)
      }
      if let first = parts.first, first.contains(":"), !first.contains("${") {
        report(
          .exposeInvalidFormat,
          "EXPOSE \(port) names an address or a port of the host, which an image cannot say: only the container's port counts",
          instruction)
      }
    }
  }
}
