import Testing

@testable import Dockerfile

@Suite struct ScopeTests {
  /// Evaluates the last stage and returns the scope and what its instructions became.
  private func run(
    _ text: String, _ arguments: [String: String] = [:], environment: [StageScope.Variable] = []
  ) throws -> (StageScope, [Dockerfile.Body]) {
    let file = try parse(text)
    let globals = try file.globalScope(variables(arguments))
    let graph = try file.stageGraph(globals)
    var scopes: [StageScope] = []
    var bodies: [Dockerfile.Body] = []
    for stage in file.stages {
      var scope: StageScope
      if case .stage(let base) = graph.nodes[stage.index].base {
        scope = StageScope(file, childOf: scopes[base])
      } else {
        scope = StageScope(file, globals: globals, environment: environment)
      }
      bodies = []
      for instruction in stage.instructions { bodies.append(try scope.evaluate(instruction).body) }
      scopes.append(scope)
    }
    return (try #require(scopes.last), bodies)
  }

  @Test func theExampleOfTheReference() throws {
    let (_, bodies) = try run("FROM a\nENV FOO=/bar\nWORKDIR ${FOO}\nADD . $FOO\nCOPY \\$FOO /quux")
    #expect(
      bodies.dropFirst() == [
        .workdir("/bar"), .add(.init(sources: [.path(".")], destination: "/bar")),
        .copy(.init(sources: [.path("$FOO")], destination: "/quux")),
      ])
  }

  @Test func oneValueThroughoutAnInstruction() throws {
    let (scope, _) = try run("FROM a\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc")
    #expect(scope.environment.map(\.value) == ["bye", "hello", "bye"])
  }

  @Test func argumentsOfAStage() throws {
    let text = "FROM a\nUSER ${u:-some}\nARG u\nUSER $u"
    #expect(try run(text, ["u": "what"]).1 == [.user("some"), .arg([.init(name: "u", value: "what")]), .user("what")])
    #expect(try run(text).1.last == .user(""))
  }

  @Test func globalArgumentsAreInheritedByName() throws {
    let text = "ARG V=1 W=2\nARG X=$V-x\nFROM a\nARG V\nARG W=3\nARG X\nARG Y\nLABEL l=$V$W$X$Y"
    #expect(try run(text).1.last == .label([.init(key: "l", value: "131-x")]))
    #expect(try run(text, ["V": "9", "W": "8"]).1.last == .label([.init(key: "l", value: "989-x")]))
    // Not declared: not there.
    #expect(try run("ARG V=1\nFROM a\nUSER u$V").1 == [.user("u")])
  }

  @Test func stagesDoNotShareArguments() throws {
    #expect(try run("FROM a\nARG V=1\nFROM b\nUSER u$V").1 == [.user("u")])
    let (scope, bodies) = try run("FROM a AS x\nARG V=1\nENV E=$V\nFROM x\nUSER u$V$E")
    #expect(bodies == [.user("u11")])
    #expect(scope.environment.map(\.name) == ["E"])
    #expect(scope.arguments.map(\.name) == ["V"])
  }

  @Test func environmentAndArguments() throws {
    var (scope, bodies) = try run(
      "FROM a\nARG V\nENV V=v1\nUSER $V", ["V": "v2"], environment: [("PATH", "/bin"), ("V", "base")])
    #expect(bodies.last == .user("v1"))
    #expect(scope.environment.map { "\($0.name)=\($0.value)" } == ["PATH=/bin", "V=v1"])
    #expect(scope.runEnvironment.map { "\($0.name)=\($0.value)" } == ["PATH=/bin", "V=v1"])
    (scope, bodies) = try run("FROM a\nARG V\nENV V=${V:-v1}\nUSER $V", ["V": "v2"])
    #expect(bodies.last == .user("v2"))
    // An argument after ENV is what commands see; the image keeps what ENV said.
    (scope, bodies) = try run("FROM a\nENV V=v1\nARG V=v2\nUSER $V")
    #expect(bodies.last == .user("v2"))
    #expect(scope.environment.map(\.value) == ["v1"])
    #expect(scope.runEnvironment.map(\.value) == ["v2"])
  }

  @Test func platformArguments() throws {
    let text =
      "FROM a\nARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM TARGETSTAGE\nUSER $TARGETPLATFORM,$TARGETOS,$TARGETARCH,$TARGETVARIANT,$BUILDPLATFORM,$TARGETSTAGE"
    #expect(try run(text).1.last == .user("linux/arm64,linux,arm64,,linux/amd64,default"))
    #expect(try run("FROM a\nUSER x$TARGETARCH").1 == [.user("x")])
    #expect(try run("FROM a\nARG TARGETARCH=mips\nUSER x$TARGETARCH").1.last == .user("xmips"))
    #expect(try run("FROM a\nARG TARGETARCH\nUSER $TARGETARCH", ["TARGETARCH": "s390x"]).1.last == .user("s390x"))
  }

  @Test func proxies() throws {
    let arguments = ["HTTP_PROXY": "http://p", "no_proxy": "x", "OTHER": "y"]
    var scope = try run("FROM a\nRUN x", arguments).0
    #expect(scope.proxyArguments.map(\.name) == ["HTTP_PROXY", "no_proxy"])
    #expect(scope.runEnvironment.isEmpty)
    #expect(scope.arguments.isEmpty)
    scope = try run("FROM a\nARG HTTP_PROXY\nRUN x", arguments).0
    #expect(scope.proxyArguments.map(\.name) == ["no_proxy"])
    #expect(scope.runEnvironment.map(\.value) == ["http://p"])
  }

  @Test func unusedBuildArguments() throws {
    let file = try parse("ARG A\nFROM a\nARG B\nONBUILD ARG C")
    let scope = try file.globalScope(
      variables(["A": "", "B": "", "C": "", "Z": "", "HTTP_PROXY": "", "TARGETARCH": "", "SOURCE_DATE_EPOCH": "1"]))
    #expect(scope.unusedBuildArguments(in: file) == ["Z"])
  }

  @Test func whatIsExpandedAndWhatIsNot() throws {
    let (_, bodies) = try run(
      """
      FROM a
      ENV p=8080 u=app d=/data s=9 sum=sha256:ab
      EXPOSE $p/tcp ${p}
      USER $u
      VOLUME $d ["/x"]
      VOLUME ["$d/x"]
      STOPSIGNAL $s
      LABEL a.$u="$u 1" b='$u'
      RUN echo $u
      RUN --mount=type=cache,id=c-$u,target=$d/c,uid=$s --device=$u x
      CMD echo $u
      ENTRYPOINT ["$u"]
      HEALTHCHECK CMD $u
      ONBUILD USER $u
      COPY --chown=$u:$u --chmod=${no:-700} --exclude=*.$u $u*.txt $d/
      ADD --checksum=$sum https://x/$u ./
      MAINTAINER $u
      SHELL ["$u"]
      """)
    #expect(bodies[1] == .expose(["8080/tcp", "8080"]))
    #expect(bodies[2] == .user("app"))
    #expect(bodies[3] == .volume(["/data", "[/x]"]))
    #expect(bodies[4] == .volume(["/data/x"]))
    #expect(bodies[5] == .stopsignal("9"))
    #expect(bodies[6] == .label([.init(key: "a.app", value: "app 1"), .init(key: "b", value: "$u")]))
    #expect(bodies[7] == .run(.init(command: .shell("echo $u"))))
    guard case .run(let run) = bodies[8] else { return }
    #expect(run.mounts[0].id == "c-app" && run.mounts[0].target == "/data/c" && run.mounts[0].uid == 9)
    #expect(run.devices[0].name == "app")
    #expect(bodies[9] == .cmd(.shell("echo $u")))
    #expect(bodies[10] == .entrypoint(.exec(["$u"])))
    #expect(bodies[11] == .healthcheck(.cmd(.shell("$u"), .init())))
    guard case .onbuild(let onBuild) = bodies[12] else { return }
    #expect(onBuild.text == "USER $u")
    #expect(
      bodies[13]
        == .copy(
          .init(sources: [.path("app*.txt")], destination: "/data/", chown: "app:app", chmod: "700", exclude: ["*.app"])
        ))
    #expect(bodies[14] == .add(.init(sources: [.path("https://x/app")], destination: "./", checksum: "sha256:ab")))
    #expect(bodies[15] == .maintainer("$u"))
    #expect(bodies[16] == .shell(["$u"]))
  }

  @Test func heredocsInCopy() throws {
    let (_, bodies) = try run("FROM a\nARG F=bar\nCOPY <<A <<'B' /\n\"$F\" \\$F '$F'\nA\n$F\nB\n")
    guard case .copy(let copy) = bodies[1] else { return }
    #expect(copy.sources.map { $0.heredoc?.content } == ["\"bar\" $F 'bar'\n", "$F\n"])
  }

  @Test func quotesInValues() throws {
    let (scope, _) = try run(
      "FROM a\nENV A=\"John Doe\" B=Rex\\ The\\ Dog C='x $A' D=\"q\\\"q\"\nENV F one  'two' \"$A\"")
    #expect(
      scope.environment.map(\.value) == ["John Doe", "Rex The Dog", "x $A", "q\"q", "one  two John Doe"])
  }

  @Test(arguments: [
    ("FROM a\nCOPY --chmod=$M a b", "invalid chmod parameter"),
    ("FROM a\nENV A=${X:?needed}", "X: needed"),
    ("FROM a\nUSER 'x", "single-quote"),
    ("FROM a\nVOLUME $X", "VOLUME specified can not be an empty string"),
    ("FROM a\nRUN --mount=type=cache,target=/x,uid=$M y", "invalid value bad for uid"),
    ("FROM a\nRUN --mount=type=$M,target=/x y", "unsupported mount type \"bad\""),
    ("FROM a\nLABEL $X=1", "LABEL names can not be blank"),
    ("FROM a\nSTOPSIGNAL SIGTREM", "Invalid signal: SIGTREM (did you mean SIGTERM?)"),
    ("FROM a\nSTOPSIGNAL $X", "Invalid signal: "),
    ("FROM a\nSTOPSIGNAL 65", "Invalid signal: 65"),
    ("FROM a\nEXPOSE 80 70000", "invalid containerPort: 70000"),
  ])
  func errors(_ text: String, _ part: String) throws {
    let error = #expect(throws: DockerfileError.self) { try run(text, [:], environment: [("M", "bad")]) }
    #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
    #expect(error?.range?.start.line == 2)
    #expect(error?.excerpt.contains(">>>") == true)
  }

  @Test(arguments: ["SIGTERM", "term", "9", "SIGRTMIN+3", "RTMAX-1", "64"]) func signals(_ signal: String) throws {
    #expect(try run("FROM a\nSTOPSIGNAL \(signal)").1 == [.stopsignal(signal)])
  }

  /// Forms that BuildKit's own Dockerfile relies on.
  @Test func advancedForms() throws {
    let text = """
      ARG DEBUG
      FROM scratch AS tool-linux
      ARG DEBUG
      ARG FLAGS=${DEBUG:+"all=-N -l"}
      LABEL flags=$FLAGS
      FROM tool-$TARGETOS AS tools
      FROM scratch AS image-linux
      RUN --mount=from=tools --mount=type=cache,target=/c x
      FROM scratch AS image-linux-debug
      FROM image-$TARGETOS${DEBUG:+-debug}
      """
    #expect(
      try run(text.split(separator: "\nFROM tool-")[0].description, ["DEBUG": "1"]).1.last
        == .label([.init(key: "flags", value: "all=-N -l")]))
    let file = try parse(text)
    #expect(try file.stageGraph(file.globalScope(variables([:]))).nodes.last?.base == .stage(2))
    #expect(try file.stageGraph(file.globalScope(variables(["DEBUG": "1"]))).nodes.last?.base == .stage(3))
    guard case .run(let run) = file.stages[2].instructions[0].body else { return }
    #expect(run.mounts.map(\.effectiveTarget) == [".", "/c"])
  }

  @Test func valuesThatDouble() throws {
    let text = "FROM a\nENV A=xxxxxxxxxxxxxxxx\n" + String(repeating: "ENV A=$A$A\n", count: 40)
    let error = #expect(throws: DockerfileError.self) { try run(text) }
    #expect(error?.code == .limit)
    let many =
      "FROM a\nENV A=" + String(repeating: "x", count: 100_000) + "\n"
      + (0..<100).map { "ENV B\($0)=$A\n" }.joined()
    #expect(#expect(throws: DockerfileError.self) { try run(many) }?.code == .limit)
  }
}
