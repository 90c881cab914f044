import Crypto
import FoundationEssentials
import LinuxSystem
import SwiftASN1
import Wire
import X509

/// The keys and certificates of one server, in `DATA/pki`: made at the first start, renewed when they near their end.
///
/// | file | what |
/// |---|---|
/// | `ca.crt`, `ca.key` | the authority that signs the others and client certificates |
/// | `apiserver.crt`, `apiserver.key` | the serving certificate |
/// | `admin.crt`, `admin.key` | `CN=kubernetes-admin, O=system:masters` |
/// | `name-server.crt`, `name-server.key` | `CN=system:apus:name-server`, which may follow what has a name |
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
  public let nameServer: Identity
  let tokenKey: P256.Signing.PrivateKey

  /// What a certificate is for.
  private enum Usage { case server, client }

  private static let authorityLifetime = Duration.seconds(3650 * 86_400)
  private static let leafLifetime = Duration.seconds(365 * 86_400)
  /// A certificate that ends sooner than this is made anew at start.
  private static let renewalWindow = Duration.seconds(30 * 86_400)

  /// Reads what is there and makes what is missing, unreadable, near its end, or made for other names.
  ///
  /// - Parameters:
  ///   - directory: created with mode 0700.
  ///   - dnsNames: the DNS names of the serving certificate.
  ///   - addresses: its IP addresses (dotted or colon form).
  public static func load(directory: String, dnsNames: [String], addresses: [String], now: Timestamp)
    throws(APIServerError) -> PKI
  {
    do {
      try Directory.create(directory, mode: 0o700)
      let names = try generalNames(dnsNames: dnsNames, addresses: addresses)
      var isNewAuthority = false
      var authority: (certificate: Certificate, key: P256.Signing.PrivateKey)
      if let found = read("\(directory)/ca"), isFresh(found.certificate, now) {
        authority = found
      } else {
        isNewAuthority = true
        let key = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("apus-ca-\(now.microseconds / 1_000_000)") }
        let publicKey = Certificate.PublicKey(key.publicKey)
        let certificate = try Certificate(
          version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
          notValidBefore: date(now.adding(.seconds(-3600))), notValidAfter: date(now.adding(authorityLifetime)),
          issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
          extensions: try Certificate.Extensions {
            Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
            Critical(KeyUsage(digitalSignature: true, keyCertSign: true, cRLSign: true))
            SubjectKeyIdentifier(hash: publicKey)
          }, issuerPrivateKey: Certificate.PrivateKey(key))
        try write("\(directory)/ca", certificate, key)
        authority = (certificate, key)
      }

      func leaf(_ file: String, subject: DistinguishedName, usage: Usage) throws -> Identity {
        if !isNewAuthority, let found = read("\(directory)/\(file)"), isFresh(found.certificate, now),
          found.certificate.subject == subject,
          usage == .client || (try? found.certificate.extensions.subjectAlternativeNames).map(Array.init) == names
        {
          return try identity(found.certificate, found.key)
        }
        let key = P256.Signing.PrivateKey()
        let certificate = try issue(
          subject: subject, publicKey: Certificate.PublicKey(key.publicKey), usage: usage, names: names,
          authority: authority, now: now)
        try write("\(directory)/\(file)", certificate, key)
        return try identity(certificate, key)
      }

      let serving = try leaf(
        "apiserver", subject: try DistinguishedName { CommonName("kube-apiserver") }, usage: .server)
      let admin = try leaf(
        "admin",
        subject: try DistinguishedName {
          OrganizationName("system:masters")
          CommonName("kubernetes-admin")
        }, usage: .client)
      let nameServer = try leaf(
        "name-server", subject: try DistinguishedName { CommonName(BootstrapPolicy.nameServer) }, usage: .client)

      let tokenKey: P256.Signing.PrivateKey
      if let pem = try? DurableFile.read("\(directory)/sa.key", limit: 1 << 16),
        let key = try? P256.Signing.PrivateKey(pemRepresentation: String(decoding: pem, as: UTF8.self))
      {
        tokenKey = key
      } else {
        tokenKey = P256.Signing.PrivateKey()
        try DurableFile.write(Array(tokenKey.pemRepresentation.utf8), to: "\(directory)/sa.key", mode: 0o600)
      }
      return PKI(
        authority: try identity(authority.certificate, authority.key), serving: serving, admin: admin,
        nameServer: nameServer, tokenKey: tokenKey)
    } catch let error as APIServerError {
      throw error
    } catch {
      throw APIServerError("cannot prepare the certificates in \(directory)", cause: "\(error)")
    }
  }

  private static func issue(
    subject: DistinguishedName, publicKey: Certificate.PublicKey, usage: Usage, names: [GeneralName],
    authority: (certificate: Certificate, key: P256.Signing.PrivateKey), now: Timestamp
  ) throws -> Certificate {
    try Certificate(
      version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
      // An hour back, so that a clock that runs a little behind accepts it.
      notValidBefore: date(now.adding(.seconds(-3600))), notValidAfter: date(now.adding(leafLifetime)),
      issuer: authority.certificate.subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
      extensions: try Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        try ExtendedKeyUsage([usage == .server ? .serverAuth : .clientAuth])
        AuthorityKeyIdentifier(
          keyIdentifier: SubjectKeyIdentifier(hash: Certificate.PublicKey(authority.key.publicKey)).keyIdentifier)
        if usage == .server { SubjectAlternativeNames(names) }
      }, issuerPrivateKey: Certificate.PrivateKey(authority.key))
  }

  private static func generalNames(dnsNames: [String], addresses: [String]) throws -> [GeneralName] {
    var names: [GeneralName] = []
    for name in dnsNames where !name.isEmpty && !names.contains(.dnsName(name)) { names.append(.dnsName(name)) }
    for text in addresses {
      guard let bytes = IPAddress(text)?.bytes else { continue }
      let name = GeneralName.ipAddress(ASN1OctetString(contentBytes: bytes[...]))
      if !names.contains(name) { names.append(name) }
    }
    return names
  }

  private static func date(_ time: Timestamp) -> Date {
    Date(timeIntervalSince1970: Double(time.microseconds / 1_000_000))
  }

  private static func isFresh(_ certificate: Certificate, _ now: Timestamp) -> Bool {
    certificate.notValidAfter > date(now.adding(renewalWindow)) && certificate.notValidBefore <= date(now)
  }

  private static func identity(_ certificate: Certificate, _ key: P256.Signing.PrivateKey) throws -> Identity {
    Identity(certificate: try certificate.serializeAsPEM().pemString + "\n", privateKey: key.pemRepresentation + "\n")
  }

  private static func read(_ base: String) -> (certificate: Certificate, key: P256.Signing.PrivateKey)? {
    guard let certificateBytes = try? DurableFile.read("\(base).crt", limit: 1 << 16),
      let keyBytes = try? DurableFile.read("\(base).key", limit: 1 << 16),
      let certificate = try? Certificate(pemEncoded: String(decoding: certificateBytes, as: UTF8.self)),
      let key = try? P256.Signing.PrivateKey(pemRepresentation: String(decoding: keyBytes, as: UTF8.self)),
      // A kill between the two writes leaves a pair that does not belong together.
      certificate.publicKey == Certificate.PublicKey(key.publicKey)
    else { return nil }
    return (certificate, key)
  }

  private static func write(_ base: String, _ certificate: Certificate, _ key: P256.Signing.PrivateKey) throws {
    let identity = try identity(certificate, key)
    try DurableFile.write(Array(identity.privateKey.utf8), to: "\(base).key", mode: 0o600)
    try DurableFile.write(Array(identity.certificate.utf8), to: "\(base).crt", mode: 0o644)
  }
}
