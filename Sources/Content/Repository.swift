import OCI

/// A set of tags and manifests under one name: what a registry calls a repository, and what the node sees as an image's
/// name without its tag.
public struct Repository: Sendable, Hashable, CustomStringConvertible {
  /// The registry as in `Reference.registry`; empty for the registry that this program is itself.
  public var host: String
  /// `library/nginx`.
  public var path: String

  public init(host: String, path: String) {
    self.host = host
    self.path = path
  }

  /// A repository of our own registry.
  public init(path: String) { self.init(host: "", path: path) }

  public var description: String { host.isEmpty ? path : "\(host)/\(path)" }
}

/// What names a manifest in a repository.
public enum ManifestReference: Sendable, Hashable, CustomStringConvertible {
  case tag(String)
  case digest(Digest)

  public var description: String {
    switch self {
    case .tag(let tag): tag
    case .digest(let digest): digest.description
    }
  }
}

/// A manifest or index as it was stored. Immutable.
public struct ManifestRecord: Sendable, Equatable {
  public var digest: Digest
  public var mediaType: String
  /// Exactly the bytes that were put.
  public var bytes: [UInt8]
  /// The manifest that this one says something about: it lives and dies with it.
  public var subject: Digest?
  /// `artifactType`, or the configuration's media type when there is none (distribution-spec, "Listing Referrers").
  public var artifactType: String?
  public var annotations: [String: String]

  public var size: Int64 { Int64(bytes.count) }
}

/// What must be there when a manifest is put.
public enum ManifestRequirement: Sendable {
  /// Configuration and layers in the repository, children of an index as manifests of the repository.
  case linked
  /// As `linked`, but an index may name manifests that are not there (a sparse index).
  case linkedBlobs
  /// Everything somewhere in the store; it is linked into the repository.
  case present
  /// Nothing is checked: what is there is linked, the rest may come later.
  case nothing
}

/// How many bytes the repositories below a prefix may have.
public struct RepositoryQuota: Sendable, Equatable {
  /// The host, as in `Repository.host`.
  public var host: String
  /// `team` is for `team` and `team/…`; empty for all repositories of the host.
  public var prefix: String
  public var bytesMax: Int64

  public init(host: String = "", prefix: String, bytesMax: Int64) {
    self.host = host
    self.prefix = prefix
    self.bytesMax = bytesMax
  }
}
