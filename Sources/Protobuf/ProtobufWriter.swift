/// Writes a message, field by field. What is written is written, also a value that its reader would take for granted: who
/// writes decides.
package struct ProtobufWriter: Sendable {
  /// The message so far.
  package private(set) var bytes: [UInt8] = []

  package init() {}

  /// Goes on after bytes that are no part of the message.
  package init(after bytes: [UInt8], capacity: Int) {
    self.bytes = bytes
    self.bytes.reserveCapacity(bytes.count + capacity)
  }

  /// A field of type `int32`, `int64`, `uint32`, `uint64`, `bool` or of an enumeration. Negative numbers are given in two's
  /// complement of 64 bits, also those of 32.
  package mutating func number(_ number: Int, _ value: UInt64) {
    key(number, wireType: 0)
    varint(value)
  }

  /// A field of type `bytes` or `string`, a message, or a packed list.
  package mutating func bytes(_ number: Int, _ value: some Collection<UInt8>) {
    key(number, wireType: 2)
    varint(UInt64(value.count))
    bytes.append(contentsOf: value)
  }

  /// A field of type `double`.
  package mutating func double(_ number: Int, _ value: Double) {
    key(number, wireType: 1)
    for shift in stride(from: 0, to: 64, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt64(shift)))
    }
  }

  /// Begins a message within the message: what is written until `close` is its fields.
  ///
  /// - Returns: what `close` needs.
  package mutating func open(_ number: Int) -> Int {
    key(number, wireType: 2)
    // Most are short: their length is one byte.
    bytes.append(0)
    return bytes.count
  }

  /// Ends the message that was begun last.
  package mutating func close(_ start: Int) {
    let count = bytes.count - start
    guard count > 0x7F else {
      bytes[start - 1] = UInt8(count)
      return
    }
    let extra = (Int.bitWidth - count.leadingZeroBitCount - 1) / 7
    for _ in 0..<extra { bytes.append(0) }
    bytes.withUnsafeMutableBytes { bytes in
      guard let message = bytes.baseAddress?.advanced(by: start) else { return }
      message.advanced(by: extra).copyMemory(from: message, byteCount: count)
    }
    var rest = count
    for index in start - 1..<start + extra {
      bytes[index] = UInt8(truncatingIfNeeded: rest) & 0x7F | (index < start + extra - 1 ? 0x80 : 0)
      rest >>= 7
    }
  }

  /// The front of a message of which the length is known, and which comes in pieces.
  package mutating func key(_ number: Int, length: Int) {
    key(number, wireType: 2)
    varint(UInt64(length))
  }

  // Not generic: modules are compiled one by one, and a generic one that is not specialised costs twenty times as much.

  /// A field of type `bytes` or `string`.
  package mutating func bytes(_ number: Int, _ value: UnsafeBufferPointer<UInt8>) {
    key(number, length: value.count)
    bytes.append(contentsOf: value)
  }

  /// A piece of a `string` or `bytes` that was begun with `open`.
  package mutating func append(_ piece: UnsafeBufferPointer<UInt8>) { bytes.append(contentsOf: piece) }
  package mutating func append(_ piece: [UInt8]) { bytes.append(contentsOf: piece) }
  package mutating func append(byte: UInt8) { bytes.append(byte) }

  /// A number without its field, as the elements of a packed list are.
  package mutating func varint(_ value: UInt64) {
    var value = value
    while value > 0x7F {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(value))
  }

  private mutating func key(_ number: Int, wireType: UInt64) {
    precondition(number > 0 && UInt64(number) <= ProtobufReader.fieldNumberMax, "\(number) is no field's number")
    varint(UInt64(number) << 3 | wireType)
  }
}
