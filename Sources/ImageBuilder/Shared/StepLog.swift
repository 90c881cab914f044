/// A piece of what a step says while it is carried out.
enum StepNote: Sendable, Equatable {
  case status(String)
  case output(BuildEvent.Stream, [UInt8])
}

/// What a step has said so far, for those who join it later. Pure.
///
/// Whoever reads has a position and takes what came after it, at his own pace. Beyond the bound the oldest goes: who has
/// not read it is told so.
struct StepLog: Sendable {
  private struct Part: Sendable {
    /// `nil` for a status.
    var stream: BuildEvent.Stream?
    /// The position of its first byte.
    var start: Int
    var bytes: [UInt8]

    var end: Int { start + max(1, bytes.count) }
  }

  /// What a part takes beside its bytes: many small ones count, too.
  private static let partCost = 64
  /// Output that comes in small pieces is put together up to here.
  private static let partMax = 64 << 10
  static let omission = StepNote.status("[earlier output of this step is left out]")

  let sizeMax: Int
  private var parts: [Part] = []
  private var size = 0
  /// The position behind the last byte.
  private(set) var end = 0

  init(sizeMax: Int) { self.sizeMax = sizeMax }

  mutating func append(_ note: StepNote) {
    switch note {
    case .status(let text): add(nil, Array(text.utf8.prefix(sizeMax)))
    case .output(let stream, let bytes):
      if bytes.isEmpty { return }
      add(stream, bytes)
    }
    guard size > sizeMax else { return }
    // A quarter more than needed, so that not every note has to. The last one stays.
    var dropped = 0
    while size > sizeMax / 4 * 3, dropped < parts.count - 1 {
      size -= parts[dropped].bytes.count + Self.partCost
      dropped += 1
    }
    parts.removeFirst(dropped)
  }

  private mutating func add(_ stream: BuildEvent.Stream?, _ bytes: [UInt8]) {
    let last = parts.count - 1
    if let stream, last >= 0, parts[last].stream == stream, parts[last].bytes.count + bytes.count <= Self.partMax {
      parts[last].bytes += bytes
      size += bytes.count
    } else {
      parts.append(Part(stream: stream, start: end, bytes: bytes))
      size += bytes.count + Self.partCost
    }
    end = parts[parts.count - 1].end
  }

  /// What came after a position.
  func notes(after position: Int) -> [StepNote] {
    guard position < end else { return [] }
    var first = parts.count
    while first > 0, parts[first - 1].end > position { first -= 1 }
    var notes: [StepNote] = []
    if let start = parts.first?.start, position < start { notes.append(Self.omission) }
    for part in parts[first...] {
      guard let stream = part.stream else {
        notes.append(.status(String(decoding: part.bytes, as: UTF8.self)))
        continue
      }
      let skipped = max(0, position - part.start)
      notes.append(.output(stream, skipped == 0 ? part.bytes : Array(part.bytes[skipped...])))
    }
    return notes
  }
}
