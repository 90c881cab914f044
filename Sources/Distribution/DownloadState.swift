import HTTP

/// How far a download is, and how it goes on after the connection broke. Pure.
struct DownloadState: Sendable, Equatable {
  enum Answer: Sendable, Equatable {
    case proceed
    /// The content is another one than before, or the server does not do what it says.
    case refuse(DistributionError.Code, String)
  }

  /// The next byte that is wanted, counted from the start of the whole content.
  private(set) var offset: Int64
  /// Bytes of the whole content; `nil` as long as nobody says.
  private(set) var total: Int64?
  /// How many bytes of this answer were had before: the server does not do ranges.
  private var skip: Int64 = 0
  /// How often the connection broke since the last progress, and altogether.
  private(set) var breaks = 0
  private var breaksTotal = 0
  private var offsetAtBreak: Int64

  /// A transfer that makes so little way between two breaks has not made any.
  private static let progressMin: Int64 = 64 << 10
  private static let breaksMax = 1000

  init(offset: Int64, expected: Int64?) {
    self.offset = offset
    total = expected
    offsetAtBreak = offset
  }

  /// The value of `Range`, when one is needed.
  var range: String? { offset > 0 ? "bytes=\(offset)-" : nil }

  mutating func answered(status: Int, contentRange: String?, contentLength: Int64?) -> Answer {
    skip = 0
    switch status {
    case 206:
      guard offset > 0 else {
        return .refuse(.invalidResponse, "it sends a part of the content, but was asked for all")
      }
      guard let range = contentRange.flatMap({ ContentRange($0) }), range.first == offset else {
        return .refuse(.invalidResponse, "it sends another part of the content than it was asked for")
      }
      if let size = range.total { return sized(size) }
      guard total == nil || range.last + 1 == total else {
        return .refuse(.contentMismatch, "the content ends at \(range.last + 1) bytes, not at \(total ?? 0)")
      }
      return .proceed
    case 200:
      skip = offset
      guard let contentLength else { return .proceed }
      return sized(contentLength)
    default: return .refuse(.invalidResponse, "it answers \(status)")
    }
  }

  private mutating func sized(_ size: Int64) -> Answer {
    if let total, total != size {
      return .refuse(.contentMismatch, "the content has \(size) bytes instead of \(total)")
    }
    guard offset <= size else { return .refuse(.contentMismatch, "the content ends before byte \(offset)") }
    total = size
    return .proceed
  }

  /// Which part of a chunk of `count` bytes is new: how many bytes in front are old, and whether there are more than
  /// there should be.
  mutating func received(_ count: Int64) -> (drop: Int64, isTooMuch: Bool) {
    let drop = min(skip, count)
    skip -= drop
    let new = count - drop
    if let total, offset + new > total { return (drop, true) }
    offset += new
    return (drop, false)
  }

  /// Whether the end of the body is the end of the content.
  var isComplete: Bool { skip == 0 && (total == nil || offset == total) }

  /// The connection broke; returns whether to go on. Progress pays for further attempts.
  mutating func broke(attemptsMax: Int) -> Bool {
    if offset - offsetAtBreak >= DownloadState.progressMin { breaks = 0 }
    offsetAtBreak = offset
    breaks += 1
    breaksTotal += 1
    return breaks < attemptsMax && breaksTotal < DownloadState.breaksMax
  }
}
