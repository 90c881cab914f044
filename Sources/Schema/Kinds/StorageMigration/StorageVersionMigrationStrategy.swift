import Wire

extension KindStrategy {
  static let storageVersionMigration = KindStrategy(
    .v1("storagemigration.k8s.io", "StorageVersionMigration"), cells: { $0.storageVersionMigration })
}

extension TableRow {
  fileprivate var storageVersionMigration: [String: JSON] {
    let resource = spec["resource"]
    let parts = ["resource", "group"].compactMap { resource?[$0]?.string }.filter { !$0.isEmpty }
    let state = (status["conditions"]?.array ?? []).first { $0["status"]?.string == "True" }
    return ["Resource": .string(parts.joined(separator: ".")), "Status": text(state?["type"], or: "Pending")]
  }
}
