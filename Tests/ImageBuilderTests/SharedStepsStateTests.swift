import TestKit
import Testing

@testable import ImageBuilder

/// The states of steps that several builds wait for: each transition, and random builds by a seed.
@Suite struct SharedStepsStateTests {
  private typealias Machine = SharedStepsState<String, Int>
  private let failure = BuildError(.execution, "exit code: 7")

  private func told(_ machine: inout Machine, _ waiter: Machine.Waiter) -> String {
    switch machine.take(waiter) {
    case nil: "nothing"
    case .notes(let notes): "notes \(notes.map(text).joined())"
    case .made(let value): "made \(value)"
    case .failed(let error): "failed \(error.message)"
    case .lost: "lost"
    case .left: "left"
    }
  }

  private func text(_ note: StepNote) -> String {
    switch note {
    case .status(let text): text
    case .output(_, let bytes): String(decoding: bytes, as: UTF8.self)
    }
  }

  private func output(_ text: String) -> StepNote { .output(.stdout, Array(text.utf8)) }

  @Test func theFirstLeadsAndOthersJoin() {
    var machine = Machine(logMax: 1000)
    let first = machine.join("a")
    let second = machine.join("a")
    let other = machine.join("b")
    #expect(first.isLeading && !second.isLeading && other.isLeading)
    #expect(first.run == second.run && first.run != other.run)
    #expect(machine.waiterCount("a") == 2 && machine.waiterCount("b") == 1 && machine.waiterCount("c") == 0)
    #expect(told(&machine, first.waiter) == "nothing" && told(&machine, second.waiter) == "nothing")
    #expect(!machine.isEmpty)
  }

  @Test func whatWasSaidBeforeIsToldToWhoJoinsLater() {
    var machine = Machine(logMax: 1000)
    let first = machine.join("a")
    #expect(machine.note(output("one\n"), first.run) == [first.waiter])
    #expect(told(&machine, first.waiter) == "notes one\n")
    #expect(told(&machine, first.waiter) == "nothing")
    let second = machine.join("a")
    #expect(told(&machine, second.waiter) == "notes one\n")
    #expect(machine.note(output("two\n"), first.run) == [first.waiter, second.waiter])
    #expect(told(&machine, first.waiter) == "notes two\n" && told(&machine, second.waiter) == "notes two\n")
  }

  @Test func theResultIsToldToAllAfterAllThatWasSaid() {
    var machine = Machine(logMax: 1000)
    let (first, second) = (machine.join("a"), machine.join("a"))
    _ = machine.note(output("last words"), first.run)
    #expect(machine.end(first.run, .success(3), isShared: true) == [first.waiter, second.waiter])
    for waiter in [first.waiter, second.waiter] {
      #expect(told(&machine, waiter) == "notes last words")
      #expect(told(&machine, waiter) == "made 3")
    }
    #expect(machine.isEmpty)
    // It is begun anew afterwards.
    #expect(machine.join("a").isLeading)
  }

  @Test func aFailureOfTheStepIsToldToAll() {
    var machine = Machine(logMax: 1000)
    let (first, second) = (machine.join("a"), machine.join("a"))
    _ = machine.end(first.run, .failure(failure), isShared: true)
    #expect(told(&machine, first.waiter) == "failed exit code: 7")
    #expect(told(&machine, second.waiter) == "failed exit code: 7")
    #expect(machine.isEmpty)
  }

  @Test func aFailureOfTheLeaderIsToldToHimAlone() {
    var machine = Machine(logMax: 1000)
    let (first, second) = (machine.join("a"), machine.join("a"))
    _ = machine.end(first.run, .failure(failure), isShared: false)
    #expect(told(&machine, first.waiter) == "failed exit code: 7")
    #expect(told(&machine, second.waiter) == "lost")
    #expect(machine.isEmpty)
  }

  @Test func whoLeavesEndsNothingForTheOthers() {
    var machine = Machine(logMax: 1000)
    let (first, second) = (machine.join("a"), machine.join("a"))
    #expect(machine.leave(first.waiter) == .left)
    #expect(told(&machine, first.waiter) == "left")
    #expect(machine.note(output("on"), first.run) == [second.waiter])
    _ = machine.end(first.run, .success(1), isShared: true)
    #expect(told(&machine, second.waiter) == "notes on" && told(&machine, second.waiter) == "made 1")
    #expect(machine.isEmpty)
  }

  /// Also a failure that is the leader's own: he is gone, and they begin anew.
  @Test func whoLeadsAndLeavesIsToldNoFailure() {
    var machine = Machine(logMax: 1000)
    let (first, second) = (machine.join("a"), machine.join("a"))
    #expect(machine.leave(first.waiter) == .left && told(&machine, first.waiter) == "left")
    _ = machine.end(first.run, .failure(failure), isShared: false)
    #expect(told(&machine, second.waiter) == "lost")
    #expect(machine.isEmpty)
  }

  @Test func theLastWhoLeavesWaitsForTheEnd() {
    var machine = Machine(logMax: 1000)
    let first = machine.join("a")
    #expect(machine.leave(first.waiter) == .stop(first.run))
    #expect(machine.leave(first.waiter) == .none)
    #expect(told(&machine, first.waiter) == "nothing")
    _ = machine.end(first.run, .failure(.cancelled), isShared: false)
    #expect(machine.leave(first.waiter) == .none)
    #expect(told(&machine, first.waiter) == "failed \(BuildError.cancelled.message)")
    #expect(machine.isEmpty)
  }

  /// Nobody takes part in a run that is being ended; the next one begins only after it.
  @Test func whoComesWhileItIsBeingEndedWaitsAndTriesAgain() {
    var machine = Machine(logMax: 1000)
    let first = machine.join("a")
    _ = machine.note(output("before"), first.run)
    #expect(machine.leave(first.waiter) == .stop(first.run))
    let second = machine.join("a")
    let third = machine.join("a")
    #expect(!second.isLeading && !third.isLeading)
    #expect(machine.leave(third.waiter) == .left && told(&machine, third.waiter) == "left")
    _ = machine.note(output("after"), first.run)
    #expect(told(&machine, second.waiter) == "nothing")
    _ = machine.end(first.run, .failure(failure), isShared: true)
    #expect(told(&machine, second.waiter) == "lost")
    #expect(machine.join("a").isLeading)
  }

  @Test func whatIsMadeAlthoughItWasToEndCounts() {
    var machine = Machine(logMax: 1000)
    let first = machine.join("a")
    _ = machine.leave(first.waiter)
    let second = machine.join("a")
    _ = machine.end(first.run, .success(1), isShared: true)
    #expect(told(&machine, first.waiter) == "made 1" && told(&machine, second.waiter) == "made 1")
    #expect(machine.isEmpty)
  }

  @Test func whoHasBeenToldTheEndLeavesNothing() {
    var machine = Machine(logMax: 1000)
    let first = machine.join("a")
    _ = machine.end(first.run, .success(1), isShared: true)
    #expect(machine.leave(first.waiter) == .none)
    #expect(told(&machine, first.waiter) == "made 1")
    #expect(machine.leave(first.waiter) == .none)
    #expect(machine.isEmpty)
  }

  // MARK: Simulation

  /// A build that waits, and what it has to be told.
  private struct Waiting {
    var waiter: Machine.Waiter
    var key: String
    var run: Machine.Run
    var heard = ""
    var isMuted: Bool
    var hasLeft = false
    var expected: String?
  }

  private struct Running {
    var run: Machine.Run
    var leader: Machine.Waiter
    var said = ""
    var isStopping = false
  }

  @Test(arguments: 0..<150) func randomBuilds(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var machine = Machine(logMax: 1 << 20)
    var waiting: [Waiting] = []
    var running: [String: Running] = [:]
    var (begun, ended, told) = (0, 0, 0)

    /// Takes all that there is for a waiter, and forgets him when that was the end.
    func listen(_ index: Int) {
      while true {
        let item = waiting[index]
        switch machine.take(item.waiter) {
        case nil:
          #expect(item.expected == nil, "seed \(seed): he waits for an end that has come")
          return
        case .notes(let notes): waiting[index].heard += notes.map(text).joined()
        case let end?:
          let name: String
          switch end {
          case .made(let value): name = "made \(value)"
          case .failed(let error): name = "failed \(error.message)"
          case .lost: name = "lost"
          case .left: name = "left"
          case .notes: return
          }
          #expect(name == item.expected, "seed \(seed)")
          told += 1
          waiting.remove(at: index)
          return
        }
      }
    }

    func end(_ key: String) {
      guard let run = running.removeValue(forKey: key) else { return }
      ended += 1
      let kind = Int.random(in: 0..<3, using: &random)
      let number = ended
      let result: Result<Int, BuildError> =
        kind == 0 ? .success(number) : .failure(BuildError(.execution, "\(number)"))
      let those = Set(waiting.filter { $0.run == run.run && !$0.hasLeft }.map(\.waiter))
      #expect(machine.end(run.run, result, isShared: kind == 1) == those, "seed \(seed)")
      for index in waiting.indices where those.contains(waiting[index].waiter) {
        let isLeader = waiting[index].waiter == run.leader
        waiting[index].expected =
          kind == 0
          ? "made \(number)" : isLeader || (kind == 1 && !run.isStopping) ? "failed \(number)" : "lost"
      }
      // All that was said comes before the end.
      for index in waiting.indices.reversed() where those.contains(waiting[index].waiter) {
        let (waiter, isMuted) = (waiting[index].waiter, waiting[index].isMuted)
        if case .notes(let notes)? = peek(machine, waiter) { waiting[index].heard += notes.map(text).joined() }
        #expect(waiting[index].heard == (isMuted ? "" : run.said), "seed \(seed)")
        waiting[index].heard = ""
        listen(index)
      }
    }

    /// What he would be told now, and nothing is changed.
    func peek(_ machine: Machine, _ waiter: Machine.Waiter) -> Machine.Told? {
      var copy = machine
      return copy.take(waiter)
    }

    for _ in 0..<400 {
      let key = ["a", "b", "c"].randomElement(using: &random) ?? "a"
      switch Int.random(in: 0..<10, using: &random) {
      case 0...3:
        let (waiter, run, isLeading) = machine.join(key)
        #expect(isLeading == (running[key] == nil), "seed \(seed): one at a time")
        if isLeading {
          begun += 1
          running[key] = Running(run: run, leader: waiter)
        }
        #expect(running[key]?.run == run, "seed \(seed)")
        waiting.append(
          Waiting(waiter: waiter, key: key, run: run, isMuted: running[key]?.isStopping ?? false))
      case 4, 5:
        guard let run = running[key] else { break }
        let text = "\(Int.random(in: 0..<1000, using: &random)) "
        let heard = machine.note(output(text), run.run)
        #expect(heard == Set(waiting.filter { $0.run == run.run && !$0.hasLeft }.map(\.waiter)), "seed \(seed)")
        running[key]?.said += text
      case 6, 7:
        guard let index = waiting.indices.randomElement(using: &random) else { break }
        let item = waiting[index]
        let others = waiting.filter { $0.run == item.run && !$0.hasLeft && $0.waiter != item.waiter }
        let isStopping = running[item.key]?.isStopping ?? false
        switch machine.leave(item.waiter) {
        case .left:
          #expect(!others.isEmpty, "seed \(seed)")
          waiting[index].hasLeft = true
          waiting[index].expected = "left"
          listen(index)
        case .stop(let run):
          #expect(others.isEmpty && !isStopping && run == item.run, "seed \(seed)")
          running[item.key]?.isStopping = true
        case .none: #expect(isStopping, "seed \(seed): only who attends the end stays")
        }
      case 8:
        guard let index = waiting.indices.randomElement(using: &random) else { break }
        listen(index)
      default: end(key)
      }
      for (key, run) in running {
        #expect(machine.waiterCount(key) == waiting.count { $0.run == run.run }, "seed \(seed)")
        #expect(machine.waiterCount(key) > 0, "seed \(seed): nothing runs for nobody")
      }
    }
    for key in ["a", "b", "c"] { end(key) }
    #expect(waiting.isEmpty && machine.isEmpty, "seed \(seed): nobody is left behind")
    #expect(begun == ended && begun > 5 && told >= begun, "seed \(seed)")
  }
}

/// What a step has said, for those who come later.
@Suite struct StepLogTests {
  private func bytes(_ notes: [StepNote]) -> [UInt8] {
    notes.flatMap { note -> [UInt8] in if case .output(_, let bytes) = note { bytes } else { [] } }
  }

  @Test func piecesOfOneStreamArePutTogether() {
    var log = StepLog(sizeMax: 1000)
    log.append(.output(.stdout, [1, 2]))
    log.append(.output(.stdout, [3]))
    log.append(.output(.stderr, [4]))
    log.append(.output(.stderr, []))
    log.append(.status("done"))
    log.append(.output(.stderr, [5]))
    #expect(
      log.notes(after: 0) == [
        .output(.stdout, [1, 2, 3]), .output(.stderr, [4]), .status("done"), .output(.stderr, [5]),
      ])
    #expect(log.notes(after: 2).first == .output(.stdout, [3]))
    #expect(log.notes(after: 4).first == .status("done"))
    #expect(log.notes(after: log.end).isEmpty && log.notes(after: .max).isEmpty)
  }

  @Test func anEmptyStatusIsToldOnce() {
    var log = StepLog(sizeMax: 1000)
    log.append(.status(""))
    #expect(log.notes(after: 0) == [.status("")] && log.notes(after: log.end).isEmpty)
  }

  @Test func theOldestGoesAndWhoHasNotReadItIsTold() {
    var log = StepLog(sizeMax: 1000)
    for number in 0..<100 { log.append(.status("\(number)")) }
    let notes = log.notes(after: 0)
    #expect(notes.first == StepLog.omission && notes.last == .status("99"))
    #expect(notes.count < 20)
    // Who has read what went misses nothing.
    #expect(log.notes(after: log.end - 2) == [.status("99")])
  }

  @Test func oneThatIsLargerThanTheBoundIsKept() {
    var log = StepLog(sizeMax: 100)
    log.append(.status("first"))
    log.append(.output(.stdout, [UInt8](repeating: 7, count: 500)))
    #expect(log.notes(after: 0) == [StepLog.omission, .output(.stdout, [UInt8](repeating: 7, count: 500))])
  }

  /// Whenever somebody reads, he has all that was said, in its order.
  @Test(arguments: 0..<50) func readersMissNothing(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var log = StepLog(sizeMax: 1 << 20)
    var said: [UInt8] = []
    var readers: [(position: Int, heard: [UInt8])] = []
    for _ in 0..<200 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0: readers.append((0, []))
      case 1:
        guard let index = readers.indices.randomElement(using: &random) else { break }
        readers[index].heard += bytes(log.notes(after: readers[index].position))
        readers[index].position = log.end
        #expect(readers[index].heard == said)
      case 2: log.append(.status("s"))
      default:
        let piece = (0..<Int.random(in: 0..<2000, using: &random)).map { UInt8(truncatingIfNeeded: $0) }
        said += piece
        log.append(.output(Bool.random(using: &random) ? .stdout : .stderr, piece))
      }
    }
    #expect(bytes(log.notes(after: 0)) == said && !said.isEmpty)
  }
}
