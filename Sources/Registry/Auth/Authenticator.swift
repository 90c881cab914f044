import Cryptography
import HTTP
import NIOHTTP1
import NIOPosix
import Synchronization
import Wire

/// Who a client is, as its request shows.
enum Identity: Sendable, Equatable {
  case anonymous
  case user(String)
  /// By a bearer token; the subject is `nil` for anonymous.
  case token(subject: String?, access: [Scope])

  var user: String? {
    switch self {
    case .anonymous: nil
    case .user(let name): name
    case .token(let subject, _): subject
    }
  }
}

/// Tells who a client is and whether it may do what it asks for.
final class Authenticator: Sendable {
  private struct State {
    var users: PasswordFile
    var access: AccessControl
    var tokens: RegistryConfiguration.Tokens
    var limiter = LoginLimiter()
    /// Passwords that were found right: hashes are slow by design, and clients send the password with every request.
    var verified: [String: Verified] = [:]
    var hashing = 0
    /// The same by address: whoever tries many at once has not failed yet.
    var hashingOfAddress: [String: Int] = [:]
  }

  private struct Verified {
    var hash: String
    /// A keyed hash of the password; the key ends with the process.
    var code: [UInt8]
  }

  /// Hashes that are computed or wait at one time.
  private static let hashingMax = 64
  private static let hashingOfAddressMax = 8

  private let state: Mutex<State>
  private let tokenKey: [UInt8]
  private let memoryKey = HMACKey()
  private let pool: NIOThreadPool
  private let time: any TimeSource
  /// Checked for users that do not exist, so that they take as long as others. Of a random password.
  static let decoy = "$2b$10$wWGk5nFHC5oGiC3Fz4Gt2e8mxZ8bC4VmJqgJVtHvQpH2p3tDqkHcK"

  init(
    configuration: RegistryConfiguration, tokenKey: [UInt8], pool: NIOThreadPool, time: any TimeSource
  ) {
    self.tokenKey = tokenKey
    self.pool = pool
    self.time = time
    state = Mutex(
      State(
        users: configuration.users, access: Self.access(configuration), tokens: configuration.tokens))
  }

  func configure(_ configuration: RegistryConfiguration) {
    state.withLock { state in
      state.users = configuration.users
      state.access = Self.access(configuration)
      state.tokens = configuration.tokens
      state.verified = state.verified.filter { configuration.users.hashes[$0.key] == $0.value.hash }
    }
  }

  /// Without rules everybody may do everything; with users, everybody who has signed in.
  private static func access(_ configuration: RegistryConfiguration) -> AccessControl {
    if let rules = configuration.access { return AccessControl(rules: rules) }
    let subject = configuration.users.hashes.isEmpty ? AccessControl.anonymous : "*"
    return AccessControl(
      rules: [AccessRule(repositories: [Glob("**")], subjects: [subject], actions: Set(Action.allCases))])
  }

  var control: AccessControl { state.withLock { $0.access } }
  private var issuer: TokenIssuer { TokenIssuer(key: tokenKey, service: state.withLock { $0.tokens.service }) }

  // MARK: Who

  /// - Throws: `UNAUTHORIZED` for credentials that are wrong, `TOOMANYREQUESTS` for too many of them.
  func identify(_ request: Request) async throws(RegistryError) -> Identity {
    guard let header = request.header("authorization") else { return .anonymous }
    let parts = header.split(separator: " ", maxSplits: 1)
    guard parts.count == 2 else { throw unauthorized("the Authorization header is malformed", request) }
    switch parts[0].lowercased() {
    case "basic":
      // Clients that are asked for Basic and have no credentials send empty ones.
      if parts[1].trimmingSpaces == "Og==" { return .anonymous }
      return .user(try await user(basic: parts[1].trimmingSpaces, request))
    case "bearer":
      let claims: TokenIssuer.Claims
      do {
        claims = try issuer.verify(parts[1].trimmingSpaces, now: time.now())
      } catch {
        let why = error == .expired ? "the token has expired" : "the token is not valid here"
        throw unauthorized(why, request, error: "invalid_token")
      }
      if claims.subject.isEmpty { return .token(subject: nil, access: claims.access) }
      // A user who is gone has no rights from then on.
      guard state.withLock({ $0.users.hashes[claims.subject] != nil }) else {
        throw unauthorized("the token's user does not exist any more", request, error: "invalid_token")
      }
      return .token(subject: claims.subject, access: claims.access)
    default: throw unauthorized("only Basic and Bearer are supported", request)
    }
  }

  private func user(basic text: Substring, _ request: Request) async throws(RegistryError) -> String {
    guard text.utf8.count <= 4096, let bytes = Base64.decode(String(text)),
      let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
    else { throw unauthorized("the Authorization header is malformed", request) }
    let name = String(decoding: bytes[..<colon], as: UTF8.self)
    let password = String(decoding: bytes[(colon + 1)...], as: UTF8.self)
    try await check(name, password, request)
    return name
  }

  private func check(_ name: String, _ password: String, _ request: Request) async throws(RegistryError) {
    let now = time.now()
    let code = memoryKey.code(for: Array(password.utf8))
    let keys = ["address \(request.peer.address)", "user \(name.prefix(256))"]
    enum Decision {
      case right
      case wait(Duration)
      case busy
      case hash(String, isReal: Bool)
    }
    let decision = state.withLock { state -> Decision in
      let hash = state.users.hashes[name]
      // Who is known is not held up by somebody else who guesses the name's password.
      if let hash, let verified = state.verified[name], verified.hash == hash, constantTimeEqual(verified.code, code) {
        return .right
      }
      // Guesses from elsewhere hold up who comes with the right password no more than those who have failed themselves.
      let waited = state.limiter.hasFailed(keys[0], now: now) ? keys : [keys[0]]
      if let wait = waited.compactMap({ state.limiter.wait($0, now: now) }).max() { return .wait(wait) }
      let address = request.peer.address
      if state.hashing >= Self.hashingMax || state.hashingOfAddress[address, default: 0] >= Self.hashingOfAddressMax {
        return .busy
      }
      state.hashing += 1
      state.hashingOfAddress[address, default: 0] += 1
      return .hash(hash ?? Self.decoy, isReal: hash != nil)
    }
    switch decision {
    case .right: return
    case .wait(let duration): throw Self.tooMany(duration)
    case .busy: throw Self.tooMany(.seconds(1))
    case .hash(let hash, let isReal):
      let matches = (try? await pool.runIfActive { PasswordHash.verify(password, hash: hash) }) ?? false
      let isRight = matches && isReal
      state.withLock { state in
        state.hashing -= 1
        let left = state.hashingOfAddress[request.peer.address, default: 1] - 1
        state.hashingOfAddress[request.peer.address] = left > 0 ? left : nil
        if isRight {
          for key in keys { state.limiter.succeeded(key) }
          if state.users.hashes[name] == hash { state.verified[name] = Verified(hash: hash, code: code) }
        } else {
          for key in keys { state.limiter.failed(key, now: now) }
        }
      }
      guard isRight else { throw unauthorized("unknown user or wrong password", request) }
    }
  }

  private static func tooMany(_ wait: Duration) -> RegistryError {
    let seconds = max(1, wait.components.seconds + (wait.components.attoseconds > 0 ? 1 : 0))
    return RegistryError(
      .tooManyRequests, "too many failed sign-ins; try again in \(seconds) s",
      headers: [RegistryError.Header("Retry-After", String(seconds))])
  }

  // MARK: What

  /// - Throws: `UNAUTHORIZED` with a challenge when signing in, or another token, would help; else `DENIED`.
  func authorize(
    _ identity: Identity, _ actions: [Action], _ repository: String, _ request: Request
  ) throws(RegistryError) {
    let control = control
    let missing = actions.filter { !control.allows(identity.user, $0, repository) }
    let scope = Scope(type: "repository", name: repository, actions: actions.map(\.rawValue))
    guard missing.isEmpty else {
      if identity.user == nil { throw unauthorized("authentication required", request, scope: scope) }
      throw RegistryError(
        .denied, "requested access to the resource is denied",
        detail: ["repository": .string(repository), "actions": .array(missing.map { .string($0.rawValue) })])
    }
    guard case .token(_, let access) = identity else { return }
    // A token may be for less than its user could do: then the client gets one for more.
    for action in actions {
      let isGranted = access.contains { $0.covers(action, repository) }
      // What everybody may do needs no token.
      if !isGranted, !control.allows(nil, action, repository) {
        throw unauthorized("the token does not cover it", request, scope: scope, error: "insufficient_scope")
      }
    }
  }

  /// Whether a mount may read its source. Quietly: a mount that may not is an ordinary upload.
  func mayPull(_ identity: Identity, _ repository: String, _ request: Request) -> Bool {
    do {
      try authorize(identity, [.pull], repository, request)
      return true
    } catch {
      return false
    }
  }

  /// `GET /v2/` asks for a sign-in when there are users, so that `docker login` finds out how.
  func authorizeBase(_ identity: Identity, _ request: Request) throws(RegistryError) {
    guard case .anonymous = identity else { return }
    if state.withLock({ !$0.users.hashes.isEmpty }) { throw unauthorized("authentication required", request) }
  }

  /// The list of repositories is for whoever may do something.
  func authorizeCatalog(_ identity: Identity, _ request: Request) throws(RegistryError) {
    if case .token(_?, let access) = identity, !access.contains(.catalog) {
      // A list that is short for want of a scope would look whole.
      throw unauthorized("the token does not cover it", request, scope: .catalog, error: "insufficient_scope")
    }
    guard identity.user == nil, !control.allowsAnything(nil) else { return }
    throw unauthorized("authentication required", request, scope: .catalog)
  }

  /// The registry's metrics. By name and password: a token is for repositories.
  func authorizeMetrics(_ identity: Identity, _ request: Request) throws(RegistryError) {
    if control.allowsMetrics(nil) { return }
    guard case .user(let name) = identity else {
      throw RegistryError(
        .unauthorized, "metrics are for users with the right to read them: sign in by name and password",
        headers: [RegistryError.Header("WWW-Authenticate", "Basic realm=\"apus-registry\", charset=\"UTF-8\"")])
    }
    guard control.allowsMetrics(name) else {
      throw RegistryError(
        .denied, "requested access to the resource is denied", detail: ["actions": [.string(Action.metrics.rawValue)]])
    }
  }

  /// 401 with the challenge (RFC 6750, section 3; Docker registry token authentication).
  private func unauthorized(
    _ why: String, _ request: Request, scope: Scope? = nil, error: String? = nil
  ) -> RegistryError {
    let tokens = state.withLock { $0.tokens }
    var challenge: String
    switch tokens.challenge {
    case .basic: challenge = "Basic realm=\"\(Self.quoted(tokens.service))\", charset=\"UTF-8\""
    case .bearer:
      let realm = tokens.realm ?? "\(request.peer.isTLS ? "https" : "http")://\(Self.host(request))/v2/token"
      challenge = "Bearer realm=\"\(Self.quoted(realm))\",service=\"\(Self.quoted(tokens.service))\""
      if let scope { challenge += ",scope=\"\(Self.quoted(scope.description))\"" }
      if let error { challenge += ",error=\"\(error)\"" }
    }
    return RegistryError(
      .unauthorized, why, detail: scope.map { ["scope": .string($0.description)] },
      headers: [RegistryError.Header("WWW-Authenticate", challenge)])
  }

  /// What the client calls this registry. Only what can stand in a host name: the text goes into a header.
  private static func host(_ request: Request) -> String {
    let host = request.header("host") ?? "localhost"
    let isSafe =
      host.utf8.count <= 300
      && host.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
          || [UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]")].contains(
            byte)
      }
    return isSafe ? host : "localhost"
  }

  private static func quoted(_ text: String) -> String {
    String(
      text.unicodeScalars.filter { $0.value >= 0x20 && $0.value < 0x7F && $0 != "\"" && $0 != "\\" }.map(Character.init)
    )
  }

  // MARK: Tokens

  /// The token endpoint: GET as Docker's registries have it, POST as OAuth 2 has it (RFC 6749, section 4.3).
  func token(_ request: Request) async throws(RegistryError) -> Reply {
    var parameters = request.query
    var user: String?
    if request.method == .POST {
      guard let body = await Self.form(request) else {
        throw RegistryError(.unsupported, "the form is not complete or too large", status: 400)
      }
      parameters = Query(Substring(decoding: body, as: UTF8.self))
      guard parameters["grant_type"] == "password", let name = parameters["username"],
        let password = parameters["password"]
      else {
        throw RegistryError(
          .unsupported, "only grant_type=password is supported; use GET with Basic authentication", status: 400)
      }
      try await check(name, password, request)
      user = name
    } else {
      switch try await identify(request) {
      case .user(let name): user = name
      case .anonymous: user = nil
      case .token: throw unauthorized("a token is not exchanged for another", request)
      }
    }
    let (tokens, control) = state.withLock { ($0.tokens, $0.access) }
    if let service = parameters["service"], !service.isEmpty, service != tokens.service {
      throw RegistryError(.unsupported, "this registry's tokens are for \(tokens.service)", status: 400)
    }
    let access = Scope.list(parameters.all("scope")).compactMap { control.granted($0, to: user) }
    let now = time.now()
    var generator = SystemRandomNumberGenerator()
    let token = issuer.issue(
      subject: user ?? "", access: access, now: now, lifetime: tokens.lifetime,
      id: String(UInt64.random(in: .min ... .max, using: &generator), radix: 16))
    return Reply(
      json: [
        "token": .string(token), "access_token": .string(token), "token_type": "Bearer",
        "expires_in": .int(tokens.lifetime.components.seconds), "issued_at": .string(now.rfc3339),
        "scope": .string(access.map(\.description).joined(separator: " ")),
      ], headers: [("Cache-Control", "no-store")])
  }

  private static func form(_ request: Request) async -> [UInt8]? {
    try? await request.body.collect(length: request.contentLength, bytesMax: 64 << 10)
  }
}
