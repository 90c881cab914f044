extension Dockerfile {
  /// One instruction: what it says, and the lines it stands on.
  public struct Instruction: Sendable, Equatable {
    public var body: Body
    /// The word as written: `RUN`, `run`.
    public var keyword: String
    /// From the first to the last line, heredocs included.
    public var range: SourceRange
    /// The instruction as history and progress show it: on one line, continuations joined, heredocs as written.
    public var text: String
    /// The comment lines directly above, without `#`.
    public var comments: [String]

    public init(body: Body, keyword: String, range: SourceRange, text: String, comments: [String] = []) {
      self.body = body
      self.keyword = keyword
      self.range = range
      self.text = text
      self.comments = comments
    }

    /// Two instructions are equal when they say the same, wherever they stand.
    public static func == (a: Instruction, b: Instruction) -> Bool { a.body == b.body }
  }

  /// The eighteen instructions.
  public indirect enum Body: Sendable, Equatable {
    case add(Add)
    case arg([Argument])
    case cmd(CommandLine)
    case copy(Copy)
    case entrypoint(CommandLine)
    case env([KeyValue])
    case expose([String])
    case from(From)
    case healthcheck(HealthCheck)
    case label([KeyValue])
    case maintainer(String)
    case onbuild(OnBuild)
    case run(Run)
    case shell([String])
    case stopsignal(String)
    case user(String)
    case volume([String])
    case workdir(String)

    /// The instruction's word in upper case.
    public var name: String {
      switch self {
      case .add: "ADD"
      case .arg: "ARG"
      case .cmd: "CMD"
      case .copy: "COPY"
      case .entrypoint: "ENTRYPOINT"
      case .env: "ENV"
      case .expose: "EXPOSE"
      case .from: "FROM"
      case .healthcheck: "HEALTHCHECK"
      case .label: "LABEL"
      case .maintainer: "MAINTAINER"
      case .onbuild: "ONBUILD"
      case .run: "RUN"
      case .shell: "SHELL"
      case .stopsignal: "STOPSIGNAL"
      case .user: "USER"
      case .volume: "VOLUME"
      case .workdir: "WORKDIR"
      }
    }
  }

  /// `FROM [--platform=P] IMAGE [AS NAME]`.
  public struct From: Sendable, Equatable {
    /// An image, an earlier stage or `scratch`; may hold variables of the global scope.
    public var image: String
    public var platform: String?
    /// As written; ``Stage/name`` is what is compared.
    public var name: String?
    /// The `as` as written, for the check of its case.
    public var asKeyword: String?
  }

  /// One `NAME[=DEFAULT]` of `ARG`.
  public struct Argument: Sendable, Equatable {
    public var name: String
    /// `nil`: declared without a default, which in a stage takes the global one.
    public var value: String?
  }

  /// One `KEY=VALUE` of `ENV` or `LABEL`.
  public struct KeyValue: Sendable, Equatable {
    public var key: String
    public var value: String
    /// Written with a space in place of `=`.
    public var isLegacy: Bool

    public init(key: String, value: String, isLegacy: Bool = false) {
      self.key = key
      self.value = value
      self.isLegacy = isLegacy
    }
  }

  /// What `CMD`, `ENTRYPOINT`, `RUN` and `HEALTHCHECK CMD` start.
  public enum CommandLine: Sendable, Equatable {
    /// The JSON form: the words as they are given to the kernel.
    case exec([String])
    /// The text for the shell of `SHELL` (`/bin/sh -c`).
    case shell(String)

    public var isShell: Bool { if case .shell = self { true } else { false } }

    /// The words to start, with `shell` (from `SHELL`) in front of the shell form.
    public func words(shell: [String]) -> [String] {
      switch self {
      case .exec(let words): words
      case .shell(let text): text.isEmpty ? [] : shell + [text]
      }
    }

    /// What stands when no `SHELL` instruction did.
    public static let defaultShell = ["/bin/sh", "-c"]
  }

  /// A document inside the Dockerfile: `<<NAME` up to a line that is `NAME`.
  public struct Heredoc: Sendable, Equatable {
    /// Without quotes.
    public var name: String
    /// The lines with their ends; with `<<-` without the tabs at their beginnings.
    public var content: String
    /// Whether variables in it are replaced: not when the name is quoted.
    public var expands: Bool
    /// `<<-`.
    public var stripsTabs: Bool
    /// The descriptor before `<<` (`3<<EOF`), 0 without.
    public var fileDescriptor: Int
  }

  /// A source of `COPY` or `ADD`.
  public enum FileSource: Sendable, Equatable {
    /// A path or pattern, or for `ADD` also a URL or git repository (see ``RemoteSource``).
    case path(String)
    case heredoc(Heredoc)
  }

  public struct Copy: Sendable, Equatable {
    public var sources: [FileSource]
    public var destination: String
    /// A stage's name or number, a named context, or an image.
    public var from: String?
    /// `user[:group]`, names or numbers.
    public var chown: String?
    /// Octal or symbolic; parse it with ``FileMode`` after expansion.
    public var chmod: String?
    public var link = false
    public var parents = false
    public var exclude: [String] = []
  }

  public struct Add: Sendable, Equatable {
    public var sources: [FileSource]
    public var destination: String
    public var chown: String?
    public var chmod: String?
    public var link = false
    public var exclude: [String] = []
    public var keepGitDirectory = false
    /// `sha256:…` of what is fetched, or the commit of a git repository.
    public var checksum: String?
    /// `nil`: local archives are unpacked, fetched ones are not.
    public var unpack: Bool?
  }

  public struct Run: Sendable, Equatable {
    public var command: CommandLine
    public var heredocs: [Heredoc] = []
    public var mounts: [Mount] = []
    public var network: Network = .default
    public var security: Security = .sandbox
    /// `--device` requests (CDI names).
    public var devices: [Device] = []

    public enum Network: String, Sendable, CaseIterable { case `default`, none, host }
    public enum Security: String, Sendable, CaseIterable { case sandbox, insecure }
    public struct Device: Sendable, Equatable {
      public var name: String
      public var isRequired: Bool
    }
  }

  public enum HealthCheck: Sendable, Equatable {
    /// `HEALTHCHECK NONE`: forget the base image's.
    case none
    case cmd(CommandLine, Timing)

    /// Zero or `nil` stands for the default, which the runtime knows (30 s, 30 s, 0 s, 5 s, 3).
    public struct Timing: Sendable, Equatable {
      public var interval: Duration?
      public var timeout: Duration?
      public var startPeriod: Duration?
      public var startInterval: Duration?
      public var retries: Int?
      public init() {}
    }
  }

  public struct OnBuild: Sendable, Equatable {
    /// The trigger as the image configuration keeps it.
    public var text: String
    /// The trigger, parsed.
    public var trigger: Instruction
  }

  /// One `RUN --mount`.
  public struct Mount: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable { case bind, cache, tmpfs, secret, ssh }
    public enum Sharing: String, Sendable, CaseIterable { case shared, `private`, locked }

    public var kind: Kind = .bind
    /// As written, absolute or relative to the working directory; see ``effectiveTarget`` for what `nil` means.
    public var target: String?
    public var source: String?
    /// A stage, named context or image for bind and cache. `nil`: the build context (bind), an empty directory (cache).
    public var from: String?
    /// The default is true for bind, false for the others.
    public var isReadOnly = true
    /// Of a cache (default: its target), secret or ssh agent (default: `default`).
    public var id: String?
    public var sharing: Sharing = .shared
    /// Whether a missing secret or agent fails the build.
    public var isRequired = false
    /// Of a cache, secret or ssh socket. The defaults are 0755, 0400 and 0600.
    public var mode: UInt32?
    public var uid: UInt32?
    public var gid: UInt32?
    /// The environment variable that takes the secret.
    public var environment: String?
    /// The limit of a tmpfs, in bytes.
    public var sizeMax: Int64?
    /// The flag's value as written. Values with variables are only read by ``StageScope``.
    public var text: String
  }
}
