import CLinux
import Glibc
import LinuxSystem

/// SIGTERM and SIGINT as something to wait for. SIGHUP is ignored, since a server outlives the terminal that started it,
/// unless whoever waits is somebody at that terminal. Children start with the default dispositions.
struct TerminationSignal: Sendable {
  private let descriptor: Int32

  /// From here on the signals no longer end the process.
  ///
  /// - Parameter hangUp: whether SIGHUP is one of them, when it was not ignored before (nohup(1)).
  static func caught(hangUp: Bool = false) throws(SystemError) -> TerminationSignal {
    let descriptor = clinux_catch_termination(hangUp ? 1 : 0)
    guard descriptor >= 0 else { throw .last("catch SIGTERM") }
    return TerminationSignal(descriptor: descriptor)
  }

  /// The number of the first signal.
  func wait() async -> Int32 {
    await withCheckedContinuation { [descriptor] continuation in
      DedicatedThread.start("apus-signal") {
        var number: UInt8 = 0
        while read(descriptor, &number, 1) < 0, errno == EINTR {}
        continuation.resume(returning: Int32(number))
      }
    }
  }
}
