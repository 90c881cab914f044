import Wire

extension KindStrategy {
  static let deviceTaintRule = KindStrategy(.v1("resource.k8s.io", "DeviceTaintRule"), cells: { $0.deviceTaintRule })
}

extension TableRow {
  fileprivate var deviceTaintRule: [String: JSON] {
    let taint = spec["taint"]
    return [
      "Key": text(taint?["key"]), "Value": text(taint?["value"], or: ""), "Effect": text(taint?["effect"]),
      "TimeAdded": text(taint?["timeAdded"], or: ""),
    ]
  }
}
