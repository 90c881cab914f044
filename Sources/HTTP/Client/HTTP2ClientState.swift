import NIOCore
import NIOHTTP2

/// What both ends have said about a connection of HTTP/2 as a whole, as a value apart from IO: how many requests it may
/// carry, whether it takes more, and what of those that have failed the peer has certainly not begun with.
struct HTTP2ClientState: Sendable {
  /// What the pool has to know.
  enum Event: Sendable, Equatable {
    /// So many requests may share the connection from now on.
    case limited(Int)
    /// It takes no more requests.
    case retired
  }

  /// Whom an error of the connection is about.
  enum Blame: Sendable, Equatable {
    case connection
    /// One stream, which is reset, and has been told by `failure(of:_:)`.
    case stream
    /// Nobody: what is late for a stream that is gone.
    case nobody
  }

  /// Whatever the peer would take.
  private let streamsAllowed: Int
  private(set) var streamsMax = 0
  private(set) var isReady = false
  private(set) var isRetired = false
  private var hasSaidGoodbye = false
  /// The last stream whose head went out: what is above it has never been asked.
  private var lastSent: HTTP2StreamID = .rootStream
  /// The peer has not looked at streams above it, and will not (RFC 9113, section 6.8).
  private var lastHandled: HTTP2StreamID?
  /// It went away because it wants HTTP/1.1.
  private var requiresHTTP1 = false
  /// The stream that this end has just reset, because something is wrong with what came for it.
  private var resetHere: HTTP2StreamID?

  init(streamsAllowed: Int) { self.streamsAllowed = streamsAllowed }

  // MARK: What the peer says

  /// - Parameter limit: `SETTINGS_MAX_CONCURRENT_STREAMS`, if the frame has it; a peer that never says takes as many as
  ///   one likes (RFC 9113, section 6.5.2).
  mutating func settingsReceived(limit: Int?) -> Event? {
    let before = streamsMax
    if let limit {
      streamsMax = min(limit, streamsAllowed)
    } else if !isReady {
      streamsMax = streamsAllowed
    }
    isReady = true
    return streamsMax == before || isRetired ? nil : .limited(streamsMax)
  }

  mutating func goAwayReceived(lastHandled last: HTTP2StreamID, _ code: HTTP2ErrorCode = .noError) -> Event? {
    if code == .http11Required { requiresHTTP1 = true }
    lastHandled = min(last, lastHandled ?? last)
    return retire()
  }

  /// The connection is gone, or nobody is to use it any more.
  mutating func retire() -> Event? {
    defer { isRetired = true }
    return isRetired ? nil : .retired
  }

  // MARK: What this end says

  mutating func headSent(_ stream: HTTP2StreamID) { lastSent = max(lastSent, stream) }

  /// - Parameter isFault: the peer has done something wrong; otherwise nobody wants the rest of the answer.
  mutating func resetSent(_ stream: HTTP2StreamID, isFault: Bool) { if isFault { resetHere = stream } }

  mutating func goodbyeSent() { hasSaidGoodbye = true }

  // MARK: What goes wrong

  /// An error that the connection reports, without the stream that it may be about: when it is one stream's, that stream
  /// has been reset right before.
  ///
  /// - Parameter isLate: it is about a stream that is gone.
  mutating func failed(isLate: Bool) -> Blame {
    // The error that the stream was reset for is still to come.
    if isLate, !hasSaidGoodbye { return .nobody }
    defer { resetHere = nil }
    if hasSaidGoodbye { return .connection }
    return resetHere == nil ? .connection : .stream
  }

  /// What a batch of bytes has led to is over.
  mutating func readCompleted() { resetHere = nil }

  /// Why a stream has ended, when that is known better here than there.
  ///
  /// - Parameters:
  ///   - stream: `nil` for one that never got a number.
  ///   - code: of the `RST_STREAM`, if it has ended by one.
  ///   - isAnswered: the head of the answer has come.
  func failure(of stream: HTTP2StreamID?, _ code: HTTP2ErrorCode?, isAnswered: Bool = false) -> HTTPClientError? {
    if let stream, code != nil, resetHere == stream {
      return HTTPClientError(.malformed, "the answer breaks the rules of HTTP/2")
    }
    if code == .http11Required, !isAnswered {
      // Unlike a refusal, this does not say that nothing was done (RFC 9113, section 8.7).
      return .http1Required(mayBeDone: stream.map(isSent) ?? false)
    }
    if requiresHTTP1, !isAnswered {
      let isUnseen = stream.map { stream in !isSent(stream) || lastHandled.map { stream > $0 } ?? false } ?? true
      return .http1Required(mayBeDone: !isUnseen)
    }
    if code == .refusedStream { return HTTPClientError(.refused, "the server takes no request at the moment") }
    if let stream, let lastHandled, stream > lastHandled {
      return HTTPClientError(.refused, "the server went away before it looked at the request")
    }
    return nil
  }

  /// Whether the peer can have seen anything of the request.
  func isSent(_ stream: HTTP2StreamID?) -> Bool { stream.map { $0 <= lastSent } ?? false }
}

/// Whether a peer is still there: while it is waited for and nothing comes, it is asked by PING (RFC 9113, section 6.7). A
/// value apart from IO.
struct PeerSilence: Sendable, Equatable {
  enum Action: Sendable, Equatable {
    /// Look again then.
    case look(NIODeadline)
    /// Ask, and look again then.
    case ask(NIODeadline)
    case giveUp
    /// Nobody waits: there is nothing to look for.
    case rest
  }

  private let quiet: TimeAmount
  private let patience: TimeAmount
  private var heardAt: NIODeadline
  private var askedAt: NIODeadline?

  /// - Parameters:
  ///   - quiet: how long a peer may be silent before it is asked.
  ///   - patience: how long it may take to say anything then.
  init(quiet: TimeAmount, patience: TimeAmount, now: NIODeadline) {
    self.quiet = quiet
    self.patience = patience
    heardAt = now
  }

  /// Something came, whatever it is.
  mutating func heard(_ now: NIODeadline) {
    heardAt = now
    askedAt = nil
  }

  /// Somebody waits, after nobody did.
  ///
  /// - Returns: when to look.
  mutating func waitBegan(_ now: NIODeadline) -> NIODeadline {
    heard(now)
    return now + quiet
  }

  mutating func looked(isWaitedFor: Bool, _ now: NIODeadline) -> Action {
    guard isWaitedFor else {
      askedAt = nil
      return .rest
    }
    if let askedAt { return now < askedAt + patience ? .look(askedAt + patience) : .giveUp }
    guard now >= heardAt + quiet else { return .look(heardAt + quiet) }
    askedAt = now
    return .ask(now + patience)
  }
}
