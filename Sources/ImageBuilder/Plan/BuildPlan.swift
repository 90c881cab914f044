import Dockerfile
import OCI

/// An image that stages start from or copy out of, as its configuration document tells it.
struct BaseImage: Sendable, Equatable {
  /// As the Dockerfile names it.
  var reference: String
  /// `os/arch[/variant]`.
  var platform: String
  /// The manifest's digest.
  var digest: String
  var layers: [Image.Layer]
  var configuration: ImageConfiguration
  var history: [History]
  /// RFC 3339.
  var created: String?
}

/// One thing to do that can change files. Everything that it depends on is named by the ids of other steps.
struct Step: Sendable {
  enum Kind: Sendable {
    /// Nothing: `FROM scratch`.
    case scratch
    case base(BaseImage)
    case run(RunStep)
    case copy(CopyStep)
    /// The folder of `WORKDIR`, owned by the stage's user.
    case workdir(path: String, user: String)
  }

  var id: Int
  var kind: Kind
  /// The step whose files are underneath.
  var parent: Int?
  /// The steps whose files are read.
  var sources: [Int] = []
  var stage: Int
  /// `os/arch[/variant]` of the stage.
  var platform: String
  /// Where in the Dockerfile; `nil` for an image that only `COPY --from` names, and for triggers of a base image.
  var range: SourceRange?
  /// What progress shows: `[build 2/4] RUN make`.
  var title: String
  /// Whether `--no-cache` or `--no-cache-filter` keeps the cache out.
  var ignoresCache = false

  var dependencies: [Int] { (parent.map { [$0] } ?? []) + sources }
}

/// Where files to copy or to mount come from.
enum FileOrigin: Sendable, Equatable {
  case context
  case named(String)
  /// The files as a step leaves them.
  case step(Int)
}

struct CopyStep: Sendable {
  enum Source: Sendable, Equatable {
    case path(String)
    case document(name: String, content: String)
    case http(url: String)
    case git(RemoteSource.GitReference)
  }

  var sources: [Source]
  /// Absolute, with the slash at its end when it was written with one.
  var destination: String
  var origin: FileOrigin
  var chown: String?
  var chmod: FileMode?
  /// As written, for the cache key.
  var chmodText: String?
  var isLinked: Bool
  var keepsParents: Bool
  var excluded: [String]
  var isAdd: Bool
  var checksum: String?
  var unpacks: Bool?
  var keepsGitDirectory: Bool
  /// `--from` as written, for messages.
  var fromText: String?
}

struct RunStep: Sendable {
  /// What is started.
  var arguments: [String]
  /// A heredoc that is a program: mounted for the time of the step.
  var script: (name: String, content: String)?
  /// The image's ENV and the ARGs in effect, in order.
  var environment: [(name: String, value: String)]
  /// Only for the process: neither in the key nor in the image.
  var proxies: [(name: String, value: String)]
  var workingDirectory: String
  var user: String
  var mounts: [RunMount]
  var network: BuildRequest.Network
}

struct RunMount: Sendable {
  var mount: Dockerfile.Mount
  /// Absolute; empty for a secret that is only a variable.
  var target: String
  /// For `bind` and `cache`; `nil` for an empty cache.
  var origin: FileOrigin?
}

/// A line of the image's history (OCI image configuration).
struct HistoryEntry: Sendable, Equatable {
  var createdBy: String
  /// The step that made the layer; `nil` for an instruction that changes the configuration only.
  var step: Int?
  var author: String?
}

/// Everything that one platform of an image needs: steps in an order in which each comes after those it depends on, and
/// the configuration, which is known before anything runs.
struct BuildPlan: Sendable {
  var platform: String
  var steps: [Step]
  /// The step whose files are the result's.
  var result: Int
  var configuration: ImageConfiguration
  /// Of the base image, as it was.
  var baseHistory: [History]
  var history: [HistoryEntry]
}
