import Crypto
import FoundationEssentials
import Synchronization
import Wire

/// Makes and checks service account tokens: JWTs signed with ES256 (RFC 7519, RFC 7518 section 3.4), with the claims
/// of KEP-1205 bound tokens.
final class TokenIssuer: Sendable {
  struct Claims: Sendable, Equatable {
    var namespace: String
    var serviceAccount: String
    var serviceAccountUID: String
    var audiences: [String]
    /// Seconds since 1970.
    var issuedAt: Int64
    var expiresAt: Int64
    /// The object whose deletion ends the token: `Pod` or `Secret`.
    var bound: Bound?

    struct Bound: Sendable, Equatable {
      var kind: String
      var name: String
      var uid: String
    }
  }

  let issuer: String
  private let key: P256.Signing.PrivateKey
  private let keyID: String
  /// Signatures that were checked before: a token comes with each request of its client. Keyed by the whole token.
  private let verified = Mutex<[String: Claims]>([:])
  private static let verifiedMax = 4096

  init(key: P256.Signing.PrivateKey, issuer: String) {
    self.key = key
    self.issuer = issuer
    keyID = Base64.encode(Array(SHA256.hash(data: key.publicKey.derRepresentation)), urlSafe: true).replacing(
      "=", with: "")
  }

  private static func base64URL(_ bytes: [UInt8]) -> String {
    Base64.encode(bytes, urlSafe: true).replacing("=", with: "")
  }

  func sign(_ claims: Claims, id: String) -> String? {
    let header: JSON = ["alg": "ES256", "kid": .string(keyID), "typ": "JWT"]
    var kubernetes: JSONObject = [
      "namespace": .string(claims.namespace),
      "serviceaccount": ["name": .string(claims.serviceAccount), "uid": .string(claims.serviceAccountUID)],
    ]
    if let bound = claims.bound {
      kubernetes[bound.kind.lowercased()] = ["name": .string(bound.name), "uid": .string(bound.uid)]
    }
    let payload: JSON = [
      "aud": .array(claims.audiences.map(JSON.string)), "exp": .int(claims.expiresAt), "iat": .int(claims.issuedAt),
      "iss": .string(issuer), "jti": .string(id), "kubernetes.io": .object(kubernetes), "nbf": .int(claims.issuedAt),
      "sub": .string("system:serviceaccount:\(claims.namespace):\(claims.serviceAccount)"),
    ]
    let text = Self.base64URL(header.serialized()) + "." + Self.base64URL(payload.serialized())
    guard let signature = try? key.signature(for: Array(text.utf8)) else { return nil }
    return text + "." + Self.base64URL(Array(signature.rawRepresentation))
  }

  /// The claims of a token that this server signed and that is valid now; `nil` for every other text.
  func verify(_ token: String, now: Timestamp) -> Claims? {
    let seconds = now.microseconds / 1_000_000
    let claims: Claims
    if let known = verified.withLock({ $0[token] }) {
      claims = known
    } else {
      guard let checked = check(token) else { return nil }
      claims = checked
      verified.withLock { cache in
        if cache.count >= Self.verifiedMax { cache.removeAll() }
        cache[token] = checked
      }
    }
    guard seconds < claims.expiresAt, seconds >= claims.issuedAt - 60 else { return nil }
    return claims
  }

  private func check(_ token: String) -> Claims? {
    guard token.utf8.count < 16_384 else { return nil }
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let headerBytes = Base64.decode(String(parts[0]), urlSafe: true),
      let header = try? JSON.parse(headerBytes), header["alg"]?.string == "ES256",
      let signatureBytes = Base64.decode(String(parts[2]), urlSafe: true),
      let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signatureBytes),
      key.publicKey.isValidSignature(signature, for: Array("\(parts[0]).\(parts[1])".utf8)),
      let payloadBytes = Base64.decode(String(parts[1]), urlSafe: true), let payload = try? JSON.parse(payloadBytes),
      payload["iss"]?.string == issuer, let expiresAt = payload["exp"]?.int, let issuedAt = payload["iat"]?.int,
      let kubernetes = payload["kubernetes.io"], let namespace = kubernetes["namespace"]?.string,
      let account = kubernetes.at("serviceaccount", "name")?.string,
      let uid = kubernetes.at("serviceaccount", "uid")?.string
    else { return nil }
    var bound: Claims.Bound?
    for kind in ["Pod", "Secret"] {
      if let object = kubernetes[kind.lowercased()], let name = object["name"]?.string, let uid = object["uid"]?.string
      {
        bound = Claims.Bound(kind: kind, name: name, uid: uid)
      }
    }
    return Claims(
      namespace: namespace, serviceAccount: account, serviceAccountUID: uid,
      audiences: payload["aud"]?.array?.compactMap(\.string) ?? [], issuedAt: issuedAt, expiresAt: expiresAt,
      bound: bound)
  }
}
