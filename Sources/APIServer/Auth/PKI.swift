import Cryptography
import Glibc
import KubeClient
import LinuxSystem
import Wire

/// The keys and certificates of one server, in `DATA/pki`: made at the first start, renewed when they near their end.
///
/// The authority and the token key are made once: another one would make every kubeconfig and every token invalid. Where
/// they were before, they have to be there; the other certificates are issued again by the authority.
///
/// | file | what |
/// |---|---|
/// | `ca.crt`, `ca.key` | the authority that signs the others and client certificates |
/// | `apiserver.crt`, `apiserver.key` | the serving certificate |
/// | `admin.crt`, `admin.key` | `CN=kubernetes-admin, O=system:masters` |
/// | `NAME.crt`, `NAME.key` | `CN=system:apus:NAME`, for the identity of a capability |
/// | `sa.key` | signs service account tokens (ES256) |
public struct PKI: Sendable {
  /// A certificate and its private key in PEM.
  public struct Identity: Sendable {
    public var certificate: String
    public var privateKey: String
  }

  public let authority: Identity
  public let serving: Identity
  public let admin: Identity
  /// Of the capabilities' identities, by their names.
  public let identities: [String: Identity]
  /// What is unusual and was mended: for the log.
  public let notices: [String]
  let tokenKey: P256PrivateKey
  private let authorityKey: P256PublicKey

  /// Fingerprints of the public keys that must stay what they are, by their files.
  public var fingerprints: [String: String] {
    [
      Self.authorityFile: Self.fingerprint(authorityKey), Self.tokenFile: Self.fingerprint(tokenKey.publicKey),
    ]
  }

  private static let authorityFile = "ca.crt"
  private static let tokenFile = "sa.key"

  /// What a certificate is for.
  private enum Usage { case server, client }

  private static let authorityLifetime = Duration.seconds(3650 * 86_400)
  private static let leafLifetime = Duration.seconds(365 * 86_400)
  /// A certificate that ends sooner than this is made anew at start.
  private static let renewalWindow = Duration.seconds(30 * 86_400)

  /// Reads what is there and makes what is missing, near its end, or made for other names.
  ///
  /// - Parameters:
  ///   - directory: created with mode 0700.
  ///   - dnsNames: the DNS names of the serving certificate.
  ///   - addresses: its IP addresses (dotted or colon form).
  ///   - identities: names of the capabilities' identities.
  ///   - made: the fingerprints of keys that were made before, as far as they are known; `nil` when none were: only then
  ///     an authority and a token key are made.
  public static func load(
    directory: String, dnsNames: [String], addresses: [String], identities: [String] = [], now: Timestamp,
    made: [String: String]? = nil
  ) throws(APIServerError) -> PKI {
    do {
      try Directory.create(directory, mode: 0o700)
      var loader = Loader(directory: directory, now: now, made: made)
      return try loader.load(names: generalNames(dnsNames: dnsNames, addresses: addresses), identities: identities)
    } catch let error as APIServerError {
      throw error
    } catch {
      throw APIServerError("cannot prepare the certificates in \(directory)", cause: "\(error)")
    }
  }

  /// One reading of the folder.
  private struct Loader {
    let directory: String
    let now: Timestamp
    let made: [String: String]?
    var notices: [String] = []

    init(directory: String, now: Timestamp, made: [String: String]?) {
      self.directory = directory
      self.now = now
      self.made = made
    }

    mutating func load(names: [GeneralName], identities: [String]) throws -> PKI {
      let authority = try made == nil ? readAuthority() ?? makeAuthority() : keptAuthority()
      let tokenKey = try made == nil ? readTokenKey() ?? makeTokenKey() : keptTokenKey()
      let serving = try leaf(
        "apiserver", subject: DistinguishedName([(.commonName, "kube-apiserver")]), .server, names, authority)
      let admin = try leaf(
        "admin", subject: DistinguishedName([(.organization, "system:masters"), (.commonName, "kubernetes-admin")]),
        .client, names, authority)
      var signed: [String: Identity] = [:]
      for name in identities {
        precondition(!["ca", "apiserver", "admin", "sa"].contains(name), "an identity has the name of another file")
        signed[name] = try leaf(
          name, subject: DistinguishedName([(.commonName, UserInfo.ownPrefix + name)]), .client, names, authority)
      }
      return PKI(
        authority: try identity(authority.certificate, authority.key), serving: serving, admin: admin,
        identities: signed, notices: notices, tokenKey: tokenKey, authorityKey: authority.key.publicKey)
    }

    private func path(_ file: String) -> String { "\(directory)/\(file)" }

    /// What a refused start says: which file, what is wrong with it, and what to do.
    private func refuse(_ file: String, _ problem: String) -> APIServerError {
      APIServerError(
        """
        \(path(file)) \(problem), and kubeconfigs and tokens depend on it: another one is not made.
        Restore \(directory)/ from a backup. To give this cluster up and begin with an empty one: apus down --purge.
        """)
    }

    private func bytes(_ file: String) throws -> [UInt8] {
      let bytes: [UInt8]
      do throws(SystemError) { bytes = try DurableFile.read(path(file), limit: 1 << 16) } catch {
        throw refuse(file, error.errno == ENOENT ? "is not there" : "cannot be read (\(error))")
      }
      guard !bytes.isEmpty else { throw refuse(file, "is empty") }
      return bytes
    }

    // MARK: The authority

    private typealias Authority = (certificate: Certificate, key: P256PrivateKey)

    private func readAuthority() -> Authority? { PKI.read(path("ca")) }

    private func makeAuthority() throws -> Authority {
      let name = DistinguishedName([(.commonName, "apus-ca-\(now.microseconds / 1_000_000)")])
      return try certifyAuthority(try P256PrivateKey(), name: name, from: now.adding(.seconds(-3600)))
    }

    private func certifyAuthority(
      _ key: P256PrivateKey, name: DistinguishedName, from start: Timestamp
    ) throws -> Authority {
      let certificate = try Certificate(
        subject: name, publicKey: key.publicKey, issuer: name, signedBy: key, notBefore: start,
        notAfter: now.adding(authorityLifetime),
        extensions: [
          .basicConstraints(isAuthority: true),
          .keyUsage([.digitalSignature, .certificateSigning, .revocationListSigning]),
          .subjectKeyIdentifier(key.publicKey),
        ])
      try write(path("ca"), certificate, key)
      return (certificate, key)
    }

    /// The authority that was made before, whole and the same.
    private mutating func keptAuthority() throws -> Authority {
      let file = authorityFile
      guard let certificate = try? Certificate(pem: String(decoding: try bytes(file), as: UTF8.self)) else {
        _ = try bytes(file)
        throw refuse(file, "is damaged: it is no certificate")
      }
      guard let key = try? P256PrivateKey(pem: String(decoding: try bytes("ca.key"), as: UTF8.self)) else {
        _ = try bytes("ca.key")
        throw refuse("ca.key", "is damaged: it is no key")
      }
      // No key here is of another type than P-256.
      guard let publicKey = certificate.publicKey else {
        throw refuse("ca.key", "does not belong to \(path(file))")
      }
      guard certificate.isSigned(by: publicKey) else {
        throw refuse(file, "is damaged: it is not signed by its own key")
      }
      guard publicKey == key.publicKey else { throw refuse("ca.key", "does not belong to \(path(file))") }
      let print = fingerprint(publicKey)
      guard made?[file] ?? print == print else { throw refuse(file, "is another one than before") }
      guard certificate.notBefore <= now else {
        throw APIServerError(
          "the clock says \(now.rfc3339), which is before \(path(file)) was made: set the clock and start again")
      }
      if isFresh(certificate, now) { return (certificate, key) }
      // The same key and name: what it has signed stays valid, and so do kubeconfigs until the old certificate's end.
      let end = certificate.notAfter.rfc3339.replacing("T", with: " ").replacing("Z", with: " +0000")
      notices.append("\(path(file)) ends on \(end): it is renewed with the same key")
      return try certifyAuthority(key, name: certificate.subject, from: certificate.notBefore)
    }

    // MARK: The token key

    private func readTokenKey() -> P256PrivateKey? {
      guard let pem = try? DurableFile.read(path(tokenFile), limit: 1 << 16) else { return nil }
      return try? P256PrivateKey(pem: String(decoding: pem, as: UTF8.self))
    }

    private func makeTokenKey() throws -> P256PrivateKey {
      let key = try P256PrivateKey()
      try DurableFile.write(Array(try key.pem.utf8), to: path(tokenFile), mode: 0o600)
      return key
    }

    private func keptTokenKey() throws -> P256PrivateKey {
      _ = try bytes(tokenFile)
      guard let key = readTokenKey() else { throw refuse(tokenFile, "is damaged: it is no key") }
      let print = fingerprint(key.publicKey)
      guard made?[tokenFile] ?? print == print else { throw refuse(tokenFile, "is another one than before") }
      return key
    }

    // MARK: What the authority signs

    private mutating func leaf(
      _ file: String, subject: DistinguishedName, _ usage: Usage, _ names: [GeneralName], _ authority: Authority
    ) throws -> Identity {
      let found = PKI.read(path(file))
      let isOurs = found?.certificate.isSigned(by: authority.key.publicKey) ?? false
      if let found, isFresh(found.certificate, now), found.certificate.subject == subject,
        isOurs, usage == .client || found.certificate.subjectAlternativeNames == names
      {
        return try identity(found.certificate, found.key)
      }
      if made != nil, !isOurs {
        notices.append("\(path(file)).crt or its key is missing or damaged: it is issued again")
      }
      let key = try P256PrivateKey()
      let certificate = try issue(
        subject: subject, publicKey: key.publicKey, usage: usage, names: names, authority: authority, now: now)
      try write(path(file), certificate, key)
      return try identity(certificate, key)
    }
  }

  private static func fingerprint(_ key: P256PublicKey) -> String {
    MessageDigest.hexadecimal(MessageDigest.hash(key.point, .sha256))
  }

  private static func issue(
    subject: DistinguishedName, publicKey: P256PublicKey, usage: Usage, names: [GeneralName],
    authority: (certificate: Certificate, key: P256PrivateKey), now: Timestamp
  ) throws -> Certificate {
    var extensions: [CertificateExtension] = [
      .basicConstraints(isAuthority: false), .keyUsage(.digitalSignature),
      .extendedKeyUsage([usage == .server ? .serverAuthentication : .clientAuthentication]),
      .authorityKeyIdentifier(authority.key.publicKey),
    ]
    if usage == .server { extensions.append(.subjectAlternativeNames(names)) }
    return try Certificate(
      subject: subject, publicKey: publicKey, issuer: authority.certificate.subject, signedBy: authority.key,
      // An hour back, so that a clock that runs a little behind accepts it.
      notBefore: now.adding(.seconds(-3600)), notAfter: now.adding(leafLifetime), extensions: extensions)
  }

  private static func generalNames(dnsNames: [String], addresses: [String]) -> [GeneralName] {
    var names: [GeneralName] = []
    for name in dnsNames.filter({ !$0.isEmpty }).map(GeneralName.dns) where !names.contains(name) {
      names.append(name)
    }
    for name in addresses.compactMap({ IPAddress($0) }).map(GeneralName.address) where !names.contains(name) {
      names.append(name)
    }
    return names
  }

  private static func isFresh(_ certificate: Certificate, _ now: Timestamp) -> Bool {
    certificate.notAfter > now.adding(renewalWindow) && certificate.notBefore <= now
  }

  private static func identity(_ certificate: Certificate, _ key: P256PrivateKey) throws -> Identity {
    Identity(certificate: certificate.pem + "\n", privateKey: try key.pem + "\n")
  }

  private static func read(_ base: String) -> (certificate: Certificate, key: P256PrivateKey)? {
    guard let certificateBytes = try? DurableFile.read("\(base).crt", limit: 1 << 16),
      let keyBytes = try? DurableFile.read("\(base).key", limit: 1 << 16),
      let certificate = try? Certificate(pem: String(decoding: certificateBytes, as: UTF8.self)),
      let key = try? P256PrivateKey(pem: String(decoding: keyBytes, as: UTF8.self)),
      // A kill between the two writes leaves a pair that does not belong together.
      certificate.publicKey == key.publicKey
    else { return nil }
    return (certificate, key)
  }

  private static func write(_ base: String, _ certificate: Certificate, _ key: P256PrivateKey) throws {
    let identity = try identity(certificate, key)
    try DurableFile.write(Array(identity.privateKey.utf8), to: "\(base).key", mode: 0o600)
    try DurableFile.write(Array(identity.certificate.utf8), to: "\(base).crt", mode: 0o644)
  }
}
