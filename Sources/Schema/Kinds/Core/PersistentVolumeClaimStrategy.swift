import Wire

extension KindStrategy {
  static let persistentVolumeClaim = KindStrategy(
    .core("PersistentVolumeClaim"), defaults: Defaults.persistentVolumeClaim,
    validate: { $0.persistentVolumeClaim($1, old: $2) }, warn: { if $2 == nil { $0.claim($1["spec"], .of("spec")) } },
    cells: { $0.claim }, countsGeneration: false, returnsDeleted: true)
}

extension Defaults {
  /// Also of the claims that a StatefulSet makes.
  static func persistentVolumeClaim(_ claim: inout JSON) {
    claim.modifyOrMake("spec") { $0.setDefault("volumeMode", "Filesystem") }
    claim.modifyOrMake("status") { $0.setDefault("phase", "Pending") }
  }
}

extension Validator {
  fileprivate mutating func persistentVolumeClaim(_ claim: JSON, old: JSON?) {
    let path = FieldPath.of("spec")
    guard let spec = claim["spec"] else { return required(path) }
    if spec.elements("accessModes").isEmpty { required(path["accessModes"], "at least 1 access mode is required") }
    if let storage = spec.at("resources", "requests", "storage") {
      if let quantity = Quantity(storage.string ?? ""), quantity <= .zero {
        invalid(path["resources"]["requests"][key: "storage"], storage, "must be greater than zero")
      }
    } else {
      required(path["resources"][key: "storage"])
    }
    labelSelector(spec["selector"], path["selector"])
    guard let before = old?["spec"] else { return }
    for field in ["accessModes", "selector", "storageClassName", "volumeMode"] where before.has(field) {
      immutable(path[field], spec[field], before[field])
    }
    if before.has("volumeName") { immutable(path["volumeName"], spec["volumeName"], before["volumeName"]) }
  }
}

extension TableRow {
  fileprivate var claim: [String: JSON] {
    let isTerminating = object.at("metadata", "deletionTimestamp") != nil
    return [
      "Status": isTerminating ? "Terminating" : text(status["phase"]), "Volume": text(spec["volumeName"], or: ""),
      "Capacity": text(status.at("capacity", "storage"), or: ""),
      "Access Modes": .string(accessModes(status["accessModes"])),
      "StorageClass": text(spec["storageClassName"], or: ""),
      "VolumeAttributesClass": text(spec["volumeAttributesClassName"], or: "<unset>"),
      "VolumeMode": text(spec["volumeMode"], or: "Filesystem"),
    ]
  }
}
