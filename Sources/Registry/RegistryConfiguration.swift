import Wire

/// Why a configuration cannot be used: where and what to write instead.
public struct RegistryConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
  public var message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}

/// How a registry is set up. All but `listen`, `stateDirectory` and `threads` can be changed while it runs.
public struct RegistryConfiguration: Sendable, Equatable {
  /// Where the registry listens. Port 0 is any free one.
  public var host = "127.0.0.1"
  public var port = 5000
  /// Host names with port under which clients know this registry, besides those of its address.
  public var names: [String] = []
  /// Its own secrets: the key that signs tokens. `nil`: the key lives and ends with the process.
  public var stateDirectory: String?
  /// Event loops.
  public var threads = 2

  /// Users who may sign in.
  public var users = PasswordFile()
  /// Who may do what. Without rules everybody may do everything, which is for a registry that only its machine reaches.
  public var access: [AccessRule]?
  public var tokens = Tokens()
  public var upstreams: [Upstream] = []
  public var replicas: [Replica] = []
  public var immutability: [ImmutabilityRule] = []
  public var quotas: [Quota] = []
  public var notifications: [Notification] = []
  public var garbageCollection = GarbageCollection()
  public var scrub = Scrub()
  public var limits = Limits()
  /// What a manifest names has to be there before it (`true`), or may come later (`false`).
  public var requiresContent = true

  public init() {}

  /// How clients are asked to sign in, and what they get.
  public struct Tokens: Sendable, Equatable {
    public enum Challenge: String, Sendable {
      case bearer, basic
    }

    public var challenge = Challenge.bearer
    /// The audience of the tokens.
    public var service = "apus-registry"
    public var lifetime = Duration.seconds(300)
    /// The URL of the token endpoint as clients reach it; `nil`: made from the request's `Host`.
    public var realm: String?
  }

  /// A registry whose content this one hands out, and keeps, under a prefix of its repository names.
  public struct Upstream: Sendable, Equatable {
    /// `docker.io`: the repository `docker.io/library/nginx` here is `library/nginx` there.
    public var prefix: String
    /// The registry's name, as in an image's name: `docker.io`, `registry.example:5000`.
    public var registry: String
    /// A prefix of the repository names there.
    public var path: String = ""
    public var username: String?
    public var password: String?
    /// For so long a tag is answered without asking upstream again.
    public var freshness = Duration.seconds(60)

    public init(prefix: String, registry: String) {
      self.prefix = prefix
      self.registry = registry
    }
  }

  /// Another registry that gets everything that is pushed here.
  public struct Replica: Sendable, Equatable {
    public var name: String
    public var registry: String
    /// A prefix of the repository names there.
    public var path: String = ""
    public var repositories: [Glob] = [Glob("**")]
    public var tags: [Glob] = [Glob("*")]
    /// What is deleted here is deleted there.
    public var deletions = false
    public var username: String?
    public var password: String?

    public init(name: String, registry: String) {
      self.name = name
      self.registry = registry
    }
  }

  /// Tags that keep what they name.
  public struct ImmutabilityRule: Sendable, Equatable {
    public var repositories: [Glob]
    public var tags: [Glob]
    /// Tags that may move nevertheless.
    public var except: [Glob]

    public init(repositories: [Glob], tags: [Glob], except: [Glob] = []) {
      self.repositories = repositories
      self.tags = tags
      self.except = except
    }
  }

  /// How many bytes the repositories below a prefix may have together.
  public struct Quota: Sendable, Equatable {
    /// `team` is for `team` and `team/…`; empty for all.
    public var prefix: String
    public var bytesMax: Int64

    public init(prefix: String, bytesMax: Int64) {
      self.prefix = prefix
      self.bytesMax = bytesMax
    }
  }

  /// Where events are sent.
  public struct Notification: Sendable, Equatable {
    public var url: String
    public var events: Set<RegistryEvent.Kind>
    public var repositories: [Glob]
    /// Sent with each event, such as `Authorization`.
    public var headers: [RegistryError.Header]

    public init(
      url: String, events: Set<RegistryEvent.Kind> = [.push, .delete], repositories: [Glob] = [Glob("**")],
      headers: [RegistryError.Header] = []
    ) {
      self.url = url
      self.events = events
      self.repositories = repositories
      self.headers = headers
    }
  }

  public struct GarbageCollection: Sendable, Equatable {
    public var isEnabled = true
    public var interval = Duration.seconds(3600)
    /// For so long a manifest without a tag stays.
    public var untaggedGrace = Duration.seconds(24 * 3600)
    /// For so long what was collected can be brought back.
    public var trash = Duration.seconds(24 * 3600)
  }

  /// Reading all blobs again to see whether they still are what their digests say.
  public struct Scrub: Sendable, Equatable {
    public var isEnabled = true
    public var interval = Duration.seconds(7 * 24 * 3600)
  }

  public struct Limits: Sendable, Equatable {
    public var connectionsMax = 4096
    /// Requests that are answered at one time; more are told to try again.
    public var requestsMax = 512
    /// 4 MiB, as the specification asks to accept.
    public var manifestBytesMax = 4 << 20
    public var blobBytesMax: Int64 = 1 << 40
    /// Unfinished uploads: how many there may be in all and in one repository, and their bytes.
    public var uploadsMax = 10_000
    public var repositoryUploadsMax = 1000
    public var uploadBytesMax: Int64 = 1 << 40
    public var repositoryUploadBytesMax: Int64 = 128 << 30
    /// What is kept of upstream registries.
    public var upstreamBytesMax: Int64 = 100 << 30
    /// The first request's head is complete so long after the connection was made, TLS included.
    public var head = Duration.seconds(10)
    /// A connection without another complete request head for so long is closed.
    public var idle = Duration.seconds(75)
    /// A body that brings, or a client that takes, next to nothing for so long is given up.
    public var stall = Duration.seconds(60)
    /// An upload that nobody goes on with for so long is cancelled.
    public var uploadLifetime = Duration.seconds(24 * 3600)
    /// Tags and repositories of one page at most.
    public var pageMax = 10_000
  }
}
