/// Checks of what the instructions do: images, users, and the commands of `RUN`.
extension Linter {
  mutating func checkPractice() {
    let shipped = shippedStages()
    for stage in dockerfile.stages {
      checkImage(stage)
      var shell = Dockerfile.CommandLine.defaultShell
      for instruction in stage.instructions {
        switch instruction.body {
        case .shell(let words): shell = words
        case .run(let run):
          checkRun(run, instruction, shell: shell, isShipped: shipped.contains(stage.index))
        default: break
        }
      }
      checkDownloads(stage)
    }
    checkLastUser(shipped)
  }

  /// The last stage and those it is built on: what they leave behind is in the image.
  private func shippedStages() -> Set<Int> {
    guard var index = dockerfile.stages.indices.last else { return [] }
    var shipped: Set<Int> = [index]
    while true {
      let image = dockerfile.stages[index].from.image.lowercased()
      guard let base = dockerfile.stages[..<index].last(where: { $0.name == image }) else { return shipped }
      index = base.index
      shipped.insert(index)
    }
  }

  private mutating func checkImage(_ stage: Dockerfile.Stage) {
    let image = stage.from.image
    // A name with variables is chosen elsewhere.
    guard !image.contains("$"), image != "scratch" else { return }
    guard !dockerfile.stages[..<stage.index].contains(where: { $0.name == image.lowercased() }) else { return }
    if image.contains("@") { return }
    let last = image.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    let parts = last.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count < 2 {
      report(
        .untaggedBaseImage, "FROM \(image) has no tag, which is whatever \"latest\" is on the day of the build",
        stage.declaration)
    } else if parts[1] == "latest" {
      report(
        .latestTag, "FROM \(image) is another image tomorrow: name a version", stage.declaration)
    }
  }

  private mutating func checkLastUser(_ shipped: Set<Int>) {
    var last: (user: String, instruction: Dockerfile.Instruction)?
    for stage in dockerfile.stages where shipped.contains(stage.index) {
      for instruction in stage.instructions {
        if case .user(let user) = instruction.body { last = (user, instruction) }
      }
    }
    guard let last else { return }
    let name = last.user.split(separator: ":").first ?? ""
    if name == "root" || name == "0" {
      report(.lastUserRoot, "The image runs as root: end with a USER that is not", last.instruction)
    }
  }

  private mutating func checkDownloads(_ stage: Dockerfile.Stage) {
    var users: [String: Dockerfile.Instruction] = [:]
    for instruction in stage.instructions {
      guard case .run(let run) = instruction.body, let script = Linter.script(run) else { continue }
      for command in ShellCommands(script).commands where ["wget", "curl"].contains(command.program) {
        if users[command.program] == nil { users[command.program] = instruction }
      }
    }
    if let wget = users["wget"], let curl = users["curl"] {
      let later = wget.range.start < curl.range.start ? curl : wget
      report(.wgetAndCurl, "The stage downloads by wget and by curl; one of them is enough", later)
    }
  }

  /// The text that a shell runs.
  private static func script(_ run: Dockerfile.Run) -> String? {
    switch run.invocation {
    case .shell(let text): return text
    case .exec(let words):
      // `["sh", "-c", "…"]` is a script too.
      guard words.count == 3, words[1].hasPrefix("-"), words[1].hasSuffix("c") else { return nil }
      return words[2]
    case .script(_, let content):
      let interpreter = content.prefix { $0 != "\n" }
      return interpreter.hasSuffix("sh") || interpreter.contains("sh ") ? content : nil
    }
  }

  private mutating func checkRun(
    _ run: Dockerfile.Run, _ instruction: Dockerfile.Instruction, shell: [String], isShipped: Bool
  ) {
    guard let script = Linter.script(run) else { return }
    let parsed = ShellCommands(script)
    let commands = parsed.commands
    if parsed.usesSudo {
      report(.sudoUsed, "sudo has no terminal and no need here: set USER", instruction)
    }
    if let first = commands.first, first.program == "cd", first.operands.first?.hasPrefix("/") == true {
      report(.cdInsteadOfWorkdir, "cd lasts to the end of this RUN: use WORKDIR", instruction)
    }
    let useless: Set<String> = ["ssh", "vim", "shutdown", "service", "ps", "free", "top", "kill", "systemctl"]
    for command in commands where useless.contains(command.program) {
      report(.uselessCommand, "\(command.program) makes no sense while an image is built", instruction)
    }
    for command in commands where command.program == "ln" {
      if command.operands.contains("/bin/sh"), command.has("s", "--symbolic") {
        report(.shellReplaced, "Replacing /bin/sh changes it for everybody: use SHELL", instruction)
      }
    }
    checkPipes(commands, script, instruction, shell: shell, run)
    checkApt(commands, run, instruction, isShipped: isShipped)
    checkOtherPackages(commands, run, instruction, isShipped: isShipped)
  }

  private mutating func checkPipes(
    _ commands: [ShellCommands.Command], _ script: String, _ instruction: Dockerfile.Instruction, shell: [String],
    _ run: Dockerfile.Run
  ) {
    guard commands.contains(where: \.pipes) else { return }
    let program = shell.first?.split(separator: "/").last.map(String.init) ?? "sh"
    guard ["sh", "bash", "ash", "dash", "zsh", "ksh"].contains(program) else { return }
    if case .script = run.invocation { return }
    if shell.contains("pipefail") || script.contains("pipefail") { return }
    report(
      .missingPipefail,
      "A command before a pipe may fail unseen: SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"] above, or set -o pipefail in front",
      instruction)
  }

  /// Whether a path is on a cache or tmpfs mount, so that what is left there is not in the image.
  private func isMounted(_ path: String, _ run: Dockerfile.Run) -> Bool {
    run.mounts.contains { mount in
      guard mount.kind == .cache || mount.kind == .tmpfs, let target = mount.target else { return false }
      let clean = cleanPath(target)
      return path == clean || path.hasPrefix(clean + "/")
    }
  }

  private mutating func checkApt(
    _ commands: [ShellCommands.Command], _ run: Dockerfile.Run, _ instruction: Dockerfile.Instruction, isShipped: Bool
  ) {
    var updates = false
    var installs = false
    var removesLists = isMounted("/var/lib/apt/lists", run)
    for command in commands {
      if command.program == "rm", command.operands.contains(where: { $0.hasPrefix("/var/lib/apt/lists") }) {
        removesLists = true
      }
      if command.program == "apt" {
        report(.aptInsteadOfAptGet, "apt is for people and changes: use apt-get or apt-cache in scripts", instruction)
      }
      guard command.program == "apt-get" || command.program == "aptitude" else { continue }
      let subcommand = command.operands.first { Linter.aptSubcommands.contains($0) } ?? ""
      switch subcommand {
      case "update": updates = true
      case "install", "reinstall", "build-dep":
        installs = true
        let isQuietEnough =
          command.has(long: "-qq") || command.arguments.contains("-q=2")
          || command.arguments.filter { $0 == "-q" }.count > 1
        if !command.has("y", "--yes", "--assume-yes"), !isQuietEnough, !Linter.answersYes(command) {
          report(
            .aptGetWithoutYes, "apt-get \(subcommand) asks and nobody answers: add -y", instruction)
        }
        if !command.has(long: "--no-install-recommends"), !Linter.skipsRecommends(command) {
          report(
            .aptGetRecommends, "apt-get \(subcommand) also installs recommended packages: add --no-install-recommends",
            instruction)
        }
      case "upgrade", "dist-upgrade", "full-upgrade":
        if subcommand == "dist-upgrade" {
          report(
            .aptGetUpgrade,
            "apt-get \(subcommand) makes the image depend on the day it is built: take a newer base image",
            instruction)
        }
        installs = true
      default: break
      }
    }
    if updates, !installs {
      report(
        .aptGetUpdateAlone,
        "apt-get update alone is cached and gets old: put it in the same RUN as apt-get install", instruction)
    }
    if updates, isShipped, !removesLists {
      report(
        .aptGetListsKept, "The package lists stay in the image: add && rm -rf /var/lib/apt/lists/*", instruction)
    }
  }

  private static let aptSubcommands: Set<String> = [
    "update", "install", "reinstall", "build-dep", "upgrade", "dist-upgrade", "full-upgrade", "remove", "purge",
    "autoremove", "clean", "autoclean", "download", "source", "check",
  ]

  private static func options(_ command: ShellCommands.Command) -> [String] {
    command.arguments.map { word in
      word.lowercased().filter { !"\" -".contains($0) }
    }
  }

  private static func answersYes(_ command: ShellCommands.Command) -> Bool {
    options(command).contains { $0.contains("apt::get::assumeyes=true") || $0.contains("apt::get::assumeyes=1") }
  }

  private static func skipsRecommends(_ command: ShellCommands.Command) -> Bool {
    options(command).contains { word in
      ["0", "false", "no"].contains { word.contains("apt::installrecommends=\($0)") }
    }
  }

  private mutating func checkOtherPackages(
    _ commands: [ShellCommands.Command], _ run: Dockerfile.Run, _ instruction: Dockerfile.Instruction, isShipped: Bool
  ) {
    let removed = commands.filter { $0.program == "rm" }.flatMap(\.operands)
    for command in commands {
      let subcommand = command.operands.first ?? ""
      switch command.program {
      case "apk" where command.operands.contains("add") && isShipped:
        if !command.has(long: "--no-cache"), !removed.contains(where: { $0.hasPrefix("/var/cache/apk") }),
          !isMounted("/var/cache/apk", run), !isMounted("/etc/apk/cache", run)
        {
          report(.apkCacheKept, "apk add keeps its index in the image: add --no-cache", instruction)
        }
      case "pip", "pip3":
        guard subcommand == "install", isShipped else { break }
        if !command.has(long: "--no-cache-dir"), !isMounted("/root/.cache/pip", run),
          !removed.contains(where: { $0.contains(".cache") }), !hasEnvironment("PIP_NO_CACHE_DIR")
        {
          report(.pipCacheKept, "pip install keeps its downloads in the image: add --no-cache-dir", instruction)
        }
      case "yum", "dnf", "microdnf", "zypper":
        guard ["install", "groupinstall", "localinstall", "in"].contains(where: command.operands.contains) else {
          break
        }
        if !command.has("y", "--assumeyes", "--no-confirm", "--non-interactive"), !command.has(long: "-n") {
          report(
            .yumWithoutYes, "\(command.program) install asks and nobody answers: add -y", instruction)
        }
        let cleans = commands.contains { $0.program == command.program && $0.operands.contains("clean") }
        let cache = command.program == "zypper" ? "/var/cache/zypp" : "/var/cache/\(command.program)"
        if isShipped, !cleans, !removed.contains(where: { $0.hasPrefix("/var/cache") }), !isMounted(cache, run) {
          report(
            .yumCacheKept,
            "\(command.program) keeps its downloads in the image: add && \(command.program) clean all", instruction)
        }
      default: break
      }
    }
  }

  private func hasEnvironment(_ name: String) -> Bool {
    dockerfile.stages.contains { stage in
      stage.instructions.contains { instruction in
        switch instruction.body {
        case .env(let pairs): pairs.contains { $0.key == name }
        case .arg(let arguments): arguments.contains { $0.name == name }
        default: false
        }
      }
    }
  }
}
