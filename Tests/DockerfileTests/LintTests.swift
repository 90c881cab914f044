import Testing

@testable import Dockerfile

@Suite struct LintTests {
  private func ids(_ text: String, _ options: DockerfileLint.Options = .init()) throws -> [String] {
    DockerfileLint.check(try parse(text), options: options).map { "\($0.id):\($0.range.start.line)" }
  }

  /// A text, and the findings that it must have (`id:line`); nothing else may be found.
  @Test(
    arguments: [
      // Docker's build checks.
      ("FROM a:1 AS Build", ["StageNameCasing:1"]),
      ("FROM a:1 as b", ["FromAsCasing:1"]),
      ("from a:1 AS b", ["FromAsCasing:1"]),
      ("from a:1 as b", []),
      ("FROM a:1\nRUN x \\\n\n y", ["NoEmptyContinuation:3"]),
      ("FROM a:1\nrun x\nRUN y", ["ConsistentInstructionCasing:2"]),
      ("FROM a:1\nRun x\nRUN y", ["ConsistentInstructionCasing:2"]),
      ("from a:1\nrun x\nRUN y", ["ConsistentInstructionCasing:3"]),
      ("FROM a:1 AS x\nFROM b:1 AS x", ["DuplicateStageName:2"]),
      ("FROM a:1 AS scratch", ["ReservedStageName:1"]),
      ("FROM a:1 AS context", ["ReservedStageName:1"]),
      ("FROM a:1\nCMD x", ["JSONArgsRecommended:2"]),
      ("FROM a:1\nENTRYPOINT x", ["JSONArgsRecommended:2"]),
      ("FROM a:1\nSHELL [\"/bin/bash\", \"-c\"]\nCMD x", []),
      // Also a shell that the base stage has chosen, or its base.
      ("FROM a:1 AS B\nSHELL [\"/bin/bash\", \"-c\"]\nFROM b AS c\nFROM C\nCMD x", ["StageNameCasing:1"]),
      ("FROM a:1 AS b\nSHELL [\"x\"]\nFROM a:1 AS c\nFROM c\nCMD x", ["JSONArgsRecommended:5"]),
      // Left out for one instruction only, by the directive above it.
      ("FROM a:1\n# check=skip=JSONArgsRecommended\nCMD x", []),
      ("FROM a:1\n# a word\n# check=skip=WorkdirRelativePath,JSONArgsRecommended // why\nCMD x", []),
      ("FROM a:1\n# Check = skip=all\nCMD x", []), ("FROM a:1\n# check=error=true;skip=all\nCMD x", []),
      ("FROM a:1\n# check=skip=Other\nCMD x", ["JSONArgsRecommended:3"]),
      ("FROM a:1\n# check=experimental=all\nCMD x", ["JSONArgsRecommended:3"]),
      ("FROM a:1\n# check=skip=JSONArgsRecommended\n#\nCMD x", ["JSONArgsRecommended:4"]),
      ("FROM a:1\n# check=skip=JSONArgsRecommended\nWORKDIR /\nCMD x", ["JSONArgsRecommended:4"]),
      ("FROM a:1\n# check\n# check=\n# check=skip\n# check=skip=\nCMD x", ["JSONArgsRecommended:6"]),
      ("FROM a:1\nCMD [\"x\"]", []),
      ("FROM a:1\nMAINTAINER x", ["MaintainerDeprecated:2"]),
      ("ARG VERSION=1\nFROM a:${VERSON}", ["UndefinedArgInFrom:2"]),
      ("FROM --platform=$BUILDPLATFORM a:1", []),
      ("FROM --platform=$BILDPLATFORM a:1", ["UndefinedArgInFrom:1"]),
      ("FROM a:1\nWORKDIR x", ["WorkdirRelativePath:2"]),
      ("FROM a:1\nWORKDIR /a\nWORKDIR b", []),
      ("FROM a:1 AS b\nWORKDIR /a\nFROM b\nWORKDIR c", []),
      ("FROM a:1\nWORKDIR $HOME", []),
      ("FROM scratch\nUSER $nobody", ["UndefinedVar:2"]),
      ("FROM scratch\nARG X\nUSER $X", ["UndefinedVar:3"]),
      ("FROM scratch\nARG X=1\nUSER ${Y:-$X}", []),
      ("FROM a:1\nENV APP_HOME=/a\nWORKDIR $APP_HOEM", ["UndefinedVar:3"]),
      ("FROM a:1\nENV PATH=/x:$PATH\nUSER $FROM_BASE", []),
      ("FROM a:1\nCMD [\"a\"]\nCMD [\"b\"]", ["MultipleInstructionsDisallowed:2"]),
      ("FROM a:1\nHEALTHCHECK NONE\nHEALTHCHECK CMD x", ["MultipleInstructionsDisallowed:2"]),
      ("FROM a:1\nCMD [\"a\"]\nFROM b:1\nCMD [\"b\"]", []),
      ("FROM a:1\nENV A 1", ["LegacyKeyValueFormat:2"]),
      ("FROM a:1\nLABEL a b", ["LegacyKeyValueFormat:2"]),
      ("FROM --platform=$TARGETPLATFORM a:1", ["RedundantTargetPlatform:1"]),
      ("FROM --platform=${TARGETPLATFORM} a:1", ["RedundantTargetPlatform:1"]),
      ("FROM a:1\nARG NPM_TOKEN", ["SecretsUsedInArgOrEnv:2"]),
      ("FROM a:1\nENV AWS_SECRET_ACCESS_KEY=x MONKEY=1 PUBLIC_KEY=y", ["SecretsUsedInArgOrEnv:2"]),
      ("ARG TAG\nFROM a:${TAG}", ["InvalidDefaultArgInFrom:2"]),
      ("ARG IMAGE\nFROM $IMAGE", ["InvalidDefaultArgInFrom:2"]),
      ("ARG TAG=1\nFROM a:${TAG}", []),
      ("ARG TAG\nFROM a:${TAG:-1}", []),
      ("FROM --platform=linux/amd64 a:1", ["FromPlatformFlagConstDisallowed:1"]),
      ("FROM --platform=linux/amd64 a:1 AS build-amd64", []),
      ("FROM a:1\nEXPOSE 80/TCP", ["ExposeProtoCasing:2"]),
      ("FROM a:1\nEXPOSE 127.0.0.1:80:80", ["ExposeInvalidFormat:2"]),
      ("FROM a:1\nEXPOSE 99999", ["InvalidValue:2"]),
      ("FROM scratch\nCOPY --chmod=${NO} a /b", ["InvalidValue:2", "UndefinedVar:2"]),
      ("FROM a:1\nCOPY --chmod=${NO} a /b", []),
      ("FROM a:1 AS x\nCOPY --from=x a /b", ["InvalidValue:2"]),
      ("FROM scratch\nSTOPSIGNAL SIGTREM", ["InvalidValue:2"]),
      // In the spirit of hadolint.
      ("# about\n# escape=`\nFROM a:1", ["LateDirective:2"]),
      ("FROM a:1\nRUN ['a', 'b']", ["BrokenExecForm:2"]),
      ("FROM a", ["UntaggedBaseImage:1"]),
      ("FROM h:5000/a", ["UntaggedBaseImage:1"]),
      ("FROM a:latest", ["LatestTag:1"]),
      ("FROM a@sha256:ab", []),
      ("FROM a:1 AS b\nFROM b", []),
      ("FROM a:1\nRUN sudo make", ["SudoUsed:2"]),
      ("FROM a:1\nRUN cd /x && make", ["CdInsteadOfWorkdir:2"]),
      ("FROM a:1\nRUN make && cd /x && make", []),
      ("FROM a:1\nUSER root", ["LastUserRoot:2"]),
      ("FROM a:1\nUSER 0:0", ["LastUserRoot:2"]),
      ("FROM a:1\nUSER root\nRUN x\nUSER app", []),
      ("FROM a:1 AS b\nUSER root\nFROM c:1", []),
      ("FROM a:1\nRUN service x start", ["UselessCommand:2"]),
      ("FROM a:1\nRUN apt install -y x", ["AptInsteadOfAptGet:2"]),
      (
        "FROM a:1\nRUN apt-get update && apt-get install -y --no-install-recommends x && rm -rf /var/lib/apt/lists/*",
        []
      ),
      ("FROM a:1\nRUN apt-get install -yqq --no-install-recommends x", []),
      ("FROM a:1\nRUN apt-get install -qq --no-install-recommends x", []),
      ("FROM a:1\nRUN DEBIAN_FRONTEND=noninteractive apt-get -y install --no-install-recommends x", []),
      ("FROM a:1\nRUN apt-get install --no-install-recommends x", ["AptGetWithoutYes:2"]),
      ("FROM a:1\nRUN apt-get install -y x", ["AptGetRecommends:2"]),
      ("FROM a:1\nRUN apt-get -o APT::Install-Recommends=false install -y x", []),
      ("FROM a:1\nRUN apt-get update && apt-get install -y --no-install-recommends x", ["AptGetListsKept:2"]),
      ("FROM a:1 AS b\nRUN apt-get update && apt-get install -y --no-install-recommends x\nFROM c:1", []),
      (
        "FROM a:1\nRUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -y --no-install-recommends x",
        []
      ),
      ("FROM a:1 AS b\nRUN apt-get update\nFROM c:1", ["AptGetUpdateAlone:2"]),
      ("FROM a:1 AS b\nRUN apt-get dist-upgrade\nFROM c:1", ["AptGetUpgrade:2"]),
      ("FROM a:1\nRUN <<EOF\nset -e\napt-get install x\nEOF", ["AptGetRecommends:2", "AptGetWithoutYes:2"]),
      ("FROM a:1\nRUN apk add x", ["ApkCacheKept:2"]),
      ("FROM a:1\nRUN apk add --no-cache x", []),
      ("FROM a:1\nRUN pip install x", ["PipCacheKept:2"]),
      ("FROM a:1\nRUN pip3 install --no-cache-dir x", []),
      ("FROM a:1\nENV PIP_NO_CACHE_DIR=1\nRUN pip install x", []),
      ("FROM a:1\nRUN --mount=type=cache,target=/root/.cache pip install x", []),
      ("FROM a:1\nRUN yum install x", ["YumCacheKept:2", "YumWithoutYes:2"]),
      ("FROM a:1\nRUN dnf install -y x && dnf clean all", []),
      ("FROM a:1\nADD a /b", ["AddInsteadOfCopy:2"]),
      ("FROM a:1\nADD a.tar.gz /b", []),
      ("FROM a:1\nADD https://e/x /b", []),
      ("FROM a:1\nCOPY a b /c", ["CopyDestinationWithoutSlash:2"]),
      ("FROM a:1\nCOPY a b", ["RelativeCopyWithoutWorkdir:2"]),
      ("FROM a:1\nWORKDIR /x\nCOPY a b c ./", []),
      ("FROM a:1\nRUN curl x | sh", ["MissingPipefail:2"]),
      ("FROM a:1\nRUN set -o pipefail && curl x | sh", []),
      ("FROM a:1\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN curl x | sh", []),
      ("FROM a:1\nRUN a || b", []),
      ("FROM a:1\nRUN echo 'a | b' # | c", []),
      ("FROM a:1\nRUN wget x\nRUN curl y", ["WgetAndCurl:3"]),
      ("FROM a:1\nRUN ln -sf /bin/bash /bin/sh", ["ShellReplaced:2"]),
      ("FROM scratch\nENV A=1 B=$A", ["EnvSelfReference:2", "UndefinedVar:2"]),
      ("FROM scratch\nENV A=1\nENV A=2 B=$A", []),
    ] as [(String, [String])])
  func findings(_ text: String, _ expected: [String]) throws {
    #expect(try ids(text) == expected)
  }

  @Test func ignoredFiles() throws {
    let options = DockerfileLint.Options(ignore: try DockerIgnore(patterns: ["secret", "*.md", "!ok.md"]))
    let text =
      "FROM a:1\nCOPY secret/x /x\nCOPY ./README.md ok.md src /y/\nADD --unpack a.md /z\nCOPY --from=b:1 secret /s"
    #expect(try ids(text, options) == ["CopyIgnoredFile:2", "CopyIgnoredFile:3", "CopyIgnoredFile:4"])
  }

  @Test func knownEnvironments() throws {
    let options = DockerfileLint.Options(environments: [0: [("HOME", "/h")]])
    #expect(try ids("FROM a:1\nWORKDIR $HOME\nUSER $APP", options) == ["UndefinedVar:3"])
  }

  @Test func experimentalChecks() throws {
    let text =
      "# c\nARG A=1\n# x\n# B is described, and\n# A too\nARG B X\nFROM a:1\n# wrong\nARG C\n# C the third\nARG C"
    #expect(try ids(text).isEmpty)
    #expect(
      try ids(text, .init(experimental: ["InvalidDefinitionDescription"])) == [
        "InvalidDefinitionDescription:2", "InvalidDefinitionDescription:6", "InvalidDefinitionDescription:9",
      ])
    #expect(try ids("# check=experimental=all\n\n# x\nFROM a:1 AS b") == ["InvalidDefinitionDescription:4"])
  }

  @Test func skipping() throws {
    #expect(try ids("# check=skip=JSONArgsRecommended,LatestTag\nFROM a:latest\nCMD x").isEmpty)
    #expect(try ids("# check=skip=DL3007\nFROM a:latest").isEmpty)
    #expect(try ids("# check=skip=all\nFROM a\nCMD x").isEmpty)
    #expect(try ids("FROM a\nCMD x", .init(skip: ["UntaggedBaseImage"])) == ["JSONArgsRecommended:2"])
    #expect(try ids("# hadolint ignore=DL3006\nFROM a\n# hadolint ignore=JSONArgsRecommended\nCMD x").isEmpty)
  }

  @Test func failures() throws {
    var file = try parse("# check=error=true\nFROM a:1\nCMD x\nMAINTAINER y")
    let error = DockerfileLint.failure(DockerfileLint.check(file), in: file)
    #expect(error?.message == "lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated")
    #expect(error?.range?.start.line == 3)
    // Only what Docker checks too makes a build fail.
    file = try parse("# check=error=true\nFROM a\nRUN sudo x")
    #expect(DockerfileLint.check(file).count == 2)
    #expect(DockerfileLint.failure(DockerfileLint.check(file), in: file) == nil)
    file = try parse("FROM a:1\nCMD x")
    #expect(DockerfileLint.failure(DockerfileLint.check(file), in: file) == nil)
  }

  @Test func catalogue() {
    let checks = DockerfileLint.Check.allCases
    #expect(Set(checks.compactMap(\.hadolint)).count == checks.compactMap(\.hadolint).count)
    #expect(checks.count(where: \.isBuildCheck) == 21)
    #expect(DockerfileLint.Severity.style < .error)
  }

  @Test(arguments: [
    ("DB_PASSWORD", true), ("npm_token", true), ("KEY", true), ("API_KEY_FILE", true), ("AUTH", true),
    ("MONKEY", false), ("TOKENIZER", false), ("PUBLIC_KEY", false), ("AUTHOR", false), ("VERSION", false),
  ])
  func secrets(_ name: String, _ isSecret: Bool) {
    #expect(DockerfileLint.looksSecret(name) == isSecret)
  }

  @Test func aGoodFileHasNoFindings() throws {
    let text = """
      # syntax=docker/dockerfile:1

      ARG NODE_VERSION=22.1
      FROM node:${NODE_VERSION}-slim AS build
      WORKDIR /app
      COPY package.json package-lock.json ./
      RUN --mount=type=cache,target=/root/.npm npm ci
      COPY . .
      RUN npm run build && npm prune --omit=dev

      FROM node:${NODE_VERSION}-slim
      RUN apt-get update \\
          && apt-get install -y --no-install-recommends tini \\
          && rm -rf /var/lib/apt/lists/*
      ENV NODE_ENV=production
      WORKDIR /app
      COPY --from=build --chown=1000:1000 /app ./
      USER 1000:1000
      EXPOSE 3000
      HEALTHCHECK --interval=10s --start-interval=1s CMD ["node", "health.js"]
      ENTRYPOINT ["tini", "--"]
      CMD ["node", "server.js"]
      """
    #expect(try ids(text).isEmpty)
  }

  @Test func shellCommands() {
    func programs(_ script: String) -> [String] { ShellCommands(script).commands.map(\.program) }
    #expect(programs("a && b || c; d & e | f\ng") == ["a", "b", "c", "d", "e", "f", "g"])
    #expect(programs("if [ -f x ]; then /usr/bin/y; fi") == ["[", "y", "fi"])
    #expect(programs("A=1 B='x y' env C=2 z --q") == ["z"])
    #expect(programs("echo $(a | b) \"c && d\" 'e; f'") == ["echo"])
    #expect(programs("a >/dev/null 2>&1 && b") == ["a", "b"])
    #expect(programs("a \\\n  b # c | d\ne") == ["a", "e"])
    #expect(programs("(cd /x && make)") == ["cd", "make"])
    #expect(ShellCommands("sudo -E apt-get x").usesSudo)
    #expect(programs("echo $(") == ["echo"])
    #expect(programs("\"") == [""])
  }
}
