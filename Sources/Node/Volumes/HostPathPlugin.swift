import KubeTypes
import LinuxSystem

/// `hostPath`: a path of the host, made and checked by its `type`. It stays when the pod goes, also when the node made it.
struct HostPathPlugin: VolumePlugin {
  let source = "hostPath"

  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume {
    let path = request.volume.hostPath?.path ?? ""
    let type = request.volume.hostPath?.`type` ?? ""
    _ = try await context.lanes.paths.run(request.uid, "open hostPath \(path)") { try HostPath.open(path, type: type) }
    return PreparedVolume(path: path, isReadOnly: false, hostPathType: type)
  }
}

/// A `hostPath` volume (`pkg/volume/hostpath` in Kubernetes). The calls block.
enum HostPath {
  /// Looks the path up, makes what its `type` says when it is missing, and checks what it then is.
  ///
  /// What is given is held by its descriptor: it is that, and nothing that the path means later, which a container gets.
  static func open(_ path: String, type: String) throws(NodeError) -> ResolvedFile {
    let parts = path.split(separator: "/").filter { $0 != "." }
    guard path.hasPrefix("/"), !parts.contains("..") else {
      throw NodeError(.failedMount, "hostPath \(path) must be absolute and must not contain '..'")
    }
    let relative = parts.joined(separator: "/")
    let root: ResolvedFile
    var found: ResolvedFile?
    do throws(SystemError) {
      root = try ResolvedFile("/")
      found = try find(relative, in: root)
      if found == nil {
        switch type {
        // Nothing is checked; a bind mount needs something to bind, and container engines make a folder.
        case "", "DirectoryOrCreate": try root.createFolders(relative, scope: .inRoot, mode: 0o755)
        case "FileOrCreate": try root.createFile(relative, scope: .inRoot, mode: 0o644)
        default: break
        }
        found = try find(relative, in: root)
      }
    } catch {
      throw NodeError(.failedMount, "hostPath: \(error)")
    }
    let expected: (kind: FileStatus.Kind, noun: String)
    switch type {
    case "":
      guard let found else { throw NodeError(.failedMount, "hostPath: \(path) does not exist") }
      return found
    case "DirectoryOrCreate", "Directory": expected = (.directory, "a directory")
    case "FileOrCreate", "File": expected = (.file, "a file")
    case "Socket": expected = (.socket, "a socket file")
    case "CharDevice": expected = (.characterDevice, "a character device")
    case "BlockDevice": expected = (.blockDevice, "a block device")
    default: throw NodeError(.failedMount, "hostPath type \(type) is not known")
    }
    guard let found, found.status.kind == expected.kind else {
      throw NodeError(.failedMount, "hostPath type check failed: \(path) is not \(expected.noun)")
    }
    return found
  }

  private static func find(_ path: String, in root: ResolvedFile) throws(SystemError) -> ResolvedFile? {
    do throws(SystemError) { return try ResolvedFile(path, in: root, scope: .inRoot) } catch {
      if error.isMissing { return nil }
      throw error
    }
  }
}
