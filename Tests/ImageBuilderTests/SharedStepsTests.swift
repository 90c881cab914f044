import Synchronization
import TestKit
import Testing

@testable import ImageBuilder

/// Closed until it is opened; whoever waits does so until then, however many they are.
final class Gate: Sendable {
  private struct State {
    var isOpen = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())

  func open() {
    let waiters = state.withLock { state in
      state.isOpen = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiters.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }

  /// Ends also when the task is cancelled.
  func waitOrCancellation() async {
    await withTaskCancellationHandler {
      await wait()
    } onCancel: {
      open()
    }
  }
}

/// Tasks that wait for one another's steps.
@Suite(.timeLimit(.minutes(2))) struct SharedStepsTests {
  private typealias Steps = SharedSteps<String, Int>

  private final class Log: Sendable {
    let text = Mutex("")
    func add(_ note: StepNote) {
      if case .status(let status) = note { text.withLock { $0 += status } }
    }
    var all: String { text.withLock { $0 } }
  }

  /// Joins, and tells when it has heard something.
  private func build(
    _ steps: Steps, _ key: String = "a", log: Log = Log(), heard: Arrivals = Arrivals(),
    sharing isShared: @escaping @Sendable (BuildError) -> Bool = { $0.code == .execution },
    work: @escaping @Sendable (Steps.Report) async -> Result<Int, BuildError>
  ) -> Task<Result<Int?, BuildError>, Never> {
    Task {
      let ticket = steps.join(key, sharing: isShared) { report in await work(report) }
      do throws(BuildError) {
        return .success(
          try await steps.result(of: ticket) { note in
            log.add(note)
            heard.arrive()
          })
      } catch {
        return .failure(error)
      }
    }
  }

  @Test func oneWorksForAllAndAllHearIt() async throws {
    let (steps, gate, heard, runs) = (Steps(logMax: 1000), Gate(), Arrivals(), Counter())
    let logs = (0..<8).map { _ in Log() }
    let builds = logs.map { log in
      build(steps, log: log, heard: heard) { report in
        _ = runs.increment()
        report(.status("begun,"))
        await gate.wait()
        report(.status("done"))
        return .success(7)
      }
    }
    // All are in: each has heard the beginning.
    await heard.wait(for: 8)
    #expect(steps.waiterCount("a") == 8)
    gate.open()
    for build in builds { #expect(try await build.value.get() == 7) }
    #expect(logs.map(\.all) == Array(repeating: "begun,done", count: 8))
    #expect(runs.increment() == 2 && steps.isEmpty)
  }

  @Test func aFailureIsToldToAllAndNotKept() async throws {
    let (steps, gate, heard) = (Steps(logMax: 1000), Gate(), Arrivals())
    let work: @Sendable (Steps.Report) async -> Result<Int, BuildError> = { report in
      report(.status("begun"))
      await gate.wait()
      return .failure(BuildError(.execution, "exit code: 7", output: ["bad"]))
    }
    let builds = (0..<3).map { _ in build(steps, heard: heard, work: work) }
    await heard.wait(for: 3)
    gate.open()
    for build in builds {
      let error = await build.value.failure
      #expect(error?.code == .execution && error?.message == "exit code: 7" && error?.output == ["bad"])
    }
    #expect(steps.isEmpty)
    let again = build(steps) { _ in .success(1) }
    #expect(try await again.value.get() == 1)
  }

  @Test func aFailureOfOneBuildsOwnMakesOthersTryAgain() async throws {
    let (steps, gate, heard) = (Steps(logMax: 1000), Gate(), Arrivals())
    let first = build(steps, heard: heard) { report in
      report(.status("begun"))
      await gate.wait()
      return .failure(BuildError(.context, "mine"))
    }
    await heard.wait(for: 1)
    let second = build(steps, heard: heard) { _ in .success(2) }
    await heard.wait(for: 2)
    gate.open()
    #expect(await first.value.failure?.message == "mine")
    // It is told to join again.
    #expect(try await second.value.get() == nil)
    #expect(steps.isEmpty)
  }

  @Test func theStepGoesOnWhenWhoBeganItIsCancelled() async throws {
    let (steps, gate, heard, cancelled) = (Steps(logMax: 1000), Gate(), Arrivals(), Flag())
    let first = build(steps, heard: heard) { report in
      report(.status("begun"))
      await gate.wait()
      if Task.isCancelled { cancelled.set() }
      return .success(1)
    }
    await heard.wait(for: 1)
    let second = build(steps, heard: heard) { _ in .success(2) }
    await heard.wait(for: 2)
    first.cancel()
    // At once: nobody has opened the gate.
    #expect(await first.value.failure?.code == .cancelled)
    #expect(steps.waiterCount("a") == 1)
    gate.open()
    #expect(try await second.value.get() == 1)
    #expect(!cancelled.isSet && steps.isEmpty)
  }

  @Test func theStepIsCancelledWhenTheLastOneLeavesAndHeWaitsForItsEnd() async throws {
    let (steps, heard, stopped, end) = (Steps(logMax: 1000), Arrivals(), Gate(), Gate())
    let hasEnded = Flag()
    let work: @Sendable (Steps.Report) async -> Result<Int, BuildError> = { report in
      report(.status("begun"))
      await Gate().waitOrCancellation()
      stopped.open()
      // What has to be put away takes its time.
      await end.wait()
      hasEnded.set()
      return .failure(.cancelled)
    }
    let first = build(steps, heard: heard, work: work)
    await heard.wait(for: 1)
    let second = build(steps, heard: heard, work: work)
    await heard.wait(for: 2)
    first.cancel()
    #expect(await first.value.failure?.code == .cancelled)
    second.cancel()
    await stopped.wait()
    // Whoever comes now takes no part in it, and is told to try again when it has ended.
    let late = steps.join("a", sharing: { _ in true }) { _ in .success(9) }
    #expect(!late.isLeading && !hasEnded.isSet)
    end.open()
    #expect(await second.value.failure?.code == .cancelled)
    #expect(hasEnded.isSet)
    #expect(try await steps.result(of: late) { _ in } == nil)
    #expect(steps.isEmpty)
  }

  @Test func whoIsCancelledBeforeHeJoinsLeavesNothing() async throws {
    let (steps, gate) = (Steps(logMax: 1000), Gate())
    let build = Task { [steps] () -> BuildError? in
      await gate.wait()
      let ticket = steps.join("a", sharing: { _ in true }) { _ in
        await Gate().waitOrCancellation()
        return .failure(.cancelled)
      }
      do throws(BuildError) {
        _ = try await steps.result(of: ticket) { _ in }
        return nil
      } catch {
        return error
      }
    }
    build.cancel()
    gate.open()
    #expect(await build.value?.code == .cancelled)
    #expect(steps.isEmpty)
  }

  /// Many builds, by a seed, some of which are cancelled: each step runs once at a time, everybody is told an end, and
  /// nothing is left.
  @Test(arguments: 0..<20) func manyBuildsAtOnce(seed: Int) async throws {
    var random = SeededGenerator(seed: UInt64(seed))
    let steps = Steps(logMax: 1000)
    let running = Mutex<[String: Int]>([:])
    let tooMany = Flag()
    let runs = Counter()
    var keys: Set<String> = []
    var builds: [(task: Task<Result<Int?, BuildError>, Never>, isCancelled: Bool)] = []
    for _ in 0..<60 {
      let key = "\(Int.random(in: 0..<4, using: &random))"
      keys.insert(key)
      let (pauses, kind) = (Int.random(in: 0..<20, using: &random), Int.random(in: 0..<4, using: &random))
      let task = build(steps, key) { report in
        let count = running.withLock { running in
          running[key, default: 0] += 1
          return running[key, default: 0]
        }
        if count > 1 { tooMany.set() }
        let number = runs.increment()
        for _ in 0..<pauses {
          report(.output(.stdout, [1]))
          await Task.yield()
        }
        running.withLock { $0[key, default: 0] -= 1 }
        if Task.isCancelled { return .failure(.cancelled) }
        switch kind {
        case 0: return .failure(BuildError(.execution, "its own"))
        case 1: return .failure(BuildError(.context, "the leader's"))
        default: return .success(number)
        }
      }
      let isCancelled = Int.random(in: 0..<3, using: &random) == 0
      builds.append((task, isCancelled))
      if isCancelled, Bool.random(using: &random) { task.cancel() }
      for _ in 0..<Int.random(in: 0..<4, using: &random) { await Task.yield() }
    }
    for (task, isCancelled) in builds where isCancelled { task.cancel() }
    for (task, isCancelled) in builds {
      let result = await task.value
      if !isCancelled { #expect(result.failure?.code != .cancelled) }
    }
    #expect(!tooMany.isSet && steps.isEmpty)
    #expect(running.withLock { $0.values.allSatisfy { $0 == 0 } })
    #expect(runs.increment() > keys.count && keys.count > 1)
  }
}
