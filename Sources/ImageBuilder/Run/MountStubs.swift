import Containers
import Glibc
import Layers
import LinuxSystem
import OCI

/// The files and folders that are made in a step's root because something is to be mounted on them, and that must not
/// come into the layer.
struct MountStubs: Sendable {
  /// Relative to the root.
  private(set) var targets: Set<String> = []
  /// Folders that were made on the way, outermost first.
  private(set) var parents: [String] = []

  /// Makes what is missing. Blocks shortly.
  init(root: String, targets wanted: [(path: String, isFolder: Bool)]) throws(BuildError) {
    let tree = try stored { () throws(OCIError) in try LowerTree([root]) }
    let writer = try system { () throws(SystemError) in try DirectoryTree(root) }
    // Parents first: a mount in another mount's folder finds that folder there.
    for (target, isFolder) in wanted.sorted(by: { $0.path.utf8.count < $1.path.utf8.count }) {
      // In what the engine mounts by itself it makes mount points by itself.
      if OCIConfiguration.systemFolders.contains(where: { target.hasPrefix($0 + "/") }) { continue }
      let path = try stored { () throws(OCIError) in try tree.resolve(FilePath.relative(target)) }
      guard !path.isEmpty else { continue }
      if try stored({ () throws(OCIError) in try tree.status(path) }) != nil { continue }
      var missing: [String] = []
      var parent = FilePath.parent(path)
      while !parent.isEmpty, try stored({ () throws(OCIError) in try tree.status(parent) }) == nil {
        missing.append(parent)
        parent = FilePath.parent(parent)
      }
      parents += missing.reversed()
      try system { () throws(SystemError) in
        if isFolder {
          try writer.createDirectories(path)
        } else {
          let fd = try writer.createFile(path, mode: 0o644)
          close(fd)
        }
      }
      targets.insert(path)
    }
  }

  /// What is to be left out: the mount points, and the folders made for them in which nothing else is. What a step
  /// put a symbolic link or a file in the place of is its own.
  func excluded(upper: DirectoryTree) -> Set<String> {
    var excluded = targets
    for parent in parents.reversed() {
      guard let names = try? upper.namesIfBelow(parent) else { continue }
      if names.allSatisfy({ excluded.contains("\(parent)/\($0)") }) { excluded.insert(parent) }
    }
    return excluded
  }
}
