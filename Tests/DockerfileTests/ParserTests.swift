import Testing

@testable import Dockerfile

@Suite struct ParserTests {
  @Test func aWholeFile() throws {
    let file = try parse(
      """
      # syntax=docker/dockerfile:1
      # escape=\\

      # The version
      ARG VERSION=1
      FROM --platform=$BUILDPLATFORM golang:${VERSION} AS Build
      WORKDIR /src
      COPY . .
      RUN go build -o /app \\
          ./cmd
      FROM scratch
      COPY --from=build /app /app
      CMD ["/app"]
      """)
    #expect(file.directives.syntax == "docker/dockerfile:1")
    #expect(file.directives.escape == UInt8(ascii: "\\"))
    #expect(file.globalArguments.map(\.body) == [.arg([.init(name: "VERSION", value: "1")])])
    #expect(file.globalArguments[0].comments == ["The version"])
    #expect(file.stages.count == 2)
    let build = file.stages[0]
    #expect(build.name == "build")
    #expect(build.from.name == "Build")
    #expect(build.from.image == "golang:${VERSION}")
    #expect(build.from.platform == "$BUILDPLATFORM")
    #expect(build.instructions.map(\.body.name) == ["WORKDIR", "COPY", "RUN"])
    #expect(build.instructions[2].range.lines == 9...10)
    #expect(build.instructions[2].text == "RUN go build -o /app     ./cmd")
    #expect(file.stages[1].name == nil)
    #expect(file.stages[1].instructions.map(\.range.start.line) == [12, 13])
    #expect(file.warnings.isEmpty)
  }

  // MARK: Directives

  @Test(arguments: [
    ("# escape=`\nFROM a", UInt8(ascii: "`")),
    ("#escape=`\nFROM a", UInt8(ascii: "`")),
    ("#\t  eScApE = `\nFROM a", UInt8(ascii: "`")),
    ("# syntax=x\n# escape=`\nFROM a", UInt8(ascii: "`")),
    ("#!/usr/bin/env apus\n# escape=`\nFROM a", UInt8(ascii: "`")),
    ("\u{feff}# escape=`\nFROM a", UInt8(ascii: "`")),
    // Too late.
    ("# about\n# escape=`\nFROM a", UInt8(ascii: "\\")),
    ("\n# escape=`\nFROM a", UInt8(ascii: "\\")),
    ("# unknown=1\n# escape=`\nFROM a", UInt8(ascii: "\\")),
    ("FROM a\n# escape=`\n", UInt8(ascii: "\\")),
  ])
  func escapeDirective(_ text: String, _ escape: UInt8) throws {
    #expect(try parse(text).directives.escape == escape)
  }

  @Test func lateDirectivesAreNoticed() throws {
    #expect(
      try parse("# about\n# escape=`\nFROM a").warnings.map(\.kind) == [.lateDirective("escape")])
    #expect(try parse("FROM a\n# escape=`").warnings.isEmpty)
  }

  @Test func checkDirective() throws {
    let check = try parse("# check=skip=A, B;error=true;experimental=all\nFROM a").directives.check
    #expect(check?.skip == ["A", "B"])
    #expect(check?.isError == true)
    #expect(check?.experimental == ["all"])
    #expect(try parse("# check=error=0\nFROM a").directives.check?.isError == false)
  }

  // MARK: Lines

  @Test(arguments: [
    ("RUN a \\\n b", "a  b"),
    ("RUN a \\   \n b", "a  b"),
    ("RUN a \\\n# comment\n  # another\nb", "a b"),
    ("RUN a \\\n\nb", "a b"),
    ("RUN a \\\r\nb\r\n", "a b"),
    ("RUN a\\\\\n", "a\\\\"),
    ("RUN \"a\\\n   b\"", "\"a   b\""),
    ("  RUN a", "a"),
    ("run a", "a"),
    ("RuN\ta", "a"),
    ("RUN a # not a comment", "a # not a comment"),
    ("RUN a \\", "a"),
    ("RUN a; \\\n  # c \\\n  b", "a;   b"),
  ])
  func continuations(_ text: String, _ command: String) throws {
    #expect(try one(text) == .run(.init(command: .shell(command))))
  }

  @Test func backtickContinues() throws {
    let file = try parse("# escape=`\nFROM a\nCOPY x c:\\\nRUN dir `\n c:\\\n")
    #expect(
      file.stages[0].instructions.map(\.body) == [
        .copy(.init(sources: [.path("x")], destination: "c:\\")), .run(.init(command: .shell("dir  c:\\"))),
      ])
  }

  @Test func emptyContinuationLinesAreNoticed() throws {
    let file = try parse("FROM a\nRUN x \\\n\n  y\nRUN z \\\n # c\n  y")
    #expect(file.warnings == [.init(kind: .emptyContinuation, range: SourceRange(lines: 3...3))])
  }

  @Test func commentsBelongToWhatFollows() throws {
    let file = try parse("FROM a\n# one\n#\n# two\n#three\nRUN x\nRUN y")
    #expect(file.stages[0].instructions.map(\.comments) == [["two", "three"], []])
  }

  // MARK: Heredocs

  private func heredoc(_ name: String, _ content: String, expands: Bool = true, tabs: Bool = false, fd: Int = 0)
    -> Dockerfile.Heredoc
  {
    .init(name: name, content: content, expands: expands, stripsTabs: tabs, fileDescriptor: fd)
  }

  @Test func runHeredocs() throws {
    let file = try parse(
      """
      FROM a
      RUN <<EOF
      echo 1 \\
      # kept
      EOF
      RUN cat <<A >/a && cat 3<<'B' >/b
      one
      A
      $two
      B
      RUN <<-"T" python3
      \tprint(1)
      \tT
      RUN after
      """)
    let runs = file.stages[0].instructions.compactMap { instruction -> Dockerfile.Run? in
      if case .run(let run) = instruction.body { run } else { nil }
    }
    #expect(runs.count == 4)
    #expect(runs[0].heredocs == [heredoc("EOF", "echo 1 \\\n# kept\n")])
    #expect(runs[0].invocation == .shell("echo 1 \\\n# kept\n"))
    #expect(runs[1].heredocs == [heredoc("A", "one\n"), heredoc("B", "$two\n", expands: false, fd: 3)])
    #expect(runs[1].invocation == .shell("cat <<A >/a && cat 3<<'B' >/b\none\nA\n$two\nB"))
    #expect(runs[2].heredocs == [heredoc("T", "print(1)\n", expands: false, tabs: true)])
    #expect(runs[2].invocation == .shell("<<-\"T\" python3\nprint(1)\nT"))
    #expect(file.stages[0].instructions.map(\.range.lines) == [2...5, 6...10, 11...13, 14...14])
    #expect(file.stages[0].instructions[0].text == "RUN <<EOF")
  }

  @Test func scripts() throws {
    guard case .run(let run) = try one("RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF") else { return }
    #expect(run.invocation == .script(name: "EOF", content: "#!/usr/bin/env python3\nprint(1)\n"))
  }

  @Test func noHeredoc() throws {
    // Inside quotes or without a name it is none; neither is the JSON form.
    for text in ["RUN echo \"<<EOF\"", "RUN x << y", "RUN a<<EOF", "RUN echo $((1<<2))", "RUN [\"cat\", \"<<EOF\"]"] {
      guard case .run(let run) = try one(text) else { continue }
      #expect(run.heredocs.isEmpty, "\(text)")
    }
    #expect(try stage("CMD cat <<EOF\nRUN x").count == 2)
  }

  @Test func copyHeredocSources() throws {
    let body = try one("COPY --chmod=755 <<A x <<-'D' /dir/\n$a\nA\n\td\n\tD\n")
    #expect(
      body
        == .copy(
          .init(
            sources: [
              .heredoc(heredoc("A", "$a\n")), .path("x"), .heredoc(heredoc("D", "d\n", expands: false, tabs: true)),
            ], destination: "/dir/", chmod: "755")))
  }

  @Test func onBuildHeredoc() throws {
    let file = try parse("FROM a\nONBUILD RUN <<EOF\nx\nEOF\nRUN y")
    guard case .onbuild(let onBuild) = file.stages[0].instructions[0].body else { return }
    #expect(onBuild.text == "RUN <<EOF\nx\nEOF")
    #expect(file.stages[0].instructions[0].range.lines == 2...4)
    let trigger = try Dockerfile.parseTrigger(onBuild.text, image: "base")
    #expect(trigger == onBuild.trigger)
  }

  // MARK: Instructions

  @Test(arguments: [
    ("CMD [\"a\", \"b c\"]", Dockerfile.Body.cmd(.exec(["a", "b c"]))),
    ("CMD a b", .cmd(.shell("a b"))),
    ("CMD []", .cmd(.exec([]))),
    ("CMD", .cmd(.exec([]))),
    ("CMD [ -f x ] && y", .cmd(.shell("[ -f x ] && y"))),
    ("CMD ['a']", .cmd(.shell("['a']"))),
    ("ENTRYPOINT [\"/tini\", \"--\"]", .entrypoint(.exec(["/tini", "--"]))),
    ("ENTRYPOINT [\\\n \"a\", \\\n \"b\"]", .entrypoint(.exec(["a", "b"]))),
    ("ENTRYPOINT top -b", .entrypoint(.shell("top -b"))),
    ("CMD [\"c:\\\\x\"]", .cmd(.exec(["c:\\x"]))),
    ("CMD [\"c:\\x\"]", .cmd(.shell("[\"c:\\x\"]"))),
    ("SHELL [\"/bin/bash\", \"-c\"]", .shell(["/bin/bash", "-c"])),
    ("EXPOSE 80 443/tcp 53/udp", .expose(["80", "443/tcp", "53/udp"])),
    ("USER app:app", .user("app:app")),
    ("WORKDIR /a b", .workdir("/a b")),
    ("STOPSIGNAL SIGTERM", .stopsignal("SIGTERM")),
    ("MAINTAINER A <a@b>", .maintainer("A <a@b>")),
    ("VOLUME /a /b", .volume(["/a", "/b"])),
    ("VOLUME [\"/a b\"]", .volume(["/a b"])),
    ("ARG A", .arg([.init(name: "A", value: nil)])),
    ("ARG A=", .arg([.init(name: "A", value: "")])),
    (
      "ARG A=1 B C=\"x y\"",
      .arg([.init(name: "A", value: "1"), .init(name: "B", value: nil), .init(name: "C", value: "\"x y\"")])
    ),
    ("HEALTHCHECK NONE", .healthcheck(.none)),
    ("healthcheck none", .healthcheck(.none)),
    ("RUN [\"a\", \"b\"]", .run(.init(command: .exec(["a", "b"])))),
    ("RUN --network=none x", .run(.init(command: .shell("x"), network: .none))),
    (
      "RUN --network=host --security=insecure x", .run(.init(command: .shell("x"), network: .host, security: .insecure))
    ),
    (
      "RUN --device=vendor1.com/device=foo,required x",
      .run(.init(command: .shell("x"), devices: [.init(name: "vendor1.com/device=foo", isRequired: true)]))
    ),
    ("RUN -- --x", .run(.init(command: .shell("--x")))),
    ("COPY a b /c/", .copy(.init(sources: [.path("a"), .path("b")], destination: "/c/"))),
    ("COPY [\"a b\", \"/c d/\"]", .copy(.init(sources: [.path("a b")], destination: "/c d/"))),
    (
      "COPY --from=build --chown=1000:1000 --chmod=u+x --link --parents --exclude=*.md --exclude=a a b",
      .copy(
        .init(
          sources: [.path("a")], destination: "b", from: "build", chown: "1000:1000", chmod: "u+x", link: true,
          parents: true, exclude: ["*.md", "a"]))
    ),
    ("COPY --link=false a b", .copy(.init(sources: [.path("a")], destination: "b"))),
    ("COPY --chown=\"a b\" a b", .copy(.init(sources: [.path("a")], destination: "b", chown: "a b"))),
    (
      "ADD --keep-git-dir=true --checksum=sha256:ab --unpack=false --link https://e/x.git#v1 /d",
      .add(
        .init(
          sources: [.path("https://e/x.git#v1")], destination: "/d", link: true, keepGitDirectory: true,
          checksum: "sha256:ab", unpack: false))
    ),
    ("ADD --unpack a /d", .add(.init(sources: [.path("a")], destination: "/d", unpack: true))),
  ])
  func instructions(_ text: String, _ body: Dockerfile.Body) throws {
    #expect(try one(text) == body)
  }

  @Test(arguments: [
    ("ENV A=1", [("A", "1", false)]),
    ("ENV A=1 B=2", [("A", "1", false), ("B", "2", false)]),
    ("ENV A=\"x y\" B='p q' C=a\\ b", [("A", "\"x y\"", false), ("B", "'p q'", false), ("C", "a\\ b", false)]),
    ("ENV A one two  three", [("A", "one two  three", true)]),
    ("ENV ONE TWO= THREE=world", [("ONE", "TWO= THREE=world", true)]),
    ("ENV A=", [("A", "", false)]),
    ("ENV A=b=c", [("A", "b=c", false)]),
    ("ENV A=1 \\\n  # c\n  B=2", [("A", "1", false), ("B", "2", false)]),
    ("ENV A='it''s' B=\"a\\\"b c\"", [("A", "'it''s'", false), ("B", "\"a\\\"b c\"", false)]),
  ])
  func env(_ text: String, _ pairs: [(String, String, Bool)]) throws {
    #expect(try one(text) == .env(pairs.map { .init(key: $0.0, value: $0.1, isLegacy: $0.2) }))
  }

  @Test func labels() throws {
    #expect(
      try one("LABEL \"com.example.vendor\"=\"ACME Inc\" v=1")
        == .label([.init(key: "\"com.example.vendor\"", value: "\"ACME Inc\""), .init(key: "v", value: "1")]))
    #expect(
      try one("LABEL description=\"This \\\nspans\"") == .label([.init(key: "description", value: "\"This spans\"")]))
  }

  @Test func healthCheck() throws {
    var timing = Dockerfile.HealthCheck.Timing()
    timing.interval = .seconds(300)
    timing.timeout = .milliseconds(2500)
    timing.startPeriod = .seconds(5)
    timing.startInterval = .milliseconds(1)
    timing.retries = 4
    #expect(
      try one(
        "HEALTHCHECK --interval=5m --timeout=2.5s --start-period=5s --start-interval=1ms --retries=4 \\\n  CMD curl -f http://localhost/ || exit 1"
      ) == .healthcheck(.cmd(.shell("curl -f http://localhost/ || exit 1"), timing)))
    #expect(try one("HEALTHCHECK CMD [\"a\"]") == .healthcheck(.cmd(.exec(["a"]), .init())))
    #expect(try one("HEALTHCHECK --interval=0 --retries=0 cmd a") == .healthcheck(.cmd(.shell("a"), .init())))
  }

  @Test func onBuild() throws {
    guard case .onbuild(let onBuild) = try one("ONBUILD copy --from=build  /a /b") else { return }
    #expect(onBuild.text == "copy --from=build  /a /b")
    #expect(onBuild.trigger.body == .copy(.init(sources: [.path("/a")], destination: "/b", from: "build")))
  }

  @Test func commandWords() {
    #expect(Dockerfile.CommandLine.shell("a b").words(shell: ["/bin/sh", "-c"]) == ["/bin/sh", "-c", "a b"])
    #expect(Dockerfile.CommandLine.exec(["a"]).words(shell: ["x"]) == ["a"])
    #expect(Dockerfile.CommandLine.exec([]).words(shell: ["x"]).isEmpty)
  }

  @Test func brokenExecFormIsNoticed() throws {
    for text in ["CMD ['a', 'b']", "CMD [\"a\",]", "ENTRYPOINT [“a”]"] {
      #expect(try parse("FROM a\n" + text).warnings.map(\.kind) == [.looksLikeExecForm], "\(text)")
    }
    #expect(try parse("FROM a\nRUN [ -f /x ]").warnings.isEmpty)
  }

  @Test func limits() throws {
    var limits = Dockerfile.Limits()
    limits.bytesMax = 20
    #expect(throws: DockerfileError.self) { try parse("FROM a\nRUN 12345678901", limits: limits) }
    limits = Dockerfile.Limits()
    limits.instructionsMax = 2
    #expect(throws: DockerfileError.self) { try parse("FROM a\nRUN x\nRUN y", limits: limits) }
    limits = Dockerfile.Limits()
    limits.stagesMax = 1
    #expect(throws: DockerfileError.self) { try parse("FROM a\nFROM b", limits: limits) }
  }

  @Test func aMegabyteParses() throws {
    let text = "FROM a\n" + String(repeating: "ENV A=1 \\\n  B=2\n", count: 9_000)
    #expect(try parse(text).stages[0].instructions.count == 9_000)
    let long = "FROM a\nRUN " + String(repeating: "x \\\n", count: 200_000) + "y"
    #expect(try parse(long).stages[0].instructions.count == 1)
  }
}
