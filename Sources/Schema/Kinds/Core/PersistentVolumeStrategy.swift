import Wire

extension KindStrategy {
  static let persistentVolume = KindStrategy(
    .core("PersistentVolume"),
    defaults: { volume in
      volume.modifyOrMake("spec") { spec in
        spec.setDefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setDefault("volumeMode", "Filesystem")
        spec.modify("hostPath") { $0.setDefault("type", "") }
      }
      volume.modifyOrMake("status") { $0.setDefault("phase", "Pending") }
    },
    warn: { warner, object, _ in warner.volume(object) }, cells: { $0.volume }, countsGeneration: false,
    returnsDeleted: true)
}

extension Warner {
  fileprivate mutating func volume(_ volume: JSON) {
    let path = FieldPath.of("spec")
    if volume.at("spec", "persistentVolumeReclaimPolicy") == "Recycle" {
      warn(
        path["persistentVolumeReclaimPolicy"],
        "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.")
    }
    wholeBytes(volume.at("spec", "capacity"), ["storage"], path["capacity"])
  }
}

extension TableRow {
  fileprivate var volume: [String: JSON] {
    let claim = spec["claimRef"]
    let isTerminating = object.at("metadata", "deletionTimestamp") != nil
    return [
      "Capacity": text(spec.at("capacity", "storage"), or: ""),
      "Access Modes": .string(accessModes(spec["accessModes"])),
      "Reclaim Policy": text(spec["persistentVolumeReclaimPolicy"], or: ""),
      "Status": isTerminating ? "Terminating" : text(status["phase"]),
      "Claim": .string(claim.map { "\($0["namespace"]?.string ?? "")/\($0["name"]?.string ?? "")" } ?? ""),
      "StorageClass": text(spec["storageClassName"], or: ""), "Reason": text(status["reason"], or: ""),
      "VolumeAttributesClass": text(spec["volumeAttributesClassName"], or: "<unset>"),
      "VolumeMode": text(spec["volumeMode"], or: "Filesystem"),
    ]
  }
}
