import Cryptography
import Synchronization
import Wire

/// Makes and checks service account tokens: JWTs signed with ES256 (RFC 7519, RFC 7518 section 3.4), with the claims
/// of KEP-1205 and KEP-4193 bound tokens.
final class TokenIssuer: Sendable {
  struct Claims: Sendable, Equatable {
    /// Unique among all tokens (`jti`).
    var id = ""
    var namespace: String
    var serviceAccount: String
    var serviceAccountUID: String
    var audiences: [String]
    /// Seconds since 1970.
    var issuedAt: Int64
    var expiresAt: Int64
    /// The object whose deletion ends the token.
    var bound: Bound?
    /// Where the pod runs that the token is bound to. It says whence a request comes; its deletion ends nothing.
    var node: Bound?

    struct Bound: Sendable, Equatable {
      /// `Pod`, `Secret` or `Node`.
      var kind: String
      var name: String
      var uid: String
    }
  }

  let issuer: String
  private let key: P256PrivateKey
  private let keyID: String
  /// Signatures that were checked before: a token comes with each request of its client. Keyed by the whole token.
  private let verified = Mutex<[String: Verified]>([:])
  private static let verifiedMax = 4096
  /// Clocks are set back now and then; a token is not refused for being this much too new.
  private static let skewSeconds: Int64 = 60

  init(key: P256PrivateKey, issuer: String) {
    self.key = key
    self.issuer = issuer
    keyID = Base64.encode(MessageDigest.hash(key.publicKey.der, .sha256), urlSafe: true)
  }

  func sign(_ claims: Claims) -> String? {
    let header: JSON = ["alg": "ES256", "kid": .string(keyID), "typ": "JWT"]
    var kubernetes: JSONObject = [
      "namespace": .string(claims.namespace),
      "serviceaccount": ["name": .string(claims.serviceAccount), "uid": .string(claims.serviceAccountUID)],
    ]
    for object in [claims.bound, claims.node].compactMap(\.self) {
      kubernetes[object.kind.lowercased()] = ["name": .string(object.name), "uid": .string(object.uid)]
    }
    let payload: JSON = [
      "aud": .array(claims.audiences.map(JSON.string)), "exp": .int(claims.expiresAt), "iat": .int(claims.issuedAt),
      "iss": .string(issuer), "jti": .string(claims.id), "kubernetes.io": .object(kubernetes),
      "nbf": .int(claims.issuedAt),
      "sub": .string(Self.subject(claims.namespace, claims.serviceAccount)),
    ]
    return sign(header: header, payload: payload)
  }

  func sign(header: JSON, payload: JSON) -> String? {
    let text =
      Base64.encode(header.serialized(), urlSafe: true) + "." + Base64.encode(payload.serialized(), urlSafe: true)
    guard let signature = try? key.signature(for: Array(text.utf8)) else { return nil }
    return text + "." + Base64.encode(signature.raw, urlSafe: true)
  }

  private static func subject(_ namespace: String, _ account: String) -> String {
    "system:serviceaccount:\(namespace):\(account)"
  }

  /// The claims of a token that this server signed and that is valid now; `nil` for every other text.
  func verify(_ token: String, now: Timestamp) -> Claims? {
    let seconds = now.microseconds / 1_000_000
    let found: Verified
    if let known = verified.withLock({ $0[token] }) {
      found = known
    } else {
      guard let checked = check(token) else { return nil }
      found = checked
      verified.withLock { cache in
        if cache.count >= Self.verifiedMax { cache.removeAll() }
        cache[token] = checked
      }
    }
    guard seconds < found.claims.expiresAt, seconds >= found.notBefore - Self.skewSeconds else { return nil }
    return found.claims
  }

  /// A token with a good signature, which may not have begun yet or be over.
  private struct Verified {
    var claims: Claims
    /// Seconds since 1970: the latest of what the token says about its beginning.
    var notBefore: Int64
  }

  private func check(_ token: String) -> Verified? {
    guard token.utf8.count < 16_384 else { return nil }
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let headerBytes = Base64.decode(String(parts[0]), urlSafe: true),
      let header = try? JSON.parse(headerBytes), header["alg"]?.string == "ES256",
      // Extensions that must be understood (RFC 7515, section 4.1.11): none is.
      header["crit"] == nil,
      let signatureBytes = Base64.decode(String(parts[2]), urlSafe: true),
      let signature = P256Signature(raw: signatureBytes),
      key.publicKey.isValid(signature, for: Array("\(parts[0]).\(parts[1])".utf8)),
      let payloadBytes = Base64.decode(String(parts[1]), urlSafe: true), let payload = try? JSON.parse(payloadBytes),
      payload["iss"]?.string == issuer, let expiresAt = Self.date(payload["exp"], .down),
      let issuedAt = Self.date(payload["iat"], .up),
      let notBefore = payload["nbf"] == nil ? issuedAt : Self.date(payload["nbf"], .up),
      let kubernetes = payload["kubernetes.io"], let namespace = kubernetes["namespace"]?.string,
      let account = kubernetes.at("serviceaccount", "name")?.string,
      let uid = kubernetes.at("serviceaccount", "uid")?.string,
      payload["sub"]?.string == Self.subject(namespace, account)
    else { return nil }
    var objects: [Claims.Bound] = []
    for kind in ["Pod", "Secret", "Node"] {
      guard let object = kubernetes[kind.lowercased()] else { continue }
      guard let name = object["name"]?.string, let uid = object["uid"]?.string else { return nil }
      objects.append(Claims.Bound(kind: kind, name: name, uid: uid))
    }
    // One audience may stand for itself (RFC 7519, section 4.1.3).
    let audiences = payload["aud"]?.string.map { [$0] } ?? payload["aud"]?.array?.compactMap(\.string) ?? []
    let claims = Claims(
      id: payload["jti"]?.string ?? "", namespace: namespace, serviceAccount: account, serviceAccountUID: uid,
      audiences: audiences, issuedAt: issuedAt, expiresAt: expiresAt, bound: objects.first,
      node: objects.count > 1 ? objects.last : nil)
    return Verified(claims: claims, notBefore: max(notBefore, issuedAt))
  }

  /// A NumericDate (RFC 7519, section 2), which need not be whole, in seconds.
  private static func date(_ value: JSON?, _ rule: FloatingPointRoundingRule) -> Int64? {
    if let whole = value?.int { return whole }
    guard case .double(let seconds)? = value else { return nil }
    return Int64(exactly: seconds.rounded(rule))
  }

  // MARK: Discovery

  /// Where the keys are, below the issuer.
  static let keysPath = "/openid/v1/jwks"

  /// How others find the keys that check tokens (OpenID Connect Discovery 1.0, section 3).
  var configuration: JSON {
    [
      "issuer": .string(issuer), "jwks_uri": .string(issuer + Self.keysPath),
      "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
      "id_token_signing_alg_values_supported": ["ES256"],
    ]
  }

  /// The key that checks tokens, as a JSON Web Key Set (RFC 7517, section 5; RFC 7518, section 6.2.1).
  var keySet: JSON {
    // 4, x, y.
    let point = key.publicKey.point
    return [
      "keys": [
        [
          "use": "sig", "kty": "EC", "kid": .string(keyID), "crv": "P-256", "alg": "ES256",
          "x": .string(Base64.encode(Array(point[1..<33]), urlSafe: true)),
          "y": .string(Base64.encode(Array(point[33..<65]), urlSafe: true)),
        ]
      ]
    ]
  }
}
