import Glibc

/// Keys are ordered by their bytes, as the database and the API's continue tokens order them; `String`'s own order is
/// that of Unicode.
enum KeyOrder {
  static func isLess(_ a: String, _ b: String) -> Bool { compare(a, b) < 0 }

  static func compare(_ a: String, _ b: String) -> Int {
    withBytes(a, b) { a, b in
      let common = min(a.count, b.count)
      if common > 0, let left = a.baseAddress, let right = b.baseAddress {
        let order = memcmp(left, right, common)
        if order != 0 { return Int(order) }
      }
      return a.count - b.count
    }
  }

  static func hasPrefix(_ key: String, _ prefix: String) -> Bool {
    withBytes(key, prefix) { key, prefix in
      guard key.count >= prefix.count else { return false }
      guard let left = key.baseAddress, let right = prefix.baseAddress else { return prefix.isEmpty }
      return memcmp(left, right, prefix.count) == 0
    }
  }

  private static func withBytes<Result>(
    _ a: String, _ b: String, _ body: (UnsafeBufferPointer<UInt8>, UnsafeBufferPointer<UInt8>) -> Result
  ) -> Result {
    // Native strings are contiguous; what is not is copied.
    let result = a.utf8.withContiguousStorageIfAvailable { left in
      b.utf8.withContiguousStorageIfAvailable { right in body(left, right) }
    }
    if let result = result ?? nil { return result }
    return Array(a.utf8).withUnsafeBufferPointer { left in
      Array(b.utf8).withUnsafeBufferPointer { right in body(left, right) }
    }
  }
}

/// A key in a dictionary. `String` itself is equal to another spelling of the same letters ("é" in one scalar or in two);
/// as keys those are two.
struct ByteKey: Hashable {
  let key: String

  init(_ key: String) { self.key = key }

  static func == (a: ByteKey, b: ByteKey) -> Bool { KeyOrder.compare(a.key, b.key) == 0 }

  func hash(into hasher: inout Hasher) {
    var key = key
    key.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

/// Entries in the order of their keys: a sorted array of sorted arrays.
///
/// A copy shares the arrays, so a reader's snapshot costs nothing, and a change after it copies the outer array (one
/// pointer per chunk) and one chunk, never all entries.
struct SortedEntries: Sendable {
  typealias Entry = Store.Entry

  struct Position: Comparable {
    var chunk: Int
    var index: Int

    static func < (a: Position, b: Position) -> Bool { (a.chunk, a.index) < (b.chunk, b.index) }
  }

  struct Range {
    var start: Position
    var end: Position
  }

  /// A chunk that has grown beyond this is split.
  static var chunkCountMax: Int { 256 }

  /// No chunk is empty.
  private var chunks: [[Entry]] = []
  private(set) var count = 0

  init() {}

  subscript(position: Position) -> Entry { chunks[position.chunk][position.index] }

  func position(after position: Position) -> Position {
    position.index + 1 < chunks[position.chunk].count
      ? Position(chunk: position.chunk, index: position.index + 1) : Position(chunk: position.chunk + 1, index: 0)
  }

  func find(_ key: String) -> Entry? {
    let position = firstPosition { KeyOrder.compare($0, key) >= 0 }
    guard position.chunk < chunks.count else { return nil }
    let entry = self[position]
    return KeyOrder.compare(entry.key, key) == 0 ? entry : nil
  }

  /// The first position whose key satisfies `isReached`, which must stay true once it is.
  // Inlined, so that a look-up takes no closure and no reference to a chunk.
  @inline(__always)
  private func firstPosition(_ isReached: (String) -> Bool) -> Position {
    // The first chunk whose last key is reached holds the position.
    var low = 0
    var high = chunks.count
    while low < high {
      let middle = (low + high) / 2
      if isReached(chunks[middle][chunks[middle].count - 1].key) { high = middle } else { low = middle + 1 }
    }
    guard low < chunks.count else { return Position(chunk: chunks.count, index: 0) }
    var first = 0
    var last = chunks[low].count
    while first < last {
      let middle = (first + last) / 2
      if isReached(chunks[low][middle].key) { last = middle } else { first = middle + 1 }
    }
    return Position(chunk: low, index: first)
  }

  /// Where the keys lie that begin with `prefix` and come after `after`.
  func range(prefix: String, after: String?) -> Range {
    let start = firstPosition { key in
      KeyOrder.compare(key, prefix) >= 0 && (after.map { KeyOrder.isLess($0, key) } ?? true)
    }
    let end = firstPosition { key in KeyOrder.compare(key, prefix) >= 0 && !KeyOrder.hasPrefix(key, prefix) }
    return Range(start: start, end: max(start, end))
  }

  func distance(_ range: Range) -> Int {
    guard range.start.chunk < range.end.chunk else { return range.end.index - range.start.index }
    var sum = range.end.index - range.start.index
    for chunk in range.start.chunk..<range.end.chunk { sum += chunks[chunk].count }
    return sum
  }

  /// At most `limit` entries of the range; all when it is zero.
  func slice(_ range: Range, limit: Int) -> [Entry] {
    var rest = distance(range)
    if limit > 0 { rest = min(rest, limit) }
    var result: [Entry] = []
    result.reserveCapacity(rest)
    var position = range.start
    while rest > 0 {
      let chunk = chunks[position.chunk]
      let end = min(chunk.count, position.index + rest)
      result.append(contentsOf: chunk[position.index..<end])
      rest -= end - position.index
      position = Position(chunk: position.chunk + 1, index: 0)
    }
    return result
  }

  /// Puts the entry in the place of the one of the same key.
  mutating func set(_ entry: Entry) {
    let position = firstPosition { KeyOrder.compare($0, entry.key) >= 0 }
    guard position.chunk < chunks.count else {
      append(entry)
      return
    }
    if KeyOrder.compare(self[position].key, entry.key) == 0 {
      chunks[position.chunk][position.index] = entry
      return
    }
    count += 1
    chunks[position.chunk].insert(entry, at: position.index)
    if chunks[position.chunk].count > Self.chunkCountMax {
      let chunk = chunks[position.chunk]
      let half = chunk.count / 2
      chunks[position.chunk] = Array(chunk[..<half])
      chunks.insert(Array(chunk[half...]), at: position.chunk + 1)
    }
  }

  /// Looks at all of them.
  var newestRevision: Int64 { chunks.joined().reduce(0) { max($0, $1.revision) } }

  /// Adds an entry behind all others.
  mutating func append(_ entry: Entry) {
    count += 1
    if chunks.isEmpty || chunks[chunks.count - 1].count >= Self.chunkCountMax {
      chunks.append([entry])
    } else {
      chunks[chunks.count - 1].append(entry)
    }
  }

  mutating func remove(_ key: String) {
    let position = firstPosition { KeyOrder.compare($0, key) >= 0 }
    guard position.chunk < chunks.count, KeyOrder.compare(self[position].key, key) == 0 else { return }
    count -= 1
    if chunks[position.chunk].count == 1 {
      chunks.remove(at: position.chunk)
    } else {
      chunks[position.chunk].remove(at: position.index)
    }
  }
}
