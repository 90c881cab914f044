import Glibc
import Synchronization

/// Threads for calls that block and that may block for ever: a path on a mount whose server is gone, a disk that does not
/// answer.
///
/// There is one object for each class of work, so that no class waits for another. Within a class the calls of one lane
/// (a pod's, say) run one after another, in the order in which they were asked, and whatever hangs holds up its own lane
/// only. Every call has the class's deadline, counted from when it was asked. The kernel lets nobody break off a thread:
/// one whose call does not return in time is left to it (`Usage.stuck`), the lane's next calls are refused until it has
/// returned, and other lanes get other threads. There are never more than `Limits.threadsMax`.
///
/// A call that was asked runs, also when its task is cancelled: what clears up after a cancelled task is work, too.
public final class BlockingLanes: Sendable {
  public struct Limits: Sendable, Equatable {
    /// From when a call is asked to its return.
    public var deadline: Duration
    /// How many calls run at a time, without those that are past their deadline.
    public var runningMax: Int
    /// How many of these may be there before they count as running.
    public var stuckMax: Int
    /// How many calls may wait for their turn.
    public var waitingMax: Int

    public init(deadline: Duration, runningMax: Int, stuckMax: Int, waitingMax: Int = 4096) {
      precondition(deadline > .zero && runningMax > 0 && stuckMax >= 0 && waitingMax >= 0)
      self.deadline = deadline
      self.runningMax = runningMax
      self.stuckMax = stuckMax
      self.waitingMax = waitingMax
    }

    public var threadsMax: Int { runningMax + stuckMax }
  }

  /// What the threads do at a moment.
  public struct Usage: Sendable, Equatable {
    public var running: Int
    public var waiting: Int
    /// What each call does that is past its deadline, sorted.
    public var stuck: [String]
  }

  /// Something that whoever looks after the machine should know.
  public enum Notice: Sendable, Equatable {
    /// A call has passed its deadline and keeps its thread; `stuck` threads of this class are so by now.
    case hangs(what: String, stuck: Int)
    /// Such a call has returned.
    case returned(what: String, stuck: Int)
  }

  /// Of the work, for errors and the threads' names.
  public let name: String
  public let limits: Limits
  private let notify: @Sendable (Notice) -> Void

  private struct Job: Sendable {
    var body: @Sendable () -> Void
    var fail: @Sendable (SystemError) -> Void
    var timer: ReadinessMonitor.Token
  }

  private struct State {
    var calls: BlockingLanesState
    var jobs: [UInt64: Job] = [:]
    var lastID: UInt64 = 0
  }

  private let state: Mutex<State>

  /// - Parameters:
  ///   - name: of the class of work, at most 10 bytes.
  ///   - notify: must not block.
  public init(_ name: String, _ limits: Limits, notify: @escaping @Sendable (Notice) -> Void = { _ in }) {
    self.name = name
    self.limits = limits
    self.notify = notify
    state = Mutex(State(calls: BlockingLanesState(limits: limits)))
  }

  /// Runs `body` on a thread that may block.
  ///
  /// - Parameters:
  ///   - lane: whose calls wait for one another; `nil` for a call that waits for none.
  ///   - what: what the call does, as an error says it: `open /mnt/x`.
  /// - Throws: what `body` throws; `SystemError` with `ETIMEDOUT` when it has not returned at the deadline (its effects may
  ///   come later, but never beside those of a later call of the lane), with `EBUSY` while an earlier call of the lane
  ///   hangs, with `EAGAIN` when too many wait.
  public func run<Value: Sendable>(
    _ lane: String?, _ what: String, _ body: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      let answer = FirstAnswer(continuation)
      ask(lane, what, fail: { answer.give(.failure($0)) }) { answer.give(Result { try body() }) }
    }
  }

  /// As `run`, for work that nobody waits for.
  ///
  /// - Parameter failed: told instead of `body`'s end when it is refused or does not return in time.
  public func submit(
    _ lane: String?, _ what: String, failed: @escaping @Sendable (SystemError) -> Void = { _ in },
    _ body: @escaping @Sendable () -> Void
  ) {
    ask(lane, what, fail: failed, body)
  }

  public var usage: Usage {
    state.withLock { state in
      Usage(
        running: state.calls.running.count, waiting: state.calls.waiting.count,
        stuck: state.calls.stuck.values.map(\.what).sorted())
    }
  }

  // MARK: -

  private func ask(
    _ lane: String?, _ what: String, fail: @escaping @Sendable (SystemError) -> Void,
    _ body: @escaping @Sendable () -> Void
  ) {
    let end = ContinuousClock.now + limits.deadline
    let (refusal, timer) = state.withLock { state -> (BlockingLanesState.Refusal?, ReadinessMonitor.Token) in
      state.lastID += 1
      let id = state.lastID
      let timer = ReadinessMonitor.shared.timer(at: end) { [weak self] outcome in
        if case .timedOut = outcome { self?.expired(id) }
      }
      let refusal = state.calls.asked(BlockingLanesState.Call(id: id, lane: lane, what: what))
      if refusal == nil { state.jobs[id] = Job(body: body, fail: fail, timer: timer) }
      return (refusal, timer)
    }
    guard let refusal else { return begin() }
    ReadinessMonitor.shared.cancel(timer)
    fail(error(what, refusal))
  }

  /// Gives a thread to every call that may begin.
  private func begin() {
    while let (call, job) = state.withLock({ state -> (BlockingLanesState.Call, Job)? in
      guard let call = state.calls.next() else { return nil }
      guard let job = state.jobs[call.id] else { preconditionFailure("a call begins that nobody asked for") }
      return (call, job)
    }) {
      SpareThreads.shared.run("apus-\(name)") { [self] in
        job.body()
        returned(call)
      }
    }
  }

  private func returned(_ call: BlockingLanesState.Call) {
    let (wasStuck, stuck, job) = state.withLock { state in
      let wasStuck = state.calls.returned(call.id)
      return (wasStuck, state.calls.stuck.count, state.jobs.removeValue(forKey: call.id))
    }
    if let job { ReadinessMonitor.shared.cancel(job.timer) }
    if wasStuck { notify(.returned(what: call.what, stuck: stuck)) }
    begin()
  }

  private func expired(_ id: UInt64) {
    let (expiry, call, job, stuck) = state.withLock { state in
      let call = state.calls.running[id] ?? state.calls.waiting.first { $0.id == id }
      let expiry = state.calls.expired(id)
      let job = expiry == .dropped ? state.jobs.removeValue(forKey: id) : state.jobs[id]
      return (expiry, call, job, state.calls.stuck.count)
    }
    guard let call, let job else { return }
    switch expiry {
    case .isOver: return
    case .dropped:
      job.fail(
        SystemError(
          call.what, errno: ETIMEDOUT,
          detail: "it could not begin within \(limits.deadline): what was asked before it takes too long"))
    case .hangs:
      job.fail(
        SystemError(
          call.what, errno: ETIMEDOUT,
          detail: "no answer within \(limits.deadline); it hangs in the kernel, as on a mount that does not answer"))
      notify(.hangs(what: call.what, stuck: stuck))
      // A call that hangs has left its place to others.
      begin()
    }
  }

  private func error(_ what: String, _ refusal: BlockingLanesState.Refusal) -> SystemError {
    switch refusal {
    case .isFull:
      SystemError(what, errno: EAGAIN, detail: "\(limits.waitingMax) calls wait already (\(name))")
    case .laneHangs(let earlier):
      SystemError(what, errno: EBUSY, detail: "an earlier call has not returned: \(earlier)")
    }
  }
}

/// What is waited for is answered once: by the call's return or by its deadline, whichever comes first.
private final class FirstAnswer<Value: Sendable>: Sendable {
  private let continuation: Mutex<CheckedContinuation<Value, any Error>?>

  init(_ continuation: CheckedContinuation<Value, any Error>) { self.continuation = Mutex(continuation) }

  func give(_ result: Result<Value, any Error>) {
    let waiting = continuation.withLock { continuation in
      defer { continuation = nil }
      return continuation
    }
    // What comes too late is dropped, and with it what it holds open.
    waiting?.resume(with: result)
  }
}
