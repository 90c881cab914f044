import LinuxSystem
import Logging

extension BlockingLanes.Notice {
  /// Says it in a log.
  ///
  /// - Parameter name: what the lanes are for.
  package func write(to log: Logger, of name: String) {
    switch self {
    case .hangs(let what, let stuck):
      log.warning(
        "a call does not return: its thread is left to it",
        metadata: ["call": "\(what)", "kind": "\(name)", "hanging": "\(stuck)"])
    case .returned(let what, let stuck):
      log.notice(
        "a call that hung has returned", metadata: ["call": "\(what)", "kind": "\(name)", "hanging": "\(stuck)"])
    }
  }
}
