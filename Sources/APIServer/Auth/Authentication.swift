import Cryptography
import HTTP
import KubeClient
import KubeTypes
import Store
import Wire

/// What Kubernetes calls a caller.
typealias UserInfo = Caller

extension ConnectionBudget.User {
  /// Administrators, nodes and our own processes are not shut out by all the others together.
  ///
  /// The service accounts of a namespace are one: who may make one can make thousands.
  init(_ user: UserInfo) {
    let parts = user.name.split(separator: ":", omittingEmptySubsequences: false)
    let isAccount = parts.count == 4 && parts[0] == "system" && parts[1] == "serviceaccount"
    self.init(
      name: isAccount ? "service accounts of \(parts[2])" : user.name,
      isPrivileged: Self.isPrivileged(user))
  }

  static func isPrivileged(_ user: UserInfo) -> Bool {
    user.isMaster || user.groups.contains("system:nodes") || user.name.hasPrefix(UserInfo.ownPrefix)
  }
}

extension TokenIssuer.Claims.Bound {
  /// Its key in the store.
  func key(in namespace: String) -> String {
    switch kind {
    case "Pod": "pods/\(namespace)/\(name)"
    case "Secret": "secrets/\(namespace)/\(name)"
    default: "nodes/\(name)"
    }
  }
}

/// Finds out who asks: by client certificate, by bearer token, or not at all.
final class Authenticator: Sendable {
  private let store: Store
  let issuer: TokenIssuer
  /// Static tokens from a file: `token,user,uid,"group1,group2"` per line.
  private let staticTokens: [String: UserInfo]
  /// The audiences that this server answers to.
  let audiences: [String]

  init(store: Store, issuer: TokenIssuer, staticTokens: [String: UserInfo], audiences: [String]) {
    self.store = store
    self.issuer = issuer
    self.staticTokens = staticTokens
    self.audiences = audiences
  }

  /// The user that a verified client certificate names: CN is the user, each O a group.
  static func user(certificateDER bytes: [UInt8]) -> UserInfo? {
    guard let certificate = try? Certificate(der: bytes) else { return nil }
    // A serving certificate of the same authority must not pass as a client.
    guard certificate.extendedKeyUsage?.contains(.clientAuthentication) == true else { return nil }
    guard let name = certificate.subject.values(of: .commonName).last, !name.isEmpty else { return nil }
    let fingerprint = MessageDigest.hexadecimal(MessageDigest.hash(bytes, .sha256))
    return UserInfo(
      name: name, groups: certificate.subject.values(of: .organization) + ["system:authenticated"],
      extra: [UserInfo.credentialID: ["X509SHA256=\(fingerprint)"]])
  }

  /// - Throws: 401 for a bearer token that is not valid here: a client that sends one does not want to be anonymous.
  func authenticate(certificateUser: UserInfo?, authorization: String?, now: Timestamp) throws(KubeError) -> UserInfo {
    if let certificateUser { return certificateUser }
    guard let authorization else { return .anonymous }
    let prefix = "bearer "
    // By bytes: counting the characters of a token costs more than all else here.
    let bytes = authorization.utf8
    guard bytes.count > prefix.utf8.count, zip(bytes, prefix.utf8).allSatisfy({ $0 | 0x20 == $1 }) else {
      return .anonymous
    }
    let token = String(authorization[bytes.index(bytes.startIndex, offsetBy: prefix.utf8.count)...])
    guard let (user, _) = user(token: token, audiences: audiences, now: now) else { throw .unauthorized() }
    return user
  }

  /// The user of a token, and the audiences that it shares with `audiences`.
  func user(token: String, audiences: [String], now: Timestamp) -> (UserInfo, [String])? {
    // A static token is for this server, not for whoever else has it reviewed.
    if let user = staticTokens[token] {
      let shared = self.audiences.filter(audiences.contains)
      return shared.isEmpty ? nil : (user, shared)
    }
    guard let claims = issuer.verify(token, now: now) else { return nil }
    let shared = claims.audiences.filter(audiences.contains)
    guard !shared.isEmpty else { return nil }
    // A token ends with its account and with the object it is bound to, whatever its expiry says.
    guard let account = store.get("serviceaccounts/\(claims.namespace)/\(claims.serviceAccount)"),
      account.header.uid == claims.serviceAccountUID
    else { return nil }
    if let bound = claims.bound {
      guard let object = store.get(bound.key(in: claims.namespace)), object.header.uid == bound.uid else { return nil }
    }
    let extra = Self.extra(claims)
    let user = UserInfo(
      name: "system:serviceaccount:\(claims.namespace):\(claims.serviceAccount)", uid: claims.serviceAccountUID,
      groups: ["system:serviceaccounts", "system:serviceaccounts:\(claims.namespace)", "system:authenticated"],
      extra: extra)
    return (user, shared)
  }

  /// What is told about a token besides its account (KEP-4193).
  private static func extra(_ claims: TokenIssuer.Claims) -> [String: [String]] {
    var extra: [String: [String]] = [:]
    if !claims.id.isEmpty { extra[UserInfo.credentialID] = ["JTI=\(claims.id)"] }
    for object in [claims.bound, claims.node].compactMap(\.self) where object.kind != "Secret" {
      extra["authentication.kubernetes.io/\(object.kind.lowercased())-name"] = [object.name]
      extra["authentication.kubernetes.io/\(object.kind.lowercased())-uid"] = [object.uid]
    }
    return extra
  }

  /// Parses the static token file: one `token,user,uid[,"group,group"]` per line.
  static func parseTokens(_ text: String) throws(APIServerError) -> [String: UserInfo] {
    var tokens: [String: UserInfo] = [:]
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let line = line.trimming(while: \.isWhitespace)
      if line.isEmpty || line.hasPrefix("#") { continue }
      let parts = line.split(separator: ",", maxSplits: 3, omittingEmptySubsequences: false)
      guard parts.count >= 3, !parts[0].isEmpty, !parts[1].isEmpty else {
        throw APIServerError("the token file's line \(number + 1) must read token,user,uid[,\"group,group\"]")
      }
      let groups = parts.count > 3 ? parts[3].trimming { $0 == "\"" }.split(separator: ",").map(String.init) : []
      tokens[String(parts[0])] = UserInfo(
        name: String(parts[1]), uid: String(parts[2]), groups: groups + ["system:authenticated"])
    }
    return tokens
  }
}

extension Substring {
  func trimming(while matches: (Character) -> Bool) -> Substring {
    var text = self
    while let first = text.first, matches(first) { text.removeFirst() }
    while let last = text.last, matches(last) { text.removeLast() }
    return text
  }
}
