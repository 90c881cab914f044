import Glibc
import LinuxSystem

/// SIGTERM and SIGINT, waited for on a thread of their own.
struct TerminationSignal: Sendable {
  /// Blocks the signals in the calling thread and in all that it starts later. Call it before anything starts a
  /// thread, so that no other thread takes them. Children get a clean mask from `Subprocess`.
  static func block() -> TerminationSignal {
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    // A client that goes away while it is written to must not end the server.
    signal(SIGPIPE, SIG_IGN)
    return TerminationSignal()
  }

  /// Ignores SIGHUP: the server outlives the terminal that started it.
  func wait() async -> Int32 {
    await withCheckedContinuation { continuation in
      DedicatedThread.start("apus-signal") {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
        var received: Int32 = SIGHUP
        while received == SIGHUP { sigwait(&signals, &received) }
        continuation.resume(returning: received)
      }
    }
  }
}
