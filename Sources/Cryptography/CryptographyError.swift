import COpenSSL

/// Why bytes are no key, certificate or signature, or why libcrypto could not do what was asked.
package struct CryptographyError: Error, Sendable, Equatable, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }

  /// What failed, with the reason that libcrypto gives. Its queue of errors, which belongs to the thread, is empty afterwards.
  static func library(_ what: String) -> CryptographyError {
    let code = ERR_get_error()
    let reason = ERR_reason_error_string(code).map { String(cString: $0) }
    ERR_clear_error()
    return CryptographyError(
      reason.map { "\(what): \($0)" } ?? (code == 0 ? what : "\(what): libcrypto's error \(code)"))
  }
}
