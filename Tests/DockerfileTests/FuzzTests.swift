import TestKit
import Testing

@testable import Dockerfile

/// Random and mutated files: whatever comes, there is an answer in bounded time, and an error names a line of the file.
@Suite struct FuzzTests {
  private static let samples = [
    """
    # syntax=docker/dockerfile:1
    # check=skip=all;error=true
    ARG V=1
    FROM --platform=$BUILDPLATFORM a:${V:-2} AS build
    ENV A="x y" B=${A#x*} \\
        # comment
        C='q'
    RUN --mount=type=cache,target=/c,sharing=locked --network=none <<EOF cat <<-'B' && x
    a $b
    EOF
    \tz
    \tB
    COPY --from=0 --chmod=u+x --exclude=*.md <<X ["a"] /d/
    ${A//x/y}
    X
    FROM scratch
    ONBUILD COPY --link a b
    HEALTHCHECK --interval=1m30s CMD ["a", "b"]
    EXPOSE 80-90/udp 1
    LABEL "a b"="c" d=e
    SHELL ["/bin/bash", "-c"]
    CMD a && b | c
    """,
    "# escape=`\r\nFROM a\r\nCOPY x c:\\\r\nRUN a `\r\n  b\r\n",
    "FROM a\nENV A ${B:?x} 'y' \"$z\nVOLUME [\"a\", 1]\nUSER ${a%%*?\\*}${b/x*/${c:+d}}",
  ]

  private static let tokens = [
    "FROM", "RUN", "COPY", "ENV", "ARG", "ONBUILD", "HEALTHCHECK", "LABEL", " ", "  ", "\n", "\n\n", "\r\n", "\\\n",
    "`\n", "\t",
    "\"", "'", "\\", "`", "$", "${", "}", "${a:-", "#", "##", "%", "/", "//", "<<", "<<-", "<<EOF", "EOF\n", "--",
    "--mount=",
    "--from=", "type=cache,", "target=/x", "=", ",", ":", "[", "]", "[\"", "\"]", "*", "**", "?", "!", "a", "b", "0",
    "\u{feff}",
    "é", "\u{0}", "AS", "scratch", "CMD", "NONE", "# escape=`\n", "# check=", "|", "&&", "$(", "(", ")",
  ]

  private func mutate(_ random: inout SeededGenerator) -> [UInt8] {
    var bytes: [UInt8]
    if Bool.random(using: &random) {
      bytes = Array((Self.samples.randomElement(using: &random) ?? "").utf8)
    } else {
      bytes = []
      for _ in 0..<Int.random(in: 0...60, using: &random) {
        bytes += (Self.tokens.randomElement(using: &random) ?? "").utf8
      }
    }
    for _ in 0..<Int.random(in: 0...8, using: &random) {
      let at = bytes.isEmpty ? 0 : Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<5, using: &random) {
      case 0: if !bytes.isEmpty { bytes.remove(at: at) }
      case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
      case 2: bytes.insert(contentsOf: (Self.tokens.randomElement(using: &random) ?? "").utf8, at: at)
      case 3: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 0...20, using: &random)))
      default:
        let end = min(bytes.count, at + Int.random(in: 0...40, using: &random))
        bytes.insert(contentsOf: bytes[at..<end], at: 0)
      }
    }
    return bytes
  }

  private func checkError(_ error: DockerfileError, _ source: Int, _ seed: UInt64) {
    guard let range = error.range else {
      Issue.record("no range: \(error.message), seed \(seed)")
      return
    }
    #expect(range.start.line >= 1 && range.end.line <= max(1, source), "\(error.message), seed \(seed)")
    #expect(range.start <= range.end && range.start.column >= 1, "\(error.message), seed \(seed)")
    #expect(!error.message.isEmpty)
    #expect(!error.excerpt.isEmpty, "\(error.message), seed \(seed)")
  }

  @Test(arguments: 0..<12) func files(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<600 {
      let bytes = mutate(&random)
      let lines = LineReader(bytes).count
      do throws(DockerfileError) {
        let file = try Dockerfile.parse(bytes)
        for stage in file.stages {
          for instruction in [stage.declaration] + stage.instructions {
            #expect(instruction.range.lines.lowerBound >= 1 && instruction.range.lines.upperBound <= lines)
          }
        }
        _ = DockerfileLint.check(file, options: .init(experimental: ["all"]))
        let globals = try file.globalScope(variables(["a": "x", "V": "3"]))
        let graph = try file.stageGraph(globals)
        for stage in file.stages {
          let order = graph.order(for: stage.index)
          #expect(order.last == stage.index && Set(order).count == order.count)
          var scope = StageScope(file, globals: globals, environment: [("b", "a*b"), ("A", "x y")])
          for instruction in stage.instructions {
            let evaluated = try scope.evaluate(instruction)
            if case .onbuild(let onBuild) = evaluated.body {
              // What an image keeps can be read again by the builds on it, unless this file has its own escape
              // character.
              if file.directives.escape == UInt8(ascii: "\\") {
                let trigger = try Dockerfile.parseTrigger(onBuild.text, image: "x")
                #expect(trigger == onBuild.trigger, "seed \(seed)")
              }
            }
          }
        }
      } catch {
        checkError(error, lines, seed)
      }
    }
  }

  @Test(arguments: 0..<4) func words(_ seed: UInt64) {
    var random = SeededGenerator(seed: 1000 + seed)
    for _ in 0..<3000 {
      let text = String(decoding: mutate(&random).prefix(200), as: UTF8.self)
      var expander = Expander { $0.count == 1 ? "a*b\\c$d'\"" : nil }
      _ = try? expander.expand(text)
      _ = try? expander.words(text)
      _ = try? FileMode.parse(text)
      var none: Expander?
      _ = try? Dockerfile.Mount.parse(text, &none)
      var some: Expander? = expander
      _ = try? Dockerfile.Mount.parse(text, &some)
      _ = try? Dockerfile.ExposedPort.parse(text)
      _ = RemoteSource(text)
      _ = RemoteSource.fileName(of: text)
      _ = PlatformWords(text)
      _ = ShellCommands(text).commands
      _ = Suggestion.nearest(to: text, among: Parser.instructionNames)
      if let ignore = try? DockerIgnore(Array(text.utf8)) {
        _ = ignore.excludes(text)
        _ = ignore.verdict("a/b", isDirectory: true)
      }
    }
  }
}
