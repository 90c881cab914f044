import NIOCore
import NIOHTTP1
import Testing

@testable import HTTP

/// Each transition of a connection, without IO and without a clock.
@Suite struct ConnectionStateTests {
  private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
  private let start = Self.start

  private static func head(
    _ method: HTTPMethod = .GET, _ headers: HTTPHeaders = [:], minor: Int = 1
  ) -> HTTPRequestHead {
    var headers = headers
    if !headers.contains(name: "host") { headers.add(name: "Host", value: "a") }
    return HTTPRequestHead(version: HTTPVersion(major: 1, minor: minor), method: method, uri: "/", headers: headers)
  }

  private static func make(_ change: (inout HTTPConnectionLimits) -> Void = { _ in }) -> ConnectionState {
    var limits = HTTPConnectionLimits()
    change(&limits)
    var state = ConnectionState(limits: limits, isStream: false)
    state.opened(start)
    return state
  }

  /// A request whose body is complete, and that waits for its answer.
  private static func asked(
    _ head: HTTPRequestHead = head(), _ change: (inout HTTPConnectionLimits) -> Void = { _ in }
  ) -> ConnectionState {
    var state = make(change)
    #expect(state.headReceived(head, start) == .ask)
    #expect(state.decided(.dropping(bytesMax: 100), start) == false)
    #expect(state.bodyEnded(start) == .answer)
    return state
  }

  // MARK: Heads

  @Test func theFirstHeadHasATimeOfItsOwn() {
    var state = Self.make()
    #expect(state.deadline == start + .seconds(10))
    #expect(state.deadlinePassed() == .cutOff(discards: false))
    #expect(state.phase == .closed && state.deadline == nil)
  }

  @Test func aHeadAfterTheEndIsIgnored() {
    var state = Self.make()
    state.closed()
    #expect(state.headReceived(Self.head(), start) == .ignore)
  }

  @Test func aHeadWithinAnExchangeIsIgnored() {
    var state = Self.asked()
    #expect(state.headReceived(Self.head(), start) == .ignore)
  }

  @Test func aHeadThatIsNotSureIsRefused() {
    var state = Self.make()
    let head = Self.head(.POST, ["Content-Length": "1", "Transfer-Encoding": "chunked"])
    guard case .refuse(let refusal) = state.headReceived(head, start) else {
      Issue.record("it must be refused")
      return
    }
    #expect(refusal.status == 400)
    state.refused()
    #expect(!state.isKeepAlive)
    #expect(state.answerFinished(isWritable: true, start) == .linger(.milliseconds(500)))
    #expect(state.bodyReceived(1, start) == .drop)
    #expect(state.bodyEnded(start) == .ignore)
    #expect(state.deadlinePassed() == .cutOff(discards: true), "who does not take the refusal is cut off")
  }

  @Test func headsWithoutALengthHaveNoBody() {
    var state = Self.make()
    _ = state.headReceived(Self.head(), start)
    #expect(state.length == 0)
    var chunked = Self.make()
    _ = chunked.headReceived(Self.head(.POST, ["Transfer-Encoding": "chunked"]), start)
    #expect(chunked.length == nil)
    var known = Self.make()
    _ = known.headReceived(Self.head(.POST, ["Content-Length": "7"]), start)
    #expect(known.length == 7)
  }

  // MARK: Bodies

  @Test func permissionIsGivenOnceTheBodyIsWanted() {
    let head = Self.head(.POST, ["Content-Length": "5", "Expect": "100-continue"])
    var collected = Self.make()
    _ = collected.headReceived(head, start)
    #expect(collected.decided(.collecting(bytesMax: 10), start) == true)
    var streamed = Self.make()
    _ = streamed.headReceived(head, start)
    #expect(streamed.decided(.streaming, start) == false)
    #expect(streamed.bodyWanted() == true)
    #expect(streamed.bodyWanted() == false, "once")
  }

  @Test func bodiesKeepAPace() {
    var state = Self.make {
      $0.body = .seconds(10)
      $0.bodyBytesPerSecondMin = 1000
    }
    _ = state.headReceived(Self.head(.POST, ["Content-Length": "5000"]), start)
    _ = state.decided(.collecting(bytesMax: 10_000), start)
    #expect(state.deadline == start + .seconds(10))
    #expect(state.bodyReceived(3000, start) == .keep)
    #expect(state.deadline == start + .seconds(13))
    #expect(state.deadlinePassed() == .refuse(.bodyTimeout))
  }

  @Test func bodiesHaveALimit() {
    var state = Self.make()
    _ = state.headReceived(Self.head(.POST, ["Transfer-Encoding": "chunked"]), start)
    _ = state.decided(.collecting(bytesMax: 10), start)
    #expect(state.bodyReceived(10, start) == .keep)
    #expect(state.bodyReceived(1, start) == .refuse(.bodyTooLarge(bytesMax: 10)))
    var dropped = Self.make()
    _ = dropped.headReceived(Self.head(.POST, ["Transfer-Encoding": "chunked"]), start)
    _ = dropped.decided(.dropping(bytesMax: 10), start)
    #expect(dropped.bodyReceived(10, start) == .drop)
    #expect(dropped.bodyReceived(1, start) == .refuse(.bodyTooLarge(bytesMax: 10)))
  }

  @Test func aTrickleIsNoProgress() {
    var state = Self.make {
      $0.stall = .seconds(4)
      $0.streamBytesPerSecondMin = 100
    }
    _ = state.headReceived(Self.head(.POST, ["Transfer-Encoding": "chunked"]), start)
    _ = state.decided(.streaming, start)
    #expect(state.bodyReceived(399, start + .seconds(3)) == .feed)
    #expect(state.deadline == start + .seconds(4))
    #expect(state.bodyReceived(1, start + .seconds(3)) == .feed)
    #expect(state.deadline == start + .seconds(7))
    #expect(state.deadlinePassed() == .failBody)
    #expect(state.phase == .exchanging, "its handler answers")
  }

  @Test func aSlowReaderIsNotTheClientsFault() {
    var state = Self.make()
    _ = state.headReceived(Self.head(.POST, ["Transfer-Encoding": "chunked"]), start)
    _ = state.decided(.streaming, start)
    state.readingPaused()
    #expect(state.deadline == nil)
    state.readingResumed(start + .seconds(500))
    #expect(state.deadline == start + .seconds(560))
  }

  // MARK: Answers

  @Test func anAnswerMustCome() {
    var state = Self.asked()
    #expect(state.deadline == start + .seconds(60))
    #expect(state.deadlinePassed() == .refuse(.answerTimeout))
    state.refused()
    #expect(state.answerBegan() == false, "what comes later is nobody's")
    var patient = Self.asked { $0.answer = nil }
    #expect(patient.deadline == nil)
    #expect(patient.answerBegan() == true)
  }

  @Test func theNextRequestComesAfterTheAnswer() {
    var state = Self.asked()
    #expect(state.answerBegan() == true)
    #expect(state.answerBegan() == false, "one answer")
    #expect(state.answerFinished(isWritable: true, start) == .endAndBecomeIdle)
    #expect(state.phase == .idle)
    state.becameIdle(isKnown: false, start)
    #expect(state.deadline == start + .seconds(30))
    state.becameIdle(isKnown: true, start)
    #expect(state.deadline == start + .seconds(180))
    #expect(state.deadlinePassed() == .close)
  }

  @Test func whoDoesNotReadGetsNoMore() {
    var state = Self.asked()
    _ = state.answerBegan()
    #expect(state.answerFinished(isWritable: false, start) == .hold)
    #expect(state.deadline == start + .seconds(60))
    #expect(state.answerFinished(isWritable: true, start) == .endAndBecomeIdle)
    var silent = Self.asked()
    _ = silent.answerBegan()
    _ = silent.answerFinished(isWritable: false, start)
    #expect(silent.deadlinePassed() == .cutOff(discards: true))
  }

  @Test func theConnectionEndsWhenTheClientSaysSo() {
    var state = Self.asked(Self.head(.GET, ["Connection": "close"]))
    _ = state.answerBegan()
    #expect(state.answerFinished(isWritable: true, start) == .endAndClose)
    #expect(state.phase == .closing)
    #expect(state.deadlinePassed() == .cutOff(discards: true))
  }

  @Test func aSmallRestIsDropped() {
    var state = Self.make()
    _ = state.headReceived(Self.head(.POST, ["Content-Length": "5"]), start)
    _ = state.decided(.streaming, start)
    #expect(state.answerBegan() == true)
    #expect(state.isKeepAlive)
    #expect(state.answerFinished(isWritable: true, start) == .end)
    #expect(state.bodyReceived(5, start) == .drop)
    #expect(state.bodyEnded(start) == .becomeIdle)
    #expect(state.phase == .idle)
  }

  @Test func aLargeRestEndsTheConnection() {
    var state = Self.make { $0.lingerBytesMax = 300_000 }
    _ = state.headReceived(Self.head(.POST, ["Content-Length": "1000000"]), start)
    _ = state.decided(.streaming, start)
    _ = state.answerBegan()
    #expect(!state.isKeepAlive)
    #expect(state.answerFinished(isWritable: true, start) == .endAndLinger(.seconds(5)))
    #expect(state.bodyReceived(300_000, start) == .drop)
    #expect(state.bodyReceived(1, start) == .close)
  }

  @Test func whoWaitsForPermissionWillNotSendTheBody() {
    var state = Self.make()
    _ = state.headReceived(Self.head(.POST, ["Content-Length": "5", "Expect": "100-continue"]), start)
    _ = state.decided(.streaming, start)
    _ = state.answerBegan()
    #expect(!state.isKeepAlive)
    #expect(state.answerFinished(isWritable: true, start) == .endAndLinger(.milliseconds(500)))
    #expect(state.bodyEnded(start) == .close)
  }

  @Test func theBodyEndsWithinTheAnswer() {
    var state = Self.make()
    _ = state.headReceived(Self.head(.POST, ["Content-Length": "5"]), start)
    _ = state.decided(.streaming, start)
    _ = state.answerBegan()
    #expect(state.bodyEnded(start) == .endStream)
    #expect(state.answerFinished(isWritable: true, start) == .endAndBecomeIdle)
  }

  // MARK: Ends

  @Test func drainWaitsForAnswers() {
    var idle = Self.make()
    #expect(idle.drained() == .close)
    #expect(idle.phase == .closed)
    var waiting = Self.asked()
    #expect(waiting.drained() == .none)
    #expect(waiting.answerBegan() == true)
    #expect(!waiting.isKeepAlive)
    #expect(waiting.answerFinished(isWritable: true, start) == .endAndClose)
    var writing = Self.asked()
    _ = writing.answerBegan()
    #expect(writing.drained() == .endLive)
    var held = Self.asked()
    _ = held.answerBegan()
    _ = held.answerFinished(isWritable: false, start)
    #expect(held.drained() == .none)
    #expect(held.answerFinished(isWritable: true, start) == .endAndClose)
  }

  @Test func aHalfClosedClientStillReads() {
    let idle = Self.make()
    #expect(idle.inputClosed(isLive: false))
    var waiting = Self.asked()
    #expect(!waiting.inputClosed(isLive: false))
    _ = waiting.answerBegan()
    #expect(!waiting.inputClosed(isLive: false))
    #expect(waiting.inputClosed(isLive: true), "who follows something has gone")
  }

  @Test func anotherProtocolHasNoDeadline() {
    var state = Self.asked()
    _ = state.answerBegan()
    state.upgraded()
    #expect(state.deadline == nil && state.phase == .closed)
    #expect(state.deadlinePassed() == .none)
  }

  @Test func aStreamEndsWithItsAnswer() {
    var state = ConnectionState(limits: HTTPConnectionLimits(), isStream: true)
    #expect(state.headReceived(Self.head(.DELETE), start) == .ask)
    #expect(state.length == nil, "frames of a body need no announcement")
    _ = state.decided(.collecting(bytesMax: 10), start)
    #expect(state.bodyReceived(3, start) == .keep)
    #expect(state.bodyEnded(start) == .answer)
    #expect(state.answerBegan() == true)
    #expect(state.answerFinished(isWritable: true, start) == .endAndClose)
  }

  @Test func aConnectionOfStreams() {
    var state = HTTP2ConnectionState(limits: HTTPConnectionLimits(), start)
    #expect(state.deadline == start + .seconds(10))
    state.streamOpened()
    state.streamOpened()
    #expect(state.deadline == nil && state.streams == 2)
    #expect(state.streamClosed(isKnown: false, start) == false)
    #expect(state.deadline == nil)
    #expect(state.streamClosed(isKnown: false, start) == false)
    #expect(state.deadline == start + .seconds(30))
    state.streamOpened()
    #expect(state.streamClosed(isKnown: true, start) == false)
    #expect(state.deadline == start + .seconds(180))
    state.streamOpened()
    #expect(state.drained() == false)
    #expect(state.streamClosed(isKnown: true, start) == true, "it was the last one")
    #expect(state.drained() == true)
  }

  @Test func oldClientsReadToTheEnd() {
    var state = Self.asked(Self.head(minor: 0))
    #expect(state.isHTTP10 && !state.isKeepAlive)
    var kept = Self.asked(Self.head(.GET, ["Connection": "keep-alive"], minor: 0))
    _ = kept.answerBegan()
    #expect(kept.isKeepAlive)
    kept.endsWithAnswer()
    #expect(kept.answerFinished(isWritable: true, start) == .endAndClose)
    _ = state.answerBegan()
    #expect(state.answerFinished(isWritable: true, start) == .endAndClose)
  }
}
