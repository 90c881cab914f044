import KubeTypes

/// `secret`: files in memory, one for each key.
struct SecretPlugin: VolumePlugin {
  let source = "secret"

  func references(of volume: Volume, namespace: String) -> Set<ObjectReferenceKey> {
    ObjectReferenceKey.set(.secret, namespace, volume.secret?.secretName)
  }

  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume {
    let source = request.volume.secret
    let files = try await context.files(
      of: ObjectReferenceKey(kind: .secret, namespace: request.namespace, name: source?.secretName ?? ""),
      items: source?.items ?? [], defaultMode: source?.defaultMode ?? 0o644, isOptional: source?.`optional` == true)
    let folder = try await context.memoryFolder(of: request)
    try await context.write(files, of: request, to: folder)
    return PreparedVolume(path: folder, isReadOnly: true)
  }
}
