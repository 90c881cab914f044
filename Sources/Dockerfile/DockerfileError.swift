/// Why a Dockerfile (or a word, a mount, a pattern in it) is refused: what is wrong and where.
public struct DockerfileError: Error, Sendable, CustomStringConvertible {
  /// What kind of mistake it is, for programs.
  public enum Code: String, Sendable {
    /// The text breaks the language's grammar: an unknown instruction or flag, a missing argument.
    case syntax
    /// A value inside a well-formed instruction is wrong: a duration, a mode, a platform.
    case value
    /// `${name:?message}` of a variable that is not set, or a modifier that does not exist.
    case expansion
    /// A stage that does not exist, or stages that need one another.
    case stage
    /// Larger than the limits of ``Dockerfile/Limits``.
    case limit
    /// A check failed and `# check=error=true` makes checks errors.
    case check
  }

  public var code: Code
  /// One sentence, in the words that people know from BuildKit where it has the same error.
  public var message: String
  /// Where. `nil` only for text that is in no file, such as a pattern of a `.dockerignore` or a single word.
  public var range: SourceRange?
  /// The lines around it, ready to print. Empty when there is no `range`.
  public var excerpt: String

  public init(_ code: Code, _ message: String, range: SourceRange? = nil, excerpt: String = "") {
    self.code = code
    self.message = message
    self.range = range
    self.excerpt = excerpt
  }

  /// The message with its line in front: `dockerfile parse error on line 3: unknown instruction: RUNN (did you mean
  /// RUN?)`.
  public var summary: String {
    guard let range else { return message }
    return code == .syntax ? "dockerfile parse error on line \(range.start.line): \(message)" : message
  }

  /// The excerpt, then the summary: what a person sees at the end of a failed build.
  public var description: String { excerpt.isEmpty ? summary : "\(excerpt)\nERROR: \(summary)" }

  /// The same error at a place, for errors that were made where the place was not known.
  func at(_ range: SourceRange, in source: SourceText) -> DockerfileError {
    if self.range != nil, !excerpt.isEmpty { return self }
    let place = self.range ?? range
    return DockerfileError(code, message, range: place, excerpt: source.excerpt(place))
  }
}
