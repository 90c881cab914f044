import Glibc
import TestKit
import Testing
import Wire

@testable import Cryptography

@Suite struct CertificateTests {
  private static let now = Timestamp(seconds: 1_700_000_000)

  private static func authority(_ key: P256PrivateKey, until end: Timestamp) throws -> Certificate {
    let name = DistinguishedName([(.commonName, "apus-ca-1700000000")])
    return try Certificate(
      subject: name, publicKey: key.publicKey, issuer: name, signedBy: key, notBefore: now.adding(.seconds(-3600)),
      notAfter: end,
      extensions: [
        .basicConstraints(isAuthority: true),
        .keyUsage([.digitalSignature, .certificateSigning, .revocationListSigning]),
        .subjectKeyIdentifier(key.publicKey),
      ])
  }

  private static func leaf(
    _ subject: DistinguishedName, _ key: P256PublicKey, by issuer: Certificate, _ issuerKey: P256PrivateKey,
    names: [GeneralName]?
  ) throws -> Certificate {
    var extensions: [CertificateExtension] = [
      .basicConstraints(isAuthority: false), .keyUsage(.digitalSignature),
      .extendedKeyUsage([names == nil ? .clientAuthentication : .serverAuthentication]),
      .authorityKeyIdentifier(issuerKey.publicKey),
    ]
    if let names { extensions.append(.subjectAlternativeNames(names)) }
    return try Certificate(
      subject: subject, publicKey: key, issuer: issuer.subject, signedBy: issuerKey,
      notBefore: now.adding(.seconds(-3600)), notAfter: now.adding(.seconds(365 * 86_400)), extensions: extensions)
  }

  private static func servingNames() throws -> [GeneralName] {
    [
      .dns("localhost"), .dns("kubernetes.default.svc"), .address(try #require(IPAddress("127.0.0.1"))),
      .address(try #require(IPAddress("::1"))),
    ]
  }

  /// What is signed, without the serial number, which is random.
  private static func content(_ certificate: Certificate) throws -> [[UInt8]] {
    var reader = DERReader(certificate.der[...])
    var outer = try reader.sequence()
    var fields = try outer.sequence()
    var elements: [[UInt8]] = []
    while !fields.isAtEnd { elements.append(Array(try fields.next().encoded)) }
    elements.remove(at: 1)
    return elements
  }

  // MARK: Earlier versions

  @Test func earlierCertificatesAreRead() throws {
    let authority = try Certificate(pem: EarlierKeys.authority)
    let key = try P256PrivateKey(pem: EarlierKeys.authorityKey)
    #expect(authority.publicKey == key.publicKey && authority.isSigned(by: key.publicKey))
    #expect(authority.subject == DistinguishedName([(.commonName, "apus-ca-1700000000")]))
    #expect(authority.notBefore == Self.now.adding(.seconds(-3600)))
    #expect(authority.notAfter == Self.now.adding(.seconds(3650 * 86_400)))
    #expect(authority.extendedKeyUsage == nil && authority.subjectAlternativeNames == nil)
    #expect(try Certificate(pem: Fixture.distantAuthority).notAfter == Self.now.adding(.seconds(36500 * 86_400)))

    let serving = try Certificate(pem: EarlierKeys.serving)
    #expect(serving.isSigned(by: key.publicKey))
    #expect(serving.publicKey == (try P256PrivateKey(pem: EarlierKeys.servingKey).publicKey))
    #expect(serving.extendedKeyUsage == [.serverAuthentication])
    #expect(serving.subjectAlternativeNames == (try Self.servingNames()))
    let administrator = try Certificate(pem: EarlierKeys.administrator)
    #expect(administrator.isSigned(by: key.publicKey) && administrator.extendedKeyUsage == [.clientAuthentication])
    #expect(
      administrator.subject
        == DistinguishedName([(.organization, "system:masters"), (.commonName, "kubernetes-admin")]))
    for text in [EarlierKeys.authority, Fixture.distantAuthority, EarlierKeys.serving, EarlierKeys.administrator] {
      #expect(try Certificate(pem: text).pem == text)
    }
  }

  /// To the byte, but for serial number and signature.
  @Test func newCertificatesAreAsEarlierOnes() throws {
    let key = try P256PrivateKey(pem: EarlierKeys.authorityKey)
    let earlier = try Certificate(pem: EarlierKeys.authority)
    let authority = try Self.authority(key, until: Self.now.adding(.seconds(3650 * 86_400)))
    #expect(try Self.content(authority) == Self.content(earlier))
    let distant = try Self.authority(key, until: Self.now.adding(.seconds(36500 * 86_400)))
    #expect(try Self.content(distant) == Self.content(try Certificate(pem: Fixture.distantAuthority)))
    let serving = try Self.leaf(
      DistinguishedName([(.commonName, "kube-apiserver")]), try P256PrivateKey(pem: EarlierKeys.servingKey).publicKey,
      by: earlier, key, names: try Self.servingNames())
    #expect(try Self.content(serving) == Self.content(try Certificate(pem: EarlierKeys.serving)))
    let before = try Certificate(pem: EarlierKeys.administrator)
    let administrator = try Self.leaf(before.subject, try #require(before.publicKey), by: earlier, key, names: nil)
    #expect(try Self.content(administrator) == Self.content(before))
    #expect(authority.der != earlier.der && authority.isSigned(by: key.publicKey))
  }

  // MARK: Others' certificates

  @Test func othersAreRead() throws {
    let key = try P256PrivateKey(pem: EarlierKeys.authorityKey)
    let client = try Certificate(pem: Fixture.client)
    #expect(client.isSigned(by: key.publicKey) && client.publicKey == nil)
    #expect(client.subject.values(of: .commonName) == ["jane"])
    #expect(client.subject.values(of: .organization) == ["dev", "ops"])
    let mailProtection = ExtendedKeyUsage.other([0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x04])
    #expect(client.extendedKeyUsage == [.clientAuthentication, mailProtection])
    let names = try #require(client.subjectAlternativeNames)
    #expect(names.count == 4 && names[1] == .dns("jane.example.org"))
    #expect(names[2] == .address(try #require(IPAddress("192.0.2.1"))))
    #expect(names[0] == .other([0x81, 16] + Array("jane@example.org".utf8)))

    let own = try Certificate(pem: Fixture.ownAuthority)
    let ownKey = try P256PrivateKey(pem: Fixture.sec1Key)
    #expect(own.publicKey == ownKey.publicKey && own.isSigned(by: ownKey.publicKey))
    #expect(!own.isSigned(by: key.publicKey) && !client.isSigned(by: ownKey.publicKey))
  }

  /// A renewed authority keeps its name as whoever made it wrote it.
  @Test func aNameKeepsItsForm() throws {
    let client = try Certificate(pem: Fixture.client)
    let key = try P256PrivateKey()
    let issued = try Certificate(
      subject: client.subject, publicKey: key.publicKey, issuer: client.subject, signedBy: key, notBefore: Self.now,
      notAfter: Self.now, extensions: [])
    #expect(issued.subject == client.subject && issued.subject.values(of: .organization) == ["dev", "ops"])
    // The same text in another type is another name.
    #expect(
      client.subject != DistinguishedName([(.organization, "dev"), (.organization, "ops"), (.commonName, "jane")]))
  }

  @Test func textInNamesIsOfItsType() throws {
    func value(_ tag: UInt8, _ content: [UInt8]) throws -> [String] {
      let name = DER.sequence(
        DER.element(
          DER.Tag.set,
          DER.sequence(DER.objectIdentifier(ObjectIdentifier.commonName), DER.element(tag, content))))
      var reader = DERReader(name[...])
      return try DistinguishedName(try reader.next()).values(of: .commonName)
    }
    #expect(try value(DER.Tag.utf8String, Array("ä".utf8)) == ["ä"])
    #expect(try value(DER.Tag.utf8String, [0xC3]) == [])
    #expect(try value(DER.Tag.printableString, Array("a-b (c)".utf8)) == ["a-b (c)"])
    #expect(try value(DER.Tag.printableString, Array("system:masters*".utf8)) == [])
    #expect(try value(DER.Tag.ia5String, Array("a@b".utf8)) == ["a@b"])
    #expect(try value(DER.Tag.ia5String, [0xE4]) == [])
    #expect(try value(0x1E, [0, 0x61]) == [], "BMPString")
  }

  @Test(arguments: [
    ("1949-12-31T23:59:59Z", DER.Tag.generalizedTime, "19491231235959Z"),
    ("1950-01-01T00:00:00Z", DER.Tag.utcTime, "500101000000Z"),
    ("1999-12-31T23:59:59Z", DER.Tag.utcTime, "991231235959Z"),
    ("2024-02-29T12:34:56Z", DER.Tag.utcTime, "240229123456Z"),
    ("2049-12-31T23:59:59Z", DER.Tag.utcTime, "491231235959Z"),
    ("2050-01-01T00:00:00Z", DER.Tag.generalizedTime, "20500101000000Z"),
    ("9999-12-31T23:59:59Z", DER.Tag.generalizedTime, "99991231235959Z"),
  ])
  func timesHaveTheirForm(text: String, tag: UInt8, content: String) throws {
    let time = try #require(Timestamp(rfc3339: text))
    let key = try P256PrivateKey()
    let certificate = try Certificate(
      subject: DistinguishedName([(.commonName, "x")]), publicKey: key.publicKey,
      issuer: DistinguishedName([(.commonName, "x")]), signedBy: key, notBefore: time, notAfter: time, extensions: [])
    #expect(certificate.notBefore == time && certificate.notAfter == time)
    let element = DER.element(tag, Array(content.utf8))
    #expect(try Self.content(certificate)[3] == DER.sequence(element, element))
  }

  @Test func whatCannotBeWrittenIsRefused() throws {
    let key = try P256PrivateKey()
    let name = DistinguishedName([(.commonName, "x")])
    func issue(_ time: Timestamp, _ names: [GeneralName]) throws -> Certificate {
      try Certificate(
        subject: name, publicKey: key.publicKey, issuer: name, signedBy: key, notBefore: time, notAfter: time,
        extensions: [.subjectAlternativeNames(names)])
    }
    #expect(try issue(Self.now, [.dns("a")]).subjectAlternativeNames == [.dns("a")])
    #expect(throws: CryptographyError.self) { try issue(Self.now, [.dns("ä")]) }
    #expect(throws: CryptographyError.self) { try issue(Timestamp(microseconds: .max), []) }
    #expect(throws: CryptographyError.self) { try issue(Timestamp(microseconds: .min), []) }
  }

  @Test func oneExtensionIsThereOnce() throws {
    let key = try P256PrivateKey()
    let name = DistinguishedName([(.commonName, "x")])
    #expect(throws: CryptographyError.self) {
      try Certificate(
        subject: name, publicKey: key.publicKey, issuer: name, signedBy: key, notBefore: Self.now, notAfter: Self.now,
        extensions: [.extendedKeyUsage([.serverAuthentication]), .extendedKeyUsage([.clientAuthentication])])
    }
  }

  @Test func serialNumbersAreRandomAndNotTooLong() throws {
    let key = try P256PrivateKey()
    var seen: Set<[UInt8]> = []
    for _ in 0..<20 {
      let certificate = try Self.authority(key, until: Self.now)
      var reader = DERReader(certificate.der[...])
      var outer = try reader.sequence()
      var fields = try outer.sequence()
      _ = try fields.next()
      let number = Array(try fields.next(DER.Tag.integer).content)
      #expect(number.count == 20 && number[0] < 0x80)
      seen.insert(number)
    }
    #expect(seen.count == 20)
  }

  // MARK: Damage

  /// Whatever byte is changed: it is no certificate any more, or its signature does not fit.
  @Test(arguments: ["authority", "serving", "client"]) func changedOnesAreNotValid(name: String) throws {
    let key = try P256PrivateKey(pem: EarlierKeys.authorityKey).publicKey
    let pem = ["authority": EarlierKeys.authority, "serving": EarlierKeys.serving, "client": Fixture.client][name]
    let original = try Certificate(pem: try #require(pem))
    #expect(original.isSigned(by: key))
    var parsed = 0
    for index in original.der.indices {
      for bit in [0x01, 0x80] as [UInt8] {
        var bytes = original.der
        bytes[index] ^= bit
        guard let changed = try? Certificate(der: bytes) else { continue }
        parsed += 1
        #expect(!changed.isSigned(by: key), "byte \(index)")
      }
    }
    #expect(parsed > 100, "the signature was looked at")
  }

  @Test func truncatedAndLongerOnesAreRefused() throws {
    let certificate = try Certificate(pem: EarlierKeys.serving)
    for count in 0..<certificate.der.count {
      #expect(throws: CryptographyError.self) { try Certificate(der: Array(certificate.der.prefix(count))) }
    }
    #expect(throws: CryptographyError.self) { try Certificate(der: certificate.der + [0]) }
    for pem in [EarlierKeys.authorityKey, "", certificate.pem + "\n" + certificate.pem] {
      #expect(throws: CryptographyError.self) { try Certificate(pem: pem) }
    }
  }

  /// Whatever comes: it is refused, or it is read as what it is.
  @Test(arguments: 0..<8 as Range<UInt64>) func anyBytesAreReadOrRefused(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let authority = try P256PrivateKey(pem: EarlierKeys.authorityKey).publicKey
    let certificates = try [EarlierKeys.serving, Fixture.client].map { try Certificate(pem: $0).der }
    let keys = try [Fixture.sec1Key, Fixture.pkcs8Key, Fixture.rsaKey].map { try PEM.decode($0) }
    func mutated(_ bytes: [UInt8]) -> [UInt8] {
      var bytes = bytes
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes[index] = UInt8.random(in: 0 ... .max, using: &generator)
        // Lengths and tags are where parsers fail.
        case 1:
          bytes[index] = ([0, 0x80, 0x81, 0x84, 0xFF, 0x30, 0x1F] as [UInt8]).randomElement(using: &generator) ?? 0
        case 2: bytes.remove(at: index)
        default: bytes.insert(contentsOf: bytes[index...].prefix(8), at: index)
        }
      }
      return bytes
    }
    var refused = 0
    for round in 0..<500 {
      let original = certificates[round % 2]
      let bytes = mutated(original)
      do {
        let certificate = try Certificate(der: bytes)
        #expect(certificate.der == bytes)
        #expect(try Certificate(pem: certificate.pem) == certificate)
        #expect(certificate.isSigned(by: authority) == (bytes == original))
      } catch { refused += 1 }
      let key = keys[round % 3]
      let text = PEM.encode(mutated(key.bytes), label: key.label)
      if let read = try? P256PrivateKey(pem: text) {
        #expect(try P256PrivateKey(pem: read.pem).publicKey == read.publicKey)
      } else {
        refused += 1
      }
      let noise = (0..<Int.random(in: 0...80, using: &generator)).map { _ in
        UInt8.random(in: 0 ... .max, using: &generator)
      }
      #expect(throws: CryptographyError.self) { try Certificate(der: noise) }
      #expect(throws: CryptographyError.self) { try P256PublicKey(point: [4] + noise) }
      for label in ["PRIVATE KEY", "EC PRIVATE KEY"] {
        #expect(throws: CryptographyError.self) { try P256PrivateKey(pem: PEM.encode(noise, label: label)) }
      }
      #expect(throws: CryptographyError.self) { try PEM.decode(String(decoding: noise, as: UTF8.self)) }
    }
    #expect(refused > 500)
  }

  @Test func lengthsAreAsShortAsTheyCanBe() throws {
    func read(_ bytes: [UInt8]) throws -> [UInt8] {
      var reader = DERReader(bytes[...])
      let element = try reader.next()
      try reader.end()
      return Array(element.content)
    }
    for count in [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000] {
      let content = [UInt8](repeating: 9, count: count)
      #expect(try read(DER.octetString(content)) == content)
    }
    for bad: [UInt8] in [
      [], [4], [4, 1], [4, 0x80, 0, 0], [4, 0x81, 1, 9], [4, 0x82, 0, 0x80] + [UInt8](repeating: 9, count: 0x80),
      [4, 0x84, 0, 0, 0, 1, 9], [4, 0xFF], [0x1F, 1, 0], [4, 0x83, 0xFF, 0xFF, 0xFF], [4, 0x81],
    ] {
      #expect(throws: CryptographyError.self) { try read(bad) }
    }
    for bad: [UInt8] in [[2, 0], [2, 1, 0x80], [2, 2, 0, 0x7F], [2, 2, 0, 0]] {
      var reader = DERReader(bad[...])
      #expect(throws: CryptographyError.self) { try reader.unsignedInteger() }
    }
  }

  // MARK: The program openssl

  @Test(.enabled(if: access("/usr/bin/openssl", X_OK) == 0)) func opensslReadsWhatIsWritten() throws {
    let directory = "/tmp/apus-cryptography-\(UInt64.random(in: 0 ... .max))"
    #expect(mkdir(directory, 0o700) == 0)
    defer {
      for name in ["ca.crt", "leaf.crt", "leaf.key"] { unlink("\(directory)/\(name)") }
      rmdir(directory)
    }
    func write(_ name: String, _ text: String) throws {
      let file = try #require(fopen("\(directory)/\(name)", "w"))
      fputs(text + "\n", file)
      fclose(file)
    }
    func openssl(_ arguments: String) -> Bool {
      system("cd \(directory) && /usr/bin/openssl \(arguments) >/dev/null 2>&1") == 0
    }
    let key = try P256PrivateKey()
    let leafKey = try P256PrivateKey()
    let authority = try Self.authority(key, until: Self.now.adding(.seconds(3650 * 86_400)))
    let leaf = try Self.leaf(
      DistinguishedName([(.commonName, "leaf")]), leafKey.publicKey, by: authority, key, names: try Self.servingNames())
    try write("ca.crt", authority.pem)
    try write("leaf.crt", leaf.pem)
    try write("leaf.key", leafKey.pem)
    let verify = "verify -attime 1700000000 -CAfile ca.crt -purpose sslserver"
    #expect(openssl("\(verify) -verify_hostname localhost leaf.crt"))
    #expect(openssl("\(verify) -verify_ip ::1 leaf.crt"))
    #expect(!openssl("\(verify) -verify_hostname example.org leaf.crt"))
    #expect(!openssl("verify -attime 1800000000 -CAfile ca.crt leaf.crt"))
    #expect(!openssl("verify -attime 1700000000 -CAfile ca.crt -purpose sslclient leaf.crt"))
    #expect(openssl("pkey -in leaf.key -check -noout"))
    let other = try Self.authority(try P256PrivateKey(), until: Self.now.adding(.seconds(3650 * 86_400)))
    try write("ca.crt", other.pem)
    #expect(!openssl("\(verify) leaf.crt"))
  }
}
