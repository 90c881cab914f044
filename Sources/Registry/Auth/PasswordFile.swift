import CCrypt
import Cryptography
import Glibc

/// Users and their password hashes, as `htpasswd` writes them: `user:hash` in lines.
///
/// Hashes are those of crypt(3) that resist guessing: bcrypt (`$2y$`, what `htpasswd -B` makes), yescrypt (`$y$`), scrypt
/// (`$7$`), SHA-512 and SHA-256 crypt (`$6$`, `$5$`).
public struct PasswordFile: Sendable, Equatable {
  /// By user name.
  public private(set) var hashes: [String: String]

  public init(hashes: [String: String] = [:]) { self.hashes = hashes }

  /// - Throws: the number of the line and what is wrong with it; never the line, which holds a hash.
  public init(parsing text: some StringProtocol, label: String) throws(RegistryConfigurationError) {
    hashes = [:]
    // By bytes: a carriage return and a line feed are one character.
    for (index, bytes) in Array(text.utf8).split(separator: 0x0A, omittingEmptySubsequences: false)
      .enumerated()
    {
      let line = String(decoding: bytes.last == 0x0D ? bytes.dropLast() : bytes, as: UTF8.self)
      if line.isEmpty || line.hasPrefix("#") { continue }
      guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else {
        throw RegistryConfigurationError("\(label), line \(index + 1): a line is user:hash")
      }
      let user = String(line[..<colon])
      let hash = String(line[line.index(after: colon)...])
      if let problem = Self.problem(user: user, hash: hash) {
        throw RegistryConfigurationError("\(label), line \(index + 1): \(problem)")
      }
      guard hashes.updateValue(hash, forKey: user) == nil else {
        throw RegistryConfigurationError("\(label), line \(index + 1): the user \(user) is named twice")
      }
    }
  }

  /// Adds users of another source.
  mutating func merge(_ other: PasswordFile, label: String) throws(RegistryConfigurationError) {
    for (user, hash) in other.hashes {
      guard hashes.updateValue(hash, forKey: user) == nil else {
        throw RegistryConfigurationError("\(label): the user \(user) is named twice")
      }
    }
  }

  static func problem(user: String, hash: String) -> String? {
    guard user.utf8.count <= 256, user != AccessControl.anonymous, user != "*" else {
      return "a user's name has at most 256 characters and is none of '*' and 'anonymous'"
    }
    guard ["$2y$", "$2b$", "$2a$", "$y$", "$7$", "$6$", "$5$"].contains(where: { hash.hasPrefix($0) }) else {
      return "the hash must be bcrypt, yescrypt, scrypt or SHA-crypt; make one with `htpasswd -nB USER`"
    }
    guard isWellFormed(hash), [CRYPT_SALT_OK, CRYPT_SALT_TOO_CHEAP].contains(crypt_checksalt(hash)) else {
      return "the hash is malformed or of a kind that this system's libcrypt does not have"
    }
    return nil
  }

  /// Settings alone pass libcrypt's check; a hash that is cut off would refuse everybody without a word.
  private static func isWellFormed(_ hash: String) -> Bool {
    guard hash.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") }) else { return false }
    if hash.hasPrefix("$2") { return hash.utf8.count == 60 }
    return hash.utf8.count >= 40 && hash.utf8.count < 400
  }
}

/// crypt(3), which takes tens of milliseconds by design.
enum PasswordHash {
  /// Compares in constant time. Blocks for as long as the hash's cost asks for.
  static func verify(_ password: String, hash: String) -> Bool {
    // A zero byte would end the password early, and "a\0b" be as good as "a".
    guard !password.utf8.contains(0), password.utf8.count <= 1024, let computed = crypted(password, setting: hash)
    else { return false }
    return constantTimeEqual(Array(computed.utf8), Array(hash.utf8))
  }

  /// A new bcrypt hash.
  ///
  /// - Parameter cost: the logarithm of the rounds, 4 to 31.
  static func make(_ password: String, cost: UInt = 10) -> String? {
    var setting = [CChar](repeating: 0, count: Int(CRYPT_GENSALT_OUTPUT_SIZE))
    guard crypt_gensalt_rn("$2b$", cost, nil, 0, &setting, Int32(setting.count)) != nil else { return nil }
    return crypted(password, setting: text(setting))
  }

  private static func crypted(_ password: String, setting: String) -> String? {
    // 32 KiB, which is too much for a stack that is not ours.
    let data = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)
    data.initialize(to: crypt_data())
    defer {
      explicit_bzero(data, MemoryLayout<crypt_data>.size)
      data.deallocate()
    }
    guard let result = crypt_rn(password, setting, data, Int32(MemoryLayout<crypt_data>.size)) else { return nil }
    return String(cString: result)
  }

  private static func text(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
