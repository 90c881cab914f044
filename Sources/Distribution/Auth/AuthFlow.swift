import HTTP

/// A token that is wanted from a token service.
struct TokenRequest: Sendable, Hashable {
  var realm: HTTPURL
  var service: String?
  /// What the request needs; what the registry's challenge asks for in addition is in `extraScopes`.
  var scopes: [String]
  var extraScopes: [String] = []
  var credentials: Credentials?
}

/// What a host has asked for before, so that the next request brings it along.
enum KnownScheme: Sendable, Hashable {
  case basic
  case bearer(realm: HTTPURL, service: String?)
}

/// How one request is authorised: first with what is known, then with what the challenges of a 401 ask for (RFC 9110,
/// section 11, and the token authentication of the distribution registry). Pure.
struct AuthFlow: Sendable {
  enum Authorization: Sendable, Equatable {
    case none
    case basic(Credentials)
    case registryToken(Credentials)
    /// `isFresh`: one that was fetched before was refused.
    case token(TokenRequest, isFresh: Bool)
  }

  enum Step: Sendable, Equatable {
    case send(Authorization)
    /// The 401 is final.
    case giveUp
    case refuse(String)
  }

  private let host: HTTPURL
  private let scopes: [String]
  private let credentials: Credentials?
  private let allowsStepDown: @Sendable (HTTPURL) -> Bool
  private var last = Authorization.none
  private var tokensFetched = 0

  /// - Parameter allowsStepDown: whether credentials may be sent to this URL though the registry speaks HTTPS.
  init(
    host: HTTPURL, scopes: [String], credentials: Credentials?, allowsStepDown: @escaping @Sendable (HTTPURL) -> Bool
  ) {
    self.host = host
    self.scopes = scopes
    self.credentials = credentials
    self.allowsStepDown = allowsStepDown
  }

  /// What the last 200 proves about the host.
  var learned: KnownScheme? {
    switch last {
    case .basic: .basic
    case .token(let request, _): .bearer(realm: request.realm, service: request.service)
    case .none, .registryToken: nil
    }
  }

  mutating func begin(known: KnownScheme?) -> Step {
    last = .none
    if let credentials, case .registryToken = credentials {
      last = .registryToken(credentials)
    } else if case .bearer(let realm, let service) = known {
      last = .token(
        TokenRequest(realm: realm, service: service, scopes: scopes, credentials: credentials), isFresh: false)
    } else if known == .basic, let credentials, case .basic = credentials {
      last = .basic(credentials)
    }
    return .send(last)
  }

  /// The registry answers 401.
  mutating func challenged(_ challenges: [AuthChallenge]) -> Step {
    if case .registryToken = last { return .giveUp }
    if let bearer = challenges.first(where: { $0.scheme == "bearer" && $0.parameters["realm"] != nil }) {
      guard let text = bearer.parameters["realm"], let realm = HTTPURL(text) else {
        return .refuse("its token service's address is no http or https URL")
      }
      if host.scheme == .https, realm.scheme == .http, !allowsStepDown(realm) {
        return .refuse(
          "its token service \(realm.redacted) is plain HTTP while the registry is not; "
            + "configure \(realm.authority) as plain HTTP if that is meant")
      }
      // A first token, and a second one when what is in the cache does not do any more.
      guard tokensFetched < 2 else { return .giveUp }
      tokensFetched += 1
      let asked = (bearer.parameters["scope"] ?? "").split(separator: " ").map(String.init)
      let request = TokenRequest(
        realm: realm, service: bearer.parameters["service"], scopes: scopes,
        extraScopes: asked.prefix(16).filter { !scopes.contains($0) }, credentials: credentials)
      var isFresh = false
      if case .token(let before, let wasFresh) = last {
        if wasFresh { return .giveUp }
        isFresh = before.realm == request.realm && before.service == request.service
      }
      last = .token(request, isFresh: isFresh)
      return .send(last)
    }
    guard challenges.contains(where: { $0.scheme == "basic" }), let credentials, case .basic = credentials else {
      return .giveUp
    }
    if case .basic = last { return .giveUp }
    last = .basic(credentials)
    return .send(last)
  }
}
