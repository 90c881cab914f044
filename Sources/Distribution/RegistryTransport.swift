import HTTP
import NIOCore
import NIOHTTP1
import Synchronization
import Wire

/// What is asked of a registry.
struct RegistryCall: Sendable {
  var method: HTTPMethod
  /// As in image names.
  var registry: String
  var repository: String?
  /// Below the repository (`manifests/1.27`), or without one below `/v2/`.
  var path: String
  var query: [(String, String)] = []
  /// In place of the path: what the registry has named itself, as the address of an upload.
  var url: HTTPURL?
  var headers: HTTPHeaders = [:]
  var body: HTTPClientRequest.Body = .none
  /// Of the token's scope: `pull`, `push`, `delete`.
  var actions: [String]
  var extraScopes: [String] = []
  /// Mirrors are asked first.
  var isReading: Bool
  var what: String
  /// The statuses that are no errors.
  var accepted: Set<Int>
  /// Whether it may be sent again as it is.
  var isRepeatable = true
}

/// Sends calls to registries: mirrors, redirects, credentials, second attempts.
final class RegistryTransport: Sendable {
  private struct Settings {
    var hosts: RegistryHosts
    var endpoints: [String: [RegistryHosts.Endpoint]] = [:]
    var tls: [String: ClientTLS] = [:]
  }

  let configuration: RegistryClientConfiguration
  let time: any TimeSource
  private let http: HTTPClient
  private let tokens = TokenCache()
  private let settings: Mutex<Settings>
  private let salt = Atomic<UInt64>(0)

  private static let cacheMax = 10_000
  private static let errorBodyMax = 64 << 10

  init(configuration: RegistryClientConfiguration, time: any TimeSource, group: any EventLoopGroup) {
    self.configuration = configuration
    self.time = time
    http = HTTPClient(configuration.http, group: group)
    settings = Mutex(Settings(hosts: configuration.hosts))
  }

  func update(hosts: RegistryHosts) {
    settings.withLock { $0 = Settings(hosts: hosts) }
    http.reset()
  }

  func close() { http.close() }
  var connectionCount: Int { http.connectionCount }

  /// A number for the jitter of a call's attempts.
  func nextSalt() -> UInt64 { salt.wrappingAdd(1, ordering: .relaxed).newValue &* 0x9E37_79B9 }

  private func endpoints(of registry: String, isReading: Bool) throws(DistributionError) -> [RegistryHosts.Endpoint] {
    let key = "\(isReading)\(registry)"
    let (hosts, known) = settings.withLock { ($0.hosts, $0.endpoints[key]) }
    if let known { return known }
    let endpoints = try hosts.endpoints(of: registry, isReading: isReading)
    settings.withLock { settings in
      if settings.endpoints.count >= Self.cacheMax { settings.endpoints = [:] }
      if settings.hosts == hosts { settings.endpoints[key] = endpoints }
    }
    return endpoints
  }

  private func tls(for url: HTTPURL) -> ClientTLS {
    guard url.scheme == .https else { return ClientTLS() }
    let (hosts, known) = settings.withLock { ($0.hosts, $0.tls[url.origin]) }
    if let known { return known }
    let tls = hosts.tls(for: url).client
    settings.withLock { settings in
      if settings.tls.count >= Self.cacheMax { settings.tls = [:] }
      if settings.hosts == hosts { settings.tls[url.origin] = tls }
    }
    return tls
  }

  func hasMirrors(_ registry: String) -> Bool {
    settings.withLock { $0.hosts.hosts[registry]?.mirrors.isEmpty == false }
  }

  private func allowsStepDown(to url: HTTPURL) -> Bool { settings.withLock { $0.hosts }.allowsStepDown(to: url) }

  // MARK: Calls

  /// Sends a call until it is answered as accepted, and hands the answer to `use`, whose failures count as the call's:
  /// what is retriable among them is tried again.
  func perform<Value: Sendable>(
    _ call: RegistryCall, credentials: Credentials?,
    use: @Sendable (HTTPClientResponse, RequestContext) async throws(DistributionError) -> Value
  ) async throws(DistributionError) -> Value {
    var endpoints = try endpoints(of: call.registry, isReading: call.isReading)
    guard let registry = endpoints.popLast() else {
      throw DistributionError(.invalidURL, "\(call.registry) has no endpoint")
    }
    var mirrorErrors: [DistributionError] = []
    for mirror in endpoints {
      do throws(DistributionError) {
        return try await attempt(call, at: mirror, mirror.credentials, use)
      } catch {
        // A mirror that fails, for whatever reason, costs nothing but the next question.
        if error.code == .cancelled { throw error }
        mirrorErrors.append(error)
      }
    }
    let salt = nextSalt()
    var attempts = 1
    while true {
      do throws(DistributionError) {
        return try await attempt(call, at: registry, credentials, use)
      } catch {
        guard call.isRepeatable,
          let delay = configuration.retry.delay(after: error, attempt: attempts, salt: salt)
        else {
          throw mirrorErrors.reduce(into: error) { $0.message += " (before, a mirror: \($1.message))" }
        }
        attempts += 1
        try await sleep(delay)
      }
    }
  }

  func sleep(_ delay: Duration) async throws(DistributionError) {
    do {
      try await time.sleep(for: delay)
    } catch {
      throw DistributionError(.cancelled, "cancelled while waiting for the next attempt")
    }
  }

  private func attempt<Value: Sendable>(
    _ call: RegistryCall, at endpoint: RegistryHosts.Endpoint, _ credentials: Credentials?,
    _ use: @Sendable (HTTPClientResponse, RequestContext) async throws(DistributionError) -> Value
  ) async throws(DistributionError) -> Value {
    var url = endpoint.base
    let repository = call.repository.map { endpoint.pathPrefix + $0 }
    url.path += repository.map { "\($0)/\(call.path)" } ?? call.path
    for (name, value) in call.query { url.addQuery(name, value) }
    // A mirror of several registries is told which one is meant, as containerd does.
    if endpoint.isMirror { url.addQuery("ns", call.registry) }
    if let given = call.url { url = given }
    var scopes = call.extraScopes
    if let repository, !call.actions.isEmpty {
      scopes.insert("repository:\(repository):\(call.actions.joined(separator: ","))", at: 0)
    }
    let context = RequestContext(host: endpoint.base.authority, repository: call.repository, what: call.what)
    let request = HTTPClientRequest(method: call.method, url: url, headers: call.headers, body: call.body)
    let response: HTTPClientResponse
    if url.hasSameOrigin(as: endpoint.base) {
      response = try await authorized(request, endpoint.base, scopes, credentials, context)
    } else {
      response = try await follow(request, context)
    }
    if call.accepted.contains(response.status) { return try await use(response, context) }
    throw await refusal(response, context)
  }

  /// The error that a response is.
  func refusal(_ response: HTTPClientResponse, _ context: RequestContext) async -> DistributionError {
    let body = (try? await response.collect(limit: Self.errorBodyMax, within: configuration.deadlines.document)) ?? []
    return context.error(status: response.status, headers: response.headers, body: body, now: time.now())
  }

  // MARK: Credentials

  private func authorized(
    _ request: HTTPClientRequest, _ host: HTTPURL, _ scopes: [String], _ credentials: Credentials?,
    _ context: RequestContext
  ) async throws(DistributionError) -> HTTPClientResponse {
    var flow = AuthFlow(host: host, scopes: scopes, credentials: credentials) { [weak self] url in
      self?.allowsStepDown(to: url) ?? false
    }
    var authorization = AuthFlow.Authorization.none
    if case .send(let first) = flow.begin(known: tokens.scheme(of: host)) { authorization = first }
    while true {
      var request = request
      if let value = try await header(authorization, host, context) {
        request.headers.replaceOrAdd(name: "authorization", value: value)
      }
      let response = try await follow(request, context)
      // A 401 of somebody we were redirected to asks for nothing of ours.
      guard response.status == 401, response.url.hasSameOrigin(as: host) else {
        if response.status != 401, let learned = flow.learned { tokens.learned(learned, of: host) }
        return response
      }
      switch flow.challenged(AuthChallenge.parse(response.headers["www-authenticate"])) {
      case .send(let next):
        await response.discard()
        authorization = next
      case .giveUp: return response
      case .refuse(let why): throw context.invalid(why, code: .unauthorized)
      }
    }
  }

  /// The value of `Authorization`.
  private func header(
    _ authorization: AuthFlow.Authorization, _ host: HTTPURL, _ context: RequestContext
  ) async throws(DistributionError) -> String? {
    switch authorization {
    case .none: return nil
    case .basic(let credentials): return RegistryTransport.basic(credentials)
    case .registryToken(let credentials):
      guard case .registryToken(let token) = credentials else { return nil }
      guard token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
        throw context.invalid("the configured registry token has characters that no token has", code: .unauthorized)
      }
      return "Bearer \(token)"
    case .token(let request, let isFresh):
      if !isFresh, let token = tokens.token(for: request, host: host, now: time.now()) { return "Bearer \(token)" }
      let issued = try await fetchToken(request, context)
      tokens.put(issued, for: request, host: host, now: time.now())
      return "Bearer \(issued.token)"
    }
  }

  private static func basic(_ credentials: Credentials?) -> String? {
    guard case .basic(let user, let password) = credentials else { return nil }
    return "Basic \(Base64.encode(Array("\(user):\(password)".utf8)))"
  }

  private func fetchToken(
    _ wanted: TokenRequest, _ registry: RequestContext
  ) async throws(DistributionError) -> IssuedToken {
    let context = RequestContext(
      host: wanted.realm.authority, repository: registry.repository, what: "a token for \(registry.host)")
    if case .identityToken(let refresh) = wanted.credentials {
      return try await token(
        oauth(wanted, [("grant_type", "refresh_token"), ("refresh_token", refresh)]), context)
    }
    var request = HTTPClientRequest(method: .GET, url: wanted.realm)
    if let service = wanted.service { request.url.addQuery("service", service) }
    for scope in wanted.scopes + wanted.extraScopes { request.url.addQuery("scope", scope) }
    if case .basic(let user, _) = wanted.credentials {
      request.url.addQuery("account", user)
      if let value = Self.basic(wanted.credentials) { request.headers.add(name: "authorization", value: value) }
    }
    do throws(DistributionError) {
      return try await token(request, context)
    } catch {
      // Some services have the OAuth2 way only.
      guard [404, 405].contains(error.status), case .basic(let user, let password) = wanted.credentials else {
        throw error
      }
      return try await token(
        oauth(wanted, [("grant_type", "password"), ("username", user), ("password", password)]), context)
    }
  }

  /// A token by OAuth2 (distribution, "Registry v2 authentication via OAuth2").
  private func oauth(_ wanted: TokenRequest, _ grant: [(String, String)]) -> HTTPClientRequest {
    var form = grant + [("client_id", "apus"), ("access_type", "online")]
    if let service = wanted.service { form.append(("service", service)) }
    let scopes = wanted.scopes + wanted.extraScopes
    if !scopes.isEmpty { form.append(("scope", scopes.joined(separator: " "))) }
    return HTTPClientRequest(
      method: .POST, url: wanted.realm, headers: ["content-type": "application/x-www-form-urlencoded"],
      body: .bytes(ByteBuffer(string: HTTPURL.encodeForm(form))))
  }

  private func token(_ request: HTTPClientRequest, _ context: RequestContext) async throws(DistributionError)
    -> IssuedToken
  {
    let response = try await follow(request, context)
    guard (200..<300).contains(response.status) else { throw await refusal(response, context) }
    let body: [UInt8]?
    do throws(HTTPClientError) {
      body = try await response.collect(limit: 1 << 20, within: configuration.deadlines.document)
    } catch {
      throw context.error(error)
    }
    guard let body, let token = IssuedToken(body) else { throw context.invalid("the token service sends no token") }
    return token
  }

  // MARK: Redirects

  /// Sends a request, and goes where redirects lead.
  func follow(_ request: HTTPClientRequest, _ context: RequestContext) async throws(DistributionError)
    -> HTTPClientResponse
  {
    var request = request
    var context = context
    for _ in 0...configuration.limits.redirects {
      request.tls = tls(for: request.url)
      // Whatever is asked of a registry can be asked twice: content has its digest, and a part of an upload its offset.
      request.isRepeatable = true
      let response: HTTPClientResponse
      do throws(HTTPClientError) {
        response = try await http.execute(request)
      } catch {
        throw context.error(error)
      }
      let redirect = Redirect(
        status: response.status, location: response.headers.first(name: "location"), of: request,
        allowsStepDown: allowsStepDown)
      switch redirect {
      case .none: return response
      case .refuse(let why): throw context.invalid(why)
      case .follow(let next):
        await response.discard()
        request = next
        context.host = next.url.authority
      }
    }
    throw context.invalid("more than \(configuration.limits.redirects) redirects", code: .limitExceeded)
  }
}
