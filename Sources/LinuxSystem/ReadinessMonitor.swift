import CLinux
import Glibc
import Synchronization

/// Tells when a descriptor can be read or written, by one epoll thread for the whole process.
///
/// The thread only calls the callbacks, which must not block. It is what pidfds, pipes and sockets of helper programs
/// wait on; nothing here polls.
public final class ReadinessMonitor: Sendable {
  public static let shared = ReadinessMonitor()

  public enum Interest: Sendable {
    case readable
    case writable
  }

  public enum Outcome: Sendable {
    case ready
    case timedOut
    case cancelled
  }

  /// A wait that can be cancelled.
  public struct Token: Sendable, Hashable {
    fileprivate var number: UInt64
  }

  private struct Wait {
    var fd: Int32?
    var deadline: ContinuousClock.Instant?
    var callback: @Sendable (Outcome) -> Void
  }

  private struct State {
    var next: UInt64 = 1
    var waits: [UInt64: Wait] = [:]
    /// The earliest deadline that the thread knows of while it sleeps.
    var wakeAt: ContinuousClock.Instant?
    var started = false
  }

  private let state = Mutex(State())
  private let epoll: Int32
  /// Wakes the thread when an earlier deadline came in.
  private let wakeUp: Int32

  private init() {
    epoll = clinux_epoll_create()
    wakeUp = clinux_eventfd()
    precondition(epoll >= 0 && wakeUp >= 0, "the process has no descriptors left for epoll")
    _ = clinux_epoll_add(epoll, wakeUp, 0, 0)
    // A helper that closes its input would otherwise end the server; `write` then answers EPIPE.
    signal(SIGPIPE, SIG_IGN)
  }

  /// Calls `callback` once: when `fd` is ready (or in error, or hung up), when the deadline has passed, or when the
  /// wait is cancelled. One descriptor has at most one wait at a time, and stays open until its wait has ended.
  public func wait(
    _ fd: Int32, _ interest: Interest, deadline: ContinuousClock.Instant? = nil,
    _ callback: @escaping @Sendable (Outcome) -> Void
  ) throws(SystemError) -> Token {
    let result: Result<Token, SystemError> = state.withLock { state in
      let number = state.next
      state.next += 1
      guard clinux_epoll_add(epoll, fd, interest == .writable ? 1 : 0, number) == 0 else {
        return .failure(.last("epoll_ctl add \(fd)"))
      }
      state.waits[number] = Wait(fd: fd, deadline: deadline, callback: callback)
      arm(&state, deadline)
      return .success(Token(number: number))
    }
    return try result.get()
  }

  /// Calls `callback` once, with `timedOut` at the deadline or `cancelled` before.
  @discardableResult
  public func timer(
    at deadline: ContinuousClock.Instant, _ callback: @escaping @Sendable (Outcome) -> Void
  ) -> Token {
    state.withLock { state in
      let number = state.next
      state.next += 1
      state.waits[number] = Wait(fd: nil, deadline: deadline, callback: callback)
      arm(&state, deadline)
      return Token(number: number)
    }
  }

  /// Ends a wait with `cancelled`, called on this thread; nothing when it has ended already. After the return the
  /// descriptor can be closed.
  public func cancel(_ token: Token) {
    let wait = state.withLock { remove(token.number, &$0) }
    wait?.callback(.cancelled)
  }

  private func remove(_ number: UInt64, _ state: inout State) -> Wait? {
    guard let wait = state.waits.removeValue(forKey: number) else { return nil }
    if let fd = wait.fd { _ = clinux_epoll_delete(epoll, fd) }
    return wait
  }

  private func arm(_ state: inout State, _ deadline: ContinuousClock.Instant?) {
    if !state.started {
      state.started = true
      DedicatedThread.start("apus-readiness") { [self] in run() }
    }
    guard let deadline else { return }
    if let wakeAt = state.wakeAt, wakeAt <= deadline { return }
    state.wakeAt = deadline
    var one: UInt64 = 1
    _ = write(wakeUp, &one, 8)
  }

  private static let waitMax: Duration = .seconds(1_000_000)

  private func run() {
    var tokens = [UInt64](repeating: 0, count: 64)
    while true {
      let now = ContinuousClock.now
      let (expired, timeout) = state.withLock { state -> ([Wait], Int32) in
        guard let wakeAt = state.wakeAt else { return ([], -1) }
        var expired: [Wait] = []
        if wakeAt <= now {
          let numbers = state.waits.filter { $0.value.deadline.map { $0 <= now } ?? false }.map(\.key).sorted()
          expired = numbers.compactMap { remove($0, &state) }
          state.wakeAt = state.waits.values.compactMap(\.deadline).min()
        }
        guard let next = state.wakeAt else { return (expired, -1) }
        // Deadlines come from outside, such as a pod's grace period: the thread wakes in between.
        let (seconds, attoseconds) = min(next - now, Self.waitMax).components
        // Rounded up, so that the thread does not wake before the deadline.
        return (expired, Int32(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1))
      }
      for wait in expired { wait.callback(.timedOut) }
      if !expired.isEmpty { continue }

      let count = clinux_epoll_wait(epoll, &tokens, 64, timeout)
      guard count > 0 else { continue }
      for index in 0..<Int(count) {
        if tokens[index] == 0 {
          var value: UInt64 = 0
          _ = read(wakeUp, &value, 8)
          continue
        }
        let wait = state.withLock { remove(tokens[index], &$0) }
        wait?.callback(.ready)
      }
    }
  }
}
