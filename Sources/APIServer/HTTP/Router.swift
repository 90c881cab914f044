import ControllerKit
import HTTP
import KubeClient
import KubeTypes
import Logging
import NIOCore
import NIOHTTP1
import Schema
import Store
import Telemetry
import Wire

/// Decides who asks, whether they may, and who answers.
final class Router: Sendable {
  typealias Respond = @Sendable (Reply) -> Void

  let rest: RESTHandler
  let authenticator: Authenticator
  let rbac: RBAC
  let documents: DocumentCache
  let health: HealthChecks
  let time: any TimeSource
  let version: JSON
  let metrics: Metrics
  /// Of capabilities, by their paths.
  private let routes: [String: CapabilityRoute]
  private let requests: Counter
  private let durations: Histogram

  init(
    rest: RESTHandler, authenticator: Authenticator, rbac: RBAC, documents: DocumentCache, health: HealthChecks,
    time: any TimeSource, version: JSON, metrics: Metrics, routes: [CapabilityRoute]
  ) {
    self.routes = Dictionary(uniqueKeysWithValues: routes.map { ($0.path, $0) })
    self.rest = rest
    self.authenticator = authenticator
    self.rbac = rbac
    self.documents = documents
    self.health = health
    self.time = time
    self.version = version
    self.metrics = metrics
    requests = metrics.counter(
      "apiserver_request_total", help: "Requests by verb, resource and HTTP status code.",
      labels: ["verb", "resource", "code"])
    durations = metrics.histogram(
      "apiserver_request_duration_seconds", help: "Time from request to answer, without watches.", labels: ["verb"])
  }

  /// Who asks, when they may have what they ask for. The head tells it: a body is kept for nobody else.
  ///
  /// - Parameter certificateUser: the user of the connection's client certificate.
  /// - Throws: 401, 403, and 400 for malformed `Impersonate-…` headers.
  func caller(_ headers: HTTPHeaders, _ info: RequestInfo, certificateUser: UserInfo?) throws(KubeError) -> UserInfo {
    // First: refusals come from memory, too.
    rest.service.store.checkLeadership()
    let user = try impersonated(
      headers,
      by: try authenticator.authenticate(
        certificateUser: certificateUser, authorization: headers.first(name: "authorization"), now: time.now()))
    try authorize(info, user)
    return user
  }

  /// Answers one request; `respond` is called once, from any thread.
  func handle(
    _ request: APIRequest, _ info: RequestInfo, by caller: Result<UserInfo, KubeError>,
    respond: @escaping HTTPRequestHandler.Respond
  ) {
    let start = ContinuousClock.now
    let resource = label(info)
    let finish: Respond = { [requests, durations] reply in
      requests.increment(info.verb, resource, String(reply.code))
      if info.verb != "watch" {
        durations.observe(info.verb, seconds: (ContinuousClock.now - start) / .seconds(1))
      }
      respond(reply.response)
    }
    do {
      let user = try caller.get()
      if info.isResourceRequest {
        rest.handle(request, info, user, respond: finish)
      } else if let route = routes[info.path] {
        let reply = try route.respond(
          CapabilityRoute.Request(method: request.method, query: info.query, user: user, body: request.body))
        finish(Reply(contentType: reply.contentType, body: .bytes(reply.body)))
      } else {
        finish(try document(request, info))
      }
    } catch {
      finish(Reply(error))
    }
  }

  /// Counts a request that was answered without `handle`.
  func count(_ info: RequestInfo, _ code: Int) { requests.increment(info.verb, label(info), String(code)) }

  /// Only names that are served: a label's values are kept for ever, and a URL can hold any.
  private func label(_ info: RequestInfo) -> String {
    info.isResourceRequest && rest.service.schemas.resource(info.groupVersionResource) != nil ? info.resource : ""
  }

  /// The user that the `Impersonate-…` headers name, when the client may act as them.
  private func impersonated(_ headers: HTTPHeaders, by user: UserInfo) throws(KubeError) -> UserInfo {
    var name = ""
    var groups: [String] = []
    var uid = ""
    for header in headers
    where header.name.utf8.count >= 15 && header.name.lowercased().hasPrefix("impersonate-") {
      switch header.name.lowercased() {
      case "impersonate-user": name = header.value
      case "impersonate-group": groups.append(header.value)
      case "impersonate-uid": uid = header.value
      default: break
      }
    }
    guard !name.isEmpty else {
      if groups.isEmpty, uid.isEmpty { return user }
      throw .badRequest("requested groups or uid without impersonating a user name")
    }
    var target = UserInfo(name: name, uid: uid, groups: groups)
    var needed = [("", "users", "", name)]
    let parts = name.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    if parts.count == 4, parts[0] == "system", parts[1] == "serviceaccount" {
      needed = [("", "serviceaccounts", parts[2], parts[3])]
      if groups.isEmpty { target.groups = ["system:serviceaccounts", "system:serviceaccounts:\(parts[2])"] }
    }
    for group in groups { needed.append(("", "groups", "", group)) }
    if !uid.isEmpty { needed.append(("authentication.k8s.io", "uids", "", uid)) }
    for (group, resource, namespace, name) in needed {
      let attributes = AccessAttributes(
        user: user, verb: "impersonate", namespace: namespace, group: group, resource: resource, name: name)
      if rbac.allows(attributes) { continue }
      throw .forbidden(
        GroupVersionResource(group: group, version: "v1", resource: resource), name,
        "User \"\(user.name)\" cannot impersonate resource \"\(resource)\" in API group \"\(group)\""
          + (namespace.isEmpty ? " at the cluster scope" : " in the namespace \"\(namespace)\""))
    }
    let marker = name == UserInfo.anonymous.name ? "system:unauthenticated" : "system:authenticated"
    if !target.groups.contains(marker) { target.groups.append(marker) }
    return target
  }

  private func authorize(_ info: RequestInfo, _ user: UserInfo) throws(KubeError) {
    if user.isMaster { return }
    var name = info.name
    // A list, watch or deletion that its field selector narrows to one object is about that object, as in Kubernetes.
    if name.isEmpty, ["list", "watch", "deletecollection"].contains(info.verb),
      let text = info.query["fieldSelector"], let kind = rest.service.schemas.resource(info.groupVersionResource),
      let selector = try? FieldSelector(text, kind: kind)
    {
      name = selector.exactName ?? ""
    }
    let attributes = AccessAttributes(
      user: user, verb: info.verb, namespace: info.namespace, group: info.group, resource: info.resource,
      subresource: info.subresource, name: name, isResourceRequest: info.isResourceRequest, path: info.path)
    if rbac.allows(attributes) { return }
    throw attributes.refusal
  }

  /// Paths that are no resources.
  private func document(_ request: APIRequest, _ info: RequestInfo) throws(KubeError) -> Reply {
    guard request.method == "GET" || request.method == "HEAD" else {
      if documents.serves(info.path) || Self.fixedPaths.contains(info.path) { throw .methodNotAllowed() }
      throw .noSuchPath()
    }
    switch info.path {
    case "/version", "/version/": return Reply(json: version)
    case "/healthz", "/livez", "/readyz", "/healthz/", "/livez/", "/readyz/":
      return health.reply(
        String(info.path.split(separator: "/")[0]), isVerbose: info.query.flag("verbose"),
        excluded: info.query.all("exclude"))
    case "/metrics":
      return Reply(
        contentType: "text/plain; version=0.0.4; charset=utf-8", body: .bytes(Array(metrics.exposition().utf8)))
    case "/.well-known/openid-configuration", "/.well-known/openid-configuration/":
      return Reply(json: authenticator.issuer.configuration, cacheControl: Self.keysCacheControl)
    case TokenIssuer.keysPath, TokenIssuer.keysPath + "/":
      return Reply(
        json: authenticator.issuer.keySet, contentType: "application/jwk-set+json",
        cacheControl: Self.keysCacheControl)
    case "/": return Reply(json: ["paths": .array((documents.paths + routes.keys.sorted()).map(JSON.string))])
    default: break
    }
    for probe in ["livez", "readyz", "healthz"] where info.path.hasPrefix("/\(probe)/") {
      return health.reply(probe, check: String(info.path.dropFirst(probe.count + 2)))
    }
    if let reply = documents.reply(
      info.path, accept: request.accept, ifNoneMatch: request.headers.first(name: "if-none-match"), query: info.query)
    {
      return reply
    }
    throw .noSuchPath()
  }

  /// Keys may be kept for an hour.
  private static let keysCacheControl = "public, max-age=3600"

  private static let fixedPaths: Set<String> = [
    "/version", "/healthz", "/livez", "/readyz", "/metrics", "/", "/.well-known/openid-configuration",
    TokenIssuer.keysPath,
  ]
}
