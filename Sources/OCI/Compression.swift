/// How a layer or an archive is compressed.
public enum Compression: String, Sendable, Hashable, CaseIterable {
  case none, gzip, zstd

  /// Told from the first bytes (RFC 1952, RFC 8878), because media types are wrong at times.
  public init(magic bytes: some Collection<UInt8>) {
    if bytes.starts(with: [0x1F, 0x8B]) {
      self = .gzip
    } else if bytes.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
      self = .zstd
    } else {
      self = .none
    }
  }
}
