import COpenSSL

/// libcrypto, and what was fetched from it: a fetch asks all providers, and takes longer than the digest of a kilobyte.
///
/// `nonisolated(unsafe)`: what was fetched is never changed nor freed, and libcrypto lets all threads use it (EVP_MD_fetch(3)).
enum LibCrypto {
  nonisolated(unsafe) static let sha1 = digest("SHA1")
  nonisolated(unsafe) static let sha256 = digest("SHA2-256")
  nonisolated(unsafe) static let sha512 = digest("SHA2-512")
  nonisolated(unsafe) static let hmac: OpaquePointer = {
    start()
    return found(EVP_MAC_fetch(nil, "HMAC", nil), "HMAC")
  }()

  /// Before anything else is asked of it, and once: it reads no configuration, which could load foreign code and takes time,
  /// and it frees nothing at the process's exit, while other threads still use it.
  static func start() { _ = started }

  private static let started: Void = {
    let options = UInt64(OPENSSL_INIT_NO_LOAD_CONFIG) | UInt64(OPENSSL_INIT_NO_ATEXIT)
    guard OPENSSL_init_crypto(options, nil) == 1 else {
      fatalError("\(CryptographyError.library("libcrypto cannot start"))")
    }
  }()

  private static func digest(_ name: String) -> OpaquePointer {
    start()
    return found(EVP_MD_fetch(nil, name, nil), name)
  }

  private static func found(_ algorithm: OpaquePointer?, _ name: String) -> OpaquePointer {
    guard let algorithm else { fatalError("\(CryptographyError.library("libcrypto has no \(name)"))") }
    return algorithm
  }

  /// Of what fails only for want of memory, which ends a Swift program everywhere.
  static func must(_ succeeded: Bool) {
    guard succeeded else { fatalError("\(CryptographyError.library("libcrypto has no memory"))") }
  }

  static func made(_ object: OpaquePointer?) -> OpaquePointer {
    guard let object else { fatalError("\(CryptographyError.library("libcrypto has no memory"))") }
    return object
  }
}
