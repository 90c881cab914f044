import Glibc
import Synchronization

/// Threads that are used again: a call that may block gets one without the cost of a new thread, as long as one is spare.
///
/// How many run at a time is for the callers to bound (`BlockingLanes`). Only a few wait for the next call, and not for
/// long: an idle process has none.
final class SpareThreads: Sendable {
  static let shared = SpareThreads()

  /// How many wait at a time.
  private static let spareMax = 4
  private static let idleSeconds = 5

  private struct Job: Sendable {
    var name: String
    var body: @Sendable () -> Void
  }

  private struct State {
    /// Threads that wait and that no job is meant for.
    var spare = 0
    /// Each is for a thread that waits: there are as many posts of the semaphore as jobs.
    var jobs: [Job] = []
  }

  private let state = Mutex(State())
  private let posted = Semaphore()

  /// Runs `body` on a thread of that name (15 bytes are shown), soon.
  func run(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let job = Job(name: name, body: body)
    let isTaken = state.withLock { state in
      guard state.spare > 0 else { return false }
      state.spare -= 1
      state.jobs.append(job)
      return true
    }
    if isTaken {
      posted.post()
    } else {
      DedicatedThread.start(name) { [self] in work(job) }
    }
  }

  private func work(_ first: Job) {
    var job = first
    while true {
      job.body()
      guard let next = next() else { return }
      job = next
      DedicatedThread.rename(job.name)
    }
  }

  /// Waits for a job; `nil` when the thread is not needed any more.
  private func next() -> Job? {
    let mayWait = state.withLock { state in
      guard state.spare < Self.spareMax else { return false }
      state.spare += 1
      return true
    }
    guard mayWait else { return nil }
    while true {
      if posted.wait(seconds: Self.idleSeconds) { return state.withLock { $0.jobs.removeFirst() } }
      // All who wait may be spoken for already: then this one's job is coming.
      let mayEnd = state.withLock { state in
        guard state.spare > 0 else { return false }
        state.spare -= 1
        return true
      }
      if mayEnd { return nil }
    }
  }
}

/// sem_overview(7).
///
/// Its memory is taken once, never moved and freed with the object, and the calls may come from any thread: that is what
/// the standard has semaphores for. Hence Sendable.
private final class Semaphore: @unchecked Sendable {
  private let handle: UnsafeMutablePointer<sem_t>

  init() {
    handle = .allocate(capacity: 1)
    sem_init(handle, 0, 0)
  }

  deinit {
    sem_destroy(handle)
    handle.deallocate()
  }

  func post() { sem_post(handle) }

  /// Whether a post came before the time was over.
  func wait(seconds: Int) -> Bool {
    var end = timespec()
    clock_gettime(CLOCK_REALTIME, &end)
    end.tv_sec += seconds
    while sem_timedwait(handle, &end) != 0 {
      if errno != EINTR { return false }
    }
    return true
  }
}
