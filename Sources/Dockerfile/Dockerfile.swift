/// A parsed Dockerfile: its stages, the arguments before them, and what was noticed on the way.
///
/// It is a value without any reference to files, platforms or networks. Words keep their variables and quotes as
/// written; ``StageScope`` expands them, since their values come from base images and from the command line.
///
/// The language is that of the Dockerfile reference (`docker/dockerfile:1`).
public struct Dockerfile: Sendable {
  public var source: SourceText
  public var directives: Directives
  /// The `ARG` instructions before the first `FROM`.
  public var globalArguments: [Instruction]
  public var stages: [Stage]
  /// What is legal and yet not meant, found while parsing. ``DockerfileLint`` reports these with its own.
  public var warnings: [Warning]
  /// The bounds it was read with, which hold for the expansion of its words too.
  public var limits: Limits

  /// The comments with a meaning at the top of the file.
  public struct Directives: Sendable, Equatable {
    /// `# syntax=docker/dockerfile:1`: the image of the language's front end. Apus has the language built in and takes
    /// the directive as a statement of what the file expects.
    public var syntax: String?
    /// `# escape=`: a backslash or a backtick.
    public var escape: UInt8 = UInt8(ascii: "\\")
    /// `# check=skip=A,B;error=true`.
    public var check: Check?

    public init() {}

    public struct Check: Sendable, Equatable {
      /// Ids of checks that are not reported, as written; `all` skips all.
      public var skip: [String] = []
      /// Ids of experimental checks that are switched on; `all` for all.
      public var experimental: [String] = []
      /// Whether a reported check fails the build.
      public var isError = false

      public init() {}
    }
  }

  public struct Stage: Sendable {
    /// From 0.
    public var index: Int
    /// The `FROM` instruction with its place. Its body is always `.from`.
    public var declaration: Instruction
    public var from: From
    /// What follows `FROM`, in order.
    public var instructions: [Instruction]

    /// The name after `AS`, in lower case: stage names are compared without case.
    public var name: String? { from.name?.lowercased() }

    public init(index: Int, declaration: Instruction, from: From, instructions: [Instruction] = []) {
      self.index = index
      self.declaration = declaration
      self.from = from
      self.instructions = instructions
    }
  }

  public struct Warning: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
      /// A line continuation is followed by an empty line.
      case emptyContinuation
      /// A comment that looks like a parser directive and stands too late to be one.
      case lateDirective(String)
      /// A heredoc or exec form that looks broken and is taken as a shell command.
      case looksLikeExecForm
    }
    public var kind: Kind
    public var range: SourceRange
  }

  /// The bounds within which a Dockerfile is read. A text beyond them is refused with ``DockerfileError/Code/limit``.
  public struct Limits: Sendable {
    public var bytesMax = 1 << 20
    public var instructionsMax = 10_000
    public var stagesMax = 1_000
    /// How long one variable's value or one expanded word may grow.
    public var expansionBytesMax = 1 << 20
    public init() {}
  }

  /// Parses a Dockerfile.
  ///
  /// - Parameters:
  ///   - bytes: UTF-8; a byte order mark is skipped, `\r\n` counts as a line end.
  ///   - name: as it appears in messages.
  public static func parse(_ bytes: [UInt8], name: String = "Dockerfile", limits: Limits = Limits())
    throws(DockerfileError) -> Dockerfile
  {
    var parser = try Parser(bytes, name: name, limits: limits)
    return try parser.parseFile()
  }

  /// Parses the instruction that an image's `ONBUILD` kept. What may not stand there is refused.
  public static func parseTrigger(_ text: String, image: String) throws(DockerfileError) -> Instruction {
    var parser = try Parser(Array(text.utf8), name: "ONBUILD of \(image)", limits: Limits())
    return try parser.parseTrigger()
  }
}
