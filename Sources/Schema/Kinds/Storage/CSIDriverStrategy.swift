import Wire

extension KindStrategy {
  static let csiDriver = KindStrategy(
    .v1("storage.k8s.io", "CSIDriver"),
    defaults: { driver in
      driver.modifyOrMake("spec") { spec in
        spec.setDefault("attachRequired", true)
        spec.setDefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
        spec.setDefault("volumeLifecycleModes", ["Persistent"])
        for name in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
          spec.setDefault(name, false)
        }
      }
    },
    cells: { $0.csiDriver })
}

extension TableRow {
  fileprivate var csiDriver: [String: JSON] {
    [
      "AttachRequired": .bool(spec["attachRequired"]?.bool ?? true),
      "PodInfoOnMount": .bool(spec["podInfoOnMount"]?.bool == true),
      "StorageCapacity": .bool(spec["storageCapacity"]?.bool == true),
    ]
  }
}
