import Testing

@testable import Protobuf

/// SplitMix64, so that what is random is the same in every run.
private struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}

private enum Colour: Int32 {
  case none = 0
  case red = 1
  case below = -1
}

private struct Inner: ProtobufMessage {
  var name = ""
  var flag = false

  mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
    try fields.field(1, &name)
    try fields.field(2, &flag)
  }
}

/// One field of every kind.
private struct Outer: ProtobufMessage {
  var text = ""
  var data: [UInt8] = []
  var flag = false
  var small: Int32 = 0
  var large: Int64 = 0
  var unsigned: UInt32 = 0
  var huge: UInt64 = 0
  var colour = Colour.none
  var optional: Inner?
  var required = Inner()
  var messages: [Inner] = []
  var texts: [String] = []
  var numbers: [Int64] = []
  var map: [String: String] = [:]

  mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
    try fields.field(1, &text)
    try fields.field(2, &data)
    try fields.field(3, &flag)
    try fields.field(4, &small)
    try fields.field(5, &large)
    try fields.field(6, &unsigned)
    try fields.field(7, &huge)
    try fields.field(8, &colour)
    try fields.field(9, &optional)
    try fields.field(10, &required)
    try fields.field(11, &messages)
    try fields.field(12, &texts)
    try fields.field(13, &numbers)
    try fields.field(1000, &map)
  }

  init() {}

  init(using generator: inout SeededGenerator) {
    func word() -> String { String(UInt64.random(in: 0...(.max), using: &generator) >> 40, radix: 36) + "é" }
    func inner() -> Inner { Inner(name: word(), flag: Bool.random(using: &generator)) }
    func some<Value>(_ make: () -> Value) -> [Value] {
      (0..<Int.random(in: 0..<4, using: &generator)).map { _ in make() }
    }
    text = word()
    data = some { UInt8.random(in: 0...255, using: &generator) }
    flag = Bool.random(using: &generator)
    small = Int32.random(in: .min ... .max, using: &generator)
    large = Int64.random(in: .min ... .max, using: &generator)
    unsigned = UInt32.random(in: .min ... .max, using: &generator)
    huge = UInt64.random(in: .min ... .max, using: &generator)
    colour = [.none, .red, .below].randomElement(using: &generator) ?? .none
    optional = some(inner).first
    required = inner()
    messages = some(inner)
    texts = some(word)
    numbers = some { Int64.random(in: -3...300, using: &generator) }
    for key in some(word) { map[key] = word() }
  }
}

@Suite struct ProtobufTests {
  // MARK: Against the examples of the wire format's own description

  @Test func numbers() throws {
    #expect(try Outer(parsing: [0x20, 0x96, 0x01, 0x52, 0]).small == 150)
    let examples: [(Int64, [UInt8])] = [
      (1, [0x28, 1]), (127, [0x28, 0x7F]), (128, [0x28, 0x80, 1]), (150, [0x28, 0x96, 1]),
      (-2, [0x28, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
    ]
    for (number, bytes) in examples {
      var message = Outer()
      message.large = number
      #expect(try message.serialized() == bytes + [0x52, 0])
      #expect(try Outer(parsing: bytes).large == number)
    }
    // Negative numbers of 32 bits have ten bytes, too.
    var message = Outer()
    message.small = -1
    message.colour = .below
    let ten: [UInt8] = Array(repeating: 0xFF, count: 9) + [1]
    #expect(try message.serialized() == [0x20] + ten + [0x40] + ten + [0x52, 0])
    #expect(try Outer(parsing: message.serialized()) == message)
  }

  @Test func textsMessagesListsAndMaps() throws {
    #expect(
      try Outer(parsing: [0x0A, 7] + Array("testing".utf8)).text == "testing")
    var message = Outer()
    message.numbers = [3, 270, 86942]
    message.optional = Inner()
    message.map = ["b": "", "a": "x"]
    // An entry's empty value may be missing; a message that is there is written, also an empty one.
    #expect(
      try message.serialized() == [0x4A, 0, 0x52, 0, 0x6A, 6, 3, 0x8E, 2, 0x9E, 0xA7, 5]
        + [0xC2, 0x3E, 6, 0x0A, 1, 0x61, 0x12, 1, 0x78] + [0xC2, 0x3E, 3, 0x0A, 1, 0x62])
    #expect(try Outer(parsing: message.serialized()) == message)
    // Packed or not, also both.
    #expect(try Outer(parsing: [0x68, 3, 0x6A, 2, 4, 5, 0x68, 6]).numbers == [3, 4, 5, 6])
    #expect(try Outer(parsing: []).optional == nil)
    // The last value of a key, and of a field, counts.
    #expect(
      try Outer(parsing: [0xC2, 0x3E, 6, 0x0A, 1, 0x61, 0x12, 1, 0x78] + [0xC2, 0x3E, 3, 0x0A, 1, 0x61]).map
        == ["a": ""])
    #expect(try Outer(parsing: [0x28, 1, 0x28, 2]).large == 2)
  }

  @Test func fixedNumbersAndUnknownFields() throws {
    #expect(try Outer(parsing: [0x3D, 1, 2, 0, 0]).huge == 513)
    #expect(try Outer(parsing: [0x39, 1, 0, 0, 0, 0, 0, 0, 0x80]).huge == 1 << 63 | 1)
    // Fields 20 to 23, one of each wire type.
    let unknown: [UInt8] =
      [0xA0, 1, 7] + [0xA9, 1, 1, 2, 3, 4, 5, 6, 7, 8] + [0xB2, 1, 2, 9, 9] + [0xBD, 1, 1, 2, 3, 4]
    #expect(try Outer(parsing: unknown + [0x28, 5] + unknown).large == 5)
  }

  // MARK: What is refused

  @Test(
    arguments: [
      ([0x0A], "a number is cut off"),
      ([0x0A, 2, 0x61], "field 1 is cut off"),
      // A length of nearly 2^64.
      ([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], "field 1 is cut off"),
      ([0x28, 0x80], "a number is cut off"),
      ([0x28] + Array(repeating: 0x80, count: 10) + [0], "a number has more than ten bytes"),
      ([0x39, 1, 2, 3], "a number is cut off"),
      ([0x3D, 1, 2, 3], "a number is cut off"),
      ([0x0B, 0x0C], "field 1 has the unknown wire type 3"),
      ([0x0E], "field 1 has the unknown wire type 6"),
      ([0x02, 0], "0 is no field's number"),
      ([0x80, 0x80, 0x80, 0x80, 0x10, 0], "536870912 is no field's number"),
      ([0x0A, 1, 0xFF], "field 1 is not UTF-8"),
      ([0x08, 1], "field 1 is no number"),
      ([0x2A, 0], "field 5 is no number"),
      ([0x40, 2], "field 8 has the value 2, which is none of its enumeration"),
      ([0x4A, 1, 0x0A], "a number is cut off"),
    ] as [([UInt8], String)])
  func refusals(_ bytes: [UInt8], _ message: String) {
    // The other way round: a text where a number is, a number where a text is.
    let expected = bytes == [0x08, 1] ? "field 1 is a number" : message
    #expect(throws: ProtobufError(expected)) { try Outer(parsing: bytes) }
  }

  @Test func listsAndMapsHaveABound() throws {
    func repeated(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
      Array(repeatElement(bytes, count: count).joined())
    }
    let most = ProtobufFields.countMax
    #expect(try Outer(parsing: repeated([0x5A, 0], most)).messages.count == most)
    let failure = { (number: Int) in ProtobufError("field \(number) has more than \(most) values") }
    #expect(throws: failure(11)) { try Outer(parsing: repeated([0x5A, 0], most + 1)) }
    #expect(throws: failure(12)) { try Outer(parsing: repeated([0x62, 0], most + 1)) }
    #expect(throws: failure(13)) { try Outer(parsing: repeated([0x68, 1], most + 1)) }
    var packed = ProtobufWriter()
    packed.bytes(13, repeatElement(1, count: most + 1).map { UInt8($0) })
    #expect(throws: failure(13)) { try Outer(parsing: packed.bytes) }
  }

  // MARK: Anything at all

  @Test func whatIsWrittenIsReadAgain() throws {
    var generator = SeededGenerator(state: 1)
    for _ in 0..<2000 {
      let message = Outer(using: &generator)
      #expect(try Outer(parsing: message.serialized()) == message)
    }
  }

  /// Damaged messages are read or refused, and what was read can be written.
  @Test func survivesAnyBytes() throws {
    var generator = SeededGenerator(state: 2)
    var (read, refused) = (0, 0)
    for round in 0..<20_000 {
      var bytes: [UInt8]
      if round.isMultiple(of: 2) {
        bytes = (0..<Int.random(in: 0..<60, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
      } else {
        bytes = try Outer(using: &generator).serialized()
        bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        bytes.removeLast(Int.random(in: 0..<2, using: &generator))
      }
      do {
        let message = try Outer(parsing: bytes)
        #expect(try Outer(parsing: message.serialized()) == message)
        read += 1
      } catch {
        refused += 1
      }
    }
    #expect(read > 1000 && refused > 1000)
  }

  /// A slice begins where it begins.
  @Test func readsSlices() throws {
    let bytes: [UInt8] = [9, 9, 0x0A, 1, 0x61, 9]
    #expect(try Outer(parsing: bytes[2..<5]).text == "a")
    var reader = ProtobufReader(bytes[2..<5])
    #expect(try reader.next() == ProtobufField(number: 1, value: .bytes([0x61])))
    #expect(try reader.next() == nil)
    #expect(reader.isAtEnd)
  }
}
