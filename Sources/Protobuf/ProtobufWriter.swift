/// Writes a message, field by field. What is written is written, also a value that its reader would take for granted: who
/// writes decides.
package struct ProtobufWriter: Sendable {
  /// The message so far.
  package private(set) var bytes: [UInt8] = []

  package init() {}

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
