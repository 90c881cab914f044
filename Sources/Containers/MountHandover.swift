import Glibc
import LinuxSystem
import Synchronization

/// Shows the engine files that were looked up, at paths that nobody but root can change: the engine knows paths only,
/// and opens them long after they were checked.
///
///     RUN/binds/<container id>/<number>
///
/// They are there while a container is made, which has mounts of its own afterwards. The folder is a mount that no other
/// mount is copied with: a container that mounts the host's `/` does not get those of the others, nor doubles them.
/// The calls block.
final class MountHandover: Sendable {
  private let folder: String
  private let isReady = Mutex(false)

  init(folder: String) { self.folder = folder }

  /// Takes away what a killed server left.
  func clear() throws(SystemError) {
    guard access(folder, F_OK) == 0 else { return }
    try Mount.detachTree(folder)
    try Directory.removeTree(folder)
  }

  /// The path at which the container's engine finds the file or folder.
  /// - Parameter recursive: with what is mounted below it.
  func show(_ file: ResolvedFile, recursive: Bool, to container: String, number: Int) throws(SystemError) -> String {
    try prepare()
    let own = "\(folder)/\(container)"
    let target = "\(own)/\(number)"
    try Directory.create(file.status.kind == .directory ? target : own, mode: 0o700)
    if file.status.kind != .directory { try RuntimeFiles.write([], to: target) }
    try Mount.attach(file, to: target, recursive: recursive)
    return target
  }

  /// Takes away what was shown to the container's engine.
  func end(_ container: String) throws(SystemError) {
    let own = "\(folder)/\(container)"
    guard access(own, F_OK) == 0 else { return }
    for number in try Directory.list(own) { try Mount.detachTree("\(own)/\(number)") }
    try Directory.removeTree(own)
  }

  private func prepare() throws(SystemError) {
    let failure = isReady.withLock { isReady -> SystemError? in
      guard !isReady else { return nil }
      do throws(SystemError) {
        try Directory.create(folder, mode: 0o700)
        try Mount.tmpfs(target: folder, mode: 0o700, sizeMax: 1 << 20)
        try Mount.mount(source: "none", target: folder, flags: .unbindable)
        isReady = true
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }
}
