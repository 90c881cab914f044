import COpenSSL

/// A message digest (FIPS 180-4) that is computed while bytes pass by. A copy goes its own way from there.
package struct MessageDigest: Sendable {
  package enum Algorithm: Sendable, CaseIterable {
    /// Not where collisions matter: only what protocols ask for.
    case sha1
    case sha256, sha512

    /// How many bytes its digests have.
    package var byteCount: Int {
      switch self {
      case .sha1: 20
      case .sha256: 32
      case .sha512: 64
      }
    }

    fileprivate var pointer: OpaquePointer {
      switch self {
      case .sha1: LibCrypto.sha1
      case .sha256: LibCrypto.sha256
      case .sha512: LibCrypto.sha512
      }
    }
  }

  /// `@unchecked Sendable`: only who has the one reference to it changes it; with more, it is only read, to be copied.
  private final class Context: @unchecked Sendable {
    let pointer = LibCrypto.made(EVP_MD_CTX_new())

    init(_ algorithm: Algorithm) { LibCrypto.must(EVP_DigestInit_ex2(pointer, algorithm.pointer, nil) == 1) }

    init(copying other: Context) { LibCrypto.must(EVP_MD_CTX_copy_ex(pointer, other.pointer) == 1) }

    deinit { EVP_MD_CTX_free(pointer) }
  }

  private let algorithm: Algorithm
  private var context: Context

  package init(_ algorithm: Algorithm) {
    self.algorithm = algorithm
    context = Context(algorithm)
  }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    if !isKnownUniquelyReferenced(&context) { context = Context(copying: context) }
    LibCrypto.must(EVP_DigestUpdate(context.pointer, bytes.baseAddress, bytes.count) == 1)
  }

  /// The digest of everything so far.
  package func finish() -> [UInt8] {
    let last = Context(copying: context)
    return [UInt8](unsafeUninitializedCapacity: algorithm.byteCount) { buffer, count in
      LibCrypto.must(EVP_DigestFinal_ex(last.pointer, buffer.baseAddress, nil) == 1)
      count = algorithm.byteCount
    }
  }

  /// The digest of the bytes.
  package static func hash(_ bytes: UnsafeRawBufferPointer, _ algorithm: Algorithm) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: algorithm.byteCount) { buffer, count in
      LibCrypto.must(
        EVP_Digest(bytes.baseAddress, bytes.count, buffer.baseAddress, nil, algorithm.pointer, nil) == 1)
      count = algorithm.byteCount
    }
  }

  /// The digest of the bytes.
  package static func hash(_ bytes: [UInt8], _ algorithm: Algorithm) -> [UInt8] {
    bytes.withUnsafeBytes { hash($0, algorithm) }
  }

  /// A digest as it is written: two lower-case hexadecimal digits for each byte.
  package static func hexadecimal(_ digest: [UInt8]) -> String {
    String(unsafeUninitializedCapacity: digest.count * 2) { text in
      for (index, byte) in digest.enumerated() {
        text[index * 2] = hexadecimal(byte >> 4)
        text[index * 2 + 1] = hexadecimal(byte & 15)
      }
      return digest.count * 2
    }
  }

  private static func hexadecimal(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }
}
