import Wire

/// Reads an object's header in one pass over its bytes, building nothing else.
///
/// It knows the form in which the server stores objects: `apiVersion`, `kind` and `metadata` first, no white space, keys
/// and header values in ASCII without escapes. Bytes of another form, among them all that are not JSON, it leaves to the
/// parser, which reads them or says what is wrong. What it accepts, the parser accepts, and reads as the same header.
struct HeaderScanner {
  /// Something that is left to the parser.
  private struct Unusual: Error {}

  /// More annotations or members of an owner than this are unusual: comparing each key with all before it is quadratic.
  private static let membersMax = 24

  private var at = 0

  /// Sets what the bytes tell in an empty header; when it returns false, the header may be half filled.
  static func scan(_ bytes: [UInt8], into header: inout ObjectHeader) -> Bool {
    var scanner = HeaderScanner()
    do throws(Unusual) {
      try scanner.object(bytes.span, &header)
      return true
    } catch {
      return false
    }
  }

  // A span cannot be a member yet: each method is given the bytes.

  private mutating func object(_ bytes: Span<UInt8>, _ header: inout ObjectHeader) throws(Unusual) {
    try expect("{", bytes)
    while true {
      let key = try plainString(bytes)
      try expect(":", bytes)
      if isEqual(key, "metadata", bytes) { return try metadata(bytes, &header) }
      _ = try plainString(bytes)
      try expect(",", bytes)
    }
  }

  private mutating func metadata(_ bytes: Span<UInt8>, _ header: inout ObjectHeader) throws(Unusual) {
    var seen: UInt = 0
    try expect("{", bytes)
    repeat {
      let key = try plainString(bytes)
      try expect(":", bytes)
      let member: UInt
      switch key.count {
      case 3 where isEqual(key, "uid", bytes):
        header.uid = text(try plainString(bytes), bytes)
        member = 0
      case 4 where isEqual(key, "name", bytes):
        header.name = text(try plainString(bytes), bytes)
        member = 1
      case 6 where isEqual(key, "labels", bytes):
        header.labels = try labels(bytes)
        member = 2
      case 9 where isEqual(key, "namespace", bytes):
        header.namespace = text(try plainString(bytes), bytes)
        member = 3
      case 10 where isEqual(key, "generation", bytes):
        header.generation = try digits(bytes)
        member = 4
      case 10 where isEqual(key, "finalizers", bytes):
        header.finalizers = try finalizers(bytes)
        member = 5
      case 11 where isEqual(key, "annotations", bytes):
        try skipAnnotations(bytes)
        member = 6
      case 12 where isEqual(key, "generateName", bytes):
        _ = try plainString(bytes)
        member = 7
      case 15 where isEqual(key, "resourceVersion", bytes):
        header.resourceVersion = try quotedDigits(bytes)
        member = 8
      case 15 where isEqual(key, "ownerReferences", bytes):
        header.ownerReferences = try ownerReferences(bytes)
        member = 9
      case 17 where isEqual(key, "creationTimestamp", bytes):
        header.creationTimestamp = text(try plainString(bytes), bytes)
        member = 10
      case 17 where isEqual(key, "deletionTimestamp", bytes):
        header.deletionTimestamp = text(try plainString(bytes), bytes)
        member = 11
      case 26 where isEqual(key, "deletionGracePeriodSeconds", bytes):
        _ = try digits(bytes)
        member = 12
      default: throw Unusual()
      }
      guard seen & (1 << member) == 0 else { throw Unusual() }
      seen |= 1 << member
    } while try goesOn(until: "}", bytes)
  }

  private mutating func labels(_ bytes: Span<UInt8>) throws(Unusual) -> [String: String] {
    try expect("{", bytes)
    if take("}", bytes) { return [:] }
    var labels = [String: String](minimumCapacity: 3)
    repeat {
      let key = text(try plainString(bytes), bytes)
      try expect(":", bytes)
      guard labels.updateValue(text(try plainString(bytes), bytes), forKey: key) == nil else { throw Unusual() }
    } while try goesOn(until: "}", bytes)
    return labels
  }

  private mutating func finalizers(_ bytes: Span<UInt8>) throws(Unusual) -> [String] {
    try expect("[", bytes)
    if take("]", bytes) { return [] }
    var finalizers: [String] = []
    repeat { finalizers.append(text(try plainString(bytes), bytes)) } while try goesOn(until: "]", bytes)
    return finalizers
  }

  private mutating func ownerReferences(_ bytes: Span<UInt8>) throws(Unusual) -> [OwnerReference] {
    try expect("[", bytes)
    if take("]", bytes) { return [] }
    var owners: [OwnerReference] = []
    repeat { owners.append(OwnerReference(json: .object(try owner(bytes)))) } while try goesOn(until: "]", bytes)
    return owners
  }

  private mutating func owner(_ bytes: Span<UInt8>) throws(Unusual) -> JSONObject {
    try expect("{", bytes)
    if take("}", bytes) { return JSONObject() }
    var members: [JSONObject.Member] = []
    members.reserveCapacity(6)
    repeat {
      let key = text(try plainString(bytes), bytes)
      try expect(":", bytes)
      guard members.count < Self.membersMax, !members.contains(where: { $0.key == key }) else { throw Unusual() }
      members.append((key: key, value: try scalar(bytes)))
    } while try goesOn(until: "}", bytes)
    return JSONObject(uniqueMembers: members)
  }

  private mutating func scalar(_ bytes: Span<UInt8>) throws(Unusual) -> JSON {
    if take("t", bytes) {
      for character in "rue".unicodeScalars { try expect(character, bytes) }
      return .bool(true)
    }
    if take("f", bytes) {
      for character in "alse".unicodeScalars { try expect(character, bytes) }
      return .bool(false)
    }
    return .string(text(try plainString(bytes), bytes))
  }

  private mutating func skipAnnotations(_ bytes: Span<UInt8>) throws(Unusual) {
    try expect("{", bytes)
    if take("}", bytes) { return }
    var keys: [Range<Int>] = []
    repeat {
      let key = try plainString(bytes)
      try expect(":", bytes)
      guard keys.count < Self.membersMax, !isAmong(keys, key, bytes) else { throw Unusual() }
      keys.append(key)
      try skipString(bytes)
    } while try goesOn(until: "}", bytes)
  }

  /// A whole number that the parser would make an integer of.
  private mutating func digits(_ bytes: Span<UInt8>) throws(Unusual) -> Int64 {
    let start = at
    var value: Int64 = 0
    while at < bytes.count, bytes[at] &- 0x30 < 10 {
      value = value &* 10 &+ Int64(bytes[at] &- 0x30)
      at += 1
      guard at - start <= 18 else { throw Unusual() }
    }
    guard at > start, bytes[start] != UInt8(ascii: "0") || at == start + 1, at < bytes.count else { throw Unusual() }
    switch bytes[at] {
    case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): throw Unusual()
    default: return value
    }
  }

  private mutating func quotedDigits(_ bytes: Span<UInt8>) throws(Unusual) -> Int64 {
    try expect("\"", bytes)
    let value = try digits(bytes)
    try expect("\"", bytes)
    return value
  }

  /// The place of a string's content.
  private mutating func plainString(_ bytes: Span<UInt8>) throws(Unusual) -> Range<Int> {
    try expect("\"", bytes)
    let start = at
    at = endOfPlain(bytes)
    let end = at
    try expect("\"", bytes)
    return start..<end
  }

  /// Passes a string with escapes, the long ones included: annotations carry whole objects in JSON.
  private mutating func skipString(_ bytes: Span<UInt8>) throws(Unusual) {
    try expect("\"", bytes)
    while true {
      at = endOfPlain(bytes)
      if take("\"", bytes) { return }
      try expect("\\", bytes)
      guard at < bytes.count else { throw Unusual() }
      switch bytes[at] {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
        UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
        at += 1
      default: throw Unusual()
      }
    }
  }

  /// Where the first byte is, from `at`, that is a quote, a backslash, a control character or not ASCII; or the end.
  ///
  /// Eight bytes at a time: a byte's highest bit is set in `found` when it is such a byte. The subtractions may also set
  /// it in a byte above one that is; only the lowest counts.
  private func endOfPlain(_ bytes: Span<UInt8>) -> Int {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    var end = at
    while end + 8 <= bytes.count {
      let word = UInt64(littleEndian: bytes.bytes.unsafeLoadUnaligned(fromByteOffset: end, as: UInt64.self))
      let quote = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
      let backslash = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
      let isQuote = (quote &- ones) & ~quote
      let isBackslash = (backslash &- ones) & ~backslash
      let isControl = (word &- ones &* 0x20) & ~word
      let found = (isQuote | isBackslash | isControl | word) & highs
      if found != 0 { return end + found.trailingZeroBitCount / 8 }
      end += 8
    }
    while end < bytes.count, bytes[end] >= 0x20, bytes[end] < 0x80, bytes[end] != UInt8(ascii: "\""),
      bytes[end] != UInt8(ascii: "\\")
    {
      end += 1
    }
    return end
  }

  private func text(_ range: Range<Int>, _ bytes: Span<UInt8>) -> String {
    bytes.extracting(range).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
  }

  private func isEqual(_ range: Range<Int>, _ word: StaticString, _ bytes: Span<UInt8>) -> Bool {
    guard range.count == word.utf8CodeUnitCount else { return false }
    for index in 0..<range.count where bytes[range.lowerBound + index] != word.utf8Start[index] { return false }
    return true
  }

  private func isAmong(_ keys: [Range<Int>], _ key: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
    for other in keys where other.count == key.count {
      var common = 0
      while common < key.count, bytes[other.lowerBound + common] == bytes[key.lowerBound + common] { common += 1 }
      if common == key.count { return true }
    }
    return false
  }

  private mutating func expect(_ character: Unicode.Scalar, _ bytes: Span<UInt8>) throws(Unusual) {
    guard take(character, bytes) else { throw Unusual() }
  }

  private mutating func take(_ character: Unicode.Scalar, _ bytes: Span<UInt8>) -> Bool {
    guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
    at += 1
    return true
  }

  /// Passes a comma, or the end of the object or array.
  private mutating func goesOn(until end: Unicode.Scalar, _ bytes: Span<UInt8>) throws(Unusual) -> Bool {
    if take(",", bytes) { return true }
    try expect(end, bytes)
    return false
  }
}
