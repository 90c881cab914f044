import Wire

extension KindStrategy {
  static let volumeAttributesClass = KindStrategy(
    .v1("storage.k8s.io", "VolumeAttributesClass"), cells: { ["DriverName": $0.text($0.object["driverName"])] })
}
