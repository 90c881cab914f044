import Glibc
import LinuxSystem
import OCI

/// eStargz (containerd/stargz-snapshotter, docs/estargz.md): layers that are plain gzip archives for everybody, and that
/// can also be read file by file, in any order, by those who know.
///
/// Every file, and every chunk of a large one, begins a gzip member of its own. The last member of the archive is a table
/// of contents, which says where each chunk is and what its digest is; behind it a footer says where the table is. The
/// table's digest stands in the layer's descriptor: so every byte can be verified by the manifest before the whole layer
/// is there.
public enum Stargz {
  static let tocName = "stargz.index.json"
  /// What is in front of it is read by the image's program at its start.
  static let prefetchLandmark = ".prefetch.landmark"
  /// Nothing is known about that.
  static let noPrefetchLandmark = ".no.prefetch.landmark"
  static let landmarkContent: [UInt8] = [0x0F]
  static let reservedNames: Set<String> = [tocName, prefetchLandmark, noPrefetchLandmark]

  /// Bytes of the footer at the end of the layer.
  public static let footerSize = 51
  /// Of the table of contents, compressed, with its header in the archive.
  public static let tocCompressedMax: Int64 = 16 << 20
  /// Of the table of contents. It is in memory while it is parsed.
  static let tocMax: Int64 = 64 << 20
  /// Values in the table: what is parsed takes far more memory than its text. Real tables have 20 bytes for each and more.
  static let tocValuesMax = Int(tocMax / 16)
  /// Decompressed bytes that one read may have to make for one chunk.
  static let chunkMax: Int64 = 16 << 20

  /// An empty gzip member whose extra field (RFC 1952, section 2.3.1.1) says where the table of contents begins.
  static func footer(tocOffset: Int64) -> [UInt8] {
    let hex = String(tocOffset, radix: 16)
    let digits = String(repeating: "0", count: 16 - hex.utf8.count) + hex
    return [0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 0xFF, 26, 0, UInt8(ascii: "S"), UInt8(ascii: "G"), 22, 0]
      + Array(digits.utf8) + Array("STARGZ".utf8) + [1, 0, 0, 0xFF, 0xFF] + [UInt8](repeating: 0, count: 8)
  }

  /// Where the table of contents begins.
  /// - Parameters:
  ///   - footer: the last bytes of the layer.
  ///   - size: of the layer.
  public static func tocOffset(footer: [UInt8], size: Int64) throws(OCIError) -> Int64 {
    guard footer.count == footerSize, footer.starts(with: [0x1F, 0x8B, 8, 4]),
      footer[10...15].elementsEqual([26, 0, UInt8(ascii: "S"), UInt8(ascii: "G"), 22, 0]),
      footer[32..<38].elementsEqual("STARGZ".utf8), footer[16..<32].allSatisfy({ isHexDigit($0) }),
      let offset = Int64(String(decoding: footer[16..<32], as: UTF8.self), radix: 16)
    else { throw OCIError(.invalidArchive, "the layer does not end with the footer of eStargz") }
    guard offset >= 0, offset < size - Int64(footerSize) else {
      throw OCIError(.invalidArchive, "the layer's footer names a place outside of the layer")
    }
    guard size - Int64(footerSize) - offset <= tocCompressedMax else {
      throw OCIError(.limitExceeded, "the layer's table of contents is larger than \(tocCompressedMax) bytes")
    }
    return offset
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
  }

  /// The table of contents, verified.
  /// - Parameters:
  ///   - compressed: what is in the layer from `tocOffset` up to the footer.
  ///   - digest: from the descriptor's annotation.
  public static func tableOfContents(_ compressed: [UInt8], digest: Digest) throws(OCIError) -> [UInt8] {
    let label = "the table of contents \(digest)"
    let source = try Compression.open(
      MemorySource(compressed), size: Int64(compressed.count), limits: ImageLimits(), label: label)
    var reader = TarReader(source, label: label, entriesMax: 8)
    guard let entry = try reader.next(), entry.kind == .file, entry.path == tocName else {
      throw OCIError(.invalidArchive, "\(label) is not where the layer's footer says")
    }
    guard entry.size <= tocMax else { throw OCIError(.limitExceeded, "\(label) is larger than \(tocMax) bytes") }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(entry.size))
    try reader.forEachPiece { (piece) throws(OCIError) in bytes.append(contentsOf: piece) }
    let found = Digest(of: bytes, digest.algorithm)
    guard found == digest else {
      throw OCIError(
        .digestMismatch, "\(label) has the digest \(found); nothing of the layer is used", digests: [digest])
    }
    return bytes
  }
}
