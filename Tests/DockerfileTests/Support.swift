import Testing

@testable import Dockerfile

func parse(_ text: String, limits: Dockerfile.Limits = .init()) throws -> Dockerfile {
  try Dockerfile.parse(Array(text.utf8), limits: limits)
}

/// The instructions of the last stage of a file that is `FROM scratch` and `text`.
func stage(_ text: String) throws -> [Dockerfile.Body] {
  try parse("FROM scratch\n" + text).stages.last.map { $0.instructions.map(\.body) } ?? []
}

/// The only instruction of `text`.
func one(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> Dockerfile.Body {
  let bodies = try stage(text)
  #expect(bodies.count == 1, sourceLocation: sourceLocation)
  return try #require(bodies.first, sourceLocation: sourceLocation)
}

/// The error that a text ends in.
func failure(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> DockerfileError? {
  do {
    _ = try parse(text)
    Issue.record("no error for \(text.debugDescription)", sourceLocation: sourceLocation)
    return nil
  } catch let error as DockerfileError {
    return error
  } catch {
    Issue.record("another error: \(error)", sourceLocation: sourceLocation)
    return nil
  }
}

/// A small generator with a seed: every failure can be run again.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

let linux = BuildVariables(buildPlatform: "linux/amd64", targetPlatform: "linux/amd64")

func variables(_ arguments: [String: String]) -> BuildVariables {
  BuildVariables(buildArguments: arguments, buildPlatform: "linux/amd64", targetPlatform: "linux/arm64/v8")
}
