/// Which steps are being carried out, and who waits for them: the states of ``SharedSteps``, apart from tasks and
/// continuations.
///
/// ```
///            join                  last waiter leaves
///   (none) ────────▶ running ─────────────────────────▶ stopping
///                       │ end                              │ end
///                       ▼                                  ▼
///                    (none)                             (none)
/// ```
///
/// A key has one run at most. While it is stopping nobody can join it: who comes then waits for its end and is told to try
/// again. Each waiter takes what he is told until he has been told the end.
struct SharedStepsState<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  struct Run: Hashable, Sendable { fileprivate let number: Int }
  struct Waiter: Hashable, Sendable { fileprivate let number: Int }

  /// What a waiter is told.
  enum Told: Sendable {
    case notes([StepNote])
    case made(Value)
    case failed(BuildError)
    /// It ended without a result that counts for this waiter: he tries again.
    case lost
    /// He has left.
    case left
  }

  /// What follows when a waiter wants to leave.
  enum Leaving: Sendable, Equatable {
    /// He is told so.
    case left
    /// He was the last: the run is to be cancelled, and he waits for its end.
    case stop(Run)
    /// Nothing: he waits for the end already, or has been told it.
    case none
  }

  private struct Running: Sendable {
    var key: Key
    var log: StepLog
    var waiters: Set<Waiter> = []
    /// Whose step it is that is carried out.
    var leader: Waiter
    /// The last who left: he waits for the end of a run that is stopping.
    var attendant: Waiter?
  }

  private enum Phase: Sendable {
    /// - Parameter position: in the log, up to which he has read.
    case waiting(Run, position: Int)
    case ended([StepNote], Told)
    case left
  }

  private let logMax: Int
  private var last = 0
  private var keys: [Key: Run] = [:]
  private var runs: [Run: Running] = [:]
  private var waiters: [Waiter: Phase] = [:]

  init(logMax: Int) { self.logMax = logMax }

  /// Nobody waits, and nothing runs.
  var isEmpty: Bool { keys.isEmpty && runs.isEmpty && waiters.isEmpty }

  /// Those who wait for what a key names.
  func waiterCount(_ key: Key) -> Int { keys[key].flatMap { runs[$0]?.waiters.count } ?? 0 }

  /// - Returns: `isLeading` when the step has to be begun.
  mutating func join(_ key: Key) -> (waiter: Waiter, run: Run, isLeading: Bool) {
    last += 1
    let waiter = Waiter(number: last)
    if let run = keys[key], let running = runs[run] {
      // What is printed by a run that is being ended is none of his.
      waiters[waiter] = .waiting(run, position: running.attendant == nil ? 0 : .max)
      runs[run]?.waiters.insert(waiter)
      return (waiter, run, false)
    }
    let run = Run(number: last)
    keys[key] = run
    runs[run] = Running(key: key, log: StepLog(sizeMax: logMax), waiters: [waiter], leader: waiter)
    waiters[waiter] = .waiting(run, position: 0)
    return (waiter, run, true)
  }

  /// - Returns: whom it may interest.
  mutating func note(_ note: StepNote, _ run: Run) -> Set<Waiter> {
    runs[run]?.log.append(note)
    return runs[run]?.waiters ?? []
  }

  /// What there is to tell a waiter; `nil` when he has to wait. After anything but notes he is forgotten.
  mutating func take(_ waiter: Waiter) -> Told? {
    switch waiters[waiter] {
    case nil: preconditionFailure("a waiter that has been told the end asks again")
    case .waiting(let run, let position):
      guard let log = runs[run]?.log else { preconditionFailure("a waiter waits for what does not run") }
      let notes = log.notes(after: position)
      if notes.isEmpty { return nil }
      waiters[waiter] = .waiting(run, position: log.end)
      return .notes(notes)
    case .ended(let notes, let told):
      if !notes.isEmpty {
        waiters[waiter] = .ended([], told)
        return .notes(notes)
      }
      waiters[waiter] = nil
      return told
    case .left:
      waiters[waiter] = nil
      return .left
    }
  }

  mutating func leave(_ waiter: Waiter) -> Leaving {
    guard case .waiting(let run, _) = waiters[waiter], let running = runs[run] else { return .none }
    if running.attendant == waiter { return .none }
    if running.attendant == nil, running.waiters == [waiter] {
      runs[run]?.attendant = waiter
      return .stop(run)
    }
    runs[run]?.waiters.remove(waiter)
    waiters[waiter] = .left
    return .left
  }

  /// A run has ended. Its leader is told how, the others too when it counts for them.
  ///
  /// - Parameter isShared: whether a failure is that of all who wait, and not of the leader's own files or means.
  /// - Returns: all who waited.
  mutating func end(_ run: Run, _ result: Result<Value, BuildError>, isShared: Bool) -> Set<Waiter> {
    guard let running = runs.removeValue(forKey: run) else { preconditionFailure("a run ends twice") }
    keys[running.key] = nil
    for waiter in running.waiters {
      guard case .waiting(_, let position) = waiters[waiter] else { continue }
      let told: Told
      switch result {
      case .success(let value): told = .made(value)
      case .failure(let error):
        // Whatever failed while it was being ended says nothing about the step.
        let counts = waiter == running.leader || (isShared && running.attendant == nil)
        told = counts ? .failed(error) : .lost
      }
      waiters[waiter] = .ended(running.log.notes(after: position), told)
    }
    return running.waiters
  }
}
