import Content
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import OCI
import Testing
import Wire

@testable import ImageBuilder

/// Steps in their order, several at a time, and how they end. What has to look into a layer needs root to unpack it.
@Suite(.timeLimit(.minutes(2))) struct SchedulerTests {
  private let workshop: Workshop

  init() throws { workshop = try Workshop() }

  /// Stages that need nothing of one another, and one that takes from all of them by name of their layers.
  private func wide(_ count: Int) -> String {
    var text = ""
    for number in 0..<count {
      text += "FROM scratch AS s\(number)\nCOPY f\(number) /f\(number)\nCOPY g\(number) /g\(number)\n"
    }
    return text
  }

  private func fill(_ count: Int) {
    for number in 0..<count {
      workshop.write("f\(number)", "f\(number)")
      workshop.write("g\(number)", "g\(number)")
    }
  }

  /// A plan of all stages, in which the last one's files are the result.
  private func plan(_ dockerfile: Dockerfile, sources: [Int]) throws -> BuildPlan {
    var steps: [Step] = []
    func add(_ kind: Step.Kind, parent: Int? = nil, sources: [Int] = [], stage: Int, _ title: String) -> Int {
      steps.append(
        Step(
          id: steps.count, kind: kind, parent: parent, sources: sources, stage: stage, platform: "linux/amd64",
          title: title))
      return steps.count - 1
    }
    var last = 0
    for stage in dockerfile.stages.indices {
      var parent = add(.scratch, stage: stage, "scratch \(stage)")
      for name in ["f", "g"] {
        parent = add(
          .copy(copyStep("\(name)\(stage)", to: "/\(name)\(stage)")), parent: parent,
          sources: stage == dockerfile.stages.count - 1 ? sources : [], stage: stage, "copy \(name)\(stage)")
      }
      last = parent
    }
    return BuildPlan(
      platform: "linux/amd64", steps: steps, result: last, configuration: .scratch, baseHistory: [], history: [])
  }

  private func copyStep(_ source: String, to destination: String) -> CopyStep {
    CopyStep(
      sources: [.path(source)], destination: destination, origin: .context, chown: nil, chmod: nil, chmodText: nil,
      isLinked: true, keepsParents: false, excluded: [], isAdd: false, checksum: nil, unpacks: nil,
      keepsGitDirectory: false, fromText: nil)
  }

  private func session(_ request: BuildRequest, log: @escaping BuildEventHandler) throws -> BuildSession {
    let folder = try BuildFolder(work: "\(workshop.folder.path)/work", cgroupRoot: "apus-build-test")
    let session = BuildSession(
      workshop.builder(), request: request, folder: folder, lease: try workshop.content.lease(for: .seconds(60)),
      reporter: ProgressReporter(log), epoch: nil)
    session.setContext(
      try FileTree("\(workshop.folder.path)/context", origin: .context, label: "the build context"))
    return session
  }

  private func run(
    _ count: Int, parallel: Int, sources: [Int] = [], log: @escaping BuildEventHandler
  ) async throws -> (plan: BuildPlan, results: [StepResult]) {
    let text = wide(count)
    let dockerfile = try parse(text)
    let plan = try plan(dockerfile, sources: sources)
    let session = try session(workshop.request(text) { $0.parallelismMax = parallel }, log: log)
    defer { session.folder.remove() }
    session.begin(plan)
    return (plan, try await StepScheduler(session: session, plan: plan, dockerfile: dockerfile).run())
  }

  /// Whatever the order in which they ended, each result is its own step's.
  @Test(arguments: [1, 5, 0]) func resultsAreInTheOrderOfTheSteps(parallel: Int) async throws {
    fill(5)
    let log = EventLog()
    let (plan, results) = try await run(5, parallel: parallel) { log.add($0) }
    #expect(results.count == plan.steps.count)
    for (step, result) in zip(plan.steps, results) {
      guard let parent = step.parent else {
        #expect(result.layers.isEmpty && !result.hasLayer)
        continue
      }
      #expect(result.hasLayer && result.layers.dropLast().elementsEqual(results[parent].layers))
      let layer = try #require(result.layers.last)
      let names = try workshop.members(workshop.content.blobPath(layer.digest)).map(\.entry.path)
      #expect(names == [String(step.title.dropFirst("copy ".count))])
    }
    // Each once, and none before what it stands on.
    #expect(log.started.sorted() == plan.steps.map(\.title).sorted() && log.finished.count == plan.steps.count)
    var (numbers, begins, ends): ([String: Int], [Int: Int], [Int: Int]) = ([:], [:], [:])
    for (at, event) in log.all.enumerated() {
      switch event {
      case .started(let vertex, let title): (numbers[title], begins[vertex]) = (vertex, at)
      case .finished(let vertex): ends[vertex] = at
      default: break
      }
    }
    for step in plan.steps {
      let begin = try #require(numbers[step.title].flatMap { begins[$0] })
      for dependency in step.dependencies {
        let end = try #require(numbers[plan.steps[dependency].title].flatMap { ends[$0] })
        #expect(end < begin)
      }
    }
  }

  /// As many as may run at once do, and no more: none can end while the store cannot be written to.
  @Test(arguments: [1, 3]) func asManyAtOnceAsAreAllowed(parallel: Int) async throws {
    fill(8)
    let (brake, arrivals, log) = (Brake(workshop), Arrivals(), EventLog())
    async let outcome = run(8, parallel: parallel) { event in
      log.add(event)
      if case .started(_, let title) = event, title.hasPrefix("copy") { arrivals.arrive() }
    }
    await arrivals.wait(for: parallel)
    #expect(arrivals.count == parallel)
    #expect(log.finished.filter { $0.hasPrefix("copy") }.isEmpty)
    brake.release()
    #expect(try await outcome.results.count == 24)
    #expect(arrivals.count == 16)
  }

  /// One that fails is told; those that have begun end, those that have not never begin, and the rest stays known.
  @Test func aFailureEndsTheOthers() async throws {
    fill(6)
    unlink("\(workshop.folder.path)/context/f3")
    let (brake, arrivals, log) = (Brake(workshop), Arrivals(), EventLog())
    async let outcome = run(6, parallel: 6) { event in
      log.add(event)
      if case .failed = event { arrivals.arrive() }
    }
    await arrivals.wait(for: 1)
    brake.release()
    do {
      _ = try await outcome
      Issue.record("it was built")
    } catch let error as BuildError {
      #expect(error.code == .notFound && error.message.contains("/f3"))
    }
    #expect(log.failed == ["copy f3"] && !log.started.contains("copy g3"))
    // Each that was begun has ended, in one way.
    #expect(Set(log.finished + log.canceled + log.failed).count == log.started.count)
    #expect(workshop.leftovers().isEmpty)
    // What ended well is not done again.
    fill(6)
    let again = EventLog()
    _ = try await run(6, parallel: 2) { again.add($0) }
    let known = Set(log.finished.filter { $0.hasPrefix("copy") })
    #expect(Set(again.cached.filter { $0.hasPrefix("copy") }).isSuperset(of: known))
    #expect(!again.cached.contains("copy f3"))
  }

  @Test func ofSeveralFailuresOneIsToldAndNoneIsACancellation() async throws {
    fill(5)
    for number in 0..<5 { unlink("\(workshop.folder.path)/context/f\(number)") }
    for parallel in [1, 5] {
      let log = EventLog()
      do {
        _ = try await run(5, parallel: parallel) { log.add($0) }
        Issue.record("it was built")
      } catch let error as BuildError {
        #expect(error.code == .notFound)
      }
      #expect(!log.failed.isEmpty && (parallel > 1 || log.failed == ["copy f0"]))
    }
  }

  @Test func whoIsCancelledLeavesNothing() async throws {
    fill(8)
    let (brake, arrivals, log) = (Brake(workshop), Arrivals(), EventLog())
    let text = "FROM scratch\n" + (0..<8).map { "COPY --link f\($0) /\n" }.joined()
    let workshop = workshop
    let build = Task {
      try await workshop.builder().build(workshop.request(text)) { event in
        log.add(event)
        if case .started(_, let title) = event, title.contains("COPY") { arrivals.arrive() }
      }
    }
    await arrivals.wait(for: 1)
    build.cancel()
    brake.release()
    let failure: (any Error)? = await build.result.failure
    #expect((failure as? BuildError)?.code == .cancelled)
    #expect(workshop.leftovers().isEmpty && log.failed.isEmpty)
    // The next one is not hindered.
    #expect(try await !workshop.build("FROM scratch\nCOPY f1 /x\n").images.isEmpty)
  }

  @Test func aTaskThatIsCancelledBeforeItBeginsDoesNothing() async throws {
    fill(1)
    let log = EventLog()
    let workshop = workshop
    let gate = Arrivals()
    let build = Task {
      await gate.wait(for: 1)
      return try await workshop.builder().build(workshop.request("FROM scratch\nCOPY f0 /x\n")) { log.add($0) }
    }
    build.cancel()
    gate.arrive()
    let failure: (any Error)? = await build.result.failure
    #expect((failure as? BuildError)?.code == .cancelled)
    #expect(!log.started.contains { $0.contains("COPY") } && workshop.leftovers().isEmpty)
  }

  /// A step that depends on another stage's files waits for them, also when it is first in the file.
  @Test func sourcesAreWaitedFor() async throws {
    fill(4)
    let log = EventLog()
    // The last stage's steps depend on the second step of the first stage.
    let (plan, _) = try await run(4, parallel: 8, sources: [2]) { log.add($0) }
    #expect(plan.steps[2].title == "copy g0")
    let events = log.all
    func position(_ isWanted: (BuildEvent) -> Bool) throws -> Int {
      let position = events.firstIndex(where: isWanted)
      return try #require(position)
    }
    var number = 0
    for case .started(let vertex, "copy g0") in events { number = vertex }
    let end = try position { $0 == .finished(vertex: number) }
    for title in ["copy f3", "copy g3"] {
      let begin = try position { event in
        if case .started(_, let found) = event { found == title } else { false }
      }
      #expect(begin > end)
    }
  }

  /// The same steps in two stages, and in two builds at once, have the same result.
  @Test(.enabled(if: geteuid() == 0)) func equalStepsHaveEqualResults() async throws {
    workshop.write("d/a", "1")
    workshop.write("d/b", "2", mode: 0o755)
    let text = "FROM scratch\nWORKDIR /w\nCOPY d ./\nCOPY d /other/\n"
    let workshop = workshop
    let digests = try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<6 { group.addTask { try await workshop.build(text).digest } }
      return try await group.reduce(into: Set<String>()) { $0.insert($1) }
    }
    #expect(digests.count == 1)
    #expect(workshop.leftovers().isEmpty)
    let log = EventLog()
    let again = try await workshop.build(text, log: log)
    #expect(digests == [again.digest] && again.cachedStepCount == again.stepCount && again.stepCount == 3)
  }

  /// However many run at once, the image is the same to the byte.
  @Test(.enabled(if: geteuid() == 0)) func theNumberOfStepsAtOnceChangesNothing() async throws {
    var digests: Set<String> = []
    for parallel in [1, 4] {
      let other = try Workshop()
      for number in 0..<5 { other.write("f\(number)", "\(number)") }
      let text =
        "FROM scratch AS a\nCOPY f0 /\nFROM scratch\nCOPY f1 f2 /x/\nWORKDIR /y\nCOPY f3 z\nADD f4 /\n"
      digests.insert(
        try await other.build(text) {
          $0.parallelismMax = parallel
          $0.sourceDateEpoch = 1_600_000_000
        }.digest)
    }
    #expect(digests.count == 1)
  }
}
