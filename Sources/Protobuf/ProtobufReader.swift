/// Why bytes are no message, or not the one that was expected.
package struct ProtobufError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, and in which field.
  package var message: String

  package init(_ message: String) { self.message = message }

  package var description: String { message }
}

/// One field of a message as it is on the wire.
package struct ProtobufField: Sendable, Equatable {
  package enum Value: Sendable, Equatable {
    /// A varint, or four or eight bytes in little-endian order: the schema says what it stands for.
    case number(UInt64)
    /// A string, bytes, a message, or a packed list. It shares the storage of what it was read from.
    case bytes(ArraySlice<UInt8>)
  }

  package var number: Int
  package var value: Value

  package init(number: Int, value: Value) {
    self.number = number
    self.value = value
  }
}

/// Reads the fields of a message in the order in which they come (protobuf.dev/programming-guides/encoding).
///
/// Nothing is copied, and nothing is set aside for a length that is only announced: what is read costs no more than the bytes
/// that it is read from. Groups are refused; no schema of proto3 has them.
package struct ProtobufReader: Sendable {
  /// The largest number that a field may have.
  package static let fieldNumberMax: UInt64 = (1 << 29) - 1

  private var bytes: ArraySlice<UInt8>

  package init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  package var isAtEnd: Bool { bytes.isEmpty }

  /// The next field; `nil` at the end of the message.
  package mutating func next() throws(ProtobufError) -> ProtobufField? {
    guard !bytes.isEmpty else { return nil }
    let key = try varint()
    guard (1...Self.fieldNumberMax).contains(key >> 3) else {
      throw ProtobufError("\(key >> 3) is no field's number")
    }
    let number = Int(key >> 3)
    switch key & 7 {
    case 0: return ProtobufField(number: number, value: .number(try varint()))
    case 1: return ProtobufField(number: number, value: .number(try fixed(8)))
    case 2:
      let length = try varint()
      guard length <= UInt64(bytes.count) else { throw ProtobufError("field \(number) is cut off") }
      let value = bytes.prefix(Int(length))
      bytes = bytes.dropFirst(Int(length))
      return ProtobufField(number: number, value: .bytes(value))
    case 5: return ProtobufField(number: number, value: .number(try fixed(4)))
    default: throw ProtobufError("field \(number) has the unknown wire type \(key & 7)")
    }
  }

  /// A number of up to ten bytes, as the elements of a packed list are. Bits beyond the sixty-fourth are dropped.
  package mutating func varint() throws(ProtobufError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while shift < 70, let byte = bytes.popFirst() {
      if shift < 64 { value |= UInt64(byte & 0x7F) << shift }
      if byte < 0x80 { return value }
      shift += 7
    }
    throw ProtobufError(shift < 70 ? "a number is cut off" : "a number has more than ten bytes")
  }

  private mutating func fixed(_ count: Int) throws(ProtobufError) -> UInt64 {
    guard bytes.count >= count else { throw ProtobufError("a number is cut off") }
    var value: UInt64 = 0
    for (index, byte) in bytes.prefix(count).enumerated() { value |= UInt64(byte) << (8 * UInt64(index)) }
    bytes = bytes.dropFirst(count)
    return value
  }
}
