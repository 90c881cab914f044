import Wire

/// One line of a log in the CRI format: `2026-01-02T03:04:05.678901234Z stdout F text`.
///
/// `P` marks a part of a line that goes on in the next entry of the same stream, `F` its end.
struct CRILogEntry: Sendable, Equatable {
  /// As written, with nanoseconds.
  var timestamp: ArraySlice<UInt8>
  var isPartial: Bool
  /// With its line break, unless it is partial.
  var content: ArraySlice<UInt8>

  /// Parses one line without its line break; `nil` when it is not in the format (a line torn by a crash).
  init?(line: ArraySlice<UInt8>) {
    let space = UInt8(ascii: " ")
    guard let afterTime = line.firstIndex(of: space), afterTime - line.startIndex >= 20,
      let afterStream = line[(afterTime + 1)...].firstIndex(of: space)
    else { return nil }
    let stream = line[(afterTime + 1)..<afterStream]
    guard stream.elementsEqual("stdout".utf8) || stream.elementsEqual("stderr".utf8) else { return nil }
    let rest = line[(afterStream + 1)...]
    let afterTag = rest.firstIndex(of: space) ?? rest.endIndex
    // Tags are separated by colons; the first one says whether the line is whole.
    switch rest[rest.startIndex..<afterTag].first {
    case UInt8(ascii: "F"): isPartial = false
    case UInt8(ascii: "P"): isPartial = true
    default: return nil
    }
    timestamp = line[line.startIndex..<afterTime]
    content = afterTag < rest.endIndex ? rest[(afterTag + 1)...] : []
  }

  var time: Timestamp? { Timestamp(rfc3339: String(decoding: timestamp, as: UTF8.self)) }

  /// As clients get it: in UTC, with all digits of the fraction that are there. Writers use the machine's zone.
  var universalTimestamp: [UInt8] {
    guard timestamp.last != UInt8(ascii: "Z"), let time else { return Array(timestamp) }
    let fraction = timestamp.drop { $0 != UInt8(ascii: ".") }.dropFirst().prefix { (0x30...0x39).contains($0) }
    let seconds = Array(time.rfc3339.utf8.dropLast())
    return seconds + (fraction.isEmpty ? [] : [UInt8(ascii: ".")] + fraction) + [UInt8(ascii: "Z")]
  }
}

/// Turns the entries of a log into what a reader asked for: since when, with or without timestamps, at most so many
/// bytes. Pure; fed with the file's bytes in pieces of any size.
struct CRILogFormatter: Sendable {
  let timestamps: Bool
  let since: Timestamp?
  /// Bytes that may still be given out.
  private(set) var remaining: Int
  /// The beginning of a line whose end has not been read.
  private var pending: [UInt8] = []
  /// Inside a line that began with a partial entry: its timestamp is already out.
  private var isInLine = false

  /// A line longer than this is cut: no writer makes one (conmon splits at 8 KiB).
  static let lineMax = 1 << 20

  init(timestamps: Bool = false, since: Timestamp? = nil, limitBytes: Int64? = nil) {
    self.timestamps = timestamps
    self.since = since
    remaining = limitBytes.map { Int(clamping: $0) } ?? .max
  }

  var isExhausted: Bool { remaining <= 0 }

  /// The text that these bytes of the file give.
  mutating func feed(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    var start = bytes.startIndex
    while !isExhausted, let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
      if pending.isEmpty {
        append(bytes[start..<end], to: &output)
      } else {
        pending.append(contentsOf: bytes[start..<end])
        append(pending[...], to: &output)
        pending.removeAll(keepingCapacity: true)
      }
      start = end + 1
    }
    if start < bytes.endIndex, pending.count < Self.lineMax { pending.append(contentsOf: bytes[start...]) }
    return output
  }

  private mutating func append(_ line: ArraySlice<UInt8>, to output: inout [UInt8]) {
    guard let entry = CRILogEntry(line: line) else { return }
    if let since, let time = entry.time, time < since { return }
    var text: [UInt8] = []
    if timestamps && !isInLine {
      text.append(contentsOf: entry.universalTimestamp)
      text.append(UInt8(ascii: " "))
    }
    text.append(contentsOf: entry.content)
    if !entry.isPartial { text.append(UInt8(ascii: "\n")) }
    isInLine = entry.isPartial
    output.append(contentsOf: text.prefix(remaining))
    remaining -= min(remaining, text.count)
  }
}

/// Finds where the last lines of a log begin, reading backwards.
struct TailFinder: Sendable {
  /// Whole lines still to be passed.
  private var missing: Int64
  /// The end of the line that is being passed, as far as it was read.
  private var line: [UInt8] = []
  private var offset: Int64
  private(set) var result: Int64?

  /// - Parameters:
  ///   - lines: how many lines are wanted; entries that are parts of one line count once.
  ///   - size: the file's size in bytes.
  init(lines: Int64, size: Int64) {
    missing = lines
    offset = size
    if lines <= 0 || size == 0 { result = lines <= 0 ? size : 0 }
  }

  /// Takes the block that ends where the last one began. Sets `result` when the beginning is found; a caller that has
  /// fed the whole file calls `finish`.
  mutating func feedBackwards(_ block: ArraySlice<UInt8>) {
    var end = block.endIndex
    while result == nil, end > block.startIndex {
      let lineBreak = block[..<end].lastIndex(of: UInt8(ascii: "\n"))
      let start = lineBreak.map { $0 + 1 } ?? block.startIndex
      line.insert(contentsOf: block[start..<end], at: 0)
      offset -= Int64(end - start)
      guard let lineBreak else { return }
      passLine()
      if result != nil { return }
      line.removeAll(keepingCapacity: true)
      offset -= 1
      end = lineBreak
    }
  }

  /// The file's beginning was reached: where to start reading.
  mutating func finish() -> Int64 {
    if result == nil { passLine() }
    return result ?? 0
  }

  /// `line` is a whole entry that begins at `offset`. An entry with `F` ends a line; when enough of them are behind
  /// us, the line before this one is not wanted.
  private mutating func passLine() {
    guard let entry = CRILogEntry(line: line[...]), !entry.isPartial else { return }
    if missing == 0 {
      result = offset + Int64(line.count) + 1
    } else {
      missing -= 1
    }
  }
}
