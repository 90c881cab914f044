import KubeTypes

/// `downwardAPI`: files on disk with what the pod is told of itself.
struct DownwardAPIPlugin: VolumePlugin {
  let source = "downwardAPI"

  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume {
    let source = request.volume.downwardAPI
    let files = try VolumeContent.files(
      from: source?.items ?? [], defaultMode: source?.defaultMode ?? 0o644, pod: request.pod, place: context.place,
      allocatable: context.allocatable())
    try await context.write(files, of: request, to: request.folder)
    return PreparedVolume(path: request.folder, isReadOnly: true)
  }
}
