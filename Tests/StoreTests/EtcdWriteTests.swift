import HTTP
import RPC
import TestKit
import Testing

@testable import Store

/// What a write comes to when answers are lost: it happens once or not at all, and what is not known is not answered.
@Suite struct EtcdWriteTests {
  private static let before = EtcdMeta(revision: 4, digest: RowDigest(value: 1), writer: 7, cluster: "c")
  private static let target = EtcdMeta(revision: 6, digest: RowDigest(value: 2), writer: 7, cluster: "c")

  private func write() -> EtcdWrite { EtcdWrite(place: "etcd", leader: 7, base: 50, target: Self.target) }

  private func found(leader: Int64 = 7, _ meta: EtcdMeta? = before, modified: Int64 = 50) -> EtcdWrite.Found {
    EtcdWrite.Found(leader: leader, meta: meta, modified: modified)
  }

  private func isAsking(_ action: EtcdWrite.Action) -> Bool { if case .ask = action { true } else { false } }
  private func isSending(_ action: EtcdWrite.Action) -> Bool { if case .send = action { true } else { false } }
  private func isLosing(_ action: EtcdWrite.Action) -> Bool { if case .lose = action { true } else { false } }

  @Test func whatIsAnsweredIsDone() {
    var write = write()
    #expect(write.answered(succeeded: true, revision: 51, found: nil) == .done(modified: 51))
  }

  @Test func aLostAnswerIsAskedFor() {
    var write = write()
    #expect(isAsking(write.failed(.unknown("closed"))))
    #expect(isAsking(write.askingFailed("no answer")))
    // It has happened.
    #expect(write.found(found(Self.target, modified: 60)) == .done(modified: 60))
  }

  @Test func whatHasNotHappenedIsSentAgain() {
    var write = write()
    #expect(isAsking(write.failed(.unknown("closed"))))
    #expect(write.found(found()) == .send(after: .zero))
    // The first one came after all, before the second one.
    #expect(
      write.answered(succeeded: false, revision: 70, found: found(Self.target, modified: 61)) == .done(modified: 61))
  }

  @Test func anotherLeaderEndsIt() {
    for leader: Int64 in [0, 8] {
      var write = write()
      #expect(isLosing(write.answered(succeeded: false, revision: 9, found: found(leader: leader))))
      var asked = self.write()
      _ = asked.failed(.unknown("closed"))
      #expect(isLosing(asked.found(found(leader: leader))))
      // Also when it happened before that: the answer is nobody's any more.
      #expect(isLosing(asked.found(found(leader: leader, Self.target, modified: 60))))
    }
  }

  @Test func aRecordOfSomebodyElseEndsIt() {
    var other = Self.target
    other.writer = 6
    for meta in [other, Self.before, nil] {
      var write = write()
      #expect(isLosing(write.answered(succeeded: false, revision: 9, found: found(meta, modified: 60))))
    }
    // An answer that contradicts itself.
    var write = write()
    #expect(isLosing(write.answered(succeeded: false, revision: 9, found: found())))
  }

  @Test func aRefusalIsAnsweredOnlyWhenNothingIsUnderWay() {
    let refusals: [(EtcdFailure, StoreError)] = [
      (.tooLarge("x"), .tooLarge("etcd does not take the write: x")),
      (.refused("x"), .io("etcd refuses the write: x")),
    ]
    for (failure, error) in refusals {
      var write = write()
      #expect(write.failed(failure) == .refuse(error))
      var doubtful = self.write()
      _ = doubtful.failed(.unknown("closed"))
      #expect(isAsking(doubtful.failed(failure)), "one before it may still happen")
      #expect(isLosing(doubtful.timeIsUp()))
    }
  }

  /// It is also the answer to a transaction that was carried out and took etcd over its quota.
  @Test func aFullEtcdIsAskedWhatHasHappened() {
    var happened = write()
    #expect(happened.failed(.full("space")) == .ask(after: .zero))
    #expect(isAsking(happened.askingFailed("no answer")))
    #expect(happened.found(found(Self.target, modified: 60)) == .done(modified: 60))
    var refused = write()
    _ = refused.failed(.full("space"))
    #expect(refused.found(found()) == .refuse(.diskFull("etcd")))
    var unknown = write()
    _ = unknown.failed(.full("space"))
    #expect(isLosing(unknown.timeIsUp()))
    var doubtful = write()
    _ = doubtful.failed(.unknown("closed"))
    #expect(isAsking(doubtful.failed(.full("space"))))
    #expect(doubtful.found(found()) == .send(after: .zero), "the one before it may still happen")
    #expect(isLosing(doubtful.timeIsUp()))
  }

  @Test func timeIsBounded() {
    var write = write()
    #expect(isSending(write.failed(.notBegun("refused"))))
    #expect(write.timeIsUp() == .refuse(.io("etcd takes no writes: refused")))
    var doubtful = self.write()
    _ = doubtful.failed(.unknown("closed"))
    #expect(isAsking(doubtful.failed(.notBegun("refused"))))
    #expect(isLosing(doubtful.timeIsUp()))
  }

  @Test func pausesGrowAndAreBounded() {
    var write = write()
    var last = Duration.zero
    for _ in 0..<100 {
      guard case .send(let pause) = write.failed(.notBegun("x")) else { return #expect(Bool(false)) as Void }
      #expect(pause >= last && pause <= .seconds(1))
      last = pause
    }
    #expect(last > .milliseconds(500))
  }

  @Test func failuresAreKnownByWhatMayHaveHappened() {
    func failure(_ status: RPCStatus, _ text: String) -> EtcdFailure { EtcdFailure(RPCError(status, text)) }
    #expect(
      failure(.resourceExhausted, "etcdserver: mvcc: database space exceeded")
        == .full("etcdserver: mvcc: database space exceeded"))
    for text in ["etcdserver: request is too large", "etcdserver: too many operations in txn request"] {
      #expect(failure(.invalidArgument, text) == .tooLarge(text))
    }
    let grpc = "grpc: received message larger than max (3 vs. 2)"
    #expect(failure(.resourceExhausted, grpc) == .tooLarge(grpc))
    #expect(failure(.resourceExhausted, "etcdserver: too many requests") == .notBegun("etcdserver: too many requests"))
    #expect(failure(.permissionDenied, "x") == .refused("x"))
    // What a deadline or a change of leaders leaves behind may still happen.
    for status: RPCStatus in [.unavailable, .deadlineExceeded, .unknown, .internalError, .cancelled, .aborted] {
      #expect(failure(status, "x") == .unknown("x"))
    }
  }

  @Test func aConnectionThatBreaksMayHaveCarriedTheRequest() {
    func failure(_ code: HTTPClientError.Code) -> EtcdFailure {
      EtcdFailure(RPCError(.unavailable, "x", cause: HTTPClientError(code, "x")))
    }
    #expect(failure(.connect) == .notBegun("x"))
    #expect(failure(.timeout(.tls, .seconds(1))) == .notBegun("x"))
    // A handshake can fail, and so can a record in the middle of an answer.
    #expect(failure(.tls) == .untrusted("x"))
    var write = write()
    #expect(isAsking(write.failed(.untrusted("x"))) && write.isInDoubt)
    #expect(failure(.closed(isAnswered: false)) == .unknown("x"))
  }

  @Test func othersWordsDoNotActOnATerminal() {
    let failure = EtcdFailure(
      RPCError(.permissionDenied, "no\nREADY=1\u{1B}[2J\u{202E}" + String(repeating: "x", count: 400)))
    #expect(failure.reason.hasPrefix("no\u{FFFD}READY=1\u{FFFD}[2J\u{FFFD}xxx") && failure.reason.hasSuffix("x…"))
    #expect(failure.reason.unicodeScalars.count == 301)
  }

  /// An etcd that loses answers, holds transactions back and carries them out later, changes its leader, and refuses: each
  /// write is carried out once when it was answered, and not at all when it was refused.
  @Test(arguments: 0..<200) func aWriteHappensOnceOrNotAtAll(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var (leader, meta, modified, revision): (Int64, EtcdMeta, Int64, Int64) = (7, Self.before, 50, 50)
    var carriedOut = 0
    var held = 0
    func now() -> EtcdWrite.Found { .init(leader: leader, meta: meta, modified: modified) }
    func carryOut() -> Bool {
      guard leader == 7, modified == 50 else { return false }
      revision += 1
      (meta, modified) = (Self.target, revision)
      carriedOut += 1
      return true
    }
    var write = write()
    var action = EtcdWrite.Action.send(after: .zero)
    var steps = 0
    run: while true {
      steps += 1
      if Int.random(in: 0..<40, using: &random) == 0 {
        revision += 1
        leader = revision
      }
      while held > 0, Bool.random(using: &random) {
        held -= 1
        _ = carryOut()
      }
      switch action {
      case .send:
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
          held += 1
          action = write.failed(.unknown("deadline"))
        case 1:
          _ = carryOut()
          action = write.failed(.unknown("closed"))
        case 2: action = write.failed(.notBegun("refused"))
        case 3:
          if Bool.random(using: &random) { _ = carryOut() }
          action = write.failed(.full("space"))
        default:
          action =
            carryOut()
            ? write.answered(succeeded: true, revision: revision, found: nil)
            : write.answered(succeeded: false, revision: revision, found: now())
        }
      case .ask:
        action = Bool.random(using: &random) ? write.found(now()) : write.askingFailed("no answer")
      case .done(let at):
        #expect(carriedOut == 1 && meta == Self.target && at == modified)
        break run
      case .refuse:
        while held > 0 {
          held -= 1
          _ = carryOut()
        }
        #expect(carriedOut == 0, "what was refused must never happen")
        break run
      case .lose: break run
      }
      if steps > 200 { action = write.timeIsUp() }
    }
    #expect(carriedOut <= 1)
  }
}
