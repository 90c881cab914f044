import KubeTypes

/// `configMap`: files on disk, one for each key.
struct ConfigMapPlugin: VolumePlugin {
  let source = "configMap"

  func references(of volume: Volume, namespace: String) -> Set<ObjectReferenceKey> {
    ObjectReferenceKey.set(.configMap, namespace, volume.configMap?.name)
  }

  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume {
    let source = request.volume.configMap
    let files = try await context.files(
      of: ObjectReferenceKey(kind: .configMap, namespace: request.namespace, name: source?.name ?? ""),
      items: source?.items ?? [], defaultMode: source?.defaultMode ?? 0o644, isOptional: source?.`optional` == true)
    try await context.write(files, of: request, to: request.folder)
    return PreparedVolume(path: request.folder, isReadOnly: true)
  }
}
