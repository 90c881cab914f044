import HTTP
import Synchronization
import Wire

/// The tokens of registries by what they are for and whom they were given to, and how each host wants to be spoken to.
/// Bounded: the oldest tokens go first.
final class TokenCache: Sendable {
  private struct Key: Hashable {
    var host: String
    var realm: HTTPURL
    var service: String?
    var scopes: [String]
    var credentials: Credentials?
  }

  private struct Entry {
    var token: String
    var expires: Timestamp
  }

  private struct State {
    var tokens: [Key: Entry] = [:]
    var schemes: [String: KnownScheme] = [:]
  }

  private let state = Mutex(State())
  private let countMax: Int

  init(countMax: Int = 1000) { self.countMax = countMax }

  private func key(_ request: TokenRequest, _ host: HTTPURL) -> Key {
    Key(
      host: host.origin, realm: request.realm, service: request.service, scopes: request.scopes,
      credentials: request.credentials)
  }

  func token(for request: TokenRequest, host: HTTPURL, now: Timestamp) -> String? {
    let key = key(request, host)
    return state.withLock { state in
      guard let entry = state.tokens[key] else { return nil }
      if now < entry.expires { return entry.token }
      state.tokens[key] = nil
      return nil
    }
  }

  func put(_ token: IssuedToken, for request: TokenRequest, host: HTTPURL, now: Timestamp) {
    let key = key(request, host)
    // A tenth early, so that it does not end on the way.
    let expires = now.adding(token.lifetime * 9 / 10)
    state.withLock { state in
      if state.tokens.count >= countMax {
        state.tokens = state.tokens.filter { now < $0.value.expires }
        if state.tokens.count >= countMax, let first = state.tokens.min(by: { $0.value.expires < $1.value.expires }) {
          state.tokens[first.key] = nil
        }
      }
      state.tokens[key] = Entry(token: token.token, expires: expires)
    }
  }

  func scheme(of host: HTTPURL) -> KnownScheme? { state.withLock { $0.schemes[host.origin] } }

  func learned(_ scheme: KnownScheme, of host: HTTPURL) {
    state.withLock { state in
      if state.schemes.count >= countMax, state.schemes[host.origin] == nil { state.schemes = [:] }
      state.schemes[host.origin] = scheme
    }
  }
}

/// The answer of a token service.
struct IssuedToken: Sendable, Equatable {
  var token: String
  var lifetime: Duration

  private static let tokenMax = 256 << 10

  /// `nil` for anything that is no token: the service's answer is never shown, it could hold half of one.
  init?(_ bytes: [UInt8]) {
    guard let json = try? JSON.parse(bytes, depthMax: 16),
      let token = [json["token"]?.string, json["access_token"]?.string].compactMap({ $0 }).first(where: { !$0.isEmpty }
      ),
      token.utf8.count <= IssuedToken.tokenMax, token.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else { return nil }
    self.token = token
    // "If omitted, this defaults to 60 seconds", and clients must cope with less.
    let seconds = json["expires_in"]?.int ?? 60
    lifetime = .seconds(min(max(seconds, 60), 24 * 3600))
  }
}
