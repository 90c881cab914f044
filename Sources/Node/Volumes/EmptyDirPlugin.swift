import Glibc
import KubeTypes
import LinuxSystem
import Wire

/// `emptyDir`: a folder on disk, or with `medium: Memory` a tmpfs on it.
///
/// `sizeLimit` is enforced in memory, as the size of the tmpfs. On disk it is not: kubelet measures the folder now and then
/// and evicts the pod, and this node evicts nothing.
struct EmptyDirPlugin: VolumePlugin {
  let source = "emptyDir"

  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume {
    let folder = request.folder
    let group = request.group
    let inMemory = request.volume.emptyDir?.medium == "Memory"
    let limit = request.volume.emptyDir?.sizeLimit?.value
    try await context.lanes.volumes.run(request.uid, "make \(folder)") {
      try Self.make(folder, inMemory: inMemory, limit: limit, group: group)
    }
    return PreparedVolume(path: folder, isReadOnly: false)
  }

  private static func make(_ folder: String, inMemory: Bool, limit: Int64?, group: UInt32?) throws(SystemError) {
    try Files.makeDirectory(folder, mode: 0o777)
    if inMemory, try !Mount.isMountPoint(folder) { try Mount.tmpfs(target: folder, mode: 0o1777, sizeMax: limit) }
    guard let group else { return }
    var status = stat()
    guard lstat(folder, &status) == 0 else { throw SystemError.last("stat \(folder)") }
    // Set once: what containers made of it since is theirs (`fsGroupChangePolicy: OnRootMismatch`).
    if status.st_gid != group || status.st_mode & 0o2000 == 0 {
      try Files.chown(folder, group: group, addingMode: 0o2770)
    }
  }
}
