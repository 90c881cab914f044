import TestKit
import Testing

@testable import Cryptography

@Suite struct MessageDigestTests {
  /// RFC 6234, section 8.5, and FIPS 180-4's examples.
  @Test(arguments: [
    ("", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709", MessageDigest.Algorithm.sha1),
    ("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d", .sha1),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
      .sha1
    ),
    ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", .sha256),
    ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", .sha256),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", .sha256
    ),
    ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", .sha256),
    (
      "abc", 1,
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f", .sha512
    ),
    (
      "", 1,
      "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        + "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e", .sha512
    ),
  ])
  func answersAreKnown(text: String, count: Int, digest: String, algorithm: MessageDigest.Algorithm) {
    let message = Array(String(repeating: text, count: count).utf8)
    #expect(MessageDigest.hexadecimal(MessageDigest.hash(message, algorithm)) == digest)
    var hasher = MessageDigest(algorithm)
    message.withUnsafeBytes { hasher.update($0) }
    #expect(hasher.finish() == bytes(digest))
  }

  @Test(arguments: MessageDigest.Algorithm.allCases) func piecesAreAsGoodAsTheWhole(algorithm: MessageDigest.Algorithm)
  {
    var generator = SeededGenerator(seed: 1)
    let message = (0..<3000).map { _ in UInt8.random(in: 0 ... .max, using: &generator) }
    for _ in 0..<50 {
      var hasher = MessageDigest(algorithm)
      var rest = message[...]
      while !rest.isEmpty {
        let piece = rest.prefix(Int.random(in: 0...400, using: &generator))
        piece.withUnsafeBytes { hasher.update($0) }
        rest = rest.dropFirst(piece.count)
      }
      #expect(hasher.finish() == MessageDigest.hash(message, algorithm))
    }
  }

  @Test func copiesGoTheirOwnWay() {
    var first = MessageDigest(.sha256)
    Array("ab".utf8).withUnsafeBytes { first.update($0) }
    var second = first
    Array("c".utf8).withUnsafeBytes { first.update($0) }
    #expect(first.finish() == MessageDigest.hash(Array("abc".utf8), .sha256))
    #expect(first.finish() == MessageDigest.hash(Array("abc".utf8), .sha256), "it is not used up")
    #expect(second.finish() == MessageDigest.hash(Array("ab".utf8), .sha256))
    Array("d".utf8).withUnsafeBytes { second.update($0) }
    #expect(second.finish() == MessageDigest.hash(Array("abd".utf8), .sha256))
    #expect(first.finish() == MessageDigest.hash(Array("abc".utf8), .sha256))
  }

  @Test func oneStateGoesOnFromManyThreads() async {
    var state = MessageDigest(.sha256)
    Array("begin ".utf8).withUnsafeBytes { state.update($0) }
    let begun = state
    await withTaskGroup(of: Bool.self) { group in
      for number in 0..<100 {
        group.addTask {
          var mine = begun
          let text = Array("\(number)".utf8)
          text.withUnsafeBytes { mine.update($0) }
          return mine.finish() == MessageDigest.hash(Array("begin \(number)".utf8), .sha256)
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }

  /// RFC 4231, sections 4.2 to 4.8 without 4.6, which cuts the code off.
  @Test(arguments: [
    (
      [UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    ),
    (
      Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      [UInt8](repeating: 0xAA, count: 20), [UInt8](repeating: 0xDD, count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    ),
    (
      Array(1...25), [UInt8](repeating: 0xCD, count: 50),
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
    ),
    (
      [UInt8](repeating: 0xAA, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    ),
    (
      [UInt8](repeating: 0xAA, count: 131),
      Array(
        ("This is a test using a larger than block-size key and a larger than block-size data. "
          + "The key needs to be hashed before being used by the HMAC algorithm.").utf8),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
    ),
  ])
  func codesAreKnown(key: [UInt8], message: [UInt8], code: String) {
    let key = HMACKey(key)
    #expect(key.code(for: message) == bytes(code))
    #expect(key.code(for: message) == bytes(code), "it is not used up")
    #expect(key.isValid(bytes(code), for: message))
    for index in 0..<32 {
      var changed = bytes(code)
      changed[index] ^= 1
      #expect(!key.isValid(changed, for: message))
    }
    #expect(!key.isValid([], for: message) && !key.isValid(bytes(code).dropLast(), for: message))
    #expect(!key.isValid(bytes(code) + [0], for: message) && !key.isValid(bytes(code), for: message + [0]))
    #expect(!HMACKey().isValid(bytes(code), for: message))
  }

  /// RFC 7515, appendix A.1.
  @Test func codesOfTokensAreKnown() throws {
    let key = HMACKey(
      try base64URL("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"))
    let signed =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
      + ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    #expect(key.code(for: Array(signed.utf8)) == (try base64URL("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")))
  }

  @Test func comparisonIsOfAllBytes() {
    #expect(constantTimeEqual([], []) && constantTimeEqual([1, 2], [1, 2]))
    #expect(!constantTimeEqual([1, 2], [1, 3]) && !constantTimeEqual([0, 2], [1, 2]))
    #expect(!constantTimeEqual([1], [1, 2]) && !constantTimeEqual([1], []))
  }
}
