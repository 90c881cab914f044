import OCI

/// Which of the specification's endpoints a path names (OCI distribution specification 1.1, "Endpoints").
enum Route: Sendable, Equatable {
  /// end-1: `/v2/`
  case base
  /// end-2, end-10: `/v2/<name>/blobs/<digest>`
  case blob(repository: String, digest: String)
  /// end-4a, end-4b, end-11: `/v2/<name>/blobs/uploads/`
  case uploads(repository: String)
  /// end-5, end-6, end-13, end-14: `/v2/<name>/blobs/uploads/<id>`
  case upload(repository: String, id: String)
  /// end-3, end-7, end-9: `/v2/<name>/manifests/<reference>`
  case manifest(repository: String, reference: String)
  /// end-8: `/v2/<name>/tags/list`
  case tags(repository: String)
  /// end-12: `/v2/<name>/referrers/<digest>`
  case referrers(repository: String, digest: String)
  /// `/v2/_catalog`, Docker's list of repositories.
  case catalog
  /// `/v2/token`, where bearer tokens are issued.
  case token
  /// `/healthz`, which needs no right.
  case health
  /// `/metrics` of this registry, for whoever has the right `metrics`.
  case metrics

  /// They are answered at once, and whatever others hold: a supervisor asks them from an address that may flood.
  static let healthPaths: Set<String> = ["/healthz", "/livez", "/readyz"]

  /// The names in the path are not checked: that is the handler's, so that each gets its own error.
  ///
  /// - Parameter path: percent-decoded, without the query.
  init?(path: String) {
    switch path {
    case "/v2/", "/v2": self = .base
    case "/v2/_catalog": self = .catalog
    case "/v2/token": self = .token
    case _ where Self.healthPaths.contains(path): self = .health
    case "/metrics": self = .metrics
    default:
      guard path.hasPrefix("/v2/"), let route = Self.inRepository(path.dropFirst(4)) else { return nil }
      self = route
    }
  }

  /// A name may hold the words of the endpoints (`manifests/blobs/tags`), so the end of the path decides.
  private static func inRepository(_ path: Substring) -> Route? {
    guard let slash = path.lastIndex(of: "/") else { return nil }
    let last = path[path.index(after: slash)...]
    let rest = path[..<slash]
    guard let before = rest.lastIndex(of: "/") else { return nil }
    let kind = rest[rest.index(after: before)...]
    let name = String(rest[..<before])
    switch kind {
    case "manifests" where !last.isEmpty: return .manifest(repository: name, reference: String(last))
    case "tags" where last == "list": return .tags(repository: name)
    case "referrers" where !last.isEmpty: return .referrers(repository: name, digest: String(last))
    case "blobs" where last == "uploads": return .uploads(repository: name)
    case "blobs" where !last.isEmpty: return .blob(repository: name, digest: String(last))
    case "uploads":
      guard let blobs = name.range(ofSuffix: "/blobs") else { return nil }
      let repository = String(name[..<blobs])
      return last.isEmpty ? .uploads(repository: repository) : .upload(repository: repository, id: String(last))
    default: return nil
    }
  }

  /// The repository that the request is about.
  var repository: String? {
    switch self {
    case .blob(let name, _), .uploads(let name), .upload(let name, _), .manifest(let name, _), .tags(let name),
      .referrers(let name, _):
      name
    case .base, .catalog, .token, .health, .metrics: nil
    }
  }

  /// The methods that the endpoint answers.
  var methods: [String] {
    switch self {
    case .base, .tags, .referrers, .catalog, .health, .metrics: ["GET", "HEAD"]
    case .token: ["GET", "POST"]
    case .blob: ["GET", "HEAD", "DELETE"]
    case .uploads: ["POST"]
    case .upload: ["GET", "PATCH", "PUT", "DELETE"]
    case .manifest: ["GET", "HEAD", "PUT", "DELETE"]
    }
  }

  /// For metrics: bounded, unlike paths.
  var label: String {
    switch self {
    case .base: "base"
    case .blob: "blob"
    case .uploads, .upload: "upload"
    case .manifest: "manifest"
    case .tags: "tags"
    case .referrers: "referrers"
    case .catalog: "catalog"
    case .token: "token"
    case .health: "health"
    case .metrics: "metrics"
    }
  }
}

extension String {
  /// Where `suffix` begins, when the text ends with it and has something before it.
  fileprivate func range(ofSuffix suffix: String) -> String.Index? {
    guard hasSuffix(suffix), utf8.count > suffix.utf8.count else { return nil }
    return utf8.index(endIndex, offsetBy: -suffix.utf8.count)
  }
}
