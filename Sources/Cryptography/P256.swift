import COpenSSL

/// Owns a key of libcrypto, and frees it, which overwrites a private one.
///
/// `@unchecked Sendable`: nothing changes it after it is made, and libcrypto lets several threads sign and verify with one key
/// (openssl-threads(7)).
private final class Key: @unchecked Sendable {
  let pointer: OpaquePointer

  init(_ pointer: OpaquePointer) { self.pointer = pointer }

  deinit { EVP_PKEY_free(pointer) }
}

/// A signature by ECDSA on P-256.
package struct P256Signature: Sendable, Equatable {
  /// r and s, 32 bytes each, as JSON Web Signatures have them (RFC 7518, section 3.4).
  package let raw: [UInt8]

  /// `nil` for any other number of bytes than 64.
  package init?(raw: [UInt8]) {
    guard raw.count == 64 else { return nil }
    self.raw = raw
  }

  /// - Parameter der: Ecdsa-Sig-Value (RFC 3279, section 2.2.3).
  init(der: [UInt8]) throws(CryptographyError) {
    var reader = DERReader(der[...])
    var numbers = try reader.sequence()
    try reader.end()
    var raw: [UInt8] = []
    for _ in 0..<2 {
      let number = try numbers.unsignedInteger()
      guard number.count <= 32 else { throw CryptographyError("a signature's number has more than 32 bytes") }
      raw += [UInt8](repeating: 0, count: 32 - number.count) + number
    }
    try numbers.end()
    self.raw = raw
  }

  var der: [UInt8] { DER.sequence(DER.integer(raw[..<32]), DER.integer(raw[32...])) }
}

/// A public key on P-256 (FIPS 186-5).
package struct P256PublicKey: Sendable, Equatable {
  /// The uncompressed point (SEC 1, section 2.3.3): 4, x, y; 65 bytes.
  package let point: [UInt8]
  private let key: Key

  package init(point: [UInt8]) throws(CryptographyError) {
    guard point.count == 65, point[0] == 4 else { throw CryptographyError("the key is no uncompressed point of P-256") }
    LibCrypto.start()
    defer { ERR_clear_error() }
    // libcrypto checks that it is on the curve.
    guard let pointer = copenssl_p256_key(point, nil) else { throw .library("the key is no point of P-256") }
    self.init(point: point, Key(pointer))
  }

  fileprivate init(point: [UInt8], _ key: Key) {
    self.point = point
    self.key = key
  }

  /// - Parameter information: SubjectPublicKeyInfo (RFC 5480, section 2) in DER. `nil` when it is of another type of key.
  init?(information: ArraySlice<UInt8>) throws(CryptographyError) {
    var reader = DERReader(information)
    var fields = try reader.sequence()
    try reader.end()
    let algorithm = try fields.next(DER.Tag.sequence)
    let bits = try fields.next(DER.Tag.bitString)
    try fields.end()
    guard Array(algorithm.encoded) == Self.algorithm else { return nil }
    guard bits.content.first == 0 else { throw CryptographyError("the key is no uncompressed point of P-256") }
    try self.init(point: Array(bits.content.dropFirst()))
  }

  static let algorithm = DER.sequence(
    DER.objectIdentifier(ObjectIdentifier.ecPublicKey), DER.objectIdentifier(ObjectIdentifier.prime256v1))

  /// SubjectPublicKeyInfo (RFC 5480, section 2).
  package var der: [UInt8] { DER.sequence(Self.algorithm, DER.bitString(point)) }

  package static func == (a: P256PublicKey, b: P256PublicKey) -> Bool { a.point == b.point }

  /// Whether the private key that belongs to this one has signed the message, with SHA-256.
  package func isValid(_ signature: P256Signature, for message: [UInt8]) -> Bool {
    isValid(der: signature.der, for: message, digest: "SHA2-256")
  }

  /// - Parameters:
  ///   - signature: Ecdsa-Sig-Value. libcrypto takes it only as DER has it.
  ///   - digest: libcrypto's name of the digest that was signed.
  func isValid(der signature: [UInt8], for message: [UInt8], digest: String) -> Bool {
    let context = LibCrypto.made(EVP_MD_CTX_new())
    defer {
      EVP_MD_CTX_free(context)
      // A signature that is wrong is an error to libcrypto.
      ERR_clear_error()
    }
    return EVP_DigestVerifyInit_ex(context, nil, digest, nil, nil, key.pointer, nil) == 1
      && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
  }
}

/// A private key on P-256 (FIPS 186-5).
package struct P256PrivateKey: Sendable {
  package let publicKey: P256PublicKey
  private let key: Key

  /// A random one.
  package init() throws(CryptographyError) {
    LibCrypto.start()
    defer { ERR_clear_error() }
    var made: OpaquePointer?
    let context = EVP_PKEY_CTX_new_from_name(nil, "EC", nil)
    defer { EVP_PKEY_CTX_free(context) }
    guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_group_name(context, "P-256") == 1,
      EVP_PKEY_generate(context, &made) == 1, let made
    else { throw .library("a key cannot be made") }
    key = Key(made)
    var count = 0
    var point = [UInt8](repeating: 0, count: 65)
    guard EVP_PKEY_get_octet_string_param(made, OSSL_PKEY_PARAM_PUB_KEY, &point, point.count, &count) == 1,
      count == point.count, point[0] == 4
    else { throw .library("a key cannot be made") }
    publicKey = P256PublicKey(point: point, key)
  }

  /// - Parameter scalar: 32 bytes. The public key is computed from it.
  private init(scalar bytes: ArraySlice<UInt8>) throws(CryptographyError) {
    guard bytes.count == 32 else { throw CryptographyError("a private key of P-256 has 32 bytes, not \(bytes.count)") }
    LibCrypto.start()
    defer { ERR_clear_error() }
    let scalar = LibCrypto.made(Array(bytes).withUnsafeBufferPointer { BN_bin2bn($0.baseAddress, 32, nil) })
    let group = LibCrypto.made(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1))
    let product = LibCrypto.made(EC_POINT_new(group))
    defer {
      BN_clear_free(scalar)
      EC_POINT_free(product)
      EC_GROUP_free(group)
    }
    BN_set_flags(scalar, BN_FLG_CONSTTIME)
    guard BN_is_zero(scalar) == 0, BN_cmp(scalar, EC_GROUP_get0_order(group)) < 0 else {
      throw CryptographyError("the number is no private key of P-256")
    }
    var point = [UInt8](repeating: 0, count: 65)
    guard EC_POINT_mul(group, product, scalar, nil, nil, nil) == 1,
      EC_POINT_point2oct(group, product, POINT_CONVERSION_UNCOMPRESSED, &point, point.count, nil) == point.count,
      let pointer = copenssl_p256_key(point, scalar)
    else { throw .library("the private key cannot be used") }
    key = Key(pointer)
    publicKey = P256PublicKey(point: point, key)
  }

  /// - Parameter text: `PRIVATE KEY` (PKCS #8, RFC 5208) or `EC PRIVATE KEY` (RFC 5915). The public key in it is not believed.
  package init(pem text: String) throws(CryptographyError) {
    let document = try PEM.decode(text)
    switch document.label {
    case "EC PRIVATE KEY": try self.init(scalar: Self.scalar(document.bytes[...]))
    case "PRIVATE KEY":
      var reader = DERReader(document.bytes[...])
      var fields = try reader.sequence()
      try reader.end()
      guard try fields.unsignedInteger().elementsEqual([0]) else { throw DERReader.malformed("a version is not 0") }
      guard Array(try fields.next(DER.Tag.sequence).encoded) == P256PublicKey.algorithm else {
        throw CryptographyError("the key is not of P-256")
      }
      let inner = try fields.next(DER.Tag.octetString).content
      // Attributes.
      _ = try fields.nextIfPresent(DER.Tag.context(0, isConstructed: true))
      try fields.end()
      try self.init(scalar: Self.scalar(inner))
    default: throw CryptographyError("\(document.label) is no private key that is read here")
    }
  }

  /// The number in an ECPrivateKey (RFC 5915, section 3).
  private static func scalar(_ der: ArraySlice<UInt8>) throws(CryptographyError) -> ArraySlice<UInt8> {
    var reader = DERReader(der)
    var fields = try reader.sequence()
    try reader.end()
    guard try fields.unsignedInteger().elementsEqual([1]) else { throw DERReader.malformed("a version is not 1") }
    let scalar = try fields.next(DER.Tag.octetString).content
    if var curve = try fields.nextIfPresent(DER.Tag.context(0, isConstructed: true))?.reader {
      guard try curve.objectIdentifier() == ObjectIdentifier.prime256v1 else {
        throw CryptographyError("the key is not of P-256")
      }
      try curve.end()
    }
    _ = try fields.nextIfPresent(DER.Tag.context(1, isConstructed: true))
    try fields.end()
    return scalar
  }

  /// `PRIVATE KEY` (PKCS #8, RFC 5208), without a line break at its end.
  package var pem: String {
    get throws(CryptographyError) {
      defer { ERR_clear_error() }
      var scalar: OpaquePointer?
      defer { BN_clear_free(scalar) }
      var bytes = [UInt8](repeating: 0, count: 32)
      guard EVP_PKEY_get_bn_param(key.pointer, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1,
        BN_bn2binpad(scalar, &bytes, 32) == 32
      else { throw .library("the private key cannot be written") }
      let inner = DER.sequence(
        DER.integer([1]), DER.octetString(bytes),
        DER.element(DER.Tag.context(1, isConstructed: true), DER.bitString(publicKey.point)))
      return PEM.encode(
        DER.sequence(DER.integer([0]), P256PublicKey.algorithm, DER.octetString(inner)), label: "PRIVATE KEY")
    }
  }

  /// Signs with SHA-256.
  package func signature(for message: [UInt8]) throws(CryptographyError) -> P256Signature {
    let context = LibCrypto.made(EVP_MD_CTX_new())
    defer {
      EVP_MD_CTX_free(context)
      ERR_clear_error()
    }
    // Two numbers of 33 bytes at most, with the head of each and of both.
    var count = 72
    var signature = [UInt8](repeating: 0, count: count)
    guard EVP_DigestSignInit_ex(context, nil, "SHA2-256", nil, nil, key.pointer, nil) == 1,
      EVP_DigestSign(context, &signature, &count, message, message.count) == 1
    else { throw .library("the message cannot be signed") }
    return try P256Signature(der: Array(signature[..<count]))
  }
}
