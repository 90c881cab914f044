import Wire

/// An X.509 certificate (RFC 5280).
package struct Certificate: Sendable, Equatable {
  package let der: [UInt8]
  package let subject: DistinguishedName
  package let notBefore: Timestamp
  package let notAfter: Timestamp
  /// `nil` for another type of key.
  package let publicKey: P256PublicKey?
  /// What its key may be used for; `nil` when the certificate does not say.
  package private(set) var extendedKeyUsage: [ExtendedKeyUsage]?
  /// Whom it serves; `nil` when the certificate does not say.
  package private(set) var subjectAlternativeNames: [GeneralName]?

  /// What the issuer has signed, the signature, and libcrypto's name of its digest; `nil` for another algorithm.
  private let signed: [UInt8]
  private let signature: [UInt8]
  private let digest: String?

  /// Against many extensions, each of which is compared with all others.
  private static let extensionsMax = 32

  package init(der bytes: [UInt8]) throws(CryptographyError) {
    var reader = DERReader(bytes[...])
    var outer = try reader.sequence()
    try reader.end()
    let content = try outer.next(DER.Tag.sequence)
    let algorithm = try outer.next(DER.Tag.sequence)
    signature = Array(try outer.bytesOfBitString())
    try outer.end()
    signed = Array(content.encoded)
    digest = Self.digest(Array(algorithm.encoded))
    der = bytes

    var fields = content.reader
    if var version = try fields.nextIfPresent(DER.Tag.context(0, isConstructed: true))?.reader {
      let number = try version.unsignedInteger()
      guard number.count == 1, number.allSatisfy({ $0 <= 2 }), version.isAtEnd else {
        throw CryptographyError("the certificate is of an unknown version")
      }
    }
    // The serial number.
    _ = try fields.next(DER.Tag.integer)
    guard try fields.next(DER.Tag.sequence).encoded == algorithm.encoded else {
      throw CryptographyError("the certificate names two algorithms for one signature")
    }
    // The issuer.
    _ = try DistinguishedName(try fields.next(DER.Tag.sequence))
    var validity = try fields.sequence()
    notBefore = try Self.time(try validity.next())
    notAfter = try Self.time(try validity.next())
    try validity.end()
    subject = try DistinguishedName(try fields.next(DER.Tag.sequence))
    publicKey = try P256PublicKey(information: try fields.next(DER.Tag.sequence).encoded)
    // Unique identifiers of issuer and subject.
    _ = try fields.nextIfPresent(DER.Tag.context(1, isConstructed: false))
    _ = try fields.nextIfPresent(DER.Tag.context(2, isConstructed: false))
    if var extensions = try fields.nextIfPresent(DER.Tag.context(3, isConstructed: true))?.reader {
      try read(try extensions.sequence())
      try extensions.end()
    }
    try fields.end()
  }

  /// - Parameter text: holds one `CERTIFICATE`.
  package init(pem text: String) throws(CryptographyError) {
    let document = try PEM.decode(text)
    guard document.label == "CERTIFICATE" else { throw CryptographyError("\(document.label) is no certificate") }
    try self.init(der: document.bytes)
  }

  /// Without a line break at its end.
  package var pem: String { PEM.encode(der, label: "CERTIFICATE") }

  /// Whether the key's owner has signed it.
  package func isSigned(by key: P256PublicKey) -> Bool {
    digest.map { key.isValid(der: signature, for: signed, digest: $0) } ?? false
  }

  // MARK: Reading

  private mutating func read(_ extensions: DERReader) throws(CryptographyError) {
    var extensions = extensions
    var seen: [[UInt8]] = []
    while !extensions.isAtEnd {
      var fields = try extensions.sequence()
      let type = try fields.objectIdentifier()
      // Whether it is critical.
      _ = try fields.nextIfPresent(DER.Tag.boolean)
      let value = try fields.next(DER.Tag.octetString).content
      try fields.end()
      guard !seen.contains(type) else { throw CryptographyError("the certificate has one extension twice") }
      seen.append(type)
      guard seen.count <= Self.extensionsMax else { throw CryptographyError("the certificate has too many extensions") }
      var reader = DERReader(value)
      switch type {
      case ObjectIdentifier.extendedKeyUsage:
        var list = try reader.sequence()
        try reader.end()
        var usages: [ExtendedKeyUsage] = []
        while !list.isAtEnd { usages.append(ExtendedKeyUsage(identifier: try list.objectIdentifier())) }
        extendedKeyUsage = usages
      case ObjectIdentifier.subjectAlternativeName:
        var list = try reader.sequence()
        try reader.end()
        var names: [GeneralName] = []
        while !list.isAtEnd { names.append(GeneralName(try list.next())) }
        subjectAlternativeNames = names
      default: break
      }
    }
  }

  private static func digest(_ algorithm: [UInt8]) -> String? {
    switch algorithm {
    case DER.sequence(DER.objectIdentifier(ObjectIdentifier.ecdsaWithSHA256)): "SHA2-256"
    case DER.sequence(DER.objectIdentifier(ObjectIdentifier.ecdsaWithSHA384)): "SHA2-384"
    case DER.sequence(DER.objectIdentifier(ObjectIdentifier.ecdsaWithSHA512)): "SHA2-512"
    default: nil
    }
  }

  /// UTCTime or GeneralizedTime (RFC 5280, section 4.1.2.5).
  private static func time(_ element: DERReader.Element) throws(CryptographyError) -> Timestamp {
    var digits = String(decoding: element.content, as: UTF8.self)
    if element.tag == DER.Tag.utcTime { digits = (digits < "50" ? "20" : "19") + digits }
    guard element.tag == DER.Tag.utcTime || element.tag == DER.Tag.generalizedTime,
      digits.utf8.count == 15, digits.hasSuffix("Z")
    else { throw DERReader.malformed("a time is not as certificates have it") }
    var text = ""
    for (index, digit) in digits.enumerated() {
      switch index {
      case 4, 6: text += "-"
      case 8: text += "T"
      case 10, 12: text += ":"
      default: break
      }
      text.append(digit)
    }
    guard let time = Timestamp(rfc3339: text) else { throw DERReader.malformed("a time is none of the calendar") }
    return time
  }
}
