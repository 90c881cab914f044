import Wire

extension KindStrategy {
  static let csiNode = KindStrategy(
    .v1("storage.k8s.io", "CSINode"), cells: { ["Drivers": .int(Int64($0.spec["drivers"]?.array?.count ?? 0))] })
}
