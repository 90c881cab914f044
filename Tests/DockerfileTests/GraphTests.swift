import Testing

@testable import Dockerfile

@Suite struct GraphTests {
  private func graph(_ text: String, _ arguments: [String: String] = [:]) throws -> StageGraph {
    let file = try parse(text)
    return try file.stageGraph(try file.globalScope(variables(arguments)))
  }

  @Test func basesAndNeeds() throws {
    let graph = try graph(
      """
      ARG TAG=3
      FROM alpine:$TAG AS base
      FROM base AS build
      RUN --mount=type=cache,from=tools,target=/c --mount=from=2,target=/t x
      FROM busybox AS tools
      FROM unused AS never
      FROM scratch
      COPY --from=BUILD /a /a
      COPY --from=nginx:1 /b /b
      COPY --from=0 /c /c
      """)
    #expect(graph.nodes.map(\.base) == [.image("alpine:3"), .stage(0), .image("busybox"), .image("unused"), .scratch])
    #expect(graph.nodes.map(\.stages) == [[], [0, 2], [], [], [0, 1]])
    #expect(graph.order(for: 4) == [0, 2, 1, 4])
    #expect(graph.order(for: 0) == [0])
    #expect(graph.order(for: 9).isEmpty)
    #expect(graph.origin(of: "Tools") == .stage(2))
    #expect(graph.origin(of: "1") == .stage(1))
    #expect(graph.origin(of: "nginx:1") == .image("nginx:1"))
    #expect(graph.origin(of: "scratch") == .scratch)
  }

  @Test func aLaterStageCanBeCopiedFrom() throws {
    let graph = try graph("FROM a\nCOPY --from=late /a /a\nFROM b AS late")
    #expect(graph.order(for: 0) == [1, 0])
    // FROM only knows what stands above it.
    #expect(try self.graph("FROM late\nFROM b AS late").nodes[0].base == .image("late"))
  }

  @Test func platforms() throws {
    let graph = try graph(
      "FROM --platform=$BUILDPLATFORM a\nFROM --platform=linux/arm64/v8 b\nFROM --platform=arm c\nFROM d")
    #expect(graph.nodes.map(\.platform) == ["linux/amd64", "linux/arm64", "linux/arm/v7", nil])
  }

  @Test(arguments: [
    ("FROM $X", "base name ($X) should not be blank"),
    ("ARG TAGS=1\nFROM ${TAG}", "(did you mean TAGS?)"),
    ("FROM --platform=$X a", "empty platform value from expression $X"),
    ("FROM --platform=$BUILDPLATFROM a", "(did you mean BUILDPLATFORM?)"),
    ("FROM --platform=a/b/c/d a", "failed to parse platform a/b/c/d"),
    ("FROM --platform=linux a", "failed to parse platform linux"),
    ("ARG X=\"a b\"\nFROM $X", "should not contain white space"),
    ("FROM a\nCOPY --from=7 a b", "invalid stage index 7"),
    ("FROM a AS x\nCOPY --from=x a b", "circular dependency detected on stage: x"),
    ("FROM a AS x\nCOPY --from=y a b\nFROM b AS y\nCOPY --from=x a b", "circular dependency detected on stage"),
    ("FROM a\nRUN --mount=from=0,target=/x y", "circular dependency detected on stage: 0"),
    ("FROM ${a", "missing '}'"),
  ])
  func errors(_ text: String, _ part: String) {
    let error = #expect(throws: DockerfileError.self) { try graph(text) }
    #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
    #expect(error?.range != nil && error?.excerpt.isEmpty == false)
  }

  @Test func targets() throws {
    let file = try parse("FROM a AS Build\nFROM b")
    #expect(try file.stage(named: "BUILD").index == 0)
    #expect(try file.stage(named: "1").index == 1)
    let error = #expect(throws: DockerfileError.self) { try file.stage(named: "biuld") }
    #expect(error?.message == "target stage \"biuld\" could not be found (did you mean build?)")
    #expect(throws: DockerfileError.self) { try file.stage(named: "2") }
  }

  @Test func longChains() throws {
    let text = "FROM a AS s0\n" + (1..<900).map { "FROM s\($0 - 1) AS s\($0)\n" }.joined()
    #expect(try graph(text).order(for: 899) == Array(0..<900))
  }

  @Test(arguments: [
    ("linux/amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"), ("Linux/ARM64", "linux/arm64"),
    ("linux/arm64/v8", "linux/arm64"), ("linux/arm/v7", "linux/arm/v7"), ("linux/arm", "linux/arm/v7"),
    ("linux/armhf", "linux/arm/v7"), ("linux/armel", "linux/arm/v6"), ("linux/i386", "linux/386"),
    ("amd64", "linux/amd64"), ("windows", "windows"), ("macos/arm64", "darwin/arm64"), ("linux/aarch64", "linux/arm64"),
    ("linux/amd64/v3", "linux/amd64/v3"), ("linux/riscv64", "linux/riscv64"), ("", nil), ("a//b", nil), ("a/b c", nil),
  ])
  func platformNames(_ text: String, _ expected: String?) {
    #expect(PlatformWords(text)?.text == expected)
  }
}
