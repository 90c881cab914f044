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
/// `@unchecked Sendable`: every access to `elements`, `head`, `cost` and `isClosed` happens with `mutex` held, and the
/// mutex and the condition are allocated once and freed when nobody can use them any more.
final class WorkQueue<Element: Sendable>: @unchecked Sendable {
  enum PushResult { case queued, full, closed }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let countMax: Int
  private let costMax: Int
  private var elements: [(element: Element, cost: Int)] = []
  private var cost = 0
  private var isClosed = false

  init(countMax: Int, costMax: Int) {
    self.countMax = countMax
    self.costMax = costMax
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func push(_ element: Element, cost: Int) -> PushResult {
    pthread_mutex_lock(mutex)
    if isClosed {
      pthread_mutex_unlock(mutex)
      return .closed
    }
    // One element of any size passes when nothing waits.
    if !elements.isEmpty, elements.count >= countMax || self.cost + cost > costMax {
      pthread_mutex_unlock(mutex)
      return .full
    }
    elements.append((element, cost))
    self.cost += cost
    let wasEmpty = elements.count == 1
    pthread_mutex_unlock(mutex)
    // The consumer waits only for an empty queue.
    if wasEmpty { pthread_cond_signal(condition) }
    return .queued
  }

  /// Waits for elements and takes at most `count` of them, of at most `cost` together (but always one); `nil` when the
  /// queue is closed and empty.
  func take(count: Int, cost limit: Int) -> [Element]? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while elements.isEmpty {
      if isClosed { return nil }
      pthread_cond_wait(condition, mutex)
    }
    var taken = 0
    var takenCost = 0
    while taken < min(count, elements.count), taken == 0 || takenCost + elements[taken].cost <= limit {
      takenCost += elements[taken].cost
      taken += 1
    }
    let result = elements[..<taken].map(\.element)
    elements.removeFirst(taken)
    cost -= takenCost
    return result
  }

  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_mutex_unlock(mutex)
    pthread_cond_signal(condition)
  }
}
