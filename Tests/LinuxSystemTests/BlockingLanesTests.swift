import Glibc
import Synchronization
import Testing

@testable import LinuxSystem

/// The rules, one transition each.
@Suite struct BlockingLanesStateTests {
  private func state(running: Int = 2, stuck: Int = 1, waiting: Int = 3) -> BlockingLanesState {
    BlockingLanesState(
      limits: .init(deadline: .seconds(1), runningMax: running, stuckMax: stuck, waitingMax: waiting))
  }

  private func call(_ id: UInt64, _ lane: String? = nil) -> BlockingLanesState.Call {
    .init(id: id, lane: lane, what: "call \(id)")
  }

  @Test func callsOfALaneRunInTheirOrderAndOthersBeside() {
    var state = state()
    for (id, lane) in [(1, "a"), (2, "a"), (3, "b")] as [(UInt64, String)] {
      #expect(state.asked(call(id, lane)) == nil)
    }
    #expect(state.next()?.id == 1)
    #expect(state.next()?.id == 3)
    #expect(state.next() == nil)
    #expect(state.returned(1) == false)
    #expect(state.next()?.id == 2)
  }

  @Test func noMoreRunThanMay() {
    var state = state()
    for id in 1...3 as ClosedRange<UInt64> { #expect(state.asked(call(id)) == nil) }
    #expect(state.next()?.id == 1)
    #expect(state.next()?.id == 2)
    #expect(state.next() == nil)
    #expect(state.returned(2) == false)
    #expect(state.next()?.id == 3)
  }

  @Test func noMoreWaitThanMay() {
    var state = state(running: 1, waiting: 1)
    #expect(state.asked(call(1)) == nil)
    #expect(state.next()?.id == 1)
    #expect(state.asked(call(2)) == nil)
    #expect(state.asked(call(3)) == .isFull)
    // Whoever could begin at once is not asked to wait, also where nobody may.
    var none = self.state(waiting: 0)
    #expect(none.asked(call(1)) == nil)
    #expect(none.next()?.id == 1)
  }

  @Test func whatHangsHoldsUpItsLaneAndNoOther() {
    var state = state(running: 1)
    #expect(state.asked(call(1, "a")) == nil)
    #expect(state.asked(call(2, "a")) == nil)
    #expect(state.asked(call(3, "b")) == nil)
    #expect(state.next()?.id == 1)
    #expect(state.next() == nil)
    #expect(state.expired(1) == .hangs)
    // Its thread is beside the others'; its lane waits for it.
    #expect(state.next()?.id == 3)
    #expect(state.asked(call(4, "a")) == .laneHangs(what: "call 1"))
    #expect(state.returned(3) == false)
    #expect(state.next() == nil)
    #expect(state.returned(1) == true)
    #expect(state.next()?.id == 2)
    #expect(state.asked(call(5, "a")) == nil)
  }

  @Test func tooManyThatHangTakePlacesOfOthers() {
    var state = state(running: 2, stuck: 1, waiting: 9)
    for id in 1...5 as ClosedRange<UInt64> { #expect(state.asked(call(id, "lane \(id)")) == nil) }
    #expect(state.next()?.id == 1)
    #expect(state.next()?.id == 2)
    #expect(state.expired(1) == .hangs)
    #expect(state.expired(2) == .hangs)
    #expect(state.next()?.id == 3)
    // Two hang and one may: the other one keeps a place.
    #expect(state.next() == nil)
    #expect(state.expired(3) == .hangs)
    #expect(state.next() == nil)
    #expect(state.running.count + state.stuck.count == state.limits.threadsMax)
    #expect(state.returned(2) == true)
    #expect(state.next()?.id == 4)
  }

  @Test func whatDidNotBeginInTimeNeverDoes() {
    var state = state(running: 1)
    #expect(state.asked(call(1)) == nil)
    #expect(state.asked(call(2)) == nil)
    #expect(state.next()?.id == 1)
    #expect(state.expired(2) == .dropped)
    #expect(state.returned(1) == false)
    #expect(state.next() == nil)
    #expect(state.expired(1) == .isOver)
  }
}

@Suite(.timeLimit(.minutes(1))) struct BlockingLanesTests {
  /// A call that blocks until it is let go, as one on a mount that does not answer.
  private final class Hang: Sendable {
    private let pipe: (read: Int32, write: Int32)

    init() throws {
      let made = try Pipe()
      pipe = (made.readEnd, made.writeEnd)
    }

    deinit {
      close(pipe.read)
      close(pipe.write)
    }

    func wait() {
      var byte: UInt8 = 0
      _ = read(pipe.read, &byte, 1)
    }

    func letGo() { _ = write(pipe.write, "x", 1) }
  }

  /// What the lanes have said, and a way to wait for it.
  private final class Notices: Sendable {
    let stream: AsyncStream<BlockingLanes.Notice>
    let continuation: AsyncStream<BlockingLanes.Notice>.Continuation
    init() { (stream, continuation) = AsyncStream.makeStream() }
  }

  private final class Notes: Sendable {
    let byLane = Mutex<[Int: [Int]]>([:])
    let hasRun = Mutex(false)
  }

  @Test func runsAndPassesOnResultsAndErrors() async throws {
    let lanes = BlockingLanes("test", .init(deadline: .seconds(60), runningMax: 2, stuckMax: 1))
    #expect(try await lanes.run("a", "add") { 1 + 1 } == 2)
    let error = await #expect(throws: SystemError.self) {
      try await lanes.run(nil, "fail") { throw SystemError("fail", errno: ENOENT) }
    }
    #expect(error?.errno == ENOENT)
    // A thousand at once, of ten lanes, on two threads: each lane's in their order.
    let order = Notes()
    await withTaskGroup(of: Void.self) { group in
      for lane in 0..<10 {
        group.addTask {
          for number in 0..<100 {
            try? await lanes.run("\(lane)", "note") { order.byLane.withLock { $0[lane, default: []].append(number) } }
          }
        }
      }
    }
    #expect(order.byLane.withLock { $0.values.allSatisfy { $0 == Array(0..<100) } && $0.count == 10 })
    #expect(lanes.usage.waiting == 0 && lanes.usage.stuck.isEmpty)
  }

  @Test func whatHangsIsGivenUpAndCountedAndComesBack() async throws {
    let notices = Notices()
    let lanes = BlockingLanes("test", .init(deadline: .milliseconds(20), runningMax: 1, stuckMax: 2)) {
      notices.continuation.yield($0)
    }
    let hang = try Hang()
    var said = notices.stream.makeAsyncIterator()
    let error = await #expect(throws: SystemError.self) { try await lanes.run("a", "open /hung/a") { hang.wait() } }
    #expect(error?.errno == ETIMEDOUT && error?.operation == "open /hung/a")
    #expect(error?.description.contains("no answer within 0.02 seconds") == true)
    let hangs = await said.next()
    #expect(hangs == .hangs(what: "open /hung/a", stuck: 1))
    #expect(lanes.usage.stuck == ["open /hung/a"])
    // Its own lane is told so at once.
    let refusal = await #expect(throws: SystemError.self) { try await lanes.run("a", "open /hung/b") {} }
    #expect(refusal?.errno == EBUSY && refusal?.detail == "an earlier call has not returned: open /hung/a")
    hang.letGo()
    let returned = await said.next()
    #expect(returned == .returned(what: "open /hung/a", stuck: 0))
    #expect(lanes.usage.stuck == [])
  }

  @Test func whatWaitsTooLongNeverRuns() async throws {
    let lanes = BlockingLanes("test", .init(deadline: .milliseconds(20), runningMax: 1, stuckMax: 0))
    let hang = try Hang()
    let notes = Notes()
    let first = Task { try await lanes.run("a", "hang") { hang.wait() } }
    while lanes.usage.running == 0, lanes.usage.stuck.isEmpty { await Task.yield() }
    // Without places for those that hang, the thread that hangs is the only one.
    let error = await #expect(throws: SystemError.self) {
      try await lanes.run("b", "other") { notes.hasRun.withLock { $0 = true } }
    }
    #expect(error?.errno == ETIMEDOUT && error?.detail.contains("could not begin") == true)
    await #expect(throws: SystemError.self) { try await first.value }
    hang.letGo()
    while !lanes.usage.stuck.isEmpty { await Task.yield() }
    #expect(!notes.hasRun.withLock { $0 })
  }

  @Test func threadsAreUsedAgainAndNamed() async throws {
    let lanes = BlockingLanes("test", .init(deadline: .seconds(60), runningMax: 1, stuckMax: 0))
    // The first word is the thread's number.
    var threads: Set<String> = []
    for _ in 0..<200 {
      let status = try await lanes.run("a", "number") { try DurableFile.read("/proc/thread-self/stat", limit: 4096) }
      threads.insert(String(decoding: status.prefix { $0 != 0x20 }, as: UTF8.self))
    }
    #expect(threads.count < 200)
    let name = try await lanes.run("a", "name") {
      try DurableFile.read("/proc/thread-self/comm", limit: 64)
    }
    #expect(String(decoding: name, as: UTF8.self) == "apus-test\n")
  }
}
