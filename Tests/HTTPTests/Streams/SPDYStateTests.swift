import NIOCore
import TestKit
import Testing

@testable import HTTP

/// What a SPDY connection knows, transition by transition.
struct SPDYStateTests {
  private let bytes = ByteBuffer(string: "x")

  private func server(_ ids: UInt32...) throws -> SPDYConnectionState {
    var state = SPDYConnectionState(role: .server)
    for id in ids {
      #expect(try state.received(.synStream(id: id, headers: [], isLast: false)) == [.opened(id, [])])
    }
    return state
  }

  /// With streams that the server has accepted.
  private func client(_ count: Int) throws -> SPDYConnectionState {
    var state = SPDYConnectionState(role: .client)
    for _ in 0..<count {
      let id = try state.open()
      #expect(try state.received(.synReply(id: id, headers: [], isLast: false)) == [.accepted(id)])
    }
    return state
  }

  @Test func theClientOpensOddStreams() throws {
    var state = SPDYConnectionState(role: .client)
    #expect(try state.open() == 1 && state.open() == 3)
    #expect(try state.received(.synReply(id: 3, headers: [], isLast: false)) == [.accepted(3)])
    #expect(try state.received(.synReply(id: 3, headers: [], isLast: false)) == [], "it is accepted once")
    #expect(try state.received(.synReply(id: 5, headers: [], isLast: false)) == [], "nobody has opened it")
    #expect(try state.received(.synReply(id: 1, headers: [], isLast: true)) == [.accepted(1), .inputEnded(1)])
    #expect(throws: SPDYError.self) {
      var server = SPDYConnectionState(role: .server)
      return try server.open()
    }
  }

  @Test func aClientTakesNoStreams() throws {
    var state = try client(1)
    #expect(try state.received(.synStream(id: 2, headers: [], isLast: false)) == [.answersDue])
    #expect(try state.received(.synStream(id: 7, headers: [], isLast: false)) == [.answersDue])
    #expect(
      state.takeAnswers() == [
        .rstStream(id: 2, status: SPDYStatus.refusedStream), .rstStream(id: 7, status: SPDYStatus.protocolError),
      ])
    #expect(state.takeAnswers() == [] && state.openStreams == 1)
  }

  @Test func streamsHaveRisingNumbersAndABound() throws {
    var state = try server(5)
    for id in [5, 3, 8, 0] as [UInt32] {
      #expect(try state.received(.synStream(id: id, headers: [], isLast: false)) == [.answersDue])
    }
    let refused = [5, 3, 8, 0].map { SPDYFrame.rstStream(id: $0, status: SPDYStatus.protocolError) }
    #expect(state.takeAnswers() == refused)
    state = try server()
    for number in 0..<SPDYConnectionState.streamCountMax {
      _ = try state.received(.synStream(id: UInt32(2 * number + 1), headers: [], isLast: false))
    }
    let last = UInt32(2 * SPDYConnectionState.streamCountMax + 1)
    #expect(try state.received(.synStream(id: last, headers: [], isLast: false)) == [.answersDue])
    #expect(state.takeAnswers() == [.rstStream(id: last, status: SPDYStatus.refusedStream)])
    #expect(state.openStreams == SPDYConnectionState.streamCountMax)
  }

  @Test func eachSideEndsByItself() throws {
    var state = try client(1)
    #expect(try state.received(.data(id: 1, bytes, isLast: false)) == [.data(1, bytes)])
    #expect(state.finishOutput(1) && !state.finishOutput(1))
    #expect(state.allowance(1, of: 1) == .closed && state.isOpen(1))
    #expect(try state.received(.data(id: 1, bytes, isLast: true)) == [.data(1, bytes), .inputEnded(1)])
    #expect(!state.isOpen(1))
    #expect(try state.received(.data(id: 1, bytes, isLast: true)) == [], "it was on its way")
    state = try client(1)
    #expect(try state.received(.headers(id: 1, headers: [], isLast: true)) == [.inputEnded(1)])
    #expect(state.isOpen(1) && state.finishOutput(1) && !state.isOpen(1))
    #expect(state.reset(1, SPDYStatus.cancel) == false)
  }

  @Test func resetsEndBothSides() throws {
    var state = try client(2)
    #expect(try state.received(.rstStream(id: 1, status: 5)) == [.reset(1)])
    #expect(try state.received(.rstStream(id: 1, status: 5)) == [])
    #expect(state.allowance(1, of: 1) == .closed && !state.finishOutput(1))
    #expect(state.reset(3, SPDYStatus.cancel) && state.openStreams == 0)
    #expect(state.takeAnswers() == [.rstStream(id: 3, status: SPDYStatus.cancel)])
  }

  @Test func dataBeforeTheAnswerIsAgainstTheRules() throws {
    var state = SPDYConnectionState(role: .client)
    let id = try state.open()
    #expect(try state.received(.data(id: id, bytes, isLast: false)) == [.reset(id), .answersDue])
    #expect(state.takeAnswers() == [.rstStream(id: id, status: SPDYStatus.protocolError)])
  }

  @Test func dataForWhatNobodyHasOpened() throws {
    for id in [2, 3] as [UInt32] {
      var client = try client(1)
      #expect(throws: SPDYError.self) { try client.received(.data(id: id, bytes, isLast: false)) }
      var server = try server(1)
      #expect(throws: SPDYError.self) { try server.received(.data(id: id, bytes, isLast: false)) }
    }
  }

  @Test func aGoodbyeEndsWhatWasNotSeen() throws {
    var state = try client(3)
    #expect(try state.received(.goAway(lastStream: 1, status: 0)) == [.reset(3), .reset(5)])
    #expect(state.isOpen(1))
    #expect(throws: SPDYError.self) { try state.open() }
  }

  @Test func pingsAreAnsweredAndBounded() throws {
    var state = try server()
    #expect(try state.received(.ping(id: 2)) == [], "this end has asked nothing")
    #expect(try state.received(.ping(id: 7)) == [.answersDue])
    #expect(state.takeAnswers() == [.ping(id: 7)])
    for _ in 0..<SPDYConnectionState.answersMax { _ = try state.received(.ping(id: 1)) }
    #expect(throws: SPDYError.self) { try state.received(.ping(id: 1)) }
    var client = try client(0)
    #expect(try client.received(.ping(id: 1)) == [])
    #expect(try client.received(.ping(id: 2)) == [.answersDue])
  }

  // MARK: Windows

  /// `moby/spdystream` never opens a window.
  @Test func whoShowsNoWindowsIsSentEverything() throws {
    var state = try client(1)
    for _ in 0..<100 { #expect(state.spend(64 << 10, of: 1) == .bytes(64 << 10)) }
  }

  @Test func windowsThatAreShownAreKept() throws {
    var state = try client(2)
    #expect(state.spend(60 << 10, of: 1) == .bytes(60 << 10))
    // Stream 1 has 4 KiB and this, the connection 4 KiB.
    #expect(try state.received(.windowUpdate(id: 1, delta: 100)) == [.windowsChanged])
    #expect(state.spend(64 << 10, of: 1) == .bytes(4 << 10))
    #expect(state.spend(1, of: 1) == .wait && state.spend(1, of: 3) == .wait, "the connection's is shut")
    #expect(try state.received(.windowUpdate(id: 0, delta: 1 << 20)) == [.windowsChanged])
    #expect(state.spend(64 << 10, of: 1) == .bytes(100))
    #expect(state.spend(1, of: 1) == .wait && state.spend(1, of: 3) == .bytes(1))
  }

  @Test func settingsChangeTheWindowsOfAllStreams() throws {
    var state = try client(1)
    #expect(try state.received(.settings(initialWindow: nil)) == [])
    #expect(state.spend(100 << 10, of: 1) == .bytes(100 << 10), "that shows none")
    #expect(try state.received(.settings(initialWindow: 10)) == [.windowsChanged])
    #expect(try state.received(.windowUpdate(id: 0, delta: 1 << 20)) == [.windowsChanged])
    #expect(state.spend(1, of: 1) == .wait, "far more was sent before")
    let later = try state.open()
    #expect(state.spend(100, of: later) == .bytes(10))
    #expect(throws: SPDYError.self) { try state.received(.settings(initialWindow: 1 << 31)) }
  }

  @Test func windowsThatAreOpenedTooFar() throws {
    var state = try client(2)
    let huge = UInt32(Int32.max)
    #expect(try state.received(.windowUpdate(id: 1, delta: huge)) == [.reset(1), .answersDue])
    #expect(state.takeAnswers() == [.rstStream(id: 1, status: SPDYStatus.flowControlError)])
    #expect(try state.received(.windowUpdate(id: 99, delta: huge)) == [.windowsChanged], "it may be over already")
    #expect(throws: SPDYError.self) { try state.received(.windowUpdate(id: 3, delta: 0)) }
    #expect(throws: SPDYError.self) { try state.received(.windowUpdate(id: 0, delta: huge)) }
  }

  @Test func whatIsReadIsGivenBack() throws {
    var state = try client(2)
    let half = SPDYConnectionState.window / 2
    #expect(state.consumed(half - 1, of: 1) == false)
    #expect(state.consumed(1, of: 1) == true)
    #expect(
      state.takeAnswers() == [
        .windowUpdate(id: 0, delta: UInt32(half)), .windowUpdate(id: 1, delta: UInt32(half)),
      ])
    // What comes for a stream that is over counts for the connection alone.
    let late = ByteBuffer(repeating: 0, count: half)
    #expect(try state.received(.rstStream(id: 3, status: 5)) == [.reset(3)])
    #expect(try state.received(.data(id: 3, late, isLast: false)) == [.answersDue])
    #expect(state.takeAnswers() == [.windowUpdate(id: 0, delta: UInt32(half))])
    // Nobody sends on a stream that has ended.
    #expect(try state.received(.headers(id: 1, headers: [], isLast: true)) == [.inputEnded(1)])
    #expect(state.consumed(half, of: 1) == true)
    #expect(state.takeAnswers() == [.windowUpdate(id: 0, delta: UInt32(half))])
  }

  /// Whatever comes, in whatever order: bounds hold, and what is not refused leaves a state that can go on.
  @Test(arguments: 0..<32 as Range<UInt64>) func anyFramesKeepTheBounds(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var refusals = 0
    for round in 0..<20 {
      var state = SPDYConnectionState(role: round % 2 == 0 ? .client : .server)
      do throws(SPDYError) {
        for _ in 0..<400 {
          if state.role == .client, Int.random(in: 0..<8, using: &generator) == 0 { _ = try? state.open() }
          _ = try state.received(Self.frame(&generator))
          let id = UInt32.random(in: 0..<12, using: &generator)
          switch Int.random(in: 0..<5, using: &generator) {
          case 0: _ = state.consumed(Int.random(in: 0..<100_000, using: &generator), of: id)
          case 1: _ = state.finishOutput(id)
          case 2:
            let wanted = Int.random(in: 1..<100_000, using: &generator)
            if case .bytes(let count) = state.spend(wanted, of: id) { #expect((1...wanted).contains(count)) }
          case 3 where Int.random(in: 0..<4, using: &generator) == 0: _ = state.reset(id, SPDYStatus.cancel)
          default: #expect(state.takeAnswers().count <= 2 * SPDYConnectionState.answersMax)
          }
          #expect(state.openStreams <= SPDYConnectionState.streamCountMax)
        }
      } catch {
        refusals += 1
        #expect(!error.message.isEmpty)
      }
    }
    #expect(refusals > 0, "the noise must contain what is refused")
  }

  private static func frame(_ generator: inout SeededGenerator) -> SPDYFrame {
    let id = UInt32.random(in: 0..<12, using: &generator)
    let isLast = Int.random(in: 0..<4, using: &generator) == 0
    switch Int.random(in: 0..<16, using: &generator) {
    case 0...2: return .synStream(id: id, headers: [], isLast: isLast)
    case 3...5: return .synReply(id: id, headers: [], isLast: isLast)
    case 6...9:
      return .data(
        id: isLast ? max(1, id) : 1, ByteBuffer(repeating: 0, count: Int.random(in: 0..<70_000, using: &generator)),
        isLast: isLast)
    case 10: return .rstStream(id: id, status: 5)
    case 11: return .ping(id: id)
    case 12: return .headers(id: id, headers: [], isLast: isLast)
    case 13: return .settings(initialWindow: UInt32.random(in: 0..<200_000, using: &generator))
    case 14: return .windowUpdate(id: id, delta: UInt32.random(in: 0..<100_000, using: &generator))
    default:
      return isLast && Bool.random(using: &generator)
        ? .goAway(lastStream: id, status: 0)
        : .windowUpdate(id: id, delta: UInt32.random(in: 0...UInt32(Int32.max), using: &generator))
    }
  }
}
