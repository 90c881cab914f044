/// Checks that need the values of variables: stages are evaluated as a build would, as far as that is possible without
/// their base images.
extension Linter {
  mutating func checkVariables() {
    let variables =
      options.variables ?? BuildVariables(buildPlatform: "linux/amd64", targetPlatform: "linux/amd64")
    let globals: GlobalScope
    let graph: StageGraph
    do throws(DockerfileError) {
      globals = try dockerfile.globalScope(variables)
      checkFrom(globals)
      graph = try dockerfile.stageGraph(globals)
    } catch {
      // Without its stages, the file cannot be followed any further.
      if let range = error.range, !findsFaultWithDefault(at: range) { report(.invalidValue, error.message, range) }
      return
    }
    var scopes: [Int: StageScope] = [:]
    var directories: [Int: WorkingDirectory] = [:]
    // A file with thousands of mistakes gets the first of them explained.
    var suggestionsLeft = 50
    for stage in dockerfile.stages {
      var scope: StageScope
      var directory = WorkingDirectory()
      var isEnvironmentKnown = true
      switch graph.nodes[stage.index].base {
      case .stage(let base):
        scope = scopes[base].map { StageScope(dockerfile, childOf: $0) } ?? StageScope(dockerfile, globals: globals)
        directory = directories[base] ?? directory
        isEnvironmentKnown = knowsEnvironment(of: base, graph)
      case .scratch: scope = StageScope(dockerfile, globals: globals)
      case .image:
        scope = StageScope(dockerfile, globals: globals, environment: options.environments[stage.index] ?? [])
        isEnvironmentKnown = options.environments[stage.index] != nil
      }
      for instruction in stage.instructions {
        if case .env(let pairs) = instruction.body { checkSelfReference(pairs, scope, instruction) }
        var evaluated: Dockerfile.Instruction?
        do throws(DockerfileError) {
          evaluated = try scope.evaluate(instruction)
        } catch {
          // What hangs on a variable of an unknown base image may well be right.
          if isEnvironmentKnown || (error.code == .value && scope.undefined.isEmpty) {
            report(.invalidValue, error.message, instruction)
          }
        }
        for name in scope.undefined where name != "PATH" {
          suggestionsLeft -= 1
          let nearest = suggestionsLeft > 0 ? Suggestion.nearest(to: name, among: scope.names.sorted()) : nil
          guard isEnvironmentKnown || nearest != nil else { continue }
          report(
            .undefinedVar,
            "The variable $\(name) is not defined" + (nearest.map { " (did you mean $\($0)?)" } ?? ""), instruction)
        }
        if let evaluated { check(evaluated, instruction, &directory) }
      }
      scopes[stage.index] = scope
      directories[stage.index] = directory
    }
  }

  /// Whether a check of the same lines says already what is wrong with the image's name.
  private func findsFaultWithDefault(at range: SourceRange) -> Bool {
    found.contains { [.invalidDefaultArgInFrom, .undefinedArgInFrom].contains($0.check) && $0.range == range }
  }

  private func knowsEnvironment(of stage: Int, _ graph: StageGraph) -> Bool {
    var stage = stage
    // Bases are earlier stages, so this ends.
    while case .stage(let base) = graph.nodes[stage].base { stage = base }
    return graph.nodes[stage].base == .scratch || options.environments[stage] != nil
  }

  private struct WorkingDirectory {
    var isAbsolute = false
    var isSet = false
  }

  private mutating func checkFrom(_ globals: GlobalScope) {
    var known = Set(globals.values.keys)
    for instruction in dockerfile.globalArguments {
      guard case .arg(let arguments) = instruction.body else { continue }
      known.formUnion(arguments.map(\.name))
    }
    let defaults = BuildVariables(
      buildPlatform: globals.variables.buildPlatform, targetPlatform: globals.variables.targetPlatform)
    let withoutArguments = try? dockerfile.globalScope(defaults)
    for stage in dockerfile.stages {
      for text in [stage.from.image, stage.from.platform ?? ""] {
        var expander = globals.expander()
        guard (try? expander.expand(text)) != nil else { continue }
        for name in expander.undefined where !known.contains(name) {
          report(
            .undefinedArgInFrom,
            "FROM uses $\(name), which no ARG before the first FROM declares"
              + Suggestion.phrase(for: name, among: known.sorted()), stage.declaration)
        }
      }
      guard stage.from.image.contains("$"), let withoutArguments else { continue }
      var expander = withoutArguments.expander()
      guard let image = try? expander.expand(stage.from.image) else { continue }
      let isUnknown = expander.undefined.contains { !known.contains($0) }
      if !isUnknown, !Linter.isReference(image) {
        report(
          .invalidDefaultArgInFrom,
          "With the defaults of its arguments, FROM \(stage.from.image) is \(quoted(image)), which is no image name",
          stage.declaration)
      }
    }
  }

  /// Whether a text has the form of an image reference (`host:port/path:tag@digest`); enough to tell a hole in it.
  static func isReference(_ text: String) -> Bool {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 2, parts[1].split(separator: ":", omittingEmptySubsequences: false).count != 2 { return false }
    let components = parts[0].split(separator: "/", omittingEmptySubsequences: false)
    for (index, component) in components.enumerated() {
      guard let first = component.utf8.first, first.isLetter || first.isDigit || first == UInt8(ascii: "[") else {
        return false
      }
      if let colon = component.lastIndex(of: ":") {
        guard index == components.count - 1 || index == 0 else { return false }
        let tag = component[component.index(after: colon)...]
        guard let first = tag.utf8.first, first.isLetter || first.isDigit || first == UInt8(ascii: "_") else {
          return false
        }
      }
      let legal = component.utf8.allSatisfy { $0.isLetter || $0.isDigit || "._-:[]".utf8.contains($0) }
      if !legal { return false }
    }
    return !components.isEmpty
  }

  /// `ENV A=1 B=$A`: B takes the value that A had before.
  private mutating func checkSelfReference(
    _ pairs: [Dockerfile.KeyValue], _ scope: StageScope, _ instruction: Dockerfile.Instruction
  ) {
    let names = Set(pairs.map(\.key))
    for pair in pairs {
      var expander = Expander(escape: dockerfile.directives.escape) { names.contains($0) ? "" : scope.value(of: $0) }
      guard (try? expander.expand(pair.value)) != nil else { continue }
      for name in expander.used.sorted() where names.contains(name) && name != pair.key && scope.value(of: name) == nil
      {
        report(
          .envSelfReference,
          "\(pair.key) uses $\(name) of the same ENV, which is not set before the next instruction", instruction)
      }
    }
  }

  private mutating func check(
    _ evaluated: Dockerfile.Instruction, _ written: Dockerfile.Instruction, _ directory: inout WorkingDirectory
  ) {
    switch evaluated.body {
    case .workdir(let path):
      let isAbsolute = path.hasPrefix("/") || Linter.isWindowsPath(path)
      // A path that is only a variable of the base image expands to nothing here.
      if !isAbsolute, !directory.isAbsolute, !path.isEmpty {
        report(
          .workdirRelativePath,
          "WORKDIR \(quoted(path)) is relative to whatever the base image says; begin with an absolute one", written)
      }
      directory.isSet = true
      directory.isAbsolute = directory.isAbsolute || isAbsolute || path.isEmpty
    case .copy(let copy):
      if copy.from == nil { checkIgnored(copy.sources, written) }
      checkDestination(copy.sources, copy.destination, hasParents: copy.parents, written, directory)
    case .add(let add):
      checkIgnored(add.sources.filter { $0.path.flatMap(RemoteSource.init) == nil }, written)
      checkDestination(add.sources, add.destination, hasParents: false, written, directory)
      checkAdd(add, written)
    default: break
    }
  }

  private static func isWindowsPath(_ path: String) -> Bool {
    let bytes = Array(path.utf8.prefix(3))
    return bytes.count == 3 && bytes[0].isLetter && bytes[1] == UInt8(ascii: ":")
      && (bytes[2] == Byte.backslash || bytes[2] == UInt8(ascii: "/"))
  }

  private mutating func checkIgnored(_ sources: [Dockerfile.FileSource], _ instruction: Dockerfile.Instruction) {
    guard let ignore = options.ignore else { return }
    for path in sources.compactMap(\.path) {
      let clean = cleanPath("/" + path).dropFirst()
      if clean.isEmpty || clean.utf8.contains(where: { "*?[".utf8.contains($0) }) { continue }
      guard ignore.excludes(String(clean)) else { continue }
      report(
        .copyIgnoredFile, "\(instruction.body.name) wants \(quoted(path)), which .dockerignore leaves out", instruction)
    }
  }

  private mutating func checkDestination(
    _ sources: [Dockerfile.FileSource], _ destination: String, hasParents: Bool,
    _ instruction: Dockerfile.Instruction, _ directory: WorkingDirectory
  ) {
    if sources.count > 1, !destination.hasSuffix("/"), destination != ".", !destination.hasSuffix("/."),
      !destination.isEmpty, !hasParents
    {
      report(
        .copyDestinationWithoutSlash,
        "\(instruction.body.name) of several sources needs a folder: end \(quoted(destination)) with a slash",
        instruction)
    }
    if !destination.hasPrefix("/"), !destination.isEmpty, !Linter.isWindowsPath(destination), !directory.isSet {
      report(
        .relativeCopyWithoutWorkdir,
        "The destination \(quoted(destination)) is relative, and the stage has no WORKDIR", instruction)
    }
  }

  private mutating func checkAdd(_ add: Dockerfile.Add, _ instruction: Dockerfile.Instruction) {
    guard add.unpack == nil, add.checksum == nil, !add.keepGitDirectory else { return }
    let archives = [
      ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".lzma", ".tlz", ".zst", ".tzst", ".z",
    ]
    let isPlain = add.sources.allSatisfy { source in
      guard let path = source.path else { return true }
      let lower = path.lowercased()
      return RemoteSource(path) == nil && !archives.contains(where: lower.hasSuffix)
        && !path.utf8.contains(where: { "*?[".utf8.contains($0) })
    }
    if isPlain {
      report(
        .addInsteadOfCopy, "ADD is for archives, URLs and repositories: use COPY for files and folders", instruction)
    }
  }
}
