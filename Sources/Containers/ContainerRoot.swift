import Glibc
import LinuxSystem

/// The root file system of one container: an overlay of its image's unpacked layers and of a folder for what it changes.
///
///     FOLDER/rootfs   where it is mounted
///     FOLDER/upper    what the container changes
///     FOLDER/work     the kernel's own
package struct ContainerRoot: Sendable {
  /// Of the container; it is there. Nobody but root reaches what is below it.
  package let folder: String

  package init(folder: String) { self.folder = folder }

  package var path: String { "\(folder)/rootfs" }
  package var changes: String { "\(folder)/upper" }
  package var work: String { "\(folder)/work" }

  /// Blocks. What the container writes need not survive the machine's failure.
  ///
  /// - Parameter layers: top first; none for an empty image.
  package func mount(_ layers: [String]) throws(SystemError) {
    for path in [path, work] { try Directory.create(path, mode: 0o700) }
    try Directory.create(changes, mode: 0o700)
    // Its mode is that of the container's `/`.
    guard chmod(changes, 0o755) == 0 else { throw .last("chmod \(changes)") }
    var lower = layers
    if lower.isEmpty {
      lower = ["\(folder)/empty"]
      try Directory.create(lower[0], mode: 0o755)
    }
    try Mount.overlay(lower: lower, upper: changes, work: work, target: path, isVolatile: true)
  }
}
