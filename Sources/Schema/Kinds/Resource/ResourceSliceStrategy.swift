import Wire

extension KindStrategy {
  static let resourceSlice = KindStrategy(.v1("resource.k8s.io", "ResourceSlice"), cells: { $0.resourceSlice })
}

extension TableRow {
  fileprivate var resourceSlice: [String: JSON] {
    [
      "Node": text(spec["nodeName"], or: ""), "Driver": text(spec["driver"]), "Pool": text(spec.at("pool", "name")),
    ]
  }
}
