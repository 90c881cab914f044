import Dockerfile
import Wire

/// What to build, from what, and where to put it: the flags of `docker build` as values.
public struct BuildRequest: Sendable {
  /// Where `COPY` without `--from` takes its files.
  public enum Context: Sendable, Equatable {
    case directory(String)
    /// A tar archive, also compressed with gzip, zstd, xz or bzip2.
    case archive(String)
    /// Fetched: a git repository, or a URL of an archive or of a Dockerfile alone.
    case remote(RemoteSource)
    /// No files: a Dockerfile from standard input alone.
    case empty

    /// Whether a file that begins so, with 512 bytes where it has them, is taken for an archive and not for a Dockerfile.
    public static func isArchive(beginning: [UInt8]) -> Bool { Archive.looksLike(beginning) }
  }

  public enum DockerfileSource: Sendable, Equatable {
    /// `Dockerfile` in the context; without one, what the folder is decides (see `PlainFolder`).
    case standard
    /// A path on this machine; with an archive or a fetched context, a path in it.
    case path(String)
    case text([UInt8], name: String)
  }

  public struct Secret: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
      case file(String)
      /// The value itself, from an environment variable.
      case value([UInt8])
    }
    public var id: String
    public var source: Source

    public init(id: String, source: Source) {
      self.id = id
      self.source = source
    }
  }

  /// `--cache-from`, `--cache-to`.
  public enum CacheLocation: Sendable, Equatable {
    case registry(reference: String)
    case directory(String)
  }

  public struct CacheExport: Sendable, Equatable {
    public var location: CacheLocation
    /// `mode=max`: the layers of every stage; otherwise of the result only.
    public var includesAllStages: Bool
    /// Whether the folders of `RUN --mount=type=cache` go along.
    public var includesMounts: Bool

    public init(_ location: CacheLocation, includesAllStages: Bool = true, includesMounts: Bool = true) {
      self.location = location
      self.includesAllStages = includesAllStages
      self.includesMounts = includesMounts
    }
  }

  /// `--output`, beside the store, where every image goes unless it says otherwise.
  public enum Output: Sendable, Equatable {
    /// Into the store, under the tags.
    case image(push: Bool)
    /// An OCI layout (tar) with the tags as names. `-` is standard output.
    case ociArchive(String)
    /// What `docker load` reads.
    case dockerArchive(String)
    /// The files of the result, in a folder.
    case local(String)
    /// The files of the result as a tar archive. `-` is standard output.
    case tar(String)
    /// Nothing but the cache.
    case cacheOnly
  }

  public var context: Context
  public var dockerfile: DockerfileSource
  /// `--build-context NAME=…`: a folder, an image (`docker-image://REF`), a git repository, or a URL of an archive.
  public var namedContexts: [String: String] = [:]
  public var target: String?
  public var buildArguments: [String: String] = [:]
  public var secrets: [Secret] = []
  /// Id to the path of an agent's socket.
  public var agents: [String: String] = [:]
  /// `os/arch[/variant]`; empty for this machine's.
  public var platforms: [String] = []
  public var tags: [String] = []
  public var labels: [String: String] = [:]
  /// `HOST:IP`.
  public var extraHosts: [(host: String, address: String)] = []
  /// For `RUN` without `--network`.
  public var network: Network = .default
  /// Whether the triggers of base images, and a Dockerfile that was fetched or came in an archive, may ask for the
  /// machine's network (`RUN --network=host`).
  public var allowsHostNetwork = false
  /// Whether nothing may come from the cache.
  public var ignoresCache = false
  /// Stages that may not come from the cache.
  public var ignoredCacheStages: [String] = []
  /// Whether base images are looked up at their registries although they are here.
  public var pulls = false
  public var cacheSources: [CacheLocation] = []
  public var cacheExports: [CacheExport] = []
  public var outputs: [Output] = []
  /// SOURCE_DATE_EPOCH: the time of everything in the image, in seconds since 1970. The build argument of the same name
  /// counts when this is `nil`.
  public var sourceDateEpoch: Int64?
  /// Whether the image tells what it was made of, and how much; `nil` for not at all.
  public var provenance: ProvenanceRequest?
  /// How the layers are stored.
  public var compression: LayerCompression = .zstd
  /// Steps that run at the same time.
  public var parallelismMax = 4

  public enum Network: String, Sendable, Equatable { case `default`, none, host }
  public enum LayerCompression: String, Sendable, Equatable { case none, gzip, zstd, estargz }

  public init(context: Context, dockerfile: DockerfileSource = .standard) {
    self.context = context
    self.dockerfile = dockerfile
  }
}

/// What a build made.
public struct BuildResult: Sendable {
  public struct PlatformImage: Sendable, Equatable {
    public var platform: String
    public var manifestDigest: String
    public var configDigest: String
  }
  /// One per platform, in the order of the request; empty when nothing but the cache was asked for.
  public var images: [PlatformImage]
  /// The manifest, or the index of several platforms.
  public var digest: String
  public var mediaType: String
  public var size: Int64
  /// Full names.
  public var names: [String]
  public var stepCount: Int
  public var cachedStepCount: Int
}
