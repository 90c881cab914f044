import CLinux

/// CRC-32C, which tells bytes from those that a disk has changed. It is no protection against somebody who means it.
public struct Checksum: Sendable, Equatable {
  /// The sum of what was added.
  public private(set) var value: UInt32 = 0

  public init() {}

  public init(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    value = clinux_crc32c(value, bytes.baseAddress, bytes.count)
  }

  public mutating func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

  public mutating func add(_ text: String) {
    var text = text
    text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
  }

  /// In the machine's order of bytes.
  public mutating func add(_ number: Int64) { withUnsafeBytes(of: number) { add($0) } }
}
