/// Who a certificate is of (RFC 5280, section 4.1.2.4). Two are equal when their encodings are.
package struct DistinguishedName: Sendable, Equatable {
  package enum AttributeType: Sendable {
    case commonName, organization

    fileprivate var identifier: [UInt8] {
      switch self {
      case .commonName: ObjectIdentifier.commonName
      case .organization: ObjectIdentifier.organization
      }
    }
  }

  let der: [UInt8]
  private let attributes: [(type: [UInt8], value: String)]

  /// Each attribute stands alone, as a UTF8String.
  package init(_ attributes: [(AttributeType, String)]) {
    self.attributes = attributes.map { ($0.0.identifier, $0.1) }
    der = DER.element(
      DER.Tag.sequence,
      attributes.flatMap { type, value in
        DER.element(
          DER.Tag.set,
          DER.sequence(
            DER.objectIdentifier(type.identifier), DER.element(DER.Tag.utf8String, Array(value.utf8))))
      })
  }

  init(_ element: DERReader.Element) throws(CryptographyError) {
    var attributes: [(type: [UInt8], value: String)] = []
    var names = element.reader
    while !names.isAtEnd {
      var set = try names.next(DER.Tag.set).reader
      while !set.isAtEnd {
        var fields = try set.sequence()
        let type = try fields.objectIdentifier()
        let value = try fields.next()
        try fields.end()
        if let text = Self.text(value) { attributes.append((type, text)) }
      }
    }
    self.attributes = attributes
    der = Array(element.encoded)
  }

  /// `nil` for a type of text that is not read here, and for bytes that are none of the type.
  private static func text(_ value: DERReader.Element) -> String? {
    switch value.tag {
    case DER.Tag.utf8String: break
    case DER.Tag.printableString: guard value.content.allSatisfy(isPrintable) else { return nil }
    case DER.Tag.ia5String: guard value.content.allSatisfy({ $0 < 0x80 }) else { return nil }
    default: return nil
    }
    return String(validating: value.content, as: UTF8.self)
  }

  /// ITU-T X.680, section 41.4.
  private static func isPrintable(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: " '()+,-./:=?".utf8.contains(byte)
    }
  }

  /// In their order.
  package func values(of type: AttributeType) -> [String] {
    attributes.filter { $0.type == type.identifier }.map(\.value)
  }

  package static func == (a: DistinguishedName, b: DistinguishedName) -> Bool { a.der == b.der }
}
