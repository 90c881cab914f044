import LinuxSystem

/// What can be seen of a container apart from its record: in the process table, in the cgroups, in the engine's state.
///
/// A record is a file and may be cut, empty, old or gone; an exit file may lie. None of them decides whether a container
/// lives: the kernel does.
struct Witnesses: Sendable, Equatable {
  /// The container's first process, if it lives.
  var process: RecordedProcess?
  /// Its monitor, if it lives.
  var monitor: RecordedProcess?
  /// Whether any process is in its cgroup.
  var isPopulated = false
  /// Whether its first process still waits to run the container's program.
  var isWaiting = false
  /// What its exit file says, true or not.
  var exitCode: Int32?
}

/// How a container that was found stands. Pure.
enum Adoption: Equatable {
  /// Half made: to be ended and removed.
  case discard
  case created
  case running
  /// It ended, and how was written down.
  case exited(code: Int32)
  /// It ended, or nobody watches it any more, and then it is to be ended: nobody saw how.
  case lost
  /// It ended before, and the record says so.
  case known

  static func decide(_ phase: ContainerRecord.Phase, _ seen: Witnesses) -> Adoption {
    if phase == .creating { return .discard }
    if seen.monitor != nil {
      // The monitor ends after it has noted how the container did: what says so before that is wrong.
      if seen.process != nil, seen.isWaiting { return .created }
      return .running
    }
    if seen.process != nil { return .lost }
    if phase == .exited { return .known }
    return seen.exitCode.map { .exited(code: $0) } ?? .lost
  }
}
