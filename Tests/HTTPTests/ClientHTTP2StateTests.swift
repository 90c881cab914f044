import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2
import Testing

@testable import HTTP

/// The client's side of a connection of HTTP/2, as values: a test for each transition.
@Suite struct ClientHTTP2StateTests {
  // MARK: How many requests

  @Test func theFirstSettingsSayHowMany() {
    var silent = HTTP2ClientState(streamsAllowed: 100)
    #expect(silent.streamsMax == 0 && !silent.isReady)
    #expect(silent.settingsReceived(limit: nil) == .limited(100))
    #expect(silent.isReady)
    #expect(silent.settingsReceived(limit: nil) == nil, "what is not said again stays")
    var modest = HTTP2ClientState(streamsAllowed: 100)
    #expect(modest.settingsReceived(limit: 7) == .limited(7))
    #expect(modest.settingsReceived(limit: nil) == nil)
    #expect(modest.settingsReceived(limit: 7) == nil)
    #expect(modest.settingsReceived(limit: 0) == .limited(0))
    var generous = HTTP2ClientState(streamsAllowed: 100)
    #expect(generous.settingsReceived(limit: 1_000_000) == .limited(100))
  }

  @Test func aRetiredOneIsNotLimited() {
    var state = HTTP2ClientState(streamsAllowed: 100)
    _ = state.settingsReceived(limit: 5)
    #expect(state.retire() == .retired)
    #expect(state.retire() == nil)
    #expect(state.settingsReceived(limit: 9) == nil)
    #expect(state.goAwayReceived(lastHandled: 1) == nil)
    #expect(state.isRetired)
  }

  // MARK: What the peer has not begun with

  @Test func streamsAboveTheLastAreRefused() {
    var state = HTTP2ClientState(streamsAllowed: 100)
    for stream in [1, 3, 5] as [HTTP2StreamID] { state.headSent(stream) }
    #expect(state.failure(of: 5, .cancel)?.code == nil)
    #expect(state.goAwayReceived(lastHandled: 3) == .retired)
    #expect(state.failure(of: 5, .cancel)?.code == .refused)
    #expect(state.failure(of: 3, nil)?.code == nil)
    // A second goodbye may only take back.
    _ = state.goAwayReceived(lastHandled: 1)
    #expect(state.failure(of: 3, nil)?.code == .refused)
    _ = state.goAwayReceived(lastHandled: 5)
    #expect(state.failure(of: 3, nil)?.code == .refused)
    #expect(state.failure(of: 1, nil)?.code == nil)
  }

  @Test func refusedStreamsAreRefused() {
    var state = HTTP2ClientState(streamsAllowed: 100)
    state.headSent(1)
    #expect(state.failure(of: 1, .refusedStream)?.code == .refused)
    for code in [.cancel, .internalError, .noError, .enhanceYourCalm] as [HTTP2ErrorCode] {
      #expect(state.failure(of: 1, code)?.code == nil)
    }
  }

  @Test func whoWantsHTTP1SaysSo() {
    var state = HTTP2ClientState(streamsAllowed: 100)
    for stream in [1, 3, 5] as [HTTP2StreamID] { state.headSent(stream) }
    #expect(state.failure(of: 1, .http11Required)?.code == .http1Required(mayBeDone: true))
    #expect(state.failure(of: 9, .http11Required)?.code == .http1Required(mayBeDone: false), "it never went out")
    #expect(state.failure(of: 1, .http11Required, isAnswered: true)?.code == nil)
    #expect(state.goAwayReceived(lastHandled: 3, .http11Required) == .retired)
    #expect(state.failure(of: 5, .refusedStream)?.code == .http1Required(mayBeDone: false))
    #expect(state.failure(of: 7, nil)?.code == .http1Required(mayBeDone: false), "it never went out")
    #expect(state.failure(of: nil, nil)?.code == .http1Required(mayBeDone: false))
    #expect(state.failure(of: 3, nil)?.code == .http1Required(mayBeDone: true))
    #expect(state.failure(of: 3, nil, isAnswered: true)?.code == nil)
  }

  @Test func theLastServersThatWantHTTP1AreKnown() throws {
    func key(_ port: Int) throws -> ConnectionKey {
      let url = try #require(HTTPURL("https://127.0.0.1:\(port)/"))
      return ConnectionKey(HTTPClientRequest(method: .GET, url: url), HTTPClientConfiguration())
    }
    var origins = RecentOrigins()
    for port in 1...RecentOrigins.countMax + 1 {
      origins.add(try key(port))
      origins.add(try key(port))
    }
    let (first, second, last) = (try key(1), try key(2), try key(RecentOrigins.countMax + 1))
    #expect(!origins.contains(first))
    #expect(origins.contains(second) && origins.contains(last))
  }

  @Test func whatWasSent() {
    var state = HTTP2ClientState(streamsAllowed: 100)
    #expect(!state.isSent(nil) && !state.isSent(1))
    state.headSent(3)
    // Trailers, of an earlier stream.
    state.headSent(1)
    #expect(state.isSent(1) && state.isSent(3) && !state.isSent(5) && !state.isSent(nil))
  }

  // MARK: Whom an error is about

  @Test func anErrorAfterAResetIsTheStreams() {
    var state = HTTP2ClientState(streamsAllowed: 100)
    state.headSent(1)
    state.headSent(3)
    state.resetSent(3, isFault: true)
    #expect(state.failure(of: 1, .protocolError)?.code == nil)
    #expect(state.failure(of: 3, nil)?.code == nil)
    #expect(state.failure(of: 3, .protocolError)?.code == .malformed)
    #expect(state.failed(isLate: false) == .stream)
    #expect(state.failure(of: 3, .protocolError)?.code == nil)
    #expect(state.failed(isLate: false) == .connection)
  }

  @Test func anErrorWithoutAResetIsTheConnections() {
    var state = HTTP2ClientState(streamsAllowed: 100)
    state.resetSent(3, isFault: false)
    #expect(state.failed(isLate: false) == .connection)
    state.resetSent(3, isFault: true)
    state.readCompleted()
    #expect(state.failed(isLate: false) == .connection)
    state.resetSent(3, isFault: true)
    state.goodbyeSent()
    #expect(state.failed(isLate: false) == .connection)
  }

  @Test func whatIsLateIsNobodys() {
    var state = HTTP2ClientState(streamsAllowed: 100)
    #expect(state.failed(isLate: true) == .nobody)
    // What comes late was believed to be what the last reset was for: its own error ended the connection then.
    state.resetSent(3, isFault: true)
    #expect(state.failed(isLate: true) == .nobody)
    #expect(state.failure(of: 3, .protocolError)?.code == .malformed)
    #expect(state.failed(isLate: false) == .stream)
    state.goodbyeSent()
    #expect(state.failed(isLate: true) == .connection)
  }

  // MARK: Silence

  private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

  private var silence: PeerSilence { PeerSilence(quiet: .seconds(30), patience: .seconds(15), now: at(0)) }

  @Test func whoSaysNothingIsAskedAndGivenUp() {
    var silence = silence
    #expect(silence.waitBegan(at(10)) == at(40))
    #expect(silence.looked(isWaitedFor: true, at(40)) == .ask(at(55)))
    #expect(silence.looked(isWaitedFor: true, at(50)) == .look(at(55)))
    #expect(silence.looked(isWaitedFor: true, at(55)) == .giveUp)
  }

  @Test func whoSaysSomethingIsThere() {
    var silence = silence
    _ = silence.waitBegan(at(0))
    silence.heard(at(20))
    #expect(silence.looked(isWaitedFor: true, at(30)) == .look(at(50)))
    #expect(silence.looked(isWaitedFor: true, at(50)) == .ask(at(65)))
    silence.heard(at(64))
    #expect(silence.looked(isWaitedFor: true, at(65)) == .look(at(94)))
  }

  @Test func nobodyWaitsForSomethingThatIsNotAsked() {
    var silence = silence
    _ = silence.waitBegan(at(0))
    #expect(silence.looked(isWaitedFor: true, at(30)) == .ask(at(45)))
    #expect(silence.looked(isWaitedFor: false, at(45)) == .rest)
    #expect(silence.waitBegan(at(100)) == at(130))
    #expect(silence.looked(isWaitedFor: true, at(130)) == .ask(at(145)), "the first question is forgotten")
  }

  // MARK: Heads

  @Test func fieldsOfTheConnectionStayBehind() throws {
    let fields = try HTTP2Fields.fields([
      "Host": "a", "Connection": "close, X-Hop", "Connection": "Host", "x-hop": "1", "Keep-Alive": "5",
      "Upgrade": "h2c",
      "Proxy-Connection": "x", "Transfer-Encoding": "chunked", "TE": "gzip", "te": "Trailers", "Accept": "b",
    ])
    #expect(fields.map(\.name) == ["Host", "te", "Accept"])
    #expect(fields["te"] == ["trailers"])
    for wrong in [["Accept": "a"], ["Host": "a", "host": "b"]] as [HTTPHeaders] {
      let error = #expect(throws: HTTPClientError.self) { try HTTP2Fields.fields(wrong) }
      #expect(error?.code == .invalidRequest)
    }
  }

  @Test func headsAreChecked() {
    var limits = HTTPClientConfiguration.Limits()
    limits.headerFields = 3
    limits.headerField = 10
    func code(_ fields: HPACKHeaders) -> HTTPClientError.Code? { HTTP2AnswerCheck.failure(of: fields, limits)?.code }
    #expect(code([":status": "200", "a": "123456789", "b": ""]) == nil)
    #expect(code(["grpc": "0"]) == nil, "trailers have no status")
    #expect(code([":status": "200", "a": "1234567890"]) == .headTooLarge)
    #expect(code([":status": "200", "a": "", "b": "", "c": ""]) == .headTooLarge)
    limits.headerField = 100
    for status in ["", "20", "2000", "-10", "+20", "20a", "012", "２００"] {
      #expect(code([":status": status]) == .malformed, "\(status)")
    }
  }
}
