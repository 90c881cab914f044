import Crypto

/// A content digest (OCI image specification, "Digests"): `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal
/// digits.
public struct Digest: Sendable, Hashable, Comparable, CustomStringConvertible {
  public enum Algorithm: String, Sendable, CaseIterable {
    case sha256, sha512

    /// How many digits it has.
    public var hexCount: Int { self == .sha256 ? 64 : 128 }
  }

  public let algorithm: Algorithm
  public let hex: String

  /// Parses `algorithm:hex`; `nil` for another algorithm or form.
  public init?(_ text: some StringProtocol) {
    guard let colon = text.firstIndex(of: ":"), let algorithm = Algorithm(rawValue: String(text[..<colon])) else {
      return nil
    }
    let hex = text[text.index(after: colon)...]
    guard hex.utf8.count == algorithm.hexCount, Digest.isHex(hex) else { return nil }
    self.algorithm = algorithm
    self.hex = String(hex)
  }

  init(algorithm: Algorithm, hex: String) {
    self.algorithm = algorithm
    self.hex = hex
  }

  /// The digest of the bytes.
  public init(of bytes: [UInt8], _ algorithm: Algorithm = .sha256) {
    var hasher = DigestHasher(algorithm)
    bytes.withUnsafeBytes { hasher.update($0) }
    self = hasher.finish()
  }

  public var description: String { "\(algorithm.rawValue):\(hex)" }

  public static func < (a: Digest, b: Digest) -> Bool { a.description < b.description }

  static func isHex(_ text: some StringProtocol) -> Bool {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}

/// A digest that is computed while bytes pass by. A copy goes its own way from there, so that a state can be kept.
public struct DigestHasher: Sendable {
  private enum State {
    case sha256(SHA256)
    case sha512(SHA512)
  }

  private var state: State

  public init(_ algorithm: Digest.Algorithm) {
    switch algorithm {
    case .sha256: state = .sha256(SHA256())
    case .sha512: state = .sha512(SHA512())
    }
  }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    switch state {
    case .sha256(var hasher):
      hasher.update(bufferPointer: bytes)
      state = .sha256(hasher)
    case .sha512(var hasher):
      hasher.update(bufferPointer: bytes)
      state = .sha512(hasher)
    }
  }

  /// The digest of everything so far.
  public func finish() -> Digest {
    switch state {
    case .sha256(let hasher): Digest(algorithm: .sha256, hex: DigestHasher.hex(hasher.finalize()))
    case .sha512(let hasher): Digest(algorithm: .sha512, hex: DigestHasher.hex(hasher.finalize()))
    }
  }

  private static func hex(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
}
