import COpenSSL
import TestKit
import Testing
import Wire

@testable import Cryptography

@Suite struct P256Tests {
  private let message = Array("Apus".utf8)

  /// RFC 7515, appendix A.3.
  @Test func aSignatureOfTheStandardIsValid() throws {
    let x = try base64URL("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")
    let y = try base64URL("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")
    let scalar = try base64URL("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI")
    let signed = Array(
      ("eyJhbGciOiJFUzI1NiJ9"
        + ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ").utf8)
    let signature = try #require(
      P256Signature(
        raw: try base64URL("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")))
    let publicKey = try P256PublicKey(point: [4] + x + y)
    #expect(publicKey.isValid(signature, for: signed))
    #expect(!publicKey.isValid(signature, for: signed + [0]))
    // The public key is computed from the private one.
    let privateKey = try P256PrivateKey(pem: Self.sec1(scalar))
    #expect(privateKey.publicKey == publicKey)
    #expect(publicKey.isValid(try privateKey.signature(for: signed), for: signed))
  }

  /// An ECPrivateKey with nothing but the number in it.
  private static func sec1(_ scalar: [UInt8]) -> String {
    PEM.encode(DER.sequence(DER.integer([1]), DER.octetString(scalar)), label: "EC PRIVATE KEY")
  }

  @Test func whatIsSignedIsValidAndNothingElse() throws {
    let key = try P256PrivateKey()
    let other = try P256PrivateKey()
    #expect(key.publicKey != other.publicKey)
    for count in [0, 1, 1000] {
      let message = [UInt8](repeating: 7, count: count)
      let signature = try key.signature(for: message)
      #expect(signature.raw.count == 64 && key.publicKey.isValid(signature, for: message))
      #expect(
        !other.publicKey.isValid(signature, for: message) && !key.publicKey.isValid(signature, for: message + [7]))
      for index in 0..<64 {
        var raw = signature.raw
        raw[index] ^= 0x10
        #expect(!key.publicKey.isValid(try #require(P256Signature(raw: raw)), for: message))
      }
    }
  }

  @Test func signaturesHaveTheirForm() throws {
    #expect(P256Signature(raw: []) == nil)
    #expect(P256Signature(raw: [UInt8](repeating: 1, count: 63)) == nil)
    #expect(P256Signature(raw: [UInt8](repeating: 1, count: 65)) == nil)
    let key = try P256PrivateKey()
    for byte in [0, 0xFF] as [UInt8] {
      let signature = try #require(P256Signature(raw: [UInt8](repeating: byte, count: 64)))
      #expect(!key.publicKey.isValid(signature, for: message))
      #expect(try P256Signature(der: signature.der) == signature)
    }
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<200 {
      // Numbers that are short or begin with the highest bit.
      var raw = (0..<64).map { _ in UInt8.random(in: 0 ... .max, using: &generator) }
      for index in 0..<Int.random(in: 0...31, using: &generator) { raw[index] = 0 }
      let signature = try #require(P256Signature(raw: raw))
      #expect(try P256Signature(der: signature.der) == signature)
    }
    #expect(throws: CryptographyError.self) {
      try P256Signature(der: DER.sequence(DER.integer([UInt8](repeating: 1, count: 33)), DER.integer([1])))
    }
  }

  @Test func anyNumberOfThreadsUseOneKey() async throws {
    let key = try P256PrivateKey()
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in 0..<64 {
        group.addTask {
          let message = Array("\(number)".utf8)
          return key.publicKey.isValid(try key.signature(for: message), for: message)
        }
      }
      for try await isValid in group { #expect(isValid) }
    }
  }

  @Test func pointsAreOnTheCurve() throws {
    let point = try P256PrivateKey().publicKey.point
    #expect(try P256PublicKey(point: point).point == point)
    var off = point
    off[64] ^= 1
    let compressed = [2 + (point[64] & 1)] + point[1..<33]
    let others: [[UInt8]] = [
      [], [0], Array(point.dropLast()), point + [0], off, compressed, [6] + point.dropFirst(),
      [UInt8](repeating: 0, count: 65),
    ]
    for bad in others {
      #expect(throws: CryptographyError.self) { try P256PublicKey(point: bad) }
    }
  }

  @Test func reasonsComeFromTheLibrary() throws {
    var point = try P256PrivateKey().publicKey.point
    point[64] ^= 1
    #expect {
      try P256PublicKey(point: point)
    } throws: { "\($0)".hasPrefix("the key is no point of P-256: ") }
  }

  /// The queue belongs to the thread: what one call leaves there, another one's failure would be told by.
  @Test func noErrorIsLeftToTheNextCall() throws {
    let key = try P256PrivateKey()
    let signature = try key.signature(for: message)
    var point = key.publicKey.point
    point[64] ^= 1
    #expect(throws: CryptographyError.self) { try P256PublicKey(point: point) }
    #expect(ERR_peek_error() == 0)
    #expect(!key.publicKey.isValid(der: [0x30, 0], for: message, digest: "SHA2-256") && ERR_peek_error() == 0)
    #expect(!key.publicKey.isValid(der: signature.der, for: message, digest: "none") && ERR_peek_error() == 0)
    #expect(throws: CryptographyError.self) { try P256PrivateKey(pem: Self.sec1([UInt8](repeating: 0xFF, count: 32))) }
    #expect(ERR_peek_error() == 0)
    #expect(key.publicKey.isValid(signature, for: message) && ERR_peek_error() == 0)
  }

  // MARK: Text

  @Test func whatEarlierVersionsWroteIsWrittenTheSame() throws {
    for text in [EarlierKeys.authorityKey, EarlierKeys.servingKey, EarlierKeys.tokenKey] {
      #expect(try P256PrivateKey(pem: text).pem == text)
      #expect(try P256PrivateKey(pem: text + "\n").pem == text)
      #expect(try P256PrivateKey(pem: text.replacing("\n", with: "\r\n") + "\r\n").pem == text)
    }
    let key = try P256PrivateKey(pem: EarlierKeys.tokenKey)
    let signature = try #require(P256Signature(raw: bytes(Fixture.tokenSignature)))
    #expect(key.publicKey.isValid(signature, for: message))
    // The key's name in tokens, which their headers have.
    #expect(
      MessageDigest.hexadecimal(MessageDigest.hash(key.publicKey.der, .sha256))
        == "651981e11be682b1043af41383515fabeda24ce31ede5c40f521b3cc68012fa7")
  }

  @Test func bothFormsOfKeysAreRead() throws {
    let key = try P256PrivateKey(pem: Fixture.sec1Key)
    #expect(try key.pem == Fixture.pkcs8Key)
    #expect(try P256PrivateKey(pem: Fixture.pkcs8Key).publicKey == key.publicKey)
    #expect(try P256PrivateKey(pem: "An explanation.\n" + Fixture.pkcs8Key + "\nmore\n").publicKey == key.publicKey)
  }

  /// Whoever changes only the public half must not get a key that signs for another.
  @Test func thePublicKeyInAFileIsNotBelieved() throws {
    let key = try P256PrivateKey(pem: Fixture.pkcs8Key)
    let other = try P256PrivateKey().publicKey
    let document = try PEM.decode(Fixture.pkcs8Key)
    let changed = Array(document.bytes.dropLast(65)) + other.point
    #expect(changed.count == document.bytes.count && changed != document.bytes)
    #expect(try P256PrivateKey(pem: PEM.encode(changed, label: document.label)).publicKey == key.publicKey)
  }

  @Test func otherKeysAreRefused() throws {
    // The order of the curve, section 3.2.1.3 of SP 800-186.
    let order = bytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    var last = order
    last[31] -= 1
    #expect(throws: Never.self) { try P256PrivateKey(pem: Self.sec1(last)) }
    for bad in [order, [UInt8](repeating: 0, count: 32), [UInt8](repeating: 0xFF, count: 32), [1], last + [0]] {
      #expect(throws: CryptographyError.self) { try P256PrivateKey(pem: Self.sec1(bad)) }
    }
    let document = try PEM.decode(Fixture.pkcs8Key)
    for text in [
      Fixture.rsaKey, EarlierKeys.authority, "", PEM.encode(document.bytes, label: "EC PRIVATE KEY"),
      PEM.encode(document.bytes, label: "ENCRYPTED PRIVATE KEY"),
      PEM.encode(document.bytes + [0], label: "PRIVATE KEY"),
      Fixture.pkcs8Key + "\n" + Fixture.sec1Key,
    ] {
      #expect(throws: CryptographyError.self) { try P256PrivateKey(pem: text) }
    }
  }

  @Test func textIsStrict() throws {
    let bytes = [UInt8](repeating: 3, count: 100)
    let text = PEM.encode(bytes, label: "X")
    #expect(text.split(separator: "\n").map(\.count) == [17, 64, 64, 8, 15])
    #expect(try PEM.decode(text).bytes == bytes)
    for count in [1, 47, 48, 49, 96] {
      let bytes = [UInt8](repeating: 5, count: count)
      #expect(try PEM.decode(PEM.encode(bytes, label: "A B")).bytes == bytes)
    }
    for bad in [
      "-----BEGIN X-----\n-----END X-----", "-----BEGIN X-----\nAAAA\n-----END Y-----", "-----BEGIN X-----\nAAAA",
      "-----BEGIN X-----\nAA\nAA\n-----END X-----", "-----BEGIN X-----\nAAA\n-----END X-----", "AAAA",
      "-----BEGIN X-----\nAAAA\n\n-----END X-----", "-----END X-----", text + "\n" + text,
      "-----BEGIN X-----\n\(text)", text.replacing("\n", with: " "),
    ] {
      #expect(throws: CryptographyError.self) { try PEM.decode(bad) }
    }
  }
}
