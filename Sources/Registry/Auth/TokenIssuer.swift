import Cryptography
import Wire

/// Bearer tokens of the registry: JSON Web Tokens (RFC 7519) signed with HMAC-SHA-256, with Docker's `access` claim.
///
/// Only this registry issues and checks them, so one secret key does; the algorithm is fixed, whatever the header says.
struct TokenIssuer: Sendable {
  /// A token that was found valid.
  struct Claims: Sendable, Equatable {
    /// The user; empty for anonymous.
    var subject: String
    var access: [Scope]
    /// Seconds since 1970.
    var expires: Int64
  }

  enum Failure: Error, Sendable, Equatable {
    case malformed
    case badSignature
    case expired
    case otherService
  }

  /// Longer ones were not issued here.
  static let bytesMax = 16 << 10
  /// Clocks of one machine jump; a token is not refused for being this much too new.
  private static let skewSeconds: Int64 = 60
  private static let issuer = "apus-registry"

  private let key: HMACKey
  /// The audience, which tells registries with a shared key apart.
  let service: String

  /// - Parameter key: 32 secret bytes.
  init(key: [UInt8], service: String) {
    precondition(key.count >= 32, "a token key has at least 32 bytes")
    self.key = HMACKey(key)
    self.service = service
  }

  func issue(subject: String, access: [Scope], now: Timestamp, lifetime: Duration, id: String) -> String {
    let seconds = now.microseconds / 1_000_000
    let claims: JSON = [
      "iss": .string(Self.issuer), "sub": .string(subject), "aud": .string(service), "jti": .string(id),
      "iat": .int(seconds), "nbf": .int(seconds), "exp": .int(seconds + lifetime.components.seconds),
      "access": .array(
        access.map { scope in
          [
            "type": .string(scope.type), "name": .string(scope.name),
            "actions": .array(scope.actions.map { .string($0) }),
          ]
        }),
    ]
    let head = Base64.encode(Array(#"{"alg":"HS256","typ":"JWT"}"#.utf8), urlSafe: true)
    let signed = head + "." + Base64.encode(claims.serialized(), urlSafe: true)
    return signed + "." + Base64.encode(key.code(for: Array(signed.utf8)), urlSafe: true)
  }

  func verify(_ token: some StringProtocol, now: Timestamp) throws(Failure) -> Claims {
    guard token.utf8.count <= Self.bytesMax else { throw .malformed }
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let code = Base64.decode(String(parts[2]), urlSafe: true),
      let payload = Base64.decode(String(parts[1]), urlSafe: true),
      let header = Base64.decode(String(parts[0]), urlSafe: true)
    else { throw .malformed }
    // Before anything of it is parsed. The comparison takes constant time.
    guard key.isValid(code, for: Array("\(parts[0]).\(parts[1])".utf8)) else { throw .badSignature }
    guard let head = try? JSON.parse(header), head["alg"]?.string == "HS256", let claims = try? JSON.parse(payload),
      let subject = claims["sub"]?.string, let expires = claims["exp"]?.int, let notBefore = claims["nbf"]?.int
    else { throw .malformed }
    guard claims["aud"]?.string == service, claims["iss"]?.string == Self.issuer else { throw .otherService }
    let seconds = now.microseconds / 1_000_000
    guard seconds < expires, seconds >= notBefore - Self.skewSeconds else { throw .expired }
    var access: [Scope] = []
    for entry in claims["access"]?.array ?? [] {
      guard let type = entry["type"]?.string, let name = entry["name"]?.string else { throw .malformed }
      access.append(
        Scope(type: type, name: name, actions: (entry["actions"]?.array ?? []).compactMap { $0.string }))
    }
    return Claims(subject: subject, access: access, expires: expires)
  }
}
