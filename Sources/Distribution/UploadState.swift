/// How a blob gets into a registry: by one PUT or by chunks, and how it goes on after a failure (distribution
/// specification, "Pushing Blobs"). Pure; the caller does what `next` says and reports what came of it.
struct UploadState: Sendable, Equatable {
  enum Step: Sendable, Equatable {
    /// Look whether the registry has it by now: the failed request may have been done.
    case checkExistence
    /// `POST …/blobs/uploads/`.
    case begin
    /// `PATCH` with these bytes.
    case sendChunk(offset: Int64, count: Int64)
    /// `GET` of the upload: how far is it?
    case askOffset
    /// `PUT` with the bytes from here on, none after chunks.
    case close(offset: Int64)
  }

  enum Reaction: Sendable, Equatable {
    case proceed(after: Duration)
    case fail
  }

  private(set) var next: Step
  private let size: Int64
  private var chunk: Int64?
  private var offset: Int64 = 0
  private var attempts = 0

  /// What is used when a registry, or what stands in front of it, does not take all at once.
  static let chunkFallback: Int64 = 16 << 20

  /// - Parameters:
  ///   - chunk: bytes of a chunk; `nil` for one PUT.
  ///   - hasSession: an upload has begun already, because a mount was not done.
  init(size: Int64, chunk: Int?, hasSession: Bool) {
    self.size = size
    self.chunk = chunk.map { Int64(max(1, $0)) }
    next = .begin
    if hasSession { send() }
  }

  private mutating func send() {
    guard let chunk, offset < size else {
      next = .close(offset: chunk == nil ? 0 : offset)
      return
    }
    next = .sendChunk(offset: offset, count: min(chunk, size - offset))
  }

  /// - Parameter chunkMin: `OCI-Chunk-Min-Length`.
  mutating func began(chunkMin: Int64?) {
    offset = 0
    // Every chunk but the last has to be that long at least.
    if let current = chunk, let chunkMin { chunk = max(current, min(chunkMin, 1 << 30)) }
    send()
  }

  /// The registry has the bytes before `end`; `nil` when it does not say.
  mutating func chunkAccepted(end: Int64?) {
    if case .sendChunk(let start, let count) = next { offset = min(size, end ?? start + count) }
    attempts = 0
    send()
  }

  mutating func offsetKnown(_ end: Int64) {
    if end > offset { attempts = 0 }
    offset = min(max(0, end), size)
    send()
  }

  /// It is not there.
  mutating func isMissing() { next = .begin }

  /// A step failed.
  mutating func failed(_ error: DistributionError, retry: RetryPolicy, salt: UInt64) -> Reaction {
    attempts += 1
    if case .close = next, chunk == nil, error.status == 413 || error.code == .connectionLost,
      size > UploadState.chunkFallback
    {
      chunk = UploadState.chunkFallback
      if error.status == 413 {
        next = .begin
        return .proceed(after: .zero)
      }
    }
    guard attempts < retry.attempts else { return .fail }
    switch (next, error.status ?? 0) {
    case (.sendChunk, 416), (.close(offset: 1...), 416):
      // We and the registry disagree about how far it is; it is right.
      next = .askOffset
      return .proceed(after: .zero)
    case (.sendChunk, 404), (.close, 404), (.askOffset, 400...499):
      // The session is gone, or the registry does not tell how far it is.
      guard error.code != .unauthorized, error.code != .denied else { return .fail }
      next = .checkExistence
      return .proceed(after: retry.delay(after: error, attempt: attempts, salt: salt) ?? .zero)
    default: break
    }
    guard let delay = retry.delay(after: error, attempt: attempts, salt: salt) else { return .fail }
    switch next {
    case .sendChunk: next = .askOffset
    case .close: next = .checkExistence
    case .begin, .checkExistence, .askOffset: break
    }
    return .proceed(after: delay)
  }
}
