import Wire

extension KindStrategy {
  static let csiStorageCapacity = KindStrategy(
    .v1("storage.k8s.io", "CSIStorageCapacity"), cells: { $0.csiStorageCapacity })
}

extension TableRow {
  fileprivate var csiStorageCapacity: [String: JSON] {
    [
      "StorageClassName": text(object["storageClassName"]), "Capacity": text(object["capacity"], or: "<unset>"),
    ]
  }
}
