import Wire

extension KindStrategy {
  static let storageClass = KindStrategy(
    .v1("storage.k8s.io", "StorageClass"),
    defaults: { storageClass in
      storageClass.setDefault("reclaimPolicy", "Delete")
      storageClass.setDefault("volumeBindingMode", "Immediate")
    },
    validate: { $0.storageClass($1, old: $2) }, cells: { $0.storageClass })
}

extension Validator {
  fileprivate mutating func storageClass(_ object: JSON, old: JSON?) {
    guard let old else { return }
    for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"]
    where object[field] != old[field] {
      forbidden(.of(field), "updates to \(field) are forbidden.")
    }
  }
}

extension TableRow {
  fileprivate var storageClass: [String: JSON] {
    [
      "Provisioner": text(object["provisioner"]), "ReclaimPolicy": text(object["reclaimPolicy"], or: "Delete"),
      "VolumeBindingMode": text(object["volumeBindingMode"], or: "<unset>"),
      "AllowVolumeExpansion": .bool(object["allowVolumeExpansion"]?.bool == true),
    ]
  }
}
