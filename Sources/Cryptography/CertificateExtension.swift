import Wire

/// What a key may be used for beyond the basics (RFC 5280, section 4.2.1.12).
package enum ExtendedKeyUsage: Sendable, Equatable {
  case serverAuthentication, clientAuthentication
  /// By the content of its object identifier.
  case other([UInt8])

  init(identifier: [UInt8]) {
    switch identifier {
    case ObjectIdentifier.serverAuthentication: self = .serverAuthentication
    case ObjectIdentifier.clientAuthentication: self = .clientAuthentication
    default: self = .other(identifier)
    }
  }

  var identifier: [UInt8] {
    switch self {
    case .serverAuthentication: ObjectIdentifier.serverAuthentication
    case .clientAuthentication: ObjectIdentifier.clientAuthentication
    case .other(let identifier): identifier
    }
  }
}

/// A name of whom a certificate is of (RFC 5280, section 4.2.1.6).
package enum GeneralName: Sendable, Equatable {
  case dns(String)
  case address(IPAddress)
  /// By its encoding.
  case other([UInt8])

  private static let dnsTag = DER.Tag.context(2, isConstructed: false)
  private static let addressTag = DER.Tag.context(7, isConstructed: false)

  init(_ element: DERReader.Element) {
    let content = element.content
    if element.tag == Self.dnsTag, content.allSatisfy({ $0 < 0x80 }) {
      self = .dns(String(decoding: content, as: UTF8.self))
    } else if element.tag == Self.addressTag, content.count == 4 || content.count == 16 {
      self = .address(IPAddress(bytes: content))
    } else {
      self = .other(Array(element.encoded))
    }
  }

  var der: [UInt8] {
    get throws(CryptographyError) {
      switch self {
      case .dns(let name):
        guard name.utf8.allSatisfy({ $0 < 0x80 }) else { throw CryptographyError("\(name) is no DNS name in ASCII") }
        return DER.element(Self.dnsTag, Array(name.utf8))
      case .address(let address): return DER.element(Self.addressTag, address.bytes)
      case .other(let encoded): return encoded
      }
    }
  }
}

/// What a certificate is for (RFC 5280, section 4.2.1). Critical are those that a reader must not pass over.
package enum CertificateExtension: Sendable {
  case basicConstraints(isAuthority: Bool)
  case keyUsage(KeyUsage)
  case extendedKeyUsage([ExtendedKeyUsage])
  /// Of the certificate's own key.
  case subjectKeyIdentifier(P256PublicKey)
  /// Of the key that signs.
  case authorityKeyIdentifier(P256PublicKey)
  case subjectAlternativeNames([GeneralName])

  /// RFC 5280, section 4.2.1.3: bit 0 of the standard is the highest.
  package struct KeyUsage: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let digitalSignature = KeyUsage(rawValue: 0x80)
    package static let certificateSigning = KeyUsage(rawValue: 0x04)
    package static let revocationListSigning = KeyUsage(rawValue: 0x02)
  }

  var der: [UInt8] {
    get throws(CryptographyError) {
      switch self {
      case .basicConstraints(let isAuthority):
        return Self.encoded(
          ObjectIdentifier.basicConstraints, isCritical: true,
          DER.sequence(isAuthority ? DER.element(DER.Tag.boolean, [0xFF]) : []))
      case .keyUsage(let usage):
        return Self.encoded(
          ObjectIdentifier.keyUsage, isCritical: true,
          DER.bitString([usage.rawValue], unused: UInt8(usage.rawValue.trailingZeroBitCount)))
      case .extendedKeyUsage(let usages):
        let list = usages.flatMap { DER.objectIdentifier($0.identifier) }
        return Self.encoded(ObjectIdentifier.extendedKeyUsage, DER.element(DER.Tag.sequence, list))
      case .subjectKeyIdentifier(let key):
        return Self.encoded(ObjectIdentifier.subjectKeyIdentifier, DER.octetString(Self.identifier(of: key)))
      case .authorityKeyIdentifier(let key):
        return Self.encoded(
          ObjectIdentifier.authorityKeyIdentifier,
          DER.sequence(DER.element(DER.Tag.context(0, isConstructed: false), Self.identifier(of: key))))
      case .subjectAlternativeNames(let names):
        var list: [UInt8] = []
        for name in names { list += try name.der }
        return Self.encoded(ObjectIdentifier.subjectAlternativeName, DER.element(DER.Tag.sequence, list))
      }
    }
  }

  private static func encoded(_ type: [UInt8], isCritical: Bool = false, _ value: [UInt8]) -> [UInt8] {
    DER.sequence(
      DER.objectIdentifier(type), isCritical ? DER.element(DER.Tag.boolean, [0xFF]) : [], DER.octetString(value))
  }

  /// RFC 5280, section 4.2.1.2, method 1.
  private static func identifier(of key: P256PublicKey) -> [UInt8] { MessageDigest.hash(key.point, .sha1) }
}
