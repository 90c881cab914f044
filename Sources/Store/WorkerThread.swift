import Glibc

/// A POSIX thread. SQLite blocks, so it never runs on the cooperative pool.
final class WorkerThread: Sendable {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private let thread: pthread_t

  init(name: String, _ run: @escaping @Sendable () -> Void) throws(StoreError) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    // Completions run here and may let go of deeply nested values, which is recursion. Untouched pages cost nothing.
    pthread_attr_setstacksize(&attributes, 2 << 20)
    let body = Unmanaged.passRetained(Body(run: run))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        // Signals are for the main thread.
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, nil)
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    guard code == 0 else {
      body.release()
      throw .io("cannot start the thread \(name): \(String(cString: strerror(code)))")
    }
    self.thread = thread
  }

  /// Waits for the end of the thread. To be called once.
  func join() { pthread_join(thread, nil) }
}

/// A bounded queue from many threads to one.
///
/// `@unchecked Sendable`: every access to `elements`, `cost`, `isClosed` and `awaited` happens with `mutex` held, and the
/// mutex and the condition are allocated once and freed when nobody can use them any more.
final class WorkQueue<Element: Sendable>: @unchecked Sendable {
  enum PushResult { case queued, full, closed }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  /// Signalled when elements are taken.
  private let room = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let countMax: Int
  private let costMax: Int
  private var elements: [(element: Element, cost: Int)] = []
  private var cost = 0
  private var isClosed = false
  /// How many elements the consumer waits for.
  private var awaited = 1

  init(countMax: Int, costMax: Int) {
    self.countMax = countMax
    self.costMax = costMax
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_cond_init(room, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_cond_destroy(room)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    room.deallocate()
    mutex.deallocate()
  }

  func push(_ element: Element, cost: Int) -> PushResult { push(element, cost: cost, waits: false) }

  /// Waits while the queue is full. An element that comes when it is closed is dropped.
  func pushWhenRoom(_ element: Element, cost: Int) { _ = push(element, cost: cost, waits: true) }

  private func push(_ element: Element, cost: Int, waits: Bool) -> PushResult {
    pthread_mutex_lock(mutex)
    // One element of any size passes when nothing waits.
    func isFull() -> Bool { !elements.isEmpty && (elements.count >= countMax || self.cost + cost > costMax) }
    while waits, !isClosed, isFull() { pthread_cond_wait(room, mutex) }
    if isClosed {
      pthread_mutex_unlock(mutex)
      return .closed
    }
    if isFull() {
      pthread_mutex_unlock(mutex)
      return .full
    }
    elements.append((element, cost))
    self.cost += cost
    let isAwaited = elements.count == awaited
    pthread_mutex_unlock(mutex)
    if isAwaited { pthread_cond_signal(condition) }
    return .queued
  }

  /// Waits for elements and takes at most `count` of them, of at most `cost` together (but always one); `nil` when the
  /// queue is closed and empty.
  ///
  /// - Parameters:
  ///   - waits: otherwise `nil` when it is empty, too.
  ///   - returning: how many more than those that wait may be expected to come soon; `take` waits for them, for
  ///     `gatherMax` at most.
  /// - Returns: also whether all that were expected came.
  func take(
    count: Int, cost limit: Int, waits: Bool = true, returning: Int = 0, gatherMax: Duration = .zero
  ) -> (elements: [Element], isComplete: Bool)? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    let expected = min(count, elements.count + returning)
    while elements.isEmpty {
      if isClosed || !waits { return nil }
      pthread_cond_wait(condition, mutex)
    }
    if elements.count < expected, !isClosed { gather(expected, gatherMax) }
    let isComplete = elements.count >= expected
    var taken = 0
    var takenCost = 0
    while taken < min(count, elements.count), taken == 0 || takenCost + elements[taken].cost <= limit {
      takenCost += elements[taken].cost
      taken += 1
    }
    let result = elements[..<taken].map { $0.element }
    elements.removeFirst(taken)
    cost -= takenCost
    pthread_cond_broadcast(room)
    return (result, isComplete)
  }

  /// Waits, with the mutex held, until there are as many elements, the time is over, or the queue is closed.
  private func gather(_ expected: Int, _ limit: Duration) {
    var end = timespec()
    clock_gettime(CLOCK_MONOTONIC, &end)
    end.tv_nsec += Int(limit / .nanoseconds(1))
    end.tv_sec += end.tv_nsec / 1_000_000_000
    end.tv_nsec %= 1_000_000_000
    awaited = expected
    while elements.count < expected, !isClosed {
      if pthread_cond_timedwait(condition, mutex, &end) == ETIMEDOUT { break }
    }
    awaited = 1
  }

  var isEmpty: Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return elements.isEmpty
  }

  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_mutex_unlock(mutex)
    pthread_cond_signal(condition)
    pthread_cond_broadcast(room)
  }
}
