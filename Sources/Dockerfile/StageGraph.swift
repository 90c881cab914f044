extension Dockerfile {
  /// What a stage starts from, or what `COPY --from` copies out of.
  public enum Base: Sendable, Equatable {
    case scratch
    case stage(Int)
    /// An image reference or the name of a named context, expanded and not yet normalised.
    case image(String)
  }

  /// The stage that `--target` names, by its name (in any case) or number.
  public func stage(named target: String) throws(DockerfileError) -> Stage {
    let wanted = target.lowercased()
    if let stage = stages.last(where: { $0.name == wanted }) { return stage }
    if let index = Int(target), stages.indices.contains(index) { return stages[index] }
    throw DockerfileError(
      .stage,
      "target stage \(quoted(target)) could not be found"
        + Suggestion.phrase(for: wanted, among: stages.compactMap(\.name)))
  }

  /// Expands every `FROM`, and finds which stage needs which.
  ///
  /// - Throws: a blank or malformed base name, an unknown platform, an index of a stage that does not exist, stages that
  ///   need one another.
  public func stageGraph(_ globals: GlobalScope) throws(DockerfileError) -> StageGraph {
    var graph = StageGraph(nodes: [], names: [:])
    for stage in stages {
      do throws(DockerfileError) {
        let base = try base(of: stage, globals, graph)
        let platform = try platform(of: stage, globals)
        graph.nodes.append(StageGraph.Node(stage: stage.index, base: base, platform: platform, stages: []))
      } catch {
        throw error.at(stage.declaration.range, in: source)
      }
      // The last stage of a name is the one that is meant from then on.
      if let name = stage.name { graph.names[name] = stage.index }
    }
    for stage in stages {
      if case .stage(let base) = graph.nodes[stage.index].base { graph.nodes[stage.index].stages.insert(base) }
      for instruction in stage.instructions {
        for from in instruction.body.origins {
          if let index = Int(from), !stages.indices.contains(index), index < 10_000 {
            throw DockerfileError(.stage, "invalid stage index \(index): the file has stages 0 to \(stages.count - 1)")
              .at(instruction.range, in: source)
          }
          guard case .stage(let index) = graph.origin(of: from) else { continue }
          guard index != stage.index else {
            throw DockerfileError(
              .stage, "circular dependency detected on stage: \(stage.name ?? String(stage.index))"
            ).at(instruction.range, in: source)
          }
          graph.nodes[stage.index].stages.insert(index)
        }
      }
    }
    if let index = graph.cycle() {
      throw DockerfileError(
        .stage, "circular dependency detected on stage: \(stages[index].name ?? String(index))"
      ).at(stages[index].declaration.range, in: source)
    }
    return graph
  }

  private func base(of stage: Stage, _ globals: GlobalScope, _ graph: StageGraph) throws(DockerfileError) -> Base {
    var expander = globals.expander()
    let image = try expander.expand(stage.from.image)
    guard !image.trimmedText().isEmpty else {
      throw DockerfileError(
        .value, "base name (\(stage.from.image)) should not be blank" + hint(expander.undefined, globals))
    }
    guard !image.utf8.contains(where: \.isSpace) else {
      throw DockerfileError(.value, "base name \(quoted(image)) should not contain white space")
    }
    if let index = graph.names[image.lowercased()] { return .stage(index) }
    return image == "scratch" ? .scratch : .image(image)
  }

  private func platform(of stage: Stage, _ globals: GlobalScope) throws(DockerfileError) -> String? {
    guard let text = stage.from.platform else { return nil }
    var expander = globals.expander()
    let platform = try expander.expand(text)
    guard !platform.isEmpty else {
      throw DockerfileError(
        .value, "empty platform value from expression \(text)" + hint(expander.undefined, globals))
    }
    guard let words = PlatformWords(platform), !words.architecture.isEmpty else {
      throw DockerfileError(.value, "failed to parse platform \(platform): expected os/arch[/variant]")
    }
    return words.text
  }

  private func hint(_ undefined: [String], _ globals: GlobalScope) -> String {
    guard let name = undefined.first else { return "" }
    let nearest = Suggestion.nearest(to: name, among: globals.values.keys.sorted())
    return nearest.map { " (did you mean \($0)?)" } ?? ": \(name) is not declared by an ARG before the first FROM"
  }
}

extension Dockerfile.Body {
  /// What `--from` and mounts name, as written.
  var origins: [String] {
    switch self {
    case .copy(let copy): copy.from.map { [$0] } ?? []
    case .run(let run): run.mounts.compactMap(\.from)
    default: []
    }
  }
}

/// Which stage needs which.
public struct StageGraph: Sendable {
  public struct Node: Sendable {
    public var stage: Int
    public var base: Dockerfile.Base
    /// `--platform`, expanded; `nil` for the target platform.
    public var platform: String?
    /// The stages that are needed: the base, `COPY --from`, `RUN --mount=from`. `ONBUILD` triggers of base images may
    /// add to them, which only the one who has the images can know.
    public var stages: Set<Int>
  }

  public internal(set) var nodes: [Node]
  var names: [String: Int]

  /// The stages that `target` needs and itself, each after those that it needs. What is not among them need not be
  /// built.
  public func order(for target: Int) -> [Int] {
    guard nodes.indices.contains(target) else { return [] }
    var order: [Int] = []
    var seen: Set<Int> = []
    // An explicit stack, since a chain of a thousand stages is legal.
    var stack: [(stage: Int, isDone: Bool)] = [(target, false)]
    while let (stage, isDone) = stack.popLast() {
      if isDone {
        order.append(stage)
        continue
      }
      guard seen.insert(stage).inserted else { continue }
      stack.append((stage, true))
      for needed in nodes[stage].stages.sorted(by: >) where !seen.contains(needed) { stack.append((needed, false)) }
    }
    return order
  }

  /// What `COPY --from=` or `RUN --mount=…,from=` means: a stage's name or number, or else an image.
  public func origin(of from: String) -> Dockerfile.Base {
    if let index = names[from.lowercased()] { return .stage(index) }
    if let index = Int(from), nodes.indices.contains(index) { return .stage(index) }
    return from == "scratch" ? .scratch : .image(from)
  }

  /// A stage that needs itself by way of others.
  fileprivate func cycle() -> Int? {
    // Kahn's algorithm: what is never free of needs is in a cycle, or needs one that is.
    var needs = nodes.map(\.stages.count)
    var users = [[Int]](repeating: [], count: nodes.count)
    for node in nodes { for needed in node.stages { users[needed].append(node.stage) } }
    var free = nodes.indices.filter { needs[$0] == 0 }
    var done = 0
    while let stage = free.popLast() {
      done += 1
      for user in users[stage] {
        needs[user] -= 1
        if needs[user] == 0 { free.append(user) }
      }
    }
    guard done < nodes.count, var stage = nodes.indices.first(where: { needs[$0] > 0 }) else { return nil }
    // From one that needs a cycle, walking along needs ends up in it.
    for _ in nodes {
      guard let next = nodes[stage].stages.filter({ needs[$0] > 0 }).min() else { break }
      stage = next
    }
    return stage
  }
}
