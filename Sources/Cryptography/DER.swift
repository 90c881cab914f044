/// The distinguished encoding of ASN.1 (ITU-T X.690, sections 8 and 10), as far as keys, signatures and certificates need it.
///
/// It is ours because libcrypto takes 0.3 ms to read a certificate and 0.5 ms to read a key, most of it to find out by trial
/// what a key's bytes are, and certificates are read on event loops; and because what reads outside bytes is memory-safe here.
enum DER {
  enum Tag {
    static let boolean: UInt8 = 0x01
    static let integer: UInt8 = 0x02
    static let bitString: UInt8 = 0x03
    static let octetString: UInt8 = 0x04
    static let objectIdentifier: UInt8 = 0x06
    static let utf8String: UInt8 = 0x0C
    static let printableString: UInt8 = 0x13
    static let ia5String: UInt8 = 0x16
    static let utcTime: UInt8 = 0x17
    static let generalizedTime: UInt8 = 0x18
    static let sequence: UInt8 = 0x30
    static let set: UInt8 = 0x31

    /// `[number]` of a context, around another element or in its place.
    static func context(_ number: UInt8, isConstructed: Bool) -> UInt8 { (isConstructed ? 0xA0 : 0x80) | number }
  }

  static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
    if content.count < 0x80 { return [tag, UInt8(content.count)] + content }
    let digits = (0..<8).reversed().map { UInt8(truncatingIfNeeded: content.count >> ($0 * 8)) }.drop { $0 == 0 }
    return [tag, 0x80 | UInt8(digits.count)] + digits + content
  }

  static func sequence(_ elements: [UInt8]...) -> [UInt8] { element(Tag.sequence, Array(elements.joined())) }

  /// - Parameter magnitude: of a number that is not negative, the most significant byte first.
  static func integer(_ magnitude: some Collection<UInt8>) -> [UInt8] {
    let digits = magnitude.drop { $0 == 0 }
    let isPositive = digits.first.map { $0 < 0x80 } ?? false
    return element(Tag.integer, (isPositive ? [] : [0]) + digits)
  }

  static func objectIdentifier(_ content: [UInt8]) -> [UInt8] { element(Tag.objectIdentifier, content) }

  static func octetString(_ content: [UInt8]) -> [UInt8] { element(Tag.octetString, content) }

  /// - Parameter unused: how many of the last byte's bits are none of it.
  static func bitString(_ content: [UInt8], unused: UInt8 = 0) -> [UInt8] {
    element(Tag.bitString, [unused] + content)
  }
}

/// Reads elements one after another. Only DER passes: lengths are definite and as short as they can be. Tags have one byte.
struct DERReader {
  struct Element {
    let tag: UInt8
    let content: ArraySlice<UInt8>
    /// With its tag and length.
    let encoded: ArraySlice<UInt8>

    /// What is in it, element by element.
    var reader: DERReader { DERReader(content) }
  }

  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func next() throws(CryptographyError) -> Element {
    guard rest.count >= 2 else { throw Self.malformed("an element is missing or cut") }
    let start = rest.startIndex
    guard rest[start] & 0x1F != 0x1F else { throw Self.malformed("a tag has more than one byte") }
    var header = 2
    var count = Int(rest[start + 1])
    if count >= 0x80 {
      let digits = count & 0x7F
      // Three are 16 MiB. None is the indefinite length, which DER does not have.
      guard (1...3).contains(digits), rest.count >= 2 + digits, rest[start + 2] != 0 else {
        throw Self.malformed("a length is not as DER writes it")
      }
      count = rest[(start + 2)..<(start + 2 + digits)].reduce(0) { $0 << 8 | Int($1) }
      guard count >= 0x80 else { throw Self.malformed("a length is not as DER writes it") }
      header += digits
    }
    guard count <= rest.count - header else { throw Self.malformed("an element is cut") }
    let encoded = rest.prefix(header + count)
    rest = rest.dropFirst(header + count)
    return Element(tag: encoded[start], content: encoded.dropFirst(header), encoded: encoded)
  }

  mutating func next(_ tag: UInt8) throws(CryptographyError) -> Element {
    guard let element = try nextIfPresent(tag) else { throw Self.malformed("an element of type \(tag) is missing") }
    return element
  }

  /// The next element if it has the tag; otherwise it is left there.
  mutating func nextIfPresent(_ tag: UInt8) throws(CryptographyError) -> Element? {
    rest.first == tag ? try next() : nil
  }

  mutating func sequence() throws(CryptographyError) -> DERReader { try next(DER.Tag.sequence).reader }

  /// The bytes of an integer that is not negative, without a leading zero.
  mutating func unsignedInteger() throws(CryptographyError) -> ArraySlice<UInt8> {
    let content = try next(DER.Tag.integer).content
    guard let first = content.first, first < 0x80 else { throw Self.malformed("a number is negative or empty") }
    guard first == 0, content.count > 1 else { return content }
    let digits = content.dropFirst()
    guard let second = digits.first, second >= 0x80 else { throw Self.malformed("a number begins with zeros") }
    return digits
  }

  /// The content: numbers of the path, packed.
  mutating func objectIdentifier() throws(CryptographyError) -> [UInt8] {
    Array(try next(DER.Tag.objectIdentifier).content)
  }

  /// A bit string of whole bytes.
  mutating func bytesOfBitString() throws(CryptographyError) -> ArraySlice<UInt8> {
    let content = try next(DER.Tag.bitString).content
    guard content.first == 0 else { throw Self.malformed("a bit string is not of whole bytes") }
    return content.dropFirst()
  }

  func end() throws(CryptographyError) {
    guard isAtEnd else { throw Self.malformed("something follows that does not belong there") }
  }

  static func malformed(_ why: String) -> CryptographyError { CryptographyError("not as DER has it: \(why)") }
}

/// Object identifiers, as DER packs them.
enum ObjectIdentifier {
  // RFC 5480, section 2.1.1.
  static let ecPublicKey: [UInt8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]
  static let prime256v1: [UInt8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]
  // RFC 5758, section 3.2.
  static let ecdsaWithSHA256: [UInt8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02]
  static let ecdsaWithSHA384: [UInt8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03]
  static let ecdsaWithSHA512: [UInt8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x04]
  // RFC 5280, appendix A.1 and section 4.2.1.
  static let commonName: [UInt8] = [0x55, 0x04, 0x03]
  static let organization: [UInt8] = [0x55, 0x04, 0x0A]
  static let subjectKeyIdentifier: [UInt8] = [0x55, 0x1D, 0x0E]
  static let keyUsage: [UInt8] = [0x55, 0x1D, 0x0F]
  static let subjectAlternativeName: [UInt8] = [0x55, 0x1D, 0x11]
  static let basicConstraints: [UInt8] = [0x55, 0x1D, 0x13]
  static let authorityKeyIdentifier: [UInt8] = [0x55, 0x1D, 0x23]
  static let extendedKeyUsage: [UInt8] = [0x55, 0x1D, 0x25]
  static let serverAuthentication: [UInt8] = [0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01]
  static let clientAuthentication: [UInt8] = [0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02]
}
