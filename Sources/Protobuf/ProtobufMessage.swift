/// A message of a schema of proto3. Each field is named once, with its number, for both directions.
///
///     struct Metadata: ProtobufMessage {
///       var name = ""
///       var attempt: UInt32 = 0
///
///       mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
///         try fields.field(1, &name)
///         try fields.field(2, &attempt)
///       }
///     }
///
/// Fields that a message does not name are skipped when it is read, as proto3 wants it.
package protocol ProtobufMessage: Sendable, Equatable {
  /// Every field as it is when it is not on the wire.
  init()

  /// Names every field. Called once to write, and once for each field that is read.
  mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError)
}

extension ProtobufMessage {
  /// Reads a message. The last one of a field's values counts, those of a list and of a map add up.
  package init(parsing bytes: ArraySlice<UInt8>) throws(ProtobufError) {
    self.init()
    var reader = ProtobufReader(bytes)
    while let field = try reader.next() {
      var fields = ProtobufFields(.read(field))
      try code(&fields)
    }
  }

  package init(parsing bytes: [UInt8]) throws(ProtobufError) { try self.init(parsing: bytes[...]) }

  /// The message on the wire: fields in the order in which they are named, entries of maps in the order of their keys.
  package func serialized() throws(ProtobufError) -> [UInt8] {
    // A field is handed over as a place to read into, also when it is written.
    var message = self
    var fields = ProtobufFields(.write(ProtobufWriter()))
    try message.code(&fields)
    return fields.written
  }
}

/// One pass over the fields of a message: all of them are written, or the one that was read finds its place.
package struct ProtobufFields {
  enum Pass {
    case write(ProtobufWriter)
    case read(ProtobufField)
  }

  /// Of a list or a map that is read. A message of two bytes may take hundreds in memory.
  package static let countMax = 100_000

  private var pass: Pass

  init(_ pass: Pass) { self.pass = pass }

  fileprivate var written: [UInt8] {
    guard case .write(let writer) = pass else { return [] }
    return writer.bytes
  }

  // MARK: Scalars, left out when they are zero or empty

  package mutating func field(_ number: Int, _ value: inout String) throws(ProtobufError) {
    if let read = try string(number) { value = read }
    if !value.isEmpty { write { $0.bytes(number, value.utf8) } }
  }

  package mutating func field(_ number: Int, _ value: inout [UInt8]) throws(ProtobufError) {
    if let read = try bytes(number) { value = Array(read) }
    if !value.isEmpty { write { $0.bytes(number, value) } }
  }

  package mutating func field(_ number: Int, _ value: inout Bool) throws(ProtobufError) {
    if let read = try self.number(number) { value = read != 0 }
    if value { write { $0.number(number, 1) } }
  }

  package mutating func field<Number: FixedWidthInteger>(
    _ number: Int, _ value: inout Number
  ) throws(ProtobufError) {
    if let read = try self.number(number) { value = Number(truncatingIfNeeded: read) }
    if value != 0 { write { $0.number(number, UInt64(truncatingIfNeeded: value)) } }
  }

  /// A value of an enumeration. One that the schema here does not have is refused: what it means is not known.
  package mutating func field<Value: RawRepresentable<Int32>>(
    _ number: Int, _ value: inout Value
  ) throws(ProtobufError) {
    if let read = try self.number(number) {
      let raw = Int32(truncatingIfNeeded: read)
      guard let known = Value(rawValue: raw) else {
        throw ProtobufError("field \(number) has the value \(raw), which is none of its enumeration")
      }
      value = known
    }
    if value.rawValue != 0 { write { $0.number(number, UInt64(truncatingIfNeeded: value.rawValue)) } }
  }

  // MARK: Messages

  /// A message that may be missing; one that is there and empty is something else.
  package mutating func field<Message: ProtobufMessage>(
    _ number: Int, _ value: inout Message?
  ) throws(ProtobufError) {
    if let read = try bytes(number) { value = try Message(parsing: read) }
    guard isWriting, let value else { return }
    let message = try value.serialized()
    write { $0.bytes(number, message) }
  }

  /// A message that is always written; when it is missing it is read as an empty one.
  package mutating func field<Message: ProtobufMessage>(
    _ number: Int, _ value: inout Message
  ) throws(ProtobufError) {
    if let read = try bytes(number) { value = try Message(parsing: read) }
    guard isWriting else { return }
    let message = try value.serialized()
    write { $0.bytes(number, message) }
  }

  // MARK: Lists and maps

  package mutating func field<Message: ProtobufMessage>(
    _ number: Int, _ values: inout [Message]
  ) throws(ProtobufError) {
    if let read = try bytes(number) {
      try Self.check(values.count, number)
      values.append(try Message(parsing: read))
    }
    guard isWriting else { return }
    for value in values {
      let message = try value.serialized()
      write { $0.bytes(number, message) }
    }
  }

  package mutating func field(_ number: Int, _ values: inout [String]) throws(ProtobufError) {
    if let read = try string(number) {
      try Self.check(values.count, number)
      values.append(read)
    }
    write { for value in values { $0.bytes(number, value.utf8) } }
  }

  /// Written packed, read in either form.
  package mutating func field<Number: FixedWidthInteger>(
    _ number: Int, _ values: inout [Number]
  ) throws(ProtobufError) {
    if case .read(let field) = pass, field.number == number {
      switch field.value {
      case .number(let value):
        try Self.check(values.count, number)
        values.append(Number(truncatingIfNeeded: value))
      case .bytes(let packed):
        var reader = ProtobufReader(packed)
        while !reader.isAtEnd {
          try Self.check(values.count, number)
          values.append(Number(truncatingIfNeeded: try reader.varint()))
        }
      }
    }
    guard isWriting, !values.isEmpty else { return }
    var packed = ProtobufWriter()
    for value in values { packed.varint(UInt64(truncatingIfNeeded: value)) }
    write { $0.bytes(number, packed.bytes) }
  }

  package mutating func field(_ number: Int, _ values: inout [String: String]) throws(ProtobufError) {
    if let read = try bytes(number) {
      let entry = try Entry(parsing: read)
      try Self.check(values.count, number)
      values[entry.key] = entry.value
    }
    guard isWriting else { return }
    for (key, value) in values.sorted(by: { $0.key < $1.key }) {
      let entry = try Entry(key: key, value: value).serialized()
      write { $0.bytes(number, entry) }
    }
  }

  /// An entry of a map is a message on the wire.
  private struct Entry: ProtobufMessage {
    var key = ""
    var value = ""

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &key)
      try fields.field(2, &value)
    }
  }

  // MARK: The pass

  private var isWriting: Bool {
    if case .write = pass { true } else { false }
  }

  private mutating func write(_ body: (inout ProtobufWriter) -> Void) {
    guard case .write(var writer) = pass else { return }
    // Let go of first, so that adding to it does not copy it.
    pass = .write(ProtobufWriter())
    body(&writer)
    pass = .write(writer)
  }

  private func number(_ number: Int) throws(ProtobufError) -> UInt64? {
    guard case .read(let field) = pass, field.number == number else { return nil }
    guard case .number(let value) = field.value else { throw ProtobufError("field \(number) is no number") }
    return value
  }

  private func bytes(_ number: Int) throws(ProtobufError) -> ArraySlice<UInt8>? {
    guard case .read(let field) = pass, field.number == number else { return nil }
    guard case .bytes(let value) = field.value else { throw ProtobufError("field \(number) is a number") }
    return value
  }

  private func string(_ number: Int) throws(ProtobufError) -> String? {
    guard let bytes = try bytes(number) else { return nil }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ProtobufError("field \(number) is not UTF-8")
    }
    return text
  }

  private static func check(_ count: Int, _ number: Int) throws(ProtobufError) {
    guard count < countMax else { throw ProtobufError("field \(number) has more than \(countMax) values") }
  }
}
