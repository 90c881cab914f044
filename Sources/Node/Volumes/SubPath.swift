import Glibc
import LinuxSystem

/// Looks up `subPath` of a volume mount without letting it lead out of the volume, also when a container changes
/// symbolic links at the same time (CVE-2017-1002101, CVE-2021-25741).
enum SubPath {
  /// What `subPath` names in the volume; folders that are missing are made with the volume's mode and group. Blocks.
  ///
  /// - Parameter isHostPath: whether the volume is a path of the host. Devices, pipes and sockets are taken from such
  ///   a one only, whose user may name them directly as well.
  static func open(_ subPath: String, in volume: ResolvedFile, isHostPath: Bool) throws(NodeError) -> ResolvedFile {
    let parts = subPath.split(separator: "/").filter { $0 != "." }
    guard !subPath.hasPrefix("/"), !parts.contains("..") else {
      throw NodeError(.createContainerConfigError, "subPath \(subPath) must be relative and must not contain '..'")
    }
    guard volume.status.kind == .directory else {
      throw NodeError(.createContainerConfigError, "subPath \(subPath): the volume is no folder")
    }
    let path = parts.joined(separator: "/")
    // In a volume that is the host's root, an absolute symbolic link stays inside.
    let scope: PathScope = isHostPath && isRoot(volume) ? .inRoot : .beneath
    let found: ResolvedFile
    do throws(SystemError) {
      do throws(SystemError) { found = try ResolvedFile(path, in: volume, scope: scope) } catch {
        guard error.errno == ENOENT else { throw error }
        try volume.createFolders(
          path, scope: scope, mode: volume.status.mode & 0o3777, group: volume.status.group)
        found = try ResolvedFile(path, in: volume, scope: scope)
      }
    } catch {
      throw failure(subPath, error)
    }
    guard isHostPath || [.directory, .file].contains(found.status.kind) else {
      throw NodeError(.createContainerConfigError, "subPath \(subPath) is neither a folder nor a regular file")
    }
    return found
  }

  private static func isRoot(_ volume: ResolvedFile) -> Bool {
    guard let root = try? ResolvedFile("/") else { return false }
    return (root.status.device, root.status.inode) == (volume.status.device, volume.status.inode)
  }

  private static func failure(_ subPath: String, _ error: SystemError) -> NodeError {
    let reason =
      switch error.errno {
      case EXDEV: "it leads out of the volume"
      case ENOENT: "it leads through a symbolic link to nothing"
      case ELOOP: "it leads through a link of /proc, or through too many symbolic links"
      default: error.description
      }
    return NodeError(.createContainerConfigError, "failed to prepare subPath \(subPath): \(reason)")
  }
}
