import NIOCore
import NIOHTTP1

/// What happens on one connection of HTTP/1.1, or on one stream of HTTP/2, as a value apart from IO: it is told what has
/// happened, and says what to do and until when the next thing has to happen.
///
/// Requests are answered one after the other.
struct ConnectionState: Sendable {
  enum Phase: Sendable, Equatable {
    /// Before the first request, or between two.
    case idle
    case exchanging
    /// The last answer is on its way.
    case closing
    /// Closed, or another protocol's.
    case closed
  }

  /// The request's body.
  enum Receiving: Sendable, Equatable {
    /// The handler has not decided yet.
    case undecided
    case collecting(bytesMax: Int)
    /// Read, counted and dropped.
    case dropping(bytesMax: Int)
    case streaming
    case complete
  }

  enum Answering: Sendable, Equatable {
    case waiting
    case writing
    /// All is written but the end, which lets the next request in: the client has to take the answer first.
    case held
    /// Only the rest of the request is missing.
    case written
  }

  private let limits: HTTPConnectionLimits
  /// Of HTTP/2: it ends with its first answer, and nothing about it is said in headers.
  let isStream: Bool

  private(set) var phase = Phase.idle
  private(set) var receiving = Receiving.complete
  private(set) var answering = Answering.waiting
  /// When what is under way must be done.
  private(set) var deadline: NIODeadline?
  private(set) var isKeepAlive = false
  private(set) var isHead = false
  private(set) var isHTTP10 = false
  /// The body's, as the head says; `nil` for one whose length nobody knows.
  private(set) var length: Int?
  private(set) var isDraining = false

  private var isReadingPaused = false
  /// Nothing that follows is looked at, and the answer's end is never written.
  private var isRefused = false
  private var hasHadRequest = false
  private var expectsContinue = false
  private var began = NIODeadline.uptimeNanoseconds(0)
  /// What has come of the body, and of it since the last progress that counts.
  private var bodyBytes = 0
  private var progressBytes = 0
  private var discardedBytes = 0

  init(limits: HTTPConnectionLimits, isStream: Bool) {
    self.limits = limits
    self.isStream = isStream
  }

  // MARK: Requests

  mutating func opened(_ now: NIODeadline) { deadline = now + limits.head }

  enum HeadAction: Sendable, Equatable {
    case ask
    case refuse(HTTPFraming.Refusal)
    /// The pipeline hands out what it holds back when it is torn down: that is not to be answered.
    case ignore
  }

  mutating func headReceived(_ head: HTTPRequestHead, _ now: NIODeadline) -> HeadAction {
    guard phase == .idle else { return .ignore }
    hasHadRequest = true
    phase = .exchanging
    receiving = .undecided
    answering = .waiting
    isKeepAlive = !isStream && head.isKeepAlive && !isDraining
    isHead = head.method == .HEAD
    isHTTP10 = !isStream && head.version.minor == 0
    isReadingPaused = false
    isRefused = false
    began = now
    bodyBytes = 0
    progressBytes = 0
    discardedBytes = 0
    deadline = nil
    length = head.headers.first(name: "content-length").flatMap { Int($0) }
    // Frames of HTTP/2 need no announcement.
    let mayBeUnannounced = isStream && head.method != .GET && !isHead
    if length == nil, !mayBeUnannounced, !head.headers.contains(name: "transfer-encoding") { length = 0 }
    // Others than `100-continue` are refused.
    expectsContinue = !isHTTP10 && head.headers.contains(name: "expect")
    if let refusal = HTTPFraming.refusal(minor: isHTTP10 ? 0 : 1, headers: head.headers) { return .refuse(refusal) }
    return .ask
  }

  /// The handler has decided what becomes of the body.
  ///
  /// - Returns: whether to give the client permission to send it.
  mutating func decided(_ receiving: Receiving, _ now: NIODeadline) -> Bool {
    assert(phase == .exchanging && self.receiving == .undecided, "one decision for each request")
    self.receiving = receiving
    // A stream asks for permission when somebody wants to read.
    guard receiving != .streaming else {
      deadline = now + limits.stall
      return false
    }
    deadline = bodyDeadline
    defer { expectsContinue = false }
    return expectsContinue
  }

  private var bodyDeadline: NIODeadline {
    began + limits.body + .milliseconds(Int64(bodyBytes) * 1000 / limits.bodyBytesPerSecondMin)
  }

  enum BodyAction: Sendable, Equatable {
    case keep
    /// To who streams it.
    case feed
    case drop
    case refuse(HTTPServerProblem)
    case close
  }

  mutating func bodyReceived(_ bytes: Int, _ now: @autoclosure () -> NIODeadline) -> BodyAction {
    guard phase == .exchanging else { return .drop }
    if answering != .waiting || isRefused {
      discardedBytes += bytes
      return discardedBytes > limits.lingerBytesMax ? .close : .drop
    }
    bodyBytes += bytes
    switch receiving {
    case .collecting(let bytesMax), .dropping(let bytesMax):
      if bodyBytes > bytesMax { return .refuse(.bodyTooLarge(bytesMax: bytesMax)) }
      deadline = bodyDeadline
      if case .collecting = receiving { return .keep }
      return .drop
    case .streaming:
      progressBytes += bytes
      // A trickle of single bytes is no progress.
      if Int64(progressBytes) >= limits.streamBytesPerSecondMin * limits.stall.nanoseconds / 1_000_000_000 {
        progressBytes = 0
        deadline = now() + limits.stall
      }
      return .feed
    case .undecided, .complete: return .drop
    }
  }

  /// The reader of a streamed body is slower than the client: the client is not waited for.
  mutating func readingPaused() {
    isReadingPaused = true
    if phase == .exchanging, answering == .waiting { deadline = nil }
  }

  mutating func readingResumed(_ now: NIODeadline) {
    isReadingPaused = false
    if phase == .exchanging, answering == .waiting, receiving == .streaming {
      progressBytes = 0
      deadline = now + limits.stall
    }
  }

  /// Somebody wants to read the body.
  ///
  /// - Returns: whether to give the client permission to send it.
  mutating func bodyWanted() -> Bool {
    guard phase == .exchanging, answering == .waiting, receiving == .streaming, expectsContinue else { return false }
    expectsContinue = false
    return true
  }

  enum EndAction: Sendable, Equatable {
    case ignore
    /// What was collected goes to the handler.
    case answer
    /// Who streams it learns of the end.
    case endStream
    /// The answer is out already: the next request may come.
    case becomeIdle
    case close
  }

  mutating func bodyEnded(_ now: @autoclosure () -> NIODeadline) -> EndAction {
    guard phase == .exchanging, receiving != .complete else { return .ignore }
    let wasStreaming = receiving == .streaming
    receiving = .complete
    if isRefused { return .ignore }
    switch answering {
    case .waiting:
      deadline = limits.answer.map { (bodyBytes == 0 ? began : now()) + $0 }
      return wasStreaming ? .endStream : .answer
    case .writing, .held: return wasStreaming ? .endStream : .ignore
    case .written:
      if isKeepAlive {
        phase = .idle
        return .becomeIdle
      }
      phase = .closing
      return .close
    }
  }

  // MARK: Answers

  /// - Returns: whether it may be written; otherwise nobody is there for it any more.
  mutating func answerBegan() -> Bool {
    guard phase == .exchanging, answering == .waiting else { return false }
    answering = .writing
    deadline = nil
    // Answered before the body was read. A small rest is dropped; for a large one the connection is not worth keeping, and
    // a client that waits for permission will not send it.
    if receiving != .complete, expectsContinue || (length ?? .max) > limits.discardBytesMax { isKeepAlive = false }
    if isDraining { isKeepAlive = false }
    return true
  }

  /// The answer says that the connection ends with it.
  mutating func endsWithAnswer() { isKeepAlive = false }

  /// An answer in place of the one that was asked for. What follows on the connection cannot be told apart, or is not to be
  /// read.
  mutating func refused() {
    assert(phase == .exchanging && answering == .waiting, "only what is not answered yet can be refused")
    answering = .writing
    isRefused = true
    isKeepAlive = false
    deadline = nil
  }

  /// The client has to take what was written.
  mutating func mustTake(within time: TimeAmount?, _ now: @autoclosure () -> NIODeadline) {
    deadline = time.map { now() + $0 }
  }

  enum FinishAction: Sendable, Equatable {
    /// The next request may come.
    case endAndBecomeIdle
    /// The end is written, and the rest of the request's body follows.
    case end
    case hold
    case endAndClose
    /// The end is written; the connection is closed so long after it.
    case endAndLinger(TimeAmount)
    /// The end is not written: what cannot be parsed after it would be answered, too. Closed so long after the answer.
    case linger(TimeAmount)
  }

  /// All of the answer but its end is written.
  mutating func answerFinished(isWritable: Bool, _ now: NIODeadline) -> FinishAction {
    assert(phase == .exchanging && (answering == .writing || answering == .held), "an answer ends once")
    deadline = now + limits.take
    if isRefused {
      answering = .written
      return .linger(limits.lastWord)
    }
    guard isKeepAlive, !isDraining else {
      isKeepAlive = false
      if receiving == .complete {
        phase = .closing
        return .endAndClose
      }
      answering = .written
      return .endAndLinger(expectsContinue ? limits.lastWord : limits.linger)
    }
    guard isWritable else {
      answering = .held
      return .hold
    }
    answering = .written
    guard receiving == .complete else {
      deadline = now + limits.stall
      return .end
    }
    phase = .idle
    return .endAndBecomeIdle
  }

  /// For the next request.
  mutating func becameIdle(isKnown: Bool, _ now: NIODeadline) {
    deadline = now + (isKnown ? limits.idle : limits.strangerIdle)
  }

  // MARK: Ends

  enum DeadlineAction: Sendable, Equatable {
    case refuse(HTTPServerProblem)
    /// Who streams the body has to answer.
    case failBody
    /// It has rested long enough.
    case close
    /// The client does not do its part. `discards` what waits for it, in the kernel too.
    case cutOff(discards: Bool)
    case none
  }

  mutating func deadlinePassed() -> DeadlineAction {
    deadline = nil
    switch phase {
    case .idle:
      phase = .closed
      return hasHadRequest ? .close : .cutOff(discards: false)
    case .exchanging where answering == .waiting:
      switch receiving {
      case .complete: return .refuse(.answerTimeout)
      case .streaming: return .failBody
      default: return .refuse(.bodyTimeout)
      }
    case .exchanging, .closing:
      phase = .closed
      return .cutOff(discards: true)
    case .closed: return .none
    }
  }

  enum DrainAction: Sendable, Equatable {
    case close
    /// What would last for ever ends; what has an end goes on.
    case endLive
    case none
  }

  /// The server stops: closes now, or after the answer that is under way.
  mutating func drained() -> DrainAction {
    isDraining = true
    switch phase {
    case .idle:
      phase = .closed
      deadline = nil
      return .close
    case .exchanging:
      isKeepAlive = false
      return answering == .writing ? .endLive : .none
    case .closing, .closed: return .none
    }
  }

  /// The client has closed its side. It still reads what it has asked for; who follows something has gone.
  func inputClosed(isLive: Bool) -> Bool {
    phase == .idle || (phase == .exchanging && answering == .writing && isLive)
  }

  /// The connection is another protocol's.
  mutating func upgraded() {
    phase = .closed
    deadline = nil
  }

  mutating func closed() {
    phase = .closed
    deadline = nil
  }
}
