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

let linux = BuildVariables(buildPlatform: "linux/amd64", targetPlatform: "linux/amd64")

func variables(_ arguments: [String: String]) -> BuildVariables {
  BuildVariables(buildArguments: arguments, buildPlatform: "linux/amd64", targetPlatform: "linux/arm64/v8")
}
