import Content
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import TestKit
import Testing
import Wire

@testable import ImageBuilder

/// Steps of several builds, of one builder or of several that share a work folder as processes do.
@Suite(.timeLimit(.minutes(2))) struct SharedBuildTests {
  private let workshop: Workshop
  private let key = CacheKey(hex: String(repeating: "ab", count: 32))

  init() throws { workshop = try Workshop() }

  /// A build that is at a step.
  private struct Build: Sendable {
    let session: BuildSession
    let executor: StepExecutor
    let log: EventLog
    let vertex: ProgressVertex
  }

  /// - Parameter heard: told of everything that a step says.
  private func build(
    _ builder: ImageBuilder, title: String = "RUN it", ignoresCache: Bool = false, heard: Arrivals = Arrivals()
  ) throws -> Build {
    let log = EventLog()
    let folder = try BuildFolder(work: "\(workshop.folder.path)/work", cgroupRoot: "apus-build-test")
    let reporter = ProgressReporter { event in
      log.add(event)
      switch event {
      case .status, .output: heard.arrive()
      default: break
      }
    }
    let session = BuildSession(
      builder, request: workshop.request("FROM scratch\n"), folder: folder,
      lease: try workshop.content.lease(for: .seconds(60)), reporter: reporter, epoch: nil)
    let step = Step(
      id: 0, kind: .scratch, parent: nil, stage: 0, platform: "linux/amd64", title: title, ignoresCache: ignoresCache)
    let plan = BuildPlan(
      platform: "linux/amd64", steps: [step], result: 0, configuration: .scratch, baseHistory: [], history: [])
    return Build(
      session: session, executor: StepExecutor(session: session, step: step, plan: plan), log: log,
      vertex: reporter.start(title))
  }

  private typealias Work = @Sendable (ProgressVertex) async throws(BuildError) -> MadeStep

  private func start(
    _ build: Build, confidential: [String] = [], _ work: @escaping Work
  ) -> Task<Result<MadeStep, BuildError>, Never> {
    let key = key
    return Task {
      do throws(BuildError) {
        return .success(
          try await build.executor.once(
            build.executor.identity(key, confidential: confidential), sharing: { $0.code == .execution }, keys: [key],
            vertex: build.vertex, work: work))
      } catch {
        return .failure(error)
      }
    }
  }

  /// Writes a layer of one file, after the gate has been opened.
  private func work(_ build: Build, _ gate: Gate, _ runs: Counter) -> Work {
    let key = key
    return { vertex throws(BuildError) in
      _ = runs.increment()
      vertex.status("begun")
      vertex.output(.stderr, Array("half a line".utf8))
      await gate.waitOrCancellation()
      if Task.isCancelled { throw .cancelled }
      vertex.output(.stderr, Array(", and the rest\n".utf8))
      let layer = try await blocking { () throws(BuildError) in
        let entry = LayerEntry(path: "f", content: .directory)
        return try build.session.write(
          .entries([entry], lowers: nil), options: build.session.layerOptions(allowsDevices: false))
      }
      return try await build.executor.note(layer, under: [key])
    }
  }

  private func said(_ build: Build) -> String {
    build.log.all.map { event in
      switch event {
      case .status(_, let text): "[\(text)]"
      case .output(_, .stderr, let bytes): String(decoding: bytes, as: UTF8.self)
      default: ""
      }
    }.joined()
  }

  /// One builder, and two that know nothing of one another but the folder.
  private func builders(_ isOne: Bool) -> (ImageBuilder, ImageBuilder) {
    let first = workshop.builder()
    return (first, isOne ? first : workshop.builder())
  }

  @Test(arguments: [true, false]) func aStepIsCarriedOutOnceForTwoBuilds(isOneBuilder: Bool) async throws {
    let (one, other) = builders(isOneBuilder)
    let (gate, runs, heardFirst, heardSecond) = (Gate(), Counter(), Arrivals(), Arrivals())
    let first = try build(one, heard: heardFirst)
    let second = try build(other, heard: heardSecond)
    let firstTask = start(first, work(first, gate, runs))
    await heardFirst.wait(for: 2)
    let secondTask = start(second, work(second, gate, runs))
    // What was said before it came.
    await heardSecond.wait(for: 1)
    gate.open()
    let made = try await (firstTask.value.get(), secondTask.value.get())
    #expect(made.0.record == made.1.record && made.0.record.layer != nil)
    #expect(runs.increment() == 2)
    #expect(said(first) == "[begun]half a line, and the rest\n" && said(second) == said(first))
    // Both have it from here on, and so has the cache; its layer stays when the first build lets go.
    await first.session.release()
    #expect(second.session.cache.usedRecords[key.hex] == made.1.record)
    #expect(try await second.executor.find([key]) == made.1.record)
    await second.session.release()
    #expect(one.steps.isEmpty && other.steps.isEmpty && workshop.leftovers().isEmpty)
    // Nobody listens any more.
    #expect(try Directory.list("\(workshop.folder.path)/work/steps") == ["lock"])
  }

  @Test(arguments: [true, false]) func aFailureIsToldToAllAsTheirsAndNotKept(isOneBuilder: Bool) async throws {
    let (one, other) = builders(isOneBuilder)
    let (gate, runs, heardFirst, heardSecond) = (Gate(), Counter(), Arrivals(), Arrivals())
    let first = try build(one, title: "[a 1/2] RUN it", heard: heardFirst)
    let second = try build(other, title: "[b 3/4] RUN it", heard: heardSecond)
    let failing: Work = { vertex throws(BuildError) in
      _ = runs.increment()
      vertex.status("begun")
      await gate.waitOrCancellation()
      throw BuildError(.execution, "exit code: 7", step: "[a 1/2] RUN it", output: ["bad", "worse"])
    }
    let firstTask = start(first, failing)
    await heardFirst.wait(for: 1)
    let secondTask = start(second, failing)
    await heardSecond.wait(for: 1)
    gate.open()
    for (task, title) in [(firstTask, "[a 1/2] RUN it"), (secondTask, "[b 3/4] RUN it")] {
      let error = try #require(await task.value.failure)
      #expect(error.code == .execution && error.message == "exit code: 7" && error.output == ["bad", "worse"])
      #expect(error.step == title && error.excerpt.isEmpty)
    }
    #expect(runs.increment() == 2)
    #expect(try await second.executor.find([key]) == nil)
    _ = try await start(second, work(second, gate, runs)).value.get()
    #expect(runs.increment() == 4)
    await first.session.release()
    await second.session.release()
  }

  /// Files of its own that it cannot read, a sign-in that is refused: the other build has others.
  @Test(arguments: [true, false]) func aFailureOfOneBuildsOwnIsNotTheOthers(isOneBuilder: Bool) async throws {
    let (one, other) = builders(isOneBuilder)
    let (gate, runs, heardFirst, heardSecond) = (Gate(), Counter(), Arrivals(), Arrivals())
    let first = try build(one, heard: heardFirst)
    let second = try build(other, heard: heardSecond)
    let firstTask = start(first) { vertex throws(BuildError) in
      _ = runs.increment()
      vertex.status("begun")
      await gate.waitOrCancellation()
      throw BuildError(.contextChanged, "a file changed")
    }
    await heardFirst.wait(for: 1)
    let secondTask = start(second, work(second, gate, runs))
    await heardSecond.wait(for: 1)
    gate.open()
    #expect(await firstTask.value.failure?.code == .contextChanged)
    #expect(try await secondTask.value.get().record.layer != nil)
    #expect(runs.increment() == 3)
    await first.session.release()
    await second.session.release()
  }

  /// What it works with stays until it has ended, although the build that began it is over.
  @Test func theStepGoesOnWhenTheBuildThatBeganItIsCancelled() async throws {
    let builder = workshop.builder()
    let (gate, runs, heardFirst, heardSecond) = (Gate(), Counter(), Arrivals(), Arrivals())
    let first = try build(builder, heard: heardFirst)
    let second = try build(builder, heard: heardSecond)
    let firstTask = start(first, work(first, gate, runs))
    await heardFirst.wait(for: 2)
    let secondTask = start(second, work(second, gate, runs))
    await heardSecond.wait(for: 1)
    firstTask.cancel()
    #expect(await firstTask.value.failure?.code == .cancelled)
    await first.session.release()
    #expect(workshop.leftovers().contains(first.session.folder.id))
    gate.open()
    #expect(try await secondTask.value.get().record.layer != nil)
    #expect(runs.increment() == 2)
    #expect(workshop.leftovers() == [second.session.folder.id])
    await second.session.release()
    #expect(builder.steps.isEmpty && workshop.leftovers().isEmpty)
  }

  /// A builder that ends takes its steps with it: whoever waits in another process begins anew.
  @Test func anotherProcessTakesOver() async throws {
    let (one, other) = builders(false)
    let (gate, runs, heardFirst, heardSecond) = (Gate(), Counter(), Arrivals(), Arrivals())
    let first = try build(one, heard: heardFirst)
    let second = try build(other, heard: heardSecond)
    let firstTask = start(first, work(first, gate, runs))
    await heardFirst.wait(for: 2)
    let next = Gate()
    let secondTask = start(second, work(second, next, runs))
    await heardSecond.wait(for: 1)
    firstTask.cancel()
    #expect(await firstTask.value.failure?.code == .cancelled)
    next.open()
    #expect(try await secondTask.value.get().record.layer != nil)
    #expect(runs.increment() == 3)
    await first.session.release()
    await second.session.release()
    #expect(one.steps.isEmpty && other.steps.isEmpty && workshop.leftovers().isEmpty)
  }

  /// What makes a difference keeps them apart: a proxy's password, and that it is to be done again.
  @Test func whatDiffersIsNotShared() async throws {
    let builder = workshop.builder()
    let gate = Gate()
    let runs = Counter()
    let heard = Arrivals()
    let builds = try [
      (build(builder, heard: heard), ["http_proxy=a"]), (build(builder, heard: heard), ["http_proxy=b"]),
      (build(builder, ignoresCache: true, heard: heard), ["http_proxy=a"]), (build(builder, heard: heard), []),
    ]
    let tasks = builds.map { start($0.0, confidential: $0.1, work($0.0, gate, runs)) }
    // Each of them has said two things to its own build, and the gate is shut.
    await heard.wait(for: 8)
    gate.open()
    for task in tasks { _ = try await task.value.get() }
    #expect(runs.increment() == 5)
    for (build, _) in builds { await build.session.release() }
  }

  @Test func secretsAreNotShared() throws {
    let build = try build(workshop.builder())
    func identity(_ instruction: String, arguments: [String: String] = [:]) throws -> StepIdentity? {
      let plan = try plan("FROM scratch\n\(instruction)\n", arguments: arguments)
      let runs = plan.steps.compactMap { step in if case .run(let run) = step.kind { run } else { nil } }
      return build.executor.sharedIdentity(of: try #require(runs.first), key)
    }
    #expect(try identity("RUN --mount=type=secret,id=a true") == nil)
    #expect(try identity("RUN --mount=type=cache,target=/m --mount=type=secret,id=a,env=A true") == nil)
    #expect(try identity("RUN --mount=type=ssh true") == nil)
    #expect(try identity("RUN --mount=type=cache,target=/m,sharing=private true")?.name != nil)
    #expect(try identity("RUN true")?.name != nil)
    let proxied = try #require(try identity("RUN true", arguments: ["http_proxy": "http://u:p@h"]))
    #expect(proxied.name == nil && proxied.confidential == ["http_proxy=http://u:p@h"])
    build.session.folder.remove()
  }

  /// That the key says all that a cache shows was wrong: it has neither the stage that a cache begins with nor its files,
  /// so that two such steps were one when both were to be done again.
  @Test func cachesThatBeginWithAStageAreNotShared() throws {
    let build = try build(workshop.builder(), ignoresCache: true)
    for stage in ["a", "b"] {
      let plan = try plan(
        "FROM scratch AS a\nFROM scratch AS b\nFROM scratch\nRUN --mount=type=cache,target=/m,from=\(stage) true\n",
        arguments: [:])
      let runs = plan.steps.compactMap { step in if case .run(let run) = step.kind { run } else { nil } }
      let run = try #require(runs.first)
      #expect(run.mounts.map { $0.origin != nil } == [true])
      #expect(build.executor.sharedIdentity(of: run, key) == nil)
    }
    build.session.folder.remove()
  }

  @Test func namesForOtherProcessesHaveNothingConfidentialInThem() {
    let means = BuilderMeans(list: ["x"])
    let plain = StepIdentity(key, ignoresCache: false, means: means)
    let proxied = StepIdentity(key, ignoresCache: false, means: means, confidential: ["http_proxy=u:p@h"])
    #expect(plain.name == plain.key.hex && proxied.name == nil && proxied.key == plain.key && proxied != plain)
    #expect(StepIdentity(key, ignoresCache: false, means: means, isForAllProcesses: false).name == nil)
    let others = [
      StepIdentity(key, ignoresCache: true, means: means),
      StepIdentity(key, ignoresCache: false, means: BuilderMeans(list: ["y"])),
      StepIdentity(CacheKey(hex: String(repeating: "0", count: 64)), ignoresCache: false, means: means),
    ]
    #expect(Set([plain.name] + others.map(\.name)).count == 4)
  }

  @Test func meansAreThoseOfTheBuilder() {
    var configuration = ImageBuilder.Configuration(workDirectory: "/w")
    let one = BuilderMeans(configuration, store: "/s")
    #expect(one == BuilderMeans(configuration, store: "/s") && one != BuilderMeans(configuration, store: "/t"))
    configuration.resolverConfiguration = "/other"
    #expect(one != BuilderMeans(configuration, store: "/s"))
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    #expect(one.list.contains("\(limit.rlim_cur):\(limit.rlim_max)") && one.list.contains { $0.hasPrefix("net:[") })
  }

  // MARK: Meeting

  /// Its sleeps end at once.
  private struct HastyClock: TimeSource {
    func now() -> Timestamp { Timestamp(seconds: 1_700_000_000) }

    func sleep(for duration: Duration) async throws {
      try Task.checkCancellation()
      await Task.yield()
    }
  }

  private func rendezvous(
    _ patience: StepRendezvous.Patience = .init(), time: any TimeSource = SystemClock()
  ) throws -> (StepRendezvous, String) {
    let work = "\(workshop.folder.path)/meeting"
    try Directory.create(work, mode: 0o700)
    return (StepRendezvous(work: work, patience: patience, time: time), "\(work)/steps")
  }

  @Test func theFirstOwnsAndTheNextListens() async throws {
    let (rendezvous, folder) = try rendezvous()
    guard case .own(let host) = rendezvous.claim("a") else {
      Issue.record("it is free")
      return
    }
    guard case .own(let second) = rendezvous.claim("b") else {
      Issue.record("another one is free")
      return
    }
    async let served: Void = host.serve()
    guard case .other(let peer) = rendezvous.claim("a") else {
      Issue.record("it is taken")
      return
    }
    host.note(.status("s"))
    host.note(.output(.stdout, [UInt8](repeating: 5, count: 200_000)))
    host.end(.failed(.execution, message: "m", output: ["o"]))
    let notes = Mutex<[StepNote]>([])
    guard
      case .failed(let error) = await rendezvous.follow(
        peer, report: { note in notes.withLock { $0.append(note) } })
    else {
      Issue.record("it has failed")
      return
    }
    await served
    #expect(error.code == .execution && error.message == "m" && error.output == ["o"])
    let heard = notes.withLock { $0 }
    #expect(heard.first == .status("s"))
    let bytes = heard.reduce(0) { sum, note in
      if case .output(.stdout, let bytes) = note { sum + bytes.count } else { sum }
    }
    #expect(bytes == 200_000)
    second.end(.lost)
    await second.serve()
    #expect(try Directory.list(folder) == ["lock"])
  }

  @Test func whatAKilledBuilderLeftIsNobodys() throws {
    let (rendezvous, folder) = try rendezvous()
    guard case .own(let host) = rendezvous.claim("living") else {
      Issue.record("it is free")
      return
    }
    // A socket that nobody listens at.
    for name in ["dead", "old"] {
      let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let path = "\(folder)/\(name)"
      try #require(path.utf8.count < 108)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
      let bound = withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      #expect(bound == 0)
      close(fd)
    }
    guard case .own(let heir) = rendezvous.claim("dead") else {
      Issue.record("nobody has it")
      return
    }
    rendezvous.sweep()
    #expect(try Directory.list(folder).sorted() == ["dead", "living", "lock"])
    guard case .other(let peer) = rendezvous.claim("living") else {
      Issue.record("it lives")
      return
    }
    peer.close()
    heir.end(.lost)
    host.end(.lost)
    #expect(try Directory.list(folder) == ["lock"])
  }

  /// One who was stopped while he waits for a step: the others have its end all the same.
  @Test func whoDoesNotReadHoldsUpNobody() async throws {
    let (rendezvous, _) = try rendezvous(.init(write: .milliseconds(50)))
    guard case .own(let host) = rendezvous.claim("a") else {
      Issue.record("it is free")
      return
    }
    async let served: Void = host.serve()
    guard case .other(let stopped) = rendezvous.claim("a"), case .other(let peer) = rendezvous.claim("a") else {
      Issue.record("it is taken")
      return
    }
    // More than the kernel keeps for him.
    for _ in 0..<20 { host.note(.output(.stdout, [UInt8](repeating: 5, count: 100_000))) }
    host.end(.failed(.execution, message: "m", output: []))
    guard case .failed = await rendezvous.follow(peer, report: { _ in }) else {
      Issue.record("it has failed")
      return
    }
    await served
    stopped.close()
  }

  @Test func aBuilderThatWasStoppedIsNotWaitedFor() async throws {
    let (rendezvous, _) = try rendezvous(.init(silence: .milliseconds(20)))
    guard case .own(let host) = rendezvous.claim("a"), case .other(let peer) = rendezvous.claim("a") else {
      Issue.record("it is free, and then taken")
      return
    }
    // He serves nobody.
    guard case .busy = await rendezvous.follow(peer, report: { _ in }) else {
      Issue.record("it was told something")
      return
    }
    host.end(.lost)
  }

  /// A step that prints nothing for long.
  @Test func aBuilderSaysThatItIsThere() async throws {
    let (rendezvous, _) = try rendezvous(time: HastyClock())
    guard case .own(let host) = rendezvous.claim("a"), case .other(let peer) = rendezvous.claim("a") else {
      Issue.record("it is free, and then taken")
      return
    }
    async let served: Void = host.serve()
    var reader = StepFrameReader()
    var frames: [StepFrame] = []
    while frames.isEmpty { frames = try #require(reader.add(try await peer.read())) }
    #expect(frames.allSatisfy { $0 == .alive })
    host.end(.lost)
    peer.close()
    await served
  }

  @Test func whoseListenerGoesTriesAgain() async throws {
    let (rendezvous, _) = try rendezvous()
    /// The builder goes without a word.
    func abandoned() -> AsyncDescriptor? {
      guard case .own(let host) = rendezvous.claim("a"), case .other(let peer) = rendezvous.claim("a") else {
        return nil
      }
      host.note(.status("begun"))
      return peer
    }
    let peer = try #require(abandoned())
    guard case .lost = await rendezvous.follow(peer, report: { _ in }) else {
      Issue.record("it was told an end")
      return
    }
    guard case .own(let next) = rendezvous.claim("a") else {
      Issue.record("it is free again")
      return
    }
    next.end(.lost)
  }
}

/// What builders tell one another.
@Suite struct StepFrameTests {
  private static let digest = Digest(of: Array("layer".utf8))
  private static let frames: [StepFrame] = [
    .note(.status("commit abc")), .note(.output(.stdout, [0, 255, 10])), .note(.output(.stderr, [1])), .lost, .busy,
    .alive,
    .failed(.execution, message: "process \"x\" did not complete: exit code: 7", output: ["", "é"]),
    .made(
      MadeStep(
        record: CacheRecord(layer: nil, created: Timestamp(microseconds: 1_700_000_000_000_001)), isCached: true,
        keys: [], build: "")),
    .made(
      MadeStep(
        record: CacheRecord(
          layer: Image.Layer(
            blob: digest, diffID: digest, size: 7, mediaType: MediaType.layer(.zstd), tocDigest: digest),
          created: Timestamp(microseconds: 1_700_000_000_000_000)),
        isCached: false, keys: [CacheKey(hex: String(repeating: "ab", count: 32))], cacheMounts: ["m": "/w/caches/m"],
        build: "")),
  ]

  @Test(arguments: 0..<20) func framesComeInPieces(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    let bytes = Self.frames.flatMap(\.bytes)
    var (reader, read, start) = (StepFrameReader(), [StepFrame](), 0)
    while start < bytes.count {
      let end = min(bytes.count, start + Int.random(in: 1...40, using: &random))
      read += reader.add(Array(bytes[start..<end])) ?? []
      start = end
    }
    #expect(read == Self.frames)
  }

  @Test func longOutputGoesInSeveral() {
    let output = (0..<150_000).map { UInt8(truncatingIfNeeded: $0) }
    var reader = StepFrameReader()
    let frames = reader.add(StepFrame.note(.output(.stdout, output)).bytes) ?? []
    #expect(frames.count == 3)
    let bytes = frames.flatMap { frame -> [UInt8] in
      if case .note(.output(.stdout, let bytes)) = frame { bytes } else { [] }
    }
    #expect(bytes == output)
  }

  @Test func aFailureThatIsTooLongIsTold() {
    var reader = StepFrameReader()
    let message = String(repeating: "x", count: StepFrame.sizeMax)
    #expect(reader.add(StepFrame.failed(.execution, message: message, output: []).bytes) == [.lost])
  }

  @Test(
    arguments: [
      [9, 0, 0, 0, 0], [0, 255, 255, 255, 255], [3, 0, 0, 0, 2, 0x7B, 0x7D], [3, 0, 0, 0, 1, 0x7B], [4, 0, 0, 0, 0],
      [4, 0, 0, 0, 2, 0x7B, 0x7D],
    ] as [[UInt8]]) func whatIsNoFrame(bytes: [UInt8])
  {
    var reader = StepFrameReader()
    #expect(reader.add(bytes) == nil)
  }

  @Test(arguments: 0..<100) func damageEndsNothing(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var bytes = Self.frames.flatMap(\.bytes)
    for _ in 0..<3 {
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    var reader = StepFrameReader()
    let frames = reader.add(bytes)
    #expect(frames.map { $0.count <= bytes.count / 5 } ?? true)
  }
}
