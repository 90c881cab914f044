import Dockerfile
import OCI
import Testing
import Wire

@testable import ImageBuilder

@Suite struct PlanTests {
  @Test func onlyNeededStagesArePlanned() throws {
    let plan = try plan(
      """
      FROM a AS one
      RUN one
      FROM b AS two
      RUN two
      FROM c AS unneeded
      RUN unneeded
      FROM scratch
      COPY --from=one /x /x
      COPY --from=two /y /y
      """)
    let titles = plan.steps.map(\.title)
    #expect(titles.contains("[one 2/2] RUN one"))
    #expect(titles.contains("[stage-3 3/3] COPY --from=two /y /y"))
    #expect(!titles.contains { $0.contains("unneeded") })
    // In an order in which each comes after what it needs.
    for step in plan.steps { #expect(step.dependencies.allSatisfy { $0 < step.id }) }
  }

  @Test func stepsDependOnTheirParentAndTheirSources() throws {
    let plan = try plan(
      """
      FROM a AS one
      RUN one
      FROM b
      RUN two
      COPY --from=one /x /x
      RUN --mount=type=bind,from=one,target=/m three
      """)
    func step(_ text: String) throws -> Step { try #require(plan.steps.first { $0.title.hasSuffix(text) }) }
    let one = try step("RUN one")
    let two = try step("RUN two")
    let copy = try step("/x /x")
    #expect(two.sources.isEmpty)
    #expect(copy.parent == two.id)
    #expect(copy.sources == [one.id])
    #expect(try step("three").sources == [one.id])
    #expect(plan.result == (try step("three")).id)
  }

  /// A trigger names stages that nothing else names, whose images have to be known as well.
  @Test func triggersLeadToStages() throws {
    let first = try plan(
      """
      FROM other AS src
      FROM third AS deep
      FROM deep AS unnamed
      FROM busybox AS base
      ONBUILD COPY --from=src /file /foo
      ONBUILD RUN --mount=type=bind,from=2,target=/m x
      FROM base
      """)
    let titles = first.steps.map(\.title)
    for image in ["other", "third", "busybox"] { #expect(titles.contains { $0.hasSuffix("FROM \(image)") }) }
    #expect(first.steps.last?.sources.count == 1)
    // From an image's trigger, too.
    let image = baseImage("trigger") { $0.onBuild = ["COPY --from=src /file /foo"] }
    let second = try plan("FROM other AS src\nFROM trigger", images: [image])
    #expect(second.steps.contains { $0.title.hasSuffix("FROM other") })
  }

  /// Stages that need one another only by way of triggers: no plan, and no endless search for one.
  @Test func triggersInACircle() throws {
    let error = #expect(throws: BuildError.self) {
      try plan(
        """
        FROM x AS one
        ONBUILD COPY --from=b /f /f
        FROM x AS two
        ONBUILD COPY --from=a /f /f
        FROM one AS a
        FROM two AS b
        """)
    }
    #expect(error?.message.contains("circular dependency") == true)
  }

  /// A folder of `--build-context` is what `FROM` names, as it is for `--from`.
  @Test func aFolderAsTheBase() throws {
    var options = BuildPlanner.Options()
    options.namedFolders = ["busybox"]
    let plan = try plan("FROM busybox AS a\nRUN x\nFROM a\nRUN y", options: options)
    #expect(!plan.steps.contains { if case .base = $0.kind { true } else { false } })
    guard case .copy(let copy) = plan.steps[1].kind else { throw BuildError(.system, "\(plan.steps[1].kind)") }
    #expect(copy.origin == .named("busybox") && copy.destination == "/" && plan.steps[2].parent == 1)
  }

  /// As BuildKit compares them: by the familiar form, without `latest`.
  @Test(arguments: ["busybox", "busybox:latest", "docker.io/library/busybox", "docker.io/library/busybox:latest"])
  func namesOfContexts(name: String) throws {
    var options = BuildPlanner.Options()
    options.namedFolders = ["busybox"]
    options.namedImages = ["tools": "registry.example/tools:2"]
    let plan = try plan(
      "FROM \(name)\nCOPY --from=tools:latest /f /f\nCOPY --from=\(name) /g /g\nCOPY --from=busybox:1 /h /h",
      options: options)
    let images = plan.steps.compactMap { if case .base(let image) = $0.kind { image.reference } else { nil } }
    #expect(images.sorted() == ["busybox:1", "registry.example/tools:2"])
  }

  @Test func documentsBesideFilesOfAStage() throws {
    func copy(_ content: String) throws -> CopyStep {
      let plan = try plan("FROM x AS s\nFROM y\nCOPY --from=s f <<doc /t/\n\(content)\ndoc")
      guard case .copy(let copy)? = plan.steps.last?.kind else { throw BuildError(.system, "no copy") }
      return copy
    }
    let first = try copy("one")
    #expect(first.sources.count == 2)
    // What is in the document is part of what is copied.
    #expect(CacheKey.origin(first, chain: "c") == CacheKey.origin(try copy("one"), chain: "c"))
    #expect(CacheKey.origin(first, chain: "c") != CacheKey.origin(try copy("two"), chain: "c"))
  }

  @Test func configurationEvolves() throws {
    let base = baseImage("base") {
      $0.cmd = ["from-base"]
      $0.entrypoint = ["base-entry"]
      $0.env = ["PATH=/bin", "A=1"]
      $0.labels = ["x": "1"]
    }
    let plan = try plan(
      """
      FROM base
      ENV B="$A 2" A=3
      LABEL y=2
      WORKDIR /app
      WORKDIR sub
      USER 1000:1000
      EXPOSE 80 53/udp
      VOLUME /data
      STOPSIGNAL SIGINT
      SHELL ["/bin/bash", "-c"]
      HEALTHCHECK --interval=1m --start-interval=2s --retries=4 CMD curl localhost
      ENTRYPOINT ["/entry"]
      """, images: [base])
    let config = plan.configuration.config
    #expect(config.env == ["PATH=/bin", "A=3", "B=1 2"])
    #expect(config.labels == ["x": "1", "y": "2"])
    #expect(config.workingDir == "/app/sub")
    #expect(config.user == "1000:1000")
    #expect(config.exposedPorts == ["53/udp", "80/tcp"])
    #expect(config.volumes == ["/data"])
    #expect(config.stopSignal == "SIGINT")
    #expect(config.entrypoint == ["/entry"])
    // A command of the base image was meant for its own entry point.
    #expect(config.cmd == [])
    #expect(config.healthcheck?.test == ["CMD-SHELL", "curl localhost"])
    #expect(config.healthcheck?.interval == .seconds(60))
    #expect(config.healthcheck?.startInterval == .seconds(2))
    #expect(config.healthcheck?.retries == 4)
  }

  @Test func entrypointKeepsTheStagesOwnCommand() throws {
    let config = try plan("FROM base\nCMD [\"own\"]\nENTRYPOINT run it\n").configuration.config
    #expect(config.cmd == ["own"])
    #expect(config.entrypoint == ["/bin/sh", "-c", "run it"])
  }

  @Test func historyTellsWhichLinesMadeLayers() throws {
    let plan = try plan("FROM base\nENV A=1\nRUN make\nWORKDIR /\nCMD [\"x\"]\n")
    #expect(plan.history.map { $0.step != nil } == [false, true, false, false])
    #expect(plan.history[1].createdBy == "RUN /bin/sh -c make")
    #expect(plan.baseHistory.map(\.createdBy) == ["base"])
  }

  @Test func triggersOfTheBaseImageRunFirst() throws {
    let base = baseImage("base") { $0.onBuild = ["RUN triggered", "COPY . /src"] }
    let plan = try plan("FROM base\nRUN own\n", images: [base])
    #expect(plan.steps.map(\.title).dropFirst() == ["[2/4] RUN triggered", "[3/4] COPY . /src", "[4/4] RUN own"])
    #expect(plan.configuration.config.onBuild == [])
  }

  @Test func argumentsAreForRunAndNotForTheImage() throws {
    let plan = try plan(
      "ARG V=1\nFROM base\nARG V\nARG W=2\nRUN use\n", arguments: ["W": "3", "HTTP_PROXY": "http://p"])
    guard case .run(let run) = plan.steps.last?.kind else { throw BuildError(.system, "no RUN") }
    let environment = Dictionary(run.environment.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    #expect(environment["V"] == "1")
    #expect(environment["W"] == "3")
    #expect(environment["HTTP_PROXY"] == nil)
    #expect(run.proxies.contains { $0.name == "HTTP_PROXY" })
    #expect(!plan.configuration.config.env.contains { $0.hasPrefix("W=") })
  }

  @Test func mountsFindTheirPlaces() throws {
    let plan = try plan(
      """
      FROM base
      WORKDIR /w
      RUN --mount=type=cache,target=rel --mount=type=secret,id=s --mount=type=ssh --mount=type=secret,id=e,env=E x
      """)
    guard case .run(let run) = plan.steps.last?.kind else { throw BuildError(.system, "no RUN") }
    #expect(run.mounts.map(\.target) == ["/w/rel", "/run/secrets/s", "/run/buildkit/ssh_agent.0", ""])
  }

  @Test func errorsShowTheLine() throws {
    do {
      _ = try plan("FROM base\n\nRUN --security=insecure x\n")
      Issue.record("planned")
    } catch let error as BuildError {
      #expect(error.code == .unsupported)
      #expect(error.description.contains(">>> RUN --security=insecure x"))
      #expect(error.description.contains("ERROR: failed to solve: "))
    }
  }

  @Test func whatIsNotBuiltSaysSo() throws {
    #expect(throws: BuildError.self) { try plan("FROM base\nRUN --device=vendor.com/x=y true\n") }
    #expect(throws: BuildError.self) { try plan("FROM base\nCOPY --from=scratch /a /b\n") }
  }
}

@Suite struct AssemblerTests {
  @Test func theSameResultsAreTheSameBytes() throws {
    let plan = try plan("FROM base\nENV A=1\nRUN make\nLABEL x=1\n")
    let layer = Image.Layer(
      blob: Digest(of: [1]), diffID: Digest(of: [2]), size: 3, mediaType: MediaType.layer(.gzip))
    let base = baseImage("base").layers
    let results = [
      StepResult(layers: base, hasLayer: false),
      StepResult(layers: base + [layer], hasLayer: true, created: .init(seconds: 1_700_000_000)),
    ]
    let document = ImageAssembler(plan: plan, results: results, epoch: nil).document(
      platform: Platform(os: "linux", architecture: "amd64"))
    #expect(document.diffIDs == [base[0].diffID, layer.diffID])
    #expect(document.history.filter { !$0.isEmptyLayer }.count == 2)
    // What only changes the configuration takes the time of the files before it: it is the same image every time.
    #expect(document.config.created == "2023-11-14T22:13:20Z")
    #expect(document.history.last?.created == "2023-11-14T22:13:20Z")
  }

  @Test func theEpochIsTheTimeOfEverything() throws {
    let plan = try plan("FROM scratch\nCOPY a /\nENV A=1\n")
    let results = [
      StepResult(layers: [], hasLayer: false),
      StepResult(layers: [], hasLayer: false, created: .init(seconds: 1_700_000_000)),
    ]
    let document = ImageAssembler(plan: plan, results: results, epoch: 0).document(
      platform: Platform(os: "linux", architecture: "amd64"))
    #expect(document.config.created == "1970-01-01T00:00:00Z")
    #expect(Set(document.history.compactMap(\.created)) == ["1970-01-01T00:00:00Z"])
  }
}
