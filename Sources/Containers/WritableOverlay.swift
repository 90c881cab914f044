import Glibc
import LinuxSystem

/// Unpacked layers that can be written to, such as the root file system of a container: an overlay of them and of a folder
/// for what changes.
///
///     FOLDER/rootfs   where it is mounted
///     FOLDER/upper    what was changed
///     FOLDER/work     the kernel's own
package struct WritableOverlay: Sendable {
  /// Nobody but root reaches what is below it.
  package let folder: String

  package init(folder: String) { self.folder = folder }

  package var path: String { "\(folder)/rootfs" }
  package var changes: String { "\(folder)/upper" }
  package var work: String { "\(folder)/work" }

  /// Makes the folders and mounts it. Blocks. What is written need not survive the machine's failure.
  ///
  /// - Parameter layers: top first; none for an empty image.
  package func mount(_ layers: [String]) throws(SystemError) {
    for folder in [path, work, changes] { try Directory.create(folder, mode: 0o700) }
    // Its mode is that of the root.
    guard chmod(changes, 0o755) == 0 else { throw .last("chmod \(changes)") }
    var lower = layers
    if lower.isEmpty {
      lower = ["\(folder)/empty"]
      try Directory.create(lower[0], mode: 0o755)
    }
    try Mount.overlay(lower: lower, upper: changes, work: work, target: path, isVolatile: true)
  }
}
