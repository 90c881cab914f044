import Cryptography

/// A content digest (OCI image specification, "Digests"): `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal
/// digits.
public struct Digest: Sendable, Hashable, Comparable, CustomStringConvertible {
  public enum Algorithm: String, Sendable, CaseIterable {
    case sha256, sha512

    /// How many digits it has.
    public var hexCount: Int { function.byteCount * 2 }

    fileprivate var function: MessageDigest.Algorithm { self == .sha256 ? .sha256 : .sha512 }
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

  /// - Parameter bytes: what the algorithm computed.
  fileprivate init(_ algorithm: Algorithm, _ bytes: [UInt8]) {
    self.algorithm = algorithm
    hex = MessageDigest.hexadecimal(bytes)
  }

  /// The digest of the bytes.
  public init(of bytes: [UInt8], _ algorithm: Algorithm = .sha256) {
    self.init(algorithm, MessageDigest.hash(bytes, algorithm.function))
  }

  public var description: String { "\(algorithm.rawValue):\(hex)" }

  public static func < (a: Digest, b: Digest) -> Bool { a.description < b.description }

  /// Whether all are lower-case hexadecimal digits.
  package static func isHex(_ text: some StringProtocol) -> Bool {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}

/// A digest that is computed while bytes pass by. A copy goes its own way from there, so that a state can be kept.
public struct DigestHasher: Sendable {
  private let algorithm: Digest.Algorithm
  private var state: MessageDigest

  public init(_ algorithm: Digest.Algorithm) {
    self.algorithm = algorithm
    state = MessageDigest(algorithm.function)
  }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) { state.update(bytes) }

  /// The digest of everything so far.
  public func finish() -> Digest { Digest(algorithm, state.finish()) }
}
