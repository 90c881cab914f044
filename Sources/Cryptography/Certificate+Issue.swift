import Wire

extension Certificate {
  /// Makes one: version 3, a random serial number, signed by ECDSA with SHA-256.
  ///
  /// - Parameters:
  ///   - issuer: the subject of the issuer's own certificate.
  ///   - key: the issuer's.
  ///   - extensions: in this order.
  package init(
    subject: DistinguishedName, publicKey: P256PublicKey, issuer: DistinguishedName, signedBy key: P256PrivateKey,
    notBefore: Timestamp, notAfter: Timestamp, extensions: [CertificateExtension]
  ) throws(CryptographyError) {
    let algorithm = DER.sequence(DER.objectIdentifier(ObjectIdentifier.ecdsaWithSHA256))
    var list: [UInt8] = []
    for value in extensions { list += try value.der }
    let signed = DER.sequence(
      DER.element(DER.Tag.context(0, isConstructed: true), DER.integer([2])), DER.integer(Self.serialNumber()),
      algorithm, issuer.der, DER.sequence(try Self.encoded(notBefore), try Self.encoded(notAfter)), subject.der,
      publicKey.der,
      DER.element(DER.Tag.context(3, isConstructed: true), DER.element(DER.Tag.sequence, list)))
    let signature = try key.signature(for: signed)
    try self.init(der: DER.sequence(signed, algorithm, DER.bitString(signature.der)))
  }

  /// 20 bytes, of which the first is 0x40 to 0x7F: positive and not longer than RFC 5280 (section 4.1.2.2) lets it be.
  private static func serialNumber() -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    var bytes = (0..<20).map { _ in UInt8.random(in: 0 ... .max, using: &generator) }
    bytes[0] = bytes[0] & 0x3F | 0x40
    return bytes
  }

  /// RFC 5280, section 4.1.2.5: two digits for the years from 1950 to 2049, four for all others.
  private static func encoded(_ time: Timestamp) throws(CryptographyError) -> [UInt8] {
    let text = time.rfc3339
    let digits = text.utf8.filter { (0x30...0x39).contains($0) }
    guard digits.count == 14, !text.hasPrefix("-") else {
      throw CryptographyError("\(text) is no time of a certificate")
    }
    let zone = [UInt8(ascii: "Z")]
    return text >= "1950" && text < "2050"
      ? DER.element(DER.Tag.utcTime, digits.dropFirst(2) + zone)
      : DER.element(DER.Tag.generalizedTime, digits + zone)
  }
}
