import Testing

@testable import Dockerfile

@Suite struct ErrorTests {
  @Test(arguments: [
    ("", 1, "file with no instructions"),
    ("# only\n\n", 2, "file with no instructions"),
    ("ARG A=1\n", 1, "no build stage in current context"),
    ("RUN x\nFROM a", 1, "no build stage in current context: RUN before the first FROM"),
    ("FROM a\nRUNN x", 2, "unknown instruction: RUNN (did you mean RUN?)"),
    ("FROM a\nFORM b", 2, "unknown instruction: FORM (did you mean FROM?)"),
    ("FROM a\nCPOY b c", 2, "unknown instruction: CPOY (did you mean COPY?)"),
    ("FROM a\nENTRIPOINT b c", 2, "(did you mean ENTRYPOINT?)"),
    ("FROM a\nhello world", 2, "unknown instruction: hello"),
    ("FROM a\nRUN\u{a0}x", 2, "no-break space"),
    ("# escape=x\nFROM a", 1, "invalid escape token 'x'"),
    ("# syntax=a\n# syntax=b\nFROM a", 2, "only one syntax parser directive can be used"),
    ("# check=skp=A\nFROM a", 1, "(did you mean skip?)"),
    ("# check=error=maybe\nFROM a", 1, "is no boolean"),
    ("# check=skip\nFROM a", 1, "expected key=value"),
    ("FROM", 1, "FROM requires either one or three arguments"),
    ("FROM a as", 1, "FROM requires either one or three arguments"),
    ("FROM a is b", 1, "FROM requires either one or three arguments"),
    ("FROM a AS 1b", 1, "invalid name for build stage: \"1b\""),
    ("FROM a AS b/c", 1, "invalid name for build stage"),
    ("FROM --plattform=x a", 1, "unknown flag: --plattform (did you mean --platform?)"),
    ("FROM --platform a", 1, "missing a value on flag: platform"),
    ("FROM a\nCOPY a", 2, "COPY requires at least two arguments, but only one was provided"),
    ("FROM a\nCOPY", 2, "COPY requires at least two arguments"),
    ("FROM a\nADD [\"a\"]", 2, "ADD requires at least two arguments, but only one"),
    ("FROM a\nCOPY --chwon=1 a b", 2, "unknown flag: --chwon (did you mean --chown?)"),
    ("FROM a\nCOPY --chown=1 --chown=2 a b", 2, "duplicate flag specified: chown"),
    ("FROM a\nCOPY --link=1 a b", 2, "expecting boolean value for flag link, not: 1"),
    ("FROM a\nCOPY --chmod=9 a b", 2, "invalid chmod parameter: '9'"),
    ("FROM a\nCOPY --chmod=u*x a b", 2, "invalid chmod parameter"),
    ("FROM a\nCOPY --from=$x a b", 2, "variable expansion is not supported for --from"),
    ("FROM a\nCOPY --from= a b", 2, "missing a value on flag: from"),
    ("FROM a\nCOPY --unpack a b", 2, "unknown flag: --unpack"),
    ("FROM a\nADD --from=b a b", 2, "unknown flag: --from"),
    ("FROM a\nCOPY a <<EOF\nEOF", 2, "COPY cannot accept a heredoc as a destination"),
    ("FROM a\nCOPY <<\"B C\" /x\nB C\n", 2, "its name holds white space"),
    ("FROM a\nRUN <<EOF\nx\n EOF\n", 2, "unterminated heredoc"),
    ("FROM a\nRUN x <<A <<B\nA\n", 2, "unterminated heredoc: no line is \"B\""),
    ("FROM a\nRUN", 2, "RUN requires at least one argument"),
    ("FROM a\nRUN []", 2, "RUN requires at least one argument"),
    ("FROM a\nRUN [1]", 2, "arrays must be comprised of strings only"),
    ("FROM a\nRUN --mount=type=bin,target=/x y", 2, "unsupported mount type \"bin\" (did you mean bind?)"),
    (
      "FROM a\nRUN --mount=type=cache,target=/x,sharing=lock y", 2,
      "unsupported sharing value \"lock\" (did you mean locked?)"
    ),
    ("FROM a\nRUN --mount=type=cache,taget=/x y", 2, "unexpected key 'taget' in 'taget=/x' (did you mean target?)"),
    ("FROM a\nRUN --mount=type=bind,from=$x,target=/x y", 2, "'from' doesn't support variable expansion"),
    ("FROM a\nRUN --mount=foo y", 2, "invalid field 'foo' must be a key=value pair"),
    ("FROM a\nRUN --network=hots y", 2, "unsupported network mode \"hots\" (did you mean host?)"),
    ("FROM a\nRUN --security=x y", 2, "security is not valid: \"x\""),
    ("FROM a\nENV", 2, "ENV requires at least one argument"),
    ("FROM a\nENV A", 2, "ENV must have two arguments"),
    ("FROM a\nENV A=1 B", 2, "Syntax error - can't find = in \"B\". Must be of the form: name=value"),
    ("FROM a\nENV =1", 2, "ENV names can not be blank"),
    ("FROM a\nLABEL", 2, "LABEL requires at least one argument"),
    ("FROM a\nARG", 2, "ARG requires at least one argument"),
    ("FROM a\nARG =1", 2, "ARG names can not be blank"),
    ("FROM a\nEXPOSE", 2, "EXPOSE requires at least one argument"),
    ("FROM a\nUSER", 2, "USER requires exactly one argument"),
    ("FROM a\nWORKDIR", 2, "WORKDIR requires exactly one argument"),
    ("FROM a\nSTOPSIGNAL", 2, "STOPSIGNAL requires exactly one argument"),
    ("FROM a\nMAINTAINER", 2, "MAINTAINER requires exactly one argument"),
    ("FROM a\nVOLUME", 2, "VOLUME requires at least one argument"),
    ("FROM a\nVOLUME [\"\"]", 2, "VOLUME specified can not be an empty string"),
    ("FROM a\nSHELL /bin/bash", 2, "SHELL requires the arguments to be in JSON form"),
    ("FROM a\nSHELL", 2, "SHELL requires at least one argument"),
    ("FROM a\nSHELL []", 2, "SHELL requires at least one argument"),
    ("FROM a\nHEALTHCHECK", 2, "HEALTHCHECK requires at least one argument"),
    ("FROM a\nHEALTHCHECK NONE x", 2, "HEALTHCHECK NONE takes no arguments"),
    ("FROM a\nHEALTHCHECK CMD", 2, "Missing command after HEALTHCHECK CMD"),
    ("FROM a\nHEALTHCHECK CMD []", 2, "Missing command after HEALTHCHECK CMD"),
    ("FROM a\nHEALTHCHECK curl x", 2, "Unknown type \"curl\" in HEALTHCHECK (try CMD)"),
    ("FROM a\nHEALTHCHECK --interval=1 CMD x", 2, "invalid duration \"1\""),
    ("FROM a\nHEALTHCHECK --interval=-1s CMD x", 2, "cannot be negative"),
    ("FROM a\nHEALTHCHECK --interval=1us CMD x", 2, "cannot be less than 1ms"),
    ("FROM a\nHEALTHCHECK --retries=-1 CMD x", 2, "--retries cannot be negative"),
    ("FROM a\nHEALTHCHECK --retries=x CMD x", 2, "--retries must be a whole number"),
    ("FROM a\nHEALTHCHECK --start=1s CMD x", 2, "unknown flag: --start"),
    ("FROM a\nONBUILD", 2, "ONBUILD requires at least one argument"),
    ("FROM a\nONBUILD ONBUILD RUN x", 2, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ("FROM a\nONBUILD FROM x", 2, "FROM isn't allowed as an ONBUILD trigger"),
    ("FROM a\nONBUILD MAINTAINER x", 2, "MAINTAINER isn't allowed as an ONBUILD trigger"),
    ("FROM a\nONBUILD RUNN x", 2, "unknown instruction: RUNN"),
    ("FROM a\nCMD --x y", 2, "unknown flag: --x"),

  ])
  func message(_ text: String, _ line: Int, _ part: String) throws {
    let error = try #require(failure(text))
    #expect(error.message.contains(part), "\(error.message)")
    #expect(error.range?.start.line == line)
    #expect(error.excerpt.hasPrefix("Dockerfile:\(line)") || text.isEmpty)
  }

  @Test func placesInContinuedLines() throws {
    let error = try #require(failure("FROM a\nCOPY --from=b \\\n  # comment\n   --chwon=1 \\\n  a b"))
    #expect(error.range == SourceRange(SourcePosition(line: 4, column: 4), SourcePosition(line: 4, column: 12)))
    let word = try #require(failure("FROM a\n  ENV A=1 \\\n  B"))
    #expect(word.range?.start == SourcePosition(line: 3, column: 3))
    let whole = try #require(failure("FROM a\nCOPY \\\n a"))
    #expect(whole.range?.lines == 2...3)
  }

  @Test func spacedHeredoc() throws {
    let error = try #require(failure("FROM a\nRUN cat << 'EOF' > /x\nif true\nEOF"))
    #expect(error.message.contains("unknown instruction: if; if it belongs to a heredoc"))
  }

  @Test func nul() throws {
    #expect(failure("FROM a\nRUN a\u{0}b")?.message.contains("NUL") == true)
  }

  @Test func invalidText() throws {
    var bytes = Array("FROM a\nRUN x".utf8)
    bytes.append(0xff)
    #expect(throws: DockerfileError.self) { try Dockerfile.parse(bytes) }
    // In a comment nobody minds.
    #expect(throws: Never.self) { try Dockerfile.parse(Array("# ".utf8) + [0xff] + Array("\nFROM a".utf8)) }
  }

  @Test func excerpt() throws {
    let error = try #require(failure("FROM alpine\n\nRUNN true\nCMD x"))
    #expect(
      error.excerpt == """
        Dockerfile:3
        --------------------
           1 |     FROM alpine
           2 |
           3 | >>> RUNN true
           4 |     CMD x
        --------------------
        """)
    #expect(error.summary == "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)")
    #expect(error.description.hasSuffix("ERROR: \(error.summary)"))
  }

  @Test func excerptsAreBounded() {
    let source = SourceText(name: "D", lines: (1...200).map { "line \($0) \u{1b}[2J" })
    let text = source.excerpt(SourceRange(lines: 5...190))
    #expect(text.hasPrefix("D:5-190\n"))
    #expect(text.split(separator: "\n").count < 50)
    #expect(!text.contains("\u{1b}"))
    #expect(source.excerpt(SourceRange(lines: 900...901)).hasPrefix("D:200"))
    #expect(SourceText(name: "D", lines: []).excerpt(SourceRange(lines: 1...1)).hasPrefix("D:1"))
  }

  @Test func triggers() {
    #expect(throws: DockerfileError.self) { try Dockerfile.parseTrigger("FROM a", image: "b") }
    #expect(throws: DockerfileError.self) { try Dockerfile.parseTrigger("", image: "b") }
    #expect(throws: DockerfileError.self) { try Dockerfile.parseTrigger("RUN a\nRUN b", image: "b") }
    #expect(throws: DockerfileError.self) { try Dockerfile.parseTrigger("ONBUILD RUN a", image: "b") }
  }
}
