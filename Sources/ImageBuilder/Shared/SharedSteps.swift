import Synchronization

/// Carries a step out once for all builds that need it at the same time, and tells them all what it says and how it ended.
///
/// A run is nobody's child: it goes on while anybody waits for it, also when the build that began it is cancelled. When the
/// last one leaves, it is cancelled, and he waits until it has ended.
final class SharedSteps<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  typealias Machine = SharedStepsState<Key, Value>
  typealias Report = @Sendable (StepNote) -> Void

  /// A place among those who wait. Whoever has one takes its result (``result(of:tell:)``).
  struct Ticket: Sendable {
    fileprivate let waiter: Machine.Waiter
    /// Whether the work that was given has been begun.
    let isLeading: Bool
  }

  private struct State {
    var machine: Machine
    var parked: [Machine.Waiter: CheckedContinuation<Machine.Told, Never>] = [:]
    var tasks: [Machine.Run: Task<Void, Never>] = [:]

    /// Takes out those who have waited and now have something to be told.
    mutating func wake(_ waiters: Set<Machine.Waiter>) -> [Wakening] {
      waiters.compactMap { waiter in
        guard parked[waiter] != nil, let told = machine.take(waiter), let place = parked.removeValue(forKey: waiter)
        else { return nil }
        return Wakening(continuation: place, told: told)
      }
    }
  }

  private struct Wakening {
    var continuation: CheckedContinuation<Machine.Told, Never>
    var told: Machine.Told
  }

  private let state: Mutex<State>

  /// - Parameter logMax: the bytes of what a step says that are kept while it runs.
  init(logMax: Int) { state = Mutex(State(machine: Machine(logMax: logMax))) }

  var isEmpty: Bool { state.withLock { $0.machine.isEmpty && $0.parked.isEmpty && $0.tasks.isEmpty } }

  func waiterCount(_ key: Key) -> Int { state.withLock { $0.machine.waiterCount(key) } }

  /// Waits for what runs under a key, or begins it.
  ///
  /// - Parameters:
  ///   - isShared: whether a failure is told to all who wait. After any other one the next of them begins anew.
  ///   - work: ends soon when its task is cancelled. It is not a child of the calling task.
  func join(
    _ key: Key, sharing isShared: @escaping @Sendable (BuildError) -> Bool,
    work: @escaping @Sendable (@escaping Report) async -> Result<Value, BuildError>
  ) -> Ticket {
    state.withLock { state in
      let (waiter, run, isLeading) = state.machine.join(key)
      if isLeading {
        state.tasks[run] = Task { [self] in
          let result = await work { [self] note in self.note(note, run) }
          // Asked here and not under the lock.
          let counts = if case .failure(let error) = result { isShared(error) } else { true }
          end(run, result, isShared: counts)
        }
      }
      return Ticket(waiter: waiter, isLeading: isLeading)
    }
  }

  /// Waits for the end.
  ///
  /// - Parameter tell: called with what the step says, in its order, from the calling task.
  /// - Returns: `nil` when it ended without a result that counts: whoever still needs it joins again.
  func result(of ticket: Ticket, tell: (StepNote) -> Void) async throws(BuildError) -> Value? {
    while true {
      switch await next(ticket.waiter) {
      case .notes(let notes): for note in notes { tell(note) }
      case .made(let value): return value
      case .failed(let error): throw error
      case .lost:
        if Task.isCancelled { throw .cancelled }
        return nil
      case .left: throw .cancelled
      }
    }
  }

  private func next(_ waiter: Machine.Waiter) async -> Machine.Told {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let told = state.withLock { state -> Machine.Told? in
          if let told = state.machine.take(waiter) { return told }
          state.parked[waiter] = continuation
          return nil
        }
        if let told { continuation.resume(returning: told) }
      }
    } onCancel: {
      leave(waiter)
    }
  }

  private func leave(_ waiter: Machine.Waiter) {
    let (task, wakenings) = state.withLock { state -> (Task<Void, Never>?, [Wakening]) in
      switch state.machine.leave(waiter) {
      case .left: (nil, state.wake([waiter]))
      case .stop(let run): (state.tasks[run], [])
      case .none: (nil, [])
      }
    }
    task?.cancel()
    for wakening in wakenings { wakening.continuation.resume(returning: wakening.told) }
  }

  private func note(_ note: StepNote, _ run: Machine.Run) {
    let wakenings = state.withLock { $0.wake($0.machine.note(note, run)) }
    for wakening in wakenings { wakening.continuation.resume(returning: wakening.told) }
  }

  private func end(_ run: Machine.Run, _ result: Result<Value, BuildError>, isShared: Bool) {
    let wakenings = state.withLock { state in
      state.tasks[run] = nil
      return state.wake(state.machine.end(run, result, isShared: isShared))
    }
    for wakening in wakenings { wakening.continuation.resume(returning: wakening.told) }
  }
}
