/// One instruction's text: physical lines joined at their continuations, with the way back to where each byte stood.
struct LogicalLine {
  var bytes: [UInt8] = []
  /// The pieces in order: from `offset` on, bytes stand on `line` from `column`.
  private var pieces: [(offset: Int, line: Int, column: Int)] = []
  /// The last physical line that belongs to it, from 1.
  var lastLine = 0
  var comments: [String] = []

  mutating func append(_ piece: ArraySlice<UInt8>, line: Int, column: Int) {
    pieces.append((bytes.count, line, column))
    bytes.append(contentsOf: piece)
    lastLine = max(lastLine, line)
  }

  var firstLine: Int { pieces.first?.line ?? max(lastLine, 1) }

  func position(at offset: Int) -> SourcePosition {
    var low = 0
    var high = pieces.count
    while low < high {
      let middle = (low + high) / 2
      if pieces[middle].offset <= offset { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return SourcePosition(line: firstLine) }
    let piece = pieces[low - 1]
    return SourcePosition(line: piece.line, column: piece.column + offset - piece.offset)
  }

  func range(_ offsets: Range<Int>) -> SourceRange {
    let low = min(max(0, offsets.lowerBound), max(0, bytes.count - 1))
    let high = min(max(low, offsets.upperBound - 1), max(0, bytes.count - 1))
    return SourceRange(position(at: low), position(at: high))
  }
}

/// The physical lines of a file.
struct LineReader {
  let bytes: [UInt8]
  /// The start and end (without the line end) of each line, and where the next one starts.
  private let spans: [(start: Int, end: Int, next: Int)]
  /// The next line to be read, from 0.
  private(set) var at = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    var spans: [(Int, Int, Int)] = []
    var start = 0
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { start = 3 }
    while start < bytes.count {
      let newline = bytes[start...].firstIndex(of: Byte.newline) ?? bytes.count
      var end = newline
      if end > start, bytes[end - 1] == Byte.carriageReturn { end -= 1 }
      spans.append((start, end, min(newline + 1, bytes.count)))
      start = newline + 1
    }
    self.spans = spans
  }

  var count: Int { spans.count }
  /// The number of the line that was read last, from 1.
  var line: Int { at }

  /// The next line without its end.
  mutating func next() -> ArraySlice<UInt8>? {
    guard at < spans.count else { return nil }
    defer { at += 1 }
    return bytes[spans[at].start..<spans[at].end]
  }

  /// The next line with its end, as heredocs take it.
  mutating func nextRaw() -> ArraySlice<UInt8>? {
    guard at < spans.count else { return nil }
    defer { at += 1 }
    return bytes[spans[at].start..<spans[at].next]
  }

  mutating func back() { at -= 1 }

  func lines() -> [String] { spans.map { bytes[$0.start..<$0.end].text } }
}
