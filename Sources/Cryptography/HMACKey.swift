import COpenSSL

/// A secret key of HMAC-SHA-256 (RFC 2104, FIPS 198-1). libcrypto overwrites what it made of it when the last copy goes.
package struct HMACKey: Sendable {
  /// `@unchecked Sendable`: it is only read, to be copied.
  private final class Context: @unchecked Sendable {
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { EVP_MAC_CTX_free(pointer) }
  }

  private let keyed: Context

  /// - Parameter secret: not empty.
  package init(_ secret: [UInt8]) {
    precondition(!secret.isEmpty, "a key is not empty")
    keyed = Context(LibCrypto.made(EVP_MAC_CTX_new(LibCrypto.hmac)))
    LibCrypto.must(copenssl_hmac_sha256_init(keyed.pointer, secret, secret.count) == 1)
  }

  /// A random one.
  package init() {
    var generator = SystemRandomNumberGenerator()
    self.init((0..<32).map { _ in UInt8.random(in: 0 ... .max, using: &generator) })
  }

  /// The authentication code of the message: 32 bytes.
  package func code(for message: [UInt8]) -> [UInt8] {
    let context = Context(LibCrypto.made(EVP_MAC_CTX_dup(keyed.pointer)))
    LibCrypto.must(EVP_MAC_update(context.pointer, message, message.count) == 1)
    return [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
      LibCrypto.must(EVP_MAC_final(context.pointer, buffer.baseAddress, &count, buffer.count) == 1)
    }
  }

  /// In constant time.
  package func isValid(_ code: [UInt8], for message: [UInt8]) -> Bool {
    constantTimeEqual(self.code(for: message), code)
  }
}

/// Takes as long for a difference in the first byte as for one in the last. Lengths are no secret here.
package func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
  a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
}
