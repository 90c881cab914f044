import Glibc
import LinuxSystem
import Synchronization

/// The engine's program at a path of its own, where nobody can write to it:
///
///     RUN/engine/<device>-<inode>/crun
///
/// A container must not come to write to the engine's file by the /proc/self/exe of the engine that enters it
/// (CVE-2019-5736). `crun` makes itself a read-only mount for each of its commands, and runs itself a second time from
/// there, unless it has been run from one.
///
/// The calls block shortly.
package final class EngineMount: Sendable {
  private let folder: String
  private let mounting = Mutex(())

  package init(folder: String) { self.folder = folder }

  /// Where to run it from. One that was replaced on disk gets another path; the old one is good until `clear`.
  func path(of program: String) throws(SystemError) -> String {
    var file = stat()
    guard stat(program, &file) == 0 else { throw .last("stat \(program)") }
    let own = "\(folder)/\(file.st_dev)-\(file.st_ino)"
    let target = "\(own)/\(program.split(separator: "/").last ?? "engine")"
    let (device, inode) = (file.st_dev, file.st_ino)
    let failure = mounting.withLock { _ -> SystemError? in
      // Of an earlier server, too. What is mounted keeps its number for itself.
      if Self.isReadOnly(target, device, inode) { return nil }
      do throws(SystemError) {
        try Directory.create(own, mode: 0o700)
        try RuntimeFiles.write([], to: target)
        try Mount.bind(source: program, target: target, readOnly: true, recursive: false)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
    return target
  }

  private static func isReadOnly(_ path: String, _ device: dev_t, _ inode: ino_t) -> Bool {
    var (file, system) = (stat(), statvfs())
    guard stat(path, &file) == 0, file.st_dev == device, file.st_ino == inode, statvfs(path, &system) == 0 else {
      return false
    }
    return system.f_flag & UInt(ST_RDONLY) != 0
  }

  /// Takes away those of programs that are not there any more.
  func clear(besides current: String?) throws(SystemError) {
    guard access(folder, F_OK) == 0 else { return }
    for name in try Directory.list(folder) where current?.hasPrefix("\(folder)/\(name)/") != true {
      try Mount.unmountTree("\(folder)/\(name)")
      try Directory.removeTree("\(folder)/\(name)")
    }
  }
}
