import LinuxSystem
import Synchronization

/// The engine's program as it is run: from a sealed copy where the machine lets it, which spares each of its commands the
/// copy that it would make of itself (`SealedProgram`).
package final class SealedEngine: Sendable {
  private enum Trial {
    case works(SealedProgram)
    /// Memory cannot be run here (`vm.memfd_noexec`, a security module): the program itself is.
    case fails(program: String)
  }

  /// The newest last. The one before it may be about to be run.
  private let trials = Mutex<[Trial]>([])

  package init() {}

  /// - Parameter program: a path.
  /// - Returns: what to run. The copy is made anew when the program on disk has become another one.
  package func path(of program: String) async -> String {
    if let known = trials.withLock({ Self.path(of: program, $0.last) }) { return known }
    var trial = Trial.fails(program: program)
    if let copy = try? SealedProgram(copying: program),
      let result = try? await Subprocess.run(copy.path, ["--version"], timeout: .seconds(5)), result.status.isSuccess
    {
      trial = .works(copy)
    }
    return trials.withLock { [trial] trials in
      // Another one may have been quicker.
      if let known = Self.path(of: program, trials.last) { return known }
      trials = trials.suffix(1) + [trial]
      return Self.path(of: program, trial) ?? program
    }
  }

  private static func path(of program: String, _ trial: Trial?) -> String? {
    switch trial {
    case .works(let copy): copy.isCurrent(for: program) ? copy.path : nil
    case .fails(program): program
    case .fails, nil: nil
    }
  }
}
