import Content
import Dockerfile
import Layers
import LinuxSystem
import OCI

/// Why a build failed: what, where in the Dockerfile, and what to do.
public struct BuildError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// The Dockerfile breaks its language, or asks for a stage that does not exist.
    case dockerfile
    /// The request itself: a tag that is no name, a flag's value, a platform.
    case invalid
    /// A file, an image, a secret that is needed and not there.
    case notFound
    /// Files of the context that may not be in it: devices, names that are no UTF-8, paths that lead out.
    case context
    /// A file of the context changed between being hashed and being stored.
    case contextChanged
    /// The process of a `RUN` ended with another code than 0.
    case execution
    /// Valid, but not built here; the message says what to do in its place.
    case unsupported
    /// A registry, a repository or a URL that did not give what was asked.
    case network
    case cancelled
    case diskFull
    /// Any other failure of a system call, of the container engine or of the store.
    case system
  }

  public var code: Code
  public var message: String
  /// The lines of the Dockerfile, marked; empty when the failure has no line.
  public var excerpt: String
  /// The step, as progress names it.
  public var step: String
  /// The last lines that the step's process wrote.
  public var output: [String]

  public init(_ code: Code, _ message: String, excerpt: String = "", step: String = "", output: [String] = []) {
    self.code = code
    self.message = message
    self.excerpt = excerpt
    self.step = step
    self.output = output
  }

  public init(_ error: SystemError) {
    self.init(error.isDiskFull ? .diskFull : .system, error.description)
  }

  public init(_ error: OCIError) {
    let code: Code =
      switch error.code {
      case .notFound: .notFound
      case .diskFull: .diskFull
      case .invalidReference: .invalid
      case .unsupported: .unsupported
      default: .system
      }
    self.init(code, error.message)
  }

  public init(_ error: DockerfileError) {
    self.init(.dockerfile, error.summary, excerpt: error.excerpt)
  }

  static let cancelled = BuildError(.cancelled, "the build was cancelled")

  /// As `docker build` ends: the step's last output, the Dockerfile's lines, the reason.
  public var description: String {
    var text = ""
    if !output.isEmpty {
      text += "------\n > \(step):\n" + output.joined(separator: "\n") + "\n------\n"
    }
    if !excerpt.isEmpty { text += excerpt + "\n" }
    return text + "ERROR: failed to solve: \(message)"
  }

  /// The same failure at an instruction, unless it has a place already.
  func at(_ range: SourceRange, in source: SourceText, step: String) -> BuildError {
    var error = self
    if error.excerpt.isEmpty { error.excerpt = source.excerpt(range) }
    if error.step.isEmpty { error.step = step }
    return error
  }
}

func system<T>(_ body: () throws(SystemError) -> T) throws(BuildError) -> T {
  do { return try body() } catch { throw BuildError(error) }
}

func stored<T>(_ body: () throws(OCIError) -> T) throws(BuildError) -> T {
  do { return try body() } catch { throw BuildError(error) }
}

func parsed<T>(_ body: () throws(DockerfileError) -> T) throws(BuildError) -> T {
  do { return try body() } catch { throw BuildError(error) }
}
