import KubeClient
import KubeTypes
import Synchronization
import Telemetry
import Testing
import Wire

@testable import ControllerKit

/// Notes what it is asked to do; fails as often as it is told to.
private final class Recorder: Reconciler {
  let name = "recorder"

  struct State {
    var running: Set<ObjectKey> = []
    var hasOverlapped = false
    var done: [ObjectKey] = []
    var failures = 0
    var failure: any Error = KubeError(code: 409, reason: .conflict, message: "modified")
    var requeue: Duration?
    var waiters: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
  }

  let state = Mutex(State())

  func observe(_ key: ObjectKey) async throws -> ObjectKey? {
    state.withLock { state in
      if !state.running.insert(key).inserted { state.hasOverlapped = true }
    }
    // Gives other workers the chance to take the same key, if the queue let them.
    for _ in 0..<3 { await Task.yield() }
    return key
  }

  func plan(_ snapshot: ObjectKey) -> Plan<ObjectKey> {
    Plan([snapshot], requeueAfter: state.withLock { $0.requeue })
  }

  func apply(_ action: ObjectKey) async throws {
    let reached = try state.withLock { state in
      state.running.remove(action)
      if state.failures > 0 {
        state.failures -= 1
        throw state.failure
      }
      state.done.append(action)
      let count = state.done.count
      let reached = state.waiters.filter { $0.count <= count }.map(\.continuation)
      state.waiters.removeAll { $0.count <= count }
      return reached
    }
    for continuation in reached { continuation.resume() }
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    EventSubject(kind: "Widget", apiVersion: "test.dev/v1", namespace: key.namespace, name: key.name, uid: "u")
  }

  func waitForDone(_ count: Int) async {
    await withCheckedContinuation { continuation in
      let isReached = state.withLock { state in
        if state.done.count >= count { return true }
        state.waiters.append((count, continuation))
        return false
      }
      if isReached { continuation.resume() }
    }
  }
}

/// Works on its first key until it is broken off.
private final class Interrupted: Reconciler {
  let name = "interrupted"
  let visits = Mutex(0)
  let began = Signal()

  func observe(_ key: ObjectKey) async throws -> ObjectKey? {
    let isFirst = visits.withLock { visits in
      visits += 1
      return visits == 1
    }
    began.fire()
    if isFirst { try await Signal().wait() }
    return key
  }

  func plan(_ snapshot: ObjectKey) -> Plan<ObjectKey> { Plan() }
  func apply(_ action: ObjectKey) async throws {}
}

@Suite(.timeLimit(.minutes(1))) struct ControllerTests {
  /// What was under way when a part ended is done by its next run, although nothing changes meanwhile.
  @Test func aRunTakesUpWhatTheOneBeforeBrokeOff() async throws {
    let reconciler = Interrupted()
    let controller = Controller(reconciler, workers: 1, metrics: Metrics(), time: VirtualClock(), seed: 3)
    controller.enqueue(ObjectKey(name: "a"))
    for visit in 1...2 {
      let run = Task { try await controller.run() }
      try await reconciler.began.wait()
      #expect(reconciler.visits.withLock { $0 } == visit)
      run.cancel()
      _ = await run.result
    }
  }

  @Test func everyKeyIsDoneAndNoneTwiceAtATime() async throws {
    let recorder = Recorder()
    let controller = Controller(recorder, workers: 8, metrics: Metrics(), time: VirtualClock(), seed: 3)
    let run = Task { try await controller.run() }
    for round in 0..<20 {
      for index in 0..<10 { controller.enqueue(ObjectKey(namespace: "n", name: "\(index)")) }
      await recorder.waitForDone(round + 1)
    }
    while controller.queue.counts.ready + controller.queue.counts.processing > 0 { await Task.yield() }
    let (overlapped, done) = recorder.state.withLock { ($0.hasOverlapped, Set($0.done)) }
    #expect(!overlapped && done.count == 10)
    run.cancel()
    _ = await run.result
  }

  /// A missing right does not come by trying; what a rule about the object refuses can pass the next time.
  @Test func aMissingRightIsTerminalAndAnotherRefusalIsNot() {
    let refusal = KubeError(code: 403, reason: .forbidden, message: "no")
    #expect(TerminalError(from: refusal) == nil)
    #expect(!refusal.isMissingRight)
    let missing = refusal.asMissingRight
    #expect(missing.isMissingRight && missing.code == 403 && missing.message == "no")
    #expect(TerminalError(from: missing) != nil)
    // Others' causes are none.
    let other = KubeError(
      code: 409, reason: .conflict, message: "no",
      details: KubeError.Details(causes: missing.details?.causes ?? []))
    #expect(!other.isMissingRight)
  }

  @Test func failureIsRetriedAfterTheBackoff() async {
    let clock = VirtualClock()
    let recorder = Recorder()
    recorder.state.withLock { $0.failures = 3 }
    let controller = Controller(recorder, metrics: Metrics(), time: clock, seed: 3)
    let run = Task { try await controller.run() }
    controller.enqueue(ObjectKey(name: "a"))
    var waits: [Duration] = []
    for _ in 0..<3 {
      await clock.waitForSleepers()
      let wait = clock.nextWake ?? .zero
      waits.append(wait)
      clock.advance(by: wait)
    }
    await recorder.waitForDone(1)
    for (index, wait) in waits.enumerated() {
      #expect(wait <= .milliseconds(5 << index) && wait > .milliseconds(5 << index) / 2 - .milliseconds(1))
    }
    run.cancel()
    _ = await run.result
  }

  /// What the API server finds invalid it always will: the next change is waited for, for long, and it is told.
  @Test(arguments: [KubeError.Reason.invalid, .badRequest, .requestEntityTooLarge])
  func aTerminalErrorWaitsForAChange(reason: KubeError.Reason) async {
    let client = FakeKubeClient()
    let clock = VirtualClock()
    let metrics = Metrics()
    let recorder = Recorder()
    recorder.state.withLock { ($0.failures, $0.failure) = (1, KubeError(code: 422, reason: reason, message: "no")) }
    let controller = Controller(
      recorder, workers: 1, events: EventRecorder(client: client, component: "recorder", time: clock),
      metrics: metrics, time: clock, seed: 3)
    let run = Task { try await controller.run() }
    controller.enqueue(ObjectKey(namespace: "a", name: "w"))
    while recorder.state.withLock({ $0.failures }) > 0 { await Task.yield() }
    while controller.queue.counts.ready + controller.queue.counts.processing > 0 { await Task.yield() }
    await clock.waitForSleepers()
    #expect(controller.queue.counts.delayed == 1 && clock.nextWake == .seconds(60))
    #expect(recorder.state.withLock { $0.done.isEmpty })
    let line = "controller_runtime_terminal_reconcile_errors_total{controller=\"recorder\"} 1.0\n"
    #expect(metrics.exposition().contains(line))
    while client.state.withLock({ $0.writes.isEmpty }) { await Task.yield() }
    #expect(client.state.withLock { $0.writes.first?.hasPrefix("create events w.") } == true)
    // It changed.
    controller.enqueue(ObjectKey(namespace: "a", name: "w"))
    await recorder.waitForDone(1)
    run.cancel()
    _ = await run.result
  }

  @Test func oneVisitMoreTellsWhatFailed() async {
    let recorder = Recorder()
    let cause = KubeError(code: 403, reason: .forbidden, message: "no")
    recorder.state.withLock { ($0.failures, $0.failure) = (1, TerminalError(cause, asksAgain: true)) }
    let controller = Controller(recorder, metrics: Metrics(), time: VirtualClock(), seed: 3)
    let run = Task { try await controller.run() }
    controller.enqueue(ObjectKey(name: "a"))
    // No clock moves: it is at once.
    await recorder.waitForDone(1)
    run.cancel()
    _ = await run.result
  }

  @Test func refusalsAndRacesAreNotTerminal() {
    for reason in [KubeError.Reason.forbidden, .conflict, .notFound, .serviceUnavailable, .tooManyRequests, .unknown] {
      #expect(TerminalError(from: KubeError(code: 400, reason: reason, message: "")) == nil, "\(reason)")
    }
    #expect(TerminalError(from: CancellationError()) == nil)
    #expect(TerminalError(from: TerminalError(CancellationError(), asksAgain: true))?.asksAgain == true)
  }

  @Test func visitsAreCountedByResult() async {
    let clock = VirtualClock()
    let metrics = Metrics()
    let recorder = Recorder()
    recorder.state.withLock { $0.failures = 3 }
    let controller = Controller(recorder, workers: 1, metrics: metrics, time: clock, seed: 3)
    controller.enqueue(ObjectKey(name: "a"))
    controller.enqueue(ObjectKey(name: "a"))
    #expect(metrics.exposition().contains("workqueue_depth{name=\"recorder\"} 1.0\n"))
    let run = Task { try await controller.run() }
    for _ in 0..<3 {
      await clock.waitForSleepers()
      clock.advance(by: clock.nextWake ?? .zero)
    }
    await recorder.waitForDone(1)
    recorder.state.withLock { $0.requeue = .seconds(30) }
    controller.enqueue(ObjectKey(name: "b"))
    await recorder.waitForDone(2)
    while controller.queue.counts.processing > 0 { await Task.yield() }
    let text = metrics.exposition()
    for line in [
      "controller_runtime_reconcile_total{controller=\"recorder\",result=\"error\"} 3.0",
      "controller_runtime_reconcile_total{controller=\"recorder\",result=\"success\"} 1.0",
      "controller_runtime_reconcile_total{controller=\"recorder\",result=\"requeue_after\"} 1.0",
      "controller_runtime_reconcile_errors_total{controller=\"recorder\"} 3.0",
      "controller_runtime_reconcile_time_seconds_count{controller=\"recorder\"} 5",
      "controller_runtime_max_concurrent_reconciles{controller=\"recorder\"} 1.0",
      "controller_runtime_active_workers{controller=\"recorder\"} 0.0",
      // Twice what was asked for from outside, and thrice after a back-off.
      "workqueue_adds_total{name=\"recorder\"} 5.0", "workqueue_retries_total{name=\"recorder\"} 3.0",
      "workqueue_depth{name=\"recorder\"} 0.0",
    ] { #expect(text.contains(line + "\n"), "\(line) is not in \(text)") }
    run.cancel()
    _ = await run.result
  }

  /// C14: what is refused because its namespace is going is neither tried again nor told as a failure.
  @Test func anEndingNamespaceIsNoFailure() async {
    let recorder = Recorder()
    let cause = KubeError.Cause(reason: "NamespaceTerminating", message: "", field: "metadata.namespace")
    let refusal = KubeError(
      code: 403, reason: .forbidden, message: "no", details: KubeError.Details(causes: [cause]))
    #expect(refusal.isNamespaceTerminating)
    #expect(!KubeError(code: 403, reason: .forbidden, message: "no").isNamespaceTerminating)
    recorder.state.withLock { ($0.failures, $0.failure) = (1, refusal) }
    let controller = Controller(recorder, metrics: Metrics(), time: VirtualClock(), seed: 3)
    let run = Task { try await controller.run() }
    controller.enqueue(ObjectKey(name: "a"))
    while recorder.state.withLock({ $0.failures }) > 0 { await Task.yield() }
    while controller.queue.counts.ready + controller.queue.counts.processing > 0 { await Task.yield() }
    #expect(controller.queue.counts.delayed == 0)
    // Once the namespace is there again, its events lead to a visit like any other.
    controller.enqueue(ObjectKey(name: "a"))
    await recorder.waitForDone(1)
    run.cancel()
    _ = await run.result
  }

  @Test func planAsksForALaterVisit() async {
    let clock = VirtualClock()
    let recorder = Recorder()
    recorder.state.withLock { $0.requeue = .seconds(30) }
    let controller = Controller(recorder, metrics: Metrics(), time: clock, seed: 3)
    let run = Task { try await controller.run() }
    controller.enqueue(ObjectKey(name: "a"))
    await recorder.waitForDone(1)
    await clock.waitForSleepers()
    #expect(clock.nextWake == .seconds(30))
    clock.advance(by: .seconds(30))
    await recorder.waitForDone(2)
    run.cancel()
    _ = await run.result
  }

  @Test func waitsForItsInformers() async throws {
    let client = FakeKubeClient()
    client.put(widgets, widget("a"))
    let clock = VirtualClock()
    let informer = Informer(client: client, resource: widgets, time: clock)
    let recorder = Recorder()
    let controller = Controller(recorder, informers: [informer], metrics: Metrics(), time: clock, seed: 1)
    informer.onChange { _, new in if let new { controller.enqueue(new.header.key) } }
    let run = Task { try await controller.run() }
    let feed = Task { try await informer.run() }
    await recorder.waitForDone(1)
    #expect(informer.isSynced)
    for task in [run, feed] {
      task.cancel()
      _ = await task.result
    }
  }
}
