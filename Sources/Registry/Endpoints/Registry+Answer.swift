import Content
import Distribution
import HTTP
import Logging
import NIOCore
import NIOHTTP1
import OCI
import Telemetry
import Wire

/// A request that has passed the door: its names are valid, its client is known and may do it.
struct Call: Sendable {
  var request: Request
  var identity: Identity
  var configuration: RegistryConfiguration
  /// The repository's name as the client has it.
  var name: String
  /// It in the content store.
  var repository: Repository
  /// Where its content comes from, when it is another registry's.
  var upstream: PullThrough.Target?
}

extension Registry {
  /// Answers any request. Never throws: what goes wrong is an answer, too.
  func answer(_ request: Request) async -> Reply {
    let began = ContinuousClock.now
    let route = Route(path: request.path)
    var reply: Reply
    do {
      guard let route else { throw RegistryError.notFound(request.path) }
      guard route.methods.contains(request.method.rawValue) else { throw RegistryError.methodNotAllowed(route.methods) }
      reply = try await answer(request, route)
    } catch {
      reply = Reply(failure(error, request))
    }
    reply.headers.add(name: "Docker-Distribution-Api-Version", value: "registry/2.0")
    reply.headers.add(name: "X-Content-Type-Options", value: "nosniff")
    let elapsed = (ContinuousClock.now - began).components
    let (label, method) = (route?.label ?? "other", Self.label(request.method))
    metrics.requests.increment(label, method, String(reply.status))
    metrics.latency.observe(
      label, method, seconds: Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18)
    if request.method != .HEAD { metrics.sent.increment(by: Double(reply.length ?? 0)) }
    return reply
  }

  /// Methods come from outside; there are only so many labels.
  private static func label(_ method: HTTPMethod) -> String {
    switch method {
    case .GET, .HEAD, .PUT, .POST, .PATCH, .DELETE: method.rawValue
    default: "other"
    }
  }

  private func failure(_ error: any Error, _ request: Request) -> RegistryError {
    switch error {
    case let error as RegistryError:
      if error.status >= 500 {
        logger.error("request failed", metadata: ["path": "\(request.path.prefix(300))", "error": "\(error)"])
      }
      if let cause = error.cause, cause.code == .corrupt { repair.noticed(cause.digests) }
      if error.code == .denied || error.code == .tooManyRequests {
        metrics.denied.increment(error.code == .denied ? "rights" : "patience")
      }
      return error
    case let error as OCIError: return failure(RegistryError(error), request)
    case let error as HTTPRequestBody.Failure:
      switch error {
      case .stalled: return RegistryError(.blobUploadInvalid, "the body did not go on for too long", status: 408)
      case .disconnected, .malformed: return RegistryError(.blobUploadInvalid, "the body ended early")
      case .bodiesAreMany:
        return failure(
          RegistryError(
            .tooManyRequests, "the registry holds too many bodies of requests; try again",
            headers: [RegistryError.Header("Retry-After", "1")]), request)
      }
    default:
      logger.error("request failed", metadata: ["path": "\(request.path.prefix(300))", "error": "\(error)"])
      return RegistryError(.unknown, "the registry failed; see its log")
    }
  }

  /// Who asks; from then on it is their connection.
  private func identify(_ request: Request) async throws(RegistryError) -> Identity {
    let identity = try await authenticator.identify(request)
    guard let user = identity.user,
      request.peer.signedIn(user, isPrivileged: false, payer: { user }) == nil
    else { return identity }
    throw RegistryError(
      .tooManyRequests, "too many connections of this user; try again",
      headers: [RegistryError.Header("Retry-After", "1")])
  }

  private func answer(_ request: Request, _ route: Route) async throws -> Reply {
    switch route {
    case .health:
      return Reply(status: 200, headers: [("Content-Type", "text/plain")], body: .buffer(ByteBuffer(string: "ok")))
    case .metrics:
      try authenticator.authorizeMetrics(try await identify(request), request)
      return Reply(
        status: 200, headers: [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")],
        body: .buffer(ByteBuffer(string: metrics.exposition())))
    case .token: return try await authenticator.token(request)
    case .base:
      try authenticator.authorizeBase(try await identify(request), request)
      return Reply(json: [:])
    case .catalog:
      let identity = try await identify(request)
      try authenticator.authorizeCatalog(identity, request)
      return try await catalog(request, identity)
    default: break
    }

    let name = route.repository ?? ""
    guard Names.isRepository(name) else { throw RegistryError.nameInvalid(name) }
    let identity = try await identify(request)
    try authenticator.authorize(identity, Self.actions(request.method, route), name, request)
    let configuration = self.configuration
    let upstream = PullThrough.target(name, configuration.upstreams)
    let call = Call(
      request: request, identity: identity, configuration: configuration, name: name,
      repository: upstream?.local ?? Repository(path: name), upstream: upstream)
    if upstream != nil, ["POST", "PATCH", "PUT"].contains(request.method.rawValue) {
      throw RegistryError(
        .denied, "\(name) is kept from another registry and cannot be pushed to", detail: ["repository": .string(name)])
    }
    let method = request.method
    switch route {
    case .blob(_, let text):
      guard let digest = Digest(text) else { throw RegistryError.digestInvalid(text) }
      return method == .DELETE ? try await deleteBlob(digest, call) : try await blob(digest, call)
    case .uploads: return try await beginUpload(call)
    case .upload(_, let id):
      switch method {
      case .GET: return try await uploadStatus(id, call)
      case .PATCH: return try await patchUpload(id, call)
      case .PUT: return try await finishUpload(id, call)
      default: return try await cancelUpload(id, call)
      }
    case .manifest(_, let reference):
      let reference = try Self.reference(reference)
      switch method {
      case .PUT: return try await putManifest(reference, call)
      case .DELETE: return try await deleteManifest(reference, call)
      default: return try await manifest(reference, call)
      }
    case .tags: return try await tags(call)
    case .referrers(_, let text):
      guard let digest = Digest(text) else { throw RegistryError.digestInvalid(text) }
      return try await referrers(digest, call)
    case .base, .catalog, .token, .health, .metrics: throw RegistryError.notFound(request.path)
    }
  }

  /// What a client must be allowed to do. A push reads, too, as Docker's clients ask for both.
  private static func actions(_ method: HTTPMethod, _ route: Route) -> [Action] {
    switch route {
    case .uploads, .upload: return [.pull, .push]
    default: break
    }
    switch method {
    case .GET, .HEAD: return [.pull]
    case .DELETE: return [.delete]
    default: return [.pull, .push]
    }
  }

  static func reference(_ text: String) throws(RegistryError) -> ManifestReference {
    if text.contains(":") {
      guard let digest = Digest(text) else { throw .digestInvalid(text) }
      return .digest(digest)
    }
    guard Names.isTag(text) else { throw .tagInvalid(text) }
    return .tag(text)
  }

  // MARK: Lists

  /// One page of a list: `n` entries after `last`.
  private struct Page {
    var limit: Int
    var last: String?

    init(_ query: Query, max: Int) throws(RegistryError) {
      limit = max
      if let text = query["n"] {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
          throw RegistryError(
            .paginationInvalid, "n is a whole number of entries", detail: ["n": .string(String(text.prefix(100)))])
        }
        limit = min(Int(text) ?? max, max)
      }
      last = query["last"]
    }

    /// RFC 8288, as the specification asks for: relative, with the same `n`.
    func link(_ path: String, last: String) -> (name: String, value: String) {
      ("Link", "<\(path)?n=\(limit)&last=\(Query.percentEncoded(last))>; rel=\"next\"")
    }
  }

  func tags(_ call: Call) async throws -> Reply {
    let page = try Page(call.request.query, max: call.configuration.limits.pageMax)
    var tags: [String]
    if let upstream = call.upstream {
      do {
        let all = try await client.tags(in: upstream.remote, credentials: upstream.credentials)
        tags = Array(
          all.map(TagOrder.init).sorted().lazy.filter { tag in page.last.map { TagOrder($0) < tag } ?? true }
            .map(\.tag).prefix(page.limit + 1))
      } catch {
        if error.code == .notFound { throw RegistryError.nameUnknown(call.name) }
        throw RegistryError(error)
      }
    } else {
      let found = try await blocking { [content] () throws(OCIError) -> [String]? in
        guard try content.hasRepository(call.repository) else { return nil }
        return page.limit == 0 ? [] : try content.tags(in: call.repository, after: page.last, limit: page.limit + 1)
      }
      guard let found else { throw RegistryError.nameUnknown(call.name) }
      tags = found
    }
    var headers: [(name: String, value: String)] = []
    if page.limit > 0, tags.count > page.limit {
      tags.removeLast(tags.count - page.limit)
      headers.append(page.link("/v2/\(call.name)/tags/list", last: tags.last ?? ""))
    }
    if page.limit == 0 { tags = [] }
    return Reply(
      json: ["name": .string(call.name), "tags": .array(tags.map { .string($0) })], headers: headers)
  }

  /// Docker's list of repositories: those that the client may read.
  func catalog(_ request: Request, _ identity: Identity) async throws -> Reply {
    let page = try Page(request.query, max: configuration.limits.pageMax)
    let control = authenticator.control
    var names: [String] = []
    var mark = page.last
    while names.count <= page.limit, page.limit > 0 {
      let after = mark
      let found = try await blocking { [content] () throws(OCIError) in
        try content.repositories(host: "", after: after, limit: 1000)
      }
      names += found.map(\.path).filter { control.lists($0, to: identity) }
      guard found.count == 1000 else { break }
      mark = found.last?.path
    }
    var headers: [(name: String, value: String)] = []
    if page.limit > 0, names.count > page.limit {
      names.removeLast(names.count - page.limit)
      headers.append(page.link("/v2/_catalog", last: names.last ?? ""))
    }
    return Reply(json: ["repositories": .array(names.map { .string($0) })], headers: headers)
  }
}

/// The specification's order of tags: lexical without regard to case; by bytes where that is equal.
private struct TagOrder: Comparable {
  let tag: String
  private let folded: String

  init(_ tag: String) {
    self.tag = tag
    folded = tag.lowercased()
  }

  static func < (a: TagOrder, b: TagOrder) -> Bool {
    if a.folded != b.folded { return a.folded.utf8.lexicographicallyPrecedes(b.folded.utf8) }
    return a.tag.utf8.lexicographicallyPrecedes(b.tag.utf8)
  }
}
