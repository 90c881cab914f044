import KubeTypes

/// `persistentVolumeClaim`: refused, as there is no driver that could mount what it is bound to.
struct PersistentVolumeClaimPlugin: VolumePlugin {
  let source = "persistentVolumeClaim"

  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume {
    throw NodeError(
      .failedMount,
      "persistentVolumeClaim \"\(request.volume.persistentVolumeClaim?.claimName ?? "")\" cannot be mounted: "
        + "this node has no storage driver yet; use emptyDir or hostPath")
  }
}
